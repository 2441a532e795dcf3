//! Database after database, rule after rule: look, plan, act; then what it cost and what it freed.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use rusqlite::Connection;

use super::outcome::{Outcome, Size, reason, summarise};
use super::plan::{Plan, Target};
use super::scene::{BUSY, CONFLICT, Done, FAILED, GAVE_WAY, NO_BACKUP, REFUSED, Scene};
use super::{Detail, PATIENCE, apply, columns, into_file, space};
use crate::archive::{self, Source, Store};
use crate::config::sections::{CleanAction, Rule};
use crate::context::Context;
use crate::error::{self, Kind};
use crate::report::{Finding, Permit, Reporter, Severity, Step};
use crate::sqlite::{self, Gone, LONGEST_LOCK, Pace, quote};
use crate::sys::files;
use crate::sys::lock::Held;
use crate::sys::process::{shell_path, shell_word};
use crate::units::{self, Length};

const NO_TABLE: &str = "data-clean.no-table";
const KEPT: &str = "data-clean.kept";
const LOCK: &str = "data-clean.lock";

/// A run over the rules, resolved.
pub struct Run {
    /// The rules of this run, with the folder of those that archive into files.
    pub rules: Vec<(Rule, Option<PathBuf>)>,
    /// They are the plan's own, for what is there; somebody's own rules name what should be there.
    pub planned: bool,
    /// `--yes`
    pub yes: bool,
    /// False with `--no-backup-check`.
    pub backup_check: bool,
    /// The application's root.
    pub root: PathBuf,
    /// `[backup] reserve`: free space that files of archived rows leave too.
    pub reserve: u64,
}

impl Run {
    pub(super) fn run(
        &self,
        context: &Context,
        report: &Reporter,
        store: &Store,
    ) -> anyhow::Result<()> {
        let mut detail = Detail::default();
        for source in &store.databases {
            let rules: Vec<_> = self
                .rules
                .iter()
                .filter(|(rule, _)| rule.database == source.name)
                .collect();
            if rules.is_empty() {
                continue;
            }
            let lock = archive::series_lock(&store.folder, &source.name);
            let held = match files::metadata(&store.folder)? {
                // Without the folder there is no backup, and nobody else to wait for.
                None => None,
                Some(_) => context.take(&lock, PATIENCE)?,
            };
            let work = Work {
                run: self,
                context,
                report,
                source,
                folder: &store.folder,
                held: held.as_ref(),
            };
            report.examined(FAILED, &source.name);
            let done = report.attempt(FAILED, &source.name, || work.database(&rules, &mut detail));
            report.progress_done();
            if done.is_err() {
                summarise(report, &detail)?;
            }
            done?;
        }
        summarise(report, &detail)
    }
}

/// What the rules on one database share.
struct Hands<'a> {
    reader: &'a Connection,
    pace: &'a mut Pace,
    /// What the rules before would have taken, were this no dry run.
    gone: &'a mut Gone,
}

struct Work<'a> {
    run: &'a Run,
    context: &'a Context,
    report: &'a Reporter,
    source: &'a Source,
    folder: &'a Path,
    held: Option<&'a Held>,
}

impl Work<'_> {
    fn database(
        &self,
        rules: &[&(Rule, Option<PathBuf>)],
        detail: &mut Detail,
    ) -> anyhow::Result<()> {
        let path = &self.source.path;
        files::require_own_links(path, &self.run.root)?;
        sqlite::require_database_file(path)?;
        if self.run.backup_check && !self.has_backup()? {
            return Ok(());
        }
        let reader = sqlite::open_readonly(path, &self.context.stop, BUSY)?;
        // Whatever is wrong with the whole of it is told once, not for every rule.
        sqlite::require_tables(
            &reader,
            path,
            &self.source.expect_tables,
            &self.context.stop,
        )?;
        let mut pace = Pace::new(path, &self.context.stop);
        let mut gone = Gone::default();
        let mut result = Ok(());
        for (rule, folder) in rules {
            for id in [FAILED, REFUSED, NO_TABLE, KEPT, GAVE_WAY, CONFLICT] {
                self.report.examined(id, &rule.name);
            }
            let hands = Hands {
                reader: &reader,
                pace: &mut pace,
                gone: &mut gone,
            };
            let one = || self.rule(rule, folder.clone(), hands, detail);
            result = self.report.attempt(FAILED, &rule.name, one).map(|_| ());
            if result.is_err() {
                break;
            }
        }
        detail.databases.push(self.size(&reader, &pace)?);
        result
    }

    fn has_backup(&self) -> anyhow::Result<bool> {
        let name = &self.source.name;
        self.report.examined(NO_BACKUP, name);
        match archive::require_recent(self.folder, name, self.context.moment()) {
            Err(error) if error::kind_of(&error) == Kind::Refused => {
                self.refuse(NO_BACKUP, name, &error);
                Ok(false)
            }
            other => other.map(|()| true),
        }
    }

    fn refuse(&self, id: &'static str, subject: &str, error: &anyhow::Error) {
        let finding = Finding::of_error(id, Severity::High, subject, error);
        self.report.find(finding);
    }

    fn rule(
        &self,
        rule: &Rule,
        folder: Option<PathBuf>,
        mut hands: Hands<'_>,
        detail: &mut Detail,
    ) -> anyhow::Result<()> {
        let reader = hands.reader;
        let ready = match &folder {
            Some(folder) => self.ready(rule, folder, reader),
            None => Ok(()),
        };
        let looked = ready
            .and_then(|()| Plan::look(reader, rule, folder, hands.gone, self.source, self.context));
        let plan = match looked {
            Ok(Some(plan)) => plan,
            Ok(None) => {
                let message = format!("{} has no table {}", self.source.name, rule.table);
                let finding = |severity| Finding::new(NO_TABLE, severity, &rule.name, message);
                self.report.find(match self.run.planned {
                    true => finding(Severity::Info),
                    false => finding(Severity::Medium).hint("[[data_clean.rule]] table"),
                });
                return Ok(());
            }
            Err(error) if matches!(error::kind_of(&error), Kind::Refused | Kind::Missing) => {
                self.refuse(REFUSED, &rule.name, &error);
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        let mut outcome = Outcome::of(&plan, &self.source.name);
        let mut done = Done::default();
        let result = self.act(&plan, &mut hands, &mut done);
        outcome.done = done.rows;
        outcome.conflicts = done.conflicts;
        outcome.archive = done.archive.clone().or(outcome.archive);
        self.tell_conflicts(&plan, &done);
        self.measure(&plan, &done);
        detail.rules.push(outcome);
        result
    }

    /// A folder of files is ours, and nothing in it is unfinished.
    fn ready(&self, rule: &Rule, folder: &Path, reader: &Connection) -> anyhow::Result<()> {
        files::require_own_directory(folder, &self.run.root, &self.source.path)?;
        let reserve = self.run.reserve;
        into_file::finish(
            self.context,
            self.report,
            rule,
            folder,
            self.source,
            reader,
            reserve,
        )?;
        into_file::require_none_restoring(rule, folder)
    }

    fn act(&self, plan: &Plan, hands: &mut Hands<'_>, done: &mut Done) -> anyhow::Result<()> {
        // The plan's own rule asks for a table only once there is something to put into it.
        if let Target::Missing(why) = &plan.target
            && (plan.chosen > 0 || !self.run.planned)
        {
            self.refuse(REFUSED, &plan.rule.name, why);
            return Ok(());
        }
        if plan.chosen == 0 {
            return self.told_kept(plan, plan.referenced);
        }
        if !self.run.yes
            && let Err(error) = plan
                .require_clock(self.context)
                .and_then(|()| plan.require_fraction())
        {
            self.refuse(REFUSED, &plan.rule.name, &error);
            return Ok(());
        }
        let step = Step {
            kind: match plan.rule.action {
                CleanAction::Delete => "delete",
                CleanAction::Archive => "archive",
            },
            target: format!("{}: {}", self.source.name, plan.table.name),
            reason: reason(plan),
        };
        self.report
            .act(step, |permit| self.change(permit, plan, hands, done))?;
        if self.report.dry_run() {
            plan.take(hands.reader, hands.gone, self.source, self.context)?;
        }
        if done.gave_way {
            self.report.find(Finding::new(
                GAVE_WAY,
                Severity::Low,
                &plan.rule.name,
                format!(
                    "stopped after {} of {} rows for a backup or restore of {} that waits; the next run goes on",
                    done.rows, plan.chosen, self.source.name
                ),
            ));
        } else if !self.report.dry_run() {
            let kept = plan.chosen.saturating_sub(done.rows + done.conflicts);
            self.told_kept(plan, plan.referenced + kept)?;
        } else {
            self.told_kept(plan, plan.referenced)?;
        }
        Ok(())
    }

    /// What the archive does not take stays where it is, every night.
    fn tell_conflicts(&self, plan: &Plan, done: &Done) {
        let (Some(first), Target::Table { archive, .. }) = (&done.first_conflict, &plan.target)
        else {
            return;
        };
        let [from, to] = [&plan.table.name, &archive.name];
        let message = format!(
            "{} of {from} left where they are: {to} does not take them. The first is {first}",
            units::count(done.conflicts, "row")
        );
        let pairs: Vec<_> = columns::primary_key(&plan.table)
            .iter()
            .map(|name| format!("one.{name} = other.{name}"))
            .collect();
        let hint = match pairs.is_empty() {
            true => format!(
                "sqlite3 -readonly {} {}",
                shell_path(&self.source.path),
                shell_word(&format!(".schema {to}"))
            ),
            false => format!(
                "SELECT * FROM {} AS one JOIN {} AS other ON {}",
                quote(from),
                quote(to),
                pairs.join(" AND ")
            ),
        };
        self.report
            .find(Finding::new(CONFLICT, Severity::Medium, &plan.rule.name, message).hint(hint));
    }

    fn told_kept(&self, plan: &Plan, kept: u64) -> anyhow::Result<()> {
        if kept > 0 {
            self.report.find(Finding::new(
                KEPT,
                Severity::Low,
                &plan.rule.name,
                format!(
                    "{} of {} older than {} stay: rows of other tables point to them, a trigger keeps them, or they changed meanwhile",
                    units::count(kept, "row"),
                    plan.table.name,
                    plan.cutoff
                ),
            ));
        }
        Ok(())
    }

    fn change(
        &self,
        permit: &Permit,
        plan: &Plan,
        hands: &mut Hands<'_>,
        done: &mut Done,
    ) -> anyhow::Result<()> {
        let (reader, pace) = (hands.reader, &mut *hands.pace);
        let durable = matches!(plan.target, Target::Folder(_));
        let (path, stop) = (&self.source.path, &self.context.stop);
        let writer = sqlite::open_writer(path, stop, BUSY, durable)?;
        let scene = Scene {
            context: self.context,
            report: self.report,
            source: self.source,
            reader,
            writer: &writer,
            held: self.held,
            reserve: self.run.reserve,
        };
        match &plan.target {
            Target::Folder(folder) => into_file::archive(permit, &scene, plan, folder, pace, done),
            _ => apply::apply(&scene, plan, pace, done),
        }
        .with_context(|| format!("after {}", units::count(done.rows, "row")))
    }

    fn measure(&self, plan: &Plan, done: &Done) {
        let labels = [
            ("database", self.source.name.as_str()),
            ("rule", plan.rule.name.as_str()),
        ];
        let measure = |name, value: u64| self.report.measure(name, value as f64, "", labels);
        measure("data_clean_rows", done.rows);
        measure("data_clean_rows_without_time", plan.times.nulls);
    }

    fn size(&self, reader: &Connection, pace: &Pace) -> anyhow::Result<Size> {
        let name = self.source.name.as_str();
        let size = if pace.turns() > 0 {
            let (path, stop) = (&self.source.path, &self.context.stop);
            let writer = sqlite::open_writer(path, stop, BUSY, false)?;
            space::after(self.report, self.source, &writer)
        } else {
            sqlite::allocated(reader)
        };
        let (bytes, free_bytes) =
            size.map_err(|error| sqlite::explain(error, &self.source.path, &self.context.stop))?;
        let longest = pace.longest();
        if pace.turns() > 0 {
            self.report.examined(LOCK, name);
        }
        if longest > LONGEST_LOCK {
            self.report.find(
                Finding::new(
                    LOCK,
                    Severity::Low,
                    name,
                    format!(
                        "a write lock on {name} was held for {} (limit {})",
                        Length(longest),
                        Length(LONGEST_LOCK)
                    ),
                )
                .measured(
                    longest.as_secs_f64() * 1000.0,
                    "ms",
                    LONGEST_LOCK.as_secs_f64() * 1000.0,
                ),
            );
        }
        let label = [("database", name)];
        let longest_lock_ms = (longest.as_secs_f64() * 10_000.0).round() / 10.0;
        self.report
            .measure("data_clean_longest_lock_ms", longest_lock_ms, "ms", label);
        self.report
            .measure("data_clean_database_bytes", bytes as f64, "bytes", label);
        self.report
            .measure("data_clean_free_bytes", free_bytes as f64, "bytes", label);
        Ok(Size {
            database: name.to_owned(),
            bytes,
            free_bytes,
            longest_lock_ms,
            transactions: pace.turns(),
        })
    }
}
