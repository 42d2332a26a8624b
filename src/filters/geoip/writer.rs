//! Writes databases in the MaxMind DB format: for the demo and for tests, which need networks of their own.
//!
//! Source: the MaxMind DB file format specification, version 2.0.

use std::net::IpAddr;

use rustc_hash::FxHashMap;
use serde_json::{Number, Value};

/// What a branch of the search tree leads to.
#[derive(Clone, Copy, Debug)]
enum Branch {
    Empty,
    Node(u32),
    /// Offset in the data section.
    Data(u32),
}

/// Why a network was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WriteError {
    /// No address, or no prefix length, or bits set behind the prefix.
    #[error("`{0}` is no network: write it as 192.0.2.0/24 or 2001:db8::/32")]
    Network(String),
    /// A value that the format cannot hold.
    #[error("the record for `{0}` holds a null or a number out of range")]
    Record(String),
    /// More than 2^31 bytes of records or nodes.
    #[error("the database would be larger than the format allows")]
    TooLarge,
}

/// Builds one database. Networks of IPv4 lie at `::/96`, and addresses that carry an IPv4 address (`::ffff:0:0/96`,
/// `2002::/16`) lead there too.
#[derive(Debug)]
pub struct MmdbWriter {
    nodes: Vec<[Branch; 2]>,
    data: Vec<u8>,
    known: FxHashMap<Vec<u8>, u32>,
}

impl Default for MmdbWriter {
    fn default() -> Self {
        Self::new()
    }
}

impl MmdbWriter {
    /// A database without networks.
    #[must_use]
    pub fn new() -> Self {
        MmdbWriter {
            nodes: vec![[Branch::Empty; 2]],
            data: Vec::new(),
            known: FxHashMap::default(),
        }
    }

    /// Sets the record of a network, in place of all that was inserted within it before. Equal records are stored once.
    ///
    /// # Errors
    /// When `network` is no network in CIDR notation, or the record holds what the format cannot.
    pub fn insert(&mut self, network: &str, record: &Value) -> Result<(), WriteError> {
        let (bits, len) =
            parse_network(network).ok_or_else(|| WriteError::Network(network.to_owned()))?;
        let mut encoded = Vec::new();
        encode(record, &mut encoded).ok_or_else(|| WriteError::Record(network.to_owned()))?;
        let offset = if let Some(offset) = self.known.get(&encoded) {
            *offset
        } else {
            let offset = u32::try_from(self.data.len()).map_err(|_| WriteError::TooLarge)?;
            self.data.extend_from_slice(&encoded);
            self.known.insert(encoded, offset);
            offset
        };
        self.set(bits, len, Branch::Data(offset))
    }

    fn set(&mut self, bits: u128, len: u32, branch: Branch) -> Result<(), WriteError> {
        if len == 0 {
            self.nodes = vec![[branch; 2]];
            return Ok(());
        }
        let mut node = 0_u32;
        for depth in 0..len {
            let side = usize::from((bits >> (127 - depth)) & 1 == 1);
            if depth + 1 == len {
                self.nodes[node as usize][side] = branch;
                break;
            }
            node = match self.nodes[node as usize][side] {
                Branch::Node(next) => next,
                // What held for the whole network holds for both halves.
                whole => {
                    let next = u32::try_from(self.nodes.len()).map_err(|_| WriteError::TooLarge)?;
                    self.nodes.push([whole; 2]);
                    self.nodes[node as usize][side] = Branch::Node(next);
                    next
                }
            };
        }
        Ok(())
    }

    /// What `::/96`, the IPv4 part, leads to.
    fn ipv4(&self) -> Branch {
        let mut branch = Branch::Node(0);
        for _ in 0..96 {
            match branch {
                Branch::Node(node) => branch = self.nodes[node as usize][0],
                other => return other,
            }
        }
        branch
    }

    /// The file. `database_type` is what readers tell databases apart by, such as `GeoLite2-City`; `build_epoch` is in
    /// seconds since 1970.
    ///
    /// # Errors
    /// When the tree or the records are larger than the format allows.
    pub fn write(
        mut self,
        database_type: &str,
        description: &str,
        build_epoch: u64,
    ) -> Result<Vec<u8>, WriteError> {
        let ipv4 = self.ipv4();
        if !matches!(ipv4, Branch::Empty) {
            self.set(0xFFFF << 32, 96, ipv4)?;
            self.set(0x2002 << 112, 16, ipv4)?;
        }
        let highest = self.nodes.len() + 16 + self.data.len();
        let record_bits = [24_u32, 28, 32]
            .into_iter()
            .find(|bits| highest < 1 << bits)
            .ok_or(WriteError::TooLarge)?;
        let mut out = Vec::new();
        for node in &self.nodes {
            let [left, right] = node.map(|branch| self.record(branch));
            write_node(left, right, record_bits, &mut out);
        }
        out.extend_from_slice(&[0; 16]);
        out.extend_from_slice(&self.data);
        out.extend_from_slice(b"\xAB\xCD\xEFMaxMind.com");
        let metadata = [
            ("binary_format_major_version", 2),
            ("binary_format_minor_version", 0),
            ("build_epoch", build_epoch),
            ("ip_version", 6),
            ("node_count", self.nodes.len() as u64),
            ("record_size", u64::from(record_bits)),
        ];
        control(TYPE_MAP, metadata.len() + 3, &mut out);
        for (name, number) in metadata {
            text(name, &mut out);
            let ty = match name {
                "build_epoch" => TYPE_UINT64,
                "node_count" => TYPE_UINT32,
                _ => TYPE_UINT16,
            };
            unsigned(ty, number, &mut out);
        }
        text("database_type", &mut out);
        text(database_type, &mut out);
        text("description", &mut out);
        control(TYPE_MAP, 1, &mut out);
        text("en", &mut out);
        text(description, &mut out);
        text("languages", &mut out);
        control(TYPE_ARRAY, 1, &mut out);
        text("en", &mut out);
        Ok(out)
    }

    fn record(&self, branch: Branch) -> u32 {
        let count = u32::try_from(self.nodes.len()).unwrap_or(u32::MAX);
        match branch {
            Branch::Empty => count,
            Branch::Node(node) => node,
            Branch::Data(offset) => count.saturating_add(16).saturating_add(offset),
        }
    }
}

fn write_node(left: u32, right: u32, record_bits: u32, out: &mut Vec<u8>) {
    let (l, r) = (left.to_be_bytes(), right.to_be_bytes());
    match record_bits {
        24 => {
            out.extend_from_slice(&l[1..]);
            out.extend_from_slice(&r[1..]);
        }
        28 => {
            out.extend_from_slice(&l[1..]);
            out.push((l[0] << 4) | (r[0] & 0xF));
            out.extend_from_slice(&r[1..]);
        }
        _ => {
            out.extend_from_slice(&l);
            out.extend_from_slice(&r);
        }
    }
}

fn parse_network(network: &str) -> Option<(u128, u32)> {
    let (address, len) = network.split_once('/')?;
    let len: u32 = len.parse().ok()?;
    let (bits, len) = match address.parse().ok()? {
        IpAddr::V4(v4) if len <= 32 => (u128::from(u32::from(v4)), len + 96),
        IpAddr::V6(v6) if len <= 128 => (u128::from(v6), len),
        _ => return None,
    };
    let behind = if len == 128 { 0 } else { u128::MAX >> len };
    (bits & behind == 0).then_some((bits, len))
}

const TYPE_STRING: u8 = 2;
const TYPE_DOUBLE: u8 = 3;
const TYPE_UINT16: u8 = 5;
const TYPE_UINT32: u8 = 6;
const TYPE_MAP: u8 = 7;
const TYPE_INT32: u8 = 8;
const TYPE_UINT64: u8 = 9;
const TYPE_ARRAY: u8 = 11;
const TYPE_BOOL: u8 = 14;

/// Type and size of a value, in front of it.
fn control(ty: u8, size: usize, out: &mut Vec<u8>) {
    let (mark, more): (u8, Vec<u8>) = match size {
        0..29 => (u8::try_from(size).unwrap_or(0), Vec::new()),
        29..285 => (29, vec![u8::try_from(size - 29).unwrap_or(0)]),
        285..65_821 => (
            30,
            u16::try_from(size - 285)
                .unwrap_or(0)
                .to_be_bytes()
                .to_vec(),
        ),
        _ => (
            31,
            u32::try_from(size - 65_821).unwrap_or(0).to_be_bytes()[1..].to_vec(),
        ),
    };
    if ty > 7 {
        out.extend_from_slice(&[mark, ty - 7]);
    } else {
        out.push((ty << 5) | mark);
    }
    out.extend_from_slice(&more);
}

fn text(text: &str, out: &mut Vec<u8>) {
    control(TYPE_STRING, text.len(), out);
    out.extend_from_slice(text.as_bytes());
}

fn unsigned(ty: u8, number: u64, out: &mut Vec<u8>) {
    let bytes = number.to_be_bytes();
    let bytes = bytes
        .get(number.leading_zeros() as usize / 8..)
        .unwrap_or_default();
    control(ty, bytes.len(), out);
    out.extend_from_slice(bytes);
}

fn number(number: &Number, out: &mut Vec<u8>) -> Option<()> {
    if let Some(whole) = number.as_u64() {
        unsigned(
            if u32::try_from(whole).is_ok() {
                TYPE_UINT32
            } else {
                TYPE_UINT64
            },
            whole,
            out,
        );
    } else if let Some(whole) = number.as_i64() {
        control(TYPE_INT32, 4, out);
        out.extend_from_slice(&i32::try_from(whole).ok()?.to_be_bytes());
    } else {
        control(TYPE_DOUBLE, 8, out);
        out.extend_from_slice(&number.as_f64()?.to_be_bytes());
    }
    Some(())
}

fn encode(value: &Value, out: &mut Vec<u8>) -> Option<()> {
    const LARGEST: usize = 65_821 + (1 << 24);
    match value {
        Value::Null => return None,
        Value::Bool(flag) => control(TYPE_BOOL, usize::from(*flag), out),
        Value::Number(value) => number(value, out)?,
        Value::String(value) if value.len() >= LARGEST => return None,
        Value::String(value) => text(value, out),
        Value::Array(values) => {
            control(TYPE_ARRAY, values.len(), out);
            values.iter().try_for_each(|value| encode(value, out))?;
        }
        Value::Object(entries) => {
            control(TYPE_MAP, entries.len(), out);
            for (key, value) in entries {
                text(key, out);
                encode(value, out)?;
            }
        }
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use maxminddb::Reader;
    use serde_json::json;

    fn found(reader: &Reader<Vec<u8>>, address: &str) -> Option<Value> {
        reader
            .lookup(address.parse().unwrap())
            .unwrap()
            .decode()
            .unwrap()
    }

    fn reader(records: &[(&str, Value)]) -> Reader<Vec<u8>> {
        let mut writer = MmdbWriter::new();
        for (network, record) in records {
            writer.insert(network, record).unwrap();
        }
        Reader::from_source(
            writer
                .write("Test-City", "for tests", 1_700_000_000)
                .unwrap(),
        )
        .unwrap()
    }

    #[test]
    fn records_are_read_back() {
        let record = json!({
            "city": {"names": {"en": "Trn\u{e1}va"}}, "n": [1, 70_000, 5_000_000_000_u64, -7], "f": 48.25, "b": true,
            "none": false, "zero": 0, "long": "x".repeat(28), "longer": "y".repeat(300), "longest": "z".repeat(70_000),
        });
        let reader = reader(&[
            ("81.2.69.0/24", record.clone()),
            ("81.2.69.7/32", json!({"a": 1})),
            ("2001:218::/32", json!({"b": 2})),
            ("10.0.0.0/8", json!({"a": 1})),
        ]);
        assert_eq!(found(&reader, "81.2.69.142"), Some(record.clone()));
        assert_eq!(found(&reader, "81.2.69.7"), Some(json!({"a": 1})));
        assert_eq!(found(&reader, "81.2.70.1"), None);
        assert_eq!(found(&reader, "2001:218::1"), Some(json!({"b": 2})));
        assert_eq!(found(&reader, "::ffff:81.2.69.1"), Some(record.clone()));
        assert_eq!(found(&reader, "2002:5102:4501::1"), Some(record));
        assert_eq!(
            reader
                .lookup("81.2.69.142".parse().unwrap())
                .unwrap()
                .network()
                .unwrap()
                .to_string(),
            "81.2.69.128/25"
        );
        assert_eq!(
            reader
                .lookup("81.2.69.7".parse().unwrap())
                .unwrap()
                .offset(),
            reader.lookup("10.9.8.7".parse().unwrap()).unwrap().offset()
        );
        assert_eq!(reader.metadata.database_type, "Test-City");
        assert_eq!(reader.metadata.build_epoch, 1_700_000_000);
        assert_eq!(reader.metadata.record_size, 24);
        reader.verify().unwrap();
    }

    #[test]
    fn a_wider_network_replaces_what_lies_within() {
        let reader = reader(&[
            ("10.1.0.0/16", json!({"a": 1})),
            ("10.0.0.0/8", json!({"a": 2})),
        ]);
        assert_eq!(found(&reader, "10.1.2.3"), Some(json!({"a": 2})));
        let reader = self::reader(&[("::/0", json!({"all": true}))]);
        assert_eq!(found(&reader, "9.9.9.9"), Some(json!({"all": true})));
    }

    #[test]
    fn an_empty_database_is_valid() {
        let reader = reader(&[]);
        assert_eq!(found(&reader, "1.2.3.4"), None);
        assert_eq!(found(&reader, "2001:db8::1"), None);
    }

    #[test]
    fn all_record_sizes_hold_their_halves() {
        for (bits, left, right) in [
            (24, 0x12_3456, 0x65_4321),
            (28, 0xABC_DEF1, 0x123_4567),
            (32, 0xDEAD_BEEF, 0x0102_0304),
        ] {
            let mut out = Vec::new();
            write_node(left, right, bits, &mut out);
            assert_eq!(out.len(), bits as usize / 4);
            let back = match bits {
                24 => (be(&out[..3]), be(&out[3..])),
                28 => (
                    (u32::from(out[3] >> 4) << 24) | be(&out[..3]),
                    (u32::from(out[3] & 0xF) << 24) | be(&out[4..]),
                ),
                _ => (be(&out[..4]), be(&out[4..])),
            };
            assert_eq!(back, (left, right));
        }
    }

    fn be(bytes: &[u8]) -> u32 {
        bytes
            .iter()
            .fold(0, |sum, byte| (sum << 8) | u32::from(*byte))
    }

    #[test]
    fn a_database_of_28_bit_records_is_read() {
        let mut writer = MmdbWriter::new();
        for third in 0..180_u32 {
            let record = json!({"n": third, "pad": "p".repeat(100_000)});
            writer
                .insert(&format!("9.9.{third}.0/24"), &record)
                .unwrap();
        }
        let reader = Reader::from_source(writer.write("t", "d", 0).unwrap()).unwrap();
        assert_eq!(reader.metadata.record_size, 28);
        assert_eq!(found(&reader, "9.9.179.1").unwrap()["n"], 179);
        assert_eq!(found(&reader, "9.9.180.1"), None);
    }

    #[test]
    fn what_is_no_network_is_refused() {
        for network in [
            "1.2.3.4",
            "1.2.3.4/33",
            "1.2.3.4/24",
            "x/8",
            "2001:db8::/129",
            "2001:db8::1/64",
        ] {
            assert_eq!(
                MmdbWriter::new().insert(network, &json!({})),
                Err(WriteError::Network(network.to_owned()))
            );
        }
        assert!(
            MmdbWriter::new()
                .insert("1.0.0.0/8", &json!({"a": null}))
                .is_err()
        );
    }
}
