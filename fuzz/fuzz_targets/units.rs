//! Sizes, durations and calendar spans: refused, or what `config show` prints of them can be read again.
#![no_main]

use empire_maint::units::{Bytes, CalendarSpan, Length};
use jiff::tz::TimeZone;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok(bytes) = text.parse::<Bytes>() {
        let shown = serde_json::to_string(&bytes).expect("is shown");
        serde_json::from_str::<Bytes>(&shown).unwrap_or_else(|error| panic!("{shown}: {error}"));
    }
    if let Ok(length) = text.parse::<Length>() {
        let shown = serde_json::to_string(&length).expect("is shown");
        serde_json::from_str::<Length>(&shown).unwrap_or_else(|error| panic!("{shown}: {error}"));
    }
    if let Ok(span) = text.parse::<CalendarSpan>() {
        let now = jiff::Timestamp::UNIX_EPOCH.to_zoned(TimeZone::UTC);
        if let Ok(before) = span.before(&now) {
            assert!(before <= now, "{span} before {now} is {before}");
        }
    }
});
