//! Long work in short write transactions, so that the application's own writers never wait long. SQLite has one write lock and no
//! queue for it: whoever waits looks again after 1, 2, 5, 10, 15, 20 and then 25 ms, later less often still
//! (`sqliteDefaultBusyCallback`). So the lock is held for less than any of the longer steps, and then left alone for longer than all
//! of them. Of two who look at the same moment one gets in, and the other has to find the next rest: in 78 ms, after which the steps
//! are long, each one looks three times while the lock is left alone.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use rusqlite::Connection;

use super::fold::Fold;
use super::{explain, is_constraint, is_wal, open_writer};
use crate::sys::Stop;
use crate::sys::machine::Urgent;

/// No write transaction is meant to last longer.
pub const LONGEST_LOCK: Duration = Duration::from_millis(50);

/// A transaction that took longer with its commit makes the next ones shorter; the first begins with few.
const AIM: Duration = Duration::from_millis(18);
/// Where the commit's syncs take most of that, a shorter one would be hardly shorter; only one that takes too long is made so.
const FEW: Duration = Duration::from_millis(6);
const LEAST: Duration = Duration::from_micros(500);
/// The longest step, and as long as somebody may need who was in first.
const REST: Duration = Duration::from_millis(29);
/// Where nobody waits who did not come while the lock was held, and it was held no longer than this, no step is longer than 15 ms.
const SHORT_REST: Duration = Duration::from_millis(16);
const SHORT_LOCK: Duration = Duration::from_millis(32);
/// Between transactions that are like one, and what is left of a rest, too short to begin anything.
const MOMENT: Duration = Duration::from_millis(1);

/// To open one connection more; to fold in waits for nobody.
const OPENING: Duration = Duration::from_secs(5);

/// Items of the first transaction that is announced.
const FIRST_SHARE: usize = 64;

/// The lock is left alone.
struct Rest {
    began: Instant,
    /// What `data_version` was: it changes with others' commits.
    version: Option<i64>,
    /// Somebody else has committed in it: so there may be one who looked at the same moment.
    used: bool,
    /// It is a long one even if nobody has.
    long: bool,
}

/// The measure of one run's write transactions on one database.
pub struct Pace {
    path: PathBuf,
    stop: Stop,
    budget: Duration,
    longest: Duration,
    turns: u64,
    rest: Option<Rest>,
    /// So long the lock was held since the last one.
    since_rest: Duration,
    /// Somebody else has committed in the last rest, as far as is known.
    used: bool,
    /// While the lock is held.
    urgent: Option<Urgent>,
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
            rest: None,
            since_rest: Duration::ZERO,
            used: true,
            urgent: None,
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
        let left = self.rest.as_mut().and_then(|rest| rest.left(connection));
        left.is_some_and(|left| left > MOMENT)
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
        self.execute(connection, "BEGIN IMMEDIATE")
            .inspect_err(|_| self.urgent = None)?;
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
            self.let_go(connection, began.elapsed());
            return Err(error);
        }
        self.ended(connection, began.elapsed());
        Ok(done)
    }

    /// The beat for a transaction that somebody else makes: returns when it may begin, with how long its work should take. The thread is
    /// not polite until that has `ended`.
    pub fn wait(&mut self, connection: &Connection) -> anyhow::Result<Duration> {
        self.urgent = None;
        self.stop.check()?;
        self.see_to_the_log(connection)?;
        match self.rest.take() {
            Some(mut rest) => {
                while let Some(left) = rest.left(connection) {
                    std::thread::sleep(left);
                }
                self.used = rest.used;
                if let Some(fold) = &self.fold {
                    fold.wait();
                }
            }
            None => std::thread::sleep(MOMENT),
        }
        self.urgent = Urgent::begin();
        Ok(self.budget)
    }

    /// The lock was held so long, with the commit: what was written into the log may be folded in.
    pub fn ended(&mut self, connection: &Connection, held: Duration) {
        self.turns += 1;
        self.last = held;
        self.budget = next_budget(self.budget, held);
        self.let_go(connection, held);
        if let Some(fold) = &self.fold {
            fold.ask();
        }
    }

    /// Whatever became of the transaction: who waits for the lock comes first now. Some that are very short are like one.
    fn let_go(&mut self, connection: &Connection, held: Duration) {
        self.urgent = None;
        self.longest = self.longest.max(held);
        self.since_rest += held + MOMENT;
        if self.since_rest > FEW {
            self.rest = Some(Rest {
                began: Instant::now(),
                version: version(connection),
                used: false,
                long: self.used || self.since_rest > SHORT_LOCK,
            });
            self.since_rest = Duration::ZERO;
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
}

impl Rest {
    /// How long it lasts in all, as far as is known now.
    fn lasts(&mut self, connection: &Connection) -> Duration {
        let version = version(connection);
        self.used |= version.is_none() || version != self.version;
        match self.used || self.long {
            true => REST,
            false => SHORT_REST,
        }
    }

    fn left(&mut self, connection: &Connection) -> Option<Duration> {
        self.lasts(connection)
            .checked_sub(self.began.elapsed())
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

/// What changes with others' commits. Nothing where it cannot be told: then a rest is a long one.
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
        assert_eq!(next_budget(ms(18), ms(18)), AIM);
        assert_eq!(next_budget(ms(17), ms(9)), AIM);
        assert_eq!(next_budget(ms(12), ms(24)), ms(9));
        // A slow disk, and one that is too slow.
        assert_eq!(next_budget(FEW, ms(40)), FEW);
        assert_eq!(next_budget(ms(10), ms(100)), Duration::from_micros(1_800));
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
        let fails_late = |number: &i64| -> anyhow::Result<()> {
            std::thread::sleep(FEW);
            insert(number)
        };
        assert!(pace.turn(&connection, &[4, 7], fails_late).is_err());
        assert!(pace.rest.is_some(), "others come first after that too");
        assert_eq!(pace.turn(&connection, &[5], insert).expect("commits"), 1);
        let sum: i64 = connection
            .query_row("SELECT sum(x) FROM t", [], |row| row.get(0))
            .expect("sums");
        assert_eq!((sum, pace.turns()), (11, 2));
    }

    #[test]
    fn a_rest_is_short_only_where_nobody_else_commits() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("x.db");
        let connection = Connection::open(&path).expect("opens");
        connection
            .execute_batch("PRAGMA journal_mode=WAL; CREATE TABLE t(x)")
            .expect("creates");
        let other = Connection::open(&path).expect("opens");
        let stop = Stop::after(Duration::from_secs(60));
        let mut pace = Pace::new(&path, &stop);
        let insert = |_: &i64| -> anyhow::Result<()> {
            connection.execute("INSERT INTO t VALUES (1)", [])?;
            Ok(())
        };
        let mut rests = |commits: bool| {
            pace.wait(&connection).expect("waits");
            insert(&1).expect("commits");
            pace.ended(&connection, SHORT_LOCK - MOMENT);
            let rest = pace.rest.as_mut().expect("rests");
            let before = rest.lasts(&connection);
            if commits {
                other
                    .execute_batch("INSERT INTO t VALUES (2)")
                    .expect("gets in");
            }
            (before, rest.lasts(&connection))
        };
        // Of the time before the first transaction nothing is known.
        assert_eq!(rests(false), (REST, REST));
        assert_eq!(rests(false), (SHORT_REST, SHORT_REST));
        assert_eq!(rests(true), (SHORT_REST, REST));
        assert_eq!(rests(false), (REST, REST));
        assert_eq!(rests(false), (SHORT_REST, SHORT_REST));
        pace.wait(&connection).expect("waits");
        pace.ended(&connection, SHORT_LOCK);
        let rest = pace.rest.as_mut().expect("rests");
        assert_eq!(rest.lasts(&connection), REST);
        // Three of 1 ms are like one of 5, with what is between.
        pace.rest = None;
        for rests in [false, false, false, true, false] {
            pace.ended(&connection, MOMENT);
            assert_eq!(pace.rest.take().is_some(), rests);
        }
    }
}
