//! Every plugin, one line each. Nothing else in the tree names them all.

use crate::plugin::{Catalogue, PluginSpec};

/// All plugins.
pub const CATALOGUE: Catalogue = Catalogue(PLUGINS);

const PLUGINS: &[PluginSpec] = &[
    crate::inputs::file::SPEC,
    crate::inputs::generator::SPEC,
    crate::inputs::stdin::SPEC,
    crate::inputs::tcp::SPEC,
    crate::inputs::udp::SPEC,
    crate::codecs::cri::SPEC,
    crate::codecs::json::SPEC,
    crate::codecs::json_lines::SPEC,
    crate::codecs::line::SPEC,
    crate::codecs::multiline::SPEC,
    crate::codecs::otlp::SPEC,
    crate::codecs::plain::SPEC,
    crate::codecs::rubydebug::SPEC,
    crate::filters::date::SPEC,
    crate::filters::dissect::SPEC,
    crate::filters::drop::SPEC,
    crate::filters::geoip::SPEC,
    crate::filters::grok::SPEC,
    crate::filters::json::SPEC,
    crate::filters::kv::SPEC,
    crate::filters::mutate::SPEC,
    crate::filters::split::SPEC,
    crate::filters::time_window::SPEC,
    crate::outputs::elasticsearch::SPEC,
    crate::outputs::null::SPEC,
    crate::outputs::stdout::SPEC,
];
