//! A certificate from anywhere: read or refused, and whatever is read can be judged.
#![no_main]

use empire_maint::x509::{Authorities, Certificate, flaws, stage};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|content: &[u8]| {
    if let Ok(certificate) = Certificate::read(content) {
        let _ = (certificate.weakness(), certificate.is_for("www.example.org"));
        let _ = stage(&certificate, 0, true);
        let chain = [certificate.clone(), certificate];
        let _ = flaws(&chain, &[], &Authorities::new(Vec::new()));
    }
});
