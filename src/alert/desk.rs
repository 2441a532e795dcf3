//! What the configuration says about an incident: which channels hear of it, when, how often.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::civil::Time;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan as _};

use super::UNDELIVERED;
use super::decide::{Event, Policy};
use super::store::Incident;
use crate::config::sections::{Alerts, Channel, Ping};
use crate::report::{Severity, TASK_FAILED};
use crate::text::fits;
use crate::units::Length;

const MONTH: Duration = Duration::from_secs(30 * 24 * 3600);

/// Channels, routes and the calendar's zone.
#[derive(Clone, Debug)]
pub struct Desk {
    settings: Alerts,
    zone: TimeZone,
}

impl Desk {
    /// From the configuration.
    pub fn new(settings: Alerts, zone: TimeZone) -> Self {
        Self { settings, zone }
    }

    /// The calendar's zone.
    pub fn zone(&self) -> &TimeZone {
        &self.zone
    }

    /// The dead-man switch.
    pub fn ping(&self) -> &Ping {
        &self.settings.ping
    }

    /// All of them.
    pub fn channels(&self) -> &[Channel] {
        &self.settings.channel
    }

    /// The one of that name.
    pub fn channel(&self, name: &str) -> Option<&Channel> {
        self.channels().iter().find(|channel| channel.name == name)
    }

    /// What the routes say, by channel. Several routes to one channel: the one that speaks more often wins.
    pub fn policies(&self, incident: &Incident) -> BTreeMap<String, Policy> {
        let mut policies: BTreeMap<String, Policy> = BTreeMap::new();
        let mut add = |name: &String, policy: Policy| {
            if incident.finding == UNDELIVERED && incident.subject == *name {
                return; // a channel that does not work is no way to say so
            }
            policies
                .entry(name.clone())
                .and_modify(|other| {
                    other.repeat = other.repeat.min(policy.repeat);
                    other.direct |= policy.direct;
                    other.escalate = match (other.escalate, policy.escalate) {
                        (Some(one), Some(two)) => Some(one.min(two)),
                        (one, two) => one.or(two),
                    };
                })
                .or_insert(policy);
        };
        let hold = self.hold(incident);
        for route in &self.settings.route {
            let wanted = route.tasks.iter().any(|task| fits(task, &incident.task));
            if incident.severity < route.min_severity || !wanted {
                continue;
            }
            let direct = Policy {
                direct: true,
                repeat: repeat(incident, route.repeat_every),
                hold,
                escalate: None,
            };
            for name in &route.channels {
                add(name, direct);
            }
            let after = route
                .escalate_after
                .map(|after| after.0)
                .or_else(|| patience(incident.severity));
            for name in &route.escalate_to {
                add(
                    name,
                    Policy {
                        direct: false,
                        escalate: after,
                        ..direct
                    },
                );
            }
        }
        policies
    }

    /// What cron's own mail carries: medium and up, and every run that failed.
    pub fn cron(&self, incident: &Incident) -> Policy {
        Policy {
            direct: incident.severity >= Severity::Medium || incident.finding == TASK_FAILED,
            repeat: repeat(incident, self.settings.repeat_every),
            hold: Duration::ZERO,
            escalate: None,
        }
    }

    /// When news is sent: at once, but for what can wait for the next window.
    pub fn due(&self, incident: &Incident, event: Event, now: Timestamp) -> Timestamp {
        match (incident.severity, event) {
            (Severity::Low, Event::First | Event::Repeat | Event::Resolved) => {
                self.next_digest(now).unwrap_or(now)
            }
            _ => now,
        }
    }

    fn next_digest(&self, now: Timestamp) -> Option<Timestamp> {
        let at: Time = self.settings.digest_at.parse().ok()?;
        let here = now.to_zoned(self.zone.clone());
        let today = here
            .date()
            .to_datetime(at)
            .to_zoned(self.zone.clone())
            .ok()?;
        let next = match today.timestamp() > now {
            true => today,
            false => here
                .date()
                .checked_add(1.day())
                .ok()?
                .to_datetime(at)
                .to_zoned(self.zone.clone())
                .ok()?,
        };
        Some(next.timestamp())
    }

    fn hold(&self, incident: &Incident) -> Duration {
        let held = self
            .settings
            .hold
            .iter()
            .any(|pattern| fits(pattern, &incident.finding));
        match held {
            true => self.settings.hold_for.0,
            false => Duration::ZERO,
        }
    }
}

/// What is measured over a month cannot be mended sooner: to say it every day says nothing new.
fn repeat(incident: &Incident, every: Length) -> Duration {
    const OVER_A_MONTH: [&str; 1] = ["uptime.low"];
    match OVER_A_MONTH.contains(&incident.finding.as_str()) {
        true => every.0.max(MONTH),
        false => every.0,
    }
}

/// The plan's times to respond (§10), as far as somebody should have said by then that they know.
fn patience(severity: Severity) -> Option<Duration> {
    match severity {
        Severity::Critical => Some(Duration::from_secs(15 * 60)),
        Severity::High => Some(Duration::from_secs(3600)),
        Severity::Medium => Some(Duration::from_secs(4 * 3600)),
        Severity::Low | Severity::Info => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn desk(text: &str) -> Desk {
        Desk::new(
            toml::from_str(text).expect("a configuration"),
            TimeZone::get("Europe/Berlin").expect("a zone"),
        )
    }

    fn incident(severity: Severity) -> Incident {
        Incident {
            number: 1,
            host: "web1".into(),
            finding: "disk.usage".into(),
            subject: "/".into(),
            task: "health".into(),
            severity,
            message: String::new(),
            hint: None,
            first: Timestamp::UNIX_EPOCH,
            last: Timestamp::UNIX_EPOCH,
            resolved: None,
            acknowledged_by: None,
        }
    }

    #[test]
    fn routes_choose_by_severity_and_task() {
        let desk = desk(
            "[[route]]\nchannels = ['mail']\n[[route]]\nmin_severity = 'high'\ntasks = ['he*']\nchannels = ['chat', 'mail']\nrepeat_every = '4h'\nescalate_to = ['pager']\n[[route]]\ntasks = ['backup']\nchannels = ['never']",
        );
        assert_eq!(desk.policies(&incident(Severity::Low)).len(), 0);
        let medium = desk.policies(&incident(Severity::Medium));
        assert_eq!(medium.keys().collect::<Vec<_>>(), ["mail"]);
        let high = desk.policies(&incident(Severity::High));
        assert_eq!(high.keys().collect::<Vec<_>>(), ["chat", "mail", "pager"]);
        assert_eq!(high["mail"].repeat, Duration::from_secs(4 * 3600));
        assert_eq!(high["pager"].escalate, Some(Duration::from_secs(3600)));
        assert!(!high["pager"].direct && high["chat"].direct);
    }

    #[test]
    fn a_month_that_was_bad_is_not_told_every_day() {
        let desk = desk("[[route]]\nchannels = ['mail']");
        let mut low = incident(Severity::Medium);
        low.finding = "uptime.low".into();
        assert_eq!(desk.policies(&low)["mail"].repeat, MONTH);
        assert_eq!(desk.cron(&low).repeat, MONTH);
    }

    #[test]
    fn low_ones_wait_for_the_next_digest() {
        let desk = desk("digest_at = '08:00'");
        let at = |text: &str| text.parse::<Timestamp>().expect("a time");
        let low = incident(Severity::Low);
        let due = |now: &str| desk.due(&low, Event::First, at(now));
        assert_eq!(due("2026-11-24T06:59:00Z"), at("2026-11-24T07:00:00Z"));
        assert_eq!(due("2026-11-24T07:00:00Z"), at("2026-11-25T07:00:00Z"));
        // Over the night in which summer time begins.
        assert_eq!(due("2026-03-28T12:00:00Z"), at("2026-03-29T06:00:00Z"));
        let high = incident(Severity::High);
        assert_eq!(
            desk.due(&high, Event::First, at("2026-11-24T07:00:00Z")),
            at("2026-11-24T07:00:00Z")
        );
    }
}
