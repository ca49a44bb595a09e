// SPDX-License-Identifier: Apache-2.0
//! The node's configuration as the edge needs it (from `ringfence.toml` by way of the switch).

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

use serde::Deserialize;

use crate::error::EdgeError;
use crate::hep::Homer;

/// Where to listen, where to write, and the limits of streams.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// `udp:127.0.0.1:5060`, `tcp:[::1]:5060`, `tls:127.0.0.1:5061`.
    pub listen: Vec<String>,
    /// Directory that holds `edge/` and `calls/`.
    pub journal: PathBuf,
    /// Kernel buffer of each UDP socket.
    pub receive_buffer_bytes: usize,
    /// TCP and TLS.
    pub stream: StreamLimits,
    /// Where copies of traced messages go.
    pub homer: Option<Homer>,
    /// Needed to listen with TLS.
    #[serde(default)]
    pub tls: Option<TlsConfig>,
}

/// Certificates, and limits of handshakes.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsConfig {
    /// PEM: our certificate, then those that lead to its authority.
    pub certificate: PathBuf,
    /// PEM: the private key of it.
    pub key: PathBuf,
    /// PEM: the authorities that are believed; None = those of the system.
    pub ca: Option<PathBuf>,
    /// Seconds that a handshake may take.
    pub handshake_s: u64,
    /// Handshakes of one stranger (IPv4 address or IPv6 /64) at a time.
    pub max_handshakes_per_source: usize,
}

/// Limits that keep strangers' connections from using the node up.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StreamLimits {
    /// Connections at a time.
    pub max_connections: usize,
    /// Of these, kept for known sources.
    pub reserved_connections: usize,
    /// Connections of one stranger (IPv4 address or IPv6 /64) at a time.
    pub max_per_source: usize,
    /// Seconds until the first byte.
    pub first_byte_s: u64,
    /// Seconds until a started message is whole.
    pub message_s: u64,
    /// Seconds of silence after a message.
    pub idle_s: u64,
    /// Bytes that all connections together may have buffered of unfinished messages.
    pub buffered_bytes: usize,
}

/// One listening address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listen {
    /// Datagrams.
    Udp(SocketAddr),
    /// Streams.
    Tcp(SocketAddr),
    /// Encrypted streams.
    Tls(SocketAddr),
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Udp(address) => write!(f, "udp:{address}"),
            Self::Tcp(address) => write!(f, "tcp:{address}"),
            Self::Tls(address) => write!(f, "tls:{address}"),
        }
    }
}

impl Config {
    /// Parse the JSON document.
    pub fn from_json(json: &[u8]) -> Result<Self, EdgeError> {
        serde_json::from_slice(json).map_err(|error| EdgeError::Config(error.to_string()))
    }

    /// The listening addresses, parsed.
    pub fn listeners(&self) -> Result<Vec<Listen>, EdgeError> {
        let parse = |text: &String| {
            let (scheme, address) = text.split_once(':')?;
            let address = address.parse().ok()?;
            match scheme {
                "udp" => Some(Listen::Udp(address)),
                "tcp" => Some(Listen::Tcp(address)),
                "tls" => Some(Listen::Tls(address)),
                _ => None,
            }
        };
        let listeners = self.listen.iter().map(|text| {
            parse(text).ok_or_else(|| {
                EdgeError::Config(format!("{text:?} is no listening address (udp:IP:PORT, tcp:IP:PORT or tls:IP:PORT)"))
            })
        });
        listeners.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_nonsense_is_named() {
        let mut config = Config::from_json(
            br#"{"listen":["udp:127.0.0.1:5060","tcp:[::1]:5061","tls:127.0.0.1:5061"],"journal":"j","receive_buffer_bytes":1,
                "stream":{"max_connections":1,"reserved_connections":0,"max_per_source":1,"first_byte_s":1,"message_s":1,"idle_s":1,"buffered_bytes":1}}"#,
        )
        .unwrap();
        let listeners = config.listeners().unwrap();
        let said: Vec<String> = listeners.iter().map(ToString::to_string).collect();
        assert_eq!(said, config.listen);
        config.listen = vec!["sctp:127.0.0.1:5060".into()];
        assert!(config.listeners().unwrap_err().to_string().contains("sctp:127.0.0.1:5060"));
    }
}
