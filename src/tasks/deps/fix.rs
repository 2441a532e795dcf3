//! `--fix`: the project is copied whole, as its owner; npm fixes the copy; its tests run there before and after. Only what was tested
//! is handed over.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::handover::{self, Manifest, PATCH, Pair};
use super::{ASK, Task, lock_file};
use crate::context::Context;
use crate::error::{Failure, Kind};
use crate::npm::{self, Advisory, Manager, Project, Verdict};
use crate::report::{Document, Finding, Reporter, Severity, Step};
use crate::sys::process::{self, Output};
use crate::sys::scratch::{self, Scratch};
use crate::sys::{files, space};
use crate::text;
use crate::units;

const NOT_FIXED: &str = "deps.not-fixed";
const COPY: Duration = Duration::from_secs(30 * 60);
const INSTALL: Duration = Duration::from_secs(30 * 60);
/// What npm may add while it fixes.
const ROOM: u64 = 256 << 20;

/// Tries it, and hands it over.
pub(super) fn run(task: &Task, context: &Context, report: &Reporter) -> anyhow::Result<()> {
    let lock = lock_file(task)?;
    let lock = lock
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    let subject = task.project.path.display().to_string();
    report.examined(NOT_FIXED, &*subject);
    let tried = attempt(task, context, report, &lock)?;
    match tried {
        Tried::Handed(text) => report.summarise(text),
        Tried::Nothing => report.summarise(format!(
            "nothing to fix: no advisory of {} or more",
            task.level_word
        )),
        Tried::Not(why) => {
            let why = text::shorten(&text::clean(&why), 800);
            report.find(
                Finding::new(NOT_FIXED, Severity::Medium, &*subject, why)
                    .hint("npm audit, in the project's folder, says what each fix would change"),
            );
            report.summarise("NOT fixed, nothing was handed over");
        }
    }
    Ok(())
}

/// What became of it.
enum Tried {
    Handed(String),
    Nothing,
    Not(String),
}

fn attempt(task: &Task, context: &Context, report: &Reporter, lock: &str) -> anyhow::Result<Tried> {
    // A copy that a killed run left is large: it goes, whether there is anything to fix or not.
    scratch::sweep(report, &task.deps.scratch_dir)?;
    let before = task.project.audit(context.stop.left(ASK)?)?;
    npm::judge(report, &task.project.path, &before, task.level);
    let before = match before {
        Verdict::Clean => return Ok(Tried::Nothing),
        Verdict::Unknown(why) => return Ok(Tried::Not(format!("nothing was tried: {why}"))),
        Verdict::Vulnerable(all) => from_level(&all, task),
    };
    if before.is_empty() {
        return Ok(Tried::Nothing);
    }
    let scratch = Scratch::new(&task.deps.scratch_dir)?;
    let copy = copy(task, context, &scratch)?;
    let live = Pair::read(&task.project.path, lock)?;
    if Pair::read(&copy.path, lock)? != live {
        return Ok(Tried::Not(
            "the project changed while it was copied".to_owned(),
        ));
    }
    if files::metadata(&copy.path.join("node_modules"))?.is_none() {
        let output = npm(task, context, &copy, &["ci"])?;
        if !output.status.success() {
            return Ok(Tried::Not(format!(
                "npm ci fails in a copy: {}",
                words(&output)
            )));
        }
    }
    if let Some(why) = test(task, context, &copy)? {
        return Ok(Tried::Not(format!(
            "the tests do not pass in a copy of the project as it is: {why}"
        )));
    }
    // It ends 1 where something is left, which the next audit says better.
    let level = format!("--audit-level={}", task.level_word);
    let fixed = npm(task, context, &copy, &["audit", "fix", &level])?;
    let pair = Pair::read(&copy.path, lock)?;
    if pair == live {
        return Ok(Tried::Not(format!(
            "npm audit fix changed nothing: {}",
            words(&fixed)
        )));
    }
    let after = match copy.audit(context.stop.left(ASK)?)? {
        Verdict::Unknown(why) => {
            return Ok(Tried::Not(format!(
                "whether it is fixed is not known: {why}"
            )));
        }
        Verdict::Clean => Vec::new(),
        Verdict::Vulnerable(all) => from_level(&all, task),
    };
    let name = |advisory: &Advisory| format!("{} {}", advisory.package, advisory.id);
    let left: Vec<_> = after.iter().map(name).collect();
    let gone: Vec<_> = before
        .iter()
        .map(name)
        .filter(|one| !left.contains(one))
        .collect();
    if gone.is_empty() {
        return Ok(Tried::Not(format!(
            "npm audit fix removed none of {}",
            left.join(", ")
        )));
    }
    if let Some(why) = test(task, context, &copy)? {
        return Ok(Tried::Not(format!(
            "the tests do not pass after the fix: {why}"
        )));
    }
    let manifest = Manifest {
        created_at: context.now,
        run_id: report.run_id(),
        project: task.project.path.clone(),
        lock_file: lock.to_owned(),
        before: live.digests(),
        after: pair.digests(),
        fixed: gone.clone(),
        tested_with: task.deps.test_command.clone(),
    };
    let patch = patch(task, context, &copy.path, lock)?;
    let target = handover::folder(&task.reports, context.now);
    let step = Step {
        kind: "hand-over",
        target: target.display().to_string(),
        reason: format!("fixes {}", gone.join(", ")),
    };
    report.act(step, |permit| {
        files::create_directory(permit, &task.reports)?;
        files::require_trusted_directory(&task.reports)?;
        handover::write(permit, &task.reports, &manifest, &pair, &patch)
    })?;
    report.document(Document::Text(text::clean_lines(&String::from_utf8_lossy(
        &patch,
    ))));
    Ok(Tried::Handed(format!(
        "{} fixed in a copy and tested, {} left; {} and the files are in {}; empire-maint deps --apply puts them in place",
        units::count(gone.len() as u64, "advisory"),
        left.len(),
        PATCH,
        target.display()
    )))
}

fn from_level(all: &[Advisory], task: &Task) -> Vec<Advisory> {
    let of_level = |one: &&Advisory| one.severity >= task.level;
    all.iter().filter(of_level).cloned().collect()
}

/// Copies by the hands of the owner: nothing is read that he could not read, and no link of his leads root anywhere. Links that
/// lead out of the copy are cut, so that nothing in it reaches the live project.
fn copy(task: &Task, context: &Context, scratch: &Scratch) -> anyhow::Result<Project> {
    let from = &task.project.path;
    let entries = wanted(task)?;
    space::require(
        &task.deps.scratch_dir,
        size(from, &entries)? + ROOM,
        "a copy of the project",
    )?;
    scratch.give_to_owner(&task.project.owner()?)?;
    let to = scratch.path().join("project");
    let run = |program: &str, arguments: &dyn Fn(&mut Command)| -> anyhow::Result<()> {
        let mut command = task.project.command(program, scratch.path())?;
        arguments(&mut command);
        let output = process::run(command, context.stop.left(COPY)?)?;
        match output.status.success() {
            true => Ok(()),
            false => Err(Failure::new(
                Kind::Failed,
                format!("the project cannot be copied: {}", words(&output)),
            )
            .hint("as its owner, everything in it must be readable; [deps] leave_out names what is not copied")
            .into()),
        }
    };
    run("mkdir", &|command| {
        command.args(["-m", "700", "--"]).arg(&to);
    })?;
    run("cp", &|command| {
        command
            .args(["-a", "--reflink=auto", "--"])
            .args(&entries)
            .arg(&to);
    })?;
    run("find", &|command| {
        command
            .arg(&to)
            .args(["-type", "l", "-lname", "/*", "-delete"]);
    })?;
    Ok(Project {
        path: to,
        ..task.project.clone()
    })
}

/// The entries of the project's folder that are copied: neither what is left out by name, nor what has a database, the backups or
/// the reports in it.
fn wanted(task: &Task) -> anyhow::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in files::list(&task.project.path)? {
        let path = entry.path();
        let name = entry.file_name();
        let named = task
            .deps
            .leave_out
            .iter()
            .any(|other| name == other.as_str());
        let off = task.off_limits.iter().any(|other| {
            other.starts_with(&path)
                || path
                    .to_string_lossy()
                    .starts_with(&*other.to_string_lossy())
        });
        if !named && !off {
            found.push(path);
        }
    }
    Ok(found)
}

fn size(from: &Path, entries: &[PathBuf]) -> anyhow::Result<u64> {
    let mut bytes = 0u64;
    files::walk(from, &|_| false, &mut |seen| {
        let wanted = entries.iter().any(|entry| seen.path.starts_with(entry));
        if wanted && seen.meta.is_file() {
            bytes = bytes.saturating_add(seen.meta.len());
        }
        Ok(wanted)
    })?;
    Ok(bytes)
}

fn npm(
    task: &Task,
    context: &Context,
    copy: &Project,
    arguments: &[&str],
) -> anyhow::Result<Output> {
    let mut all = arguments.to_vec();
    if task.deps.ignore_scripts {
        all.push("--ignore-scripts");
    }
    copy.run(Manager::Npm, &all, context.stop.left(INSTALL)?)
}

/// Why the tests do not pass; none where they do.
fn test(task: &Task, context: &Context, copy: &Project) -> anyhow::Result<Option<String>> {
    let list = &task.deps.test_command;
    let (Some(program), line) = (list.first(), list.join(" ")) else {
        return Ok(Some("[deps] test_command is empty".to_owned()));
    };
    let script = &copy.package()?["scripts"]["test"];
    let none = script
        .as_str()
        .is_none_or(|text| text.contains("no test specified"));
    if none && line == "npm test" {
        return Ok(Some("the project has no npm test".to_owned()));
    }
    let cache = Scratch::new(&task.deps.scratch_dir)?;
    cache.give_to_owner(&task.project.owner()?)?;
    let mut command = copy.command(program, cache.path())?;
    command.args(&list[1..]).env("NODE_ENV", "test");
    let limit = context.stop.left(task.deps.test_timeout.0)?;
    let output = match process::run(command, limit) {
        Ok(output) => output,
        Err(error) => {
            context.stop.check()?;
            return Ok(Some(format!("{error:#}")));
        }
    };
    Ok((!output.status.success())
        .then(|| format!("{line} ended with {}: {}", output.status, words(&output))))
}

/// Two sections, for `patch -p1` in the project's folder.
fn patch(task: &Task, context: &Context, copy: &Path, lock: &str) -> anyhow::Result<Vec<u8>> {
    let mut all = Vec::new();
    for name in [handover::PACKAGE, lock] {
        let mut command = process::command(Path::new("diff"));
        command
            .arg("-u")
            .args([
                "--label",
                &format!("a/{name}"),
                "--label",
                &format!("b/{name}"),
                "--",
            ])
            .args([task.project.path.join(name), copy.join(name)]);
        let limit = context.stop.left(Duration::from_secs(60))?;
        let output = process::run_keeping(command, limit, 64 << 20)?;
        anyhow::ensure!(
            output.status.code().is_some_and(|code| code < 2),
            "diff fails: {}",
            words(&output)
        );
        all.extend(output.stdout);
    }
    Ok(all)
}

/// The beginning of what it complains of; else the end of what it tells, where tools put the sum.
fn words(output: &Output) -> String {
    const MOST: usize = 500;
    let complaint = String::from_utf8_lossy(&output.stderr);
    if !complaint.trim().is_empty() {
        return text::shorten(&text::clean(complaint.trim()), MOST);
    }
    let told = text::clean(String::from_utf8_lossy(&output.stdout).trim());
    let skip = told.chars().count().saturating_sub(MOST);
    told.chars().skip(skip).collect()
}
