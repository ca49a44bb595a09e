// SPDX-License-Identifier: Apache-2.0
//! Who a packet is from, as a key: an IPv4 address (v4-mapped too) or an IPv6 /64; and the network around it.

use std::net::IpAddr;

/// What state about strangers is keyed by: IPv4 address or IPv6 /64, since one IPv6 host owns a whole /64.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct SourceKey(u64);

/// The /24 (IPv4) or /56 (IPv6) around a source: the step that folding widens to.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct NetworkKey(u64);

/// IPv4 keys live under `ff00::/8`, multicast, which no packet comes from.
const IPV4: u64 = 0xff00_0000_0000_0000;

impl SourceKey {
    /// The key of an address.
    pub fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(v4) => Self(IPV4 | u64::from(v4.to_bits())),
            IpAddr::V6(v6) => Self((v6.to_bits() >> 64) as u64),
        }
    }

    /// The network around the source.
    pub fn network(self) -> NetworkKey {
        // Both steps drop the low eight bits of the key: /32 -> /24 and /64 -> /56.
        NetworkKey(self.0 & !0xff)
    }

    /// The bare number, for tables that key several kinds of thing.
    pub fn get(self) -> u64 {
        self.0
    }

    /// The key as eight bytes, for a MAC.
    pub fn to_bytes(self) -> [u8; 8] {
        self.0.to_be_bytes()
    }
}

impl NetworkKey {
    /// The bare number, for tables that key several kinds of thing.
    pub fn get(self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> SourceKey {
        SourceKey::of(text.parse().expect("an address"))
    }

    #[test]
    fn mapped_ipv4_is_ipv4_and_ipv6_counts_by_its_64() {
        assert_eq!(key("192.0.2.1"), key("::ffff:192.0.2.1"));
        assert_eq!(key("2001:db8:0:1::1"), key("2001:db8:0:1:ffff::2"));
        assert_ne!(key("2001:db8:0:1::1"), key("2001:db8:0:2::1"));
        assert_ne!(key("::1"), key("0.0.0.0"));
    }

    #[test]
    fn the_network_is_a_24_or_a_56() {
        assert_eq!(key("192.0.2.1").network(), key("192.0.2.254").network());
        assert_ne!(key("192.0.2.1").network(), key("192.0.3.1").network());
        assert_eq!(key("2001:db8:0:1::1").network(), key("2001:db8:0:ff::1").network());
        assert_ne!(key("2001:db8:0:1::1").network(), key("2001:db8:0:100::1").network());
    }
}
