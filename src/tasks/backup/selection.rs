//! What goes along beside the databases: which paths, and every file, folder and link below them.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::fmt;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use crate::archive::Store;
use crate::sys::files::{self, Identity};
use crate::sys::machine;

/// What is taken along.
pub struct Selection {
    /// Absolute.
    pub paths: Vec<PathBuf>,
    /// The file that was read.
    pub configuration: Option<PathBuf>,
    /// The application's root: links of its owner are followed.
    pub root: PathBuf,
}

impl fmt::Display for Selection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown: Vec<_> = self.all().map(|path| path.display().to_string()).collect();
        f.write_str(&shown.join(", "))
    }
}

impl Selection {
    /// True when there is nothing to take along.
    pub fn is_empty(&self) -> bool {
        self.all().next().is_none()
    }

    fn all(&self) -> impl Iterator<Item = &PathBuf> {
        self.paths.iter().chain(&self.configuration)
    }

    /// True when a path is taken along, by itself or inside a folder that is.
    pub fn covers(&self, path: &Path) -> bool {
        self.paths.iter().any(|own| path.starts_with(own))
    }

    /// Plain bytes, roughly.
    pub fn size(&self, store: &Store, state: &Path) -> anyhow::Result<u64> {
        let mut total = 0;
        let visit = &mut |_: &Path, meta: &std::fs::Metadata| {
            total += 1024 + meta.len();
            Ok(())
        };
        self.each(store, state, visit, &mut |_, _| {})?;
        Ok(total)
    }

    /// True where something in it may be read by root alone, and the archive would belong to somebody else: whoever owns the folder.
    pub fn is_roots(&self, store: &Store, state: &Path) -> anyhow::Result<bool> {
        let Some(folder) = files::metadata(&store.folder)?.filter(|folder| folder.uid() != 0)
        else {
            return Ok(false);
        };
        let readable = |meta: &std::fs::Metadata| {
            let may = |bits: u32| meta.mode() & bits != 0;
            may(0o004)
                || (meta.uid() == folder.uid() && may(0o400))
                || (meta.gid() == folder.gid() && may(0o040))
        };
        let mut roots = false;
        let visit = &mut |_: &Path, meta: &std::fs::Metadata| {
            roots |= !meta.is_symlink() && !readable(meta);
            Ok(())
        };
        self.each(store, state, visit, &mut |_, _| {})?;
        Ok(roots && machine::is_root())
    }

    /// Where the paths are, without those that lie in another; the links that lead there come along as links. Hears of what is
    /// `absent`.
    pub(super) fn starts(
        &self,
        absent: &mut dyn FnMut(&Path, &str),
    ) -> (BTreeSet<PathBuf>, BTreeSet<PathBuf>) {
        let (mut links, mut starts) = (BTreeSet::new(), BTreeSet::new());
        for path in self.all() {
            let followed = files::follow(path).and_then(|followed| {
                files::require_own_links(path, &self.root)?;
                for link in followed.iter().flat_map(|one| &one.links) {
                    files::require_own_links(link, &self.root)?;
                }
                Ok(followed)
            });
            match followed {
                Ok(Some(followed)) => {
                    links.extend(followed.links);
                    starts.insert(followed.real);
                }
                Ok(None) => absent(path, "is not there"),
                Err(error) => absent(path, &format!("cannot be taken along ({error:#})")),
            }
        }
        let inside = |path: &PathBuf| path.ancestors().skip(1).any(|above| starts.contains(above));
        let outermost = starts
            .iter()
            .filter(|path| !inside(path))
            .cloned()
            .collect();
        (links, outermost)
    }

    /// Visits every file, folder and link, in a stable order, and hears of what is `absent`; returns how many were skipped because
    /// they are not plain files.
    pub(super) fn each(
        &self,
        store: &Store,
        state: &Path,
        visit: &mut dyn FnMut(&Path, &std::fs::Metadata) -> anyhow::Result<()>,
        absent: &mut dyn FnMut(&Path, &str),
    ) -> anyhow::Result<u64> {
        let untouchable = store.untouchable(state);
        let skipped = Cell::new(0);
        let skip = |identity: Identity| {
            let skip = untouchable.contains(&identity);
            skipped.set(skipped.get() + u64::from(skip));
            skip
        };
        let (links, starts) = self.starts(absent);
        let inside = |path: &PathBuf| starts.iter().any(|start| path.starts_with(start));
        let links = links.iter().filter(|link| !inside(link));
        for path in links.chain(&starts) {
            let Some(meta) = files::link_metadata(path)? else {
                continue; // gone since it was followed
            };
            if skip((meta.dev(), meta.ino())) {
                continue;
            }
            visit(path, &meta)?;
            let mut enters = |path: &Path, meta: &std::fs::Metadata| {
                let enters = meta.is_dir() && files::may_read(path);
                if meta.is_dir() && !enters && path.exists() {
                    absent(path, "is a folder that cannot be read");
                }
                enters
            };
            if enters(path, &meta) {
                files::walk(path, &skip, &mut |walked| {
                    visit(&walked.path, &walked.meta)?;
                    Ok(enters(&walked.path, &walked.meta))
                })?;
            }
        }
        Ok(skipped.get())
    }
}
