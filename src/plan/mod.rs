//! From config text to an executable plan: immutable, printable, shared by all workers.
//!
//! The planner knows no plugin by name: the catalogue is handed to it.

mod compile;
pub mod condition;
mod print;

use std::sync::Arc;

pub use compile::{Compiled, PlanOptions, compile};
pub use condition::{CondError, Regexes, Test};

use crate::event::{Keys, Path};
use crate::grok::RubyRegex;
use crate::language::Span;
use crate::plugin::{Common, Filter, Input, Output, PluginMetrics, Sprintf};

/// A pipeline, ready to run.
pub struct Plan {
    /// All field names.
    pub keys: Arc<Keys>,
    /// Inputs in the order of the config.
    pub inputs: Vec<InputNode>,
    /// Filters in the order of the config.
    pub filters: Vec<FilterNode>,
    /// Outputs in the order of the config.
    pub outputs: Vec<OutputNode>,
    /// Conditions, by number.
    pub tests: Vec<TestNode>,
    /// Regexes of the conditions, by number.
    pub regexes: Vec<RubyRegex>,
}

/// A condition and where it stands.
pub struct TestNode {
    /// The condition.
    pub test: Test,
    /// Its source text.
    pub text: String,
}

/// An input and the program for its events.
pub struct InputNode {
    /// Id for metrics and logs.
    pub id: String,
    /// Plugin name.
    pub name: &'static str,
    /// The input.
    pub input: Box<dyn Input>,
    /// `type`, `add_field` and `tags` of the input.
    pub decoration: Decoration,
    /// Filters and outputs for its events; guards on what the input sets are decided.
    pub program: Program,
    /// Counters.
    pub metrics: Arc<PluginMetrics>,
}

/// What an input adds to each of its events, in this order: type, `add_field`, tags.
#[derive(Debug, Default)]
pub struct Decoration {
    /// `type`, set only where the event has none.
    pub kind: Option<Sprintf>,
    /// `type` as a path.
    pub kind_path: Option<Path>,
    /// `add_field` and (as `add_tag`) `tags`.
    pub common: Common,
}

/// A filter.
pub struct FilterNode {
    /// Id for metrics and logs.
    pub id: String,
    /// Plugin name.
    pub name: &'static str,
    /// The filter.
    pub filter: Box<dyn Filter>,
    /// Its common options.
    pub common: Common,
    /// Counters.
    pub metrics: Arc<PluginMetrics>,
}

/// An output.
pub struct OutputNode {
    /// Id for metrics and logs.
    pub id: String,
    /// Plugin name.
    pub name: &'static str,
    /// The output.
    pub output: Arc<dyn Output>,
    /// Counters.
    pub metrics: Arc<PluginMetrics>,
}

/// What happens to the events of one input.
#[derive(Debug, Default, Clone)]
pub struct Program {
    /// Filters.
    pub filters: Vec<Step>,
    /// Outputs; an event goes to every output that it reaches.
    pub outputs: Vec<Step>,
}

/// One step.
#[derive(Debug, Clone)]
pub enum Step {
    /// Run filter number n (in `outputs`: give to output number n).
    Plugin(usize),
    /// The first arm whose condition (by number) holds; else the last steps.
    Branch {
        /// Conditions and their steps.
        arms: Vec<(usize, Vec<Step>)>,
        /// Steps of `else`.
        otherwise: Vec<Step>,
    },
}

impl Plan {
    /// The ids of all plugins with their places, for error messages.
    #[must_use]
    pub fn describe(&self) -> String {
        print::plan(self)
    }
}

/// Where a plugin of the plan stands in the config.
#[derive(Clone, Copy, Debug)]
pub struct Place(pub Span);
