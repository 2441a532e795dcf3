//! An index: refused, or its members lie one behind the other and end where it says that the .gz ends.
#![no_main]

use std::io::{Seek as _, Write as _};

use empire_maint::archive::{BLOCK, IndexReader};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let mut file = tempfile::tempfile_in("/dev/shm").expect("a file");
    file.write_all(bytes).expect("writes");
    file.rewind().expect("rewinds");
    let Ok(mut index) = IndexReader::new(file) else {
        return;
    };
    let (mut end, mut number, mut plain) = (0, 0, 0);
    while let Ok(Some((offset, record))) = index.next_member() {
        assert_eq!(offset, end);
        end += u64::from(record.length);
        let length = index.block_length(number);
        assert!(
            length > 0 && length <= BLOCK,
            "block {number} of {length} bytes"
        );
        plain += length as u64;
        number += 1;
    }
    if number == index.header.members && matches!(index.next_member(), Ok(None)) {
        assert_eq!((end, plain), (index.header.gz, index.header.plain));
    }
});
