//! The maintenance plan as data: every line of it with its command, its time and how late it may be; when a rule is due; and
//! whether a line that was due has run; which lines have something to do on this server. Knows nothing of tasks: which commands
//! there are is handed in.

mod here;
mod plan;
mod rule;
mod standing;

pub use here::{Here, Planned, Role, installed};
pub use plan::{LINES, Line, Need, command_of, in_part};
pub use rule::{last_due, next_due};
pub use standing::{MISSED, Past, Standing, standing};
