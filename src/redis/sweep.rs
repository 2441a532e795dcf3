//! One pass over the keys of one database of one server: SCAN finds them, a script judges and changes them, in batches so short
//! that nobody waits, and so small that memory does not grow with the number of keys.

use std::collections::BTreeMap;
use std::time::Instant;

use ::redis::{Cmd, Value, cmd, from_redis_value};
use anyhow::Context as _;

use super::link::{complaint, meaning};
use super::{Link, Pace, Pattern};
use crate::config::sections::{CacheAction, CacheRule, Condition};
use crate::report::Permit;
use crate::sys::Stop;

const SCRIPT: &str = include_str!("sweep.lua");
/// After this the script hands back what it has not reached, microseconds.
const BUDGET_US: u64 = 200;
/// Pages that are gathered for one script at most; a stop goes over so many again.
const PAGES: usize = 8;
/// Keys of one UNLINK; in a cluster each key is another slot.
const CHUNK: usize = 32;

/// A rule of the configuration, with its pattern read.
#[derive(Clone, Debug)]
pub struct Rule {
    /// Which keys.
    pub pattern: Pattern,
    /// What must hold.
    pub when: Condition,
    /// What becomes of them.
    pub action: CacheAction,
}

impl Rule {
    /// From the configuration.
    pub fn new(rule: &CacheRule) -> Self {
        Self {
            pattern: Pattern::new(&rule.pattern),
            when: rule.when,
            action: rule.action,
        }
    }

    /// Condition, limit, action and milliseconds, as the script reads them.
    fn words(&self) -> [String; 4] {
        let (condition, limit) = match self.when {
            Condition::Always => ("always", 0),
            Condition::NoTtl => ("no-ttl", 0),
            // The server counts whole seconds.
            Condition::Idle(length) => ("idle", u128::from(length.0.as_secs())),
            Condition::Ttl(length) => ("ttl", length.0.as_millis()),
            Condition::Size(bytes) => ("size", u128::from(bytes.0)),
        };
        let (action, millis) = match self.action {
            CacheAction::Unlink => ("unlink", 0),
            CacheAction::Expire(length) => ("expire", length.0.as_millis()),
        };
        [
            condition.to_owned(),
            limit.to_string(),
            action.to_owned(),
            millis.to_string(),
        ]
    }
}

/// Whether anything changes.
#[derive(Clone, Copy)]
pub enum Mode<'a> {
    /// Only counted.
    Count,
    /// Done.
    Act(&'a Permit),
}

/// What a pass has done so far; true also when it ends with an error.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Where SCAN goes on. Everything before it is done.
    pub cursor: u64,
    /// Keys gone through, about.
    pub visited: u64,
    /// Keys that each rule changed, or would.
    pub changed: Vec<u64>,
    /// Keys of a batch that was sent and not answered: nobody knows.
    pub unknown: u64,
    /// Lookups of ours that found a key, and that did not: the server counts them as hits and misses.
    pub lookups: (u64, u64),
    /// True once every key was gone through.
    pub complete: bool,
}

/// One pass.
pub struct Sweep<'a> {
    /// Does the work.
    pub work: Link,
    /// Sees what others see of it.
    pub probe: Link,
    /// At most 64, in their order.
    pub rules: &'a [Rule],
    /// True where the server is one of a cluster.
    pub cluster: bool,
    /// Signals and limits.
    pub stop: &'a Stop,
    /// Told how many keys are behind us.
    pub progress: &'a dyn Fn(u64),
}

impl Sweep<'_> {
    /// Goes on from `tally.cursor` to the end. An error leaves the tally as far as it is true.
    pub fn run(
        &mut self,
        mode: Mode<'_>,
        pace: &mut Pace,
        tally: &mut Tally,
    ) -> anyhow::Result<()> {
        tally.changed.resize(self.rules.len(), 0);
        pace.settle(&mut self.probe)?;
        loop {
            let found = self.gather(pace, tally.cursor)?;
            for (set, keys) in found.by_rules {
                self.treat(set, &keys, mode, pace, tally)?;
            }
            tally.visited += found.visited;
            tally.cursor = found.next;
            (self.progress)(tally.visited);
            if found.next == 0 {
                tally.complete = true;
                return Ok(());
            }
        }
    }

    /// Pages until they fill a script: half as many turns where every second key matches.
    fn gather(&mut self, pace: &mut Pace, cursor: u64) -> anyhow::Result<Found> {
        let mut found = Found {
            next: cursor,
            ..Found::default()
        };
        for _ in 0..PAGES {
            let visited = self.page(pace, &mut found)?;
            pace.pass(visited);
            pace.rest(self.stop)?;
            let full = found
                .by_rules
                .values()
                .any(|keys| keys.len() >= pace.batch());
            if full || found.next == 0 {
                break;
            }
        }
        Ok(found)
    }

    /// One page more, by the rules whose patterns its keys match. Returns how many keys match none.
    fn page(&mut self, pace: &mut Pace, found: &mut Found) -> anyhow::Result<u64> {
        let count = pace.page();
        let mut scan = cmd("SCAN");
        scan.arg(found.next);
        if let [only] = self.rules {
            scan.arg("MATCH").arg(only.pattern.text());
        }
        scan.arg("COUNT").arg(count);
        let (answer, ping) = self.turn(&scan, pace)?;
        ping?;
        let (next, keys): (u64, Vec<Vec<u8>>) =
            from_redis_value(answer).context("the answer to SCAN is not one")?;
        // With MATCH only the server knows how many it looked at.
        let visited = if self.rules.len() == 1 {
            count
        } else {
            keys.len()
        } as u64;
        let mut matched = 0;
        for key in keys {
            let mut set = 0;
            for (number, rule) in self.rules.iter().enumerate() {
                set |= u64::from(rule.pattern.matches(&key)) << number;
            }
            if set != 0 {
                found.by_rules.entry(set).or_default().push(key);
                matched += 1;
            }
        }
        found.next = next;
        found.visited += visited;
        Ok(visited.saturating_sub(matched))
    }

    /// Keys that match the same rules, batch by batch.
    fn treat(
        &mut self,
        set: u64,
        keys: &[Vec<u8>],
        mode: Mode<'_>,
        pace: &mut Pace,
        tally: &mut Tally,
    ) -> anyhow::Result<()> {
        let rules: Vec<usize> = (0..self.rules.len())
            .filter(|number| set >> number & 1 == 1)
            .collect();
        let mut rest = keys;
        while !rest.is_empty() {
            let batch = &rest[..rest.len().min(pace.batch())];
            let script = self.script(&rules, batch, mode);
            let (answer, ping) = self.turn(&script, pace).inspect_err(|_| {
                if self.work.waits() {
                    tally.unknown = batch.len() as u64;
                }
            })?;
            let done = self.count(&rules, answer, tally)?;
            ping?;
            let done = done.clamp(1, batch.len());
            rest = &rest[done..];
            pace.pass(done as u64);
            pace.rest(self.stop)?;
        }
        Ok(())
    }

    fn script(&self, rules: &[usize], keys: &[Vec<u8>], mode: Mode<'_>) -> Cmd {
        let mut script = cmd("EVAL");
        script.arg(SCRIPT).arg(0).arg(BUDGET_US);
        script.arg(if self.cluster { 1 } else { CHUNK });
        script.arg(match mode {
            Mode::Count => "count",
            Mode::Act(_) => "act",
        });
        script.arg(rules.len());
        for number in rules {
            for word in self.rules[*number].words() {
                script.arg(word);
            }
        }
        for key in keys {
            script.arg(key.as_slice());
        }
        script
    }

    /// Adds up what the script says; returns how many keys are done.
    fn count(&self, rules: &[usize], answer: Value, tally: &mut Tally) -> anyhow::Result<usize> {
        let parts: Vec<Value> = from_redis_value(answer)?;
        let numbers: Vec<u64> = parts
            .iter()
            .filter_map(|part| match part {
                Value::Int(number) => u64::try_from(*number).ok(),
                _ => None,
            })
            .collect();
        anyhow::ensure!(
            numbers.len() == rules.len() + 3 && parts.len() == numbers.len() + 1,
            "the answer of the script is not one"
        );
        for (number, changed) in rules.iter().zip(&numbers[1..]) {
            tally.changed[*number] += changed;
        }
        let lookups = &numbers[rules.len() + 1..];
        tally.lookups.0 += lookups[0];
        tally.lookups.1 += lookups[1];
        let trouble: String = parts
            .into_iter()
            .next_back()
            .map(from_redis_value)
            .transpose()?
            .unwrap_or_default();
        if trouble.is_empty() {
            return Ok(usize::try_from(numbers[0])?);
        }
        let (code, detail) = code_of(&trouble);
        Err(complaint(self.work.name(), &meaning(code, detail)).into())
    }

    /// One thing asked of the server, and a ping right behind it. The answer counts whatever became of the ping.
    fn turn(
        &mut self,
        command: &Cmd,
        pace: &mut Pace,
    ) -> anyhow::Result<(Value, anyhow::Result<()>)> {
        self.work.send(command)?;
        let asked = Instant::now();
        let ping = self.probe.ping();
        if ping.is_ok() {
            pace.saw(asked.elapsed());
        }
        Ok((self.work.receive()?, ping))
    }
}

/// Keys of some pages.
#[derive(Default)]
struct Found {
    /// Where SCAN goes on behind them.
    next: u64,
    /// Keys gone through, about.
    visited: u64,
    /// Those that match, by the set of rules that they match.
    by_rules: BTreeMap<u64, Vec<Vec<u8>>>,
}

/// The code of an error inside a script; before version 7 a place stands before it.
fn code_of(trouble: &str) -> (&str, &str) {
    let text = match trouble.split_once(": -") {
        Some((place, text)) if place.starts_with("@user_script") => text,
        _ => trouble.trim_start_matches('-'),
    };
    text.split_once(' ').unwrap_or((text, ""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_code_of_an_error_is_found() {
        for text in [
            "READONLY You can't write against a read only replica.",
            "-READONLY You can't write against a read only replica.",
            "@user_script: 34: -READONLY You can't write against a read only replica.",
        ] {
            assert_eq!(code_of(text).0, "READONLY");
        }
    }
}
