//! Conditions, compiled: constants are decided at load, the rest is tested per event by the original's rules.
//!
//! Source: the Logstash condition compiler (`EventCondition.java`); see `docs/differences.md` for what is kept
//! and what is not.

use std::cmp::Ordering;

use crate::event::{Batch, EventId, Kind, Path, Value};
use crate::grok::{RegexCache, RegexOptions, RubyRegex};
use crate::language::ast::{CompareOp, Cond, CondKind, Number, Operand, OperandKind, Span};
use crate::plugin::Build;

/// A condition could not be evaluated for an event: the event is set aside.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum CondError {
    /// A field that must be there to be ordered is missing.
    #[error("a field compared by order is missing")]
    Missing,
    /// The values have no order: text against a number, or an array or object.
    #[error("the values compared have no order")]
    Unordered,
    /// A missing field was looked for in an array.
    #[error("a missing field was looked for in a list")]
    MissingNeedle,
}

/// A constant operand.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Const {
    Text(Box<[u8]>),
    Int(Box<str>),
    Float(f64),
}

impl Const {
    fn text_form(&self) -> Vec<u8> {
        match self {
            Const::Text(text) => text.to_vec(),
            Const::Int(digits) => digits.as_bytes().to_vec(),
            Const::Float(number) => {
                let mut out = Vec::new();
                crate::event::java_double(*number, &mut out);
                out
            }
        }
    }
}

#[derive(Debug)]
enum Term {
    Field(Path),
    Const(Const),
    List(Vec<Const>),
}

/// A compiled condition.
#[derive(Debug)]
pub enum Test {
    /// Decided at load.
    Known(bool),
    /// All hold.
    And(Box<Test>, Box<Test>),
    /// One holds.
    Or(Box<Test>, Box<Test>),
    /// Exactly one holds.
    Xor(Box<Test>, Box<Test>),
    /// It does not hold.
    Not(Box<Test>),
    /// A test of fields.
    Leaf(Leaf),
}

/// One test of one or two fields.
#[derive(Debug)]
pub struct Leaf(LeafKind);

#[derive(Debug)]
enum LeafKind {
    Truthy(Path),
    /// Equality with a text, which [`begins`] so.
    EqualText(Path, (u64, Box<[u8]>)),
    /// Equality with a number.
    Equal(Path, Const),
    EqualFields(Path, Path),
    Order {
        field: Path,
        op: CompareOp,
        with: Const,
        /// The constant as text.
        text: Box<[u8]>,
    },
    OrderFields {
        left: Path,
        op: CompareOp,
        right: Path,
    },
    NeverOrdered,
    InList {
        field: Path,
        texts: Texts,
    },
    InText {
        field: Path,
        text: Box<[u8]>,
    },
    ConstIn {
        needle: Const,
        field: Path,
    },
    FieldIn {
        needle: Path,
        field: Path,
    },
    Match {
        field: Path,
        regex: usize,
    },
}

/// Texts that a field is looked up in.
#[derive(Debug)]
struct Texts {
    /// With what [`begins`] says of each.
    few: Vec<(u64, Box<[u8]>)>,
    many: rustc_hash::FxHashSet<Box<[u8]>>,
}

impl Texts {
    fn new(texts: Vec<Box<[u8]>>) -> Texts {
        if texts.len() <= 6 {
            return Texts {
                few: texts
                    .into_iter()
                    .map(|text| (begins(&text), text))
                    .collect(),
                many: rustc_hash::FxHashSet::default(),
            };
        }
        Texts {
            few: Vec::new(),
            many: texts.into_iter().collect(),
        }
    }

    fn contains(&self, text: &[u8]) -> bool {
        let begins = begins(text);
        self.few.iter().any(|one| is_text(one, begins, text))
            || (!self.many.is_empty() && self.many.contains(text))
    }
}

/// A number that differs where the first bytes of two texts of one length differ; texts of up to eight bytes are told
/// by it alone.
#[inline]
fn begins(text: &[u8]) -> u64 {
    if let Some(eight) = text.first_chunk::<8>() {
        return u64::from_le_bytes(*eight);
    }
    if let (Some(head), Some(tail)) = (text.first_chunk::<4>(), text.last_chunk::<4>()) {
        return u64::from(u32::from_le_bytes(*head)) | u64::from(u32::from_le_bytes(*tail)) << 32;
    }
    let byte = |at: usize| u64::from(text.get(at).copied().unwrap_or(0));
    byte(0) | byte(1) << 8 | byte(2) << 16
}

#[inline]
fn is_text((first, known): &(u64, Box<[u8]>), begins: u64, text: &[u8]) -> bool {
    known.len() == text.len() && *first == begins && (text.len() <= 8 || known[8..] == text[8..])
}

/// Compiles conditions; holds the regexes of a plan.
#[derive(Default)]
pub struct Compiler {
    /// All regexes of conditions, by number.
    pub regexes: Vec<RubyRegex>,
}

impl Compiler {
    /// Compiles one condition; reports what is wrong with it.
    pub fn compile(&mut self, condition: &Cond, build: &mut Build<'_>) -> Option<Test> {
        let both = |this: &mut Self, build: &mut Build<'_>, a: &Cond, b: &Cond| {
            let (left, right) = (this.compile(a, build), this.compile(b, build));
            Some((Box::new(left?), Box::new(right?)))
        };
        let test = match &condition.kind {
            CondKind::And(a, b) => both(self, build, a, b).map(|(a, b)| Test::And(a, b))?,
            CondKind::Or(a, b) => both(self, build, a, b).map(|(a, b)| Test::Or(a, b))?,
            CondKind::Xor(a, b) => both(self, build, a, b).map(|(a, b)| Test::Xor(a, b))?,
            CondKind::Nand(a, b) => {
                both(self, build, a, b).map(|(a, b)| Test::Not(Box::new(Test::And(a, b))))?
            }
            CondKind::Not(a) => Test::Not(Box::new(self.compile(a, build)?)),
            CondKind::Truthy(operand) => match Self::term(operand, build)? {
                Term::Field(path) => leaf(LeafKind::Truthy(path)),
                Term::Const(constant) => Test::Known(
                    !matches!(&constant, Const::Text(text) if text.is_empty() || **text == *b"false"),
                ),
                Term::List(_) => Test::Known(true),
            },
            CondKind::Compare { left, op, right } => Self::compare(left, *op, right, build)?,
            CondKind::In {
                needle,
                haystack,
                negated,
            } => {
                let test = Self::within(needle, haystack, build)?;
                if *negated {
                    Test::Not(Box::new(test))
                } else {
                    test
                }
            }
            CondKind::Match {
                left,
                pattern,
                pattern_span,
                negated,
            } => {
                let test = self.matches(left, pattern, *pattern_span, build)?;
                if *negated {
                    Test::Not(Box::new(test))
                } else {
                    test
                }
            }
        };
        Some(test.simplified())
    }

    fn term(operand: &Operand, build: &mut Build<'_>) -> Option<Term> {
        Some(match &operand.kind {
            OperandKind::Field(reference) => Term::Field(build.keys.path(reference)),
            OperandKind::String(_) | OperandKind::Number(_) => Term::Const(constant(operand)?),
            OperandKind::Regex(text) => Term::Const(Const::Text(text.as_bytes().into())),
            OperandKind::Array(elements) => {
                let mut list = Vec::new();
                flatten(elements, &mut list)?;
                Term::List(list)
            }
        })
    }

    fn compare(
        left: &Operand,
        op: CompareOp,
        right: &Operand,
        build: &mut Build<'_>,
    ) -> Option<Test> {
        // An array literal stands for the first text or number in it, as in the original.
        let scalar = |term: Term| match term {
            Term::List(list) => list.into_iter().next().map(Term::Const),
            other => Some(other),
        };
        let (left, right) = (
            scalar(Self::term(left, build)?),
            scalar(Self::term(right, build)?),
        );
        let (Some(left), Some(right)) = (left, right) else {
            return Some(Test::Known(op == CompareOp::Ne));
        };
        if matches!(op, CompareOp::Eq | CompareOp::Ne) {
            let test = match (left, right) {
                (Term::Field(a), Term::Field(b)) => leaf(LeafKind::EqualFields(a, b)),
                (Term::Field(path), Term::Const(constant))
                | (Term::Const(constant), Term::Field(path)) => leaf(match constant {
                    Const::Text(text) => LeafKind::EqualText(path, (begins(&text), text)),
                    number => LeafKind::Equal(path, number),
                }),
                (Term::Const(a), Term::Const(b)) => Test::Known(a == b),
                _ => Test::Known(false),
            };
            return Some(if op == CompareOp::Eq {
                test
            } else {
                Test::Not(Box::new(test))
            });
        }
        Some(match (left, right) {
            (Term::Field(field), Term::Const(with)) => leaf(LeafKind::Order {
                field,
                op,
                text: with.text_form().into(),
                with,
            }),
            (Term::Const(with), Term::Field(field)) => leaf(LeafKind::Order {
                field,
                op: mirrored(op),
                text: with.text_form().into(),
                with,
            }),
            (Term::Field(left), Term::Field(right)) => {
                leaf(LeafKind::OrderFields { left, op, right })
            }
            (Term::Const(a), Term::Const(b)) => match order_consts(&a, &b) {
                Some(order) => Test::Known(accepts(op, order)),
                None => leaf(LeafKind::NeverOrdered),
            },
            _ => leaf(LeafKind::NeverOrdered),
        })
    }

    fn within(needle: &Operand, haystack: &Operand, build: &mut Build<'_>) -> Option<Test> {
        let (left, right) = (Self::term(needle, build)?, Self::term(haystack, build)?);
        Some(match (left, right) {
            (Term::Field(field), Term::List(list)) => {
                let texts = list
                    .iter()
                    .map(|constant| constant.text_form().into())
                    .collect();
                leaf(LeafKind::InList {
                    field,
                    texts: Texts::new(texts),
                })
            }
            (Term::Field(field), Term::Const(constant)) => leaf(LeafKind::InText {
                field,
                text: constant.text_form().into(),
            }),
            (Term::Const(needle), Term::Field(field)) => leaf(LeafKind::ConstIn { needle, field }),
            (Term::Field(needle), Term::Field(field)) => leaf(LeafKind::FieldIn { needle, field }),
            (Term::Const(a), Term::Const(b)) => Test::Known(a == b),
            (Term::Const(_), Term::List(_)) => Test::Known(false),
            (Term::List(_), _) => {
                build.error_with_hint(
                    "condition",
                    "an array cannot be looked for with `in`",
                    needle.span,
                    "test its elements one by one, joined by `and` or `or`",
                );
                return None;
            }
        })
    }

    fn matches(
        &mut self,
        left: &Operand,
        pattern: &str,
        span: Span,
        build: &mut Build<'_>,
    ) -> Option<Test> {
        let options = RegexOptions::default();
        let regex = match RubyRegex::new(pattern, options) {
            Ok(regex) => regex,
            Err(error) => {
                build.error(
                    "regex",
                    format!("the pattern does not compile: {error}"),
                    span,
                );
                return None;
            }
        };
        Some(match Self::term(left, build)? {
            Term::Field(field) => {
                self.regexes.push(regex);
                leaf(LeafKind::Match {
                    field,
                    regex: self.regexes.len() - 1,
                })
            }
            Term::Const(Const::Text(text)) => {
                let mut cache = regex.new_cache();
                Test::Known(regex.is_match(&mut cache, &text).unwrap_or(false))
            }
            _ => Test::Known(false),
        })
    }
}

fn leaf(kind: LeafKind) -> Test {
    Test::Leaf(Leaf(kind))
}

fn constant(operand: &Operand) -> Option<Const> {
    Some(match &operand.kind {
        OperandKind::String(text) | OperandKind::Regex(text) => Const::Text(text.as_bytes().into()),
        OperandKind::Number(Number::Int { value, .. }) => Const::Int(value.to_string().into()),
        OperandKind::Number(Number::BigInt { digits, .. }) => Const::Int(digits.as_str().into()),
        OperandKind::Number(Number::Float { value, .. }) => Const::Float(*value),
        OperandKind::Field(_) | OperandKind::Array(_) => return None,
    })
}

fn flatten(elements: &[Operand], out: &mut Vec<Const>) -> Option<()> {
    for element in elements {
        match &element.kind {
            OperandKind::Array(inner) => flatten(inner, out)?,
            OperandKind::Field(_) => {}
            _ => out.push(constant(element)?),
        }
    }
    Some(())
}

fn mirrored(op: CompareOp) -> CompareOp {
    match op {
        CompareOp::Lt => CompareOp::Gt,
        CompareOp::Gt => CompareOp::Lt,
        CompareOp::Le => CompareOp::Ge,
        CompareOp::Ge => CompareOp::Le,
        other => other,
    }
}

fn accepts(op: CompareOp, order: Ordering) -> bool {
    match op {
        CompareOp::Lt => order.is_lt(),
        CompareOp::Gt => order.is_gt(),
        CompareOp::Le => order.is_le(),
        CompareOp::Ge => order.is_ge(),
        CompareOp::Eq => order.is_eq(),
        CompareOp::Ne => order.is_ne(),
    }
}

fn order_consts(a: &Const, b: &Const) -> Option<Ordering> {
    match (a, b) {
        (Const::Text(a), Const::Text(b)) => Some(a.cmp(b)),
        (Const::Text(_), _) | (_, Const::Text(_)) => None,
        _ => order_numbers(&a.text_form(), &b.text_form()),
    }
}

/// Orders two numbers given as text; whole numbers of any size exactly.
fn order_numbers(a: &[u8], b: &[u8]) -> Option<Ordering> {
    if let (Some(a), Some(b)) = (short_number(a), short_number(b)) {
        return Some(a.cmp(&b));
    }
    let (a, b) = (std::str::from_utf8(a).ok()?, std::str::from_utf8(b).ok()?);
    if let (Ok(a), Ok(b)) = (a.parse::<i128>(), b.parse::<i128>()) {
        return Some(a.cmp(&b));
    }
    let whole = |text: &str| {
        text.bytes()
            .all(|byte| byte.is_ascii_digit() || byte == b'-')
    };
    if whole(a) && whole(b) {
        return Some(order_digits(a, b));
    }
    a.parse::<f64>().ok()?.partial_cmp(&b.parse::<f64>().ok()?)
}

/// A whole number of at most eighteen digits.
fn short_number(text: &[u8]) -> Option<i64> {
    let digits = text.strip_prefix(b"-").unwrap_or(text);
    if digits.is_empty() || digits.len() > 18 {
        return None;
    }
    let number = digits.iter().try_fold(0_i64, |number, byte| {
        let digit = byte.wrapping_sub(b'0');
        (digit < 10).then(|| number * 10 + i64::from(digit))
    })?;
    Some(if digits.len() < text.len() {
        -number
    } else {
        number
    })
}

fn order_digits(a: &str, b: &str) -> Ordering {
    let split = |text: &str| {
        let negative = text.starts_with('-');
        (
            negative,
            text.trim_start_matches('-')
                .trim_start_matches('0')
                .to_owned(),
        )
    };
    let ((a_negative, a), (b_negative, b)) = (split(a), split(b));
    match (a_negative, b_negative) {
        (false, true) => Ordering::Greater,
        (true, false) => Ordering::Less,
        (negative, _) => {
            let order = a.len().cmp(&b.len()).then_with(|| a.cmp(&b));
            if negative { order.reverse() } else { order }
        }
    }
}

impl Test {
    fn simplified(self) -> Test {
        match self {
            Test::Not(inner) => match *inner {
                Test::Known(known) => Test::Known(!known),
                Test::Not(inner) => *inner,
                other => Test::Not(Box::new(other)),
            },
            Test::And(a, b) => match (*a, *b) {
                (Test::Known(false), _) => Test::Known(false),
                (Test::Known(true), other) | (other, Test::Known(true)) => other,
                (a, b) => Test::And(Box::new(a), Box::new(b)),
            },
            Test::Or(a, b) => match (*a, *b) {
                (Test::Known(true), _) => Test::Known(true),
                (Test::Known(false), other) | (other, Test::Known(false)) => other,
                (a, b) => Test::Or(Box::new(a), Box::new(b)),
            },
            Test::Xor(a, b) => match (*a, *b) {
                (Test::Known(a), Test::Known(b)) => Test::Known(a != b),
                (a, b) => Test::Xor(Box::new(a), Box::new(b)),
            },
            other => other,
        }
    }

    /// What the test is when some fields are known to hold constants for all events.
    #[must_use]
    pub fn fold(&self, known: &[(Path, Box<[u8]>)]) -> Folded<'_> {
        match self {
            Test::Known(value) => Folded::Known(*value),
            Test::Not(inner) => match inner.fold(known) {
                Folded::Known(value) => Folded::Known(!value),
                Folded::Open(_) => Folded::Open(self),
            },
            Test::And(a, b) => match (a.fold(known), b.fold(known)) {
                (Folded::Known(false), _) => Folded::Known(false),
                (Folded::Known(true), other) | (other, Folded::Known(true)) => other,
                _ => Folded::Open(self),
            },
            Test::Or(a, b) => match (a.fold(known), b.fold(known)) {
                (Folded::Known(true), _) => Folded::Known(true),
                (Folded::Known(false), other) | (other, Folded::Known(false)) => other,
                _ => Folded::Open(self),
            },
            Test::Xor(a, b) => match (a.fold(known), b.fold(known)) {
                (Folded::Known(a), Folded::Known(b)) => Folded::Known(a != b),
                _ => Folded::Open(self),
            },
            Test::Leaf(Leaf(kind)) => kind.fold(known).map_or(Folded::Open(self), Folded::Known),
        }
    }

    /// Tests one event.
    ///
    /// # Errors
    /// When the original's rules give no answer for these values.
    pub fn holds(
        &self,
        batch: &mut Batch,
        id: EventId,
        regexes: &mut Regexes<'_>,
    ) -> Result<bool, CondError> {
        Ok(match self {
            Test::Known(value) => *value,
            Test::And(a, b) => a.holds(batch, id, regexes)? && b.holds(batch, id, regexes)?,
            Test::Or(a, b) => a.holds(batch, id, regexes)? || b.holds(batch, id, regexes)?,
            Test::Xor(a, b) => a.holds(batch, id, regexes)? != b.holds(batch, id, regexes)?,
            Test::Not(inner) => !inner.holds(batch, id, regexes)?,
            Test::Leaf(Leaf(kind)) => return kind.holds(batch, id, regexes),
        })
    }
}

/// Result of [`Test::fold`].
#[derive(Debug)]
pub enum Folded<'a> {
    /// The same for all events.
    Known(bool),
    /// Has to be asked for each event.
    Open(&'a Test),
}

/// The regexes of a plan with this worker's caches.
pub struct Regexes<'a> {
    /// The regexes, shared.
    pub regexes: &'a [RubyRegex],
    /// A cache for each.
    pub caches: &'a mut [RegexCache],
}

impl LeafKind {
    fn fold(&self, known: &[(Path, Box<[u8]>)]) -> Option<bool> {
        let value = |path: &Path| {
            known
                .iter()
                .find(|(at, _)| at == path)
                .map(|(_, text)| &**text)
        };
        Some(match self {
            LeafKind::Truthy(path) => !matches!(value(path)?, b"" | b"false"),
            LeafKind::EqualText(path, (_, text)) => **text == *value(path)?,
            LeafKind::Equal(path, _) => {
                value(path)?;
                false
            }
            LeafKind::InList { field, texts } => texts.contains(value(field)?),
            LeafKind::InText { field, text } => memchr::memmem::find(text, value(field)?).is_some(),
            _ => return None,
        })
    }

    fn holds(
        &self,
        batch: &mut Batch,
        id: EventId,
        regexes: &mut Regexes<'_>,
    ) -> Result<bool, CondError> {
        Ok(match self {
            LeafKind::Truthy(path) => {
                let value = batch.get(id, path);
                match value.kind() {
                    Kind::Absent | Kind::Null | Kind::False => false,
                    Kind::Str => !matches!(batch.bytes(value), b"" | b"false"),
                    _ => true,
                }
            }
            LeafKind::EqualText(path, text) => {
                let value = batch.get(id, path);
                value.kind() == Kind::Str && {
                    let bytes = batch.bytes(value);
                    is_text(text, begins(bytes), bytes)
                }
            }
            LeafKind::Equal(path, constant) => {
                let value = batch.get(id, path);
                equals(batch, value, constant)
            }
            LeafKind::EqualFields(a, b) => {
                let (a, b) = (batch.get_expanded(id, a), batch.get_expanded(id, b));
                same(batch, a, b)
            }
            LeafKind::Order {
                field,
                op,
                with,
                text,
            } => {
                let value = batch.get(id, field);
                accepts(*op, order_with(batch, value, with, text)?)
            }
            LeafKind::OrderFields { left, op, right } => {
                let (left, right) = (batch.get(id, left), batch.get(id, right));
                accepts(*op, order_values(batch, left, right)?)
            }
            LeafKind::NeverOrdered => return Err(CondError::Unordered),
            LeafKind::InList { field, texts } => {
                let value = batch.get(id, field);
                match value.kind() {
                    Kind::Absent | Kind::RawArray | Kind::List | Kind::RawObject | Kind::Map => {
                        false
                    }
                    Kind::Null => texts.contains(b""),
                    Kind::Str | Kind::Int | Kind::True | Kind::False => {
                        texts.contains(batch.bytes(value))
                    }
                    _ => {
                        let mut text = Vec::new();
                        batch.render(value, &mut text);
                        texts.contains(&text)
                    }
                }
            }
            LeafKind::InText { field, text } => {
                let value = batch.get(id, field);
                value.is_str() && memchr::memmem::find(text, batch.bytes(value)).is_some()
            }
            LeafKind::ConstIn { needle, field } => {
                let value = batch.get_expanded(id, field);
                const_in(batch, needle, value)
            }
            LeafKind::FieldIn { needle, field } => {
                let (needle, value) = (
                    batch.get_expanded(id, needle),
                    batch.get_expanded(id, field),
                );
                return field_in(batch, needle, value);
            }
            LeafKind::Match { field, regex } => {
                let value = batch.get(id, field);
                if !value.is_str() {
                    return Ok(false);
                }
                match (regexes.regexes.get(*regex), regexes.caches.get_mut(*regex)) {
                    (Some(regex), Some(cache)) => {
                        regex.is_match(cache, batch.bytes(value)).unwrap_or(false)
                    }
                    _ => false,
                }
            }
        })
    }
}

/// Typed equality with a constant: no conversions, integer is not float.
fn equals(batch: &Batch, value: Value, constant: &Const) -> bool {
    match constant {
        Const::Text(text) => value.kind() == Kind::Str && *batch.bytes(value) == **text,
        Const::Int(digits) => {
            value.kind() == Kind::Int
                && (batch.bytes(value) == digits.as_bytes()
                    || order_numbers(batch.bytes(value), digits.as_bytes())
                        == Some(Ordering::Equal))
        }
        Const::Float(number) => value.kind() == Kind::Float && float(batch, value) == Some(*number),
    }
}

fn float(batch: &Batch, value: Value) -> Option<f64> {
    std::str::from_utf8(batch.bytes(value)).ok()?.parse().ok()
}

/// Equality of two stored values.
fn same(batch: &mut Batch, a: Value, b: Value) -> bool {
    match (a.kind(), b.kind()) {
        (Kind::Str, Kind::Str) => batch.bytes(a) == batch.bytes(b),
        (Kind::Int, Kind::Int) => {
            order_numbers(batch.bytes(a), batch.bytes(b)) == Some(Ordering::Equal)
        }
        (Kind::Float, Kind::Float) => float(batch, a) == float(batch, b),
        (Kind::Time, Kind::Time) => batch.time(a) == batch.time(b),
        (Kind::RawObject | Kind::Map, Kind::RawObject | Kind::Map) => {
            let (a, b) = (batch.expand(a), batch.expand(b));
            batch.node_len(a) == batch.node_len(b)
                && (0..batch.node_len(a)).all(|at| {
                    let key = batch.map_key(a, at);
                    let found = (0..batch.node_len(b)).find(|&other| {
                        let other = batch.map_key(b, other);
                        batch.bytes(other) == batch.bytes(key)
                    });
                    found.is_some_and(|other| {
                        let (left, right) = (batch.node_value(a, at), batch.node_value(b, other));
                        same(batch, left, right)
                    })
                })
        }
        (Kind::RawArray | Kind::List, Kind::RawArray | Kind::List) => {
            let (a, b) = (batch.expand(a), batch.expand(b));
            batch.node_len(a) == batch.node_len(b)
                && (0..batch.node_len(a)).all(|at| {
                    let (left, right) = (batch.node_value(a, at), batch.node_value(b, at));
                    same(batch, left, right)
                })
        }
        (a, b) => a == b && matches!(a, Kind::Absent | Kind::Null | Kind::True | Kind::False),
    }
}

fn order_with(
    batch: &Batch,
    value: Value,
    with: &Const,
    text: &[u8],
) -> Result<Ordering, CondError> {
    match value.kind() {
        Kind::Absent => Err(CondError::Missing),
        Kind::Null | Kind::True | Kind::False | Kind::Time => Ok(Ordering::Equal),
        Kind::Str => match with {
            Const::Text(text) => Ok(batch.bytes(value).cmp(text)),
            _ => Err(CondError::Unordered),
        },
        Kind::Int | Kind::Float => match with {
            Const::Text(_) => Err(CondError::Unordered),
            _ => order_numbers(batch.bytes(value), text).ok_or(CondError::Unordered),
        },
        _ => Err(CondError::Unordered),
    }
}

fn order_values(batch: &Batch, left: Value, right: Value) -> Result<Ordering, CondError> {
    match (left.kind(), right.kind()) {
        (Kind::Absent, _) | (_, Kind::Absent) => Err(CondError::Missing),
        (Kind::Null | Kind::True | Kind::False | Kind::Time, _) => Ok(Ordering::Equal),
        (Kind::Str, Kind::Str) => Ok(batch.bytes(left).cmp(batch.bytes(right))),
        (Kind::Int | Kind::Float, Kind::Int | Kind::Float) => {
            order_numbers(batch.bytes(left), batch.bytes(right)).ok_or(CondError::Unordered)
        }
        _ => Err(CondError::Unordered),
    }
}

fn const_in(batch: &mut Batch, needle: &Const, value: Value) -> bool {
    match (value.kind(), needle) {
        (Kind::Str, Const::Text(text)) => memchr::memmem::find(batch.bytes(value), text).is_some(),
        (Kind::List, _) => (0..batch.node_len(value)).any(|at| {
            let element = batch.node_value(value, at);
            equals(batch, element, needle)
        }),
        _ => false,
    }
}

fn field_in(batch: &mut Batch, needle: Value, value: Value) -> Result<bool, CondError> {
    if needle.is_array() || needle.is_object() {
        return Ok(false);
    }
    if value.kind() == Kind::List {
        if needle.is_absent() {
            return Err(CondError::MissingNeedle);
        }
        for at in 0..batch.node_len(value) {
            let element = batch.node_value(value, at);
            if same(batch, needle, element) {
                return Ok(true);
            }
        }
        return Ok(false);
    }
    if needle.is_str() && value.is_str() {
        return Ok(memchr::memmem::find(batch.bytes(value), batch.bytes(needle)).is_some());
    }
    Ok(!needle.is_absent() && same(batch, needle, value))
}
