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
    /// An LF that no CR precedes.
    Bare,
    /// The bytes end before an empty line.
    End,
}

pub(crate) struct Lines<'a> {
    bytes: &'a [u8],
    feeds: memchr::Memchr<'a>,
    start: usize,
    count: usize,
}

impl<'a> Lines<'a> {
    #[inline]
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self {
            bytes,
            feeds: memchr::memchr_iter(b'\n', bytes),
            start: 0,
            count: 0,
        }
    }

    /// Bytes given out so far, without the empty line.
    pub(crate) const fn consumed(&self) -> usize {
        self.start
    }

    /// Line feeds in what was given out so far, that of the empty line included.
    pub(crate) const fn feeds(&self) -> usize {
        self.count
    }

    #[inline]
    pub(crate) fn next(&mut self) -> Line<'a> {
        let start = self.start;
        let mut count = self.count;
        loop {
            let Some(feed) = self.feeds.next() else {
                return Line::End;
            };
            count = count.wrapping_add(1);
            let Some([line @ .., b'\r', b'\n']) = self.bytes.get(start..=feed) else {
                return Line::Bare;
            };
            let end = feed.wrapping_add(1);
            if line.is_empty() {
                self.count = count;
                return Line::Empty(end);
            }
            if let Some(b' ' | b'\t') = self.bytes.get(end) {
                continue;
            }
            self.start = end;
            self.count = count;
            return self.bytes.get(start..end).map_or(Line::End, Line::Whole);
        }
    }
}

/// Splits a line into its header field: `token HCOLON value`. None where there is no name or no colon.
#[inline]
pub(crate) fn header(line: &[u8]) -> Option<Header<'_>> {
    let (raw_name, mut rest) = line.split_at(TOKEN.run(line));
    if raw_name.is_empty() {
        return None;
    }
    loop {
        match rest {
            [b':', value @ ..] => {
                return Some(Header {
                    name: HeaderName::from_bytes(raw_name),
                    raw_name,
                    value: trim(value),
                    line,
                });
            }
            [b' ' | b'\t', tail @ ..] => rest = tail,
            _ => return None,
        }
    }
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
        assert_eq!((lines.feeds(), lines.consumed()), (5, 14));
        let mut cut = Lines::new(b"a\r\nb\r\n c\r");
        assert_eq!((cut.next(), cut.next()), (Line::Whole(b"a\r\n"), Line::End));
        assert_eq!((cut.feeds(), cut.consumed()), (1, 3));
    }

    #[test]
    fn a_lone_line_feed_is_no_line_end() {
        assert_eq!(Lines::new(b"a\n\r\n").next(), Line::Bare);
        assert_eq!(Lines::new(b"\n").next(), Line::Bare);
        assert_eq!(Lines::new(b"a\r\n b\n").next(), Line::Bare);
        assert_eq!(Lines::new(b"abc\r").next(), Line::End);
        // A blank continuation line is a fold, not the end of the head.
        assert_eq!(
            Lines::new(b"a\r\n \r\nb").next(),
            Line::Whole(b"a\r\n \r\n")
        );
    }

    #[test]
    fn a_header_line_has_a_token_and_a_colon() {
        let found = header(b"TO \t:\r\n sip:x \r\n").unwrap();
        assert_eq!(
            (found.name, found.raw_name, found.value),
            (HeaderName::To, &b"TO"[..], &b"sip:x"[..])
        );
        assert_eq!(header(b"s :\r\n").unwrap().value, b"");
        for bad in [
            &b"Foobar roobar\r\n"[..],
            b": x\r\n",
            b"\r\n",
            b"a@b: x\r\n",
            b"a\r\n : x\r\n",
            b" a: x\r\n",
        ] {
            assert!(header(bad).is_none(), "{}", bad.escape_ascii());
        }
    }
}
