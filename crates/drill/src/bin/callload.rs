// SPDX-License-Identifier: Apache-2.0
//! `callload`: bounded calls through a switch on loopback, customer and vendor in one.

use std::process::ExitCode;
use std::time::Duration;

use drill::args::Args;
use drill::calls::{self, Fates, Options};
use drill::{DrillError, Target, sys};

const USAGE: &str = "callload --target 127.0.0.1:5060 [--customer 127.0.0.2:0] [--vendor 127.0.0.3:5070]
  [--rate 10] [--seconds 5] [--count N] [--hold-s 0] [--hold-at-most-s 0] [--ring-ms 0]
  [--fates caller_hangs_up=60,callee_hangs_up=20,busy=10,declined=2,fails_over=2,cancelled_ringing=3,cancelled_trying=1,silent=1,crashes=1]
  [--loss 0] [--duplication 0] [--caller 1001] [--prefix 44] [--core N] [--seed 1] [--linger-s 40] [--warm-up-s 0]
  [--calls-file PATH]
Loopback only; new calls for at most three hours. Writes one line of JSON on standard output.";

fn options() -> Result<Options, DrillError> {
    let mut args = Args::read(std::env::args().skip(1), &[])?;
    let mut address = |name: &str, usual: &str| -> Result<Target, DrillError> {
        args.take::<String>(name)?.as_deref().unwrap_or(usual).parse()
    };
    let target = address("target", "127.0.0.1:5060")?;
    let mut options = Options::new(target, address("customer", "127.0.0.2:0")?, address("vendor", "127.0.0.3:5070")?);
    let seconds = |value: f64| Duration::try_from_secs_f64(value).unwrap_or(Duration::MAX);
    options.rate = args.take("rate")?.unwrap_or(options.rate);
    options.run_for = args.take("seconds")?.map_or(options.run_for, seconds);
    options.count = args.take("count")?;
    options.hold = args.take("hold-s")?.map_or(options.hold, seconds);
    options.hold_at_most = args.take("hold-at-most-s")?.map_or(options.hold, seconds).max(options.hold);
    options.ring = args.take("ring-ms")?.map_or(options.ring, Duration::from_millis);
    if let Some(text) = args.take::<String>("fates")? {
        options.fates =
            Fates::parse(&text).map_err(|part| DrillError::Usage(format!("--fates: {part:?} cannot be read")))?;
    }
    options.weather.loss = args.take("loss")?.unwrap_or(0.0);
    options.weather.duplication = args.take("duplication")?.unwrap_or(0.0);
    options.caller = args.take("caller")?.unwrap_or(options.caller);
    options.callee_prefix = args.take("prefix")?.unwrap_or(options.callee_prefix);
    options.core = args.take("core")?;
    options.seed = args.take("seed")?.unwrap_or(options.seed);
    options.linger = args.take("linger-s")?.map_or(options.linger, seconds);
    options.warm_up = args.take("warm-up-s")?.map_or(options.warm_up, seconds);
    options.calls_file = args.take("calls-file")?;
    args.finish()?;
    Ok(options)
}

fn main() -> ExitCode {
    let stop = sys::stop_on_signals();
    match options().and_then(|options| calls::run(&options, stop)) {
        Ok(report) => {
            println!("{}", serde_json::to_string(&report).expect("a report is plain numbers and text"));
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("callload: {error}\n{USAGE}");
            ExitCode::from(2)
        }
    }
}
