// SPDX-License-Identifier: Apache-2.0
//! Where a drill may aim: at this machine's loopback addresses and nowhere else.

use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use crate::DrillError;

/// An address that has been checked to be loopback; there is no other way to name a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Target(SocketAddr);

impl Target {
    /// Accepts 127.0.0.0/8 and `::1` only. A mapped address (`::ffff:127.0.0.1`) is refused: write the IPv4 form.
    pub fn new(address: SocketAddr) -> Result<Self, DrillError> {
        let is_loopback = match address.ip() {
            IpAddr::V4(v4) => v4.is_loopback(),
            IpAddr::V6(v6) => v6.is_loopback(),
        };
        if is_loopback { Ok(Self(address)) } else { Err(DrillError::NotLoopback(address.ip().to_string())) }
    }

    /// The address.
    pub fn address(self) -> SocketAddr {
        self.0
    }
}

impl FromStr for Target {
    type Err = DrillError;

    /// Reads `127.0.0.1:5060`, `[::1]:5060`, or either after `udp:` or `tcp:`. Names are not looked up.
    fn from_str(text: &str) -> Result<Self, DrillError> {
        let bare = text.strip_prefix("udp:").or_else(|| text.strip_prefix("tcp:")).unwrap_or(text);
        Self::new(bare.parse().map_err(|_| DrillError::BadAddress(text.to_owned()))?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_addresses_are_accepted() {
        for text in ["127.0.0.1:5060", "udp:127.9.8.7:1", "[::1]:5060", "tcp:[::1]:5070"] {
            assert!(text.parse::<Target>().is_ok(), "{text}");
        }
    }

    #[test]
    fn every_other_address_is_refused() {
        for text in [
            "192.0.2.1:5060",
            "0.0.0.0:5060",
            "[::]:5060",
            "[2001:db8::1]:5060",
            "[::ffff:127.0.0.1]:5060",
            "128.0.0.1:1",
        ] {
            assert!(matches!(text.parse::<Target>(), Err(DrillError::NotLoopback(_))), "{text}");
        }
    }

    #[test]
    fn names_and_missing_ports_are_refused() {
        for text in ["localhost:5060", "127.0.0.1", "", "127.0.0.1:70000"] {
            assert!(matches!(text.parse::<Target>(), Err(DrillError::BadAddress(_))), "{text}");
        }
    }
}
