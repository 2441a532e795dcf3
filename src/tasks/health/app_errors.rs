//! `app-errors`: what the application writes into its own error logs: kinds of errors never seen before, and many at once.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Looked;
use super::scene::{Named, Scene};
use crate::context::Context;
use crate::report::{Finding, Reporter, Severity};
use crate::sys::files;
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
        if files::metadata(&log.path)?.is_some() {
            told.push(one(scene, context, report, log, &subject)?);
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
    log: &Named,
    subject: &str,
) -> anyhow::Result<String> {
    for id in [NEW, RATE, MISSING] {
        report.examined(id, subject);
    }
    let key = format!("error_log:{subject}");
    let last: Option<Known> = context
        .recall(&key)
        .and_then(|value| serde_json::from_value(value).ok());
    let tail = weblog::tail(&log.path, last.as_ref().map(|last| &last.position), MOST)?;
    let first_time = last.is_none();
    let mut known = last.unwrap_or_default();
    known.position = tail.position;
    let now = context.now.as_second();
    let mut fresh: Vec<String> = Vec::new();
    let mut entries = 0u64;
    for piece in &tail.pieces {
        Lines::default().read(piece, &context.stop, &mut |line| {
            let Some(entry) = line.and_then(entry) else {
                return;
            };
            entries += 1;
            // An entry without a time is as old as this look at most; a first look does not know.
            if let Some(at) = entry.at.or((!first_time).then_some(now)) {
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
            .hint(format!("tail -50 '{subject}'")),
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
            .hint(format!("tail -50 '{subject}'")),
        );
    }
    if !context.attended {
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

/// A line that begins an error; `None` for the rest of a stack trace and for what says of itself that it is none.
fn entry(line: &[u8]) -> Option<Entry> {
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
    let calm = ["INFO", "DEBUG", "TRACE", "WARN", "info:", "debug:", "warn:"];
    if calm.iter().any(|word| head.contains(word)) {
        return None;
    }
    let (at, rest) = time_before(&text);
    Some(Entry {
        at,
        message: rest.trim().to_owned(),
    })
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

/// `2026-11-24T03:00:00.123Z`, `2026-11-24 03:00:00`, either in brackets, before the rest. Without a zone it is UTC, as
/// servers' logs should be.
fn time_before(text: &str) -> (Option<i64>, &str) {
    let blanks: Vec<usize> = text.match_indices(' ').map(|(at, _)| at).take(2).collect();
    for end in blanks.iter().rev().copied().chain([text.len()]) {
        let stamp = text[..end]
            .trim_start_matches('[')
            .trim_end_matches([']', ':']);
        let stamp = stamp.replace(',', ".");
        let time = stamp
            .parse::<Timestamp>()
            .or_else(|_| format!("{stamp}Z").parse());
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
    fn entries_are_told_from_what_surrounds_them() {
        for (line, wanted) in [
            (
                "2026-11-24T03:00:00.123Z TypeError: x is not a function",
                Some((Some(1_795_489_200), "TypeError: x is not a function")),
            ),
            (
                "[2026-11-24 03:00:00] boom",
                Some((Some(1_795_489_200), "boom")),
            ),
            ("    at Object.<anonymous> (/app/server.js:10:5)", None),
            ("2026-11-24T03:00:00Z INFO started", None),
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
            let found = entry(line.as_bytes());
            let found = found
                .as_ref()
                .map(|entry| (entry.at, entry.message.as_str()));
            assert_eq!(found, wanted, "{line}");
        }
    }
}
