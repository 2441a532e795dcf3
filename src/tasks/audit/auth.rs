//! `auth-log`: failed logins over ssh and failed sudo, from the file or, without one, from the system's journal.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{Timestamp, Unit};
use serde_json::json;

use super::Looked;
use super::scene::Scene;
use crate::context::Context;
use crate::report::{Finding, Reporter, Severity};
use crate::sys::{files, process};
use crate::text::{clean, shorten};
use crate::units;

const FAILURES: &str = "auth.failures";
const BREACH: &str = "auth.breach";
const SUDO: &str = "auth.sudo";
const PERIOD: i64 = 7 * 86_400 + 6 * 3600;
/// The newest part of a larger file is read.
const MOST: u64 = 256 << 20;
const PATIENCE: Duration = Duration::from_secs(60);
/// So many failures before a success make it doubtful.
const DOUBTFUL: u64 = 10;
const MOST_ADDRESSES: usize = 50_000;

/// What one address did.
#[derive(Default)]
struct Address {
    failures: u64,
    peak: u64,
    minute: (i64, u64),
    /// Accepted after so many failures, and as whom.
    accepted: Option<(u64, String)>,
}

#[derive(Default)]
struct Seen {
    addresses: BTreeMap<String, Address>,
    left_out: u64,
    failures: u64,
    sudo_failures: BTreeMap<String, u64>,
    not_allowed: BTreeMap<String, u64>,
    lines: u64,
}

/// One line that matters.
#[derive(Debug, PartialEq, Eq)]
enum Event<'a> {
    Failed(&'a str),
    Accepted(&'a str, &'a str),
    SudoFailed(&'a str),
    NotAllowed(&'a str),
}

/// Reads, counts, judges.
pub fn look(scene: &Scene, context: &Context, report: &Reporter) -> anyhow::Result<Looked> {
    let (path, named) = &scene.auth_log;
    let (subject, text) = match files::metadata(path)?.is_some() {
        true => (path.display().to_string(), tail(path)?),
        false if *named => anyhow::bail!("there is no {}", path.display()),
        false => match journal(context)? {
            Some(text) => ("journal".to_owned(), text),
            None => {
                return Ok(Looked::Nothing(format!(
                    "there is no {} and no journal",
                    path.display()
                )));
            }
        },
    };
    let seen = read(&text, context);
    for id in [FAILURES, BREACH, SUDO] {
        report.examined_all(id);
    }
    report.measure("auth_failures", seen.failures as f64, "", []);
    judge(scene, &seen, &subject, report);
    let note = format!(
        "{} in {subject}, from {} sources",
        units::count(seen.failures, "failed login"),
        seen.addresses
            .values()
            .filter(|address| address.failures > 0)
            .count()
    );
    let mut top: Vec<_> = seen
        .addresses
        .iter()
        .filter(|(_, address)| address.failures > 0)
        .collect();
    top.sort_by_key(|(_, address)| std::cmp::Reverse(address.failures));
    let top: Vec<_> = top
        .into_iter()
        .take(20)
        .map(|(name, address)| json!({"address": name, "failures": address.failures, "in_worst_minute": address.peak}))
        .collect();
    Ok(Looked::At(
        note,
        json!({"failures": seen.failures, "lines": seen.lines, "addresses": top, "sudo_failures": seen.sudo_failures,
               "sudo_not_allowed": seen.not_allowed, "failures_of_further_addresses": seen.left_out}),
    ))
}

fn tail(path: &Path) -> anyhow::Result<String> {
    use std::io::{Read as _, Seek as _, SeekFrom};
    let mut file = files::open_regular(path)?;
    let size = file.metadata()?.len();
    file.seek(SeekFrom::Start(size.saturating_sub(MOST)))?;
    let mut content = Vec::new();
    file.take(MOST).read_to_end(&mut content)?;
    Ok(String::from_utf8_lossy(&content).into_owned())
}

/// What systemd has kept; `None` where it is not the one that keeps it.
fn journal(context: &Context) -> anyhow::Result<Option<String>> {
    if files::metadata(Path::new("/run/systemd/journal/socket"))?.is_none() {
        return Ok(None);
    }
    let mut command = process::command(Path::new("journalctl"));
    let since = format!("@{}", context.now.as_second() - PERIOD);
    command.args([
        "--quiet",
        "--no-pager",
        "--output=short-iso",
        "--since",
        &since,
    ]);
    command.args(["_COMM=sshd", "+", "_COMM=sshd-session", "+", "_COMM=sudo"]);
    let output = process::run_keeping(command, context.stop.left(PATIENCE)?, MOST)?;
    anyhow::ensure!(
        output.status.success(),
        "journalctl says: {}",
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(Some(String::from_utf8_lossy(&output.stdout).into_owned()))
}

fn read(text: &str, context: &Context) -> Seen {
    let mut seen = Seen::default();
    let now = context.now;
    for line in text.lines() {
        let Some(event) = event(line) else { continue };
        let Some(at) = time(line, now, &context.zone) else {
            continue;
        };
        if at < now.as_second() - PERIOD || at > now.as_second() + 120 {
            continue;
        }
        seen.lines += 1;
        match event {
            Event::Failed(address) => {
                seen.failures += 1;
                if !seen.addresses.contains_key(address) && seen.addresses.len() >= MOST_ADDRESSES {
                    seen.left_out += 1;
                    continue;
                }
                let one = seen.addresses.entry(shown(address)).or_default();
                one.failures += 1;
                let minute = at / 60;
                if one.minute.0 != minute {
                    one.minute = (minute, 0);
                }
                one.minute.1 += 1;
                one.peak = one.peak.max(one.minute.1);
            }
            Event::Accepted(user, address) => {
                if let Some(one) = seen.addresses.get_mut(address)
                    && one.failures >= DOUBTFUL
                    && one.accepted.is_none()
                {
                    one.accepted = Some((one.failures, shown(user)));
                }
            }
            Event::SudoFailed(user) => *seen.sudo_failures.entry(shown(user)).or_default() += 1,
            Event::NotAllowed(user) => *seen.not_allowed.entry(shown(user)).or_default() += 1,
        }
    }
    seen
}

fn shown(text: &str) -> String {
    shorten(&clean(text), 80)
}

/// `Nov 24 03:00:00 host …` in the system's own zone, without a year; or RFC 3339, as newer systems write.
fn time(line: &str, now: Timestamp, zone: &TimeZone) -> Option<i64> {
    let first = line.split(' ').next()?;
    if first.as_bytes().first()?.is_ascii_digit() {
        if let Ok(time) = first.parse::<Timestamp>() {
            return Some(time.as_second());
        }
        // short-iso of older systems writes the zone as +0000.
        let (date, offset) = first.split_at_checked(first.len().checked_sub(5)?)?;
        let (hours, minutes) = offset.split_at_checked(3)?;
        return format!("{date}{hours}:{minutes}")
            .parse::<Timestamp>()
            .ok()
            .map(Timestamp::as_second);
    }
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let mut words = line.split_ascii_whitespace();
    let month = words.next()?;
    let month = i8::try_from(MONTHS.iter().position(|name| *name == month)? + 1).ok()?;
    let day = words.next()?.parse().ok()?;
    let mut clock = words.next()?.split(':').map(|part| part.parse::<i8>().ok());
    let (hour, minute, second) = (clock.next()??, clock.next()??, clock.next()??);
    let year = now.to_zoned(zone.clone()).year();
    // A line of December that is read in January.
    [year, year - 1].into_iter().find_map(|year| {
        let time = DateTime::new(year, month, day, hour, minute, second, 0).ok()?;
        let at = time.to_zoned(zone.clone()).ok()?.timestamp();
        let ahead = at.since((Unit::Second, now)).ok()?.get_seconds();
        (ahead < 86_400).then_some(at.as_second())
    })
}

/// Only what sshd and sudo say at the beginning of their message counts: a user's name is somebody else's text.
fn event(line: &str) -> Option<Event<'_>> {
    let (tag, message) = line.split_once(": ")?;
    let program = tag.rsplit(' ').next()?;
    if program.starts_with("sshd") {
        // The address stands behind the last "from": a user may be called "x from 1.2.3.4".
        let address = || {
            let (_, behind) = message.rsplit_once(" from ")?;
            behind.split(' ').next().filter(|word| !word.is_empty())
        };
        if message.starts_with("Failed ")
            || message.starts_with("Invalid user ") && !message.contains(" password for ")
        {
            // "Invalid user" comes before the "Failed password" of the same try.
            return match message.starts_with("Failed ") {
                true => Some(Event::Failed(address()?)),
                false => None,
            };
        }
        if let Some(rest) = message.strip_prefix("Accepted ") {
            let user = rest.split(" for ").nth(1)?.split(' ').next()?;
            return Some(Event::Accepted(user, address()?));
        }
        if message.starts_with("error: maximum authentication attempts exceeded") {
            return Some(Event::Failed(address()?));
        }
        return None;
    }
    if program.starts_with("sudo") {
        if message.contains("pam_unix(sudo:auth): authentication failure") {
            let user = message
                .split(" user=")
                .nth(1)
                .unwrap_or("somebody")
                .split(' ')
                .next()?;
            return Some(Event::SudoFailed(user));
        }
        let (user, rest) = message.trim_start().split_once(" : ")?;
        if rest.starts_with("user NOT in sudoers") || rest.starts_with("command not allowed") {
            return Some(Event::NotAllowed(user));
        }
    }
    None
}

fn judge(scene: &Scene, seen: &Seen, subject: &str, report: &Reporter) {
    let limit = scene.audit.auth_failures_per_minute;
    let over: Vec<_> = seen
        .addresses
        .iter()
        .filter(|(_, address)| address.peak >= limit.max(1))
        .collect();
    if let Some((name, worst)) = over.iter().max_by_key(|(_, address)| address.peak) {
        report.find(
            Finding::new(
                FAILURES,
                Severity::Medium,
                subject,
                format!(
                    "{} failed logins from {name} in one minute (limit {limit}); {} sources did so, {} failures in all",
                    worst.peak,
                    over.len(),
                    seen.failures
                ),
            )
            .measured(worst.peak as f64, "", limit as f64)
            .hint("fail2ban, or PasswordAuthentication no in sshd_config"),
        );
    }
    for (name, address) in &seen.addresses {
        if let Some((failures, user)) = &address.accepted {
            report.find(
                Finding::new(
                    BREACH,
                    Severity::High,
                    &**name,
                    format!("{name} failed {failures} times and was then let in as {user}"),
                )
                .hint(format!("is that {user}'s own address? last -i {user}")),
            );
        }
    }
    for (user, times) in &seen.not_allowed {
        report.find(
            Finding::new(
                SUDO,
                Severity::Medium,
                &**user,
                format!(
                    "{user} asked sudo {} for what is not allowed",
                    units::count(*times, "time")
                ),
            )
            .hint(format!("grep 'sudo.*{user}' {subject}")),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_programs_say_counts() {
        let at = |message: &str| format!("Nov 24 03:00:00 web sshd[12]: {message}");
        for (line, wanted) in [
            (at("Failed password for root from 1.2.3.4 port 22 ssh2"), Some(Event::Failed("1.2.3.4"))),
            (
                at("Failed password for invalid user x from 9.9.9.9 from 1.2.3.4 port 22 ssh2"),
                Some(Event::Failed("1.2.3.4")),
            ),
            (at("Invalid user Failed password for root from 1.2.3.4"), None),
            (
                at("Accepted publickey for deploy from ::1 port 22 ssh2: ED25519 SHA256:x"),
                Some(Event::Accepted("deploy", "::1")),
            ),
            (
                "2026-11-24T03:00:00.1+00:00 web sudo:   bob : user NOT in sudoers ; TTY=pts/0".to_owned(),
                Some(Event::NotAllowed("bob")),
            ),
            (
                "Nov 24 03:00:00 web sudo: pam_unix(sudo:auth): authentication failure; logname=a uid=1 ruser=a rhost=  user=a".to_owned(),
                Some(Event::SudoFailed("a")),
            ),
            ("Nov 24 03:00:00 web app: sshd[1]: Failed password for root from 1.2.3.4 port 1".to_owned(), None),
        ] {
            assert_eq!(event(&line), wanted, "{line}");
        }
    }

    #[test]
    fn times_without_a_year_lie_in_the_past() {
        let now: Timestamp = "2027-01-02T00:00:00Z".parse().expect("a time");
        let at = |text: &str| {
            let second = time(text, now, &TimeZone::UTC)?;
            Some(Timestamp::from_second(second).ok()?.to_string())
        };
        assert_eq!(
            at("Dec 31 23:00:00 h x").as_deref(),
            Some("2026-12-31T23:00:00Z")
        );
        assert_eq!(
            at("Jan  1 23:00:00 h x").as_deref(),
            Some("2027-01-01T23:00:00Z")
        );
        assert_eq!(
            at("2027-01-01T23:00:00+0100 h x").as_deref(),
            Some("2027-01-01T22:00:00Z")
        );
        assert_eq!(at("yesterday"), None);
    }
}
