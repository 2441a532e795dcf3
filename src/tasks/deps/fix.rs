//! `--fix`: the project is copied whole, as its owner; npm fixes the copy; its tests run there before and after. Only what was tested
//! is handed over.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::File;
use std::io::Write as _;
use std::os::fd::AsRawFd as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Component, Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::handover::{self, Manifest, PATCH, Pair};
use super::{ASK, Task, lock_file};
use crate::context::Context;
use crate::error::{Failure, Kind};
use crate::npm::{self, Advisory, Manager, Project, Verdict};
use crate::report::{Document, Finding, Reporter, Severity, Step};
use crate::sqlite;
use crate::sys::beneath::{Beneath, open_beneath};
use crate::sys::process::{self, Output};
use crate::sys::scratch::{self, Scratch};
use crate::sys::{files, space};
use crate::text;
use crate::units;

const NOT_FIXED: &str = "deps.not-fixed";
const COPY: Duration = Duration::from_secs(30 * 60);
const INSTALL: Duration = Duration::from_secs(30 * 60);
const COMPARE: Duration = Duration::from_secs(60);
const LARGEST_PATCH: u64 = 64 << 20;
/// As many as the kernel follows.
const MOST_LINKS: usize = 40;
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
    let before = task.project.audit(ASK, &context.stop)?;
    npm::judge(report, &task.project, &before, task.level);
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
    if pair_of(&copy, lock)? != live {
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
    let pair = pair_of(&copy, lock)?;
    if pair == live {
        return Ok(Tried::Not(format!(
            "npm audit fix changed nothing: {}",
            words(&fixed)
        )));
    }
    let after = match copy.audit(ASK, &context.stop)? {
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
        project: task.project.path.display().to_string(),
        lock_file: lock.to_owned(),
        before: live.digests(),
        after: pair.digests(),
        fixed: gone.clone(),
        tested_with: task.deps.test_command.clone(),
    };
    let patch = patch(context, &live, &pair, lock)?;
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
    let shown = text::clean_lines(&String::from_utf8_lossy(&patch));
    report.document(Document::Text(shown + "\n"));
    let fixed = units::count(gone.len() as u64, "advisory");
    let (left, target) = (left.len(), target.display());
    Ok(Tried::Handed(match context.dry_run {
        true => format!(
            "{fixed} fixed in a copy and tested, {left} left; the copy is gone, and nothing was handed over: without --dry-run {PATCH} and the files would be in {target}"
        ),
        false => format!(
            "{fixed} fixed in a copy and tested, {left} left; {PATCH} and the files are in {target}; empire-maint deps --apply puts them in place"
        ),
    }))
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
    let run = |program: &str,
               input: Vec<u8>,
               arguments: &dyn Fn(&mut Command)|
     -> anyhow::Result<Vec<u8>> {
        let mut command = task.project.command(program, scratch.path())?;
        arguments(&mut command);
        let output = process::run_with_input(command, input, COPY, &context.stop)?;
        match output.status.success() {
            true => Ok(output.stdout),
            false => Err(Failure::new(
                Kind::Failed,
                format!("the project cannot be copied: {}", words(&output)),
            )
            .hint("as its owner, everything in it must be readable; [deps] leave_out names what is not copied")
            .into()),
        }
    };
    run("mkdir", Vec::new(), &|command| {
        command.args(["-m", "700", "--"]).arg(&to);
    })?;
    run("cp", Vec::new(), &|command| {
        command
            .args(["-a", "--reflink=auto", "--"])
            .args(&entries)
            .arg(&to);
    })?;
    let links = run("find", Vec::new(), &|command| {
        command
            .arg(&to)
            .args(["-type", "l", "-printf", "%P\\0%l\\0"]);
    })?;
    let out = that_lead_out(&links);
    if !out.is_empty() {
        run("xargs", out, &|command| {
            command.current_dir(&to).args(["-0", "rm", "-f", "--"]);
        })?;
    }
    Ok(Project {
        path: to,
        work_of: Some(from.clone()),
        ..task.project.clone()
    })
}

/// Of links and what they say, each with a NUL behind it, those that end outside of the folder that they are in.
fn that_lead_out(links: &[u8]) -> Vec<u8> {
    let mut words = links.split(|byte| *byte == 0);
    let mut all = BTreeMap::new();
    while let (Some(link), Some(says)) = (words.next(), words.next()) {
        all.insert(path_of(link), path_of(says));
    }
    let mut out = Vec::new();
    for link in all.keys().filter(|link| leads_out(&all, link)) {
        out.extend(link.as_os_str().as_bytes());
        out.push(0);
    }
    out
}

fn path_of(bytes: &[u8]) -> PathBuf {
    OsStr::from_bytes(bytes).into()
}

/// Goes the way of the kernel, in which `..` behind a link is what lies above the place that the link leads to. One that leads
/// nowhere because it leads to itself goes too.
fn leads_out(links: &BTreeMap<PathBuf, PathBuf>, link: &Path) -> bool {
    let mut here = PathBuf::new();
    let mut left: Vec<PathBuf> = vec![link.to_owned()];
    let mut followed = 0;
    while let Some(path) = left.pop() {
        let mut parts = path.components();
        let Some(part) = parts.next() else { continue };
        left.push(parts.as_path().to_owned());
        match part {
            Component::CurDir => {}
            Component::ParentDir if here.pop() => {}
            Component::Normal(name) => {
                here.push(name);
                if let Some(says) = links.get(&here) {
                    followed += 1;
                    if followed > MOST_LINKS {
                        return true;
                    }
                    here.pop();
                    left.push(says.clone());
                }
            }
            _ => return true,
        }
    }
    false
}

/// package.json and the lock file of a copy, which is in its owner's hands: no link of his is followed.
fn pair_of(copy: &Project, lock: &str) -> anyhow::Result<Pair> {
    let (Some(folder), Some(name)) = (copy.path.parent(), copy.path.file_name()) else {
        anyhow::bail!("{} lies in no folder", copy.path.display());
    };
    Pair::read_by(lock, |file| {
        let path = Path::new(name).join(file);
        match open_beneath(folder, path.as_os_str().as_bytes(), &|_| false)? {
            Beneath::File(file, _) => Ok(file),
            Beneath::Absent => anyhow::bail!("the copy has no {}", path.display()),
            Beneath::Refused(why) => anyhow::bail!("{} of the copy is {why}", path.display()),
        }
    })
}

/// The entries of the project's folder that are copied: neither what is left out by name, nor what has a database, the backups or
/// the reports in it, nor what lies beside a database as a part or a copy of it.
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
        let mut off = task.off_limits.iter().chain(&task.databases);
        let off = off.any(|other| other.starts_with(&path));
        if !named && !off && !task.databases.iter().any(|of| is_beside(of, &path)) {
            found.push(path);
        }
    }
    Ok(found)
}

/// A write-ahead log, or what a restore or somebody's own hands have put aside: `app.db-wal`, `app.db.bak`.
fn is_beside(database: &Path, path: &Path) -> bool {
    let (Some(name), Some(other)) = (database.file_name(), path.file_name()) else {
        return false;
    };
    let is_side = sqlite::side_files(database).iter().any(|side| side == path);
    let has_ending = database.extension().is_some();
    let rest = other.as_bytes().strip_prefix(name.as_bytes());
    is_side
        || database.parent() == path.parent()
            && has_ending
            && rest.is_some_and(|rest| matches!(rest.first(), Some(b'.' | b'-')))
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
    copy.run(Manager::Npm, &all, INSTALL, &context.stop)
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
    let output = match process::run(command, task.deps.test_timeout.0, &context.stop) {
        Ok(output) => output,
        Err(error) => {
            context.stop.check()?;
            return Ok(Some(format!("{error:#}")));
        }
    };
    Ok((!output.status.success())
        .then(|| format!("{line} ended with {}: {}", output.status, words(&output))))
}

/// Two sections, for `patch -p1` in the project's folder, made from what was read and tested: the copy is in its owner's hands.
fn patch(context: &Context, live: &Pair, pair: &Pair, lock: &str) -> anyhow::Result<Vec<u8>> {
    let mut all = Vec::new();
    for (index, name) in [handover::PACKAGE, lock].into_iter().enumerate() {
        let (old, new) = (nameless(&live.0[index])?, nameless(&pair.0[index])?);
        let mut command = process::command(Path::new("diff"));
        command
            .arg("-u")
            .args(["--label", &format!("a/{name}")])
            .args(["--label", &format!("b/{name}"), "--"])
            .args(
                [&old, &new]
                    .map(|file| format!("/proc/{}/fd/{}", std::process::id(), file.as_raw_fd())),
            );
        let output = process::run_keeping(command, COMPARE, LARGEST_PATCH, &context.stop)?;
        anyhow::ensure!(
            output.status.code().is_some_and(|code| code < 2),
            "diff fails: {}",
            words(&output)
        );
        all.extend(output.stdout);
    }
    Ok(all)
}

/// A file without a name, which nobody can put another one in the place of.
fn nameless(content: &[u8]) -> anyhow::Result<File> {
    let mut file = tempfile::tempfile()?;
    file.write_all(content)?;
    Ok(file)
}

/// The beginning of what it complains of; else the end of what it tells, where tools put the sum.
fn words(output: &Output) -> String {
    const MOST: usize = 500;
    let complaint = String::from_utf8_lossy(&output.stderr);
    let complaint: Vec<_> = complaint
        .lines()
        .filter(|line| !npm::is_about_logs(line))
        .collect();
    let complaint = complaint.join("\n");
    if !complaint.trim().is_empty() {
        return text::shorten(&text::clean(complaint.trim()), MOST);
    }
    let told = text::clean(String::from_utf8_lossy(&output.stdout).trim());
    let skip = told.chars().count().saturating_sub(MOST);
    told.chars().skip(skip).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_that_lead_out_are_told_from_those_that_do_not() {
        let links = [
            ("bin/tool", "../lib/tool.js", false),
            ("lib/up", "..", false),
            ("lib/over", "../..", true),
            ("absolute", "/srv/app/data", true),
            // Behind a link, `..` is above the place that it leads to.
            ("deep/er/root", "../..", false),
            ("hidden", "deep/er/root/../data", true),
            ("through", "lib/over/x", true),
            ("fine", "deep/er/root/lib/tool.js", false),
            ("circle", "circle", true),
            ("nowhere", "not/there", false),
        ];
        let all: Vec<u8> = links
            .iter()
            .flat_map(|(link, says, _)| format!("{link}\0{says}\0").into_bytes())
            .collect();
        let out = String::from_utf8(that_lead_out(&all)).expect("text");
        let out: Vec<_> = out.split_terminator('\0').collect();
        for (link, says, leads) in links {
            assert_eq!(out.contains(&link), leads, "{link} to {says}");
        }
        assert!(that_lead_out(b"").is_empty());
    }

    #[test]
    fn only_what_belongs_to_a_database_lies_beside_it() {
        let is = |path: &str| is_beside(Path::new("/srv/app.db"), Path::new(path));
        assert!(is("/srv/app.db-wal") && is("/srv/app.db.bak"));
        assert!(!is("/srv/app.dbx.js") && !is("/srv/app.js") && !is("/srv/other/app.db.bak"));
        let bare = |path: &str| is_beside(Path::new("/srv/app"), Path::new(path));
        assert!(bare("/srv/app-wal") && !bare("/srv/app.js"));
    }
}
