//! `logmill sink`: an Elasticsearch stand-in that checks every bulk strictly, for trials and measurements.

use std::process::ExitCode;

use clap::{Arg, ArgMatches, Command};

use crate::elasticsearch::{Sink, SinkOptions};

pub(super) fn command() -> Command {
    Command::new("sink")
        .about("An Elasticsearch stand-in: checks every bulk, keeps counts per index and the newest documents")
        .arg(Arg::new("listen").long("listen").default_value("127.0.0.1:9200").help("Address to listen on"))
        .arg(Arg::new("ids").long("ids").num_args(0).help("Remember all ids and answer 409 when `create` repeats one"))
}

pub(super) fn main(matches: &ArgMatches) -> Result<ExitCode, String> {
    crate::telemetry::log::start("info", "plain");
    let listen = matches
        .get_one::<String>("listen")
        .map_or("127.0.0.1:9200", String::as_str)
        .to_owned();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| error.to_string())?;
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind(&listen)
            .await
            .map_err(|error| {
                format!(
                    "cannot listen on {listen}: {error}; choose another address with `--listen`"
                )
            })?;
        let address = listener.local_addr().map_err(|error| error.to_string())?;
        println!("listening on http://{address}");
        let sink = Sink::new(SinkOptions {
            ids: matches.get_flag("ids"),
            ..SinkOptions::default()
        });
        sink.serve(listener, async {
            // Without signals the sink runs until it is killed.
            let _ = tokio::signal::ctrl_c().await;
        })
        .await
        .map_err(|error| error.to_string())?;
        Ok(ExitCode::SUCCESS)
    })
}
