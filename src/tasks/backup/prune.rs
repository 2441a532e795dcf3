//! What retention takes away, once the new backup is there.

use super::series::Work;
use crate::archive::retention::{self, Candidate, Verdict, Worth};
use crate::archive::{self, Backup, Published};
use crate::error;
use crate::report::{Finding, Severity, Step};

impl Work<'_> {
    /// What goes now that a new backup is there. What cannot be removed is told, and is no failure of the backup.
    pub(super) fn prune_or_tell(&self, series: &str, newest: &Published) -> anyhow::Result<()> {
        const ID: &str = "backup.prune-failed";
        self.report.examined(ID, series);
        match self.prune(series, newest) {
            Err(error) if !error::ends_the_run(&error) => {
                let message = format!(
                    "{} is made, and what it makes dispensable could not all be removed: {error:#}",
                    newest.name.stem
                );
                self.report.find(
                    Finding::new(ID, Severity::Medium, series, message)
                        .hint("the next backup tries again; may the files be changed?"),
                );
                Ok(())
            }
            other => other,
        }
    }

    /// Each removal is an action with its reason; one that fails holds up no other.
    fn prune(&self, series: &str, newest: &Published) -> anyhow::Result<()> {
        let folder = &self.store.folder;
        let all = archive::catalogue(folder, series, self.context.moment())?;
        anyhow::ensure!(
            all.iter()
                .any(|backup| backup.name.stem == newest.name.stem),
            "the published backup is not in the catalogue"
        );
        let mut failed = Ok(());
        for (backup, verdict) in all.iter().zip(self.verdicts(&all)) {
            // Set back by an hour, the clock makes the newest look like an older one of its day.
            if verdict.keeps() || backup.name.stem == newest.name.stem {
                continue;
            }
            self.context.stop.check()?;
            let removed = self.report.act(removal(backup, &verdict), |permit| {
                retention::prune(permit, folder, &backup.name, newest)
            });
            match removed {
                Ok(_) => archive::examine_gone(self.report, &backup.name.file()),
                Err(error) => failed = failed.and(Err(error)),
            }
        }
        failed
    }

    fn verdicts(&self, all: &[Backup]) -> Vec<Verdict> {
        let candidates: Vec<_> = all.iter().map(Candidate::from).collect();
        retention::plan(
            &candidates,
            &self.settings.keep,
            self.context.moment(),
            &self.context.zone,
        )
    }

    /// For a dry run: what would go if the backup of now were there.
    pub(super) fn plan_prune(&self, before: &[Backup]) {
        let now = self.context.moment();
        let at = before.partition_point(|backup| backup.created_at() > now);
        let mut candidates: Vec<_> = before.iter().map(Candidate::from).collect();
        let planned = Candidate {
            created_at: now,
            worth: Worth::Good,
            pinned: false,
        };
        candidates.insert(at, planned);
        let mut verdicts =
            retention::plan(&candidates, &self.settings.keep, now, &self.context.zone);
        verdicts.remove(at);
        for (backup, verdict) in before.iter().zip(verdicts) {
            if !verdict.keeps() {
                // A dry run never comes to the closure.
                let _ = self.report.act(removal(backup, &verdict), |_| Ok(()));
            }
        }
    }
}

fn removal(backup: &Backup, verdict: &Verdict) -> Step {
    Step {
        kind: "delete",
        target: backup.path.display().to_string(),
        reason: format!("retention: {}", verdict.reason()),
    }
}
