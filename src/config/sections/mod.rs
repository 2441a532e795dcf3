//! One pure-data type a section. The list is what check, schema and init go through.

mod alerts;
mod app;
mod audit;
mod backup;
mod certs;
mod database;
mod health;
mod logs;
mod metrics;
mod redis;
mod runbooks;
mod schedule;
mod state;
mod verify;

pub use alerts::{Alerts, Channel, ChannelKind, Ping, Route, StartTls};
pub use app::App;
pub use audit::{Audit, NpmLevel};
pub use backup::{Backup, FileSource, Keep, Level};
pub use certs::Certs;
pub use database::{Database, Databases};
pub use health::{Health, Levels, Mount};
pub use logs::Logs;
pub use metrics::Metrics;
pub use redis::Redis;
pub use runbooks::Runbooks;
pub use schedule::{Schedule, schedule_names};
pub use state::State;
pub use verify::Verify;

use super::{Section, SectionEntry, section};

/// Every section there is, in the order of the file.
pub const ALL: &[SectionEntry] = &[
    section::<App>(),
    section::<State>(),
    section::<Metrics>(),
    section::<Databases>(),
    section::<Backup>(),
    section::<Verify>(),
    section::<Alerts>(),
    section::<Redis>(),
    section::<Certs>(),
    section::<Audit>(),
    section::<Logs>(),
    section::<Health>(),
    section::<Schedule>(),
    section::<Runbooks>(),
];
