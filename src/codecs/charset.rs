//! The `charset` option: how the bytes of a record become text.

use encoding_rs::Encoding;

use crate::event::text::push_invalid_utf8_escaped;
use crate::event::{Batch, EventId, Value};
use crate::plugin::block::{REC_CUT, Rec};
use crate::plugin::{Build, FromSetting, Setting};

/// Tag of an event whose record was longer than the limit and was cut.
pub const CUT_TAG: &[u8] = b"_record_cut";

const BOM: &[u8] = b"\xEF\xBB\xBF";

/// In which charset records come.
#[derive(Clone, Copy, Debug, Default)]
pub enum Charset {
    /// UTF-8; a byte that is not part of it becomes the text `\xNN`.
    #[default]
    Utf8,
    /// Bytes without meaning above 0x7F, each of which becomes U+FFFD.
    Ascii,
    /// ISO 8859-1: each byte is the character of that number.
    Latin1,
    /// Any other; what it does not know becomes U+FFFD.
    Other(&'static Encoding),
}

impl FromSetting for Charset {
    const KIND: &'static str = "charset";

    fn from_setting(setting: &Setting, build: &mut Build<'_>) -> Result<Self, String> {
        let name = String::from_setting(setting, build)?;
        Charset::named(&name).ok_or_else(|| {
            format!("is no charset that is known here: `{name}`; among the known ones are UTF-8, UTF-16LE, ISO-8859-1, Windows-1252 and BINARY")
        })
    }
}

impl Charset {
    /// Finds a charset by the name that Ruby or the WHATWG gives it, in any case.
    #[must_use]
    pub fn named(name: &str) -> Option<Charset> {
        let lower = name.to_ascii_lowercase().replace('_', "-");
        let label = match lower.as_str() {
            "utf-8" | "utf8" | "cp65001" => return Some(Charset::Utf8),
            "ascii-8bit" | "binary" | "us-ascii" | "ascii" | "ansi-x3.4-1968" | "646" => {
                return Some(Charset::Ascii);
            }
            "iso-8859-1" | "iso8859-1" | "latin1" => return Some(Charset::Latin1),
            "utf-16" => "utf-16be",
            "cp1250" => "windows-1250",
            "cp1251" => "windows-1251",
            "cp1252" => "windows-1252",
            "cp1253" => "windows-1253",
            "cp1254" => "windows-1254",
            "cp1255" => "windows-1255",
            "cp1256" => "windows-1256",
            "cp1257" => "windows-1257",
            "cp1258" => "windows-1258",
            "cp866" => "ibm866",
            "cp874" => "windows-874",
            "cp878" => "koi8-r",
            "cp932" | "windows-31j" | "sjis" | "shift-jis" => "shift_jis",
            "cp936" | "gb2312" | "euc-cn" => "gbk",
            "cp949" => "euc-kr",
            "cp950" => "big5",
            "macroman" => "macintosh",
            other => other,
        };
        let encoding = Encoding::for_label_no_replacement(label.as_bytes())?;
        Some(if encoding == encoding_rs::UTF_8 {
            Charset::Utf8
        } else {
            Charset::Other(encoding)
        })
    }

    /// True when all records of a stretch of the block are text as they stand. One check over all of them.
    #[must_use]
    pub fn holds(self, batch: &Batch, recs: &[Rec]) -> bool {
        let (Charset::Utf8, Some(start), Some(end)) = (
            self,
            recs.iter().map(|rec| rec.off).min(),
            recs.iter().map(|rec| rec.off.saturating_add(rec.len)).max(),
        ) else {
            return false;
        };
        let stretch = batch.bytes(batch.block_text(start, end.saturating_sub(start)));
        simdutf8::basic::from_utf8(stretch).is_ok()
    }

    /// The text of a record, without a byte order mark; `holds` is what [`Charset::holds`] said. `buf` is scratch.
    pub fn text(self, batch: &mut Batch, rec: &Rec, holds: bool, buf: &mut Vec<u8>) -> Value {
        let (off, len) = without_bom(batch, rec);
        if holds {
            return batch.block_line(off, len);
        }
        let raw = batch.block_text(off, len);
        let bytes = batch.bytes(raw);
        buf.clear();
        match self {
            Charset::Utf8 if simdutf8::basic::from_utf8(bytes).is_ok() => {
                return batch.block_line(off, len);
            }
            Charset::Utf8 => push_invalid_utf8_escaped(bytes, buf),
            Charset::Ascii if bytes.is_ascii() => return raw,
            Charset::Ascii => push_chars(
                bytes.iter().map(|byte| {
                    if byte.is_ascii() {
                        char::from(*byte)
                    } else {
                        char::REPLACEMENT_CHARACTER
                    }
                }),
                buf,
            ),
            Charset::Latin1 => push_chars(bytes.iter().map(|byte| char::from(*byte)), buf),
            Charset::Other(encoding) => {
                let (text, _) = encoding.decode_with_bom_removal(bytes);
                buf.extend_from_slice(text.as_bytes());
            }
        }
        batch.push(buf)
    }
}

fn push_chars(chars: impl Iterator<Item = char>, out: &mut Vec<u8>) {
    for char in chars {
        out.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes());
    }
}

/// Where a record begins behind its byte order mark, and what is left of its length.
#[must_use]
pub fn without_bom(batch: &Batch, rec: &Rec) -> (u32, u32) {
    if rec.len >= 3 && batch.bytes(batch.block_text(rec.off, 3)) == BOM {
        (rec.off + 3, rec.len - 3)
    } else {
        (rec.off, rec.len)
    }
}

/// A line without its byte order mark.
#[must_use]
pub fn strip_bom(line: &[u8]) -> &[u8] {
    line.strip_prefix(BOM).unwrap_or(line)
}

/// Tags an event for what happened to its record.
#[inline]
pub fn tag_cut(batch: &mut Batch, id: EventId, rec: &Rec) {
    if rec.flags & REC_CUT != 0 {
        batch.tag(id, CUT_TAG);
    }
}

#[cfg(test)]
mod tests {

    use super::*;
    use crate::event::Keys;
    use crate::time::Timestamp;

    fn texts(charset: &str, records: &[&[u8]]) -> Vec<String> {
        let charset = Charset::named(charset).expect("a known name");
        let mut block = Vec::new();
        let mut recs = Vec::new();
        for record in records {
            let off = u32::try_from(block.len()).unwrap();
            recs.push(Rec {
                off,
                len: u32::try_from(record.len()).unwrap(),
                pos: 0,
                flags: 0,
            });
            block.extend_from_slice(record);
            block.push(b'\n');
        }
        let mut batch = Batch::new(&Keys::new());
        batch.reset(block, Timestamp::default());
        let holds = charset.holds(&batch, &recs);
        let mut buf = Vec::new();
        recs.iter()
            .map(|rec| {
                let value = charset.text(&mut batch, rec, holds, &mut buf);
                batch.str(value).expect("text").to_owned()
            })
            .collect()
    }

    #[test]
    fn invalid_utf8_becomes_visible_and_spoils_no_neighbour() {
        let left = texts(
            "UTF-8",
            &["zoë".as_bytes(), b"a\xFFb", b"\xEF\xBB\xBFbom", b"nul\0"],
        );
        assert_eq!(left, ["zoë", "a\\xFFb", "bom", "nul\0"]);
    }

    #[test]
    fn other_charsets_are_converted() {
        assert_eq!(texts("ISO-8859-1", &[b"\xE9\x80"]), ["é\u{80}"]);
        assert_eq!(texts("windows-1252", &[b"\xE9\x80"]), ["é€"]);
        assert_eq!(texts("CP1251", &[b"\xCF"]), ["П"]);
        assert_eq!(texts("BINARY", &[b"a\xE9"]), ["a\u{FFFD}"]);
        assert_eq!(texts("US-ASCII", &[b"abc"]), ["abc"]);
        assert_eq!(texts("UTF-16LE", &[b"a\0\xE9\0"]), ["aé"]);
        assert_eq!(texts("UTF-16BE", &[b"\0a\0\xE9"]), ["aé"]);
        assert_eq!(texts("Shift_JIS", &[b"\x83\x65"]), ["テ"]);
    }

    #[test]
    fn unknown_names_are_refused() {
        assert!(Charset::named("UTF-9").is_none());
        assert!(Charset::named("").is_none());
    }
}
