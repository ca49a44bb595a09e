// SPDX-License-Identifier: Apache-2.0
//! Via (RFC 3261 §20.42, RFC 3581).

use crate::class::{DIGIT, TOKEN};
use crate::error::{Error, Why};
use crate::param::{Params, param};
use crate::scan::{Scan, decimal, read, trim_end};
use crate::uri::host;

/// A part of a header field value, as offsets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// First byte.
    pub start: usize,
    /// One past the last byte.
    pub end: usize,
}

/// One `via-parm`. A Via line may carry several, separated by commas.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Via<'a> {
    /// `UDP`, `TCP`, `TLS`, ... as it came.
    pub transport: &'a [u8],
    /// Host of sent-by; an IPv6 reference keeps its brackets.
    pub host: &'a [u8],
    /// Port of sent-by.
    pub port: Option<u16>,
    /// `branch`; RFC 2543 elements send none.
    pub branch: Option<&'a [u8]>,
    /// `received`: what some element before us saw, or what the sender made up.
    pub received: Option<&'a [u8]>,
    /// `rport`: None = absent, Some(None) = asked for, Some(Some(port)) = filled in (RFC 3581 §3).
    pub rport: Option<Option<u16>>,
    /// `maddr`.
    pub maddr: Option<&'a [u8]>,
    /// `ttl`.
    pub ttl: Option<u8>,
    /// Length of this via-parm in the value, white space after it excluded: an answer adds parameters there.
    pub len: usize,
    /// Where `;rport[=..]` stands in the value, semicolon included.
    pub rport_at: Option<Span>,
    /// Where `;received=..` stands in the value, semicolon included.
    pub received_at: Option<Span>,
    params: &'a [u8],
    rest: Option<&'a [u8]>,
}

impl<'a> Via<'a> {
    /// The magic cookie that branches of RFC 3261 elements start with (RFC 3261 §8.1.1.7).
    pub const COOKIE: &'static [u8] = b"z9hG4bK";

    const EMPTY: Self = Self {
        transport: &[],
        host: &[],
        port: None,
        branch: None,
        received: None,
        rport: None,
        maddr: None,
        ttl: None,
        len: 0,
        rport_at: None,
        received_at: None,
        params: &[],
        rest: None,
    };

    /// Reads the first via-parm of a value.
    pub fn parse(value: &'a [u8]) -> Result<Self, Error> {
        let mut via = Self::EMPTY;
        via.read(value)?;
        Ok(via)
    }

    /// [`Self::parse`] into a place where it stays; None stays there after a fault.
    #[inline]
    pub(crate) fn fill(place: &mut Option<Self>, value: &'a [u8]) -> Result<(), Error> {
        let result = place.insert(Self::EMPTY).read(value);
        if result.is_err() {
            *place = None;
        }
        result
    }

    /// Reads `sent-protocol LWS sent-by` only: what an answer needs when the parameters are malformed.
    pub(crate) fn parse_sent(value: &'a [u8]) -> Option<Self> {
        let mut scan = Scan::new(value);
        let mut via = Self::EMPTY;
        via.read_sent(&mut scan)?;
        via.len = read(value, scan.rest);
        Some(via)
    }

    fn read(&mut self, value: &'a [u8]) -> Result<(), Error> {
        let mut scan = Scan::new(value);
        let done = self.read_sent(&mut scan).and_then(|()| self.read_params(value, &mut scan));
        done.ok_or(Error::at(Why::Via, read(value, scan.rest)))
    }

    #[inline]
    fn read_sent(&mut self, scan: &mut Scan<'a>) -> Option<()> {
        scan.sws();
        // Nearly every sender writes this one form; the general one below allows white space and other protocols.
        if let Some(rest) = scan.rest.strip_prefix(b"SIP/2.0/") {
            scan.rest = rest;
        } else {
            scan.some(TOKEN)?;
            scan.eat_spaced(b'/').then_some(())?;
            scan.some(TOKEN)?;
            scan.eat_spaced(b'/').then_some(())?;
        }
        self.transport = scan.some(TOKEN)?;
        let before = scan.rest.len();
        scan.sws();
        if scan.rest.len() == before {
            return None;
        }
        self.host = host(scan)?;
        let mut ahead = *scan;
        if ahead.eat_spaced(b':') {
            self.port = Some(port(ahead.take(DIGIT))?);
            *scan = ahead;
        }
        Some(())
    }

    #[inline]
    fn read_params(&mut self, value: &'a [u8], scan: &mut Scan<'a>) -> Option<()> {
        let all = scan.rest;
        loop {
            let start = read(value, scan.rest);
            let Some(param) = param(scan).ok()? else {
                break;
            };
            let at = Span { start, end: read(value, scan.rest) };
            match param.name.len() {
                6 if param.is(b"branch") => self.branch = Some(param.value?),
                5 if param.is(b"rport") => {
                    self.rport_at = Some(at);
                    self.rport = Some(match param.value {
                        None => None,
                        Some(digits) => Some(port(digits)?),
                    });
                }
                8 if param.is(b"received") => {
                    self.received_at = Some(at);
                    self.received = Some(param.value?);
                }
                5 if param.is(b"maddr") => self.maddr = Some(param.value?),
                3 if param.is(b"ttl") => {
                    self.ttl = Some(param.value.and_then(decimal).and_then(|ttl| u8::try_from(ttl).ok())?);
                }
                _ => {}
            }
        }
        // `param` leaves the white space that it looked behind; what was read ends before it.
        self.params = all.get(..read(all, scan.rest))?;
        self.len = trim_end(value.get(..read(value, scan.rest))?).len();
        scan.sws();
        if scan.eat(b',') {
            self.rest = Some(scan.rest);
            return Some(());
        }
        scan.rest.is_empty().then_some(())
    }

    /// Parameters in wire order.
    pub const fn params(&self) -> Params<'a> {
        Params::new(self.params)
    }

    /// What follows the comma after this via-parm in the same value.
    pub const fn rest(&self) -> Option<&'a [u8]> {
        self.rest
    }

    /// Whether the branch names a transaction as RFC 3261 §17.2.3 means it: it starts with the cookie and goes on.
    pub fn has_magic_cookie(&self) -> bool {
        self.branch.is_some_and(|branch| branch.len() > Self::COOKIE.len() && branch.starts_with(Self::COOKIE))
    }
}

#[inline]
fn port(digits: &[u8]) -> Option<u16> {
    decimal(digits).and_then(|port| u16::try_from(port).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_form_gives_all_its_parts() {
        let value = b"SIP/2.0/UDP 192.0.2.1:5062;branch=z9hG4bKx;rport;received=203.0.113.9 ;maddr=239.1.1.1;ttl=16";
        let via = Via::parse(value).unwrap();
        assert_eq!(via.transport, b"UDP");
        assert_eq!((via.host, via.port), (&b"192.0.2.1"[..], Some(5062)));
        assert_eq!(via.branch, Some(&b"z9hG4bKx"[..]));
        assert_eq!(via.rport, Some(None));
        assert_eq!(via.received, Some(&b"203.0.113.9"[..]));
        assert_eq!((via.maddr, via.ttl), (Some(&b"239.1.1.1"[..]), Some(16)));
        assert_eq!(via.len, value.len());
        let at = via.rport_at.unwrap();
        assert_eq!(&value[at.start..at.end], b";rport");
        let at = via.received_at.unwrap();
        assert_eq!(&value[at.start..at.end], b";received=203.0.113.9");
        assert_eq!(via.params().count(), 5);
        assert!(via.has_magic_cookie());
    }

    #[test]
    fn white_space_folds_and_further_values_are_understood() {
        let value = b"SIP  / 2.0  / TCP     spindle.example.com   ;\r\n  branch  =   z9hG4bK9ikj8  ,\r\n SIP/2.0/UDP h";
        let via = Via::parse(value).unwrap();
        assert_eq!((via.transport, via.host, via.port), (&b"TCP"[..], &b"spindle.example.com"[..], None));
        assert_eq!(via.branch, Some(&b"z9hG4bK9ikj8"[..]));
        assert_eq!(value[..via.len].last(), Some(&b'8'));
        let next = Via::parse(via.rest().unwrap()).unwrap();
        assert_eq!((next.transport, next.host), (&b"UDP"[..], &b"h"[..]));
        assert_eq!(next.rest(), None);
    }

    #[test]
    fn ipv6_references_are_read_with_and_without_brackets_in_received() {
        let via =
            Via::parse(b"SIP/2.0/UDP [2001:db8::9:1]:5060;received=[2001:db8::9:255];branch=z9hG4bKas3-111").unwrap();
        assert_eq!((via.host, via.port), (&b"[2001:db8::9:1]"[..], Some(5060)));
        assert_eq!(via.received, Some(&b"[2001:db8::9:255]"[..]));
        let via = Via::parse(b"SIP/2.0/UDP [2001:db8::9:1];received=2001:db8::9:255").unwrap();
        assert_eq!(via.received, Some(&b"2001:db8::9:255"[..]));
    }

    #[test]
    fn malformed_values_are_refused() {
        for bad in [
            &b""[..],
            b"SIP/2.0/UDP",
            b"SIP/2.0/UDP ",
            b"SIP/2.0 192.0.2.1",
            b"SIP/2.0/UDP 192.0.2.15;;,;,,",
            b"SIP/2.0/UDP h:70000",
            b"SIP/2.0/UDP h:",
            b"SIP/2.0/UDP h;rport=x",
            b"SIP/2.0/UDP h;branch=",
            b"SIP/2.0/UDP h;branch",
            b"SIP/2.0/UDP h x",
            b"SIP/2.0/UDP [::1",
            b"SIP/2.0/UDP [zz]",
        ] {
            assert_eq!(Via::parse(bad).unwrap_err().why, Why::Via, "{}", bad.escape_ascii());
        }
        assert_eq!(Via::parse_sent(b"SIP/2.0/UDP 192.0.2.15;;,;,,").unwrap().len, 22);
    }
}
