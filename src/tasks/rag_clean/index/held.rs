//! An index that can be read and written here, with the ids of its vectors.

use std::path::PathBuf;

use crate::faiss::{Index, Positions};

/// An index that can be read and written here, with the ids of its vectors.
pub struct Held {
    /// The file.
    pub path: PathBuf,
    /// Its entries have the ids of the map, where there is one.
    pub index: Index,
    /// The ids of its positions.
    pub map: Option<Positions>,
    /// Vectors at positions that the map does not have.
    pub nameless: u64,
    /// Ids of the map for positions that the index does not have.
    pub surplus: u64,
}

impl Held {
    /// With the ids of the map. The two differ in length where a run was killed between them, or an application was.
    pub fn new(path: PathBuf, mut index: Index, map: Option<Positions>) -> Self {
        let (mut nameless, mut surplus) = (0, 0);
        if let Some(map) = &map {
            let (vectors, ids) = (index.entries.len(), map.ids.len());
            nameless = vectors.saturating_sub(ids) as u64;
            surplus = ids.saturating_sub(vectors) as u64;
            index.entries.truncate(ids);
            for (entry, &id) in index.entries.iter_mut().zip(&map.ids) {
                entry.id = id;
            }
        }
        Self {
            path,
            index,
            map,
            nameless,
            surplus,
        }
    }
}
