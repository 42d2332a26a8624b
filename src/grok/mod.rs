//! Grok: named patterns, and the regular expressions in Ruby's syntax that they and the rest of a configuration use.

mod classes;
mod ir;
mod linear;
mod matcher;
mod program;
pub mod ruby;
mod syntax;
