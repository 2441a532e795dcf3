//! Long work in short write transactions, so that the application's own writers never wait long. SQLite has one write lock and no
//! queue for it: whoever waits looks again after 1, 2, 5, 10, 15, 20 and then 25 ms, later less often still
//! (`sqliteDefaultBusyCallback`). So the lock is not only held shortly, it is also left alone, at short intervals, for longer than
//! any of these steps. Of two who look at the same moment one gets in, and nobody sees the other: so a rest lasts until nobody has
//! committed for as long as a step.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use rusqlite::Connection;

use super::fold::Fold;
use super::{explain, is_constraint, is_wal, open_writer};
use crate::sys::Stop;

/// No write transaction is meant to last longer.
pub const LONGEST_LOCK: Duration = Duration::from_millis(50);

/// A transaction that took longer with its commit makes the next ones shorter; the first begins with few.
const AIM: Duration = Duration::from_millis(20);
/// Where the commit's syncs take most of that, a shorter one would be hardly shorter; only one that takes too long is made so.
const FEW: Duration = Duration::from_millis(6);
const LEAST: Duration = Duration::from_micros(500);
const BREATH: Duration = Duration::from_millis(1);
/// So much time at most in short transactions, then a rest in which everybody who waits gets in: those who came first look after 53 ms,
/// and where somebody else was quicker again after 78.
const ROUND: Duration = Duration::from_millis(44);
const REST: Duration = Duration::from_millis(27);
/// The longest step, and a little.
const STEP: Duration = Duration::from_micros(25_500);
/// However many commit, a rest ends.
const LONGEST_REST: Duration = Duration::from_millis(54);

/// To open one connection more; to fold in waits for nobody.
const OPENING: Duration = Duration::from_secs(5);

/// Items of the first transaction that is announced.
const FIRST_SHARE: usize = 64;

/// The lock is left alone for longer than a moment.
struct Rest {
    began: Instant,
    /// What `data_version` was: it changes with others' commits.
    version: Option<i64>,
    /// When that was seen last.
    committed: Option<Instant>,
}

/// The measure of one run's write transactions on one database.
pub struct Pace {
    path: PathBuf,
    stop: Stop,
    budget: Duration,
    longest: Duration,
    turns: u64,
    round: Duration,
    /// Nothing is locked before.
    free: Instant,
    rest: Option<Rest>,
    /// What the last transaction took.
    last: Duration,
    /// So many items of one that is announced.
    share: usize,
    fold: Option<Fold>,
}

impl Pace {
    /// Begins with short transactions.
    pub fn new(path: &Path, stop: &Stop) -> Self {
        Self {
            path: path.to_owned(),
            stop: stop.clone(),
            budget: FEW,
            longest: Duration::ZERO,
            turns: 0,
            round: Duration::ZERO,
            free: Instant::now(),
            rest: None,
            last: Duration::ZERO,
            share: FIRST_SHARE,
            fold: None,
        }
    }

    /// The longest that the write lock was held.
    pub fn longest(&self) -> Duration {
        self.longest
    }

    /// How many transactions there were.
    pub fn turns(&self) -> u64 {
        self.turns
    }

    /// True while the lock is left alone for longer than a moment: the time to look ahead.
    pub fn rests(&mut self, connection: &Connection) -> bool {
        let (free, now) = (self.free, Instant::now());
        let left = match &mut self.rest {
            Some(rest) => rest.left(connection, free, now),
            None => free.checked_duration_since(now),
        };
        left.is_some_and(|left| left > BREATH)
    }

    /// One transaction: `work` on one item after another until all are done or the time is up. An error undoes the whole
    /// transaction. Says how many were done; at least one, if there is any.
    pub fn turn<T>(
        &mut self,
        connection: &Connection,
        items: &[T],
        work: impl FnMut(&T) -> anyhow::Result<()>,
    ) -> anyhow::Result<usize> {
        self.proven(connection, items, work, || Ok(()))
    }

    /// The same, committed only where `prove` says so of all of it.
    pub fn proven<T>(
        &mut self,
        connection: &Connection,
        items: &[T],
        mut work: impl FnMut(&T) -> anyhow::Result<()>,
        prove: impl FnOnce() -> anyhow::Result<()>,
    ) -> anyhow::Result<usize> {
        let budget = self.wait(connection)?;
        self.execute(connection, "BEGIN IMMEDIATE")?;
        let began = Instant::now();
        let mut done = 0;
        let worked = || -> anyhow::Result<()> {
            for item in items {
                work(item)?;
                require_open(connection)?;
                done += 1;
                if began.elapsed() >= budget {
                    break;
                }
            }
            prove()?;
            self.commit(connection)
        };
        if let Err(error) = worked() {
            // Where SQLite has rolled back already there is nothing to undo.
            let _ = connection.execute_batch("ROLLBACK");
            return Err(error);
        }
        self.ended(connection, began.elapsed());
        Ok(done)
    }

    /// The beat for a transaction that somebody else makes: returns when it may begin, with how long its work should take.
    pub fn wait(&mut self, connection: &Connection) -> anyhow::Result<Duration> {
        self.stop.check()?;
        self.see_to_the_log(connection)?;
        if let Some(mut rest) = self.rest.take() {
            while let Some(left) = rest.left(connection, self.free, Instant::now()) {
                std::thread::sleep(left.min(BREATH));
            }
            if let Some(fold) = &self.fold {
                fold.wait();
            }
        }
        std::thread::sleep(self.free.saturating_duration_since(Instant::now()));
        Ok(self.budget)
    }

    /// The lock was held so long, with the commit: what was written into the log may be folded in.
    pub fn ended(&mut self, connection: &Connection, held: Duration) {
        if self.took(held) {
            self.rest = Some(Rest {
                began: Instant::now(),
                version: version(connection),
                committed: None,
            });
        }
        if let Some(fold) = &self.fold {
            fold.ask();
        }
    }

    /// Waits until nothing is being folded in, which nobody else can do meanwhile.
    pub fn settle(&mut self) -> anyhow::Result<()> {
        match self.fold.take() {
            Some(fold) => fold
                .end()
                .map_err(|error| explain(error, &self.path, &self.stop)),
            None => Ok(()),
        }
    }

    /// Before a transaction begins, so that none is done and yet an error.
    fn see_to_the_log(&mut self, connection: &Connection) -> anyhow::Result<()> {
        if self.fold.as_ref().is_some_and(Fold::has_ended) {
            self.settle()?;
        }
        if self.fold.is_none() {
            let mode: String = connection
                .query_row("PRAGMA main.journal_mode", [], |row| row.get(0))
                .map_err(|error| explain(error, &self.path, &self.stop))?;
            if is_wal(&mode) {
                let own = open_writer(&self.path, &self.stop, OPENING, false)?;
                let fold = Fold::begin(own).context("cannot start a thread")?;
                self.fold = Some(fold);
            }
        }
        Ok(())
    }

    /// One transaction over so many items as should fit into its time: `announce` hears which, while nothing is locked yet, then
    /// `work` gets just these. So it is known before what a run that is killed may have done: all of them or none.
    pub fn announced<T>(
        &mut self,
        connection: &Connection,
        items: &[T],
        announce: impl FnOnce(&[T]) -> anyhow::Result<()>,
        mut work: impl FnMut(&[T]) -> anyhow::Result<()>,
    ) -> anyhow::Result<usize> {
        let some = items.get(..self.share).unwrap_or(items);
        announce(some)?;
        let wanted = self.budget;
        self.turn(connection, &[some], |some| work(some))?;
        if some.len() == self.share || self.last > wanted {
            self.share = next_share(some.len(), wanted, self.last);
        }
        Ok(some.len())
    }

    fn execute(&self, connection: &Connection, sql: &str) -> anyhow::Result<()> {
        connection
            .execute_batch(sql)
            .map_err(|error| explain(error, &self.path, &self.stop))
    }

    /// What a foreign key that is looked at only here refuses stays a constraint to the caller.
    fn commit(&self, connection: &Connection) -> anyhow::Result<()> {
        match connection.execute_batch("COMMIT") {
            Err(error) if is_constraint(&error) => {
                Err(anyhow::Error::from(error).context(self.path.display().to_string()))
            }
            other => other.map_err(|error| explain(error, &self.path, &self.stop)),
        }
    }

    /// Says whether a rest begins.
    fn took(&mut self, held: Duration) -> bool {
        self.turns += 1;
        self.last = held;
        self.longest = self.longest.max(held);
        self.budget = next_budget(self.budget, held);
        self.round += held + BREATH;
        // Not even begun where it would not end in time.
        let rests = self.round + AIM > ROUND;
        if rests {
            self.round = Duration::ZERO;
        }
        self.free = Instant::now() + if rests { REST } else { BREATH };
        rests
    }
}

impl Rest {
    /// How long it still lasts as far as is known now: until `free`, and for a step after what others commit.
    fn left(&mut self, connection: &Connection, free: Instant, now: Instant) -> Option<Duration> {
        let version = version(connection);
        if version != self.version {
            (self.version, self.committed) = (version, Some(now));
        }
        let quiet = self.committed.map_or(free, |last| last + STEP);
        let until = quiet.min(self.began + LONGEST_REST).max(free);
        until
            .checked_duration_since(now)
            .filter(|left| !left.is_zero())
    }
}

/// A trigger can end the whole transaction (`RAISE(ROLLBACK)`); what followed would be one of its own for each statement.
pub fn require_open(connection: &Connection) -> anyhow::Result<()> {
    match connection.is_autocommit() {
        false => Ok(()),
        true => Err(anyhow::anyhow!(
            "a trigger rolls the whole transaction back, so nothing of it is done"
        )),
    }
}

/// What changes with others' commits. Nothing where it cannot be told: what was committed counts nevertheless, and a rest is only shorter
/// or longer for it.
fn version(connection: &Connection) -> Option<i64> {
    connection
        .query_row("PRAGMA main.data_version", [], |row| row.get(0))
        .ok()
}

/// As many as would have taken the time that was wanted, and never more than twice as many as were tried.
fn next_share(share: usize, wanted: Duration, took: Duration) -> usize {
    let factor = wanted.as_secs_f64() / took.as_secs_f64().max(1e-6);
    ((share as f64 * factor.min(2.0)) as usize).max(1)
}

/// As long as makes the whole what it should be; longer step by step.
fn next_budget(budget: Duration, held: Duration) -> Duration {
    let factor = AIM.as_secs_f64() / held.as_secs_f64().max(1e-6);
    let least = match held > LONGEST_LOCK {
        true => LEAST,
        false => FEW,
    };
    budget.mul_f64(factor.min(1.25)).clamp(least, AIM)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_budget_follows_what_the_disk_does() {
        let ms = Duration::from_millis;
        assert_eq!(next_budget(ms(8), ms(9)), ms(10));
        assert_eq!(next_budget(ms(19), ms(19)), ms(20));
        assert_eq!(next_budget(ms(19), ms(10)), AIM);
        assert_eq!(next_budget(ms(12), ms(24)), ms(10));
        // A slow disk, and one that is too slow.
        assert_eq!(next_budget(FEW, ms(40)), FEW);
        assert_eq!(next_budget(ms(5), ms(100)), ms(1));
        assert_eq!(next_budget(LEAST, ms(500)), LEAST);
    }

    #[test]
    fn what_is_announced_is_done_as_a_whole() {
        let ms = Duration::from_millis;
        assert_eq!(next_share(64, ms(20), ms(1)), 128);
        assert_eq!(next_share(100, ms(20), ms(40)), 50);
        assert_eq!(next_share(1, LEAST, ms(900)), 1);
        let connection = Connection::open_in_memory().expect("opens");
        connection
            .execute_batch("CREATE TABLE t(x)")
            .expect("creates");
        let stop = Stop::after(Duration::from_secs(60));
        let mut pace = Pace::new(Path::new("x.db"), &stop);
        let items: Vec<i64> = (0..200).collect();
        let mut rest = items.as_slice();
        while !rest.is_empty() {
            let mut said = 0;
            let done = pace.announced(
                &connection,
                rest,
                |some| {
                    said = some.len();
                    Ok(())
                },
                |some| {
                    // However slow it is.
                    std::thread::sleep(FEW);
                    for number in some {
                        connection.execute("INSERT INTO t VALUES (?1)", [number])?;
                    }
                    Ok(())
                },
            );
            let done = done.expect("commits");
            assert!(done == said && done >= 1);
            rest = &rest[done..];
        }
        let rows: i64 = connection
            .query_row("SELECT count(DISTINCT x) FROM t", [], |row| row.get(0))
            .expect("counts");
        assert_eq!(rows, 200);
    }

    #[test]
    fn an_error_undoes_its_transaction_and_no_other() {
        let connection = Connection::open_in_memory().expect("opens");
        connection
            .execute_batch("CREATE TABLE t(x)")
            .expect("creates");
        let stop = Stop::after(Duration::from_secs(60));
        let mut pace = Pace::new(Path::new("x.db"), &stop);
        let insert = |number: &i64| -> anyhow::Result<()> {
            anyhow::ensure!(*number != 7, "seven");
            connection.execute("INSERT INTO t VALUES (?1)", [number])?;
            Ok(())
        };
        assert_eq!(
            pace.turn(&connection, &[1, 2, 3], insert).expect("commits"),
            3
        );
        assert!(pace.turn(&connection, &[4, 7], insert).is_err());
        assert_eq!(pace.turn(&connection, &[5], insert).expect("commits"), 1);
        let sum: i64 = connection
            .query_row("SELECT sum(x) FROM t", [], |row| row.get(0))
            .expect("sums");
        assert_eq!((sum, pace.turns()), (11, 2));
    }

    #[test]
    fn a_rest_in_which_somebody_commits_lasts_longer() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("x.db");
        let connection = Connection::open(&path).expect("opens");
        connection
            .execute_batch("PRAGMA journal_mode=WAL; CREATE TABLE t(x)")
            .expect("creates");
        let other = Connection::open(&path).expect("opens");
        let stop = Stop::after(Duration::from_secs(60));
        let mut pace = Pace::new(&path, &stop);
        let slow = |_: &i64| -> anyhow::Result<()> {
            connection.execute("INSERT INTO t VALUES (1)", [])?;
            std::thread::sleep(ROUND);
            Ok(())
        };
        pace.turn(&connection, &[1], slow).expect("commits");
        let mut rest = pace.rest.take().expect("rests");
        let (began, free) = (rest.began, rest.began + REST);
        let mut left = |at| rest.left(&connection, free, began + at);
        let commit = || {
            other
                .execute_batch("INSERT INTO t VALUES (2)")
                .expect("gets in");
        };
        // Nobody, then one.
        assert_eq!(left(REST - BREATH), Some(BREATH));
        assert_eq!(left(REST), None);
        commit();
        assert_eq!(left(REST - BREATH), Some(STEP));
        assert_eq!(left(REST - BREATH + STEP), None);
        // However many commit.
        let mut at = REST;
        loop {
            commit();
            match left(at) {
                Some(more) => at += more.min(STEP / 5),
                None => break,
            }
        }
        assert_eq!(at, LONGEST_REST);
    }
}
