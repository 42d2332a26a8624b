//! The hot path does not allocate per event: a counting allocator watches whole pipelines.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use logmill::pipeline::{Pipeline, RunOptions};
use logmill::plan::{PlanOptions, compile};
use logmill::plugin::Settings;

struct Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

// SAFETY: every call is handed to the system allocator unchanged; only a counter is added.
#[allow(unsafe_code)]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Relaxed);
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        unsafe { System.dealloc(pointer, layout) }
    }
    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Relaxed);
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

static ONE: Mutex<()> = Mutex::new(());

const EVENT: &str = r#"{"timestamp":"2026-04-20T15:30:45.123Z","level":"INFO","logger":"app.core","message":"Mood changed","component":"ai-persona","user":"alice","source_ip":"81.2.69.142","trace_id":"4bf92f35","duration_ms":12}"#;

/// Runs a config to its end and returns the allocations that it took.
fn allocations(config: &str) -> u64 {
    let source = logmill::language::SourceMap::single("test", config).expect("small");
    let settings = Settings {
        max_record_bytes: 16 << 20,
        ..Settings::default()
    };
    let compiled = compile(
        &source,
        &PlanOptions {
            catalogue: logmill::catalogue::CATALOGUE,
            settings: &settings,
            environment: &|_| None,
            parse: logmill::language::ParseOptions::default(),
        },
    );
    let plan = compiled.plan.unwrap_or_else(|| {
        panic!(
            "{}",
            logmill::language::render(&compiled.diagnostics, &source, false)
        )
    });
    let data = tempfile::tempdir().expect("temp dir");
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("runtime");
    let options = RunOptions {
        workers: 1,
        data_dir: data.path().to_path_buf(),
        block_bytes: 256 << 10,
        commit_interval: Duration::from_millis(500),
        ..RunOptions::default()
    };
    let before = ALLOCATIONS.load(Relaxed);
    let pipeline = {
        let _entered = runtime.enter();
        Pipeline::start(plan, options, runtime.handle().clone()).expect("starts")
    };
    pipeline.wait();
    ALLOCATIONS.load(Relaxed) - before
}

/// Allocations per event, with what the start costs taken off.
fn per_event(codec: &str, message: &str, filters: &str) -> f64 {
    let _one = ONE
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    let config = |count: u32| {
        format!(
            "input {{ generator {{ count => {count} codec => {codec} message => '{message}' }} }}
             filter {{ {filters} }}
             output {{ null {{ encode => true }} }}"
        )
    };
    let few = allocations(&config(20_000));
    let many = allocations(&config(220_000));
    (many.saturating_sub(few)) as f64 / 200_000.0
}

fn database() -> tempfile::NamedTempFile {
    use std::io::Write as _;
    let mut writer = logmill::filters::geoip::writer::MmdbWriter::new();
    let record = serde_json::json!({"city": {"names": {"en": "London"}}, "country": {"iso_code": "GB", "names": {"en": "United Kingdom"}}, "location": {"latitude": 51.5, "longitude": -0.1}});
    writer.insert("81.2.69.0/24", &record).expect("inserts");
    let mut file = tempfile::NamedTempFile::new().expect("temp file");
    file.write_all(
        &writer
            .write("Test-City", "for tests", 1_700_000_000)
            .expect("writes"),
    )
    .expect("writes");
    file
}

const ROUTE: &str = r#"if [component] == "ai-persona" { mutate { replace => { "[@metadata][index]" => "persona" } } } else { mutate { replace => { "[@metadata][index]" => "logs" } } }"#;

#[test]
fn json_route_geoip_encode() {
    let database = database();
    let geoip = format!(
        "geoip {{ source => source_ip target => source database => \"{}\" }}",
        database.path().display()
    );
    let rate = per_event("json", EVENT, &format!("{ROUTE} {geoip}"));
    assert!(rate < 0.1, "{rate} allocations per event");
}

#[test]
fn plain_codec_and_json_filter() {
    let rate = per_event(
        "plain",
        EVENT,
        &format!("json {{ source => \"message\" }} {ROUTE}"),
    );
    assert!(rate < 0.1, "{rate} allocations per event");
}

#[test]
fn unknown_keys_cost_none_either() {
    let event = EVENT.replace("\"level\"", "\"a\":1,\"b\":\"x\",\"c\":[1,2],\"level\"");
    let rate = per_event("json", &event, ROUTE);
    assert!(rate < 0.1, "{rate} allocations per event");
}

#[test]
fn the_counter_counts() {
    let _one = ONE
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    let before = ALLOCATIONS.load(Relaxed);
    std::hint::black_box(vec![1_u8; 100]);
    assert!(ALLOCATIONS.load(Relaxed) > before);
}
