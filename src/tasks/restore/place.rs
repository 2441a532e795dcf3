//! From a backup to a database in its place: refuse early, restore beside the target, check, swap, check again.

use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;

use super::Task;
use super::app::Application;
use super::choose::Choice;
use crate::archive::swap::{self, Access, Healed, Intent, Swap};
use crate::archive::{self, Backup, Content, Limits, Source, Standing};
use crate::context::Context;
use crate::error::{Failure, Kind, damaged, missing, refused};
use crate::report::{Finding, Permit, Reporter, Severity, Step, Unit};
use crate::sqlite::{self, Facts};
use crate::sys::lock::{Held, Lock};
use crate::sys::process::{shell_path, shell_word};
use crate::sys::{Stop, files, machine, space, steady};

const PATIENCE: Duration = Duration::from_secs(60);
/// How long a look at the database waits for those who work with it.
const BUSY: Duration = Duration::from_secs(5);

/// What a restore did.
pub struct Placed {
    /// Plain bytes.
    pub plain: u64,
    /// Where the database that was there is kept.
    pub kept: Option<PathBuf>,
}

/// The whole restore; `None` in a dry run.
pub fn place(
    task: &Task,
    context: &Context,
    report: &Reporter,
    choice: &Choice,
) -> anyhow::Result<Option<Placed>> {
    let target = real_target(task, &choice.target)?;
    let work = Work {
        task,
        context,
        report,
        backup: &choice.backup,
        target: &target,
        asked: &choice.target,
        force: choice.force,
    };
    let locks = work.lock()?;
    let placed = match choice.backup.name.content {
        Content::Tar => work.unpack(),
        Content::Sqlite => work.database(),
    };
    drop(locks);
    placed
}

/// A link is followed when root, we, or the owner of the application's root made it; nobody else may point us elsewhere. The file that
/// it leads to may be lost.
fn real_target(task: &Task, target: &Path) -> anyhow::Result<PathBuf> {
    let is_link = files::link_metadata(target)?.is_some_and(|meta| meta.is_symlink());
    let real = match is_link {
        true => files::through_own_links(target, &task.root)?,
        false => target.to_owned(),
    };
    let folder = files::parent(&real);
    if !folder.is_dir() {
        let shown = shell_path(folder);
        let owner = match (&task.app.user, &task.to) {
            (Some(user), None) => format!(" && chown {}: {shown}", shell_word(user)),
            _ => String::new(), // what root puts somewhere else is nobody's but root's
        };
        return Err(missing(format!("there is no folder {}", folder.display()))
            .hint(format!("mkdir -p {shown}{owner}"))
            .into());
    }
    if files::is_read_only(folder) {
        let message = format!("the file system of {} is read-only", folder.display());
        return Err(refused(message)
            .hint(format!("findmnt -T {}", shell_path(folder)))
            .into());
    }
    match (is_link, real.file_name()) {
        (true, Some(name)) => Ok(std::fs::canonicalize(folder)
            .with_context(|| format!("cannot follow {}", target.display()))?
            .join(name)),
        _ => Ok(real),
    }
}

/// One restore.
pub(super) struct Work<'a> {
    pub task: &'a Task,
    pub context: &'a Context,
    pub report: &'a Reporter,
    pub backup: &'a Backup,
    pub target: &'a Path,
    /// As it was asked for: maybe a link to the target.
    asked: &'a Path,
    pub force: bool,
}

impl Work<'_> {
    /// The series in the backup folder, so that nothing is pruned or backed up meanwhile.
    fn lock(&self) -> anyhow::Result<Option<Held>> {
        let folder = &self.task.store.folder;
        if files::metadata(folder)?.is_none() {
            return Ok(None);
        }
        let series = self
            .task
            .database
            .as_deref()
            .unwrap_or(&self.backup.name.series);
        if !self.task.store.series().iter().any(|known| known == series) {
            return Ok(None);
        }
        let lock = Lock {
            optional: true,
            urgent: true,
            ..archive::series_lock(folder, series)
        };
        self.context.take(&lock, PATIENCE)
    }

    fn database(&self) -> anyhow::Result<Option<Placed>> {
        if let Some(placed) = self.finish_interrupted()? {
            return Ok(Some(placed));
        }
        let old = self.require_free_target()?;
        self.require_readable_backup()?;
        let step = Step {
            kind: "restore",
            target: self.target.display().to_string(),
            reason: format!("from {}", self.backup.path.display()),
        };
        self.tell_source();
        let restored = self
            .report
            .act(step, |permit| self.beside(permit))
            .map_err(|error| self.with_the_one_before(error))?;
        let (plain, facts) = restored.clone().unwrap_or_default();
        let swap = || self.swap_in(old, facts.as_ref());
        let swapped = match self.task.stop_app {
            true => self.app().while_stopped(&self.open_files(), swap),
            false => swap(),
        };
        if swapped.is_err() && files::link_metadata(&swap::part_path(self.target))?.is_some() {
            let step = Step {
                kind: "sweep",
                target: swap::part_path(self.target).display().to_string(),
                reason: "it did not come into its place".into(),
            };
            let _ = self
                .report
                .act(step, |permit| swap::sweep_part(permit, self.target));
        }
        let kept = swapped?;
        if let Some(kept) = &kept {
            self.tell_still_open(kept);
            self.tell_other_names(kept)?;
        }
        Ok(restored.map(|_| Placed { plain, kept }))
    }

    fn app(&self) -> Application<'_> {
        Application {
            settings: &self.task.app,
            context: self.context,
            report: self.report,
            allow_open: self.task.allow_open,
        }
    }

    fn swap_in(&self, old: bool, facts: Option<&Facts>) -> anyhow::Result<Option<PathBuf>> {
        let step = Step {
            kind: if old { "swap" } else { "place" },
            target: self.target.display().to_string(),
            reason: match old {
                true => "the restored database is sound; the one that is there is kept".into(),
                false => "the restored database is sound".into(),
            },
        };
        let kept = self
            .report
            .act(step, |permit| self.put_in_place(permit, old, facts))?;
        Ok(kept.flatten())
    }

    /// A restore that was killed: the rerun finishes it, forwards or backwards.
    fn finish_interrupted(&self) -> anyhow::Result<Option<Placed>> {
        let Some(intent) = swap::pending_swap(self.target)? else {
            return Ok(None);
        };
        let step = Step {
            kind: "finish",
            target: self.target.display().to_string(),
            reason: format!("an earlier restore of {} was cut short", intent.backup),
        };
        let healed = self.report.act(step, |permit| {
            let sound = |access| self.check_again(access, None);
            swap::heal(permit, self.target, &intent, &self.context.stop, sound)
        })?;
        match healed {
            Some(Healed::Swapped(kept)) => {
                if self.task.stop_app || intent.stop_app {
                    self.app().start(); // the one that was killed had stopped it
                }
                self.require_same_backup(&intent)?;
                let plain = files::metadata(self.target)?.map_or(0, |meta| meta.len());
                Ok(Some(Placed {
                    plain,
                    kept: Some(kept),
                }))
            }
            _ => Ok(None),
        }
    }

    /// What somebody chose and got by now is not replaced by the newest one on the way.
    fn require_same_backup(&self, intent: &Intent) -> anyhow::Result<()> {
        let (finished, wanted) = (&intent.backup, &self.backup.name.stem);
        if finished == wanted {
            return Ok(());
        }
        let message = format!(
            "the restore of {finished} that was cut short is finished, and {finished} is in place at {}: {wanted} was not restored",
            self.target.display()
        );
        // No refusal: what was cut short has been finished.
        Err(Failure::new(Kind::Failed, message)
            .hint(format!("the same command again restores {wanted}"))
            .into())
    }

    /// True when there is a database to be kept. Refuses what was not asked for.
    fn require_free_target(&self) -> anyhow::Result<bool> {
        let shown = self.target.display();
        let meta = files::link_metadata(self.target)?;
        let is_folder = self.target.as_os_str().as_bytes().ends_with(b"/");
        if is_folder || meta.as_ref().is_some_and(|meta| !meta.is_file()) {
            let what = match &meta {
                Some(_) => "is there and is not a file",
                None => "is the name of a folder",
            };
            return Err(refused(format!("{shown} {what}"))
                .hint("--to PATH is the name of a file that does not exist yet")
                .into());
        }
        let sides: Vec<_> = sqlite::side_files(self.target)
            .into_iter()
            .filter(|side| matches!(files::link_metadata(side), Ok(Some(_))))
            .collect();
        if !self.force && (meta.is_some() || !sides.is_empty()) {
            let what = match &meta {
                Some(_) => format!("{shown} exists"),
                None => format!(
                    "{} is left beside {shown}: a stale log would corrupt what is restored",
                    sides[0].display()
                ),
            };
            return Err(refused(what)
                .hint("--force replaces it and keeps it under a dated name; --to PATH restores elsewhere")
                .into());
        }
        if meta.is_some() {
            self.require_no_own_file()?;
        }
        if let Some(meta) = &meta {
            self.require_owner(meta)?;
            if !self.task.stop_app {
                self.require_closed()?;
                swap::require_unlocked(self.target, &self.context.stop)?;
            }
        }
        Ok(meta.is_some())
    }

    /// A slip in `--to` must not cost a backup, or what this program knows.
    fn require_no_own_file(&self) -> anyhow::Result<()> {
        let inside = |folder: &Path| {
            let real = std::fs::canonicalize(folder);
            real.is_ok_and(|real| self.target.starts_with(real))
        };
        let backup = self
            .target
            .extension()
            .is_some_and(|end| ["gz", "json", "idx", "lock"].iter().any(|own| end == *own));
        if inside(&self.context.state) || (backup && inside(&self.task.store.folder)) {
            return Err(
                refused(format!("{} is one of our own files", self.target.display()))
                    .hint("--to the database's path, or a file that does not exist yet")
                    .into(),
            );
        }
        Ok(())
    }

    /// Only root can give the new file to the owner of the old one, and an application that cannot read its database is down.
    fn require_owner(&self, old: &std::fs::Metadata) -> anyhow::Result<()> {
        if machine::is_root() || machine::is_own(old) {
            return Ok(());
        }
        Err(refused(format!(
            "{} belongs to user {}, who could not read what somebody else puts there",
            self.target.display(),
            old.uid()
        ))
        .hint("run as root or as that user")
        .into())
    }

    fn open_files(&self) -> Vec<PathBuf> {
        let [wal, shm, journal] = sqlite::side_files(self.target);
        vec![self.target.to_owned(), wal, shm, journal]
    }

    fn require_closed(&self) -> anyhow::Result<()> {
        if self.task.allow_open || machine::holders(&self.open_files()).is_empty() {
            return Ok(());
        }
        Err(swap::in_use(self.target).into())
    }

    pub fn require_readable_backup(&self) -> anyhow::Result<()> {
        self.backup.require_compressed()?;
        if let Standing::Unreadable(failure) = &self.backup.standing {
            let mut failure = failure.clone();
            if failure.kind == Kind::Damaged {
                failure =
                    refused(failure.message).hint("move the manifest away to restore without it");
            }
            let what = format!(
                "the manifest of {} cannot be read",
                self.backup.path.display()
            );
            return Err(anyhow::Error::from(failure).context(what));
        }
        if let Some(bad) = self
            .backup
            .manifest()
            .and_then(|manifest| manifest.bad.as_ref())
        {
            self.report.find(Finding::new(
                "restore.known-bad",
                Severity::High,
                self.backup.name.file(),
                format!("this backup was found damaged before: {}", bad.reason),
            ));
        }
        Ok(())
    }

    /// Into a part file beside the target: inflated, every digest compared, checked as a database, owned, synced.
    fn beside(&self, permit: &Permit) -> anyhow::Result<(u64, Option<Facts>)> {
        let folder = files::parent(self.target);
        swap::sweep_part(permit, self.target)?;
        let part = swap::part_path(self.target);
        let plain = self
            .backup
            .manifest()
            .map_or(0, |manifest| manifest.plain.size);
        space::require(
            folder,
            plain.saturating_add(self.task.backup.reserve.0),
            "the restored database",
        )?;
        let most = space::free(folder)?.saturating_sub(self.task.backup.reserve.0);
        let file = files::create_new(permit, &part)?;
        let done = self
            .fill(file, &part, plain, most)
            .and_then(|read| Ok((read, self.check(&part)?)));
        match done {
            Ok((read, facts)) => Ok((read, Some(facts))),
            Err(error) => {
                swap::sweep_part(permit, self.target)?;
                Err(error)
            }
        }
    }

    fn fill(&self, file: std::fs::File, part: &Path, plain: u64, most: u64) -> anyhow::Result<u64> {
        let shown = format!("restoring {}", self.backup.name.stem);
        let (read, _) = steady::synced_in_steps(&file, part, |steps| {
            let progress = |done: u64| {
                self.report.progress(done, plain, Unit::Bytes, &shown);
                // A sync that failed is told when all is written.
                let _ = steps.written(done);
            };
            let limits = Limits {
                threads: machine::threads(self.task.backup.threads),
                stop: &self.context.stop,
                progress: &progress,
            };
            archive::extract_backup(self.backup, file.try_clone()?, most, &limits)
        })?;
        match files::metadata(self.target)? {
            Some(old) => {
                use std::os::unix::fs::MetadataExt as _;
                files::own_like(&file, &old)?;
                files::set_mode(&file, old.mode())?;
            }
            None => {
                let folder = files::parent(self.target);
                let meta = std::fs::metadata(folder)
                    .with_context(|| format!("cannot look at {}", folder.display()))?;
                files::own_like(&file, &meta)?;
            }
        }
        files::sync(&file, part)?;
        Ok(read.plain.size)
    }

    /// The database as it lies there, opened without locks and side files: nobody else knows of it yet.
    fn check(&self, part: &Path) -> anyhow::Result<Facts> {
        let stop = &self.context.stop;
        let mut connections = sqlite::open_private_at_once(part, machine::threads(0), stop)?;
        let promised = self
            .backup
            .manifest()
            .and_then(|manifest| manifest.database.as_ref());
        let freshness = promised.map(|promised| promised.freshness.clone());
        let freshness = freshness.unwrap_or_default();
        let facts = sqlite::facts(
            &mut connections.iter_mut().collect::<Vec<_>>(),
            part,
            &freshness,
            stop,
        )?;
        if let Some(promised) = promised {
            let differs = promised.differs(&facts);
            anyhow::ensure!(
                differs.is_empty(),
                damaged(format!(
                    "the restored database differs from the manifest: {}",
                    differs.join("; ")
                ))
            );
        }
        // What is known to be a backup of this very database may be older than a table; anything else has to look like it.
        if let (Some(live), Some(first)) = (self.live(), connections.first())
            && (promised.is_none() || self.backup.name.series != live.name)
        {
            sqlite::require_tables(first, part, &live.expect_tables, stop).with_context(|| {
                format!(
                    "{} is no backup of {}",
                    self.backup.path.display(),
                    live.name
                )
            })?;
        }
        Ok(facts)
    }

    /// The configured database that lives at the target.
    pub(super) fn live(&self) -> Option<&Source> {
        let there = files::identity(self.target).ok().flatten();
        self.task.store.databases.iter().find(|source| {
            source.path == self.asked
                || (there.is_some() && files::identity(&source.path).ok().flatten() == there)
        })
    }

    /// Returns where the old one is kept, if there was one.
    fn put_in_place(
        &self,
        permit: &Permit,
        old: bool,
        facts: Option<&Facts>,
    ) -> anyhow::Result<Option<PathBuf>> {
        let part = swap::part_path(self.target);
        let swap = Swap {
            target: self.target,
            part: &part,
            backup: self.backup,
            stop_app: self.task.stop_app,
            now: self.context.now,
            stop: &self.context.stop,
        };
        let sound = |access| self.check_again(access, facts);
        if old {
            self.require_closed()?; // it may have been opened while the backup was read
            return swap::swap(permit, &swap, sound).map(Some);
        }
        swap::place(permit, &swap, sound)?;
        Ok(None)
    }

    /// Under its final name.
    fn check_again(&self, access: Access, facts: Option<&Facts>) -> anyhow::Result<()> {
        let stop = Stop::after(self.context.stop.limit());
        let mut connections = match access {
            Access::Alone => sqlite::open_private_at_once(self.target, machine::threads(0), &stop)?,
            Access::Shared => vec![sqlite::open_readonly(self.target, &stop, BUSY)?],
        };
        let freshness = facts.map(|facts| facts.freshness.clone());
        let now = sqlite::facts(
            &mut connections.iter_mut().collect::<Vec<_>>(),
            self.target,
            &freshness.unwrap_or_default(),
            &stop,
        )?;
        if let Some(facts) = facts {
            let differs = facts.differs(&now);
            anyhow::ensure!(differs.is_empty(), "after the swap: {}", differs.join("; "));
        }
        Ok(())
    }
}
