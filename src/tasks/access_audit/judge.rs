//! What of it needs a person: findings, the memory of who was an administrator, and the detail for programs.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::Deserialize;

use super::accounts::{Account, Accounts};
use super::actions::{Action, Actions};
use super::bursts::{Burst, Failures};
use super::called::Called;
use super::detail::{AccountsDetail, ActionsDetail, ByActor, Detail, Failed, LoginsDetail};
use super::events::Events;
use super::scene::Scene;
use super::show;
use crate::alert;
use crate::context::Context;
use crate::error::missing;
use crate::report::{Finding, Reporter, Severity};
use crate::text::shorten;
use crate::units::{self, Length};

const IDLE: &str = "access.idle";
const DORMANT: &str = "access.dormant-admin";
const NEW: &str = "access.new-admin";
const BURST: &str = "access.burst";
const SUCCEEDED: &str = "access.burst-succeeded";
const WITHOUT_RIGHT: &str = "access.action-without-right";

/// Findings of one kind that are made; the number of all is said anyway.
const MOST: usize = 20;
const RANKED: usize = 100;
/// So few actors may all be strangers.
const FEW: usize = 3;

/// Everything that was read.
pub struct All<'a> {
    /// Its name.
    pub database: &'a str,
    /// What was looked at.
    pub scene: &'a Scene<'a>,
    /// If there is such a table.
    pub accounts: Option<Accounts>,
    /// If there is such a table.
    pub events: Option<Events>,
    /// If there is such a table.
    pub actions: Option<Actions>,
}

/// Finding and subject of the alerts that are open.
struct Open(BTreeSet<(String, String)>);

impl Open {
    fn has(&self, id: &str, subject: &str) -> bool {
        self.0.contains(&(id.to_owned(), subject.to_owned()))
    }

    /// The first, and further down those that are open: nothing is well for having come down the list.
    fn told<T>(
        &self,
        id: &str,
        all: impl Iterator<Item = T>,
        subject: impl Fn(&T) -> &str,
    ) -> Vec<T> {
        all.enumerate()
            .filter(|(at, one)| *at < MOST || self.has(id, subject(one)))
            .map(|(_, one)| one)
            .collect()
    }
}

impl All<'_> {
    /// Judges, shows, remembers.
    pub fn report(self, context: &Context, report: &Reporter) -> anyhow::Result<()> {
        let nothing = self.accounts.is_none() && self.events.is_none() && self.actions.is_none();
        // A server without accounts of its own has nothing to audit; findings say what was looked for.
        if nothing && self.scene.settings.names_any() {
            return Err(missing(format!(
                "{} has neither accounts nor login events nor actions that could be audited",
                self.database
            ))
            .hint("[access_audit] names database, tables and columns")
            .into());
        }
        let open = Open(alert::open(&context.state).into_iter().collect());
        let logins = match &self.events {
            None => None,
            Some(events) => Some(self.logins(events, &open, report)?),
        };
        let mut detail = Detail {
            database: self.database.to_owned(),
            since: Some(self.scene.since),
            idle_since: Some(self.scene.idle_since),
            accounts: None,
            logins,
            actions: self
                .actions
                .as_ref()
                .map(|actions| self.actions(actions, &open, report)),
        };
        if let Some(accounts) = &self.accounts {
            self.idle(accounts, report);
            self.admins(accounts, context, &open, report)?;
        }
        detail.accounts = self.accounts.map(detail_of);
        show::documents(&detail, report);
        report.summarise(show::summary(&detail));
        report.detail(&detail)
    }

    /// Accounts by what the words of a column call them.
    fn names(&self, of: impl Fn(&Accounts) -> &Called) -> BTreeMap<String, String> {
        let accounts = self.accounts.as_ref();
        accounts.map_or_else(BTreeMap::new, |accounts| of(accounts).names.clone())
    }

    fn idle(&self, accounts: &Accounts, report: &Reporter) {
        report.measure("access_accounts", accounts.total as f64, "", []);
        if !accounts.knows_logins {
            return;
        }
        report.examined(IDLE, self.database);
        report.measure("access_active", accounts.active as f64, "", []);
        report.measure("access_idle", accounts.idle as f64, "", []);
        let usable = units::count(accounts.total - accounts.disabled, "usable account");
        let (limit, period) = (&self.scene.settings.idle_after, &self.scene.settings.period);
        let (message, hint) = match (accounts.idle, accounts.active) {
            (0, _) => return,
            (_, 0) => (
                format!(
                    "none of {usable} has a login in the last {period}: who is idle cannot be told"
                ),
                "does the application still write logins down? [access_audit] names tables and columns",
            ),
            (idle, _) => (
                format!(
                    "{idle} of {usable} idle: {} never logged in, {} not for {limit}",
                    accounts.never,
                    idle - accounts.never
                ),
                "disable or delete those that nobody needs: empire-maint access-audit --json lists them",
            ),
        };
        let finding = Finding::new(IDLE, Severity::Low, self.database, message);
        report.find(finding.measured(accounts.idle as f64, "", 0.0).hint(hint));
    }

    /// New administrators, told by those that the last run knew; the first run goes by when the account was made. One stays new for
    /// the whole period: a next run alone is nobody who has looked.
    fn admins(
        &self,
        accounts: &Accounts,
        context: &Context,
        open: &Open,
        report: &Reporter,
    ) -> anyhow::Result<()> {
        if !accounts.knows_admins {
            return Ok(());
        }
        let (scene, key) = (self.scene, format!("admins:{}", self.database));
        report.measure("access_admins", accounts.admins.len() as f64, "", []);
        let known = context
            .recall(&key)
            .and_then(|value| serde_json::from_value::<Known>(value).ok());
        // Since when each is one; none for those that always were.
        let since: BTreeMap<&str, Option<Timestamp>> = accounts
            .admins
            .iter()
            .map(|account| {
                (
                    account.key.as_str(),
                    since(account, known.as_ref(), context),
                )
            })
            .collect();
        let is_new = |account: &&Account| since[account.key.as_str()] >= Some(scene.since);
        let date = |at: Timestamp| at.to_zoned(context.zone.clone()).date();
        let new = accounts.admins.iter().filter(is_new);
        for account in open.told(NEW, new, |account| &account.name) {
            let when = match (account.created, since[account.key.as_str()]) {
                (Some(at), _) if at >= scene.since => format!(", made on {}", date(at)),
                (_, Some(at)) if at < context.now => format!(", seen first on {}", date(at)),
                _ => ", who was none when this was last looked at".to_owned(),
            };
            let message = format!("{} is a new administrator{when}", account.name);
            report.find(
                Finding::new(NEW, Severity::Medium, &*account.name, message)
                    .hint("who granted that? the admin actions of this report may say so"),
            );
        }
        let looked_at = |id| match accounts.too_many_admins {
            false => report.examined_all(id),
            true => {
                let names = accounts.admins.iter().map(|account| &*account.name);
                names.for_each(|name| report.examined(id, name));
            }
        };
        looked_at(NEW);
        // Where nobody logs in at all, the application no longer writes that down.
        if accounts.knows_logins && accounts.active > 0 {
            looked_at(DORMANT);
            let dormant = |account: &&Account| account.is_idle(scene.idle_since);
            let dormant = accounts.admins.iter().filter(dormant);
            for account in open.told(DORMANT, dormant, |account| &account.name) {
                let when = match account.last_login {
                    Some(at) => format!(
                        "has not logged in since {}",
                        at.to_zoned(context.zone.clone()).date()
                    ),
                    None => "has never logged in".to_owned(),
                };
                report.find(
                    Finding::new(
                        DORMANT,
                        Severity::Medium,
                        &*account.name,
                        format!(
                            "the administrator {} {when} (limit {})",
                            account.name, scene.settings.idle_after
                        ),
                    )
                    .hint("disable the account, or take its rights away"),
                );
            }
        }
        if context.learns() && !accounts.too_many_admins {
            report.remember(key, serde_json::to_value(&since)?);
        }
        Ok(())
    }

    fn logins(
        &self,
        events: &Events,
        open: &Open,
        report: &Reporter,
    ) -> anyhow::Result<LoginsDetail> {
        let settings = self.scene.settings;
        let names = self.names(|accounts| &accounts.users);
        report.measure("access_logins", events.succeeded as f64, "", []);
        report.measure("access_logins_failed", events.failed as f64, "", []);
        let within = i64::try_from(settings.burst_within.0.as_secs().div_ceil(60)).unwrap_or(1);
        let bursts = |failures: &Failures| -> Vec<(String, u64, Option<Burst>)> {
            let with = failures.ranked().into_iter().map(|(subject, number)| {
                let burst = failures.burst(subject, within, settings.burst);
                (subject.to_owned(), number, burst)
            });
            // A few at once say more than many over a month.
            let shown =
                |(at, one): &(usize, (_, _, Option<Burst>))| *at < RANKED || one.2.is_some();
            with.enumerate().filter(shown).map(|(_, one)| one).collect()
        };
        let (users, addresses) = (bursts(&events.by_user), bursts(&events.by_address));
        let (after_user, after_address) =
            events.succeeded_after(self.scene, &only(&users), &only(&addresses))?;
        let told = |kind: &str, list: Vec<(String, u64, Option<Burst>)>, after: &BTreeMap<_, _>| {
            let mut found: Vec<Failed> = Vec::new();
            for (key, number, burst) in list {
                let subject = names
                    .get(&key)
                    .filter(|_| kind == "user")
                    .unwrap_or(&key)
                    .clone();
                found.push(Failed {
                    succeeded_at: after.get(&key).copied(),
                    burst: burst.as_ref().map(|burst| burst.number),
                    burst_from: burst.map(|burst| burst.from),
                    failed: number,
                    subject,
                });
            }
            let mut bursts: Vec<_> = found.iter().filter(|one| one.burst.is_some()).collect();
            bursts.sort_by_key(|one| one.succeeded_at.is_none());
            let bursts = bursts.into_iter().map(|one| self.burst(kind, one));
            for (at, finding) in bursts.enumerate() {
                if at < MOST || open.has(finding.id, &finding.subject) {
                    report.find(finding);
                }
            }
            found.truncate(RANKED);
            found
        };
        // Where some could not be counted, whose burst is over cannot be told.
        let uncounted = events.by_user.left_out + events.by_address.left_out;
        if uncounted == 0 {
            report.examined_all(BURST);
            report.examined_all(SUCCEEDED);
        }
        Ok(LoginsDetail {
            table: events.found.table.clone(),
            time_format: events.format.map(|format| format.to_string()),
            succeeded: events.succeeded,
            failed: events.failed,
            failed_by_user: told("user", users, &after_user),
            failed_by_address: told("address", addresses, &after_address),
            left_out: events.left_out + uncounted,
        })
    }

    /// Actors that are no account. Where none of them is one, the two tables do not call people the same.
    fn strangers(&self, actions: &Actions, accounts: &Accounts, open: &Open, report: &Reporter) {
        let find = |subject: &str, message: String, hint: &str| {
            report.find(Finding::new(WITHOUT_RIGHT, Severity::Medium, subject, message).hint(hint));
        };
        let strangers: Vec<&String> = accounts.strangers.values().flatten().collect();
        if strangers.len() > FEW && strangers.len() == actions.actors.len() {
            let message = format!(
                "none of the {} of {} is an account of {}: who may do that cannot be told",
                units::count(strangers.len() as u64, "actor"),
                actions.found.table,
                accounts.table
            );
            let hint =
                "[access_audit.actions] actor names the column with the account's name or id";
            return find(&actions.found.table, message, hint);
        }
        let strangers = strangers.into_iter().map(|actor| shorten(actor, 100));
        for shown in open.told(WITHOUT_RIGHT, strangers, |shown| shown) {
            let message = format!(
                "{shown} did what only administrators may do, and is no account of {}",
                accounts.table
            );
            find(
                &shown,
                message,
                "was it deleted since? the admin actions of this report",
            );
        }
    }

    fn burst(&self, kind: &str, one: &Failed) -> Finding {
        let settings = self.scene.settings;
        let number = one.burst.unwrap_or(0);
        let whose = if kind == "user" {
            "of the user"
        } else {
            "from the address"
        };
        let subject = format!("{kind} {}", shorten(&one.subject, 100));
        let from = one
            .burst_from
            .map(|at| format!(" from {at} on"))
            .unwrap_or_default();
        let message = format!(
            "{number} failed logins {whose} {} within {}{from} (limit {})",
            shorten(&one.subject, 100),
            Length(settings.burst_within.0),
            settings.burst
        );
        let finding = match one.succeeded_at {
            None => Finding::new(BURST, Severity::Medium, subject, message),
            Some(at) => Finding::new(
                SUCCEEDED,
                Severity::High,
                subject,
                format!("{message}, and a login that succeeded at {at}"),
            ),
        };
        let hint = match one.succeeded_at {
            None => "empire-maint access-audit --json | jq .data.logins: who, from where, when",
            Some(_) => "was that its owner? else end its sessions and change its password",
        };
        finding
            .measured(number as f64, "", settings.burst as f64)
            .hint(hint)
    }

    fn actions(&self, actions: &Actions, open: &Open, report: &Reporter) -> ActionsDetail {
        report.measure("access_admin_actions", actions.total as f64, "", []);
        report.measure(
            "access_admin_actions_outside_hours",
            actions.outside as f64,
            "",
            [],
        );
        let names = self.names(|accounts| &accounts.actors);
        if let Some(accounts) = self
            .accounts
            .as_ref()
            .filter(|accounts| accounts.knows_admins)
        {
            report.examined_all(WITHOUT_RIGHT);
            let without = accounts.actors_without_right.iter();
            for name in open.told(WITHOUT_RIGHT, without, |name| name) {
                let message = format!("{name} did what only administrators may do, and is none");
                report.find(
                    Finding::new(WITHOUT_RIGHT, Severity::Medium, &**name, message)
                        .hint("was it one then? the admin actions of this report"),
                );
            }
            self.strangers(actions, accounts, open, report);
        }
        let called = |action: &Action| {
            let mut action = action.clone();
            action.actor = action
                .actor
                .map(|actor| names.get(&actor).cloned().unwrap_or(actor));
            action
        };
        ActionsDetail {
            table: actions.found.table.clone(),
            total: actions.total,
            outside_hours: actions.outside,
            by_actor: actions
                .by_actor(&names)
                .into_iter()
                .take(RANKED)
                .map(|(actor, actions)| ByActor { actor, actions })
                .collect(),
            newest: actions.newest.iter().rev().map(called).collect(),
            newest_outside_hours: actions.newest_outside.iter().rev().map(called).collect(),
        }
    }
}

/// What a run has remembered of the administrators.
#[derive(Deserialize)]
#[serde(untagged)]
enum Known {
    /// By their keys, since when each is one.
    Since(BTreeMap<String, Option<Timestamp>>),
    /// By their names, as earlier versions did.
    Names(Vec<String>),
}

/// Since when an account is an administrator, as far as that is known and recent.
fn since(account: &Account, known: Option<&Known>, context: &Context) -> Option<Timestamp> {
    match known {
        None => account.created,
        Some(Known::Since(known)) => match known.get(&account.key) {
            Some(since) => *since,
            None => Some(context.now),
        },
        Some(Known::Names(names)) => match names.contains(&account.name) {
            true => None,
            false => Some(context.now),
        },
    }
}

fn only(list: &[(String, u64, Option<Burst>)]) -> BTreeMap<&str, &Burst> {
    list.iter()
        .filter_map(|(key, _, burst)| Some((key.as_str(), burst.as_ref()?)))
        .collect()
}

fn detail_of(accounts: Accounts) -> AccountsDetail {
    let known = |number: u64| accounts.knows_logins.then_some(number);
    AccountsDetail {
        active: known(accounts.active),
        idle: known(accounts.idle),
        never: known(accounts.never),
        table: accounts.table,
        total: accounts.total,
        disabled: accounts.disabled,
        listed_active: accounts.listed_active,
        listed_idle: accounts.listed_idle,
        admins: accounts.knows_admins.then_some(accounts.admins),
    }
}
