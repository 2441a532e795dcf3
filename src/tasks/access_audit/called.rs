//! Which account a word of another table means. A name may be made of digits, and one's name may be another's address: a word means
//! the account that is called so in the way that the column most likely calls accounts.

use std::collections::{BTreeMap, HashMap};

use rusqlite::Row;

use super::tables::Found;
use super::values;

const ID: usize = 0;
const NAME: usize = 1;
const EMAIL: usize = 2;

/// What an account is called by, in lower case: its id, its name, its address.
pub type Calls = [Option<String>; 3];

/// Reads them from the first three columns.
pub fn calls(row: &Row<'_>) -> rusqlite::Result<Calls> {
    let word =
        |at| Ok::<_, rusqlite::Error>(values::word(row.get_ref(at)?).map(|it| it.to_lowercase()));
    Ok([word(ID)?, word(NAME)?, word(EMAIL)?])
}

/// The words of one column.
pub struct Called {
    /// What they are, the likeliest first.
    order: &'static [usize],
    /// Those that are there, with the likeliest that an account is called so.
    best: HashMap<String, usize>,
    /// Those that are there, to the names of their accounts.
    pub names: BTreeMap<String, String>,
}

impl Called {
    /// Of the column that holds this; none where there is no such table.
    pub fn by(found: Option<&Found>, what: &str, users: &Found) -> Self {
        let column = found.and_then(|found| found.column(what));
        let order: &[usize] = match column.map(str::to_ascii_lowercase) {
            None => &[],
            // The id of one who was deleted is nobody's name.
            Some(_)
                if users.column("id").is_some() && found.is_some_and(|it| it.is_whole(what)) =>
            {
                &[ID]
            }
            Some(column) if column.contains("mail") => &[EMAIL, NAME, ID],
            Some(column) if column.contains("name") || column == "login" => &[NAME, EMAIL, ID],
            Some(_) => &[ID, NAME, EMAIL],
        };
        Self {
            order,
            best: HashMap::new(),
            names: BTreeMap::new(),
        }
    }

    /// Notes what an account is called, as far as the column has it. All accounts are noted before any is asked for.
    pub fn note(&mut self, calls: &Calls, is_there: impl Fn(&str) -> bool) {
        for (rank, at) in self.order.iter().enumerate() {
            if let Some(word) = calls[*at].as_deref().filter(|word| is_there(word)) {
                let best = self.best.entry(word.to_owned()).or_insert(rank);
                *best = rank.min(*best);
            }
        }
    }

    /// The words that mean this account.
    pub fn words<'a>(&self, calls: &'a Calls) -> Vec<&'a str> {
        let ranked = self.order.iter().enumerate();
        ranked
            .filter_map(|(rank, at)| {
                let word = calls[*at].as_deref()?;
                (self.best.get(word) == Some(&rank)).then_some(word)
            })
            .collect()
    }
}
