//! The application around a swap: stopped before, started afterwards whatever became of the swap, and waited for until it is well.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::archive::swap;
use crate::config::sections::App;
use crate::context::Context;
use crate::error::{self, Kind};
use crate::report::{Finding, Reporter, Severity, Step};
use crate::sys::{http, machine, process};
use crate::units::Length;

const COMMAND: Duration = Duration::from_secs(90);
const CLOSES: Duration = Duration::from_secs(30);
const IS_WELL: Duration = Duration::from_secs(60);
/// How long one question after its health may take, and how long it is left alone before the next.
const ANSWERS: Duration = Duration::from_secs(5);
const BETWEEN: Duration = Duration::from_millis(250);

/// The configured application.
pub(super) struct Application<'a> {
    /// How it is stopped and started, and where it answers.
    pub settings: &'a App,
    /// Signals and time limits.
    pub context: &'a Context,
    /// Where steps and findings go.
    pub report: &'a Reporter,
    /// True when the swap may be tried although somebody still has a file open.
    pub allow_open: bool,
}

impl Application<'_> {
    /// Does `work` while the application is down. No signal and no time limit leaves it down.
    pub fn while_stopped<T>(
        &self,
        open_files: &[PathBuf],
        work: impl FnOnce() -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        let _shield = self.context.stop.shield();
        let stopped = match self.stop(open_files) {
            // There is no program to stop it with: it was never stopped.
            Err(error) if error::kind_of(&error) == Kind::Missing => return Err(error),
            other => other,
        };
        let result = stopped
            .and_then(|()| self.context.stop.check())
            .and_then(|()| work());
        self.start();
        result
    }

    fn stop(&self, open_files: &[PathBuf]) -> anyhow::Result<()> {
        let list = self.settings.stop_command();
        let step = Step {
            kind: "stop",
            target: self.settings.service.clone(),
            reason: list.join(" "),
        };
        self.report.act(step, |_| {
            command(&list)?;
            self.wait_until_closed(open_files)
        })?;
        Ok(())
    }

    fn wait_until_closed(&self, open_files: &[PathBuf]) -> anyhow::Result<()> {
        let started = Instant::now();
        while !self.allow_open && !machine::holders(open_files).is_empty() {
            if started.elapsed() > CLOSES {
                return Err(swap::in_use(&open_files[0]).into());
            }
            std::thread::sleep(self.context.stop.left(Duration::from_millis(100))?);
        }
        Ok(())
    }

    /// Starts it and waits until it is well; that it is not is a finding, for what was restored is in place.
    pub fn start(&self) {
        let _shield = self.context.stop.shield();
        let list = self.settings.start_command();
        let step = Step {
            kind: "start",
            target: self.settings.service.clone(),
            reason: list.join(" "),
        };
        let result = self.report.act(step, |_| {
            command(&list)?;
            self.wait_until_well()
        });
        self.report
            .examined("restore.app-unwell", &self.settings.service);
        if let Err(error) = result {
            let again = list.join(" ");
            self.report.find(
                Finding::new(
                    "restore.app-unwell",
                    Severity::Critical,
                    &self.settings.service,
                    format!("the application did not come back: {error:#}"),
                )
                .hint(error::hint_of(&error).unwrap_or(&again)),
            );
        }
    }

    /// Has a limit of its own: after a signal too the application is waited for, which is what brings it back.
    fn wait_until_well(&self) -> anyhow::Result<()> {
        let url = &self.settings.health_url;
        let patience = IS_WELL.min(self.context.stop.limit());
        let started = Instant::now();
        loop {
            let answer = http::status(url, ANSWERS);
            let waited = Length(patience);
            match answer {
                Ok(200..=399) => return Ok(()),
                _ if started.elapsed() < patience => std::thread::sleep(BETWEEN),
                Ok(status) => anyhow::bail!("{url} answers {status} after {waited}"),
                Err(error) => return Err(error.context(format!("not well after {waited}"))),
            }
        }
    }
}

/// Has a limit of its own: once the application is going down, a time limit of the run must not keep it down.
fn command(list: &[String]) -> anyhow::Result<()> {
    let output = process::run_to_the_end(process::from_list(list)?, COMMAND)?;
    anyhow::ensure!(
        output.status.success(),
        "{} ended with {}: {}",
        list.join(" "),
        output.status,
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(())
}
