// SPDX-License-Identifier: Apache-2.0
//! The system calls of the packet path. The only module of this crate with `unsafe`, with what is below it.
//!
//! UDP in batches (recvmmsg, sendmmsg) with the asked address where a socket listens on all of them, socket groups with a
//! steering filter, the kernel's drop counter, an event descriptor, poll.
#![allow(unsafe_code, reason = "system calls that the standard library does not offer")]

mod error_queue;

use std::io;
use std::mem::{self, MaybeUninit};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use crate::steer::Instruction;

pub(crate) use error_queue::{ErrorQueue, Undelivered, hear_errors};

/// Datagrams read or sent with one call.
pub(crate) const BATCH: usize = 64;
/// The largest UDP payload (RFC 768 over IPv4, without the IP header).
const DATAGRAM: usize = 65_535;
/// Distance of two receive buffers: not a power of two, so that they do not all fall into the same cache sets.
const STRIDE: usize = DATAGRAM + 1 + 17 * 64;
const CONTROL: usize = 64;
/// A datagram is tried so often before an error counts as its own: each try takes one pending error of another datagram away.
const TRIES: u32 = 3;

fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

fn set_option<T>(fd: RawFd, level: libc::c_int, name: libc::c_int, value: &T) -> io::Result<()> {
    // SAFETY: `value` lives through the call and its size is passed.
    check(unsafe {
        libc::setsockopt(fd, level, name, std::ptr::from_ref(value).cast(), mem::size_of::<T>() as libc::socklen_t)
    })
    .map(drop)
}

/// A UDP socket of a group: the first bound is strangers', the second known sources'.
pub(crate) fn udp_socket(address: SocketAddr, receive_buffer_bytes: usize) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_reuse_port(true)?;
    let wanted = libc::c_int::try_from(receive_buffer_bytes).unwrap_or(libc::c_int::MAX);
    if set_option(socket.as_raw_fd(), libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, &wanted).is_err() {
        socket.set_recv_buffer_size(receive_buffer_bytes)?;
    }
    let wanted = 8 << 20_i32;
    if set_option(socket.as_raw_fd(), libc::SOL_SOCKET, libc::SO_SNDBUFFORCE, &wanted).is_err() {
        socket.set_send_buffer_size(8 << 20)?;
    }
    if address.ip().is_unspecified() {
        let on: libc::c_int = 1;
        match address {
            SocketAddr::V4(_) => {
                set_option(socket.as_raw_fd(), libc::IPPROTO_IP, libc::IP_PKTINFO, &on)?;
            }
            SocketAddr::V6(_) => set_option(socket.as_raw_fd(), libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO, &on)?,
        }
    }
    socket.set_nonblocking(true)?;
    socket.bind(&SockAddr::from(address))?;
    Ok(socket)
}

/// Have IPv4 datagrams of this socket never fragmented: the kernel then draws no identification for each, 3 % of a refusal.
/// What ICMP says of a path is not listened to: anybody can send that, and then answers would no longer fit.
pub(crate) fn forbid_fragments(socket: &Socket) -> io::Result<()> {
    set_option(socket.as_raw_fd(), libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, &libc::IP_PMTUDISC_PROBE)
}

/// What the kernel holds for a socket: it doubles what it is asked for, for its own book-keeping (socket(7)).
pub(crate) fn receive_buffer_bytes(socket: &Socket) -> io::Result<usize> {
    socket.recv_buffer_size().map(|bytes| bytes / 2)
}

/// Put a steering filter on a socket group; it replaces the one before.
pub(crate) fn attach_filter(socket: &Socket, program: &[Instruction]) -> io::Result<()> {
    let mut instructions: Vec<libc::sock_filter> =
        program.iter().map(|i| libc::sock_filter { code: i.code, jt: i.jt, jf: i.jf, k: i.k }).collect();
    let filter = libc::sock_fprog { len: instructions.len() as libc::c_ushort, filter: instructions.as_mut_ptr() };
    set_option(socket.as_raw_fd(), libc::SOL_SOCKET, libc::SO_ATTACH_REUSEPORT_CBPF, &filter)
}

/// Datagrams that the kernel dropped because this socket's buffer was full: the counter that `SO_RXQ_OVFL` shows per packet, read
/// here without a cost per packet (`SO_MEMINFO`, `SK_MEMINFO_DROPS`).
pub(crate) fn dropped(socket: &Socket) -> u64 {
    const SK_MEMINFO_DROPS: usize = 8;
    const SK_MEMINFO_VARS: usize = 9;
    let mut values = [0_u32; SK_MEMINFO_VARS];
    let mut length = mem::size_of_val(&values) as libc::socklen_t;
    // SAFETY: the kernel writes at most `length` bytes into `values`.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_MEMINFO,
            values.as_mut_ptr().cast(),
            &raw mut length,
        )
    };
    if result == 0 { u64::from(values[SK_MEMINFO_DROPS]) } else { 0 }
}

/// Wakes a thread that polls: an eventfd.
#[derive(Debug)]
pub(crate) struct Wake(OwnedFd);

impl Wake {
    pub(crate) fn new() -> io::Result<Self> {
        // SAFETY: eventfd has no memory arguments; the descriptor is ours alone.
        let fd = check(unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) })?;
        // SAFETY: `fd` was just opened and nobody else owns it.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    pub(crate) fn wake(&self) {
        let one = 1_u64.to_ne_bytes();
        // SAFETY: eight bytes are read from a live array. A full counter (EAGAIN) is already a wake.
        let _ = unsafe { libc::write(self.0.as_raw_fd(), one.as_ptr().cast(), one.len()) };
    }

    pub(crate) fn clear(&self) {
        let mut value = [0_u8; 8];
        // SAFETY: eight bytes are written to a live array. Nothing to clear is no error.
        let _ = unsafe { libc::read(self.0.as_raw_fd(), value.as_mut_ptr().cast(), value.len()) };
    }
}

impl AsRawFd for Wake {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

/// Waits for readable descriptors. The answer of each wait says which of them are.
pub(crate) struct Poll(Vec<libc::pollfd>);

impl Poll {
    pub(crate) fn new(fds: impl IntoIterator<Item = RawFd>) -> Self {
        Self(fds.into_iter().map(|fd| libc::pollfd { fd, events: libc::POLLIN, revents: 0 }).collect())
    }

    /// Wait up to `timeout_ms`; descriptors with their place in `skip` are not looked at.
    pub(crate) fn wait(&mut self, timeout_ms: i32, skip: impl Fn(usize) -> bool) {
        for (place, slot) in self.0.iter_mut().enumerate() {
            slot.revents = 0;
            slot.events = if skip(place) { 0 } else { libc::POLLIN };
        }
        // SAFETY: the vector's own length is passed. EINTR leaves nothing readable, and the caller polls again.
        let ready = unsafe { libc::poll(self.0.as_mut_ptr(), self.0.len() as libc::nfds_t, timeout_ms) };
        if ready < 0 {
            for slot in &mut self.0 {
                slot.revents = 0;
            }
        }
    }

    pub(crate) fn is_readable(&self, place: usize) -> bool {
        self.0.get(place).is_some_and(|slot| slot.revents & libc::POLLIN != 0)
    }

    /// Whether an error waits there, though it may be a place that was skipped.
    pub(crate) fn has_error(&self, place: usize) -> bool {
        self.0.get(place).is_some_and(|slot| slot.revents & libc::POLLERR != 0)
    }
}

fn to_address(storage: &libc::sockaddr_storage) -> Option<SocketAddr> {
    match i32::from(storage.ss_family) {
        libc::AF_INET => {
            // SAFETY: the family says that the kernel wrote a sockaddr_in, which is smaller than the storage.
            let v4 = unsafe { &*std::ptr::from_ref(storage).cast::<libc::sockaddr_in>() };
            let ip = Ipv4Addr::from(u32::from_be(v4.sin_addr.s_addr));
            Some(SocketAddr::V4(SocketAddrV4::new(ip, u16::from_be(v4.sin_port))))
        }
        libc::AF_INET6 => {
            // SAFETY: as above, for sockaddr_in6.
            let v6 = unsafe { &*std::ptr::from_ref(storage).cast::<libc::sockaddr_in6>() };
            let ip = Ipv6Addr::from(v6.sin6_addr.s6_addr);
            Some(SocketAddr::V6(SocketAddrV6::new(ip, u16::from_be(v6.sin6_port), 0, v6.sin6_scope_id)))
        }
        _ => None,
    }
}

fn write_address(address: SocketAddr, storage: &mut libc::sockaddr_storage) -> libc::socklen_t {
    match address {
        SocketAddr::V4(v4) => {
            // SAFETY: sockaddr_in fits into the storage and all bit patterns of it are valid.
            let to = unsafe { &mut *std::ptr::from_mut(storage).cast::<libc::sockaddr_in>() };
            to.sin_family = libc::AF_INET as libc::sa_family_t;
            to.sin_port = v4.port().to_be();
            to.sin_addr.s_addr = v4.ip().to_bits().to_be();
            mem::size_of::<libc::sockaddr_in>() as libc::socklen_t
        }
        SocketAddr::V6(v6) => {
            // SAFETY: as above, for sockaddr_in6.
            let to = unsafe { &mut *std::ptr::from_mut(storage).cast::<libc::sockaddr_in6>() };
            to.sin6_family = libc::AF_INET6 as libc::sa_family_t;
            to.sin6_port = v6.port().to_be();
            to.sin6_addr.s6_addr = v6.ip().octets();
            to.sin6_scope_id = v6.scope_id();
            to.sin6_flowinfo = 0;
            mem::size_of::<libc::sockaddr_in6>() as libc::socklen_t
        }
    }
}

/// Aligned room for one control message.
#[repr(C, align(8))]
#[derive(Clone, Copy)]
struct Control([u8; CONTROL]);

fn zeroed<T: Copy>() -> T {
    // SAFETY: used below for plain C structs, for which all zeros is a valid value.
    unsafe { MaybeUninit::<T>::zeroed().assume_init() }
}

/// Buffers for one recvmmsg. They are taken once; the kernel backs only the pages that datagrams touch.
pub(crate) struct Receive {
    buffer: Vec<u8>,
    names: Box<[libc::sockaddr_storage; BATCH]>,
    controls: Box<[Control; BATCH]>,
    vectors: Box<[libc::iovec; BATCH]>,
    headers: Box<[libc::mmsghdr; BATCH]>,
}

// SAFETY: the raw pointers inside point into this value's own heap memory, which moves with it.
unsafe impl std::marker::Send for Receive {}

impl Receive {
    pub(crate) fn new() -> Self {
        let mut receive = Self {
            buffer: vec![0; BATCH * STRIDE],
            names: Box::new([zeroed(); BATCH]),
            controls: Box::new([Control([0; CONTROL]); BATCH]),
            vectors: Box::new([zeroed(); BATCH]),
            headers: Box::new([zeroed(); BATCH]),
        };
        for i in 0..BATCH {
            receive.vectors[i] =
                libc::iovec { iov_base: receive.buffer[i * STRIDE..].as_mut_ptr().cast(), iov_len: DATAGRAM + 1 };
            let header = &mut receive.headers[i].msg_hdr;
            header.msg_name = std::ptr::from_mut(&mut receive.names[i]).cast();
            header.msg_iov = std::ptr::from_mut(&mut receive.vectors[i]);
            header.msg_iovlen = 1;
        }
        receive
    }

    /// Read what is there, at most [`BATCH`] datagrams, without waiting. `wants_local` asks for the destination address.
    pub(crate) fn read(&mut self, socket: &Socket, wants_local: bool) -> io::Result<usize> {
        for i in 0..BATCH {
            let header = &mut self.headers[i].msg_hdr;
            header.msg_namelen = mem::size_of::<libc::sockaddr_storage>() as libc::socklen_t;
            header.msg_control =
                if wants_local { self.controls[i].0.as_mut_ptr().cast() } else { std::ptr::null_mut() };
            header.msg_controllen = if wants_local { CONTROL } else { 0 };
        }
        // SAFETY: every pointer in the headers leads into live memory of `self` with the length given beside it.
        let count = unsafe {
            libc::recvmmsg(
                socket.as_raw_fd(),
                self.headers.as_mut_ptr(),
                BATCH as libc::c_uint,
                libc::MSG_DONTWAIT,
                std::ptr::null_mut(),
            )
        };
        if count >= 0 {
            return Ok(usize::try_from(count).unwrap_or(0));
        }
        let error = io::Error::last_os_error();
        match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted => Ok(0),
            // The next read succeeds; what the error says is in the error queue.
            _ if error_queue::may_be_pending(&error) => Ok(0),
            _ => Err(error),
        }
    }

    /// Datagram `i` of the last read, its source, and the address that it was sent to if that was asked for.
    pub(crate) fn datagram(&self, i: usize) -> Option<(&[u8], SocketAddr, Option<IpAddr>)> {
        let header = self.headers.get(i)?;
        let length = (header.msg_len as usize).min(DATAGRAM);
        let bytes = self.buffer.get(i * STRIDE..i * STRIDE + length)?;
        let source = to_address(&self.names[i])?;
        Some((bytes, source, destination(&header.msg_hdr)))
    }
}

fn destination(header: &libc::msghdr) -> Option<IpAddr> {
    if header.msg_control.is_null() {
        return None;
    }
    // SAFETY: the kernel filled the control buffer that this header points to; the macros stay inside msg_controllen.
    unsafe {
        let mut message = libc::CMSG_FIRSTHDR(header);
        while !message.is_null() {
            match ((*message).cmsg_level, (*message).cmsg_type) {
                (libc::IPPROTO_IP, libc::IP_PKTINFO) => {
                    let info = std::ptr::read_unaligned(libc::CMSG_DATA(message).cast::<libc::in_pktinfo>());
                    return Some(IpAddr::V4(Ipv4Addr::from(u32::from_be(info.ipi_addr.s_addr))));
                }
                (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) => {
                    let info = std::ptr::read_unaligned(libc::CMSG_DATA(message).cast::<libc::in6_pktinfo>());
                    return Some(IpAddr::V6(Ipv6Addr::from(info.ipi6_addr.s6_addr)));
                }
                _ => message = libc::CMSG_NXTHDR(header, message),
            }
        }
    }
    None
}

/// One datagram to send.
pub(crate) struct Outgoing<'a> {
    pub(crate) bytes: &'a [u8],
    pub(crate) to: SocketAddr,
    /// Leave from this address; None lets the socket's own stand.
    pub(crate) from: Option<IpAddr>,
}

/// Buffers for sendmmsg.
pub(crate) struct Send {
    names: Box<[libc::sockaddr_storage; BATCH]>,
    controls: Box<[Control; BATCH]>,
    vectors: Box<[libc::iovec; BATCH]>,
    headers: Box<[libc::mmsghdr; BATCH]>,
}

// SAFETY: the raw pointers inside are set anew for each call and point into this value or into the caller's slice.
unsafe impl std::marker::Send for Send {}

impl Send {
    pub(crate) fn new() -> Self {
        Self {
            names: Box::new([zeroed(); BATCH]),
            controls: Box::new([Control([0; CONTROL]); BATCH]),
            vectors: Box::new([zeroed(); BATCH]),
            headers: Box::new([zeroed(); BATCH]),
        }
    }

    /// Send at most [`BATCH`] datagrams without waiting; returns how many the kernel would not take.
    pub(crate) fn send<'a>(&mut self, socket: &Socket, datagrams: impl Iterator<Item = Outgoing<'a>>) -> u64 {
        let mut failed = 0;
        self.send_each(socket, datagrams, |_, _| failed += 1);
        failed
    }

    /// The same; `refused` hears of each that the kernel would not take, by its place.
    pub(crate) fn send_each<'a>(
        &mut self,
        socket: &Socket,
        datagrams: impl Iterator<Item = Outgoing<'a>>,
        mut refused: impl FnMut(usize, &io::Error),
    ) {
        let mut count = 0;
        for (i, datagram) in datagrams.take(BATCH).enumerate() {
            count = i + 1;
            self.vectors[i] = libc::iovec {
                // The kernel only reads from it.
                iov_base: datagram.bytes.as_ptr().cast_mut().cast(),
                iov_len: datagram.bytes.len(),
            };
            let length = write_address(datagram.to, &mut self.names[i]);
            let header = &mut self.headers[i].msg_hdr;
            header.msg_name = std::ptr::from_mut(&mut self.names[i]).cast();
            header.msg_namelen = length;
            header.msg_iov = std::ptr::from_mut(&mut self.vectors[i]);
            header.msg_iovlen = 1;
            header.msg_control = std::ptr::null_mut();
            header.msg_controllen = 0;
            if let Some(from) = datagram.from {
                header.msg_control = self.controls[i].0.as_mut_ptr().cast();
                header.msg_controllen = CONTROL;
                header.msg_controllen = write_source(header, from);
            }
        }
        let mut sent = 0;
        let mut tries = 0;
        while sent < count {
            // SAFETY: headers `sent..count` were filled above with pointers that live through this call.
            let result = unsafe {
                libc::sendmmsg(
                    socket.as_raw_fd(),
                    self.headers[sent..].as_mut_ptr(),
                    (count - sent) as libc::c_uint,
                    libc::MSG_DONTWAIT,
                )
            };
            if result > 0 {
                sent += usize::try_from(result).unwrap_or(1);
                tries = 0;
                continue;
            }
            let error = io::Error::last_os_error();
            tries += 1;
            if error.kind() == io::ErrorKind::Interrupted || (tries < TRIES && error_queue::may_be_pending(&error)) {
                continue;
            }
            // This one cannot be sent (buffer full, no route); the next may.
            refused(sent, &error);
            sent += 1;
            tries = 0;
        }
    }
}

/// Write the packet-info control message; returns the control length.
fn write_source(header: &mut libc::msghdr, from: IpAddr) -> usize {
    // SAFETY: the control buffer holds CONTROL aligned bytes, more than either message needs.
    unsafe {
        let message = libc::CMSG_FIRSTHDR(header);
        match from {
            IpAddr::V4(ip) => {
                let mut info: libc::in_pktinfo = zeroed();
                info.ipi_spec_dst.s_addr = ip.to_bits().to_be();
                (*message).cmsg_level = libc::IPPROTO_IP;
                (*message).cmsg_type = libc::IP_PKTINFO;
                (*message).cmsg_len = libc::CMSG_LEN(mem::size_of::<libc::in_pktinfo>() as u32) as usize;
                std::ptr::write_unaligned(libc::CMSG_DATA(message).cast(), info);
                libc::CMSG_SPACE(mem::size_of::<libc::in_pktinfo>() as u32) as usize
            }
            IpAddr::V6(ip) => {
                let mut info: libc::in6_pktinfo = zeroed();
                info.ipi6_addr.s6_addr = ip.octets();
                (*message).cmsg_level = libc::IPPROTO_IPV6;
                (*message).cmsg_type = libc::IPV6_PKTINFO;
                (*message).cmsg_len = libc::CMSG_LEN(mem::size_of::<libc::in6_pktinfo>() as u32) as usize;
                std::ptr::write_unaligned(libc::CMSG_DATA(message).cast(), info);
                libc::CMSG_SPACE(mem::size_of::<libc::in6_pktinfo>() as u32) as usize
            }
        }
    }
}

/// Raise `RLIMIT_NOFILE` to its hard limit; returns what is allowed now.
pub(crate) fn raise_descriptor_limit() -> io::Result<u64> {
    let mut limit: libc::rlimit = zeroed();
    // SAFETY: the kernel writes one rlimit.
    check(unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) })?;
    let wanted = libc::rlimit { rlim_cur: limit.rlim_max, ..limit };
    // SAFETY: the kernel reads one rlimit.
    let raised = unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const wanted) } == 0;
    Ok(if raised { wanted.rlim_cur } else { limit.rlim_cur })
}

/// The two clocks: monotonic milliseconds and UTC microseconds.
pub(crate) fn now() -> guard::Now {
    let read = |clock| {
        let mut time: libc::timespec = zeroed();
        // SAFETY: the kernel writes one timespec; these two clocks always exist.
        unsafe { libc::clock_gettime(clock, &raw mut time) };
        (time.tv_sec.cast_unsigned(), time.tv_nsec.cast_unsigned())
    };
    let (mono_s, mono_ns) = read(libc::CLOCK_MONOTONIC);
    let (utc_s, utc_ns) = read(libc::CLOCK_REALTIME);
    guard::Now { ms: mono_s * 1000 + mono_ns / 1_000_000, utc_us: utc_s * 1_000_000 + utc_ns / 1000 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bound(address: &str) -> (Socket, SocketAddr) {
        let socket = udp_socket(address.parse().unwrap(), 1 << 20).unwrap();
        let local = socket.local_addr().unwrap().as_socket().unwrap();
        (socket, local)
    }

    fn read_one(receive: &mut Receive, socket: &Socket, wants_local: bool) -> usize {
        let mut poll = Poll::new([socket.as_raw_fd()]);
        poll.wait(5000, |_| false);
        assert!(poll.is_readable(0));
        receive.read(socket, wants_local).unwrap()
    }

    #[test]
    fn what_is_sent_arrives_with_its_source_over_both_families() {
        for (ours, theirs) in [("127.0.0.1:0", "127.0.0.2:0"), ("[::1]:0", "[::1]:0")] {
            let (a, a_address) = bound(ours);
            let (b, b_address) = bound(theirs);
            let outgoing = [Outgoing { bytes: b"hello", to: a_address, from: None }];
            assert_eq!(Send::new().send(&b, outgoing.into_iter()), 0);
            let mut receive = Receive::new();
            assert_eq!(read_one(&mut receive, &a, false), 1);
            assert_eq!(receive.datagram(0), Some((&b"hello"[..], b_address, None)));
        }
    }

    #[test]
    fn an_answer_leaves_from_the_address_that_was_asked() {
        let (all, all_address) = bound("0.0.0.0:0");
        let (peer, peer_address) = bound("127.0.0.1:0");
        let asked = SocketAddr::new("127.0.0.77".parse().unwrap(), all_address.port());
        Send::new().send(&peer, [Outgoing { bytes: b"?", to: asked, from: None }].into_iter());
        let mut receive = Receive::new();
        assert_eq!(read_one(&mut receive, &all, true), 1);
        let (_, source, local) = receive.datagram(0).unwrap();
        assert_eq!((source, local), (peer_address, Some(asked.ip())));
        Send::new().send(&all, [Outgoing { bytes: b"!", to: source, from: local }].into_iter());
        assert_eq!(read_one(&mut receive, &peer, false), 1);
        assert_eq!(receive.datagram(0).unwrap().1, asked);
    }

    #[test]
    fn the_filter_steers_known_sources_to_their_own_socket() {
        let (strangers, address) = bound("127.0.0.1:0");
        let known = udp_socket(address, 1 << 20).unwrap();
        attach_filter(&strangers, &crate::steer::filter(&["127.9.0.0/24".parse().unwrap()], &[], false)).unwrap();
        let mut receive = Receive::new();
        for (from, socket) in [("127.9.0.5:0", &known), ("127.9.1.5:0", &strangers)] {
            let (peer, peer_address) = bound(from);
            Send::new().send(&peer, [Outgoing { bytes: b"x", to: address, from: None }].into_iter());
            assert_eq!(read_one(&mut receive, socket, false), 1);
            assert_eq!(receive.datagram(0).unwrap().1, peer_address);
        }
    }

    #[test]
    fn what_the_kernel_drops_is_counted() {
        let socket = Socket::new(Domain::IPV4, Type::DGRAM, None).unwrap();
        socket.set_recv_buffer_size(2048).unwrap();
        socket.bind(&SockAddr::from("127.0.0.1:0".parse::<SocketAddr>().unwrap())).unwrap();
        let address = socket.local_addr().unwrap().as_socket().unwrap();
        let (peer, _) = bound("127.0.0.1:0");
        let mut send = Send::new();
        for _ in 0..10 {
            send.send(&peer, (0..BATCH).map(|_| Outgoing { bytes: &[0; 512], to: address, from: None }));
        }
        assert!(dropped(&socket) > 0);
    }
}
