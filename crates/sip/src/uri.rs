// SPDX-License-Identifier: Apache-2.0
//! URIs: sip and sips (RFC 3261 §19.1), tel (RFC 3966), others as scheme and rest.
//!
//! [`parse_uri`] takes what is met in the field; [`Uri::is_strict`] says whether the grammar is kept to the letter.

use std::net::Ipv6Addr;

use crate::class::{Class, DIGIT, HEX, HOST, PASSWORD, URI, URI_HEADER, URI_PARAM, URIC, USER};
use crate::error::{Error, Why};
use crate::name_addr::has_scheme;
use crate::scan::{Scan, decimal, read};

/// A URI.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Uri<'a> {
    /// `sip:` and `sips:`.
    Sip(SipUri<'a>),
    /// `tel:`.
    Tel(TelUri<'a>),
    /// Any other scheme.
    Other {
        /// Scheme as it came.
        scheme: &'a [u8],
        /// What follows the colon.
        rest: &'a [u8],
    },
}

/// A SIP or SIPS URI. All parts are as they came, escapes included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SipUri<'a> {
    /// `sip` or `sips` as it came.
    pub scheme: &'a [u8],
    /// User part before any password; None where there is no `@`.
    pub user: Option<&'a [u8]>,
    /// Password, which nobody should send (RFC 3261 §19.1.1).
    pub password: Option<&'a [u8]>,
    /// Host; an IPv6 reference keeps its brackets.
    pub host: &'a [u8],
    /// Port.
    pub port: Option<u16>,
    /// Parameters, from the first `;` on; empty where there are none.
    pub params: &'a [u8],
    /// Header fields, what follows `?`; empty where there are none.
    pub headers: &'a [u8],
}

/// A telephone number (RFC 3966).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TelUri<'a> {
    /// The number with its `+` and its visual separators.
    pub number: &'a [u8],
    /// Parameters, from the first `;` on; empty where there are none.
    pub params: &'a [u8],
}

/// Reads a URI that stands alone (a Request-URI, what stood between angle brackets).
pub fn parse_uri(bytes: &[u8]) -> Result<Uri<'_>, Error> {
    let visible = URI.run(bytes);
    if visible != bytes.len() {
        return Err(Error::at(Why::Uri, visible));
    }
    if let Some(rest @ [_, ..]) = bytes.strip_prefix(b"sip:") {
        return sip_uri(b"sip", rest, bytes);
    }
    if !has_scheme(bytes) {
        return Err(Error::at(Why::Uri, 0));
    }
    let (scheme, rest) = split_before(bytes, b':');
    let rest = rest.get(1..).unwrap_or_default();
    if scheme.eq_ignore_ascii_case(b"sip") || scheme.eq_ignore_ascii_case(b"sips") {
        return sip_uri(scheme, rest, bytes);
    }
    if scheme.eq_ignore_ascii_case(b"tel") {
        let (number, params) = split_before(rest, b';');
        return Ok(Uri::Tel(TelUri { number, params }));
    }
    Ok(Uri::Other { scheme, rest })
}

fn sip_uri<'a>(scheme: &'a [u8], rest: &'a [u8], whole: &'a [u8]) -> Result<Uri<'a>, Error> {
    let mut scan = Scan::new(rest);
    SipUri::scan(scheme, &mut scan)
        .filter(|_| scan.rest.is_empty())
        .map(Uri::Sip)
        .ok_or(Error::at(Why::Uri, read(whole, scan.rest)))
}

/// `bytes` up to `byte`, and from `byte` on.
fn split_before(bytes: &[u8], byte: u8) -> (&[u8], &[u8]) {
    bytes.split_at(memchr::memchr(byte, bytes).unwrap_or(bytes.len()))
}

/// Takes `hostname / IPv4address / IPv6reference`.
#[inline]
pub(crate) fn host<'a>(scan: &mut Scan<'a>) -> Option<&'a [u8]> {
    if scan.peek() != Some(b'[') {
        return scan.some(HOST);
    }
    let close = memchr::memchr(b']', scan.rest)?;
    let (reference, rest) = scan.rest.split_at(close.saturating_add(1));
    ipv6(reference)?;
    scan.rest = rest;
    Some(reference)
}

/// The address in an IPv6 reference, brackets optional. RFC 3261's own grammar could write three colons before an embedded
/// IPv4 address; RFC 5118 §4.10 asks to take that too.
pub fn ipv6(reference: &[u8]) -> Option<Ipv6Addr> {
    let inside = reference.strip_prefix(b"[").and_then(|rest| rest.strip_suffix(b"]")).unwrap_or(reference);
    let text = std::str::from_utf8(inside).ok()?;
    if let Ok(address) = text.parse() {
        return Some(address);
    }
    let (before, after) = text.split_once(":::")?;
    // 45 bytes is the longest text of an address; the copy is on the stack.
    let mut buffer = [0_u8; 45];
    let mut length = 0_usize;
    for part in [before, "::", after] {
        let end = length.checked_add(part.len())?;
        buffer.get_mut(length..end)?.copy_from_slice(part.as_bytes());
        length = end;
    }
    std::str::from_utf8(buffer.get(..length)?).ok()?.parse().ok()
}

impl<'a> SipUri<'a> {
    #[inline]
    fn scan(scheme: &'a [u8], scan: &mut Scan<'a>) -> Option<Self> {
        // `@` may stand nowhere else unescaped, so the first one ends the user part, whatever `;` or `?` it has inside.
        let (user, password) = match memchr::memchr(b'@', scan.rest) {
            None => (None, None),
            Some(at) => {
                let (userinfo, rest) = scan.rest.split_at(at);
                scan.rest = rest;
                scan.eat(b'@');
                let (user, password) = split_before(userinfo, b':');
                if user.is_empty() {
                    return None;
                }
                (Some(user), password.get(1..))
            }
        };
        let host = host(scan)?;
        let port = if scan.eat(b':') {
            Some(decimal(scan.take(DIGIT)).and_then(|port| u16::try_from(port).ok())?)
        } else {
            None
        };
        let (params, headers) = match scan.peek() {
            None => (&[][..], &[][..]),
            Some(b';' | b'?') => split_before(scan.rest, b'?'),
            Some(_) => return None,
        };
        let headers = headers.get(1..).unwrap_or_default();
        scan.rest = &[];
        Some(Self { scheme, user, password, host, port, params, headers })
    }

    /// Whether the scheme is `sips`.
    pub fn is_sips(&self) -> bool {
        self.scheme.len() == 4
    }

    /// Parameters in wire order as name and value, escapes left in place; a parameter without `=` has None.
    pub fn params(&self) -> impl Iterator<Item = (&'a [u8], Option<&'a [u8]>)> + use<'a> {
        params_of(self.params)
    }

    /// First parameter of that name (given in lower case): None = absent, Some(None) = present without a value.
    pub fn param(&self, name: &[u8]) -> Option<Option<&'a [u8]>> {
        self.params().find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// Whether every part keeps RFC 3261 §25.1, whole escapes included.
    pub fn is_strict(&self) -> bool {
        self.keeps(USER)
    }

    /// [`Self::is_strict`] with a choice of what the user part is made of.
    pub(crate) fn keeps(&self, user_class: Class) -> bool {
        let user = self.user.is_none_or(|user| escaped(user_class, user) && !user.is_empty());
        let password = self.password.is_none_or(|password| escaped(PASSWORD, password));
        let host = self.host.starts_with(b"[") || is_host_name(self.host);
        let params = self.params.is_empty()
            || self.params().all(|(name, value)| {
                !name.is_empty()
                    && escaped(URI_PARAM, name)
                    && value.is_none_or(|value| !value.is_empty() && escaped(URI_PARAM, value))
            });
        let headers = self.headers.is_empty()
            || self.headers.split(|&byte| byte == b'&').all(|header| {
                let (name, value) = split_before(header, b'=');
                !name.is_empty()
                    && escaped(URI_HEADER, name)
                    && value.get(1..).is_some_and(|value| escaped(URI_HEADER, value))
            });
        user && password && host && params && headers
    }
}

impl<'a> TelUri<'a> {
    /// Parameters in wire order, as for [`SipUri::params`].
    pub fn params(&self) -> impl Iterator<Item = (&'a [u8], Option<&'a [u8]>)> + use<'a> {
        params_of(self.params)
    }

    /// Whether the number keeps RFC 3966 §3: digits (and, without `+`, letters a to f, `*`, `#`) with visual separators.
    pub fn is_strict(&self) -> bool {
        let visual = |byte: &u8| matches!(byte, b'-' | b'.' | b'(' | b')');
        let digits = match self.number {
            [b'+', digits @ ..] => {
                digits.iter().any(u8::is_ascii_digit) && digits.iter().all(|byte| byte.is_ascii_digit() || visual(byte))
            }
            digits => {
                let local = |byte: &u8| HEX.has(*byte) || matches!(byte, b'*' | b'#');
                digits.iter().any(local) && digits.iter().all(|byte| local(byte) || visual(byte))
            }
        };
        digits && self.params().all(|(name, value)| !name.is_empty() && value.is_none_or(|value| escaped(URIC, value)))
    }
}

impl<'a> Uri<'a> {
    /// Scheme as it came (`tel` in lower case).
    pub const fn scheme(&self) -> &'a [u8] {
        match self {
            Self::Sip(uri) => uri.scheme,
            Self::Tel(_) => b"tel",
            Self::Other { scheme, .. } => scheme,
        }
    }

    /// What a call is for or from: the user part of a SIP URI, the number of a tel URI.
    pub const fn user(&self) -> Option<&'a [u8]> {
        match self {
            Self::Sip(uri) => uri.user,
            Self::Tel(uri) => Some(uri.number),
            Self::Other { .. } => None,
        }
    }

    /// Whether the URI keeps its grammar to the letter.
    pub fn is_strict(&self) -> bool {
        match self {
            Self::Sip(uri) => uri.is_strict(),
            Self::Tel(uri) => uri.is_strict(),
            Self::Other { rest, .. } => escaped(URIC, rest),
        }
    }
}

fn params_of(params: &[u8]) -> impl Iterator<Item = (&[u8], Option<&[u8]>)> {
    let params = params.strip_prefix(b";");
    params.into_iter().flat_map(|params| params.split(|&byte| byte == b';')).map(|param| {
        let (name, value) = split_before(param, b'=');
        (name, value.get(1..))
    })
}

/// `hostname` or `IPv4address` of RFC 3261 §25.1: labels that neither start nor end with a hyphen, the last one not of digits
/// only unless the whole is an IPv4 address.
pub(crate) fn is_host_name(host: &[u8]) -> bool {
    let host = host.strip_suffix(b".").unwrap_or(host);
    let labels = || host.split(|&byte| byte == b'.');
    let plain = labels().all(|label| {
        !label.is_empty()
            && !label.starts_with(b"-")
            && !label.ends_with(b"-")
            && label.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'-')
    });
    let numeric = labels().next_back().is_some_and(|label| DIGIT.all(label));
    let ipv4 = || {
        labels().count() == 4
            && labels().all(|label| label.len() <= 3 && decimal(label).is_some_and(|part| part <= 255))
    };
    plain && (!numeric || ipv4())
}

/// Whether `bytes` has only bytes of `class` and whole escapes (`%HH`).
pub(crate) fn escaped(class: Class, bytes: &[u8]) -> bool {
    let mut rest = bytes;
    loop {
        match rest {
            [] => return true,
            [b'%', high, low, tail @ ..] if HEX.has(*high) && HEX.has(*low) => rest = tail,
            [byte, tail @ ..] if *byte != b'%' && class.has(*byte) => rest = tail,
            _ => return false,
        }
    }
}

/// Writes `bytes` with `%HH` decoded into `buffer` and gives what was written. A `%` without two digits stays as it is.
/// None: `buffer` is too small (`bytes.len()` is always enough).
pub fn unescape<'b>(bytes: &[u8], buffer: &'b mut [u8]) -> Option<&'b [u8]> {
    let mut length = 0_usize;
    let mut rest = bytes;
    while let [first, tail @ ..] = rest {
        let (byte, tail) = match (first, tail) {
            (b'%', [high, low, tail @ ..]) => match (hex(*high), hex(*low)) {
                (Some(high), Some(low)) => (high << 4 | low, tail),
                _ => (*first, rest.get(1..)?),
            },
            _ => (*first, tail),
        };
        *buffer.get_mut(length)? = byte;
        length = length.saturating_add(1);
        rest = tail;
    }
    buffer.get(..length)
}

/// Value of a hexadecimal digit.
fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sip(bytes: &[u8]) -> SipUri<'_> {
        match parse_uri(bytes) {
            Ok(Uri::Sip(uri)) => uri,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn all_parts_of_a_sip_uri_are_found() {
        let uri = sip(b"sips:alice:secret@gw.example.com:5061;transport=tcp;lr?subject=x&priority=urgent");
        assert!(uri.is_sips());
        assert_eq!((uri.user, uri.password), (Some(&b"alice"[..]), Some(&b"secret"[..])));
        assert_eq!((uri.host, uri.port), (&b"gw.example.com"[..], Some(5061)));
        assert_eq!(uri.param(b"transport"), Some(Some(&b"tcp"[..])));
        assert_eq!(uri.param(b"lr"), Some(None));
        assert_eq!(uri.param(b"maddr"), None);
        assert_eq!(uri.headers, b"subject=x&priority=urgent");
        assert!(uri.is_strict());
        let bare = sip(b"SIP:example.com");
        assert_eq!((bare.user, bare.host, bare.port), (None, &b"example.com"[..], None));
    }

    #[test]
    fn separators_inside_the_user_part_belong_to_it() {
        assert_eq!(sip(b"sip:user;par=u%40example.net@example.com").user, Some(&b"user;par=u%40example.net"[..]));
        let odd = sip(b"sip:1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*:&it+has=1,weird!*pas$wo~d_too.(doesn't-it)@example.com");
        assert_eq!(odd.user, Some(&b"1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*"[..]));
        assert_eq!(odd.password, Some(&b"&it+has=1,weird!*pas$wo~d_too.(doesn't-it)"[..]));
        assert!(odd.is_strict());
    }

    #[test]
    fn ipv6_references_need_brackets() {
        let uri = sip(b"sip:user@[2001:db8::10]:5070;x");
        assert_eq!((uri.host, uri.port), (&b"[2001:db8::10]"[..], Some(5070)));
        // RFC 5118 section 4.3: what stands inside the brackets is the address, a port that was meant included.
        assert_eq!(sip(b"sip:[2001:db8::10:5070]").port, None);
        for bad in [&b"sip:2001:db8::10"[..], b"sip:[2001:db8::10", b"sip:[]", b"sip:[::1]x", b"sip:[192.0.2.1]"] {
            assert!(parse_uri(bad).is_err(), "{}", bad.escape_ascii());
        }
        assert_eq!(ipv6(b"[2001:db8:::192.0.2.1]"), "2001:db8::192.0.2.1".parse().ok());
        assert_eq!(ipv6(b"2001:db8::1"), "2001:db8::1".parse().ok());
        assert_eq!(ipv6(b":::::"), None);
    }

    #[test]
    fn malformed_uris_are_refused() {
        for bad in [
            &b""[..],
            b"sip:",
            b"sip:@example.com",
            b"sip:a@",
            b"sip:a@b:",
            b"sip:a@b:70000",
            b"sip:a@b:5060x",
            b"sip:a@b@c",
            b"sip:a b@c",
            b"<sip:a@b>",
            b"example.com",
            b":x",
            b"1a:x",
            b"sip:a@b\r\nc",
        ] {
            assert_eq!(parse_uri(bad).unwrap_err().why, Why::Uri, "{}", bad.escape_ascii());
        }
    }

    #[test]
    fn what_the_field_sends_is_read_but_not_strict() {
        for lenient in [
            &b"sip:#31#123@host"[..],
            b"sip:a%4@host",
            b"sip:a@my_host",
            b"sip:a@host;=x",
            b"sip:a@host?x",
            b"sip:a@1.2.3",
        ] {
            assert!(parse_uri(lenient).is_ok_and(|uri| !uri.is_strict()), "{}", lenient.escape_ascii());
        }
    }

    #[test]
    fn tel_and_other_schemes_are_told_apart() {
        let Ok(Uri::Tel(tel)) = parse_uri(b"tel:+1-201-555-0123;phone-context=x") else { panic!() };
        assert_eq!((tel.number, tel.params), (&b"+1-201-555-0123"[..], &b";phone-context=x"[..]));
        assert!(tel.is_strict());
        assert!(parse_uri(b"tel:").is_err());
        assert!(parse_uri(b"tel:abcx").is_ok_and(|uri| !uri.is_strict()));
        let other = parse_uri(b"soap.beep://192.0.2.103:3002").unwrap();
        assert_eq!(other, Uri::Other { scheme: b"soap.beep", rest: b"//192.0.2.103:3002" });
        assert_eq!((other.scheme(), other.user()), (&b"soap.beep"[..], None));
    }

    #[test]
    fn unescape_decodes_whole_escapes_only() {
        let mut buffer = [0; 32];
        assert_eq!(unescape(b"sips%3Auser%40example.com", &mut buffer), Some(&b"sips:user@example.com"[..]));
        assert_eq!(unescape(b"null-%00-null", &mut buffer), Some(&b"null-\0-null"[..]));
        assert_eq!(unescape(b"100%", &mut buffer), Some(&b"100%"[..]));
        assert_eq!(unescape(b"%G0%4", &mut buffer), Some(&b"%G0%4"[..]));
        assert_eq!(unescape(b"abc", &mut [0; 2]), None);
    }
}
