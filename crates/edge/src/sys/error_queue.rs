// SPDX-License-Identifier: Apache-2.0
//! What ICMP says of datagrams that we sent: the error queue of a UDP socket (`IP_RECVERR` in ip(7), `IPV6_RECVERR` in ipv6(7)).

use std::io;
use std::mem;
use std::net::SocketAddr;
use std::os::fd::AsRawFd as _;

use socket2::Socket;

use super::{set_option, to_address, zeroed};

/// Errors read with one call.
const ERRORS: usize = 32;
/// Of the datagram that an error quotes so much is read: start line and top Via of a request of ours.
const QUOTED: usize = 1024;
/// Room for the error with its offender (48 bytes, 64 for IPv6), behind the packet info of a socket that listens on all addresses.
const CONTROL: usize = 256;

/// Have the kernel queue ICMP errors about what this socket sent, or keep them from it: then the queue is emptied too.
pub(crate) fn hear_errors(socket: &Socket, is_on: bool) -> io::Result<()> {
    let value = libc::c_int::from(is_on);
    let (level, name) = if socket.local_addr()?.is_ipv6() {
        (libc::IPPROTO_IPV6, libc::IPV6_RECVERR)
    } else {
        (libc::IPPROTO_IP, libc::IP_RECVERR)
    };
    set_option(socket.as_raw_fd(), level, name, &value)
}

/// Whether a call on a UDP socket may have failed by an ICMP error that was pending there, about any datagram sent before and any
/// destination: with `IP_RECVERR` each such error fails one call, whatever that call was to do (ip(7)). These are the errors that the
/// kernel makes of ICMP messages.
pub(super) fn may_be_pending(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(
            libc::ECONNREFUSED
                | libc::EHOSTUNREACH
                | libc::ENETUNREACH
                | libc::EHOSTDOWN
                | libc::ENONET
                | libc::EACCES
                | libc::EMSGSIZE
                | libc::EPROTO
                | libc::ENOPROTOOPT
                | libc::EOPNOTSUPP
        )
    )
}

#[repr(C, align(8))]
#[derive(Clone, Copy)]
struct Control([u8; CONTROL]);

/// A datagram of ours that did not arrive.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Undelivered<'a> {
    /// Where it was sent.
    pub(crate) to: SocketAddr,
    /// How it began, as far as whoever reports it quotes it; not to be trusted.
    pub(crate) quoted: &'a [u8],
}

/// Buffers for one reading of an error queue.
pub(crate) struct ErrorQueue {
    buffer: Vec<u8>,
    names: Box<[libc::sockaddr_storage; ERRORS]>,
    controls: Box<[Control; ERRORS]>,
    vectors: Box<[libc::iovec; ERRORS]>,
    headers: Box<[libc::mmsghdr; ERRORS]>,
}

// SAFETY: the raw pointers inside point into this value's own heap memory, which moves with it.
unsafe impl Send for ErrorQueue {}

impl ErrorQueue {
    pub(crate) fn new() -> Self {
        let mut queue = Self {
            buffer: vec![0; ERRORS * QUOTED],
            names: Box::new([zeroed(); ERRORS]),
            controls: Box::new([Control([0; CONTROL]); ERRORS]),
            vectors: Box::new([zeroed(); ERRORS]),
            headers: Box::new([zeroed(); ERRORS]),
        };
        for i in 0..ERRORS {
            queue.vectors[i] =
                libc::iovec { iov_base: queue.buffer[i * QUOTED..].as_mut_ptr().cast(), iov_len: QUOTED };
        }
        queue
    }

    /// Take what is there out of the queue, at most [`ERRORS`], without waiting; how many. What is pending on the socket is
    /// cleared once the queue is empty, so that it is not told again.
    pub(crate) fn read(&mut self, socket: &Socket) -> usize {
        for i in 0..ERRORS {
            let header = &mut self.headers[i].msg_hdr;
            header.msg_name = std::ptr::from_mut(&mut self.names[i]).cast();
            header.msg_namelen = mem::size_of::<libc::sockaddr_storage>() as libc::socklen_t;
            header.msg_iov = std::ptr::from_mut(&mut self.vectors[i]);
            header.msg_iovlen = 1;
            header.msg_control = self.controls[i].0.as_mut_ptr().cast();
            header.msg_controllen = CONTROL;
        }
        // SAFETY: every pointer in the headers leads into live memory of `self` with the length given beside it.
        let count = unsafe {
            libc::recvmmsg(
                socket.as_raw_fd(),
                self.headers.as_mut_ptr(),
                ERRORS as libc::c_uint,
                libc::MSG_ERRQUEUE | libc::MSG_DONTWAIT,
                std::ptr::null_mut(),
            )
        };
        if count <= 0 {
            // An error for which the queue had no room is pending still.
            let _ = socket.take_error();
        }
        usize::try_from(count).unwrap_or(0)
    }

    /// Error `i` of the last read. None: it says nothing of whether the far end can be reached.
    pub(crate) fn undelivered(&self, i: usize) -> Option<Undelivered<'_>> {
        let header = self.headers.get(i)?;
        if !is_failure(&error(&header.msg_hdr)?) {
            return None;
        }
        let length = (header.msg_len as usize).min(QUOTED);
        let quoted = self.buffer.get(i * QUOTED..i * QUOTED + length)?;
        Some(Undelivered { to: to_address(&self.names[i])?, quoted })
    }
}

/// RFC 3261 §18.4: host, network, port and protocol unreachable and parameter problems are failures of the transport; source quench and
/// time exceeded are not. What is said of the path's packet size is the kernel's matter.
fn is_failure(error: &libc::sock_extended_err) -> bool {
    // RFC 792; RFC 4443 §3.
    const UNREACHABLE: (u8, u8) = (3, 1);
    const FRAGMENTATION_NEEDED: u8 = 4;
    const PARAMETER_PROBLEM: (u8, u8) = (12, 4);
    match error.ee_origin {
        libc::SO_EE_ORIGIN_ICMP => {
            (error.ee_type == UNREACHABLE.0 && error.ee_code != FRAGMENTATION_NEEDED)
                || error.ee_type == PARAMETER_PROBLEM.0
        }
        libc::SO_EE_ORIGIN_ICMP6 => error.ee_type == UNREACHABLE.1 || error.ee_type == PARAMETER_PROBLEM.1,
        _ => false,
    }
}

fn error(header: &libc::msghdr) -> Option<libc::sock_extended_err> {
    // SAFETY: the kernel filled the control buffer that this header points to; the macros stay inside msg_controllen.
    unsafe {
        let mut message = libc::CMSG_FIRSTHDR(header);
        while !message.is_null() {
            if let (libc::IPPROTO_IP, libc::IP_RECVERR) | (libc::IPPROTO_IPV6, libc::IPV6_RECVERR) =
                ((*message).cmsg_level, (*message).cmsg_type)
            {
                return Some(std::ptr::read_unaligned(libc::CMSG_DATA(message).cast()));
            }
            message = libc::CMSG_NXTHDR(header, message);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::{Outgoing, Poll, Receive, udp_socket};

    fn bound(address: &str) -> (Socket, SocketAddr) {
        let socket = udp_socket(address.parse().unwrap(), 1 << 20).unwrap();
        let local = socket.local_addr().unwrap().as_socket().unwrap();
        (socket, local)
    }

    fn closed(address: &str) -> SocketAddr {
        bound(address).1
    }

    fn send(socket: &Socket, datagrams: &[(&[u8], SocketAddr)]) -> u64 {
        let outgoing = datagrams.iter().map(|(bytes, to)| Outgoing { bytes, to: *to, from: None });
        crate::sys::Send::new().send(socket, outgoing)
    }

    #[test]
    fn a_closed_port_is_told_with_the_destination_and_what_was_sent() {
        for (ours, theirs) in [("127.0.0.1:0", "127.0.0.2:0"), ("0.0.0.0:0", "127.0.0.2:0"), ("[::1]:0", "[::1]:0")] {
            let (socket, _) = bound(ours);
            let to = closed(theirs);
            hear_errors(&socket, true).unwrap();
            send(&socket, &[(b"hello", to)]);
            let mut poll = Poll::new([socket.as_raw_fd()]);
            poll.wait(5000, |_| true);
            assert!(poll.has_error(0) && !poll.is_readable(0), "errors are told of sockets that are not read too");
            let mut queue = ErrorQueue::new();
            assert_eq!(queue.read(&socket), 1);
            assert_eq!(queue.undelivered(0), Some(Undelivered { to, quoted: b"hello" }));
            assert_eq!(queue.read(&socket), 0);
            poll.wait(0, |_| true);
            assert!(!poll.has_error(0), "it is told once");
        }
    }

    #[test]
    fn an_error_about_one_datagram_loses_no_other_one_sent_or_received() {
        let (socket, address) = bound("127.0.0.1:0");
        let (open, open_address) = bound("127.0.0.2:0");
        let shut = closed("127.0.0.3:0");
        hear_errors(&socket, true).unwrap();
        send(&open, &[(b"in", address)]);
        // The error of each is pending when the next is to be sent.
        let batch: [(&[u8], SocketAddr); 5] =
            [(b"1", shut), (b"2", open_address), (b"3", shut), (b"4", shut), (b"5", open_address)];
        assert_eq!(send(&socket, &batch), 0);
        assert_eq!(send(&socket, &[(b"6", open_address)]), 0);
        let mut receive = Receive::new();
        assert_eq!(receive.read(&open, false).unwrap(), 3);
        let read: Vec<&[u8]> = (0..3).map(|i| receive.datagram(i).unwrap().0).collect();
        assert_eq!(read, [b"2", b"5", b"6"]);
        send(&socket, &[(b"7", shut)]);
        assert_eq!(receive.read(&socket, false).unwrap(), 0, "the pending error comes first");
        assert_eq!(receive.read(&socket, false).unwrap(), 1);
        assert_eq!(receive.datagram(0).unwrap().0, b"in");
        assert_eq!(ErrorQueue::new().read(&socket), 4);
    }

    #[test]
    fn a_socket_that_does_not_hear_has_nothing_in_its_queue() {
        let (socket, _) = bound("127.0.0.1:0");
        let shut = closed("127.0.0.3:0");
        hear_errors(&socket, true).unwrap();
        send(&socket, &[(b"1", shut)]);
        hear_errors(&socket, false).unwrap();
        send(&socket, &[(b"2", shut)]);
        assert_eq!(ErrorQueue::new().read(&socket), 0);
        let mut poll = Poll::new([socket.as_raw_fd()]);
        poll.wait(0, |_| true);
        assert!(!poll.has_error(0));
    }

    /// RFC 3261 §18.4.
    #[test]
    fn only_what_cannot_be_reached_is_a_failure() {
        let error = |ee_origin, ee_type, ee_code| libc::sock_extended_err { ee_origin, ee_type, ee_code, ..zeroed() };
        let (v4, v6) = (libc::SO_EE_ORIGIN_ICMP, libc::SO_EE_ORIGIN_ICMP6);
        for (kind, code) in [(3, 0), (3, 1), (3, 2), (3, 3), (3, 13), (12, 0)] {
            assert!(is_failure(&error(v4, kind, code)), "{kind} {code}");
        }
        for (kind, code) in [(3, 4), (4, 0), (11, 0), (1, 4)] {
            assert!(!is_failure(&error(v4, kind, code)), "{kind} {code}");
        }
        for (kind, code) in [(1, 0), (1, 3), (1, 4), (4, 1)] {
            assert!(is_failure(&error(v6, kind, code)), "{kind} {code}");
        }
        for (kind, code) in [(2, 0), (3, 0)] {
            assert!(!is_failure(&error(v6, kind, code)), "{kind} {code}");
        }
        assert!(!is_failure(&error(libc::SO_EE_ORIGIN_LOCAL, 3, 3)));
    }
}
