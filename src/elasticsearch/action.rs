//! Action lines of a bulk body: `{"index":{"_index":"logs","_id":"…"}}` and their like, written without allocating.

/// What a bulk item asks Elasticsearch to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// Store the document, over an older one with the same id.
    Index,
    /// Store the document unless its id exists (409). The only one that data streams take.
    Create,
    /// Change a document; its line is `{"doc":…}` or `{"script":…}`.
    Update,
    /// Remove a document; no line follows.
    Delete,
}

impl Action {
    /// The action that a configuration calls `name`.
    #[must_use]
    pub fn from_name(name: &[u8]) -> Option<Self> {
        match name {
            b"index" => Some(Self::Index),
            b"create" => Some(Self::Create),
            b"update" => Some(Self::Update),
            b"delete" => Some(Self::Delete),
            _ => None,
        }
    }

    /// Its name in the bulk API and in configurations.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Index => "index",
            Self::Create => "create",
            Self::Update => "update",
            Self::Delete => "delete",
        }
    }

    /// Whether a document line follows the action line.
    #[must_use]
    pub fn has_document(self) -> bool {
        self != Self::Delete
    }
}

/// What an action line may say besides its action; absent parts are not written.
#[derive(Clone, Copy, Debug, Default)]
pub struct ActionMeta<'a> {
    /// Index, alias or data stream.
    pub index: &'a [u8],
    /// `_id`; Elasticsearch makes one when absent (at most 512 bytes there).
    pub id: Option<&'a [u8]>,
    /// `routing`.
    pub routing: Option<&'a [u8]>,
    /// `pipeline`: an ingest pipeline; an empty text counts as absent.
    pub pipeline: Option<&'a [u8]>,
    /// `version`: a whole number as text.
    pub version: Option<&'a [u8]>,
    /// `version_type`: `external`, `external_gte` or `internal`.
    pub version_type: Option<&'a [u8]>,
    /// `retry_on_conflict`, for updates.
    pub retry_on_conflict: Option<u32>,
}

/// Appends the action line of one item, its newline included.
pub fn write_action(out: &mut Vec<u8>, action: Action, meta: &ActionMeta<'_>) {
    write_head(out, action, meta.index);
    if let Some(id) = meta.id {
        write_text_member(out, b",\"_id\":", id);
    }
    write_rest(out, meta);
    out.extend_from_slice(b"}}\n");
}

fn write_head(out: &mut Vec<u8>, action: Action, index: &[u8]) {
    out.extend_from_slice(b"{\"");
    out.extend_from_slice(action.name().as_bytes());
    out.extend_from_slice(b"\":{\"_index\":");
    write_json_string(out, index);
}

fn write_rest(out: &mut Vec<u8>, meta: &ActionMeta<'_>) {
    if let Some(routing) = meta.routing {
        write_text_member(out, b",\"routing\":", routing);
    }
    if let Some(pipeline) = meta.pipeline.filter(|pipeline| !pipeline.is_empty()) {
        write_text_member(out, b",\"pipeline\":", pipeline);
    }
    if let Some(version) = meta.version {
        let whole = !version.is_empty()
            && version.len() <= 19
            && version.iter().all(u8::is_ascii_digit)
            && (version.len() == 1 || version[0] != b'0');
        if whole {
            out.extend_from_slice(b",\"version\":");
            out.extend_from_slice(version);
        } else {
            // Elasticsearch refuses this item and says why, which is better than guessing here.
            write_text_member(out, b",\"version\":", version);
        }
    }
    if let Some(version_type) = meta.version_type {
        write_text_member(out, b",\"version_type\":", version_type);
    }
    if let Some(times) = meta.retry_on_conflict {
        out.extend_from_slice(b",\"retry_on_conflict\":");
        write_decimal(out, times);
    }
}

fn write_text_member(out: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    out.extend_from_slice(key);
    write_json_string(out, value);
}

fn write_decimal(out: &mut Vec<u8>, mut number: u32) {
    let mut digits = [0u8; 10];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + u8::try_from(number % 10).unwrap_or(0);
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

/// An action line of which only the id changes: written once, copied per item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActionPrefix {
    /// Up to and without the place of `,"_id":`.
    head: Vec<u8>,
    /// From there to the newline.
    tail: Vec<u8>,
}

impl ActionPrefix {
    /// Prepares the line of `action` with everything that `meta` says but its id.
    #[must_use]
    pub fn new(action: Action, meta: &ActionMeta<'_>) -> Self {
        let (mut head, mut tail) = (Vec::new(), Vec::new());
        write_head(&mut head, action, meta.index);
        write_rest(&mut tail, meta);
        tail.extend_from_slice(b"}}\n");
        Self { head, tail }
    }

    /// Appends the line, with `id` if there is one.
    #[inline]
    pub fn write(&self, out: &mut Vec<u8>, id: Option<&[u8]>) {
        out.extend_from_slice(&self.head);
        if let Some(id) = id {
            write_text_member(out, b",\"_id\":", id);
        }
        out.extend_from_slice(&self.tail);
    }
}

/// Appends `text` as a JSON string with its quotes. Bytes that are no UTF-8 become U+FFFD, as JSON can carry no others.
pub fn write_json_string(out: &mut Vec<u8>, text: &[u8]) {
    out.push(b'"');
    if text
        .iter()
        .all(|&b| (0x20..0x80).contains(&b) && b != b'"' && b != b'\\')
    {
        out.extend_from_slice(text);
    } else {
        for chunk in text.utf8_chunks() {
            write_escaped(out, chunk.valid());
            if !chunk.invalid().is_empty() {
                out.extend_from_slice("\u{fffd}".as_bytes());
            }
        }
    }
    out.push(b'"');
}

fn write_escaped(out: &mut Vec<u8>, text: &str) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    for &byte in text.as_bytes() {
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            0x00..=0x1f => out.extend_from_slice(&[
                b'\\',
                b'u',
                b'0',
                b'0',
                HEX[usize::from(byte >> 4)],
                HEX[usize::from(byte & 15)],
            ]),
            _ => out.push(byte),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn line(action: Action, meta: &ActionMeta<'_>) -> String {
        let mut out = Vec::new();
        write_action(&mut out, action, meta);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn lines_say_what_is_set_and_nothing_else() {
        let meta = ActionMeta {
            index: b"logs",
            ..ActionMeta::default()
        };
        assert_eq!(
            line(Action::Index, &meta),
            "{\"index\":{\"_index\":\"logs\"}}\n"
        );
        let full = ActionMeta {
            id: Some(b"a\"b"),
            routing: Some(b"r"),
            pipeline: Some(b"p"),
            version: Some(b"120"),
            version_type: Some(b"external"),
            retry_on_conflict: Some(3),
            ..meta
        };
        assert_eq!(
            line(Action::Update, &full),
            "{\"update\":{\"_index\":\"logs\",\"_id\":\"a\\\"b\",\"routing\":\"r\",\"pipeline\":\"p\",\"version\":120,\"version_type\":\"external\",\"retry_on_conflict\":3}}\n"
        );
        let odd = ActionMeta {
            pipeline: Some(b""),
            version: Some(b"007"),
            ..meta
        };
        assert_eq!(
            line(Action::Create, &odd),
            "{\"create\":{\"_index\":\"logs\",\"version\":\"007\"}}\n"
        );
    }

    #[test]
    fn a_prefix_writes_the_same_line() {
        let meta = ActionMeta {
            index: "übung".as_bytes(),
            id: Some(b"42-7"),
            routing: Some(b"x"),
            retry_on_conflict: Some(u32::MAX),
            ..ActionMeta::default()
        };
        let mut out = Vec::new();
        ActionPrefix::new(Action::Delete, &meta).write(&mut out, meta.id);
        assert_eq!(String::from_utf8(out).unwrap(), line(Action::Delete, &meta));
    }

    #[test]
    fn names_of_actions_round_trip() {
        for action in [
            Action::Index,
            Action::Create,
            Action::Update,
            Action::Delete,
        ] {
            assert_eq!(Action::from_name(action.name().as_bytes()), Some(action));
        }
        assert_eq!(Action::from_name(b"upsert"), None);
        assert!(!Action::Delete.has_document());
    }

    proptest! {
        #[test]
        fn any_bytes_become_a_json_string(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            let mut out = Vec::new();
            write_json_string(&mut out, &bytes);
            let back: String = serde_json::from_slice(&out).unwrap();
            prop_assert_eq!(back, String::from_utf8_lossy(&bytes));
        }
    }
}
