// SPDX-License-Identifier: Apache-2.0
//! Challenges: their header fields, and the budget that keeps them from being a reflector's tool.
//!
//! A challenge may be larger than its request by at most 256 bytes, inside a budget per network and in total.

use crate::bucket::TokenBucket;
use crate::snapshot::Parameters;
use crate::source::{NetworkKey, SourceKey};
use crate::table::BoundedMap;

/// Bytes by which a challenge may exceed its request.
pub(crate) const MAX_EXCESS: usize = 256;
/// Seconds of the rate that may be saved up.
const BURST_S: u64 = 5;
const NETWORKS: usize = 1 << 14;

/// Bytes beyond the requests' own that challenges may still send.
pub(crate) struct ChallengeBudget {
    total: TokenBucket,
    networks: BoundedMap<NetworkKey, TokenBucket>,
}

impl ChallengeBudget {
    /// A budget with full savings.
    pub(crate) fn new(parameters: &Parameters, now_ms: u64) -> Self {
        let burst = parameters.rf_challenge_bytes_per_s.saturating_mul(BURST_S);
        Self { total: TokenBucket::full(burst, now_ms), networks: BoundedMap::new(NETWORKS) }
    }

    /// Take `excess` bytes for a challenge to `source`, if both budgets have them.
    pub(crate) fn take(&mut self, source: SourceKey, excess: u64, parameters: &Parameters, now_ms: u64) -> bool {
        let (rate, network_rate) = (parameters.rf_challenge_bytes_per_s, parameters.rf_challenge_network_bytes_per_s);
        let (burst, network_burst) = (rate.saturating_mul(BURST_S), network_rate.saturating_mul(BURST_S));
        let network = self.networks.get_or_insert_with(source.network(), || TokenBucket::full(network_burst, now_ms));
        network.left(network_rate, network_burst, now_ms) >= excess
            && self.total.take(excess, rate, burst, now_ms)
            && network.take(excess, network_rate, network_burst, now_ms)
    }
}

/// The values of the challenge header fields for a nonce: SHA-256 first, as RFC 8760 §2.4 wants the preferred one, then MD5 for
/// the phones that know nothing else. `RF_DIGEST_SHA256` off is for those that give up at an algorithm that they do not know,
/// whatever else is offered (libre 1.1, as in baresip 1.0).
pub(crate) fn values(realm: &str, nonce: &[u8], is_stale: bool, parameters: &Parameters) -> Vec<Vec<u8>> {
    let algorithms: &[&[u8]] = if parameters.rf_digest_sha256 == 0 { &[b"MD5"] } else { &[b"SHA-256", b"MD5"] };
    let end: &[u8] = if is_stale { b",qop=\"auth\",stale=true" } else { b",qop=\"auth\"" };
    let value = |algorithm: &&[u8]| {
        [b"Digest realm=\"", realm.as_bytes(), b"\",nonce=\"", nonce, b"\",algorithm=", algorithm, end].concat()
    };
    algorithms.iter().map(value).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_budget_holds_per_network_and_in_total() {
        let parameters = Parameters {
            rf_challenge_bytes_per_s: 300,
            rf_challenge_network_bytes_per_s: 100,
            ..Parameters::default()
        };
        let mut budget = ChallengeBudget::new(&parameters, 0);
        let mut taken = |address: &str| {
            let source = SourceKey::of(address.parse().expect("an address"));
            (0..100).filter(|_| budget.take(source, 100, &parameters, 0)).count()
        };
        assert_eq!(taken("192.0.2.1"), 5);
        assert_eq!(taken("192.0.2.2"), 0);
        assert_eq!(taken("198.51.100.1"), 5);
        assert_eq!(taken("203.0.113.1"), 5);
        assert_eq!(taken("10.0.0.1"), 0);
    }
}
