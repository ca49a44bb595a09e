// SPDX-License-Identifier: Apache-2.0
//! What can be wrong with a message: one stable code for each fault.

use std::fmt;

macro_rules! why {
    ($($(#[$doc:meta])* $variant:ident = $code:literal $name:literal;)+) => {
        /// What is wrong with a message. The number is written into the journal (`detail`) and never changes its meaning.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u16)]
        #[non_exhaustive]
        pub enum Why {
            $($(#[$doc])* $variant = $code,)+
        }

        impl Why {
            /// Every code, in order.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The stable number.
            pub const fn code(self) -> u16 {
                self as u16
            }

            /// The stable name.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)+
                }
            }

            /// The fault that has this number; None for 0 and for numbers of a later version.
            pub const fn from_code(code: u16) -> Option<Self> {
                match code {
                    $($code => Some(Self::$variant),)+
                    _ => None,
                }
            }
        }
    };
}

why! {
    /// Nothing but CR, LF, NUL and blanks: a keep-alive (RFC 5626 §3.5.1, and what phones send instead).
    KeepAlive = 1 "keep_alive";
    /// A STUN packet (RFC 8489 §5).
    Stun = 2 "stun";
    /// The first line is neither a request line nor a status line.
    NotSip = 3 "not_sip";
    /// The head has no empty line at its end.
    Truncated = 4 "truncated";
    /// A CR or an LF in the head that is not part of a CRLF.
    BareLineEnd = 5 "bare_line_end";
    /// Start line with white space too much or parts too few.
    StartLine = 6 "start_line";
    /// The Request-URI is no URI.
    RequestUri = 7 "request_uri";
    /// A version other than SIP/2.0 (505).
    Version = 8 "version";
    /// A status code outside 100 to 699.
    StatusCode = 9 "status_code";
    /// A line of the head without a name and a colon.
    HeaderLine = 10 "header_line";
    /// More header fields than the limit.
    TooManyHeaders = 11 "too_many_headers";
    /// No Via.
    ViaMissing = 12 "via_missing";
    /// No From.
    FromMissing = 13 "from_missing";
    /// No To.
    ToMissing = 14 "to_missing";
    /// No Call-ID.
    CallIdMissing = 15 "call_id_missing";
    /// No `CSeq`.
    CSeqMissing = 16 "cseq_missing";
    /// Top Via malformed.
    Via = 17 "via";
    /// From malformed.
    From = 18 "from";
    /// To malformed.
    To = 19 "to";
    /// Call-ID malformed.
    CallId = 20 "call_id";
    /// `CSeq` malformed, or its number not below 2^31.
    CSeq = 21 "cseq";
    /// `CSeq` names another method than the request line.
    CSeqMethod = 22 "cseq_method";
    /// Max-Forwards malformed or above 255.
    MaxForwards = 23 "max_forwards";
    /// Content-Length is not a number.
    ContentLength = 24 "content_length";
    /// Content-Length is larger than the body that came.
    BodyTooShort = 25 "body_too_short";
    /// More than one From.
    FromRepeated = 26 "from_repeated";
    /// More than one To.
    ToRepeated = 27 "to_repeated";
    /// More than one Call-ID.
    CallIdRepeated = 28 "call_id_repeated";
    /// More than one `CSeq`.
    CSeqRepeated = 29 "cseq_repeated";
    /// More than one Max-Forwards.
    MaxForwardsRepeated = 30 "max_forwards_repeated";
    /// More than one Content-Length.
    ContentLengthRepeated = 31 "content_length_repeated";
    /// On a stream: start line and header fields exceed the limit.
    HeadTooLarge = 32 "head_too_large";
    /// On a stream: Content-Length exceeds the limit.
    BodyTooLarge = 33 "body_too_large";
    /// A URI in a header field is malformed.
    Uri = 34 "uri";
    /// The Request-URI carries header fields (RFC 3261 §19.1.1 forbids them there).
    UriHeaders = 35 "uri_headers";
    /// The Request-URI has a scheme that is not served (416).
    UriScheme = 36 "uri_scheme";
    /// Contact malformed.
    Contact = 37 "contact";
    /// Route malformed.
    Route = 38 "route";
    /// Record-Route malformed.
    RecordRoute = 39 "record_route";
    /// Expires or Min-Expires malformed or not below 2^32.
    Expires = 40 "expires";
    /// Date malformed or not in GMT.
    Date = 41 "date";
    /// Require, Proxy-Require, Supported, Unsupported or Allow malformed.
    TokenList = 42 "token_list";
    /// Content-Type malformed.
    ContentType = 43 "content_type";
    /// Warning malformed.
    Warning = 44 "warning";
    /// Retry-After malformed or not below 2^32.
    RetryAfter = 45 "retry_after";
    /// Credentials or a challenge malformed.
    Digest = 46 "digest";
    /// Another header field malformed.
    Header = 47 "header";
    /// A header field that may stand once stands twice.
    Repeated = 48 "repeated";
    /// The body is no SDP.
    Sdp = 49 "sdp";
    /// A line that was to be written has CR, LF or NUL in it, or a name that is no token.
    Injection = 50 "injection";
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A fault and where it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{why} at byte {offset}")]
pub struct Error {
    /// What is wrong.
    pub why: Why,
    /// Offset in the bytes that were being read (a header field value, a URI, a body), where known; else 0.
    pub offset: usize,
}

impl Error {
    /// A fault at an offset.
    pub const fn at(why: Why, offset: usize) -> Self {
        Self { why, offset }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_count_from_one_and_names_are_unique_snake_case() {
        for (index, why) in Why::ALL.iter().enumerate() {
            assert_eq!(usize::from(why.code()), index + 1);
            assert_eq!(Why::from_code(why.code()), Some(*why));
            assert!(why.as_str().bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'));
        }
        let mut names: Vec<_> = Why::ALL.iter().map(|why| why.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Why::ALL.len());
        assert_eq!(Why::from_code(0), None);
        assert_eq!(Why::from_code(u16::MAX), None);
    }
}
