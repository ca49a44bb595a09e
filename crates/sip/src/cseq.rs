// SPDX-License-Identifier: Apache-2.0
//! `CSeq` (RFC 3261 §20.16).

use crate::class::{DIGIT, TOKEN};
use crate::error::{Error, Why};
use crate::method::Method;
use crate::scan::{Scan, decimal, read};

/// Sequence number and method.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CSeq<'a> {
    /// Below 2^31 (RFC 3261 §8.1.1.5).
    pub number: u32,
    /// The method that the number counts.
    pub method: Method<'a>,
}

impl<'a> CSeq<'a> {
    /// Reads a whole header field value.
    pub fn parse(value: &'a [u8]) -> Result<Self, Error> {
        let mut scan = Scan::new(value);
        let digits = scan.take(DIGIT);
        let number = decimal(digits)
            .and_then(|number| u32::try_from(number).ok())
            .filter(|&number| number < 1 << 31)
            .ok_or(Error::at(Why::CSeq, 0))?;
        let after_number = scan.rest;
        scan.sws();
        let fault = Error::at(Why::CSeq, read(value, scan.rest));
        if scan.rest.len() == after_number.len() {
            return Err(fault);
        }
        let method = Method::from_bytes(scan.some(TOKEN).ok_or(fault)?);
        if !scan.is_done() {
            return Err(Error::at(Why::CSeq, read(value, scan.rest)));
        }
        Ok(Self { number, method })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn number_has_leading_zeros_and_white_space_may_be_folded() {
        let cseq = CSeq::parse(b"0009\r\n  INVITE").unwrap();
        assert_eq!((cseq.number, cseq.method), (9, Method::Invite));
        assert_eq!(CSeq::parse(b"2147483647 ACK").unwrap().number, 2_147_483_647);
    }

    #[test]
    fn number_from_two_to_the_31_and_missing_parts_are_refused() {
        for bad in [
            &b"2147483648 INVITE"[..],
            b"36893488147419103232 REGISTER",
            b"-1 INVITE",
            b"1INVITE",
            b"1",
            b"1 ",
            b"INVITE",
            b"",
            b"1 INVITE x",
            b"1 INV,ITE",
        ] {
            assert_eq!(CSeq::parse(bad).unwrap_err().why, Why::CSeq, "{}", bad.escape_ascii());
        }
    }
}
