//! What an application asks its database: the shape of a query without its literals, what SQLite would do for it, which index
//! would help, which indices help nobody. Looks and never runs a query of somebody else: a plan comes from a statement that is
//! compiled on a connection that allows nothing but reading, and never stepped.

mod advice;
mod copy;
mod explain;
mod hidden;
mod indices;
mod mentions;
mod shape;
mod token;

pub use advice::{Advice, FEW, advise, together};
pub use copy::{Candidate, Copy, believed_rows};
pub use explain::{Explainer, Plan, Step};
pub use hidden::{Hidden, has_parameters, might_use};
pub use indices::{Index, Needless, indices, needless};
pub use shape::{Shape, shape};
