//! The last stage: members in their order into the file, digested, with a record of each in the index.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender};

use sha2::{Digest as _, Sha256};

use super::super::BLOCK;
use super::super::digest::{Tree, hex};
use super::super::index::{Header, IndexWriter};
use super::super::manifest::{Index, Plain, Stored, day_text};
use super::super::member::{CODEC, LEVEL};
use super::super::publish::Written;
use super::feed::Buffers;
use super::read_back::Members;
use super::work::Done;
use crate::sys::{space, uncached};

/// After so many bytes the space is looked at again.
const BETWEEN_LOOKS: u64 = 16 << 20;

/// The space that must stay free while we write.
pub(super) struct Room<'a> {
    pub(super) folder: &'a Path,
    pub(super) reserve: u64,
}

impl Room<'_> {
    fn require(&self) -> anyhow::Result<()> {
        space::require(
            self.folder,
            self.reserve,
            "the reserve, while the backup is written",
        )
    }
}

/// Where the writer puts what it gets.
pub(super) struct Output<'a> {
    pub(super) gz: &'a mut uncached::Writer,
    pub(super) index: IndexWriter,
    pub(super) index_path: &'a Path,
    pub(super) room: Room<'a>,
    /// Told of each member, for it to be read back.
    pub(super) members: Members,
}

pub(super) fn write_in_order(
    output: Output<'_>,
    done: &Receiver<anyhow::Result<Done>>,
    empty: &Sender<Buffers>,
) -> anyhow::Result<Written> {
    let Output {
        gz,
        mut index,
        index_path,
        room,
        members: written,
    } = output;
    let mut sha256 = Sha256::new();
    let mut tree = Tree::default();
    let mut waiting = BTreeMap::new();
    let (mut plain, mut length, mut members, mut copied) = (0u64, 0u64, 0u64, 0u64);
    let mut oldest = u32::MAX;
    let mut looked = 0;
    for result in done {
        let result = result?;
        waiting.insert(result.first, result);
        while let Some(next) = waiting.remove(&members) {
            for record in &next.records {
                oldest = oldest.min(record.inflated_day);
                tree.push(record.plain);
                index.push(record)?;
                written.push(*record)?;
            }
            let buffers = next.buffers;
            gz.write_all(&buffers.members)?;
            sha256.update(&buffers.members);
            members += next.records.len() as u64;
            copied += next.copied;
            plain += buffers.plain.len() as u64;
            length += buffers.members.len() as u64;
            let _ = empty.send(buffers);
        }
        if length - looked >= BETWEEN_LOOKS {
            looked = length;
            room.require()?;
        }
    }
    anyhow::ensure!(waiting.is_empty(), "a block of the backup is missing");
    anyhow::ensure!(members > 0, "there is nothing to back up");
    let header = Header {
        members,
        plain,
        gz: length,
    };
    let index = index.finish(header, index_path)?;
    Ok(Written {
        plain: Plain {
            size: plain,
            blake3: tree.finish().to_hex().to_string(),
        },
        gz: Stored {
            size: length,
            sha256: hex(&sha256.finalize()),
        },
        index: Index {
            blake3: index.to_hex().to_string(),
            block: BLOCK as u64,
            members,
            copied,
            codec: CODEC.to_owned(),
            level: LEVEL,
        },
        oldest_inflation: day_text(oldest),
    })
}
