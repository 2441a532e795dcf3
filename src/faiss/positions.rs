//! Which id each position of an index without ids of its own has, in a file beside it: a one-dimensional `.npy` of 64-bit integers, as
//! `numpy.save` writes it, or a JSON array of numbers. The first is told by its first bytes; a file keeps its form.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use super::read::{Stamp, stamp_of};
use crate::error::damaged;
use crate::sys::files;

/// More is no map: a hundred million ids.
const LARGEST: u64 = 1 << 30;
const MAGIC: &[u8] = b"\x93NUMPY";
/// The numbers of a `.npy` begin at a multiple of this.
const ALIGNED: usize = 64;

/// The ids of positions, in a file.
#[derive(Debug)]
pub struct Positions {
    /// The id of position 0, 1 and so on; each is there once.
    pub ids: Vec<i64>,
    form: Form,
    path: PathBuf,
    opened: Stamp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Npy,
    Json,
}

impl Positions {
    /// Reads the file.
    pub fn open(path: &Path) -> anyhow::Result<Self> {
        let meta =
            files::metadata(path)?.with_context(|| format!("{} is not there", path.display()))?;
        let bytes = files::read_small(path, LARGEST)?;
        let read = || -> anyhow::Result<(Form, Vec<i64>)> {
            let found = match bytes.starts_with(MAGIC) {
                true => (Form::Npy, from_npy(&bytes)?),
                false => (
                    Form::Json,
                    serde_json::from_slice(&bytes).map_err(|error| {
                        damaged(format!(
                            "it is neither a .npy nor a JSON array of ids: {error}"
                        ))
                    })?,
                ),
            };
            let mut seen = HashSet::with_capacity(found.1.len());
            match found.1.iter().find(|id| !seen.insert(**id)) {
                Some(id) => Err(damaged(format!("the id {id} is in it twice")).into()),
                None => Ok(found),
            }
        };
        let (form, ids) = read().with_context(|| path.display().to_string())?;
        Ok(Self {
            ids,
            form,
            path: path.to_owned(),
            opened: stamp_of(&meta),
        })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// True while nobody else has written it.
    pub fn is_still(&self) -> anyhow::Result<bool> {
        let now = files::metadata(&self.path)?;
        Ok(now.is_some_and(|now| stamp_of(&now) == self.opened))
    }

    /// A file of the same form with these ids.
    pub fn encode(&self, ids: &[i64]) -> anyhow::Result<Vec<u8>> {
        match self.form {
            Form::Npy => Ok(to_npy(ids)),
            Form::Json => Ok(serde_json::to_vec(ids)?),
        }
    }

    /// The ids that are wanted (sorted), with a position for each: whoever stays keeps the own one, and the places of those that are
    /// gone are filled from behind. So whoever reads the new index with the old map meets an id that is gone, or a position
    /// that the map does not have, and never the id of something else.
    pub fn after(&self, wanted: &[i64]) -> Vec<i64> {
        let stays = |id: &i64| wanted.binary_search(id).is_ok();
        let within = &self.ids[..self.ids.len().min(wanted.len())];
        let kept: HashSet<i64> = within.iter().copied().filter(stays).collect();
        let mut others = wanted.iter().copied().filter(|id| !kept.contains(id));
        (0..wanted.len())
            .filter_map(|at| match within.get(at) {
                Some(id) if kept.contains(id) => Some(*id),
                _ => others.next(),
            })
            .collect()
    }
}

/// The format is in numpy's documentation (`numpy.lib.format`): magic, version, length of the header, header, numbers.
fn from_npy(bytes: &[u8]) -> anyhow::Result<Vec<i64>> {
    let short = || damaged("it ends within its header");
    let version = *bytes.get(6).ok_or_else(short)?;
    let (begin, length) = match version {
        1 => {
            let length: [u8; 2] = bytes.get(8..10).ok_or_else(short)?.try_into()?;
            (10, usize::from(u16::from_le_bytes(length)))
        }
        _ => {
            let length: [u8; 4] = bytes.get(8..12).ok_or_else(short)?.try_into()?;
            (12, usize::try_from(u32::from_le_bytes(length))?)
        }
    };
    let header = bytes.get(begin..begin + length).ok_or_else(short)?;
    let header: String = String::from_utf8_lossy(header)
        .chars()
        .filter(|one| !one.is_whitespace())
        .collect();
    let (numbers, rest) = bytes[begin + length..].as_chunks::<8>();
    let is_list = header.contains("'descr':'<i8'")
        && header.contains("'fortran_order':False")
        && header.contains(&format!("'shape':({},)", numbers.len()));
    if !is_list || !rest.is_empty() {
        return Err(damaged("it is no one-dimensional .npy of int64, or not all of it").into());
    }
    Ok(numbers
        .iter()
        .map(|&eight| i64::from_le_bytes(eight))
        .collect())
}

fn to_npy(ids: &[i64]) -> Vec<u8> {
    let header = format!(
        "{{'descr': '<i8', 'fortran_order': False, 'shape': ({},), }}",
        ids.len()
    );
    let before = MAGIC.len() + 4;
    let whole = (before + header.len() + 1).next_multiple_of(ALIGNED);
    let length = u16::try_from(whole - before).unwrap_or(u16::MAX);
    let mut bytes = [MAGIC, &[1, 0], &length.to_le_bytes(), header.as_bytes()].concat();
    bytes.resize(whole - 1, b' ');
    bytes.push(b'\n');
    bytes.extend(ids.iter().flat_map(|id| id.to_le_bytes()));
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn open(bytes: &[u8]) -> anyhow::Result<Positions> {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("ids");
        std::fs::write(&path, bytes).expect("writes");
        Positions::open(&path)
    }

    #[test]
    fn both_forms_come_back_as_they_were() {
        for ids in [vec![], vec![7], vec![3, -1, i64::MAX, 0]] {
            for bytes in [to_npy(&ids), serde_json::to_vec(&ids).expect("writes")] {
                let read = open(&bytes).expect("reads");
                assert_eq!(read.ids, ids);
                assert_eq!(read.encode(&ids).expect("writes"), bytes);
            }
        }
        for wrong in [
            &b"[1, 2, 1]"[..],
            b"[1.5]",
            b"",
            b"\x93NUMPY\x01\0\x09",
            b"{}",
        ] {
            assert!(open(wrong).is_err(), "{wrong:?}");
        }
        let mut short = to_npy(&[1, 2, 3]);
        short.truncate(short.len() - 8);
        assert!(open(&short).is_err());
    }

    proptest! {
        #[test]
        fn the_old_map_never_names_the_wrong_one(old in proptest::collection::hash_set(0..40i64, 0..30), wanted in proptest::collection::btree_set(0..60i64, 0..40)) {
            let old: Vec<i64> = old.into_iter().collect();
            let map = open(&to_npy(&old)).expect("reads");
            let sorted: Vec<i64> = wanted.iter().copied().collect();
            let new = map.after(&sorted);
            prop_assert_eq!(&new.iter().copied().collect::<BTreeSet<_>>(), &wanted);
            prop_assert_eq!(new.len(), wanted.len());
            for (was, is) in old.iter().zip(&new) {
                prop_assert!(was == is || !wanted.contains(was), "{} was {}", is, was);
            }
        }
    }
}
