//! A run broken at many of its file operations, each time from the same start.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use super::faults::{Faults, Kind, points};
use super::{Ran, Server};

/// A folder, whole, with owners and times.
pub fn copy(from: &Path, to: &Path) {
    let done = Command::new("cp").arg("-a").arg(from).arg(to).status();
    assert!(done.unwrap().success());
}

/// Runs the words of `line` once as they are, which ends with 0, and keeps what `unbroken` says of the end. Then, for `most` points of
/// it (all in the slow tests), puts the root back, forgets the journal, and breaks the run there. `after` gets that end, what became
/// of the broken run, and where that was.
pub fn everywhere<T>(
    server: &Server,
    line: &str,
    kind: Kind,
    most: usize,
    unbroken: impl FnOnce() -> T,
    mut after: impl FnMut(&T, &Ran, &str),
) {
    let start = server.path().join("start");
    copy(&server.root(), &start);
    let command = || {
        let mut command = server.command(line.split_whitespace());
        command.stdin(Stdio::null());
        command
    };
    let faults = Faults::new([server.root()], &server.path().join("trash"));
    let mut counted = command();
    let counter = faults.count(&mut counted);
    Ran::of(&mut counted).expect(0);
    let end = unbroken();
    let most = match std::env::var_os("SLOW_TESTS") {
        Some(_) => usize::MAX,
        None => most,
    };
    for at in points(counter.total(), most) {
        fs::remove_dir_all(server.root()).unwrap();
        copy(&start, &server.root());
        let _ = fs::remove_dir_all(server.state());
        let mut broken = command();
        faults.inject(&mut broken, kind, at);
        let broken = Ran::of(&mut broken);
        let place = format!("{line} with {kind:?} at {at}: {broken:?}");
        assert!(!broken.out.contains("a defect of this program"), "{place}");
        after(&end, &broken, &place);
    }
}
