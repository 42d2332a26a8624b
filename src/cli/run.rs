//! `logmill` without a command: compiles the config and runs the pipeline until its inputs end or a signal comes.

use std::io::IsTerminal as _;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::settings::Values;
use super::sources::{self, Sources};
use crate::language::{Diagnostic, EscapeStyle, ParseOptions};
use crate::pipeline::{Pipeline, RunOptions};
use crate::plan::{Plan, PlanOptions, compile};
use crate::plugin::{Ecs, Settings};

/// Runs; `Err` is a sentence for the user, exit code 1.
pub(super) fn main(values: &Values) -> Result<ExitCode, String> {
    crate::telemetry::log::start(values.get("log.level"), values.get("log.format"));
    if values.get("allow_superuser") == "false" && is_root() {
        return Err("running as root is refused since `allow_superuser` is false: use another user, or set it to true".to_owned());
    }
    let test = values.get("config.test_and_exit") == "true";
    let sources = sources(values)?;
    let Some(plan) = plan(values, &sources, test)? else {
        return Ok(ExitCode::FAILURE);
    };
    if values.get("config.debug") == "true" {
        log::info!("the plan:");
        eprint!("{}", plan.describe());
    }
    if test {
        println!("Configuration OK");
        return Ok(ExitCode::SUCCESS);
    }
    let options = run_options(values)?;
    let _lock = lock_data(&options.data_dir)?;
    run(values, plan, options)
}

fn sources(values: &Values) -> Result<Sources, String> {
    match (values.get("path.config"), values.get("config.string")) {
        ("", text) if values.is_given("config.string") => sources::from_text(text),
        ("", "") => Err("no config: give a file, folder or glob with `-f`, or a text with `-e` (see `logmill --help`)".to_owned()),
        (path, "") => sources::from_path(path),
        _ => Err("`-f` and `-e` cannot be used together: choose one".to_owned()),
    }
}

/// Compiles and prints what there is to say; none when there were errors.
fn plan(values: &Values, sources: &Sources, test: bool) -> Result<Option<Plan>, String> {
    let ecs = values.get("pipeline.ecs_compatibility");
    let ecs = Ecs::parse(ecs).ok_or_else(|| {
        format!("`pipeline.ecs_compatibility` must be disabled, v1 or v8, not `{ecs}`")
    })?;
    let settings = Settings {
        ecs,
        data_dir: Some(values.get("path.data").into()),
        config_dirs: sources.folders.clone(),
        test_only: test,
        max_record_bytes: values.parse("pipeline.max_record_bytes")?,
    };
    let escape_style = match values.get("config.field_reference.escape_style") {
        "none" => EscapeStyle::None,
        "percent" => EscapeStyle::Percent,
        "ampersand" => EscapeStyle::Ampersand,
        other => {
            return Err(format!(
                "`config.field_reference.escape_style` cannot be `{other}`"
            ));
        }
    };
    let options = PlanOptions {
        catalogue: crate::catalogue::CATALOGUE,
        settings: &settings,
        environment: &|name| std::env::var(name).ok(),
        parse: ParseOptions {
            support_escapes: values.parse("config.support_escapes")?,
            escape_style,
        },
    };
    let compiled = compile(&sources.map, &options);
    print(&compiled.diagnostics, sources, values);
    Ok(compiled.plan)
}

fn print(diagnostics: &[Diagnostic], sources: &Sources, values: &Values) {
    if diagnostics.is_empty() {
        return;
    }
    if values.get("diagnostics.format") == "json" {
        eprint!("{}", crate::language::to_json(diagnostics, &sources.map));
    } else {
        eprint!(
            "{}",
            crate::language::render(diagnostics, &sources.map, std::io::stderr().is_terminal())
        );
    }
}

fn run_options(values: &Values) -> Result<RunOptions, String> {
    let defaults = RunOptions::default();
    let given = |name: &str| values.is_given(name) && !values.get(name).is_empty();
    let workers = if given("pipeline.workers") {
        values.parse("pipeline.workers")?
    } else {
        defaults.workers
    };
    if workers == 0 || workers > 1024 {
        return Err("`pipeline.workers` must be between 1 and 1024".to_owned());
    }
    let ordered = match values.get("pipeline.ordered") {
        "auto" => given("pipeline.workers") && workers == 1,
        "true" if workers > 1 && given("pipeline.workers") => {
            return Err("`pipeline.ordered: true` needs `pipeline.workers: 1`".to_owned());
        }
        "true" => true,
        "false" => false,
        other => {
            return Err(format!(
                "`pipeline.ordered` must be auto, true or false, not `{other}`"
            ));
        }
    };
    let _delay: u64 = values.parse("pipeline.batch.delay")?;
    Ok(RunOptions {
        workers,
        workers_given: given("pipeline.workers"),
        ordered,
        batch_records: if given("pipeline.batch.size") {
            Some(values.parse("pipeline.batch.size")?)
        } else {
            None
        },
        data_dir: values.get("path.data").into(),
        block_bytes: values
            .parse::<usize>("pipeline.block.bytes")?
            .clamp(1024, 64 << 20),
        ..defaults
    })
}

/// Holds the data folder for this process.
fn lock_data(folder: &Path) -> Result<std::fs::File, String> {
    let remedy = "choose a writable folder with `--path.data`";
    std::fs::create_dir_all(folder).map_err(|error| {
        format!(
            "cannot make the data folder {}: {error}; {remedy}",
            folder.display()
        )
    })?;
    let path = folder.join(".lock");
    let file = std::fs::File::create(&path).map_err(|error| {
        format!(
            "cannot write to the data folder {}: {error}; {remedy}",
            folder.display()
        )
    })?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => Err(format!(
            "the data folder {} is used by another logmill: stop it, or give this one its own with `--path.data`",
            folder.display()
        )),
        Err(std::fs::TryLockError::Error(error)) => {
            Err(format!("cannot lock {}: {error}; {remedy}", path.display()))
        }
    }
}

fn run(values: &Values, plan: Plan, options: RunOptions) -> Result<ExitCode, String> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name("io")
        .max_blocking_threads(8)
        .enable_all()
        .build()
        .map_err(|error| format!("cannot start the I/O runtime: {error}"))?;
    let pipeline = {
        let _entered = runtime.enter();
        Pipeline::start(plan, options, runtime.handle().clone())?
    };
    let shared = pipeline.shared();
    if values.get("api.enabled") != "false" {
        let address = runtime.block_on(crate::api::serve(
            values.get("api.http.host"),
            values.get("api.http.port"),
            values.get("pipeline.id"),
            &node_name(values),
            Arc::clone(&shared),
        ));
        match address {
            Ok(address) => log::info!("metrics on http://{address}/metrics"),
            Err(error) => log::warn!("the HTTP API is off: {error}"),
        }
    }
    let signals = Arc::clone(&shared);
    runtime.spawn(async move {
        wait_for_signal().await;
        log::info!("stopping: what was read is delivered first");
        signals.stop();
        // A terminal or `timeout` may signal the process and its group: two signals at once are one.
        tokio::time::sleep(Duration::from_millis(300)).await;
        wait_for_signal().await;
        log::warn!("stopped at once by a second signal");
        crate::telemetry::log::flush(true);
        std::process::exit(1);
    });
    let flusher = std::thread::spawn(move || {
        loop {
            std::thread::park_timeout(Duration::from_secs(1));
            crate::telemetry::log::flush(false);
            if Arc::strong_count(&shared) == 1 {
                return;
            }
        }
    });
    let started = Instant::now();
    let ended = pipeline.wait();
    for lost in &ended.lost {
        log::warn!("lost at the stop: {lost}");
    }
    if ended.unanswered > 0 {
        log::warn!(
            "{} events had no answer when the time to stop was over; those of files are read again at the next start",
            ended.unanswered
        );
    }
    log::debug!("ran for {:?}", started.elapsed());
    crate::telemetry::log::flush(true);
    drop(flusher);
    runtime.shutdown_timeout(Duration::from_millis(200));
    Ok(if ended.panicked {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

fn node_name(values: &Values) -> String {
    let given = values.get("node.name");
    if given.is_empty() {
        crate::inputs::hostname()
    } else {
        given.to_owned()
    }
}

async fn wait_for_signal() {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut term), Ok(mut int)) = (
        signal(SignalKind::terminate()),
        signal(SignalKind::interrupt()),
    ) else {
        log::error!("signals cannot be received: stop the process with SIGKILL");
        return std::future::pending().await;
    };
    tokio::select! {
        _ = term.recv() => {}
        _ = int.recv() => {}
    }
}

fn is_root() -> bool {
    std::fs::read_to_string("/proc/self/status").is_ok_and(|status| {
        status
            .lines()
            .any(|line| line.starts_with("Uid:") && line.split_whitespace().nth(2) == Some("0"))
    })
}
