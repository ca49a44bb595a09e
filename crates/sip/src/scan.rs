// SPDX-License-Identifier: Apache-2.0
//! A reader over the bytes of one header field value. Folds were checked when the lines were cut, so CR and LF are white space here.

use crate::class::{Class, LWS};

/// What is still to be read.
#[derive(Clone, Copy)]
pub(crate) struct Scan<'a> {
    pub(crate) rest: &'a [u8],
}

impl<'a> Scan<'a> {
    #[inline]
    pub(crate) const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// Next byte without taking it.
    #[inline]
    pub(crate) fn peek(&self) -> Option<u8> {
        self.rest.first().copied()
    }

    /// Skip white space (SWS of RFC 3261 §25.1).
    #[inline]
    pub(crate) fn sws(&mut self) {
        while let [first, rest @ ..] = self.rest {
            if !is_lws(*first) {
                break;
            }
            self.rest = rest;
        }
    }

    /// Take `byte` if it is next.
    #[inline]
    pub(crate) fn eat(&mut self, byte: u8) -> bool {
        if let [first, rest @ ..] = self.rest
            && *first == byte
        {
            self.rest = rest;
            return true;
        }
        false
    }

    /// Take `byte` with white space allowed before and after it (SEMI, SLASH, EQUAL, COLON of RFC 3261 §25.1).
    #[inline]
    pub(crate) fn eat_spaced(&mut self, byte: u8) -> bool {
        self.sws();
        let found = self.eat(byte);
        if found {
            self.sws();
        }
        found
    }

    /// Take the longest run of `class`; it may be empty.
    #[inline]
    pub(crate) fn take(&mut self, class: Class) -> &'a [u8] {
        let (run, rest) = self.rest.split_at(class.run(self.rest));
        self.rest = rest;
        run
    }

    /// Take a run of `class` that is not empty.
    #[inline]
    pub(crate) fn some(&mut self, class: Class) -> Option<&'a [u8]> {
        let run = self.take(class);
        (!run.is_empty()).then_some(run)
    }

    /// Take a quoted string whose opening quote is next; gives what stands between the quotes, escapes left in place.
    pub(crate) fn quoted(&mut self) -> Option<&'a [u8]> {
        if !self.eat(b'"') {
            return None;
        }
        let inside = self.rest;
        let mut after = inside;
        loop {
            match after {
                [b'"', rest @ ..] => {
                    self.rest = rest;
                    return inside.get(..inside.len().saturating_sub(rest.len()).saturating_sub(1));
                }
                [b'\\', escaped, rest @ ..] if *escaped != b'\r' && *escaped != b'\n' => {
                    after = rest;
                }
                [b'\\', ..] | [] => return None,
                [_, rest @ ..] => after = rest,
            }
        }
    }

    /// Whether nothing but white space is left.
    #[inline]
    pub(crate) fn is_done(&mut self) -> bool {
        self.sws();
        self.rest.is_empty()
    }
}

/// [`LWS`], with the usual answer first.
#[inline]
const fn is_lws(byte: u8) -> bool {
    byte <= b' ' && LWS.has(byte)
}

/// `bytes` without white space at both ends.
#[inline]
pub(crate) fn trim(mut bytes: &[u8]) -> &[u8] {
    while let [first, rest @ ..] = bytes {
        if !is_lws(*first) {
            break;
        }
        bytes = rest;
    }
    trim_end(bytes)
}

/// `bytes` without white space at its end.
#[inline]
pub(crate) fn trim_end(mut bytes: &[u8]) -> &[u8] {
    while let [rest @ .., last] = bytes {
        if !is_lws(*last) {
            break;
        }
        bytes = rest;
    }
    bytes
}

/// Decimal number of one or more digits; None for anything else and for what does not fit.
#[inline]
pub(crate) fn decimal(bytes: &[u8]) -> Option<u64> {
    if bytes.is_empty() {
        return None;
    }
    if bytes.len() < 19 {
        // Too few digits to overflow.
        let sum = bytes
            .iter()
            .fold(0_u64, |sum, &byte| sum.wrapping_mul(10).wrapping_add(u64::from(byte.wrapping_sub(b'0'))));
        return bytes.iter().all(u8::is_ascii_digit).then_some(sum);
    }
    bytes.iter().try_fold(0_u64, |sum, &byte| {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        sum.checked_mul(10)?.checked_add(u64::from(digit))
    })
}

/// How many bytes of `whole` were read when `rest` is left of it.
#[inline]
pub(crate) fn read(whole: &[u8], rest: &[u8]) -> usize {
    whole.len().saturating_sub(rest.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoted_string_ends_at_the_first_quote_that_is_not_escaped() {
        let mut scan = Scan::new(br#""a \"b\\" rest"#);
        assert_eq!(scan.quoted(), Some(&br#"a \"b\\"#[..]));
        assert_eq!(scan.rest, b" rest");
        assert_eq!(Scan::new(br#""open"#).quoted(), None);
        assert_eq!(Scan::new(br#""open\"#).quoted(), None);
        assert_eq!(Scan::new(br#""open\""#).quoted(), None);
    }

    #[test]
    fn decimal_refuses_signs_blanks_and_overflow() {
        assert_eq!(decimal(b"0068"), Some(68));
        assert_eq!(decimal(b"18446744073709551615"), Some(u64::MAX));
        for bad in [&b""[..], b"-1", b"+1", b" 1", b"1 ", b"1e3", b"18446744073709551616"] {
            assert_eq!(decimal(bad), None);
        }
    }
}
