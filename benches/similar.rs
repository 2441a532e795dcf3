//! What `benches/duplicates.sh` measures: the room `similar` alone, on a file with one text a line. Prints who stays, who goes for it
//! (lines counted from 0) and how alike they are.

use std::io::Write as _;
use std::time::Duration;

use anyhow::Context as _;
use empire_maint::similar::{self, Compared, Kind, Sketches, Texts};
use empire_maint::sys::{Stop, machine};

const USAGE: &str = "usage: similar FILE THRESHOLD";

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [file, threshold] = arguments.as_slice() else {
        anyhow::bail!(USAGE);
    };
    let least: f64 = threshold.parse().context(USAGE)?;
    let text = std::fs::read_to_string(file)?;
    let lines: Vec<&str> = text.lines().collect();
    let threads = machine::threads(0);
    let mut near = Texts::new(least, threads);
    let mut same = Sketches::of_digests();
    for piece in lines.chunks(1000) {
        near.extend(&piece.iter().map(|line| Some(*line)).collect::<Vec<_>>());
        for line in piece {
            let digest = similar::digest(b"", similar::normal(line).as_bytes());
            same.push(Some(&digest));
        }
    }
    let order: Vec<u32> = (0..u32::try_from(lines.len())?).collect();
    let signals = [(Kind::Same, &same), (Kind::Near, &near.sketches)];
    let stop = Stop::after(Duration::from_secs(3600));
    let mut compared = 0u64;
    let (mut of, mut own, mut other) = (u32::MAX, Compared::default(), Compared::default());
    let groups = similar::groups(&order, &signals, threads, &stop, &mut |_, kept, item| {
        compared += 1;
        // One after another it is shown beside those that it may be like.
        if of != item {
            own.read(lines[item as usize]);
            of = item;
        }
        other.read(lines[kept as usize]);
        Ok(other.likeness(&own, least))
    })?;
    let mut output = std::io::stdout().lock();
    for group in &groups {
        for member in &group.members {
            writeln!(
                output,
                "{} {} {:.6}",
                group.kept, member.item, member.likeness
            )?;
        }
    }
    writeln!(std::io::stderr(), "{compared} pairs compared")?;
    Ok(())
}
