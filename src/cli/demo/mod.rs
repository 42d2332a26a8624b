//! `logmill demo`: the main job with no set-up: live logs in all formats, shipped by `pipelines/`, and counted where they arrive.

mod files;
mod status;
mod view;

use std::ffi::OsStr;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::{Arg, ArgMatches, Command, value_parser};

use crate::loadtest::child::{Child, Launch, TempFolder};
use crate::loadtest::project_ai::{self, formats};
use crate::loadtest::signals::Signals;
use crate::loadtest::{geo, http};
use files::Files;
use status::{Status, Target};
use view::View;

/// How often lines are written.
const TICK: Duration = Duration::from_millis(20);
/// How long the shipper may take until it answers.
const START_LIMIT: Duration = Duration::from_secs(15);
/// How long the last events may be on their way without any of them arriving.
const PATIENCE: Duration = Duration::from_secs(20);

pub(super) fn command() -> Command {
    let number = |name: &'static str, help: &'static str| {
        Arg::new(name)
            .long(name)
            .help(help)
            .value_parser(value_parser!(u64).range(1..=1_000_000))
    };
    Command::new("demo")
        .about("Shows the main job without set-up: live logs through pipelines/ into a stand-in for Elasticsearch")
        .after_help("With ELASTICSEARCH_URL set (and ELASTICSEARCH_API_KEY) it ships to that Elasticsearch.")
        .arg(number("seconds", "How long lines are written").default_value("60"))
        .arg(number("rate", "Lines a second, in all files together").default_value("2000"))
        .arg(
            Arg::new("pipelines")
                .long("pipelines")
                .value_name("PATH")
                .value_parser(value_parser!(PathBuf))
                .help("The config (default: pipelines/ here, or beside or above the program)"),
        )
}

pub(super) fn main(matches: &ArgMatches) -> Result<ExitCode, String> {
    crate::telemetry::log::start("warn", "plain");
    let pipelines = project_ai::pipelines(
        matches
            .get_one::<PathBuf>("pipelines")
            .map(PathBuf::as_path),
    )?;
    let length = Duration::from_secs(matches.get_one("seconds").copied().unwrap_or(60));
    let signals = Signals::watch()?;
    let mut demo = Demo::start(
        &pipelines,
        matches.get_one("rate").copied().unwrap_or(2000),
        length,
        &signals,
    )?;
    demo.ship(length, &signals)?;
    let arrived = demo.drain(&signals)?;
    demo.end(arrived)
}

/// The demo at work. Its processes and its folder end with it, in this order.
struct Demo {
    shipper: Child,
    sink: Option<Child>,
    files: Files,
    view: View,
    api: SocketAddr,
    target: Target,
    _folder: TempFolder,
}

impl Demo {
    /// Makes the folder, starts the sink and the shipper, and waits until the shipper answers.
    fn start(
        pipelines: &Path,
        rate: u64,
        length: Duration,
        signals: &Signals,
    ) -> Result<Demo, String> {
        let folder = TempFolder::new("demo")?;
        let logs = folder.path().join("logs");
        std::fs::create_dir(&logs)
            .map_err(|error| format!("cannot make {}: {error}", logs.display()))?;
        let (sink, target) = match std::env::var("ELASTICSEARCH_URL") {
            Ok(url) if !url.is_empty() => (None, Target::Elasticsearch(url)),
            _ => {
                let arguments = ["sink", "--ids", "--listen", "127.0.0.1:0"].map(OsStr::new);
                let mut sink =
                    Launch::new("the sink", &arguments, folder.path().join("sink.messages"))?
                        .start()?;
                let address = sink.address()?;
                (Some(sink), Target::Sink(address))
            }
        };
        let api = http::free_port()?;
        let files = Files::new(&logs, rate, 2026)?;
        let mut shipper = shipper(pipelines, folder.path(), &logs, api, &target)?;
        let started = Instant::now();
        while let Err(error) = http::get(api, "/health/live") {
            shipper.check_alive()?;
            signals.check()?;
            if started.elapsed() > START_LIMIT {
                return Err(format!(
                    "the shipper does not answer: {error}{}",
                    shipper.last_messages()
                ));
            }
            std::thread::sleep(TICK);
        }
        let named = match &target {
            Target::Sink(_) => "the built-in sink".to_owned(),
            Target::Elasticsearch(_) => "the Elasticsearch of ELASTICSEARCH_URL".to_owned(),
        };
        let formats = formats::FORMATS.len();
        say(&format!(
            "logmill demo: live logs of an invented application, in {formats} formats, to {named}\n"
        ))?;
        Ok(Demo {
            shipper,
            sink,
            files,
            view: View::new(named, length),
            api,
            target,
            _folder: folder,
        })
    }

    fn status(&self) -> Result<Status, String> {
        Status::read(self.api, &self.target)
    }

    fn check_alive(&mut self) -> Result<(), String> {
        self.shipper.check_alive()?;
        self.sink.as_mut().map_or(Ok(()), Child::check_alive)
    }

    fn show(&mut self, status: &Status) -> Result<(), String> {
        let expected = self.files.expected();
        self.view
            .show(&expected, status)
            .map_err(|error| unheard(&error))
    }

    /// Writes lines and shows what becomes of them, until the time is over or a signal comes.
    fn ship(&mut self, length: Duration, signals: &Signals) -> Result<(), String> {
        let started = Instant::now();
        while started.elapsed() < length && signals.count() == 0 {
            self.files.write_due(length)?;
            if self.view.is_due() {
                self.check_alive()?;
                let status = self.status()?;
                self.show(&status)?;
            }
            std::thread::sleep(TICK);
        }
        Ok(())
    }

    /// Waits until every event has arrived, for as long as some still do; a second signal ends that. The last counts.
    fn drain(&mut self, signals: &Signals) -> Result<Status, String> {
        let (mut last, mut changed) = (0, Instant::now());
        loop {
            self.check_alive()?;
            let status = self.status()?;
            if status.total() != last {
                (last, changed) = (status.total(), Instant::now());
            }
            let all = status.has_all(&self.files.expected());
            if all || changed.elapsed() > PATIENCE || signals.count() > 1 {
                // What comes twice comes late.
                let status = if all { self.status()? } else { status };
                self.show(&status)?;
                return Ok(status);
            }
            if self.view.is_due() {
                self.show(&status)?;
            }
            std::thread::sleep(TICK * 5);
        }
    }

    /// Prints the summary; the exit code says whether everything arrived.
    fn end(self, mut status: Status) -> Result<ExitCode, String> {
        let expected = self.files.expected();
        say(&view::summary(&expected, &status, &self.shipper.warnings()))?;
        if let Target::Elasticsearch(url) = &self.target {
            match status::ask_elasticsearch(url) {
                Ok(newest) => status.newest = newest,
                Err(error) => say(&format!("no documents to look at: {error}\n"))?,
            }
        }
        say(&view::documents(&status))?;
        if let Some(missing) = view::missing(&expected, &status) {
            return Err(format!("not every line arrived: {missing}"));
        }
        match status.total().saturating_sub(expected.events()) {
            0 => say("\nEvery line arrived, each once and in the index of its family.\n")?,
            more => say(&format!(
                "\nEvery line arrived; {more} documents are there twice, sent again after an unclear answer.\n"
            ))?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Writes to the standard output, which may be closed.
fn say(text: &str) -> Result<(), String> {
    std::io::stdout()
        .write_all(text.as_bytes())
        .map_err(|error| unheard(&error))
}

fn unheard(error: &std::io::Error) -> String {
    format!("cannot write to the standard output: {error}")
}

/// Starts the shipper.
fn shipper(
    pipelines: &Path,
    folder: &Path,
    logs: &Path,
    api: SocketAddr,
    target: &Target,
) -> Result<Child, String> {
    let (city, asn, data) = (
        folder.join("city.mmdb"),
        folder.join("asn.mmdb"),
        folder.join("data"),
    );
    geo::write_city(&city)?;
    geo::write_asn(&asn)?;
    let port = api.port().to_string();
    let mut arguments = vec![
        OsStr::new("-f"),
        pipelines.as_os_str(),
        OsStr::new("--path.data"),
        data.as_os_str(),
    ];
    arguments.extend(["--api.http.host", "127.0.0.1", "--api.http.port", &port].map(OsStr::new));
    let mut launch = Launch::new("the shipper", &arguments, folder.join("shipper.messages"))?
        .env("PROJECT_AI_LOGS", logs)
        .env("PROJECT_AI_TIMEZONE", "UTC")
        .env("GEOIP_CITY_DB", city)
        .env("GEOIP_ASN_DB", asn);
    for name in project_ai::SETTINGS {
        launch = launch.without_env(name);
    }
    if let Target::Sink(address) = target {
        launch = launch
            .env("ELASTICSEARCH_URL", format!("http://{address}"))
            .without_env("ELASTICSEARCH_API_KEY");
    }
    launch.start()
}
