//! `json`: JSON texts to events and back.

use std::sync::Arc;

use super::charset::{Charset, tag_cut, without_bom};
use super::framing::{LineFramer, MessageFramer, line_delimiter, max_record_bytes};
use crate::event::scan::{Problem, RawKind};
use crate::event::{Batch, EventId, JsonRefused, Kind, Value, slot};
use crate::language::ast::Plugin;
use crate::options;
use crate::plugin::{
    Build, Codec, DecodeCx, FieldRef, Framer, Framing, Make, Options, PluginSpec, Rec,
};

/// Tag of an event whose text was not JSON.
pub const FAILURE_TAG: &[u8] = b"_jsonparsefailure";

options! {
    /// Options of the `json` codec.
    pub struct Config {
        /// Character set of the input. Text that is not valid in UTF-8 is no JSON; other charsets are converted first.
        charset: Charset = "UTF-8";
        /// Field under which the members of the object go. At top level when absent.
        target: Option<FieldRef>;
        /// Whether `[event][original]` is set when ECS compatibility is on. An option of logmill's own.
        keep_original: bool = true;
    }
}

/// `json` for the catalogue.
pub const SPEC: PluginSpec = PluginSpec {
    name: "json",
    about: "An object becomes an event, an array one event for each element. What is not JSON becomes an event with \
            the text as `message` and the tag `_jsonparsefailure`; blank text makes none. Inputs that read a stream \
            of bytes cut it into lines first. For outputs it writes the event as JSON, without a line end.",
    options: Config::specs,
    make: Make::Codec(make),
};

fn make(plugin: &Plugin, build: &mut Build<'_>) -> Option<Arc<dyn Codec>> {
    let config = Config::read(plugin, build)?;
    Some(Arc::new(Json {
        objects: JsonDecoder {
            charset: config.charset,
            target: config.target,
            original: config.keep_original && build.ecs.enabled(),
        },
        max: max_record_bytes(build.settings),
    }))
}

struct Json {
    objects: JsonDecoder,
    max: usize,
}

impl Codec for Json {
    fn framer(&self, framing: &Framing) -> Box<dyn Framer> {
        match line_delimiter(framing, b"\n") {
            Some(delimiter) => Box::new(LineFramer::new(delimiter, self.max)),
            None => Box::new(MessageFramer::new(self.max)),
        }
    }

    fn decode(&self, batch: &mut Batch, recs: &[Rec], cx: &mut DecodeCx<'_>) {
        self.objects.decode(batch, recs, cx);
    }

    fn encode(&self, batch: &mut Batch, id: EventId, out: &mut Vec<u8>, _: &mut Vec<u8>) {
        batch.write_event(id, out);
    }
}

/// Makes events of JSON texts.
pub(super) struct JsonDecoder {
    /// How bytes become text.
    pub charset: Charset,
    /// Where members go; top level when absent.
    pub target: Option<FieldRef>,
    /// `[event][original]` is kept.
    pub original: bool,
}

impl JsonDecoder {
    /// See [`Codec::decode`].
    pub fn decode(&self, batch: &mut Batch, recs: &[Rec], cx: &mut DecodeCx<'_>) {
        if self.target.is_some() || !matches!(self.charset, Charset::Utf8) {
            for rec in recs {
                let text = self.charset.text(batch, rec, false, cx.buf);
                let id = batch.new_event(cx.run, rec.pos);
                let taken = self.take(batch, id, text);
                self.settle(batch, id, rec, text, taken, cx);
            }
            return;
        }
        for rec in recs {
            let (off, len) = without_bom(batch, rec);
            let text = batch.block_text(off, len);
            let id = batch.new_event(cx.run, rec.pos);
            match batch.decode_object(id, text) {
                Ok(()) if rec.flags == 0 => {
                    if self.original {
                        batch.set_original(id, text);
                    }
                    cx.out.push(id);
                }
                taken => self.settle(batch, id, rec, text, taken, cx),
            }
        }
    }

    /// Sets the members of the object on an event.
    fn take(&self, batch: &mut Batch, id: EventId, text: Value) -> Result<(), JsonRefused> {
        let Some(target) = &self.target else {
            return batch.decode_object(id, text);
        };
        let value = batch.decode_value(text).map_err(JsonRefused::Invalid)?;
        if !value.is_object() {
            return Err(JsonRefused::NotAnObject(if value.is_array() {
                RawKind::Array
            } else {
                RawKind::Null
            }));
        }
        // Refused by `tags` and `@timestamp` alone, which the original refuses too: the event stays without it.
        if batch.set(id, &target.path, value).is_err() {
            batch.tag(id, FAILURE_TAG);
        }
        Ok(())
    }

    /// Ends what [`JsonDecoder::take`] began: one event, several, a flagged one, or none.
    fn settle(
        &self,
        batch: &mut Batch,
        id: EventId,
        rec: &Rec,
        text: Value,
        taken: Result<(), JsonRefused>,
        cx: &mut DecodeCx<'_>,
    ) {
        match taken {
            Ok(()) => {
                self.keep_original(batch, id, text);
                tag_cut(batch, id, rec);
                cx.out.push(id);
            }
            Err(JsonRefused::NotAnObject(RawKind::Array)) => {
                self.decode_array(batch, id, rec, text, cx);
            }
            Err(JsonRefused::Invalid(error)) if error.what == Problem::Empty => cx.blank += 1,
            Err(_) => self.refuse(batch, id, rec, cx),
        }
    }

    fn keep_original(&self, batch: &mut Batch, id: EventId, text: Value) {
        if self.original {
            batch.set_original(id, text);
        }
    }

    /// One event for each element; the first takes the event that is there.
    fn decode_array(
        &self,
        batch: &mut Batch,
        first: EventId,
        rec: &Rec,
        text: Value,
        cx: &mut DecodeCx<'_>,
    ) {
        let Ok(list) = batch.decode_value(text) else {
            self.refuse(batch, first, rec, cx);
            return;
        };
        let list = batch.expand(list);
        let count = batch.node_len(list);
        if count == 0 {
            cx.blank += 1;
        }
        for at in 0..count {
            let element = batch.node_value(list, at);
            let id = if at == 0 {
                first
            } else {
                batch.new_event(cx.run, rec.pos)
            };
            if element.is_object() {
                let object = Self::as_text(batch, element, cx);
                if self.take(batch, id, object).is_err() {
                    batch.tag(id, FAILURE_TAG);
                    cx.failed += 1;
                }
                if count == 1 {
                    self.keep_original(batch, id, text);
                }
            } else {
                cx.buf.clear();
                if !batch.render(element, cx.buf) {
                    cx.buf.extend_from_slice(b"null");
                }
                let message = batch.push(cx.buf);
                batch.set_slot(id, slot::MESSAGE, message);
                batch.tag(id, FAILURE_TAG);
                cx.failed += 1;
            }
            tag_cut(batch, id, rec);
            cx.out.push(id);
        }
    }

    /// The JSON text of an object; one that was taken apart for its repeated keys is written again.
    fn as_text(batch: &mut Batch, object: Value, cx: &mut DecodeCx<'_>) -> Value {
        if object.kind() == Kind::RawObject {
            return object;
        }
        cx.buf.clear();
        batch.write_json(object, cx.buf);
        batch.push(cx.buf)
    }

    /// The text of a record that is not JSON becomes the message of a flagged event.
    fn refuse(&self, batch: &mut Batch, id: EventId, rec: &Rec, cx: &mut DecodeCx<'_>) {
        let text = self.charset.text(batch, rec, false, cx.buf);
        batch.set_slot(id, slot::MESSAGE, text);
        self.keep_original(batch, id, text);
        batch.tag(id, FAILURE_TAG);
        tag_cut(batch, id, rec);
        cx.failed += 1;
        cx.out.push(id);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::codecs::testing::{decode, decode_in, encode};
    use crate::plugin::{Ecs, Framing};

    #[test]
    fn objects_arrays_and_blanks() {
        let config = "json { keep_original => false }";
        let text = b"{\"a\":1}\r\n\n  \n[{\"b\":2},{\"c\":[3]}]\n[]\n \xEF\xBB\xBF\n";
        let events = decode(super::SPEC, config, &Framing::Stream, text);
        assert_eq!(
            events[..3],
            [json!({"a": 1}), json!({"b": 2}), json!({"c": [3]})]
        );
        assert_eq!(events.len(), 4);
        assert_eq!(events[3]["tags"], json!(["_jsonparsefailure"]));
    }

    #[test]
    fn the_original_is_kept_of_single_events() {
        let events = decode(
            super::SPEC,
            "json {}",
            &Framing::Stream,
            b"{\"a\":1}\n[{\"b\":2}]\n[{},{}]\n{\"event\":{\"original\":\"o\"}}",
        );
        assert_eq!(
            events,
            [
                json!({"a": 1, "event": {"original": "{\"a\":1}"}}),
                json!({"b": 2, "event": {"original": "[{\"b\":2}]"}}),
                json!({}),
                json!({}),
                json!({"event": {"original": "o"}}),
            ]
        );
        let events = decode_in(
            Ecs::Disabled,
            super::SPEC,
            "json {}",
            &Framing::Message,
            b"{\"a\":1}",
        );
        assert_eq!(events, [json!({"a": 1})]);
    }

    #[test]
    fn what_is_not_json_arrives_flagged() {
        let config = "json { keep_original => false }";
        for bad in ["{\"a\":", "1", "null", "\"text\"", "{} {}", "{\"a\":NaN}"] {
            let text = format!("{bad}\n{{\"next\":1}}");
            let events = decode(super::SPEC, config, &Framing::Stream, text.as_bytes());
            assert_eq!(
                events,
                [
                    json!({"message": bad, "tags": ["_jsonparsefailure"]}),
                    json!({"next": 1})
                ]
            );
        }
        let events = decode(super::SPEC, config, &Framing::Message, b"{\"a\":\"\xFF\"}");
        assert_eq!(
            events,
            [json!({"message": "{\"a\":\"\\xFF\"}", "tags": ["_jsonparsefailure"]})]
        );
        let events = decode(super::SPEC, config, &Framing::Message, b"[{\"a\":1},7]");
        assert_eq!(
            events,
            [
                json!({"a": 1}),
                json!({"message": "7", "tags": ["_jsonparsefailure"]})
            ]
        );
    }

    #[test]
    fn a_byte_order_mark_is_no_error() {
        let config = "json { keep_original => false }";
        let events = decode(
            super::SPEC,
            config,
            &Framing::Stream,
            b"\xEF\xBB\xBF{\"a\":1}\n",
        );
        assert_eq!(events, [json!({"a": 1})]);
    }

    #[test]
    fn members_go_under_a_target() {
        let config = "json { target => '[doc][x]' keep_original => false }";
        let events = decode(
            super::SPEC,
            config,
            &Framing::Stream,
            b"{\"@timestamp\":1}\n[{\"b\":2}]\nno",
        );
        assert_eq!(
            events,
            [
                json!({"doc": {"x": {"@timestamp": 1}}}),
                json!({"doc": {"x": {"b": 2}}}),
                json!({"message": "no", "tags": ["_jsonparsefailure"]})
            ]
        );
    }

    #[test]
    fn other_charsets_are_converted_first() {
        let config = "json { charset => 'ISO-8859-1' keep_original => false }";
        let events = decode(super::SPEC, config, &Framing::Message, b"{\"a\":\"\xE9\"}");
        assert_eq!(events, [json!({"a": "é"})]);
    }

    #[test]
    fn events_are_written_as_json() {
        let written = encode(super::SPEC, "json {}", &json!({"a": [1.50, "é"]}));
        let text = String::from_utf8(written).unwrap();
        assert!(
            text.starts_with('{') && text.ends_with('}') && text.contains("\"a\":[1.5,\"é\"]"),
            "{text}"
        );
    }
}
