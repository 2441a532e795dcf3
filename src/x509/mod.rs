//! Certificates, in files and as they are served: whole chains, by the second, with one judgement for everybody who asks.
//! Nothing here takes part in a handshake that anybody relies on: what is broken is read as well.

mod certificate;
mod chain;
mod files_of;
mod judge;
mod key;
mod life;
mod names;
mod served;
mod watch;

pub use crate::config::sections::Endpoint;
pub use certificate::{Certificate, Key};
pub use chain::{Authorities, Defect, flaws};
pub use files_of::authorities_of;
pub use judge::{file_not_served, is_meant, judge};
pub use life::{Stage, stage};
pub use served::served;
pub use watch::{Place, Seen, Watched};

/// Certificates that one chain may have.
const MOST: usize = 100;
