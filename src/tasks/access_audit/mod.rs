//! Who uses the application, who could and does not, who failed to, and what administrators did (§3.4). Reads the application's
//! own tables, as far as they are there, and changes nothing; logins are counted from login events and never from accounts.

mod accounts;
mod actions;
mod bursts;
mod called;
mod detail;
mod events;
mod judge;
mod scene;
mod show;
mod tables;
mod values;

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use jiff::{SignedDuration, Timestamp};

use crate::archive::{Source, Store};
use crate::config::Config;
use crate::config::sections::{AccessAudit, WorkingHours};
use crate::context::Context;
use crate::error::{self, missing};
use crate::report::Reporter;
use crate::sqlite;
use crate::sys::files;
use crate::task;
use accounts::Accounts;
use actions::Actions;
use detail::Detail;
use events::Events;
use scene::Scene;

const UNREADABLE: &str = "database.unreadable";
const PATIENCE: Duration = Duration::from_secs(5);
/// A time that was written in another zone may be so far ahead of the clock.
const SKEW: SignedDuration = SignedDuration::from_hours(24);

/// Audit who has access: active, idle and admin accounts, logins, failed logins, admin actions
#[derive(Args)]
pub struct Arguments {}

/// Resolved.
pub struct Task {
    source: Source,
    root: PathBuf,
    settings: AccessAudit,
    hours: WorkingHours,
}

impl task::Arguments for Arguments {
    const NAME: &'static str = "access-audit";
    type Task = Task;
    type Detail = Detail;

    fn resolve(self, config: &Config) -> anyhow::Result<Task> {
        let settings: AccessAudit = config.get()?;
        let store = Store::from_config(config)?;
        let source = match &settings.database {
            Some(name) => store.database(name)?.clone(),
            None => store
                .databases
                .first()
                .cloned()
                .ok_or_else(|| missing("there is no [[database]] in the configuration"))?,
        };
        Ok(Task {
            source,
            root: config.app_root()?,
            hours: settings.working()?,
            settings,
        })
    }
}

impl task::Task for Task {
    fn run(&self, context: &Context, report: &Reporter) -> anyhow::Result<()> {
        sqlite::require_database_file(&self.source.path)?;
        report.examined(UNREADABLE, &*self.source.name);
        report.summarise(format!("{} could not be read", self.source.name));
        let looked = report.attempt(UNREADABLE, &self.source.name, || {
            match self.look(context, report) {
                // Nothing to audit is no damage.
                Err(error) if error::kind_of(&error) == error::Kind::Missing => Ok(Err(error)),
                other => other.map(Ok),
            }
        })?;
        looked.unwrap_or(Ok(()))
    }
}

impl Task {
    fn look(&self, context: &Context, report: &Reporter) -> anyhow::Result<()> {
        let (path, stop) = (self.source.path.as_path(), &context.stop);
        files::require_own_links(path, &self.root)?;
        let live = sqlite::open_readonly(path, stop, PATIENCE)?;
        sqlite::require_tables(&live, path, &[], stop)?;
        let now = context.now.to_zoned(context.zone.clone());
        let scene = Scene {
            live: &live,
            path,
            stop,
            report,
            settings: &self.settings,
            until: context.now.checked_add(SKEW).unwrap_or(Timestamp::MAX),
            since: self.settings.period.before(&now)?.timestamp(),
            idle_since: self.settings.idle_after.before(&now)?.timestamp(),
        };
        let events = Events::read(&scene)?;
        let actions = Actions::read(&scene, self.hours, &context.zone)?;
        let accounts = Accounts::read(&scene, events.as_ref(), actions.as_ref())?;
        let all = judge::All {
            database: &self.source.name,
            scene: &scene,
            accounts,
            events,
            actions,
        };
        all.report(context, report)
    }
}
