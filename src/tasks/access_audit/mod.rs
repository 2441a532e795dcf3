//! Who uses the application, who could and does not, who failed to, and what administrators did (§3.4). Reads the application's
//! own tables, as far as they are there, and changes nothing; logins are counted from login events and never from accounts.

mod accounts;
mod actions;
mod bursts;
mod called;
mod events;
mod judge;
mod show;
mod tables;
mod values;

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use jiff::{SignedDuration, Timestamp};
use rusqlite::Connection;
use rusqlite::types::ValueRef;
use schemars::JsonSchema;
use serde::Serialize;

use crate::archive::{Source, Store};
use crate::config::Config;
use crate::config::sections::{AccessAudit, WorkingHours};
use crate::context::Context;
use crate::error::{self, missing};
use crate::report::{Finding, Reporter, Severity};
use crate::sqlite::{self, TimeColumn, TimeFormat};
use crate::sys::{Stop, files};
use crate::task;
use accounts::{Account, Accounts};
use actions::{Action, Actions};
use events::Events;
use tables::{Found, Look, Usual};

const UNREADABLE: &str = "database.unreadable";
const NO_TABLE: &str = "access.no-table";
const UNFIT: &str = "access.unfit";
const TIME_FORMAT: &str = "access.time-format";
const PATIENCE: Duration = Duration::from_secs(5);
/// A time that was written in another zone may be so far ahead of the clock.
const SKEW: SignedDuration = SignedDuration::from_hours(24);

/// Audit who has access: active, idle and admin accounts, logins, failed logins, admin actions
#[derive(Args)]
pub struct Arguments {}

/// What `access-audit` returns as `data`.
#[derive(Default, Serialize, JsonSchema)]
pub struct Detail {
    /// Where the tables are.
    database: String,
    /// Logins and actions from then on.
    #[schemars(with = "Option<String>")]
    since: Option<Timestamp>,
    /// An account without a login from then on is idle.
    #[schemars(with = "Option<String>")]
    idle_since: Option<Timestamp>,
    /// Null where there is no table of accounts.
    accounts: Option<AccountsDetail>,
    /// Null where there is no table of login events.
    logins: Option<LoginsDetail>,
    /// Null where there is no table of actions.
    actions: Option<ActionsDetail>,
}

/// The accounts.
#[derive(Serialize, JsonSchema)]
struct AccountsDetail {
    table: String,
    total: u64,
    disabled: u64,
    /// With a login within the period; null where nothing says when somebody logged in.
    active: Option<u64>,
    /// Without a login for too long; null as above.
    idle: Option<u64>,
    /// Of the idle ones, those that never had one.
    never: Option<u64>,
    /// The busiest.
    listed_active: Vec<Account>,
    /// The longest idle.
    listed_idle: Vec<Account>,
    /// Null where the table does not say who is one.
    admins: Option<Vec<Account>>,
}

/// The login events.
#[derive(Serialize, JsonSchema)]
struct LoginsDetail {
    table: String,
    time_format: Option<String>,
    /// Within the period.
    succeeded: u64,
    /// Within the period.
    failed: u64,
    /// The most first.
    failed_by_user: Vec<Failed>,
    /// The most first.
    failed_by_address: Vec<Failed>,
    /// Events without a moment or a user, and those for which there was no room.
    left_out: u64,
}

/// Failed logins of one user, or from one address.
#[derive(Clone, Debug, Serialize, JsonSchema)]
struct Failed {
    /// Whose, or from where.
    subject: String,
    /// How many within the period.
    failed: u64,
    /// The most within `[access_audit] burst_within`, where that is a burst.
    burst: Option<u64>,
    /// When that began.
    #[schemars(with = "Option<String>")]
    burst_from: Option<Timestamp>,
    /// The first login of the same user, or from the same address, within an hour of that.
    #[schemars(with = "Option<String>")]
    succeeded_at: Option<Timestamp>,
}

/// What administrators did.
#[derive(Serialize, JsonSchema)]
struct ActionsDetail {
    table: String,
    /// Within the period.
    total: u64,
    /// Outside working hours.
    outside_hours: u64,
    /// The most first.
    by_actor: Vec<ByActor>,
    /// The newest first.
    newest: Vec<Action>,
    /// The newest outside working hours first.
    newest_outside_hours: Vec<Action>,
}

/// How much somebody did.
#[derive(Serialize, JsonSchema)]
struct ByActor {
    actor: String,
    actions: u64,
}

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

/// What is looked at, and from when on.
struct Scene<'a> {
    live: &'a Connection,
    path: &'a Path,
    stop: &'a Stop,
    report: &'a Reporter,
    settings: &'a AccessAudit,
    until: Timestamp,
    since: Timestamp,
    idle_since: Timestamp,
}

impl Scene<'_> {
    /// A moment; one that is still to come is none.
    fn moment(&self, format: Option<TimeFormat>, value: ValueRef<'_>) -> Option<Timestamp> {
        format?.read(value).filter(|at| *at <= self.until)
    }

    /// The table, or `None` with a finding that says why not.
    fn table(&self, usual: &Usual) -> anyhow::Result<Option<Found>> {
        let wrong = |error| sqlite::explain(error, self.path, self.stop);
        for id in [NO_TABLE, UNFIT] {
            self.report.examined(id, usual.what);
        }
        match tables::find(self.live, usual, self.settings).map_err(wrong)? {
            Look::Found(found) => Ok(Some(found)),
            Look::Absent => {
                self.report.find(
                    Finding::new(NO_TABLE, Severity::Info, usual.what, usual.without())
                        .hint(format!("[access_audit.{}] table names it", usual.what)),
                );
                Ok(None)
            }
            Look::Unfit(why, named) => {
                let severity = if named {
                    Severity::Medium
                } else {
                    Severity::Low
                };
                self.report.find(
                    Finding::new(
                        UNFIT,
                        severity,
                        usual.what,
                        format!("{why}; {}", usual.without()),
                    )
                    .hint(format!(
                        "[access_audit.{}] names table and columns",
                        usual.what
                    )),
                );
                Ok(None)
            }
        }
    }

    /// How a column writes its moments: `None` where there is no such column or where that cannot be told, with a finding;
    /// `Some(None)` where it holds none so far.
    fn format(&self, found: &Found, what: &str) -> anyhow::Result<Option<Option<TimeFormat>>> {
        let Some(column) = found.column(what) else {
            return Ok(None);
        };
        let subject = format!("{}.{column}", found.table);
        self.report.examined(TIME_FORMAT, &*subject);
        let column = TimeColumn {
            table: &found.table,
            column,
            filter: None,
        };
        match column.look(self.live, self.since, self.path, self.stop) {
            Ok(times) => Ok(Some(times.format)),
            Err(error) if error::kind_of(&error) == error::Kind::Refused => {
                self.report.find(
                    Finding::new(
                        TIME_FORMAT,
                        Severity::Low,
                        subject,
                        format!("what this column says is left out: {error:#}"),
                    )
                    .hint("one way to write a time in one column"),
                );
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }
}
