//! One of two chunks that say the same goes: what pointed to it points to the other, its embedding goes with it where no other chunk
//! uses it, and all of that in one transaction, or nothing.

use rusqlite::types::Value;
use rusqlite::{Connection, Statement, params, params_from_iter};

use super::duplicates::{Pair, Twins};
use super::memory::Memory;
use super::removal::Removal;
use super::scene::{Done, Scene};
use super::twins::Fetch;
use crate::config::sections::Rag;
use crate::report::Unit;
use crate::sqlite::{self, Pace, Reference, Table, is_constraint, quote};
use crate::sys::lock::Held;

/// Goes through the pairs. `done` holds, also after an error, what is committed.
pub fn apply(
    scene: &Scene<'_>,
    twins: &Twins,
    writer: &Connection,
    removal: &Removal,
    pace: &mut Pace,
    done: &mut Done,
) -> anyhow::Result<()> {
    let wrong = |error| sqlite::explain(error, &scene.source.path, &scene.context.stop);
    let mut merge = Merge::new(scene.memory, scene.rag, twins, writer, removal).map_err(wrong)?;
    let mut rest = twins.pairs.as_slice();
    while !rest.is_empty() {
        if scene.held.is_some_and(Held::wanted) {
            done.gave_way = true;
            return Ok(());
        }
        let mut turn = Done::default();
        let worked = pace.turn(writer, rest, |pair| {
            merge.one(pair, &mut turn).map_err(wrong)
        })?;
        done.rows += turn.rows;
        done.others += turn.others;
        done.moved += turn.moved;
        done.dropped += turn.dropped;
        rest = &rest[worked..];
        scene
            .report
            .progress(done.rows, removal.chosen, Unit::Count, removal.what);
    }
    Ok(())
}

struct Merge<'a> {
    twins: &'a Twins,
    writer: &'a Connection,
    fetch: Fetch<'a>,
    chunks: Vec<Link<'a>>,
    delete: Statement<'a>,
    used: Statement<'a>,
    embeddings: Vec<Link<'a>>,
    unlink: Statement<'a>,
}

/// What moves the rows of one foreign key from one row to another.
struct Link<'a> {
    /// The row that stays points to the one that goes, and would point to itself.
    loops: Option<Statement<'a>>,
    /// Rows that would be there twice.
    drop: Vec<Statement<'a>>,
    shift: Statement<'a>,
}

impl<'a> Merge<'a> {
    fn new(
        memory: &Memory,
        rag: &Rag,
        twins: &'a Twins,
        writer: &'a Connection,
        removal: &Removal,
    ) -> rusqlite::Result<Self> {
        let table = &removal.table;
        let of_chunks = Row::of_key(table, 1);
        let stays = Row::of_key(table, table.key.len() + 1);
        let id = quote(&memory.names.id);
        let links = |all: &[Reference], parent: &Table, goes: &Row, stays: &Row| {
            all.iter()
                .map(|one| Link::new(writer, parent, one, goes, stays))
                .collect::<rusqlite::Result<Vec<_>>>()
        };
        let by_id = |mark| Row(format!("{id} = ?{mark}"));
        let embeddings = quote(&memory.embeddings.name);
        Ok(Self {
            twins,
            writer,
            fetch: Fetch::new(writer, memory, rag, table, "1")?,
            chunks: links(&twins.references.chunks, table, &of_chunks, &stays)?,
            delete: table.delete(writer, "1")?,
            used: writer.prepare(&format!(
                "SELECT EXISTS (SELECT 1 FROM main.{} WHERE {} = ?1)",
                quote(&table.name),
                quote(&memory.names.embedding_id)
            ))?,
            embeddings: links(
                &twins.references.embeddings,
                &memory.embeddings,
                &by_id(1),
                &by_id(2),
            )?,
            unlink: writer.prepare(&format!("DELETE FROM main.{embeddings} WHERE {id} = ?1"))?,
        })
    }

    /// One pair, whole or not at all.
    fn one(&mut self, pair: &Pair, done: &mut Done) -> rusqlite::Result<()> {
        self.writer.execute_batch("SAVEPOINT \"one pair\"")?;
        let before = *done;
        match self.merge(pair, done) {
            Ok(true) => self.writer.execute_batch("RELEASE \"one pair\""),
            Err(error) if !is_constraint(&error) => Err(error),
            _ => {
                *done = before;
                self.writer
                    .execute_batch("ROLLBACK TO \"one pair\"; RELEASE \"one pair\"")
            }
        }
    }

    /// False where it has to stay.
    fn merge(&mut self, pair: &Pair, done: &mut Done) -> rusqlite::Result<bool> {
        let (Some(kept), Some(removed)) = (
            self.fetch.chunk(&pair.kept)?,
            self.fetch.chunk(&pair.removed)?,
        ) else {
            return Ok(false); // gone since
        };
        let still = self
            .twins
            .measure
            .alike(pair.kind, &kept, &removed)
            .is_some();
        let (stays, goes) = (kept.embedding, removed.embedding);
        // The one that is kept has lost its embedding since: then the other would be missed.
        let found = goes == Value::Null || stays != Value::Null;
        if !still || !found || pair.kept == pair.removed {
            return Ok(false);
        }
        let keys: Vec<&Value> = pair.removed.iter().chain(&pair.kept).collect();
        for link in &mut self.chunks {
            if !link.follow(&keys, done)? {
                return Ok(false);
            }
        }
        if self.delete.execute(params_from_iter(&pair.removed))? == 0 {
            return Ok(false); // a trigger keeps it
        }
        done.rows += 1;
        if goes == Value::Null || goes == stays || self.used.query_row([&goes], |row| row.get(0))? {
            return Ok(true);
        }
        for link in &mut self.embeddings {
            if !link.follow(&[&goes, &stays], done)? {
                return Ok(false);
            }
        }
        done.others += self.unlink.execute(params![goes])? as u64;
        Ok(true)
    }
}

/// A condition that one row of a table fulfils.
struct Row(String);

impl Row {
    fn of_key(table: &Table, first: usize) -> Self {
        let parts: Vec<_> = (first..)
            .zip(&table.key)
            .map(|(at, name)| format!("{} = ?{at}", quote(name)))
            .collect();
        Self(parts.join(" AND "))
    }
}

impl<'a> Link<'a> {
    fn new(
        writer: &'a Connection,
        parent: &Table,
        reference: &Reference,
        goes: &Row,
        stays: &Row,
    ) -> rusqlite::Result<Self> {
        let child = quote(&reference.child);
        let list = |names: Vec<String>| match names.as_slice() {
            [one] => one.clone(),
            many => format!("({})", many.join(", ")),
        };
        let from = |alias: &str| {
            list(
                reference
                    .pairs
                    .iter()
                    .map(|(from, _)| format!("{alias}{}", quote(from)))
                    .collect(),
            )
        };
        let to: Vec<_> = reference.pairs.iter().map(|(_, to)| quote(to)).collect();
        let value = |row: &Row| {
            format!(
                "(SELECT {} FROM main.{} WHERE {})",
                to.join(", "),
                quote(&parent.name),
                row.0
            )
        };
        let is_own = reference.child.eq_ignore_ascii_case(&parent.name);
        let mut drop = Vec::new();
        if !is_own {
            for others in unique_with(writer, reference)? {
                let same: Vec<_> = others
                    .iter()
                    .map(|one| format!(" AND \"another\".{0} = \"a child\".{0}", quote(one)))
                    .collect();
                drop.push(writer.prepare(&format!(
                    "DELETE FROM main.{child} AS \"a child\" WHERE {} = {} AND EXISTS (SELECT 1 FROM main.{child} AS \"another\" WHERE {} = {}{})",
                    from("\"a child\"."),
                    value(goes),
                    from("\"another\"."),
                    value(stays),
                    same.concat()
                ))?);
            }
        }
        let loops = format!(
            "SELECT EXISTS (SELECT 1 FROM main.{child} WHERE {} AND {} = {})",
            stays.0,
            from(""),
            value(goes)
        );
        Ok(Self {
            loops: is_own.then(|| writer.prepare(&loops)).transpose()?,
            drop,
            shift: writer.prepare(&format!(
                "UPDATE main.{child} SET {} = {} WHERE {} = {}",
                from(""),
                value(stays),
                from(""),
                value(goes)
            ))?,
        })
    }

    /// False where the row that stays points to the one that goes.
    fn follow(&mut self, keys: &[&Value], done: &mut Done) -> rusqlite::Result<bool> {
        if let Some(loops) = &mut self.loops
            && loops.query_row(params_from_iter(keys), |row| row.get::<_, bool>(0))?
        {
            return Ok(false);
        }
        for drop in &mut self.drop {
            done.dropped += drop.execute(params_from_iter(keys))? as u64;
        }
        done.moved += self.shift.execute(params_from_iter(keys))? as u64;
        Ok(true)
    }
}

/// For each unique index of the child with a column of the reference, its other columns.
fn unique_with(
    connection: &Connection,
    reference: &Reference,
) -> rusqlite::Result<Vec<Vec<String>>> {
    let mut statement = connection.prepare(
        "SELECT list.name, info.name FROM pragma_index_list(?1, 'main') AS list, pragma_index_info(list.name, 'main') AS info
         WHERE list.\"unique\" = 1 AND list.partial = 0 ORDER BY list.seq, info.seqno",
    )?;
    let entries: Vec<(String, Option<String>)> = statement
        .query_map([&reference.child], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<rusqlite::Result<_>>()?;
    let is_from = |column: &str| {
        reference
            .pairs
            .iter()
            .any(|(from, _)| from.eq_ignore_ascii_case(column))
    };
    let mut found = Vec::new();
    for index in entries.chunk_by(|a, b| a.0 == b.0) {
        // An expression has no name, and whether two rows agree in it is not asked here: what it refuses stays.
        let columns: Option<Vec<String>> = index.iter().map(|(_, column)| column.clone()).collect();
        let Some(columns) = columns else { continue };
        if columns.iter().any(|column| is_from(column)) {
            found.push(
                columns
                    .into_iter()
                    .filter(|column| !is_from(column))
                    .collect(),
            );
        }
    }
    // The rowid under another name has no index of its own.
    let columns = sqlite::columns(connection, &reference.child)?;
    let mut primary = columns.iter().filter(|column| column.key > 0);
    if let (Some(only), None) = (primary.next(), primary.next())
        && is_from(&only.name)
        && !found.contains(&Vec::new())
    {
        found.push(Vec::new());
    }
    Ok(found)
}
