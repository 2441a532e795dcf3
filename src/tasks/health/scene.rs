//! What all checks look at, resolved. A section is read only where a check of this run needs it, so that a typo in another one
//! stays a finding.

use std::path::PathBuf;
use std::sync::Mutex;

use jiff::Timestamp;

use crate::archive::{Source, Store};
use crate::baseline::Shared;
use crate::calendar::Here;
use crate::config::sections::{App, Audit, Backup, Health, Logs, Redis};
use crate::config::{Config, Origin};
use crate::context::Context;
use crate::journal;
use crate::sys::files;
use crate::weblog::{Paths, Reading};
use crate::x509::Watched;

/// A path, and whether the operator has named it: what only a default names need not be there.
#[derive(Clone, Debug)]
pub struct Named {
    /// Absolute.
    pub path: PathBuf,
    /// It stands in the file.
    pub named: bool,
}

/// What reading the access log came to: an hour, no log, or why not.
pub type Traffic = Result<Option<Reading>, String>;

/// What a check looked at.
pub enum Looked {
    /// In one line for people; the findings are in the report.
    At(String),
    /// Not configured, or not on this machine: why.
    Nothing(String),
    /// What it should look at is not there: why. The finding is in the report.
    Not(String),
}

/// Shared by all checks of a run.
pub struct Scene {
    /// `[app] root`.
    pub root: PathBuf,
    /// `[app]`.
    pub app: App,
    /// `[app] listen`, taken apart.
    pub listen: (String, u16),
    /// `[health]`.
    pub limits: Health,
    /// The databases and the backups.
    pub store: Store,
    /// The databases that only a default names may be absent.
    pub databases_named: bool,
    /// `[backup]`.
    pub backup: Backup,
    /// What the plan is on this server.
    pub here: Here,
    /// `[redis]`, with whether it stands in the file.
    pub redis: (Redis, bool),
    /// `[certs]`.
    pub certs: Watched,
    /// What was accepted in audits.
    pub baseline: Shared,
    /// `[audit] access_log`.
    pub access_log: Named,
    /// Which requests are what.
    pub paths: Paths,
    /// `[logs] error_logs`.
    pub error_logs: Vec<Named>,
    /// The access log is read once a run, by whoever comes first.
    pub traffic: Mutex<Option<Traffic>>,
}

impl Scene {
    /// Reads what the wanted checks need.
    pub fn resolve(config: &Config, wanted: &dyn Fn(&str) -> bool) -> anyhow::Result<Self> {
        let app = config.get::<App>()?;
        let limits = config.get::<Health>()?;
        let certs = match wanted("certs") {
            true => Watched::from_config(config)?,
            false => Watched::none(),
        };
        let audit = match wanted("errors") || wanted("logins") {
            true => config.get::<Audit>()?,
            false => Audit::default(),
        };
        let logs = match wanted("app-errors") {
            true => config.get::<Logs>()?,
            false => Logs::default(),
        };
        let (store, backup) = match wanted("database") || wanted("backups") {
            true => (Store::from_config(config)?, config.get::<Backup>()?),
            false => (
                Store::from_config(&Config::defaults(None))?,
                Backup::default(),
            ),
        };
        let redis = match wanted("redis") {
            true => config.get::<Redis>()?,
            false => Redis::default(),
        };
        let named = |section: &str, key: &str| config.origin(section, &[key]) != Origin::Default;
        let all = |section: &str, key: &str, paths: &[PathBuf]| -> anyhow::Result<Vec<Named>> {
            let named = named(section, key);
            paths
                .iter()
                .map(|path| {
                    Ok(Named {
                        path: config.path(path)?,
                        named,
                    })
                })
                .collect()
        };
        Ok(Self {
            root: config.app_root()?,
            listen: app.listens_at().ok_or_else(|| {
                let message = format!("\"{}\" is no address with a port", app.listen);
                config
                    .impossible("app", &["listen"], &message)
                    .hint("as in \"0.0.0.0:3000\"")
            })?,
            databases_named: config.origin("database", &[]) != Origin::Default,
            redis: (
                redis,
                named("redis", "url") || named("redis", "password_file"),
            ),
            certs,
            baseline: Shared::from_config(config),
            access_log: Named {
                path: config.path(&audit.access_log)?,
                named: named("audit", "access_log"),
            },
            paths: Paths {
                login: limits.login_paths.clone(),
                api: limits.api_paths.clone(),
            },
            error_logs: all("logs", "error_logs", &logs.error_logs)?,
            app,
            limits,
            here: match wanted("jobs") {
                true => Here::resolve(config)?,
                false => Here::resolve(&Config::defaults(None))?,
            },
            store,
            backup,
            traffic: Mutex::default(),
        })
    }
}

impl Scene {
    /// A database that only a default names need not be there, unless an earlier run has seen it: then its disk is missing.
    pub fn expects(&self, source: &Source, context: &Context) -> anyhow::Result<bool> {
        let (state, name) = (&context.state, source.name.as_str());
        let label = Some(("database", name));
        Ok(self.databases_named
            || !matches!(files::metadata(&source.path), Ok(None))
            || journal::recall(state, "backup", &journal::published_key(name))?.is_some()
            || !journal::samples(state, "database_size_bytes", label, Timestamp::MIN)?.is_empty())
    }
}
