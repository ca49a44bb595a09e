// SPDX-License-Identifier: Apache-2.0
//! The sockets that the configuration asks for.

use std::net::SocketAddr;

use journal::Transport;
use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use crate::config::{Config, Listen};
use crate::error::EdgeError;
use crate::shared::UdpListener;
use crate::sys;

/// All of them, bound.
#[derive(Default)]
pub(crate) struct Listeners {
    pub(crate) udp: Vec<UdpListener>,
    pub(crate) streams: Vec<StreamListener>,
    /// In the order of the configuration, ports filled in.
    pub(crate) bound: Vec<Listen>,
    /// For the operator.
    pub(crate) notes: Vec<String>,
}

/// Takes connections in.
pub(crate) struct StreamListener {
    pub(crate) socket: std::net::TcpListener,
    pub(crate) transport: Transport,
}

impl Listeners {
    pub(crate) fn bind(config: &Config) -> Result<Self, EdgeError> {
        let mut made = Self::default();
        for listen in config.listeners()? {
            match listen {
                Listen::Udp(address) => made.bind_datagrams(address, config.receive_buffer_bytes)?,
                Listen::Tcp(address) => {
                    let bound = made.bind_connections("tcp", address, Transport::Tcp)?;
                    made.bound.push(Listen::Tcp(bound));
                }
                Listen::Tls(address) if config.tls.is_none() => return Err(EdgeError::NoCertificate(address)),
                Listen::Tls(address) => {
                    let bound = made.bind_connections("tls", address, Transport::Tls)?;
                    made.bound.push(Listen::Tls(bound));
                }
            }
        }
        Ok(made)
    }

    fn bind_datagrams(&mut self, address: SocketAddr, receive_buffer_bytes: usize) -> Result<(), EdgeError> {
        let listener = bind_udp(address, receive_buffer_bytes)?;
        let given = sys::receive_buffer_bytes(&listener.strangers).unwrap_or(0);
        if given < receive_buffer_bytes {
            self.notes.push(format!(
                "udp:{address}: the kernel holds {given} bytes for each socket, {receive_buffer_bytes} were asked for: raise net.core.rmem_max"
            ));
        }
        self.bound.push(Listen::Udp(listener.address));
        self.udp.push(listener);
        Ok(())
    }

    fn bind_connections(
        &mut self,
        scheme: &str,
        address: SocketAddr,
        transport: Transport,
    ) -> Result<SocketAddr, EdgeError> {
        let (socket, bound) = bind_stream(scheme, address)?;
        self.streams.push(StreamListener { socket, transport });
        Ok(bound)
    }
}

fn listen_error(scheme: &str, address: SocketAddr, source: std::io::Error) -> EdgeError {
    let hint = match source.kind() {
        std::io::ErrorKind::AddrInUse => "Another program has this port: stop it, or choose another with --sip",
        std::io::ErrorKind::AddrNotAvailable => "This machine has no such address: choose one of its own with --sip",
        std::io::ErrorKind::PermissionDenied => "Ports below 1024 need privileges (CAP_NET_BIND_SERVICE)",
        _ => "Check the address given with --sip",
    };
    EdgeError::Listen { address: format!("{scheme}:{address}"), hint, source }
}

/// Three sockets on one address, in the order of their numbers in the group (see `steer`).
pub(crate) fn bind_udp(address: SocketAddr, receive_buffer_bytes: usize) -> Result<UdpListener, EdgeError> {
    let failed = |source| listen_error("udp", address, source);
    // A group may be joined by any process of the same user; only an exclusive bind tells that the port is free.
    let probe = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP)).map_err(failed)?;
    probe.bind(&SockAddr::from(address)).map_err(failed)?;
    drop(probe);
    let strangers = sys::udp_socket(address, receive_buffer_bytes).map_err(failed)?;
    let bound = strangers.local_addr().map_err(failed)?.as_socket().unwrap_or(address);
    if address.is_ipv4() {
        // Answers that might need fragments leave by the other socket of the pair.
        sys::forbid_fragments(&strangers).map_err(failed)?;
    }
    let known = sys::udp_socket(bound, receive_buffer_bytes).map_err(failed)?;
    let phones = sys::udp_socket(bound, receive_buffer_bytes).map_err(failed)?;
    let listener = UdpListener { strangers, known, phones, address: bound };
    for socket in listener.sockets() {
        sys::hear_errors(socket, true).map_err(failed)?;
    }
    Ok(listener)
}

fn bind_stream(scheme: &str, address: SocketAddr) -> Result<(std::net::TcpListener, SocketAddr), EdgeError> {
    let failed = |source| listen_error(scheme, address, source);
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP)).map_err(failed)?;
    if address.is_ipv6() {
        socket.set_only_v6(true).map_err(failed)?;
    }
    socket.set_reuse_address(true).map_err(failed)?;
    socket.bind(&SockAddr::from(address)).map_err(failed)?;
    socket.listen(1024).map_err(failed)?;
    socket.set_nonblocking(true).map_err(failed)?;
    let listener = std::net::TcpListener::from(socket);
    let bound = listener.local_addr().map_err(failed)?;
    Ok((listener, bound))
}
