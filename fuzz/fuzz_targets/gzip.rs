//! A .gz without a manifest, made by anybody: read serially it ends within its bounds, whatever it holds; and where the decoder of
//! single members accepts the same bytes, both give the same content.
#![no_main]

use std::io::Write as _;
use std::time::Duration;

use empire_maint::archive::{Content, Inflater, Limits, Most, extract_serially};
use empire_maint::sys::Stop;
use libfuzzer_sys::fuzz_target;

const MOST: u64 = 1 << 20;

fuzz_target!(|bytes: &[u8]| {
    let mut file = tempfile::NamedTempFile::new_in("/dev/shm").expect("a file");
    file.write_all(bytes).expect("writes");
    let stop = Stop::after(Duration::from_secs(60));
    let limits = Limits {
        threads: 1,
        stop: &stop,
        progress: &|_| {},
    };
    for content in [Content::Tar, Content::Sqlite] {
        let mut plain = Vec::new();
        let read = extract_serially(file.path(), content, Most::Room(MOST), Some(&mut plain), &limits);
        assert!(plain.len() as u64 <= MOST);
        let Ok(read) = read else { continue };
        assert_eq!(read.plain.size, plain.len() as u64);
        assert_eq!(read.gz.size, bytes.len() as u64);
        let mut again = vec![0; plain.len()];
        if Inflater::default().inflate(bytes, &mut again).is_ok() {
            assert!(again == plain, "two decoders, two contents");
        }
    }
    let mut block = vec![0; empire_maint::archive::BLOCK];
    let _ = Inflater::default().inflate(bytes, &mut block);
});
