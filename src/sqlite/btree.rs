//! Tables and indexes page by page, as they are in the file (<https://sqlite.org/fileformat2.html#b_tree_pages>). SQLite gives the
//! pages, out of one state of the database.

use rusqlite::{Connection, Statement};

/// Bytes of the file before the first page's own.
const FILE_HEAD: usize = 100;

/// The pages of a database.
pub(super) struct Pages<'c> {
    read: Statement<'c>,
    /// How many there are.
    pub count: u64,
    /// Bytes of each, and those at its beginning that SQLite uses.
    pub size: usize,
    pub usable: usize,
}

impl<'c> Pages<'c> {
    pub fn of(connection: &'c Connection) -> rusqlite::Result<Self> {
        let mut read =
            connection.prepare("SELECT data FROM sqlite_dbpage('main') WHERE pgno = ?1")?;
        let (size, reserved) = read.query_row([1], |row| {
            let bytes = row.get_ref(0)?.as_blob().unwrap_or_default();
            Ok((bytes.len(), bytes.get(20).copied().unwrap_or(0)))
        })?;
        let count: i64 = connection.query_row("PRAGMA main.page_count", [], |row| row.get(0))?;
        Ok(Self {
            read,
            count: u64::try_from(count).unwrap_or(0),
            size,
            usable: size.saturating_sub(usize::from(reserved)),
        })
    }

    /// Calls `look` with the bytes of a page; `None` where it is not in the file.
    pub fn read<T>(
        &mut self,
        number: u32,
        look: impl FnOnce(&[u8]) -> T,
    ) -> rusqlite::Result<Option<T>> {
        let size = self.size;
        let mut rows = self.read.query([number])?;
        let Some(row) = rows.next()? else {
            return Ok(None);
        };
        let bytes = row.get_ref(0)?.as_blob().unwrap_or_default();
        Ok((bytes.len() == size).then(|| look(bytes)))
    }
}

/// One page of a table or index.
pub(super) struct Page<'a> {
    bytes: &'a [u8],
    usable: usize,
    /// Where its own head begins.
    head: usize,
    /// It has pages below, and belongs to an index.
    interior: bool,
    index: bool,
}

/// Where something begins in the page.
type At = usize;

impl<'a> Page<'a> {
    /// `None` for what is no page of a table or index.
    pub fn of(bytes: &'a [u8], number: u32, usable: usize) -> Option<Self> {
        let head = if number == 1 { FILE_HEAD } else { 0 };
        let (interior, index) = match *bytes.get(head)? {
            2 => (true, true),
            5 => (true, false),
            10 => (false, true),
            13 => (false, false),
            _ => return None,
        };
        Some(Self {
            bytes,
            usable,
            head,
            interior,
            index,
        })
    }

    pub fn is_of_index(&self) -> bool {
        self.index
    }

    /// Where each cell begins; `None` for one that is not in the page.
    pub fn cells(&self) -> Option<impl Iterator<Item = Option<At>>> {
        let list = self.head + if self.interior { 12 } else { 8 };
        let count = usize::from(self.word(self.head + 3)?);
        let list = self.bytes.get(list..list + 2 * count)?;
        Some(list.chunks_exact(2).map(|place| {
            let at = usize::from(u16::from_be_bytes([place[0], place[1]]));
            (at < self.usable).then_some(at)
        }))
    }

    /// Calls `below` for each page below, in the order of their keys; `None` for what is not understood.
    pub fn children(&self, mut below: impl FnMut(u32)) -> Option<()> {
        if self.interior {
            for cell in self.cells()? {
                below(long(self.bytes, cell?)?);
            }
            below(long(self.bytes, self.head + 8)?);
        }
        Some(())
    }

    /// The record of a cell, as far as it is in this page, and the page where it goes on; `None` for what is not understood. The
    /// inner pages of a table have none.
    pub fn record(&self, cell: At) -> Option<(&'a [u8], Option<u32>)> {
        if self.interior && !self.index {
            return Some((&[], None));
        }
        let (size, mut at) = varint(self.bytes, cell + if self.interior { 4 } else { 0 })?;
        if !self.index {
            at = after_varint(self.bytes, at)?;
        }
        let size = usize::try_from(size).ok()?;
        let most = match self.index {
            true => (self.usable - 12) * 64 / 255 - 23,
            false => self.usable - 35,
        };
        if size <= most {
            return Some((self.bytes.get(at..at + size)?, None));
        }
        let least = (self.usable - 12) * 32 / 255 - 23;
        let here = least + (size - least) % (self.usable - 4);
        let here = if here <= most { here } else { least };
        let record = self.bytes.get(at..at + here)?;
        Some((record, Some(long(self.bytes, at + here)?)))
    }

    fn word(&self, at: At) -> Option<u16> {
        let bytes = self.bytes.get(at..at + 2)?;
        Some(u16::from_be_bytes(bytes.try_into().ok()?))
    }
}

/// The number of a page, as it stands there.
pub(super) fn long(bytes: &[u8], at: At) -> Option<u32> {
    let bytes = bytes.get(at..at + 4)?;
    Some(u32::from_be_bytes(bytes.try_into().ok()?))
}

/// A number of one to nine bytes, and where it ends.
pub(super) fn varint(bytes: &[u8], at: At) -> Option<(u64, At)> {
    let mut value = 0_u64;
    for (index, byte) in bytes.get(at..)?.iter().take(9).enumerate() {
        if index == 8 {
            return Some((value << 8 | u64::from(*byte), at + 9));
        }
        value = value << 7 | u64::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            return Some((value, at + index + 1));
        }
    }
    None
}

fn after_varint(bytes: &[u8], at: At) -> Option<At> {
    varint(bytes, at).map(|(_, end)| end)
}
