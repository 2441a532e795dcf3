//! A file whose path somebody else wrote down, opened below a folder and nowhere else: no `..`, no link on the way, nothing that
//! blocks, and nothing that must not be opened.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, openat, statat};
use rustix::io::Errno;

use super::files::Identity;

/// What there is at such a path.
#[derive(Debug)]
pub enum Beneath {
    /// A regular file, open for reading, and its length.
    File(File, u64),
    /// Nothing has that name.
    Absent,
    /// It was not opened, and why.
    Refused(&'static str),
}

/// Opens `path` (relative to `root`, or absolute and in it), component by component. `skip` says, by device and inode, what must
/// not be opened: a database that is opened and closed loses its locks.
pub fn open_beneath(
    root: &Path,
    path: &[u8],
    skip: &dyn Fn(Identity) -> bool,
) -> io::Result<Beneath> {
    let path = Path::new(OsStr::from_bytes(path));
    let relative = match path.is_absolute() {
        false => path,
        true => match path.strip_prefix(root) {
            Ok(relative) => relative,
            Err(_) => return Ok(Beneath::Refused("outside the folder of the documents")),
        },
    };
    let parts: Vec<&[u8]> = relative
        .as_os_str()
        .as_bytes()
        .split(|byte| *byte == b'/')
        .filter(|part| !part.is_empty() && *part != b".")
        .collect();
    if parts.contains(&&b".."[..]) {
        return Ok(Beneath::Refused("with .. in its path"));
    }
    if parts.iter().any(|part| part.contains(&0)) {
        return Ok(Beneath::Refused("no possible path"));
    }
    let Some((name, folders)) = parts.split_last() else {
        return Ok(Beneath::Refused("a folder"));
    };
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let mut folder: OwnedFd = openat(CWD, root, flags, Mode::empty())?;
    for part in folders {
        match openat(&folder, *part, flags | OFlags::NOFOLLOW, Mode::empty()) {
            Ok(next) => folder = next,
            Err(Errno::NOTDIR | Errno::LOOP) if is_link(&folder, part) => {
                return Ok(Beneath::Refused("behind a link"));
            }
            Err(error) => return absent(error),
        }
    }
    // Looked at before it is opened: opening a pipe or a device can do something already.
    let stat = match statat(&folder, *name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => stat,
        Err(error) => return absent(error),
    };
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => {}
        FileType::Symlink => return Ok(Beneath::Refused("a link")),
        FileType::Directory => return Ok(Beneath::Refused("a folder")),
        _ => return Ok(Beneath::Refused("no regular file")),
    }
    if skip((stat.st_dev, stat.st_ino)) {
        return Ok(Beneath::Refused("a live database or our own"));
    }
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = match openat(&folder, *name, flags, Mode::empty()) {
        Ok(file) => File::from(file),
        Err(Errno::ACCESS | Errno::PERM) => return Ok(Beneath::Refused("not readable for us")),
        Err(error) => return absent(error),
    };
    let meta = file.metadata()?;
    if !meta.is_file() {
        return Ok(Beneath::Refused("no regular file"));
    }
    let length = meta.len();
    Ok(Beneath::File(file, length))
}

fn is_link(folder: &OwnedFd, name: &[u8]) -> bool {
    statat(folder, name, AtFlags::SYMLINK_NOFOLLOW)
        .is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Symlink)
}

/// A name that cannot be is the name of nothing.
fn absent(error: Errno) -> io::Result<Beneath> {
    match error {
        Errno::NOENT | Errno::NOTDIR => Ok(Beneath::Absent),
        Errno::NAMETOOLONG => Ok(Beneath::Refused("no possible path")),
        Errno::ACCESS | Errno::PERM => Ok(Beneath::Refused("not readable for us")),
        error => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{MetadataExt as _, symlink};

    #[test]
    fn only_a_regular_file_below_the_folder_is_opened() {
        let folder = tempfile::tempdir().expect("a folder");
        let root = folder.path().join("root");
        std::fs::create_dir_all(root.join("in/er")).expect("creates");
        std::fs::write(root.join("in/er/file"), "text").expect("writes");
        std::fs::write(folder.path().join("secret"), "secret").expect("writes");
        symlink("../secret", root.join("out")).expect("links");
        symlink("in", root.join("inside")).expect("links");
        rustix::fs::mkfifoat(CWD, root.join("pipe"), Mode::from_raw_mode(0o600)).expect("makes");
        let skipped = std::fs::metadata(root.join("in/er/file"))
            .expect("stat")
            .ino();
        let absolute = |path: &str| root.join(path).into_os_string().into_encoded_bytes();
        let refused = |path: &[u8], skip: bool| match open_beneath(&root, path, &|(_, inode)| {
            skip && inode == skipped
        })
        .expect("looks")
        {
            Beneath::File(_, length) => format!("{length} bytes"),
            Beneath::Absent => "absent".to_owned(),
            Beneath::Refused(why) => why.to_owned(),
        };
        for (path, expected) in [
            (b"in/er/file".to_vec(), "4 bytes"),
            (b"./in//er/file".to_vec(), "4 bytes"),
            (absolute("in/er/file"), "4 bytes"),
            (b"in/er/none".to_vec(), "absent"),
            (b"in/er/file/none".to_vec(), "absent"),
            (b"in/er".to_vec(), "a folder"),
            (b"".to_vec(), "a folder"),
            (b"out".to_vec(), "a link"),
            (b"inside/er/file".to_vec(), "behind a link"),
            (b"in/../in/er/file".to_vec(), "with .. in its path"),
            (b"../secret".to_vec(), "with .. in its path"),
            (
                b"/etc/passwd".to_vec(),
                "outside the folder of the documents",
            ),
            (b"pipe".to_vec(), "no regular file"),
            (b"a\0b".to_vec(), "no possible path"),
            (vec![b'x'; 5000], "no possible path"),
        ] {
            let shown = String::from_utf8_lossy(&path).into_owned();
            assert_eq!(refused(&path, false), expected, "{shown}");
        }
        assert_eq!(refused(b"in/er/file", true), "a live database or our own");
    }
}
