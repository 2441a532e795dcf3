//! `schedule systemd`: the calendar as timers, and services that may do what their task needs and nothing else.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::Serialize;

use super::crontab::day_range;
use super::{Call, Detail, one_line};
use crate::calendar::{Line, Need};
use crate::calendar::{Planned, Role};
use crate::config::sections::{Backup, DataClean, Databases, Metrics, State, Verify};
use crate::config::{Config, Days, EVERY_MONTH, Origin, When, month_numbers, weekday_name};
use crate::report::{Document, Finding, Reporter, Severity, Step};
use crate::sys::files;
use crate::units;

/// Finding id: a timer of ours in the folder that the calendar no longer has.
const LEFTOVER: &str = "schedule.leftover-unit";

const DEFAULT_STATE: &str = "/var/lib/empire-maint";

/// Where the mail programs of Debian put what they are given.
const MAIL_SPOOLS: [&str; 3] = ["/var/spool/postfix", "/var/spool/exim4", "/var/log/exim4"];

/// What the units call and may write.
pub(super) struct Settings {
    program: Call,
    timezone: Option<String>,
    pub write: Option<PathBuf>,
    state: PathBuf,
    /// Folders that a task changes something in.
    writable: Vec<PathBuf>,
    /// Those of them that a task makes when they are not there yet.
    made: Vec<PathBuf>,
    mails: bool,
}

/// One unit file.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Unit {
    /// The file's name.
    name: String,
    /// Its content.
    content: String,
}

impl Settings {
    pub fn resolve(
        config: &Config,
        program: Call,
        timezone: Option<String>,
        write: Option<PathBuf>,
    ) -> anyhow::Result<Self> {
        let state = match config.get::<State>()?.dir {
            Some(dir) => config.path(&dir)?,
            None => DEFAULT_STATE.into(),
        };
        let backups = config.path(&config.get::<Backup>()?.dir)?;
        let mut made = vec![backups];
        for rule in config.peek::<DataClean>().unwrap_or_default().rule {
            if let Some(folder) = rule.folder() {
                made.push(config.path(folder)?);
            }
        }
        let mut writable = made.clone();
        made.push(state.clone());
        // Who reads a database in WAL mode writes into the shared memory file beside it.
        for database in config.get::<Databases>()?.0 {
            writable.push(files::parent(&config.path(&database.path)?).to_owned());
        }
        if let Some(scratch) = config.get::<Verify>()?.scratch_dir {
            writable.push(config.path(&scratch)?);
        }
        writable.extend(config.get::<Metrics>()?.textfile_dir);
        if state != Path::new(DEFAULT_STATE) {
            writable.push(state.clone());
        }
        writable.sort();
        writable.dedup();
        for path in &writable {
            one_line(&path.display().to_string())?;
        }
        Ok(Self {
            program,
            timezone,
            write: write.as_deref().map(files::absolute).transpose()?,
            state,
            writable,
            made,
            mails: config.origin("alerts", &["channel"]) != Origin::Default,
        })
    }

    /// Who makes a folder must be able to write into the one above; one that nobody makes is left out while it is missing.
    fn writable_paths(&self) -> Vec<String> {
        let there = |path: &Path| matches!(files::metadata(path), Ok(Some(_)));
        let mut paths: Vec<_> = self
            .writable
            .iter()
            .map(|path| match path.parent() {
                _ if there(path) => unit_word(&path.display().to_string()),
                Some(above) if self.made.contains(path) && there(above) => {
                    unit_word(&above.display().to_string())
                }
                _ => unit_word(&format!("-{}", path.display())),
            })
            .collect();
        if self.mails {
            paths.extend(MAIL_SPOOLS.map(|path| format!("-{path}")));
        }
        paths.dedup();
        paths
    }

    /// Whether a private /tmp would hide something that the tasks need.
    fn uses_tmp(&self) -> bool {
        self.writable
            .iter()
            .chain([&self.state, &self.program.program])
            .any(|path| path.starts_with("/tmp") || path.starts_with("/var/tmp"))
    }
}

pub(super) fn run(report: &Reporter, lines: &[Planned], settings: &Settings) -> anyhow::Result<()> {
    let units: Vec<Unit> = lines
        .iter()
        .filter(|planned| planned.role == Role::Active)
        .flat_map(|planned| [service(planned.line, settings), timer(planned, settings)])
        .collect();
    match &settings.write {
        Some(folder) => write(report, &units, folder)?,
        None => {
            for unit in &units {
                let text = format!("# ==> {} <==\n{}\n", unit.name, unit.content);
                report.document(Document::Answer(text));
            }
        }
    }
    report.detail(&Detail {
        lines: Vec::new(),
        text: None,
        units,
    })
}

fn write(report: &Reporter, units: &[Unit], folder: &Path) -> anyhow::Result<()> {
    if files::metadata(folder)?.is_some() {
        files::require_trusted_directory(folder)?;
    } else {
        let step = Step {
            kind: "create",
            target: folder.display().to_string(),
            reason: "the folder for the units".into(),
        };
        report.act(step, |permit| files::create_directory(permit, folder))?;
    }
    let mut changed = 0;
    for unit in units {
        let path = folder.join(&unit.name);
        let old = match files::link_metadata(&path)? {
            Some(_) => Some(files::read_small(&path, 1 << 20)?),
            None => None,
        };
        if old.as_deref() == Some(unit.content.as_bytes()) {
            continue;
        }
        let step = Step {
            kind: "write",
            target: path.display().to_string(),
            reason: if old.is_some() { "changed" } else { "new" }.into(),
        };
        report.act(step, |permit| {
            files::replace(permit, &path, unit.content.as_bytes(), 0o644)
        })?;
        changed += 1;
    }
    leftovers(report, units, folder)?;
    let timers: Vec<_> = units
        .iter()
        .map(|unit| unit.name.as_str())
        .filter(|name| name.ends_with(".timer"))
        .collect();
    report.summarise(format!(
        "{} to change of {} in {}; next: systemctl daemon-reload && systemctl enable --now {}",
        units::count(changed, "unit"),
        units.len(),
        folder.display(),
        timers.join(" ")
    ));
    Ok(())
}

/// Timers of an earlier calendar go on running their task: that is said, not undone.
fn leftovers(report: &Reporter, units: &[Unit], folder: &Path) -> anyhow::Result<()> {
    report.examined_all(LEFTOVER);
    for entry in files::list(folder)? {
        let name = entry.file_name().to_string_lossy().into_owned();
        let ours = name.starts_with("empire-maint-") && name.ends_with(".timer");
        if ours && !units.iter().any(|unit| unit.name == name) {
            let hint = format!("systemctl disable --now {name}");
            report.find(
                Finding::new(
                    LEFTOVER,
                    Severity::Low,
                    entry.path().display().to_string(),
                    "this timer is not in the calendar any more, and still runs where it is enabled",
                )
                .hint(hint),
            );
        }
    }
    Ok(())
}

fn service(line: &Line, settings: &Settings) -> Unit {
    let words: Vec<_> = settings
        .program
        .words(line)
        .iter()
        .map(|word| unit_word(&word.replace('$', "$$")))
        .collect();
    let mut text = format!(
        "[Unit]\nDescription=empire-maint: {} (plan {})\nDocumentation=man:empire-maint-{}(8)\n\n[Service]\nType=oneshot\nExecStart={}\n",
        line.title,
        line.section,
        line.task().unwrap_or_default(),
        words.join(" ")
    );
    // 1 and 2 are what a task found, not that it failed. Its own time limit comes first; publishing is never cut.
    let _ = writeln!(text, "SuccessExitStatus=1 2");
    let _ = writeln!(
        text,
        "TimeoutStartSec={}min",
        line.limit.as_secs() / 60 + 15
    );
    text.push_str("Nice=10\nIOSchedulingClass=best-effort\nIOSchedulingPriority=7\nUMask=0077\n");
    if settings.state == Path::new(DEFAULT_STATE) {
        text.push_str("StateDirectory=empire-maint\nStateDirectoryMode=0700\n");
    }
    // What was said while the state cannot be written.
    text.push_str(
        "RuntimeDirectory=empire-maint\nRuntimeDirectoryMode=0700\nRuntimeDirectoryPreserve=yes\n",
    );
    text.push_str("ProtectSystem=strict\n");
    for path in settings.writable_paths() {
        let _ = writeln!(text, "ReadWritePaths={path}");
    }
    text.push_str("ProtectHome=read-only\n");
    if !settings.uses_tmp() {
        text.push_str("PrivateTmp=yes\n");
    }
    // The errors of a GPU are in the kernel's log.
    if !matches!(line.need, Need::Gpu | Need::Benchmark) {
        text.push_str("PrivateDevices=yes\nProtectKernelLogs=yes\n");
    }
    text.push_str(
        "NoNewPrivileges=yes\nProtectClock=yes\nProtectHostname=yes\nProtectKernelModules=yes\n\
         ProtectKernelTunables=yes\nProtectControlGroups=yes\nRestrictNamespaces=yes\nRestrictRealtime=yes\nRestrictSUIDSGID=yes\n\
         LockPersonality=yes\nSystemCallArchitectures=native\nSystemCallFilter=@system-service\nSystemCallErrorNumber=EPERM\n\
         RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK\n\
         CapabilityBoundingSet=CAP_CHOWN CAP_DAC_OVERRIDE CAP_DAC_READ_SEARCH CAP_FOWNER CAP_SYS_PTRACE\n",
    );
    Unit {
        name: format!("empire-maint-{}.service", line.name),
        content: text,
    }
}

fn timer(planned: &Planned, settings: &Settings) -> Unit {
    let line = planned.line;
    let zone = match &settings.timezone {
        Some(name) => format!(" {name}"),
        None => String::new(),
    };
    // Wide enough that many servers do not begin at once, and well within the grace time.
    let spread = match planned.when {
        When::Minutes { step, .. } if step < 60 => "10s",
        When::Minutes { .. } => "2min",
        _ => "10min",
    };
    Unit {
        name: format!("empire-maint-{}.timer", line.name),
        content: format!(
            "[Unit]\nDescription=empire-maint: {} (plan {}), {}\n\n[Timer]\nOnCalendar={}{zone}\nPersistent=true\nRandomizedDelaySec={spread}\nAccuracySec=1s\n\n[Install]\nWantedBy=timers.target\n",
            line.title,
            line.section,
            planned.when,
            calendar_event(&planned.when)
        ),
    }
}

/// systemd asks for weekday *and* day, so that it needs no guard.
fn calendar_event(when: &When) -> String {
    match when {
        When::Off => "2000-01-01".to_owned(),
        When::Minutes { step: 60, first } => format!("*-*-* *:{first:02}:00"),
        When::Minutes { step, first } => format!("*-*-* *:{first:02}/{step}:00"),
        When::Hours { step, minute } => format!("*-*-* 00/{step}:{minute:02}:00"),
        When::Days { days, hour, minute } => {
            let time = format!("{hour:02}:{minute:02}:00");
            match days {
                Days::Every => format!("*-*-* {time}"),
                Days::Week(weekday) => format!("{} *-*-* {time}", weekday_name(*weekday)),
                Days::Month {
                    months,
                    nth,
                    weekday,
                } => {
                    let months = match *months {
                        EVERY_MONTH => "*".to_owned(),
                        some => {
                            let numbers: Vec<_> =
                                month_numbers(some).map(|n| format!("{n:02}")).collect();
                            numbers.join(",")
                        }
                    };
                    let (first, last) = day_range(*nth);
                    let weekday = weekday_name(*weekday);
                    format!("{weekday} *-{months}-{first:02}..{last:02} {time}")
                }
            }
        }
    }
}

/// A word of a unit file: `%` starts a specifier there, quotes and blanks need quotes.
fn unit_word(word: &str) -> String {
    let word = word.replace('%', "%%");
    let plain = |c: char| !c.is_whitespace() && !matches!(c, '"' | '\'' | '\\' | ';');
    if word.chars().all(plain) {
        word
    } else {
        format!("\"{}\"", word.replace('\\', "\\\\").replace('"', "\\\""))
    }
}
