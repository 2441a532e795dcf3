//! Findings that somebody has accepted: who, why, and until when. They stay in the report as info, so that the weekly mail holds
//! only news; after their day they count again. It is one file for all tasks that make such a finding: what `audit` may be quiet
//! about, `deps`, `certs` and `health` do not bring up again.

use std::cell::Cell;
use std::path::{Path, PathBuf};

use jiff::civil::Date;
use serde::Deserialize;

use crate::config::Config;
use crate::config::sections::Audit;
use crate::context::Context;
use crate::error::config;
use crate::report::{Finding, Reporter, Severity};
use crate::sys::files;
use crate::text::fits;

const UNREADABLE: &str = "baseline.unreadable";
const EXPIRED: &str = "baseline.expired";
const UNUSED: &str = "baseline.unused";
const LARGEST: u64 = 4 << 20;

/// The file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    accept: Vec<Accepted>,
}

/// One entry.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Accepted {
    /// The finding's id.
    id: String,
    /// Its subject, in which a star stands for any text.
    subject: String,
    /// Who says so.
    who: String,
    /// And why.
    why: String,
    /// To the end of that day.
    until: String,
    #[serde(skip)]
    used: Cell<bool>,
}

/// What was accepted.
pub struct Baseline {
    path: String,
    entries: Vec<(Accepted, Date)>,
}

/// `[audit] baseline`, for tasks that `audit` shares findings with.
pub struct Shared(Option<PathBuf>);

impl Shared {
    /// Where it is. That section is another task's own: one that is broken costs the acceptance and nothing else.
    pub fn from_config(config: &Config) -> Self {
        let audit = config.peek::<Audit>().unwrap_or_default();
        Self(audit.baseline.and_then(|path| config.path(&path).ok()))
    }

    /// Accepts what was found so far.
    pub fn apply(&self, context: &Context, report: &Reporter) {
        if let Some(baseline) = self.read(report) {
            report.revise(|finding| {
                baseline.accept(finding, context);
            });
        }
    }

    /// What was accepted. A file that cannot be read accepts nothing, and is a finding: what was looked at is worth more.
    pub fn read(&self, report: &Reporter) -> Option<Baseline> {
        let path = self.0.as_ref()?;
        let subject = path.display().to_string();
        report.examined(UNREADABLE, &*subject);
        let told = |error: anyhow::Error| {
            report.find(
                Finding::new(UNREADABLE, Severity::Medium, subject, format!("{error:#}"))
                    .hint("mend it: until then nothing counts as accepted"),
            );
        };
        read(path).map_err(told).ok()
    }
}

/// Reads the file; a mistake in it is no reason to leave findings out.
pub fn read(path: &Path) -> anyhow::Result<Baseline> {
    let shown = path.display().to_string();
    let wrong = |what: String| config(format!("[audit] baseline: {shown}: {what}"));
    let real = std::fs::canonicalize(path).map_err(|error| wrong(error.to_string()))?;
    let content = files::read_small(&real, LARGEST)?;
    let text = String::from_utf8(content).map_err(|_| wrong("it is no text".into()))?;
    let file: File = toml::from_str(&text).map_err(|error| {
        let line = error.span().map_or(0, |span| {
            text[..span.start.min(text.len())].lines().count().max(1)
        });
        wrong(format!("line {line}: {}", error.message()))
    })?;
    let entries = file
        .accept
        .into_iter()
        .map(|entry| {
            let until = entry.until.parse::<Date>().map_err(|_| {
                wrong(format!(
                    "until = \"{}\" is no day, as in 2027-06-30",
                    entry.until
                ))
            })?;
            if entry.who.trim().is_empty() || entry.why.trim().is_empty() {
                return Err(wrong(format!("{} needs who and why", entry.subject)));
            }
            Ok((entry, until))
        })
        .collect::<Result<_, _>>()?;
    Ok(Baseline {
        path: shown,
        entries,
    })
}

impl Baseline {
    /// Makes an accepted finding an info; true where it was one.
    pub fn accept(&self, finding: &mut Finding, context: &Context) -> bool {
        let today = context.now.to_zoned(context.zone.clone()).date();
        let mut fitting = self
            .entries
            .iter()
            .filter(|(entry, _)| entry.id == finding.id && fits(&entry.subject, &finding.subject));
        let Some((entry, until)) = fitting.clone().find(|(_, until)| *until >= today) else {
            if let Some((entry, until)) = fitting.next() {
                entry.used.set(true);
                finding.message +=
                    &format!(" (accepted by {} until {until}, which is over)", entry.who);
            }
            return false;
        };
        entry.used.set(true);
        if finding.severity <= Severity::Info {
            return false;
        }
        finding.set_severity(Severity::Info);
        finding.hint = None;
        let accepted = format!("accepted by {} until {until}: {}", entry.who, entry.why);
        finding.message += &format!(" ({accepted})");
        finding.accepted = Some(accepted);
        true
    }

    /// What is over, and what no longer fits anything that these parts have found.
    pub fn judge(&self, report: &Reporter, context: &Context, parts: &[&str]) {
        let today = context.now.to_zoned(context.zone.clone()).date();
        report.examined_all(EXPIRED);
        for (entry, until) in &self.entries {
            let subject = format!("{} {}", entry.id, entry.subject);
            if *until < today && entry.used.get() {
                report.find(
                    Finding::new(
                        EXPIRED,
                        Severity::Low,
                        &*subject,
                        format!("{} accepted it until {until}; it counts again", entry.who),
                    )
                    .hint(format!("mend it, or say a new day in {}", self.path)),
                );
            } else if !entry.used.get() && parts.len() > 1 {
                report.find(
                    Finding::new(
                        UNUSED,
                        Severity::Info,
                        &*subject,
                        "nothing like it was found: it can go",
                    )
                    .hint(format!("remove it from {}", self.path)),
                );
            }
        }
    }
}
