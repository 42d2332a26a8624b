//! The handle of one field value: where its bytes lie and what they mean.

/// Where the bytes of a value lie. Spaces only grow while a batch lives.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Space {
    /// The bytes that came in.
    Block,
    /// Text built while filters ran.
    Arena,
    /// Constants of the plan, shared by all batches.
    Plan,
}

/// What a value is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Kind {
    /// The field is not there.
    Absent,
    /// JSON null.
    Null,
    /// Boolean false.
    False,
    /// Boolean true.
    True,
    /// Integer of any size, kept as its decimal text.
    Int,
    /// Number with a fraction or an exponent, kept as its text.
    Float,
    /// Text in UTF-8, decoded.
    Str,
    /// Body of a JSON string that holds escapes; decoded on first read.
    EscStr,
    /// Text of a valid JSON object, not taken apart yet.
    RawObject,
    /// Text of a valid JSON array, not taken apart yet.
    RawArray,
    /// Object taken apart: `off` is its node in the batch.
    Map,
    /// Array taken apart: `off` is its node in the batch.
    List,
    /// Moment in time: `off` is its place in the batch's table of times.
    Time,
}

/// One field value: sixteen bytes at most, `Copy`, owns nothing and borrows nothing.
///
/// It is only meaningful together with the [`Batch`](super::Batch) that made it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Value {
    pub(crate) kind: Kind,
    pub(crate) flags: u8,
    pub(crate) space: Space,
    pub(crate) off: u32,
    pub(crate) len: u32,
}

/// The source record still tells this value: pass-through encoding may copy it.
pub(crate) const ORIG: u8 = 1;
/// The text holds nothing that JSON would escape.
pub(crate) const PLAIN: u8 = 2;

impl Value {
    /// The field is not there.
    pub const ABSENT: Value = Value::literal(Kind::Absent);
    /// JSON null.
    pub const NULL: Value = Value::literal(Kind::Null);
    /// Boolean true.
    pub const TRUE: Value = Value::literal(Kind::True);
    /// Boolean false.
    pub const FALSE: Value = Value::literal(Kind::False);

    const fn literal(kind: Kind) -> Value {
        Value {
            kind,
            flags: 0,
            space: Space::Plan,
            off: 0,
            len: 0,
        }
    }

    /// A boolean.
    #[must_use]
    pub const fn bool(value: bool) -> Value {
        if value { Value::TRUE } else { Value::FALSE }
    }

    /// What the value is.
    #[must_use]
    pub const fn kind(self) -> Kind {
        self.kind
    }

    /// True when the field does not exist.
    #[must_use]
    pub const fn is_absent(self) -> bool {
        matches!(self.kind, Kind::Absent)
    }

    /// True when the field is missing or null.
    #[must_use]
    pub const fn is_nil(self) -> bool {
        matches!(self.kind, Kind::Absent | Kind::Null)
    }

    /// True for text.
    #[must_use]
    pub const fn is_str(self) -> bool {
        matches!(self.kind, Kind::Str | Kind::EscStr)
    }

    /// True for an integer or a number with a fraction.
    #[must_use]
    pub const fn is_number(self) -> bool {
        matches!(self.kind, Kind::Int | Kind::Float)
    }

    /// True for an object, taken apart or not.
    #[must_use]
    pub const fn is_object(self) -> bool {
        matches!(self.kind, Kind::RawObject | Kind::Map)
    }

    /// True for an array, taken apart or not.
    #[must_use]
    pub const fn is_array(self) -> bool {
        matches!(self.kind, Kind::RawArray | Kind::List)
    }

    pub(crate) const fn span(kind: Kind, flags: u8, space: Space, off: u32, len: u32) -> Value {
        Value {
            kind,
            flags,
            space,
            off,
            len,
        }
    }

    pub(crate) const fn is_orig(self) -> bool {
        self.flags & ORIG != 0
    }

    pub(crate) const fn without_orig(mut self) -> Value {
        self.flags &= !ORIG;
        self
    }
}
