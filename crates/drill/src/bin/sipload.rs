// SPDX-License-Identifier: Apache-2.0
//! `sipload`: a bounded SIP load on a loopback target.

use std::process::ExitCode;
use std::time::Duration;

use drill::args::Args;
use drill::flood::{self, Flood, MAX_SOURCES, Mix, Pace};
use drill::{DrillError, Target, sys};

const USAGE: &str = "sipload --target 127.0.0.1:5060 [--seconds 5] [--count N]
  [--rate PER_SECOND | --window N]   open loop at a rate, closed loop, or (neither) as fast as it goes
  [--sources N|random] [--sockets 8] [--batch 32] [--train 1] [--mix invite=90,register=5,options=5,random=0]
  [--grammars svwar,pbx,...] [--retransmit K] [--retransmit-after-ms 500]
  [--core N] [--seed 1] [--linger-ms 500] [--warm-up-s 0] [--by-source] [--counts-file PATH]
Loopback targets only; at most 3600 s. Writes one line of JSON on standard output.";

fn mix(text: &str) -> Result<Mix, DrillError> {
    let mut mix = Mix { invite: 0, register: 0, options: 0, random: 0 };
    for part in text.split(',') {
        let (name, share) = part.split_once('=').unwrap_or((part, "1"));
        let share = share.parse().map_err(|_| DrillError::Usage(format!("--mix: {part:?} cannot be read")))?;
        match name {
            "invite" => mix.invite = share,
            "register" => mix.register = share,
            "options" => mix.options = share,
            "random" => mix.random = share,
            _ => {
                return Err(DrillError::Usage(format!("--mix: there is no kind {name:?}")));
            }
        }
    }
    Ok(mix)
}

fn options() -> Result<Flood, DrillError> {
    let mut args = Args::read(std::env::args().skip(1), &["by-source"])?;
    let target: Target = args.take::<String>("target")?.as_deref().unwrap_or("127.0.0.1:5060").parse()?;
    let mut flood = Flood::new(target);
    let seconds = |value: f64| Duration::try_from_secs_f64(value).unwrap_or(Duration::MAX);
    flood.run_for = args.take("seconds")?.map_or(flood.run_for, seconds);
    flood.count = args.take("count")?;
    flood.pace = match (args.take("rate")?, args.take("window")?) {
        (Some(_), Some(_)) => {
            return Err(DrillError::Usage("--rate and --window exclude each other".to_owned()));
        }
        (Some(rate), None) => Pace::Rate(rate),
        (None, Some(window)) => Pace::Window(window),
        (None, None) => Pace::Unpaced,
    };
    flood.sources = match args.take::<String>("sources")?.as_deref() {
        Some("random") => MAX_SOURCES,
        Some(number) => {
            number.parse().map_err(|_| DrillError::Usage(format!("--sources: {number:?} cannot be read")))?
        }
        None => flood.sources,
    };
    flood.sockets = args.take("sockets")?.unwrap_or(flood.sockets);
    flood.batch = args.take("batch")?.unwrap_or(flood.batch);
    flood.train = args.take("train")?.unwrap_or(flood.train);
    if let Some(text) = args.take::<String>("mix")? {
        flood.mix = mix(&text)?;
    }
    if let Some(text) = args.take::<String>("grammars")? {
        flood.grammars = text.split(',').map(str::to_owned).collect();
    }
    flood.retransmit = args.take("retransmit")?.unwrap_or(flood.retransmit);
    flood.retransmit_after = args.take("retransmit-after-ms")?.map_or(flood.retransmit_after, Duration::from_millis);
    flood.core = args.take("core")?;
    flood.seed = args.take("seed")?.unwrap_or(flood.seed);
    flood.linger = args.take("linger-ms")?.map_or(flood.linger, Duration::from_millis);
    flood.warm_up = args.take("warm-up-s")?.map_or(flood.warm_up, seconds);
    flood.by_source = args.flag("by-source");
    flood.counts_file = args.take("counts-file")?;
    args.finish()?;
    Ok(flood)
}

fn main() -> ExitCode {
    let stop = sys::stop_on_signals();
    match options().and_then(|options| flood::flood(&options, stop)) {
        Ok(report) => {
            println!("{}", serde_json::to_string(&report).expect("a report is plain numbers and text"));
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("sipload: {error}\n{USAGE}");
            ExitCode::from(2)
        }
    }
}
