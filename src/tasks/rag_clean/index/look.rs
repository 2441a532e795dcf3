//! What is there of a configured index, before anything goes.

use std::cell::OnceCell;
use std::path::PathBuf;

use super::drift::Drift;
use super::foreign::Foreign;
use super::held::Held;
use super::pending::Pending;
use super::{ABSENT, REFUSED, UNUSABLE, Wanted, When};
use crate::error::{self, Failure, Kind, refused};
use crate::faiss::{Glance, Index, Positions};
use crate::report::{Finding, Reporter, Severity};
use crate::sys::files;

/// A configured index, looked at before anything goes.
pub struct Looked {
    pub(super) path: PathBuf,
    pub(super) found: Found,
    /// What an earlier run has left to do.
    pub(super) pending: Pending,
    /// How it differs from the table, or why it could not be rebuilt. Told once, before anything of the table changes: by the numbers
    /// afterwards it could not be told any more.
    pub(super) judged: OnceCell<Result<Drift, Failure>>,
}

pub(super) enum Found {
    Held(Box<Held>),
    Foreign(Box<Foreign>),
    Absent,
    Unusable(String),
}

impl Looked {
    /// Reads what is there, and tells where that is nothing to build from.
    pub fn at(wanted: &Wanted, when: When, report: &Reporter) -> anyhow::Result<Self> {
        let path = &wanted.path;
        let subject = path.display().to_string();
        for id in [UNUSABLE, REFUSED, ABSENT] {
            report.examined(id, &subject);
        }
        let found = if files::metadata(path)?.is_none() {
            let message =
                "there is no file yet: the kind of an index is read from the one that is there";
            // Somebody who asks for a new one has to hear that there is none.
            let severity = match when {
                When::Always => Severity::Medium,
                When::Stale | When::Differs(_) => Severity::Info,
            };
            report.find(
                Finding::new(ABSENT, severity, &subject, message)
                    .hint("have the application write it once, or take it out of [[rag.index]]"),
            );
            Found::Absent
        } else {
            match read(wanted) {
                Ok(found) => found,
                Err(error) if error::ends_the_run(&error) => return Err(error),
                Err(error) => {
                    let message = format!("{error:#}");
                    let hint = error::hint_of(&error).unwrap_or(
                        "have the application write it anew; its vectors are in the table",
                    );
                    report.find(
                        Finding::new(UNUSABLE, Severity::High, &subject, &message).hint(hint),
                    );
                    Found::Unusable(message)
                }
            }
        };
        Ok(Self {
            path: path.clone(),
            found,
            pending: Pending::of(path)?,
            judged: OnceCell::new(),
        })
    }

    /// What findings about it are about.
    pub fn subject(&self) -> String {
        self.path.display().to_string()
    }

    /// Why it would go on to return embeddings that are gone, as far as the file tells; none where it can be rebuilt.
    pub(super) fn cannot_follow(&self) -> Option<Failure> {
        match &self.found {
            Found::Absent | Found::Foreign(_) => None,
            Found::Unusable(why) => Some(refused(why)),
            Found::Held(held) => (held.index.shape.is_positional() && held.map.is_none()).then(|| {
                refused(format!(
                    "{}: {} has positions for ids, and every row that goes would move those behind it",
                    self.path.display(),
                    held.index.shape
                ))
                .hint("positions_map of [[rag.index]] names the file with the id of each position; or have the application keep it in an IDMap2")
            }),
        }
    }
}

fn read(wanted: &Wanted) -> anyhow::Result<Found> {
    let path = &wanted.path;
    let index = match (Index::open(path), &wanted.command) {
        (Err(error), Some(command)) if error::kind_of(&error) == Kind::Refused => {
            return Ok(Found::Foreign(Box::new(Foreign {
                path: path.clone(),
                glance: Glance::at(path)?,
                command: command.clone(),
                limit: wanted.limit,
            })));
        }
        (Err(error), None) if error::kind_of(&error) == Kind::Refused => {
            return Err(error.context(refused("not written here").hint(
                "external_command of [[rag.index]] can write it; or have the application write it anew",
            )));
        }
        (index, _) => index?,
    };
    let map = wanted.map.as_deref().map(Positions::open).transpose()?;
    if map.is_some() && !index.shape.is_positional() {
        return Err(refused(format!(
            "{} has ids of its own, and a positions_map is configured",
            index.shape
        ))
        .hint("take positions_map out of [[rag.index]]")
        .into());
    }
    Ok(Found::Held(Box::new(Held::new(path.clone(), index, map))))
}
