//! The plan on this server: the times that the configuration gives its lines, which of them have nothing to do here, by cheap looks,
//! and since when cron or systemd has known them.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;

use super::{LINES, Line, Need};
use crate::config::sections::{Audit, Certs, Databases, Gpu, Rag, Redis, Schedule};
use crate::config::{Config, When};
use crate::redis;
use crate::sys::{files, net};

/// Where the lines may have been installed.
const INSTALLED: [&str; 3] = [
    "/etc/cron.d/empire-maint",
    "/var/spool/cron/crontabs/root",
    "/etc/systemd/system/empire-maint-backup.timer",
];
const LARGEST_CRONTAB: u64 = 1 << 20;

/// A line of the plan with its time and part on this server.
#[derive(Debug)]
pub struct Planned {
    /// The line.
    pub line: &'static Line,
    /// When it is due here.
    pub when: When,
    /// Its part.
    pub role: Role,
}

/// What a line is here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Role {
    /// Cron or systemd runs it.
    Active,
    /// It has nothing to do on this server, because of this.
    Idle(String),
    /// Switched off in the configuration.
    Off,
    /// There is no command for it.
    Manual,
}

/// What the plan needs to know of this server.
#[derive(Clone, Debug)]
pub struct Here {
    times: BTreeMap<String, When>,
    root: PathBuf,
    databases: Vec<String>,
    /// The database of the embeddings.
    memory: String,
    /// An index is made from them.
    has_index: bool,
    /// Certificate files; none where endpoints are there to be asked.
    certificates: Vec<PathBuf>,
    /// The Node project's package.json.
    package: PathBuf,
    redis: Option<String>,
    /// Whether a command measures the GPUs.
    benchmark: bool,
}

impl Here {
    /// From the configuration. One whose databases cannot be read still has a plan.
    pub fn resolve(config: &Config) -> anyhow::Result<Self> {
        let databases = config.peek::<Databases>().unwrap_or_default();
        let certs = config.peek::<Certs>().unwrap_or_default();
        let audit = config.peek::<Audit>().unwrap_or_default();
        let files = match certs.endpoints.is_empty() {
            true => certs.files,
            false => Vec::new(),
        };
        let redis = config.peek::<Redis>().unwrap_or_default();
        let rag = config.peek::<Rag>().unwrap_or_default();
        Ok(Self {
            times: config.get::<Schedule>()?.at,
            root: config.app_root()?,
            certificates: files
                .iter()
                .map(|path| config.path(path))
                .collect::<anyhow::Result<_>>()?,
            package: config.path(&audit.project)?.join("package.json"),
            databases: databases.0.into_iter().map(|one| one.name).collect(),
            memory: rag.database,
            has_index: !rag.index.is_empty(),
            redis: redis::Server::address(&redis.url),
            benchmark: !config
                .peek::<Gpu>()
                .unwrap_or_default()
                .benchmark
                .is_empty(),
        })
    }

    /// Every line of the plan as it is here, when these commands exist.
    pub fn lines(&self, commands: &[&str]) -> Vec<Planned> {
        LINES
            .iter()
            .map(|line| self.planned(line, commands))
            .collect()
    }

    fn planned(&self, line: &'static Line, commands: &[&str]) -> Planned {
        let when = self.times.get(line.name).copied().unwrap_or(line.when);
        let role = if !line.exists(commands) {
            Role::Manual
        } else if when == When::Off {
            Role::Off
        } else {
            match self.idle(line.need) {
                Some(reason) => Role::Idle(reason),
                None => Role::Active,
            }
        };
        Planned { line, when, role }
    }

    /// True where the crontab of this server has a line of this command.
    pub fn has(&self, command: &str) -> bool {
        LINES
            .iter()
            .filter(|line| line.task() == Some(command))
            .any(|line| self.planned(line, &[command]).role == Role::Active)
    }

    /// Why there is nothing to do; none where there is, or where that cannot be told because the server is elsewhere.
    fn idle(&self, need: Need) -> Option<String> {
        if need == Need::Databases {
            let none = self.databases.is_empty();
            return none.then(|| "no [[database]] is configured".to_owned());
        }
        if need == Need::Benchmark && !self.benchmark {
            return Some("no [gpu] benchmark is configured".to_owned());
        }
        if !there(&self.root) {
            return None;
        }
        match need {
            Need::Nothing | Need::Databases => None,
            Need::Redis => self.without_redis(),
            Need::Certificates => {
                let any = self.certificates.iter().any(|path| there(path));
                let first = self.certificates.first().filter(|_| !any);
                first.map(|path| format!("there is no {}", path.display()))
            }
            Need::Node => {
                (!there(&self.package)).then(|| format!("there is no {}", self.package.display()))
            }
            Need::Gpu | Need::Benchmark => (!there(Path::new("/proc/driver/nvidia")))
                .then(|| "there is no NVIDIA driver".to_owned()),
            Need::Embeddings => (!self.databases.contains(&self.memory))
                .then(|| format!("no [[database]] is named {}", self.memory)),
            Need::Index => self
                .idle(Need::Embeddings)
                .or_else(|| (!self.has_index).then(|| "no [[rag.index]] is configured".to_owned())),
        }
    }

    fn without_redis(&self) -> Option<String> {
        let address = self.redis.as_deref()?;
        // A name may take long to be found, and what it means is on another machine.
        let near = address.starts_with('/')
            || address.starts_with("localhost:")
            || address.parse::<SocketAddr>().is_ok();
        if !near {
            return None;
        }
        let answers = match address.starts_with('/') {
            true => there(Path::new(address)),
            false => net::listens(address, Duration::from_millis(300)),
        };
        (!answers).then(|| format!("no Redis answers at {address}"))
    }
}

/// What cannot be seen counts as there: the task itself says what is wrong.
fn there(path: &Path) -> bool {
    !matches!(files::metadata(path), Ok(None))
}

/// When the crontab or the units were last installed, as far as this user may see that.
pub fn installed(now: Timestamp) -> Option<Timestamp> {
    INSTALLED
        .iter()
        .filter_map(|path| installed_at(Path::new(path)))
        .filter(|at| *at <= now)
        .max()
}

fn installed_at(path: &Path) -> Option<Timestamp> {
    let meta = files::metadata(path).ok()??;
    let content = files::read_small(path, LARGEST_CRONTAB).ok()?;
    let ours = String::from_utf8_lossy(&content).contains("empire-maint");
    ours.then(|| meta.modified().ok()?.try_into().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(root: &Path, databases: &[&str]) -> Here {
        Here {
            times: BTreeMap::new(),
            redis: None,
            benchmark: false,
            root: root.to_owned(),
            databases: databases.iter().map(|&name| name.to_owned()).collect(),
            memory: "rag_db".to_owned(),
            has_index: databases.contains(&"rag_db"),
            certificates: vec![root.join("certs/cert.pem")],
            package: root.join("package.json"),
        }
    }

    #[test]
    fn what_is_not_there_has_nothing_to_do() {
        let folder = tempfile::tempdir().expect("a folder");
        let bare = server(folder.path(), &[]);
        for need in [
            Need::Databases,
            Need::Certificates,
            Need::Node,
            Need::Benchmark,
            Need::Embeddings,
            Need::Index,
        ] {
            assert!(bare.idle(need).is_some(), "{need:?}");
        }
        assert_eq!(bare.idle(Need::Nothing), None);
        std::fs::create_dir(folder.path().join("certs")).expect("a folder");
        std::fs::write(folder.path().join("certs/cert.pem"), "").expect("a file");
        std::fs::write(folder.path().join("package.json"), "{}").expect("a file");
        let full = server(folder.path(), &["app_db", "rag_db"]);
        for need in [
            Need::Databases,
            Need::Certificates,
            Need::Node,
            Need::Embeddings,
            Need::Index,
        ] {
            assert_eq!(full.idle(need), None, "{need:?}");
        }
    }

    /// A link in a circle, as a mount that does not answer or a folder of somebody else would be.
    #[test]
    fn what_cannot_be_seen_is_not_called_absent() {
        let folder = tempfile::tempdir().expect("a folder");
        let circle = folder.path().join("circle");
        std::os::unix::fs::symlink("circle", &circle).expect("links");
        let mut server = server(folder.path(), &["app_db"]);
        server.certificates = vec![circle.join("cert.pem")];
        server.package = circle.join("package.json");
        server.redis = Some(circle.join("redis.sock").display().to_string());
        for need in [Need::Certificates, Need::Node, Need::Redis] {
            assert_eq!(server.idle(need), None, "{need:?}");
        }
    }

    #[test]
    fn a_server_that_is_elsewhere_is_not_judged() {
        let elsewhere = server(Path::new("/nonexistent/root"), &["app_db"]);
        for need in [
            Need::Redis,
            Need::Certificates,
            Need::Node,
            Need::Gpu,
            Need::Embeddings,
            Need::Index,
        ] {
            assert_eq!(elsewhere.idle(need), None, "{need:?}");
        }
    }

    #[test]
    fn only_a_file_that_names_the_program_says_since_when() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("root");
        assert_eq!(installed_at(&path), None);
        std::fs::write(&path, "0 1 * * * something-else\n").expect("writes");
        assert_eq!(installed_at(&path), None);
        std::fs::write(&path, "7 3 * * * /usr/local/bin/empire-maint backup\n").expect("writes");
        assert!(installed_at(&path).is_some());
    }
}
