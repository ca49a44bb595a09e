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

const SLOTS: usize = 512;
/// Found by trial: with it no two spellings share a slot. The compiler checks that below.
const FACTOR: u32 = 0x9d7c_d4f7;

/// Slot of a name by its first, middle and last letter in lower case and its length.
#[inline]
const fn slot(first: u8, middle: u8, last: u8, length: usize) -> usize {
    let key = u32::from_le_bytes([first | 0x20, middle | 0x20, last | 0x20, length as u8]);
    (key.wrapping_mul(FACTOR) >> 23) as usize
}

const TABLE: [Option<(&str, HeaderName)>; SLOTS] = build();

#[allow(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::panic
)] // runs in the compiler
const fn build() -> [Option<(&'static str, HeaderName)>; SLOTS] {
    let mut table = [None; SLOTS];
    let mut index = 0;
    while index < SPELLINGS.len() {
        let name = SPELLINGS[index].0.as_bytes();
        let slot = slot(
            name[0],
            name[name.len() / 2],
            name[name.len() - 1],
            name.len(),
        );
        assert!(
            table[slot].is_none(),
            "two spellings share a slot: choose another FACTOR"
        );
        table[slot] = Some(SPELLINGS[index]);
        index += 1;
    }
    table
}

impl HeaderName {
    /// The name that `name` spells, in any case, long or compact.
    #[inline]
    pub fn from_bytes(name: &[u8]) -> Self {
        let (Some(&first), Some(&middle), Some(&last)) =
            (name.first(), name.get(name.len() / 2), name.last())
        else {
            return Self::Other;
        };
        match TABLE.get(slot(first, middle, last, name.len())) {
            Some(Some((spelling, known))) if spelling.as_bytes().eq_ignore_ascii_case(name) => {
                *known
            }
            _ => Self::Other,
        }
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
            assert_eq!(
                HeaderName::from_bytes(spelling.to_ascii_uppercase().as_bytes()),
                *name
            );
            assert_eq!(
                HeaderName::from_bytes(spelling.to_ascii_lowercase().as_bytes()),
                *name
            );
        }
    }

    #[test]
    fn a_name_that_differs_in_one_byte_is_another_name() {
        for (spelling, name) in SPELLINGS {
            for index in 0..spelling.len() {
                let mut near = spelling.as_bytes().to_vec();
                near[index] ^= 0x01;
                assert_ne!(
                    HeaderName::from_bytes(&near),
                    *name,
                    "{}",
                    near.escape_ascii()
                );
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
