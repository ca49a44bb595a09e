// SPDX-License-Identifier: Apache-2.0
//! Nanoseconds to judge, account for and answer a stranger's INVITE of 800 bytes: `cargo bench -p guard`.

use std::sync::Arc;
use std::time::Instant;

use guard::{Branches, Effects, Guard, Now, Packet, Peer, Scratch, Snapshot};
use journal::Transport;

/// Few enough to stay in the cache, where the kernel has just put a datagram that is read.
const PACKETS: usize = 256;
const BATCH: usize = 64;
const ROUNDS: usize = 3000;

fn invite(i: usize) -> Vec<u8> {
    let random = (i as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let body = "v=0\r\no=root 1000000001 1000000001 IN IP4 127.1.2.3\r\ns=session\r\nc=IN IP4 127.1.2.3\r\nt=0 0\r\n\
        m=audio 12345 RTP/AVP 0 8 18 101\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:18 G729/8000\r\n\
        a=fmtp:18 annexb=no\r\na=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-16\r\na=ptime:20\r\na=sendrecv\r\n";
    format!(
        "INVITE sip:00972{random:019}@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP 127.1.2.3:5060;branch=z9hG4bK{random:016x};rport\r\n\
         Max-Forwards: 70\r\nFrom: \"100\" <sip:100@127.0.0.1>;tag={random:016x}\r\nTo: <sip:00972{random:019}@127.0.0.1>\r\n\
         Call-ID: {random:016x}{i:08x}@127.1.2.3\r\nCSeq: 1 INVITE\r\nContact: <sip:100@127.1.2.3:5060;transport=udp>\r\n\
         User-Agent: friendly-scanner\r\nAllow: INVITE, ACK, CANCEL, OPTIONS, BYE, REFER, NOTIFY, INFO\r\n\
         Supported: replaces, timer\r\nContent-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

fn main() {
    let snapshot = Snapshot::from_json(include_bytes!("snapshot.json")).expect("a snapshot");
    let mut packets: Vec<Vec<u8>> = (0..PACKETS).map(invite).collect();
    let peers: Vec<Peer> = (0..PACKETS)
        .map(|i| Peer {
            source: std::net::SocketAddr::from(([127, 1, (i >> 8) as u8, i as u8], 5060)),
            local: std::net::SocketAddr::from(([127, 0, 0, 1], 5060)),
            transport: Transport::Udp,
            channel: 0,
        })
        .collect();
    let mut now = Now { ms: 1_000_000, utc_us: 1_800_000_000_000_000 };
    let mut guard = Guard::new(Arc::new(snapshot), Arc::new(Branches::new([1; 16])), 1, 7, now);
    let mut effects = Effects::new();
    let (mut best, mut parse) = (u128::MAX, u128::MAX);
    let after = |packet: &Vec<u8>| packet.windows(9).position(|part| part == b"Call-ID: ").expect("a Call-ID") + 9;
    let call_ids: Vec<usize> = packets.iter().map(after).collect();
    for round in 0..ROUNDS {
        now = Now { ms: now.ms + 1, utc_us: now.utc_us + 1000 };
        // Every call is a new one, so that the tables are met as cold as in a flood.
        for (packet, at) in packets.iter_mut().zip(&call_ids) {
            packet[*at..at + 8].copy_from_slice(format!("{round:08x}").as_bytes());
        }
        let start = Instant::now();
        for (batch, from) in packets.chunks(BATCH).zip(peers.chunks(BATCH)) {
            guard.begin(now);
            let mut scratch = Scratch::default();
            for (bytes, peer) in batch.iter().zip(from) {
                guard.judge(now, &Packet { bytes, peer: *peer }, &mut scratch, &mut effects);
            }
            guard.finish(now, &mut effects);
            assert_eq!(effects.answers.len(), batch.len());
            effects.clear();
        }
        best = best.min(start.elapsed().as_nanos() / PACKETS as u128);
        let start = Instant::now();
        for bytes in &packets {
            std::hint::black_box(sip::parse(bytes));
        }
        parse = parse.min(start.elapsed().as_nanos() / PACKETS as u128);
    }
    println!("judge {best} ns a packet ({} bytes), of which parse {parse} ns", packets[0].len());
}
