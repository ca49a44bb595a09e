// SPDX-License-Identifier: Apache-2.0
//! The lines of a head: found by one walk over the line feeds, folds joined (RFC 3261 §7.3.1). Used by the parser and by the
//! stream framer, so that both see the same lines.

use crate::class::TOKEN;
use crate::message::Header;
use crate::name::HeaderName;
use crate::scan::trim;

/// What comes next in a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Line<'a> {
    /// A whole line, folds and closing CRLF included.
    Whole(&'a [u8]),
    /// The empty line; the body starts at this offset.
    Empty(usize),
    /// A CR without LF, or an LF without CR.
    Bare,
    /// The bytes end before an empty line.
    End,
}

/// Lines are short, so a search that the compiler puts in line beats the wider one behind a function pointer. SSE2 is in every x86-64.
#[cfg(target_arch = "x86_64")]
#[inline]
fn find_break(bytes: &[u8]) -> Option<usize> {
    match memchr::arch::x86_64::sse2::memchr::Two::new(b'\r', b'\n') {
        Some(breaks) => breaks.find(bytes),
        None => memchr::memchr2(b'\r', b'\n', bytes),
    }
}

#[cfg(not(target_arch = "x86_64"))]
#[inline]
fn find_break(bytes: &[u8]) -> Option<usize> {
    memchr::memchr2(b'\r', b'\n', bytes)
}

pub(crate) struct Lines<'a> {
    bytes: &'a [u8],
    rest: &'a [u8],
}

impl<'a> Lines<'a> {
    #[inline]
    pub(crate) const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, rest: bytes }
    }

    /// Bytes given out so far, without the empty line.
    pub(crate) const fn consumed(&self) -> usize {
        self.bytes.len().saturating_sub(self.rest.len())
    }

    #[allow(clippy::inline_always)] // left to itself the compiler calls it for each line: 5 % of the whole
    #[inline(always)]
    pub(crate) fn next(&mut self) -> Line<'a> {
        let Some(at) = find_break(self.rest) else {
            return Line::End;
        };
        let Some((line, after)) = self.rest.split_at_checked(at.wrapping_add(2)) else {
            return Line::of_tail(self.rest, at);
        };
        if !line.ends_with(b"\r\n") {
            return Line::Bare;
        }
        if at == 0 {
            return Line::Empty(self.bytes.len().saturating_sub(after.len()));
        }
        if let [b' ' | b'\t', ..] = after {
            return self.folded(after);
        }
        self.rest = after;
        Line::Whole(line)
    }

    /// The line whose first fold starts at `fold`.
    #[cold]
    fn folded(&mut self, fold: &'a [u8]) -> Line<'a> {
        let mut ahead = fold;
        while let [b' ' | b'\t', ..] = ahead {
            let Some(at) = find_break(ahead) else {
                return Line::End;
            };
            let Some((part, after)) = ahead.split_at_checked(at.wrapping_add(2)) else {
                return Line::of_tail(ahead, at);
            };
            if !part.ends_with(b"\r\n") {
                return Line::Bare;
            }
            ahead = after;
        }
        let Some((line, rest)) = self.rest.split_at_checked(self.rest.len().saturating_sub(ahead.len())) else {
            return Line::End;
        };
        self.rest = rest;
        Line::Whole(line)
    }
}

impl Line<'_> {
    /// What it is when the last byte is a CR or an LF: a CR may be half of a CRLF.
    fn of_tail(bytes: &[u8], at: usize) -> Self {
        if bytes.get(at) == Some(&b'\r') { Line::End } else { Line::Bare }
    }
}

/// Splits a line into its header field: `token HCOLON value`. None where there is no name or no colon.
#[inline]
pub(crate) fn header(line: &[u8]) -> Option<Header<'_>> {
    let (raw_name, after) = line.split_at_checked(colon(line)?)?;
    let name = HeaderName::from_bytes(raw_name);
    // A known name is a token by that. Any other one may have white space behind it, or be no token.
    let (name, raw_name) = if name == HeaderName::Other { unusual_name(raw_name)? } else { (name, raw_name) };
    let value = value_of(after)?;
    Some(Header { name, raw_name, value, line })
}

/// The value between the colon and the CRLF, trimmed. Nearly always there is one blank in front and nothing to trim behind.
#[inline]
fn value_of(after: &[u8]) -> Option<&[u8]> {
    let ([b':', b' ', value @ .., b'\r', b'\n'] | [b':', value @ .., b'\r', b'\n']) = after else {
        return None;
    };
    match value {
        [first, .., last] if *first > b' ' && *last > b' ' => Some(value),
        value => Some(trim(value)),
    }
}

/// Where the first colon is. Names are short, so sixteen bytes are looked at eight at a time before anything else is tried.
#[inline]
fn colon(line: &[u8]) -> Option<usize> {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const COLONS: u64 = 0x3A3A_3A3A_3A3A_3A3A;
    const HIGH_BITS: u64 = 0x8080_8080_8080_8080;
    /// High bit of the first byte that is a colon; bits above it mean nothing.
    const fn colons(eight: [u8; 8]) -> u64 {
        let zero_at_colon = u64::from_le_bytes(eight) ^ COLONS;
        zero_at_colon.wrapping_sub(ONES) & !zero_at_colon & HIGH_BITS
    }
    if let Some((low, rest)) = line.split_first_chunk::<8>() {
        let found = colons(*low);
        if found != 0 {
            return Some(found.trailing_zeros() as usize / 8);
        }
        if let Some(high) = rest.first_chunk::<8>() {
            let found = colons(*high);
            if found != 0 {
                return Some((found.trailing_zeros() as usize / 8) | 8);
            }
        }
    }
    memchr::memchr(b':', line)
}

/// A name that was not recognised: white space before the colon is cut off (HCOLON, RFC 3261 §25.1), then it must be a token.
#[cold]
#[inline(never)]
fn unusual_name(raw_name: &[u8]) -> Option<(HeaderName, &[u8])> {
    let (raw_name, space) = raw_name.split_at(TOKEN.run(raw_name));
    let is_name = !raw_name.is_empty() && space.iter().all(|byte| matches!(byte, b' ' | b'\t'));
    is_name.then(|| (HeaderName::from_bytes(raw_name), raw_name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folds_are_joined_and_the_empty_line_ends_the_head() {
        let mut lines = Lines::new(b"a\r\n b\r\n\tc\r\nd\r\n\r\nbody\n");
        assert_eq!(lines.next(), Line::Whole(b"a\r\n b\r\n\tc\r\n"));
        assert_eq!(lines.next(), Line::Whole(b"d\r\n"));
        assert_eq!(lines.next(), Line::Empty(16));
        assert_eq!(lines.consumed(), 14);
        let mut cut = Lines::new(b"a\r\nb\r\n c\r");
        assert_eq!((cut.next(), cut.next()), (Line::Whole(b"a\r\n"), Line::End));
        assert_eq!(cut.consumed(), 3);
    }

    #[test]
    fn a_cr_or_lf_alone_is_no_line_end() {
        assert_eq!(Lines::new(b"a\rb\r\n").next(), Line::Bare);
        assert_eq!(Lines::new(b"a\r\r\n").next(), Line::Bare);
        assert_eq!(Lines::new(b"a\n\r\n").next(), Line::Bare);
        assert_eq!(Lines::new(b"\n").next(), Line::Bare);
        assert_eq!(Lines::new(b"a\r\n b\n").next(), Line::Bare);
        assert_eq!(Lines::new(b"abc\r").next(), Line::End);
        // A blank continuation line is a fold, not the end of the head.
        assert_eq!(Lines::new(b"a\r\n \r\nb").next(), Line::Whole(b"a\r\n \r\n"));
    }

    #[test]
    fn a_header_line_has_a_token_and_a_colon() {
        let found = header(b"TO \t:\r\n sip:x \r\n").unwrap();
        assert_eq!((found.name, found.raw_name, found.value), (HeaderName::To, &b"TO"[..], &b"sip:x"[..]));
        assert_eq!(header(b"s :\r\n").unwrap().value, b"");
        for bad in [&b"Foobar roobar\r\n"[..], b": x\r\n", b"\r\n", b"a@b: x\r\n", b"a\r\n : x\r\n", b" a: x\r\n"] {
            assert!(header(bad).is_none(), "{}", bad.escape_ascii());
        }
    }
}
