//! What each stage and each plugin costs: events run through real pipelines inside this process, one worker.
//!
//! A row holds all that its events need; take the `nothing` row of its lines off to see the step alone.

mod cases;
mod inside;

use std::time::{Duration, Instant};

use cases::{Places, stages, ways};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

/// Events of one iteration: enough that starting a pipeline does not show.
const EVENTS: u64 = 20_000;

fn pipelines(criterion: &mut Criterion) {
    let places = Places::new();
    for (name, table) in [("stage", stages()), ("way", ways())] {
        let mut group = criterion.benchmark_group(name);
        group
            .throughput(Throughput::Elements(EVENTS))
            .sample_size(10)
            .warm_up_time(Duration::from_millis(500))
            .measurement_time(Duration::from_secs(2));
        for case in table {
            group.bench_function(case.name, |bencher| {
                bencher.iter_custom(|iterations| {
                    let start = Instant::now();
                    case.run(iterations * EVENTS, &places);
                    start.elapsed()
                });
            });
        }
        group.finish();
    }
}

criterion_group!(benches, pipelines);
criterion_main!(benches);
