//! Access logs: one line a request, in any of the forms that servers write. Read from where the last run stopped, across
//! rotation, in pieces of fixed size; lines are counted by the time that they say, in minutes.

pub mod clock;
mod entry;
mod json;
mod line;
mod probes;
mod rates;
mod rotated;
mod survey;
mod table;
mod tail;

pub use clock::Clock;
pub use entry::{Entry, When};
pub use line::parse;
pub use probes::is_treasure;
pub use rates::{Minute, Paths, Rates, Reading, read};
pub use rotated::{History, every_line};
pub use survey::{Address, Endpoint, Survey, survey};
pub use table::{Counts, Row, Table};
pub use tail::{Lines, Piece, Position, Tail, tail};
