//! Runs the package manager of a project: as the project's owner, with a cache of its own that goes away, and without scripts.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::Context as _;
use serde_json::Value;

use super::lock::{self, Lock};
use super::{Advisory, Outdated, Verdict, outdated, read};
use crate::error::{config, missing};
use crate::sys::process::{self, Output};
use crate::sys::scratch::Scratch;
use crate::sys::{Stop, files, machine};

/// Where others than root can work, on the disk.
const SCRATCH: &str = "/var/tmp";
const LARGEST_OUTPUT: u64 = 64 << 20;
const LARGEST_PACKAGE: u64 = 4 << 20;

/// Who installs the packages of a project.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manager {
    /// npm, 6 or later.
    Npm,
    /// pnpm.
    Pnpm,
    /// yarn 1.
    Yarn,
    /// yarn 2 and later.
    YarnBerry,
}

impl Manager {
    /// The program.
    pub fn program(self) -> &'static str {
        match self {
            Self::Npm => "npm",
            Self::Pnpm => "pnpm",
            Self::Yarn | Self::YarnBerry => "yarn",
        }
    }
}

/// A Node project.
#[derive(Clone, Debug)]
pub struct Project {
    /// Where its package.json is.
    pub path: PathBuf,
    /// The registry to ask instead of the project's own.
    pub registry: Option<String>,
    /// Where node and npm are, before the system's own places.
    pub node_bin: Option<PathBuf>,
    /// The folder whose owner does the work, where it is not that of `path`: the way to a copy is in its owner's hands.
    pub work_of: Option<PathBuf>,
}

impl Project {
    /// What its package.json says.
    pub fn package(&self) -> anyhow::Result<Value> {
        let path = self.path.join("package.json");
        if files::metadata(&path)?.is_none() {
            return Err(missing(format!("there is no {}", path.display()))
                .hint("[audit] project says where the Node project is")
                .into());
        }
        let content = files::read_small(&path, LARGEST_PACKAGE)?;
        serde_json::from_slice(&content).map_err(|error| {
            config(format!("{} is no JSON: {error}", path.display()))
                .hint("correct that line; a merge in conflict leaves such marks")
                .into()
        })
    }

    /// By the lock file that is there; npm where there is none.
    pub fn manager(&self) -> anyhow::Result<Manager> {
        let has = |name: &str| files::metadata(&self.path.join(name)).map(|meta| meta.is_some());
        if has("package-lock.json")? || has("npm-shrinkwrap.json")? {
            return Ok(Manager::Npm);
        }
        if has("pnpm-lock.yaml")? {
            return Ok(Manager::Pnpm);
        }
        if has("yarn.lock")? {
            let lock = files::read_small(&self.path.join("yarn.lock"), LARGEST_OUTPUT)?;
            return Ok(match memchr::memmem::find(&lock, b"\n__metadata:") {
                Some(_) => Manager::YarnBerry,
                None => Manager::Yarn,
            });
        }
        Ok(Manager::Npm)
    }

    /// Asks what is known against its packages. An error means that the question could not be put.
    pub fn audit(&self, limit: Duration, stop: &Stop) -> anyhow::Result<Verdict> {
        self.audit_kept(limit, stop).map(|(verdict, _)| verdict)
    }

    /// The same, with what was printed, to be kept.
    pub fn audit_kept(&self, limit: Duration, stop: &Stop) -> anyhow::Result<(Verdict, Vec<u8>)> {
        let package = self.package()?;
        let manager = self.manager()?;
        let arguments: &[&str] = match manager {
            Manager::Npm | Manager::Pnpm | Manager::Yarn => &["audit", "--json"],
            Manager::YarnBerry => &["npm", "audit", "--all", "--recursive", "--json"],
        };
        let output = self.run(manager, arguments, limit, stop)?;
        let verdict = match read(&output.stdout) {
            // It prints nothing where it knows of nothing; without --json it says so.
            Verdict::Unknown(why) if manager == Manager::YarnBerry && output.stdout.is_empty() => {
                let output = self.run(manager, &arguments[..4], limit, stop)?;
                let says = memchr::memmem::find(&output.stdout, b"No audit suggestions");
                match says {
                    Some(_) if output.status.success() => Verdict::Clean,
                    _ => Verdict::Unknown(why),
                }
            }
            Verdict::Unknown(why) => Verdict::Unknown(with_last_words(why, &output.stderr)),
            Verdict::Clean if depends(&package) && looked_at_nothing(&output.stdout) => {
                Verdict::Unknown("it looked at no package, but the project has some".to_owned())
            }
            Verdict::Clean if manager == Manager::Npm => self.unless_some_are_missing(&package),
            Verdict::Vulnerable(found) if manager == Manager::Npm => {
                Verdict::Vulnerable(self.with_the_way_there(found))
            }
            other => other,
        };
        Ok((verdict, output.stdout))
    }

    /// npm looks up what the lock file has, and says nothing of what is missing in it.
    fn unless_some_are_missing(&self, package: &Value) -> Verdict {
        let missing = self.lock_content().and_then(|content| match content {
            Some(content) => lock::missing(package, &content),
            None => anyhow::bail!("there is none"),
        });
        match missing.as_deref() {
            Ok([]) => Verdict::Clean,
            Ok(some) => Verdict::Unknown(format!(
                "the lock file lacks what package.json asks for: {}",
                some.join(", ")
            )),
            // A project without packages needs none.
            Err(_) if !depends(package) => Verdict::Clean,
            Err(error) => Verdict::Unknown(format!("the lock file cannot be read: {error:#}")),
        }
    }

    /// Asks which packages have newer versions, and keeps what was printed. The outer error is that nobody could be asked, the inner
    /// one that the answer is none.
    #[expect(
        clippy::type_complexity,
        reason = "two kinds of failure, read in one place"
    )]
    pub fn outdated(
        &self,
        limit: Duration,
        stop: &Stop,
    ) -> anyhow::Result<Result<(Vec<Outdated>, Vec<u8>), String>> {
        let manager = self.manager()?;
        if manager == Manager::YarnBerry {
            let why = "yarn has no such report since its version 2";
            return Ok(Err(why.to_owned()));
        }
        let output = self.run(manager, &["outdated", "--json"], limit, stop)?;
        Ok(match outdated(&output.stdout, output.status.success()) {
            Ok(found) => Ok((found, output.stdout)),
            Err(why) => Err(with_last_words(why, &output.stderr)),
        })
    }

    /// npm's lock file, which npm looks for under two names.
    pub fn lock_file(&self) -> anyhow::Result<Option<PathBuf>> {
        for name in ["npm-shrinkwrap.json", "package-lock.json"] {
            let path = self.path.join(name);
            if files::metadata(&path)?.is_some() {
                return Ok(Some(path));
            }
        }
        Ok(None)
    }

    /// What npm's lock file holds; nothing where there is none, or one of another manager.
    pub fn lock(&self) -> anyhow::Result<Lock> {
        match self.lock_content()? {
            Some(content) => Lock::read(&content).context("the lock file cannot be read"),
            None => Ok(Lock::default()),
        }
    }

    fn lock_content(&self) -> anyhow::Result<Option<Vec<u8>>> {
        let path = self.lock_file()?;
        path.map(|path| files::read_small(&path, LARGEST_OUTPUT))
            .transpose()
    }

    /// What to do where nobody knows what is known against the packages: the lock file first, which every question is about.
    pub fn hint_of_unknown(&self) -> String {
        let is_npms = || self.manager().is_ok_and(|manager| manager == Manager::Npm);
        let remake = "npm install --package-lock-only, in the project's folder as its owner";
        match (self.lock_file(), self.lock()) {
            (Ok(None), _) if is_npms() => format!("{remake}: there is no package-lock.json"),
            (_, Err(_)) => {
                format!("{remake}, where a merge or a full disk left the lock file broken")
            }
            _ => "[audit] registry names one that answers audits".to_owned(),
        }
    }

    /// Adds what only the lock file knows.
    fn with_the_way_there(&self, mut found: Vec<Advisory>) -> Vec<Advisory> {
        // npm has read it just now; without it the advisories are still what counts.
        let lock = self.lock().unwrap_or_default();
        for advisory in &mut found {
            advisory.direct |= lock.asks_for(&advisory.package);
            let mut through = lock.through(&advisory.package);
            through.append(&mut advisory.through);
            through.sort();
            through.dedup();
            advisory.through = through;
        }
        found
    }

    /// Runs the manager in the project's folder.
    pub fn run(
        &self,
        manager: Manager,
        arguments: &[&str],
        limit: Duration,
        stop: &Stop,
    ) -> anyhow::Result<Output> {
        let cache = Scratch::new(Path::new(SCRATCH))?;
        let mut command = self.command(manager.program(), cache.path())?;
        command.args(arguments);
        match manager {
            // A registry that was switched off in a file, or a lock file, or the packages for development, would look like
            // those of which nothing is known.
            Manager::Npm => {
                command.args(["--offline=false", "--prefer-offline=false"]);
                command.args(["--package-lock=true", "--include=dev", "--include=optional"]);
                command.args(["--no-fund", "--loglevel=error"]);
                command.args(self.registry.iter().map(|url| format!("--registry={url}")));
            }
            // Not every command of it knows the option.
            Manager::Pnpm => {
                if let Some(url) = &self.registry {
                    command.env("npm_config_registry", url);
                    command.env("pnpm_config_registry", url);
                }
            }
            Manager::Yarn => {
                command.arg("--non-interactive");
            }
            Manager::YarnBerry => {}
        }
        cache.give_to_owner(&self.owner()?)?;
        process::run_keeping(command, limit, LARGEST_OUTPUT, stop)
    }

    /// A program of Node's in the project's folder, as its owner.
    pub fn command(&self, program: &str, cache: &Path) -> anyhow::Result<Command> {
        let owner = self.owner()?;
        let mut command = process::command(Path::new(program));
        command.current_dir(&self.path);
        if let Some(folder) = &self.node_bin {
            command.env("PATH", format!("{}:{}", folder.display(), process::PATH));
        }
        command
            .env("NO_COLOR", "1")
            .env("CI", "1")
            .env("npm_config_cache", cache)
            .env("npm_config_logs_max", "0")
            .env("npm_config_update_notifier", "false")
            .env("YARN_CACHE_FOLDER", cache)
            .env("YARN_ENABLE_TELEMETRY", "0");
        if let Some(url) = &self.registry {
            command
                .env("YARN_REGISTRY", url)
                .env("YARN_NPM_REGISTRY_SERVER", url)
                .env("YARN_NPM_AUDIT_REGISTRY", url);
        }
        // Node asks the system for the home of its user, and gives up where there is none.
        if !machine::is_user(process::as_owner(&mut command, &owner))? {
            command.env("HOME", cache);
        }
        Ok(command)
    }

    /// Whose folder it is. Where a link leads there, whoever made the link: root must not do for him what he could not do himself.
    pub fn owner(&self) -> anyhow::Result<Metadata> {
        let path = self.work_of.as_ref().unwrap_or(&self.path);
        for part in path.ancestors() {
            let link =
                files::link_metadata(part)?.filter(|meta| meta.is_symlink() && meta.uid() != 0);
            if let Some(link) = link {
                return Ok(link);
            }
        }
        files::metadata(path)?.with_context(|| format!("there is no {}", path.display()))
    }
}

/// True for what npm says at its end about its own log files, which we do without.
pub fn is_about_logs(line: &str) -> bool {
    ["complete log of this run", "Log files were not written"]
        .iter()
        .any(|words| line.contains(words))
}

/// The last line that is worth reading.
fn with_last_words(why: String, stderr: &[u8]) -> String {
    let text = String::from_utf8_lossy(stderr);
    let last = text
        .lines()
        .map(str::trim)
        .rfind(|line| !line.is_empty() && !is_about_logs(line));
    match last {
        Some(line) if !why.contains(line) => {
            let line: String = line.chars().take(300).collect();
            format!("{why}: {line}")
        }
        _ => why,
    }
}

fn depends(package: &Value) -> bool {
    ["dependencies", "devDependencies", "optionalDependencies"]
        .iter()
        .filter_map(|key| package.get(key)?.as_object())
        .any(|names| !names.is_empty())
}

/// True when a report says that it covers no package at all.
fn looked_at_nothing(output: &[u8]) -> bool {
    let Ok(report) = serde_json::from_slice::<Value>(output) else {
        return false;
    };
    let covered = &report["metadata"];
    let total = covered["dependencies"]["total"].as_u64();
    total.or_else(|| covered["totalDependencies"].as_u64()) == Some(0)
}
