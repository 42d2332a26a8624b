//! What one worker remembers of look-ups: addresses lead to fragments, JSON that is rendered once for each record.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::Range;

use rustc_hash::FxHashMap;

use super::database::Place;
use crate::event::{Kind, Space, Value};

/// The most text that fragments take, in bytes; then all are forgotten.
const MAX_TEXT: usize = 8 << 20;

/// A part of a fragment's text, and the path that it belongs at (a number of the filter).
#[derive(Clone, Debug)]
pub(super) struct Part {
    pub path: u16,
    pub kind: PartKind,
    /// Bounds in the fragment's text.
    pub range: Range<u32>,
}

/// What a part is as a value of an event.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum PartKind {
    Object,
    /// Without its quotes; whether JSON escapes stand in it.
    Text {
        escaped: bool,
    },
    Int,
    Float,
    True,
    False,
}

/// An entry of a fragment's first level, and which of the leaves lie in it.
#[derive(Clone, Debug)]
pub(super) struct Group {
    pub part: Part,
    pub leaves: Range<usize>,
}

/// What is set on an event whose address lies in one network.
#[derive(Debug, Default)]
pub(super) struct Fragment {
    /// One object with all that goes below the target, as JSON.
    pub text: Vec<u8>,
    /// Its first level.
    pub groups: Vec<Group>,
    /// Every single field.
    pub leaves: Vec<Part>,
    /// The text as a value of the batch of this run.
    shared: Option<(u64, Value)>,
}

impl Fragment {
    /// The text as a value: entered into a batch once in each run.
    pub(super) fn value(&mut self, run: u64, push: impl FnOnce(&[u8]) -> Value) -> Value {
        match self.shared {
            Some((at, value)) if at == run => value,
            _ => {
                let value = push(&self.text);
                self.shared = Some((run, value));
                value
            }
        }
    }
}

/// What is known of an address.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Known {
    /// It has not been looked up, or was forgotten.
    Nothing,
    /// It is not in the database.
    Miss,
    /// Number of its fragment.
    Hit(u32),
}

const NOTHING: u32 = 0;
const MISS: u32 = 1;
const FIRST_HIT: u32 = 2;

impl Known {
    fn of(entry: u32) -> Known {
        match entry {
            NOTHING => Known::Nothing,
            MISS => Known::Miss,
            hit => Known::Hit(hit - FIRST_HIT),
        }
    }

    fn entry(self) -> u32 {
        match self {
            Known::Nothing => NOTHING,
            Known::Miss => MISS,
            Known::Hit(at) => at.saturating_add(FIRST_HIT),
        }
    }
}

/// One worker's memory: two direct-mapped tables of addresses, and the fragments that they lead to.
#[derive(Debug)]
pub(super) struct Cache {
    v4: Box<[(u32, u32)]>,
    /// Made with the first IPv6 address.
    v6: Box<[(u64, u64, u32)]>,
    by_place: FxHashMap<Place, u32>,
    fragments: Vec<Fragment>,
    text: usize,
    entries: usize,
    forgotten: u64,
}

impl Cache {
    /// A memory of so many addresses of each kind; rounded up to a power of two.
    pub(super) fn new(addresses: usize) -> Cache {
        let entries = addresses.max(1).next_power_of_two();
        Cache {
            v4: vec![(0, NOTHING); entries].into(),
            v6: Box::default(),
            by_place: FxHashMap::default(),
            fragments: Vec::new(),
            text: 0,
            entries,
            forgotten: 0,
        }
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        self.v4.fill((0, NOTHING));
        self.v6.fill((0, 0, NOTHING));
        self.by_place.clear();
        self.fragments.clear();
        self.text = 0;
        self.forgotten += 1;
    }

    /// How often everything was forgotten: numbers of fragments that are older mean nothing.
    pub(super) fn forgotten(&self) -> u64 {
        self.forgotten
    }

    /// What is known of an address.
    #[inline]
    pub(super) fn get(&self, address: IpAddr) -> Known {
        match address {
            IpAddr::V4(v4) => {
                let bits = v4.to_bits();
                match self.v4.get(mix(bits.into()) & (self.entries - 1)) {
                    Some((known, entry)) if *known == bits => Known::of(*entry),
                    _ => Known::Nothing,
                }
            }
            IpAddr::V6(v6) => {
                let (high, low) = halves(v6);
                match self
                    .v6
                    .get(mix(high ^ low.rotate_left(23)) & (self.entries - 1))
                {
                    Some((a, b, entry)) if (*a, *b) == (high, low) => Known::of(*entry),
                    _ => Known::Nothing,
                }
            }
        }
    }

    /// Remembers what was found for an address.
    pub(super) fn put(&mut self, address: IpAddr, known: Known) {
        match address {
            IpAddr::V4(v4) => {
                let bits = v4.to_bits();
                if let Some(slot) = self.v4.get_mut(mix(bits.into()) & (self.entries - 1)) {
                    *slot = (bits, known.entry());
                }
            }
            IpAddr::V6(v6) => {
                if self.v6.is_empty() {
                    self.v6 = vec![(0, 0, NOTHING); self.entries].into();
                }
                let (high, low) = halves(v6);
                if let Some(slot) = self
                    .v6
                    .get_mut(mix(high ^ low.rotate_left(23)) & (self.entries - 1))
                {
                    *slot = (high, low, known.entry());
                }
            }
        }
    }

    /// The fragment of a record that was rendered before.
    pub(super) fn of_place(&self, place: Place) -> Option<u32> {
        self.by_place.get(&place).copied()
    }

    /// Keeps a fragment. When there are too many all are forgotten, and with them all addresses.
    pub(super) fn add(&mut self, place: Place, fragment: Fragment) -> u32 {
        if self.fragments.len() >= self.entries || self.text + fragment.text.len() > MAX_TEXT {
            self.clear();
        }
        self.text += fragment.text.len();
        let at = u32::try_from(self.fragments.len()).unwrap_or(u32::MAX - FIRST_HIT);
        self.fragments.push(fragment);
        self.by_place.insert(place, at);
        at
    }

    /// A fragment by its number.
    #[inline]
    pub(super) fn fragment(&mut self, at: u32) -> Option<&mut Fragment> {
        self.fragments.get_mut(at as usize)
    }
}

/// Addresses of one network follow each other: the upper bits of the product are spread best.
#[inline]
fn mix(bits: u64) -> usize {
    let product = bits.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    usize::try_from(product >> 32).unwrap_or(0)
}

fn halves(address: Ipv6Addr) -> (u64, u64) {
    let bits = address.to_bits();
    #[allow(clippy::cast_possible_truncation, reason = "the two halves")]
    ((bits >> 64) as u64, bits as u64)
}

/// A part of a text that lies in a batch as one value.
pub(super) fn part_value(whole: Value, part: &Part) -> Value {
    let kind = match part.kind {
        PartKind::True => return Value::TRUE,
        PartKind::False => return Value::FALSE,
        PartKind::Object => Kind::RawObject,
        PartKind::Text { escaped: false } => Kind::Str,
        PartKind::Text { escaped: true } => Kind::EscStr,
        PartKind::Int => Kind::Int,
        PartKind::Float => Kind::Float,
    };
    debug_assert!(whole.space == Space::Arena);
    Value {
        kind,
        off: whole.off + part.range.start,
        len: part.range.end - part.range.start,
        ..whole
    }
}

/// Reads an address: dotted decimal of four numbers without leading zeros, or IPv6; nothing around it. An IPv4 address
/// within an IPv6 one (`::ffff:1.2.3.4`) comes out as itself.
#[inline]
pub(super) fn parse_address(text: &[u8]) -> Option<IpAddr> {
    if let Some(v4) = parse_v4(text) {
        return Some(IpAddr::V4(v4));
    }
    if text.len() > 45 || !text.contains(&b':') {
        return None;
    }
    let v6: Ipv6Addr = std::str::from_utf8(text).ok()?.parse().ok()?;
    Some(v6.to_ipv4_mapped().map_or(IpAddr::V6(v6), IpAddr::V4))
}

/// Dotted decimal, without a branch on what the digits are: the lengths of the four numbers are as good as random, and a
/// wrong guess for each would cost more than all of this.
#[inline]
fn parse_v4(text: &[u8]) -> Option<Ipv4Addr> {
    let len = text.len();
    // Bytes that are read twice are the same twice.
    let bytes = match (text.first_chunk::<8>(), text.last_chunk::<8>()) {
        (Some(head), Some(tail)) if len <= 15 => {
            u128::from(u64::from_le_bytes(*head))
                | u128::from(u64::from_le_bytes(*tail)) << (8 * (len - 8))
        }
        _ if len == 7 => {
            let (head, tail) = (text.first_chunk::<4>()?, text.last_chunk::<4>()?);
            u128::from(u32::from_le_bytes(*head)) | u128::from(u32::from_le_bytes(*tail)) << 24
        }
        _ => return None,
    };
    let bytes = bytes | u128::from(b'.') << (8 * len);
    let dots = flags(bytes ^ DOTS, 0x7F);
    let dots = !dots & 0xFFFF;
    let others = flags(bytes ^ ZEROS, 0x76) & !dots & ((1 << len) - 1);
    let (mut rest, mut start, mut bits) = (dots, 0, 0);
    let mut good = others == 0 && dots.count_ones() == 4;
    for _ in 0..4 {
        let end = rest.trailing_zeros() & 15;
        rest &= rest.wrapping_sub(1);
        let digits = end.wrapping_sub(start);
        good &= digits.wrapping_sub(1) < 3;
        #[allow(clippy::cast_possible_truncation, reason = "the four bytes at hand")]
        let word = (bytes >> (8 * start)) as u32;
        // The digits move up to the end, and zeros come in before them.
        let word = (word << ((8 * (4 - (digits & 3))) & 31)) & 0x0F0F_0F00;
        let number = (word >> 24) + (word >> 16 & 15) * 10 + (word >> 8 & 15) * 100;
        let least = [0, 0, 10, 100][(digits & 3) as usize];
        good &= (least..=255).contains(&number);
        bits = bits << 8 | number;
        start = (end + 1) & 15;
    }
    good.then(|| Ipv4Addr::from_bits(bits))
}

const DOTS: u128 = 0x2E2E_2E2E_2E2E_2E2E_2E2E_2E2E_2E2E_2E2E;
const ZEROS: u128 = 0x3030_3030_3030_3030_3030_3030_3030_3030;

/// A bit for each byte that is above `0x7F - add`.
#[inline]
fn flags(bytes: u128, add: u8) -> u32 {
    const TOPS: u64 = 0x8080_8080_8080_8080;
    let half = |half: u64| {
        let tops = (((half & !TOPS) + u64::from(add) * (TOPS >> 7)) | half) & TOPS;
        (tops >> 7).wrapping_mul(0x0102_0408_1020_4080) >> 56
    };
    #[allow(
        clippy::cast_possible_truncation,
        reason = "the two halves, eight bits each"
    )]
    let (low, high) = (half(bytes as u64), half((bytes >> 64) as u64));
    #[allow(clippy::cast_possible_truncation, reason = "sixteen bits")]
    let both = (low | high << 8) as u32;
    both
}

/// True for addresses that no public database can know: private, loopback, link-local, documentation, unspecified,
/// broadcast and multicast ones.
pub(super) fn is_special(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            v4.octets()[0] == 0
                || v4.is_private()
                || v4.is_loopback()
                || v4.is_link_local()
                || v4.is_documentation()
                || v4.is_broadcast()
                || v4.is_multicast()
        }
        IpAddr::V6(v6) => {
            let first = v6.segments()[0];
            v6.is_unspecified()
                || v6.is_loopback()
                || v6.is_multicast()
                || v6.is_unique_local()
                || v6.is_unicast_link_local()
                || (first == 0x2001 && v6.segments()[1] == 0xdb8)
                || (first == 0x3fff && v6.segments()[1] < 0x1000)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn addresses_are_read_strictly() {
        assert_eq!(parse_address(b"81.2.69.142"), Some(address("81.2.69.142")));
        assert_eq!(parse_address(b"2001:218::1"), Some(address("2001:218::1")));
        assert_eq!(
            parse_address(b"::ffff:81.2.69.142"),
            Some(address("81.2.69.142"))
        );
        for text in [
            "",
            " 1.2.3.4",
            "1.2.3.4 ",
            "01.2.3.4",
            "1.2.3",
            "1.2.3.4.5",
            "256.1.1.1",
            "1..2.3",
            "1.2.3.4:80",
            "[::1]",
            "fe80::1%eth0",
            "localhost",
            "1.2.3.0x4",
            "::1::",
            "1.2.3.",
            ".1.2.3",
            "0000.0.0.0",
        ] {
            assert_eq!(parse_address(text.as_bytes()), None, "{text}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]
        #[test]
        fn the_address_reader_agrees_with_the_standard_one(text in "[0-3.]{0,16}|[0-9a-f:.]{0,40}|([0-9]{1,3}\\.){3}[0-9]{1,3}") {
            let standard = text.parse::<IpAddr>().ok().map(|address| address.to_canonical());
            prop_assert_eq!(parse_address(text.as_bytes()), standard);
        }
    }

    #[test]
    fn special_addresses_are_told_from_public_ones() {
        for text in [
            "10.1.2.3",
            "172.31.0.1",
            "192.168.1.1",
            "127.0.0.1",
            "169.254.1.1",
            "192.0.2.1",
            "198.51.100.1",
            "203.0.113.9",
            "0.0.0.0",
            "255.255.255.255",
            "224.0.0.1",
            "::",
            "::1",
            "fe80::1",
            "fd00::1",
            "2001:db8::1",
            "3fff:fff::1",
            "ff02::1",
        ] {
            assert!(is_special(address(text)), "{text}");
        }
        for text in [
            "81.2.69.142",
            "172.32.0.1",
            "1.1.1.1",
            "2001:218::1",
            "2a02:d280::5",
            "3fff:1000::1",
        ] {
            assert!(!is_special(address(text)), "{text}");
        }
    }

    #[test]
    fn what_was_put_is_found_until_it_is_displaced() {
        let mut cache = Cache::new(3);
        assert_eq!(cache.get(address("0.0.0.0")), Known::Nothing);
        assert_eq!(cache.get(address("::")), Known::Nothing);
        for (text, known) in [
            ("1.2.3.4", Known::Hit(7)),
            ("2001:218::1", Known::Miss),
            ("::5", Known::Hit(0)),
        ] {
            cache.put(address(text), known);
            assert_eq!(cache.get(address(text)), known);
        }
        for third in 0..=255 {
            cache.put(IpAddr::from([9, 9, third, 9]), Known::Miss);
        }
        let kept = (0..=255)
            .filter(|third| cache.get(IpAddr::from([9, 9, *third, 9])) == Known::Miss)
            .count();
        assert!((1..=4).contains(&kept));
        cache.clear();
        assert_eq!(cache.get(address("2001:218::1")), Known::Nothing);
    }

    #[test]
    fn fragments_are_bounded() {
        let mut cache = Cache::new(4);
        for offset in 0..5 {
            let place = Place { offset, prefix: 0 };
            let at = cache.add(
                place,
                Fragment {
                    text: b"{}".to_vec(),
                    ..Fragment::default()
                },
            );
            cache.put(
                IpAddr::from([1, 1, 1, u8::try_from(offset).unwrap()]),
                Known::Hit(at),
            );
        }
        assert_eq!(cache.fragments.len(), 1);
        assert_eq!(
            cache.of_place(Place {
                offset: 0,
                prefix: 0
            }),
            None
        );
        assert_eq!(
            cache.of_place(Place {
                offset: 4,
                prefix: 0
            }),
            Some(0)
        );
        assert_eq!(cache.get(IpAddr::from([1, 1, 1, 0])), Known::Nothing);
    }

    #[test]
    fn addresses_of_one_network_spread_over_the_table() {
        let mut cache = Cache::new(4096);
        for last in 0..1024_u32 {
            cache.put(
                IpAddr::V4(Ipv4Addr::from_bits(0x5102_4500 + last)),
                Known::Hit(last),
            );
        }
        let kept = (0..1024_u32).filter(|last| {
            cache.get(IpAddr::V4(Ipv4Addr::from_bits(0x5102_4500 + last))) == Known::Hit(*last)
        });
        assert!(kept.count() > 850);
    }
}
