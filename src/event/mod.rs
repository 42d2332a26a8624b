//! The event model: a batch owns the bytes of its events, and values are handles into it.
//!
//! Source of the rules: the Logstash event (`logstash-core/src/main/java/org/logstash/Event.java`),
//! field references and sprintf as its manual and its behaviour have them.

mod batch;
mod decode;
mod encode;
mod keys;
mod nodes;
mod path;
mod render;
pub mod scan;
mod shaped;
#[allow(
    unsafe_code,
    reason = "validated bytes become text without a second check"
)]
pub mod text;
mod value;

pub use batch::{Batch, EventId, Selection};
pub use decode::JsonRefused;
pub use keys::{Keys, Path, Slot, slot};
pub use path::SetError;
pub use render::java_double;
pub use value::{Kind, Space, Value};
