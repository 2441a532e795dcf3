//! The dimension that the vectors have, told by their lengths, and when these leave it in doubt.

use std::collections::BTreeMap;

use rusqlite::Connection;

use super::memory::Memory;
use crate::error::{Failure, refused};
use crate::sqlite::quote;
use crate::units;

/// So many vectors of one other length are an accident each. More are somebody's will.
const ACCIDENTS: u64 = 3;

/// The dimension that more than half of the vectors have; `None` where there is no vector. Refused where no dimension has more.
pub fn dimension(
    connection: &Connection,
    memory: &Memory,
) -> rusqlite::Result<anyhow::Result<Option<usize>>> {
    Ok(Lengths::of(connection, memory)?.dimension(memory))
}

/// How vectors are written, and how often.
pub struct Lengths {
    /// By bytes; `None` for what is no BLOB.
    by_length: BTreeMap<Option<i64>, Length>,
}

#[derive(Clone, Copy, Default)]
struct Length {
    rows: u64,
    /// The last of their keys that is a whole number.
    newest: Option<i64>,
}

impl Lengths {
    /// Those of the table.
    pub fn of(connection: &Connection, memory: &Memory) -> rusqlite::Result<Self> {
        let vector = quote(&memory.names.vector);
        let key = match memory.embeddings.own_key().as_slice() {
            [key] => key.clone(),
            _ => "NULL".to_owned(),
        };
        // Counted here: a GROUP BY would sort the vectors themselves.
        let mut statement = connection.prepare(&format!(
            "SELECT iif(typeof({vector}) = 'blob', length({vector}), NULL), iif(typeof({key}) = 'integer', {key}, NULL) FROM main.{} WHERE {vector} IS NOT NULL",
            quote(&memory.embeddings.name)
        ))?;
        let mut values = statement.query([])?;
        let mut by_length = BTreeMap::<_, Length>::new();
        while let Some(value) = values.next()? {
            let length = by_length.entry(value.get(0)?).or_default();
            length.rows += 1;
            length.newest = length.newest.max(value.get(1)?);
        }
        Ok(Self { by_length })
    }

    /// The length that more than half have.
    fn most(&self) -> Option<(i64, Length)> {
        let all: u64 = self.by_length.values().map(|one| one.rows).sum();
        let is_most = |one: &Length| one.rows * 2 > all;
        let most = self.by_length.iter().find(|(_, length)| is_most(length));
        most.and_then(|(bytes, length)| bytes.map(|bytes| (bytes, *length)))
    }

    /// That of the length that most have.
    pub fn dimension(&self, memory: &Memory) -> anyhow::Result<Option<usize>> {
        match self.most() {
            None if self.by_length.is_empty() => Ok(None),
            Some((bytes, _)) if bytes > 0 && bytes % 4 == 0 => Ok(usize::try_from(bytes / 4).ok()),
            _ => Err(not_floats(memory).into()),
        }
    }

    /// Why vectors of another length may be those that are right: there are more of them than accidents make, or they were written
    /// last. So it is while an application goes over to another model, at its beginning and at its end.
    pub fn in_doubt(&self, memory: &Memory) -> Option<Failure> {
        let (most, length) = self.most()?;
        let is_other = |one: &(&Option<i64>, &Length)| {
            let (bytes, other) = *one;
            *bytes != Some(most)
                && *bytes != Some(0)
                && (other.rows > ACCIDENTS || other.newest > length.newest)
        };
        self.by_length.iter().find(is_other)?;
        let told = self.by_length.iter().map(|(bytes, length)| {
            let rows = units::count(length.rows, "row");
            match bytes {
                None => format!("no BLOB in {rows}"),
                Some(bytes) if bytes % 4 == 0 => format!("{} numbers in {rows}", bytes / 4),
                Some(bytes) => format!("{bytes} bytes in {rows}"),
            }
        });
        Some(
            refused(format!(
                "the vectors of {} are not of one length ({}): while the application goes over to another model, nobody can tell here which are right",
                memory.embeddings.name,
                told.collect::<Vec<_>>().join(", ")
            ))
            .hint(format!(
                "when it is done, have the application remove or renew the others; they are told by: {}",
                by_length(memory)
            )),
        )
    }
}

fn by_length(memory: &Memory) -> String {
    format!(
        "SELECT typeof({0}), length({0}), count(*) FROM {1} GROUP BY 1, 2",
        quote(&memory.names.vector),
        quote(&memory.embeddings.name)
    )
}

fn not_floats(memory: &Memory) -> Failure {
    refused(format!(
        "column {} of {} holds no BLOBs of 32-bit floats, or no length that most of them have",
        memory.names.vector, memory.embeddings.name
    ))
    .hint(by_length(memory))
}
