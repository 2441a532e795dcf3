//! What a package manager printed: whatever it is, it is clean only where it says so in as many words.
#![no_main]

use empire_maint::npm::{Verdict, outdated, read};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|content: &[u8]| {
    let _ = outdated(content, true);
    match read(content) {
        Verdict::Clean => {
            let text = String::from_utf8_lossy(content);
            assert!(text.contains("vulnerabilities") && text.contains("critical"));
        }
        Verdict::Vulnerable(all) => assert!(!all.is_empty()),
        Verdict::Unknown(why) => assert!(!why.is_empty()),
    }
});
