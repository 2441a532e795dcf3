//! The last stage: members in their order into the file, digested, synced in steps, with a record of each in the index.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender};

use anyhow::Context as _;
use sha2::{Digest as _, Sha256};

use super::super::BLOCK;
use super::super::digest::{Tree, hex};
use super::super::index::{Header, IndexWriter};
use super::super::manifest::{Index, Plain, Stored, day_text};
use super::super::member::{CODEC, LEVEL};
use super::Written;
use super::feed::Buffers;
use super::read_back::Progress;
use super::work::Done;
use crate::sys::steady::Steps;
use crate::sys::{files, space};

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
    pub(super) gz: &'a File,
    pub(super) gz_path: &'a Path,
    pub(super) index: IndexWriter,
    pub(super) index_path: &'a Path,
    pub(super) room: Room<'a>,
    pub(super) progress: &'a Progress<'a>,
}

pub(super) fn write_in_order(
    output: Output<'_>,
    done: &Receiver<anyhow::Result<Done>>,
    empty: &Sender<Buffers>,
    steps: &Steps,
) -> anyhow::Result<Written> {
    let Output {
        mut gz,
        gz_path,
        mut index,
        index_path,
        room,
        progress,
    } = output;
    let describe = || format!("cannot write {}", gz_path.display());
    let mut sha256 = Sha256::new();
    let mut tree = Tree::default();
    let mut waiting = BTreeMap::new();
    let (mut plain, mut length, mut members, mut copied) = (0u64, 0u64, 0u64, 0u64);
    let mut oldest = u32::MAX;
    let mut synced = 0;
    for result in done {
        let result = result?;
        waiting.insert(result.first, result);
        while let Some(next) = waiting.remove(&members) {
            for record in &next.records {
                oldest = oldest.min(record.inflated_day);
                tree.push(record.plain);
                index.push(record)?;
                progress.written(*record)?;
            }
            let buffers = next.buffers;
            gz.write_all(&buffers.members).with_context(describe)?;
            sha256.update(&buffers.members);
            members += next.records.len() as u64;
            copied += next.copied;
            plain += buffers.plain.len() as u64;
            length += buffers.members.len() as u64;
            let _ = empty.send(buffers);
        }
        if steps.written(length)? {
            synced = length;
            room.require()?;
        }
    }
    anyhow::ensure!(waiting.is_empty(), "a block of the backup is missing");
    anyhow::ensure!(members > 0, "there is nothing to back up");
    files::sync(gz, gz_path)?;
    progress.synced(synced, length);
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
