//! What `access-audit` returns as `data`.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

use super::accounts::Account;
use super::actions::Action;

/// What `access-audit` returns as `data`.
#[derive(Default, Serialize, JsonSchema)]
pub struct Detail {
    /// Where the tables are.
    pub(super) database: String,
    /// Logins and actions from then on.
    #[schemars(with = "Option<String>")]
    pub(super) since: Option<Timestamp>,
    /// An account without a login from then on is idle.
    #[schemars(with = "Option<String>")]
    pub(super) idle_since: Option<Timestamp>,
    /// Null where there is no table of accounts.
    pub(super) accounts: Option<AccountsDetail>,
    /// Null where there is no table of login events.
    pub(super) logins: Option<LoginsDetail>,
    /// Null where there is no table of actions.
    pub(super) actions: Option<ActionsDetail>,
}

/// The accounts.
#[derive(Serialize, JsonSchema)]
pub(super) struct AccountsDetail {
    pub(super) table: String,
    pub(super) total: u64,
    pub(super) disabled: u64,
    /// With a login within the period; null where nothing says when somebody logged in.
    pub(super) active: Option<u64>,
    /// Without a login for too long; null as above.
    pub(super) idle: Option<u64>,
    /// Of the idle ones, those that never had one.
    pub(super) never: Option<u64>,
    /// The busiest.
    pub(super) listed_active: Vec<Account>,
    /// The longest idle.
    pub(super) listed_idle: Vec<Account>,
    /// Null where the table does not say who is one.
    pub(super) admins: Option<Vec<Account>>,
}

/// The login events.
#[derive(Serialize, JsonSchema)]
pub(super) struct LoginsDetail {
    pub(super) table: String,
    pub(super) time_format: Option<String>,
    /// Within the period.
    pub(super) succeeded: u64,
    /// Within the period.
    pub(super) failed: u64,
    /// The most first.
    pub(super) failed_by_user: Vec<Failed>,
    /// The most first.
    pub(super) failed_by_address: Vec<Failed>,
    /// Events without a moment or a user, and those for which there was no room.
    pub(super) left_out: u64,
}

/// Failed logins of one user, or from one address.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(super) struct Failed {
    /// Whose, or from where.
    pub(super) subject: String,
    /// How many within the period.
    pub(super) failed: u64,
    /// The most within `[access_audit] burst_within`, where that is a burst.
    pub(super) burst: Option<u64>,
    /// When that began.
    #[schemars(with = "Option<String>")]
    pub(super) burst_from: Option<Timestamp>,
    /// The first login of the same user, or from the same address, within an hour of that.
    #[schemars(with = "Option<String>")]
    pub(super) succeeded_at: Option<Timestamp>,
}

/// What administrators did.
#[derive(Serialize, JsonSchema)]
pub(super) struct ActionsDetail {
    pub(super) table: String,
    /// Within the period.
    pub(super) total: u64,
    /// Outside working hours.
    pub(super) outside_hours: u64,
    /// The most first.
    pub(super) by_actor: Vec<ByActor>,
    /// The newest first.
    pub(super) newest: Vec<Action>,
    /// The newest outside working hours first.
    pub(super) newest_outside_hours: Vec<Action>,
}

/// How much somebody did.
#[derive(Serialize, JsonSchema)]
pub(super) struct ByActor {
    pub(super) actor: String,
    pub(super) actions: u64,
}
