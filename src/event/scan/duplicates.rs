//! Looks for keys that stand twice in one object, at any depth: Elasticsearch refuses such documents.

use super::Stretch;
use super::valid::string_end;
use crate::event::text::unescape;

/// Most keys of an object that are compared each with each; beyond, they are sorted by a hash.
const FEW: usize = 32;

/// Scratch of [`has_duplicate_keys_deep`], reused from call to call.
///
/// It holds 16 bytes per key of the objects that are open at one place of the text, and the decoded text of those that
/// are written with escapes: at most about three bytes per byte of the text.
#[derive(Debug, Default)]
pub struct KeyScratch {
    keys: Vec<Key>,
    open: Vec<Open>,
    decoded: Vec<u8>,
}

/// A key of an open object.
#[derive(Clone, Copy, Debug)]
struct Key {
    /// Differs only where the keys differ.
    hash: u64,
    /// Its bytes: in the text, or in the decoded keys.
    bytes: Stretch,
    decoded: bool,
}

/// An open object or array, and what was collected before it.
#[derive(Clone, Copy, Debug)]
struct Open {
    is_object: bool,
    keys: usize,
    decoded: usize,
}

/// Whether any object in the valid JSON text `buf[start..end]` holds a key twice, whatever its depth. Spellings with
/// escapes count as what they spell.
///
/// Of a text that is not valid JSON the answer says nothing.
#[must_use]
pub fn has_duplicate_keys_deep(buf: &[u8], start: u32, end: u32, scratch: &mut KeyScratch) -> bool {
    let text = buf.get(start as usize..end as usize).unwrap_or_default();
    scratch.keys.clear();
    scratch.open.clear();
    scratch.decoded.clear();
    let mut key_expected = false;
    let mut pos = 0;
    while let Some(&byte) = text.get(pos) {
        pos += 1;
        match byte {
            b'{' | b'[' => {
                key_expected = byte == b'{';
                scratch.open(key_expected);
            }
            b'}' | b']' => {
                key_expected = false;
                if scratch.close(text) {
                    return true;
                }
            }
            b',' => key_expected = scratch.open.last().is_some_and(|open| open.is_object),
            b'"' => {
                let (close, escaped) = string_end(text, pos);
                if key_expected {
                    scratch.add(text, pos, close, escaped);
                    key_expected = false;
                }
                pos = close + 1;
            }
            _ => {}
        }
    }
    false
}

impl KeyScratch {
    fn open(&mut self, is_object: bool) {
        self.open.push(Open {
            is_object,
            keys: self.keys.len(),
            decoded: self.decoded.len(),
        });
    }

    /// Forgets the innermost container and tells whether it held a key twice.
    fn close(&mut self, text: &[u8]) -> bool {
        let Some(open) = self.open.pop() else {
            return false;
        };
        let keys = self.keys.get_mut(open.keys..).unwrap_or_default();
        let found = keys.len() > 1 && holds_twins(keys, text, &self.decoded);
        self.keys.truncate(open.keys);
        self.decoded.truncate(open.decoded);
        found
    }

    #[allow(
        clippy::cast_possible_truncation,
        reason = "positions are at most the text's length, given as u32"
    )]
    fn add(&mut self, text: &[u8], from: usize, to: usize, escaped: bool) {
        let raw = text.get(from..to).unwrap_or_default();
        let key = if escaped {
            let from = self.decoded.len();
            unescape(raw, &mut self.decoded);
            let bytes = (from as u32, self.decoded.len() as u32);
            Key {
                hash: hash(&self.decoded[from..]),
                bytes,
                decoded: true,
            }
        } else {
            Key {
                hash: hash(raw),
                bytes: (from as u32, to as u32),
                decoded: false,
            }
        };
        self.keys.push(key);
    }
}

fn holds_twins(keys: &mut [Key], text: &[u8], decoded: &[u8]) -> bool {
    let bytes = |key: &Key| {
        let space = if key.decoded { decoded } else { text };
        space
            .get(key.bytes.0 as usize..key.bytes.1 as usize)
            .unwrap_or_default()
    };
    if keys.len() <= FEW {
        let mut rest: &[Key] = keys;
        while let [first, others @ ..] = rest {
            if others
                .iter()
                .any(|other| other.hash == first.hash && bytes(other) == bytes(first))
            {
                return true;
            }
            rest = others;
        }
        return false;
    }
    // Sorting by hash and bytes needs no table, and keys made to collide cannot make it quadratic.
    keys.sort_unstable_by(|a, b| a.hash.cmp(&b.hash).then_with(|| bytes(a).cmp(bytes(b))));
    keys.windows(2)
        .any(|pair| pair[0].hash == pair[1].hash && bytes(&pair[0]) == bytes(&pair[1]))
}

/// A quick hash: it has only to make most different keys differ.
#[inline]
fn hash(bytes: &[u8]) -> u64 {
    const FACTOR: u64 = 0x9E37_79B9_7F4A_7C15;
    let (words, rest) = bytes.as_chunks::<8>();
    let mut tail = [0; 8];
    tail[..rest.len()].copy_from_slice(rest);
    let mixed = words.iter().fold(bytes.len() as u64, |hash, word| {
        (hash.rotate_left(5) ^ u64::from_le_bytes(*word)).wrapping_mul(FACTOR)
    });
    (mixed.rotate_left(5) ^ u64::from_le_bytes(tail)).wrapping_mul(FACTOR)
}
