//! Looks at every certificate, in files and as it is served: its life, its chain, its names, its key, and whether what is served is
//! what lies in the file. `--renew` has what is due renewed and proves that it is served. Writes no certificate and no key itself.

mod renew;

use std::time::Duration;

use clap::Args;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

use self::renew::{Renewal, Renewer};
use crate::baseline::Shared;
use crate::config::Config;
use crate::config::sections::{App, Certs};
use crate::context::Context;
use crate::error::missing;
use crate::report::{Cell, Document, Reporter, Table};
use crate::task;
use crate::units::{self, Length};
use crate::x509::{self, Certificate, Place, Seen, Watched};

const PATIENCE: Duration = Duration::from_secs(10);

/// Check certificates in files and as they are served: expiry, chain, names, keys; on request renew them and prove it
#[derive(Args)]
pub struct Arguments {
    /// Have what is due renewed by [certs] renew_command (default: certbot), reload the server, and prove what it serves
    #[arg(long)]
    renew: bool,
    /// Run the renewal although nothing is due
    #[arg(long, requires = "renew")]
    force: bool,
}

/// What `certs` returns as `data`.
#[derive(Serialize, JsonSchema)]
pub struct Detail {
    /// One entry a file or endpoint that could be read.
    chains: Vec<Chain>,
    /// What became of the renewal; null without `--renew`.
    renewal: Option<Renewal>,
}

/// One chain.
#[derive(Serialize, JsonSchema)]
struct Chain {
    /// The file or the endpoint.
    subject: String,
    /// True for what a server showed.
    served: bool,
    /// The private key that lies with it.
    key_file: Option<String>,
    /// Whether that key belongs to the first certificate; null where there is none to compare.
    key_matches: Option<bool>,
    /// In the chain's own order.
    certificates: Vec<One>,
}

/// One certificate.
#[derive(Serialize, JsonSchema)]
struct One {
    /// Whom it names.
    subject: String,
    /// Who has signed it.
    issuer: String,
    /// Hexadecimal.
    serial: String,
    /// SHA-256 of the whole, hexadecimal.
    fingerprint: String,
    /// RFC 3339, UTC; null where no calendar has it.
    #[schemars(with = "Option<String>")]
    not_before: Option<Timestamp>,
    /// RFC 3339, UTC; null where no calendar has it.
    #[schemars(with = "Option<String>")]
    not_after: Option<Timestamp>,
    /// Seconds to its end; negative behind it.
    seconds_left: i64,
    /// Hosts and addresses; the first 100.
    names: Vec<String>,
    /// How many there are.
    names_total: usize,
    /// RSA, P-256, Ed25519…
    key: String,
    /// Its size.
    key_bits: usize,
    /// How it was signed.
    signature: String,
    /// True when it may sign others.
    authority: bool,
}

/// Resolved.
pub struct Task {
    watched: Watched,
    baseline: Shared,
    renewer: Option<Renewer>,
}

impl task::Arguments for Arguments {
    const NAME: &'static str = "certs";
    type Task = Task;
    type Detail = Detail;

    fn resolve(self, config: &Config) -> anyhow::Result<Task> {
        let renewer = match self.renew {
            true => Some(Renewer::new(
                &config.get::<Certs>()?,
                &config.get::<App>()?,
                self.force,
            )),
            false => None,
        };
        Ok(Task {
            watched: Watched::from_config(config)?,
            baseline: Shared::from_config(config),
            renewer,
        })
    }
}

impl task::Task for Task {
    fn run(&self, context: &Context, report: &Reporter) -> anyhow::Result<()> {
        let roots = self.watched.authorities();
        let mut seen = self.watched.look(context.stop.left(PATIENCE)?);
        if seen.is_empty() {
            let named = self.watched.files.first();
            let at = named.map_or(String::new(), |path| format!(" at {}", path.display()));
            return Err(missing(format!("there is no certificate{at}"))
                .hint("[certs] files and endpoints say what to look at")
                .into());
        }
        let mut renewal = None;
        if let Some(renewer) = &self.renewer {
            renewal = Some(renewer.renew(context, report, &self.watched, &seen)?);
            seen = self.watched.look(context.stop.left(PATIENCE)?);
        }
        renew::examine(context, report, &seen);
        let now = context.now.as_second();
        let soonest = x509::judge(report, &seen, &roots, now, self.watched.renewed);
        self.baseline.apply(context, report);
        report.document(Document::Table(table(&seen, context.now)));
        let would = context.dry_run && !report.snapshot().actions.is_empty();
        report.summarise(summary(&seen, soonest, renewal.as_ref(), would));
        report.detail(&Detail {
            chains: seen.iter().filter_map(|one| chain(one, now)).collect(),
            renewal,
        })
    }
}

fn summary(seen: &[Seen], soonest: Option<i64>, renewal: Option<&Renewal>, would: bool) -> String {
    let unread = seen.iter().filter(|one| one.chain.is_err()).count();
    let chains = units::count((seen.len() - unread) as u64, "chain");
    let life = match soonest {
        Some(left) if left >= 0 => format!("the first ends in {}", span(left)),
        Some(left) => format!("one ended {} ago", span(left)),
        None => "none can be read".to_owned(),
    };
    let text = match unread {
        0 => format!("{chains}, {life}"),
        _ if unread == seen.len() => life,
        _ => format!("{chains}, {life}; {unread} cannot be read"),
    };
    match renewal {
        Some(_) if would => format!("would do what is listed; {text}"),
        Some(renewal) => format!("{}; {text}", renewal.words()),
        None => text,
    }
}

fn span(seconds: i64) -> Length {
    Length(Duration::from_secs(seconds.unsigned_abs()))
}

fn table(seen: &[Seen], now: Timestamp) -> Table {
    let mut rows = Vec::new();
    for one in seen {
        let Ok(chain) = &one.chain else {
            let unread = Cell::Bad("cannot be read".to_owned());
            rows.push(vec![
                Cell::Text(one.subject.clone()),
                unread,
                Cell::Empty,
                Cell::Empty,
            ]);
            continue;
        };
        for (index, certificate) in chain.iter().enumerate() {
            let whose = match index {
                0 => Cell::Text(one.subject.clone()),
                _ => Cell::Empty,
            };
            let left = certificate.not_after.saturating_sub(now.as_second());
            rows.push(vec![
                whose,
                Cell::Text(named(certificate)),
                Cell::time(Timestamp::from_second(certificate.not_after).ok()),
                match left < 0 {
                    true => Cell::Bad("expired".to_owned()),
                    false => Cell::Age(Duration::from_secs(left.unsigned_abs())),
                },
            ]);
        }
    }
    Table {
        title: String::new(),
        columns: vec!["where", "certificate", "ends", "left"],
        rows,
    }
}

fn named(certificate: &Certificate) -> String {
    match (certificate.is_self_issued(), certificate.authority) {
        (true, true) => format!("{} (root)", certificate.subject),
        (true, false) => format!("{} (self-signed)", certificate.subject),
        (false, _) => format!("{} by {}", certificate.subject, certificate.issuer),
    }
}

fn chain(seen: &Seen, now: i64) -> Option<Chain> {
    let certificates = seen.chain.as_ref().ok()?;
    Some(Chain {
        subject: seen.subject.clone(),
        served: matches!(seen.place, Place::Endpoint(_)),
        key_file: seen
            .key
            .as_ref()
            .map(|(path, _)| path.display().to_string()),
        key_matches: seen.key.as_ref().map(|(_, fits)| *fits),
        certificates: certificates.iter().map(|one| detail(one, now)).collect(),
    })
}

fn detail(certificate: &Certificate, now: i64) -> One {
    const MOST_NAMES: usize = 100;
    let addresses = certificate.addresses.iter().map(ToString::to_string);
    One {
        subject: certificate.subject.clone(),
        issuer: certificate.issuer.clone(),
        serial: certificate.serial.clone(),
        fingerprint: certificate.fingerprint.clone(),
        not_before: Timestamp::from_second(certificate.not_before).ok(),
        not_after: Timestamp::from_second(certificate.not_after).ok(),
        seconds_left: certificate.not_after.saturating_sub(now),
        names: certificate
            .names
            .iter()
            .cloned()
            .chain(addresses)
            .take(MOST_NAMES)
            .collect(),
        names_total: certificate.names.len() + certificate.addresses.len(),
        key: certificate.key.kind.clone(),
        key_bits: certificate.key.bits,
        signature: certificate.signature.clone(),
        authority: certificate.authority,
    }
}
