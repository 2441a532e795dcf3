//! Whose state this is: two applications that share one folder would end each other's alerts.

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, params};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::open_for_writing;
use crate::sys::files;

const TASK: &str = "journal";
const OWNER: &str = "owner";
const GUEST: &str = "guest";
/// So long after the last run of another application it is believed to have gone.
const GONE_MS: u64 = 86_400_000;

/// What a state folder is to a run.
pub enum Claim {
    /// Its application's own.
    Own,
    /// Its application's own, and another one's runs were here within the last day.
    Shared,
    /// That of the application with this root.
    Foreign(PathBuf),
}

#[derive(Serialize, Deserialize)]
struct Owner {
    root: PathBuf,
    configuration: PathBuf,
}

/// Says whose the folder is. It belongs to the first root with a configuration file, until that file names another one or is gone.
/// `here` is false for a root that only this one run was given.
pub fn claim(
    state: &Path,
    root: &Path,
    configuration: Option<&Path>,
    here: bool,
    now: Timestamp,
) -> anyhow::Result<Claim> {
    let connection = open_for_writing(state)?;
    let own = configuration.filter(|_| here);
    if let Some(owner) = read::<Owner>(&connection, OWNER)? {
        if owner.root == root {
            let guest = read::<i64>(&connection, GUEST)?;
            let recent = guest.is_some_and(|at| at.abs_diff(now.as_millisecond()) < GONE_MS);
            return Ok(match recent {
                true => Claim::Shared,
                false => Claim::Own,
            });
        }
        let is_owner = own == Some(&*owner.configuration);
        if !is_owner && files::metadata(&owner.configuration)?.is_some() {
            write(&connection, GUEST, &now.as_millisecond())?;
            return Ok(Claim::Foreign(owner.root));
        }
    }
    if let Some(configuration) = own {
        let owner = Owner {
            root: root.to_owned(),
            configuration: configuration.to_owned(),
        };
        write(&connection, OWNER, &owner)?;
    }
    Ok(Claim::Own)
}

fn read<T: DeserializeOwned>(connection: &Connection, key: &str) -> anyhow::Result<Option<T>> {
    let text: Option<String> = connection
        .query_row(
            "SELECT value FROM remembered WHERE task = ?1 AND key = ?2",
            [TASK, key],
            |row| row.get(0),
        )
        .optional()?;
    Ok(text.map(|text| serde_json::from_str(&text)).transpose()?)
}

fn write<T: Serialize>(connection: &Connection, key: &str, value: &T) -> anyhow::Result<()> {
    connection.execute(
        "INSERT OR REPLACE INTO remembered VALUES (?1, ?2, ?3, '')",
        params![TASK, key, serde_json::to_string(value)?],
    )?;
    Ok(())
}
