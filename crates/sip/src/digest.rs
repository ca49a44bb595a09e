// SPDX-License-Identifier: Apache-2.0
//! Digest credentials and challenges (RFC 3261 §20.7, §20.27, §22, §25.1; RFC 7616; RFC 8760).
//!
//! Only reading: nothing is hashed here. Quoted values are given without their quotes and borrow from the message; one with a
//! backslash in it is [`Quoted::is_escaped`] and is undone into a caller's buffer.

use crate::class::TOKEN;
use crate::error::{Error, Why};
use crate::scan::{Scan, read};

/// A value that may have been quoted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quoted<'a> {
    raw: &'a [u8],
    is_escaped: bool,
}

impl<'a> Quoted<'a> {
    /// Without quotes, backslashes left in place.
    pub const fn raw(&self) -> &'a [u8] {
        self.raw
    }

    /// Whether there is a backslash to undo.
    pub const fn is_escaped(&self) -> bool {
        self.is_escaped
    }

    /// The value, where no backslash stands in it.
    pub const fn plain(&self) -> Option<&'a [u8]> {
        if self.is_escaped { None } else { Some(self.raw) }
    }

    /// The value with backslashes undone. Copies only where there are any; None: `buffer` is then too small (`raw().len()` is enough).
    pub fn unescape<'b>(&self, buffer: &'b mut [u8]) -> Option<&'b [u8]>
    where
        'a: 'b,
    {
        if !self.is_escaped {
            return Some(self.raw);
        }
        let mut length = 0_usize;
        let mut rest = self.raw.iter();
        while let Some(&byte) = rest.next() {
            let byte = if byte == b'\\' { *rest.next()? } else { byte };
            *buffer.get_mut(length)? = byte;
            length = length.saturating_add(1);
        }
        buffer.get(..length)
    }
}

/// Authorization or Proxy-Authorization with the scheme `Digest`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Credentials<'a> {
    /// Who.
    pub username: Option<Quoted<'a>>,
    /// Where.
    pub realm: Option<Quoted<'a>>,
    /// What the challenge gave.
    pub nonce: Option<Quoted<'a>>,
    /// The URI that was hashed; it need not be the Request-URI byte for byte.
    pub uri: Option<Quoted<'a>>,
    /// Hexadecimal digest.
    pub response: Option<Quoted<'a>>,
    /// `MD5`, `SHA-256`, ... as it came; absent means MD5.
    pub algorithm: Option<Quoted<'a>>,
    /// Client nonce.
    pub cnonce: Option<Quoted<'a>>,
    /// What the challenge asked to be given back.
    pub opaque: Option<Quoted<'a>>,
    /// `auth`, `auth-int`; absent with RFC 2069 clients.
    pub qop: Option<Quoted<'a>>,
    /// Nonce count: eight hexadecimal digits, as a number.
    pub nc: Option<u32>,
    /// The eight digits as they came: they are hashed in this form.
    pub nc_text: Option<&'a [u8]>,
}

/// WWW-Authenticate or Proxy-Authenticate with the scheme `Digest`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Challenge<'a> {
    /// Where.
    pub realm: Option<Quoted<'a>>,
    /// What is to be hashed.
    pub nonce: Option<Quoted<'a>>,
    /// To be given back.
    pub opaque: Option<Quoted<'a>>,
    /// As it came; absent means MD5.
    pub algorithm: Option<Quoted<'a>>,
    /// List of `auth`, `auth-int`.
    pub qop: Option<Quoted<'a>>,
    /// Whether only the nonce was wrong.
    pub is_stale: bool,
}

/// Scheme and parameters of a value; None where the scheme is another than Digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme<'a, T> {
    /// `Digest`, read.
    Digest(T),
    /// Another scheme (`Basic`, `NoOneKnowsThisScheme`), not looked into.
    Other(&'a [u8]),
}

const FAULT: Why = Why::Digest;

impl<'a> Credentials<'a> {
    /// Reads a header field value. A parameter that stands twice is refused: two elements might choose differently.
    pub fn parse(value: &'a [u8]) -> Result<Scheme<'a, Self>, Error> {
        let mut found = Self::default();
        let scheme = params(value, |name, value| {
            let slot = match name.len() {
                8 if name.eq_ignore_ascii_case(b"username") => &mut found.username,
                5 if name.eq_ignore_ascii_case(b"realm") => &mut found.realm,
                5 if name.eq_ignore_ascii_case(b"nonce") => &mut found.nonce,
                3 if name.eq_ignore_ascii_case(b"uri") => &mut found.uri,
                8 if name.eq_ignore_ascii_case(b"response") => &mut found.response,
                9 if name.eq_ignore_ascii_case(b"algorithm") => &mut found.algorithm,
                6 if name.eq_ignore_ascii_case(b"cnonce") => &mut found.cnonce,
                6 if name.eq_ignore_ascii_case(b"opaque") => &mut found.opaque,
                3 if name.eq_ignore_ascii_case(b"qop") => &mut found.qop,
                2 if name.eq_ignore_ascii_case(b"nc") => {
                    found.nc = Some(nonce_count(value.raw)?);
                    return found.nc_text.replace(value.raw).is_none().then_some(());
                }
                _ => return Some(()),
            };
            slot.replace(value).is_none().then_some(())
        })?;
        Ok(match scheme {
            None => Scheme::Digest(found),
            Some(other) => Scheme::Other(other),
        })
    }
}

impl<'a> Challenge<'a> {
    /// Reads one challenge: the whole of a header field value.
    pub fn parse(value: &'a [u8]) -> Result<Scheme<'a, Self>, Error> {
        let mut found = Self::default();
        let scheme = params(value, |name, value| {
            let slot = match name.len() {
                5 if name.eq_ignore_ascii_case(b"realm") => &mut found.realm,
                5 if name.eq_ignore_ascii_case(b"nonce") => &mut found.nonce,
                6 if name.eq_ignore_ascii_case(b"opaque") => &mut found.opaque,
                9 if name.eq_ignore_ascii_case(b"algorithm") => &mut found.algorithm,
                3 if name.eq_ignore_ascii_case(b"qop") => &mut found.qop,
                5 if name.eq_ignore_ascii_case(b"stale") => {
                    found.is_stale = value.raw.eq_ignore_ascii_case(b"true");
                    return Some(());
                }
                _ => return Some(()),
            };
            slot.replace(value).is_none().then_some(())
        })?;
        Ok(match scheme {
            None => Scheme::Digest(found),
            Some(other) => Scheme::Other(other),
        })
    }
}

/// `8LHEX` (RFC 7616 §3.4).
fn nonce_count(digits: &[u8]) -> Option<u32> {
    if digits.len() != 8 || !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    u32::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

/// Reads `scheme LWS name = value *( "," name = value )` and hands each parameter over; `take` says None to refuse one. Gives the scheme
/// where it is another than Digest; its parameters have no common grammar and are not read.
fn params<'a>(
    value: &'a [u8],
    mut take: impl FnMut(&'a [u8], Quoted<'a>) -> Option<()>,
) -> Result<Option<&'a [u8]>, Error> {
    let mut scan = Scan::new(value);
    scan.sws();
    let fault = |scan: &Scan<'_>| Error::at(FAULT, read(value, scan.rest));
    let scheme = scan.some(TOKEN).ok_or_else(|| fault(&scan))?;
    let before = scan.rest.len();
    scan.sws();
    if scan.rest.len() == before {
        return Err(fault(&scan));
    }
    if !scheme.eq_ignore_ascii_case(b"Digest") {
        return Ok(Some(scheme));
    }
    loop {
        let name = scan.some(TOKEN).ok_or_else(|| fault(&scan))?;
        if !scan.eat_spaced(b'=') {
            return Err(fault(&scan));
        }
        let found = if scan.peek() == Some(b'"') {
            let raw = scan.quoted().ok_or_else(|| fault(&scan))?;
            Quoted { raw, is_escaped: memchr::memchr(b'\\', raw).is_some() }
        } else {
            Quoted { raw: scan.some(TOKEN).ok_or_else(|| fault(&scan))?, is_escaped: false }
        };
        take(name, found).ok_or_else(|| fault(&scan))?;
        scan.sws();
        if scan.rest.is_empty() {
            return Ok(None);
        }
        if !scan.eat_spaced(b',') {
            return Err(fault(&scan));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn credentials(value: &[u8]) -> Credentials<'_> {
        match Credentials::parse(value) {
            Ok(Scheme::Digest(credentials)) => credentials,
            other => panic!("{other:?}"),
        }
    }

    fn plain(value: Option<Quoted<'_>>) -> Option<&[u8]> {
        value.and_then(|value| value.plain())
    }

    #[test]
    fn all_parameters_are_found_with_folds_between_them() {
        let found = credentials(
            b"Digest username=\"bob\",\r\n realm = \"biloxi.com\", nonce=\"dcd98b7102dd2f0e8b11d0f600bfb0c093\",\r\n\
              \turi=\"sip:bob@biloxi.com\", qop=auth, nc=0000000A, cnonce=\"0a4f113b\", algorithm=SHA-256,\r\n \
              response=\"6629fae49393a05397450978507c4ef1\", opaque=\"5ccc069c403ebaf9f0171e9517f40e41\", x=y",
        );
        assert_eq!(plain(found.username), Some(&b"bob"[..]));
        assert_eq!(plain(found.realm), Some(&b"biloxi.com"[..]));
        assert_eq!(plain(found.nonce), Some(&b"dcd98b7102dd2f0e8b11d0f600bfb0c093"[..]));
        assert_eq!(plain(found.uri), Some(&b"sip:bob@biloxi.com"[..]));
        assert_eq!(plain(found.qop), Some(&b"auth"[..]));
        assert_eq!((found.nc, found.nc_text), (Some(10), Some(&b"0000000A"[..])));
        assert_eq!(plain(found.cnonce), Some(&b"0a4f113b"[..]));
        assert_eq!(plain(found.algorithm), Some(&b"SHA-256"[..]));
        assert_eq!(plain(found.response), Some(&b"6629fae49393a05397450978507c4ef1"[..]));
        assert_eq!(plain(found.opaque), Some(&b"5ccc069c403ebaf9f0171e9517f40e41"[..]));
    }

    #[test]
    fn escapes_are_undone_into_the_buffer_and_plain_values_are_not_copied() {
        let value = br#"Digest username="a\"b\\c", realm="plain""#;
        let found = credentials(value);
        let name = found.username.unwrap();
        assert!(name.is_escaped() && name.plain().is_none());
        let mut buffer = [0; 16];
        assert_eq!(name.unescape(&mut buffer), Some(&br#"a"b\c"#[..]));
        assert_eq!(name.unescape(&mut [0; 3]), None);
        assert_eq!(found.realm.unwrap().unescape(&mut []), Some(&b"plain"[..]));
    }

    #[test]
    fn another_scheme_is_named_and_not_looked_into() {
        assert_eq!(
            Credentials::parse(b"NoOneKnowsThisScheme opaque-data=here"),
            Ok(Scheme::Other(b"NoOneKnowsThisScheme"))
        );
        assert_eq!(Challenge::parse(b"Basic realm"), Ok(Scheme::Other(b"Basic")));
    }

    #[test]
    fn malformed_credentials_are_refused() {
        for bad in [
            &b""[..],
            b"Digest",
            b"Digest ",
            b"Digest username",
            b"Digest username=",
            b"Digest username=\"bob",
            b"Digest username=\"bob\" realm=\"x\"",
            b"Digest username=\"bob\",",
            b"Digest username=\"bob\",,realm=x",
            b"Digest =x",
            b"Digest realm=\"a\", realm=\"b\"",
            b"Digest nc=1",
            b"Digest nc=+0000001",
            b"Digest nc=0000000g",
            b"Digest nc=00000001, nc=00000002",
        ] {
            assert_eq!(Credentials::parse(bad).unwrap_err().why, Why::Digest, "{}", bad.escape_ascii());
        }
    }

    #[test]
    fn a_challenge_is_read() {
        let value = b"Digest realm=\"atlanta.com\", qop=\"auth,auth-int\", nonce=\"f84f1cec\", opaque=\"\", stale=TRUE, algorithm=MD5";
        let Ok(Scheme::Digest(found)) = Challenge::parse(value) else { panic!() };
        assert_eq!(plain(found.realm), Some(&b"atlanta.com"[..]));
        assert_eq!(plain(found.qop), Some(&b"auth,auth-int"[..]));
        assert_eq!(plain(found.nonce), Some(&b"f84f1cec"[..]));
        assert_eq!(plain(found.opaque), Some(&b""[..]));
        assert_eq!(plain(found.algorithm), Some(&b"MD5"[..]));
        assert!(found.is_stale);
    }
}
