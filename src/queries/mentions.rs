//! Which columns of which tables a query compares, and by which it sorts: told from the words around their names. What is
//! missed or too much here costs nothing but a try: only SQLite's planner decides.

use std::collections::BTreeSet;

use super::token::{Kind, Token, tokens};

/// A column of a table, falling or not.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    /// As it was declared.
    pub column: String,
    /// From the largest on.
    pub falling: bool,
}

impl Key {
    /// A rising one.
    pub fn rising(column: &str) -> Self {
        Self {
            column: column.to_owned(),
            falling: false,
        }
    }
}

/// What a query does with the columns of one table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mentions {
    /// Compared with `=`, `IS` or `IN`, in the order of the text.
    pub equal: Vec<String>,
    /// Compared otherwise, or asked for the least or the most.
    pub range: Vec<String>,
    /// One entry an ORDER BY, GROUP BY or DISTINCT.
    pub order: Vec<Vec<Key>>,
}

impl Mentions {
    /// True where nothing would use an index.
    pub fn is_empty(&self) -> bool {
        self.equal.is_empty() && self.range.is_empty() && self.order.is_empty()
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Clause {
    Filter,
    Sort,
    Assign,
    Other,
}

/// What `sql` does with the columns of `table` that it is known to read. `names` are the table's own name and its aliases.
pub fn mentions(sql: &str, names: &[&str], columns: &BTreeSet<&str>) -> Mentions {
    let tokens = tokens(sql);
    let mut found = Mentions::default();
    let mut clause = Clause::Other;
    let mut outer = Vec::new();
    for (at, token) in tokens.iter().enumerate() {
        match token.kind {
            Kind::Sign if token.text == "(" => outer.push(clause),
            Kind::Sign if token.text == ")" => clause = outer.pop().unwrap_or(Clause::Other),
            Kind::Word => {
                if let Some(next) = begins(token) {
                    clause = next;
                    if next == Clause::Sort {
                        found.order.push(Vec::new());
                    }
                    continue;
                }
            }
            _ => {}
        }
        let name = token.name();
        let column = columns
            .iter()
            .find(|known| known.eq_ignore_ascii_case(&name));
        let Some(column) = column.filter(|_| !name.is_empty()) else {
            continue;
        };
        let Some(begin) = own_begin(&tokens, at, names) else {
            continue;
        };
        note(&mut found, &tokens, begin, at, clause, column);
    }
    found.order.retain(|keys| !keys.is_empty());
    found
}

/// The clause that this word begins.
fn begins(token: &Token<'_>) -> Option<Clause> {
    let is = |words: &[&str]| words.iter().any(|word| token.is_word(word));
    if is(&["where", "on", "having"]) {
        Some(Clause::Filter)
    } else if is(&["order", "group", "distinct"]) {
        Some(Clause::Sort)
    } else if is(&["set"]) {
        Some(Clause::Assign)
    } else if is(&[
        "select",
        "from",
        "limit",
        "offset",
        "union",
        "except",
        "intersect",
        "returning",
        "window",
        "values",
    ]) {
        Some(Clause::Other)
    } else {
        None
    }
}

/// Where the column at `at` begins, with what qualifies it; `None` where that is another table.
fn own_begin(tokens: &[Token<'_>], at: usize, names: &[&str]) -> Option<usize> {
    if at < 2 || !tokens[at - 1].is_sign(".") {
        return Some(at);
    }
    let qualifier = tokens[at - 2].name();
    let own = names
        .iter()
        .any(|name| name.eq_ignore_ascii_case(&qualifier));
    own.then_some(at - 2)
}

fn note(
    found: &mut Mentions,
    tokens: &[Token<'_>],
    begin: usize,
    at: usize,
    clause: Clause,
    column: &str,
) {
    let before = |steps: usize| begin.checked_sub(steps).and_then(|at| tokens.get(at));
    let behind = tokens.get(at + 1);
    let word = |token: Option<&Token<'_>>, words: &[&str]| {
        token.is_some_and(|token| words.iter().any(|word| token.is_word(word)))
    };
    let sign = |token: Option<&Token<'_>>, signs: &[&str]| {
        token.is_some_and(|token| signs.iter().any(|sign| token.is_sign(sign)))
    };
    let mut add = |equal: bool| {
        let list = match equal {
            true => &mut found.equal,
            false => &mut found.range,
        };
        if !list.iter().any(|known| known == column) {
            list.push(column.to_owned());
        }
    };
    let extreme = sign(before(1), &["("]) && word(before(2), &["min", "max"]);
    match clause {
        Clause::Assign => {}
        _ if extreme => add(false),
        Clause::Sort => {
            if let Some(keys) = found.order.last_mut() {
                keys.push(Key {
                    column: column.to_owned(),
                    falling: word(behind, &["desc"]),
                });
            }
        }
        _ => {
            let collated = word(behind, &["collate"]);
            let behind = if collated { tokens.get(at + 3) } else { behind };
            if sign(behind, &["=", "=="]) || word(behind, &["is", "in"]) {
                add(true);
            } else if sign(behind, &["<", ">", "<=", ">="])
                || word(behind, &["between", "like", "glob"])
            {
                add(false);
            } else if sign(before(1), &["=", "=="]) {
                add(true);
            } else if sign(before(1), &["<", ">", "<=", ">="]) {
                add(false);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comparisons_and_sorting_are_found() {
        let columns = BTreeSet::from(["user_id", "state", "at", "kind"]);
        let sql = "SELECT max(t.at), u.state FROM trades AS t JOIN users u ON u.id = t.user_id
            WHERE \"state\" IN (1, 2) AND u.kind = 3 AND 7 < t.at GROUP BY t.kind ORDER BY at DESC, t.state LIMIT 5";
        let found = mentions(sql, &["trades", "t"], &columns);
        assert_eq!(found.equal, ["user_id", "state"]);
        assert_eq!(found.range, ["at"]);
        let falling = Key {
            column: "at".into(),
            falling: true,
        };
        assert_eq!(
            found.order,
            [
                vec![Key::rising("kind")],
                vec![falling, Key::rising("state")]
            ]
        );
        let found = mentions(
            "UPDATE trades SET state = 1 WHERE kind = 2",
            &["trades"],
            &columns,
        );
        assert_eq!(found.equal, ["kind"]);
    }
}
