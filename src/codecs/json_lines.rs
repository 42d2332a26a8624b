//! `json_lines`: a JSON text a line.

use std::sync::Arc;

use super::charset::Charset;
use super::framing::{LineFramer, line_delimiter, max_record_bytes};
use super::json::JsonDecoder;
use super::line::delimiter;
use crate::event::{Batch, EventId};
use crate::language::ast::Plugin;
use crate::options;
use crate::plugin::{
    Build, Codec, DecodeCx, FieldRef, Framer, Framing, Make, Options, PluginSpec, Rec,
};

options! {
    /// Options of the `json_lines` codec.
    pub struct Config {
        /// Character set of the input. Text that is not valid in UTF-8 is no JSON; other charsets are converted first.
        charset: Charset = "UTF-8";
        /// What ends a line, in and out. The file input cuts at its own `delimiter` instead.
        delimiter: String = "\n";
        /// Field under which the members of the object go. At top level when absent.
        target: Option<FieldRef>;
        /// Longest line, in bytes; of a longer one that many bytes arrive as the `message` of a flagged event. Where
        /// `pipeline.max_record_bytes` is smaller, that limit holds.
        decode_size_limit_bytes: usize = 536_870_912;
    }
}

/// `json_lines` for the catalogue.
pub const SPEC: PluginSpec = PluginSpec {
    name: "json_lines",
    about: "Each line that holds an object becomes an event, each that holds an array one event for each element. \
            What is not JSON becomes an event with the line as `message` and the tag `_jsonparsefailure`; blank lines \
            make none. For outputs it writes the event as JSON and the delimiter.",
    options: Config::specs,
    make: Make::Codec(make),
};

fn make(plugin: &Plugin, build: &mut Build<'_>) -> Option<Arc<dyn Codec>> {
    let config = Config::read(plugin, build)?;
    Some(Arc::new(JsonLines {
        objects: JsonDecoder {
            charset: config.charset,
            target: config.target,
            original: false,
        },
        delimiter: delimiter(config.delimiter),
        max: max_record_bytes(build.settings).min(config.decode_size_limit_bytes),
    }))
}

struct JsonLines {
    objects: JsonDecoder,
    delimiter: Vec<u8>,
    max: usize,
}

impl Codec for JsonLines {
    fn framer(&self, framing: &Framing) -> Box<dyn Framer> {
        let delimiter = line_delimiter(framing, &self.delimiter).unwrap_or(&self.delimiter);
        Box::new(LineFramer::new(delimiter, self.max))
    }

    fn decode(&self, batch: &mut Batch, recs: &[Rec], cx: &mut DecodeCx<'_>) {
        self.objects.decode(batch, recs, cx);
    }

    fn encode(&self, batch: &mut Batch, id: EventId, out: &mut Vec<u8>, _: &mut Vec<u8>) {
        batch.write_event(id, out);
        out.extend_from_slice(&self.delimiter);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::codecs::testing::{decode, encode};
    use crate::plugin::Framing;

    #[test]
    fn lines_become_events_without_an_original() {
        for framing in [
            Framing::Message,
            Framing::Stream,
            Framing::Lines(b"\n".to_vec()),
        ] {
            let events = decode(
                super::SPEC,
                "json_lines {}",
                &framing,
                b"{\"a\":1}\n\n{\"a\":2}",
            );
            assert_eq!(events, [json!({"a": 1}), json!({"a": 2})]);
        }
    }

    #[test]
    fn a_line_over_the_limit_arrives_flagged() {
        let config = "json_lines { decode_size_limit_bytes => 10 }";
        let events = decode(
            super::SPEC,
            config,
            &Framing::Stream,
            b"{\"long\":\"value\"}\n{\"a\":1}",
        );
        assert_eq!(
            events,
            [
                json!({"message": "{\"long\":\"v", "tags": ["_jsonparsefailure", "_record_cut"]}),
                json!({"a": 1})
            ]
        );
    }

    #[test]
    fn a_delimiter_of_two_bytes() {
        let config = "json_lines { delimiter => '||' target => 'doc' }";
        let events = decode(
            super::SPEC,
            config,
            &Framing::Stream,
            b"{\"a\":1}||{\"a\":2}",
        );
        assert_eq!(events, [json!({"doc": {"a": 1}}), json!({"doc": {"a": 2}})]);
        let text = String::from_utf8(encode(super::SPEC, config, &json!({"a": 1}))).unwrap();
        assert!(text.ends_with("}||"), "{text}");
    }
}
