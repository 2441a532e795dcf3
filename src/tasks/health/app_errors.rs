//! `app-errors`: what the application writes into its own error logs: kinds of errors never seen before, and many at once.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::scene::{Looked, Scene};
use crate::context::Context;
use crate::report::{Finding, Reporter, Severity};
use crate::sys::files;
use crate::sys::process::shell_word;
use crate::units;
use crate::weblog::{self, Lines, Position, clock};

const NEW: &str = "app-errors.new";
const RATE: &str = "app-errors.rate";
const MISSING: &str = "log.missing";
/// Of a log that grew by more than this the newest part is read.
const MOST: u64 = 256 << 20;
/// Kinds that are remembered of one log; a log with more has no kinds.
const KINDS: usize = 2000;
const HOUR: i64 = 60;

/// What is known of one log.
#[derive(Default, Serialize, Deserialize)]
struct Known {
    position: Position,
    /// Fingerprints.
    kinds: BTreeSet<String>,
    /// Entries of each minute of the last hour, minutes since 1970.
    minutes: BTreeMap<i64, u64>,
}

/// Reads what is new in each log.
pub fn look(scene: &Scene, context: &Context, report: &Reporter) -> anyhow::Result<Looked> {
    let mut told = Vec::new();
    for log in &scene.error_logs {
        let subject = log.path.display().to_string();
        // Nobody else's link is followed, not even to say that nothing is there.
        let path = files::through_own_links(&log.path, &scene.root)?;
        if files::metadata(&path)?.is_some() {
            told.push(one(scene, context, report, &path, &subject)?);
        } else if log.named {
            report.examined(MISSING, &*subject);
            report.find(
                Finding::new(
                    MISSING,
                    Severity::Medium,
                    &*subject,
                    format!("there is no error log {subject}"),
                )
                .hint("[logs] error_logs"),
            );
            told.push(format!("no {subject}"));
        }
    }
    Ok(match told.is_empty() {
        true => Looked::Nothing("there is no error log of the application".into()),
        false => Looked::At(told.join("; ")),
    })
}

fn one(
    scene: &Scene,
    context: &Context,
    report: &Reporter,
    path: &Path,
    subject: &str,
) -> anyhow::Result<String> {
    for id in [NEW, RATE, MISSING] {
        report.examined(id, subject);
    }
    let key = format!("error_log:{subject}");
    let last: Option<Known> = context
        .recall(&key)
        .and_then(|value| serde_json::from_value(value).ok());
    let tail = weblog::tail(path, last.as_ref().map(|last| &last.position), MOST)?;
    let first_time = last.is_none();
    let mut known = last.unwrap_or_default();
    known.position = tail.position;
    let now = context.now.as_second();
    let mut fresh: Vec<String> = Vec::new();
    let mut entries = 0u64;
    for piece in &tail.pieces {
        Lines::default().read(piece, &context.stop, &mut |line| {
            let Some(entry) = line.and_then(|line| entry(line, &context.zone)) else {
                return;
            };
            entries += 1;
            // An entry without a time is as old as this look at most; a first look does not know.
            if let Some(at) = entry.at.or((!first_time).then_some(now)) {
                let at = not_ahead(at, now);
                *known.minutes.entry(at.div_euclid(60)).or_default() += 1;
            }
            let kind = fingerprint(&entry.message);
            if known.kinds.len() < KINDS && known.kinds.insert(kind) {
                fresh.push(entry.message);
            }
        })?;
    }
    let this = now.div_euclid(60);
    known
        .minutes
        .retain(|minute, _| (this - HOUR..=this + 1).contains(minute));
    let peak = known.minutes.values().copied().max().unwrap_or(0);
    let label = [("log", subject)];
    report.measure("app_errors_per_minute", peak as f64, "", label);
    report.measure("app_errors_new_kinds", fresh.len() as f64, "", label);
    // The first look only learns what is usual.
    if !first_time && let Some(example) = fresh.first() {
        let short: String = example.chars().take(200).collect();
        report.find(
            Finding::new(
                NEW,
                Severity::Low,
                subject,
                format!(
                    "{} that {subject} never had: {short}",
                    units::count(fresh.len() as u64, "kind of error")
                ),
            )
            .hint(format!("tail -50 {}", shell_word(subject))),
        );
    }
    if let Some((severity, limit)) = scene.limits.app_errors_per_minute.judge(peak as f64) {
        report.find(
            Finding::new(
                RATE,
                severity,
                subject,
                format!("{peak} errors in one minute of the last hour (limit {limit:.0})"),
            )
            .measured(peak as f64, "", limit)
            .hint(format!("tail -50 {}", shell_word(subject))),
        );
    }
    if context.learns() {
        report.remember(key, serde_json::to_value(&known)?);
    }
    Ok(format!(
        "{} in {subject}, {} of a new kind",
        units::count(entries, "new entry"),
        if first_time { 0 } else { fresh.len() }
    ))
}

struct Entry {
    at: Option<i64>,
    message: String,
}

/// A log whose clock or time zone is ahead is taken back by whole hours, so that minutes stay what they are.
fn not_ahead(at: i64, now: i64) -> i64 {
    const HOUR: i64 = 3600;
    match at - now {
        ..=60 => at,
        ahead => at - (ahead + HOUR - 1) / HOUR * HOUR,
    }
}

/// A line that begins an error; `None` for the rest of a stack trace and for what says of itself that it is none.
fn entry(line: &[u8], zone: &TimeZone) -> Option<Entry> {
    let text = String::from_utf8_lossy(line.get(..4096).unwrap_or(line));
    if text.starts_with([' ', '\t', '}', ')']) || text.trim().is_empty() {
        return None;
    }
    if text.starts_with('{')
        && let Ok(value) = serde_json::from_slice::<Value>(line)
    {
        return json_entry(&value);
    }
    let head: String = text.chars().take(60).collect();
    if level(&head) == Some(Level::Calm) {
        return None;
    }
    let (at, rest) = time_before(&text, zone);
    Some(Entry {
        at,
        message: rest.trim().to_owned(),
    })
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Level {
    Calm,
    Error,
}

/// The first whole word that names a level: `USER_INFO` names none, and what an error is about comes behind its level.
fn level(head: &str) -> Option<Level> {
    let of_word = |c: char| c.is_alphanumeric() || c == '_';
    let mut behind = head;
    while let Some(start) = behind.find(of_word) {
        let word = &behind[start..];
        let end = word.find(|c| !of_word(c)).unwrap_or(word.len());
        behind = &word[end..];
        match (&word[..end], behind.starts_with(':')) {
            ("INFO" | "DEBUG" | "TRACE" | "WARN" | "WARNING", _)
            | ("info" | "debug" | "trace" | "warn", true) => return Some(Level::Calm),
            ("ERROR" | "FATAL" | "CRITICAL", _) | ("error" | "fatal", true) => {
                return Some(Level::Error);
            }
            _ => {}
        }
    }
    None
}

/// pino counts levels in tens, winston names them.
fn json_entry(value: &Value) -> Option<Entry> {
    let error = match &value["level"] {
        Value::Number(level) => level.as_f64()? >= 50.0,
        Value::String(level) => !matches!(&**level, "info" | "debug" | "trace" | "warn" | "silly"),
        _ => true,
    };
    error.then_some(())?;
    let at = ["time", "timestamp", "@timestamp"]
        .iter()
        .find_map(|key| match &value[*key] {
            Value::Number(number) => clock::since_1970(number.as_f64()?),
            Value::String(text) => clock::any(text),
            _ => None,
        });
    let message = [&value["err"]["message"], &value["msg"], &value["message"]]
        .into_iter()
        .find_map(Value::as_str)
        .unwrap_or("an error without a message");
    Some(Entry {
        at,
        message: message.lines().next().unwrap_or_default().to_owned(),
    })
}

/// `2026-11-24T03:00:00.123Z`, `2026-11-24 03:00:00`, either in brackets, before the rest. Without a zone it is the server's.
fn time_before<'a>(text: &'a str, zone: &TimeZone) -> (Option<i64>, &'a str) {
    let blanks: Vec<usize> = text.match_indices(' ').map(|(at, _)| at).take(2).collect();
    for end in blanks.iter().rev().copied().chain([text.len()]) {
        let stamp = text[..end]
            .trim_start_matches('[')
            .trim_end_matches([']', ':']);
        let stamp = stamp.replace(',', ".");
        let here = || stamp.parse::<DateTime>()?.to_zoned(zone.clone());
        let time = stamp
            .parse::<Timestamp>()
            .or_else(|_| here().map(|time| time.timestamp()));
        if let Ok(time) = time {
            return (Some(time.as_second()), &text[end..]);
        }
    }
    (None, text)
}

/// What stays the same when the same error happens to another user at another time: numbers, hexadecimal words and quoted texts
/// are left out.
fn fingerprint(message: &str) -> String {
    let mut kept = String::new();
    let mut quote = None;
    for word in message.split_inclusive(|c: char| !c.is_alphanumeric()) {
        let (word, mark) = match word.char_indices().next_back() {
            Some((at, c)) if !c.is_alphanumeric() => (&word[..at], Some(c)),
            _ => (word, None),
        };
        if quote.is_none() {
            let number = word.chars().any(|c| c.is_ascii_digit());
            kept.push_str(if number { "#" } else { word });
        }
        if let Some(mark) = mark {
            match quote {
                Some(open) if open == mark => quote = None,
                Some(_) => continue,
                None if matches!(mark, '"' | '`') => quote = Some(mark),
                None => {}
            }
            kept.push(mark);
        }
    }
    blake3::hash(kept.as_bytes()).to_hex()[..16].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_error_of_another_user_is_the_same() {
        let one = fingerprint("Error: user 17 not found in \"deals\" (id 7f3a9c)");
        assert_eq!(
            one,
            fingerprint("Error: user 9 not found in \"trades\" (id 1b2c3d)")
        );
        assert_ne!(
            one,
            fingerprint("Error: user 17 not allowed in \"deals\" (id 7f3a9c)")
        );
    }

    #[test]
    fn what_is_ahead_keeps_its_minute() {
        assert_eq!(not_ahead(1000, 990), 1000);
        assert_eq!(not_ahead(1000, 1000), 1000);
        assert_eq!(not_ahead(10_000 + 3600, 10_010), 10_000);
        assert_eq!(not_ahead(10_000 + 7200, 10_000), 10_000);
        assert_eq!(not_ahead(10_000 + 7201, 10_000), 10_001 - 3600);
    }

    #[test]
    fn entries_are_told_from_what_surrounds_them() {
        let zone = TimeZone::get("Europe/Berlin").expect("a zone");
        for (line, wanted) in [
            (
                "2026-11-24T03:00:00.123Z TypeError: x is not a function",
                Some((Some(1_795_489_200), "TypeError: x is not a function")),
            ),
            (
                "[2026-11-24 04:00:00] boom",
                Some((Some(1_795_489_200), "boom")),
            ),
            ("    at Object.<anonymous> (/app/server.js:10:5)", None),
            ("2026-11-24T03:00:00Z INFO started", None),
            ("info: started", None),
            ("WARNING: nothing ERROR here", None),
            ("ERROR: no INFO there", Some((None, "ERROR: no INFO there"))),
            (
                "Error: no USER_INFO, DEBUGGER or info",
                Some((None, "Error: no USER_INFO, DEBUGGER or info")),
            ),
            ("Error: boom", Some((None, "Error: boom"))),
            (
                r#"{"level":50,"time":1795489200000,"err":{"message":"boom\nmore"},"msg":"x"}"#,
                Some((Some(1_795_489_200), "boom")),
            ),
            (r#"{"level":30,"time":1795489200000,"msg":"fine"}"#, None),
            (
                r#"{"level":"error","timestamp":"2026-11-24T03:00:00Z","message":"boom"}"#,
                Some((Some(1_795_489_200), "boom")),
            ),
            ("", None),
        ] {
            let found = entry(line.as_bytes(), &zone);
            let found = found
                .as_ref()
                .map(|entry| (entry.at, entry.message.as_str()));
            assert_eq!(found, wanted, "{line}");
        }
    }
}
