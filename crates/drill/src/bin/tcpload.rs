// SPDX-License-Identifier: Apache-2.0
//! `tcpload`: many TCP connections to a loopback target, most of them ill-behaved.

use std::process::ExitCode;
use std::time::Duration;

use drill::args::Args;
use drill::stream::{self, Streams};
use drill::{DrillError, Target, sys};

const USAGE: &str = "tcpload --target 127.0.0.1:5060 [--connections 100] [--behaviour requests|slow|half|silent|noise]
  [--sources 64] [--seconds 5] [--byte-every-ms 200] [--seed 1]
Loopback targets only; at most 3600 s. Writes one line of JSON on standard output.";

fn options() -> Result<Streams, DrillError> {
    let mut args = Args::read(std::env::args().skip(1), &[])?;
    let target: Target = args.take::<String>("target")?.as_deref().unwrap_or("127.0.0.1:5060").parse()?;
    let mut streams = Streams::new(target);
    streams.connections = args.take("connections")?.unwrap_or(streams.connections);
    if let Some(text) = args.take::<String>("behaviour")? {
        streams.behaviour = text.parse()?;
    }
    streams.sources = args.take("sources")?.unwrap_or(streams.sources);
    if let Some(seconds) = args.take::<f64>("seconds")? {
        streams.run_for = Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX);
    }
    streams.byte_every = args.take("byte-every-ms")?.map_or(streams.byte_every, Duration::from_millis);
    streams.seed = args.take("seed")?.unwrap_or(streams.seed);
    args.finish()?;
    Ok(streams)
}

fn main() -> ExitCode {
    let stop = sys::stop_on_signals();
    match options().and_then(|options| stream::run(&options, stop)) {
        Ok(report) => {
            println!("{}", serde_json::to_string(&report).expect("a report is plain numbers"));
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("tcpload: {error}\n{USAGE}");
            ExitCode::from(2)
        }
    }
}
