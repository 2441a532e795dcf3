//! The dead-man switch: somebody outside is told when a task starts and how it ends, and gets worried when that does not come.
//! Outside the routes; never holds up the task and never spoils it.

use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use crate::config::Secret;
use crate::config::sections::Ping;
use crate::report::Report;
use crate::sys::http::{self, Request};
use crate::text::{fits, shorten};

/// What the other side keeps of a message.
const MOST: usize = 10_000;
const PAUSE: Duration = Duration::from_secs(1);

/// The switch of one run.
#[derive(Debug)]
pub struct Switch {
    peer: Peer,
    start: Option<Start>,
}

/// That the run starts, on its way.
#[derive(Debug)]
struct Start {
    sent: Instant,
    answered: Receiver<()>,
}

/// Whoever is told.
#[derive(Clone, Debug)]
struct Peer {
    url: String,
    run_id: String,
    timeout: Duration,
}

impl Switch {
    /// `None` where none is configured for this task.
    pub fn new(ping: &Ping, task: &str, run_id: &str) -> anyhow::Result<Option<Self>> {
        if !ping.tasks.iter().any(|pattern| fits(pattern, task)) {
            return Ok(None);
        }
        let template = Secret::read(
            "url_template",
            ping.url_template.as_ref(),
            ping.url_template_file.as_deref(),
        )?;
        Ok(template.map(|template| Self {
            peer: Peer {
                url: template.replace("{task}", task),
                run_id: run_id.to_owned(),
                timeout: ping.timeout.0,
            },
            start: None,
        }))
    }

    /// Says that the run starts, on a thread of its own: the task does not wait for it.
    pub fn start(&mut self) {
        let peer = self.peer.clone();
        let (send, answered) = channel();
        std::thread::spawn(move || {
            // A start that is not heard of shows at the end: that ping says whether it failed.
            drop(peer.ping("/start", &[]));
            // Nobody waits any more where this took longer than the limit.
            let _ = send.send(());
        });
        self.start = Some(Start {
            sent: Instant::now(),
            answered,
        });
    }

    /// Says how it ended; tries twice. The start must not come behind it: it would be taken for a run that never ends.
    pub fn end(&self, report: &Report) -> anyhow::Result<()> {
        if let Some(Start { sent, answered }) = &self.start {
            let left = self.peer.timeout.saturating_sub(sent.elapsed());
            // Too late or not at all, the end is said all the same.
            let _ = answered.recv_timeout(left);
        }
        let body = shorten(&summary(report), MOST);
        let suffix = format!("/{}", report.exit_code);
        self.peer.ping(&suffix, body.as_bytes()).or_else(|_| {
            std::thread::sleep(PAUSE);
            self.peer.ping(&suffix, body.as_bytes())
        })
    }
}

impl Peer {
    fn ping(&self, suffix: &str, body: &[u8]) -> anyhow::Result<()> {
        let (base, query) = match self.url.split_once('?') {
            Some((base, query)) => (base, format!("{query}&")),
            None => (self.url.as_str(), String::new()),
        };
        let base = base.trim_end_matches('/');
        let url = format!("{base}{suffix}?{query}rid={}", self.run_id);
        let answer = http::send(&Request {
            url: &url,
            name: "the ping",
            body: Some(("text/plain; charset=utf-8", body)),
            bearer: None,
            ca_file: None,
            limit: self.timeout,
            wanted: 0,
            proxied: true,
        })?;
        anyhow::ensure!(
            (200..300).contains(&answer.status),
            "the ping was answered with {}",
            answer.status
        );
        Ok(())
    }
}

fn summary(report: &Report) -> String {
    let mut text = format!(
        "{} {} {}: {}\n",
        report.host,
        report.task,
        report.status.word(),
        report.summary
    );
    for finding in &report.findings {
        text.push_str(&format!(
            "{} {} {}: {}\n",
            finding.severity.word(),
            finding.id,
            finding.subject,
            finding.message
        ));
    }
    text
}
