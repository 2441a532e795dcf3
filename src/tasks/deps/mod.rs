//! Keeps an eye on the packages of the Node project: what is vulnerable, what is outdated, what has reached its end of life.
//! `--fix` tries npm's fix in a full copy and hands over what its tests have passed; `--apply` puts that in place, with the old
//! files kept. The live node_modules is never touched.

mod apply;
mod fix;
mod handover;
mod keep;
mod node;

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use schemars::JsonSchema;
use serde::Serialize;

use self::node::Runtime;
use crate::archive::Store;
use crate::baseline::Shared;
use crate::config::Config;
use crate::config::sections::{Audit, Deps, Reports};
use crate::context::Context;
use crate::error::missing;
use crate::npm::{self, Advisory, Lock, Outdated, Project, Verdict};
use crate::report::{Cell, Document, Finding, Reporter, Severity, Table};
use crate::task;
use crate::text;
use crate::units;

const OUTDATED: &str = "deps.outdated";
const MAJOR: &str = "deps.major";
const DEPRECATED: &str = "deps.deprecated";
const UNKNOWN: &str = "deps.unknown";
const ASK: Duration = Duration::from_secs(10 * 60);

/// Report outdated and vulnerable packages of the Node project; on request try npm's fix in a copy, and put it in place
#[derive(Args)]
pub struct Arguments {
    /// Try `npm audit fix` in a full copy of the project, run its tests there, and hand over a patch and the tested lock file
    #[arg(long)]
    fix: bool,
    /// Put what the last --fix handed over in place; a deployment must follow
    #[arg(long, conflicts_with = "fix")]
    apply: bool,
}

/// What `deps` returns as `data`.
#[derive(Default, Serialize, JsonSchema)]
pub struct Detail {
    /// clean, vulnerable or unknown.
    verdict: &'static str,
    /// What is known against packages, each once.
    advisories: Vec<Advisory>,
    /// Packages with newer versions; null where nobody knows.
    outdated: Option<Vec<Outdated>>,
    /// The Node that runs here.
    node: Option<Runtime>,
    /// The files that were written.
    files: Vec<String>,
}

/// Resolved.
pub struct Task {
    project: Project,
    deps: Deps,
    level: Severity,
    level_word: &'static str,
    reports: PathBuf,
    keep: Reports,
    /// What is never copied: the backups and the reports, the databases with what lies beside them.
    off_limits: Vec<PathBuf>,
    databases: Vec<PathBuf>,
    baseline: Shared,
    what: What,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum What {
    Look,
    Fix,
    Apply,
}

impl task::Arguments for Arguments {
    const NAME: &'static str = "deps";
    type Task = Task;
    type Detail = Detail;

    fn covers(&self, _: &Self) -> bool {
        !self.apply
    }

    fn resolve(self, config: &Config) -> anyhow::Result<Task> {
        let audit = config.get::<Audit>()?;
        let keep = config.get::<Reports>()?;
        let reports = config.path(&keep.dir)?;
        let (mut off_limits, mut databases) = (vec![reports.clone()], Vec::new());
        if self.fix {
            let store = Store::from_config(config)?;
            off_limits.push(store.folder.clone());
            databases.extend(store.databases.iter().map(|source| source.path.clone()));
        }
        Ok(Task {
            project: Project {
                path: config.path(&audit.project)?,
                registry: audit.registry.clone(),
                node_bin: audit.node_bin.clone(),
                work_of: None,
            },
            deps: config.get()?,
            level: audit.npm_level.severity(),
            level_word: audit.npm_level.word(),
            reports,
            keep,
            off_limits,
            databases,
            baseline: Shared::from_config(config),
            what: match (self.fix, self.apply) {
                (true, _) => What::Fix,
                (_, true) => What::Apply,
                _ => What::Look,
            },
        })
    }
}

impl task::Task for Task {
    fn run(&self, context: &Context, report: &Reporter) -> anyhow::Result<()> {
        self.project.package()?;
        match self.what {
            What::Look => self.look(context, report),
            What::Fix => fix::run(self, context, report),
            What::Apply => apply::run(self, context, report),
        }?;
        self.baseline.apply(context, report);
        Ok(())
    }
}

impl Task {
    fn look(&self, context: &Context, report: &Reporter) -> anyhow::Result<()> {
        let subject = self.project.path.display().to_string();
        report.examined(UNKNOWN, &*subject);
        let lock = match self.project.lock() {
            Ok(lock) => Some(lock),
            Err(error) => {
                let hint = self.project.hint_of_unknown();
                self.unknown(report, "what is locked", &error, &hint);
                None
            }
        };
        let mut detail = Detail {
            node: node::judge(self, context, report, lock.as_ref())?,
            ..Detail::default()
        };
        let (verdict, printed) = self.project.audit_kept(ASK, &context.stop)?;
        npm::judge(report, &self.project, &verdict, self.level);
        let mut files = Vec::new();
        files.extend(keep::keep(self, context, report, "npm_audit", &printed)?);
        detail.verdict = match &verdict {
            Verdict::Clean => "clean",
            Verdict::Vulnerable(_) => "vulnerable",
            Verdict::Unknown(_) => "unknown",
        };
        match self.project.outdated(ASK, &context.stop)? {
            Ok((outdated, printed)) => {
                files.extend(keep::keep(
                    self,
                    context,
                    report,
                    "outdated_deps",
                    &printed,
                )?);
                judge_outdated(report, &subject, &outdated);
                detail.outdated = Some(outdated);
            }
            Err(why) => report.find(
                Finding::new(
                    UNKNOWN,
                    Severity::Medium,
                    &*subject,
                    format!(
                        "it is not known which packages are outdated: {}",
                        text::clean(&why)
                    ),
                )
                .hint(format!(
                    "{} outdated, in the project's folder",
                    self.project.manager()?.program()
                )),
            ),
        }
        detail.files = files
            .iter()
            .map(|path| path.display().to_string())
            .collect();
        if let Some(lock) = &lock {
            judge_deprecated(lock, report, &subject);
            apply::judge_deploy(self, report, lock, &subject);
        }
        keep::expire(self, context, report)?;
        if let Verdict::Vulnerable(advisories) = verdict {
            detail.advisories = advisories;
        }
        for table in tables(&detail) {
            report.document(Document::Table(table));
        }
        report.summarise(summary(&detail));
        report.detail(&detail)
    }

    /// What could not be looked at is no reason to leave out the rest, and not well for that.
    fn unknown(&self, report: &Reporter, what: &str, error: &anyhow::Error, hint: &str) {
        let message = format!(
            "it is not known {what}: {}",
            text::clean(&format!("{error:#}"))
        );
        let subject = self.project.path.display().to_string();
        report.find(
            Finding::new(
                UNKNOWN,
                Severity::Medium,
                subject,
                text::shorten(&message, 500),
            )
            .hint(hint),
        );
    }
}

fn judge_outdated(report: &Reporter, subject: &str, outdated: &[Outdated]) {
    for (id, severity, major, what) in [
        (MAJOR, Severity::Low, true, "a new major version"),
        (
            OUTDATED,
            Severity::Info,
            false,
            "a newer version that should break nothing",
        ),
    ] {
        report.examined(id, subject);
        let found: Vec<_> = outdated
            .iter()
            .filter(|one| one.major == major)
            .map(|one| {
                let current = one.current.as_deref().unwrap_or("not installed");
                format!("{} {current} to {}", one.package, one.latest)
            })
            .collect();
        report.measure(
            "deps_outdated",
            found.len() as f64,
            "",
            [("kind", if major { "major" } else { "minor" })],
        );
        if !found.is_empty() {
            let number = units::count(found.len() as u64, "package");
            let message = format!("{number} with {what}: {}", text::clean(&found.join(", ")));
            report.find(Finding::new(
                id,
                severity,
                subject,
                text::shorten(&message, 500),
            ));
        }
    }
}

/// What its authors gave up gets no fixes any more. What the project asks for itself can be replaced; the rest is only told.
fn judge_deprecated(lock: &Lock, report: &Reporter, subject: &str) {
    report.examined(DEPRECATED, subject);
    let of = |direct: bool| -> Vec<String> {
        lock.packages
            .iter()
            .filter(|one| lock.asks_for(&one.name) == direct)
            .filter_map(|one| Some((one, one.deprecated.as_ref()?)))
            .map(|(one, why)| format!("{} {} ({why})", one.name, one.version))
            .collect()
    };
    let direct = of(true);
    let (severity, found) = match direct.is_empty() {
        false => (Severity::Medium, direct),
        true => (Severity::Info, of(false)),
    };
    if !found.is_empty() {
        let number = units::count(found.len() as u64, "package");
        let message = format!(
            "{number} given up by the authors: {}",
            text::clean(&found.join(", "))
        );
        report.find(
            Finding::new(DEPRECATED, severity, subject, text::shorten(&message, 500))
                .hint("npm explain NAME says who needs it"),
        );
    }
}

fn tables(detail: &Detail) -> Vec<Table> {
    let advisories = detail.advisories.iter().map(|one| {
        vec![
            Cell::Text(text::clean(&one.package)),
            match one.severity >= Severity::High {
                true => Cell::Bad(one.severity.word().to_owned()),
                false => Cell::Text(one.severity.word().to_owned()),
            },
            Cell::Text(text::clean(&one.id)),
            Cell::Text(text::clean(&one.title)),
            match one.direct {
                true => Cell::Text("directly".to_owned()),
                false => Cell::Text(text::clean(&one.through.join(", "))),
            },
            Cell::Text(one.fix.to_string()),
        ]
    });
    let outdated = detail.outdated.iter().flatten().map(|one| {
        vec![
            Cell::Text(text::clean(&one.package)),
            one.current
                .clone()
                .map_or(Cell::Empty, |text| Cell::Text(text::clean(&text))),
            Cell::Text(text::clean(&one.wanted)),
            Cell::Text(text::clean(&one.latest)),
            Cell::Text(if one.major { "major" } else { "minor" }.to_owned()),
        ]
    });
    [
        Table {
            title: "Vulnerable".into(),
            columns: vec!["package", "severity", "advisory", "title", "through", "fix"],
            rows: advisories.collect(),
        },
        Table {
            title: "Outdated".into(),
            columns: vec!["package", "here", "wanted", "newest", "step"],
            rows: outdated.collect(),
        },
    ]
    .into_iter()
    .filter(|table| !table.rows.is_empty())
    .collect()
}

fn summary(detail: &Detail) -> String {
    let advisories = match detail.verdict {
        "clean" => "no known advisory".to_owned(),
        "vulnerable" => units::count(detail.advisories.len() as u64, "advisory"),
        _ => "advisories UNKNOWN".to_owned(),
    };
    let Some(outdated) = &detail.outdated else {
        return format!("{advisories}; which packages are outdated is UNKNOWN");
    };
    let major = outdated.iter().filter(|one| one.major).count();
    format!(
        "{advisories}; {} outdated, {major} of them by a major version",
        units::count(outdated.len() as u64, "package")
    )
}

/// npm's own lock file is what `--fix` and `--apply` work on.
fn lock_file(task: &Task) -> anyhow::Result<PathBuf> {
    task.project.lock_file()?.ok_or_else(|| {
        missing(format!(
            "there is no package-lock.json in {}",
            task.project.path.display()
        ))
        .hint("--fix and --apply are for projects that npm installs")
        .into()
    })
}
