//! A manifest: refused, or written again it says the same.
#![no_main]

use empire_maint::archive::Manifest;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(manifest) = Manifest::parse(bytes) else {
        return;
    };
    let written = manifest.to_bytes().expect("can be written");
    let again = Manifest::parse(&written).expect("can be read again");
    assert_eq!(again.to_bytes().expect("can be written"), written);
    assert_eq!(again.is_good(), manifest.is_good());
});
