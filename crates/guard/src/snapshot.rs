// SPDX-License-Identifier: Apache-2.0
//! The operator's configuration as the guard uses it: built whole, validated, then swapped in.
//!
//! Flows (registrations) are not here: they live in a mutable table (`flows`).

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use prefix_trie::PrefixMap;
use serde::Deserialize;
use thiserror::Error;

use crate::numbers::{Color, NumberList};

/// Why a document cannot become a snapshot; the running snapshot stays.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SnapshotError {
    /// Not the JSON that the policy layer writes.
    #[error("the configuration snapshot is not valid JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// A value that the settings store should have refused.
    #[error("{what}: {value:?} is not usable")]
    Value {
        /// Which field.
        what: &'static str,
        /// What stood there.
        value: String,
    },
}

/// The JSON document that `ringfence.policy.snapshot` writes.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    version: u64,
    node: String,
    realm: String,
    nonce_keys: Vec<NonceKeyDocument>,
    tag_key: String,
    gateways: Vec<GatewayDocument>,
    phones: Vec<PhoneDocument>,
    lists: Vec<ListDocument>,
    parameters: Parameters,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct NonceKeyDocument {
    id: u8,
    key: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct GatewayDocument {
    id: u32,
    name: String,
    addresses: Vec<String>,
    calls_per_second: u32,
    burst: u32,
    in_flight: u32,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct PhoneDocument {
    number: String,
    /// The mapping gateway that registers under this name.
    gateway: Option<u32>,
    md5: String,
    sha256: String,
}

#[derive(Debug, Deserialize, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum ListName {
    Source,
    Caller,
    Callee,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ListDocument {
    list: ListName,
    color: Color,
    value: String,
    expires_at_us: u64,
}

/// The operator's switches that act in the edge, under their public names (`docs/parameters.md`).
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
#[allow(missing_docs, reason = "each is described in docs/parameters.md under this name")]
pub struct Parameters {
    pub server_billing_record_illegal_call: u64,
    pub ss_reply_unauthorized: u64,
    pub ss_authentication_max_retry: u32,
    pub ss_authentication_failed_suspend: u64,
    pub ss_sip_authentication_retry: u32,
    pub ss_sip_authentication_timeout: u32,
    pub ss_sip_authentication_code: u16,
    pub rf_unauthorized_code: u16,
    pub rf_roaming: u64,
    pub rf_digest_sha256: u64,
    pub rf_registration_memory_days: u64,
    pub rf_blocked_code: u16,
    pub rf_mute_attempts_per_s: u32,
    pub rf_mute_s: u64,
    pub rf_journal_bytes_per_s: u64,
    pub rf_journal_burst_bytes: u64,
    pub rf_challenge_bytes_per_s: u64,
    pub rf_challenge_network_bytes_per_s: u64,
    pub rf_raw_sample_s: u64,
    pub rf_journal_sync_ms: u64,
    pub rf_trace_bytes: u64,
    pub rf_hep_export: u64,
}

impl Default for Parameters {
    fn default() -> Self {
        Self {
            server_billing_record_illegal_call: 1,
            ss_reply_unauthorized: 1,
            ss_authentication_max_retry: 6,
            ss_authentication_failed_suspend: 180,
            ss_sip_authentication_retry: 6,
            ss_sip_authentication_timeout: 10,
            ss_sip_authentication_code: 407,
            rf_unauthorized_code: 403,
            rf_roaming: 0,
            rf_digest_sha256: 1,
            rf_registration_memory_days: 30,
            rf_blocked_code: 0,
            rf_mute_attempts_per_s: 0,
            rf_mute_s: 60,
            rf_journal_bytes_per_s: 16_000_000,
            rf_journal_burst_bytes: 268_435_456,
            rf_challenge_bytes_per_s: 2_000_000,
            rf_challenge_network_bytes_per_s: 20_000,
            rf_raw_sample_s: 600,
            rf_journal_sync_ms: 1000,
            rf_trace_bytes: 0,
            rf_hep_export: 1,
        }
    }
}

/// Whoever registers: a phone, or a gateway.
struct Registrant {
    secret: PhoneSecret,
    /// The place of the gateway that it is.
    gateway: Option<usize>,
}

/// A mapping gateway's limits.
#[derive(Debug, Clone)]
pub struct Gateway {
    /// The settings store's id; stable, never reused.
    pub id: u32,
    /// The operator's name for it.
    pub name: String,
    /// New calls per second that are let through on average.
    pub calls_per_second: u32,
    /// New calls that may come at once after a pause.
    pub burst: u32,
    /// Requests that may wait at a time for their first answer, provisional or final; a call that rings has had it.
    pub in_flight: u32,
}

/// What a phone's credentials are checked with: HA1 of (number, realm, password) per algorithm.
#[derive(Clone)]
pub struct PhoneSecret {
    /// MD5, as 32 lower-case hex digits: the form that enters the next hash (RFC 7616 §3.4.2).
    pub md5: [u8; 32],
    /// SHA-256, as 64 lower-case hex digits.
    pub sha256: [u8; 64],
}

/// A key that nonces are made with.
#[derive(Clone)]
pub struct NonceKey {
    /// Named inside the nonce.
    pub id: u8,
    /// Shared by all nodes through the settings store.
    pub key: [u8; 32],
}

#[derive(Clone, Copy)]
struct GatewayAddress {
    gateway: usize,
    port: Option<u16>,
}

#[derive(Clone, Copy)]
struct SourceRule {
    color: Color,
    expires_at_us: u64,
}

/// One address family's tables, by longest prefix.
#[derive(Default)]
struct SourceTables<P> {
    gateways: PrefixMap<P, Vec<GatewayAddress>>,
    rules: PrefixMap<P, SourceRule>,
}

/// The configuration in force.
pub struct Snapshot {
    /// The settings store's version; the edge reports it back when it is in force.
    pub version: u64,
    /// This node's name.
    pub node: String,
    /// The digest realm, fixed at install.
    pub realm: String,
    /// Current key first, then the previous one.
    pub nonce_keys: Vec<NonceKey>,
    /// Key of the local tags.
    pub tag_key: [u8; 16],
    /// The operator's switches.
    pub parameters: Parameters,
    /// Black and white prefixes of the number that calls.
    pub callers: NumberList,
    /// Black and white prefixes of the number that is called.
    pub callees: NumberList,
    gateways: Vec<Gateway>,
    phones: HashMap<Vec<u8>, Registrant>,
    v4: SourceTables<Ipv4Net>,
    v6: SourceTables<Ipv6Net>,
}

impl Snapshot {
    /// Parse and build; nothing of a broken document is used.
    pub fn from_json(json: &[u8]) -> Result<Self, SnapshotError> {
        Self::build(serde_json::from_slice(json)?)
    }

    fn build(document: Document) -> Result<Self, SnapshotError> {
        let mut snapshot = Self {
            version: document.version,
            node: document.node,
            realm: document.realm,
            nonce_keys: Vec::new(),
            tag_key: hex(&document.tag_key, "tag_key")?,
            parameters: document.parameters,
            callers: NumberList::default(),
            callees: NumberList::default(),
            gateways: Vec::new(),
            phones: HashMap::with_capacity(document.phones.len()),
            v4: SourceTables::default(),
            v6: SourceTables::default(),
        };
        for key in document.nonce_keys {
            snapshot.nonce_keys.push(NonceKey { id: key.id, key: hex(&key.key, "nonce key")? });
        }
        if snapshot.nonce_keys.is_empty() {
            return Err(SnapshotError::Value { what: "nonce_keys", value: String::new() });
        }
        for gateway in document.gateways {
            let index = snapshot.gateways.len();
            for address in &gateway.addresses {
                let (network, port) = gateway_address(address)?;
                let entry = GatewayAddress { gateway: index, port };
                match network {
                    IpNet::V4(net) => snapshot.v4.gateways.entry(net).or_default().push(entry),
                    IpNet::V6(net) => snapshot.v6.gateways.entry(net).or_default().push(entry),
                }
            }
            snapshot.gateways.push(Gateway {
                id: gateway.id,
                name: gateway.name,
                calls_per_second: gateway.calls_per_second,
                burst: gateway.burst,
                in_flight: gateway.in_flight,
            });
        }
        for phone in document.phones {
            let secret = PhoneSecret {
                md5: hex_digits(&phone.md5, "phone md5")?,
                sha256: hex_digits(&phone.sha256, "phone sha256")?,
            };
            let gateway = match phone.gateway {
                Some(id) => Some(snapshot.place_of(id)?),
                None => None,
            };
            snapshot.phones.insert(phone.number.into_bytes(), Registrant { secret, gateway });
        }
        for rule in document.lists {
            match rule.list {
                ListName::Caller => {
                    snapshot.callers.insert(rule.value.as_bytes(), rule.color, rule.expires_at_us);
                }
                ListName::Callee => {
                    snapshot.callees.insert(rule.value.as_bytes(), rule.color, rule.expires_at_us);
                }
                ListName::Source => {
                    let entry = SourceRule { color: rule.color, expires_at_us: rule.expires_at_us };
                    match network_of(&rule.value)? {
                        IpNet::V4(net) => snapshot.v4.rules.insert(net, entry).map(drop),
                        IpNet::V6(net) => snapshot.v6.rules.insert(net, entry).map(drop),
                    };
                }
            }
        }
        Ok(snapshot)
    }

    fn place_of(&self, gateway_id: u32) -> Result<usize, SnapshotError> {
        let place = self.gateways.iter().position(|gateway| gateway.id == gateway_id);
        place.ok_or_else(|| SnapshotError::Value { what: "phone gateway", value: gateway_id.to_string() })
    }

    /// The gateway that a packet's source belongs to: longest prefix, and where a port is given, that port.
    pub fn gateway(&self, source: SocketAddr) -> Option<&Gateway> {
        let fits = |entries: &Vec<GatewayAddress>| {
            entries.iter().find(|entry| entry.port.is_none_or(|port| port == source.port())).map(|entry| entry.gateway)
        };
        // `cover` goes from the shortest prefix to the longest; the last that fits is the longest that fits.
        let index = match source.ip().to_canonical() {
            IpAddr::V4(ip) => {
                self.v4.gateways.cover(&Ipv4Net::from(ip)).filter_map(|(_, entries)| fits(entries)).last()
            }
            IpAddr::V6(ip) => {
                self.v6.gateways.cover(&Ipv6Net::from(ip)).filter_map(|(_, entries)| fits(entries)).last()
            }
        }?;
        self.gateways.get(index)
    }

    /// The gateway with an id.
    pub fn gateway_by_id(&self, id: u32) -> Option<&Gateway> {
        self.gateways.iter().find(|gateway| gateway.id == id)
    }

    /// What the operator's lists say of a source: the longest rule in force decides.
    pub fn source_color(&self, source: IpAddr, now_us: u64) -> Option<Color> {
        let in_force = |rule: &&SourceRule| rule.expires_at_us == 0 || rule.expires_at_us > now_us;
        // `cover` goes from the shortest prefix to the longest. A rule that is over hides no wider one.
        let rule = match source.to_canonical() {
            // Most nodes have no list for one of the families: no look into an empty table.
            IpAddr::V4(_) if self.v4.rules.is_empty() => None,
            IpAddr::V6(_) if self.v6.rules.is_empty() => None,
            IpAddr::V4(ip) => self.v4.rules.cover(&Ipv4Net::from(ip)).map(|(_, rule)| rule).filter(in_force).last(),
            IpAddr::V6(ip) => self.v6.rules.cover(&Ipv6Net::from(ip)).map(|(_, rule)| rule).filter(in_force).last(),
        };
        rule.map(|rule| rule.color)
    }

    /// The secret of a number, if it is a phone of ours.
    pub fn phone(&self, number: &[u8]) -> Option<&PhoneSecret> {
        self.phones.get(number).map(|registrant| &registrant.secret)
    }

    /// The mapping gateway that registers as this number.
    pub fn gateway_registering_as(&self, number: &[u8]) -> Option<&Gateway> {
        self.gateways.get(self.phones.get(number)?.gateway?)
    }

    /// Every network that gateways send from, for the kernel's steering filter.
    pub fn gateway_networks(&self) -> Vec<IpNet> {
        let v4 = self.v4.gateways.iter().map(|(net, _)| IpNet::V4(net));
        let v6 = self.v6.gateways.iter().map(|(net, _)| IpNet::V6(net));
        v4.chain(v6).collect()
    }
}

fn bad(what: &'static str, value: &str) -> SnapshotError {
    SnapshotError::Value { what, value: value.to_owned() }
}

fn network_of(text: &str) -> Result<IpNet, SnapshotError> {
    let net = text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
    net.map(|net| net.trunc()).map_err(|_| bad("address", text))
}

/// `192.0.2.1`, `198.51.100.0/24`, `192.0.2.3:5060`, `[2001:db8::1]:5060`.
fn gateway_address(text: &str) -> Result<(IpNet, Option<u16>), SnapshotError> {
    if let Ok(socket) = text.parse::<SocketAddr>() {
        return Ok((IpNet::from(socket.ip()), Some(socket.port())));
    }
    network_of(text).map(|net| (net, None))
}

fn hex<const N: usize>(text: &str, what: &'static str) -> Result<[u8; N], SnapshotError> {
    let mut bytes = [0_u8; N];
    let pairs = text.as_bytes().chunks(2);
    if text.len() != N.saturating_mul(2) {
        return Err(bad(what, "(secret of the wrong length)"));
    }
    for (byte, pair) in bytes.iter_mut().zip(pairs) {
        *byte = std::str::from_utf8(pair)
            .ok()
            .and_then(|digits| u8::from_str_radix(digits, 16).ok())
            .ok_or_else(|| bad(what, "(secret that is not hex)"))?;
    }
    Ok(bytes)
}

fn hex_digits<const N: usize>(text: &str, what: &'static str) -> Result<[u8; N], SnapshotError> {
    let lower = text.to_ascii_lowercase();
    let digits: [u8; N] = lower.as_bytes().try_into().map_err(|_| bad(what, "(hash of the wrong length)"))?;
    if digits.iter().all(u8::is_ascii_hexdigit) { Ok(digits) } else { Err(bad(what, "(hash that is not hex)")) }
}
