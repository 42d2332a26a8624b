//! Finds the files that match the globs, and notices which came, were replaced or went, with few system calls.
//!
//! A round walks every pattern from its root. A folder is listed only when its modification time has changed (or in a
//! full round, or when the time is too fresh to tell), and a name is reported only when it, or its inode, is another
//! than in the listing before.

use std::collections::{HashMap, HashSet};
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::os::unix::fs::{DirEntryExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use globset::{GlobBuilder, GlobMatcher, GlobSet, GlobSetBuilder};

/// Most patterns that the braces of one glob may stand for.
const MAX_ALTERNATIVES: usize = 1024;
/// Most folders that one round visits; the rest of them is left out, with a warning.
const MAX_PLACES: usize = 200_000;
/// A folder that changed so short before it was listed may change again within the same tick of its clock.
const FRESH: Duration = Duration::from_secs(2);

/// An absolute glob, component by component. `*` and `**` pass over hidden names, as in the original.
#[derive(Debug)]
pub struct Pattern {
    parts: Vec<Part>,
}

#[derive(Debug)]
enum Part {
    /// A name without wildcards.
    Name(OsString),
    /// A name with wildcards; the flag says that it begins with a dot, and so means hidden names.
    Glob(GlobMatcher, bool),
    /// `**`: any number of folders; symbolic links to folders are not followed.
    AnyDepth,
}

impl Pattern {
    /// Reads a glob; braces make several patterns of it.
    ///
    /// # Errors
    /// A sentence that begins with "must be …" or names what is wrong.
    pub fn parse(text: &str) -> Result<Vec<Pattern>, String> {
        if !text.starts_with('/') {
            return Err(format!("must be an absolute path, not `{text}`"));
        }
        let mut alternatives = Vec::new();
        expand_braces(text, &mut alternatives)?;
        alternatives
            .iter()
            .map(|text| Self::parse_one(text))
            .collect()
    }

    fn parse_one(text: &str) -> Result<Pattern, String> {
        let names: Vec<&str> = text
            .split('/')
            .filter(|name| !name.is_empty() && *name != ".")
            .collect();
        let mut parts = Vec::with_capacity(names.len());
        for (at, name) in names.iter().enumerate() {
            let last = at + 1 == names.len();
            parts.push(match *name {
                "**" if last => Part::Glob(matcher("*")?, false),
                "**" if matches!(parts.last(), Some(Part::AnyDepth)) => continue,
                "**" => Part::AnyDepth,
                name if name.contains(['*', '?', '[', '\\']) => {
                    Part::Glob(matcher(&name.replace("**", "*"))?, name.starts_with('.'))
                }
                name => Part::Name(name.into()),
            });
        }
        if parts.is_empty() {
            return Err("must name files, not the root folder".to_owned());
        }
        Ok(Pattern { parts })
    }
}

fn matcher(glob: &str) -> Result<GlobMatcher, String> {
    GlobBuilder::new(glob)
        .literal_separator(true)
        .backslash_escape(true)
        .build()
        .map(|glob| glob.compile_matcher())
        .map_err(|error| format!("has an invalid glob `{glob}`: {}", error.kind()))
}

/// `a{b,c}` → `ab`, `ac`; nested braces and empty alternatives count, a backslash takes a brace's meaning away.
fn expand_braces(text: &str, out: &mut Vec<String>) -> Result<(), String> {
    let bytes = text.as_bytes();
    let (mut depth, mut open, mut cuts, mut escaped) = (0u32, None, Vec::new(), false);
    for (at, byte) in bytes.iter().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'{' => {
                depth += 1;
                open = open.or(Some(at));
            }
            b',' if depth == 1 => cuts.push(at),
            b'}' if depth > 0 => {
                depth -= 1;
                let (0, Some(from)) = (depth, open) else {
                    continue;
                };
                let (before, after) = (&text[..from], &text[at + 1..]);
                cuts.push(at);
                let mut start = from + 1;
                for cut in cuts {
                    expand_braces(&format!("{before}{}{after}", &text[start..cut]), out)?;
                    start = cut + 1;
                }
                return Ok(());
            }
            _ => {}
        }
    }
    if depth > 0 {
        return Err(format!("has an opening brace without its end: `{text}`"));
    }
    if out.len() >= MAX_ALTERNATIVES {
        return Err(format!("stands for more than {MAX_ALTERNATIVES} patterns"));
    }
    out.push(text.to_owned());
    Ok(())
}

/// Globs over file names.
///
/// # Errors
/// A sentence that names the invalid glob.
pub fn name_globs(globs: &[String]) -> Result<GlobSet, String> {
    let mut set = GlobSetBuilder::new();
    for glob in globs {
        let built = GlobBuilder::new(glob).backslash_escape(true).build();
        set.add(built.map_err(|error| format!("has an invalid glob `{glob}`: {}", error.kind()))?);
    }
    set.build().map_err(|error| error.to_string())
}

/// What a round saw.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Sight {
    /// A name is new, or stands for another inode. The flag says that it is a symbolic link.
    Found(PathBuf, bool),
    /// A name is gone.
    Gone(PathBuf),
}

/// A folder, and how much of which pattern led to it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Place {
    dir: PathBuf,
    pattern: usize,
    part: usize,
}

#[derive(Debug, Default)]
struct Listing {
    modified: Option<SystemTime>,
    /// The folder's time was so recent that the next round has to list it again.
    fresh: bool,
    files: HashMap<OsString, u64>,
    folders: Vec<OsString>,
    round: u64,
}

/// The watched folders.
#[derive(Debug)]
pub struct Watch {
    patterns: Vec<Pattern>,
    exclude: GlobSet,
    listings: HashMap<Place, Listing>,
    stack: Vec<Place>,
    round: u64,
    visited: usize,
    full: bool,
    unreadable: HashSet<PathBuf>,
    overflowed: bool,
}

impl Watch {
    /// A watch that has seen nothing yet.
    #[must_use]
    pub fn new(patterns: Vec<Pattern>, exclude: GlobSet) -> Self {
        Watch {
            patterns,
            exclude,
            listings: HashMap::new(),
            stack: Vec::new(),
            round: 0,
            visited: 0,
            full: true,
            unreadable: HashSet::new(),
            overflowed: false,
        }
    }

    /// Begins a round; a full one lists every folder.
    pub fn begin(&mut self, full: bool) {
        self.round += 1;
        self.full = full;
        self.visited = 0;
        self.stack.clear();
        for pattern in (0..self.patterns.len()).rev() {
            self.stack.push(Place {
                dir: PathBuf::from("/"),
                pattern,
                part: 0,
            });
        }
    }

    /// Visits up to `budget` folders; true when the round is complete.
    pub fn step(&mut self, budget: usize, wall: SystemTime, out: &mut Vec<Sight>) -> bool {
        for _ in 0..budget {
            let Some(place) = self.stack.pop() else { break };
            self.visited += 1;
            if self.visited > MAX_PLACES {
                self.overflow();
                break;
            }
            self.visit(place, wall, out);
        }
        if !self.stack.is_empty() {
            return false;
        }
        self.forget_unvisited(out);
        true
    }

    /// Lets the next listing report a name again even if its inode is the same.
    pub fn forget(&mut self, path: &Path) {
        let (Some(dir), Some(name)) = (path.parent(), path.file_name()) else {
            return;
        };
        for (pattern, parts) in self
            .patterns
            .iter()
            .map(|pattern| pattern.parts.len())
            .enumerate()
        {
            let place = Place {
                dir: dir.to_owned(),
                pattern,
                part: parts - 1,
            };
            if let Some(listing) = self.listings.get_mut(&place) {
                listing.files.remove(name);
                listing.modified = None;
            }
        }
    }

    fn overflow(&mut self) {
        self.stack.clear();
        if !self.overflowed {
            self.overflowed = true;
            log::warn!(
                "file: the globs lead through more than {MAX_PLACES} folders; the rest is left out, so narrow the globs"
            );
        }
    }

    fn visit(&mut self, place: Place, wall: SystemTime, out: &mut Vec<Sight>) {
        let Some(part) = self
            .patterns
            .get(place.pattern)
            .and_then(|it| it.parts.get(place.part))
        else {
            return;
        };
        let last = self.patterns[place.pattern].parts.len() == place.part + 1;
        match part {
            Part::Name(name) if last => {
                let name = name.clone();
                self.visit_file(place, &name, out);
            }
            Part::Name(name) => {
                let dir = place.dir.join(name);
                self.stack.push(Place {
                    dir,
                    part: place.part + 1,
                    ..place
                });
            }
            Part::AnyDepth => {
                self.stack.push(Place {
                    part: place.part + 1,
                    ..place.clone()
                });
                self.visit_folder(&place, wall, out);
            }
            Part::Glob(..) => self.visit_folder(&place, wall, out),
        }
    }

    fn visit_file(&mut self, place: Place, name: &OsStr, out: &mut Vec<Sight>) {
        let path = place.dir.join(name);
        let round = self.round;
        match fs::symlink_metadata(&path) {
            Ok(meta) if !self.exclude.is_match(name) => {
                let listing = self.listings.entry(place).or_default();
                listing.round = round;
                if listing.files.insert(name.to_owned(), meta.ino()) != Some(meta.ino()) {
                    out.push(Sight::Found(path, meta.is_symlink()));
                }
            }
            Ok(_) => {}
            Err(error) => self.drop_listing(&place, &error, out),
        }
    }

    fn visit_folder(&mut self, place: &Place, wall: SystemTime, out: &mut Vec<Sight>) {
        let modified = match fs::metadata(&place.dir).and_then(|meta| meta.modified()) {
            Ok(modified) => modified,
            Err(error) => return self.drop_listing(place, &error, out),
        };
        let known = self.listings.get(place);
        let unchanged = known.is_some_and(|known| !known.fresh && known.modified == Some(modified));
        if self.full || !unchanged {
            let fresh = wall
                .duration_since(modified)
                .map_or(true, |age| age < FRESH);
            if let Err(error) = self.list(place, modified, fresh, out) {
                return self.drop_listing(place, &error, out);
            }
        }
        let Some(listing) = self.listings.get_mut(place) else {
            return;
        };
        listing.round = self.round;
        let any_depth = matches!(
            self.patterns
                .get(place.pattern)
                .and_then(|it| it.parts.get(place.part)),
            Some(Part::AnyDepth)
        );
        let part = if any_depth {
            place.part
        } else {
            place.part + 1
        };
        for name in listing.folders.iter().rev() {
            self.stack.push(Place {
                dir: place.dir.join(name),
                pattern: place.pattern,
                part,
            });
        }
    }

    fn list(
        &mut self,
        place: &Place,
        modified: SystemTime,
        fresh: bool,
        out: &mut Vec<Sight>,
    ) -> io::Result<()> {
        let parts = &self.patterns[place.pattern].parts;
        let last = parts.len() == place.part + 1;
        let mut files = HashMap::new();
        let mut folders = Vec::new();
        for entry in fs::read_dir(&place.dir)? {
            let Ok(entry) = entry else { continue };
            let name = entry.file_name();
            let hidden = name.as_encoded_bytes().first() == Some(&b'.');
            let any_depth = match &parts[place.part] {
                Part::Name(_) => continue,
                Part::AnyDepth if hidden => continue,
                Part::Glob(glob, dotted) if hidden && !dotted || !glob.is_match(&name) => continue,
                part => matches!(part, Part::AnyDepth),
            };
            let Ok(kind) = entry.file_type() else {
                continue;
            };
            if last {
                if !kind.is_dir() && !self.exclude.is_match(&name) {
                    files.insert(name, (entry.ino(), kind.is_symlink()));
                }
            } else if kind.is_dir() || kind.is_symlink() && !any_depth {
                folders.push(name);
            }
        }
        self.unreadable.remove(&place.dir);
        folders.sort();
        let listing = self.listings.entry(place.clone()).or_default();
        for (name, (inode, linked)) in &files {
            if listing.files.get(name) != Some(inode) {
                out.push(Sight::Found(place.dir.join(name), *linked));
            }
        }
        for name in listing.files.keys() {
            if !files.contains_key(name) {
                out.push(Sight::Gone(place.dir.join(name)));
            }
        }
        listing.files = files
            .into_iter()
            .map(|(name, (inode, _))| (name, inode))
            .collect();
        listing.folders = folders;
        listing.modified = Some(modified);
        listing.fresh = fresh;
        Ok(())
    }

    fn drop_listing(&mut self, place: &Place, error: &io::Error, out: &mut Vec<Sight>) {
        let absent = matches!(
            error.kind(),
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
        );
        if !absent && self.unreadable.len() < 1000 && self.unreadable.insert(place.dir.clone()) {
            log::warn!(
                "file: cannot look into {}: {error}; give the user that runs logmill the right to read and enter it",
                place.dir.display()
            );
        }
        if let Some(listing) = self.listings.remove(place) {
            out.extend(
                listing
                    .files
                    .into_keys()
                    .map(|name| Sight::Gone(place.dir.join(name))),
            );
        }
    }

    /// Folders that are gone are led to by no listing, so that the round has passed them by.
    fn forget_unvisited(&mut self, out: &mut Vec<Sight>) {
        let round = self.round;
        self.listings.retain(|place, listing| {
            if listing.round == round {
                return true;
            }
            out.extend(
                listing
                    .files
                    .keys()
                    .map(|name| Sight::Gone(place.dir.join(name))),
            );
            false
        });
    }

    /// A folder that cannot be read, to tell why nothing comes.
    #[must_use]
    pub fn unreadable(&self) -> Option<&Path> {
        self.unreadable.iter().next().map(PathBuf::as_path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    struct Home {
        dir: tempfile::TempDir,
        watch: Watch,
    }

    impl Home {
        fn new(globs: &[&str], exclude: &[&str]) -> Self {
            let dir = tempfile::tempdir().unwrap();
            let patterns = globs
                .iter()
                .flat_map(|glob| {
                    Pattern::parse(&format!("{}/{glob}", dir.path().display())).unwrap()
                })
                .collect();
            let exclude: Vec<String> = exclude.iter().map(|glob| (*glob).to_owned()).collect();
            let watch = Watch::new(patterns, name_globs(&exclude).unwrap());
            Home { dir, watch }
        }

        fn write(&self, name: &str) {
            let path = self.dir.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "x").unwrap();
        }

        fn round(&mut self, full: bool) -> (BTreeSet<String>, BTreeSet<String>) {
            let mut out = Vec::new();
            self.watch.begin(full);
            while !self.watch.step(1, SystemTime::now(), &mut out) {}
            let (mut found, mut gone) = (BTreeSet::new(), BTreeSet::new());
            let short = |path: &Path| {
                path.strip_prefix(self.dir.path())
                    .unwrap()
                    .display()
                    .to_string()
            };
            for sight in &out {
                match sight {
                    Sight::Found(path, _) => found.insert(short(path)),
                    Sight::Gone(path) => gone.insert(short(path)),
                };
            }
            (found, gone)
        }
    }

    fn set(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn globs_find_what_they_say_and_no_hidden_names() {
        let mut home = Home::new(
            &["*.log", "{a,b/c}/*.txt", "deep/**/x.log", "one.dat"],
            &["skip*"],
        );
        for name in [
            "x.log",
            ".h.log",
            "x.txt",
            "skip.log",
            "a/1.txt",
            "b/c/2.txt",
            "b/3.txt",
            "deep/x.log",
            "deep/1/x.log",
            "deep/1/2/x.log",
            "deep/.git/x.log",
            "deep/1/y.log",
            "one.dat",
        ] {
            home.write(name);
        }
        let expected = set(&[
            "x.log",
            "a/1.txt",
            "b/c/2.txt",
            "deep/x.log",
            "deep/1/x.log",
            "deep/1/2/x.log",
            "one.dat",
        ]);
        assert_eq!(home.round(true), (expected, set(&[])));
        assert_eq!(home.round(true), (set(&[]), set(&[])));
    }

    #[test]
    fn a_quick_round_sees_what_came_was_replaced_and_went() {
        let mut home = Home::new(&["*/*.log"], &[]);
        home.write("a/1.log");
        home.round(true);
        home.write("a/2.log");
        home.write("b/3.log");
        assert_eq!(home.round(false), (set(&["a/2.log", "b/3.log"]), set(&[])));
        let path = |name: &str| home.dir.path().join(name);
        fs::rename(path("a/1.log"), path("a/0.log")).unwrap();
        fs::write(path("a/1.log"), "new").unwrap();
        fs::remove_dir_all(path("b")).unwrap();
        assert_eq!(
            home.round(false),
            (set(&["a/0.log", "a/1.log"]), set(&["b/3.log"]))
        );
    }

    #[test]
    fn links_to_files_and_folders_are_followed_but_not_below_two_stars() {
        let mut home = Home::new(&["links/*/*.log", "deep/**/*.log"], &[]);
        home.write("real/1.log");
        home.write("links/x");
        home.write("deep/2.log");
        let path = |name: &str| home.dir.path().join(name);
        std::os::unix::fs::symlink(path("real"), path("links/there")).unwrap();
        std::os::unix::fs::symlink(path("deep"), path("deep/loop")).unwrap();
        std::os::unix::fs::symlink(path("real/1.log"), path("deep/link.log")).unwrap();
        assert_eq!(
            home.round(true).0,
            set(&["links/there/1.log", "deep/2.log", "deep/link.log"])
        );
    }

    #[test]
    fn a_forgotten_name_is_reported_again() {
        let mut home = Home::new(&["*.log", "fixed"], &[]);
        home.write("a.log");
        home.write("fixed");
        home.round(true);
        home.watch.forget(&home.dir.path().join("a.log"));
        home.watch.forget(&home.dir.path().join("fixed"));
        assert_eq!(home.round(false).0, set(&["a.log", "fixed"]));
    }

    #[test]
    fn braces_expand_nested_and_escaped() {
        let expand = |text: &str| {
            let mut out = Vec::new();
            expand_braces(text, &mut out).map(|()| out)
        };
        assert_eq!(expand("/a{b,c{d,e}}f").unwrap(), ["/abf", "/acdf", "/acef"]);
        assert_eq!(expand("/a{,.1}").unwrap(), ["/a", "/a.1"]);
        assert_eq!(expand(r"/a\{b,c}").unwrap(), [r"/a\{b,c}"]);
        assert!(expand("/a{b").is_err());
        assert!(expand(&"{a,b}".repeat(11)).is_err());
        assert!(
            Pattern::parse("var/log/*.log")
                .unwrap_err()
                .contains("absolute")
        );
        assert!(Pattern::parse("/var/[").is_err());
    }
}
