//! `auth-log`: failed logins over ssh and failed sudo, from the file or, without one, from the system's journal.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;
use std::time::Duration;

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{Timestamp, Unit};
use serde_json::json;

use super::access::{SKIPPED, STALE, UNPARSED, tell_broken};
use super::scene::{Looked, Scene};
use crate::context::Context;
use crate::report::{Finding, Reporter, Severity};
use crate::sys::process::shell_word;
use crate::sys::{files, process};
use crate::text::{clean, shorten};
use crate::units;
use crate::weblog::{self, History};

const FAILURES: &str = "auth.failures";
const BREACH: &str = "auth.breach";
const SUDO: &str = "auth.sudo";
const PERIOD: i64 = 7 * 86_400 + 6 * 3600;
/// The newest part of a larger file is read.
const MOST: u64 = 4 << 30;
/// Of the journal as many lines, which are kept in memory until they are read.
const MOST_LINES: usize = 400_000;
const LARGEST_JOURNAL: u64 = 128 << 20;
const PATIENCE: Duration = Duration::from_secs(60);
/// So many failures before a success make it doubtful.
const DOUBTFUL: u64 = 10;
/// sudo asks three times: one who gives up has failed as often.
const GAVE_UP: u64 = 3;
const MOST_ADDRESSES: usize = 50_000;
/// Logins under names that nobody has, whose password may still come.
const MOST_OPEN: usize = 10_000;

/// What one address did.
#[derive(Default)]
struct Address {
    failures: u64,
    peak: u64,
    minute: (i64, u64),
    /// Accepted after so many failures, and as whom.
    accepted: Option<(u64, String)>,
}

/// What one user failed at: PAM tells of a try, sudo itself of all of them at its end.
#[derive(Default)]
struct Sudo {
    told_by_pam: u64,
    told_by_sudo: u64,
    not_allowed: u64,
}

impl Sudo {
    fn failures(&self) -> u64 {
        self.told_by_pam.max(self.told_by_sudo)
    }
}

#[derive(Default)]
struct Seen {
    addresses: BTreeMap<String, Address>,
    left_out: u64,
    failures: u64,
    sudo: BTreeMap<String, Sudo>,
    /// Program and address of those who came with a name that nobody has: that was counted already.
    open: HashSet<(String, String)>,
    /// Lines of the period that matter here.
    lines: u64,
    all_lines: u64,
    undated: u64,
    newest: Option<i64>,
}

/// One line that matters.
#[derive(Debug, PartialEq, Eq)]
enum Event<'a> {
    /// From this address; true where nobody has the name.
    Failed(&'a str, bool),
    /// A name that nobody has, from this address. A key that is refused leaves no other trace.
    NoSuchUser(&'a str),
    Accepted(&'a str, &'a str),
    SudoFailed(&'a str),
    SudoGaveUp(&'a str, u64),
    NotAllowed(&'a str),
}

/// Reads, counts, judges.
pub fn look(scene: &Scene, context: &Context, report: &Reporter) -> anyhow::Result<Looked> {
    let (path, named) = &scene.auth_log;
    let mut seen = Seen::default();
    let mut add = |line: Option<&[u8]>| {
        seen.add(&String::from_utf8_lossy(line.unwrap_or_default()), context);
    };
    let since = context.now.as_second() - PERIOD;
    let is_file = files::metadata(path)?.is_some();
    let (subject, history) = match is_file {
        true => (
            path.display().to_string(),
            weblog::every_line(path, since, MOST, &context.stop, &mut add)?,
        ),
        false if *named => anyhow::bail!("there is no {}", path.display()),
        false => match journal(context)? {
            Some(text) => {
                text.split(|byte| *byte == b'\n')
                    .filter(|line| !line.is_empty())
                    .for_each(|line| add(Some(line)));
                ("journal".to_owned(), History::default())
            }
            None => {
                return Ok(Looked::Nothing(format!(
                    "there is no {} and no journal",
                    path.display()
                )));
            }
        },
    };
    for id in [FAILURES, BREACH, SUDO] {
        report.examined_all(id);
    }
    report.measure("auth_failures", seen.failures as f64, "", []);
    if is_file {
        judge_log(&seen, &history, &subject, context, report);
    }
    judge(scene, &seen, &subject, report);
    let sources = seen.addresses.values().filter(|one| one.failures > 0);
    let mut note = format!(
        "{} in {subject}, from {}",
        units::count(seen.failures, "failed login"),
        units::count(sources.count() as u64, "source")
    );
    if !history.cut.is_empty() || !is_file && seen.all_lines >= MOST_LINES as u64 {
        note += "; it is large, and its beginning was not read";
    }
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
    let of_sudo = |number: &dyn Fn(&Sudo) -> u64| -> BTreeMap<&String, u64> {
        let all = seen.sudo.iter().map(|(user, sudo)| (user, number(sudo)));
        all.filter(|(_, number)| *number > 0).collect()
    };
    Ok(Looked::At(
        note,
        json!({"failures": seen.failures, "lines": seen.lines, "lines_not_understood": seen.undated, "files": history.files,
               "addresses": top, "sudo_failures": of_sudo(&Sudo::failures), "sudo_not_allowed": of_sudo(&|sudo| sudo.not_allowed),
               "failures_of_further_addresses": seen.left_out}),
    ))
}

/// What systemd has kept; `None` where it is not the one that keeps it.
fn journal(context: &Context) -> anyhow::Result<Option<Vec<u8>>> {
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
        &format!("--lines={MOST_LINES}"),
    ]);
    command.args(["_COMM=sshd", "+", "_COMM=sshd-session", "+", "_COMM=sudo"]);
    let output = process::run_keeping(command, PATIENCE, LARGEST_JOURNAL, &context.stop)?;
    anyhow::ensure!(
        output.status.success(),
        "journalctl says: {}",
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(Some(output.stdout))
}

impl Seen {
    fn add(&mut self, line: &str, context: &Context) {
        self.all_lines += 1;
        let now = context.now.as_second();
        let Some(at) = time(line, context.now, &context.zone) else {
            self.undated += 1;
            return;
        };
        self.newest = self.newest.max(Some(at));
        if at < now - PERIOD || at > now + 120 {
            return;
        }
        let Some((program, event, times)) = event(line) else {
            return;
        };
        self.lines += 1;
        match event {
            Event::NoSuchUser(address) => {
                if self.open.len() >= MOST_OPEN {
                    self.open.clear();
                }
                self.open.insert((program.to_owned(), address.to_owned()));
                self.failed(address, times, at);
            }
            Event::Failed(address, nobodys) => {
                let told = nobodys && self.open.remove(&(program.to_owned(), address.to_owned()));
                self.failed(address, times - u64::from(told), at);
            }
            Event::Accepted(user, address) => {
                if let Some(one) = self.addresses.get_mut(&*shown(address))
                    && one.failures >= DOUBTFUL
                    && one.accepted.is_none()
                {
                    one.accepted = Some((one.failures, shown(user)));
                }
            }
            Event::SudoFailed(user) => self.of_sudo(user).told_by_pam += times,
            Event::SudoGaveUp(user, tries) => {
                self.of_sudo(user).told_by_sudo += tries.saturating_mul(times);
            }
            Event::NotAllowed(user) => self.of_sudo(user).not_allowed += times,
        }
    }

    fn of_sudo(&mut self, user: &str) -> &mut Sudo {
        self.sudo.entry(shown(user)).or_default()
    }

    fn failed(&mut self, address: &str, times: u64, at: i64) {
        if times == 0 {
            return;
        }
        self.failures += times;
        let address = shown(address);
        if !self.addresses.contains_key(&address) && self.addresses.len() >= MOST_ADDRESSES {
            self.left_out += times;
            return;
        }
        let one = self.addresses.entry(address).or_default();
        one.failures += times;
        let minute = at / 60;
        if one.minute.0 != minute {
            one.minute = (minute, 0);
        }
        one.minute.1 += times;
        one.peak = one.peak.max(one.minute.1);
    }
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

/// Who says it, what, and how often. Only what sshd and sudo say at the beginning of their message counts: a user's name is somebody
/// else's text.
fn event(line: &str) -> Option<(&str, Event<'_>, u64)> {
    let (tag, message) = line.split_once(": ")?;
    let program = tag.rsplit(' ').next()?;
    let (message, times) = repeated(message);
    let event = match program {
        _ if program.starts_with("sshd") => of_sshd(message)?,
        _ if program.starts_with("sudo") => of_sudo(message)?,
        _ => return None,
    };
    Some((program, event, times))
}

/// rsyslog writes what comes again at once only once more: `message repeated 25 times: [ Failed password … ]`.
fn repeated(message: &str) -> (&str, u64) {
    let parts = message
        .strip_prefix("message repeated ")
        .and_then(|rest| rest.split_once(" times: [ "));
    match parts.and_then(|(times, rest)| Some((times.parse().ok()?, rest))) {
        Some((times @ 1..=1_000_000, rest)) => (rest.strip_suffix(']').unwrap_or(rest), times),
        _ => (message, 1),
    }
}

fn of_sshd(message: &str) -> Option<Event<'_>> {
    // The address stands behind the last "from": a user may be called "x from 1.2.3.4".
    let address = || {
        let (_, behind) = message.rsplit_once(" from ")?;
        behind.split(' ').next().filter(|word| !word.is_empty())
    };
    if message.starts_with("Failed ") {
        let nobodys = message.contains(" for invalid user ");
        return Some(Event::Failed(address()?, nobodys));
    }
    if message.starts_with("Invalid user ") {
        return Some(Event::NoSuchUser(address()?));
    }
    if let Some(rest) = message.strip_prefix("Accepted ") {
        let user = rest.split(" for ").nth(1)?.split(' ').next()?;
        return Some(Event::Accepted(user, address()?));
    }
    if message.starts_with("error: maximum authentication attempts exceeded") {
        return Some(Event::Failed(address()?, false));
    }
    None
}

fn of_sudo(message: &str) -> Option<Event<'_>> {
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
    let (tries, _) = rest.split_once(" incorrect password attempt")?;
    Some(Event::SudoGaveUp(user, tries.parse().ok()?))
}

/// A log that nobody writes, or of which nothing is understood, would stay quiet for ever.
fn judge_log(seen: &Seen, history: &History, subject: &str, context: &Context, report: &Reporter) {
    for id in [UNPARSED, STALE, SKIPPED] {
        report.examined(id, subject);
    }
    if seen.undated * 2 > seen.all_lines {
        report.find(
            Finding::new(
                UNPARSED,
                Severity::Medium,
                subject,
                format!(
                    "{} of {} begin with no time that is understood: what they say is not known",
                    seen.undated,
                    units::count(seen.all_lines, "line")
                ),
            )
            .measured(units::percent(seen.undated, seen.all_lines), "%", 50.0)
            .hint(format!(
                "tail -3 {}: rsyslog's usual form and RFC 3339 are understood",
                shell_word(subject)
            )),
        );
    } else if seen
        .newest
        .is_none_or(|at| at < context.now.as_second() - PERIOD)
    {
        let last = seen.newest.and_then(|at| Timestamp::from_second(at).ok());
        let last = last.map_or("it is empty".to_owned(), |at| {
            format!("its last line is of {at}")
        });
        report.find(
            Finding::new(
                STALE,
                Severity::Medium,
                subject,
                format!("nobody has written to {subject} for a week: {last}"),
            )
            .hint("does rsyslog run, and write there? [audit] auth_log says which file is read"),
        );
    }
    tell_broken(&history.broken, subject, report);
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
                    "{} failed logins from {name} in one minute (limit {limit}); {} did so, {} in all",
                    worst.peak,
                    units::count(over.len() as u64, "source"),
                    units::count(seen.failures, "failure")
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
    for (user, sudo) in &seen.sudo {
        judge_sudo(user, sudo, subject, report);
    }
}

fn judge_sudo(user: &str, sudo: &Sudo, subject: &str, report: &Reporter) {
    let (failures, not_allowed) = (sudo.failures(), sudo.not_allowed);
    let mut told = Vec::new();
    if not_allowed > 0 {
        let times = units::count(not_allowed, "time");
        told.push(format!("asked sudo {times} for what is not allowed"));
    }
    if failures >= GAVE_UP {
        let times = units::count(failures, "time");
        told.push(format!("gave sudo a wrong password {times}"));
    }
    // Somebody who mistypes three times is no reason to get up.
    let severity = match not_allowed > 0 || failures >= DOUBTFUL {
        true => Severity::Medium,
        false => Severity::Low,
    };
    if !told.is_empty() {
        report.find(
            Finding::new(
                SUDO,
                severity,
                user,
                format!("{user} {}", told.join(" and ")),
            )
            .hint(format!(
                "grep {} {}",
                shell_word(&format!("sudo.*{user}")),
                shell_word(subject)
            )),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_programs_say_counts() {
        let at = |message: &str| format!("Nov 24 03:00:00 web sshd[12]: {message}");
        let sudo = |message: &str| format!("2026-11-24T03:00:00.1+00:00 web sudo: {message}");
        for (line, wanted) in [
            (
                at("Failed password for root from 1.2.3.4 port 22 ssh2"),
                Some((Event::Failed("1.2.3.4", false), 1)),
            ),
            (
                at("Failed password for invalid user x from 9.9.9.9 from 1.2.3.4 port 22 ssh2"),
                Some((Event::Failed("1.2.3.4", true), 1)),
            ),
            (
                at(
                    "message repeated 25 times: [ Failed password for root from 1.2.3.4 port 22 ssh2]",
                ),
                Some((Event::Failed("1.2.3.4", false), 25)),
            ),
            (
                at("Invalid user Failed password for root from 9.9.9.9 from 1.2.3.4 port 22"),
                Some((Event::NoSuchUser("1.2.3.4"), 1)),
            ),
            (
                at("Accepted publickey for deploy from ::1 port 22 ssh2: ED25519 SHA256:x"),
                Some((Event::Accepted("deploy", "::1"), 1)),
            ),
            (
                sudo("  bob : user NOT in sudoers ; TTY=pts/0"),
                Some((Event::NotAllowed("bob"), 1)),
            ),
            (
                sudo("  bob : 3 incorrect password attempts ; TTY=pts/0 ; USER=root"),
                Some((Event::SudoGaveUp("bob", 3), 1)),
            ),
            (
                sudo(
                    "pam_unix(sudo:auth): authentication failure; logname=a uid=1 ruser=a rhost=  user=a",
                ),
                Some((Event::SudoFailed("a"), 1)),
            ),
            (
                "Nov 24 03:00:00 web app: sshd[1]: Failed password for root from 1.2.3.4 port 1"
                    .to_owned(),
                None,
            ),
        ] {
            let found = event(&line).map(|(_, event, times)| (event, times));
            assert_eq!(found, wanted, "{line}");
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
