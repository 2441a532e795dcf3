//! Which index would help a query. Candidates come from the query's own words; the planner, on a copy, has the only say: what it
//! does not take, or takes without doing less, is never proposed.

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::Connection;

use super::copy::{Candidate, Copy, Sample, name_of};
use super::explain::{Plan, aliases};
use super::indices::Index;
use super::mentions::{Key, Mentions, mentions};
use crate::sqlite;
use crate::text::shorten;

/// Reading all of a smaller table is no trouble.
pub const FEW: u64 = 1_000;
/// Wider indices cost more on every write than they give back.
const WIDEST: usize = 4;
const MOST: usize = 40;
/// Another column in an index has to leave so many times fewer rows.
const WORTH: u64 = 10;

/// An index that the planner would take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Advice {
    /// What it is.
    pub index: Candidate,
    /// The statement to copy.
    pub sql: String,
    /// Which of the queries take it.
    pub queries: BTreeSet<usize>,
}

/// What would help one query: nothing, or one index for each table that needs one.
pub fn advise(
    copy: &Copy,
    live: &Connection,
    existing: &[Index],
    sql: &str,
) -> rusqlite::Result<Vec<Candidate>> {
    let Ok(before) = copy.explain(sql) else {
        return Ok(Vec::new());
    };
    let is_large = |table: &str| copy.rows(table).is_none_or(|rows| rows >= FEW);
    let mut samples = BTreeMap::new();
    let mut candidates: Vec<Candidate> = Vec::new();
    for table in tables(&before) {
        let Some(rows) = copy.rows(table).filter(|rows| *rows >= FEW) else {
            continue;
        };
        let fit = indexable(live, existing, table)?;
        let (found, columns) = possible(copy, &before, table, sql, &fit);
        if found.is_empty() {
            continue;
        }
        let sample = Sample::of(live, table, columns, rows)?;
        candidates.extend(
            arranged(table, found, &sample, rows)
                .into_iter()
                .filter(|candidate| !exists(existing, candidate)),
        );
        samples.insert(table.to_owned(), sample);
    }
    candidates.truncate(MOST);
    // Only what is in the plan when all are there; then as little of that as does the same.
    let all: Vec<&Candidate> = candidates.iter().collect();
    let Some((_, taken)) = plan_with(copy, &samples, &all, sql)? else {
        return Ok(Vec::new());
    };
    let mut chosen: Vec<Candidate> = taken.into_iter().map(|at| candidates[at].clone()).collect();
    let cost = |set: &[Candidate]| -> rusqlite::Result<Option<i64>> {
        let set: Vec<&Candidate> = set.iter().collect();
        let plan = plan_with(copy, &samples, &set, sql)?;
        Ok(plan.map(|(plan, _)| plan.cost(&is_large)))
    };
    let Some(least) = cost(&chosen)? else {
        return Ok(Vec::new());
    };
    let mut at = 0;
    while at < chosen.len() {
        let mut without = chosen.clone();
        without.remove(at);
        if cost(&without)?.is_some_and(|cost| cost <= least) {
            chosen = without;
            continue;
        }
        for width in 1..chosen[at].keys.len() {
            let mut narrower = chosen.clone();
            narrower[at].keys.truncate(width);
            if cost(&narrower)?.is_some_and(|cost| cost <= least) {
                chosen = narrower;
                break;
            }
        }
        at += 1;
    }
    let gain = before.cost(&is_large) - least;
    let pays = gain >= 100 || (gain > 0 && chosen.iter().all(|one| narrows(one, copy, &samples)));
    Ok(if pays { chosen } else { Vec::new() })
}

/// Joins what several queries ask for, leaves what begins another, and keeps only what is taken when all are there together.
pub fn together(
    copy: &Copy,
    live: &Connection,
    asked: &[(String, Vec<Candidate>)],
) -> rusqlite::Result<Vec<Advice>> {
    let all: BTreeSet<&Candidate> = asked.iter().flat_map(|(_, found)| found).collect();
    let begins = |one: &&Candidate| {
        all.iter().any(|other| {
            other.table == one.table
                && other.keys.len() > one.keys.len()
                && other.keys.starts_with(&one.keys)
        })
    };
    let kept: Vec<&Candidate> = all.iter().copied().filter(|one| !begins(one)).collect();
    let mut columns: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for one in &kept {
        let own = columns.entry(&one.table).or_default();
        own.extend(one.keys.iter().map(|key| key.column.as_str()));
    }
    let mut samples = BTreeMap::new();
    for (table, columns) in columns {
        let columns = columns.into_iter().map(str::to_owned).collect();
        let rows = copy.rows(table).unwrap_or(0);
        samples.insert(table.to_owned(), Sample::of(live, table, columns, rows)?);
    }
    let mut takers: Vec<BTreeSet<usize>> = vec![BTreeSet::new(); kept.len()];
    copy.with(&kept, &samples, |copy| {
        for (query, (sql, _)) in asked.iter().enumerate() {
            let Ok(plan) = copy.explain(sql) else {
                continue;
            };
            for (at, takers) in takers.iter_mut().enumerate() {
                if plan.indices().any(|name| name == name_of(at)) {
                    takers.insert(query);
                }
            }
        }
    })?;
    let taken = kept.into_iter().zip(takers);
    let taken = taken.filter(|(_, queries)| !queries.is_empty());
    Ok(taken
        .map(|(index, queries)| Advice {
            sql: index.sql(&name(copy, index)),
            index: index.clone(),
            queries,
        })
        .collect())
}

fn tables(plan: &Plan) -> BTreeSet<&str> {
    plan.reads.iter().map(|(table, _)| table.as_str()).collect()
}

/// The columns of a table that an index may help with: not the INTEGER PRIMARY KEY, which is the table's own order.
fn indexable(
    live: &Connection,
    existing: &[Index],
    table: &str,
) -> rusqlite::Result<BTreeSet<String>> {
    let columns = sqlite::columns(live, table)?;
    let mut keys = columns.iter().filter(|column| column.key > 0);
    let only = keys.next().filter(|_| keys.next().is_none());
    // A single primary key without an index of its own is the rowid under another name.
    let rowid = only.filter(|key| {
        !existing.iter().any(|index| {
            let own = index.columns.iter().map(|column| column.name.as_ref());
            index.table == table && !index.created && own.eq([Some(&key.name)])
        })
    });
    let rowid = rowid.map(|key| key.name.clone());
    let names = columns.into_iter().map(|column| column.name);
    Ok(names.filter(|name| Some(name) != rowid.as_ref()).collect())
}

/// What the query and the views that it reads do with the columns of one table.
fn possible(
    copy: &Copy,
    plan: &Plan,
    table: &str,
    sql: &str,
    fit: &BTreeSet<String>,
) -> (Mentions, Vec<String>) {
    let columns: BTreeSet<&str> = plan
        .reads
        .iter()
        .filter(|(other, column)| other == table && fit.contains(column))
        .map(|(_, column)| column.as_str())
        .collect();
    let tables = BTreeSet::from([table]);
    let mut found = Mentions::default();
    let views = tables_of_views(copy, plan);
    for text in std::iter::once(sql).chain(views) {
        let aliases = aliases(text, &tables);
        let mut names = vec![table];
        names.extend(aliases.iter().map(|(alias, _)| alias.as_str()));
        let here = mentions(text, &names, &columns);
        for (into, from) in [
            (&mut found.equal, here.equal),
            (&mut found.range, here.range),
        ] {
            for column in from {
                if !into.contains(&column) {
                    into.push(column);
                }
            }
        }
        found.order.extend(here.order);
    }
    let mut columns: BTreeSet<String> = found.equal.iter().chain(&found.range).cloned().collect();
    columns.extend(found.order.iter().flatten().map(|key| key.column.clone()));
    (found, columns.into_iter().collect())
}

/// The views that a query reads, as the authorizer saw them.
fn tables_of_views<'a>(copy: &'a Copy, plan: &'a Plan) -> impl Iterator<Item = &'a str> {
    let names = tables(plan);
    copy.views
        .iter()
        .filter(move |(name, _)| names.iter().any(|read| read.eq_ignore_ascii_case(name)))
        .map(|(_, sql)| sql.as_str())
}

/// Candidates of one table: each column alone, those that are compared with `=` (the most telling first) with one more behind,
/// and what would save the sorting.
fn arranged(table: &str, found: Mentions, sample: &Sample, rows: u64) -> Vec<Candidate> {
    let mut equal: Vec<Key> = found.equal.iter().map(|name| Key::rising(name)).collect();
    equal.sort_by_key(|key| sample.rows_a_key(std::slice::from_ref(key), rows));
    equal.truncate(WIDEST - 1);
    let mut sets: BTreeSet<Vec<Key>> = BTreeSet::new();
    for column in found.equal.iter().chain(&found.range) {
        sets.insert(vec![Key::rising(column)]);
    }
    let tails = found.range.iter().map(|column| vec![Key::rising(column)]);
    for tail in tails.chain(found.order.iter().cloned()).chain([Vec::new()]) {
        for start in 0..=equal.len() {
            let mut keys: Vec<Key> = equal[..start].to_vec();
            for key in &tail {
                if !keys.iter().any(|known| known.column == key.column) {
                    keys.push(key.clone());
                }
            }
            keys.truncate(WIDEST);
            if !keys.is_empty() {
                sets.insert(keys);
            }
        }
    }
    sets.into_iter()
        .map(|keys| Candidate {
            table: table.to_owned(),
            keys,
        })
        .collect()
}

/// True where an index of the table begins with the same columns.
fn exists(existing: &[Index], candidate: &Candidate) -> bool {
    existing.iter().any(|index| {
        index.table == candidate.table
            && !index.partial
            && index.columns.len() >= candidate.keys.len()
            && index
                .columns
                .iter()
                .zip(&candidate.keys)
                .all(|(column, key)| {
                    column.name.as_ref() == Some(&key.column) && column.falling == key.falling
                })
    })
}

/// The plan with these candidates there, and which of them are in it.
fn plan_with(
    copy: &Copy,
    samples: &BTreeMap<String, Sample>,
    candidates: &[&Candidate],
    sql: &str,
) -> rusqlite::Result<Option<(Plan, BTreeSet<usize>)>> {
    let plan = copy.with(candidates, samples, |copy| copy.explain(sql).ok())?;
    Ok(plan.map(|plan| {
        let taken = (0..candidates.len())
            .filter(|at| plan.indices().any(|name| name == name_of(*at)))
            .collect();
        (plan, taken)
    }))
}

/// True where the last column of an index leaves far fewer rows than the ones before it.
fn narrows(one: &Candidate, copy: &Copy, samples: &BTreeMap<String, Sample>) -> bool {
    let (Some(sample), Some(rows)) = (samples.get(&one.table), copy.rows(&one.table)) else {
        return false;
    };
    let without = match one.keys.split_last() {
        Some((_, before)) if !before.is_empty() => sample.rows_a_key(before, rows),
        _ => rows,
    };
    without >= sample.rows_a_key(&one.keys, rows).saturating_mul(WORTH)
}

/// A name that nothing has yet.
fn name(copy: &Copy, index: &Candidate) -> String {
    let columns: Vec<_> = index.keys.iter().map(|key| key.column.as_str()).collect();
    let plain: String = format!("idx_{}_{}", index.table, columns.join("_"))
        .chars()
        .map(|c| if c.is_alphanumeric() { c } else { '_' })
        .collect();
    let plain = shorten(&plain, 60).trim_end_matches('…').to_owned();
    let free = |name: &String| !copy.has(name);
    std::iter::once(plain.clone())
        .chain((2..).map(|number| format!("{plain}_{number}")))
        .find(free)
        .unwrap_or(plain)
}

#[cfg(test)]
mod tests {
    use super::super::indices::indices;
    use super::*;
    use crate::sys::Stop;
    use std::path::Path;
    use std::time::Duration;

    const SCHEMA: &str = "
        CREATE TABLE users(id INTEGER PRIMARY KEY, mail TEXT, active INT, name TEXT);
        CREATE TABLE trades(id INTEGER PRIMARY KEY, user_id INT, state TEXT, amount REAL, created_at TEXT);
        CREATE TABLE small(k, v); INSERT INTO small VALUES (1, 2);
        CREATE TABLE keyless(x);
        WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 3000) INSERT INTO keyless SELECT hex(n) FROM c;
        CREATE INDEX users_name ON users(name);
        CREATE VIEW open_trades AS SELECT id, user_id, amount FROM trades WHERE state = 'open';
        WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 3000)
          INSERT INTO users SELECT n, 'u' || n || '@example.org', 1, 'name' || (n % 100) FROM c;
        WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 30000)
          INSERT INTO trades SELECT n, n % 3000, CASE WHEN n % 500 = 0 THEN 'open' ELSE 'done' END, n,
            datetime(1700000000 + n * 60, 'unixepoch') FROM c;
        ANALYZE;";

    fn with<T>(schema: &str, ask: impl FnOnce(&Copy, &Connection, &[Index]) -> T) -> T {
        let live = Connection::open_in_memory().expect("opens");
        live.execute_batch(schema).expect("sets up");
        let stop = Stop::after(Duration::from_secs(60));
        let rows = sqlite::row_counts(&live).expect("counts");
        let copy = Copy::of(&live, rows, Path::new("memory"), &stop).expect("copies");
        let existing = indices(&live).expect("reads");
        ask(&copy, &live, &existing)
    }

    fn advice(schema: &str, sql: &str) -> Vec<String> {
        with(schema, |copy, live, existing| {
            let found = advise(copy, live, existing, sql).expect("asks");
            let all = together(copy, live, &[(sql.to_owned(), found)]).expect("asks");
            all.into_iter().map(|one| one.sql).collect()
        })
    }

    #[test]
    fn what_the_planner_takes_is_proposed() {
        for (sql, expected) in [
            (
                "SELECT * FROM users WHERE mail = 'u7@example.org'",
                r#"CREATE INDEX "idx_users_mail" ON "users"("mail")"#,
            ),
            (
                "SELECT t.amount FROM trades t WHERE t.user_id = 5 ORDER BY t.created_at DESC",
                r#"CREATE INDEX "idx_trades_user_id_created_at" ON "trades"("user_id", "created_at" DESC)"#,
            ),
            (
                "SELECT count(*) FROM trades WHERE created_at > '2024-01-01'",
                r#"CREATE INDEX "idx_trades_created_at" ON "trades"("created_at")"#,
            ),
            (
                "SELECT u.name, sum(t.amount) FROM users u JOIN trades t ON t.user_id = u.id WHERE u.name = 'name7' GROUP BY u.name",
                r#"CREATE INDEX "idx_trades_user_id" ON "trades"("user_id")"#,
            ),
            (
                "SELECT * FROM open_trades WHERE amount > 5",
                r#"CREATE INDEX "idx_trades_state_amount" ON "trades"("state", "amount")"#,
            ),
            (
                "UPDATE users SET active = 0 WHERE mail = ?",
                r#"CREATE INDEX "idx_users_mail" ON "users"("mail")"#,
            ),
        ] {
            let found = advice(SCHEMA, sql);
            assert_eq!(found.len(), 1, "{sql}: {found:?}");
            assert!(
                found[0].starts_with(expected.trim_end_matches(')')),
                "{sql}: {found:?}"
            );
        }
    }

    #[test]
    fn what_would_not_help_is_not_proposed() {
        for sql in [
            "SELECT * FROM users WHERE name = 'name7'",
            "SELECT * FROM users WHERE id = 7",
            "SELECT count(*) FROM users WHERE id < 5",
            "SELECT count(*) FROM users WHERE rowid < 5 ORDER BY rowid",
            "SELECT count(*) FROM keyless WHERE rowid < 5 ORDER BY oid",
            "SELECT * FROM users WHERE active = 1",
            "SELECT * FROM users WHERE mail LIKE '%x%'",
            "SELECT * FROM small WHERE k = 1",
            "SELECT * FROM users",
            "SELECT * FROM nothing WHERE a = 1",
            "DROP TABLE users",
        ] {
            assert_eq!(advice(SCHEMA, sql), Vec::<String>::new(), "{sql}");
        }
    }

    /// The planner would take a wider index than the one that is there, for hardly fewer rows.
    #[test]
    fn what_would_hardly_help_is_not_proposed() {
        let schema = format!("{SCHEMA} CREATE INDEX by_user ON trades(user_id); ANALYZE;");
        let sql = "SELECT * FROM trades WHERE user_id = 5 AND state = 'done'";
        assert_eq!(advice(&schema, sql), Vec::<String>::new());
        let sql = "SELECT * FROM trades WHERE user_id = 5 AND id + 0 > 7";
        assert_eq!(advice(&schema, sql), Vec::<String>::new());
    }

    #[test]
    fn one_index_serves_what_begins_alike() {
        let queries = [
            "SELECT * FROM trades WHERE user_id = 1",
            "SELECT * FROM trades WHERE user_id = 2 ORDER BY created_at",
        ];
        with(SCHEMA, |copy, live, existing| {
            let asked: Vec<_> = queries
                .iter()
                .map(|sql| {
                    let found = advise(copy, live, existing, sql).expect("asks");
                    ((*sql).to_owned(), found)
                })
                .collect();
            let all = together(copy, live, &asked).expect("asks");
            assert_eq!(all.len(), 1, "{all:?}");
            assert_eq!(all[0].queries, BTreeSet::from([0, 1]));
            assert_eq!(all[0].index.keys.len(), 2);
        });
    }

    /// The same tables and the same query: only what the statistics say decides.
    #[test]
    fn the_copy_plans_by_the_statistics_of_the_database() {
        for (telling, other) in [("ia", "ib"), ("ib", "ia")] {
            let schema = format!(
                "CREATE TABLE t(a, b); CREATE INDEX ia ON t(a); CREATE INDEX ib ON t(b); ANALYZE;
                 INSERT INTO sqlite_stat1 VALUES ('t', '{telling}', '100000 1'), ('t', '{other}', '100000 50000');"
            );
            with(&schema, |copy, _, _| {
                let plan = copy.explain("SELECT * FROM t WHERE a = 1 AND b = 2");
                let plan = plan.expect("explains");
                assert_eq!(plan.indices().collect::<Vec<_>>(), [telling]);
            });
        }
    }

    #[test]
    fn a_copy_survives_what_it_cannot_hold() {
        let schema = format!(
            "{SCHEMA} CREATE VIRTUAL TABLE f USING fts5(x); CREATE TABLE g(a, b AS (a + 1));
             CREATE TABLE w(a PRIMARY KEY, b) WITHOUT ROWID; CREATE TABLE \"idx_users_mail\"(x);"
        );
        with(&schema, |copy, _, _| {
            copy.explain("SELECT * FROM w WHERE a = 1")
                .expect("explains");
            assert_eq!(copy.left_out, ["f"]);
            assert!(copy.knows("MAIL") && copy.knows("open_trades") && !copy.knows("bob"));
        });
        let found = advice(&schema, "SELECT * FROM users WHERE mail = 'x'");
        assert_eq!(
            found,
            [r#"CREATE INDEX "idx_users_mail_2" ON "users"("mail")"#]
        );
    }
}
