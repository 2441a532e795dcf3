//! That every page belongs to somebody, and nobody's to two.

use rusqlite::Connection;

use super::super::layout::each_page;
use super::{MOST, number};

/// Where SQLite locks: the page at this offset holds nothing (<https://sqlite.org/fileformat2.html#the_lock_byte_page>).
const LOCK_BYTE: u64 = 1 << 30;

/// Each page of the file, once or not: a bit a page.
struct Pages {
    seen: Vec<u64>,
    count: u64,
    problems: Vec<String>,
}

impl Pages {
    fn mark(&mut self, page: u64, what: &str) {
        let (word, bit) = (
            usize::try_from(page / 64).unwrap_or(usize::MAX),
            1 << (page % 64),
        );
        let problem = match self.seen.get_mut(word) {
            Some(word) if page >= 1 && page <= self.count => {
                let again = *word & bit != 0;
                *word |= bit;
                again.then(|| format!("{what}: page {page} is used twice"))
            }
            _ => Some(format!("{what}: page {page} is not in the file")),
        };
        if let Some(problem) = problem.filter(|_| self.problems.len() < MOST) {
            self.problems.push(problem);
        }
    }
}

/// What is wrong with the use of pages.
pub(super) fn pages(connection: &Connection) -> rusqlite::Result<Vec<String>> {
    let (count, size) = (
        number(connection, "page_count")?,
        number(connection, "page_size")?,
    );
    let mut pages = Pages {
        seen: vec![0; usize::try_from(count / 64 + 1).unwrap_or(0)],
        count,
        problems: Vec::new(),
    };
    each_page(connection, |page| pages.mark(page.number, page.tree))?;
    free_pages(connection, &mut pages)?;
    let lock_page = LOCK_BYTE / size.max(1) + 1;
    // With auto_vacuum a page of every so many is a map of those behind it (<https://sqlite.org/fileformat2.html#pointer_map_pages>).
    let maps = match number(connection, "auto_vacuum")? {
        0 => None,
        _ => Some(size.saturating_sub(reserved(connection)?) / 5 + 1),
    };
    let is_map = |page: u64| {
        maps.is_some_and(|step| {
            let at = |page: u64| page >= 2 && (page - 2).is_multiple_of(step);
            at(page) || (page == lock_page + 1 && at(lock_page))
        })
    };
    for page in (1..=count).filter(|page| *page != lock_page && !is_map(*page)) {
        let seen = pages
            .seen
            .get(usize::try_from(page / 64).unwrap_or(0))
            .copied()
            .unwrap_or(0);
        if seen & (1 << (page % 64)) == 0 && pages.problems.len() < MOST {
            pages.problems.push(format!("page {page}: never used"));
        }
    }
    Ok(pages.problems)
}

/// Bytes at the end of each page that are left alone.
fn reserved(connection: &Connection) -> rusqlite::Result<u64> {
    connection.query_row(
        "SELECT data FROM sqlite_dbpage('main') WHERE pgno = 1",
        [],
        |row| {
            Ok(row
                .get_ref(0)?
                .as_blob()
                .ok()
                .and_then(|page| page.get(20))
                .map_or(0, |byte| u64::from(*byte)))
        },
    )
}

/// The list of free pages: trunks that name leaves (<https://sqlite.org/fileformat2.html#the_freelist>).
fn free_pages(connection: &Connection, pages: &mut Pages) -> rusqlite::Result<()> {
    let mut statement =
        connection.prepare("SELECT data FROM sqlite_dbpage('main') WHERE pgno = ?1")?;
    let mut read =
        |page: u64| statement.query_row([page.cast_signed()], |row| row.get::<_, Vec<u8>>(0));
    let word = |page: &[u8], at: usize| {
        let bytes = page
            .get(at * 4..at * 4 + 4)
            .and_then(|bytes| bytes.try_into().ok());
        bytes.map_or(0, |bytes| u64::from(u32::from_be_bytes(bytes)))
    };
    let header = read(1)?;
    let (mut trunk, announced) = (word(&header, 8), word(&header, 9));
    let mut found = 0;
    while trunk != 0 {
        let before = pages.problems.len();
        pages.mark(trunk, "free pages");
        found += 1;
        if pages.problems.len() > before || found > announced {
            break; // a circle, or out of the file
        }
        let page = read(trunk)?;
        let leaves = word(&page, 1);
        if leaves > (page.len() / 4) as u64 - 2 {
            pages.problems.push(format!(
                "free pages: page {trunk} names {leaves} others, more than it can"
            ));
            break;
        }
        for leaf in 0..leaves {
            pages.mark(
                word(&page, 2 + usize::try_from(leaf).unwrap_or(0)),
                "free pages",
            );
        }
        found += leaves;
        trunk = word(&page, 0);
    }
    if found != announced && pages.problems.len() < MOST {
        pages
            .problems
            .push(format!("free pages: {found} instead of {announced}"));
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
