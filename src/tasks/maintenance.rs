//! Mutes alerts during a deployment. Findings are kept and told afterwards if they are still there; it ends by itself.
//! Changes one row of the journal, and nothing of the server.

use std::path::Path;
use std::time::Duration;

use clap::{Args, Subcommand};
use schemars::JsonSchema;
use serde::Serialize;

use crate::alert::store::{self, Mute};
use crate::config::Config;
use crate::config::sections::State;
use crate::context::Context;
use crate::error::{refused, usage};
use crate::journal;
use crate::report::{Reporter, Step};
use crate::sys::lock::Lock;
use crate::sys::{files, machine};
use crate::task;
use crate::units::Length;

const LONGEST: Duration = Duration::from_secs(24 * 3600);
const KIND: &str = "maintenance";
/// Where root's runs keep their state by default.
const SYSTEM: &str = "/var/lib/empire-maint";

/// Mute alerts during a deployment
#[derive(Args)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// From now on, for a while; findings are kept
    Start {
        /// It ends by itself after this time, at most 24h
        #[arg(long = "for", value_name = "DURATION", default_value = "2h")]
        length: Length,
        /// Why
        #[arg(long, default_value = "")]
        reason: String,
    },
    /// No longer
    Stop,
}

/// What `maintenance` returns as `data`.
#[derive(Default, Serialize, JsonSchema)]
pub struct Detail {
    /// What holds now.
    maintenance: Option<Mute>,
}

/// Resolved.
pub struct Task {
    command: Command,
    /// The configuration says where state is: for whoever runs it.
    placed: bool,
}

impl task::Arguments for Arguments {
    const NAME: &'static str = "maintenance";
    const LIMIT: Duration = Duration::from_secs(300);
    type Task = Task;
    type Detail = Detail;

    fn resolve(self, config: &Config) -> anyhow::Result<Task> {
        if let Command::Start { length, .. } = &self.command
            && (length.0 > LONGEST || length.0.is_zero())
        {
            let hint = match length.0.is_zero() {
                true => "empire-maint maintenance stop",
                false => "at most 24h; start it again for longer",
            };
            return Err(usage(format!("a maintenance of {length} is not possible"))
                .hint(hint)
                .into());
        }
        Ok(Task {
            command: self.command,
            placed: config
                .peek::<State>()
                .is_some_and(|state| state.dir.is_some()),
        })
    }
}

impl task::Task for Task {
    fn locks(&self, _: &Context) -> Vec<Lock> {
        Vec::new()
    }

    fn run(&self, context: &Context, report: &Reporter) -> anyhow::Result<()> {
        if !self.placed {
            require_the_servers(&context.state, Path::new(SYSTEM))?;
        }
        match &self.command {
            Command::Start { length, reason } => start(context, report, *length, reason),
            Command::Stop => stop(context, report),
        }
    }
}

/// Another user's own state is not that of the runs that alert somebody.
fn require_the_servers(own: &Path, system: &Path) -> anyhow::Result<()> {
    if own == system || files::link_metadata(system)?.is_none() {
        return Ok(());
    }
    Err(refused(format!(
        "the alerts of this server are in {}, and this user's runs use {}: nothing would be muted",
        system.display(),
        own.display()
    ))
    .hint("the same as root, with sudo; or [state] dir, where both are to use one folder")
    .into())
}

/// Started again, the new end counts.
fn start(context: &Context, report: &Reporter, length: Length, reason: &str) -> anyhow::Result<()> {
    let mut mute = Mute {
        id: 0,
        kind: KIND.into(),
        finding: "*".into(),
        subject: "*".into(),
        from: context.now,
        until: context.now.checked_add(length.0)?,
        who: machine::user(),
        reason: reason.into(),
    };
    let step = Step {
        kind: "mute",
        target: "all alerts".into(),
        reason: format!("maintenance for {length}"),
    };
    let number = report.act(step, |_| {
        let mut connection = journal::open_for_writing(&context.state)?;
        let transaction = connection.transaction()?;
        store::unmute(&transaction, KIND, None, context.now)?;
        let number = store::mute(&transaction, &mute)?;
        transaction.commit()?;
        Ok(number)
    })?;
    let until = mute.until.to_zoned(context.zone.clone());
    let until = until.strftime("%Y-%m-%d %H:%M %:z");
    report.summarise(match context.dry_run {
        true => format!("alerts would be muted until {until}"),
        false => {
            format!("alerts are muted until {until}; empire-maint maintenance stop ends that")
        }
    });
    mute.id = number.unwrap_or(0);
    report.detail(&Detail {
        maintenance: Some(mute),
    })
}

fn stop(context: &Context, report: &Reporter) -> anyhow::Result<()> {
    let step = Step {
        kind: "unmute",
        target: "all alerts".into(),
        reason: "maintenance is over".into(),
    };
    let ended = report.act(step, |_| {
        let connection = journal::open_for_writing(&context.state)?;
        store::unmute(&connection, KIND, None, context.now)
    })?;
    report.summarise(match ended {
        None => "alerts would be sent again".to_owned(),
        Some(0) => "there was no maintenance".to_owned(),
        Some(_) => "maintenance is over: alerts are sent again".to_owned(),
    });
    report.detail(&Detail::default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_cannot_mute_the_servers_alerts_is_told() {
        let folder = tempfile::tempdir().expect("a folder");
        let (own, system) = (folder.path().join("own"), folder.path().join("system"));
        assert!(require_the_servers(&own, &system).is_ok(), "there is none");
        std::fs::create_dir(&system).expect("is made");
        assert!(require_the_servers(&own, &system).is_err());
        assert!(require_the_servers(&system, &system).is_ok());
    }
}
