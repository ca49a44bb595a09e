// SPDX-License-Identifier: Apache-2.0
//! The numbers that stand for kinds, reasons, scopes and transports on disk. They never change their meaning.

/// Defines an enum whose variants have a fixed code on disk and a fixed name in records.
macro_rules! codes {
    ($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident = $code:literal $text:literal,)+ }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum $name { $($(#[$doc])* $variant = $code,)+ }

        impl $name {
            /// Every value, in the order of the codes.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The code on disk.
            pub const fn code(self) -> u8 {
                self as u8
            }

            /// The value with this code, if there is one.
            pub const fn from_code(code: u8) -> Option<Self> {
                match code {
                    $($code => Some(Self::$variant),)+
                    _ => None,
                }
            }

            /// The stable name.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)+
                }
            }
        }
    };
}

codes! {
    /// What a frame holds.
    Kind {
        /// Closes a write; payload: the chain hash.
        Chain = 0 "chain",
        /// A refused attempt.
        Refusal = 1 "refusal",
        /// More of an attempt that already has its own record.
        Increment = 2 "increment",
        /// A challenge sent; it is settled later, or becomes a row.
        Challenge = 3 "challenge",
        /// Attempts that leave no row because recording is off.
        RefusalSummary = 4 "refusal_summary",
        /// A registered flow came, changed or went.
        Flow = 5 "flow",
        /// A call began.
        CallStarted = 6 "call_started",
        /// A call was answered.
        CallAnswered = 7 "call_answered",
        /// A call ended.
        CallEnded = 8 "call_ended",
        /// The calls that live now.
        CallsAlive = 9 "calls_alive",
        /// The counters of a run.
        Books = 10 "books",
        /// What retention let go.
        Retention = 11 "retention",
        /// What an operator did.
        Admin = 12 "admin",
    }
}

codes! {
    /// Why an attempt was refused.
    Reason {
        /// The source is neither a gateway nor a registered phone.
        UnknownSource = 1 "unknown_source",
        /// The phone exists, its registration does not.
        Unregistered = 2 "unregistered",
        /// The source or a number is on a black list.
        Blacklisted = 3 "blacklisted",
        /// The credentials are wrong.
        BadCredentials = 4 "bad_credentials",
        /// No answer came to a challenge.
        UnansweredChallenge = 5 "unanswered_challenge",
        /// Too many wrong credentials for this number from this source.
        LockedOut = 6 "locked_out",
        /// The nonce is not one of ours.
        ForgedNonce = 7 "forged_nonce",
        /// The country of the source is not allowed.
        GeoDenied = 8 "geo_denied",
        /// The source sent more than it may.
        RateExceeded = 9 "rate_exceeded",
        /// The message breaks the syntax.
        Malformed = 10 "malformed",
        /// The method is not served.
        MethodNotAllowed = 11 "method_not_allowed",
        /// The request names a dialog that does not exist.
        UnknownDialog = 12 "unknown_dialog",
        /// A value carries characters that belong to another language (SQL, shell, markup).
        Injection = 13 "injection",
    }
}

codes! {
    /// How wide an attempt's record is: whose attempts are counted into it.
    Scope {
        /// The attempt and its retransmissions.
        Own = 0 "own",
        /// All of one source, reason and method.
        Source = 1 "source",
        /// All of one network (/24 or /56), reason and method.
        Network = 2 "network",
        /// All of one reason and method.
        Other = 3 "other",
    }
}

codes! {
    /// How the message came.
    Transport {
        /// UDP.
        Udp = 0 "UDP",
        /// TCP.
        Tcp = 1 "TCP",
        /// TLS over TCP.
        Tls = 2 "TLS",
        /// WebSocket.
        Ws = 3 "WS",
        /// WebSocket over TLS.
        Wss = 4 "WSS",
    }
}

codes! {
    /// Why an increment was counted into its base record.
    IncrementWhy {
        /// The same transaction again (RFC 3261 section 17.1.1.2).
        Retransmission = 0 "retransmission",
        /// Another attempt, folded because the journal's byte budget runs low.
        Widened = 1 "widened",
    }
}

codes! {
    /// What happened to a registered flow.
    FlowOp {
        /// A new binding.
        Bound = 1 "bound",
        /// The binding's time was extended.
        Refreshed = 2 "refreshed",
        /// The phone removed it.
        Removed = 3 "removed",
        /// Its time ran out.
        Expired = 4 "expired",
        /// Nothing: a challenge was answered rightly, and no other frame says so.
        Answered = 5 "answered",
    }
}

codes! {
    /// Which series of segments.
    Stream {
        /// What strangers did.
        Edge = 0 "edge",
        /// What customers did.
        Calls = 1 "calls",
    }
}

/// Flags of an attempt (all but the last) and of a flow (the first two and the last). The encoder sets those that follow from the record itself.
pub mod flags {
    /// The source address is IPv6; set by the encoder.
    pub const IS_SOURCE_V6: u16 = 1;
    /// The local address is IPv6; set by the encoder.
    pub const IS_LOCAL_V6: u16 = 2;
    /// The source has shown that it receives what is sent to its address.
    pub const IS_PROVEN: u16 = 4;
    /// The source is a gateway's or a registered phone's.
    pub const IS_AUTHORISED: u16 = 8;
    /// The raw message follows; set by the encoder.
    pub const HAS_RAW: u16 = 16;
    /// A connection that ended without a message.
    pub const IS_EMPTY_CONNECTION: u16 = 32;
    /// What else the registrar keeps of the contact follows; set by the encoder.
    pub const HAS_BINDING: u16 = 64;
}

/// Method names by code; code 0 stands for every other method, whose text is in the record.
pub const METHODS: [&str; 15] = [
    "",
    "INVITE",
    "ACK",
    "BYE",
    "CANCEL",
    "OPTIONS",
    "REGISTER",
    "PRACK",
    "SUBSCRIBE",
    "NOTIFY",
    "PUBLISH",
    "INFO",
    "REFER",
    "MESSAGE",
    "UPDATE",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_and_names_are_those_of_the_format_description() {
        let reasons: Vec<_> = Reason::ALL.iter().map(|r| format!("{} `{}`", r.code(), r.as_str())).collect();
        let text = include_str!("../../../docs/architecture.md").replace('\n', " ");
        assert!(text.contains(&format!("Reasons: {}.", reasons.join(" "))));
        let methods: Vec<_> = METHODS.iter().enumerate().skip(1).map(|(code, name)| format!("{code} {name}")).collect();
        assert!(text.contains(&format!("Methods: 0 other {}.", methods.join(" "))));
    }

    #[test]
    fn every_code_leads_back_to_its_value_and_unknown_codes_to_none() {
        for &kind in Kind::ALL {
            assert_eq!(Kind::from_code(kind.code()), Some(kind));
        }
        assert_eq!(Kind::from_code(13), None);
        assert_eq!(Reason::from_code(0), None);
    }
}
