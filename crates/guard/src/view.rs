// SPDX-License-Identifier: Apache-2.0
//! What verdict and record need of a request, borrowed from its bytes.

use sip::{HeaderName, Message, Method};

/// The fields of a request that the guard reads.
#[derive(Clone, Copy, Debug)]
pub(crate) struct View<'a> {
    pub method: Method<'a>,
    /// User part of From: the number that calls.
    pub caller: &'a [u8],
    /// User part of the Request-URI: the number that is called.
    pub callee: &'a [u8],
    pub call_id: &'a [u8],
    pub from_tag: &'a [u8],
    pub to_tag: &'a [u8],
    /// User part of To: the number that a REGISTER is about.
    pub to_user: &'a [u8],
    pub branch: &'a [u8],
    pub cseq: u32,
    pub user_agent: &'a [u8],
}

impl<'a> View<'a> {
    /// Read what is there; what a message lacks is empty.
    pub(crate) fn of(message: &Message<'a>) -> Self {
        let from = message.from().ok();
        let to = message.to().ok();
        Self {
            method: message.method().unwrap_or(Method::Other(b"")),
            caller: from.as_ref().map_or(b"", |from| user_of(from.uri)),
            callee: message.request_uri().map_or(b"", user_of),
            call_id: message.call_id().unwrap_or(b""),
            from_tag: from.as_ref().and_then(sip::NameAddr::tag).unwrap_or(b""),
            to_tag: to.as_ref().and_then(sip::NameAddr::tag).unwrap_or(b""),
            to_user: to.as_ref().map_or(b"", |to| user_of(to.uri)),
            branch: message.via_top().ok().and_then(|via| via.branch).unwrap_or(b""),
            cseq: message.cseq().map_or(0, |cseq| cseq.number),
            user_agent: message.first(HeaderName::UserAgent).unwrap_or(b""),
        }
    }

    /// A number that no phone network has: a line end, a quote or a null byte in it is an attack on what reads it later.
    pub(crate) fn has_injection(&self) -> bool {
        [self.callee, self.caller].into_iter().any(|number| {
            memchr::memchr3(b'\'', b'"', b'`', number).is_some()
                || (memchr::memchr2(b'%', b'-', number).is_some() && has_escaped_attack(number))
        })
    }
}

fn has_escaped_attack(number: &[u8]) -> bool {
    const CODES: [&[u8]; 5] = [b"%0d", b"%0a", b"%00", b"%22", b"%27"];
    let is_code = |three: &[u8]| CODES.iter().any(|code| three.eq_ignore_ascii_case(code));
    number.windows(3).any(is_code) || number.windows(2).any(|two| two == b"--")
}

/// The user part of a `sip:`, `sips:` or `tel:` URI as it stands, without password and parameters (RFC 3261 §19.1.1, RFC 3966).
pub fn user_of(uri: &[u8]) -> &[u8] {
    let Some(colon) = memchr::memchr(b':', uri) else {
        return b"";
    };
    let (scheme, rest) = uri.split_at(colon);
    let rest = rest.get(1..).unwrap_or(b"");
    let user = if scheme.eq_ignore_ascii_case(b"tel") {
        rest
    } else {
        match memchr::memchr(b'@', rest) {
            Some(at) => rest.split_at(at).0,
            None => b"",
        }
    };
    match memchr::memchr2(b':', b';', user) {
        Some(end) => user.split_at(end).0,
        None => user,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_user_is_what_stands_before_the_host() {
        assert_eq!(user_of(b"sip:1001@192.0.2.1:5060;transport=udp"), b"1001");
        assert_eq!(user_of(b"sip:1001:secret@host"), b"1001");
        assert_eq!(user_of(b"SIPS:+44;phone-context=x@host"), b"+44");
        assert_eq!(user_of(b"tel:+44123;ext=1"), b"+44123");
        assert_eq!(user_of(b"sip:192.0.2.1:5060"), b"");
        assert_eq!(user_of(b"nonsense"), b"");
    }
}
