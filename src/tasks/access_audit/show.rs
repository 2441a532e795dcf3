//! The same for people: a few tables and one line.

use super::accounts::Account;
use super::actions::Action;
use super::detail::{Detail, Failed};
use crate::report::{Cell, Document, Reporter, Table};
use crate::units;

/// Rows of each table.
const SHOWN: usize = 10;

/// One table a question.
pub fn documents(detail: &Detail, report: &Reporter) {
    let add = |title: String, columns: Vec<&'static str>, rows: Vec<Vec<Cell>>| {
        if !rows.is_empty() {
            report.document(Document::Table(Table {
                title,
                columns,
                rows,
            }));
        }
    };
    let text = |text: &str| Cell::Text(text.to_owned());
    let logins = |number: Option<u64>| number.map_or(Cell::Empty, Cell::Count);
    if let Some(accounts) = &detail.accounts {
        let rows = |list: &[Account]| {
            let row = |one: &Account| {
                vec![
                    text(&one.name),
                    logins(one.logins),
                    Cell::time(one.last_login),
                    text(if one.admin { "administrator" } else { "" }),
                ]
            };
            list.iter().take(SHOWN).map(row).collect()
        };
        const COLUMNS: [&str; 4] = ["account", "logins", "last login", ""];
        let of = |number: Option<u64>| {
            number.map_or_else(|| "not known".into(), |number| number.to_string())
        };
        let title = format!("active accounts: {}", of(accounts.active));
        add(title, COLUMNS.to_vec(), rows(&accounts.listed_active));
        let title = format!("idle accounts: {}", of(accounts.idle));
        add(title, COLUMNS.to_vec(), rows(&accounts.listed_idle));
        if let Some(admins) = &accounts.admins {
            let title = format!("administrators: {}", admins.len());
            add(title, COLUMNS.to_vec(), rows(admins));
        }
    }
    if let Some(logins) = &detail.logins {
        let rows = |list: &[Failed]| {
            let row = |one: &Failed| {
                vec![
                    text(&one.subject),
                    Cell::Count(one.failed),
                    one.burst
                        .map_or(Cell::Empty, |number| Cell::Bad(number.to_string())),
                    Cell::time(one.burst_from),
                ]
            };
            list.iter().take(SHOWN).map(row).collect()
        };
        let columns = |first| vec![first, "failed", "at once", "from"];
        add(
            "failed logins by user".into(),
            columns("user"),
            rows(&logins.failed_by_user),
        );
        add(
            "failed logins by address".into(),
            columns("address"),
            rows(&logins.failed_by_address),
        );
    }
    if let Some(actions) = &detail.actions {
        let row = |one: &Action| {
            vec![
                Cell::Time(one.at),
                one.actor.as_deref().map_or(Cell::Empty, text),
                text(&one.kind),
                one.what.as_deref().map_or(Cell::Empty, text),
                text(if one.outside_hours {
                    "outside working hours"
                } else {
                    ""
                }),
            ]
        };
        let title = format!(
            "admin actions: {}, of them {} outside working hours",
            actions.total, actions.outside_hours
        );
        let rows = actions.newest.iter().take(SHOWN).map(row).collect();
        add(title, vec!["at", "actor", "kind", "what", ""], rows);
    }
}

/// What was seen, and what could not be.
pub fn summary(detail: &Detail) -> String {
    let mut parts = Vec::new();
    match &detail.accounts {
        None => parts.push("no accounts to look at".to_owned()),
        Some(accounts) => {
            parts.push(units::count(accounts.total, "account"));
            match (accounts.active, accounts.idle) {
                (Some(active), Some(idle)) => parts.push(format!("{active} active, {idle} idle")),
                _ => parts.push("who is active is not known".to_owned()),
            }
            if let Some(admins) = &accounts.admins {
                parts.push(units::count(admins.len() as u64, "administrator"));
            }
        }
    }
    match &detail.logins {
        None => parts.push("no login events to count".to_owned()),
        Some(logins) => parts.push(format!(
            "{}, {} failed",
            units::count(logins.succeeded, "login"),
            logins.failed
        )),
    }
    match &detail.actions {
        None => parts.push("no actions to look at".to_owned()),
        Some(actions) => parts.push(units::count(actions.total, "admin action")),
    }
    parts.join("; ")
}
