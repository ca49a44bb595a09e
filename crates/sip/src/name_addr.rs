// SPDX-License-Identifier: Apache-2.0
//! `( name-addr / addr-spec ) *( ";" param )`: From, To, Contact, Route and their kin (RFC 3261 §20.10, §25.1).

use crate::class::{DISPLAY, URI};
use crate::error::{Error, Why};
use crate::param::{Params, param};
use crate::scan::{Scan, read, trim_end};

/// An address with its parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NameAddr<'a> {
    /// Display name without its quotes, escapes left in place; None where there is none.
    pub display: Option<&'a [u8]>,
    /// The URI, without angle brackets.
    pub uri: &'a [u8],
    /// Whether the URI stood in angle brackets.
    pub is_bracketed: bool,
    tag: Option<&'a [u8]>,
    params: &'a [u8],
    rest: Option<&'a [u8]>,
}

impl<'a> NameAddr<'a> {
    const EMPTY: Self = Self { display: None, uri: &[], is_bracketed: false, tag: None, params: &[], rest: None };

    /// Reads a value that holds exactly one address (From, To, Reply-To, Refer-To, ...).
    pub fn parse(value: &'a [u8], why: Why) -> Result<Self, Error> {
        let mut address = Self::EMPTY;
        address.read_only(value, why)?;
        Ok(address)
    }

    /// [`Self::parse`] into a place where it stays; None stays there after a fault.
    #[inline]
    pub(crate) fn fill(place: &mut Option<Self>, value: &'a [u8], why: Why) -> Result<(), Error> {
        let result = place.insert(Self::EMPTY).read_only(value, why);
        if result.is_err() {
            *place = None;
        }
        result
    }

    /// Reads the first address of a comma-separated value; [`Self::rest`] has what follows.
    pub fn parse_first(value: &'a [u8], why: Why) -> Result<Self, Error> {
        let mut scan = Scan::new(value);
        let mut address = Self::EMPTY;
        address.read(&mut scan).ok_or(Error::at(why, read(value, scan.rest)))?;
        Ok(address)
    }

    fn read_only(&mut self, value: &'a [u8], why: Why) -> Result<(), Error> {
        let mut scan = Scan::new(value);
        let done = self.read(&mut scan).filter(|()| self.rest.is_none());
        done.ok_or(Error::at(why, read(value, scan.rest)))
    }

    #[inline]
    fn read(&mut self, scan: &mut Scan<'a>) -> Option<()> {
        scan.sws();
        if scan.peek() == Some(b'"') {
            self.display = Some(scan.quoted()?);
            scan.sws();
            if scan.peek() != Some(b'<') {
                return None;
            }
        } else if scan.peek() != Some(b'<') {
            // A display name has no colon, and a URI has one in front of all else that could confuse: the first byte that no
            // display name can have tells the two forms apart.
            let mut ahead = *scan;
            let name = trim_end(ahead.take(DISPLAY));
            if ahead.peek() == Some(b'<') {
                *scan = ahead;
                self.display = Some(name);
            }
        }
        self.is_bracketed = scan.eat(b'<');
        if self.is_bracketed {
            self.uri = scan.take(URI);
            scan.eat(b'>').then_some(())?;
        } else {
            // RFC 3261 §20: without brackets a semicolon starts a parameter of the header field, and `?` and `,` may not stand.
            let run = scan.rest.get(..URI.run(scan.rest))?;
            let length = run.iter().position(|byte| matches!(byte, b';' | b',' | b'?')).unwrap_or(run.len());
            if run.get(length) == Some(&b'?') {
                return None;
            }
            (self.uri, scan.rest) = scan.rest.split_at_checked(length)?;
        }
        if !has_scheme(self.uri) {
            return None;
        }
        let all = scan.rest;
        while let Some(param) = param(scan).ok()? {
            if param.is(b"tag") {
                let value = param.value?;
                // Two tags would name two dialogs.
                if self.tag.replace(value).is_some() || value.starts_with(b"\"") {
                    return None;
                }
            }
        }
        self.params = all.get(..read(all, scan.rest))?;
        scan.sws();
        if scan.eat(b',') {
            self.rest = Some(scan.rest);
            return Some(());
        }
        scan.rest.is_empty().then_some(())
    }

    /// The `tag` parameter.
    #[inline]
    pub const fn tag(&self) -> Option<&'a [u8]> {
        self.tag
    }

    /// Parameters of the header field (not of the URI) in wire order.
    pub const fn params(&self) -> Params<'a> {
        Params::new(self.params)
    }

    /// What follows the comma after this address.
    pub const fn rest(&self) -> Option<&'a [u8]> {
        self.rest
    }
}

/// Whether `uri` starts with a scheme and a colon (RFC 3261 §25.1 `scheme`) and has something after it.
#[inline]
pub(crate) fn has_scheme(uri: &[u8]) -> bool {
    if let [b's', b'i', b'p', b':', _, ..] = uri {
        return true;
    }
    let length = uri
        .iter()
        .position(|&byte| !(byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.')))
        .unwrap_or(uri.len());
    uri.first().is_some_and(u8::is_ascii_alphabetic) && matches!(uri.split_at(length).1, [b':', _, ..])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_one(value: &[u8]) -> NameAddr<'_> {
        NameAddr::parse(value, Why::From).unwrap()
    }

    #[test]
    fn name_addr_and_addr_spec_forms_are_told_apart() {
        let from = read_one(b"\"J Rosenberg \\\\\\\"\"       <sip:jdrosen@example.com>\r\n  ;\r\n  tag = 98asjd8");
        assert_eq!(from.display, Some(&br#"J Rosenberg \\\""#[..]));
        assert_eq!(from.uri, b"sip:jdrosen@example.com");
        assert_eq!(from.tag(), Some(&b"98asjd8"[..]));
        assert!(from.is_bracketed);

        let to = read_one(b"sip:vivekg@chair-dnrc.example.com ;   tag    = 1918181833n");
        assert_eq!((to.display, to.uri), (None, &b"sip:vivekg@chair-dnrc.example.com"[..]));
        assert_eq!(to.tag(), Some(&b"1918181833n"[..]));
        assert!(!to.is_bracketed);

        assert_eq!(read_one(b"caller<sip:caller@example.com>;tag=323").display, Some(&b"caller"[..]));
        assert_eq!(read_one(b"A. G. Bell <sip:a@b>").display, Some(&b"A. G. Bell"[..]));
        assert_eq!(read_one(b"<sip:a@b;transport=tcp?x=y>;tag=1").uri, b"sip:a@b;transport=tcp?x=y");
        assert_eq!(read_one(b"\"\"<sip:a@b>").display, Some(&b""[..]));
        assert_eq!(read_one(b"sip:a@b;x=\"<;>\";tag=q").tag(), Some(&b"q"[..]));
    }

    #[test]
    fn malformed_addresses_are_refused() {
        for bad in [
            &b""[..],
            b"<>",
            b"<sip:>",
            b"sip",
            b"\"Mr. J. User <sip:j.user@example.com>",
            b"\"Watson, Thomas\" < sip:t.watson@example.org >",
            b"Bell, Alexander <sip:a.g.bell@example.com>;tag=433423",
            b"<sip:a@b",
            b"sip:a@b?x=y",
            b"sip:a@b, sip:c@d",
            b"<sip:a@b>;tag=1;tag=2",
            b"<sip:a@b>;tag",
            b"<sip:a@b>;tag=\"x\"",
            b"<sip:a@b>;;",
            b"<sip:a@b> x",
            b"\"a\" sip:a@b",
            b"<1sip:a@b>",
        ] {
            let fault = NameAddr::parse(bad, Why::To).unwrap_err();
            assert_eq!(fault.why, Why::To, "{}", bad.escape_ascii());
        }
    }

    #[test]
    fn lists_are_read_one_by_one() {
        let first = NameAddr::parse_first(b"<sip:a@b>;q=1 , sip:c@d;lr", Why::Contact).unwrap();
        assert_eq!(first.params().get(b"q").unwrap().value, Some(&b"1"[..]));
        let second = NameAddr::parse_first(first.rest().unwrap(), Why::Contact).unwrap();
        assert_eq!(second.uri, b"sip:c@d");
        assert_eq!(second.rest(), None);
    }
}
