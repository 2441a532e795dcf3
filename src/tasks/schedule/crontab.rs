//! `schedule crontab`: the calendar as lines that Debian's cron understands.
//!
//! Cron runs a line when the day of the month *or* the weekday fits, so a line names one of the two at most; "second Monday" is
//! Monday in the fields and the day of the month in the command. A `%` would end the command, so it is escaped. There is no
//! `CRON_TZ` in Debian's cron: the times are the system's.

use std::fmt::Write as _;

use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan as _};

use super::{Call, Detail};
use crate::calendar::{Planned, Role};
use crate::config::{Days, EVERY_MONTH, When, month_numbers};
use crate::context::Context;
use crate::report::{Document, Finding, Reporter, Severity};
use crate::sys::process;

/// Finding id: cron's clock is not the calendar's.
const TIMEZONE: &str = "schedule.timezone";

/// What the lines call, for whom.
pub(super) struct Settings {
    pub program: Call,
    /// The user column of /etc/cron.d.
    pub user: Option<String>,
    pub mail_to: String,
    /// `[schedule] timezone`.
    pub timezone: Option<String>,
}

pub(super) fn run(
    context: &Context,
    report: &Reporter,
    lines: &[Planned],
    settings: &Settings,
) -> anyhow::Result<()> {
    if let Some(name) = &settings.timezone
        && differ(&context.zone, &TimeZone::system(), context.now)
    {
        let message = format!(
            "cron runs these lines by the system's clock, and [schedule] timezone is {name}: they begin at another time than the calendar says"
        );
        report.find(
            Finding::new(TIMEZONE, Severity::Medium, name.as_str(), message)
                .hint(format!("timedatectl set-timezone {name}, or empire-maint schedule systemd, whose timers know time zones")),
        );
    }
    let text = render(lines, settings);
    report.document(Document::Answer(text.clone()));
    report.detail(&Detail {
        lines: Vec::new(),
        text: Some(text),
        units: Vec::new(),
    })
}

/// Whether two zones show different times now or in the course of a year.
fn differ(one: &TimeZone, other: &TimeZone, now: Timestamp) -> bool {
    (0..12).any(|month| {
        now.checked_add((month * 730).hours())
            .is_ok_and(|at| one.to_offset(at) != other.to_offset(at))
    })
}

fn render(lines: &[Planned], settings: &Settings) -> String {
    let mut text = String::from(
        "# empire-maint in cron, printed by `empire-maint schedule crontab`. This is for root's own crontab (crontab -e); for a file\n\
         # in /etc/cron.d add --system-user root. Times are in [schedule.at]; they are the system's, Debian's cron knows no other.\n\
         # With --quiet nothing is printed, and so nothing is mailed, while all is well; what is printed starts with host, task\n\
         # and status. The exit codes are 0 ok, 1 warning, 2 critical, 3 could not start.\n\
         # A cron that is dead mails nothing. That is noticed from outside only: let another host, a monitoring system or root's\n\
         # login shell run `empire-maint schedule check`, or watch empire_maint_last_success_timestamp_seconds.\n",
    );
    let _ = writeln!(
        text,
        "SHELL=/bin/sh\nPATH={}\nMAILTO={}",
        process::PATH,
        settings.mail_to
    );
    for planned in lines {
        let label = planned.line.label();
        match &planned.role {
            Role::Active => {
                let _ = writeln!(
                    text,
                    "\n# {label}: {}\n{}",
                    planned.when,
                    entry(planned, settings)
                );
            }
            Role::Idle(reason) => {
                let line = entry(planned, settings);
                let _ = writeln!(text, "\n# {label}: nothing to do here, {reason}.\n# {line}");
            }
            Role::Off => {
                let _ = writeln!(
                    text,
                    "\n# {label}: off in [schedule.at] {}",
                    planned.line.name
                );
            }
            Role::Manual => {}
        }
    }
    let by_hand: Vec<_> = lines
        .iter()
        .filter(|planned| planned.role == Role::Manual)
        .map(|planned| planned.line.label())
        .collect();
    if !by_hand.is_empty() {
        text.push_str("\n# Without a command in this version, so for a person to do:\n");
        for label in by_hand {
            let _ = writeln!(text, "#   {label}");
        }
    }
    text
}

/// One line of the crontab.
fn entry(planned: &Planned, settings: &Settings) -> String {
    let user = match &settings.user {
        Some(user) => format!("{user} "),
        None => String::new(),
    };
    let words: Vec<_> = settings
        .program
        .words(planned.line)
        .iter()
        .map(|word| process::shell_word(word))
        .collect();
    let command = format!("{}{}", guard(&planned.when), words.join(" "));
    format!(
        "{} {user}{}",
        fields(&planned.when),
        command.replace('%', "\\%")
    )
}

/// The five fields.
fn fields(when: &When) -> String {
    match when {
        // Never asked for: a line that is off is not printed.
        When::Off => "0 0 31 2 *".to_owned(),
        When::Minutes { step: 60, first } => format!("{first} * * * *"),
        When::Minutes { step, first: 0 } => format!("*/{step} * * * *"),
        When::Minutes { step, first } => format!("{first}-59/{step} * * * *"),
        When::Hours { step, minute } => format!("{minute} */{step} * * *"),
        When::Days { days, hour, minute } => {
            let (months, weekday) = match days {
                Days::Every => (EVERY_MONTH, None),
                Days::Week(weekday) => (EVERY_MONTH, Some(weekday)),
                Days::Month {
                    months, weekday, ..
                } => (*months, Some(weekday)),
            };
            let months = match months {
                EVERY_MONTH => "*".to_owned(),
                some => {
                    let numbers: Vec<_> = month_numbers(some).map(|n| n.to_string()).collect();
                    numbers.join(",")
                }
            };
            let weekday = weekday.map_or("*".to_owned(), |day| {
                day.to_sunday_zero_offset().to_string()
            });
            format!("{minute} {hour} * {months} {weekday}")
        }
    }
}

/// What lets only the nth such weekday of a month through; `date` is asked once.
fn guard(when: &When) -> String {
    match when {
        When::Days {
            days: Days::Month { nth, .. },
            ..
        } => {
            let (first, last) = day_range(*nth);
            format!("d=$(date +%d); [ \"$d\" -ge {first} ] && [ \"$d\" -le {last} ] && ")
        }
        _ => String::new(),
    }
}

/// The days of the month among which the nth weekday of each kind is.
pub(super) fn day_range(nth: i8) -> (i8, i8) {
    (nth * 7 - 6, nth * 7)
}

#[cfg(test)]
mod tests {

    use super::*;
    use crate::calendar::Here;
    use crate::config::Config;

    #[test]
    fn fields_name_one_of_the_two_days_at_most() {
        for (when, expected) in [
            ("every 5m", "*/5 * * * *"),
            ("every 5m :04", "4-59/5 * * * *"),
            ("every 1h :17", "17 * * * *"),
            ("every 6h :41", "41 */6 * * *"),
            ("03:07", "7 3 * * *"),
            ("sun 05:23", "23 5 * * 0"),
            ("sat 05:23", "23 5 * * 6"),
            ("second mon 04:13", "13 4 * * 1"),
            ("jan,apr,jul,oct first mon 09:41", "41 9 * 1,4,7,10 1"),
        ] {
            assert_eq!(fields(&when.parse().expect(when)), expected);
        }
    }

    /// Lines wait for their command: what is handed in decides.
    #[test]
    fn a_command_that_exists_gets_its_line() {
        let config = Config::defaults(None);
        let here = Here::resolve(&config).expect("reads");
        let off = |line: &str| line == "data-clean";
        let settings = Settings {
            program: Call {
                program: "/opt/em".into(),
                options: Vec::new(),
            },
            user: Some("root".into()),
            mail_to: "root".into(),
            timezone: None,
        };
        let text = |commands: &[&str]| {
            let mut lines = here.lines(commands);
            for planned in lines.iter_mut().filter(|planned| off(planned.line.name)) {
                planned.role = Role::Off;
            }
            render(&lines, &settings)
        };
        let all = text(&["health", "alerts", "backup", "access-audit", "data-clean"]);
        for line in [
            "*/5 * * * * root /opt/em health --check http,listen,disk,logins --quiet",
            "17 * * * * root /opt/em health --quiet",
            "4-59/5 * * * * root /opt/em alerts flush --quiet",
            "37 4 * * 1 root d=$(date +\\%d); [ \"$d\" -ge 15 ] && [ \"$d\" -le 21 ] && /opt/em access-audit --quiet",
            "# §3.3 data cleanup: off in [schedule.at] data-clean",
        ] {
            assert!(all.lines().any(|have| have == line), "{line}\n{all}");
        }
        let few = text(&["backup"]);
        assert!(!few.contains("/opt/em health") && few.contains("\n#   §1.1 health checks\n"));
    }

    #[test]
    fn zones_differ_when_their_clocks_do_at_some_time_of_the_year() {
        let zone = |name| TimeZone::get(name).expect("a zone");
        let winter = "2026-01-10T00:00:00Z".parse().expect("a time");
        assert!(differ(&zone("Europe/London"), &zone("UTC"), winter));
        assert!(!differ(&zone("Etc/UTC"), &zone("UTC"), winter));
        assert!(!differ(
            &zone("Europe/Berlin"),
            &zone("Europe/Paris"),
            winter
        ));
    }
}
