//! `line`: text, a line an event.

use std::sync::Arc;

use super::charset::Charset;
use super::framing::{LineFramer, line_delimiter, max_record_bytes};
use super::plain::{self, TextDecoder};
use crate::event::{Batch, EventId};
use crate::language::ast::Plugin;
use crate::options;
use crate::plugin::{
    Build, Codec, DecodeCx, Framer, Framing, Make, Options, PluginSpec, Rec, Sprintf,
};

options! {
    /// Options of the `line` codec.
    pub struct Config {
        /// Text to write for an event, with `%{…}` references. Without it an event is written as
        /// `<@timestamp> <host> <message>`.
        format: Option<Sprintf>;
        /// Character set of the input. In UTF-8, bytes that are not part of it become the text `\xNN`; of other
        /// charsets, what they do not know becomes U+FFFD.
        charset: Charset = "UTF-8";
        /// What ends a line, in and out. It is taken literally: a carriage return before a line feed stays in the
        /// `message`. The file input cuts at its own `delimiter` instead.
        delimiter: String = "\n";
        /// Whether `[event][original]` is set too when ECS compatibility is on. An option of logmill's own.
        keep_original: bool = true;
    }
}

/// `line` for the catalogue.
pub const SPEC: PluginSpec = PluginSpec {
    name: "line",
    about: "Takes each line as the `message` of one event, and with ECS compatibility as its `[event][original]` \
            too. A line that is not ended counts when its stream or message ends. For outputs it writes `format` and \
            the delimiter.",
    options: Config::specs,
    make: Make::Codec(make),
};

fn make(plugin: &Plugin, build: &mut Build<'_>) -> Option<Arc<dyn Codec>> {
    let config = Config::read(plugin, build)?;
    Some(Arc::new(Line {
        text: TextDecoder::new(config.charset, config.keep_original, build),
        format: config.format,
        delimiter: delimiter(config.delimiter),
        max: max_record_bytes(build.settings),
    }))
}

/// The bytes of a delimiter; an empty one stands for a line feed.
pub(super) fn delimiter(text: String) -> Vec<u8> {
    if text.is_empty() {
        b"\n".to_vec()
    } else {
        text.into_bytes()
    }
}

struct Line {
    text: TextDecoder,
    format: Option<Sprintf>,
    delimiter: Vec<u8>,
    max: usize,
}

impl Codec for Line {
    fn framer(&self, framing: &Framing) -> Box<dyn Framer> {
        let delimiter = line_delimiter(framing, &self.delimiter).unwrap_or(&self.delimiter);
        Box::new(LineFramer::new(delimiter, self.max))
    }

    fn decode(&self, batch: &mut Batch, recs: &[Rec], cx: &mut DecodeCx<'_>) {
        self.text.decode(batch, recs, cx);
    }

    fn encode(&self, batch: &mut Batch, id: EventId, out: &mut Vec<u8>, _: &mut Vec<u8>) {
        plain::encode(self.format.as_ref(), batch, id, out);
        out.extend_from_slice(&self.delimiter);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::codecs::testing::{decode, encode};
    use crate::plugin::Framing;

    #[test]
    fn lines_of_streams_and_messages() {
        for framing in [
            Framing::Message,
            Framing::Stream,
            Framing::Lines(b"\n".to_vec()),
        ] {
            let events = decode(super::SPEC, "line {}", &framing, b"a\nb");
            let expected =
                ["a", "b"].map(|text| json!({"message": text, "event": {"original": text}}));
            assert_eq!(events, expected);
        }
    }

    #[test]
    fn the_delimiter_is_the_inputs_where_it_cuts() {
        let config = "line { delimiter => '||' keep_original => false }";
        let events = decode(super::SPEC, config, &Framing::Stream, b"a\nb||c");
        assert_eq!(
            events,
            [json!({"message": "a\nb"}), json!({"message": "c"})]
        );
        let events = decode(
            super::SPEC,
            config,
            &Framing::Lines(b"\n".to_vec()),
            b"a\nb||c",
        );
        assert_eq!(
            events,
            [json!({"message": "a"}), json!({"message": "b||c"})]
        );
    }

    #[test]
    fn a_cut_line_says_so() {
        let mut line = vec![b'x'; 17 << 20];
        line.extend_from_slice(b"\nnext");
        let config = "line { keep_original => false }";
        let events = decode(super::SPEC, config, &Framing::Stream, &line);
        assert_eq!(events.len(), 2);
        assert_eq!(events[0]["tags"], json!(["_record_cut"]));
        assert_eq!(events[0]["message"].as_str().map(str::len), Some(16 << 20));
        assert_eq!(events[1], json!({"message": "next"}));
    }

    #[test]
    fn lines_are_written_with_their_delimiter() {
        let event = json!({"message": "m"});
        assert_eq!(
            encode(super::SPEC, "line { format => '%{message}' }", &event),
            b"m\n"
        );
        let config = "line { format => '%{message}' delimiter => '||' }";
        assert_eq!(encode(super::SPEC, config, &event), b"m||");
    }
}
