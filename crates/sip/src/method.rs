// SPDX-License-Identifier: Apache-2.0
//! Methods: whole tokens, case-sensitive (RFC 3261 §7.1).

use std::fmt;

macro_rules! methods {
    ($($variant:ident = $code:literal $text:literal $rfc:literal;)+) => {
        /// A method. `invite` and `INVITEX` are not INVITE.
        #[derive(Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Method<'a> {
            $(#[doc = $rfc] $variant,)+
            /// Any other token, as it came.
            Other(&'a [u8]),
        }

        impl<'a> Method<'a> {
            /// The method that this token is. Does not ask whether it is a token.
            #[inline]
            pub fn from_bytes(token: &'a [u8]) -> Self {
                match token {
                    $($text => Self::$variant,)+
                    _ => Self::Other(token),
                }
            }

            /// The number that the journal has for it; 0 for methods without one.
            #[inline]
            pub const fn code(&self) -> u8 {
                match self {
                    $(Self::$variant => $code,)+
                    Self::Other(_) => 0,
                }
            }

            /// The token.
            #[inline]
            pub const fn as_bytes(&self) -> &'a [u8] {
                match self {
                    $(Self::$variant => $text,)+
                    Self::Other(token) => token,
                }
            }

            /// The method with this number; None for 0 and for unknown numbers.
            pub const fn from_code(code: u8) -> Option<Method<'static>> {
                match code {
                    $($code => Some(Method::$variant),)+
                    _ => None,
                }
            }
        }
    };
}

methods! {
    Invite = 1 b"INVITE" "RFC 3261";
    Ack = 2 b"ACK" "RFC 3261";
    Bye = 3 b"BYE" "RFC 3261";
    Cancel = 4 b"CANCEL" "RFC 3261";
    Options = 5 b"OPTIONS" "RFC 3261";
    Register = 6 b"REGISTER" "RFC 3261";
    Prack = 7 b"PRACK" "RFC 3262";
    Subscribe = 8 b"SUBSCRIBE" "RFC 6665";
    Notify = 9 b"NOTIFY" "RFC 6665";
    Publish = 10 b"PUBLISH" "RFC 3903";
    Info = 11 b"INFO" "RFC 6086";
    Refer = 12 b"REFER" "RFC 3515";
    Message = 13 b"MESSAGE" "RFC 3428";
    Update = 14 b"UPDATE" "RFC 3311";
}

impl fmt::Debug for Method<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.as_bytes().escape_ascii())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_known_method_is_the_whole_token_in_upper_case() {
        assert_eq!(Method::from_bytes(b"INVITE"), Method::Invite);
        for other in [&b"invite"[..], b"INVITEX", b"INVIT", b"", b"Invite"] {
            assert_eq!(Method::from_bytes(other), Method::Other(other));
            assert_eq!(Method::from_bytes(other).code(), 0);
        }
    }

    #[test]
    fn codes_are_those_of_the_journal() {
        let names = "INVITE ACK BYE CANCEL OPTIONS REGISTER PRACK SUBSCRIBE NOTIFY PUBLISH INFO REFER MESSAGE UPDATE";
        for (name, code) in names.split(' ').zip(1..) {
            let method = Method::from_bytes(name.as_bytes());
            assert_eq!(method.code(), code);
            assert_eq!(method.as_bytes(), name.as_bytes());
            assert_eq!(Method::from_code(code), Some(method));
        }
        assert_eq!(Method::from_code(0), None);
        assert_eq!(Method::from_code(15), None);
    }
}
