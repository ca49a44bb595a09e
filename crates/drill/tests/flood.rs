// SPDX-License-Identifier: Apache-2.0
//! The load sender against the bare answerer, over real sockets.

use std::collections::HashMap;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use drill::bare::{self, Bare, BareReport};
use drill::flood::{Flood, Mix, Pace, flood};
use drill::{DrillError, Target};

struct Answerer {
    target: Target,
    stop: Arc<AtomicBool>,
    thread: JoinHandle<BareReport>,
}

fn an_answerer(listen: &str) -> Answerer {
    let options = Bare::new(listen.parse().unwrap());
    let stop = Arc::new(AtomicBool::new(false));
    let (ready, bound) = mpsc::channel();
    let flag = Arc::clone(&stop);
    let thread = thread::spawn(move || bare::answer(&options, &flag, |address| ready.send(address).unwrap()).unwrap());
    Answerer { target: Target::new(bound.recv().unwrap()).unwrap(), stop, thread }
}

impl Answerer {
    fn end(self) -> BareReport {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}

static GO_ON: AtomicBool = AtomicBool::new(false);

fn a_flood(target: Target, count: u64) -> Flood {
    Flood {
        count: Some(count),
        run_for: Duration::from_secs(20),
        linger: Duration::from_secs(10),
        pace: Pace::Window(64),
        ..Flood::new(target)
    }
}

#[test]
fn each_request_is_answered_once() {
    let answerer = an_answerer("127.0.0.1:0");
    let mix = Mix { invite: 2, register: 1, options: 1, random: 0 };
    let report = flood(&Flood { mix, ..a_flood(answerer.target, 5000) }, &GO_ON).unwrap();
    let bare = answerer.end();
    assert_eq!((report.sent, report.requests, report.answered, report.lost), (5000, 5000, 5000, 0));
    assert_eq!((report.duplicates, report.unmatched), (0, 0));
    assert_eq!(report.by_status.into_iter().collect::<Vec<_>>(), [(403, 5000)]);
    assert_eq!((bare.read, bare.answered), (5000, 5000));
    let share = report.by_method["INVITE"];
    assert!((2300..2700).contains(&share), "{share} of 5000 are INVITEs");
    assert!(report.latency_us.p50 > 0.0 && report.latency_us.p50 <= report.latency_us.max);
}

#[test]
fn an_average_invite_is_about_800_bytes_long() {
    let answerer = an_answerer("127.0.0.1:0");
    let report = flood(&a_flood(answerer.target, 3000), &GO_ON).unwrap();
    answerer.end();
    assert!((770.0..830.0).contains(&report.average_bytes), "{}", report.average_bytes);
}

#[test]
fn repetitions_are_the_same_bytes_and_their_answers_are_duplicates() {
    let answerer = an_answerer("127.0.0.1:0");
    let options = Flood { retransmit: 2, retransmit_after: Duration::from_millis(5), ..a_flood(answerer.target, 500) };
    let report = flood(&options, &GO_ON).unwrap();
    answerer.end();
    assert_eq!((report.sent, report.requests, report.retransmitted), (1500, 500, 1000));
    assert_eq!(report.answered, 500);
    assert_eq!(report.by_status[&403], 500 + report.duplicates);
}

#[test]
fn a_retransmission_is_byte_for_byte_the_request() {
    let sink = UdpSocket::bind("127.0.0.1:0").unwrap();
    sink.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let target = Target::new(sink.local_addr().unwrap()).unwrap();
    let options = Flood {
        pace: Pace::Unpaced,
        retransmit: 1,
        retransmit_after: Duration::ZERO,
        linger: Duration::from_millis(10),
        ..a_flood(target, 40)
    };
    flood(&options, &GO_ON).unwrap();
    let mut seen: HashMap<(SocketAddr, Vec<u8>), u32> = HashMap::new();
    let mut buffer = [0; 4096];
    for _ in 0..80 {
        let (length, from) = sink.recv_from(&mut buffer).unwrap();
        *seen.entry((from, buffer[..length].to_vec())).or_default() += 1;
    }
    assert_eq!(seen.len(), 40);
    assert!(seen.values().all(|&times| times == 2));
}

#[test]
fn counts_by_source_are_exact() {
    let sink = UdpSocket::bind("127.0.0.1:0").unwrap();
    sink.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let target = Target::new(sink.local_addr().unwrap()).unwrap();
    let options = Flood {
        pace: Pace::Unpaced,
        sources: 20,
        by_source: true,
        linger: Duration::ZERO,
        mix: Mix { invite: 3, register: 0, options: 0, random: 1 },
        ..a_flood(target, 60)
    };
    let report = flood(&options, &GO_ON).unwrap();
    assert_eq!(report.requests + report.noise, 60);
    let mut seen: HashMap<String, u64> = HashMap::new();
    let mut buffer = [0; 4096];
    for _ in 0..60 {
        *seen.entry(sink.recv_from(&mut buffer).unwrap().1.ip().to_string()).or_default() += 1;
    }
    let counted = report.by_source.unwrap();
    assert_eq!(counted.into_iter().map(|(source, count)| (source, count.sent)).collect::<HashMap<_, _>>(), seen);
}

#[test]
fn a_train_is_answered_like_single_requests() {
    let answerer = an_answerer("127.0.0.1:0");
    let options = Flood { train: 16, sources: 1 << 20, ..a_flood(answerer.target, 1600) };
    let report = flood(&options, &GO_ON).unwrap();
    answerer.end();
    assert_eq!((report.sent, report.answered, report.unmatched), (1600, 1600, 0));
}

#[test]
fn ipv6_loopback_works_without_chosen_sources() {
    let answerer = an_answerer("[::1]:0");
    let report = flood(&a_flood(answerer.target, 200), &GO_ON).unwrap();
    answerer.end();
    assert_eq!(report.answered, 200);
}

#[test]
fn a_silent_target_loses_everything_and_the_run_still_ends() {
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let target = Target::new(silent.local_addr().unwrap()).unwrap();
    let options = Flood {
        run_for: Duration::from_millis(100),
        linger: Duration::from_millis(10),
        count: None,
        pace: Pace::Rate(1000.0),
        ..Flood::new(target)
    };
    let report = flood(&options, &GO_ON).unwrap();
    assert_eq!((report.answered, report.lost), (0, report.requests));
    assert!(report.requests > 0 && report.requests <= 110, "{}", report.requests);
}

#[test]
fn the_stop_flag_ends_a_run() {
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let target = Target::new(silent.local_addr().unwrap()).unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&stop);
    let options = Flood { pace: Pace::Rate(100.0), run_for: Duration::from_hours(1), ..Flood::new(target) };
    let running = thread::spawn(move || flood(&options, &flag).unwrap());
    stop.store(true, Ordering::Relaxed);
    let asked = Instant::now();
    running.join().unwrap();
    assert!(asked.elapsed() < Duration::from_secs(5));
}

#[test]
fn the_counts_file_holds_what_the_report_says() {
    let answerer = an_answerer("127.0.0.1:0");
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("counts");
    let report = flood(&Flood { counts_file: Some(path.clone()), ..a_flood(answerer.target, 300) }, &GO_ON).unwrap();
    answerer.end();
    let numbers: Vec<u64> =
        std::fs::read_to_string(path).unwrap().split_whitespace().map(|number| number.parse().unwrap()).collect();
    assert_eq!(numbers, [report.sent, report.answered, report.answered + report.duplicates]);
}

#[test]
fn options_out_of_range_are_refused() {
    let target: Target = "127.0.0.1:9".parse().unwrap();
    let plain = || Flood::new(target);
    let wrong = [
        Flood { run_for: Duration::from_secs(3601), ..plain() },
        Flood { run_for: Duration::ZERO, ..plain() },
        Flood { count: Some(0), ..plain() },
        Flood { sources: 0, ..plain() },
        Flood { sources: u32::MAX, ..plain() },
        Flood { sockets: 0, ..plain() },
        Flood { train: 3, ..plain() },
        Flood { train: 64, ..plain() },
        Flood { pace: Pace::Rate(f64::NAN), ..plain() },
        Flood { pace: Pace::Window(0), ..plain() },
        Flood { retransmit: 11, ..plain() },
    ];
    for options in wrong {
        assert!(matches!(flood(&options, &GO_ON), Err(DrillError::OutOfRange { .. })), "{options:?}");
    }
    let none = Mix { invite: 0, register: 0, options: 0, random: 0 };
    for options in [
        Flood { mix: none, ..plain() },
        Flood { grammars: vec!["nosuch".to_owned()], ..plain() },
        Flood { grammars: vec!["sipp".to_owned()], mix: Mix { register: 1, ..none }, ..plain() },
    ] {
        assert!(matches!(flood(&options, &GO_ON), Err(DrillError::Usage(_))), "{options:?}");
    }
}
