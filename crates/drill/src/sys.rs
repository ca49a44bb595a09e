// SPDX-License-Identifier: Apache-2.0
//! The system calls that the standard library does not offer: batches of datagrams, the source address of each, socket
//! buffers beyond the usual limit, pinning, signals. The only unsafe code of this crate.
#![allow(unsafe_code)]
// The kernel's return values are checked for their sign before they are cast; its structures are written through byte arrays
// whose alignment is stated by `repr(align)`.
#![allow(clippy::cast_sign_loss, clippy::cast_ptr_alignment, clippy::cast_possible_wrap)]

use std::io;
use std::mem;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6, UdpSocket};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::ptr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use libc::{c_int, c_uint, c_void, iovec, mmsghdr, sockaddr_in, sockaddr_in6, socklen_t};

/// A socket address as the kernel wants it: an IPv4 or an IPv6 one, whichever `length` says.
#[derive(Clone, Copy)]
#[repr(C, align(8))]
pub struct Name {
    bytes: [u8; mem::size_of::<sockaddr_in6>()],
    length: socklen_t,
}

const NO_NAME: Name = Name { bytes: [0; mem::size_of::<sockaddr_in6>()], length: 0 };

impl From<SocketAddr> for Name {
    fn from(address: SocketAddr) -> Self {
        let mut name = NO_NAME;
        match address {
            SocketAddr::V4(v4) => {
                // SAFETY: an all-zero sockaddr_in is a valid value.
                let mut raw: sockaddr_in = unsafe { mem::zeroed() };
                raw.sin_family = libc::AF_INET as libc::sa_family_t;
                raw.sin_port = v4.port().to_be();
                raw.sin_addr.s_addr = u32::from_ne_bytes(v4.ip().octets());
                name.length = mem::size_of::<sockaddr_in>() as socklen_t;
                // SAFETY: `bytes` is aligned to 8 and at least as large as a sockaddr_in.
                unsafe { ptr::write(name.bytes.as_mut_ptr().cast(), raw) };
            }
            SocketAddr::V6(v6) => {
                // SAFETY: an all-zero sockaddr_in6 is a valid value.
                let mut raw: sockaddr_in6 = unsafe { mem::zeroed() };
                raw.sin6_family = libc::AF_INET6 as libc::sa_family_t;
                raw.sin6_port = v6.port().to_be();
                raw.sin6_addr.s6_addr = v6.ip().octets();
                raw.sin6_scope_id = v6.scope_id();
                name.length = mem::size_of::<sockaddr_in6>() as socklen_t;
                // SAFETY: `bytes` is aligned to 8 and exactly as large as a sockaddr_in6.
                unsafe { ptr::write(name.bytes.as_mut_ptr().cast(), raw) };
            }
        }
        name
    }
}

/// Room for the control message that carries one `in_pktinfo`.
#[repr(C, align(8))]
#[derive(Clone, Copy)]
struct Control([u8; CONTROL_BYTES]);

// SAFETY: CMSG_SPACE and CMSG_LEN only compute.
const CONTROL_BYTES: usize = unsafe { libc::CMSG_SPACE(mem::size_of::<libc::in_pktinfo>() as c_uint) } as usize;

/// The control message that makes the kernel send from `source` (IPv4 only), whatever the socket is bound to.
fn send_from(source: Ipv4Addr) -> Control {
    let mut control = Control([0; CONTROL_BYTES]);
    let header = control.0.as_mut_ptr().cast::<libc::cmsghdr>();
    // SAFETY: `control` is aligned to 8 and holds a cmsghdr followed by an in_pktinfo.
    unsafe {
        (*header).cmsg_level = libc::IPPROTO_IP;
        (*header).cmsg_type = libc::IP_PKTINFO;
        (*header).cmsg_len = libc::CMSG_LEN(mem::size_of::<libc::in_pktinfo>() as c_uint) as _;
        let address = libc::in_addr { s_addr: u32::from_ne_bytes(source.octets()) };
        let any = libc::in_addr { s_addr: 0 };
        ptr::write_unaligned(
            libc::CMSG_DATA(header).cast(),
            libc::in_pktinfo { ipi_ifindex: 0, ipi_spec_dst: address, ipi_addr: any },
        );
    }
    control
}

/// Datagrams received together.
pub struct Received {
    datagram_bytes: usize,
    buffers: Vec<u8>,
    lengths: Vec<usize>,
    names: Vec<Name>,
    vectors: Vec<iovec>,
    headers: Vec<mmsghdr>,
}

impl Received {
    /// Room for `count` datagrams of at most `datagram_bytes`; longer ones arrive cut.
    pub fn new(count: usize, datagram_bytes: usize) -> Self {
        Self {
            datagram_bytes,
            buffers: vec![0; count * datagram_bytes],
            lengths: vec![0; count],
            names: vec![NO_NAME; count],
            vectors: vec![iovec { iov_base: ptr::null_mut(), iov_len: 0 }; count],
            // SAFETY: an all-zero mmsghdr is a valid value.
            headers: vec![unsafe { mem::zeroed() }; count],
        }
    }

    /// Receives what is there, at most a batch. With `wait` it waits for the first one (until the socket's read time-out).
    ///
    /// Shape: 0 when nothing came. Raises: the kernel's error, save those that only say "nothing yet".
    pub fn receive(&mut self, socket: &UdpSocket, wait: bool, with_names: bool) -> io::Result<usize> {
        let base = self.buffers.as_mut_ptr();
        for (i, ((header, vector), name)) in
            self.headers.iter_mut().zip(&mut self.vectors).zip(&mut self.names).enumerate()
        {
            // SAFETY: `i` is below the count that `buffers` was sized for.
            vector.iov_base = unsafe { base.add(i * self.datagram_bytes) }.cast();
            vector.iov_len = self.datagram_bytes;
            header.msg_hdr.msg_iov = vector;
            header.msg_hdr.msg_iovlen = 1;
            if with_names {
                header.msg_hdr.msg_name = name.bytes.as_mut_ptr().cast();
                header.msg_hdr.msg_namelen = name.bytes.len() as socklen_t;
            }
        }
        let flags = if wait { libc::MSG_WAITFORONE } else { libc::MSG_DONTWAIT };
        // SAFETY: each header points to its own live vector, and each vector to its own part of `buffers`; all of them are
        // borrowed mutably by this call and none is kept by the kernel after it.
        let got = unsafe {
            libc::recvmmsg(
                socket.as_raw_fd(),
                self.headers.as_mut_ptr(),
                self.headers.len() as c_uint,
                flags as _,
                ptr::null_mut(),
            )
        };
        if got < 0 {
            let error = io::Error::last_os_error();
            return match error.kind() {
                io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted | io::ErrorKind::ConnectionRefused => Ok(0),
                _ => Err(error),
            };
        }
        let got = got as usize;
        for ((length, name), header) in self.lengths.iter_mut().zip(&mut self.names).zip(&self.headers[..got]) {
            *length = header.msg_len as usize;
            name.length = header.msg_hdr.msg_namelen.min(name.bytes.len() as socklen_t);
        }
        Ok(got)
    }

    /// The bytes of datagram `i` of the last batch.
    pub fn datagram(&self, i: usize) -> &[u8] {
        &self.buffers[i * self.datagram_bytes..][..self.lengths[i]]
    }

    /// Where datagram `i` came from.
    pub fn name(&self, i: usize) -> Name {
        self.names[i]
    }
}

/// Datagrams to be sent together.
pub struct Outgoing {
    datagram_bytes: usize,
    buffers: Vec<u8>,
    lengths: Vec<usize>,
    names: Vec<Name>,
    controls: Vec<Option<Control>>,
    vectors: Vec<iovec>,
    headers: Vec<mmsghdr>,
}

impl Outgoing {
    /// Room for `count` datagrams of at most `datagram_bytes`.
    pub fn new(count: usize, datagram_bytes: usize) -> Self {
        Self {
            datagram_bytes,
            buffers: vec![0; count * datagram_bytes],
            lengths: vec![0; count],
            names: vec![NO_NAME; count],
            controls: vec![None; count],
            vectors: vec![iovec { iov_base: ptr::null_mut(), iov_len: 0 }; count],
            // SAFETY: an all-zero mmsghdr is a valid value.
            headers: vec![unsafe { mem::zeroed() }; count],
        }
    }

    /// The buffer of datagram `i`.
    pub fn buffer(&mut self, i: usize) -> &mut [u8] {
        &mut self.buffers[i * self.datagram_bytes..][..self.datagram_bytes]
    }

    /// States how much of buffer `i` to send, and to whom.
    pub fn address(&mut self, i: usize, length: usize, to: Name) {
        self.lengths[i] = length.min(self.datagram_bytes);
        self.names[i] = to;
        self.controls[i] = None;
    }

    /// Sends datagram `i` from this address of the machine, whatever the socket is bound to.
    pub fn leave_from(&mut self, i: usize, source: Ipv4Addr) {
        self.controls[i] = Some(send_from(source));
    }

    /// Sends datagrams `from..to`. Returns how many went out, which may be fewer, even 0 when the socket's buffer is full.
    pub fn send(&mut self, socket: &UdpSocket, from: usize, to: usize) -> io::Result<usize> {
        let base = self.buffers.as_mut_ptr();
        for i in from..to {
            let vector = &mut self.vectors[i];
            // SAFETY: `i` was checked against the count by the indexing above; `buffers` was sized for that count.
            vector.iov_base = unsafe { base.add(i * self.datagram_bytes) }.cast();
            vector.iov_len = self.lengths[i];
            let header = &mut self.headers[i].msg_hdr;
            header.msg_iov = vector;
            header.msg_iovlen = 1;
            header.msg_name = self.names[i].bytes.as_mut_ptr().cast();
            header.msg_namelen = self.names[i].length;
            (header.msg_control, header.msg_controllen) = match &mut self.controls[i] {
                Some(control) => (control.0.as_mut_ptr().cast(), CONTROL_BYTES as _),
                None => (ptr::null_mut(), 0),
            };
        }
        let headers = &mut self.headers[from..to];
        // SAFETY: every header in the range was pointed to live, disjoint memory just above, which the kernel only reads and
        // does not keep.
        let sent = unsafe { libc::sendmmsg(socket.as_raw_fd(), headers.as_mut_ptr(), headers.len() as c_uint, 0) };
        if sent >= 0 { Ok(sent as usize) } else { nothing_sent() }
    }
}

impl Outgoing {
    /// The bytes of the first `count` datagrams together.
    pub fn bytes(&self, count: usize) -> u64 {
        self.lengths[..count].iter().sum::<usize>() as u64
    }

    /// Hands datagrams `from..to` to the kernel as one piece, to be cut into datagrams there (`UDP_SEGMENT`). All go to the
    /// address of the first, and all become as long as the longest, by spaces after their end.
    ///
    /// Returns how many went out: all or none.
    pub fn send_train(&mut self, socket: &UdpSocket, from: usize, to: usize) -> io::Result<usize> {
        let size = self.lengths[from..to].iter().copied().max().unwrap_or(0);
        for i in from..to {
            let length = self.lengths[i];
            self.buffer(i)[length..size].fill(b' ');
            self.lengths[i] = size;
        }
        let base = self.buffers.as_mut_ptr();
        for (i, vector) in (from..to).zip(&mut self.vectors[from..to]) {
            // SAFETY: `i` is below the count that `buffers` was sized for.
            vector.iov_base = unsafe { base.add(i * self.datagram_bytes) }.cast();
            vector.iov_len = size;
        }
        let mut control = TrainControl([0; SEGMENT_BYTES + CONTROL_BYTES]);
        let segment = control.0.as_mut_ptr().cast::<libc::cmsghdr>();
        // SAFETY: `control` is aligned to 8 and holds a cmsghdr followed by a u16.
        unsafe {
            (*segment).cmsg_level = libc::SOL_UDP;
            (*segment).cmsg_type = libc::UDP_SEGMENT;
            (*segment).cmsg_len = libc::CMSG_LEN(mem::size_of::<u16>() as c_uint) as _;
            ptr::write_unaligned(libc::CMSG_DATA(segment).cast(), size as u16);
        }
        let mut used = SEGMENT_BYTES;
        if let Some(source) = &self.controls[from] {
            control.0[SEGMENT_BYTES..].copy_from_slice(&source.0);
            used += CONTROL_BYTES;
        }
        // SAFETY: an all-zero msghdr is a valid value.
        let mut header: libc::msghdr = unsafe { mem::zeroed() };
        header.msg_name = self.names[from].bytes.as_mut_ptr().cast();
        header.msg_namelen = self.names[from].length;
        header.msg_iov = self.vectors[from..to].as_mut_ptr();
        header.msg_iovlen = (to - from) as _;
        header.msg_control = control.0.as_mut_ptr().cast();
        header.msg_controllen = used as _;
        // SAFETY: the header points to live memory set up above, which the kernel only reads and does not keep.
        let sent = unsafe { libc::sendmsg(socket.as_raw_fd(), &raw const header, 0) };
        if sent >= 0 { Ok(to - from) } else { nothing_sent() }
    }
}

// SAFETY: CMSG_SPACE only computes.
const SEGMENT_BYTES: usize = unsafe { libc::CMSG_SPACE(mem::size_of::<u16>() as c_uint) } as usize;

#[repr(C, align(8))]
struct TrainControl([u8; SEGMENT_BYTES + CONTROL_BYTES]);

/// After a failed send: 0 if it may be tried again, else the error.
fn nothing_sent() -> io::Result<usize> {
    let error = io::Error::last_os_error();
    match error.raw_os_error() {
        Some(libc::EAGAIN | libc::EINTR | libc::ENOBUFS | libc::ECONNREFUSED) => Ok(0),
        _ => Err(error),
    }
}

fn option<T>(fd: c_int, level: c_int, name: c_int, value: &T) -> io::Result<()> {
    // SAFETY: `value` is live and its size is passed with it.
    let done = unsafe {
        libc::setsockopt(fd, level, name, ptr::from_ref(value).cast::<c_void>(), mem::size_of::<T>() as socklen_t)
    };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Opens a UDP socket bound to `local`, with buffers of these sizes in bytes (more than the machine's limit where that is
/// allowed to this process, else as much as the limit).
pub fn udp_socket(local: SocketAddr, receive_bytes: c_int, send_bytes: c_int) -> io::Result<UdpSocket> {
    let family = if local.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 };
    // SAFETY: no pointers are passed.
    let fd = unsafe { libc::socket(family, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: `fd` was just opened and nothing else owns it.
    let owned = unsafe { OwnedFd::from_raw_fd(fd) };
    for (forced, usual, bytes) in
        [(libc::SO_RCVBUFFORCE, libc::SO_RCVBUF, receive_bytes), (libc::SO_SNDBUFFORCE, libc::SO_SNDBUF, send_bytes)]
    {
        option(fd, libc::SOL_SOCKET, forced, &bytes).or_else(|_| option(fd, libc::SOL_SOCKET, usual, &bytes))?;
    }
    if local.is_ipv4() {
        // With DF always set the kernel need not draw an IP identification from its shared table: 3 % of a refusal.
        option(fd, libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, &libc::IP_PMTUDISC_DO)?;
    }
    let name = Name::from(local);
    // SAFETY: `name` is live and `length` is the size of the address in it.
    if unsafe { libc::bind(fd, name.bytes.as_ptr().cast(), name.length) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(UdpSocket::from(owned))
}

/// Datagrams that the kernel threw away because this socket's buffer was full, since it was opened.
pub fn dropped(socket: &UdpSocket) -> io::Result<u64> {
    const DROPS: usize = 8; // SK_MEMINFO_DROPS in linux/sock_diag.h
    let mut values = [0u32; 9];
    let mut length = mem::size_of_val(&values) as socklen_t;
    // SAFETY: `values` is live and its size is passed with it.
    let done = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_MEMINFO,
            values.as_mut_ptr().cast(),
            &raw mut length,
        )
    };
    if done == 0 { Ok(u64::from(values[DROPS])) } else { Err(io::Error::last_os_error()) }
}

/// Waits until one of the sockets has something to read, at most this long.
pub fn wait_readable<'a>(sockets: impl IntoIterator<Item = &'a UdpSocket>, limit: Duration) {
    let mut polled: Vec<libc::pollfd> = sockets
        .into_iter()
        .map(|socket| libc::pollfd { fd: socket.as_raw_fd(), events: libc::POLLIN, revents: 0 })
        .collect();
    let limit = libc::timespec { tv_sec: limit.as_secs() as _, tv_nsec: i64::from(limit.subsec_nanos()) as _ };
    // SAFETY: `polled` and `limit` are live; a null signal mask leaves the mask alone. The result does not matter: the caller
    // reads without waiting and looks at the clock.
    unsafe { libc::ppoll(polled.as_mut_ptr(), polled.len() as _, &raw const limit, ptr::null()) };
}

/// Lets the calling thread run on this core only.
pub fn pin_to_core(core: usize) -> io::Result<()> {
    // SAFETY: an all-zero cpu_set_t is the empty set; CPU_SET checks its index against the set's size.
    let set = unsafe {
        let mut set: libc::cpu_set_t = mem::zeroed();
        if core >= 8 * mem::size_of::<libc::cpu_set_t>() {
            return Err(io::Error::from(io::ErrorKind::InvalidInput));
        }
        libc::CPU_SET(core, &mut set);
        set
    };
    // SAFETY: `set` is live and its size is passed with it.
    let done = unsafe { libc::sched_setaffinity(0, mem::size_of_val(&set), &raw const set) };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Processor time of the calling thread.
pub fn thread_cpu_time() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is live.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// Allows this process as many open files as it may have, and returns that number.
pub fn raise_open_files() -> io::Result<u64> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is live.
    if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) } != 0 {
        return Err(io::Error::last_os_error());
    }
    limit.rlim_cur = limit.rlim_max;
    // SAFETY: `limit` is live.
    if unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(limit.rlim_cur)
}

static STOPPED: AtomicBool = AtomicBool::new(false);

extern "C" fn note_stop(_: c_int) {
    STOPPED.store(true, Ordering::Relaxed);
}

/// A flag that SIGINT and SIGTERM set from now on, in place of ending the process. For the binaries.
pub fn stop_on_signals() -> &'static AtomicBool {
    for signal in [libc::SIGINT, libc::SIGTERM] {
        // SAFETY: the handler only stores to an atomic, which is allowed in a signal handler.
        unsafe { libc::signal(signal, note_stop as extern "C" fn(c_int) as libc::sighandler_t) };
    }
    &STOPPED
}

/// The address in a [`Name`], for messages to people.
pub fn address_of(name: &Name) -> Option<SocketAddr> {
    if name.length as usize == mem::size_of::<sockaddr_in>() {
        // SAFETY: `bytes` is aligned to 8 and at least as large as a sockaddr_in, for which every bit pattern is valid.
        let raw: sockaddr_in = unsafe { ptr::read(name.bytes.as_ptr().cast()) };
        let ip = Ipv4Addr::from(raw.sin_addr.s_addr.to_ne_bytes());
        return Some(SocketAddr::V4(SocketAddrV4::new(ip, u16::from_be(raw.sin_port))));
    }
    if name.length as usize == mem::size_of::<sockaddr_in6>() {
        // SAFETY: as above, for a sockaddr_in6.
        let raw: sockaddr_in6 = unsafe { ptr::read(name.bytes.as_ptr().cast()) };
        let ip = Ipv6Addr::from(raw.sin6_addr.s6_addr);
        return Some(SocketAddr::V6(SocketAddrV6::new(ip, u16::from_be(raw.sin6_port), 0, raw.sin6_scope_id)));
    }
    None
}

/// The wildcard address of the target's family: replies to any of our source addresses arrive there.
pub fn wildcard(target: SocketAddr) -> SocketAddr {
    match target.ip() {
        IpAddr::V4(_) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
        IpAddr::V6(_) => SocketAddr::from((Ipv6Addr::LOCALHOST, 0)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_survives_the_kernels_form() {
        for text in ["127.1.2.3:40001", "[::1]:5060"] {
            let address: SocketAddr = text.parse().unwrap();
            assert_eq!(address_of(&Name::from(address)), Some(address));
        }
    }

    #[test]
    fn a_batch_arrives_from_the_addresses_it_was_sent_from() {
        let receiver = udp_socket("127.0.0.1:0".parse().unwrap(), 1 << 20, 1 << 20).unwrap();
        receiver.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        let to = receiver.local_addr().unwrap();
        let sender = udp_socket(wildcard(to), 1 << 20, 1 << 20).unwrap();
        let mut out = Outgoing::new(3, 64);
        for i in 0..3u8 {
            out.buffer(i.into())[..2].copy_from_slice(&[b'a', i]);
            out.address(i.into(), 2, Name::from(to));
            out.leave_from(i.into(), Ipv4Addr::new(127, 1, 0, i + 1));
        }
        assert_eq!(out.send(&sender, 0, 3).unwrap(), 3);
        let mut batch = Received::new(8, 64);
        let mut seen = Vec::new();
        while seen.len() < 3 {
            let got = batch.receive(&receiver, true, true).unwrap();
            assert!(got > 0, "nothing came within the time-out");
            for i in 0..got {
                seen.push((batch.datagram(i).to_vec(), address_of(&batch.name(i)).unwrap().ip().to_string()));
            }
        }
        let expected: Vec<_> = (0..3u8).map(|i| (vec![b'a', i], format!("127.1.0.{}", i + 1))).collect();
        assert_eq!(seen, expected);
    }

    #[test]
    fn a_socket_that_overflows_counts_what_it_lost() {
        let receiver = udp_socket("127.0.0.1:0".parse().unwrap(), 2048, 2048).unwrap();
        let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
        for _ in 0..200 {
            sender.send_to(&[0; 1000], receiver.local_addr().unwrap()).unwrap();
        }
        let mut batch = Received::new(256, 1024);
        let got = batch.receive(&receiver, false, false).unwrap();
        assert_eq!(got as u64 + dropped(&receiver).unwrap(), 200);
    }
}
