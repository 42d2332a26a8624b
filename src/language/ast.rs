//! The tree of a parsed pipeline configuration: sections, plugins, values and conditions, each with its place.

use crate::language::field_path::FieldPath;

/// A half-open range of byte offsets into [`SourceMap::text`](crate::language::source::SourceMap::text).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Span {
    /// Offset of the first byte.
    pub start: u32,
    /// Offset just past the last byte.
    pub end: u32,
}

impl Span {
    /// The range from `start` up to but not including `end`.
    #[must_use]
    pub fn new(start: u32, end: u32) -> Span {
        Span { start, end }
    }

    /// The smallest span that covers both.
    #[must_use]
    pub fn to(self, other: Span) -> Span {
        Span {
            start: self.start.min(other.start),
            end: self.end.max(other.end),
        }
    }

    /// The length in bytes.
    #[must_use]
    pub fn len(self) -> u32 {
        self.end.saturating_sub(self.start)
    }

    /// Whether the span covers no byte at all.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.end <= self.start
    }
}

/// A whole pipeline: the sections of all its files in reading order.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Config {
    /// Sections as written; kinds may repeat and interleave.
    pub sections: Vec<Section>,
}

/// Which stage of the pipeline a section describes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SectionKind {
    /// `input { … }`
    Input,
    /// `filter { … }`
    Filter,
    /// `output { … }`
    Output,
}

impl SectionKind {
    /// The keyword that opens such a section.
    #[must_use]
    pub fn keyword(self) -> &'static str {
        match self {
            SectionKind::Input => "input",
            SectionKind::Filter => "filter",
            SectionKind::Output => "output",
        }
    }
}

/// One `input`, `filter` or `output` block.
#[derive(Debug, Clone, PartialEq)]
pub struct Section {
    /// The stage.
    pub kind: SectionKind,
    /// Plugins and conditionals in order.
    pub items: Vec<Item>,
    /// From the keyword to the closing brace.
    pub span: Span,
}

/// What may stand inside a section or a branch.
#[derive(Debug, Clone, PartialEq)]
pub enum Item {
    /// A plugin with its options.
    Plugin(Plugin),
    /// An `if` with its alternatives.
    Branch(Branch),
}

impl Item {
    /// Where the item stands.
    #[must_use]
    pub fn span(&self) -> Span {
        match self {
            Item::Plugin(plugin) => plugin.span,
            Item::Branch(branch) => branch.span,
        }
    }
}

/// `if … { } else if … { } else { }`.
#[derive(Debug, Clone, PartialEq)]
pub struct Branch {
    /// The `if` and each `else if`, in order; at least one.
    pub arms: Vec<Arm>,
    /// The items of `else`, if there is one.
    pub otherwise: Option<Vec<Item>>,
    /// From `if` to the last closing brace.
    pub span: Span,
}

/// One condition and what happens when it holds.
#[derive(Debug, Clone, PartialEq)]
pub struct Arm {
    /// The condition.
    pub condition: Cond,
    /// The items of the block.
    pub items: Vec<Item>,
    /// From `if` or `else` to the closing brace.
    pub span: Span,
}

/// The name of a plugin or an option, without quotes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name {
    /// The name; escapes are never processed in names.
    pub text: String,
    /// Where it stands, quotes included.
    pub span: Span,
}

/// A plugin with its options; also used as a value (`codec => json { … }`).
#[derive(Debug, Clone, PartialEq)]
pub struct Plugin {
    /// The plugin's name.
    pub name: Name,
    /// Options as written; the same name may occur more than once.
    pub attrs: Vec<Attr>,
    /// From the name to the closing brace.
    pub span: Span,
}

/// One option: `name => value`.
#[derive(Debug, Clone, PartialEq)]
pub struct Attr {
    /// The option's name.
    pub name: Name,
    /// Its value.
    pub value: Value,
    /// From the name to the end of the value.
    pub span: Span,
}

/// A value of an option, an array element, or a key or value of a hash.
#[derive(Debug, Clone, PartialEq)]
pub struct Value {
    /// What it is.
    pub kind: ValueKind,
    /// Where it stands, quotes and brackets included.
    pub span: Span,
}

/// The kinds of values.
#[derive(Debug, Clone, PartialEq)]
pub enum ValueKind {
    /// A plugin used as a value, usually a codec with options.
    Plugin(Box<Plugin>),
    /// An unquoted word; means the same as the quoted string.
    Bareword(String),
    /// A quoted string without its quotes, escapes decoded if the options ask for it.
    String(String),
    /// A number.
    Number(Number),
    /// `[ a, b ]`
    Array(Vec<Value>),
    /// `{ key => value … }`; keys are barewords, strings or numbers, later entries win.
    Hash(Vec<(Value, Value)>),
}

/// A number literal, with the text it was written as.
#[derive(Debug, Clone, PartialEq)]
pub enum Number {
    /// A whole number. A leading zero makes the text octal.
    Int {
        /// The value.
        value: i128,
        /// The source text.
        text: String,
    },
    /// A whole number that does not fit 128 bits.
    BigInt {
        /// The value in plain decimal, with `-` if negative and no leading zeros.
        digits: String,
        /// The source text.
        text: String,
    },
    /// A number with a decimal point.
    Float {
        /// The value, as the nearest double.
        value: f64,
        /// The source text.
        text: String,
    },
}

impl Number {
    /// The number as it was written.
    #[must_use]
    pub fn text(&self) -> &str {
        match self {
            Number::Int { text, .. } | Number::BigInt { text, .. } | Number::Float { text, .. } => {
                text
            }
        }
    }
}

/// A condition.
#[derive(Debug, Clone, PartialEq)]
pub struct Cond {
    /// What is asked.
    pub kind: CondKind,
    /// Where it stands.
    pub span: Span,
}

/// The kinds of conditions. Boolean operators are grouped as the original groups them, including its deviation for
/// `a and b and c or d`, which means `a and ((b and c) or d)`.
#[derive(Debug, Clone, PartialEq)]
pub enum CondKind {
    /// Both hold; the right side is not evaluated when the left is false.
    And(Box<Cond>, Box<Cond>),
    /// At least one holds; the right side is not evaluated when the left is true.
    Or(Box<Cond>, Box<Cond>),
    /// Exactly one holds.
    Xor(Box<Cond>, Box<Cond>),
    /// Not both hold.
    Nand(Box<Cond>, Box<Cond>),
    /// It does not hold.
    Not(Box<Cond>),
    /// `needle in haystack`
    In {
        /// Left of `in`.
        needle: Operand,
        /// Right of `in`.
        haystack: Operand,
        /// `not in`
        negated: bool,
    },
    /// `left op right`
    Compare {
        /// Left operand.
        left: Operand,
        /// The operator.
        op: CompareOp,
        /// Right operand.
        right: Operand,
    },
    /// `left =~ pattern`
    Match {
        /// The operand searched.
        left: Operand,
        /// The regular expression, verbatim (a `\/` is still a `\/`).
        pattern: String,
        /// Where the pattern stands, slashes or quotes included.
        pattern_span: Span,
        /// `!~`
        negated: bool,
    },
    /// A lone operand: its truthiness.
    Truthy(Operand),
}

/// Comparison operators.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CompareOp {
    /// `==`
    Eq,
    /// `!=`
    Ne,
    /// `<`
    Lt,
    /// `>`
    Gt,
    /// `<=`
    Le,
    /// `>=`
    Ge,
}

impl CompareOp {
    /// The operator as it is written.
    #[must_use]
    pub fn symbol(self) -> &'static str {
        match self {
            CompareOp::Eq => "==",
            CompareOp::Ne => "!=",
            CompareOp::Lt => "<",
            CompareOp::Gt => ">",
            CompareOp::Le => "<=",
            CompareOp::Ge => ">=",
        }
    }
}

/// An operand of a condition.
#[derive(Debug, Clone, PartialEq)]
pub struct Operand {
    /// What it is.
    pub kind: OperandKind,
    /// Where it stands.
    pub span: Span,
}

/// The kinds of operands.
#[derive(Debug, Clone, PartialEq)]
pub enum OperandKind {
    /// A string constant.
    String(String),
    /// A number constant.
    Number(Number),
    /// A field. One-element array literals arrive here too, as a field named like their text, quotes included.
    Field(FieldPath),
    /// An array constant: none, two or more elements, or one that contains a bracket or comma. Elements are strings,
    /// numbers and arrays.
    Array(Vec<Operand>),
    /// A regular expression standing where a value is expected.
    Regex(String),
}
