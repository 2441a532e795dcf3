//! The kernel's own messages.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use rustix::fs::OFlags;
use rustix::io::Errno;

/// More than this is not read: the ring of the kernel is smaller.
const MOST: usize = 16 << 20;
/// The longest record.
const RECORD: usize = 8 << 10;

/// All records of `/dev/kmsg`, without waiting for the next one; of a file, what is in it.
pub fn log(path: &Path) -> std::io::Result<String> {
    let nonblocking = OFlags::NONBLOCK.bits().cast_signed();
    let mut file = OpenOptions::new()
        .read(true)
        .custom_flags(nonblocking)
        .open(path)?;
    let mut all = Vec::new();
    let mut record = [0; RECORD];
    while all.len() < MOST {
        match file.read(&mut record) {
            Ok(0) => break,
            Ok(read) => all.extend_from_slice(&record[..read]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            // Records were overwritten before we had read them: it goes on with the oldest that is left.
            Err(error) if error.raw_os_error() == Some(Errno::PIPE.raw_os_error()) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(String::from_utf8_lossy(&all).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_is_read_to_its_end_and_no_further() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        let text = "6,1,2,-;line\n".repeat(2000);
        std::fs::write(file.path(), &text).expect("writes");
        assert_eq!(log(file.path()).expect("reads"), text);
        // A user who may read the kernel's log gets an end too.
        if let Ok(text) = log(Path::new("/dev/kmsg")) {
            assert!(text.is_empty() || text.contains(';'));
        }
    }
}
