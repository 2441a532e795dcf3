//! A value of a freshness column, of any type: a time or none.
#![no_main]

use empire_maint::sqlite::moment;
use libfuzzer_sys::fuzz_target;
use rusqlite::types::ValueRef;

fuzz_target!(|input: (i64, f64, &[u8])| {
    let (integer, real, bytes) = input;
    let from_number = moment(ValueRef::Integer(integer));
    assert_eq!(
        moment(ValueRef::Text(integer.to_string().as_bytes())),
        from_number
    );
    let _ = moment(ValueRef::Real(real));
    if let Some(time) = moment(ValueRef::Text(bytes)) {
        // Its own spelling means the same.
        assert_eq!(
            moment(ValueRef::Text(time.to_string().as_bytes())),
            Some(time)
        );
    }
    assert_eq!(moment(ValueRef::Blob(bytes)), None);
});
