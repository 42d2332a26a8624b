//! The fields that the geoip filter can set: their names in options and events, and where databases keep them.

use super::record::{Data, Record};

/// A field, in the order in which fields are written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, PartialOrd, Ord)]
pub(super) enum Field {
    Ip,
    CityName,
    ContinentCode,
    ContinentName,
    CountryName,
    CountryCode2,
    CountryCode3,
    PostalCode,
    DmaCode,
    RegionName,
    RegionCode,
    RegionIsoCode,
    Timezone,
    Location,
    Latitude,
    Longitude,
    AsNumber,
    AsOrganization,
    Isp,
    Organization,
    Domain,
    Network,
    HostingProvider,
    TorExitNode,
    AnonymousVpn,
    Anonymous,
    PublicProxy,
    ResidentialProxy,
}

/// How a field is called.
struct Names {
    field: Field,
    /// In the option `fields`.
    option: &'static str,
    /// Below the target, with ECS compatibility disabled.
    legacy: &'static str,
    /// Below the target, in ECS modes.
    ecs: &'static [&'static str],
}

const fn names(
    field: Field,
    option: &'static str,
    legacy: &'static str,
    ecs: &'static [&'static str],
) -> Names {
    Names {
        field,
        option,
        legacy,
        ecs,
    }
}

/// Source: the field table of logstash-filter-geoip 7 (`Fields.java`).
const NAMES: [Names; 28] = [
    names(Field::Ip, "ip", "ip", &["ip"]),
    names(
        Field::CityName,
        "city_name",
        "city_name",
        &["geo", "city_name"],
    ),
    names(
        Field::ContinentCode,
        "continent_code",
        "continent_code",
        &["geo", "continent_code"],
    ),
    names(
        Field::ContinentName,
        "continent_name",
        "continent_name",
        &["geo", "continent_name"],
    ),
    names(
        Field::CountryName,
        "country_name",
        "country_name",
        &["geo", "country_name"],
    ),
    names(
        Field::CountryCode2,
        "country_code2",
        "country_code2",
        &["geo", "country_iso_code"],
    ),
    names(Field::CountryCode3, "country_code3", "country_code3", &[]),
    names(
        Field::PostalCode,
        "postal_code",
        "postal_code",
        &["geo", "postal_code"],
    ),
    names(
        Field::DmaCode,
        "dma_code",
        "dma_code",
        &["mmdb", "dma_code"],
    ),
    names(
        Field::RegionName,
        "region_name",
        "region_name",
        &["geo", "region_name"],
    ),
    names(
        Field::RegionCode,
        "region_code",
        "region_code",
        &["geo", "region_code"],
    ),
    names(
        Field::RegionIsoCode,
        "region_iso_code",
        "region_iso_code",
        &["geo", "region_iso_code"],
    ),
    names(
        Field::Timezone,
        "timezone",
        "timezone",
        &["geo", "timezone"],
    ),
    names(
        Field::Location,
        "location",
        "location",
        &["geo", "location"],
    ),
    names(
        Field::Latitude,
        "latitude",
        "latitude",
        &["geo", "location", "lat"],
    ),
    names(
        Field::Longitude,
        "longitude",
        "longitude",
        &["geo", "location", "lon"],
    ),
    names(
        Field::AsNumber,
        "autonomous_system_number",
        "asn",
        &["as", "number"],
    ),
    names(
        Field::AsOrganization,
        "autonomous_system_organization",
        "as_org",
        &["as", "organization", "name"],
    ),
    names(Field::Isp, "isp", "isp", &["mmdb", "isp"]),
    names(
        Field::Organization,
        "organization",
        "organization",
        &["mmdb", "organization"],
    ),
    names(Field::Domain, "domain", "domain", &["domain"]),
    names(
        Field::Network,
        "network",
        "network",
        &["ip_traits", "network"],
    ),
    names(
        Field::HostingProvider,
        "hosting_provider",
        "hosting_provider",
        &["ip_traits", "hosting_provider"],
    ),
    names(
        Field::TorExitNode,
        "tor_exit_node",
        "tor_exit_node",
        &["ip_traits", "tor_exit_node"],
    ),
    names(
        Field::AnonymousVpn,
        "anonymous_vpn",
        "anonymous_vpn",
        &["ip_traits", "anonymous_vpn"],
    ),
    names(
        Field::Anonymous,
        "anonymous",
        "anonymous",
        &["ip_traits", "anonymous"],
    ),
    names(
        Field::PublicProxy,
        "public_proxy",
        "public_proxy",
        &["ip_traits", "public_proxy"],
    ),
    names(
        Field::ResidentialProxy,
        "residential_proxy",
        "residential_proxy",
        &["ip_traits", "residential_proxy"],
    ),
];

/// The kinds of databases, which have different fields by default.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum DatabaseKind {
    City,
    Country,
    Asn,
    Isp,
    Domain,
    Enterprise,
    AnonymousIp,
    /// Its type names none of the others, or several.
    Other,
}

impl DatabaseKind {
    /// The kind of a database by the type in its metadata (`GeoLite2-City`, `country ipv4`, `DBIP-ASN-Lite`).
    pub(super) fn of_type(database_type: &str) -> DatabaseKind {
        let lower = database_type.to_ascii_lowercase();
        // What a database of another maker is compatible with is the best description that there is.
        let lower = lower
            .split_once("compat=")
            .map_or(lower.as_str(), |(_, compatible)| compatible);
        let kinds = [
            ("enterprise", DatabaseKind::Enterprise),
            ("anonymous", DatabaseKind::AnonymousIp),
            ("city", DatabaseKind::City),
            ("country", DatabaseKind::Country),
            ("asn", DatabaseKind::Asn),
            ("isp", DatabaseKind::Isp),
            ("domain", DatabaseKind::Domain),
        ];
        let mut found = kinds
            .iter()
            .filter(|(word, _)| lower.contains(word))
            .map(|(_, kind)| *kind);
        match (found.next(), found.next()) {
            (Some(kind), None) => kind,
            _ => DatabaseKind::Other,
        }
    }

    /// The fields that are set when the option `fields` is not given.
    pub(super) fn default_fields(self, ecs: bool) -> Vec<Field> {
        use Field as F;
        let region_code = if ecs { F::RegionIsoCode } else { F::RegionCode };
        let city = [
            F::Ip,
            F::CityName,
            F::ContinentCode,
            F::CountryName,
            F::CountryCode2,
            F::CountryCode3,
            F::PostalCode,
            F::DmaCode,
            F::RegionName,
            region_code,
            F::Timezone,
            F::Location,
            F::Latitude,
            F::Longitude,
        ];
        match self {
            DatabaseKind::City => city.to_vec(),
            DatabaseKind::Country => vec![F::Ip, F::CountryCode2, F::CountryName, F::ContinentName],
            DatabaseKind::Asn => vec![F::Ip, F::AsNumber, F::AsOrganization],
            DatabaseKind::Isp => vec![
                F::Ip,
                F::AsNumber,
                F::AsOrganization,
                F::Isp,
                F::Organization,
            ],
            DatabaseKind::Domain => vec![F::Domain],
            DatabaseKind::Enterprise => vec![
                F::Ip,
                F::CountryCode2,
                F::CountryName,
                F::ContinentName,
                F::RegionIsoCode,
                F::RegionName,
                F::CityName,
                F::Location,
            ],
            DatabaseKind::AnonymousIp => vec![
                F::HostingProvider,
                F::TorExitNode,
                F::AnonymousVpn,
                F::Anonymous,
                F::PublicProxy,
                F::ResidentialProxy,
            ],
            DatabaseKind::Other => {
                let mut all = city.to_vec();
                all.extend([F::ContinentName, F::AsNumber, F::AsOrganization]);
                all
            }
        }
    }
}

impl Field {
    /// The field that an entry of the option `fields` names, in any case.
    pub(super) fn parse(name: &str) -> Option<Field> {
        let same = |other: &str| other.eq_ignore_ascii_case(name);
        NAMES
            .iter()
            .find(|names| same(names.option) || same(names.legacy))
            .map(|names| names.field)
    }

    /// All names that [`Field::parse`] knows by the reference.
    pub(super) fn option_names() -> impl Iterator<Item = &'static str> {
        NAMES.iter().map(|names| names.option)
    }

    /// The names below the target, outermost first; empty when the mode does not have the field.
    pub(super) fn path(self, ecs: bool) -> Vec<&'static str> {
        match NAMES.iter().find(|names| names.field == self) {
            Some(names) if ecs => names.ecs.to_vec(),
            Some(names) => vec![names.legacy],
            None => Vec::new(),
        }
    }

    /// What a record says of the field.
    pub(super) fn value(self, record: &Record<'_>, kind: DatabaseKind) -> Option<Data> {
        let text = |paths: &[&[&str]]| record.text(paths).map(Data::Text);
        match self {
            Field::Ip => None,
            Field::CityName => text(&[&["city", "names", "en"], &["city"], &["city_name"]]),
            Field::ContinentCode => text(&[&["continent", "code"], &["continent_code"]])
                .or_else(|| record.code(&["continent"])),
            Field::ContinentName => text(&[&["continent", "names", "en"], &["continent_name"]])
                .or_else(|| record.name(&["continent"])),
            Field::CountryName => text(&[&["country", "names", "en"], &["country_name"]])
                .or_else(|| record.name(&["country"])),
            Field::CountryCode2 | Field::CountryCode3 => country_code(record).map(Data::Text),
            Field::PostalCode => text(&[
                &["postal", "code"],
                &["postal_code"],
                &["postcode"],
                &["zip_code"],
                &["zip"],
            ]),
            Field::DmaCode => {
                record.whole(&[&["location", "metro_code"], &["dma_code"], &["metro_code"]])
            }
            Field::RegionName => text(&[
                &["subdivisions", LAST, "names", "en"],
                &["region_name"],
                &["region"],
                &["state1"],
                &["state"],
                &["stateprov"],
            ]),
            Field::RegionCode => region_code(record).map(Data::Text),
            Field::RegionIsoCode => {
                let (country, region) = country_code(record).zip(region_code(record))?;
                Some(Data::Text(format!("{country}-{region}")))
            }
            Field::Timezone => text(&[&["location", "time_zone"], &["timezone"], &["time_zone"]]),
            Field::Location => {
                let (lat, lon) = latitude(record).zip(longitude(record))?;
                let number = |name: &str, number| (name.to_owned(), Data::Float(number));
                Some(Data::Map(vec![number("lat", lat), number("lon", lon)]))
            }
            Field::Latitude => latitude(record).map(Data::Float),
            Field::Longitude => longitude(record).map(Data::Float),
            Field::AsNumber => record.whole(&[
                &["autonomous_system_number"],
                &["traits", "autonomous_system_number"],
                &["asn"],
                &["as_number"],
            ]),
            Field::AsOrganization => text(&[
                &["autonomous_system_organization"],
                &["traits", "autonomous_system_organization"],
                &["as_organization"],
                &["as_name"],
                &["as_org"],
            ]),
            Field::Isp => text(&[&["isp"], &["traits", "isp"]]),
            Field::Organization => text(&[&["organization"], &["traits", "organization"]]),
            Field::Domain => text(&[&["domain"], &["traits", "domain"]]),
            Field::Network => record.network.clone().map(Data::Text),
            Field::HostingProvider => flag(record, kind, "is_hosting_provider", "hosting"),
            Field::TorExitNode => flag(record, kind, "is_tor_exit_node", "tor"),
            Field::AnonymousVpn => flag(record, kind, "is_anonymous_vpn", "vpn"),
            Field::Anonymous => flag(record, kind, "is_anonymous", "anonymous"),
            Field::PublicProxy => flag(record, kind, "is_public_proxy", "proxy"),
            Field::ResidentialProxy => {
                flag(record, kind, "is_residential_proxy", "residential_proxy")
            }
        }
    }
}

/// Stands for the last element of a list: of subdivisions, the smallest.
pub(super) const LAST: &str = "[last]";

fn country_code(record: &Record<'_>) -> Option<String> {
    let code = record.text(&[
        &["country", "iso_code"],
        &["country_code"],
        &["country_iso_code"],
    ]);
    code.or_else(|| match record.code(&["country"]) {
        Some(Data::Text(code)) => Some(code),
        _ => None,
    })
}

fn region_code(record: &Record<'_>) -> Option<String> {
    record.text(&[
        &["subdivisions", LAST, "iso_code"],
        &["region_code"],
        &["state_code"],
    ])
}

fn latitude(record: &Record<'_>) -> Option<f64> {
    record.float(&[&["location", "latitude"], &["latitude"], &["lat"]])
}

fn longitude(record: &Record<'_>) -> Option<f64> {
    record.float(&[
        &["location", "longitude"],
        &["longitude"],
        &["lng"],
        &["lon"],
    ])
}

/// True when the record tells where the network lies on the map.
pub(super) fn has_coordinates(record: &Record<'_>) -> bool {
    latitude(record).is_some() || longitude(record).is_some()
}

/// A database of anonymous networks leaves out the flags that are false.
fn flag(record: &Record<'_>, kind: DatabaseKind, nested: &str, flat: &str) -> Option<Data> {
    let found = record.flag(&[&[nested], &["traits", nested], &[flat]]);
    found
        .or_else(|| (kind == DatabaseKind::AnonymousIp).then_some(false))
        .map(Data::Bool)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_in_the_order_of_the_fields() {
        assert!(NAMES.is_sorted_by_key(|names| names.field));
        assert_eq!(Field::parse("COUNTRY_CODE2"), Some(Field::CountryCode2));
        assert_eq!(Field::parse("asn"), Some(Field::AsNumber));
        assert_eq!(
            Field::parse("autonomous_system_number"),
            Some(Field::AsNumber)
        );
        assert_eq!(Field::parse("nothing"), None);
    }

    #[test]
    fn kinds_are_told_by_the_type() {
        for (database_type, kind) in [
            ("GeoLite2-City", DatabaseKind::City),
            ("GeoIP2-City-Europe", DatabaseKind::City),
            ("GeoLite2-Country", DatabaseKind::Country),
            ("country ipvAll", DatabaseKind::Country),
            ("GeoLite2-ASN", DatabaseKind::Asn),
            ("DBIP-ASN-Lite (compat=GeoLite2-ASN)", DatabaseKind::Asn),
            ("DBIP-Location (compat=City)", DatabaseKind::City),
            ("GeoIP2-ISP", DatabaseKind::Isp),
            ("GeoIP2-Domain", DatabaseKind::Domain),
            ("GeoIP2-Enterprise", DatabaseKind::Enterprise),
            ("GeoIP2-Anonymous-IP", DatabaseKind::AnonymousIp),
            ("ipinfo generic_country_asn_free.mmdb", DatabaseKind::Other),
            ("MyCompany-Sites", DatabaseKind::Other),
        ] {
            assert_eq!(
                DatabaseKind::of_type(database_type),
                kind,
                "{database_type}"
            );
        }
    }
}
