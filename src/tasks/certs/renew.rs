//! A renewal: run the command, see what became of the files, reload the server, and ask it what it serves. The command's own word
//! counts for nothing: certbot ends 0 when nothing was due and when a hook failed.

use std::time::{Duration, Instant};

use schemars::JsonSchema;
use serde::Serialize;

use crate::config::sections::{App, Certs};
use crate::context::Context;
use crate::error;
use crate::report::{Finding, Reporter, Severity, Step};
use crate::sys::{Stop, process};
use crate::text;
use crate::units::Length;
use crate::x509::{self, Certificate, Endpoint, Place, Seen, Stage, Watched};

const FAILED: &str = "cert.renewal-failed";
const RELOAD_FAILED: &str = "cert.reload-failed";
const NOT_PROVEN: &str = "cert.not-proven";

/// The subject of findings about the command as such.
const COMMAND: &str = "renew_command";
const RELOAD: &str = "reload_command";
const RELOAD_LIMIT: Duration = Duration::from_secs(90);
const ANSWER_LIMIT: Duration = Duration::from_secs(5);
const POLL: Duration = Duration::from_millis(250);
const CERTBOT: [&str; 3] = ["certbot", "renew", "--non-interactive"];

/// How a renewal is done here.
pub(super) struct Renewer {
    command: Vec<String>,
    command_limit: Duration,
    reload: Vec<String>,
    proof_limit: Duration,
    force: bool,
}

/// What became of it.
#[derive(Serialize, JsonSchema)]
pub(super) struct Renewal {
    /// The files and endpoints whose time it was.
    due: Vec<String>,
    /// True when the command was run and ended well.
    command_ended_well: Option<bool>,
    /// The files that hold another certificate than before.
    renewed: Vec<String>,
    /// True when the server was made to read its certificate.
    reloaded: bool,
    /// The endpoints that were seen to serve what their file holds.
    proven: Vec<String>,
    /// The renewed files that no endpoint is there to show.
    unproven: Vec<String>,
    /// True when something of it went wrong.
    failed: bool,
    /// Endpoints, each with a file whose certificate it served before.
    #[serde(skip)]
    bound: Vec<(String, String)>,
}

impl Renewal {
    /// In a few words.
    pub fn words(&self) -> &'static str {
        match (self.renewed.is_empty(), self.command_ended_well) {
            _ if self.failed => "the renewal FAILED",
            (false, _) if self.unproven.is_empty() => "renewed, and the new one is served",
            (false, _) => "renewed, not proven",
            (true, _) if self.reloaded => "the server now serves what lies in the file",
            (true, Some(_)) => "nothing was renewed",
            (true, None) => "no renewal is due",
        }
    }
}

impl Renewal {
    /// True when the endpoint served what the file held before.
    fn binds(&self, endpoint: &Seen, file: &Seen) -> bool {
        self.bound
            .iter()
            .any(|(one, other)| *one == endpoint.subject && *other == file.subject)
    }

    fn is_bound(&self, endpoint: &Seen) -> bool {
        self.bound.iter().any(|(one, _)| *one == endpoint.subject)
    }
}

/// Which endpoint serves what which file holds.
fn bound(seen: &[Seen]) -> Vec<(String, String)> {
    let is_file = |one: &&Seen| matches!(one.place, Place::File(_));
    let (files, endpoints): (Vec<_>, Vec<_>) = seen.iter().partition(is_file);
    let mut found = Vec::new();
    for endpoint in endpoints {
        for file in &files {
            if let (Some(served), Some(held)) = (endpoint.leaf(), file.leaf())
                && served.fingerprint == held.fingerprint
            {
                found.push((endpoint.subject.clone(), file.subject.clone()));
            }
        }
    }
    found
}

/// A certificate whose time it is, as it was before.
struct Due<'a> {
    seen: &'a Seen,
    old: &'a Certificate,
}

impl Renewer {
    pub fn new(certs: &Certs, app: &App, force: bool) -> Self {
        let certbot = || CERTBOT.map(str::to_owned).to_vec();
        Self {
            command: certs.renew_command.clone().unwrap_or_else(certbot),
            command_limit: certs.renew_timeout.0,
            reload: certs
                .reload_command
                .clone()
                .unwrap_or_else(|| app.reload_command()),
            proof_limit: certs.proof_timeout.0,
            force,
        }
    }

    /// Renews what is due, and makes the server read what it should have read before.
    pub fn renew(
        &self,
        context: &Context,
        report: &Reporter,
        watched: &Watched,
        before: &[Seen],
    ) -> anyhow::Result<Renewal> {
        let due = due(before, context.now.as_second());
        let mut renewal = Renewal {
            due: due.iter().map(|due| due.seen.subject.clone()).collect(),
            command_ended_well: None,
            renewed: Vec::new(),
            reloaded: false,
            proven: Vec::new(),
            unproven: Vec::new(),
            failed: false,
            bound: bound(before),
        };
        let stale = before.iter().any(|one| is_stale(one, before));
        let wanted = !due.is_empty() || self.force;
        if wanted {
            let ended = self.run_command(context, report, &due)?;
            renewal.command_ended_well = ended.as_ref().map(Result::is_ok);
            if context.dry_run {
                self.reload(context, report, &mut renewal)?;
                return Ok(renewal);
            }
            let after = watched.look(context.stop.left(ANSWER_LIMIT)?);
            renewal.renewed = changed(before, &after);
            self.judge_files(report, &due, &after, ended, &mut renewal);
        }
        if stale || !renewal.renewed.is_empty() {
            self.reload(context, report, &mut renewal)?;
        }
        if !context.dry_run && (wanted || stale) {
            self.prove(context, report, watched, &due, &mut renewal)?;
        }
        Ok(renewal)
    }

    /// `Some` once it was run: how it ended.
    fn run_command(
        &self,
        context: &Context,
        report: &Reporter,
        due: &[Due<'_>],
    ) -> anyhow::Result<Option<Result<(), String>>> {
        let subjects: Vec<_> = due.iter().map(|due| due.seen.subject.as_str()).collect();
        let step = Step {
            kind: "renew",
            target: self.command.join(" "),
            reason: match subjects.is_empty() {
                true => "asked for".to_owned(),
                false => format!("due: {}", subjects.join(", ")),
            },
        };
        let done = report.act(step, |_| {
            run(&self.command, self.command_limit, &context.stop)
        });
        Ok(match done {
            Ok(None) => None,
            Ok(Some(())) => Some(Ok(())),
            Err(error) if error::ends_the_run(&error) => return Err(error),
            Err(error) => Some(Err(short(&error))),
        })
    }

    /// What is due must have changed, and for the better.
    fn judge_files(
        &self,
        report: &Reporter,
        due: &[Due<'_>],
        after: &[Seen],
        ended: Option<Result<(), String>>,
        renewal: &mut Renewal,
    ) {
        let words = match &ended {
            Some(Err(why)) => why.clone(),
            _ => format!("{} ended well", self.command[..1].join(" ")),
        };
        let mut told = false;
        for Due { seen, old } in due {
            // What an endpoint without a file serves is asked later.
            if matches!(seen.place, Place::Endpoint(_)) {
                continue;
            }
            let new = after
                .iter()
                .find(|one| one.subject == seen.subject)
                .and_then(Seen::leaf);
            let why = match new {
                None => "the renewal is due, and the file cannot be read any more",
                Some(new) if new.fingerprint == old.fingerprint => {
                    "the renewal is due and has not changed the file"
                }
                Some(new) if new.not_after <= old.not_after => {
                    "the new certificate ends no later than the old one"
                }
                Some(_) => continue,
            };
            told = true;
            report.find(
                Finding::new(
                    FAILED,
                    Severity::Critical,
                    &*seen.subject,
                    format!("{why}: {words}"),
                )
                .hint(format!("run it by hand: {}", self.line())),
            );
        }
        if let (false, Some(Err(why))) = (told, &ended) {
            report.find(
                Finding::new(FAILED, Severity::Critical, COMMAND, why.clone())
                    .hint(format!("run it by hand: {}", self.line())),
            );
            told = true;
        }
        renewal.failed |= told;
    }

    fn line(&self) -> String {
        let words: Vec<_> = self
            .command
            .iter()
            .map(|word| process::shell_word(word))
            .collect();
        words.join(" ")
    }

    fn reload(
        &self,
        context: &Context,
        report: &Reporter,
        renewal: &mut Renewal,
    ) -> anyhow::Result<()> {
        let step = Step {
            kind: "reload",
            target: self.reload.join(" "),
            reason: "so that the server reads the certificate".to_owned(),
        };
        report.examined(RELOAD_FAILED, RELOAD);
        match report.act(step, |_| run(&self.reload, RELOAD_LIMIT, &context.stop)) {
            Ok(done) => {
                renewal.reloaded = done.is_some();
                Ok(())
            }
            Err(error) if error::ends_the_run(&error) => Err(error),
            Err(error) => {
                renewal.failed = true;
                report.find(
                    Finding::new(RELOAD_FAILED, Severity::High, RELOAD, short(&error))
                        .hint("[certs] reload_command says how the server is made to read its certificate"),
                );
                Ok(())
            }
        }
    }

    /// Asks the endpoints until each serves what its file holds, or until the time is up.
    fn prove(
        &self,
        context: &Context,
        report: &Reporter,
        watched: &Watched,
        due: &[Due<'_>],
        renewal: &mut Renewal,
    ) -> anyhow::Result<()> {
        let started = Instant::now();
        loop {
            let seen = watched.look(context.stop.left(ANSWER_LIMIT)?);
            let open: Vec<_> = seen
                .iter()
                .filter(|one| !is_served_right(one, &seen, due, renewal))
                .collect();
            if open.is_empty() || started.elapsed() >= self.proof_limit {
                for one in &open {
                    renewal.failed = true;
                    let message = match &one.chain {
                        Ok(_) => "still serves the old certificate".to_owned(),
                        Err(error) => format!("does not show what it serves: {}", short(error)),
                    };
                    let message =
                        format!("{message} ({} after the reload)", Length(self.proof_limit));
                    report.find(
                        Finding::new(FAILED, Severity::Critical, &*one.subject, message)
                            .hint("restart the server by hand; [certs] reload_command is to do it"),
                    );
                }
                not_proven(report, &seen, due, renewal);
                return Ok(());
            }
            std::thread::sleep(context.stop.left(POLL)?);
        }
    }
}

/// Notes which endpoints serve what they should, and says which new certificates none has to show.
fn not_proven(report: &Reporter, seen: &[Seen], due: &[Due<'_>], renewal: &mut Renewal) {
    for one in seen {
        let (Place::Endpoint(endpoint), Some(served)) = (&one.place, one.leaf()) else {
            continue;
        };
        let was_due = due.iter().any(|due| due.seen.subject == one.subject);
        let has_file = has_file(endpoint, served, seen) || renewal.is_bound(one);
        if (was_due || has_file) && is_served_right(one, seen, due, renewal) {
            renewal.proven.push(one.subject.clone());
        }
    }
    for file in seen {
        let Some(leaf) = file
            .leaf()
            .filter(|_| renewal.renewed.contains(&file.subject))
        else {
            continue;
        };
        report.examined(NOT_PROVEN, &*file.subject);
        let is_meant = |one: &Seen| meant_for(one, leaf) || renewal.binds(one, file);
        if !seen.iter().any(is_meant) {
            renewal.unproven.push(file.subject.clone());
            report.find(
                Finding::new(
                    NOT_PROVEN,
                    Severity::Medium,
                    &*file.subject,
                    "renewed, not proven: no endpoint of [certs] is there to show it",
                )
                .hint("name the server in [certs] endpoints, as in \"www.example.org:443\""),
            );
        }
    }
}

/// Says for what is not due, or served as it should be, that no renewal of it has failed; and for what is seen to be served, that
/// this is proven.
pub(super) fn examine(context: &Context, report: &Reporter, seen: &[Seen]) {
    let due = due(seen, context.now.as_second());
    if due.is_empty() {
        report.examined(FAILED, COMMAND);
    }
    let bound = bound(seen);
    for (_, file) in &bound {
        report.examined(NOT_PROVEN, &**file);
    }
    if !bound.is_empty() && !seen.iter().any(|one| is_stale(one, seen)) {
        report.examined(RELOAD_FAILED, RELOAD);
    }
    for one in seen {
        let is_due = due.iter().any(|due| due.seen.subject == one.subject);
        if one.leaf().is_some() && !is_due && !is_stale(one, seen) {
            report.examined(FAILED, &*one.subject);
        }
    }
}

/// The chains that a renewal should have replaced by now: from the point on where they are a finding without a renew_command.
/// A list of authorities is nobody's to renew, and an endpoint that serves a file is renewed with that.
fn due(seen: &[Seen], now: i64) -> Vec<Due<'_>> {
    let is_due = |one: &Certificate| {
        matches!(
            x509::stage(one, now, false),
            Stage::Expiring { .. } | Stage::Expired(_)
        )
    };
    seen.iter()
        .filter_map(|one| {
            let chain = one.chain.as_ref().ok()?;
            let old = chain.first()?;
            let ours = match &one.place {
                Place::File(_) => one.key.is_some() || chain.iter().any(|one| !one.authority),
                Place::Endpoint(endpoint) => !has_file(endpoint, old, seen),
            };
            (ours && chain.iter().any(is_due)).then_some(Due { seen: one, old })
        })
        .collect()
}

fn has_file(endpoint: &Endpoint, served: &Certificate, seen: &[Seen]) -> bool {
    seen.iter().any(|file| {
        matches!(file.place, Place::File(_))
            && file
                .leaf()
                .is_some_and(|leaf| x509::is_meant(endpoint, served, leaf))
    })
}

/// An endpoint that does not serve the file that is meant for it.
fn is_stale(one: &Seen, seen: &[Seen]) -> bool {
    match (&one.place, one.leaf()) {
        (Place::Endpoint(endpoint), Some(served)) => {
            x509::file_not_served(endpoint, served, seen).is_some()
        }
        _ => false,
    }
}

fn meant_for(one: &Seen, leaf: &Certificate) -> bool {
    match (&one.place, one.leaf()) {
        (Place::Endpoint(endpoint), Some(served)) => x509::is_meant(endpoint, served, leaf),
        // One that does not answer is meant where its name says so.
        (Place::Endpoint(endpoint), None) => endpoint.name().is_some_and(|name| leaf.is_for(name)),
        _ => false,
    }
}

/// True for whatever need not be waited for.
fn is_served_right(one: &Seen, seen: &[Seen], due: &[Due<'_>], renewal: &Renewal) -> bool {
    if !matches!(one.place, Place::Endpoint(_)) {
        return true;
    }
    // What served a renewed file before must serve what it holds now, whatever names stand in that.
    let renewed = |file: &&Seen| renewal.renewed.contains(&file.subject);
    let mut held = seen
        .iter()
        .filter(|file| renewal.binds(one, file))
        .filter(renewed)
        .peekable();
    if held.peek().is_some() {
        return one.leaf().is_some_and(|served| {
            held.filter_map(Seen::leaf)
                .any(|leaf| leaf.fingerprint == served.fingerprint)
        });
    }
    let was_due = due.iter().find(|due| due.seen.subject == one.subject);
    match (one.leaf(), was_due) {
        // It has no file: it must show another certificate than before.
        (Some(served), Some(due)) => {
            served.fingerprint != due.old.fingerprint && served.not_after > due.old.not_after
        }
        (None, Some(_)) => false,
        (Some(_), None) => !is_stale(one, seen),
        (None, None) => !seen.iter().any(|file| {
            renewal.renewed.contains(&file.subject)
                && file.leaf().is_some_and(|leaf| meant_for(one, leaf))
        }),
    }
}

/// The files whose first certificate is another one than before.
fn changed(before: &[Seen], after: &[Seen]) -> Vec<String> {
    let print = |seen: &Seen| seen.leaf().map(|leaf| leaf.fingerprint.clone());
    after
        .iter()
        .filter(|new| matches!(new.place, Place::File(_)) && new.leaf().is_some())
        .filter(|new| {
            let old = before.iter().find(|old| old.subject == new.subject);
            old.and_then(print) != print(new)
        })
        .map(|new| new.subject.clone())
        .collect()
}

fn run(list: &[String], limit: Duration, stop: &Stop) -> anyhow::Result<()> {
    let output = process::run(process::from_list(list)?, limit, stop)?;
    let words = [output.stderr.as_slice(), &output.stdout]
        .iter()
        .map(|stream| String::from_utf8_lossy(stream).trim().to_owned())
        .find(|words| !words.is_empty())
        .unwrap_or_default();
    anyhow::ensure!(
        output.status.success(),
        "{} ended with {}: {words}",
        list.join(" "),
        output.status
    );
    Ok(())
}

fn short(error: &anyhow::Error) -> String {
    text::shorten(&text::clean(&format!("{error:#}")), 500)
}
