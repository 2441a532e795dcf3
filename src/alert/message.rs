//! What is said: one message for all the news that a channel gets at once.

use std::fmt::Write as _;

use jiff::tz::TimeZone;
use serde_json::{Value, json};

use super::store::{News, Waiting};
use crate::report::{SCHEMA_VERSION, Severity};
use crate::text::{clean, shorten};

/// Slack refuses long texts; a mail of this length is read by nobody either.
const MOST_NEWS: usize = 30;
const MOST_MESSAGE: usize = 600;

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
        let mut news: Vec<_> = waiting.iter().map(|waiting| waiting.news.clone()).collect();
        news.sort_by_key(|news| (news.event == "resolved", std::cmp::Reverse(news.severity)));
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
        let what = match self.news.as_slice() {
            [one] => format!(
                "{}: {} ({})",
                clean(&one.subject),
                clean(&one.message),
                one.event
            ),
            several => {
                let count = |event: &str| several.iter().filter(|news| news.event == event).count();
                let parts: Vec<_> = [
                    "new",
                    "worse",
                    "not acknowledged",
                    "still there",
                    "resolved",
                ]
                .into_iter()
                .filter(|event| count(event) > 0)
                .map(|event| format!("{} {event}", count(event)))
                .collect();
                parts.join(", ")
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
        if let Some(next) = self.news.iter().find_map(|news| news.hint.as_deref()) {
            let _ = writeln!(text, "next: {}", clean(next));
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
        let since = news.since.to_zoned(self.zone.clone());
        let _ = writeln!(text, "  since {}", since.strftime("%Y-%m-%d %H:%M:%S %:z"));
        if news.event == "resolved" {
            return text;
        }
        if let Some(hint) = &news.hint {
            let _ = writeln!(text, "  run: {}", clean(hint));
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
    use jiff::Timestamp;

    fn waiting(id: i64, event: &str) -> Waiting {
        Waiting {
            id,
            attempts: 0,
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
    fn a_copy_has_the_same_id_and_later_ones_refer_to_the_first() {
        let zone = TimeZone::UTC;
        let first = Message::new("web1", &[waiting(1, "new")], &zone);
        assert_eq!(first.id, "<incident-7.0@web1>");
        assert!(first.threads().is_empty());
        let later = Message::new("web1", &[waiting(2, "worse")], &zone);
        let copy = Message::new("web1", &[waiting(2, "worse")], &zone);
        assert_eq!(later.id, copy.id);
        assert_eq!(later.threads(), [first.id]);
    }
}
