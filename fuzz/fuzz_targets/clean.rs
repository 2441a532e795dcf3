//! Text from outside on its way to a terminal: nothing in what comes out controls it.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let shown = empire_maint::output::clean(text);
    assert_eq!(shown.chars().count(), text.chars().count());
    assert!(!shown.chars().any(char::is_control));
    assert_eq!(
        empire_maint::output::clean(&shown),
        shown,
        "clean text stays as it is"
    );
});
