//! A program under V8's sampling profiler: started as a list of words, ended with SIGTERM, and what its ticks say.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::Context as _;
use schemars::JsonSchema;
use serde::Serialize;

use crate::context::Context;
use crate::error::{Failure, Kind, missing, usage};
use crate::report::{Cell, Document, Reporter, Step, Table};
use crate::sys::process::{self, Ended};
use crate::sys::scratch::{self, Scratch};
use crate::sys::{files, machine};
use crate::text::shorten;
use crate::units::{self, Length};

/// Time to end after SIGTERM.
const GRACE: Duration = Duration::from_secs(10);
/// Reading a log of an hour takes minutes.
const READING: Duration = Duration::from_secs(600);
/// One log a thread; the largest are read.
const MOST_LOGS: usize = 8;
const SHOWN: usize = 10;

/// What will be run.
pub struct Plan {
    environment: Vec<(String, String)>,
    words: Vec<String>,
    span: Duration,
    root: PathBuf,
    user: Option<String>,
}

/// Where the program spent its time.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Profile {
    /// As it was given.
    command: String,
    /// For how long it was to run, ms.
    for_ms: u64,
    /// It was killed, since it did not end when it was asked: the ticks of the ten seconds that it had for that count too.
    killed: bool,
    /// Samples, about one a millisecond of work.
    pub ticks: u64,
    /// By kind: JavaScript, C++, GC, Shared libraries, Unaccounted.
    parts: Vec<Part>,
    /// The functions with most samples.
    top: Vec<Part>,
}

/// A share of the samples.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
struct Part {
    /// What it is.
    name: String,
    /// Its samples.
    ticks: u64,
    /// Of all, %.
    percent: f64,
}

impl Plan {
    /// Takes the command line apart: assignments, the program, its arguments.
    pub fn new(
        line: &str,
        span: Duration,
        root: PathBuf,
        user: Option<String>,
    ) -> anyhow::Result<Self> {
        let mut words = process::words(line)?;
        let mut environment = Vec::new();
        while let Some((name, value)) = words.first().and_then(|word| assignment(word)) {
            environment.push((name, value));
            words.remove(0);
        }
        let program = words
            .first()
            .and_then(|word| word.rsplit('/').next())
            .unwrap_or_default();
        if !matches!(program, "node" | "nodejs") || words.len() < 2 {
            return Err(usage(format!("--profile '{line}' does not start a program with node"))
                .hint("as in --profile 'PORT=3001 node server.js'; npm and npx start node themselves: give what they start")
                .into());
        }
        Ok(Self {
            environment,
            words,
            span,
            root,
            user,
        })
    }

    fn shown(&self) -> String {
        let words: Vec<_> = self
            .words
            .iter()
            .map(|word| process::shell_word(word))
            .collect();
        words.join(" ")
    }

    /// A node with nothing of ours, in `folder`, as the application's user where we are root.
    fn node(&self, folder: &std::path::Path) -> anyhow::Result<Command> {
        use std::os::unix::process::CommandExt as _;
        // A second server that outlives us would hold its port for ever.
        let mut command = process::from_list_tied(&self.words[..1])?;
        command.current_dir(folder);
        if let Some((user, group)) = self.identity()? {
            command.uid(user).gid(group);
        }
        Ok(command)
    }

    /// Who runs it, where that is not us: only root can and should be somebody else.
    fn identity(&self) -> anyhow::Result<Option<(u32, u32)>> {
        use std::os::unix::fs::MetadataExt as _;
        if !machine::is_root() {
            return Ok(None);
        }
        let found = match &self.user {
            Some(name) => machine::user_and_group(name)?
                .with_context(|| format!("there is no user {name} ([app] user)"))?,
            None => files::metadata(&self.root)?
                .map(|meta| (meta.uid(), meta.gid()))
                .ok_or_else(|| missing(format!("there is no {}", self.root.display())))?,
        };
        Ok(Some(found))
    }
}

/// `NAME=value` in front of a program.
fn assignment(word: &str) -> Option<(String, String)> {
    let (name, value) = word.split_once('=')?;
    let fine = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    fine.then(|| (name.to_owned(), value.to_owned()))
}

/// Runs it, unless this is a dry run.
pub fn run(plan: &Plan, context: &Context, report: &Reporter) -> anyhow::Result<Option<Profile>> {
    scratch::sweep(report, &plan.root)?;
    let step = Step {
        kind: "profile",
        target: plan.shown(),
        reason: format!("--profile, for {}", Length(plan.span)),
    };
    let Some(profile) = report.act(step, |_| profile(plan, context))? else {
        return Ok(None);
    };
    report.measure("profile_ticks", profile.ticks as f64, "", []);
    for part in &profile.parts {
        report.measure("profile_percent", part.percent, "%", [("part", &part.name)]);
    }
    let rows = |parts: &[Part]| -> Vec<Vec<Cell>> {
        let row = |part: &Part| {
            vec![
                Cell::Count(part.ticks),
                Cell::Percent(part.percent),
                Cell::Text(part.name.clone()),
            ]
        };
        parts.iter().map(row).collect()
    };
    let mut all = rows(&profile.parts);
    all.extend(rows(&profile.top));
    report.document(Document::Table(Table {
        title: format!("{}: {}", plan.shown(), units::count(profile.ticks, "tick")),
        columns: vec!["ticks", "share", "where"],
        rows: all,
    }));
    if profile.killed {
        report.document(Document::Text(format!(
            "{} did not end on SIGTERM and was killed {} later: the ticks of that time are in it too\n",
            plan.shown(),
            Length(GRACE)
        )));
    }
    Ok(Some(profile))
}

fn profile(plan: &Plan, context: &Context) -> anyhow::Result<Profile> {
    let folder = Scratch::new(&plan.root)?;
    if let Some((user, group)) = plan.identity()? {
        files::give(folder.path(), user, group)?;
    }
    let mut command = plan.node(&plan.root)?;
    command
        .arg("--prof")
        .arg(format!(
            "--logfile={}",
            folder.path().join("v8.log").display()
        ))
        .args(&plan.words[1..])
        .envs(plan.environment.iter().map(|(name, value)| (name, value)));
    let (output, ended) = process::run_for(command, plan.span, GRACE, &context.stop)?;
    if ended == Ended::ByItself && !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        let error = said.lines().find(|line| line.contains("Error"));
        let mut message = format!("{} ended by itself with {}", plan.shown(), output.status);
        match error.or(said.lines().last()).map(str::trim) {
            None | Some("") => message += " and said nothing",
            Some(last) => message += &format!(": {}", shorten(last, 300)),
        }
        return Err(Failure::new(Kind::Failed, message)
            .hint("is its port taken by the application? --profile 'PORT=3001 node server.js'")
            .into());
    }
    let mut found = Ticks::default();
    let mut logs: Vec<_> = files::list(folder.path())?
        .into_iter()
        .filter(|entry| entry.file_name().to_string_lossy().ends_with(".log"))
        .map(|entry| (entry.metadata().map_or(0, |meta| meta.len()), entry.path()))
        .collect();
    logs.sort();
    for (_, log) in logs.iter().rev().take(MOST_LOGS) {
        let mut command = plan.node(folder.path())?;
        command.arg("--prof-process").arg(log);
        let output = process::run(command, READING, &context.stop)?;
        anyhow::ensure!(
            output.status.success(),
            "node --prof-process ended with {}: {}",
            output.status,
            shorten(String::from_utf8_lossy(&output.stderr).trim(), 300)
        );
        found.add(&String::from_utf8_lossy(&output.stdout));
    }
    if found.total == 0 {
        return Err(
            Failure::new(Kind::Failed, format!("{} left no samples", plan.shown()))
                .hint("did it work at all in that time? --for 300s")
                .into(),
        );
    }
    Ok(Profile {
        command: plan.shown(),
        for_ms: u64::try_from(plan.span.as_millis()).unwrap_or(u64::MAX),
        killed: ended == Ended::Killed,
        ticks: found.total,
        parts: found.parts(&found.summary, usize::MAX),
        top: found.parts(&found.functions, SHOWN),
    })
}

/// What `node --prof-process` says, of one log or several.
#[derive(Default)]
struct Ticks {
    total: u64,
    summary: Vec<(String, u64)>,
    functions: Vec<(String, u64)>,
}

impl Ticks {
    /// Its text: a first line with the number of ticks, then sections of `ticks share [share] name`.
    fn add(&mut self, text: &str) {
        let mut section = "";
        for line in text.lines() {
            if let Some(rest) = line.split(".log, (").nth(1) {
                let number = rest
                    .split(' ')
                    .next()
                    .and_then(|word| word.parse::<u64>().ok());
                self.total += number.unwrap_or(0);
            }
            if let Some(name) = line.strip_prefix(" [") {
                section = name.split(']').next().unwrap_or_default();
                continue;
            }
            let list = match section {
                "Summary" => &mut self.summary,
                "JavaScript" | "C++" | "Shared libraries" => &mut self.functions,
                _ => continue,
            };
            let Some((ticks, name)) = row(line) else {
                continue;
            };
            match list.iter_mut().find(|(known, _)| *known == name) {
                Some((_, known)) => *known += ticks,
                None => list.push((name, ticks)),
            }
        }
    }

    fn parts(&self, list: &[(String, u64)], most: usize) -> Vec<Part> {
        let mut list = list.to_vec();
        list.sort_by_key(|(_, ticks)| std::cmp::Reverse(*ticks));
        list.truncate(most);
        list.into_iter()
            .map(|(name, ticks)| Part {
                name: shorten(&name, 120),
                ticks,
                percent: units::percent(ticks, self.total),
            })
            .collect()
    }
}

fn row(line: &str) -> Option<(u64, String)> {
    let mut rest = line.trim_start();
    let (ticks, behind) = rest.split_once(char::is_whitespace)?;
    let ticks = ticks.parse().ok()?;
    rest = behind.trim_start();
    while let Some((share, behind)) = rest.split_once(char::is_whitespace)
        && share.ends_with('%')
    {
        rest = behind.trim_start();
    }
    (!rest.is_empty()).then(|| (ticks, rest.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(line: &str) -> anyhow::Result<Plan> {
        Plan::new(line, Duration::from_secs(1), "/srv".into(), None)
    }

    #[test]
    fn a_command_line_comes_apart() {
        let plan =
            plan("PORT=3001 A='b c' /usr/bin/node --max-old-space-size=100 'my server.js' -x")
                .expect("reads");
        assert_eq!(
            plan.environment,
            [("PORT".into(), "3001".into()), ("A".into(), "b c".into())]
        );
        assert_eq!(
            plan.words,
            [
                "/usr/bin/node",
                "--max-old-space-size=100",
                "my server.js",
                "-x"
            ]
        );
        for wrong in [
            "npm start",
            "node",
            "",
            "PORT=1",
            "node server.js | tee x",
            "node 'x",
        ] {
            assert!(super::tests::plan(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_processors_text_is_read() {
        let text = "Statistical profiling result from /x/isolate-0x1-2-v8.log, (2680 ticks, 59 unaccounted, 0 excluded).

 [Shared libraries]:
   ticks  total  nonlib   name
     40    1.5%          /usr/bin/node

 [JavaScript]:
   ticks  total  nonlib   name
   2600   97.0%   98.0%  JS: *busy /x/server.js:2:14

 [Summary]:
   ticks  total  nonlib   name
   2602   97.1%   97.1%  JavaScript
     59    2.2%          Unaccounted

 [Bottom up (heavy) profile]:
   ticks parent  name
   2600   97.0%  JS: *busy /x/server.js:2:14
";
        let mut found = Ticks::default();
        found.add(text);
        found.add(text);
        assert_eq!(found.total, 5360);
        let top = found.parts(&found.functions, 10);
        assert_eq!(
            (top[0].name.as_str(), top[0].ticks),
            ("JS: *busy /x/server.js:2:14", 5200)
        );
        assert_eq!(top[1].name, "/usr/bin/node");
        assert_eq!(found.parts(&found.summary, 10)[1].ticks, 118);
    }
}
