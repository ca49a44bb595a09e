// SPDX-License-Identifier: Apache-2.0
//! Cuts a byte stream (TCP, TLS) into messages (RFC 3261 §18.3) and CRLF keep-alives (RFC 5626 §3.5.1, §4.4.1).
//!
//! The framer finds lines and Content-Length with the parser's own code and judges nothing else; each message goes to
//! [`crate::parse`] like a datagram. How the stream was split never changes what comes out. Memory is bounded by the limits: `push` takes no
//! more than fits. After a fault the extent of the next message is unknown, so the stream is over.

use crate::error::Why;
use crate::lines::{Line, Lines, header};
use crate::name::HeaderName;
use crate::scan::decimal;

/// How much one message may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Start line and header fields, empty line included.
    pub max_head_bytes: usize,
    /// Body.
    pub max_body_bytes: usize,
}

impl Default for Limits {
    /// 16 KiB and 64 KiB.
    fn default() -> Self {
        Self { max_head_bytes: 16 << 10, max_body_bytes: 64 << 10 }
    }
}

/// What a stream holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Frame<'f> {
    /// One whole message.
    Message {
        /// Head and body, nothing else.
        bytes: &'f [u8],
        /// Whether there was a Content-Length. Without one the body is empty (RFC 3261 §18.3 wants it on streams).
        has_length: bool,
    },
    /// Two CRLFs: the other side asks for a single CRLF back.
    KeepAlivePing,
    /// One CRLF: the answer to our ping.
    KeepAlivePong,
}

/// What is known of the message at the front of the buffer.
#[derive(Clone, Copy, Debug)]
struct Extent {
    length: usize,
    has_length: bool,
}

/// The framer of one stream.
#[derive(Debug)]
pub struct Framer {
    limits: Limits,
    buffer: Vec<u8>,
    /// Bytes at the front that were given out.
    used: usize,
    /// Bytes after `used` in which no empty line starts.
    searched: usize,
    extent: Option<Extent>,
    fault: Option<Why>,
}

impl Framer {
    /// An empty stream. Allocates nothing yet.
    pub const fn new(limits: Limits) -> Self {
        Self { limits, buffer: Vec::new(), used: 0, searched: 0, extent: None, fault: None }
    }

    /// Takes bytes off the front of `bytes` and says how many: all of them, unless the buffer would outgrow one message of the largest size.
    /// Then call [`Self::pull`] until it gives None and push the rest. After a fault everything is taken and thrown away.
    pub fn push(&mut self, bytes: &[u8]) -> usize {
        if self.fault.is_some() {
            return bytes.len();
        }
        self.buffer.drain(..self.used);
        self.used = 0;
        let largest = self.limits.max_head_bytes.saturating_add(self.limits.max_body_bytes).max(4);
        let taken = bytes.len().min(largest.saturating_sub(self.buffer.len()));
        self.buffer.extend_from_slice(bytes.get(..taken).unwrap_or_default());
        taken
    }

    /// The next frame; None: more bytes are needed.
    ///
    /// # Errors
    /// The stream is over; the fault stays. [`Self::unframed`] has the bytes that it was found in.
    pub fn pull(&mut self) -> Result<Option<Frame<'_>>, Why> {
        if let Some(why) = self.fault {
            return Err(why);
        }
        let rest = self.buffer.get(self.used..).unwrap_or_default();
        if self.extent.is_none() {
            match rest {
                [b'\r', b'\n', b'\r', b'\n', ..] => {
                    self.used = self.used.saturating_add(4);
                    return Ok(Some(Frame::KeepAlivePing));
                }
                // Another CRLF may follow and make it a ping.
                [] | [b'\r'] | [b'\r', b'\n'] | [b'\r', b'\n', b'\r'] => return Ok(None),
                [b'\r', b'\n', ..] => {
                    self.used = self.used.saturating_add(2);
                    return Ok(Some(Frame::KeepAlivePong));
                }
                _ => {}
            }
            match find_extent(rest, &mut self.searched, self.limits) {
                Ok(None) => return Ok(None),
                Ok(extent) => self.extent = extent,
                Err(why) => {
                    self.fault = Some(why);
                    return Err(why);
                }
            }
        }
        let Some(Extent { length, has_length }) = self.extent.filter(|extent| extent.length <= rest.len()) else {
            return Ok(None);
        };
        self.extent = None;
        self.searched = 0;
        let start = self.used;
        self.used = start.saturating_add(length);
        let bytes = self.buffer.get(start..self.used).unwrap_or_default();
        Ok(Some(Frame::Message { bytes, has_length }))
    }

    /// Bytes that were taken and belong to no frame yet. After a fault: the message it was found in, as far as it came, to be parsed,
    /// recorded and, where that is allowed, answered. When the other side ends the stream: what it left unfinished.
    pub fn unframed(&self) -> &[u8] {
        self.buffer.get(self.used..).unwrap_or_default()
    }

    /// Whether a single CRLF waits: a pong, if nothing follows (RFC 5626 §4.4.1). For the side that sends pings.
    pub fn holds_pong(&self) -> bool {
        self.unframed() == b"\r\n"
    }

    /// Takes the CRLF that [`Self::holds_pong`] saw; gives whether there was one.
    pub fn take_pong(&mut self) -> bool {
        let found = self.holds_pong();
        if found {
            self.used = self.buffer.len();
        }
        found
    }
}

/// Length of the message at the front of `bytes`. None: its head is not whole yet.
fn find_extent(bytes: &[u8], searched: &mut usize, limits: Limits) -> Result<Option<Extent>, Why> {
    let new = bytes.get(*searched..).unwrap_or_default();
    let Some(found) = memchr::memmem::find(new, b"\r\n\r\n") else {
        // The last three bytes may be the start of an empty line.
        *searched = bytes.len().saturating_sub(3);
        return if bytes.len() >= limits.max_head_bytes { Err(Why::HeadTooLarge) } else { Ok(None) };
    };
    let head_length = searched.saturating_add(found).saturating_add(4);
    if head_length > limits.max_head_bytes {
        return Err(Why::HeadTooLarge);
    }
    let head = bytes.get(..head_length).unwrap_or_default();
    let mut content_length = None;
    let mut lines = Lines::new(head);
    loop {
        match lines.next() {
            Line::Whole(line) => {
                let Some(header) = header(line).filter(|header| header.name == HeaderName::ContentLength) else {
                    continue;
                };
                if content_length.replace(header.value).is_some() {
                    return Err(Why::ContentLengthRepeated);
                }
            }
            Line::Empty(_) => break,
            // Someone else might read a line of its own here, and in it another length.
            Line::Bare => return Err(Why::BareLineEnd),
            Line::End => return Err(Why::Truncated),
        }
    }
    let Some(value) = content_length else {
        return Ok(Some(Extent { length: head_length, has_length: false }));
    };
    if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return Err(Why::ContentLength);
    }
    // Bounded before it is added to anything.
    let body_length = decimal(value)
        .and_then(|length| usize::try_from(length).ok())
        .filter(|&length| length <= limits.max_body_bytes)
        .ok_or(Why::BodyTooLarge)?;
    Ok(Some(Extent { length: head_length.saturating_add(body_length), has_length: true }))
}

#[cfg(test)]
#[path = "framer_tests.rs"]
mod tests;
