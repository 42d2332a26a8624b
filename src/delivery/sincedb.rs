//! Reads a Logstash sincedb, so that a file taken over from Logstash goes on where Logstash stopped. Never writes one.

use std::collections::HashMap;
use std::path::PathBuf;

/// One line of a sincedb: how far Logstash had read one file.
#[derive(Debug, Clone, PartialEq)]
pub struct SincedbEntry {
    /// The file's inode.
    pub inode: u64,
    /// The device number's upper part, as Logstash splits it.
    pub major: u32,
    /// The device number's lower part, as Logstash splits it.
    pub minor: u32,
    /// Bytes read.
    pub offset: u64,
    /// When it was last read, in seconds since 1970; lines of old versions have none.
    pub active: Option<f64>,
    /// Where the file was; lines of old versions have none.
    pub path: Option<PathBuf>,
}

impl SincedbEntry {
    /// Whether the entry's device is `device`, a `st_dev` as the system reports it.
    ///
    /// Logstash on the JVM splits the number at bit 24 whatever the system's own rule (253:0 appears as `0 64768`);
    /// other writers use the system's major and minor, so both readings count.
    #[must_use]
    pub fn is_on(&self, device: u64) -> bool {
        let (major, minor) = (u64::from(self.major), u64::from(self.minor));
        let split_at_24 =
            (device & 0xffff_ffff) == (major << 24 | (minor & 0x00ff_ffff)) && minor <= 0x00ff_ffff;
        let linux =
            (minor & 0xff) | (major & 0xfff) << 8 | (minor & !0xff) << 12 | (major & !0xfff) << 32;
        split_at_24 || device == linux
    }
}

/// The entries of a sincedb, by inode, and the lines that are none.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Sincedb {
    entries: HashMap<u64, Vec<SincedbEntry>>,
    /// A sentence per line that could not be read, with its number.
    pub rejected: Vec<String>,
}

impl Sincedb {
    /// The entry of a file, by `st_dev` and inode.
    #[must_use]
    pub fn entry(&self, device: u64, inode: u64) -> Option<&SincedbEntry> {
        // The last line of a file wins, as in Logstash.
        self.entries
            .get(&inode)?
            .iter()
            .rev()
            .find(|it| it.is_on(device))
    }

    /// How many entries there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.values().map(Vec::len).sum()
    }

    /// Whether there is no entry.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

/// Reads the text of a sincedb: `inode major minor offset [last_active path]` per line; a path may contain spaces.
#[must_use]
pub fn parse_sincedb(text: &str) -> Sincedb {
    let mut sincedb = Sincedb::default();
    for (number, line) in text.lines().enumerate() {
        if line.trim().is_empty() {
            continue;
        }
        match parse_line(line) {
            Ok(entry) => sincedb.entries.entry(entry.inode).or_default().push(entry),
            Err(what) => sincedb.rejected.push(format!(
                "sincedb line {}: {what}; expected `inode major minor offset last_active path`",
                number + 1
            )),
        }
    }
    sincedb
}

fn parse_line(line: &str) -> Result<SincedbEntry, String> {
    let mut rest = line.trim_start();
    let mut word = || {
        let (word, after) = rest.split_once([' ', '\t']).unwrap_or((rest, ""));
        rest = after.trim_start();
        word.trim_end()
    };
    let (inode, major, minor, offset, active) = (word(), word(), word(), word(), word());
    let active = match active {
        "" => None,
        text => Some(
            text.parse::<f64>()
                .ok()
                .filter(|it| it.is_finite() && *it >= 0.0)
                .ok_or_else(|| format!("the time `{text}` is not a number of seconds"))?,
        ),
    };
    Ok(SincedbEntry {
        inode: number("inode", inode)?,
        major: number("major device number", major)?,
        minor: number("minor device number", minor)?,
        offset: number("offset", offset)?,
        active,
        path: (!rest.is_empty()).then(|| PathBuf::from(rest)),
    })
}

fn number<N: std::str::FromStr>(what: &str, word: &str) -> Result<N, String> {
    match word {
        "" => Err(format!("the {what} is missing")),
        _ => word
            .parse()
            .map_err(|_| format!("the {what} `{word}` is not a whole number in range")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::path::Path;

    #[test]
    fn lines_of_all_versions_are_read() {
        let text = "131 0 64768 5217 1700000000.25 /var/log/with space.log\n\n7 8 1 10\n";
        let db = parse_sincedb(text);
        assert_eq!(db.rejected, [""; 0]);
        assert_eq!(db.len(), 2);
        let first = db.entry(64768, 131).unwrap();
        assert_eq!((first.offset, first.active), (5217, Some(1_700_000_000.25)));
        assert_eq!(
            first.path.as_deref(),
            Some(Path::new("/var/log/with space.log"))
        );
        let second = db.entry(0x801, 7).unwrap();
        assert_eq!(
            (second.offset, second.active, second.path.as_deref()),
            (10, None, None)
        );
    }

    #[test]
    fn a_device_is_recognised_in_both_spellings() {
        let entry = |major, minor| SincedbEntry {
            inode: 1,
            major,
            minor,
            offset: 0,
            active: None,
            path: None,
        };
        assert!(entry(0, 0xfd00).is_on(0xfd00));
        assert!(entry(253, 0).is_on(0xfd00));
        assert!(
            entry(259, 300).is_on(0x0011_032c),
            "minor numbers over 255 lie in two parts"
        );
        assert!(!entry(253, 1).is_on(0xfd00));
        assert!(!entry(0, 0xfd01).is_on(0xfd00));
    }

    #[test]
    fn another_device_is_another_file_and_the_last_line_wins() {
        let db = parse_sincedb("5 0 1 100\n5 0 2 200\n5 0 1 300\n");
        assert_eq!(db.entry(1, 5).map(|it| it.offset), Some(300));
        assert_eq!(db.entry(2, 5).map(|it| it.offset), Some(200));
        assert_eq!(db.entry(3, 5), None);
        assert_eq!(db.entry(1, 6), None);
    }

    #[test]
    fn a_bad_line_is_named_and_its_neighbours_are_read() {
        let db = parse_sincedb("1 0 1\n2 0 1 x\n3 0 1 -4\n4 0 1 9 soon /a\n6 0 1 60\n");
        assert_eq!(db.len(), 1);
        assert_eq!(db.rejected.len(), 4);
        assert!(
            db.rejected[0].starts_with("sincedb line 1: the offset is missing"),
            "{}",
            db.rejected[0]
        );
        assert!(db.rejected[3].contains("`soon`"));
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, rng_seed: proptest::test_runner::RngSeed::Fixed(3), ..ProptestConfig::default() })]
        #[test]
        fn what_logstash_writes_is_read_back(inode: u64, major: u32, minor: u32, offset: u64, active in 0u64..4_000_000_000, path in "/[a-z][a-z .-]{0,20}[a-z]") {
            let line = format!("{inode} {major} {minor} {offset} {active}.5 {path}\n");
            let db = parse_sincedb(&line);
            prop_assert_eq!(&db.rejected, &Vec::<String>::new());
            let entry = &db.entries[&inode][0];
            prop_assert_eq!((entry.major, entry.minor, entry.offset), (major, minor, offset));
            prop_assert_eq!(entry.path.as_deref(), Some(Path::new(&path)));
        }

        #[test]
        fn no_text_is_too_strange(text in "[ -~\\n\\t\u{e9}]{0,80}") {
            let db = parse_sincedb(&text);
            prop_assert!(db.len() + db.rejected.len() <= text.lines().count());
        }
    }
}
