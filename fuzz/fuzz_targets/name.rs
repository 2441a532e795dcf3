//! The name of a file in the backup folder: not ours, or it leads to a file of exactly that name and nowhere else.
#![no_main]

use std::path::Path;

use empire_maint::archive::Name;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|file: &str| {
    let Some(name) = Name::parse("app_db", file) else {
        return;
    };
    assert_eq!(name.file(), file);
    let folder = Path::new("/backups");
    for path in [name.gz(folder), name.index(folder), name.manifest(folder)] {
        assert_eq!(path.parent(), Some(folder));
    }
    assert_eq!(Name::parse("app_db", &name.file()), Some(name));
});
