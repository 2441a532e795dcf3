//! That every page belongs to somebody, and nobody's to two.

use rusqlite::Connection;

use super::super::btree::{Page, Pages, long};
use super::{MOST, number};

/// Where SQLite locks: the page at this offset holds nothing (<https://sqlite.org/fileformat2.html#the_lock_byte_page>).
const LOCK_BYTE: u64 = 1 << 30;

/// Each page of the file, once or not: a bit a page.
struct Seen {
    words: Vec<u64>,
    count: u64,
    problems: Vec<String>,
}

impl Seen {
    /// True where it is in the file, and nobody's yet.
    fn mark(&mut self, page: u32, what: &str) -> bool {
        let (word, bit) = place(page.into());
        match self.words.get_mut(word) {
            Some(word) if page >= 1 && u64::from(page) <= self.count => {
                let again = *word & bit != 0;
                *word |= bit;
                if again {
                    self.problem(|| format!("{what}: page {page} is used twice"));
                }
                !again
            }
            _ => {
                self.problem(|| format!("{what}: page {page} is not in the file"));
                false
            }
        }
    }

    fn is_marked(&self, page: u64) -> bool {
        let (word, bit) = place(page);
        self.words.get(word).is_some_and(|word| word & bit != 0)
    }

    fn problem(&mut self, words: impl FnOnce() -> String) {
        if self.problems.len() < MOST {
            self.problems.push(words());
        }
    }
}

fn place(page: u64) -> (usize, u64) {
    let word = usize::try_from(page / 64).unwrap_or(usize::MAX);
    (word, 1 << (page % 64))
}

/// What is wrong with the use of pages.
pub(super) fn pages(connection: &Connection) -> rusqlite::Result<Vec<String>> {
    let mut file = Pages::of(connection)?;
    let mut seen = Seen {
        words: vec![0; usize::try_from(file.count / 64 + 1).unwrap_or(0)],
        count: file.count,
        problems: Vec::new(),
    };
    for (name, root) in trees(connection)? {
        tree(&mut file, root, &name, &mut seen)?;
    }
    free_pages(&mut file, &mut seen)?;
    let lock_page = LOCK_BYTE / (file.size as u64) + 1;
    // With auto_vacuum a page of every so many is a map of those behind it (<https://sqlite.org/fileformat2.html#pointer_map_pages>).
    let maps = match number(connection, "auto_vacuum")? {
        0 => None,
        _ => Some(file.usable as u64 / 5 + 1),
    };
    let is_map = |page: u64| {
        maps.is_some_and(|step| {
            let at = |page: u64| page >= 2 && (page - 2).is_multiple_of(step);
            at(page) || (page == lock_page + 1 && at(lock_page))
        })
    };
    for page in (1..=file.count).filter(|page| *page != lock_page && !is_map(*page)) {
        if !seen.is_marked(page) {
            seen.problem(|| format!("page {page}: never used"));
        }
    }
    Ok(seen.problems)
}

/// Every table and index, and its first page.
fn trees(connection: &Connection) -> rusqlite::Result<Vec<(String, u32)>> {
    let mut statement = connection.prepare(
        "SELECT 'sqlite_schema', 1 UNION ALL SELECT name, rootpage FROM main.sqlite_schema WHERE rootpage <> 0",
    )?;
    statement
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect()
}

/// The pages of one, and those where long records go on. No page is read twice, so that no circle has an end.
fn tree(file: &mut Pages<'_>, root: u32, name: &str, seen: &mut Seen) -> rusqlite::Result<()> {
    let usable = file.usable;
    let (mut below, mut longer) = (vec![root], Vec::new());
    while let Some(page) = below.pop() {
        if !seen.mark(page, name) {
            continue;
        }
        let first = below.len();
        let understood = file.read(page, |bytes| {
            let page = Page::of(bytes, page, usable)?;
            page.children(|child| below.push(child))?;
            for cell in page.cells()? {
                longer.extend(page.record(cell?)?.1);
            }
            Some(())
        })?;
        below[first..].reverse();
        if understood.flatten().is_none() {
            seen.problem(|| format!("{name}: page {page} is none of a table or index"));
        }
        for mut page in longer.drain(..) {
            while page != 0 && seen.mark(page, name) {
                let next = file.read(page, |bytes| long(bytes, 0))?;
                page = next.flatten().unwrap_or(0);
            }
        }
    }
    Ok(())
}

/// The list of free pages: trunks that name leaves (<https://sqlite.org/fileformat2.html#the_freelist>).
fn free_pages(file: &mut Pages<'_>, seen: &mut Seen) -> rusqlite::Result<()> {
    let what = "free pages";
    let word = |bytes: &[u8], at: usize| long(bytes, 4 * at).unwrap_or(0);
    let header = file.read(1, |bytes| (word(bytes, 8), word(bytes, 9)))?;
    let (mut trunk, announced) = header.unwrap_or((0, 0));
    let mut found = 0;
    while trunk != 0 {
        found += 1;
        if !seen.mark(trunk, what) || found > announced {
            break; // a circle, or out of the file
        }
        let page = file.read(trunk, <[u8]>::to_vec)?.unwrap_or_default();
        let leaves = word(&page, 1);
        if leaves as usize > page.len() / 4 - 2 {
            seen.problem(|| {
                format!("{what}: page {trunk} names {leaves} others, more than it can")
            });
            break;
        }
        for leaf in 0..leaves as usize {
            seen.mark(word(&page, 2 + leaf), what);
        }
        found += leaves;
        trunk = word(&page, 0);
    }
    if found != announced {
        seen.problem(|| format!("{what}: {found} instead of {announced}"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::time::Duration;

    use super::super::tests::{PAGE, build, verdicts};
    use super::pages;
    use crate::sqlite::open::open_private_at_once;
    use crate::sys::Stop;

    /// What the checks of single tables cannot see is seen.
    #[test]
    fn pages_that_belong_to_nobody_or_two_are_found() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = build(folder.path(), "");
        let good = fs::read(&path).expect("reads");
        let stop = Stop::after(Duration::from_secs(60));
        let word = |at: usize| u32::from_be_bytes(good[at..at + 4].try_into().expect("four"));
        let trunk = usize::try_from(word(32)).expect("fits");
        let leaf = (trunk - 1) * PAGE + 8;
        for (at, value, said) in [
            (36, word(36) - 1, "free pages: "),
            (36, word(36) + 1, "free pages: "),
            (32, 0, "never used"),
            (32, 2, "used twice"),
            (leaf, 3, "used twice"),
            (leaf, 1_000_000, "not in the file"),
            (leaf - 8, u32::try_from(trunk).expect("fits"), "used twice"),
            (leaf - 4, 1_000_000, "more than it can"),
        ] {
            let mut broken = good.clone();
            broken[at..at + 4].copy_from_slice(&value.to_be_bytes());
            fs::write(&path, &broken).expect("writes");
            let connection = open_private_at_once(&path, 1, &stop)
                .expect("opens")
                .remove(0);
            let found = pages(&connection).expect("looks");
            assert!(
                found.iter().any(|problem| problem.contains(said)),
                "{said}: {found:?}"
            );
            assert!(!verdicts(&path).1, "{said}");
        }
    }
}
