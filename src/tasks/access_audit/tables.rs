//! Where an application keeps its accounts, logins and actions: the tables and columns that the configuration names, else those
//! with the usual names. Only ordinary tables: nothing bounds what reading a view does.

use std::collections::BTreeMap;

use rusqlite::Connection;

use crate::config::sections::AccessAudit;
use crate::sqlite::{self, Column, TableKind, quote};

/// A longer value is none: names, addresses and kinds are short.
const LONGEST: u32 = 1_024;

/// The usual names of a table, and of its columns by what they hold.
pub struct Usual {
    /// `users`, `logins`, `actions`: the part of the section.
    pub what: &'static str,
    /// What cannot be said without it.
    without: &'static str,
    tables: &'static [&'static str],
    columns: &'static [(&'static str, &'static [&'static str])],
    /// Without these it is of no use.
    needed: &'static [&'static str],
}

impl Usual {
    /// What cannot be said without it, as a sentence.
    pub fn without(&self) -> String {
        let missing = match self.what {
            "users" => "accounts",
            "logins" => "login events",
            _ => "actions",
        };
        format!("without a table of {missing}, {}", self.without)
    }
}

/// Accounts.
pub const USERS: Usual = Usual {
    what: "users",
    without: "who is active, idle or an administrator is not known",
    tables: &["users", "user", "accounts", "app_users", "members"],
    columns: &[
        ("id", &["id", "user_id", "uid", "account_id"]),
        (
            "name",
            &["username", "user_name", "login", "email", "mail", "name"],
        ),
        (
            "last_login",
            &[
                "last_login",
                "last_login_at",
                "lastlogin",
                "last_login_time",
                "last_signin_at",
                "last_sign_in_at",
                "last_seen",
                "last_seen_at",
            ],
        ),
        (
            "created",
            &[
                "created_at",
                "createdat",
                "created",
                "registered_at",
                "date_joined",
            ],
        ),
        (
            "admin",
            &["role", "roles", "user_role", "admin", "user_type"],
        ),
        (
            "admin_flag",
            &["is_admin", "isadmin", "is_superuser", "is_staff"],
        ),
        ("email", &["email", "mail", "email_address"]),
        (
            "status",
            &[
                "status",
                "state",
                "is_active",
                "isactive",
                "active",
                "enabled",
                "disabled",
                "is_disabled",
                "disabled_at",
                "deleted_at",
                "suspended",
                "locked",
                "banned",
            ],
        ),
    ],
    needed: &["name"],
};

/// Login events.
pub const LOGINS: Usual = Usual {
    what: "logins",
    without: "logins cannot be counted, and failed ones not seen",
    tables: &[
        "login_events",
        "login_attempts",
        "logins",
        "login_history",
        "login_log",
        "login_logs",
        "user_logins",
        "auth_events",
        "auth_log",
        "auth_logs",
    ],
    columns: &[
        (
            "user",
            &[
                "username",
                "user_name",
                "user_id",
                "userid",
                "user",
                "login",
                "email",
                "account",
                "account_id",
            ],
        ),
        (
            "time",
            &[
                "timestamp",
                "created_at",
                "createdat",
                "logged_in_at",
                "login_at",
                "login_time",
                "attempted_at",
                "occurred_at",
                "event_time",
                "time",
                "at",
            ],
        ),
        (
            "result",
            &[
                "success",
                "succeeded",
                "successful",
                "is_success",
                "is_successful",
                "was_successful",
                "login_success",
                "failed",
                "is_failed",
                "failure",
                "ok",
                "result",
                "outcome",
                "status",
                "event",
                "event_type",
                "action",
                "action_type",
                "type",
            ],
        ),
        (
            "address",
            &[
                "ip",
                "ip_address",
                "ipaddress",
                "address",
                "remote_addr",
                "remote_ip",
                "client_ip",
                "source_ip",
            ],
        ),
    ],
    needed: &["user", "time"],
};

/// What was done.
pub const ACTIONS: Usual = Usual {
    what: "actions",
    without: "what administrators did is not known",
    tables: &[
        "audit_log",
        "audit_logs",
        "audit",
        "audit_events",
        "activity_log",
        "admin_actions",
    ],
    columns: &[
        (
            "time",
            &[
                "timestamp",
                "created_at",
                "createdat",
                "occurred_at",
                "event_time",
                "time",
                "at",
            ],
        ),
        (
            "actor",
            &[
                "actor",
                "username",
                "user_name",
                "user_id",
                "userid",
                "user",
                "actor_id",
                "admin_id",
                "performed_by",
                "email",
            ],
        ),
        (
            "kind",
            &[
                "action_type",
                "actiontype",
                "category",
                "event_type",
                "type",
                "kind",
                "action",
            ],
        ),
        (
            "what",
            &[
                "action",
                "event",
                "operation",
                "description",
                "details",
                "message",
                "target",
            ],
        ),
    ],
    needed: &["time", "kind"],
};

/// A table that is there, with its columns by what they hold.
#[derive(Clone, Debug)]
pub struct Found {
    /// As it was declared.
    pub table: String,
    columns: BTreeMap<&'static str, Column>,
}

impl Found {
    /// The column that holds this, if there is one.
    pub fn column(&self, what: &str) -> Option<&str> {
        self.columns.get(what).map(|column| column.name.as_str())
    }

    /// True for a column of whole numbers, by SQLite's own rule for its affinity.
    pub fn is_whole(&self, what: &str) -> bool {
        let column = self.columns.get(what);
        column.is_some_and(|column| column.declared.to_ascii_uppercase().contains("INT"))
    }

    /// An SQL expression for it; NULL where there is none, or where its value is too long for what it should hold.
    pub fn short(&self, what: &str) -> String {
        self.column(what).map_or_else(
            || "NULL".to_owned(),
            |name| {
                let name = quote(name);
                format!("CASE WHEN octet_length({name}) <= {LONGEST} THEN {name} END")
            },
        )
    }
}

/// What was looked for.
pub enum Look {
    /// It is there.
    Found(Found),
    /// Nothing has one of the usual names.
    Absent,
    /// It is not what it should be: why, and whether the configuration named it.
    Unfit(String, bool),
}

/// Looks for it.
pub fn find(
    connection: &Connection,
    usual: &Usual,
    settings: &AccessAudit,
) -> rusqlite::Result<Look> {
    let named = named(usual.what, settings);
    let table = named.get("table").copied().flatten();
    let candidates: Vec<&str> = table.map_or_else(|| usual.tables.to_vec(), |table| vec![table]);
    let mut there = None;
    for candidate in candidates {
        there = sqlite::table_kind(connection, candidate)?;
        if there.is_some() {
            break;
        }
    }
    let section = format!("[access_audit.{}]", usual.what);
    let Some((name, kind)) = there else {
        return Ok(match table {
            Some(table) => {
                Look::Unfit(format!("there is no table {table} ({section} table)"), true)
            }
            None => Look::Absent,
        });
    };
    if !matches!(kind, TableKind::Table | TableKind::WithoutRowid) {
        let why = format!("{name} is not an ordinary table: nothing bounds what reading it does");
        return Ok(Look::Unfit(why, table.is_some()));
    }
    let columns = sqlite::columns(connection, &name)?;
    let has = |wanted: &str| {
        let found = columns
            .iter()
            .find(|column| column.name.eq_ignore_ascii_case(wanted));
        found.cloned()
    };
    let mut found = Found {
        table: name,
        columns: BTreeMap::new(),
    };
    for (what, usual_names) in usual.columns {
        let own = match named.get(what).copied().flatten() {
            Some(name) => match has(name) {
                Some(column) => Some(column),
                None => {
                    let why = format!("{} has no column {name} ({section} {what})", found.table);
                    return Ok(Look::Unfit(why, true));
                }
            },
            None => usual_names.iter().find_map(|name| has(name)),
        };
        if let Some(column) = own {
            found.columns.insert(what, column);
        }
    }
    if usual.what == "logins"
        && found.column("result").is_none()
        && found.table.to_ascii_lowercase().contains("attempt")
    {
        let why = format!(
            "{} has no column with a usual name for how an attempt ended: none of them counts as a login",
            found.table
        );
        return Ok(Look::Unfit(why, table.is_some()));
    }
    let lacking: Vec<_> = usual
        .needed
        .iter()
        .filter(|what| found.column(what).is_none())
        .copied()
        .collect();
    if !lacking.is_empty() {
        let names: Vec<_> = columns.iter().map(|column| column.name.as_str()).collect();
        let why = format!(
            "{} has no column with a usual name for: {}; it has: {}",
            found.table,
            lacking.join(", "),
            names.join(", ")
        );
        return Ok(Look::Unfit(why, table.is_some()));
    }
    Ok(Look::Found(found))
}

/// What the configuration names, by what it holds.
fn named<'a>(what: &str, settings: &'a AccessAudit) -> BTreeMap<&'static str, Option<&'a str>> {
    let (users, logins, actions) = (&settings.users, &settings.logins, &settings.actions);
    let list = match what {
        "users" => vec![
            ("table", &users.table),
            ("id", &users.id),
            ("name", &users.name),
            ("last_login", &users.last_login),
            ("created", &users.created),
            ("admin", &users.admin),
            ("status", &users.status),
        ],
        "logins" => vec![
            ("table", &logins.table),
            ("user", &logins.user),
            ("time", &logins.time),
            ("result", &logins.result),
            ("address", &logins.address),
        ],
        _ => vec![
            ("table", &actions.table),
            ("time", &actions.time),
            ("actor", &actions.actor),
            ("kind", &actions.kind),
            ("what", &actions.what),
        ],
    };
    list.into_iter()
        .map(|(key, value)| (key, value.as_deref()))
        .collect()
}
