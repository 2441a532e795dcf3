//! What is said: one message for all the news that a channel gets at once.

use std::fmt::Write as _;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::{Value, json};

use super::store::{News, Waiting};
use crate::report::{SCHEMA_VERSION, Severity};
use crate::text::{about, clean, is_command, shorten};
use crate::units;

/// Slack refuses long texts; a mail of this length is read by nobody either.
const MOST_NEWS: usize = 30;
const MOST_MESSAGE: usize = 600;

/// The next command where no finding has one.
const ALERTS: &str = "empire-maint alerts list";

/// One message, ready for any channel.
pub struct Message {
    /// Where it comes from.
    pub host: String,
    /// The news, most urgent first.
    pub news: Vec<News>,
    /// The same for the same news, so that a second copy is seen to be one.
    pub id: String,
    zone: TimeZone,
}

impl Message {
    /// A message about what waits.
    pub fn new(host: &str, waiting: &[Waiting], zone: &TimeZone) -> Self {
        let over = |news: &News| news.event == "resolved";
        let all = || waiting.iter().map(|waiting| &waiting.news);
        // Who hears that it is over need not hear first that it is there.
        let is_over =
            |news: &News| all().any(|other| over(other) && other.incident == news.incident);
        let mut news: Vec<_> = all()
            .filter(|news| over(news) || news.incident.is_none() || !is_over(news))
            .cloned()
            .collect();
        news.sort_by_key(|news| (over(news), std::cmp::Reverse(news.severity)));
        let id = match news.as_slice() {
            // The root of its thread.
            [one] if one.event == "new" => thread(one, host),
            _ => {
                let ids = waiting.iter().map(|waiting| waiting.id).min().unwrap_or(0);
                let digest = blake3::hash(format!("{news:?}").as_bytes()).to_hex();
                format!("<{ids}.{}@{}>", &digest[..16], domain(host))
            }
        };
        Self {
            host: host.to_owned(),
            news,
            id,
            zone: zone.clone(),
        }
    }

    /// The threads that it belongs to.
    pub fn threads(&self) -> Vec<String> {
        let mut threads: Vec<_> = self
            .news
            .iter()
            .filter(|news| news.incident.is_some())
            .map(|news| thread(news, &self.host))
            .filter(|thread| *thread != self.id)
            .take(MOST_NEWS)
            .collect();
        threads.dedup();
        threads
    }

    fn worst(&self) -> &'static str {
        let worst = self
            .news
            .iter()
            .filter(|news| news.event != "resolved")
            .map(|news| news.severity)
            .max();
        worst.map_or("RESOLVED", upper)
    }

    fn tasks(&self) -> String {
        let mut tasks: Vec<_> = self.news.iter().map(|news| clean(&news.task)).collect();
        tasks.sort();
        tasks.dedup();
        tasks.join(", ")
    }

    /// `host task STATUS: what`, as the first line has it and the subject.
    pub fn headline(&self) -> String {
        let one = |one: &News| {
            let what = about(&clean(&one.subject), &clean(&one.message));
            format!("{what} ({})", one.event)
        };
        let what = match self.news.as_slice() {
            [] => String::new(),
            [first] => one(first),
            several @ [first, ..] => {
                let count = |event: &str| several.iter().filter(|news| news.event == event).count();
                let parts: Vec<_> = [
                    "new",
                    "worse",
                    "not acknowledged",
                    "still there",
                    "resolved",
                    "notice",
                    "test",
                ]
                .into_iter()
                .filter(|event| count(event) > 0)
                .map(|event| format!("{} {event}", count(event)))
                .collect();
                format!("{}; {}", parts.join(", "), one(first))
            }
        };
        let text = format!(
            "{} {} {}: {what}",
            clean(&self.host),
            self.tasks(),
            self.worst()
        );
        shorten(&text, 200)
    }

    /// The whole text.
    pub fn text(&self) -> String {
        let mut text = format!("{}\n", self.headline());
        let mut open = self.news.iter().filter(|news| news.event != "resolved");
        if let Some(first) = open.next() {
            let hints = std::iter::once(first).chain(open);
            let mut hints = hints.filter_map(|news| news.hint.as_deref());
            let next = hints.find(|hint| is_command(hint));
            let _ = writeln!(text, "next: {}", clean(next.unwrap_or(ALERTS)));
        }
        for news in self.news.iter().take(MOST_NEWS) {
            text.push('\n');
            text.push_str(&self.paragraph(news));
        }
        if self.news.len() > MOST_NEWS {
            let _ = writeln!(
                text,
                "\nand {} more: empire-maint alerts list",
                self.news.len() - MOST_NEWS
            );
        }
        text
    }

    fn paragraph(&self, news: &News) -> String {
        let mut text = format!(
            "{} ({}) {} {}\n  {}\n",
            upper(news.severity),
            news.event,
            clean(&news.finding),
            clean(&news.subject),
            shorten(&clean(&news.message), MOST_MESSAGE)
        );
        let shown = |at: Timestamp| units::shown(at, &self.zone);
        let _ = write!(text, "  since {}", shown(news.since));
        if news.event == "resolved" {
            let _ = writeln!(text, ", over at {}", shown(news.at));
            return text;
        }
        text.push('\n');
        if let Some(hint) = &news.hint {
            let word = if is_command(hint) { "run" } else { "hint" };
            let _ = writeln!(text, "  {word}: {}", clean(hint));
        }
        if let Some(number) = news.incident {
            let _ = writeln!(text, "  known: empire-maint alerts ack {number}");
        }
        text
    }

    /// For programs.
    pub fn json(&self) -> Value {
        json!({
            "schema_version": SCHEMA_VERSION,
            "host": self.host,
            "summary": self.headline(),
            "severity": self.worst().to_lowercase(),
            "news": self.news,
        })
    }
}

/// The id of the first message about an incident, which all later ones refer to.
fn thread(news: &News, host: &str) -> String {
    format!(
        "<incident-{}.{}@{}>",
        news.incident.unwrap_or(0),
        news.since.as_millisecond(),
        domain(host)
    )
}

fn domain(host: &str) -> String {
    let fine = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-');
    let name: String = host.chars().filter(fine).collect();
    match name.as_str() {
        "" => "localhost".to_owned(),
        _ => name,
    }
}

fn upper(severity: Severity) -> &'static str {
    match severity {
        Severity::Info => "INFO",
        Severity::Low => "LOW",
        Severity::Medium => "MEDIUM",
        Severity::High => "HIGH",
        Severity::Critical => "CRITICAL",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::SignedDuration;

    fn waiting(id: i64, event: &str) -> Waiting {
        Waiting {
            id,
            attempts: 0,
            only: None,
            news: News {
                event: event.into(),
                incident: Some(7),
                finding: "disk.usage".into(),
                subject: "/data\u{1b}[2J".into(),
                severity: Severity::High,
                message: "disk 91% full\r\nBcc: x@y (limit 90%)".into(),
                hint: Some("empire-maint health --check disk".into()),
                task: "health".into(),
                since: Timestamp::UNIX_EPOCH,
                at: Timestamp::UNIX_EPOCH + SignedDuration::from_hours(id * 24),
            },
        }
    }

    #[test]
    fn the_first_line_says_host_task_and_status_and_nothing_breaks_it() {
        let message = Message::new("web1", &[waiting(1, "new")], &TimeZone::UTC);
        let headline = message.headline();
        assert!(
            headline.starts_with("web1 health HIGH: /data?[2J: disk 91% full"),
            "{headline}"
        );
        let text = message.text();
        assert!(!text.contains('\u{1b}') && !text.contains('\r'), "{text}");
        assert!(
            text.lines().nth(1) == Some("next: empire-maint health --check disk"),
            "{text}"
        );
        assert!(text.contains("since 1970-01-01 00:00:00 +00:00"), "{text}");
    }

    #[test]
    fn what_is_over_is_not_told_to_be_there() {
        let both = [waiting(1, "new"), waiting(2, "resolved")];
        let message = Message::new("web1", &both, &TimeZone::UTC);
        assert_eq!(message.news.len(), 1);
        let text = message.text();
        assert!(text.starts_with("web1 health RESOLVED: "), "{text}");
        assert!(
            text.ends_with(
                "since 1970-01-01 00:00:00 +00:00, over at 1970-01-03 00:00:00 +00:00\n"
            ),
            "{text}"
        );
        let mut other = waiting(3, "new");
        other.news.incident = Some(8);
        let [_, resolved] = both;
        let two = Message::new("web1", &[resolved, other], &TimeZone::UTC);
        let headline = two.headline();
        assert!(
            headline.starts_with("web1 health HIGH: 1 new, 1 resolved; /data?[2J: disk 91% full"),
            "{headline}"
        );
    }

    #[test]
    fn a_copy_has_the_same_id_and_later_ones_refer_to_the_first() {
        let zone = TimeZone::UTC;
        let first = Message::new("web1", &[waiting(1, "new")], &zone);
        assert_eq!(first.id, "<incident-7.0@web1>");
        assert!(first.threads().is_empty());
        let later = Message::new("web1", &[waiting(2, "worse")], &zone);
        let copy = Message::new("web1", &[waiting(2, "worse")], &zone);
        assert_eq!(later.id, copy.id);
        assert_eq!(later.threads(), [first.id]);
        // The next day's is no copy of it, though its row in the outbox has the same number.
        let mut next = waiting(2, "worse");
        next.news.at += SignedDuration::from_hours(24);
        assert_ne!(Message::new("web1", &[next], &zone).id, later.id);
    }
}
