//! Whose links are followed, and whose folders are worked in: where somebody else could lead us elsewhere, nothing is done.

use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use super::{link_metadata, metadata, parent};
use crate::error::{Failure, Kind};
use crate::sys::process::shell_path;

/// As many as the kernel follows.
const MOST_LINKS: usize = 40;

/// Refuses, as root, a directory in which somebody else could swap our files under our hands.
pub fn require_trusted_directory(path: &Path) -> anyhow::Result<()> {
    let meta = fs::metadata(path).with_context(|| format!("cannot look at {}", path.display()))?;
    anyhow::ensure!(meta.is_dir(), "{} is not a directory", path.display());
    let sticky = meta.mode() & 0o1000 != 0;
    if rustix::process::geteuid().is_root() && meta.mode() & 0o002 != 0 && !sticky {
        return Err(Failure::new(
            Kind::Refused,
            format!("{} is writable by everybody", path.display()),
        )
        .hint(format!("chmod o-w {}", shell_path(path)))
        .into());
    }
    Ok(())
}

/// Refuses a folder that somebody else can lead elsewhere, and as root one of somebody else than who owns `tree` or the `data`; one
/// that is not there is fine.
pub fn require_own_directory(path: &Path, tree: &Path, data: &Path) -> anyhow::Result<()> {
    require_own_links(path, tree)?;
    let Some(meta) = metadata(path)? else {
        return Ok(());
    };
    require_trusted_directory(path)?;
    if rustix::process::geteuid().is_root() && !is_ours(&meta, tree)? && !is_ours(&meta, data)? {
        return Err(Failure::new(
            Kind::Refused,
            format!("{} belongs to somebody else", path.display()),
        )
        .hint(format!("chown root {}", shell_path(path)))
        .into());
    }
    Ok(())
}

/// True for what root, the owner of `tree` or we ourselves own.
fn is_ours(meta: &Metadata, tree: &Path) -> anyhow::Result<bool> {
    let own = rustix::process::geteuid().as_raw();
    let owner = metadata(tree)?.map(|meta| meta.uid());
    Ok([Some(0), Some(own), owner].contains(&Some(meta.uid())))
}

/// Links on the way to a configured path are followed where root, the owner of `tree` or we ourselves made them.
pub fn require_own_links(path: &Path, tree: &Path) -> anyhow::Result<()> {
    for part in path.ancestors() {
        let Some(meta) = link_metadata(part)?.filter(|meta| meta.is_symlink()) else {
            continue;
        };
        if !is_ours(&meta, tree)? {
            return Err(Failure::new(
                Kind::Refused,
                format!("{} is a link that somebody else made", part.display()),
            )
            .hint(format!("chown -h root {}", shell_path(part)))
            .into());
        }
    }
    Ok(())
}

/// Where a file is, or was, that a path of the configuration may name through a link of ours: what is put in its place must not
/// replace the link.
pub fn through_own_links(path: &Path, tree: &Path) -> anyhow::Result<PathBuf> {
    require_own_links(path, tree)?;
    // Each link of a chain counts, not only the first.
    let mut real = path.to_owned();
    for _ in 0..MOST_LINKS {
        let Ok(next) = fs::read_link(&real) else {
            return Ok(real);
        };
        real = parent(&real).join(next);
        require_own_links(&real, tree)?;
    }
    anyhow::bail!("{} leads through too many links", path.display())
}

/// A path of the configuration without links in it.
pub struct Followed {
    /// The links that were met on the way, each by a path that has none before it.
    pub links: Vec<PathBuf>,
    /// Where it is.
    pub real: PathBuf,
}

/// Links on the way are followed, and remembered; `None` where nothing is there. Whose they are is the caller's to ask.
pub fn follow(path: &Path) -> anyhow::Result<Option<Followed>> {
    if metadata(path)
        .with_context(|| format!("cannot look at {}", path.display()))?
        .is_none()
    {
        return Ok(None);
    }
    let mut links = Vec::new();
    let mut real = PathBuf::from("/");
    let mut left: Vec<_> = parts(path).rev().collect();
    while let Some(part) = left.pop() {
        if part == ".." {
            real.pop();
            continue;
        }
        let next = real.join(&part);
        if !link_metadata(&next)?.is_some_and(|meta| meta.is_symlink()) {
            real = next;
            continue;
        }
        let target =
            fs::read_link(&next).with_context(|| format!("cannot follow {}", next.display()))?;
        if target.is_absolute() {
            real = PathBuf::from("/");
        }
        left.extend(parts(&target).rev());
        links.push(next);
        anyhow::ensure!(
            links.len() <= MOST_LINKS,
            "{}: too many links",
            path.display()
        );
    }
    Ok(Some(Followed { links, real }))
}

fn parts(path: &Path) -> impl DoubleEndedIterator<Item = std::ffi::OsString> {
    path.components().filter_map(|part| match part {
        std::path::Component::Normal(name) => Some(name.to_owned()),
        std::path::Component::ParentDir => Some("..".into()),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_followed_and_its_links_are_remembered() {
        let folder = tempfile::tempdir().expect("a folder");
        let root = fs::canonicalize(folder.path()).expect("is there");
        fs::create_dir_all(root.join("releases/5/etc")).expect("creates");
        let link = |target: &str, name: &str| {
            std::os::unix::fs::symlink(target, root.join(name)).expect("links");
        };
        link("releases/5", "current");
        link("../current/etc", "releases/etc");
        link("loop", "loop");
        let found = |path: &str| follow(&root.join(path)).expect("follows");
        let there = found("releases/etc/../../5/etc").expect("is there");
        assert_eq!(there.real, root.join("releases/5/etc"));
        assert_eq!(
            there.links,
            [root.join("releases/etc"), root.join("current")]
        );
        let plain = found("releases/5").expect("is there");
        assert_eq!(
            (plain.real, plain.links.len()),
            (root.join("releases/5"), 0)
        );
        assert!(found("current/no").is_none());
        assert!(follow(&root.join("loop")).is_err());
    }
}
