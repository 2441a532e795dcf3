//! What all parts look at, resolved. A section is read only where a part of this run needs it, so that a typo in another one stays
//! a finding.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::archive::Store;
use crate::config::sections::{App, Audit, Health, Levels};
use crate::config::{Config, Origin};
use crate::npm::Project;
use crate::secrets::{Rules, Scanner};
use crate::sys::files;
use crate::weblog::Paths;
use crate::x509::Watched;

/// Rules are text; a larger file is something else.
const LARGEST_RULES: u64 = 8 << 20;

/// What a part looked at.
pub enum Looked {
    /// In one line for people, and what programs read; the findings are in the report.
    At(String, Value),
    /// Not configured, or not on this machine: why.
    Nothing(String),
}

/// Shared by all parts of a run.
pub struct Scene {
    /// `[app] root`.
    pub root: PathBuf,
    /// `[app] user`, where it is given.
    pub user: Option<String>,
    /// `[audit]`.
    pub audit: Audit,
    /// `[audit] access_log` and `auth_log`, and whether the first stands in the file.
    pub access_log: (PathBuf, bool),
    /// The same of the second.
    pub auth_log: (PathBuf, bool),
    /// `[audit] sources`, and whether they stand in the file.
    pub sources: (Vec<PathBuf>, bool),
    /// `[audit] exclude`.
    pub exclude: Vec<PathBuf>,
    /// `[audit] baseline`.
    pub baseline: Option<PathBuf>,
    /// What is looked for in files; only where that is wanted.
    pub scanner: Option<Scanner>,
    /// The Node project.
    pub project: Project,
    /// The databases and the backups.
    pub store: Store,
    /// `[certs]`.
    pub certs: Watched,
    /// `[health] error_rate_pct`, `failed_logins_per_minute`, `error_rate_requests`.
    pub limits: (Levels, Levels, u64),
    /// Which requests are what.
    pub paths: Paths,
    /// The configuration that was read.
    pub configuration: Option<PathBuf>,
}

impl Scene {
    /// Reads what the wanted parts need.
    pub fn resolve(config: &Config, wanted: &dyn Fn(&str) -> bool) -> anyhow::Result<Self> {
        let audit = config.get::<Audit>()?;
        let app = config.get::<App>()?;
        let health = match wanted("access-log") {
            true => config.get::<Health>()?,
            false => Health::default(),
        };
        let store = match wanted("secrets") || wanted("permissions") {
            true => Store::from_config(config)?,
            false => Store::from_config(&Config::defaults(None))?,
        };
        let certs = match wanted("certs") || wanted("permissions") || wanted("secrets") {
            true => Watched::from_config(config)?,
            false => Watched::none(),
        };
        let named = |key: &str| config.origin("audit", &[key]) != Origin::Default;
        let all = |list: &[PathBuf]| -> anyhow::Result<Vec<PathBuf>> {
            list.iter().map(|path| config.path(path)).collect()
        };
        let scanner = match wanted("secrets") {
            true => Some(Scanner::new(rules(config, audit.rules.as_deref())?)?),
            false => None,
        };
        Ok(Self {
            root: config.app_root()?,
            user: app.user,
            access_log: (config.path(&audit.access_log)?, named("access_log")),
            auth_log: (config.path(&audit.auth_log)?, named("auth_log")),
            sources: (all(&audit.sources)?, named("sources")),
            exclude: all(&audit.exclude)?,
            baseline: match &audit.baseline {
                Some(path) => Some(config.path(path)?),
                None => None,
            },
            scanner,
            project: Project {
                path: config.path(&audit.project)?,
                registry: audit.registry.clone(),
                node_bin: audit.node_bin.clone(),
                work_of: None,
            },
            store,
            certs,
            limits: (
                health.error_rate_pct,
                health.failed_logins_per_minute,
                health.error_rate_requests,
            ),
            paths: Paths {
                login: health.login_paths,
                api: health.api_paths,
            },
            configuration: config.source().map(Path::to_owned),
            audit,
        })
    }
}

/// The built-in rules, or a team's own.
fn rules(config: &Config, path: Option<&Path>) -> anyhow::Result<Rules> {
    let Some(path) = path else {
        return Rules::built_in();
    };
    let path = config.path(path)?;
    let read = |path: &Path| -> anyhow::Result<String> {
        let real = std::fs::canonicalize(path).map_err(|error| {
            crate::error::config(format!("[audit] rules: {}: {error}", path.display()))
        })?;
        let content = files::read_small(&real, LARGEST_RULES)?;
        String::from_utf8(content).map_err(|_| {
            crate::error::config(format!("[audit] rules: {} is no text", path.display())).into()
        })
    };
    let text = read(&path)?;
    Rules::parse(&text, &mut |other| read(&files::parent(&path).join(other))).map_err(|error| {
        crate::error::config(format!("[audit] rules: {}: {error:#}", path.display())).into()
    })
}
