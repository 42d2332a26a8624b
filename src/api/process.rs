//! Metrics of the process under their standard names, read from `/proc`.

use std::fmt::Write as _;
use std::sync::LazyLock;
use std::time::{SystemTime, UNIX_EPOCH};

static STARTED: LazyLock<f64> = LazyLock::new(|| {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0.0, |since| since.as_secs_f64())
});

/// CPU time of this process so far, seconds.
#[must_use]
pub fn cpu_seconds() -> f64 {
    let Ok(stat) = std::fs::read_to_string("/proc/self/stat") else {
        return 0.0;
    };
    // The name in parentheses may hold blanks.
    let fields: Vec<&str> = stat
        .rsplit(')')
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .collect();
    let ticks = |at: usize| {
        fields
            .get(at)
            .and_then(|text| text.parse::<f64>().ok())
            .unwrap_or(0.0)
    };
    // Linux reports in units of 1/100 s on every architecture.
    (ticks(11) + ticks(12)) / 100.0
}

/// A memory figure of `/proc/self/status`, bytes: `VmRSS`, `VmHWM`, `RssFile` …
#[must_use]
pub fn memory_bytes(name: &str) -> u64 {
    let Ok(status) = std::fs::read_to_string("/proc/self/status") else {
        return 0;
    };
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.and_then(|line| {
        line.trim()
            .trim_end_matches("kB")
            .trim()
            .parse::<u64>()
            .ok()
    })
    .map_or(0, |kib| kib * 1024)
}

pub(super) fn render(out: &mut String) {
    let open = std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count);
    let _ = writeln!(
        out,
        "# HELP process_cpu_seconds_total CPU time of the process.\n# TYPE process_cpu_seconds_total counter\n\
         process_cpu_seconds_total {:.2}\n\
         # HELP process_resident_memory_bytes Resident memory.\n# TYPE process_resident_memory_bytes gauge\n\
         process_resident_memory_bytes {}\n\
         # HELP process_open_fds Open files and sockets.\n# TYPE process_open_fds gauge\n\
         process_open_fds {open}\n\
         # HELP process_start_time_seconds When the process started, seconds since 1970.\n# TYPE process_start_time_seconds gauge\n\
         process_start_time_seconds {:.3}\n\
         # HELP logmill_allocations_total Allocations and reallocations of memory.\n# TYPE logmill_allocations_total counter\n\
         logmill_allocations_total {}\n\
         # HELP logmill_build_info The version, as a label.\n# TYPE logmill_build_info gauge\n\
         logmill_build_info{{version=\"{}\"}} 1",
        cpu_seconds(),
        memory_bytes("VmRSS"),
        *STARTED,
        crate::telemetry::alloc::allocations(),
        env!("CARGO_PKG_VERSION"),
    );
}
