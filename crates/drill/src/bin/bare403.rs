// SPDX-License-Identifier: Apache-2.0
//! `bare403`: answers each SIP request with a 403 and does nothing else; the yardstick of the benchmarks.

use std::process::ExitCode;
use std::time::Duration;

use drill::args::Args;
use drill::bare::{self, Bare};
use drill::{DrillError, Target, sys};

const USAGE: &str = "bare403 [--listen 127.0.0.1:5060] [--seconds 3600] [--batch 64] [--core N] [--rcvbuf BYTES]
Answers until SIGTERM, SIGINT or the time is over; writes one line of JSON on standard output.";

fn options() -> Result<Bare, DrillError> {
    let mut args = Args::read(std::env::args().skip(1), &[])?;
    let listen: Target = args.take::<String>("listen")?.as_deref().unwrap_or("127.0.0.1:5060").parse()?;
    let mut bare = Bare::new(listen);
    if let Some(seconds) = args.take::<f64>("seconds")? {
        bare.run_for = Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX);
    }
    bare.batch = args.take("batch")?.unwrap_or(bare.batch);
    bare.core = args.take("core")?;
    bare.receive_bytes = args.take("rcvbuf")?.unwrap_or(bare.receive_bytes);
    args.finish()?;
    Ok(bare)
}

fn main() -> ExitCode {
    let stop = sys::stop_on_signals();
    let done = options().and_then(|options| {
        bare::answer(&options, stop, |address| {
            eprintln!("bare403 ready on udp:{address}");
        })
    });
    match done {
        Ok(report) => {
            println!("{}", serde_json::to_string(&report).expect("a report is plain numbers"));
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("bare403: {error}\n{USAGE}");
            ExitCode::from(2)
        }
    }
}
