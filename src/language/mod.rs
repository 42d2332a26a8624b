//! The pipeline language: config text in, a tree and all its errors out.
//!
//! This room knows text only. It has never heard of a plugin, a file system or an event: plugin and option names are
//! opaque words here, field references are parsed but not looked up, and `${VAR}` is resolved through a closure.
//! Parsing never fails as a whole; it yields whatever tree could be understood together with every error and warning,
//! and every node says where in the text it stands.

pub mod ast;
pub mod diagnostic;
pub mod field_path;
mod lint;
pub mod parse;
pub mod source;
pub mod substitute;
pub mod template;

pub use ast::{Config, Span};
pub use diagnostic::{Diagnostic, Severity, did_you_mean, render, to_json};
pub use field_path::{EscapeStyle, FieldPath, FieldPathError};
pub use parse::{ParseOptions, Parsed, parse};
pub use source::{Location, SourceMap};
pub use template::{Template, TemplatePart};
