//! The one road, from the command line to the exit code:
//! cli → config → resolve → journal.begin → locks → run → alerts → journal.finish → output → exit.

mod scope;
mod shared;
mod tell;
mod watch;

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::alert::{Desk, Switch};
use crate::calendar::{Here, Line};
use crate::cli::{self, Globals, Invocation};
use crate::config::sections::{Alerts, Metrics, State, Zone};
use crate::config::{self, Config, Section};
use crate::context::Context;
use crate::error::{self, Kind};
use crate::exit::Code;
use crate::journal::{self, Begun, Obstacle};
use crate::meta;
use crate::output::{self, Format, Style};
use crate::report::{
    Ask, Examined, FailureReport, Finding, Progress, Report, Reporter, Severity, Status,
    TASK_FAILED,
};
use crate::sys::{Stop, files, machine};
use crate::task::{Entry, Task};
use crate::tasks::TASKS;
use crate::text::shorten;
use crate::units;
use watch::{take_locks, watch};

/// Runs the program and says what to exit with.
pub fn run(arguments: Vec<OsString>) -> Code {
    machine::private_umask();
    match cli::parse(&arguments) {
        Ok(invocation) => match TASKS.iter().find(|entry| entry.name == invocation.name) {
            Some(entry) => run_task(entry, &invocation),
            None => run_meta(&invocation),
        },
        Err(error) if meta::is_answer(&error) => {
            let mut report = new_report("help", &Globals::default());
            meta::answer(&mut report, error.render().to_string());
            let guessed = cli::guess(&arguments).style;
            let style = Style {
                format: match guessed.format {
                    Format::Json => Format::Json,
                    _ => Format::Human,
                },
                ..guessed
            };
            conclude(report, style)
        }
        Err(error) if meta::is_bare(&error) => {
            output::print_help_instead(&error.render().to_string());
            Code::Status(Status::Unknown)
        }
        Err(error) => {
            let guess = cli::guess(&arguments);
            let report = new_report(&guess.task, &Globals::default());
            let error = meta::usage_failure(&error).into();
            let report = match TASKS.iter().find(|entry| entry.name == guess.task) {
                Some(entry) => misused(entry, guess.config, &arguments, report, &error),
                None => fail(report, &guess.task, &error, Severity::High),
            };
            conclude(report, guess.style)
        }
    }
}

fn new_report(task: &str, globals: &Globals) -> Report {
    let now = globals.now.unwrap_or_else(Timestamp::now);
    let mut report = Report::new(task, &machine::host(), to_millis(now), globals.dry_run);
    report.options = globals.carried();
    report
}

fn run_meta(invocation: &Invocation) -> Code {
    let Invocation {
        globals,
        name,
        matches,
    } = invocation;
    let mut report = new_report(name, globals);
    let stop = Stop::after(Duration::MAX);
    let result = meta::run(name, matches, globals, &stop, &mut report)
        .unwrap_or_else(|| Err(error::usage(format!("unknown command {name}")).into()));
    let mut signal = None;
    if let Err(error) = result {
        report = fail(report, name, &error, Severity::High);
        signal = stop.signal().map(Code::Signal);
    }
    report.seal(report.started_at);
    if let Some(code) = signal {
        report.exit_code = code.value();
    }
    let code = conclude(report, globals.style());
    signal.unwrap_or(code)
}

/// A crontab with a typo in it is a failed run like any other: it is written down.
fn misused(
    entry: &'static Entry,
    config: Option<PathBuf>,
    arguments: &[OsString],
    report: Report,
    error: &anyhow::Error,
) -> Report {
    let mut globals = Globals::default();
    globals.config = config;
    let understood = cli::understood(arguments);
    let reads_only = understood.is_some_and(|matches| (entry.reads_only)(&matches));
    let lines = scope::lines_typed(entry, arguments);
    let mut road = Road::new(entry, &globals, lines, reads_only);
    // Where the configuration is wrong too, the failure is written down where state goes by default.
    if let Ok(config) = Config::load(globals.config.as_deref(), None) {
        let _ = road.find_state(&config);
        road.find_desk(&config, &report);
    }
    road.refuse(report, error)
}

/// The road itself.
fn run_task(entry: &'static Entry, invocation: &Invocation) -> Code {
    let globals = &invocation.globals;
    let mut report = new_report(entry.name, globals);
    let reads_only = (entry.reads_only)(&invocation.matches);
    let lines = scope::lines_of(entry, &invocation.matches);
    let mut road = Road::new(entry, globals, lines, reads_only);
    let report = match road.prepare(invocation, &mut report) {
        Ok((task, context)) => road.travel(task, context, report),
        Err(error) => road.refuse(report, &error),
    };
    let style = globals.style();
    let code = conclude(report, style);
    road.code.unwrap_or(code)
}

/// What the stations of the road share.
struct Road<'a> {
    entry: &'static Entry,
    /// The lines of the plan of whose work it leaves nothing out; it answers the first.
    lines: Vec<&'static Line>,
    globals: &'a Globals,
    reads_only: bool,
    clock: Instant,
    severity: Severity,
    stop: Stop,
    root: PathBuf,
    state: PathBuf,
    keep: Duration,
    journal: Option<Begun>,
    textfiles: Option<PathBuf>,
    desk: Option<Desk>,
    switch: Option<Switch>,
    fleeting: bool,
    zone: TimeZone,
    /// What the plan has for this server, where the configuration tells.
    here: Option<Here>,
    /// What is written down here is another application's.
    foreign: bool,
    code: Option<Code>,
}

impl<'a> Road<'a> {
    fn new(
        entry: &'static Entry,
        globals: &'a Globals,
        lines: Vec<&'static Line>,
        reads_only: bool,
    ) -> Self {
        Self {
            entry,
            lines,
            globals,
            reads_only,
            clock: Instant::now(),
            severity: match entry.guards_data {
                true => Severity::Critical,
                false => Severity::High,
            },
            stop: Stop::after(globals.timeout().unwrap_or(entry.limit)),
            root: PathBuf::from("/"),
            state: default_state(),
            keep: State::default().keep.0,
            journal: None,
            textfiles: None,
            desk: None,
            switch: None,
            fleeting: false,
            zone: TimeZone::system(),
            here: None,
            foreign: false,
            code: None,
        }
    }

    /// What the plan has for this server, and who is to be told. A broken `[alerts]` is a finding of the run and stops nothing.
    fn find_desk(&mut self, config: &Config, report: &Report) {
        let zone = config.peek::<Zone>().unwrap_or_default().zone();
        self.zone = zone.clone();
        self.here = Here::resolve(config).ok();
        if !self.reads_only && !self.globals.no_alert && !report.dry_run {
            self.desk = config
                .peek::<Alerts>()
                .map(|alerts| Desk::new(alerts, zone));
        }
    }

    fn find_state(&mut self, config: &Config) -> anyhow::Result<()> {
        let section = self.needed::<State>(config)?;
        self.keep = section.keep.0;
        self.root = config.app_root().unwrap_or_else(|_| self.root.clone());
        if let Some(dir) = section.dir {
            self.state = config.path(&dir)?;
        }
        Ok(())
    }

    /// A section that the road itself needs. What only reads makes do with its defaults, and says that it is broken.
    fn needed<S: Section>(&self, config: &Config) -> anyhow::Result<S> {
        match config.get() {
            Err(_) if self.reads_only => Ok(S::default()),
            other => other,
        }
    }

    /// The file; the defaults instead of a broken one for what only reads, with a finding that says so.
    fn load(&self, report: &mut Report) -> anyhow::Result<Config> {
        let root = self.globals.root.as_deref();
        match Config::load(self.globals.config.as_deref(), root) {
            Err(error) if self.reads_only && error::kind_of(&error) == Kind::Config => {
                report.findings.push(
                    Finding::new(
                        config::INVALID,
                        Severity::High,
                        "configuration",
                        format!("{error:#}; the built-in defaults are in force"),
                    )
                    .hint("empire-maint config check"),
                );
                Ok(Config::defaults(root))
            }
            other => other,
        }
    }

    /// Configuration, resolved task, context.
    fn prepare(
        &mut self,
        invocation: &Invocation,
        report: &mut Report,
    ) -> anyhow::Result<(Prepared, Context)> {
        self.stop.listen().context("cannot listen for signals")?;
        let config = self.load(report)?;
        self.find_state(&config)?;
        // Broken, it costs the figures, with a finding, and not the run.
        self.textfiles = config.get::<Metrics>().unwrap_or_default().textfile_dir;
        // Looked at and not read: what else is wrong in its section is a finding.
        let zone = match config.peek::<Zone>() {
            Some(zone) => zone.zone(),
            None => self.needed::<Zone>(&config)?.zone(),
        };
        // Before the task is resolved: that it could not start has to be told too.
        self.find_desk(&config, report);
        let task = (self.entry.resolve)(&invocation.matches, &config)?;
        let context = Context {
            task: self.entry.name.into(),
            now: report.started_at,
            began: self.clock,
            commands: TASKS.iter().map(|entry| entry.name).collect(),
            zone,
            host: report.host.as_str().into(),
            dry_run: report.dry_run,
            attended: output::is_watched(),
            tells: !self.globals.no_alert,
            stop: self.stop.clone(),
            lock_wait: self.globals.lock_wait(),
            state: Arc::new(self.state.clone()),
        };
        let prepared = Prepared {
            task,
            owner: shared::Applicant::of(&config, self.globals.root.is_none()),
            elsewhere: config.problems_elsewhere(),
        };
        Ok((prepared, context))
    }

    /// Journal, locks, the task itself, journal again.
    fn travel(&mut self, prepared: Prepared, context: Context, mut report: Report) -> Report {
        report.findings.extend(prepared.elsewhere);
        report.examined.push(Examined {
            id: crate::config::INVALID,
            subject: None,
        });
        let task = prepared.task;
        self.fleeting = task.fleeting();
        if self.reads_only {
            self.textfiles = None;
        } else if !context.dry_run || self.state.join("journal.db").exists() {
            self.begin(&mut report);
            self.judge_owner(&prepared.owner, &mut report);
        }
        self.start_ping(&mut report);
        let style = self.globals.style();
        let reporter = Reporter::new(report, progress(style), person(style));
        let result = take_locks(&*task, &context).and_then(|held| {
            let result = watch(task, &context, &reporter);
            drop(held);
            result
        });
        reporter.progress_done();
        let mut report = reporter.snapshot();
        if let Err(error) = &result {
            self.spare_others(error);
            let severity = self.severity_of(error);
            report = fail(report, &self.scope(), error, severity);
            self.code = self.stop.signal().map(Code::Signal);
        }
        self.finish(report)
    }

    fn begin(&mut self, report: &mut Report) {
        let line = self.lines.first().map(|line| line.name);
        // Whoever can write there can lead what is written elsewhere, by a link.
        let begun = files::require_own_directory(&self.state, &self.root, &self.root)
            .and_then(|()| files::private_directory(&self.state))
            .and_then(|()| journal::begin(&self.state, report, line, &self.stop));
        match begun {
            Ok(begun) => {
                for run in &begun.interrupted {
                    report.findings.push(
                        Finding::new(
                            journal::INTERRUPTED,
                            self.severity_of_killed(&run.task),
                            scope::name(&run.task, run.line.as_deref()),
                            format!(
                                "the run of {} that began {} was killed",
                                run.task,
                                units::shown(run.started_at, &self.zone)
                            ),
                        )
                        .hint(format!("empire-maint history --task {}", run.task)),
                    );
                }
                report.examined.push(Examined {
                    id: journal::UNWRITABLE,
                    subject: Some(self.state.display().to_string()),
                });
                self.journal = Some(begun);
            }
            Err(error) => report.findings.push(unwritable(&self.state, &error)),
        }
    }

    /// A run that never started is written down all the same.
    fn refuse(&mut self, mut report: Report, error: &anyhow::Error) -> Report {
        self.code = self.stop.signal().map(Code::Signal);
        self.spare_others(error);
        if self.reads_only {
            self.textfiles = None;
        } else if !report.dry_run {
            self.begin(&mut report);
        }
        self.start_ping(&mut report);
        let severity = self.severity_of(error);
        let scope = self.scope();
        self.finish(fail(report, &scope, error, severity))
    }

    /// A typo of somebody who sits there and reads what is wrong wakes nobody else, and is no run of the plan. What cannot start
    /// where the plan has nothing for it to do was called by somebody who is told by its exit code.
    fn spare_others(&mut self, error: &anyhow::Error) {
        let kind = error::kind_of(error);
        let unmet = matches!(kind, Kind::Missing | Kind::Refused);
        if output::is_typed() && (kind == Kind::Usage || unmet && self.lines.is_empty()) {
            self.desk = None;
            self.lines.clear();
        } else if (kind == Kind::Usage || unmet) && !self.is_planned() {
            self.desk = None;
        }
    }

    /// Metrics, alerts, the dead-man switch, and the journal last: it holds what became of the others.
    fn finish(&mut self, mut report: Report) -> Report {
        if report.failure.is_none() {
            for subject in self.found_well() {
                for id in [TASK_FAILED, journal::INTERRUPTED] {
                    report.examined.push(Examined {
                        id,
                        subject: Some(subject.clone()),
                    });
                }
            }
        }
        if self.foreign {
            report.examined.clear();
        }
        self.seal(&mut report);
        self.write_metrics(&mut report);
        let before = report.findings.len();
        self.alert(&mut report);
        self.end_ping(&mut report);
        if report.findings.len() > before {
            self.seal(&mut report);
            self.write_metrics(&mut report);
        }
        if self.journal.is_some()
            && let Err(error) = journal::finish(&self.state, &report, self.fleeting)
        {
            report.findings.push(unwritable(&self.state, &error));
            self.seal(&mut report);
        }
        self.thin_journal(&mut report);
        self.journal = None;
        report
    }

    /// The run is written down by now: old ones are let go while nobody waits for anything.
    fn thin_journal(&self, report: &mut Report) {
        if self.journal.is_none() || report.dry_run {
            return;
        }
        if let Err(error) = journal::thin(&self.state, self.keep, self.now()) {
            report.findings.push(
                Finding::new(
                    journal::UNWRITABLE,
                    Severity::Medium,
                    self.state.display().to_string(),
                    format!("old runs cannot be taken out of the journal: {error:#}"),
                )
                .hint("free some space, or look at journal.db with sqlite3"),
            );
            self.seal(report);
        }
    }

    /// Status and exit code; that of a signal is what journal and figures say too.
    fn seal(&self, report: &mut Report) {
        report.seal(self.now());
        if let Some(code) = self.code {
            report.exit_code = code.value();
        }
    }

    /// The end of the run: the believed start and the time that really passed.
    fn now(&self) -> Timestamp {
        to_millis(match self.globals.now {
            None => Timestamp::now(),
            Some(start) => start
                .checked_add(
                    jiff::SignedDuration::try_from(self.clock.elapsed()).unwrap_or_default(),
                )
                .unwrap_or(start),
        })
    }
}

/// Finer than a millisecond only makes the report harder to read.
fn to_millis(at: Timestamp) -> Timestamp {
    Timestamp::from_millisecond(at.as_millisecond()).unwrap_or(at)
}

struct Prepared {
    task: Box<dyn Task>,
    owner: Option<shared::Applicant>,
    elsewhere: Vec<Finding>,
}

fn unwritable(state: &Path, error: &anyhow::Error) -> Finding {
    let why = shorten(&format!("{error:#}"), LONGEST_REASON);
    let Obstacle { what, hint } = journal::obstacle(error, state);
    let why = match what {
        Some(what) if !why.contains(what) => format!("{what} ({why})"),
        _ => why,
    };
    Finding::new(
        journal::UNWRITABLE,
        Severity::Medium,
        state.display().to_string(),
        format!("this run cannot be written down: {why}"),
    )
    .hint(hint)
}

/// SQLite's errors may hold whole statements.
const LONGEST_REASON: usize = 300;

/// A path out of the environment.
fn variable(name: &str) -> Option<PathBuf> {
    std::env::var_os(name)
        .map(PathBuf::from)
        .filter(|path| path.is_absolute())
}

/// The first of the folders that systemd hands over.
fn handed_over(name: &str) -> Option<PathBuf> {
    let folders = std::env::var_os(name)?;
    std::env::split_paths(&folders)
        .next()
        .filter(|path| path.is_absolute())
}

/// Where state goes without a configured place: systemd's, the system's for root, the user's own otherwise.
fn default_state() -> PathBuf {
    let own = || {
        variable("XDG_STATE_HOME")
            .map(|path| path.join("empire-maint"))
            .or_else(|| {
                let home = variable("HOME").or_else(machine::home)?;
                Some(home.join(".local/state/empire-maint"))
            })
    };
    handed_over("STATE_DIRECTORY")
        .or_else(|| if machine::is_root() { None } else { own() })
        .unwrap_or_else(|| PathBuf::from("/var/lib/empire-maint"))
}

/// What was said while this state cannot be written, outside of it: in a folder that is ours alone and gone after a boot.
fn memory_beside(state: &Path) -> Option<PathBuf> {
    let own = || match machine::is_root() {
        true => Some(PathBuf::from("/run/empire-maint")),
        false => variable("XDG_RUNTIME_DIR").map(|path| path.join("empire-maint")),
    };
    let folder = handed_over("RUNTIME_DIRECTORY").or_else(own)?;
    let digest = blake3::hash(state.as_os_str().as_bytes()).to_hex();
    let name = format!("unwritten-{}.json", &digest[..16]);
    Some(folder.join(name))
}

fn progress(style: Style) -> Option<Arc<dyn Progress>> {
    if style.quiet {
        return None;
    }
    output::Line::on_terminal().map(|line| Arc::new(line) as Arc<dyn Progress>)
}

fn person(style: Style) -> Option<Arc<dyn Ask>> {
    if style.quiet || style.format != output::Format::Human {
        return None;
    }
    output::Terminal::here(style.color).map(|terminal| Arc::new(terminal) as Arc<dyn Ask>)
}

/// Puts an error into the report, with the finding that monitoring and alerts go by.
fn fail(mut report: Report, scope: &str, error: &anyhow::Error, severity: Severity) -> Report {
    report
        .findings
        .push(Finding::of_error(TASK_FAILED, severity, scope, error));
    report.failure = Some(FailureReport::from_error(error));
    report.seal(report.started_at);
    report
}

/// The last station: one object or one text, and the code that it says.
fn conclude(mut report: Report, style: Style) -> Code {
    if style.format == Format::Human {
        report.complete_hints();
    }
    match output::print(&report, style) {
        true => Code::Status(report.status),
        // Half a configuration, or no report at all, must not look like success.
        false => Code::Status(report.status.max(Status::Critical)),
    }
}
