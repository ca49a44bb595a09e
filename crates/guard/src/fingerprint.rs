// SPDX-License-Identifier: Apache-2.0
//! The handwriting of a SIP stack: a hash over what a program does the same way in every message, and traits
//! that attack tools are known by. The User-Agent is a label; this outlives its change.
//!
//! Into the hash go the header fields in order, in the spelling used, and the grammar of branch, From tag and Call-ID (which characters,
//! how long, with or without a host). Random values never do, so two messages of one program share a fingerprint.

use std::hash::Hasher;

use sip::{HeaderName, Message};
use siphasher::sip::SipHasher13;

/// Bits of the `traits` field of an attempt.
pub mod traits {
    /// The Via branch lacks the RFC 3261 cookie.
    pub const NO_COOKIE: u32 = 1;
    /// From and To name the same address.
    pub const FROM_EQUALS_TO: u32 = 1 << 1;
    /// The From tag is hex text of what a scanner keeps book of (`SIPVicious`).
    pub const TAG_IS_HEX_NOTE: u32 = 1 << 2;
    /// The branch is the cookie, a dash and decimal digits (`SIPVicious`).
    pub const BRANCH_DASH_DECIMAL: u32 = 1 << 3;
    /// The Call-ID is decimal digits only.
    pub const CALL_ID_DECIMAL: u32 = 1 << 4;
    /// The Call-ID is 32 hex digits without a host (sippts).
    pub const CALL_ID_32_HEX: u32 = 1 << 5;
    /// The From tag was made by `SIPp`.
    pub const TAG_SIPP: u32 = 1 << 6;
    /// The top Via says 0.0.0.0.
    pub const VIA_ZERO: u32 = 1 << 7;
    /// A body without Content-Type.
    pub const BODY_WITHOUT_TYPE: u32 = 1 << 8;
    /// A host of the RFC's examples (atlanta.com, biloxi.com).
    pub const TEXTBOOK_HOST: u32 = 1 << 9;
    /// nmap's service probe (`branch=foo`, `tag=root`).
    pub const NMAP_PROBE: u32 = 1 << 10;
    /// No User-Agent at all.
    pub const NO_USER_AGENT: u32 = 1 << 11;
    /// The User-Agent names a known scanner.
    pub const UA_SCANNER: u32 = 1 << 12;
    /// A Contact URI without angle brackets.
    pub const CONTACT_BARE: u32 = 1 << 13;
    /// An SDP session name that a tool leaves (`svwar`, `SIPPTS`).
    pub const SDP_TOOL_NAME: u32 = 1 << 14;
}

/// A fingerprint with its traits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fingerprint {
    /// Stable across runs and versions of Ringfence: unkeyed on purpose, so that operators can compare them.
    pub hash: u64,
    /// See [`traits`].
    pub traits: u32,
}

/// Characters and length of a token, coarse enough that random values of one generator agree.
fn grammar(token: &[u8]) -> u8 {
    let mut classes = 0_u8;
    for &byte in token {
        classes |= match byte {
            b'0'..=b'9' => 1,
            b'a'..=b'f' => 2,
            b'g'..=b'z' => 4,
            b'A'..=b'Z' => 8,
            b'@' => 16,
            _ => 32,
        };
    }
    let length = match token.len() {
        0..=8 => 0,
        9..=20 => 64,
        21..=40 => 128,
        _ => 192,
    };
    classes | length
}

fn starts_with(text: &[u8], start: &[u8]) -> bool {
    text.get(..start.len()).is_some_and(|head| head.eq_ignore_ascii_case(start))
}

const SCANNERS: [&[u8]; 9] = [
    b"friendly-scanner",
    b"sipvicious",
    b"pplsip",
    b"sipcli",
    b"sundayddr",
    b"VaxSIP",
    b"Nmap",
    b"friendly-request",
    b"sip-scan",
];

const TEXTBOOK_HOSTS: [&[u8]; 3] = [b"atlanta.com", b"biloxi.com", b"bell-telephone.com"];

/// The `s=` line of an SDP body, which stands third (RFC 8866 §5).
fn session_name(body: &[u8]) -> &[u8] {
    let mut rest = body;
    for _ in 0..4 {
        let Some(end) = memchr::memchr(b'\n', rest) else {
            break;
        };
        let (line, after) = rest.split_at(end);
        if let Some(name) = line.strip_prefix(b"s=") {
            return name.strip_suffix(b"\r").unwrap_or(name);
        }
        rest = after.get(1..).unwrap_or(b"");
    }
    b""
}

/// What is known of a scanner's From tag: hex text whose decoding is its own note (probed address, account, password).
pub(crate) fn is_hex_note(tag: &[u8]) -> bool {
    let decoded = tag.chunks_exact(2).map(|pair| {
        let digit = |byte: &u8| (*byte as char).to_digit(16);
        match pair {
            [high, low] => Some((digit(high)? << 4) | digit(low)?),
            _ => None,
        }
    });
    let mut separators = 0_u32;
    let mut length = 0_u32;
    for byte in decoded {
        match byte {
            Some(0x01 | 0x3a) => separators = separators.saturating_add(1),
            Some(0x20..=0x7e) => {}
            _ => return false,
        }
        length = length.saturating_add(1);
    }
    tag.len().is_multiple_of(2) && length >= 6 && separators > 0
}

/// Fingerprint a request whose From tag, top branch and Call-ID were read already.
pub fn fingerprint(
    message: &Message<'_>,
    branch: &[u8],
    from_tag: &[u8],
    call_id: &[u8],
    user_agent: &[u8],
) -> Fingerprint {
    // A polynomial over the fields in order: the same fields in another order give another number.
    let mut order = 0_u64;
    let mut spelling = 0_u64;
    let mut contact: &[u8] = b"";
    let mut has_type = false;
    for header in message.headers() {
        order = order.wrapping_mul(0x0100_0000_01b3).wrapping_add(header.name as u64).wrapping_add(1);
        // Compact, lower-case and upper-case spellings are habits of a program.
        let first = header.raw_name.first().copied().unwrap_or(0);
        let last = header.raw_name.last().copied().unwrap_or(0);
        let style = u64::from(first.is_ascii_lowercase()) | (u64::from(last.is_ascii_uppercase()) << 1);
        spelling = spelling.rotate_left(3) ^ style ^ ((header.raw_name.len() as u64) << 8);
        match header.name {
            HeaderName::Contact => contact = header.value,
            HeaderName::ContentType => has_type = true,
            _ => {}
        }
    }
    let mut hasher = SipHasher13::new_with_keys(0, 0);
    hasher.write_u64(order);
    hasher.write_u64(spelling);
    hasher.write(&[
        message.method().map_or(0, |method| method.code()),
        grammar(branch),
        grammar(from_tag),
        grammar(call_id),
        branch.get(..8).map_or(0, |start| u8::from(start == b"z9hG4bK-")),
    ]);
    let hash = hasher.finish();

    let mut found = 0;
    let mut mark = |bit: u32, is_there: bool| found |= if is_there { bit } else { 0 };
    let cookie = branch.get(..7).is_some_and(|start| start.eq_ignore_ascii_case(b"z9hG4bK"));
    mark(traits::NO_COOKIE, !cookie);
    mark(
        traits::BRANCH_DASH_DECIMAL,
        branch.get(..8).is_some_and(|start| start == b"z9hG4bK-")
            && branch.get(8..).is_some_and(|rest| !rest.is_empty() && rest.iter().all(u8::is_ascii_digit)),
    );
    mark(traits::TAG_IS_HEX_NOTE, is_hex_note(from_tag));
    mark(traits::TAG_SIPP, from_tag.windows(7).any(|part| part == b"SIPpTag"));
    mark(traits::CALL_ID_DECIMAL, !call_id.is_empty() && call_id.iter().all(u8::is_ascii_digit));
    mark(traits::CALL_ID_32_HEX, call_id.len() == 32 && call_id.iter().all(u8::is_ascii_hexdigit));
    mark(traits::NMAP_PROBE, branch == b"foo" && from_tag == b"root");
    mark(traits::NO_USER_AGENT, user_agent.is_empty());
    mark(traits::UA_SCANNER, SCANNERS.iter().any(|name| starts_with(user_agent, name)));
    mark(traits::BODY_WITHOUT_TYPE, !message.body().is_empty() && !has_type);
    mark(traits::CONTACT_BARE, !contact.is_empty() && !contact.contains(&b'<'));
    let from = message.from().map_or(&b""[..], |from| from.uri);
    mark(traits::FROM_EQUALS_TO, message.to().is_ok_and(|to| to.uri == from));
    mark(traits::VIA_ZERO, message.via_top().is_ok_and(|via| via.host == b"0.0.0.0"));
    mark(traits::TEXTBOOK_HOST, TEXTBOOK_HOSTS.iter().any(|host| from.ends_with(host)));
    mark(traits::SDP_TOOL_NAME, matches!(session_name(message.body()), b"svwar" | b"SIPPTS"));
    Fingerprint { hash, traits: found }
}
