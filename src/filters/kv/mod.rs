//! `kv`: fields from text such as `user=ada action="log in"`.

mod class;
mod pairs;
mod scan;

use std::any::Any;

use rustc_hash::FxHashSet;

use super::mutate::{Case, write_case};
use crate::choice;
use crate::event::text::escape_into;
use crate::event::{Batch, EventId, Kind, Path, Selection, Value};
use crate::grok::{RegexCache, RegexOptions, RubyRegex};
use crate::language::ast::{Number, Plugin, Span};
use crate::options;
use crate::plugin::common::dynamic_path;
use crate::plugin::options::Setting;
use crate::plugin::{
    Build, Cx, FieldRef, Filter, Make, Options, Pairs, PluginMetrics, PluginSpec, SettingKind,
    Sprintf, Verdict, per_event,
};

use class::CharClass;
use pairs::Collected;
use scan::{Classes, Fixed, FixedSearch, Patterns, Scan, Separator, Splits};

options! {
    /// Options of the `kv` filter.
    pub struct Config {
        /// The field that holds the text; an array of texts is taken as one.
        source: FieldRef = "message";
        /// The field that gets the pairs as one object, in place of what it held. Without it each pair becomes a field of
        /// the event, and a key such as `[a][b]` is a reference.
        target: Option<FieldRef>;
        /// Text before each key; may hold `%{…}`.
        prefix: Sprintf = "";
        /// The characters that separate pairs, each on its own: the inside of a character class of a regular expression,
        /// so `\t` is a tab, `\s` any white space, and `]`, `\`, `^` and `-` are written with a backslash.
        field_split: String = " ";
        /// The characters that separate key and value, written in the same way.
        value_split: String = "=";
        /// A regular expression (Ruby syntax) for what separates pairs. It takes the place of `field_split`.
        field_split_pattern: Option<String>;
        /// A regular expression for what separates key and value. It takes the place of `value_split`.
        value_split_pattern: Option<String>;
        /// Keys that are taken; all when empty. They are compared as they are before `prefix` and after `trim_key`,
        /// `remove_char_key` and `transform_key`. May hold `%{…}`.
        include_keys: Vec<Sprintf>;
        /// Keys that are left out; may hold `%{…}`.
        exclude_keys: Vec<Sprintf>;
        /// Keys and values for keys that the text does not have.
        default_keys: Pairs<Setting>;
        /// Characters that are cut off at both ends of keys; the inside of a character class.
        trim_key: Option<String>;
        /// Characters that are cut off at both ends of values.
        trim_value: Option<String>;
        /// Characters that are removed anywhere in keys.
        remove_char_key: Option<String>;
        /// Characters that are removed anywhere in values.
        remove_char_value: Option<String>;
        /// The case that keys are changed to.
        transform_key: Option<Transform>;
        /// The case that values are changed to.
        transform_value: Option<Transform>;
        /// Whether a pair whose key and value were both seen before counts again. A key with several values gets an array.
        allow_duplicate_values: bool = true;
        /// Whether keys without a value are taken, with empty text.
        allow_empty_values: bool = false;
        /// Whether `(…)`, `[…]` and `<…>` keep a value together, as quotes do; they are then left out.
        include_brackets: bool = true;
        /// Whether values that hold pairs themselves become objects, 32 levels deep at most.
        recursive: bool = false;
        /// With `lenient`, blanks around the value separator belong to it; with `strict` they do not.
        whitespace: Whitespace = "lenient";
        /// Accepted for compatibility. The search takes time in proportion to the length of the text, so that it needs no
        /// limit; patterns that backtrack are limited by steps, whatever this says.
        timeout_millis: u64 = 30_000;
        /// Tag of an event for which `field_split_pattern` or `value_split_pattern` took too many steps.
        tag_on_timeout: String = "_kv_filter_timeout";
        /// Tags of an event on which a pair could not be set: a key that is no legal reference, or one such as
        /// `@timestamp` that does not take text. The other pairs are set.
        tag_on_failure: Vec<String> = ["_kv_filter_error"];
    }
    renamed { "trim" => "trim_value", "trimkey" => "trim_key" }
}

/// The entry of the catalogue.
pub const SPEC: PluginSpec = PluginSpec {
    name: "kv",
    about: "Makes fields of the `key=value` pairs in a text. Text that is no pair is passed over. Values may stand in \
            single or double quotes, or in brackets; quotes and brackets are left out. A backslash keeps the character \
            behind it in the key or value, and stays. A repeated key gets an array.\n\nFor each pair, the key is trimmed, \
            loses characters, changes its case, is looked up in `include_keys` and `exclude_keys` and gets its prefix; then \
            the value is trimmed, loses characters and changes its case. The common options are applied when there was a \
            pair or a default.",
    options: Config::specs,
    make: Make::Filter(make),
};

choice! {
    /// Case that texts are changed to.
    pub enum Transform {
        /// All lower case.
        Lowercase = "lowercase",
        /// All upper case.
        Uppercase = "uppercase",
        /// The first letter upper case, the others lower case.
        Capitalize = "capitalize",
    }
}

choice! {
    /// What blanks around the value separator mean.
    pub enum Whitespace {
        /// They belong to the separator.
        Lenient = "lenient",
        /// They belong to key and value.
        Strict = "strict",
    }
}

/// So many pairs are set one by one; the names of more are found by a table.
const MOST_BY_NAME: usize = 32;

/// Levels of pairs within values.
const MAX_DEPTH: u32 = 32;

#[allow(clippy::struct_excessive_bools, reason = "options that are switches")]
struct Kv {
    source: Path,
    target: Option<Path>,
    prefix: Option<Sprintf>,
    splits: Splitting,
    include: Keys,
    exclude: Keys,
    defaults: Vec<DefaultPair>,
    key: Edit,
    value: Edit,
    allow_duplicates: bool,
    allow_empty: bool,
    brackets: bool,
    recursive: bool,
    tags: Vec<String>,
    timeout_tag: String,
}

enum Splitting {
    Classes(Box<Classes>),
    Fixed(Box<Fixed>),
    Patterns {
        field: Box<RubyRegex>,
        value: Box<RubyRegex>,
    },
}

/// What is done to keys or values.
struct Edit {
    trim: Option<CharClass>,
    remove: Option<CharClass>,
    case: Option<Case>,
}

/// A list of keys, some of which may depend on the event.
struct Keys {
    fixed: FxHashSet<Box<[u8]>>,
    dynamic: Vec<Sprintf>,
}

/// A value for a key that the text does not have.
struct DefaultPair {
    key: Box<[u8]>,
    /// The value as JSON text.
    json: Vec<u8>,
}

/// A worker's memory.
struct Scratch {
    caches: Option<(RegexCache, RegexCache)>,
    collected: Collected,
    event: EventTexts,
    out: Vec<u8>,
}

/// The options that depend on the event, rendered for one.
#[derive(Default)]
struct EventTexts {
    prefix: Vec<u8>,
    include: Vec<Vec<u8>>,
    exclude: Vec<Vec<u8>>,
}

/// What became of an event.
enum Outcome {
    Set,
    Nothing,
    Failed,
    TimedOut,
}

fn make(plugin: &Plugin, build: &mut Build<'_>) -> Option<Box<dyn Filter>> {
    let config = Config::read(plugin, build)?;
    let splits = splitting(&config, plugin, build)?;
    let mut defaults = Vec::new();
    for (key, setting) in &config.default_keys.0 {
        let mut json = Vec::new();
        if !write_setting(setting, &mut json) {
            build.error(
                "option-value",
                format!("`default_keys` of `kv` takes texts, numbers and arrays, at `{key}`"),
                setting.span,
            );
            return None;
        }
        defaults.push(DefaultPair {
            key: key.as_bytes().into(),
            json,
        });
    }
    let class = |text: Option<String>| text.as_deref().map(CharClass::parse);
    Some(Box::new(Kv {
        source: config.source.path,
        target: config.target.map(|target| target.path),
        prefix: Some(config.prefix).filter(|prefix| prefix.as_literal() != Some("")),
        splits,
        include: Keys::new(config.include_keys),
        exclude: Keys::new(config.exclude_keys),
        defaults,
        key: Edit {
            trim: class(config.trim_key),
            remove: class(config.remove_char_key),
            case: config.transform_key.map(case),
        },
        value: Edit {
            trim: class(config.trim_value),
            remove: class(config.remove_char_value),
            case: config.transform_value.map(case),
        },
        allow_duplicates: config.allow_duplicate_values,
        allow_empty: config.allow_empty_values,
        brackets: config.include_brackets,
        recursive: config.recursive,
        tags: config.tag_on_failure,
        timeout_tag: config.tag_on_timeout,
    }))
}

fn case(transform: Transform) -> Case {
    match transform {
        Transform::Lowercase => Case::Lower,
        Transform::Uppercase => Case::Upper,
        Transform::Capitalize => Case::Capital,
    }
}

fn splitting(config: &Config, plugin: &Plugin, build: &mut Build<'_>) -> Option<Splitting> {
    let span = |option: &str| {
        let attr = plugin.attrs.iter().find(|attr| attr.name.text == option);
        attr.map_or(plugin.name.span, |attr| attr.value.span)
    };
    for (option, class) in [
        ("field_split", &config.field_split),
        ("value_split", &config.value_split),
    ] {
        if class.is_empty() {
            build.error(
                "option-value",
                format!("`{option}` of `kv` must not be empty"),
                span(option),
            );
            return None;
        }
    }
    let lenient = config.whitespace == Whitespace::Lenient;
    if config.field_split_pattern.is_none() && config.value_split_pattern.is_none() {
        let (field, value) = (
            CharClass::parse(&config.field_split),
            CharClass::parse(&config.value_split),
        );
        return Some(Splitting::Classes(Box::new(Classes::new(
            field, value, lenient,
        ))));
    }
    let pattern = |pattern: &Option<String>, class: &str| {
        pattern.clone().unwrap_or_else(|| format!("[{class}]"))
    };
    let field = pattern(&config.field_split_pattern, &config.field_split);
    let value = pattern(&config.value_split_pattern, &config.value_split);
    let field_regex = regex(&field, span("field_split_pattern"), build)?;
    let mut value_regex = regex(&value, span("value_split_pattern"), build)?;
    let separators = separator(
        &field_regex,
        config.field_split_pattern.is_none(),
        &config.field_split,
    )
    .zip(separator(
        &value_regex,
        config.value_split_pattern.is_none(),
        &config.value_split,
    ));
    if let Some(fixed) = separators.and_then(|(field, value)| Fixed::new(field, value, lenient)) {
        return Some(Splitting::Fixed(Box::new(fixed)));
    }
    if lenient {
        value_regex = regex(
            &format!(" *(?:{value}) *"),
            span("value_split_pattern"),
            build,
        )?;
    }
    Some(Splitting::Patterns {
        field: Box::new(field_regex),
        value: Box::new(value_regex),
    })
}

/// The separator that an expression comes down to, if it is that simple.
fn separator(regex: &RubyRegex, is_class: bool, class: &str) -> Option<Separator> {
    if is_class {
        let class = CharClass::parse(class);
        return class.is_ascii().then_some(Separator::Class(class));
    }
    let text = regex.literal().filter(|text| !text.is_empty())?;
    Some(Separator::Text(text.as_bytes().into()))
}

fn regex(pattern: &str, span: Span, build: &mut Build<'_>) -> Option<RubyRegex> {
    match RubyRegex::new(pattern, RegexOptions::default()) {
        Ok(regex) => Some(regex),
        Err(error) => {
            build.error(
                "regex",
                format!(
                    "the pattern `{pattern}` of `kv` is illegal: {}",
                    error.message
                ),
                span,
            );
            None
        }
    }
}

/// Appends a value of the config as JSON; false when it has no place in a field.
fn write_setting(setting: &Setting, out: &mut Vec<u8>) -> bool {
    match &setting.kind {
        SettingKind::Text(text) => push_json_text(text.as_bytes(), out),
        SettingKind::Number(Number::BigInt { digits, .. }) => {
            out.extend_from_slice(digits.as_bytes());
        }
        SettingKind::Number(Number::Int { value, .. }) => {
            out.extend_from_slice(value.to_string().as_bytes());
        }
        SettingKind::Number(Number::Float { value, .. }) => crate::event::java_double(*value, out),
        SettingKind::Array(values) => {
            out.push(b'[');
            for (at, value) in values.iter().enumerate() {
                if at > 0 {
                    out.push(b',');
                }
                if !write_setting(value, out) {
                    return false;
                }
            }
            out.push(b']');
        }
        SettingKind::Hash(_) | SettingKind::Plugin(_) => return false,
    }
    true
}

fn push_json_text(text: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    escape_into(text, out);
    out.push(b'"');
}

impl Keys {
    fn new(keys: Vec<Sprintf>) -> Keys {
        let (fixed, dynamic): (Vec<_>, Vec<_>) =
            keys.into_iter().partition(|key| key.as_literal().is_some());
        let fixed = fixed
            .iter()
            .filter_map(Sprintf::as_literal)
            .map(|key| key.as_bytes().into())
            .collect();
        Keys { fixed, dynamic }
    }

    fn is_empty(&self) -> bool {
        self.fixed.is_empty() && self.dynamic.is_empty()
    }

    fn render(&self, batch: &mut Batch, id: EventId, out: &mut Vec<Vec<u8>>) {
        out.resize_with(self.dynamic.len(), Vec::new);
        for (template, text) in self.dynamic.iter().zip(out) {
            text.clear();
            template.render(batch, id, text);
        }
    }

    fn contains(&self, rendered: &[Vec<u8>], key: &[u8]) -> bool {
        self.fixed.contains(key) || rendered.iter().any(|text| text == key)
    }
}

impl Filter for Kv {
    fn scratch(&self) -> Box<dyn Any + Send> {
        let caches = match &self.splits {
            Splitting::Classes(_) | Splitting::Fixed(_) => None,
            Splitting::Patterns { field, value } => Some((field.new_cache(), value.new_cache())),
        };
        Box::new(Scratch {
            caches,
            collected: Collected::default(),
            event: EventTexts::default(),
            out: Vec::new(),
        })
    }

    fn run(&self, batch: &mut Batch, sel: &mut Selection, cx: &mut Cx<'_>) {
        let (mut matched, mut failed) = (0, 0);
        per_event(batch, sel, cx, |batch, id, cx| {
            let Some(scratch) = cx.scratch.downcast_mut::<Scratch>() else {
                return Verdict::Unmatched;
            };
            match self.event(batch, id, scratch) {
                Outcome::Set => {
                    matched += 1;
                    return Verdict::Matched;
                }
                Outcome::Nothing => return Verdict::Unmatched,
                Outcome::Failed => self
                    .tags
                    .iter()
                    .for_each(|tag| batch.tag(id, tag.as_bytes())),
                Outcome::TimedOut => batch.tag(id, self.timeout_tag.as_bytes()),
            }
            failed += 1;
            Verdict::Unmatched
        });
        PluginMetrics::add(&cx.metrics.matches, matched);
        PluginMetrics::add(&cx.metrics.failures, failed);
    }
}

impl Kv {
    fn event(&self, batch: &mut Batch, id: EventId, scratch: &mut Scratch) -> Outcome {
        let source = batch.get_expanded(id, &self.source);
        let Scratch {
            caches,
            collected,
            event,
            out,
        } = scratch;
        self.render(batch, id, event);
        collected.clear();
        let finished = match (&self.splits, caches) {
            (Splitting::Classes(classes), _) => {
                self.all_texts(
                    batch,
                    source,
                    event,
                    collected,
                    out,
                    &mut &**classes,
                    |_| {},
                );
                true
            }
            (Splitting::Fixed(fixed), _) => {
                self.all_texts(
                    batch,
                    source,
                    event,
                    collected,
                    out,
                    &mut fixed.search(),
                    FixedSearch::restart,
                );
                true
            }
            (Splitting::Patterns { field, value }, Some((field_cache, value_cache))) => {
                let mut patterns = Patterns::new((field, field_cache), (value, value_cache));
                self.all_texts(
                    batch,
                    source,
                    event,
                    collected,
                    out,
                    &mut patterns,
                    Patterns::restart,
                );
                !patterns.failed()
            }
            (Splitting::Patterns { .. }, None) => true,
        };
        if !finished {
            return Outcome::TimedOut;
        }
        if collected.is_empty() && self.defaults.is_empty() {
            return Outcome::Nothing;
        }
        if self.set(batch, id, collected, out) {
            Outcome::Set
        } else {
            Outcome::Failed
        }
    }

    fn render(&self, batch: &mut Batch, id: EventId, event: &mut EventTexts) {
        if let Some(prefix) = &self.prefix {
            event.prefix.clear();
            prefix.render(batch, id, &mut event.prefix);
        }
        self.include.render(batch, id, &mut event.include);
        self.exclude.render(batch, id, &mut event.exclude);
    }

    /// The pairs of the source: a text or an array of texts.
    #[allow(
        clippy::too_many_arguments,
        reason = "parts of the scratch that are borrowed apart"
    )]
    fn all_texts<S: Splits>(
        &self,
        batch: &mut Batch,
        source: Value,
        event: &EventTexts,
        collected: &mut Collected,
        out: &mut Vec<u8>,
        splits: &mut S,
        restart: impl Fn(&mut S),
    ) {
        if source.kind() == Kind::Str {
            self.pairs(batch, source, event, collected, out, splits, &restart, 0);
        }
        if source.is_array() {
            for at in 0..batch.node_len(source) {
                let text = batch.node_value(source, at);
                if text.kind() == Kind::Str {
                    restart(splits);
                    self.pairs(batch, text, event, collected, out, splits, &restart, 0);
                }
            }
        }
    }

    #[allow(
        clippy::too_many_arguments,
        reason = "parts of the scratch that are borrowed apart"
    )]
    fn pairs<S: Splits>(
        &self,
        batch: &mut Batch,
        text: Value,
        event: &EventTexts,
        collected: &mut Collected,
        out: &mut Vec<u8>,
        splits: &mut S,
        restart: &impl Fn(&mut S),
        depth: u32,
    ) {
        let mut scan = Scan::new(self.brackets);
        while let Some((key, value)) = scan.next(batch.bytes(text), splits) {
            if value.is_empty() && !self.allow_empty {
                continue;
            }
            let (key, value) = (part(batch, text, key), part(batch, text, value));
            let key = self.key.apply(batch, key, out);
            let name = batch.bytes(key);
            let wanted = self.include.is_empty() || self.include.contains(&event.include, name);
            if !wanted || self.exclude.contains(&event.exclude, name) {
                continue;
            }
            let key = if self.prefix.is_some() {
                prefixed(batch, &event.prefix, key, out)
            } else {
                key
            };
            let mut value = self.value.apply(batch, value, out);
            if !self.allow_duplicates && !collected.is_new(batch, key, value) {
                continue;
            }
            if self.recursive && depth < MAX_DEPTH {
                restart(splits);
                let mut inner = Collected::default();
                self.pairs(
                    batch,
                    value,
                    event,
                    &mut inner,
                    out,
                    splits,
                    restart,
                    depth + 1,
                );
                restart(splits);
                if !inner.is_empty() {
                    value = object(batch, &inner, &[], out);
                }
            }
            collected.add(batch, key, value);
        }
    }

    /// Sets what was found. False when a pair could not be set.
    fn set(
        &self,
        batch: &mut Batch,
        id: EventId,
        collected: &Collected,
        out: &mut Vec<u8>,
    ) -> bool {
        if let Some(target) = &self.target {
            let object = object(batch, collected, &self.defaults, out);
            return batch.set(id, target, object).is_ok();
        }
        if collected.len() > MOST_BY_NAME {
            return self.set_as_document(batch, id, collected, out);
        }
        let mut all_set = true;
        for (key, value) in collected.iter() {
            all_set &= set_key(batch, id, key, value);
        }
        for default in self.missing(batch, collected) {
            let key = batch.push(&default.key);
            let json = batch.push(&default.json);
            if let Ok(value) = batch.decode_value(json) {
                all_set &= set_key(batch, id, key, value);
            }
        }
        all_set
    }

    /// Sets many pairs: as one JSON document, whose unknown keys are told apart by a table.
    fn set_as_document(
        &self,
        batch: &mut Batch,
        id: EventId,
        collected: &Collected,
        out: &mut Vec<u8>,
    ) -> bool {
        let mut all_set = true;
        let mut plain = 0;
        out.clear();
        out.push(b'{');
        for (key, value) in collected.iter() {
            if is_plain(batch.bytes(key)) {
                push_pair(batch, key, value, &mut plain, out);
            } else {
                all_set &= set_by_reference(batch, id, key, value);
            }
        }
        for default in self.missing(batch, collected) {
            let key = batch.push(&default.key);
            let json = batch.push(&default.json);
            let Ok(value) = batch.decode_value(json) else {
                continue;
            };
            if is_plain(&default.key) {
                push_pair(batch, key, value, &mut plain, out);
            } else {
                all_set &= set_by_reference(batch, id, key, value);
            }
        }
        out.push(b'}');
        if plain > 0 {
            let text = batch.push(out);
            all_set &= batch.decode_object(id, text).is_ok();
        }
        all_set
    }

    fn missing<'a>(&'a self, batch: &Batch, collected: &Collected) -> Vec<&'a DefaultPair> {
        self.defaults
            .iter()
            .filter(|default| !collected.contains(batch, &default.key))
            .collect()
    }
}

/// Whether a key is the name of an ordinary field of the top level.
fn is_plain(key: &[u8]) -> bool {
    // Keys are short: a loop is done before a call.
    !key.iter().any(|byte| matches!(byte, b'[' | b']'))
        && !matches!(key, b"@timestamp" | b"@metadata" | b"tags" | b"event" | b"")
}

fn set_key(batch: &mut Batch, id: EventId, key: Value, value: Value) -> bool {
    if is_plain(batch.bytes(key)) {
        batch.set_top(id, key, value);
        return true;
    }
    set_by_reference(batch, id, key, value)
}

fn set_by_reference(batch: &mut Batch, id: EventId, key: Value, value: Value) -> bool {
    let Some(path) = dynamic_path(batch, batch.bytes(key)) else {
        return false;
    };
    batch.set(id, &path, value).is_ok()
}

fn push_pair(batch: &Batch, key: Value, value: Value, count: &mut usize, out: &mut Vec<u8>) {
    if *count > 0 {
        out.push(b',');
    }
    *count += 1;
    push_json_text(batch.bytes(key), out);
    out.push(b':');
    batch.write_json(value, out);
}

/// The pairs, and the defaults that they lack, as one object.
fn object(
    batch: &mut Batch,
    collected: &Collected,
    defaults: &[DefaultPair],
    out: &mut Vec<u8>,
) -> Value {
    let mut count = 0;
    out.clear();
    out.push(b'{');
    for (key, value) in collected.iter() {
        push_pair(batch, key, value, &mut count, out);
    }
    for default in defaults {
        if !collected.contains(batch, &default.key) {
            if count > 0 {
                out.push(b',');
            }
            count += 1;
            push_json_text(&default.key, out);
            out.push(b':');
            out.extend_from_slice(&default.json);
        }
    }
    out.push(b'}');
    batch.push_json(Kind::RawObject, out)
}

/// A part of a text whose length fits the batch.
fn part(batch: &Batch, text: Value, range: std::ops::Range<usize>) -> Value {
    match (u32::try_from(range.start), u32::try_from(range.end)) {
        (Ok(start), Ok(end)) => batch.substr(text, start, end),
        _ => Value::NULL,
    }
}

fn prefixed(batch: &mut Batch, prefix: &[u8], key: Value, out: &mut Vec<u8>) -> Value {
    out.clear();
    out.extend_from_slice(prefix);
    out.extend_from_slice(batch.bytes(key));
    batch.push(out)
}

impl Edit {
    #[inline]
    fn apply(&self, batch: &mut Batch, value: Value, out: &mut Vec<u8>) -> Value {
        if self.trim.is_none() && self.remove.is_none() && self.case.is_none() {
            return value;
        }
        self.change(batch, value, out)
    }

    fn change(&self, batch: &mut Batch, value: Value, out: &mut Vec<u8>) -> Value {
        let value = match &self.trim {
            Some(class) => trim(batch, value, class, out),
            None => value,
        };
        let value = match &self.remove {
            Some(class) => remove(batch, value, class, out),
            None => value,
        };
        let Some(case) = self.case else { return value };
        out.clear();
        write_case(batch.str(value).unwrap_or_default(), case, out);
        if out == batch.bytes(value) {
            value
        } else {
            batch.push(out)
        }
    }
}

/// Cuts the characters off at both ends; of a text of several lines, at both ends of each.
fn trim(batch: &mut Batch, value: Value, class: &CharClass, out: &mut Vec<u8>) -> Value {
    let text = batch.str(value).unwrap_or_default();
    let member = |char| class.contains(char);
    if text.contains('\n') && !class.contains('\n') {
        out.clear();
        for (at, line) in text.split('\n').enumerate() {
            if at > 0 {
                out.push(b'\n');
            }
            out.extend_from_slice(line.trim_matches(member).as_bytes());
        }
        return batch.push(out);
    }
    let start = text.len() - text.trim_start_matches(member).len();
    let len = text.trim_matches(member).len();
    part(batch, value, start..start + len)
}

fn remove(batch: &mut Batch, value: Value, class: &CharClass, out: &mut Vec<u8>) -> Value {
    let text = batch.str(value).unwrap_or_default();
    if !text.contains(|char| class.contains(char)) {
        return value;
    }
    out.clear();
    for kept in text.split(|char| class.contains(char)) {
        out.extend_from_slice(kept.as_bytes());
    }
    batch.push(out)
}

#[cfg(test)]
mod tests;
