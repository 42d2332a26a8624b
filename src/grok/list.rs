//! A list of patterns that are tried in order on the same texts: which of them are worth trying is found by one pass
//! over the text.
//!
//! Most patterns hold literal text without which they cannot match. One search for all of these at once costs little
//! more than a search for one, and in a long list hardly a pattern but the one that matches is left to be tried.

use std::cmp::Reverse;

use aho_corasick::Span;
use aho_corasick::packed::{Config, MatchKind, Searcher};
use rustc_hash::FxHashMap;

use super::Grok;

/// Shorter lists are tried one by one.
const MIN_PATTERNS: usize = 3;
/// Literals shorter than this are found in too many texts to tell anything.
const MIN_LITERAL: usize = 3;
/// Literals of one search: what it can keep apart.
const LITERALS_AT_ONCE: usize = 60;

/// Tells which patterns of a list may match a text.
#[derive(Debug)]
pub struct Prefilter {
    searches: Vec<Search>,
    /// Patterns that can always match, a bit each.
    always: Box<[u64]>,
}

#[derive(Debug)]
struct Search {
    searcher: Searcher,
    /// For each literal, the patterns that need it or a part of it.
    found: Vec<Box<[u64]>>,
}

/// The patterns that are worth trying: a caller's own memory.
#[derive(Debug, Default)]
pub struct Candidates(Vec<u64>);

impl Candidates {
    /// The first of them at or after `from`.
    #[inline]
    #[must_use]
    pub fn next(&self, from: usize) -> Option<usize> {
        let mut word = from / 64;
        let mut bits = self.0.get(word)? & (u64::MAX << (from % 64));
        while bits == 0 {
            word += 1;
            bits = *self.0.get(word)?;
        }
        Some(word * 64 + bits.trailing_zeros() as usize)
    }
}

impl Prefilter {
    /// The filter for a list; `None` where it would not pay.
    #[must_use]
    pub fn new(patterns: &[&Grok]) -> Option<Prefilter> {
        if patterns.len() < MIN_PATTERNS {
            return None;
        }
        let words = patterns.len().div_ceil(64);
        let mut always = vec![0u64; words].into_boxed_slice();
        let mut needed: Vec<(Vec<u8>, Box<[u64]>)> = Vec::new();
        for (at, literal) in chosen_literals(patterns).into_iter().enumerate() {
            let Some(literal) = literal else {
                set(&mut always, at);
                continue;
            };
            match needed.iter_mut().find(|(known, _)| *known == literal) {
                Some((_, mask)) => set(mask, at),
                None => {
                    let mut mask = vec![0u64; words].into_boxed_slice();
                    set(&mut mask, at);
                    needed.push((literal, mask));
                }
            }
        }
        let mut searches = Vec::new();
        needed.sort();
        for chunk in needed.chunks(LITERALS_AT_ONCE) {
            searches.push(Search::new(chunk)?);
        }
        (!searches.is_empty()).then_some(Prefilter { searches, always })
    }

    /// Finds the patterns that may match the text.
    pub fn candidates(&self, text: &[u8], out: &mut Candidates) {
        out.0.clear();
        out.0.extend_from_slice(&self.always);
        for search in &self.searches {
            search.mark(text, &mut out.0);
        }
    }
}

impl Search {
    fn new(literals: &[(Vec<u8>, Box<[u64]>)]) -> Option<Search> {
        let searcher = Config::new()
            .match_kind(MatchKind::LeftmostLongest)
            .builder()
            .extend(literals.iter().map(|(literal, _)| literal))
            .build()?;
        let found = literals
            .iter()
            .map(|(literal, mask)| {
                // Of literals that begin at the same place only the longest is reported.
                let mut all = mask.clone();
                for (part, mask) in literals {
                    if part.len() < literal.len() && literal.windows(part.len()).any(|w| w == part)
                    {
                        add(&mut all, mask);
                    }
                }
                all
            })
            .collect();
        Some(Search { searcher, found })
    }

    fn mark(&self, text: &[u8], out: &mut [u64]) {
        let mut from = 0;
        while from < text.len()
            && let Some(found) = self.searcher.find_in(text, Span::from(from..text.len()))
        {
            if let Some(mask) = self.found.get(found.pattern().as_usize()) {
                add(out, mask);
            }
            from = found.start() + 1;
        }
    }
}

fn set(mask: &mut [u64], at: usize) {
    if let Some(word) = mask.get_mut(at / 64) {
        *word |= 1 << (at % 64);
    }
}

fn add(mask: &mut [u64], other: &[u64]) {
    for (word, more) in mask.iter_mut().zip(other) {
        *word |= more;
    }
}

/// For each pattern the literal that tells it apart best: needed by few others, and long.
fn chosen_literals(patterns: &[&Grok]) -> Vec<Option<Vec<u8>>> {
    let mut users: FxHashMap<&[u8], usize> = FxHashMap::default();
    for pattern in patterns {
        let mut own: Vec<&[u8]> = pattern.literals().iter().map(Vec::as_slice).collect();
        own.sort_unstable();
        own.dedup();
        for literal in own {
            *users.entry(literal).or_default() += 1;
        }
    }
    let usable = |literal: &&Vec<u8>| literal.len() >= MIN_LITERAL;
    patterns
        .iter()
        .map(|pattern| {
            let best = pattern
                .literals()
                .iter()
                .filter(usable)
                .min_by_key(|literal| {
                    let shared = users.get(literal.as_slice()).copied().unwrap_or(1);
                    (shared, Reverse(literal.len()))
                });
            best.cloned()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grok::{Bundled, CompileOptions, PatternSet};

    #[test]
    fn only_patterns_whose_literals_occur_are_left() {
        let set = PatternSet::bundled(Bundled::EcsV1);
        let mut texts: Vec<String> = (0..150)
            .map(|n| format!(r"%{{IP:ip}} event<{n}> .*"))
            .collect();
        texts[7] = "%{WORD:a} %{WORD:b}".to_owned();
        texts[9] = "vent<1".to_owned();
        let groks: Vec<Grok> = texts
            .iter()
            .map(|text| Grok::compile(text, &set, CompileOptions::default()).unwrap())
            .collect();
        let all: Vec<&Grok> = groks.iter().collect();
        let filter = Prefilter::new(&all).unwrap();
        let mut found = Candidates::default();
        let mut left = |text: &str| {
            filter.candidates(text.as_bytes(), &mut found);
            let mut all = Vec::new();
            let mut from = 0;
            while let Some(at) = found.next(from) {
                all.push(at);
                from = at + 1;
            }
            all
        };
        assert_eq!(left("nothing"), [7]);
        assert_eq!(left("1.2.3.4 event<149> x"), [7, 9, 149]);
        assert_eq!(left("x event<2> event<64> event<2> "), [2, 7, 64]);
        assert_eq!(left(""), [7]);
        assert!(Prefilter::new(&all[..2]).is_none());
    }
}
