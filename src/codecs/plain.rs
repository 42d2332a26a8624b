//! `plain`: text, a record an event.

use std::sync::Arc;

use super::charset::{Charset, tag_cut};
use super::framing::{LineFramer, MessageFramer, line_delimiter, max_record_bytes};
use crate::event::{Batch, EventId, slot};
use crate::language::ast::Plugin;
use crate::options;
use crate::plugin::{
    Build, Codec, DecodeCx, Framer, Framing, Make, Options, PluginSpec, Rec, Sprintf,
};

options! {
    /// Options of the `plain` codec.
    pub struct Config {
        /// Text to write for an event, with `%{…}` references. Without it an event is written as
        /// `<@timestamp> <host> <message>`.
        format: Option<Sprintf>;
        /// Character set of the input. In UTF-8, bytes that are not part of it become the text `\xNN`; of other
        /// charsets, what they do not know becomes U+FFFD.
        charset: Charset = "UTF-8";
        /// Whether `[event][original]` is set too when ECS compatibility is on. An option of logmill's own: `false`
        /// halves the size of documents that keep their `message`.
        keep_original: bool = true;
    }
}

/// `plain` for the catalogue.
pub const SPEC: PluginSpec = PluginSpec {
    name: "plain",
    about: "Takes each message of an input as the `message` of one event, and with ECS compatibility as its \
            `[event][original]` too. Inputs that read a stream of bytes (file, stdin, tcp) cut it into lines first. \
            For outputs it writes `format`.",
    options: Config::specs,
    make: Make::Codec(make),
};

fn make(plugin: &Plugin, build: &mut Build<'_>) -> Option<Arc<dyn Codec>> {
    let config = Config::read(plugin, build)?;
    Some(Arc::new(Plain {
        text: TextDecoder::new(config.charset, config.keep_original, build),
        format: config.format,
        max: max_record_bytes(build.settings),
    }))
}

struct Plain {
    text: TextDecoder,
    format: Option<Sprintf>,
    max: usize,
}

impl Codec for Plain {
    fn framer(&self, framing: &Framing) -> Box<dyn Framer> {
        match line_delimiter(framing, b"\n") {
            Some(delimiter) => Box::new(LineFramer::new(delimiter, self.max)),
            None => Box::new(MessageFramer::new(self.max)),
        }
    }

    fn decode(&self, batch: &mut Batch, recs: &[Rec], cx: &mut DecodeCx<'_>) {
        self.text.decode(batch, recs, cx);
    }

    fn encode(&self, batch: &mut Batch, id: EventId, out: &mut Vec<u8>, _: &mut Vec<u8>) {
        encode(self.format.as_ref(), batch, id, out);
    }
}

/// Writes an event as text: by a format, else as `<@timestamp> <host> <message>`.
pub(super) fn encode(format: Option<&Sprintf>, batch: &mut Batch, id: EventId, out: &mut Vec<u8>) {
    match format {
        // A placeholder that does not resolve is written as it stands.
        Some(format) => {
            format.render(batch, id, out);
        }
        None => batch.render_event(id, out),
    }
}

/// Makes of each record an event with its text as `message`.
pub(super) struct TextDecoder {
    charset: Charset,
    original: bool,
}

impl TextDecoder {
    /// A decoder; the original is kept when it is asked for and ECS compatibility is on.
    pub fn new(charset: Charset, keep_original: bool, build: &Build<'_>) -> Self {
        TextDecoder {
            charset,
            original: keep_original && build.ecs.enabled(),
        }
    }

    /// See [`Codec::decode`].
    pub fn decode(&self, batch: &mut Batch, recs: &[Rec], cx: &mut DecodeCx<'_>) {
        self.decode_each(batch, recs, cx, |_, _, _| {});
    }

    /// Decodes; `mark` is called for each event whose record has flags.
    pub fn decode_each(
        &self,
        batch: &mut Batch,
        recs: &[Rec],
        cx: &mut DecodeCx<'_>,
        mark: impl Fn(&mut Batch, EventId, &Rec),
    ) {
        let holds = self.charset.holds(batch, recs);
        for rec in recs {
            let text = self.charset.text(batch, rec, holds, cx.buf);
            let id = batch.new_event(cx.run, rec.pos);
            batch.set_slot(id, slot::MESSAGE, text);
            if self.original {
                batch.set_original(id, text);
            }
            if rec.flags != 0 {
                tag_cut(batch, id, rec);
                mark(batch, id, rec);
            }
            cx.out.push(id);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::codecs::testing::{decode, decode_in, encode};
    use crate::plugin::{Ecs, Framing};

    #[test]
    fn a_message_is_an_event_and_its_original() {
        let events = decode(super::SPEC, "plain {}", &Framing::Message, b"a\nb\n");
        assert_eq!(
            events,
            [json!({"message": "a\nb\n", "event": {"original": "a\nb\n"}})]
        );
        let events = decode_in(
            Ecs::Disabled,
            super::SPEC,
            "plain {}",
            &Framing::Message,
            b"a",
        );
        assert_eq!(events, [json!({"message": "a"})]);
        let events = decode(
            super::SPEC,
            "plain { keep_original => false }",
            &Framing::Message,
            b"",
        );
        assert_eq!(events, [json!({"message": ""})]);
    }

    #[test]
    fn streams_are_cut_into_lines() {
        for framing in [Framing::Stream, Framing::Lines(b"\n".to_vec())] {
            let events = decode(
                super::SPEC,
                "plain { keep_original => false }",
                &framing,
                b"a\r\n\nb",
            );
            assert_eq!(
                events,
                [
                    json!({"message": "a\r"}),
                    json!({"message": ""}),
                    json!({"message": "b"})
                ]
            );
        }
    }

    #[test]
    fn hostile_bytes_arrive() {
        let events = decode(
            super::SPEC,
            "plain { keep_original => false }",
            &Framing::Stream,
            b"\xEF\xBB\xBFbom\nnul\0\xFF\nnext",
        );
        assert_eq!(
            events,
            [
                json!({"message": "bom"}),
                json!({"message": "nul\0\\xFF"}),
                json!({"message": "next"})
            ]
        );
    }

    #[test]
    fn charsets_and_their_names() {
        let config = "plain { charset => 'ISO-8859-1' keep_original => false }";
        let events = decode(super::SPEC, config, &Framing::Message, b"\xE9");
        assert_eq!(events, [json!({"message": "é"})]);
        let errors = crate::codecs::testing::errors(super::SPEC, "plain { charset => 'klingon' }");
        assert!(
            errors.contains("klingon") && errors.contains("charset"),
            "{errors}"
        );
    }

    #[test]
    fn events_are_written_by_format_or_as_text() {
        let event = json!({"@timestamp": "2024-01-02T03:04:05Z", "host": "h", "message": "m", "a": {"b": 1.50}});
        assert_eq!(
            encode(super::SPEC, "plain {}", &event),
            b"2024-01-02T03:04:05.000Z h m"
        );
        assert_eq!(
            encode(
                super::SPEC,
                "plain { format => '%{[a][b]}/%{none} %{message}' }",
                &event
            ),
            b"1.5/%{none} m"
        );
    }
}
