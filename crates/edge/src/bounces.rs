// SPDX-License-Identifier: Apache-2.0
//! Requests of ours that ICMP says did not arrive (RFC 3261 §18.4).
//!
//! Anybody can forge an ICMP message, so one is believed only if it quotes the branch of a request of ours, of which nobody can make
//! one who has not seen the request, and only if that request went to the destination that it names. What strangers can bring
//! about is a count. Of the sockets of an address the kernel tells errors to any, whichever sent, so all are heard; beyond
//! [`MOST_PER_S`] of them none is until the next second begins, and requests end by their timers as they do without ICMP.

use std::net::SocketAddr;
use std::sync::Arc;

use guard::{Branches, Counter, Tally};
use socket2::Socket;

use crate::line::Sender;
use crate::shared::Shared;
use crate::sys::{self, ErrorQueue, Undelivered};

/// Errors heard in a second: more than there are calls, and little beside what a flood costs anyway.
pub(crate) const MOST_PER_S: usize = 4096;

/// A request of ours that did not arrive, for the engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bounce {
    /// The number of its branch.
    pub(crate) branch: u64,
    /// Where it did not arrive.
    pub(crate) to: SocketAddr,
}

/// Reads the error queues of all UDP sockets.
pub(crate) struct Bounces {
    branches: Arc<Branches>,
    told: Sender<Bounce>,
    queue: ErrorQueue,
    /// In this second.
    heard: usize,
    is_deaf: bool,
}

impl Bounces {
    pub(crate) fn new(branches: Arc<Branches>, told: Sender<Bounce>) -> Self {
        Self { branches, told, queue: ErrorQueue::new(), heard: 0, is_deaf: false }
    }

    /// Read a part of what waits on a socket.
    pub(crate) fn read(&mut self, shared: &Shared, socket: &Socket) {
        let count = self.queue.read(socket);
        let told = (0..count).filter(|&i| self.tell(i)).count();
        let mut tally = Tally::default();
        tally.add(Counter::IcmpIgnored, (count - told) as u64);
        shared.commit(&tally);
        self.heard += count;
        if self.heard > MOST_PER_S && !self.is_deaf {
            self.hear(shared, false);
        }
    }

    /// A new second has begun.
    pub(crate) fn tick(&mut self, shared: &Shared) {
        self.heard = 0;
        if self.is_deaf {
            self.hear(shared, true);
        }
    }

    fn hear(&mut self, shared: &Shared, is_on: bool) {
        self.is_deaf = !is_on;
        for udp in &shared.udp {
            for socket in udp.sockets() {
                // It worked when the socket was made.
                let _ = sys::hear_errors(socket, is_on);
            }
        }
    }

    fn tell(&self, i: usize) -> bool {
        let bounce = self.queue.undelivered(i).and_then(|Undelivered { to, quoted }| {
            let branch = self.branches.number(branch(quoted)?)?;
            Some(Bounce { branch, to })
        });
        // A full queue is one of repeats: the engine is quicker than calls come.
        bounce.is_some_and(|bounce| self.told.try_send(bounce).is_ok())
    }
}

/// The branch of the top Via, as we write it: the request's first header field, whole. What is quoted may end anywhere.
fn branch(quoted: &[u8]) -> Option<&[u8]> {
    const VIA: &[u8] = b"\r\nVia: ";
    const BRANCH: &[u8] = b";branch=";
    let line_end = quoted.windows(2).position(|two| two == b"\r\n")?;
    let via = quoted.get(line_end..)?.strip_prefix(VIA)?;
    let via = via.split(|byte| *byte == b'\r').next()?;
    let start = via.windows(BRANCH.len()).position(|window| window == BRANCH)? + BRANCH.len();
    via.get(start..)?.split(|byte| *byte == b';').next()
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsRawFd;
    use std::time::Duration;

    use crossbeam_channel::Receiver;

    use crate::line::line;

    use super::*;
    use crate::sys::{Outgoing, Poll, Send};

    struct World {
        shared: Shared,
        branches: Arc<Branches>,
        bounces: Bounces,
        told: Receiver<Bounce>,
    }

    impl World {
        fn new() -> Self {
            let branches = Arc::new(Branches::new([7; 16]));
            let (telling, told) = line(Some(16), &Arc::default());
            let bounces = Bounces::new(Arc::clone(&branches), telling);
            Self { shared: Shared::on_loopback(1 << 16), branches, bounces, told }
        }

        /// Send from the address of the switch, and read what comes of it on whichever of its sockets.
        fn send(&mut self, bytes: &[u8], to: SocketAddr) {
            let udp = &self.shared.udp[0];
            let outgoing = Outgoing { bytes, to, from: None };
            assert_eq!(Send::new().send(&udp.known, std::iter::once(outgoing)), 0);
            let mut poll = Poll::new(udp.sockets().map(AsRawFd::as_raw_fd));
            poll.wait(5000, |_| false);
            for (place, socket) in udp.sockets().into_iter().enumerate() {
                if poll.has_error(place) {
                    self.bounces.read(&self.shared, socket);
                }
            }
        }

        fn ignored(&self) -> u64 {
            self.shared.books.lock().get(Counter::IcmpIgnored)
        }
    }

    fn closed() -> SocketAddr {
        std::net::UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
    }

    fn request(branch: &[u8]) -> Vec<u8> {
        let start = b"OPTIONS sip:b@h;branch=x SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1:5060;rport;branch=z9hG4bK";
        [&start[..], branch, b"\r\nMax-Forwards: 70\r\n\r\n"].concat()
    }

    #[test]
    fn a_request_of_ours_that_meets_a_closed_port_is_told_by_its_branch_and_destination() {
        let mut world = World::new();
        // Most of them are told to another one of its sockets.
        for _ in 0..8 {
            let (to, (number, branch)) = (closed(), world.branches.next());
            world.send(&request(&branch), to);
            assert_eq!(world.told.recv_timeout(Duration::from_secs(5)), Ok(Bounce { branch: number, to }));
        }
        assert_eq!(world.ignored(), 0);
    }

    #[test]
    fn whatever_carries_no_branch_of_ours_is_a_count_and_beyond_a_number_of_them_nothing() {
        let mut world = World::new();
        let to = closed();
        world.send(&request(&[b'0'; 32]), to);
        world.send(b"SIP/2.0 403 Forbidden\r\nVia: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK1\r\n\r\n", to);
        let (_, branch) = world.branches.next();
        world.send(&request(&branch[..20]), to);
        assert_eq!((world.ignored(), world.told.len()), (3, 0));
        world.bounces.heard = MOST_PER_S;
        world.send(b"x", to);
        assert_eq!((world.ignored(), world.bounces.is_deaf), (4, true));
        let udp = &world.shared.udp[0];
        let outgoing = |_| Outgoing { bytes: b"x", to, from: None };
        assert_eq!(Send::new().send(&udp.known, (0..10).map(outgoing)), 0);
        let mut poll = Poll::new(udp.sockets().map(AsRawFd::as_raw_fd));
        poll.wait(0, |_| false);
        assert!((0..3).all(|place| !poll.has_error(place)));
        world.bounces.tick(&world.shared);
        world.send(b"x", to);
        assert_eq!((world.ignored(), world.bounces.is_deaf), (5, false));
    }

    #[test]
    fn what_is_quoted_may_be_anything() {
        let whole = request(b"0123");
        assert_eq!(branch(&whole), Some(&b"z9hG4bK0123"[..]));
        for end in 0..whole.len() {
            assert!(branch(&whole[..end]).is_none_or(|found| b"z9hG4bK0123".starts_with(found)), "{end}");
        }
        for other in [&b""[..], b"\r\n", b"A\r\nVia: ", b"A\r\nVia: x;branch=", b"A\r\nTo: x;branch=1", b"\r\r\r\r"] {
            assert!(branch(other).is_none_or(<[u8]>::is_empty), "{}", other.escape_ascii());
        }
    }
}
