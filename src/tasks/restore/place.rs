//! From a backup to a database in its place: refuse early, restore beside the target, check, swap, check again.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Context as _;

use super::Task;
use super::choose::Choice;
use crate::archive::swap::{self, Healed, Swap};
use crate::archive::{self, Backup, Content, Limits, Standing};
use crate::context::Context;
use crate::error::{self, missing, refused};
use crate::report::{Finding, Permit, Reporter, Severity, Step};
use crate::sqlite::{self, Facts};
use crate::sys::lock::Lock;
use crate::sys::scratch::Scratch;
use crate::sys::{Stop, files, http, machine, process, space};
use crate::units::Length;

const PATIENCE: Duration = Duration::from_secs(60);
const APP_COMMAND: Duration = Duration::from_secs(90);
const APP_CLOSES: Duration = Duration::from_secs(30);
const APP_IS_WELL: Duration = Duration::from_secs(60);

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

/// A link is followed when root, we, or the owner of the application's root made it; nobody else may point us elsewhere.
fn real_target(task: &Task, target: &Path) -> anyhow::Result<PathBuf> {
    use std::os::unix::fs::MetadataExt as _;
    let Some(meta) = files::link_metadata(target)
        .with_context(|| format!("cannot look at {}", target.display()))?
    else {
        let folder = files::parent(target);
        if !folder.is_dir() {
            return Err(missing(format!("there is no folder {}", folder.display()))
                .hint(format!("mkdir -p '{}'", folder.display()))
                .into());
        }
        return Ok(target.to_owned());
    };
    if !meta.is_symlink() {
        return Ok(target.to_owned());
    }
    let owner = files::metadata(&task.root)?.map(|root| root.uid());
    if meta.uid() != 0 && Some(meta.uid()) != owner && !machine::is_own(&meta) {
        return Err(refused(format!(
            "{} is a link that somebody else made",
            target.display()
        ))
        .into());
    }
    std::fs::canonicalize(target).with_context(|| format!("cannot follow {}", target.display()))
}

struct Work<'a> {
    task: &'a Task,
    context: &'a Context,
    report: &'a Reporter,
    backup: &'a Backup,
    target: &'a Path,
    force: bool,
}

impl Work<'_> {
    /// The series in the backup folder, so that nothing is pruned or backed up meanwhile.
    fn lock(&self) -> anyhow::Result<Option<crate::sys::lock::Held>> {
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
        let restored = self.report.act(step, |permit| self.beside(permit))?;
        let step = Step {
            kind: if old { "swap" } else { "place" },
            target: self.target.display().to_string(),
            reason: match old {
                true => "the restored database is sound; the one that is there is kept".into(),
                false => "the restored database is sound".into(),
            },
        };
        if restored.is_none() {
            self.report.act(step, |_| Ok(()))?;
            return Ok(None);
        }
        let (plain, facts) = restored.unwrap_or_default();
        let stopped = self.stop_app()?;
        let swapped = self.report.act(step, |permit| {
            let placed = self.put_in_place(permit, old, facts.as_ref());
            if placed.is_err() {
                let _ = swap::sweep_part(permit, self.target);
            }
            placed
        });
        // The application comes back whatever became of the swap.
        let started = if stopped { self.start_app() } else { Ok(()) };
        let kept = swapped?.flatten();
        started?;
        Ok(Some(Placed { plain, kept }))
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
            swap::heal(permit, self.target, &intent, &self.context.stop)
        })?;
        match healed {
            Some(Healed::Swapped(kept)) if intent.backup == self.backup.name.stem => {
                self.check_again(None)?;
                let plain = files::metadata(self.target)?.map_or(0, |meta| meta.len());
                Ok(Some(Placed {
                    plain,
                    kept: Some(kept),
                }))
            }
            _ => Ok(None),
        }
    }

    /// True when there is a database to be kept. Refuses what was not asked for.
    fn require_free_target(&self) -> anyhow::Result<bool> {
        let shown = self.target.display();
        let meta = files::link_metadata(self.target)?;
        if meta.as_ref().is_some_and(|meta| !meta.is_file()) {
            return Err(refused(format!("{shown} is there and is not a file")).into());
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
        if meta.is_some() && !self.task.stop_app {
            self.require_closed()?;
        }
        Ok(meta.is_some())
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

    fn require_readable_backup(&self) -> anyhow::Result<()> {
        if let Standing::Unreadable(why) = &self.backup.standing {
            return Err(refused(format!(
                "the manifest of {} cannot be read: {why}",
                self.backup.path.display()
            ))
            .hint("move the manifest away to restore without it")
            .into());
        }
        if let Some(bad) = self
            .backup
            .manifest()
            .and_then(|manifest| manifest.bad.as_ref())
        {
            self.report.find(Finding::new(
                "restore.known-bad",
                Severity::High,
                &self.backup.name.stem,
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
        let progress = |done: u64| self.report.progress(done, plain, &shown);
        let limits = Limits {
            threads: machine::threads(self.task.backup.threads),
            stop: &self.context.stop,
            progress: &progress,
        };
        let writer = file.try_clone()?;
        let (read, _) = archive::extract_backup(self.backup, writer, most, &limits)?;
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
        let connection = sqlite::open_private(part, stop)?;
        let source = self.task.store.database(&self.backup.name.series).ok();
        let freshness = source
            .map(|source| source.freshness.clone())
            .unwrap_or_default();
        let facts = sqlite::facts(&connection, part, &freshness, stop)?;
        if let Some(promised) = self
            .backup
            .manifest()
            .and_then(|manifest| manifest.database.as_ref())
        {
            let differs = promised.differs(&facts);
            anyhow::ensure!(
                differs.is_empty(),
                "the restored database differs from the manifest: {}",
                differs.join("; ")
            );
        }
        Ok(facts)
    }

    /// Returns where the old one is kept, if there was one.
    fn put_in_place(
        &self,
        permit: &Permit,
        old: bool,
        facts: Option<&Facts>,
    ) -> anyhow::Result<Option<PathBuf>> {
        let part = swap::part_path(self.target);
        if old {
            let kept = swap::swap(
                permit,
                &Swap {
                    target: self.target,
                    part: &part,
                    backup: &self.backup.name.stem,
                    now: self.context.now,
                    stop: &self.context.stop,
                },
                || self.check_again(facts),
            )?;
            return Ok(Some(kept));
        }
        let aside = swap::free_aside(self.target, self.context.now)?;
        swap::set_side_files_aside(permit, self.target, &aside)?;
        swap::place(permit, &part, self.target)?;
        self.check_again(facts)?;
        Ok(None)
    }

    /// Under its final name, through the same door as the application.
    fn check_again(&self, facts: Option<&Facts>) -> anyhow::Result<()> {
        let stop = Stop::after(self.context.stop.limit());
        let connection = sqlite::open_readonly(self.target, &stop, Duration::from_secs(5))?;
        let now = sqlite::facts(
            &connection,
            self.target,
            &std::collections::BTreeMap::new(),
            &stop,
        )?;
        if let Some(facts) = facts {
            let differs = facts.differs(&now);
            anyhow::ensure!(differs.is_empty(), "after the swap: {}", differs.join("; "));
        }
        Ok(())
    }

    /// True when the application was stopped and has to be started again.
    fn stop_app(&self) -> anyhow::Result<bool> {
        if !self.task.stop_app {
            return Ok(false);
        }
        let list = self.task.app.stop_command();
        let step = Step {
            kind: "stop",
            target: self.task.app.service.clone(),
            reason: list.join(" "),
        };
        self.report.act(step, |_| self.app_command(&list))?;
        let started = Instant::now();
        while !machine::holders(&self.open_files()).is_empty() {
            if started.elapsed() > APP_CLOSES {
                self.start_app()?;
                return Err(swap::in_use(self.target).into());
            }
            std::thread::sleep(self.context.stop.left(Duration::from_millis(100))?);
        }
        Ok(true)
    }

    fn start_app(&self) -> anyhow::Result<()> {
        let list = self.task.app.start_command();
        let step = Step {
            kind: "start",
            target: self.task.app.service.clone(),
            reason: list.join(" "),
        };
        let result = self.report.act(step, |_| {
            self.app_command(&list)?;
            self.wait_until_well()
        });
        if let Err(error) = result {
            let mut finding = Finding::new(
                "restore.app-unwell",
                Severity::Critical,
                &self.task.app.service,
                format!("the application did not come back: {error:#}"),
            )
            .hint(list.join(" "));
            if let Some(failure) = error::failure_in(&error)
                && let Some(hint) = &failure.hint
            {
                finding.hint = Some(hint.clone());
            }
            self.report.find(finding);
        }
        Ok(())
    }

    fn app_command(&self, list: &[String]) -> anyhow::Result<()> {
        // Its own limit: once the application is down, a time limit of ours must not keep it down.
        let output = process::run(process::from_list(list)?, APP_COMMAND)?;
        anyhow::ensure!(
            output.status.success(),
            "{} ended with {}: {}",
            list.join(" "),
            output.status,
            String::from_utf8_lossy(&output.stderr).trim()
        );
        Ok(())
    }

    fn wait_until_well(&self) -> anyhow::Result<()> {
        let url = &self.task.app.health_url;
        let started = Instant::now();
        loop {
            let answer = http::status(url, Duration::from_secs(5));
            match answer {
                Ok(200..=399) => return Ok(()),
                _ if started.elapsed() < APP_IS_WELL => {
                    std::thread::sleep(Duration::from_millis(250));
                }
                Ok(status) => anyhow::bail!("{url} answers {status} after {}", Length(APP_IS_WELL)),
                Err(error) => {
                    return Err(error.context(format!("not well after {}", Length(APP_IS_WELL))));
                }
            }
        }
    }

    /// A tar into a folder that must not exist yet.
    fn unpack(&self) -> anyhow::Result<Option<Placed>> {
        if files::link_metadata(self.target)?.is_some() {
            return Err(refused(format!("{} exists", self.target.display()))
                .hint("--to a folder that does not exist yet")
                .into());
        }
        self.require_readable_backup()?;
        let step = Step {
            kind: "unpack",
            target: self.target.display().to_string(),
            reason: format!("from {}", self.backup.path.display()),
        };
        let folder = files::parent(self.target);
        let plain = self.report.act(step, |permit| {
            let scratch = Scratch::new(folder)?;
            let (copy, file) = scratch.file("files.tar")?;
            let plain = self
                .backup
                .manifest()
                .map_or(0, |manifest| manifest.plain.size);
            space::require(
                folder,
                plain
                    .saturating_mul(2)
                    .saturating_add(self.task.backup.reserve.0),
                "the unpacked files",
            )?;
            let limits = Limits {
                threads: machine::threads(self.task.backup.threads),
                stop: &self.context.stop,
                progress: &|_| {},
            };
            let (read, _) =
                archive::extract_backup(self.backup, file, space::free(folder)?, &limits)?;
            let unpacked = scratch.path().join("files");
            files::private_directory(&unpacked)?;
            let mut tar = tar::Archive::new(files::open_regular(&copy)?);
            tar.set_preserve_permissions(true);
            tar.set_preserve_ownerships(machine::is_root());
            tar.unpack(&unpacked).context("cannot unpack")?;
            files::rename_new(permit, &unpacked, self.target)?;
            files::sync_directory(folder)?;
            Ok(read.plain.size)
        })?;
        Ok(plain.map(|plain| Placed { plain, kept: None }))
    }
}
