//! What a killed restore left beside a database: read, or refused, by the function that the next restore uses.
#![no_main]

use empire_maint::archive::swap;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let folder = tempfile::tempdir_in("/dev/shm").expect("a folder");
    std::fs::write(folder.path().join(".app.db.restore.json"), bytes).expect("writes");
    let target = folder.path().join("app.db");
    if let Ok(intent) = swap::pending_swap(&target) {
        assert!(intent.is_some(), "there is one");
    }
    assert!(!target.exists(), "looking makes nothing");
});
