//! What SQLite would do for a query, asked so that nothing of it can be done: the statement is compiled behind EXPLAIN QUERY PLAN
//! on a connection whose authorizer allows nothing but reading (<https://sqlite.org/c3ref/set_authorizer.html>), and only the plan
//! is stepped. Some PRAGMAs act while they are compiled: the authorizer is what stops those.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rusqlite::Connection;
use rusqlite::hooks::{AuthAction, AuthContext, Authorization};

use super::token::tokens;
use crate::sqlite;
use crate::sys::Stop;

/// One query; a view of views of views can keep the compiler busy for ever.
const LIMIT: Duration = Duration::from_secs(5);
const CHECK_EVERY: i32 = 1_000;
const MOST_STEPS: usize = 1_000;

/// What SQLite would do, step by step.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// In SQLite's order.
    pub steps: Vec<Step>,
    /// The same in SQLite's own words, in which there are no values.
    pub details: Vec<String>,
    /// Tables and columns that the query reads, also through views.
    pub reads: BTreeSet<(String, String)>,
}

/// One step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Every row of a table, or every entry of an index.
    Scan {
        /// The table; its alias where the table could not be told.
        table: String,
        /// In the order of this index.
        index: Option<String>,
    },
    /// Rows looked up.
    Search {
        /// As in a scan.
        table: String,
        /// By this index; none for the rowid.
        index: Option<String>,
        /// How many of its columns are compared.
        terms: usize,
    },
    /// An index that SQLite makes for this one query, each time anew.
    Automatic {
        /// As in a scan.
        table: String,
    },
    /// Rows collected and sorted in a temporary b-tree.
    Sort {
        /// `ORDER BY`, `GROUP BY`, `DISTINCT`, …
        what: String,
    },
    /// Anything else.
    Other,
}

impl Plan {
    /// The names of the indices that it uses.
    pub fn indices(&self) -> impl Iterator<Item = &str> {
        self.steps.iter().filter_map(|step| match step {
            Step::Scan { index, .. } | Step::Search { index, .. } => index.as_deref(),
            _ => None,
        })
    }

    /// Less is better: rows that are all read, indices made for once, sorting, and then how much of an index is used.
    pub(super) fn cost(&self, is_large: &dyn Fn(&str) -> bool) -> i64 {
        let each = self.steps.iter().map(|step| match step {
            Step::Scan { table, .. } if is_large(table) => 1_000_000,
            Step::Automatic { .. } => 10_000,
            Step::Sort { .. } => 100,
            Step::Search {
                index: Some(_),
                terms,
                ..
            } => -i64::try_from(*terms).unwrap_or(0),
            _ => 0,
        });
        each.sum()
    }
}

/// What the authorizer of an [`Explainer`] lets through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Gate {
    /// Reading, and nothing else.
    Select,
    /// Reading and changing rows, for statements that are compiled on an empty copy.
    Rows,
    /// Tables, views and indices too, as long as they are in this database.
    Schema,
}

/// What the compiler asked for while it compiled one statement.
#[derive(Default)]
struct Seen {
    reads: BTreeSet<(String, String)>,
    select: bool,
}

/// A connection on which somebody else's SQL may be compiled.
pub struct Explainer {
    pub(super) connection: Connection,
    seen: Arc<Mutex<Seen>>,
    gate: Arc<Mutex<Gate>>,
    until: Arc<Mutex<Option<Instant>>>,
}

impl Explainer {
    /// Reads only, and explains nothing but SELECT.
    pub fn live(path: &Path, stop: &Stop, patience: Duration) -> anyhow::Result<Self> {
        let connection = sqlite::open_readonly(path, stop, patience)?;
        // The schema is read now: what is wrong with it is told as what it is, and not as the fault of some query.
        connection
            .query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))
            .map_err(|error| sqlite::explain(error, path, stop))?;
        Ok(Self::on(connection, Gate::Select, stop)?)
    }

    pub(super) fn on(
        mut connection: Connection,
        gate: Gate,
        stop: &Stop,
    ) -> rusqlite::Result<Self> {
        let seen = Arc::new(Mutex::new(Seen::default()));
        let gate = Arc::new(Mutex::new(gate));
        let until = Arc::new(Mutex::new(None));
        let (noted, asked) = (Arc::clone(&seen), Arc::clone(&gate));
        connection.authorizer(Some(move |context: AuthContext<'_>| {
            match context.action {
                AuthAction::Read {
                    table_name,
                    column_name,
                } => {
                    let read = (table_name.to_owned(), column_name.to_owned());
                    held(&noted).reads.insert(read);
                }
                AuthAction::Select => held(&noted).select = true,
                _ => {}
            }
            allow(context.action, *held(&asked))
        }))?;
        let (stop, limit) = (stop.clone(), Arc::clone(&until));
        connection.progress_handler(
            CHECK_EVERY,
            Some(move || stop.asked() || held(&limit).is_some_and(|until| Instant::now() > until)),
        )?;
        Ok(Self {
            connection,
            seen,
            gate,
            until,
        })
    }

    pub(super) fn open_gate(&self, gate: Gate) {
        *held(&self.gate) = gate;
    }

    /// The plan of one statement, or in SQLite's words why there is none. The words may hold values out of the statement.
    pub fn explain(&self, sql: &str) -> Result<Plan, String> {
        *held(&self.seen) = Seen::default();
        *held(&self.until) = Some(Instant::now() + LIMIT);
        let details = self.details(sql);
        *held(&self.until) = None;
        let Seen { reads, select } = std::mem::take(&mut *held(&self.seen));
        let tables = reads.iter().map(|(table, _)| table.as_str()).collect();
        let aliases = aliases(sql, &tables);
        let details = details.map_err(|error| error.to_string())?;
        // VACUUM and its like ask for nothing that the authorizer could refuse. They would not be run either.
        if !select && *held(&self.gate) == Gate::Select {
            return Err("not a SELECT".into());
        }
        Ok(Plan {
            steps: details
                .iter()
                .map(|detail| step(detail, &tables, &aliases))
                .collect(),
            details,
            reads,
        })
    }

    fn details(&self, sql: &str) -> rusqlite::Result<Vec<String>> {
        let mut statement = self
            .connection
            .prepare(&format!("EXPLAIN QUERY PLAN {sql}"))?;
        // Whatever stands in the text: what is stepped below is a listing and no program.
        if statement.is_explain() != 2 {
            return Err(rusqlite::Error::InvalidQuery);
        }
        let mut rows = statement.raw_query();
        let mut found = Vec::new();
        while let Some(row) = rows.next()? {
            if found.len() < MOST_STEPS {
                found.push(row.get(3)?);
            }
        }
        Ok(found)
    }
}

fn held<T>(lock: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    lock.lock().unwrap_or_else(PoisonError::into_inner)
}

fn allow(action: AuthAction<'_>, gate: Gate) -> Authorization {
    let fine = match action {
        AuthAction::Select | AuthAction::Read { .. } | AuthAction::Recursive => true,
        AuthAction::Function { function_name } => {
            !function_name.eq_ignore_ascii_case("load_extension")
        }
        AuthAction::Insert { .. } | AuthAction::Update { .. } | AuthAction::Delete { .. } => {
            gate != Gate::Select
        }
        AuthAction::CreateTable { .. }
        | AuthAction::CreateView { .. }
        | AuthAction::CreateIndex { .. }
        | AuthAction::DropIndex { .. }
        | AuthAction::Reindex { .. }
        | AuthAction::Analyze { .. } => gate == Gate::Schema,
        _ => false,
    };
    match fine {
        true => Authorization::Allow,
        false => Authorization::Deny,
    }
}

/// Alias to table, as far as the text says: a table's name, AS or not, and another name.
pub(super) fn aliases(sql: &str, tables: &BTreeSet<&str>) -> Vec<(String, String)> {
    let tokens = tokens(sql);
    let mut found = Vec::new();
    for (at, token) in tokens.iter().enumerate() {
        let name = token.name();
        let Some(table) = tables
            .iter()
            .find(|table| table.eq_ignore_ascii_case(&name))
        else {
            continue;
        };
        let mut behind = tokens.get(at + 1);
        if behind.is_some_and(|token| token.is_word("as")) {
            behind = tokens.get(at + 2);
        }
        let alias = behind.map(super::token::Token::name).unwrap_or_default();
        if !alias.is_empty() {
            found.push((alias, (*table).to_owned()));
        }
    }
    found
}

/// One line of EXPLAIN QUERY PLAN (<https://sqlite.org/eqp.html>).
fn step(detail: &str, tables: &BTreeSet<&str>, aliases: &[(String, String)]) -> Step {
    let table_of = |shown: &str| {
        let is = |name: &str| name.eq_ignore_ascii_case(shown);
        let table = tables.iter().find(|table| is(table)).copied();
        let alias = aliases.iter().find(|(alias, _)| is(alias));
        table
            .or(alias.map(|(_, table)| table.as_str()))
            .unwrap_or(shown)
            .to_owned()
    };
    if let Some(what) = detail.strip_prefix("USE TEMP B-TREE FOR ") {
        return Step::Sort { what: what.into() };
    }
    let (searches, rest) = match (detail.strip_prefix("SEARCH "), detail.strip_prefix("SCAN ")) {
        (Some(rest), _) => (true, rest),
        (_, Some(rest)) => (false, rest),
        _ => return Step::Other,
    };
    let rest = rest.strip_suffix(" LEFT-JOIN").unwrap_or(rest);
    let (shown, using) = rest.split_once(" USING ").unwrap_or((rest, ""));
    let number_of_rows = shown
        .split_whitespace()
        .next()
        .is_some_and(|word| word.parse::<u64>().is_ok());
    if shown.starts_with('(') || shown.contains("CONSTANT ROW") || number_of_rows {
        return Step::Other;
    }
    if shown.contains(" VIRTUAL TABLE INDEX ") {
        return Step::Other;
    }
    let table = table_of(shown);
    if using.starts_with("AUTOMATIC ") {
        return Step::Automatic { table };
    }
    let (index, terms) = using.rsplit_once(" (").unwrap_or((using, ""));
    let index = index
        .strip_prefix("COVERING INDEX ")
        .or_else(|| index.strip_prefix("INDEX "))
        .map(str::to_owned);
    match searches {
        false if !tables.contains(table.as_str()) => Step::Other,
        false => Step::Scan { table, index },
        true => Step::Search {
            table,
            index,
            terms: terms.split(" AND ").count(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queries::token;

    fn scene(schema: &str) -> (tempfile::TempDir, std::path::PathBuf) {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("app.db");
        let connection = Connection::open(&path).expect("creates");
        connection.execute_batch(schema).expect("sets up");
        (folder, path)
    }

    fn live(path: &Path) -> Explainer {
        Explainer::live(path, &Stop::after(Duration::from_secs(60)), Duration::ZERO).expect("opens")
    }

    #[test]
    fn steps_are_read_with_their_tables() {
        let (_folder, path) = scene(
            "CREATE TABLE \"my t\"(id INTEGER PRIMARY KEY, a, b); CREATE INDEX \"i (x)\" ON \"my t\"(a, b);
             CREATE TABLE u(id INTEGER PRIMARY KEY, x); CREATE VIEW v AS SELECT x FROM u WHERE x > 1;",
        );
        let explainer = live(&path);
        let plan = explainer
            .explain("SELECT q.a FROM \"my t\" AS q WHERE q.a = 1 AND q.b > 2 ORDER BY q.id")
            .expect("explains");
        assert_eq!(
            plan.steps,
            [
                Step::Search {
                    table: "my t".into(),
                    index: Some("i (x)".into()),
                    terms: 2
                },
                Step::Sort {
                    what: "ORDER BY".into()
                }
            ]
        );
        assert!(plan.reads.contains(&("my t".into(), "b".into())));
        let plan = explainer.explain("SELECT * FROM v").expect("explains");
        assert_eq!(
            plan.steps,
            [Step::Scan {
                table: "u".into(),
                index: None
            }]
        );
        let plan = explainer
            .explain(
                "SELECT * FROM u JOIN (SELECT x AS y FROM u LIMIT 9) ON x = y, (VALUES (1), (2))",
            )
            .expect("explains");
        assert!(plan.steps.contains(&Step::Other));
        assert_eq!(token::tokens("a").len(), 1);
    }

    #[test]
    fn nothing_but_select_is_compiled_and_nothing_at_all_is_run() {
        let (folder, path) = scene(
            "CREATE TABLE t(x); INSERT INTO t VALUES (1);
             CREATE TRIGGER g AFTER DELETE ON t BEGIN INSERT INTO t VALUES (2); END;
             CREATE VIEW endless AS WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c) SELECT n FROM c;",
        );
        let explainer = live(&path);
        let other = folder.path().join("other.db");
        for sql in [
            "DELETE FROM t",
            "SELECT 1; DELETE FROM t",
            "INSERT INTO t SELECT 3",
            "PRAGMA query_only=OFF",
            "PRAGMA writable_schema=ON",
            "DROP TABLE t",
            "VACUUM",
            "BEGIN",
            &format!("ATTACH '{}' AS o", other.display()),
            &format!("VACUUM INTO '{}'", other.display()),
            "SELECT load_extension('/tmp/x.so')",
            "EXPLAIN SELECT 1",
            "",
            "; DELETE FROM t",
            "SELECT \0 1",
        ] {
            let answer = explainer.explain(sql);
            assert!(answer.is_err(), "{sql}: {answer:?}");
        }
        explainer
            .explain("SELECT count(*) FROM endless")
            .expect("is not run");
        assert!(!other.exists());
        let connection = Connection::open(&path).expect("opens");
        let sum: i64 = connection
            .query_row("SELECT sum(x) FROM t", [], |row| row.get(0))
            .expect("reads");
        assert_eq!(sum, 1);
    }

    #[test]
    fn a_query_that_never_stops_growing_is_given_up() {
        let mut schema = String::from("CREATE TABLE v0(x);");
        for level in 1..40 {
            let below = level - 1;
            schema += &format!(
                "CREATE VIEW v{level} AS SELECT x FROM v{below} UNION ALL SELECT x FROM v{below};"
            );
        }
        let (_folder, path) = scene(&schema);
        let explainer = live(&path);
        assert!(explainer.explain("SELECT * FROM v39").is_err());
        let nested = format!("SELECT {}1{}", "(".repeat(50_000), ")".repeat(50_000));
        assert!(explainer.explain(&nested).is_err());
        explainer.explain("SELECT x FROM v0").expect("goes on");
    }
}
