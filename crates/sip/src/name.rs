// SPDX-License-Identifier: Apache-2.0
//! Header field names, their compact forms, and how a name is found: a perfect hash, then a comparison.

use std::fmt;

macro_rules! names {
    ($($variant:ident = $long:literal $($compact:literal)?;)+) => {
        /// A header field name that Ringfence knows; all else is `Other`. Names are case-insensitive and compact forms are the
        /// same name (RFC 3261 §7.3.1, §7.3.3).
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum HeaderName {
            $(#[doc = concat!("`", $long, "`")] $variant,)+
            /// Any other name.
            Other,
        }

        /// Every spelling with its name.
        const SPELLINGS: &[(&str, HeaderName)] = &[
            $(($long, HeaderName::$variant), $(($compact, HeaderName::$variant),)?)+
        ];

        impl HeaderName {
            /// Every known name.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// How many names there are, `Other` included.
            pub(crate) const COUNT: usize = Self::Other as usize + 1;

            /// The long form as the RFCs write it; empty for `Other`.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $long,)+
                    Self::Other => "",
                }
            }

            /// The compact form, where there is one.
            pub const fn compact(self) -> Option<&'static str> {
                match self {
                    $($(Self::$variant => Some($compact),)?)+
                    _ => None,
                }
            }
        }
    };
}

names! {
    Via = "Via" "v";
    From = "From" "f";
    To = "To" "t";
    CallId = "Call-ID" "i";
    CSeq = "CSeq";
    MaxForwards = "Max-Forwards";
    ContentLength = "Content-Length" "l";
    ContentType = "Content-Type" "c";
    Contact = "Contact" "m";
    UserAgent = "User-Agent";
    Authorization = "Authorization";
    ProxyAuthorization = "Proxy-Authorization";
    WwwAuthenticate = "WWW-Authenticate";
    ProxyAuthenticate = "Proxy-Authenticate";
    AuthenticationInfo = "Authentication-Info";
    ProxyAuthenticationInfo = "Proxy-Authentication-Info";
    Route = "Route";
    RecordRoute = "Record-Route";
    Path = "Path";
    ServiceRoute = "Service-Route";
    Require = "Require";
    ProxyRequire = "Proxy-Require";
    Supported = "Supported" "k";
    Unsupported = "Unsupported";
    Allow = "Allow";
    Expires = "Expires";
    MinExpires = "Min-Expires";
    Accept = "Accept";
    AcceptEncoding = "Accept-Encoding";
    AcceptLanguage = "Accept-Language";
    AlertInfo = "Alert-Info";
    AllowEvents = "Allow-Events" "u";
    CallInfo = "Call-Info";
    ContentDisposition = "Content-Disposition";
    ContentEncoding = "Content-Encoding" "e";
    ContentLanguage = "Content-Language";
    Date = "Date";
    Diversion = "Diversion";
    ErrorInfo = "Error-Info";
    Event = "Event" "o";
    HistoryInfo = "History-Info";
    Identity = "Identity" "y";
    InReplyTo = "In-Reply-To";
    Join = "Join";
    MimeVersion = "MIME-Version";
    MinSe = "Min-SE";
    Organization = "Organization";
    PAssertedIdentity = "P-Asserted-Identity";
    PPreferredIdentity = "P-Preferred-Identity";
    Priority = "Priority";
    Privacy = "Privacy";
    RAck = "RAck";
    RSeq = "RSeq";
    Reason = "Reason";
    ReferTo = "Refer-To" "r";
    ReferredBy = "Referred-By" "b";
    RemotePartyId = "Remote-Party-ID";
    Replaces = "Replaces";
    ReplyTo = "Reply-To";
    RetryAfter = "Retry-After";
    Server = "Server";
    SessionExpires = "Session-Expires" "x";
    SessionId = "Session-ID";
    SipEtag = "SIP-ETag";
    SipIfMatch = "SIP-If-Match";
    Subject = "Subject" "s";
    SubscriptionState = "Subscription-State";
    Timestamp = "Timestamp";
    AcceptContact = "Accept-Contact" "a";
    RejectContact = "Reject-Contact" "j";
    RequestDisposition = "Request-Disposition" "d";
    Warning = "Warning";
}

/// A power of two with room enough for a factor to be found.
const SLOTS: usize = 512;
/// Found by trial: with it no two spellings share a slot. The compiler checks that below.
const FACTOR: u64 = 0xdeb1_35fa_75dd_67df;
/// Sets the bit that tells lower from upper case, in eight letters at once.
const LOWER: u64 = 0x2020_2020_2020_2020;

/// The first and the last eight bytes of a name (four each, or less, where it is shorter). With the length they say what the name
/// is, unless it has more than 16 bytes.
#[inline]
const fn ends(name: &[u8]) -> (u64, u64) {
    if let (Some(first), Some(last)) = (name.first_chunk(), name.last_chunk()) {
        return (u64::from_le_bytes(*first), u64::from_le_bytes(*last));
    }
    if let (Some(first), Some(last)) = (name.first_chunk(), name.last_chunk()) {
        return (u32::from_le_bytes(*first) as u64, u32::from_le_bytes(*last) as u64);
    }
    match *name {
        [one] => (one as u64, one as u64),
        [one, two] => (one as u64, two as u64),
        [one, two, three] => (one as u64, u16::from_le_bytes([two, three]) as u64),
        _ => (0, 0),
    }
}

#[inline]
const fn slot(first: u64, last: u64, length: usize) -> usize {
    let key = (first | LOWER) ^ (last | LOWER).rotate_left(23);
    (key.wrapping_add(length as u64).wrapping_mul(FACTOR) >> 55) as usize
}

/// What a name is compared with.
#[derive(Clone, Copy)]
struct Spelling {
    first: u64,
    last: u64,
    /// Bits that may differ: the case bit of each letter, but not that of a hyphen.
    first_case: u64,
    last_case: u64,
    text: &'static [u8],
    name: HeaderName,
}

const NO_SPELLING: Spelling =
    Spelling { first: 0, last: 0, first_case: 0, last_case: 0, text: b"", name: HeaderName::Other };

/// The case bits of the letters among eight bytes.
#[allow(clippy::indexing_slicing, clippy::arithmetic_side_effects)] // runs in the compiler, over 0..8
const fn case_bits(bytes: u64) -> u64 {
    let mut case = bytes.to_le_bytes();
    let mut index = 0;
    while index < case.len() {
        case[index] = if case[index].is_ascii_alphabetic() { 0x20 } else { 0 };
        index += 1;
    }
    u64::from_le_bytes(case)
}

/// All spellings; the last entry is no spelling.
static KNOWN: [Spelling; SPELLINGS.len() + 1] = known();
/// Index into `KNOWN` by slot.
static TABLE: [u8; SLOTS] = table();

#[allow(clippy::indexing_slicing, clippy::arithmetic_side_effects)] // runs in the compiler
const fn known() -> [Spelling; SPELLINGS.len() + 1] {
    let mut known = [NO_SPELLING; SPELLINGS.len() + 1];
    let mut index = 0;
    while index < SPELLINGS.len() {
        let (text, name) = SPELLINGS[index];
        let text = text.as_bytes();
        let (first, last) = ends(text);
        known[index] = Spelling { first, last, first_case: case_bits(first), last_case: case_bits(last), text, name };
        index += 1;
    }
    known
}

#[allow(clippy::indexing_slicing, clippy::arithmetic_side_effects)] // runs in the compiler
const fn table() -> [u8; SLOTS] {
    let mut table = [SPELLINGS.len() as u8; SLOTS];
    let mut index = 0;
    while index < SPELLINGS.len() {
        let name = SPELLINGS[index].0.as_bytes();
        let (first, last) = ends(name);
        let slot = slot(first, last, name.len());
        assert!(table[slot] as usize == SPELLINGS.len(), "two spellings share a slot: choose another FACTOR");
        table[slot] = index as u8;
        index += 1;
    }
    table
}

impl HeaderName {
    /// The name that `name` spells, in any case, long or compact.
    #[allow(clippy::inline_always)] // as for `Lines::next`
    #[inline(always)]
    pub fn from_bytes(name: &[u8]) -> Self {
        let (first, last) = ends(name);
        let Some(known) = TABLE.get(slot(first, last, name.len())).and_then(|&index| KNOWN.get(usize::from(index)))
        else {
            return Self::Other;
        };
        let differs = (first ^ known.first) & !known.first_case | (last ^ known.last) & !known.last_case;
        let is_known = differs == 0
            && known.text.len() == name.len()
            && (name.len() <= 16 || known.text.eq_ignore_ascii_case(name));
        if is_known { known.name } else { Self::Other }
    }
}

impl fmt::Display for HeaderName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_is_found_in_any_case() {
        for (spelling, name) in SPELLINGS {
            assert_eq!(HeaderName::from_bytes(spelling.as_bytes()), *name);
            assert_eq!(HeaderName::from_bytes(spelling.to_ascii_uppercase().as_bytes()), *name);
            assert_eq!(HeaderName::from_bytes(spelling.to_ascii_lowercase().as_bytes()), *name);
        }
    }

    #[test]
    fn a_name_that_differs_in_one_byte_is_another_name() {
        for (spelling, name) in SPELLINGS {
            for index in 0..spelling.len() {
                let mut near = spelling.as_bytes().to_vec();
                near[index] ^= 0x01;
                assert_ne!(HeaderName::from_bytes(&near), *name, "{}", near.escape_ascii());
            }
            let longer = format!("{spelling}x");
            assert_ne!(HeaderName::from_bytes(longer.as_bytes()), *name);
        }
        assert_eq!(HeaderName::from_bytes(b""), HeaderName::Other);
    }

    #[test]
    fn long_forms_and_compact_forms_are_reported() {
        assert_eq!(HeaderName::SessionExpires.as_str(), "Session-Expires");
        assert_eq!(HeaderName::SessionExpires.compact(), Some("x"));
        assert_eq!(HeaderName::CSeq.compact(), None);
        assert_eq!(HeaderName::ALL.len(), 72);
    }
}
