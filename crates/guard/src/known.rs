// SPDX-License-Identifier: Apache-2.0
//! Limits of known sources: a gateway or a phone that floods meets its own bucket, and others do not notice.

use std::collections::HashMap;

use sip::Method;

use crate::bucket::TokenBucket;
use crate::snapshot::Gateway;

/// Requests other than INVITE that a gateway may send for each call that it may start (OPTIONS pings, text messages).
const OTHERS_PER_CALL: u64 = 10;
/// New calls, text messages and OPTIONS per second of one phone, and at once.
const PHONE_CALLS: (u64, u64) = (5, 10);

struct Limits {
    calls: TokenBucket,
    others: TokenBucket,
    in_flight: u32,
}

/// One entry per gateway or phone that spoke; bounded by the operator's own objects.
#[derive(Default)]
pub(crate) struct KnownSources {
    gateways: HashMap<u32, Limits>,
    phones: HashMap<Vec<u8>, TokenBucket>,
}

impl KnownSources {
    /// Take one call or other request from a gateway's allowance; true if it may pass. A pass is in flight until [`Self::taken_up`].
    pub(crate) fn admit(&mut self, gateway: &Gateway, is_call: bool, now_ms: u64) -> bool {
        let (rate, burst) = (u64::from(gateway.calls_per_second), u64::from(gateway.burst));
        let (other_rate, other_burst) = (rate.saturating_mul(OTHERS_PER_CALL), burst.saturating_mul(OTHERS_PER_CALL));
        let limits = self.gateways.entry(gateway.id).or_insert_with(|| Limits {
            calls: TokenBucket::full(burst, now_ms),
            others: TokenBucket::full(other_burst, now_ms),
            in_flight: 0,
        });
        if limits.in_flight >= gateway.in_flight {
            return false;
        }
        let passes = if is_call {
            limits.calls.take(1, rate, burst, now_ms)
        } else {
            limits.others.take(1, other_rate, other_burst, now_ms)
        };
        if passes {
            limits.in_flight = limits.in_flight.saturating_add(1);
        }
        passes
    }

    /// The call layer gave a request of this gateway its first answer.
    pub(crate) fn taken_up(&mut self, gateway_id: u32) {
        if let Some(limits) = self.gateways.get_mut(&gateway_id) {
            limits.in_flight = limits.in_flight.saturating_sub(1);
        }
    }

    /// Take one request from the allowance of whoever registers as this number: a gateway, or a phone.
    pub(crate) fn admit_proven(
        &mut self,
        gateway: Option<&Gateway>,
        number: &[u8],
        method: Method<'_>,
        now_ms: u64,
    ) -> bool {
        match gateway {
            Some(gateway) => self.admit(gateway, method == Method::Invite, now_ms),
            None => self.admit_phone(number, now_ms),
        }
    }

    fn admit_phone(&mut self, number: &[u8], now_ms: u64) -> bool {
        let (rate, burst) = PHONE_CALLS;
        let bucket = self.phones.entry(number.to_vec()).or_insert_with(|| TokenBucket::full(burst, now_ms));
        bucket.take(1, rate, burst, now_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gateway(id: u32) -> Gateway {
        Gateway { id, name: format!("gw{id}"), calls_per_second: 2, burst: 3, in_flight: 100 }
    }

    #[test]
    fn a_gateway_beyond_its_bucket_waits_and_others_do_not_notice() {
        let mut known = KnownSources::default();
        let passed =
            |known: &mut KnownSources, id, now_ms| (0..10).filter(|_| known.admit(&gateway(id), true, now_ms)).count();
        assert_eq!(passed(&mut known, 1, 0), 3);
        assert_eq!(passed(&mut known, 2, 0), 3);
        assert_eq!(passed(&mut known, 1, 1000), 2);
        assert!(known.admit(&gateway(1), false, 1000));
    }

    #[test]
    fn requests_in_flight_are_capped_until_they_are_taken_up() {
        let mut known = KnownSources::default();
        let gateway = Gateway { in_flight: 1, ..gateway(1) };
        assert!(known.admit(&gateway, true, 0));
        assert!(!known.admit(&gateway, true, 0));
        known.taken_up(1);
        assert!(known.admit(&gateway, true, 0));
    }
}
