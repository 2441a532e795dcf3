//! One pass over one database, from where an earlier one stopped: what the rules do, counted; where it stopped, kept.

use jiff::{SignedDuration, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::place::{PATIENCE, Place};
use crate::context::Context;
use crate::redis::{Mode, Pace, Rule, Sweep, Tally};
use crate::report::{Cell, Finding, Reporter, Severity, Step, Table, Unit};
use crate::units;

const RESUMED: &str = "cache.resumed";
/// After a day the keys are others: then a pass begins at the beginning.
const STALE: SignedDuration = SignedDuration::from_hours(24);

/// What became of one rule in one database.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct RuleDone {
    /// Where.
    server: String,
    /// Which database.
    database: i64,
    /// Which keys.
    pattern: String,
    /// What had to hold.
    when: String,
    /// What became of them.
    pub(super) action: String,
    /// How many it was done to, or would be.
    pub(super) keys: u64,
    /// Keys that were under way when the connection was lost: nobody knows.
    unknown: u64,
    /// True when this run went through every key.
    complete: bool,
    /// True when it went on where an earlier one was stopped: what came meanwhile into the part before is left to the next.
    resumed: bool,
    #[serde(skip)]
    #[schemars(skip)]
    ended: bool,
}

/// Where a pass stopped. Means something only to the same run of the same server, and for the same rules: a server that was
/// started anew lays its keys out in another order, and going on there would leave some out.
#[derive(Serialize, Deserialize)]
struct Mark {
    server_run: String,
    rules: String,
    cursor: u64,
    visited: u64,
    at: Timestamp,
}

/// One pass, and what came of it.
pub(super) struct Pass<'a> {
    context: &'a Context,
    report: &'a Reporter,
    place: &'a Place,
    tally: Tally,
    resumed: bool,
}

impl<'a> Pass<'a> {
    pub(super) fn new(context: &'a Context, report: &'a Reporter, place: &'a Place) -> Self {
        let tally = Tally {
            changed: vec![0; place.rules.len()],
            ..Tally::default()
        };
        Self {
            context,
            report,
            place,
            tally,
            resumed: false,
        }
    }

    /// Goes through all keys. What was done is known also when it ends with an error.
    pub(super) fn run(&mut self, pace: &mut Pace) -> anyhow::Result<()> {
        let name = self.place.name();
        let limit = self.context.stop.left(PATIENCE)?;
        let mut work = self.place.server.connect(limit)?;
        let answer = work.info()?;
        let (keys, _) = answer.keys(self.place.database);
        let mark = Mark {
            server_run: answer.text("run_id").unwrap_or_default().to_owned(),
            rules: digest(&self.place.rules),
            cursor: 0,
            visited: 0,
            at: self.context.now,
        };
        self.resumed = self.resume(&mark);
        let progress = |visited: u64| {
            self.report.progress(
                visited.min(keys),
                keys,
                Unit::Count,
                &format!("cleaning {name}"),
            );
        };
        let mut sweep = Sweep {
            work,
            probe: self.place.server.connect(limit)?,
            rules: &self.place.rules,
            cluster: self.place.cluster,
            stop: &self.context.stop,
            progress: &progress,
        };
        let step = Step {
            kind: "clean",
            target: name.clone(),
            reason: match self.resumed {
                true => "from where the last run stopped".to_owned(),
                false => units::count(self.place.rules.len() as u64, "rule"),
            },
        };
        let tally = &mut self.tally;
        let result = match self.context.dry_run {
            true => {
                let counted = sweep.run(Mode::Count, pace, tally);
                self.report.act(step, |_| Ok(()))?;
                counted
            }
            false => self
                .report
                .act(step, |permit| sweep.run(Mode::Act(permit), pace, tally))
                .map(|_| ()),
        };
        self.list()?;
        self.keep(mark);
        result.map_err(|error| error.context(self.so_far()))
    }

    /// One action a rule, with its amount.
    fn list(&self) -> anyhow::Result<()> {
        let name = self.place.name();
        for (rule, keys) in self.place.rules.iter().zip(&self.tally.changed) {
            let action = rule.action.to_string();
            let labels = [
                ("database", name.as_str()),
                ("rule", rule.pattern.text()),
                ("action", action.as_str()),
            ];
            self.report
                .measure("cache_changed_keys", *keys as f64, "", labels);
            if *keys > 0 {
                let step = Step {
                    kind: match action.as_str() {
                        "unlink" => "unlink",
                        _ => "expire",
                    },
                    target: format!("{} in {name}", rule.pattern.text()),
                    reason: format!("{}, {action}: {}", rule.when, units::count(*keys, "key")),
                };
                self.report.act(step, |_| Ok(()))?;
            }
        }
        Ok(())
    }

    fn so_far(&self) -> String {
        let changed: u64 = self.tally.changed.iter().sum();
        let unknown = match self.tally.unknown {
            0 => String::new(),
            keys => format!(" (and up to {keys} more that were under way)"),
        };
        format!(
            "stopped at {} after about {} with {} changed{unknown}",
            self.place.name(),
            units::count(self.tally.visited, "key"),
            changed
        )
    }

    fn key(&self) -> String {
        format!("mark {}", self.place.name())
    }

    fn resume(&mut self, now: &Mark) -> bool {
        let kept = self.context.recall(&self.key());
        let Some(mark) = kept.and_then(|value| serde_json::from_value::<Mark>(value).ok()) else {
            return false;
        };
        let same = mark.server_run == now.server_run
            && mark.rules == now.rules
            && now.at.duration_since(mark.at) < STALE;
        if same {
            self.tally.cursor = mark.cursor;
            self.tally.visited = mark.visited;
            let place = self.place.name();
            let text = format!(
                "goes on where the run of {:.0} stopped, after about {}",
                mark.at,
                units::count(mark.visited, "key")
            );
            self.report
                .find(Finding::new(RESUMED, Severity::Info, place, text));
        }
        same
    }

    /// Where to go on; nothing once all is done.
    fn keep(&self, mut mark: Mark) {
        if self.context.dry_run {
            return;
        }
        let value = match (self.tally.complete, self.tally.cursor) {
            (true, _) | (_, 0) => Value::Null,
            (false, cursor) => {
                mark.cursor = cursor;
                mark.visited = self.tally.visited;
                json!(mark)
            }
        };
        self.report.remember(self.key(), value);
    }

    /// Lookups of ours.
    pub(super) fn lookups(&self) -> (u64, u64) {
        self.tally.lookups
    }

    pub(super) fn done(&self) -> impl Iterator<Item = RuleDone> {
        let rules = self.place.rules.iter().zip(&self.tally.changed);
        rules.map(|(rule, keys)| RuleDone {
            server: self.place.server.name(),
            database: self.place.database,
            pattern: rule.pattern.text().to_owned(),
            when: rule.when.to_string(),
            action: rule.action.to_string(),
            keys: *keys,
            unknown: self.tally.unknown,
            complete: self.tally.complete && !self.resumed,
            resumed: self.resumed,
            ended: self.tally.complete,
        })
    }
}

/// The same for the same rules in the same order.
fn digest(rules: &[Rule]) -> String {
    let mut hash = blake3::Hasher::new();
    for rule in rules {
        hash.update(
            format!("{}\0{}\0{}\0", rule.pattern.text(), rule.when, rule.action).as_bytes(),
        );
    }
    hash.finalize().to_hex().to_string()
}

/// What became of the rules, for people.
pub(super) fn rules_table(rules: &[RuleDone], dry_run: bool) -> Table {
    let row = |rule: &RuleDone| {
        vec![
            Cell::Text(format!("{}/{}", rule.server, rule.database)),
            Cell::Text(rule.pattern.clone()),
            Cell::Text(rule.when.clone()),
            Cell::Text(rule.action.clone()),
            Cell::Count(rule.keys),
            match (rule.ended, rule.resumed) {
                (true, false) => Cell::Text("all gone through".to_owned()),
                (true, true) => Cell::Text("the rest gone through".to_owned()),
                (false, _) => Cell::Bad("STOPPED".to_owned()),
            },
        ]
    };
    Table {
        title: match dry_run {
            true => "What the rules would do".to_owned(),
            false => "What the rules did".to_owned(),
        },
        columns: vec!["database", "pattern", "when", "action", "keys", ""],
        rows: rules.iter().map(row).collect(),
    }
}
