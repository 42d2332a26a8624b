//! The contract between logmill and its plugins: what a plugin is given and what it must answer.
//!
//! A plugin is one file with an options struct (see [`options!`](crate::options)), an implementation of
//! [`Input`], [`Codec`], [`Filter`] or [`Output`], and one line in the [catalogue](crate::catalogue).

pub mod block;
pub mod build;
pub mod codec;
pub mod common;
pub mod filter;
pub mod input;
pub mod metrics;
pub mod options;
pub mod output;
pub mod sprintf;
#[cfg(test)]
pub mod testing;

pub use block::{Attr, Attrs, Block, Rec, Run};
pub use build::{Build, Catalogue, Ecs, Make, PluginKind, PluginSpec, Settings};
pub use codec::{Codec, DecodeCx, Framer, Framing};
pub use common::Common;
pub use filter::{Cx, Filter, Verdict, per_event};
pub use input::{Checkpoints, Fill, FillCx, Input, Source, StartCx, Started};
pub use metrics::PluginMetrics;
pub use options::{
    FieldRef, FromSetting, OptionSpec, Options, Pairs, Password, Setting, SettingKind, Status,
};
pub use output::{Body, Item, Output, SendCx};
pub use sprintf::Sprintf;
