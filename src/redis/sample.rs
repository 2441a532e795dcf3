//! What takes the memory: some keys drawn at random, or all where there are few, with their size and time to live. What is said
//! about all keys has its error beside it.

use std::collections::BTreeMap;

use ::redis::cmd;

use super::Link;
use crate::sys::Stop;

const SCRIPT: &str = include_str!("look.lua");
/// Keys of one script; each is asked for twice.
const BATCH: usize = 64;
/// What usually stands between the parts of a key.
const SEPARATORS: &[u8] = b":/|.";
/// A prefix longer than this is no prefix.
const LONGEST_PREFIX: usize = 64;
/// Keys that are named one by one.
const LARGEST: usize = 10;
/// Two standard errors to each side hold 95% of the time.
const SIGMAS: f64 = 1.96;

/// One key that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sampled {
    /// Bytes that it takes, as the server counts.
    pub bytes: u64,
    /// Its name, with what is no text escaped.
    pub key: String,
    /// True when it ends by itself.
    pub ends: bool,
}

/// What was seen.
#[derive(Default)]
pub struct Sample {
    /// Keys that were looked at.
    pub looked: u64,
    /// Keys that there are.
    pub of: u64,
    /// True when every key was looked at: nothing is estimated.
    pub exact: bool,
    /// The largest of them, largest first.
    pub largest: Vec<Sampled>,
    lookups: u64,
    prefixes: BTreeMap<String, Sums>,
}

#[derive(Clone, Default)]
struct Sums {
    keys: f64,
    endless: f64,
    bytes: f64,
    squares: f64,
    example: Option<Vec<u8>>,
}

/// What the keys with one prefix have in all; ± is what holds in 19 of 20 samples.
#[derive(Clone, Debug)]
pub struct Share {
    /// Up to and with the first separator; empty for keys without one.
    pub prefix: String,
    /// How many.
    pub keys: f64,
    /// ± keys.
    pub keys_error: f64,
    /// How many of them never end.
    pub endless: f64,
    /// Bytes.
    pub bytes: f64,
    /// ± bytes.
    pub bytes_error: f64,
    /// One of those that never end.
    pub example: Option<Vec<u8>>,
}

impl Sample {
    /// Looks at `size` keys of the connection's database, or at all where there are no more.
    pub fn take(link: &mut Link, size: u64, stop: &Stop) -> anyhow::Result<Self> {
        let of: u64 = link.ask(&cmd("DBSIZE"))?;
        let mut sample = Self {
            of,
            exact: of <= size,
            ..Self::default()
        };
        match sample.exact {
            true => sample.all(link, stop)?,
            false => sample.some(link, size, stop)?,
        }
        Ok(sample)
    }

    fn all(&mut self, link: &mut Link, stop: &Stop) -> anyhow::Result<()> {
        let mut cursor: u64 = 0;
        loop {
            let mut scan = cmd("SCAN");
            scan.arg(cursor).arg("COUNT").arg(BATCH);
            let (next, keys): (u64, Vec<Vec<u8>>) = link.ask(&scan)?;
            self.look(link, &keys, stop)?;
            cursor = next;
            if cursor == 0 {
                self.of = self.looked;
                return Ok(());
            }
        }
    }

    fn some(&mut self, link: &mut Link, size: u64, stop: &Stop) -> anyhow::Result<()> {
        let mut drawn = 0;
        while drawn < size {
            let keys: Vec<Option<Vec<u8>>> = link.ask_often(&cmd("RANDOMKEY"), BATCH)?;
            drawn += BATCH as u64;
            let keys: Vec<_> = keys.into_iter().flatten().collect();
            self.look(link, &keys, stop)?;
        }
        Ok(())
    }

    fn look(&mut self, link: &mut Link, keys: &[Vec<u8>], stop: &Stop) -> anyhow::Result<()> {
        for batch in keys.chunks(BATCH) {
            stop.check()?;
            let mut script = cmd("EVAL");
            script.arg(SCRIPT).arg(0);
            for key in batch {
                script.arg(key.as_slice());
            }
            let answers: Vec<i64> = link.ask(&script)?;
            for (key, answer) in batch.iter().zip(answers.chunks_exact(2)) {
                if answer[0] != -2 {
                    self.lookups += 1;
                    self.add(key, answer[0] >= 0, u64::try_from(answer[1]).unwrap_or(0));
                }
            }
        }
        Ok(())
    }

    fn add(&mut self, key: &[u8], ends: bool, bytes: u64) {
        self.looked += 1;
        let size = bytes as f64;
        let sums = self.prefixes.entry(prefix(key)).or_default();
        sums.keys += 1.0;
        if !ends {
            sums.endless += 1.0;
            sums.example.get_or_insert_with(|| key.to_vec());
        }
        sums.bytes += size;
        sums.squares += size * size;
        let smallest = self.largest.last().map_or(0, |sampled| sampled.bytes);
        if self.largest.len() < LARGEST || bytes > smallest {
            let sampled = Sampled {
                bytes,
                key: shown(key),
                ends,
            };
            // Drawn with replacement: the same key may come twice.
            if !self.largest.contains(&sampled) {
                self.largest.push(sampled);
                self.largest
                    .sort_by(|a, b| b.bytes.cmp(&a.bytes).then_with(|| a.key.cmp(&b.key)));
                self.largest.truncate(LARGEST);
            }
        }
    }

    /// Times to live that we asked for: the server counts them as hits.
    pub fn lookups(&self) -> u64 {
        self.lookups
    }

    /// What each prefix has of all keys, the one with the most memory first.
    pub fn shares(&self) -> Vec<Share> {
        let (looked, of) = (self.looked.max(1) as f64, self.of as f64);
        let error = |sum: f64, squares: f64| {
            let mean = sum / looked;
            let spread = (squares / looked - mean * mean).max(0.0);
            match self.exact {
                true => 0.0,
                false => SIGMAS * of * (spread / looked).sqrt(),
            }
        };
        let scale = of / looked;
        let mut shares: Vec<_> = self
            .prefixes
            .iter()
            .map(|(prefix, sums)| Share {
                prefix: prefix.clone(),
                keys: sums.keys * scale,
                keys_error: error(sums.keys, sums.keys),
                endless: sums.endless * scale,
                bytes: sums.bytes * scale,
                bytes_error: error(sums.bytes, sums.squares),
                example: sums.example.clone(),
            })
            .collect();
        shares.sort_by(|a, b| b.bytes.total_cmp(&a.bytes));
        shares
    }
}

/// Up to and with the first separator.
fn prefix(key: &[u8]) -> String {
    let end = key
        .iter()
        .take(LONGEST_PREFIX)
        .position(|byte| SEPARATORS.contains(byte));
    end.map_or_else(String::new, |end| shown(&key[..=end]))
}

/// A key as people read it.
fn shown(key: &[u8]) -> String {
    const LONGEST: usize = 100;
    match std::str::from_utf8(key) {
        Ok(text) if !text.contains(char::is_control) && text.len() <= LONGEST => text.to_owned(),
        _ => key[..key.len().min(LONGEST)].escape_ascii().to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_end_at_the_first_separator() {
        for (key, expected) in [
            (&b"cache:user:1"[..], "cache:"),
            (b"a/b", "a/"),
            (b"plain", ""),
            (b":1", ":"),
            (b"\xff\x00:1", "\\xff\\x00:"),
        ] {
            assert_eq!(prefix(key), expected);
        }
        assert_eq!(prefix(&[b'a'; 100]), "");
    }

    #[test]
    fn an_estimate_holds_what_is_true() {
        let mut sample = Sample {
            of: 100_000,
            ..Sample::default()
        };
        // A quarter of the keys, ten times as large.
        for number in 0..1000 {
            match number % 4 {
                0 => sample.add(b"large:1", false, 1000),
                _ => sample.add(b"small:1", true, 100),
            }
        }
        let shares = sample.shares();
        assert_eq!(shares[0].prefix, "large:");
        assert!(
            (shares[0].keys - 25_000.0).abs() < 1.0 && (shares[0].endless - 25_000.0).abs() < 1.0
        );
        assert!((shares[0].bytes - 25e6).abs() < 1.0);
        // ± 1.96 * sqrt(0.25 * 0.75 / 1000) of all keys.
        assert!(
            (shares[0].keys_error - 2684.0).abs() < 2.0,
            "{}",
            shares[0].keys_error
        );
        assert!((shares[1].endless).abs() < 1.0);
        sample.exact = true;
        assert!(sample.shares()[0].keys_error.abs() < f64::EPSILON);
    }

    #[test]
    fn the_largest_keys_are_named_once() {
        let mut sample = Sample::default();
        for number in 0..50 {
            sample.add(format!("key:{number}").as_bytes(), true, number);
            sample.add(format!("key:{number}").as_bytes(), true, number);
        }
        let sizes: Vec<_> = sample.largest.iter().map(|one| one.bytes).collect();
        assert_eq!(sizes, (40..50).rev().collect::<Vec<_>>());
    }
}
