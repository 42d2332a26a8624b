//! Helpers for the tests of codecs: config and bytes in, events out, and the other way round.

use std::sync::Arc;

use serde_json::Value as Json;

use crate::event::{Batch, Keys, Selection};
use crate::language::Diagnostic;
use crate::plugin::testing::{build, parse_plugin};
use crate::plugin::{Block, Catalogue, Codec, DecodeCx, Ecs, Framing, Make, PluginSpec};
use crate::time::Timestamp;

/// The arrival time that tests see.
pub const NOW: Timestamp = Timestamp {
    secs: 1_735_542_489,
    nanos: 0,
};

/// Builds a codec from its config.
pub fn make(
    ecs: Ecs,
    spec: PluginSpec,
    config: &str,
) -> (Option<Arc<dyn Codec>>, Keys, Vec<Diagnostic>) {
    let plugin = parse_plugin(config);
    let Make::Codec(make) = spec.make else {
        panic!("{} is no codec", spec.name)
    };
    build(Catalogue(&[]), ecs, |build| make(&plugin, build))
}

/// The messages of a config's errors.
pub fn errors(spec: PluginSpec, config: &str) -> String {
    let (codec, _, diagnostics) = make(Ecs::V8, spec, config);
    assert!(codec.is_none());
    diagnostics
        .iter()
        .map(|diagnostic| diagnostic.message.as_str())
        .collect::<Vec<_>>()
        .join("\n")
}

/// What becomes of bytes that are fed at once, in the default mode; arrival times and `@version` are left out.
pub fn decode(spec: PluginSpec, config: &str, framing: &Framing, bytes: &[u8]) -> Vec<Json> {
    decode_in(Ecs::V8, spec, config, framing, bytes)
}

/// [`decode`] in a given mode.
pub fn decode_in(
    ecs: Ecs,
    spec: PluginSpec,
    config: &str,
    framing: &Framing,
    bytes: &[u8],
) -> Vec<Json> {
    let (codec, keys, diagnostics) = make(ecs, spec, config);
    let codec = codec.unwrap_or_else(|| panic!("{diagnostics:?}"));
    let mut block = Block {
        buf: bytes.to_vec(),
        ..Block::default()
    };
    let mut framer = codec.framer(framing);
    framer.feed(&mut block, 0, 0);
    framer.flush(&mut block);
    decode_block(&*codec, keys, block, &["@timestamp", "@version"])
}

/// The events of a framed block; fields in `without` are left out where they tell nothing (the arrival time).
#[allow(
    clippy::needless_pass_by_value,
    reason = "tests hand over what they built"
)]
pub fn decode_block(codec: &dyn Codec, keys: Keys, block: Block, without: &[&str]) -> Vec<Json> {
    let mut batch = Batch::new(&keys);
    batch.reset(block.buf, NOW);
    let (mut buf, mut out) = (Vec::new(), Selection::default());
    let mut cx = DecodeCx {
        run: 0,
        buf: &mut buf,
        out: &mut out,
        blank: 0,
        failed: 0,
    };
    codec.decode(&mut batch, &block.recs, &mut cx);
    out.ids()
        .iter()
        .map(|&id| {
            let mut text = Vec::new();
            batch.write_event(id, &mut text);
            let mut json: Json = serde_json::from_slice(&text)
                .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&text)));
            if let Some(object) = json.as_object_mut() {
                object.retain(|name, value| {
                    !without.contains(&name.as_str())
                        || (name == "@timestamp" && value != "2024-12-30T07:08:09.000Z")
                });
            }
            json
        })
        .collect()
}

/// What an event is written as.
pub fn encode(spec: PluginSpec, config: &str, event: &Json) -> Vec<u8> {
    let (codec, keys, diagnostics) = make(Ecs::V8, spec, config);
    let codec = codec.unwrap_or_else(|| panic!("{diagnostics:?}"));
    let mut batch = Batch::new(&keys);
    let text = event.to_string();
    let len = u32::try_from(text.len()).expect("small");
    batch.reset(text.into_bytes(), NOW);
    let id = batch.new_event(0, 0);
    let text = batch.block_text(0, len);
    batch.decode_object(id, text).expect("an object");
    let (mut out, mut buf) = (Vec::new(), Vec::new());
    codec.encode(&mut batch, id, &mut out, &mut buf);
    out
}
