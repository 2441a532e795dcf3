//! What `benches/redis.sh` needs: a second client. Runs a command, pings a Redis every 200 µs meanwhile, and prints how long the
//! command took (s) and what the pings took (99th percentile and longest, ms).

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};

const PAUSE: Duration = Duration::from_micros(200);

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let port = arguments.next().context("usage: pinger PORT COMMAND…")?;
    let program = arguments.next().context("usage: pinger PORT COMMAND…")?;
    let client = redis::Client::open(format!("redis://127.0.0.1:{port}/"))?;
    let mut connection = client.get_connection()?;
    let mut pings = Vec::new();
    let started = Instant::now();
    let mut child = Command::new(program)
        .args(arguments)
        .stdout(Stdio::null())
        .spawn()?;
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        let asked = Instant::now();
        redis::cmd("PING").query::<String>(&mut connection)?;
        pings.push(asked.elapsed());
        std::thread::sleep(PAUSE);
    };
    let took = started.elapsed().as_secs_f64();
    ensure!(status.success(), "the command ended with {status}");
    pings.sort();
    let millis = |at: usize| {
        pings
            .get(at)
            .map_or(0.0, |ping| ping.as_secs_f64() * 1000.0)
    };
    let p99 = millis(pings.len() * 99 / 100);
    let longest = millis(pings.len().saturating_sub(1));
    let mut output = std::io::stdout().lock();
    use std::io::Write as _;
    writeln!(output, "{took:.3} {p99:.3} {longest:.2}")?;
    Ok(())
}
