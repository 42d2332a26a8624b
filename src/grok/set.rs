//! Sets of named patterns: the bundled ones, users' files, and single definitions.

use std::sync::Arc;

use rustc_hash::FxHashMap;

/// Which capture names the bundled patterns use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bundled {
    /// The names from before the Elastic Common Schema: ECS compatibility `disabled`.
    Legacy,
    /// The names of the schema: ECS compatibility v1 and v8.
    EcsV1,
}

/// The definitions, one file per family; each holds both sets.
const FILES: [&str; 5] = [
    include_str!("patterns/base.grok"),
    include_str!("patterns/haproxy.grok"),
    include_str!("patterns/httpd.grok"),
    include_str!("patterns/java.grok"),
    include_str!("patterns/linux-syslog.grok"),
];

/// Patterns by name. A later definition of a name replaces an earlier one.
#[derive(Clone, Debug, Default)]
pub struct PatternSet {
    patterns: FxHashMap<String, Arc<str>>,
}

impl PatternSet {
    /// A set without patterns.
    #[must_use]
    pub fn empty() -> PatternSet {
        PatternSet::default()
    }

    /// The patterns that come with logmill.
    #[must_use]
    pub fn bundled(which: Bundled) -> PatternSet {
        let mut set = PatternSet::empty();
        for (name, pattern) in FILES.iter().flat_map(|file| definitions(file)) {
            let (name, only) = name.split_once('@').unwrap_or((name, ""));
            if only.is_empty() || (only == "legacy") == (which == Bundled::Legacy) {
                set.add(name, &choose_names(pattern, which));
            }
        }
        set
    }

    /// Adds all definitions of a pattern file: lines of a name, blanks and a pattern. Blanks at the end of a line
    /// belong to the pattern; lines that begin with `#`, and lines without a pattern, are passed over.
    pub fn add_file_text(&mut self, text: &str) {
        for (name, pattern) in definitions(text) {
            self.add(name, pattern);
        }
    }

    /// Adds one definition.
    pub fn add(&mut self, name: &str, pattern: &str) {
        self.patterns.insert(name.to_owned(), Arc::from(pattern));
    }

    /// The definition of a name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.patterns.get(name).map(AsRef::as_ref)
    }

    pub(crate) fn shared(&self, name: &str) -> Option<Arc<str>> {
        self.patterns.get(name).cloned()
    }

    /// All names, sorted.
    #[must_use]
    pub fn names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.patterns.keys().map(String::as_str).collect();
        names.sort_unstable();
        names
    }

    /// The names most like `name`, the likeliest first, at most three: what the user may have meant.
    #[must_use]
    pub fn similar(&self, name: &str) -> Vec<String> {
        let wanted = name.to_ascii_uppercase();
        let most = (wanted.chars().count() / 3).max(1);
        let mut near: Vec<(usize, &str)> = self
            .names()
            .into_iter()
            .map(|known| (distance(&wanted, &known.to_ascii_uppercase()), known))
            .filter(|(distance, _)| *distance <= most)
            .collect();
        near.sort_unstable();
        near.into_iter()
            .take(3)
            .map(|(_, name)| name.to_owned())
            .collect()
    }
}

/// The names and patterns of a file's lines.
fn definitions(text: &str) -> impl Iterator<Item = (&str, &str)> {
    text.split('\n').filter_map(|line| {
        let line = line.strip_suffix('\r').unwrap_or(line).trim_ascii_start();
        if line.starts_with('#') {
            return None;
        }
        let end = line.find(|c: char| c.is_ascii_whitespace())?;
        let (name, rest) = line.split_at(end);
        let pattern = rest.trim_ascii_start();
        if pattern.is_empty() {
            None
        } else {
            Some((name, pattern))
        }
    })
}

/// Keeps one of the two names of each capture `%{PATTERN:legacy|ecs}`.
fn choose_names(pattern: &str, which: Bundled) -> String {
    let mut out = String::with_capacity(pattern.len());
    let mut rest = pattern;
    while let Some(begin) = rest.find("%{") {
        let Some(end) = rest[begin..].find('}').map(|end| begin + end) else {
            break;
        };
        out.push_str(&rest[..begin]);
        let inside = &rest[begin + 2..end];
        let chosen = inside.split_once(':').and_then(|(name, field)| {
            let (legacy, ecs) = field.split_once('|')?;
            Some((
                name,
                if which == Bundled::Legacy {
                    legacy
                } else {
                    ecs
                },
            ))
        });
        match chosen {
            None => out.push_str(&rest[begin..=end]),
            Some((name, "")) => out.extend(["%{", name, "}"]),
            Some((name, field)) => out.extend(["%{", name, ":", field, "}"]),
        }
        rest = &rest[end + 1..];
    }
    out.push_str(rest);
    out
}

/// How many characters must be changed, added, removed or swapped with their neighbour.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) =
        (a.chars().take(64).collect(), b.chars().take(64).collect());
    let mut rows = vec![(0..=b.len()).collect::<Vec<usize>>()];
    for (i, left) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, right) in b.iter().enumerate() {
            let changed = rows[i][j] + usize::from(left != right);
            let mut best = changed.min(rows[i][j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && a[i - 1] == *right && b[j - 1] == *left {
                best = best.min(rows[i - 1][j - 1] + 1);
            }
            row.push(best);
        }
        rows.push(row);
    }
    rows.last().and_then(|row| row.last()).copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_read_line_by_line() {
        let mut set = PatternSet::empty();
        set.add_file_text("# comment\n  A \t x y \r\nLONELY\n\n   # B no\nA2 z\nA w");
        assert_eq!(set.names(), ["A", "A2"]);
        assert_eq!(set.get("A"), Some("w"), "the later definition wins");
        set.add_file_text("A trailing \n");
        assert_eq!(set.get("A"), Some("trailing "));
    }

    #[test]
    fn one_source_gives_both_sets() {
        let line = "%{IP:a|[b][c]:int} %{WORD:|[d]} %{INT:e|} %{DATA:f} %{X}";
        assert_eq!(
            choose_names(line, Bundled::Legacy),
            "%{IP:a} %{WORD} %{INT:e} %{DATA:f} %{X}"
        );
        assert_eq!(
            choose_names(line, Bundled::EcsV1),
            "%{IP:[b][c]:int} %{WORD:[d]} %{INT} %{DATA:f} %{X}"
        );
        let (legacy, ecs) = (
            PatternSet::bundled(Bundled::Legacy),
            PatternSet::bundled(Bundled::EcsV1),
        );
        assert!(legacy.get("URIQUERY").is_none() && ecs.get("URIQUERY").is_some());
        for set in [legacy, ecs] {
            assert!(set.names().iter().all(|name| !name.contains('@')));
        }
    }

    #[test]
    fn similar_names_are_suggested() {
        let set = PatternSet::bundled(Bundled::Legacy);
        assert_eq!(set.similar("GREEDYDTA"), ["GREEDYDATA"]);
        assert_eq!(set.similar("ip").first().map(String::as_str), Some("IP"));
        assert!(set.similar("ZZZZZZZZZ").is_empty());
    }
}
