//! One pure-data type a section. The list is what check, schema and init go through.

mod access_audit;
mod alerts;
mod app;
mod audit;
mod backup;
mod cache;
mod certs;
mod data_clean;
mod database;
mod deps;
mod gpu;
mod health;
mod logs;
mod metrics;
mod optimize;
mod query_review;
mod rag;
mod rag_duplicates;
mod rag_eval;
mod redis;
mod reports;
mod runbooks;
mod schedule;
mod state;
mod values;
mod verify;

pub use access_audit::{AccessAudit, WorkingHours};
pub use alerts::{Alerts, Channel, ChannelKind, Ping, Route, StartTls, known_channels};
pub use app::App;
pub use audit::{Allowed, Audit, NpmLevel};
pub use backup::{Backup, FileSource, Keep, Level};
pub use cache::{Cache, CacheAction, CacheRule, Condition};
pub use certs::{Certs, Endpoint};
pub use data_clean::{CleanAction, DataClean, Nulls, Rule};
pub use database::{Database, Databases};
pub use deps::Deps;
pub use gpu::{Better, Gpu};
pub use health::{Health, Levels, Mount};
pub use logs::Logs;
pub use metrics::Metrics;
pub use optimize::Optimize;
pub use query_review::QueryReview;
pub use rag::{EmbeddingApi, Rag, RagEmbedding, RagHash, RagQuality, RagStep, RagTables};
pub use rag_duplicates::{RagDuplicates, split as split_reference};
pub use rag_eval::{Measure, RagEval, RagNames};
pub use redis::Redis;
pub use reports::Reports;
pub use runbooks::Runbooks;
pub use schedule::{Schedule, Zone, schedule_names};
pub use state::State;
pub use verify::Verify;

use super::{Second, Section, SectionEntry, section};

/// Every section there is, in the order of the file.
pub const ALL: &[SectionEntry] = &[
    section::<App>(),
    section::<State>(),
    section::<Reports>(),
    section::<Metrics>(),
    section::<Databases>(),
    section::<Backup>(),
    section::<Verify>(),
    section::<Optimize>(),
    section::<DataClean>(),
    section::<Rag>(),
    section::<Alerts>(),
    section::<Redis>(),
    section::<Cache>(),
    section::<Certs>(),
    section::<Audit>(),
    section::<Deps>(),
    section::<Gpu>(),
    section::<Logs>(),
    section::<Health>(),
    section::<AccessAudit>(),
    section::<QueryReview>(),
    section::<Schedule>(),
    section::<Runbooks>(),
];
