//! How the pages of a database are used: by which table or index, how full, and in which order
//! (<https://sqlite.org/dbstat.html>).

use std::path::Path;

use rusqlite::Connection;
use schemars::JsonSchema;
use serde::Serialize;

use super::explain;
use crate::sys::Stop;
use crate::units;

/// The whole file.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Layout {
    /// Bytes a page.
    pub page_size: u64,
    /// Pages of the file.
    pub pages: u64,
    /// Pages that nothing uses.
    pub free_pages: u64,
    /// `auto_vacuum`: 0 none, 1 full, 2 incremental.
    pub auto_vacuum: u8,
    /// Every table and index.
    pub trees: Vec<Tree>,
}

/// One table or index.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Tree {
    /// Its name.
    pub name: String,
    /// The table that it is, or belongs to.
    pub table: String,
    /// True for an index.
    pub index: bool,
    /// Pages.
    pub pages: u64,
    /// Bytes of its pages that hold nothing.
    pub unused_bytes: u64,
    /// Share of its pages that do not follow the one before them in the file, %.
    pub fragmented_percent: f64,
    /// Rows, as far as pages are counted by them: of inner pages too.
    #[serde(skip)]
    pub cells: u64,
}

impl Layout {
    /// Bytes of the file.
    pub fn bytes(&self) -> u64 {
        self.pages * self.page_size
    }

    /// Bytes of pages that nothing uses.
    pub fn free_bytes(&self) -> u64 {
        self.free_pages * self.page_size
    }

    /// Bytes of pages that hold something.
    pub fn used_bytes(&self) -> u64 {
        self.bytes() - self.free_bytes()
    }

    /// Bytes that a copy without gaps could do without, at most.
    pub fn reclaimable(&self) -> u64 {
        let unused = self.trees.iter().map(|tree| tree.unused_bytes);
        self.free_bytes() + unused.sum::<u64>()
    }
}

impl Tree {
    /// Share of its pages' bytes that hold nothing, %.
    pub fn unused_percent(&self, page_size: u64) -> f64 {
        units::percent(self.unused_bytes, self.pages * page_size)
    }
}

/// Reads every page once.
pub fn layout(connection: &Connection, path: &Path, stop: &Stop) -> anyhow::Result<Layout> {
    look(connection).map_err(|error| explain(error, path, stop))
}

fn look(connection: &Connection) -> rusqlite::Result<Layout> {
    let number = |pragma: &str| -> rusqlite::Result<u64> {
        let sql = format!("PRAGMA main.{pragma}");
        connection.query_row(&sql, [], |row| Ok(unsigned(row.get(0)?)))
    };
    Ok(Layout {
        page_size: number("page_size")?,
        pages: number("page_count")?,
        free_pages: number("freelist_count")?,
        auto_vacuum: u8::try_from(number("auto_vacuum")?).unwrap_or(0),
        trees: trees(connection)?,
    })
}

fn trees(connection: &Connection) -> rusqlite::Result<Vec<Tree>> {
    let mut found: Vec<Tree> = Vec::new();
    let mut gaps: Vec<u64> = Vec::new();
    let mut before = 0;
    let mut pages = connection.prepare(
        "SELECT name, pageno, unused, ncell FROM dbstat WHERE schema = 'main' AND aggregate = FALSE",
    )?;
    let mut pages = pages.query([])?;
    while let Some(page) = pages.next()? {
        let name = page.get_ref(0)?.as_str().unwrap_or_default();
        let number = unsigned(page.get(1)?);
        if found.last().is_none_or(|tree| tree.name != name) {
            found.push(Tree {
                name: name.to_owned(),
                table: name.to_owned(),
                index: false,
                pages: 0,
                unused_bytes: 0,
                fragmented_percent: 0.0,
                cells: 0,
            });
            gaps.push(0);
        } else if let (Some(gaps), true) = (gaps.last_mut(), number != before + 1) {
            *gaps += 1;
        }
        before = number;
        if let Some(tree) = found.last_mut() {
            tree.pages += 1;
            tree.unused_bytes += unsigned(page.get(2)?);
            tree.cells += unsigned(page.get(3)?);
        }
    }
    let mut owner = connection
        .prepare("SELECT tbl_name FROM sqlite_schema WHERE type = 'index' AND name = ?1")?;
    for (tree, gaps) in found.iter_mut().zip(gaps) {
        tree.fragmented_percent = units::percent(gaps, tree.pages.saturating_sub(1));
        let mut rows = owner.query([&tree.name])?;
        if let Some(row) = rows.next()? {
            tree.table = row.get(0)?;
            tree.index = true;
        }
    }
    Ok(found)
}

fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn every_page_belongs_to_somebody() {
        let connection = Connection::open_in_memory().expect("opens");
        connection
            .execute_batch(
                "CREATE TABLE \"a 'b\"(id INTEGER PRIMARY KEY, x BLOB);
                 CREATE INDEX \"i \"\"x\" ON \"a 'b\"(x);
                 CREATE TABLE w(k TEXT PRIMARY KEY, v) WITHOUT ROWID;
                 WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 3000)
                   INSERT INTO \"a 'b\" SELECT n, randomblob(100) FROM c;
                 INSERT INTO w SELECT id, zeroblob(9000) FROM \"a 'b\" LIMIT 50;
                 DELETE FROM \"a 'b\" WHERE id % 3 = 0 OR id > 2000;",
            )
            .expect("builds");
        let stop = Stop::after(Duration::from_secs(60));
        let layout = layout(&connection, Path::new("memory"), &stop).expect("looks");
        let used: u64 = layout.trees.iter().map(|tree| tree.pages).sum();
        assert_eq!(used + layout.free_pages, layout.pages);
        assert!(layout.free_pages > 0);
        let index = layout
            .trees
            .iter()
            .find(|tree| tree.index && tree.table == "a 'b")
            .expect("is there");
        assert_eq!(index.name, "i \"x");
        assert!(index.fragmented_percent > 50.0 && index.unused_percent(4096) > 40.0);
        let table = layout
            .trees
            .iter()
            .find(|tree| tree.name == "a 'b")
            .expect("is there");
        assert!(!table.index && table.fragmented_percent < index.fragmented_percent);
    }
}
