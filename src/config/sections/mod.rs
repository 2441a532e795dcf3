//! One pure-data type a section. The list is what check, schema and init go through.

mod alerts;
mod app;
mod audit;
mod backup;
mod cache;
mod certs;
mod data_clean;
mod database;
mod gpu;
mod health;
mod logs;
mod metrics;
mod optimize;
mod redis;
mod runbooks;
mod schedule;
mod state;
mod verify;

pub use alerts::{Alerts, Channel, ChannelKind, Ping, Route, StartTls};
pub use app::App;
pub use audit::Audit;
pub use backup::{Backup, FileSource, Keep, Level};
pub use cache::{Cache, CacheAction, CacheRule, Condition};
pub use certs::Certs;
pub use data_clean::{CleanAction, DataClean, Nulls, Rule};
pub use database::{Database, Databases};
pub use gpu::{Better, Gpu};
pub use health::{Health, Levels, Mount};
pub use logs::Logs;
pub use metrics::Metrics;
pub use optimize::Optimize;
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
    section::<Optimize>(),
    section::<DataClean>(),
    section::<Alerts>(),
    section::<Redis>(),
    section::<Cache>(),
    section::<Certs>(),
    section::<Audit>(),
    section::<Gpu>(),
    section::<Logs>(),
    section::<Health>(),
    section::<Schedule>(),
    section::<Runbooks>(),
];
