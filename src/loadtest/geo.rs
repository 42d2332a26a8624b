//! Small GeoIP databases of invented places, written where no real database is at hand.
//!
//! The addresses belong to nobody: `240.0.0.0/4` (reserved), `198.18.0.0/15` (benchmarks), `5f00::/16` (segment
//! routing).

use std::path::Path;

use serde_json::json;

use super::rng::Rng;
use crate::filters::geoip::MmdbWriter;

/// Network, prefix of its addresses, city, country, country code, continent, continent code, latitude, longitude.
#[rustfmt::skip]
struct Place(&'static str, &'static str, &'static str, &'static str, &'static str, &'static str, &'static str, f64, f64);

#[rustfmt::skip]
const PLACES: [Place; 8] = [
    Place("240.16.0.0/16", "240.16.", "Kestrel Bay", "Arvandia", "XA", "Europe", "EU", 51.25, 3.5),
    Place("240.17.0.0/16", "240.17.", "Low Quarry", "Arvandia", "XA", "Europe", "EU", 50.75, 4.25),
    Place("241.3.0.0/16", "241.3.", "Saltmarket", "Borealand", "XB", "North America", "NA", 45.5, -71.25),
    Place("242.80.0.0/16", "242.80.", "Ninth Ferry", "Cinderia", "XC", "Asia", "AS", 34.5, 135.75),
    Place("243.7.0.0/16", "243.7.", "Palmgate", "Doravia", "XD", "South America", "SA", -12.25, -60.5),
    Place("250.99.0.0/16", "250.99.", "Tinwell", "Emberland", "XE", "Africa", "AF", 1.5, 30.25),
    Place("198.18.0.0/16", "198.18.", "Glasshaven", "Fenmark", "XF", "Oceania", "OC", -36.75, 174.5),
    Place("5f00:100::/32", "5f00:100::", "Upper Lathe", "Grisholm", "XG", "Europe", "EU", 60.25, 10.75),
];

/// Addresses that no database resolves: private and documentation ones.
const NOWHERE: [&str; 5] = ["10.20.", "172.20.", "192.168.", "192.0.2.", "2001:db8::"];

/// What both databases say about themselves.
const DESCRIPTION: &str =
    "Invented places on reserved networks, for demonstrations and measurements";

/// Writes the database of places.
///
/// # Errors
/// A sentence, when the file cannot be written.
pub fn write_city(path: &Path) -> Result<(), String> {
    let mut writer = MmdbWriter::new();
    for Place(network, _, city, country, code, continent, continent_code, latitude, longitude) in
        &PLACES
    {
        let record = json!({
            "city": {"names": {"en": city}},
            "continent": {"code": continent_code, "names": {"en": continent}},
            "country": {"iso_code": code, "names": {"en": country}},
            "location": {"latitude": latitude, "longitude": longitude, "time_zone": "Etc/UTC"},
            "subdivisions": [{"iso_code": "1", "names": {"en": format!("Old {country}")}}],
        });
        writer
            .insert(network, &record)
            .map_err(|error| error.to_string())?;
    }
    save(path, writer, "Invented-City")
}

/// Writes the database of autonomous systems; their numbers are kept for documentation.
///
/// # Errors
/// A sentence, when the file cannot be written.
pub fn write_asn(path: &Path) -> Result<(), String> {
    let mut writer = MmdbWriter::new();
    for (number, Place(network, _, city, ..)) in PLACES.iter().enumerate() {
        let record = json!({
            "autonomous_system_number": 64_496 + number,
            "autonomous_system_organization": format!("{city} Telegraph"),
        });
        writer
            .insert(network, &record)
            .map_err(|error| error.to_string())?;
    }
    save(path, writer, "Invented-ASN")
}

fn save(path: &Path, writer: MmdbWriter, kind: &str) -> Result<(), String> {
    let bytes = writer
        .write(kind, DESCRIPTION, 1_767_225_600)
        .map_err(|error| error.to_string())?;
    std::fs::write(path, bytes).map_err(|error| format!("cannot write {}: {error}", path.display()))
}

/// Replaces `out` by an address of which there are some thousand; true when the databases know it.
pub fn address(rng: &mut Rng, out: &mut String) -> bool {
    use std::fmt::Write as _;
    out.clear();
    let known = rng.chance(60);
    let prefix = if known {
        rng.pick(&PLACES).1
    } else {
        rng.pick(&NOWHERE)
    };
    out.push_str(prefix);
    let parts = prefix.bytes().filter(|byte| *byte == b'.').count();
    // Writing to a string cannot fail.
    let _ = match parts {
        0 => write!(out, "{:x}", rng.range(1, 400)),
        3 => write!(out, "{}", rng.range(1, 255)),
        _ => write!(out, "{}.{}", rng.below(4), rng.range(1, 255)),
    };
    known
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_addresses_are_found_and_only_they() {
        let folder = tempfile::tempdir().unwrap();
        let paths = [
            folder.path().join("city.mmdb"),
            folder.path().join("asn.mmdb"),
        ];
        write_city(&paths[0]).unwrap();
        write_asn(&paths[1]).unwrap();
        let readers = paths.map(|path| maxminddb::Reader::open_readfile(path).unwrap());
        let (mut rng, mut text, mut hits) = (Rng::new(1), String::new(), 0);
        for _ in 0..500 {
            let known = address(&mut rng, &mut text);
            hits += u32::from(known);
            let address: std::net::IpAddr = text.parse().unwrap();
            for reader in &readers {
                let found: Option<serde_json::Value> =
                    reader.lookup(address).unwrap().decode().unwrap();
                assert_eq!(found.is_some(), known, "{text}");
            }
        }
        assert!((200..400).contains(&hits));
    }
}
