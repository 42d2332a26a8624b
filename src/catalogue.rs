//! Every plugin, one line each. Nothing else in the tree names them all.

use crate::plugin::{Catalogue, PluginSpec};

/// All plugins.
pub const CATALOGUE: Catalogue = Catalogue(PLUGINS);

const PLUGINS: &[PluginSpec] = &[
    crate::inputs::generator::SPEC,
    crate::inputs::stdin::SPEC,
    crate::codecs::json::SPEC,
    crate::codecs::json_lines::SPEC,
    crate::codecs::line::SPEC,
    crate::codecs::plain::SPEC,
    crate::codecs::rubydebug::SPEC,
    crate::outputs::elasticsearch::SPEC,
    crate::outputs::null::SPEC,
    crate::outputs::stdout::SPEC,
];
