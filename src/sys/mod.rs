//! The only code that touches the world: files that survive, locks, space, mounts, load, sockets, processes,
//! HTTP, signals.

pub mod beneath;
pub mod files;
pub mod http;
pub mod kernel;
pub mod load;
pub mod lock;
pub mod machine;
pub mod mounts;
pub mod net;
pub mod process;
pub mod scratch;
pub mod sockets;
pub mod space;
pub mod steady;
pub mod stop;
pub mod uncached;

pub use stop::Stop;
