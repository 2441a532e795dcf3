//! What `benches/backup.sh` and `benches/clean.sh` need beside the tools it compares: a database with the plan's tables and rows that look like an
//! application's, the same on every machine; one that changes 1% of its pages; a writer that notes how long each commit took;
//! and the backup pipeline without its SQL checks, so that their cost is a line of its own.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, bail};
use empire_maint::archive::{
    self, Checks, Content, Manifest, Previous, Verification, VerifiedLevel, Writing,
};
use empire_maint::report::{Report, Reporter, Step};
use empire_maint::sqlite::{self, Snapshot, SnapshotOptions};
use empire_maint::sys::{Stop, machine};
use empire_maint::units::{Bytes, Length};
use jiff::Timestamp;
use rusqlite::{Connection, params};

const USAGE: &str = "usage: live create FILE MIB | change FILE mixed|scattered SEED | write FILE LOG [waits] | unchecked FILE FOLDER";
/// Rows of `logs` in a page of 4096 bytes.
const ROWS_A_PAGE: i64 = 22;
const HOUR: Duration = Duration::from_secs(3600);

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["create", file, mib] => create(Path::new(file), mib.parse()?),
        ["change", file, spread @ ("mixed" | "scattered"), seed] => {
            change(Path::new(file), *spread == "scattered", seed.parse()?)
        }
        ["write", file, log] => write(Path::new(file), Path::new(log), false),
        ["write", file, log, "waits"] => write(Path::new(file), Path::new(log), true),
        ["unchecked", file, folder] => unchecked(Path::new(file), Path::new(folder)),
        _ => bail!(USAGE),
    }
}

/// Numbers that look random and are the same everywhere (xorshift64*, Vigna 2016).
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, limit: i64) -> i64 {
        (self.next() >> 11).cast_signed() % limit
    }

    fn pick<'a>(&mut self, words: &[&'a str]) -> &'a str {
        words[usize::try_from(self.below(words.len() as i64)).unwrap_or(0)]
    }
}

const LEVELS: [&str; 6] = ["info", "info", "info", "debug", "warn", "error"];
const VERBS: [&str; 8] = [
    "opened", "updated", "priced", "rejected", "settled", "archived", "matched", "viewed",
];
const THINGS: [&str; 8] = [
    "deal",
    "trade",
    "invoice",
    "session",
    "embedding",
    "report",
    "account",
    "order",
];
const ROUTES: [&str; 7] = [
    "/api/deals",
    "/api/trades",
    "/api/agents/run",
    "/health",
    "/api/users/me",
    "/api/search",
    "/api/rag/query",
];
const SYMBOLS: [&str; 10] = [
    "AAPL", "MSFT", "NVDA", "GOOG", "AMZN", "SAP", "ASML", "NESN", "BTC-EUR", "ETH-EUR",
];

/// `2025-03-07 14:05:09.123`, a little later each time, as an application's clock goes.
fn stamp(seconds: i64, millis: i64) -> String {
    let at = Timestamp::from_second(1_735_689_600 + seconds).unwrap_or_default();
    format!("{}.{millis:03}", at.strftime("%Y-%m-%d %H:%M:%S"))
}

fn context_of(numbers: &mut Numbers) -> String {
    format!(
        "{{\"request\":\"{:016x}\",\"trace\":\"{:08x}\",\"route\":\"{}\",\"status\":{},\"ms\":{}.{},\"user\":{}}}",
        numbers.next(),
        numbers.next() >> 32,
        numbers.pick(&ROUTES),
        [200, 200, 200, 201, 304, 404, 500][usize::try_from(numbers.below(7)).unwrap_or(0)],
        numbers.below(900),
        numbers.below(10),
        numbers.below(20_000) + 1,
    )
}

/// The plan's tables until the file has the wanted size, in WAL mode, folded in.
fn create(path: &Path, mib: u64) -> anyhow::Result<()> {
    let mut connection = Connection::open(path)?;
    connection.execute_batch(
        "PRAGMA page_size=4096; PRAGMA journal_mode=WAL; PRAGMA synchronous=OFF; PRAGMA cache_size=-200000;
         CREATE TABLE users (id INTEGER PRIMARY KEY, username TEXT UNIQUE, email TEXT, role TEXT, last_login TEXT, logins INTEGER);
         CREATE TABLE deals (id INTEGER PRIMARY KEY, user_id INTEGER REFERENCES users (id), title TEXT, note TEXT, amount REAL, created_at TEXT);
         CREATE TABLE trades (id INTEGER PRIMARY KEY, deal_id INTEGER REFERENCES deals (id), symbol TEXT, price REAL, quantity INTEGER, reference TEXT, created_at TEXT);
         CREATE TABLE logs (id INTEGER PRIMARY KEY, timestamp TEXT, level TEXT, message TEXT, context TEXT);
         CREATE INDEX trades_by_time ON trades (created_at);
         CREATE INDEX logs_by_time ON logs (timestamp);",
    )?;
    let mut numbers = Numbers(0x5eed);
    let transaction = connection.transaction()?;
    for id in 1..=20_000 {
        let name = format!("{}.{}{id}", numbers.pick(&VERBS), numbers.pick(&THINGS));
        let role = if id % 400 == 0 { "admin" } else { "trader" };
        transaction.execute(
            "INSERT INTO users VALUES (?1, ?2, ?2 || '@example.com', ?3, ?4, 0)",
            params![id, name, role, stamp(numbers.below(30_000_000), 0)],
        )?;
    }
    transaction.commit()?;
    let mut seconds = 0;
    loop {
        let pages: u64 = pragma(&connection, "page_count")?;
        if pages >= mib * 256 {
            break;
        }
        let transaction = connection.transaction()?;
        insert(&transaction, &mut numbers, &mut seconds)?;
        transaction.commit()?;
    }
    connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
    Ok(())
}

/// Some thousand rows: one deal to eight trades to sixteen log lines.
fn insert(connection: &Connection, numbers: &mut Numbers, seconds: &mut i64) -> anyhow::Result<()> {
    let mut deal = connection.prepare("INSERT INTO deals VALUES (NULL, ?, ?, ?, ?, ?)")?;
    let mut trade = connection.prepare("INSERT INTO trades VALUES (NULL, ?, ?, ?, ?, ?, ?)")?;
    let mut log = connection.prepare("INSERT INTO logs VALUES (NULL, ?, ?, ?, ?)")?;
    for _ in 0..500 {
        *seconds += numbers.below(60);
        let title = format!("{} {}", numbers.pick(&VERBS), numbers.pick(&THINGS));
        let note: String = (0..numbers.below(12))
            .map(|_| format!("{} {} ", numbers.pick(&THINGS), numbers.pick(&VERBS)))
            .collect();
        deal.execute(params![
            numbers.below(20_000) + 1,
            title,
            note,
            numbers.below(10_000_000) as f64 / 100.0,
            stamp(*seconds, 0)
        ])?;
        let id = connection.last_insert_rowid();
        for _ in 0..8 {
            trade.execute(params![
                id,
                numbers.pick(&SYMBOLS),
                numbers.below(10_000_000) as f64 / 100.0,
                numbers.below(900),
                format!("{:016x}", numbers.next()),
                stamp(*seconds, numbers.below(1000))
            ])?;
        }
        for _ in 0..16 {
            let message = format!(
                "{} {} {} of {} in {} ms",
                numbers.pick(&THINGS),
                numbers.below(1_000_000),
                numbers.pick(&VERBS),
                numbers.pick(&THINGS),
                numbers.below(2000)
            );
            let context = context_of(numbers);
            log.execute(params![
                stamp(*seconds, numbers.below(1000)),
                numbers.pick(&LEVELS),
                message,
                context
            ])?;
        }
    }
    Ok(())
}

fn pragma(connection: &Connection, name: &str) -> rusqlite::Result<u64> {
    connection.query_row(&format!("PRAGMA {name}"), [], |row| {
        row.get::<_, i64>(0).map(i64::cast_unsigned)
    })
}

/// Touches 1% of the pages of the file. `mixed`, as applications do: three quarters of them among the newest rows, a quarter all
/// over the table. `scattered`: all of them all over, the worst case for whatever works with blocks of more than a page.
fn change(path: &Path, scattered: bool, seed: u64) -> anyhow::Result<()> {
    let mut connection = Connection::open(path)?;
    connection.busy_timeout(Duration::from_secs(60))?;
    connection.execute_batch("PRAGMA synchronous=NORMAL")?;
    let wanted = pragma(&connection, "page_count")? / 100;
    let wanted = i64::try_from(wanted)?;
    let rows: i64 = connection.query_row("SELECT max(id) FROM logs", [], |row| row.get(0))?;
    let newest = if scattered { 0 } else { wanted * 3 / 4 };
    let mut numbers = Numbers(seed + 1);
    let transaction = connection.transaction()?;
    {
        let mut update = transaction.prepare("UPDATE logs SET context = ?2 WHERE id = ?1")?;
        for page in 0..newest {
            update.execute(params![rows - page * ROWS_A_PAGE, context_of(&mut numbers)])?;
        }
        for _ in newest..wanted {
            let id = numbers.below(rows) + 1;
            update.execute(params![id, context_of(&mut numbers)])?;
        }
    }
    transaction.commit()?;
    connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()))?;
    Ok(())
}

/// Small transactions, each on disk before it returns, some twenty a second, until killed. One line each: when it began, in
/// nanoseconds since 1970, and how long it took, in microseconds; with `waits` including the wait for the write lock.
fn write(path: &Path, log: &Path, waits: bool) -> anyhow::Result<()> {
    let connection = Connection::open(path)?;
    connection.busy_timeout(Duration::from_secs(60))?;
    connection.execute_batch("PRAGMA synchronous=FULL")?;
    let mut log = File::create(log)?;
    let mut numbers = Numbers(u64::from(std::process::id()) + 1);
    loop {
        let context = context_of(&mut numbers);
        let user = numbers.below(20_000) + 1;
        // SQLite waits for the other writer by sleeping longer and longer: that is not ours to measure.
        let asked = Instant::now();
        connection.execute_batch("BEGIN IMMEDIATE")?;
        let began = SystemTime::now().duration_since(UNIX_EPOCH)?.as_nanos();
        let started = if waits { asked } else { Instant::now() };
        connection.execute("UPDATE users SET logins = logins + 1 WHERE id = ?1", [user])?;
        connection.execute(
            "INSERT INTO logs VALUES (NULL, strftime('%Y-%m-%d %H:%M:%f'), 'info', 'written live', ?1)",
            [context],
        )?;
        connection.execute_batch("COMMIT")?;
        writeln!(log, "{began} {}", started.elapsed().as_micros())?;
        std::thread::sleep(Duration::from_millis(
            30 + numbers.below(40).cast_unsigned(),
        ));
    }
}

/// What `backup` does with one database, without the SQL checks beside it: snapshot, compress or copy, sync, read back, publish.
fn unchecked(path: &Path, folder: &Path) -> anyhow::Result<()> {
    let (now, stop) = (Timestamp::now(), Stop::after(HOUR));
    machine::be_polite(&stop);
    let threads = machine::threads(0);
    let before = archive::catalogue(folder, "app_db", jiff::Timestamp::MAX)?;
    let mut previous = match before.first() {
        Some(backup) => {
            let manifest = backup.manifest().context("it has no manifest")?;
            Some(Previous::open(folder, &backup.name, manifest)?)
        }
        None => None,
    };
    let name = archive::free_name(folder, "app_db", now, Content::Sqlite)?;
    let reporter = Reporter::new(Report::new("bench", "bench", now, false), None, None);
    let step = Step {
        kind: "backup",
        target: name.file(),
        reason: "a measurement".to_owned(),
    };
    reporter.act(step, |permit| {
        let options = SnapshotOptions {
            max_wal: Bytes(2 << 30),
            max_lock: Length(HOUR),
            scratch: folder,
            stop: &stop,
        };
        let mut snapshot = Snapshot::take(path, &options)?;
        let writing = Writing {
            roots: false,
            folder,
            name: &name,
            previous: previous.as_mut(),
            threads,
            day: archive::day(now),
            reserve: 0,
            stop: &stop,
            progress: &|_| {},
        };
        let (mut pages, _) = snapshot.split();
        let verified = archive::write(permit, writing, |sink| pages.write_to(sink))?;
        drop(snapshot);
        let written = verified.written();
        let manifest = Manifest {
            format: archive::FORMAT,
            backup: name.stem.clone(),
            series: name.series.clone(),
            content: Content::Sqlite,
            created_at: now,
            host: "bench".to_owned(),
            tool: "bench".to_owned(),
            sqlite: sqlite::version().to_owned(),
            run_id: String::new(),
            source: path.display().to_string(),
            plain: written.plain.clone(),
            gz: written.gz.clone(),
            index: Some(written.index.clone()),
            database: None,
            journal_mode: None,
            checks: Checks::default(),
            verified: Some(Verification {
                level: VerifiedLevel::Checked,
                at: now,
                oldest_inflation: written.oldest_inflation.clone(),
            }),
            bad: None,
            pinned: None,
        };
        verified.publish(permit, manifest, &stop)
    })?;
    Ok(())
}
