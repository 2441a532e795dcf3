//! The configuration: every text gives values or an error that names the file, and each section is read apart from the others.
#![no_main]

use empire_maint::config::{Config, Origin};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let path = std::path::Path::new("config.toml");
    let Ok(config) = Config::parse(Some(path.to_owned()), text.to_owned(), None) else {
        return;
    };
    for (_, failure) in config.problems(|_| true) {
        assert!(
            failure.message.contains("config.toml"),
            "{}",
            failure.message
        );
    }
    for section in ["app", "backup", "database", "verify", "nonsense"] {
        if let Origin::Line(line) = config.origin(section, &["dir"]) {
            assert!(
                line >= 1 && line <= text.lines().count().max(1),
                "line {line}"
            );
        }
    }
    // What was accepted can be shown.
    for (_, value) in config.effective() {
        let Ok(value) = value else { continue };
        serde_json::to_string(&value).expect("can be shown");
    }
});
