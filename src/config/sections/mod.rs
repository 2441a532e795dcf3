//! One pure-data type a section. The list is what check, schema and init go through.

mod alerts;
mod app;
mod backup;
mod database;
mod metrics;
mod runbooks;
mod schedule;
mod state;
mod verify;

pub use alerts::{Alerts, Channel, ChannelKind, Ping, Route, StartTls};
pub use app::App;
pub use backup::{Backup, FileSource, Keep, Level};
pub use database::{Database, Databases};
pub use metrics::Metrics;
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
    section::<Schedule>(),
    section::<Runbooks>(),
];
