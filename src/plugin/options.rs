//! Options of plugins, declared once: name, type, default and doc in one place give the checks, the error
//! hints and the reference pages.

use std::path::PathBuf;
use std::sync::Arc;

use super::build::{Build, Ecs};
use super::codec::Codec;
use super::sprintf::Sprintf;
use crate::event::Path;
use crate::language::ast::{Attr, Name, Number, Plugin, Span, Value, ValueKind};
use crate::language::{Diagnostic, EscapeStyle, FieldPath, did_you_mean};

/// Whether an option of the reference works here.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Status {
    /// It does what the reference says.
    Works,
    /// Known, but an error when it is set: the text says why or what to use.
    Later(&'static str),
    /// An old name that is taken with a warning, as another option.
    Renamed(&'static str),
    /// Accepted with a warning and without effect, since it has no meaning here; the text says why.
    NoEffect(&'static str),
}

/// One option, for checks and reference pages.
#[derive(Clone, Copy, Debug)]
pub struct OptionSpec {
    /// Name in configs.
    pub name: &'static str,
    /// What a value looks like.
    pub kind: &'static str,
    /// Default as one would write it; none for required options and for those without.
    pub default: Option<&'static str>,
    /// It must be given.
    pub required: bool,
    /// Reference text.
    pub doc: &'static str,
    /// Whether it works.
    pub status: Status,
}

/// An options struct made by [`options!`](crate::options).
pub trait Options: Sized {
    /// All options.
    fn specs() -> &'static [OptionSpec];
    /// Reads them; `None` after all errors were reported.
    fn read(plugin: &Plugin, build: &mut Build<'_>) -> Option<Self>;
}

/// A value of an option after repeated options were merged.
#[derive(Clone, Debug, PartialEq)]
pub struct Setting {
    /// What it is.
    pub kind: SettingKind,
    /// Where it stands.
    pub span: Span,
}

/// The kinds of values.
#[derive(Clone, Debug, PartialEq)]
pub enum SettingKind {
    /// Text, quoted or bare.
    Text(String),
    /// A number.
    Number(Number),
    /// An array.
    Array(Vec<Setting>),
    /// A hash; repeated keys were collected into arrays.
    Hash(Vec<(String, Setting)>),
    /// A plugin as a value.
    Plugin(Plugin),
}

impl Setting {
    /// Text as if it had been written in the config.
    #[must_use]
    pub fn text(text: &str) -> Setting {
        Setting {
            kind: SettingKind::Text(text.to_owned()),
            span: Span::default(),
        }
    }

    fn describe(&self) -> &'static str {
        match self.kind {
            SettingKind::Text(_) => "text",
            SettingKind::Number(_) => "a number",
            SettingKind::Array(_) => "an array",
            SettingKind::Hash(_) => "a hash",
            SettingKind::Plugin(_) => "a plugin block",
        }
    }
}

impl From<&str> for Setting {
    fn from(text: &str) -> Self {
        Setting::text(text)
    }
}

impl From<bool> for Setting {
    fn from(value: bool) -> Self {
        Setting::text(if value { "true" } else { "false" })
    }
}

impl From<i64> for Setting {
    fn from(value: i64) -> Self {
        let number = Number::Int {
            value: value.into(),
            text: value.to_string(),
        };
        Setting {
            kind: SettingKind::Number(number),
            span: Span::default(),
        }
    }
}

impl From<f64> for Setting {
    fn from(value: f64) -> Self {
        let number = Number::Float {
            value,
            text: value.to_string(),
        };
        Setting {
            kind: SettingKind::Number(number),
            span: Span::default(),
        }
    }
}

impl<const N: usize> From<[&str; N]> for Setting {
    fn from(values: [&str; N]) -> Self {
        let values = values.into_iter().map(Setting::text).collect();
        Setting {
            kind: SettingKind::Array(values),
            span: Span::default(),
        }
    }
}

/// A type that an option can have.
pub trait FromSetting: Sized {
    /// How the reference page names it.
    const KIND: &'static str;

    /// The value when the option is not given and has no default; `None` makes it required.
    #[must_use]
    fn absent() -> Option<Self> {
        None
    }

    /// Converts.
    ///
    /// # Errors
    /// A sentence that begins with "must be …" or names what is wrong.
    fn from_setting(setting: &Setting, build: &mut Build<'_>) -> Result<Self, String>;
}

impl FromSetting for String {
    const KIND: &'static str = "string";
    fn from_setting(setting: &Setting, _: &mut Build<'_>) -> Result<Self, String> {
        match &setting.kind {
            SettingKind::Text(text) => Ok(text.clone()),
            SettingKind::Number(number) => Ok(number.text().to_owned()),
            SettingKind::Array(values) if values.len() == 1 => match &values[0].kind {
                SettingKind::Text(text) => Ok(text.clone()),
                SettingKind::Number(number) => Ok(number.text().to_owned()),
                _ => Err("must be one text".to_owned()),
            },
            SettingKind::Array(_) => Err("must be one text, but several are given".to_owned()),
            _ => Err(format!("must be one text, not {}", setting.describe())),
        }
    }
}

impl FromSetting for bool {
    const KIND: &'static str = "boolean";
    fn from_setting(setting: &Setting, _: &mut Build<'_>) -> Result<Self, String> {
        match &setting.kind {
            SettingKind::Text(text) if text == "true" => Ok(true),
            SettingKind::Text(text) if text == "false" => Ok(false),
            SettingKind::Text(text) => Err(format!("must be `true` or `false`, not `{text}`")),
            _ => Err(format!(
                "must be `true` or `false`, not {}",
                setting.describe()
            )),
        }
    }
}

impl FromSetting for f64 {
    const KIND: &'static str = "number";
    fn from_setting(setting: &Setting, _: &mut Build<'_>) -> Result<Self, String> {
        let text = match &setting.kind {
            SettingKind::Number(Number::Int { value, .. }) => return Ok(*value as f64),
            SettingKind::Number(number) => number.text(),
            SettingKind::Text(text) => text,
            _ => return Err(format!("must be a number, not {}", setting.describe())),
        };
        let plain = text
            .bytes()
            .all(|byte| byte.is_ascii_digit() || byte == b'.' || byte == b'-');
        match text.parse::<f64>() {
            Ok(number) if plain && number.is_finite() => Ok(number),
            _ => Err(format!("must be a number, not `{text}`")),
        }
    }
}

impl FromSetting for i64 {
    const KIND: &'static str = "number";
    fn from_setting(setting: &Setting, build: &mut Build<'_>) -> Result<Self, String> {
        if let SettingKind::Number(Number::Int { value, .. }) = &setting.kind {
            return i64::try_from(*value).map_err(|_| "is too large".to_owned());
        }
        let number = f64::from_setting(setting, build)?;
        if number.fract() == 0.0 && number.abs() < 9e15 {
            Ok(number as i64)
        } else {
            Err("must be a whole number".to_owned())
        }
    }
}

macro_rules! unsigned_setting {
    ($($ty:ty),*) => {$(
        impl FromSetting for $ty {
            const KIND: &'static str = "number";
            fn from_setting(setting: &Setting, build: &mut Build<'_>) -> Result<Self, String> {
                let number = i64::from_setting(setting, build)?;
                <$ty>::try_from(number).map_err(|_| format!("must be between 0 and {}", <$ty>::MAX))
            }
        }
    )*};
}
unsigned_setting!(u16, u32, u64, usize);

impl<T: FromSetting> FromSetting for Option<T> {
    const KIND: &'static str = T::KIND;
    fn absent() -> Option<Self> {
        Some(None)
    }
    fn from_setting(setting: &Setting, build: &mut Build<'_>) -> Result<Self, String> {
        T::from_setting(setting, build).map(Some)
    }
}

impl<T: FromSetting> FromSetting for Vec<T> {
    const KIND: &'static str = "array";
    fn absent() -> Option<Self> {
        Some(Vec::new())
    }
    fn from_setting(setting: &Setting, build: &mut Build<'_>) -> Result<Self, String> {
        match &setting.kind {
            SettingKind::Array(values) => values
                .iter()
                .map(|value| T::from_setting(value, build))
                .collect(),
            SettingKind::Hash(_) => Err("must be an array, not a hash".to_owned()),
            _ => Ok(vec![T::from_setting(setting, build)?]),
        }
    }
}

/// A list that must be given.
#[derive(Debug)]
pub struct NonEmpty<T>(pub Vec<T>);

impl<T: FromSetting> FromSetting for NonEmpty<T> {
    const KIND: &'static str = "array";
    fn from_setting(setting: &Setting, build: &mut Build<'_>) -> Result<Self, String> {
        let values = Vec::from_setting(setting, build)?;
        if values.is_empty() {
            Err("must not be empty".to_owned())
        } else {
            Ok(NonEmpty(values))
        }
    }
}

/// A hash in the order in which it is written. Also taken from an array of even length.
#[derive(Debug)]
pub struct Pairs<T>(pub Vec<(String, T)>);

impl<T> Default for Pairs<T> {
    fn default() -> Self {
        Pairs(Vec::new())
    }
}

impl<T: FromSetting> FromSetting for Pairs<T> {
    const KIND: &'static str = "hash";
    fn absent() -> Option<Self> {
        Some(Pairs(Vec::new()))
    }
    fn from_setting(setting: &Setting, build: &mut Build<'_>) -> Result<Self, String> {
        let pairs = hash_entries(setting)?;
        let mut out = Vec::with_capacity(pairs.len());
        for (key, value) in pairs {
            let value =
                T::from_setting(&value, build).map_err(|error| format!("at `{key}`: {error}"))?;
            out.push((key, value));
        }
        Ok(Pairs(out))
    }
}

/// A hash that must be given.
#[derive(Debug)]
pub struct NonEmptyPairs<T>(pub Vec<(String, T)>);

impl<T: FromSetting> FromSetting for NonEmptyPairs<T> {
    const KIND: &'static str = "hash";
    fn from_setting(setting: &Setting, build: &mut Build<'_>) -> Result<Self, String> {
        Pairs::from_setting(setting, build).map(|pairs| NonEmptyPairs(pairs.0))
    }
}

fn hash_entries(setting: &Setting) -> Result<Vec<(String, Setting)>, String> {
    match &setting.kind {
        SettingKind::Hash(pairs) => Ok(pairs.clone()),
        SettingKind::Array(values)
            if values
                .iter()
                .all(|value| matches!(value.kind, SettingKind::Hash(_))) =>
        {
            let mut out = Vec::new();
            for value in values {
                for (key, value) in hash_entries(value)? {
                    collect(&mut out, key, value);
                }
            }
            Ok(out)
        }
        SettingKind::Array(values) if values.len() % 2 == 0 => {
            let mut out = Vec::new();
            for pair in values.chunks_exact(2) {
                let key = match &pair[0].kind {
                    SettingKind::Text(text) => text.clone(),
                    SettingKind::Number(number) => number.text().to_owned(),
                    _ => return Err(
                        "must be a hash; in its array form every first of two elements is a name"
                            .to_owned(),
                    ),
                };
                collect(&mut out, key, pair[1].clone());
            }
            Ok(out)
        }
        SettingKind::Array(_) => {
            Err("must be a hash; its array form needs an even number of elements".to_owned())
        }
        _ => Err(format!("must be a hash, not {}", setting.describe())),
    }
}

/// Values of equal keys are collected into an array.
fn collect(out: &mut Vec<(String, Setting)>, key: String, value: Setting) {
    let Some((_, before)) = out.iter_mut().find(|(name, _)| *name == key) else {
        out.push((key, value));
        return;
    };
    if let SettingKind::Array(values) = &mut before.kind {
        match value.kind {
            SettingKind::Array(more) => values.extend(more),
            _ => values.push(value),
        }
    } else {
        let mut values = vec![before.clone()];
        match value.kind {
            SettingKind::Array(more) => values.extend(more),
            _ => values.push(value.clone()),
        }
        *before = Setting {
            kind: SettingKind::Array(values),
            span: value.span,
        };
    }
}

/// A secret: never shown.
#[derive(Clone, Default)]
pub struct Password(pub String);

impl std::fmt::Debug for Password {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("<password>")
    }
}

impl FromSetting for Password {
    const KIND: &'static str = "password";
    fn from_setting(setting: &Setting, build: &mut Build<'_>) -> Result<Self, String> {
        String::from_setting(setting, build).map(Password)
    }
}

impl FromSetting for PathBuf {
    const KIND: &'static str = "path";
    fn from_setting(setting: &Setting, build: &mut Build<'_>) -> Result<Self, String> {
        let text = String::from_setting(setting, build)?;
        Ok(build.find_file(&text))
    }
}

/// A field reference given as an option, with its text.
#[derive(Clone, Debug)]
pub struct FieldRef {
    /// As written.
    pub text: String,
    /// Compiled.
    pub path: Path,
}

impl FromSetting for FieldRef {
    const KIND: &'static str = "field reference";
    fn from_setting(setting: &Setting, build: &mut Build<'_>) -> Result<Self, String> {
        let text = String::from_setting(setting, build)?;
        let reference = FieldPath::parse(&text, EscapeStyle::None)
            .map_err(|error| format!("is no field reference: {error}"))?;
        Ok(FieldRef {
            path: build.keys.path(&reference),
            text,
        })
    }
}

impl FromSetting for Sprintf {
    const KIND: &'static str = "string (sprintf)";
    fn from_setting(setting: &Setting, build: &mut Build<'_>) -> Result<Self, String> {
        let text = String::from_setting(setting, build)?;
        let before = build.diagnostics.len();
        match Sprintf::compile(&text, build, setting.span) {
            Some(template) => Ok(template),
            None => Err(build
                .diagnostics
                .drain(before..)
                .next()
                .map_or_else(String::new, |error| error.message)),
        }
    }
}

/// A codec given by name or as a block.
#[derive(Clone)]
pub struct CodecRef {
    /// Its name.
    pub name: String,
    /// The codec.
    pub codec: Arc<dyn Codec>,
    /// The block or name as written, for inputs that substitute one codec by another.
    pub plugin: Plugin,
}

impl std::fmt::Debug for CodecRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.name)
    }
}

impl FromSetting for CodecRef {
    const KIND: &'static str = "codec";
    fn from_setting(setting: &Setting, build: &mut Build<'_>) -> Result<Self, String> {
        let plugin = match &setting.kind {
            SettingKind::Plugin(plugin) => plugin.clone(),
            SettingKind::Text(name) => {
                let name = Name {
                    text: name.clone(),
                    span: setting.span,
                };
                Plugin {
                    name,
                    attrs: Vec::new(),
                    span: setting.span,
                }
            }
            _ => return Err(format!("must be a codec, not {}", setting.describe())),
        };
        let before = build.diagnostics.len();
        let codec = build.codec(&plugin);
        match codec {
            Some(codec) => Ok(CodecRef {
                name: plugin.name.text.clone(),
                codec,
                plugin,
            }),
            // The codec has reported its own errors at their own places.
            None if build.diagnostics.len() > before => Err(String::new()),
            None => Err("is no codec".to_owned()),
        }
    }
}

impl FromSetting for Setting {
    const KIND: &'static str = "any";
    fn from_setting(setting: &Setting, _: &mut Build<'_>) -> Result<Self, String> {
        Ok(setting.clone())
    }
}

/// Names that every plugin of the kinds here takes; read by the planner or by [`plugin_ecs`].
const COMMON: [&str; 12] = [
    "codec",
    "workers",
    "id",
    "enable_metric",
    "add_field",
    "remove_field",
    "add_tag",
    "remove_tag",
    "periodic_flush",
    "ecs_compatibility",
    "tags",
    "type",
];

/// What people write when they mean another option.
const SYNONYMS: [(&str, &str); 9] = [
    ("pattern", "match"),
    ("patterns", "match"),
    ("regex", "match"),
    ("formats", "match"),
    ("field", "source"),
    ("file", "path"),
    ("files", "path"),
    ("server", "hosts"),
    ("id_field", "document_id"),
];

/// ECS compatibility of one plugin: its own option, else the pipeline's.
pub(crate) fn plugin_ecs(plugin: &Plugin, build: &mut Build<'_>) -> Ecs {
    let Some(attr) = plugin
        .attrs
        .iter()
        .find(|attr| attr.name.text == "ecs_compatibility")
    else {
        return build.settings.ecs;
    };
    let text = setting(std::slice::from_ref(&attr)).and_then(|setting| match setting.kind {
        SettingKind::Text(text) => Some(text),
        _ => None,
    });
    match text.as_deref().and_then(Ecs::parse) {
        Some(ecs) => ecs,
        None => {
            build.error(
                "option-value",
                "`ecs_compatibility` must be one of `disabled`, `v1`, `v8`",
                attr.value.span,
            );
            build.settings.ecs
        }
    }
}

/// Reads the options of one plugin block.
pub struct Reader<'p, 'b, 'a> {
    plugin: &'p Plugin,
    /// The build that the plugin belongs to.
    pub build: &'b mut Build<'a>,
    specs: &'static [OptionSpec],
    failed: bool,
}

impl<'p, 'b, 'a> Reader<'p, 'b, 'a> {
    /// Begins: reports options that are unknown, not there yet, or renamed.
    pub fn new(plugin: &'p Plugin, build: &'b mut Build<'a>, specs: &'static [OptionSpec]) -> Self {
        let mut reader = Reader {
            plugin,
            build,
            specs,
            failed: false,
        };
        for attr in &plugin.attrs {
            reader.check_name(attr);
        }
        reader
    }

    /// Begins without looking at other options: for those that all plugins share.
    pub fn unchecked(plugin: &'p Plugin, build: &'b mut Build<'a>) -> Self {
        Reader {
            plugin,
            build,
            specs: &[],
            failed: false,
        }
    }

    fn check_name(&mut self, attr: &Attr) {
        let name = attr.name.text.as_str();
        let plugin = &self.plugin.name.text;
        match self
            .specs
            .iter()
            .find(|spec| spec.name == name)
            .map(|spec| spec.status)
        {
            Some(Status::Works) => {}
            Some(Status::Later(why)) => {
                self.failed = true;
                let message = format!("the option `{name}` of `{plugin}` is not there yet");
                self.build
                    .error_with_hint("option-later", message, attr.name.span, why);
            }
            Some(Status::Renamed(to)) => {
                let message =
                    format!("`{name}` of `{plugin}` is an old name: it is read as `{to}`");
                self.build.warn("option-renamed", message, attr.name.span);
            }
            Some(Status::NoEffect(why)) => {
                let message = format!("`{name}` of `{plugin}` has no effect: {why}");
                self.build.warn("option-no-effect", message, attr.name.span);
            }
            None if COMMON.contains(&name) => {}
            None => {
                self.failed = true;
                let meant = SYNONYMS
                    .iter()
                    .filter(|(_, real)| self.specs.iter().any(|spec| spec.name == *real));
                let names = self
                    .specs
                    .iter()
                    .map(|spec| spec.name)
                    .chain(COMMON)
                    .chain(meant.clone().map(|(other, _)| *other));
                let mut error = Diagnostic::error(
                    "unknown-option",
                    format!("unknown option `{name}` of `{plugin}`"),
                    attr.name.span,
                );
                let close = SYNONYMS
                    .iter()
                    .find(|(other, _)| *other == name)
                    .map(|(other, _)| *other)
                    .or_else(|| did_you_mean(name, names));
                if let Some(close) = close {
                    let close = meant
                        .clone()
                        .find(|(other, _)| *other == close)
                        .map_or(close, |(_, real)| *real);
                    error = error.hint(format!("did you mean `{close}`?"));
                } else {
                    error = error.hint(format!("`logmill plugin doc {plugin}` lists its options"));
                }
                self.build.diagnostics.push(error);
            }
        }
    }

    /// Where the option stands, or the plugin's name when it is not given.
    #[must_use]
    pub fn span(&self, name: &str) -> Span {
        let attr = self.plugin.attrs.iter().find(|attr| attr.name.text == name);
        attr.map_or(self.plugin.name.span, |attr| attr.value.span)
    }

    /// Takes one option.
    pub fn take<T: FromSetting>(
        &mut self,
        name: &'static str,
        default: Option<Setting>,
    ) -> Option<T> {
        let renamed: Vec<&str> = self
            .specs
            .iter()
            .filter(|spec| spec.status == Status::Renamed(name))
            .map(|spec| spec.name)
            .collect();
        let attrs: Vec<&Attr> = self
            .plugin
            .attrs
            .iter()
            .filter(|attr| attr.name.text == name || renamed.contains(&attr.name.text.as_str()))
            .collect();
        if attrs.is_empty() {
            if let Some(default) = default {
                return self.convert(name, &default, self.plugin.name.span);
            }
            if let Some(absent) = T::absent() {
                return Some(absent);
            }
            self.failed = true;
            let message = format!("`{}` needs the option `{name}`", self.plugin.name.text);
            self.build.error_with_hint(
                "missing-option",
                message,
                self.plugin.name.span,
                format!("add `{name} => …`"),
            );
            return None;
        }
        let span = attrs[0].value.span;
        let Some(setting) = setting(&attrs) else {
            self.failed = true;
            return None;
        };
        self.convert(name, &setting, span)
    }

    fn convert<T: FromSetting>(&mut self, name: &str, setting: &Setting, span: Span) -> Option<T> {
        match T::from_setting(setting, self.build) {
            Ok(value) => Some(value),
            Err(error) => {
                self.failed = true;
                if !error.is_empty() {
                    let message = format!("`{name}` of `{}` {error}", self.plugin.name.text);
                    self.build.error("option-value", message, span);
                }
                None
            }
        }
    }

    /// True when an error was reported.
    #[must_use]
    pub fn failed(&self) -> bool {
        self.failed
    }
}

/// Merges repeated options.
#[must_use]
pub fn setting(attrs: &[&Attr]) -> Option<Setting> {
    let mut merged: Option<Setting> = None;
    for attr in attrs {
        let next = from_value(&attr.value);
        merged = Some(match merged {
            None => next,
            Some(before) => merge(before, next),
        });
    }
    merged
}

fn merge(before: Setting, next: Setting) -> Setting {
    let span = before.span;
    match (before.kind, next.kind) {
        (SettingKind::Hash(mut pairs), SettingKind::Hash(more)) => {
            for (key, value) in more {
                collect(&mut pairs, key, value);
            }
            Setting {
                kind: SettingKind::Hash(pairs),
                span,
            }
        }
        (SettingKind::Array(mut values), next_kind) => {
            match next_kind {
                SettingKind::Array(more) => values.extend(more),
                other => values.push(Setting {
                    kind: other,
                    span: next.span,
                }),
            }
            Setting {
                kind: SettingKind::Array(values),
                span,
            }
        }
        (first, second) if first == second => Setting { kind: first, span },
        (first, second) => {
            let values = vec![
                Setting { kind: first, span },
                Setting {
                    kind: second,
                    span: next.span,
                },
            ];
            Setting {
                kind: SettingKind::Array(values),
                span,
            }
        }
    }
}

fn from_value(value: &Value) -> Setting {
    let span = value.span;
    let kind = match &value.kind {
        ValueKind::Plugin(plugin) => SettingKind::Plugin((**plugin).clone()),
        ValueKind::Number(number) => SettingKind::Number(number.clone()),
        ValueKind::Bareword(text) | ValueKind::String(text) => SettingKind::Text(text.clone()),
        ValueKind::Array(values) => SettingKind::Array(values.iter().map(from_value).collect()),
        ValueKind::Hash(pairs) => {
            let mut out: Vec<(String, Setting)> = Vec::with_capacity(pairs.len());
            for (key, value) in pairs {
                let name = match &key.kind {
                    ValueKind::Bareword(text) | ValueKind::String(text) => text.clone(),
                    ValueKind::Number(number) => number.text().to_owned(),
                    _ => continue,
                };
                let value = from_value(value);
                match out.iter_mut().find(|(before, _)| *before == name) {
                    Some(entry) => entry.1 = value,
                    None => out.push((name, value)),
                }
            }
            SettingKind::Hash(out)
        }
    };
    Setting { kind, span }
}

/// Declares the options of a plugin.
///
/// ```ignore
/// options! {
///     /// Options of the `truncate` filter.
///     pub struct Config {
///         /// Longest value kept, in bytes of UTF-8.
///         length_bytes: u64;
///         /// Fields to cut. All string fields when absent.
///         fields: Vec<FieldRef>;
///         /// Regex time-out, milliseconds.
///         timeout_millis: u64 = 30_000;
///     }
///     later { "sniffing" => "use `hosts`" }
///     renamed { "ssl" => "ssl_enabled" }
///     no_effect { "pool_max" => "connections are opened as needed" }
/// }
/// ```
///
/// A field without a default is required unless its type is `Option`, `Vec` or `Pairs`.
#[macro_export]
macro_rules! options {
    (
        $(#[$meta:meta])*
        $vis:vis struct $config:ident {
            $( $(#[doc = $doc:literal])* $name:ident : $ty:ty $(= $default:expr)? ; )*
        }
        $(later { $($later:literal => $later_why:literal),* $(,)? })?
        $(renamed { $($old:literal => $new:literal),* $(,)? })?
        $(no_effect { $($idle:literal => $idle_why:literal),* $(,)? })?
    ) => {
        $(#[$meta])*
        #[derive(Debug)]
        $vis struct $config {
            $( $(#[doc = $doc])* pub $name: $ty, )*
        }

        impl $crate::plugin::options::Options for $config {
            fn specs() -> &'static [$crate::plugin::options::OptionSpec] {
                use $crate::plugin::options::{FromSetting, OptionSpec, Status};
                static SPECS: std::sync::LazyLock<Vec<OptionSpec>> = std::sync::LazyLock::new(|| vec![
                    $( OptionSpec {
                        name: $crate::plugin::options::plain_name(stringify!($name)),
                        kind: <$ty as FromSetting>::KIND,
                        default: { let _default: Option<&'static str> = None; $( let _default = Some(stringify!($default)); )? _default },
                        required: { let _given = false; $( let _given = { let _ = stringify!($default); true }; )? !_given && <$ty as FromSetting>::absent().is_none() },
                        doc: concat!($($doc, "\n"),*),
                        status: Status::Works,
                    }, )*
                    $( $( OptionSpec { name: $later, kind: "", default: None, required: false, doc: "", status: Status::Later($later_why) }, )* )?
                    $( $( OptionSpec { name: $old, kind: "", default: None, required: false, doc: "", status: Status::Renamed($new) }, )* )?
                    $( $( OptionSpec { name: $idle, kind: "", default: None, required: false, doc: "", status: Status::NoEffect($idle_why) }, )* )?
                ]);
                &SPECS
            }

            fn read(plugin: &$crate::language::ast::Plugin, build: &mut $crate::plugin::Build<'_>) -> Option<Self> {
                let mut reader = $crate::plugin::options::Reader::new(plugin, build, Self::specs());
                $( let $name: Option<$ty> = {
                    let _default: Option<$crate::plugin::Setting> = None;
                    $( let _default = Some($crate::plugin::Setting::from($default)); )?
                    reader.take($crate::plugin::options::plain_name(stringify!($name)), _default)
                }; )*
                if reader.failed() {
                    return None;
                }
                Some($config { $( $name: $name?, )* })
            }
        }
    };
}

/// Declares an option that takes one of a few words.
#[macro_export]
macro_rules! choice {
    (
        $(#[$meta:meta])*
        $vis:vis enum $choice:ident { $( $(#[$variant_meta:meta])* $variant:ident = $word:literal ),* $(,)? }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        $vis enum $choice { $( $(#[$variant_meta])* $variant ),* }

        impl $crate::plugin::FromSetting for $choice {
            const KIND: &'static str = concat!("one of", $(" `", $word, "`"),*);
            fn from_setting(setting: &$crate::plugin::Setting, build: &mut $crate::plugin::Build<'_>) -> Result<Self, String> {
                let word = <String as $crate::plugin::FromSetting>::from_setting(setting, build)?;
                match word.as_str() {
                    $( $word => Ok($choice::$variant), )*
                    _ => {
                        let words = [$($word),*];
                        let close = $crate::language::did_you_mean(&word, words.into_iter());
                        let hint = close.map_or_else(String::new, |close| format!("; did you mean `{close}`?"));
                        Err(format!("must be one of {}, not `{word}`{hint}", words.map(|word| format!("`{word}`")).join(", ")))
                    }
                }
            }
        }
    };
}

/// The name of an option from the name of its field: `r#match` → `match`.
#[doc(hidden)]
#[must_use]
pub fn plain_name(name: &'static str) -> &'static str {
    name.strip_prefix("r#").unwrap_or(name)
}
