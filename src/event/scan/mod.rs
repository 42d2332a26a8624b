//! The JSON pass: one record's bytes in, "all of it is valid" and the top-level fields out.
//!
//! A record is read twice. `stops` looks at 64 bytes at a time and sets one bit per byte that can end a run of plain
//! string bytes: quote, backslash, control character; it also tells whether all bytes are ASCII. `walk` then follows
//! the grammar; a string costs it one look at that bitmap, however long the key. UTF-8 is checked only for a record
//! that holds a byte of 0x80 or more.
//!
//! Nothing is remembered between records, so that a bad line cannot influence its neighbours and no index can be
//! stale.
//!
//! Measured on lines of eleven fields, all validated, against this design with AVX2 (about a third of a nanosecond per
//! byte): with the SSE2 that every x86-64 has, 1.1 times the time; without marks, each string searched on its own
//! with SSE2, 1.65; without the look at four bytes ahead and without taking key and value from one word of marks, 1.2.
//! Marks of a whole block at once are no faster than those of one record, which are an eighth of the whole.

#![allow(
    clippy::inline_always,
    reason = "the steps of the walk are meant to be one loop without calls"
)]

mod duplicates;
mod number;
#[allow(unsafe_code, reason = "calls what was compiled for wider vectors")]
pub mod shape;
#[allow(unsafe_code, reason = "SIMD intrinsics, chosen at run time")]
mod stops;
mod valid;
mod walk;

#[cfg(test)]
mod tests;

use std::fmt;

pub use duplicates::{KeyScratch, has_duplicate_keys_deep};
pub(crate) use number::hex_unit;
pub(crate) use stops::Marks;
pub use stops::find_stop;
pub use valid::{elements_of_valid, fields_of_valid};
pub use walk::{leading_kind, validate_value, walk_array, walk_object};

/// What a raw JSON value is, as far as its text tells.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RawKind {
    /// `null`
    Null,
    /// `false`
    False,
    /// `true`
    True,
    /// A number without fraction and exponent, of any length.
    Int,
    /// A number with a fraction or an exponent, of any size.
    Float,
    /// A string without escapes: its bytes are its text.
    Str,
    /// A string with at least one escape; see [`unescape`](crate::event::text::unescape).
    EscStr,
    /// An object.
    Object,
    /// An array.
    Array,
}

/// A stretch of the buffer: first byte, and the byte after the last.
pub type Stretch = (u32, u32);

/// One top-level field of an object, as offsets into the buffer that was walked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RawField {
    /// The key, between its quotes.
    pub key: Stretch,
    /// The value: of a string what is between the quotes, else its whole text.
    pub value: Stretch,
    /// What the value is.
    pub kind: RawKind,
    /// The key holds an escape.
    pub key_escaped: bool,
}

/// Bounds of what is accepted beyond the grammar.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Deepest nesting of objects and arrays; the outermost counts as 1.
    pub max_depth: u32,
    /// Longest number, in bytes of its text.
    pub max_number_len: u32,
}

impl Default for Limits {
    /// The reading limits of the original: depth 1,000, numbers of 10,000 bytes.
    fn default() -> Self {
        Self {
            max_depth: 1_000,
            max_number_len: 10_000,
        }
    }
}

/// Why a text is no JSON, and where.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct JsonError {
    /// Offset of the offending byte in the buffer (not in the record).
    pub at: u32,
    /// What is wrong there.
    pub what: Problem,
}

impl fmt::Display for JsonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at byte {}", self.what, self.at)
    }
}

impl std::error::Error for JsonError {}

/// The ways in which a text fails to be JSON.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Problem {
    /// Nothing but blanks.
    Empty,
    /// A byte that the grammar does not allow in this place.
    UnexpectedByte,
    /// The text ends inside a value.
    UnexpectedEnd,
    /// A string without its closing quote.
    UnterminatedString,
    /// A backslash followed by none of `"\/bfnrt` and not by `u` and four hexadecimal digits.
    BadEscape,
    /// Half of a surrogate pair written as `\uD800` to `\uDFFF`.
    LoneSurrogate,
    /// A byte below 0x20 inside a string.
    ControlCharacter,
    /// A number that JSON does not know, such as `01`, `1.` or `+1`.
    BadNumber,
    /// A number longer than [`Limits::max_number_len`].
    NumberTooLong,
    /// `NaN`, `Infinity` or `-Infinity`, which some writers produce.
    NotFinite,
    /// Bytes that are not UTF-8.
    InvalidUtf8,
    /// Nesting deeper than [`Limits::max_depth`].
    TooDeep,
    /// Something after the end of the value.
    TrailingData,
    /// A value, but not an object.
    NotAnObject,
    /// A value, but not an array.
    NotAnArray,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "no JSON value, only blanks",
            Self::UnexpectedByte => "unexpected byte",
            Self::UnexpectedEnd => "unexpected end of the text",
            Self::UnterminatedString => "string without closing quote",
            Self::BadEscape => "unknown or incomplete escape in a string",
            Self::LoneSurrogate => "half a surrogate pair in a string",
            Self::ControlCharacter => "unescaped control character in a string",
            Self::BadNumber => "malformed number",
            Self::NumberTooLong => "number with too many digits",
            Self::NotFinite => "NaN or Infinity, which JSON does not have",
            Self::InvalidUtf8 => "invalid UTF-8",
            Self::TooDeep => "nesting too deep",
            Self::TrailingData => "data after the end of the value",
            Self::NotAnObject => "the value is not an object",
            Self::NotAnArray => "the value is not an array",
        })
    }
}

/// Scratch of the pass, one per worker; it holds one bit per byte of the longest record met.
#[derive(Debug)]
pub struct Scanner {
    marks: stops::Marks,
    open: Vec<u8>,
}

impl Default for Scanner {
    fn default() -> Self {
        Self::new()
    }
}

impl Scanner {
    /// Scratch for this machine's widest vectors.
    #[must_use]
    pub fn new() -> Self {
        Self {
            marks: stops::Marks::new(),
            open: Vec::with_capacity(64),
        }
    }
}
