//! Regular expressions in Ruby's syntax and with Ruby's meaning, for everything in a configuration that takes one.

use regex_automata::util::primitives::NonMaxUsize;
use regex_automata::{Input, meta};

use super::ir::Ir;
use super::linear;
use super::machine::Scratch;
use super::matcher::{Backtracker, MatchError};
use super::syntax::{self, Parsed, RegexError, SyntaxOptions};

/// Options that hold for a whole pattern.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RegexOptions {
    /// The dot matches a newline too (Ruby's `m`). Grok sets it; conditions and gsub do not.
    pub dot_newline: bool,
    /// Upper and lower case are the same (Ruby's `i`).
    pub ignore_case: bool,
}

/// A compiled pattern: immutable, shared by all workers. What changes during a search is in a [`RegexCache`].
#[derive(Debug)]
pub struct RubyRegex {
    pattern: String,
    engine: Engine,
    names: Vec<Option<String>>,
    literal: Option<String>,
}

#[derive(Debug)]
enum Engine {
    /// A finite automaton: linear time.
    Automaton {
        regex: Box<meta::Regex>,
        text: String,
    },
    /// Patterns with look-around, atomic groups or back-references.
    Backtracker(Box<Backtracker>),
}

/// One caller's working memory for one [`RubyRegex`].
#[derive(Debug)]
pub struct RegexCache {
    automaton: Option<meta::Cache>,
    scratch: Scratch,
    slots: Vec<Option<NonMaxUsize>>,
    groups: Vec<Option<(u32, u32)>>,
}

impl RubyRegex {
    /// Compiles a pattern.
    ///
    /// # Errors
    /// When the pattern is no valid Ruby regular expression, uses what is not supported (subexpression calls, the
    /// absent operator), or is too large; the error says where.
    pub fn new(pattern: &str, options: RegexOptions) -> Result<RubyRegex, RegexError> {
        let options = SyntaxOptions {
            dot_newline: options.dot_newline,
            ignore_case: options.ignore_case,
        };
        let Parsed { ir, names } = syntax::parse(pattern, options)?;
        let literal = ir.literal();
        let engine = engine(&ir, names.len())?;
        Ok(RubyRegex {
            literal,
            pattern: pattern.to_owned(),
            engine,
            names,
        })
    }

    /// The pattern as written.
    #[must_use]
    pub fn pattern(&self) -> &str {
        &self.pattern
    }

    /// The only text that the pattern matches, where there is but one and it has no groups.
    #[must_use]
    pub fn literal(&self) -> Option<&str> {
        self.literal.as_deref()
    }

    /// The names of the capturing groups, group 1 first.
    #[must_use]
    pub fn group_names(&self) -> &[Option<String>] {
        &self.names
    }

    /// The engine chosen and what it runs, for people.
    #[must_use]
    pub fn explain(&self) -> String {
        match &self.engine {
            Engine::Automaton { text, .. } => format!("finite automaton (linear time)\n{text}\n"),
            Engine::Backtracker(backtracker) => format!(
                "backtracking program of {} instructions with a step limit\n{}\n",
                backtracker.instructions(),
                self.pattern
            ),
        }
    }

    /// Working memory for one caller.
    #[must_use]
    pub fn new_cache(&self) -> RegexCache {
        let automaton = match &self.engine {
            Engine::Automaton { regex, .. } => Some(regex.create_cache()),
            Engine::Backtracker(_) => None,
        };
        RegexCache {
            automaton,
            scratch: Scratch::default(),
            slots: vec![None; 2 * (self.names.len() + 1)],
            groups: Vec::new(),
        }
    }

    /// Does the pattern occur in the text?
    ///
    /// # Errors
    /// [`MatchError::Limit`] when a backtracking pattern takes too many steps.
    pub fn is_match(&self, cache: &mut RegexCache, text: &[u8]) -> Result<bool, MatchError> {
        match &self.engine {
            Engine::Automaton { regex, .. } => {
                let cache = cache.automaton.get_or_insert_with(|| regex.create_cache());
                Ok(regex
                    .search_half_with(cache, &Input::new(text).earliest(true))
                    .is_some())
            }
            Engine::Backtracker(backtracker) => backtracker.search(&mut cache.scratch, text, 0),
        }
    }

    /// Finds the leftmost match that begins at byte `start` or later. `slots` gets the bounds of the match, then of
    /// each group, in bytes of `text`; `None` for a group that took no part.
    ///
    /// # Errors
    /// [`MatchError::Limit`] when a backtracking pattern takes too many steps, or the text is 4 GiB or longer.
    pub fn captures(
        &self,
        cache: &mut RegexCache,
        text: &[u8],
        start: usize,
        slots: &mut Vec<Option<(u32, u32)>>,
    ) -> Result<bool, MatchError> {
        slots.clear();
        if start > text.len() {
            return Ok(false);
        }
        let groups = 0..=self.names.len();
        match &self.engine {
            Engine::Backtracker(backtracker) => {
                let found = backtracker.search(&mut cache.scratch, text, start)?;
                if found {
                    slots.extend(groups.map(|group| cache.scratch.group(group)));
                }
                Ok(found)
            }
            Engine::Automaton { regex, .. } => {
                if u32::try_from(text.len()).is_err() {
                    return Err(MatchError::Limit);
                }
                let automaton = cache.automaton.get_or_insert_with(|| regex.create_cache());
                cache.slots.resize(2 * (self.names.len() + 1), None);
                let input = Input::new(text).span(start..text.len());
                let found = regex
                    .search_slots_with(automaton, &input, &mut cache.slots)
                    .is_some();
                if found {
                    let at = |slot: usize| {
                        let place = (*cache.slots.get(slot)?)?;
                        u32::try_from(place.get()).ok()
                    };
                    slots.extend(groups.map(|group| at(2 * group).zip(at(2 * group + 1))));
                }
                Ok(found)
            }
        }
    }

    /// Appends `text` to `out` with every match replaced, as Ruby's `gsub`. An empty match is replaced too, and the
    /// search goes on one character further. Returns whether anything matched.
    ///
    /// # Errors
    /// [`MatchError::Limit`] as in [`RubyRegex::captures`]; then `out` is as it was.
    pub fn replace_all(
        &self,
        cache: &mut RegexCache,
        text: &[u8],
        replacement: &Replacement,
        out: &mut Vec<u8>,
    ) -> Result<bool, MatchError> {
        let kept = out.len();
        let mut groups = std::mem::take(&mut cache.groups);
        let result = self.replace_each(cache, text, replacement, out, &mut groups);
        cache.groups = groups;
        if result.is_err() {
            out.truncate(kept);
        }
        result
    }

    fn replace_each(
        &self,
        cache: &mut RegexCache,
        text: &[u8],
        replacement: &Replacement,
        out: &mut Vec<u8>,
        groups: &mut Vec<Option<(u32, u32)>>,
    ) -> Result<bool, MatchError> {
        let (mut copied, mut from, mut any) = (0, 0, false);
        while self.captures(cache, text, from, groups)? {
            let Some(Some((begin, end))) = groups.first().copied() else {
                break;
            };
            let (begin, end) = (begin as usize, end as usize);
            any = true;
            out.extend_from_slice(text.get(copied..begin).unwrap_or_default());
            replacement.append(text, groups, &self.names, out);
            copied = end.max(copied);
            from = if end > begin {
                end
            } else {
                end + char_len(text, end)
            };
            if from > text.len() {
                break;
            }
        }
        out.extend_from_slice(text.get(copied..).unwrap_or_default());
        Ok(any)
    }
}

/// The length in bytes of the character at `pos`; 1 at the end of the text and for bytes that are no UTF-8.
fn char_len(text: &[u8], pos: usize) -> usize {
    let rest = text.get(pos + 1..).unwrap_or_default();
    1 + rest
        .iter()
        .take(3)
        .take_while(|byte| **byte & 0xc0 == 0x80)
        .count()
}

fn engine(ir: &Ir, groups: usize) -> Result<Engine, RegexError> {
    if ir.is_regular() {
        let text = linear::hir(ir, false).to_string();
        if let Some(regex) = linear::exact(ir) {
            return Ok(Engine::Automaton {
                regex: Box::new(regex),
                text,
            });
        }
    }
    let backtracker = Backtracker::new(ir, groups).map_err(|_| too_large())?;
    Ok(Engine::Backtracker(Box::new(backtracker)))
}

pub(crate) fn too_large() -> RegexError {
    RegexError {
        message: "the pattern is too large: lower its repeat counts".to_owned(),
        offset: 0,
    }
}

/// The replacement text of a `gsub`, in Ruby's syntax.
///
/// `\1` to `\9` are groups, `\0` and `\&` the whole match, `\k<name>` a named group, `` \` `` and `\'` the text before
/// and after the match, `\\` a backslash. Any other backslash stands for itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replacement {
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(Vec<u8>),
    Group(usize),
    Named(String),
    Before,
    After,
}

impl Replacement {
    /// Reads a replacement; every text is a valid one.
    #[must_use]
    pub fn parse(text: &[u8]) -> Replacement {
        let mut parts = Vec::new();
        let mut literal = Vec::new();
        let mut rest = text;
        while let Some((byte, after)) = rest.split_first() {
            if let (b'\\', Some((part, after))) = (*byte, escape(after)) {
                if let Part::Text(more) = part {
                    literal.extend(more);
                } else {
                    if !literal.is_empty() {
                        parts.push(Part::Text(std::mem::take(&mut literal)));
                    }
                    parts.push(part);
                }
                rest = after;
            } else {
                literal.push(*byte);
                rest = after;
            }
        }
        if !literal.is_empty() {
            parts.push(Part::Text(literal));
        }
        Replacement { parts }
    }

    fn append(
        &self,
        text: &[u8],
        groups: &[Option<(u32, u32)>],
        names: &[Option<String>],
        out: &mut Vec<u8>,
    ) {
        let bounds = |group: usize| groups.get(group).copied().flatten();
        let slice = |group: usize| {
            let (begin, end) = bounds(group).unwrap_or((0, 0));
            text.get(begin as usize..end as usize).unwrap_or_default()
        };
        let (begin, end) = bounds(0).unwrap_or((0, 0));
        for part in &self.parts {
            out.extend_from_slice(match part {
                Part::Text(text) => text,
                Part::Group(group) => slice(*group),
                Part::Named(name) => {
                    let same = |group: &usize| {
                        names
                            .get(*group - 1)
                            .is_some_and(|other| other.as_ref() == Some(name))
                    };
                    let mut candidates = (1..=names.len()).rev().filter(same);
                    candidates
                        .find(|group| bounds(*group).is_some())
                        .map(slice)
                        .unwrap_or_default()
                }
                Part::Before => text.get(..begin as usize).unwrap_or_default(),
                Part::After => text.get(end as usize..).unwrap_or_default(),
            });
        }
    }
}

/// What follows a backslash in a replacement, and the rest; `None` where the backslash stands for itself.
fn escape(text: &[u8]) -> Option<(Part, &[u8])> {
    let (byte, rest) = text.split_first()?;
    let part = match byte {
        b'0'..=b'9' => Part::Group(usize::from(byte - b'0')),
        b'&' => Part::Group(0),
        b'`' => Part::Before,
        b'\'' => Part::After,
        b'\\' => Part::Text(vec![b'\\']),
        b'k' => {
            let name = rest.strip_prefix(b"<")?;
            let end = memchr::memchr(b'>', name)?;
            let part = std::str::from_utf8(&name[..end]).ok()?.to_owned();
            return Some((Part::Named(part), &name[end + 1..]));
        }
        _ => return None,
    };
    Some((part, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn regex(pattern: &str) -> RubyRegex {
        RubyRegex::new(pattern, RegexOptions::default())
            .unwrap_or_else(|error| panic!("{pattern}: {error}"))
    }

    fn is_match(pattern: &str, text: &str) -> bool {
        let regex = regex(pattern);
        regex
            .is_match(&mut regex.new_cache(), text.as_bytes())
            .unwrap()
    }

    /// The text of each group, or "-" for one that took no part.
    fn groups(pattern: &str, text: &str) -> Vec<String> {
        let regex = regex(pattern);
        let mut slots = Vec::new();
        regex
            .captures(&mut regex.new_cache(), text.as_bytes(), 0, &mut slots)
            .unwrap();
        let slice = |(begin, end): (u32, u32)| text[begin as usize..end as usize].to_owned();
        slots
            .into_iter()
            .map(|slot| slot.map_or("-".to_owned(), slice))
            .collect()
    }

    fn gsub(pattern: &str, replacement: &str, text: &str) -> String {
        let regex = regex(pattern);
        let mut out = b"kept:".to_vec();
        let replacement = Replacement::parse(replacement.as_bytes());
        regex
            .replace_all(
                &mut regex.new_cache(),
                text.as_bytes(),
                &replacement,
                &mut out,
            )
            .unwrap();
        String::from_utf8(out)
            .unwrap()
            .strip_prefix("kept:")
            .unwrap()
            .to_owned()
    }

    fn refused(pattern: &str) -> (String, usize) {
        let error = RubyRegex::new(pattern, RegexOptions::default()).unwrap_err();
        (error.message, error.offset)
    }

    #[test]
    fn shorthands_are_ascii_and_boundaries_are_not() {
        assert!(!is_match(r"\w", "é") && is_match(r"\W", "é"));
        assert!(!is_match(r"\d", "٣") && is_match(r"[[:digit:]]", "٣"));
        assert!(
            is_match(r"[[:alpha:]]", "é")
                && is_match(r"\p{Alpha}", "é")
                && !is_match(r"\P{Alpha}", "é")
        );
        assert!(is_match(r"\s", "\x0b") && !is_match(r"\s", "\u{a0}"));
        assert!(
            !is_match(r"é\b\w", "éa"),
            "é is a word character for boundaries"
        );
        assert!(is_match(r"\A\h+\z", "09afAF") && is_match(r"\H", "g"));
        assert!(is_match(r"(?u)\w", "é") && !is_match("(?a)[[:alpha:]]", "é"));
    }

    #[test]
    fn anchors_are_of_lines_and_the_dot_stops_there() {
        assert!(is_match("^two$", "one\ntwo\nthree"));
        assert!(!is_match("one.two", "one\ntwo"));
        assert!(is_match("(?m)one.two", "one\ntwo") && is_match("(?m:one.two)", "one\ntwo"));
        assert!(
            is_match(r"o\Z", "two\n") && is_match(r"o\Z", "two") && !is_match(r"o\Z", "two\n\n")
        );
        assert!(!is_match(r"o\z", "two\n") && !is_match(r"\Atwo", "one\ntwo"));
        let options = RegexOptions {
            dot_newline: true,
            ignore_case: true,
        };
        let both = RubyRegex::new("A.b", options).unwrap();
        assert_eq!(both.is_match(&mut both.new_cache(), b"a\nB"), Ok(true));
    }

    #[test]
    fn flags_inside_hold_to_the_end_of_their_group() {
        assert!(is_match("a(?i)b|c", "aC"), "Ruby reads a(?i:b|c)");
        assert!(!is_match("a(?i)b|c", "C"));
        assert!(is_match("(?:(?i)x)y", "Xy") && !is_match("(?:(?i)x)y", "XY"));
        assert!(is_match("(?x) a b # comment\n c", "abc") && is_match("a(?#comment\\))b", "ab"));
        assert!(is_match("(?i)É", "é") && !is_match("(?i:a)b", "aB"));
    }

    #[test]
    fn braces_and_quantifiers_as_in_ruby() {
        assert!(
            is_match("{ a: {1 }", "{ a: {1 }")
                && is_match("a{,2}b", "aab")
                && is_match("x{1,b}", "x{1,b}")
        );
        assert_eq!(
            groups("a{2}?b?", "aab"),
            ["aab"],
            "the question mark makes it optional"
        );
        assert_eq!(
            groups("a{1,3}+b", "aaaab"),
            ["aaaab"],
            "the plus repeats, it is not possessive"
        );
        assert!(!is_match("a++a", "aaa") && !is_match("[ab]*+b", "aab") && is_match("a?+b", "ab"));
        assert!(is_match(".?*x", "abx") && is_match("a**b", "aab"));
        assert_eq!(groups("a+?", "aaa"), ["a"]);
    }

    #[test]
    fn sets() {
        assert!(
            is_match(r"\A[a-z&&[^aeiou]]+\z", "xyz") && !is_match(r"\A[a-z&&[^aeiou]]+\z", "xay")
        );
        assert!(
            is_match(r"\A[[:alnum:]_[.-]]+\z", "a_1.-")
                && is_match(r"\A[]a]+\z", "]a")
                && is_match("[^]a]", "b")
        );
        assert!(
            is_match(r"\A[+--]+\z", "+,-")
                && is_match(r"\A[a\-z]+\z", "a-z")
                && is_match(r"\A[\w-]+\z", "a-")
        );
        assert!(
            is_match(r"\A[~~&-]+\z", "~&-")
                && is_match(r"\A[\x41-\x43\u0044\t\b]+\z", "ABCD\t\x08")
        );
        assert!(
            is_match(r"\A[^[:space:]]+\z", "ab")
                && is_match("[[:^alpha:]]", "1")
                && is_match(r"[\d\s]", "5")
        );
    }

    #[test]
    fn plain_groups_capture_only_without_named_ones() {
        assert_eq!(groups("(a)(b)?", "a"), ["a", "a", "-"]);
        assert_eq!(groups("(?<x>a)(b)", "ab"), ["ab", "a"]);
        assert_eq!(
            regex("(?<[a][b]:int>a)(?'c-d'b)(e)").group_names(),
            [Some("[a][b]:int".to_owned()), Some("c-d".to_owned())]
        );
    }

    #[test]
    fn look_around_and_references() {
        assert_eq!(groups(r"(?<=\$)\d+(?!\d|\.)", "$12.5 $34"), ["34"]);
        assert_eq!(groups(r"(?<!ab|c)x", "abx cx dx"), ["x"]);
        assert_eq!(
            groups(r"(?=(a+))a", "aaa"),
            ["a", "aaa"],
            "groups in a look-ahead are kept"
        );
        assert_eq!(
            groups(r"(?!(a)b)a", "abac"),
            ["a", "-"],
            "groups in a negative one are not"
        );
        assert_eq!(groups(r"(\w)\1", "abccd"), ["cc", "c"]);
        assert_eq!(groups(r"(?i)(?<q>a)\k<q>", "xaA"), ["aA", "a"]);
        assert_eq!(groups(r"(a)?(?(1)b|c)", "xc"), ["c", "-"]);
        assert_eq!(groups(r"a\Kb", "ab"), ["b"]);
        assert!(is_match(r"(?>a|ab)d|abc", "abc") && !is_match(r"\A(?>a|ab)c", "abc"));
    }

    #[test]
    fn refused_patterns_say_where() {
        assert_eq!(refused("ab)").1, 2);
        assert_eq!(refused("ab(c").1, 2);
        assert_eq!(refused("*a").1, 0);
        assert_eq!(
            refused("[b-a]"),
            ("the range b-a runs backwards".to_owned(), 1)
        );
        assert_eq!(refused(r"(?<n>a)\1").1, 7);
        assert_eq!(refused(r"(?<=a+)b").1, 0);
        for pattern in [
            "a\\",
            "[a",
            r"\p{Nope}",
            r"\k<x>",
            "(?<>a)",
            "(?z)",
            "a{3,1}",
            "(?~a)",
            r"(?<a>x)\g<a>",
            r"\xff",
        ] {
            assert!(!refused(pattern).0.is_empty(), "{pattern}");
        }
        let deep = "(".repeat(5_000);
        assert!(refused(&deep).0.contains("nest"));
        assert!(
            refused("((?>a{1000}b){1000}){1000}")
                .0
                .contains("too large")
        );
    }

    #[test]
    fn the_engine_fits_the_pattern() {
        assert!(regex("^(a|b)+$").explain().starts_with("finite automaton"));
        assert!(regex("(?<!a)b").explain().starts_with("backtracking"));
    }

    #[test]
    fn gsub_as_in_ruby() {
        assert_eq!(gsub("(b)", r"[\1]", "abcb"), "a[b]c[b]");
        assert_eq!(gsub("(?<x>b)", r"<\k<x>\0\&>", "abc"), "a<bbb>c");
        assert_eq!(gsub("b", r"\\\q\`\'\9", "abc"), r"a\\qacc");
        assert_eq!(gsub(r"[\\?#-]", ".", r"x?y#z-w\v"), "x.y.z.w.v");
        assert_eq!(
            gsub("x*", "-", "añc"),
            "-a-ñ-c-",
            "empty matches advance by a character"
        );
        assert_eq!(gsub("b*", "-", "abbc"), "-a--c-");
        assert_eq!(gsub("^", "> ", "a\nb"), "> a\n> b");
        assert_eq!(
            gsub(r"(?<=\d)(?=(?:\d{3})+\b)", ",", "1234567"),
            "1,234,567"
        );
        assert_eq!(gsub("z", "-", "abc"), "abc");
        assert_eq!(gsub(r"\s+\Z", "", "a b \n"), "a b");
    }

    #[test]
    fn a_search_may_begin_later() {
        let regex = regex("(?<=a)b|^c");
        let (mut cache, mut slots) = (regex.new_cache(), Vec::new());
        assert_eq!(regex.captures(&mut cache, b"ab", 1, &mut slots), Ok(true));
        assert_eq!(slots, [Some((1, 2))]);
        assert_eq!(regex.captures(&mut cache, b"xc", 1, &mut slots), Ok(false));
        assert_eq!(regex.captures(&mut cache, b"xc", 9, &mut slots), Ok(false));
    }
}
