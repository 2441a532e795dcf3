//! An index of a kind that is not written here: a command of the configuration writes it. What can be shown of it without knowing the
//! kind is shown before it is published: number, dimension and, by the command's own word, the ids.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::drift::Drift;
use super::pending::{self, Pending};
use super::publish::{keep, publish, require, require_kept, waiting};
use super::{DRIFT, ON_TRUST, Outcome, Work};
use crate::error::refused;
use crate::faiss::{Glance, Index, Positions};
use crate::report::{Finding, Permit, Severity, Step};
use crate::sys::{files, process};
use crate::text;
use crate::units::count;

/// An index that a command writes.
pub struct Foreign {
    /// The file.
    pub path: PathBuf,
    /// Its first bytes.
    pub glance: Glance,
    /// An argument list.
    pub command: Vec<String>,
    /// How long it may take.
    pub limit: Duration,
}

impl Foreign {
    /// Refused where the program of its command is not there, or the index cannot be kept.
    pub(super) fn require_possible(&self) -> anyhow::Result<()> {
        require_kept(&self.path)?;
        let program = self.command.first().map(Path::new);
        match program.filter(|program| program.is_absolute()) {
            Some(program) if files::metadata(program)?.is_none() => {
                Err(refused(format!("there is no {}", program.display()))
                    .hint("external_command of [[rag.index]] names it")
                    .into())
            }
            _ => Ok(()),
        }
    }
}

impl Work<'_> {
    /// Has it written anew where that is due.
    pub(super) fn have_rebuilt(
        &self,
        foreign: &Foreign,
        change: Option<&str>,
        pending: Pending,
        outcomes: &mut Vec<Outcome>,
    ) -> anyhow::Result<()> {
        let subject = foreign.path.display().to_string();
        self.require_ids()?;
        let glance = &foreign.glance;
        let mut rows = 0;
        let skipped = self.rows(glance.dimension * 4, &mut |_, _| {
            rows += 1;
            Ok(())
        })?;
        // Which ids it holds cannot be told, only how many.
        let drift = Drift {
            vectors: glance.total,
            rows,
            skipped,
            missing: rows.saturating_sub(glance.total),
            stale: glance.total.saturating_sub(rows),
            common: glance.total.min(rows),
            ..Drift::default()
        };
        self.measure(&subject, &drift);
        outcomes.push(Outcome::new(
            &subject,
            glance.kind.clone(),
            glance.dimension,
            &drift,
        ));
        self.report.examined(DRIFT, &subject);
        self.report.examined(ON_TRUST, &subject);
        let Some(reason) = self.due(&drift, change, pending.due) else {
            self.tell(&subject, &drift, &Ok(()));
            return Ok(());
        };
        let step = Step {
            kind: "rebuild",
            target: subject.clone(),
            reason: format!("{} by {}: {reason}", glance.kind, foreign.command.join(" ")),
        };
        let done = self
            .report
            .act(step, |permit| self.command(permit, foreign))?;
        let (Some(proven), Some(last)) = (done, outcomes.last_mut()) else {
            return Ok(());
        };
        (last.rebuilt, last.proven) = (true, Some(proven.word()));
        if let Proven::Told = proven {
            let message = format!(
                "published on its command's word: a {} cannot be read here. Number of vectors, dimension and the ids that the command listed are right; which vector is under which id, and what a search finds, was not shown",
                glance.kind
            );
            self.report.find(
                Finding::new(ON_TRUST, Severity::Info, subject, message)
                    .hint("ask the application something whose answer is known"),
            );
        }
        Ok(())
    }

    fn command(&self, permit: &Permit, foreign: &Foreign) -> anyhow::Result<Proven> {
        let new = waiting(&foreign.path);
        let ids = files::with_suffix(&new, ".ids");
        let clear = || files::remove(permit, &new).and_then(|()| files::remove(permit, &ids));
        clear()?; // of a run that was killed
        pending::set(permit, &foreign.path)?;
        let done = self.write_and_check(permit, foreign, &new, &ids);
        if done.is_err() {
            let _ = clear();
        }
        done
    }

    fn write_and_check(
        &self,
        permit: &Permit,
        foreign: &Foreign,
        new: &Path,
        ids: &Path,
    ) -> anyhow::Result<Proven> {
        let width = foreign.glance.dimension * 4;
        require_kept(&foreign.path)?;
        let before = self.ids(width)?;
        self.let_go()?;
        self.run_command(foreign, new, ids)?;
        // What it read is what was there before, after, or between.
        let after = self.ids(width)?;
        let glance = Glance::at(new)?;
        anyhow::ensure!(
            glance.dimension == foreign.glance.dimension,
            "the command wrote vectors of {} dimensions instead of {}",
            glance.dimension,
            foreign.glance.dimension
        );
        let (mut held, proven) = match Index::open(new) {
            Ok(index) => (
                index.entries.iter().map(|one| one.id).collect(),
                Proven::Read,
            ),
            Err(_) => (Positions::open(ids)?.ids, Proven::Told),
        };
        anyhow::ensure!(
            held.len() as u64 == glance.total,
            "the command listed {} for an index of {}",
            count(held.len() as u64, "id"),
            count(glance.total, "vector")
        );
        held.sort_unstable();
        require_same(&held, &before, &after)?;
        let file = files::open_regular(new)?;
        if let Some(old) = files::metadata(&foreign.path)? {
            use std::os::unix::fs::MetadataExt as _;
            files::own_like(&file, &old)?;
            files::set_mode(&file, old.mode())?;
        }
        files::sync(&file, new)?;
        files::remove(permit, ids)?;
        let _shield = self.context.stop.shield();
        require(foreign.glance.is_still(&foreign.path)?)?;
        keep(permit, &foreign.path)?;
        publish(permit, &foreign.path)?;
        pending::clear(permit, &foreign.path)?;
        Ok(proven)
    }

    fn run_command(&self, foreign: &Foreign, new: &Path, ids: &Path) -> anyhow::Result<()> {
        let names = &self.memory.names;
        let mut command = process::from_list(&foreign.command)?;
        command
            .env("EMPIRE_MAINT_DATABASE", &self.source.path)
            .env("EMPIRE_MAINT_TABLE", &self.memory.embeddings.name)
            .env("EMPIRE_MAINT_ID", &names.id)
            .env("EMPIRE_MAINT_VECTOR", &names.vector)
            .env("EMPIRE_MAINT_INDEX", &foreign.path)
            .env("EMPIRE_MAINT_OUTPUT", new)
            .env("EMPIRE_MAINT_IDS", ids);
        if let Some(meta) = files::metadata(&foreign.path)? {
            process::as_owner(&mut command, &meta);
        }
        let output = process::run(command, foreign.limit, &self.context.stop)?;
        let words = [output.stderr.as_slice(), &output.stdout]
            .iter()
            .map(|stream| String::from_utf8_lossy(stream).trim().to_owned())
            .find(|words| !words.is_empty())
            .unwrap_or_default();
        anyhow::ensure!(
            output.status.success(),
            "{} ended with {}: {}",
            foreign.command.join(" "),
            output.status,
            text::shorten(&text::clean(&words), 500)
        );
        Ok(())
    }
}

/// What could be shown of it.
#[derive(Clone, Copy)]
enum Proven {
    /// The ids, by reading them.
    Read,
    /// The ids, as far as the command's list of them is true.
    Told,
}

impl Proven {
    fn word(self) -> &'static str {
        match self {
            Self::Read => "ids",
            Self::Told => "ids-as-told",
        }
    }
}

/// All are sorted. What was in the table all the time has to be in the index, and what was never there must not be.
fn require_same(held: &[i64], before: &[i64], after: &[i64]) -> anyhow::Result<()> {
    let lacks = |one: &[i64], id: &i64| one.binary_search(id).is_err();
    let missing = before
        .iter()
        .filter(|id| !lacks(after, id) && lacks(held, id))
        .count();
    let stale = held
        .iter()
        .filter(|id| lacks(before, id) && lacks(after, id))
        .count();
    anyhow::ensure!(
        missing == 0 && stale == 0 && held.is_sorted_by(|a, b| a < b),
        "the index of the command does not hold what the table holds: {missing} missing, {stale} stale"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_or_went_meanwhile_may_be_there_or_not() {
        for (held, fine) in [
            (&[1, 2, 3][..], true),
            (&[1, 3], true),
            (&[1, 2, 3, 4], true),
            (&[1, 4], false),
            (&[1, 3, 9], false),
            (&[1, 1, 3], false),
        ] {
            assert_eq!(
                require_same(held, &[1, 2, 3], &[1, 3, 4]).is_ok(),
                fine,
                "{held:?}"
            );
        }
    }
}
