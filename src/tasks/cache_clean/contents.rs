//! What is in a database: keys with and without an end, the memory of each prefix, the largest keys.

use schemars::JsonSchema;
use serde::Serialize;

use super::place::{PATIENCE, Place};
use crate::context::Context;
use crate::error;
use crate::redis::{Link, Sample, Share};
use crate::report::{Cell, Finding, Reporter, Severity, Table};
use crate::units::Bytes;

const ENDLESS: &str = "cache.endless";
const UNSAMPLED: &str = "cache.unsampled";
/// Fewer keys than this without an end are no policy.
const FEW: f64 = 1000.0;
/// Prefixes in the table and in `data`.
const MOST: usize = 20;

/// What is in one database of one server.
#[derive(Serialize, JsonSchema)]
pub struct Contents {
    /// Where.
    server: String,
    /// Which.
    database: i64,
    /// All keys.
    keys: u64,
    /// Those that end by themselves.
    keys_with_ttl: u64,
    /// Those that never do.
    keys_without_ttl: u64,
    /// Keys that were looked at for what is below.
    sampled: u64,
    /// True when that was all of them: then nothing below is estimated.
    exact: bool,
    /// By prefix, the one with the most memory first.
    prefixes: Vec<Prefix>,
    /// The largest among those that were looked at.
    largest: Vec<Large>,
    #[serde(skip)]
    #[schemars(skip)]
    lookups: u64,
}

/// What the keys with one prefix have in all; errors are those that hold in 19 of 20 samples.
#[derive(Serialize, JsonSchema)]
struct Prefix {
    /// Up to and with the first of : / | and the full stop; empty for keys without one.
    prefix: String,
    keys: u64,
    keys_error: u64,
    keys_without_ttl: u64,
    bytes: u64,
    bytes_error: u64,
}

/// One key.
#[derive(Serialize, JsonSchema)]
struct Large {
    key: String,
    bytes: u64,
    has_ttl: bool,
}

/// Looks, and finds prefixes that never end. A user who may not look at keys may still clean them.
pub(super) fn look(
    context: &Context,
    report: &Reporter,
    place: &Place,
    size: u64,
) -> anyhow::Result<Contents> {
    let mut link = place.server.connect(context.stop.left(PATIENCE)?)?;
    let answer = link.info()?;
    let (keys, ends) = answer.keys(place.database);
    let name = place.name();
    for (ttl, number) in [("yes", ends), ("no", keys.saturating_sub(ends))] {
        let labels = [("database", name.as_str()), ("ttl", ttl)];
        report.measure("redis_keys", number as f64, "", labels);
    }
    let mut contents = Contents {
        server: place.server.name(),
        database: place.database,
        keys,
        keys_with_ttl: ends,
        keys_without_ttl: keys.saturating_sub(ends),
        sampled: 0,
        exact: false,
        prefixes: Vec::new(),
        largest: Vec::new(),
        lookups: 0,
    };
    if let Some(sample) = sample(context, report, &mut link, size, &name)? {
        let shares = sample.shares();
        judge_endless(report, place, &shares, sample.of);
        contents.take(&sample, &shares);
    }
    Ok(contents)
}

fn sample(
    context: &Context,
    report: &Reporter,
    link: &mut Link,
    size: u64,
    name: &str,
) -> anyhow::Result<Option<Sample>> {
    if size == 0 {
        return Ok(None);
    }
    report.examined(UNSAMPLED, name);
    match Sample::take(link, size, &context.stop) {
        Ok(sample) => Ok(Some(sample)),
        Err(error) if error::ends_the_run(&error) => Err(error),
        Err(error) => {
            report.find(
                Finding::new(
                    UNSAMPLED,
                    Severity::Info,
                    name,
                    format!("what takes the memory could not be looked at: {error:#}"),
                )
                .hint("man empire-maint-cache-clean has the commands that its user needs"),
            );
            Ok(None)
        }
    }
}

/// Keys that stay for ever although nobody said so: the plan's "adjust TTL policies".
fn judge_endless(report: &Reporter, place: &Place, shares: &[Share], of: u64) {
    report.examined_all(ENDLESS);
    for share in shares.iter().filter(|share| !share.prefix.is_empty()) {
        let covered = share
            .example
            .as_deref()
            .is_none_or(|key| place.rules.iter().any(|rule| rule.pattern.matches(key)));
        if share.endless < FEW || share.endless * 100.0 < of as f64 || covered {
            continue;
        }
        report.find(
            Finding::new(
                ENDLESS,
                Severity::Low,
                format!("{} {}", place.name(), share.prefix),
                format!(
                    "about {:.0} of {:.0} keys {}* never expire (limit {FEW:.0}); keys with this prefix take {}",
                    share.endless,
                    share.keys,
                    share.prefix,
                    Bytes(share.bytes as u64)
                ),
            )
            .measured(share.endless.round(), "", FEW)
            .hint(format!(
                "if they need not stay: [[cache.rule]] pattern = \"{}*\", when = \"no-ttl\", action = \"expire:30d\"",
                escaped(&share.prefix)
            )),
        );
    }
}

/// A prefix as a pattern in TOML that means exactly that.
fn escaped(prefix: &str) -> String {
    let mut pattern = String::new();
    for c in prefix.chars() {
        if "*?[]^\\".contains(c) {
            pattern.push('\\');
        }
        pattern.push(c);
    }
    pattern.replace('\\', "\\\\").replace('"', "\\\"")
}

impl Contents {
    pub(super) fn keys(&self) -> u64 {
        self.keys
    }

    /// Lookups of ours that the server counts as hits.
    pub(super) fn lookups(&self) -> u64 {
        self.lookups
    }

    fn take(&mut self, sample: &Sample, shares: &[Share]) {
        let whole = |number: f64| number.round().max(0.0) as u64;
        self.sampled = sample.looked;
        self.exact = sample.exact;
        self.lookups = sample.lookups();
        self.prefixes = shares
            .iter()
            .take(MOST)
            .map(|share| Prefix {
                prefix: share.prefix.clone(),
                keys: whole(share.keys),
                keys_error: whole(share.keys_error),
                keys_without_ttl: whole(share.endless),
                bytes: whole(share.bytes),
                bytes_error: whole(share.bytes_error),
            })
            .collect();
        self.largest = sample
            .largest
            .iter()
            .map(|one| Large {
                key: one.key.clone(),
                bytes: one.bytes,
                has_ttl: one.ends,
            })
            .collect();
    }

    pub(super) fn tables(&self) -> Vec<Table> {
        let name = format!("{}/{}", self.server, self.database);
        let of = match self.exact {
            true => "all of them looked at".to_owned(),
            false => format!(
                "{} looked at; ± is what holds in 19 of 20 samples",
                self.sampled
            ),
        };
        let mut tables = vec![Table {
            title: format!(
                "{name}: {} keys, {} of them without an end; {of}",
                self.keys, self.keys_without_ttl
            ),
            columns: vec![
                "prefix",
                "keys",
                "±",
                "without an end",
                "memory",
                "± memory",
            ],
            rows: self
                .prefixes
                .iter()
                .map(|one| {
                    let shown = match one.prefix.as_str() {
                        "" => "(none)".to_owned(),
                        prefix => prefix.to_owned(),
                    };
                    vec![
                        Cell::Text(shown),
                        Cell::Count(one.keys),
                        Cell::Count(one.keys_error),
                        Cell::Count(one.keys_without_ttl),
                        Cell::Bytes(one.bytes),
                        Cell::Bytes(one.bytes_error),
                    ]
                })
                .collect(),
        }];
        if !self.largest.is_empty() {
            tables.push(Table {
                title: format!("{name}: the largest keys of those"),
                columns: vec!["key", "memory", "ends"],
                rows: self
                    .largest
                    .iter()
                    .map(|one| {
                        vec![
                            Cell::Text(one.key.clone()),
                            Cell::Bytes(one.bytes),
                            Cell::Text(if one.has_ttl { "yes" } else { "no" }.to_owned()),
                        ]
                    })
                    .collect(),
            });
        }
        tables
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::redis::Pattern;

    #[test]
    fn a_suggested_pattern_means_the_prefix() {
        for prefix in ["user:", "a[1]:", "w*:", "b\\c:", "q\"t:"] {
            let line = format!("p = \"{}*\"", escaped(prefix));
            let table: toml::Table = line.parse().expect("is TOML");
            let pattern = Pattern::new(table["p"].as_str().expect("a text"));
            assert!(pattern.matches(format!("{prefix}1").as_bytes()), "{line}");
            assert!(
                !pattern.matches(b"a1:1") && !pattern.matches(b"wx:1"),
                "{line}"
            );
        }
    }
}
