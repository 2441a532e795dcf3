//! Files that survive: exclusive creation, fsync of file and directory, rename without replacing, atomic replacement.
//! Every mutator asks for a [`Permit`], so that a dry run cannot reach it.

mod trust;

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use rustix::fs::{Advice, CWD, Gid, Mode, OFlags, RenameFlags, Uid};

use crate::error::{Failure, Kind, usage};
use crate::report::Permit;

pub use trust::{
    Followed, follow, require_own_directory, require_own_links, require_trusted_directory,
    through_own_links,
};

const NOFOLLOW: i32 = OFlags::NOFOLLOW.bits().cast_signed();

/// A file's identity: device and inode.
pub type Identity = (u64, u64);

/// Device and inode of what `path` leads to, `None` where there is nothing.
pub fn identity(path: &Path) -> io::Result<Option<Identity>> {
    Ok(metadata(path)?.map(|meta| (meta.dev(), meta.ino())))
}

/// `stat`, with `None` for "there is nothing". Safe on a live database: nothing is opened.
pub fn metadata(path: &Path) -> io::Result<Option<Metadata>> {
    absent_is_none(path, fs::metadata(path))
}

/// True when the effective user may read `path`. Nothing is opened.
pub fn may_read(path: &Path) -> bool {
    use rustix::fs::{Access, AtFlags};
    rustix::fs::accessat(CWD, path, Access::READ_OK, AtFlags::EACCESS).is_ok()
}

/// True where `path`, or what would be made at it, lies on a file system that is mounted read-only. Nothing is opened.
pub fn is_read_only(path: &Path) -> bool {
    use rustix::fs::{Access, AtFlags};
    let there = path.ancestors().find(|one| one.exists());
    let may = |there| rustix::fs::accessat(CWD, there, Access::WRITE_OK, AtFlags::EACCESS);
    there.is_some_and(|there| may(there) == Err(rustix::io::Errno::ROFS))
}

/// A path that was typed, from the root on.
pub fn absolute(path: &Path) -> anyhow::Result<PathBuf> {
    std::path::absolute(path).map_err(|error| {
        usage(format!(
            "cannot tell where '{}' is, seen from the working folder: {error}",
            path.display()
        ))
        .hint("give the whole path, or cd to a folder that is there")
        .into()
    })
}

/// `lstat`, with `None` for "there is nothing".
pub fn link_metadata(path: &Path) -> io::Result<Option<Metadata>> {
    absent_is_none(path, fs::symlink_metadata(path))
}

/// Adds the path, which the system's own words lack.
fn absent_is_none(path: &Path, result: io::Result<Metadata>) -> io::Result<Option<Metadata>> {
    match result {
        Ok(meta) => Ok(Some(meta)),
        Err(error) if is_absent(&error) => Ok(None),
        Err(error) => Err(io::Error::new(
            error.kind(),
            format!("cannot look at {}: {error}", path.display()),
        )),
    }
}

/// Nothing has that name; a file where a folder should be means the same.
fn is_absent(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}

/// `name` with `suffix` behind its whole file name: `app.db` and `-wal` give `app.db-wal`.
pub fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// The directory a path lies in; `.` for a bare name.
pub fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// Opens a regular file for reading; refuses a link, and anything that is not a file, without ever blocking on it.
pub fn open_regular(path: &Path) -> anyhow::Result<File> {
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(NOFOLLOW | OFlags::NONBLOCK.bits().cast_signed())
        .open(path)
        .with_context(|| format!("cannot open {}", path.display()))?;
    anyhow::ensure!(
        file.metadata()?.is_file(),
        "{} is not a regular file",
        path.display()
    );
    Ok(file)
}

/// Opens a folder, and nothing else that has its name: no link, nothing that blocks.
pub fn open_folder(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .custom_flags(NOFOLLOW | OFlags::DIRECTORY.bits().cast_signed())
        .open(path)
}

/// Creates a file that must not exist yet, readable by its owner only: the owner of the directory, where root makes it.
pub fn create_new(_: &Permit, path: &Path) -> anyhow::Result<File> {
    let file = open_own(path, true).with_context(|| format!("cannot create {}", path.display()))?;
    own_like_directory(&file, path)?;
    Ok(file)
}

/// The same, and it stays ours.
pub fn create_own(_: &Permit, path: &Path) -> anyhow::Result<File> {
    open_own(path, true).with_context(|| format!("cannot create {}", path.display()))
}

/// Opens or creates a lock file; its content is a note about the holder and nothing else. Whoever owns the directory can take
/// the lock too.
pub fn open_lock(path: &Path) -> anyhow::Result<File> {
    match open_own(path, true) {
        Ok(file) => {
            own_like_directory(&file, path)?;
            Ok(file)
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(open_own(path, false)?),
        Err(error) => Err(error.into()),
    }
}

fn open_own(path: &Path, new: bool) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create_new(new)
        .mode(0o600)
        .custom_flags(NOFOLLOW)
        .open(path)
}

fn own_like_directory(file: &File, path: &Path) -> anyhow::Result<()> {
    let directory = parent(path);
    let meta = fs::metadata(directory)
        .with_context(|| format!("cannot look at {}", directory.display()))?;
    own_like(file, &meta)
}

/// The mode of a file as it is without its access control list; none where it has no list. In the group's place `stat` shows the
/// list's mask, what the most generous entry may do: given to a file without the list it would let the group do that.
pub fn mode_without_list(path: &Path, mode: u32) -> Option<u32> {
    /// The entry of the file's own group (`acl(5)`, `ACL_GROUP_OBJ`).
    const OWN_GROUP: [u8; 2] = 4_u16.to_le_bytes();
    let mut list = Vec::new();
    let read = match rustix::fs::getxattr(path, "system.posix_acl_access", &mut [0_u8; 0]) {
        // How long it is.
        Ok(length) => {
            list.resize(length, 0);
            rustix::fs::getxattr(path, "system.posix_acl_access", list.as_mut_slice())
        }
        other => other,
    };
    if matches!(
        read,
        Err(rustix::io::Errno::NODATA | rustix::io::Errno::OPNOTSUPP)
    ) {
        return None;
    }
    // Four bytes of version, then tag, permissions and number of each entry; what cannot be read lets the group do nothing.
    let entries = list.get(4..).unwrap_or_default().chunks_exact(8);
    let own = entries.filter(|entry| entry.starts_with(&OWN_GROUP));
    let group = own.map(|entry| u32::from(entry[2])).next().unwrap_or(0);
    Some(mode & 0o7707 | (mode & (group << 3) & 0o070))
}

/// Makes a file's bytes and metadata durable.
pub fn sync(file: &File, path: &Path) -> anyhow::Result<()> {
    file.sync_all()
        .with_context(|| format!("cannot sync {}", path.display()))
}

/// Makes the names in a directory durable.
pub fn sync_directory(path: &Path) -> anyhow::Result<()> {
    File::open(path)
        .and_then(|directory| directory.sync_all())
        .with_context(|| format!("cannot sync the directory {}", path.display()))
}

/// Makes everything durable that lies on the file system of `path`: for a tree of many files.
pub fn sync_file_system(path: &Path) -> anyhow::Result<()> {
    File::open(path)
        .and_then(|file| Ok(rustix::fs::syncfs(file)?))
        .with_context(|| format!("cannot sync the file system of {}", path.display()))
}

/// Asks the kernel to forget what it caches of a file, so that the next read comes from the disk. Advice only.
pub fn drop_cache(file: &File) {
    let _ = rustix::fs::fadvise(file, 0, None, Advice::DontNeed);
}

/// Tells the kernel which part of a file will be read soon. Advice only.
pub fn will_read(file: &File, offset: u64, length: u64) {
    let _ = rustix::fs::fadvise(
        file,
        offset,
        std::num::NonZeroU64::new(length),
        Advice::WillNeed,
    );
}

/// Makes the kernel forget what it caches of a synced part of a file, and fetch it from the disk again. Advice only.
pub fn read_again(file: &File, from: u64, to: u64) {
    const LARGEST_PAGE: u64 = 64 << 10;
    // Only whole pages are forgotten: the one in which the part before ended belongs to this part.
    let from = from / LARGEST_PAGE * LARGEST_PAGE;
    let length = std::num::NonZeroU64::new(to.saturating_sub(from));
    let _ = rustix::fs::fadvise(file, from, length, Advice::DontNeed);
    let _ = rustix::fs::fadvise(file, from, length, Advice::WillNeed);
}

/// Renames within one file system; errs when the new name is taken.
pub fn rename_new(_: &Permit, from: &Path, to: &Path) -> anyhow::Result<()> {
    match rustix::fs::renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS) => rename_by_halves(from, to),
        other => other.map_err(io::Error::from),
    }
    .with_context(|| format!("cannot rename {} to {}", from.display(), to.display()))
}

/// For a file system without RENAME_NOREPLACE (NFS, some FUSE): what takes the new name first fails where it is taken.
fn rename_by_halves(from: &Path, to: &Path) -> io::Result<()> {
    if !fs::symlink_metadata(from)?.is_dir() {
        return fs::hard_link(from, to).and_then(|()| fs::remove_file(from));
    }
    // A folder has one name only, and takes that of an empty one.
    fs::DirBuilder::new().mode(0o700).create(to)?;
    fs::rename(from, to).inspect_err(|_| {
        let _ = fs::remove_dir(to);
    })
}

/// Renames within one file system; what has the new name is replaced.
pub fn rename_over(_: &Permit, from: &Path, to: &Path) -> anyhow::Result<()> {
    fs::rename(from, to)
        .with_context(|| format!("cannot rename {} to {}", from.display(), to.display()))
}

/// A second name for the same file; errs when the name is taken.
pub fn link(_: &Permit, from: &Path, to: &Path) -> anyhow::Result<()> {
    fs::hard_link(from, to)
        .with_context(|| format!("cannot link {} as {}", from.display(), to.display()))
}

/// Removes a name; one that is not there is fine.
pub fn remove(_: &Permit, path: &Path) -> anyhow::Result<()> {
    match fs::remove_file(path) {
        // A file system that is read-only says so first, whether anything has that name or not.
        Err(error) if !matches!(link_metadata(path), Ok(None)) => {
            Err(error).with_context(|| format!("cannot remove {}", path.display()))
        }
        _ => Ok(()),
    }
}

/// Takes away what a file has behind so many bytes, durably: that needs no space.
pub fn cut(_: &Permit, path: &Path, bytes: u64) -> anyhow::Result<()> {
    let file = OpenOptions::new()
        .write(true)
        .custom_flags(NOFOLLOW)
        .open(path)
        .with_context(|| format!("cannot open {}", path.display()))?;
    file.set_len(bytes)
        .with_context(|| format!("cannot cut {}", path.display()))?;
    sync(&file, path)
}

/// Creates a whole small file and syncs it; whoever wants it to appear at once renames it into place.
pub fn write_new_synced(permit: &Permit, path: &Path, content: &[u8]) -> anyhow::Result<()> {
    write_new_synced_like(permit, path, content, None)
}

/// The same with owner, group and mode of another file, which it will replace.
pub fn write_new_synced_like(
    permit: &Permit,
    path: &Path,
    content: &[u8],
    like: Option<&Metadata>,
) -> anyhow::Result<()> {
    let mut file = create_new(permit, path)?;
    file.write_all(content)
        .with_context(|| format!("cannot write {}", path.display()))?;
    if let Some(like) = like {
        own_like(&file, like)?;
        set_mode(&file, like.mode())?;
    }
    sync(&file, path)
}

/// Replaces a small file in one step: temporary file beside it, fsync, rename, fsync of the directory.
/// The new file keeps owner, group and mode of the old one; without an old one it gets `mode`.
pub fn replace(_: &Permit, path: &Path, content: &[u8], mode: u32) -> anyhow::Result<()> {
    let directory = parent(path);
    let describe = || format!("cannot write {}", path.display());
    let mut file = tempfile::Builder::new()
        .prefix(".empire-maint-")
        .tempfile_in(directory)
        .with_context(describe)?;
    file.write_all(content).with_context(describe)?;
    let old = link_metadata(path)?.filter(Metadata::is_file);
    let mode = old.as_ref().map_or(mode, |old| old.mode() & 0o7777);
    if let Some(old) = &old {
        own_like(file.as_file(), old)?;
    }
    rustix::fs::fchmod(file.as_file(), Mode::from_raw_mode(mode)).with_context(describe)?;
    sync(file.as_file(), path)?;
    file.persist(path)
        .map_err(|error| error.error)
        .with_context(describe)?;
    sync_directory(directory)
}

/// Gives a file the owner and group of another; only root can and only root tries.
pub fn own_like(file: &File, like: &Metadata) -> anyhow::Result<()> {
    let own = file.metadata()?;
    if rustix::process::geteuid().is_root() && (own.uid(), own.gid()) != (like.uid(), like.gid()) {
        rustix::fs::fchown(
            file,
            Some(Uid::from_raw(like.uid())),
            Some(Gid::from_raw(like.gid())),
        )
        .context("cannot change the owner")?;
    }
    Ok(())
}

/// Gives a file or folder of our own, such as scratch that a child has to write into, to a user and a group. Only root can.
pub fn give(path: &Path, user: u32, group: u32) -> anyhow::Result<()> {
    std::os::unix::fs::lchown(path, Some(user), Some(group))
        .with_context(|| format!("cannot change the owner of {}", path.display()))
}

/// Sets a file's permission bits.
pub fn set_mode(file: &File, mode: u32) -> anyhow::Result<()> {
    rustix::fs::fchmod(file, Mode::from_raw_mode(mode & 0o7777)).context("cannot change the mode")
}

/// Creates a directory and its parents, for its owner only; one that exists is left as it is.
pub fn create_directory(_: &Permit, path: &Path) -> anyhow::Result<()> {
    private_directory(path)
}

/// The same for the program's own state and scratch, which needs no permit.
pub fn private_directory(path: &Path) -> anyhow::Result<()> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .with_context(|| format!("cannot create the directory {}", path.display()))
}

/// Says clearly when a folder cannot be read; one that is not there is fine, and empty.
pub fn require_readable_directory(path: &Path) -> anyhow::Result<()> {
    list(path).map(|_| ())
}

/// Writes a new file of our own, in a folder of our own.
pub fn write_private(path: &Path, content: &[u8]) -> anyhow::Result<()> {
    create_private(path)?
        .write_all(content)
        .with_context(|| format!("cannot write {}", path.display()))
}

/// Removes a file of our own state, which is not worth an error.
pub fn forget(path: &Path) {
    let _ = fs::remove_file(path);
}

/// A new file of our own, in a folder of our own: state or scratch, which need no permit.
pub fn create_private(path: &Path) -> anyhow::Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .with_context(|| format!("cannot create {}", path.display()))
}

/// The entries of a directory, sorted by name; none where it is not there.
pub fn list(path: &Path) -> anyhow::Result<Vec<fs::DirEntry>> {
    let describe = || format!("cannot list {}", path.display());
    let reader = match fs::read_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            return Err(Failure::new(
                Kind::Missing,
                format!("cannot read {}: {error}", path.display()),
            )
            .hint("run as root or as the owner of that folder")
            .into());
        }
        other => other.with_context(describe)?,
    };
    let mut entries = reader
        .collect::<io::Result<Vec<_>>>()
        .with_context(describe)?;
    entries.sort_by_key(fs::DirEntry::file_name);
    Ok(entries)
}

/// Reads a small file that must be regular; refuses one of more than `limit` bytes.
pub fn read_small(path: &Path, limit: u64) -> anyhow::Result<Vec<u8>> {
    use std::io::Read as _;
    let file = open_regular(path)?;
    let mut content = Vec::new();
    file.take(limit + 1)
        .read_to_end(&mut content)
        .with_context(|| format!("cannot read {}", path.display()))?;
    anyhow::ensure!(
        content.len() as u64 <= limit,
        "{} is larger than {limit} bytes",
        path.display()
    );
    Ok(content)
}

/// What a walk meets.
pub struct Walked {
    /// The path, below the walk's start.
    pub path: PathBuf,
    /// `lstat` of it.
    pub meta: Metadata,
}

/// Walks a tree without following links, skipping by device and inode what must not be opened.
/// `visit` decides for each directory whether to enter it.
pub fn walk(
    start: &Path,
    skip: &dyn Fn(Identity) -> bool,
    visit: &mut dyn FnMut(Walked) -> anyhow::Result<bool>,
) -> anyhow::Result<()> {
    for entry in list(start)? {
        let path = entry.path();
        let Some(meta) = link_metadata(&path)? else {
            continue; // gone since it was listed
        };
        if skip((meta.dev(), meta.ino())) {
            continue;
        }
        let directory = meta.is_dir();
        if visit(Walked {
            path: path.clone(),
            meta,
        })? && directory
        {
            walk(&path, skip, visit)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_name_is_never_replaced() {
        let folder = tempfile::tempdir().expect("a folder");
        let (from, to) = (folder.path().join("from"), folder.path().join("to"));
        fs::write(&from, "new").expect("writes");
        fs::write(&to, "old").expect("writes");
        assert!(rename_new(&Permit::for_tests(), &from, &to).is_err());
        assert_eq!(fs::read_to_string(&to).expect("reads"), "old");
    }

    /// A folder that is none stands for a file system that is read-only: the system has another word than "not there".
    #[test]
    fn what_is_not_there_need_not_be_removed() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("file");
        fs::write(&file, "").expect("writes");
        remove(&Permit::for_tests(), &file.join("beneath")).expect("is not there");
        remove(&Permit::for_tests(), folder.path()).expect_err("is there");
        remove(&Permit::for_tests(), &file).expect("removes");
        assert!(!file.exists());
    }

    #[test]
    fn a_taken_name_is_not_replaced_by_halves_either() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name);
        fs::create_dir(path("from")).expect("creates");
        fs::write(path("from/inside"), "content").expect("writes");
        fs::write(path("file"), "new").expect("writes");
        for from in ["from", "file"] {
            for taken in ["a folder", "a file"] {
                match taken {
                    "a folder" => fs::create_dir(path(taken)).expect("creates"),
                    _ => fs::write(path(taken), "old").expect("writes"),
                }
                assert!(
                    rename_by_halves(&path(from), &path(taken)).is_err(),
                    "{from}"
                );
                assert!(path(from).exists() && path(taken).exists(), "{from}");
                let _ = fs::remove_dir(path(taken));
                let _ = fs::remove_file(path(taken));
            }
            rename_by_halves(&path(from), &path("to")).expect("renames");
            assert!(!path(from).exists());
            fs::rename(path("to"), path(&format!("{from} there"))).expect("renames");
        }
        let inside = fs::read_to_string(path("from there/inside"));
        assert_eq!(inside.expect("reads"), "content");
        assert_eq!(
            fs::read_to_string(path("file there")).expect("reads"),
            "new"
        );
    }

    #[test]
    fn what_cannot_be_looked_at_is_named() {
        let folder = tempfile::tempdir().expect("a folder");
        let circle = folder.path().join("circle");
        std::os::unix::fs::symlink(&circle, &circle).expect("links");
        let error = metadata(&circle).expect_err("a circle").to_string();
        assert!(error.contains(&*circle.to_string_lossy()), "{error}");
    }

    #[test]
    fn links_are_not_followed() {
        let folder = tempfile::tempdir().expect("a folder");
        let (victim, link) = (folder.path().join("victim"), folder.path().join("link"));
        fs::write(&victim, "secret").expect("writes");
        std::os::unix::fs::symlink(&victim, &link).expect("links");
        assert!(open_regular(&link).is_err());
        assert!(create_new(&Permit::for_tests(), &link).is_err());
    }

    #[test]
    fn replacing_keeps_the_mode() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("file");
        fs::write(&path, "old").expect("writes");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).expect("chmod");
        replace(&Permit::for_tests(), &path, b"new", 0o600).expect("replaces");
        assert_eq!(fs::metadata(&path).expect("stat").mode() & 0o777, 0o640);
        assert_eq!(fs::read_to_string(&path).expect("reads"), "new");
    }
}
