//! Failed logins in time, by user and by address: how many there were, and whether many came at once. Minutes are counted, so the
//! order in which events are read does not matter, and there is a limit to what is kept.

use std::collections::{BTreeMap, HashMap};

use jiff::Timestamp;

/// Minutes of all users, or all addresses, that are kept.
const MOST: usize = 200_000;

/// Many failed logins within a short time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Burst {
    /// How many, in the worst such time.
    pub number: u64,
    /// When that began.
    pub from: Timestamp,
    /// When each such time began, this one too.
    pub starts: Vec<Timestamp>,
}

/// Failed logins of one kind of subject.
#[derive(Default)]
pub struct Failures {
    by: HashMap<String, BTreeMap<i64, u64>>,
    kept: usize,
    /// Failed logins that could not be kept apart.
    pub left_out: u64,
}

impl Failures {
    /// Counts one.
    pub fn add(&mut self, subject: &str, at: Timestamp) {
        let minute = at.as_second().div_euclid(60);
        let full = self.kept >= MOST;
        let known = self.by.get_mut(subject);
        match known {
            Some(minutes) if !full || minutes.contains_key(&minute) => {
                let before = minutes.len();
                *minutes.entry(minute).or_default() += 1;
                self.kept += minutes.len() - before;
            }
            None if !full => {
                self.by
                    .insert(subject.to_owned(), BTreeMap::from([(minute, 1)]));
                self.kept += 1;
            }
            _ => self.left_out += 1,
        }
    }

    /// True for a subject that failed.
    pub fn knows(&self, subject: &str) -> bool {
        self.by.contains_key(subject)
    }

    /// Every subject with its number, the most first.
    pub fn ranked(&self) -> Vec<(&str, u64)> {
        let mut found: Vec<_> = self
            .by
            .iter()
            .map(|(subject, minutes)| (subject.as_str(), minutes.values().sum::<u64>()))
            .collect();
        found.sort_by(|one, other| other.1.cmp(&one.1).then(one.0.cmp(other.0)));
        found
    }

    /// The worst `within` minutes of a subject, where they reach `limit`, and when all that do began.
    pub fn burst(&self, subject: &str, within: i64, limit: u64) -> Option<Burst> {
        let minutes = self.by.get(subject)?;
        let mut worst: Option<(u64, i64)> = None;
        let mut starts = Vec::new();
        let moment = |minute: i64| Timestamp::from_second(minute * 60).ok();
        for first in minutes.keys() {
            let number = minutes
                .range(*first..first.saturating_add(within))
                .map(|(_, number)| number)
                .sum();
            if number >= limit {
                starts.extend(moment(*first));
            }
            if worst.is_none_or(|(most, _)| number > most) {
                worst = Some((number, *first));
            }
        }
        let (number, first) = worst.filter(|(number, _)| *number >= limit)?;
        Some(Burst {
            number,
            from: moment(first)?,
            starts,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_at_once_are_a_burst_in_whatever_order_they_come() {
        let at = |minute: i64| Timestamp::from_second(1_790_000_040 + minute * 60).expect("a time");
        let mut failures = Failures::default();
        for minute in [50, 3, 1, 2, 90, 3, 4] {
            failures.add("bob", at(minute));
        }
        failures.add("eve", at(1));
        assert_eq!(failures.ranked(), [("bob", 7), ("eve", 1)]);
        let burst = failures.burst("bob", 10, 5).expect("is one");
        assert_eq!(burst.number, 5);
        assert_eq!((burst.from, burst.starts), (at(1), vec![at(1)]));
        assert_eq!(failures.burst("bob", 10, 6), None);
        assert_eq!(failures.burst("bob", 2, 4), None);
        assert_eq!(failures.burst("nobody", 10, 1), None);
    }

    #[test]
    fn there_is_a_limit_to_what_is_kept() {
        let mut failures = Failures::default();
        for number in 0..MOST + 10 {
            failures.add(&number.to_string(), Timestamp::UNIX_EPOCH);
        }
        failures.add("0", Timestamp::UNIX_EPOCH);
        assert_eq!(failures.left_out, 10);
        assert_eq!(failures.ranked()[0], ("0", 2));
    }
}
