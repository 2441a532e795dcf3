//! What `[certs]` names, and what was seen there.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::files_of::{files_below, of_bytes, read};
use super::{Authorities, Certificate, Endpoint, MOST, authorities_of, key, served};
use crate::config::sections::Certs;
use crate::config::{Config, Origin};
use crate::sys::files;

/// More files than this in a folder, and it is no certificate's own folder.
const MOST_BESIDE: usize = 50;

/// What is looked at.
pub struct Watched {
    /// Files and folders.
    pub files: Vec<PathBuf>,
    /// True when they stand in the configuration: what only a default names need not be there.
    pub named: bool,
    /// As written and as read.
    pub endpoints: Vec<(String, Endpoint)>,
    /// Files of further authorities.
    pub roots: Vec<PathBuf>,
    /// Something renews them by itself.
    pub renewed: bool,
}

/// Where a chain was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// In this file.
    File(PathBuf),
    /// As it is served.
    Endpoint(Endpoint),
}

/// One chain, or why there is none.
pub struct Seen {
    /// What findings are about.
    pub subject: String,
    /// Where.
    pub place: Place,
    /// In its own order.
    pub chain: anyhow::Result<Vec<Certificate>>,
    /// The key that lies with it, and whether it is the right one.
    pub key: Option<(PathBuf, bool)>,
    /// The other certificates of its folder.
    pub beside: Vec<Certificate>,
}

impl Seen {
    /// The first certificate, where it can be read.
    pub fn leaf(&self) -> Option<&Certificate> {
        self.chain.as_ref().ok()?.first()
    }
}

impl Watched {
    /// What the configuration names.
    pub fn from_config(config: &Config) -> anyhow::Result<Self> {
        let settings = config.get::<Certs>()?;
        let absolute = |paths: &[PathBuf]| -> anyhow::Result<Vec<PathBuf>> {
            paths.iter().map(|path| config.path(path)).collect()
        };
        Ok(Self {
            files: absolute(&settings.files)?,
            named: config.origin("certs", &["files"]) != Origin::Default,
            endpoints: settings
                .endpoints
                .iter()
                .filter_map(|text| Some((text.clone(), text.parse().ok()?)))
                .collect(),
            roots: absolute(&settings.roots)?,
            renewed: settings.renew_command.is_some(),
        })
    }

    /// Nothing to look at.
    pub fn none() -> Self {
        Self {
            files: Vec::new(),
            named: false,
            endpoints: Vec::new(),
            roots: Vec::new(),
            renewed: false,
        }
    }

    /// The authorities of the system and of the configuration, as far as they can be read; [`Watched::look`] says which cannot.
    pub fn authorities(&self) -> Authorities {
        let further = self
            .roots
            .iter()
            .filter_map(|path| authorities_of(path).ok());
        Authorities::new(further.flatten().collect())
    }

    /// Looks at every file, and at every endpoint at once. What cannot be looked at is among the rest, with the reason.
    pub fn look(&self, limit: Duration) -> Vec<Seen> {
        let mut found = Vec::new();
        for path in &self.files {
            let absent = matches!(files::link_metadata(path), Ok(None));
            if absent && !self.named {
                continue;
            }
            for (file, looked) in files_below(path) {
                found.push(match looked {
                    Ok(()) => seen_in(file),
                    Err(error) => unseen(file, error),
                });
            }
        }
        for path in &self.roots {
            match authorities_of(path) {
                Ok(all) if !all.is_empty() => {}
                Ok(_) => {
                    let none = anyhow::anyhow!("there is no authority in {}", path.display());
                    found.push(unseen(path.clone(), none));
                }
                Err(error) => found.push(unseen(path.clone(), error)),
            }
        }
        std::thread::scope(|scope| {
            let asked: Vec<_> = self
                .endpoints
                .iter()
                .map(|(text, endpoint)| {
                    (text, endpoint, scope.spawn(move || served(endpoint, limit)))
                })
                .collect();
            for (text, endpoint, answer) in asked {
                let chain = answer
                    .join()
                    .unwrap_or_else(|_| Err(anyhow::anyhow!("the look at it panicked")));
                found.push(Seen {
                    subject: text.clone(),
                    place: Place::Endpoint(endpoint.clone()),
                    chain,
                    key: None,
                    beside: Vec::new(),
                });
            }
        });
        found
    }
}

fn unseen(path: PathBuf, why: anyhow::Error) -> Seen {
    Seen {
        subject: path.display().to_string(),
        place: Place::File(path),
        chain: Err(why),
        key: None,
        beside: Vec::new(),
    }
}

fn seen_in(path: PathBuf) -> Seen {
    let subject = path.display().to_string();
    let content = read(&path);
    let chain = match &content {
        Ok(content) => of_bytes(content, MOST)
            .map_err(|error| error.context(format!("{subject} cannot be read"))),
        Err(error) => Err(anyhow::anyhow!("{error:#}")),
    };
    let leaf = chain.as_ref().ok().and_then(|chain| chain.first());
    let key = match (&content, leaf) {
        (Ok(content), Some(leaf)) => key::belongs(&path, content, leaf),
        _ => None,
    };
    Seen {
        subject,
        key,
        beside: beside(&path),
        chain,
        place: Place::File(path),
    }
}

/// certbot keeps the certificate and its issuer in two files.
fn beside(path: &Path) -> Vec<Certificate> {
    let entries = files::list(files::parent(path)).unwrap_or_default();
    if entries.len() > MOST_BESIDE {
        return Vec::new();
    }
    entries
        .iter()
        .map(std::fs::DirEntry::path)
        .filter(|other| other != path)
        .filter_map(|other| of_bytes(&read(&other).ok()?, MOST).ok())
        .flatten()
        .collect()
}
