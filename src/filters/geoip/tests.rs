//! Tests of the filter, with databases that they write themselves and with MaxMind's test databases where those are.

use std::path::PathBuf;

use serde_json::{Value as Json, json};

use super::*;
use crate::plugin::Ecs;
use crate::plugin::testing::{FilterRun, run_filter};

/// A folder with the databases of these tests.
struct Databases {
    dir: tempfile::TempDir,
}

impl Databases {
    fn new() -> Databases {
        Databases {
            dir: tempfile::tempdir().unwrap(),
        }
    }

    fn write(&self, database_type: &str, records: &[(&str, Json)]) -> PathBuf {
        let mut writer = MmdbWriter::new();
        for (network, record) in records {
            writer.insert(network, record).unwrap();
        }
        let path = self.dir.path().join(format!("{database_type}.mmdb"));
        std::fs::write(
            &path,
            writer
                .write(database_type, "for tests", 1_700_000_000)
                .unwrap(),
        )
        .unwrap();
        path
    }

    fn city(&self) -> PathBuf {
        self.write(
            "Test-City",
            &[
                ("81.2.69.0/24", london()),
                ("2001:218::/32", london()),
                (
                    "9.9.9.0/24",
                    json!({
                        "country": {"iso_code": "ZZ"}
                    }),
                ),
            ],
        )
    }

    fn asn(&self) -> PathBuf {
        self.write("Test-ASN", &[("81.2.69.0/24", json!({
            "autonomous_system_number": 20712, "autonomous_system_organization": "A \"quoted\" net"
        }))])
    }
}

fn london() -> Json {
    json!({
        "city": {"names": {"en": "London", "de": "London"}},
        "continent": {"code": "EU", "names": {"en": "Europe"}},
        "country": {"iso_code": "GB", "names": {"en": "United Kingdom"}},
        "location": {"latitude": 51.5142, "longitude": -0.0931, "time_zone": "Europe/London", "metro_code": 7},
        "postal": {"code": "EC4"},
        "subdivisions": [
            {"iso_code": "ENG", "names": {"en": "England"}},
            {"iso_code": "LND", "names": {"en": "Greater London"}},
        ],
    })
}

fn run_in(ecs: Ecs, config: &str, events: &[Json]) -> FilterRun {
    let run = run_filter(&SPEC, ecs, &format!("geoip {{ {config} }}"), events);
    run.unwrap_or_else(|errors| panic!("{config}: {errors:?}"))
}

fn one(ecs: Ecs, config: &str, event: Json) -> Json {
    run_in(ecs, config, &[event]).events.remove(0)
}

fn config(source: &str, database: &std::path::Path, more: &str) -> String {
    format!(
        "source => \"{source}\" database => \"{}\" {more}",
        database.display()
    )
}

fn geo() -> Json {
    json!({
        "city_name": "London", "continent_code": "EU", "country_name": "United Kingdom", "country_iso_code": "GB",
        "postal_code": "EC4", "region_name": "Greater London", "region_iso_code": "GB-LND", "timezone": "Europe/London",
        "location": {"lat": 51.5142, "lon": -0.0931},
    })
}

#[test]
fn ecs_names_go_below_the_parent_of_the_source() {
    let databases = Databases::new();
    let config = config("[source][ip]", &databases.city(), "add_tag => \"done\"");
    let event = json!({"source": {"ip": "81.2.69.142", "port": 5}});
    let out = one(Ecs::V8, &config, event);
    let wanted = json!({
        "source": {"ip": "81.2.69.142", "port": 5, "geo": geo(), "mmdb": {"dma_code": 7}}, "tags": ["done"],
    });
    assert_eq!(out, wanted);
}

#[test]
fn a_missing_target_is_made_with_the_address() {
    let databases = Databases::new();
    let config = config(
        "addr",
        &databases.city(),
        "target => \"[client]\" fields => [\"ip\", \"CITY_NAME\"]",
    );
    for text in ["81.2.69.142", "::ffff:81.2.69.142"] {
        assert_eq!(
            one(Ecs::V8, &config, json!({"addr": text})),
            json!({"addr": text, "client": {"ip": "81.2.69.142", "geo": {"city_name": "London"}}})
        );
    }
    assert_eq!(
        one(
            Ecs::V8,
            &config,
            json!({"addr": ["2001:218::1", "x"], "client": null})
        ),
        json!({"addr": ["2001:218::1", "x"], "client": {"ip": "2001:218::1", "geo": {"city_name": "London"}}})
    );
}

#[test]
fn legacy_names_are_flat() {
    let databases = Databases::new();
    let event = json!({"clientip": "81.2.69.142"});
    let out = one(
        Ecs::Disabled,
        &config("clientip", &databases.city(), ""),
        event,
    );
    assert_eq!(
        out["geoip"],
        json!({
            "ip": "81.2.69.142", "city_name": "London", "continent_code": "EU", "country_name": "United Kingdom",
            "country_code2": "GB", "country_code3": "GB", "postal_code": "EC4", "dma_code": 7,
            "region_name": "Greater London", "region_code": "LND", "timezone": "Europe/London",
            "location": {"lat": 51.5142, "lon": -0.0931}, "latitude": 51.5142, "longitude": -0.0931,
        })
    );
    let out = one(
        Ecs::Disabled,
        &config("clientip", &databases.asn(), ""),
        out,
    );
    assert_eq!(out["geoip"]["asn"], 20712);
    assert_eq!(out["geoip"]["as_org"], "A \"quoted\" net");
    assert_eq!(out["geoip"]["city_name"], "London");
}

#[test]
fn groups_that_exist_are_completed() {
    let databases = Databases::new();
    let event = json!({"source": {"ip": "81.2.69.1", "geo": {"name": "dc1", "location": {"alt": 1}}, "as": {"number": 1}}});
    let city = config("[source][ip]", &databases.city(), "");
    let out = one(Ecs::V8, &city, event);
    let mut wanted = geo();
    wanted["name"] = json!("dc1");
    wanted["location"]["alt"] = json!(1);
    assert_eq!(out["source"]["geo"], wanted);
    let out = one(Ecs::V8, &config("[source][ip]", &databases.asn(), ""), out);
    assert_eq!(
        out["source"]["as"],
        json!({"number": 20712, "organization": {"name": "A \"quoted\" net"}})
    );
    assert_eq!(out["source"]["geo"], wanted);
}

#[test]
fn what_is_not_found_is_tagged_and_leaves_nothing() {
    let databases = Databases::new();
    let config = config(
        "a",
        &databases.city(),
        "target => \"geo\" add_field => { \"x\" => \"y\" }",
    );
    let values = [
        json!("1.2.3.4"),
        json!("10.0.0.1"),
        json!("::1"),
        json!("203.0.113.5"),
        json!("nonsense"),
        json!(""),
        json!(" "),
        json!("081.2.69.142"),
        json!("81.2.69.142 "),
        json!(5),
        json!(true),
        json!(null),
        json!([]),
        json!({"a": "81.2.69.1"}),
        json!("9.9.9.9"),
    ];
    let events: Vec<Json> = values.iter().map(|value| json!({"a": value})).collect();
    let out = run_in(Ecs::V8, &config, &events);
    for (value, event) in values.iter().zip(&out.events) {
        assert_eq!(
            *event,
            json!({"a": value, "tags": ["_geoip_lookup_failure"]})
        );
    }
    assert_eq!(out.metrics.failures.into_inner(), 15);
    let event = one(Ecs::V8, &config, json!({"b": 1}));
    assert_eq!(event, json!({"b": 1, "tags": ["_geoip_lookup_failure"]}));
}

#[test]
fn a_target_that_is_no_object_is_a_failure() {
    let databases = Databases::new();
    let config = config(
        "a",
        &databases.city(),
        "target => \"a\" tag_on_failure => [\"t\", \"u\"]",
    );
    assert_eq!(
        one(Ecs::V8, &config, json!({"a": "81.2.69.1"})),
        json!({"a": "81.2.69.1", "tags": ["t", "u"]})
    );
}

#[test]
fn events_of_one_batch_share_nothing_that_changes() {
    let databases = Databases::new();
    let config = config(
        "ip",
        &databases.city(),
        "target => \"t\" fields => [\"city_name\"] add_field => { \"[t][geo][n]\" => \"%{n}\" }",
    );
    let events: Vec<Json> = (0..5)
        .map(|n| json!({"ip": format!("81.2.69.{n}"), "n": n}))
        .collect();
    let out = run_in(Ecs::V8, &config, &events);
    for (n, event) in out.events.iter().enumerate() {
        assert_eq!(
            event["t"],
            json!({"geo": {"city_name": "London", "n": n.to_string()}})
        );
    }
    assert_eq!(out.metrics.matches.into_inner(), 5);
}

#[test]
fn a_small_memory_changes_nothing() {
    let databases = Databases::new();
    let networks: Vec<String> = (0..200).map(|n| format!("9.9.{n}.0/24")).collect();
    let records: Vec<(&str, Json)> = networks
        .iter()
        .enumerate()
        .map(|(n, network)| (network.as_str(), json!({"country_code": format!("C{n}")})))
        .collect();
    let path = databases.write("country", &records);
    let config = config(
        "ip",
        &path,
        "target => \"t\" fields => [\"country_code2\"] cache_size => 3",
    );
    let events: Vec<Json> = (0..2000)
        .map(|n| json!({"ip": format!("9.9.{}.1", n * 7 % 200)}))
        .collect();
    for (n, event) in run_in(Ecs::V8, &config, &events).events.iter().enumerate() {
        assert_eq!(
            event["t"],
            json!({"geo": {"country_iso_code": format!("C{}", n * 7 % 200)}})
        );
    }
}

#[test]
fn flat_schemas_are_read() {
    let databases = Databases::new();
    let table = [
        (
            "country ipv4",
            json!({"country_code": "DE"}),
            json!({"geo": {"country_iso_code": "DE"}}),
        ),
        (
            "sapics-city",
            json!({
                "city": "Berlin", "country_code": "DE", "latitude": 52.5, "longitude": 13.4, "postcode": "10115",
                "state1": "Land Berlin", "state2": "", "timezone": "Europe/Berlin",
            }),
            json!({"geo": {
                "city_name": "Berlin", "country_iso_code": "DE", "postal_code": "10115", "region_name": "Land Berlin",
                "timezone": "Europe/Berlin", "location": {"lat": 52.5, "lon": 13.4},
            }}),
        ),
        (
            "ipinfo generic_country_asn_free.mmdb",
            json!({
                "asn": "AS3320", "as_name": "Deutsche Telekom AG", "as_domain": "telekom.de", "continent": "EU",
                "continent_name": "Europe", "country": "DE", "country_name": "Germany",
            }),
            json!({
                "geo": {
                    "continent_code": "EU", "continent_name": "Europe", "country_name": "Germany", "country_iso_code": "DE",
                },
                "as": {"number": 3320, "organization": {"name": "Deutsche Telekom AG"}},
            }),
        ),
        (
            "ipinfo lite",
            json!({"asn": "AS3320", "continent": "Europe", "continent_code": "EU", "country": "Germany", "country_code": "DE"}),
            json!({
                "geo": {
                    "continent_code": "EU", "continent_name": "Europe", "country_name": "Germany", "country_iso_code": "DE",
                },
                "as": {"number": 3320},
            }),
        ),
        (
            "ipinfo standard_location.mmdb",
            json!({"city": "Bonn", "region": "NRW", "country": "DE", "lat": "50.7", "lng": "7.1", "postal_code": "53111"}),
            json!({"geo": {
                "city_name": "Bonn", "country_iso_code": "DE", "postal_code": "53111", "region_name": "NRW",
                "location": {"lat": 50.7, "lon": 7.1},
            }}),
        ),
    ];
    for (database_type, record, wanted) in table {
        let path = databases.write(database_type, &[("81.2.69.0/24", record)]);
        let mut out = one(
            Ecs::V8,
            &config("a", &path, "target => \"t\""),
            json!({"a": "81.2.69.1"}),
        );
        out["t"].as_object_mut().unwrap().remove("ip");
        assert_eq!(out["t"], wanted, "{database_type}");
    }
}

#[test]
fn other_databases_of_maxmind_have_their_own_fields() {
    let databases = Databases::new();
    let table = [
        (
            "GeoIP2-ISP",
            json!({
                "autonomous_system_number": 5, "autonomous_system_organization": "O", "isp": "I", "organization": "P",
            }),
            json!({"ip": "9.9.9.9", "as": {"number": 5, "organization": {"name": "O"}}, "mmdb": {"isp": "I", "organization": "P"}}),
        ),
        (
            "GeoIP2-Domain",
            json!({"domain": "example.com"}),
            json!({"domain": "example.com"}),
        ),
        (
            "GeoIP2-Anonymous-IP",
            json!({"is_anonymous": true, "is_tor_exit_node": true}),
            json!({"ip_traits": {
                "hosting_provider": false, "tor_exit_node": true, "anonymous_vpn": false, "anonymous": true,
                "public_proxy": false, "residential_proxy": false,
            }}),
        ),
        (
            "GeoIP2-Enterprise",
            json!({"country": {"iso_code": "GB", "names": {"en": "United Kingdom"}}, "city": {"names": {"en": "Ely"}}}),
            json!({"ip": "9.9.9.9", "geo": {"city_name": "Ely", "country_name": "United Kingdom", "country_iso_code": "GB"}}),
        ),
        (
            "GeoLite2-Country",
            london(),
            json!({"ip": "9.9.9.9", "geo": {"continent_name": "Europe", "country_name": "United Kingdom", "country_iso_code": "GB"}}),
        ),
    ];
    for (database_type, record, wanted) in table {
        let path = databases.write(database_type, &[("9.9.9.0/24", record)]);
        let out = one(
            Ecs::V8,
            &config("a", &path, "target => \"t\""),
            json!({"a": "9.9.9.9"}),
        );
        assert_eq!(out["t"], wanted, "{database_type}");
    }
    let path = databases.write(
        "GeoIP2-Domain",
        &[("9.9.9.0/24", json!({"domain": "example.com"}))],
    );
    let out = one(
        Ecs::V8,
        &config(
            "a",
            &path,
            "target => \"t\" fields => [\"network\", \"city_name\"]",
        ),
        json!({"a": "9.9.9.9"}),
    );
    assert_eq!(out["t"], json!({"ip_traits": {"network": "9.9.9.0/24"}}));
    let out = one(
        Ecs::V8,
        &config("a", &path, "target => \"t\" fields => [\"city_name\"]"),
        json!({"a": "9.9.9.9"}),
    );
    assert_eq!(out["tags"], json!(["_geoip_lookup_failure"]));
}

#[test]
fn a_replaced_database_is_used_from_the_next_batch_on() {
    use crate::plugin::testing::{build, parse_plugin};
    let databases = Databases::new();
    let path = databases.write("country", &[("9.9.9.0/24", json!({"country_code": "AA"}))]);
    let plugin = parse_plugin(&format!(
        "geoip {{ {} }}",
        config("a", &path, "target => \"t\"")
    ));
    let (filter, keys, _) = build(crate::plugin::Catalogue(&[]), Ecs::V8, |build| {
        make(&plugin, build)
    });
    let (filter, mut batch) = (filter.unwrap(), Batch::new(&keys));
    let mut scratch = filter.scratch();
    let mut look = |batch: &mut Batch| {
        batch.reset(
            b"{\"a\":\"9.9.9.9\"}".to_vec(),
            crate::time::Timestamp::default(),
        );
        let id = batch.new_event(0, 0);
        let text = batch.block_text(0, 15);
        batch.decode_object(id, text).unwrap();
        let mut sel = Selection::default();
        sel.push(id);
        let (common, metrics) = (crate::plugin::Common::default(), PluginMetrics::default());
        filter.run(
            batch,
            &mut sel,
            &mut Cx {
                buf: &mut Vec::new(),
                scratch: &mut *scratch,
                common: &common,
                metrics: &metrics,
            },
        );
        let mut out = Vec::new();
        batch.write_event(id, &mut out);
        serde_json::from_slice::<Json>(&out).unwrap()["t"]["geo"]["country_iso_code"].clone()
    };
    assert_eq!(
        (look(&mut batch), look(&mut batch)),
        (json!("AA"), json!("AA"))
    );
    databases.write(
        "country",
        &[("9.9.9.0/24", json!({"country_code": "BB", "pad": 1}))],
    );
    let _ = (
        database::open(&path).unwrap(),
        database::open(&path).unwrap(),
    );
    assert_eq!(look(&mut batch), json!("BB"));
}

fn messages(ecs: Ecs, config: &str) -> Vec<String> {
    let run = run_filter(&SPEC, ecs, &format!("geoip {{ {config} }}"), &[]);
    let Err(diagnostics) = run else {
        panic!("`{config}` was accepted")
    };
    diagnostics
        .iter()
        .map(|diagnostic| format!("{} {:?}", diagnostic.message, diagnostic.hint))
        .collect()
}

#[test]
fn mistakes_are_reported() {
    let databases = Databases::new();
    let city = databases.city();
    assert!(messages(Ecs::V8, &config("ip", &city, ""))[0].contains("needs `target`"));
    assert!(messages(Ecs::V8, &config("[ip]", &city, ""))[0].contains("needs `target`"));
    assert!(
        messages(
            Ecs::Disabled,
            &config("ip", &city, "fields => [\"city_nam\"]")
        )[0]
        .contains("did you mean `city_name`")
    );
    assert!(
        messages(Ecs::Disabled, &config("ip", &city, "cache_size => 0"))[0].contains("cache_size")
    );
    let missing = messages(
        Ecs::Disabled,
        "source => \"ip\" database => \"/no/such.mmdb\"",
    );
    assert!(
        missing[0].contains("/no/such.mmdb") && missing[0].contains("make geoip"),
        "{missing:?}"
    );
    let text = databases.dir.path().join("text.mmdb");
    std::fs::write(&text, "no database").unwrap();
    assert!(messages(Ecs::Disabled, &config("ip", &text, ""))[0].contains("no MaxMind database"));
}

#[test]
fn without_a_database_nothing_happens() {
    let config = "source => \"ip\" database => \"\" add_tag => \"done\"";
    assert_eq!(
        one(Ecs::Disabled, config, json!({"ip": "81.2.69.1"})),
        json!({"ip": "81.2.69.1"})
    );
}

/// The addresses of the samples against MaxMind's public test databases.
#[test]
fn addresses_of_the_samples_are_found_as_listed() {
    let Some(folder) =
        std::env::var_os("LOGMILL_ORACLES").map(|folder| PathBuf::from(folder).join("geoip"))
    else {
        return;
    };
    let city = [
        ("81.2.69.142", "London"),
        ("81.2.69.160", "London"),
        ("2.125.160.217", "Boxford"),
        ("175.16.199.3", "Changchun"),
        ("202.196.224.5", ""),
        ("2001:218::1", ""),
        ("2001:480:10::1", "San Diego"),
        ("2a02:d280::5", ""),
        ("89.160.20.112", "Linköping"),
        ("216.160.83.57", "Milton"),
        ("67.43.156.1", ""),
        ("214.78.0.9", "San Diego"),
    ];
    let asn = [
        ("89.160.20.112", 29518),
        ("216.160.83.57", 209),
        ("67.43.156.1", 35908),
        ("214.78.0.9", 721),
        ("1.128.0.5", 1221),
        ("12.81.96.3", 7018),
        ("50.128.3.4", 7922),
    ];
    let addresses: Vec<&str> = city
        .iter()
        .map(|hit| hit.0)
        .chain(asn.iter().map(|hit| hit.0))
        .collect();
    let events: Vec<Json> = addresses
        .iter()
        .map(|address| json!({"source": {"ip": address}}))
        .collect();
    let look = |file: &str| {
        run_in(
            Ecs::V8,
            &config("[source][ip]", &folder.join(file), ""),
            &events,
        )
        .events
    };
    for (address, event) in addresses.iter().zip(look("GeoLite2-City-Test.mmdb")) {
        match city.iter().find(|hit| hit.0 == *address) {
            Some((_, name)) => {
                assert_eq!(
                    event["source"]["geo"]["city_name"]
                        .as_str()
                        .unwrap_or_default(),
                    *name,
                    "{address}"
                );
                assert!(
                    event["source"]["geo"]["location"]["lat"].is_number(),
                    "{address}"
                );
            }
            None => assert_eq!(event["tags"], json!(["_geoip_lookup_failure"]), "{address}"),
        }
    }
    for (address, event) in addresses.iter().zip(look("GeoLite2-ASN-Test.mmdb")) {
        match asn.iter().find(|hit| hit.0 == *address) {
            Some((_, number)) => assert_eq!(event["source"]["as"]["number"], *number, "{address}"),
            None => assert_eq!(event["tags"], json!(["_geoip_lookup_failure"]), "{address}"),
        }
    }
    let country = look("GeoLite2-Country-Test.mmdb");
    assert_eq!(country[0]["source"]["geo"]["country_iso_code"], "GB");
}
