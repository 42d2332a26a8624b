//! `geoip`: looks an address up in a MaxMind database and adds what it says of the place and the network.
//!
//! A look-up costs a table access for an address that was seen before: what is set is JSON that was rendered once for
//! each record, see `cache`. The files are read into memory and read again when they are replaced, see `database`.

mod cache;
mod database;
mod fields;
mod record;
mod render;
#[cfg(test)]
mod tests;
pub mod writer;

use std::any::Any;
use std::net::IpAddr;
use std::sync::Arc;

use cache::{Cache, Fragment, Known, PartKind, is_special, parse_address, part_value};
use database::{Database, Watched};
use fields::Field;
use record::Record;
use render::Places;
pub use writer::{MmdbWriter, WriteError};

use crate::event::{Batch, EventId, Kind, Path, Selection, Value};
use crate::language::ast::{Plugin, Span};
use crate::language::{EscapeStyle, FieldPath, did_you_mean};
use crate::plugin::options::{FieldRef, Options, Reader, Setting, SettingKind};
use crate::plugin::{Build, Cx, Filter, Make, PluginMetrics, PluginSpec, Verdict, per_event};
use crate::{choice, options};

choice! {
    /// Which database is meant where none is named.
    pub enum DatabaseType {
        /// Places.
        City = "City",
        /// Autonomous systems.
        Asn = "ASN",
    }
}

options! {
    /// Options of the `geoip` filter.
    pub struct Config {
        /// The field with the address, or with a list whose first element is the address.
        ///
        /// The text must be an IPv4 or IPv6 address and nothing else: no blanks, no port, no leading zeros, no host names.
        /// `::ffff:1.2.3.4` is looked up as `1.2.3.4`.
        source: FieldRef;
        /// The object under which the results go.
        ///
        /// With ECS compatibility its default is the parent of a source that ends with `[ip]` (`[client]` for
        /// `[client][ip]`), and it must be given for other sources; with ECS compatibility disabled its default is `geoip`.
        target: Option<String>;
        /// The MMDB file: MaxMind's own (City, Country, ASN, ISP, Domain, Enterprise, Anonymous-IP) or any other with the
        /// usual names. A replaced file is read again within seconds, without a stop.
        ///
        /// When the option is not given, the environment variable `GEOIP_CITY_DB` or `GEOIP_ASN_DB` names the file (see
        /// `default_database_type`). An empty name turns the filter off, with a warning: it then changes no event.
        database: Option<String>;
        /// Which environment variable names the file when `database` is not given: `City` or `ASN`.
        default_database_type: DatabaseType = "City";
        /// The fields to set; by default those that are usual for the type of the database:
        ///
        /// * City: `ip`, `city_name`, `continent_code`, `country_name`, `country_code2`, `country_code3`, `postal_code`,
        ///   `dma_code`, `region_name`, `region_iso_code` (with ECS disabled: `region_code`), `timezone`, `location`,
        ///   `latitude`, `longitude`;
        /// * Country: `ip`, `country_code2`, `country_name`, `continent_name`;
        /// * ASN: `ip`, `autonomous_system_number`, `autonomous_system_organization`;
        /// * ISP: those of ASN, `isp`, `organization`;
        /// * Enterprise: `ip`, `country_code2`, `country_name`, `continent_name`, `region_iso_code`, `region_name`,
        ///   `city_name`, `location`;
        /// * Domain: `domain`;
        /// * Anonymous-IP: `hosting_provider`, `tor_exit_node`, `anonymous_vpn`, `anonymous`, `public_proxy`,
        ///   `residential_proxy`;
        /// * any other: those of City and ASN, and `continent_name`.
        ///
        /// There is also `network`. What a record does not hold is not set.
        fields: Vec<Setting>;
        /// How many addresses each worker remembers, at least; 8 bytes each.
        cache_size: usize = 65_536;
        /// Tags of an event whose address is missing, is none, or is not in the database.
        tag_on_failure: Vec<String> = ["_geoip_lookup_failure"];
    }
}

/// Catalogue entry.
pub const SPEC: PluginSpec = PluginSpec {
    name: "geoip",
    about: "Looks an address up in a MaxMind database (MMDB) and adds what it says of the place and the network.\n\n\
            Private, loopback, link-local, documentation, multicast and unspecified addresses are never looked up: they count \
            as not found. So do records of City databases without coordinates. An address that is not found adds a tag and \
            nothing else: no empty target is left behind. Databases are not downloaded: `make geoip` fetches a free one of \
            countries, and any MMDB file can be named in `database`.",
    options: Config::specs,
    make: Make::Filter(make),
};

/// Largest `cache_size`.
const MAX_CACHE: usize = 1 << 22;

struct GeoIp {
    source: Path,
    target: Path,
    /// Where the address itself goes; none when it is there already.
    ip: Option<Path>,
    places: Places,
    /// The fields of the option; by the type of the database when none.
    fields: Option<Vec<Field>>,
    ecs: bool,
    database: Arc<Watched>,
    cache_size: usize,
    tags: Vec<String>,
}

/// Stands where no database is configured, or while a config is only tested: changes nothing.
struct Off;

impl Filter for Off {
    fn run(&self, _: &mut Batch, _: &mut Selection, _: &mut Cx<'_>) {}
}

/// What one worker remembers.
struct Worker {
    /// Counts runs: values that were entered into a batch are good for one of them.
    run: u64,
    generation: u64,
    database: Arc<Database>,
    fields: Vec<Field>,
    with_ip: bool,
    with_network: bool,
    cache: Cache,
    /// The addresses of the events at hand, and what was known of each. All are looked for before the first is used, so
    /// that the memory of many is waited for at once.
    found: Vec<Option<(Address, Known)>>,
    /// How often the cache had forgotten everything when they were looked for.
    forgotten: u64,
}

fn make(plugin: &Plugin, build: &mut Build<'_>) -> Option<Box<dyn Filter>> {
    let config = Config::read(plugin, build)?;
    let reader = Reader::unchecked(plugin, build);
    let span = |name| reader.span(name);
    let (source_span, target_span, database_span) =
        (span("source"), span("target"), span("database"));
    let (cache_span, ecs) = (span("cache_size"), reader.build.ecs.enabled());
    let target = target(&config, ecs, build, source_span, target_span);
    let fields: Option<Vec<Field>> = config
        .fields
        .iter()
        .map(|setting| field(setting, build))
        .collect();
    if config.cache_size == 0 || config.cache_size > MAX_CACHE {
        build.error(
            "option-value",
            format!("`cache_size` of `geoip` must be between 1 and {MAX_CACHE}"),
            cache_span,
        );
        return None;
    }
    let (target, fields) = target.zip(fields)?;
    let database = match database(&config, build, database_span)? {
        Chosen::Off => return Some(Box::new(Off)),
        Chosen::Open(database) => database,
    };
    let places = Places::compile(&target, ecs, build);
    let ip = places
        .of_field(Field::Ip)
        .filter(|ip| **ip != config.source.path)
        .cloned();
    Some(Box::new(GeoIp {
        source: config.source.path,
        target: build.keys.path(&target),
        ip,
        places,
        fields: (!fields.is_empty()).then_some(fields),
        ecs,
        database,
        cache_size: config.cache_size,
        tags: config.tag_on_failure,
    }))
}

/// The option `target`, or its default.
fn target(
    config: &Config,
    ecs: bool,
    build: &mut Build<'_>,
    source_span: Span,
    target_span: Span,
) -> Option<FieldPath> {
    let parse = |text: &str| FieldPath::parse(text, EscapeStyle::None);
    match &config.target {
        Some(text) => match parse(text) {
            Ok(target) => Some(target),
            Err(error) => {
                build.error(
                    "field-reference",
                    format!("`target` of `geoip`: {error}"),
                    target_span,
                );
                None
            }
        },
        None if !ecs => parse("geoip").ok(),
        None => {
            let mut source = parse(&config.source.text).ok()?;
            if source.segments.len() > 1 && source.segments.last().is_some_and(|last| last == "ip")
            {
                source.segments.pop();
                return Some(source);
            }
            let message = "`geoip` with ECS compatibility needs `target` when `source` is not the `ip` of something, as [client][ip]";
            build.error_with_hint(
                "missing-option",
                message,
                source_span,
                "add `target => \"source\"`, for example",
            );
            None
        }
    }
}

fn field(setting: &Setting, build: &mut Build<'_>) -> Option<Field> {
    let name = match &setting.kind {
        SettingKind::Text(name) => name.as_str(),
        _ => "",
    };
    let field = Field::parse(name);
    if field.is_none() {
        let names: Vec<&str> = Field::option_names().collect();
        let hint = match did_you_mean(name, names.iter().copied()) {
            Some(close) => format!("did you mean `{close}`?"),
            None => format!("the fields are {}", names.join(", ")),
        };
        build.error_with_hint(
            "option-value",
            format!("`geoip` has no field `{name}`"),
            setting.span,
            hint,
        );
    }
    field
}

/// What the option `database` comes to.
enum Chosen {
    Off,
    Open(Arc<Watched>),
}

fn database(config: &Config, build: &mut Build<'_>, span: Span) -> Option<Chosen> {
    let variable = match config.default_database_type {
        DatabaseType::City => "GEOIP_CITY_DB",
        DatabaseType::Asn => "GEOIP_ASN_DB",
    };
    let name = config
        .database
        .clone()
        .or_else(|| std::env::var(variable).ok())
        .unwrap_or_default();
    if name.is_empty() {
        // One warning says it for all filters of a pipeline.
        if !build
            .diagnostics
            .iter()
            .any(|diagnostic| diagnostic.code == "geoip-off")
        {
            let message = "GeoIP is off: no database is named, so events get no places. \
                           `make geoip` fetches a free database; name it in GEOIP_CITY_DB or in `database`";
            build.warn("geoip-off", message, span);
        }
        return Some(Chosen::Off);
    }
    let path = build.find_file(&name);
    if build.settings.test_only && path.exists() {
        return Some(Chosen::Off);
    }
    match database::open(&path) {
        Ok(database) => Some(Chosen::Open(database)),
        Err(error) => {
            let hint = format!(
                "`make geoip` fetches a free database of countries; name an MMDB file in `database` (or in {variable}), \
                 or leave it empty to turn GeoIP off"
            );
            build.error_with_hint("geoip-database", format!("`geoip`: {error}"), span, hint);
            None
        }
    }
}

impl Worker {
    fn new(filter: &GeoIp) -> Worker {
        // Read before the database: one that comes between the two is taken at the next look.
        let generation = filter.database.generation();
        let database = filter.database.current();
        let fields = filter
            .fields
            .clone()
            .unwrap_or_else(|| database.kind.default_fields(filter.ecs));
        Worker {
            run: 0,
            generation,
            with_ip: fields.contains(&Field::Ip),
            with_network: fields.contains(&Field::Network),
            fields,
            database,
            cache: Cache::new(filter.cache_size),
            found: Vec::new(),
            forgotten: 0,
        }
    }

    /// What is known of an address after it was looked up.
    #[cold]
    fn look_up(&mut self, address: IpAddr, places: &Places) -> Known {
        let known = self.find(address, places);
        self.cache.put(address, known);
        known
    }

    fn find(&mut self, address: IpAddr, places: &Places) -> Known {
        let Some((place, network)) = self.database.find(address, self.with_network) else {
            return Known::Miss;
        };
        if let Some(at) = self.cache.of_place(place) {
            return Known::Hit(at);
        }
        let Some(data) = self.database.record(address) else {
            return Known::Miss;
        };
        let record = Record {
            data: &data,
            network,
        };
        match places.render(&record, &self.fields, self.database.kind) {
            Some(fragment) => Known::Hit(self.cache.add(place, fragment)),
            None => Known::Miss,
        }
    }
}

/// An address of an event.
#[derive(Clone, Copy)]
struct Address {
    parsed: IpAddr,
    /// Its text.
    value: Value,
    /// It is the source itself, not an element of it, and written the way it is looked up.
    as_written: bool,
}

impl GeoIp {
    fn address(&self, batch: &mut Batch, id: EventId) -> Option<Address> {
        let value = batch.get(id, &self.source);
        let (value, alone) = if value.is_array() {
            let list = batch.get_expanded(id, &self.source);
            (batch.node_value(list, 0), false)
        } else {
            (value, true)
        };
        if value.kind() != Kind::Str {
            return None;
        }
        let text = batch.bytes(value);
        let address = parse_address(text)?;
        // An IPv4 address has its first dot here, one within an IPv6 address has not.
        let mapped = address.is_ipv4() && !text.iter().take(4).any(|byte| *byte == b'.');
        let value = if mapped {
            batch.push(address.to_string().as_bytes())
        } else {
            value
        };
        Some(Address {
            parsed: address,
            value,
            as_written: alone && !mapped,
        })
    }

    /// Looks the addresses of all selected events up in the cache.
    fn find_all(&self, batch: &mut Batch, sel: &Selection, worker: &mut Worker) {
        worker.found.clear();
        worker.forgotten = worker.cache.forgotten();
        for &id in sel.ids() {
            let address = self.address(batch, id);
            worker
                .found
                .push(address.map(|found| (found, worker.cache.get(found.parsed))));
        }
    }

    /// Handles the event whose address is number `at` of those found.
    fn call(&self, batch: &mut Batch, id: EventId, at: usize, cx: &mut Cx<'_>) -> bool {
        let Some(worker) = cx.scratch.downcast_mut::<Worker>() else {
            return false;
        };
        let Some(Some((found, mut known))) = worker.found.get(at).copied() else {
            return false;
        };
        if known == Known::Nothing || worker.forgotten != worker.cache.forgotten() {
            // An event before this one may have changed it.
            known = worker.cache.get(found.parsed);
        }
        if known == Known::Nothing {
            known = if is_special(found.parsed) {
                Known::Miss
            } else {
                worker.look_up(found.parsed, &self.places)
            };
        }
        let Known::Hit(at) = known else { return false };
        let Some(fragment) = worker.cache.fragment(at) else {
            return false;
        };
        let (run, with_ip) = (worker.run, worker.with_ip);
        let target = batch.get(id, &self.target);
        if target.is_nil() {
            let value = if with_ip {
                whole_with_ip(batch, fragment, found.value, cx.buf)
            } else {
                fragment.value(run, |text| batch.push_json(Kind::RawObject, text))
            };
            return batch.set(id, &self.target, value).is_ok();
        }
        if !target.is_object() {
            return false;
        }
        if with_ip && !self.set_ip(batch, id, found) {
            return false;
        }
        let whole = fragment.value(run, |text| batch.push_json(Kind::RawObject, text));
        self.set_parts(batch, id, fragment, whole)
    }

    fn set_ip(&self, batch: &mut Batch, id: EventId, found: Address) -> bool {
        match &self.ip {
            Some(path) => batch.set(id, path, found.value).is_ok(),
            None if found.as_written => true,
            None => batch.set(id, &self.source, found.value).is_ok(),
        }
    }

    /// Adds to a target that exists: groups that it lacks as a whole, others field by field.
    fn set_parts(&self, batch: &mut Batch, id: EventId, fragment: &Fragment, whole: Value) -> bool {
        let mut all = true;
        for group in &fragment.groups {
            let Some(path) = self.places.path(group.part.path) else {
                continue;
            };
            if group.part.kind != PartKind::Object || batch.get(id, path).is_nil() {
                all &= batch.set(id, path, part_value(whole, &group.part)).is_ok();
                continue;
            }
            for leaf in fragment
                .leaves
                .get(group.leaves.clone())
                .unwrap_or_default()
            {
                let Some(path) = self.places.path(leaf.path) else {
                    continue;
                };
                all &= batch.set(id, path, part_value(whole, leaf)).is_ok();
            }
        }
        all
    }
}

/// The fragment's object with the address in front.
fn whole_with_ip(
    batch: &mut Batch,
    fragment: &Fragment,
    address: Value,
    buf: &mut Vec<u8>,
) -> Value {
    buf.clear();
    buf.extend_from_slice(b"{\"ip\":\"");
    buf.extend_from_slice(batch.bytes(address));
    buf.extend_from_slice(if fragment.groups.is_empty() {
        b"\""
    } else {
        b"\","
    });
    buf.extend_from_slice(fragment.text.get(1..).unwrap_or_default());
    batch.push_json(Kind::RawObject, buf)
}

impl Filter for GeoIp {
    fn scratch(&self) -> Box<dyn Any + Send> {
        Box::new(Worker::new(self))
    }

    fn run(&self, batch: &mut Batch, sel: &mut Selection, cx: &mut Cx<'_>) {
        if let Some(worker) = cx.scratch.downcast_mut::<Worker>() {
            if worker.generation != self.database.generation() {
                *worker = Worker {
                    run: worker.run,
                    ..Worker::new(self)
                };
            }
            worker.run += 1;
            self.find_all(batch, sel, worker);
        }
        let (mut matches, mut failures, mut number) = (0, 0, 0);
        per_event(batch, sel, cx, |batch, id, cx| {
            number += 1;
            if self.call(batch, id, number - 1, cx) {
                matches += 1;
                return Verdict::Matched;
            }
            failures += 1;
            for tag in &self.tags {
                batch.tag(id, tag.as_bytes());
            }
            Verdict::Unmatched
        });
        PluginMetrics::add(&cx.metrics.matches, matches);
        PluginMetrics::add(&cx.metrics.failures, failures);
    }
}
