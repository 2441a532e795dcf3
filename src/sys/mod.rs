//! The only code that touches the world: files that survive, locks, space, processes, HTTP, signals.

pub mod files;
pub mod http;
pub mod lock;
pub mod machine;
pub mod net;
pub mod process;
pub mod scratch;
pub mod space;
pub mod stop;

pub use stop::Stop;
