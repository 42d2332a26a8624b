//! Time zones: ids as Joda and Java spell them, and the way from wall-clock time to UTC without a lock or an allocation.
//!
//! The rules come from the time zone database that is built into the binary; each zone's transitions are laid out in a
//! table once, on first use, and looked up by binary search.

use std::sync::OnceLock;

use jiff::tz::{TimeZone, TimeZoneDatabase};

/// Milliseconds in a second.
const SECOND_MS: i64 = 1000;

/// 2200-01-01T00:00:00Z. Later moments ask the zone's yearly rule instead of the table.
const TABLE_END_SECS: i64 = 7_258_118_400;

/// Seconds in 400 years: calendar, weekdays and so every yearly rule repeat after them.
const CYCLE_SECS: i64 = 12_622_780_800;

/// A zone id that nobody knows.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error(
    "unknown time zone `{id}`: use an id such as `Europe/Berlin`, `UTC` or `+05:30` (capitals matter)"
)]
pub struct UnknownZone {
    /// The id as it was written.
    pub id: String,
}

/// A time zone: a fixed offset or a named zone with its history. Cheap to copy.
#[derive(Copy, Clone, Debug)]
pub struct Zone(Repr);

#[derive(Copy, Clone, Debug)]
enum Repr {
    Fixed { offset_ms: i32 },
    Rules(&'static Rules),
}

/// The transitions of a zone up to [`TABLE_END_SECS`].
#[derive(Debug)]
struct Rules {
    /// UTC seconds from which `offsets[i + 1]` holds; ascending.
    starts: Vec<i64>,
    /// The same moments on the wall clock that ends there.
    local_starts: Vec<i64>,
    /// Seconds east of UTC; one more than `starts`.
    offsets: Vec<i32>,
    /// Answers for moments past the table.
    beyond: TimeZone,
}

/// What a wall-clock time means in a zone.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
enum WallTime {
    /// The offset that holds, in milliseconds; of two, the one in force before the clocks went back.
    At(i32),
    /// The clocks jumped over it; the offset before the jump.
    Skipped(i32),
}

impl PartialEq for Zone {
    fn eq(&self, other: &Self) -> bool {
        match (self.0, other.0) {
            (Repr::Fixed { offset_ms: a }, Repr::Fixed { offset_ms: b }) => a == b,
            (Repr::Rules(a), Repr::Rules(b)) => std::ptr::eq(a, b),
            _ => false,
        }
    }
}

impl Eq for Zone {}

impl Zone {
    /// Coordinated universal time.
    pub const UTC: Self = Self(Repr::Fixed { offset_ms: 0 });

    /// A zone that is always `offset_ms` milliseconds east of UTC.
    #[must_use]
    pub const fn fixed_millis(offset_ms: i32) -> Self {
        Self(Repr::Fixed { offset_ms })
    }

    /// The zone of an id: a database id (`Europe/Berlin`, `EST`, `UTC`; exact spelling), an offset (`+05:30`, `-0800`,
    /// `+05`), `Z`, or `UTC`, `GMT`, `UT` followed by an offset (`GMT+2`).
    ///
    /// # Errors
    /// When the id is none of these.
    pub fn parse(id: &str) -> Result<Self, UnknownZone> {
        Self::by_id(id)
            .or_else(|| offset_id(id))
            .ok_or_else(|| UnknownZone { id: id.to_owned() })
    }

    /// The zone of the machine: `TZ`, then the system's setting; UTC where neither says anything. Read once.
    #[must_use]
    pub fn system() -> Self {
        static SYSTEM: OnceLock<Zone> = OnceLock::new();
        static UNNAMED: OnceLock<Rules> = OnceLock::new();
        *SYSTEM.get_or_init(|| {
            let zone = TimeZone::system();
            if let Some(known) = zone.iana_name().and_then(Self::by_id) {
                return known;
            }
            if zone.is_unknown() {
                return Self::UTC;
            }
            if let Ok(offset) = zone.to_fixed_offset() {
                return Self::fixed_millis(offset.seconds() * 1000);
            }
            // A zone without an id: a POSIX rule in TZ, or a file of its own.
            Self(Repr::Rules(UNNAMED.get_or_init(|| Rules::of(zone))))
        })
    }

    /// A database zone by its exact id.
    #[must_use]
    pub fn by_id(id: &str) -> Option<Self> {
        if id == "UTC" {
            return Some(Self::UTC);
        }
        let known = known_zones();
        let at = known
            .binary_search_by(|zone| zone.id.as_str().cmp(id))
            .ok()?;
        let known = known.get(at)?;
        let rules = known.rules.get_or_init(|| {
            let zone = TimeZoneDatabase::bundled()
                .get(&known.id)
                .unwrap_or(TimeZone::UTC);
            Rules::of(zone)
        });
        Some(Self(Repr::Rules(rules)))
    }

    /// The longest database id that a text begins with, and its length.
    pub(crate) fn by_longest_prefix(text: &[u8]) -> Option<(Self, usize)> {
        const LONGEST_ID: usize = 40;
        let run = text
            .iter()
            .take(LONGEST_ID)
            .take_while(|byte| {
                byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'_' | b'+' | b'-')
            })
            .count();
        let run = std::str::from_utf8(text.get(..run)?).ok()?;
        (1..=run.len())
            .rev()
            .find_map(|len| Some((Self::by_id(run.get(..len)?)?, len)))
    }

    /// Milliseconds east of UTC at a moment given in seconds since the epoch.
    #[must_use]
    pub fn offset_millis_at(self, utc_secs: i64) -> i32 {
        match self.0 {
            Repr::Fixed { offset_ms } => offset_ms,
            Repr::Rules(rules) => rules.offset_at(utc_secs) * 1000,
        }
    }

    /// UTC milliseconds of wall-clock milliseconds. Of two possible moments the earlier; `None` when the clocks jumped
    /// over this time.
    #[must_use]
    pub fn local_to_utc(self, local_ms: i64) -> Option<i64> {
        match self.wall_time(local_ms) {
            WallTime::At(offset_ms) => local_ms.checked_sub(i64::from(offset_ms)),
            WallTime::Skipped(_) => None,
        }
    }

    /// Like [`Zone::local_to_utc`], but a time that the clocks jumped over counts on with the offset before the jump.
    #[must_use]
    pub fn local_to_utc_lenient(self, local_ms: i64) -> Option<i64> {
        let (WallTime::At(offset_ms) | WallTime::Skipped(offset_ms)) = self.wall_time(local_ms);
        local_ms.checked_sub(i64::from(offset_ms))
    }

    fn wall_time(self, local_ms: i64) -> WallTime {
        match self.0 {
            Repr::Fixed { offset_ms } => WallTime::At(offset_ms),
            Repr::Rules(rules) => rules.wall_time(local_ms.div_euclid(SECOND_MS)),
        }
    }
}

impl Rules {
    fn of(zone: TimeZone) -> Self {
        let first = zone.to_offset(jiff::Timestamp::MIN).seconds();
        let mut rules = Self {
            starts: Vec::new(),
            local_starts: Vec::new(),
            offsets: vec![first],
            beyond: zone,
        };
        let mut before = first;
        let transitions = rules.beyond.following(jiff::Timestamp::MIN);
        for (start, after) in
            transitions.map(|change| (change.timestamp().as_second(), change.offset().seconds()))
        {
            if start >= TABLE_END_SECS {
                break;
            }
            // A change of name alone moves no clock.
            if after != before {
                rules.starts.push(start);
                rules.local_starts.push(start + i64::from(before));
                rules.offsets.push(after);
                before = after;
            }
        }
        rules
    }

    fn offset_at(&self, utc_secs: i64) -> i32 {
        if utc_secs >= TABLE_END_SECS {
            return self.offset_beyond(utc_secs);
        }
        let at = self.starts.partition_point(|start| *start <= utc_secs);
        self.offsets.get(at).copied().unwrap_or(0)
    }

    #[cold]
    fn offset_beyond(&self, utc_secs: i64) -> i32 {
        let within = TABLE_END_SECS + (utc_secs - TABLE_END_SECS) % CYCLE_SECS;
        jiff::Timestamp::from_second(within)
            .map_or(0, |moment| self.beyond.to_offset(moment).seconds())
    }

    fn wall_time(&self, local_secs: i64) -> WallTime {
        const DAY: i64 = super::civil::DAY_SECS;
        if local_secs >= TABLE_END_SECS - DAY {
            return self.wall_time_beyond(local_secs);
        }
        let at = self
            .local_starts
            .partition_point(|start| *start <= local_secs);
        let offset = self.offsets.get(at).copied().unwrap_or(0);
        if let Some(last) = at.checked_sub(1)
            && let (Some(start), Some(before)) = (self.starts.get(last), self.offsets.get(last))
            && local_secs < start + i64::from(offset)
        {
            return WallTime::Skipped(before * 1000);
        }
        WallTime::At(offset * 1000)
    }

    /// The offsets a day before and a day after enclose any single change.
    #[cold]
    fn wall_time_beyond(&self, local_secs: i64) -> WallTime {
        const DAY: i64 = super::civil::DAY_SECS;
        let before = self.offset_at(local_secs - DAY);
        let after = self.offset_at(local_secs.saturating_add(DAY));
        let holds = |offset: i32| self.offset_at(local_secs - i64::from(offset)) == offset;
        match (holds(before), holds(after)) {
            (true, _) => WallTime::At(before * 1000),
            (false, true) => WallTime::At(after * 1000),
            (false, false) => WallTime::Skipped(before * 1000),
        }
    }
}

/// A database id, and its rules once somebody asked for them.
struct KnownZone {
    id: String,
    rules: OnceLock<Rules>,
}

/// All ids of the built-in database in byte order.
fn known_zones() -> &'static [KnownZone] {
    static KNOWN: OnceLock<Vec<KnownZone>> = OnceLock::new();
    KNOWN.get_or_init(|| {
        let mut ids: Vec<String> = TimeZoneDatabase::bundled()
            .available()
            .map(|name| name.as_str().to_owned())
            .collect();
        ids.sort_unstable();
        ids.into_iter()
            .map(|id| KnownZone {
                id,
                rules: OnceLock::new(),
            })
            .collect()
    })
}

/// `Z`, `+05:30`, `GMT+2` and their like.
fn offset_id(id: &str) -> Option<Zone> {
    if matches!(id, "Z" | "UT" | "GMT") {
        return Some(Zone::UTC);
    }
    let prefixed = ["UTC", "GMT", "UT"]
        .iter()
        .find_map(|prefix| id.strip_prefix(prefix));
    let offset = prefixed.unwrap_or(id);
    let short = prefixed.and_then(|offset| single_digit_hour(offset.as_bytes()));
    let (offset_ms, len) = short.or_else(|| parse_offset(offset.as_bytes()))?;
    (len == offset.len()).then(|| Zone::fixed_millis(offset_ms))
}

/// `+2`.
fn single_digit_hour(text: &[u8]) -> Option<(i32, usize)> {
    match text {
        [sign @ (b'+' | b'-'), hour @ b'0'..=b'9'] => {
            let offset_ms = i32::from(hour - b'0') * 3_600_000;
            Some((if *sign == b'-' { -offset_ms } else { offset_ms }, 2))
        }
        _ => None,
    }
}

/// Reads an offset at the start of a text: a sign, two digits of hours, and as far as they follow minutes, seconds and
/// up to three digits of a fraction, either all with separators (`+05:30:15.5`) or all without (`+053015500`).
/// Gives milliseconds east of UTC and the bytes read.
pub(crate) fn parse_offset(text: &[u8]) -> Option<(i32, usize)> {
    let negative = match text.first()? {
        b'-' => true,
        b'+' => false,
        _ => return None,
    };
    let hours = two_digit_value(text, 1).filter(|hours| *hours <= 23)?;
    let (rest_ms, len) = offset_below_hours(text)?;
    let offset_ms = hours * 3_600_000 + rest_ms;
    Some((if negative { -offset_ms } else { offset_ms }, len))
}

fn offset_below_hours(text: &[u8]) -> Option<(i32, usize)> {
    let separated = match text.get(3) {
        Some(b':') => true,
        Some(b'0'..=b'9') => false,
        _ => return Some((0, 3)),
    };
    let mut at = 3 + usize::from(separated);
    let mut offset_ms = 0;
    for unit_ms in [60_000, 1000] {
        if unit_ms == 1000 {
            match text.get(at) {
                Some(b':') if separated => at += 1,
                Some(b'0'..=b'9') if !separated => {}
                _ => return Some((offset_ms, at)),
            }
        }
        offset_ms += two_digit_value(text, at).filter(|value| *value <= 59)? * unit_ms;
        at += 2;
    }
    match text.get(at) {
        Some(b'.' | b',') if separated => at += 1,
        Some(b'0'..=b'9') if !separated => {}
        _ => return Some((offset_ms, at)),
    }
    let digits = text
        .get(at..)?
        .iter()
        .take(3)
        .take_while(|byte| byte.is_ascii_digit());
    let mut unit_ms = 100;
    let start = at;
    for digit in digits {
        offset_ms += i32::from(digit - b'0') * unit_ms;
        unit_ms /= 10;
        at += 1;
    }
    (at > start).then_some((offset_ms, at))
}

/// The number of two digits at a place of a text.
#[inline]
fn two_digit_value(text: &[u8], at: usize) -> Option<i32> {
    match text.get(at..at + 2)? {
        [tens @ b'0'..=b'9', ones @ b'0'..=b'9'] => {
            Some(i32::from(tens - b'0') * 10 + i32::from(ones - b'0'))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn offset(id: &str, utc_secs: i64) -> Option<i32> {
        Zone::parse(id)
            .ok()
            .map(|zone| zone.offset_millis_at(utc_secs) / 60_000)
    }

    #[test]
    fn ids() {
        for (id, minutes) in [
            ("UTC", 0),
            ("Z", 0),
            ("GMT", 0),
            ("Etc/UTC", 0),
            ("EST", -300),
            ("EST5EDT", -300),
            ("CET", 60),
            ("Europe/Berlin", 60),
            ("+05:30", 330),
            ("-0800", -480),
            ("+05", 300),
            ("GMT+2", 120),
            ("UTC-05:00", -300),
            ("Etc/GMT+2", -120),
        ] {
            assert_eq!(offset(id, 1_700_000_000), Some(minutes), "{id}");
        }
        for unknown in [
            "",
            "PST",
            "europe/berlin",
            "+",
            "+5",
            "+24:00",
            "+05:30x",
            "GMT+",
            "Nowhere",
            "\u{e9}",
        ] {
            assert!(Zone::parse(unknown).is_err(), "{unknown}");
        }
    }

    #[test]
    fn offsets_are_read_as_far_as_they_go() {
        for (text, offset_ms, len) in [
            ("+02", 7_200_000, 3),
            ("+0230x", 9_000_000, 5),
            ("-02:30", -9_000_000, 6),
            ("+02:30:15", 9_015_000, 9),
            ("+02:30:15.5", 9_015_500, 11),
            ("+023015123", 9_015_123, 10),
            ("+02 x", 7_200_000, 3),
            ("+02:30:", 0, 0),
            ("+02:", 0, 0),
            ("+023", 0, 0),
            ("+2430", 0, 0),
            ("+0260", 0, 0),
            ("02", 0, 0),
        ] {
            let expected = (len > 0).then_some((offset_ms, len));
            assert_eq!(parse_offset(text.as_bytes()), expected, "{text}");
        }
    }

    #[test]
    fn clock_changes() {
        let berlin = Zone::parse("Europe/Berlin").expect("known");
        let local = |day: i64, minutes: i64| (day * 1440 + minutes) * 60_000;
        // 2024-03-31 is day 19,813 and 2024-10-27 day 20,023; both clocks change at 01:00 UTC.
        assert_eq!(berlin.local_to_utc(local(19_813, 150)), None);
        assert_eq!(
            berlin.local_to_utc_lenient(local(19_813, 150)),
            Some(local(19_813, 90))
        );
        assert_eq!(
            berlin.local_to_utc(local(19_813, 119)),
            Some(local(19_813, 59))
        );
        assert_eq!(
            berlin.local_to_utc(local(19_813, 180)),
            Some(local(19_813, 60))
        );
        assert_eq!(
            berlin.local_to_utc(local(20_023, 150)),
            Some(local(20_023, 30))
        );
        assert_eq!(
            berlin.local_to_utc(local(20_023, 180)),
            Some(local(20_023, 120))
        );
    }

    #[test]
    fn far_future_keeps_the_yearly_rule() {
        let berlin = Zone::parse("Europe/Berlin").expect("known");
        let july_secs = |years: i64| 1_720_000_000 + years * CYCLE_SECS;
        for cycles in [0, 1, 10, 1000] {
            assert_eq!(berlin.offset_millis_at(july_secs(cycles)), 7_200_000);
            let local_ms = (july_secs(cycles) + 7200) * 1000;
            assert_eq!(
                berlin.local_to_utc(local_ms),
                Some(july_secs(cycles) * 1000)
            );
        }
        assert_eq!(
            berlin.offset_millis_at(i64::MIN),
            berlin.offset_millis_at(-10_000_000_000)
        );
        assert!(berlin.offset_millis_at(i64::MAX) > 0);
        assert_eq!(Zone::fixed_millis(1000).local_to_utc(i64::MIN), None);
    }

    #[test]
    fn longest_id_wins() {
        let id_len = |text: &str| Zone::by_longest_prefix(text.as_bytes()).map(|(_, len)| len);
        assert_eq!(id_len("Europe/Paris rest"), Some(12));
        assert_eq!(id_len("EST5EDT"), Some(7));
        assert_eq!(id_len("UTCx"), Some(3));
        assert_eq!(id_len("nowhere"), None);
        assert_eq!(id_len(""), None);
    }

    proptest! {
        #![proptest_config(crate::time::property_config())]

        #[test]
        fn agrees_with_the_database(
            zone in 0_usize..8,
            secs in -6_000_000_000_i64..30_000_000_000,
        ) {
            let id = ["Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe",
                "Africa/Casablanca", "Pacific/Apia", "America/Sao_Paulo", "Asia/Tehran"][zone];
            let zone = Zone::parse(id).expect("known");
            let database = TimeZoneDatabase::bundled().get(id).expect("known");
            let moment = jiff::Timestamp::from_second(secs).expect("in range");
            let offset = database.to_offset(moment).seconds();
            prop_assert_eq!(zone.offset_millis_at(secs), offset * 1000);

            let local = jiff::tz::Offset::UTC.to_datetime(moment);
            let expected = match database.to_ambiguous_timestamp(local).offset() {
                jiff::tz::AmbiguousOffset::Unambiguous { offset } => Some(offset),
                jiff::tz::AmbiguousOffset::Fold { before, .. } => Some(before),
                jiff::tz::AmbiguousOffset::Gap { .. } => None,
            };
            let expected = expected.map(|offset| (secs - i64::from(offset.seconds())) * 1000);
            prop_assert_eq!(zone.local_to_utc(secs * 1000), expected);
        }

        #[test]
        fn any_id(id in "\\PC{0,12}|[A-Za-z0-9+:/-]{0,12}") {
            let _ = Zone::parse(&id);
            let _ = Zone::by_longest_prefix(id.as_bytes());
        }
    }
}
