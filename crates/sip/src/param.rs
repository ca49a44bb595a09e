// SPDX-License-Identifier: Apache-2.0
//! `*( ";" name [ "=" value ] )`, as it follows Via, From, To, Contact and others (`generic-param`, RFC 3261 §25.1).

use crate::class::{TOKEN, VALUE};
use crate::scan::Scan;

/// One parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Param<'a> {
    /// Name as it came; compare without regard to case.
    pub name: &'a [u8],
    /// Value as it came, quotes included; None where there is no `=`.
    pub value: Option<&'a [u8]>,
}

impl<'a> Param<'a> {
    /// Value without its quotes; escapes stay.
    pub fn unquoted(&self) -> Option<&'a [u8]> {
        match self.value? {
            [b'"', inside @ .., b'"'] => Some(inside),
            value => Some(value),
        }
    }

    /// Whether the name is `name`, which is given in lower case.
    #[inline]
    pub fn is(&self, name: &[u8]) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }
}

/// Reads the next parameter. `Ok(None)`: no semicolon is next. `Err`: a semicolon, and then no parameter.
#[inline]
pub(crate) fn param<'a>(scan: &mut Scan<'a>) -> Result<Option<Param<'a>>, ()> {
    if !scan.eat_spaced(b';') {
        return Ok(None);
    }
    let name = scan.some(TOKEN).ok_or(())?;
    let mut ahead = *scan;
    if !ahead.eat_spaced(b'=') {
        return Ok(Some(Param { name, value: None }));
    }
    let from = ahead;
    let value = if ahead.peek() == Some(b'"') {
        ahead.quoted().ok_or(())?;
        let length = from.rest.len().saturating_sub(ahead.rest.len());
        from.rest.get(..length).ok_or(())?
    } else {
        ahead.some(VALUE).ok_or(())?
    };
    *scan = ahead;
    Ok(Some(Param { name, value: Some(value) }))
}

/// Parameters in wire order. Ends at the first thing that is no parameter.
#[derive(Clone, Debug)]
pub struct Params<'a> {
    rest: &'a [u8],
}

impl<'a> Params<'a> {
    /// Over bytes that start with `;` (white space before it is allowed).
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// The bytes that are still to be read.
    pub const fn as_bytes(&self) -> &'a [u8] {
        self.rest
    }

    /// First parameter of that name (given in lower case).
    pub fn get(&self, name: &[u8]) -> Option<Param<'a>> {
        self.clone().find(|param| param.is(name))
    }
}

impl<'a> Iterator for Params<'a> {
    type Item = Param<'a>;

    fn next(&mut self) -> Option<Param<'a>> {
        let mut scan = Scan::new(self.rest);
        let found = param(&mut scan).ok().flatten();
        self.rest = if found.is_some() { scan.rest } else { &[] };
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_read_with_white_space_and_folds_around_them() {
        let params = Params::new(b" ;\r\n  tag = 98asjd8 ;lr; Name=\"a;b\" ;q=0.3");
        let all: Vec<_> = params.clone().map(|param| (param.name, param.value)).collect();
        assert_eq!(
            all,
            [(&b"tag"[..], Some(&b"98asjd8"[..])), (b"lr", None), (b"Name", Some(b"\"a;b\"")), (b"q", Some(b"0.3")),]
        );
        assert_eq!(params.get(b"name").and_then(|param| param.unquoted()), Some(&b"a;b"[..]));
    }

    #[test]
    fn a_semicolon_without_a_name_is_an_error() {
        for bad in [&b";"[..], b";;", b"; =x", b";a=", b";a=\"x", b";a=;b"] {
            assert_eq!(param(&mut Scan::new(bad)), Err(()), "{}", bad.escape_ascii());
        }
        assert_eq!(param(&mut Scan::new(b"  ")), Ok(None));
    }
}
