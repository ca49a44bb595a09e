// SPDX-License-Identifier: Apache-2.0
//! A message as it came: start line, header fields in wire order, body; all of it borrowed.

use smallvec::SmallVec;

use crate::cseq::CSeq;
use crate::error::{Error, Why};
use crate::method::Method;
use crate::name::HeaderName;
use crate::name_addr::NameAddr;
use crate::scan::decimal;
use crate::uri::Uri;
use crate::via::Via;

/// Most header fields that a message may have. Real ones have 10 to 40.
pub const MAX_HEADERS: usize = 128;

/// Header fields; up to 32 of them need no allocation.
pub type Headers<'a> = SmallVec<[Header<'a>; 32]>;

/// The three results of [`crate::parse`].
#[derive(Clone, Debug)]
#[allow(clippy::large_enum_variant)] // the usual result is the large one; a box would be an allocation for each packet
pub enum Parsed<'a> {
    /// Syntax is right as far as it is needed to judge, answer and record.
    Message(Message<'a>),
    /// A malformed request that can be answered.
    Refuse(Refuse<'a>),
    /// Nothing that may be answered: no SIP, a malformed response or ACK, or a request that cannot be answered.
    Drop(Why),
}

/// A malformed request whose Via, From, To, Call-ID and `CSeq` are there to build an answer from.
#[derive(Clone, Debug)]
pub struct Refuse<'a> {
    /// Status to answer: 400 or 505.
    pub status: u16,
    /// First fault that was found.
    pub why: Why,
    /// The message as far as it was read.
    pub message: Message<'a>,
}

/// Request line or status line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartLine<'a> {
    /// Request line.
    Request {
        /// Method.
        method: Method<'a>,
        /// Request-URI as it came.
        uri: &'a [u8],
    },
    /// Status line.
    Response {
        /// 100 to 699.
        status: u16,
        /// Reason phrase as it came; may be empty.
        reason: &'a [u8],
    },
}

/// A header field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header<'a> {
    /// Which one, compact forms included.
    pub name: HeaderName,
    /// Name as it came.
    pub raw_name: &'a [u8],
    /// Value without white space at its ends; folds inside are left.
    pub value: &'a [u8],
    /// Whole line with folds and closing CRLF.
    pub line: &'a [u8],
}

/// Index of the first header field of each name, so that finding one is one load.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Firsts([u8; HeaderName::COUNT]);

impl Firsts {
    const NONE: u8 = u8::MAX;

    const fn new() -> Self {
        Self([Self::NONE; HeaderName::COUNT])
    }

    /// Notes the header field at `index`, which is below [`MAX_HEADERS`].
    #[inline]
    pub(crate) fn note(&mut self, name: HeaderName, index: usize) {
        if let Some(first) = self.0.get_mut(name as usize) {
            // No branch: which names come is for the sender to choose, so it could not be foreseen.
            *first = (*first).min(index as u8);
        }
    }

    /// Whether there is a header field of that name.
    #[inline]
    pub(crate) fn has(&self, name: HeaderName) -> bool {
        self.get(name) < MAX_HEADERS
    }

    #[inline]
    fn get(&self, name: HeaderName) -> usize {
        self.0.get(name as usize).copied().map_or(usize::MAX, usize::from)
    }
}

/// A request or a response.
#[derive(Clone, Debug)]
pub struct Message<'a> {
    pub(crate) start: StartLine<'a>,
    pub(crate) start_line: &'a [u8],
    pub(crate) headers: Headers<'a>,
    pub(crate) first: Firsts,
    pub(crate) body: &'a [u8],
    pub(crate) raw: &'a [u8],
    pub(crate) uri: Option<Uri<'a>>,
    pub(crate) via: Option<Via<'a>>,
    pub(crate) from: Option<NameAddr<'a>>,
    pub(crate) to: Option<NameAddr<'a>>,
    pub(crate) cseq: Option<CSeq<'a>>,
}

impl<'a> Message<'a> {
    /// A message of which nothing was read yet.
    #[inline]
    pub(crate) fn new(raw: &'a [u8]) -> Self {
        Self {
            start: StartLine::Response { status: 0, reason: &[] },
            start_line: &[],
            headers: Headers::new(),
            first: Firsts::new(),
            body: &[],
            raw,
            uri: None,
            via: None,
            from: None,
            to: None,
            cseq: None,
        }
    }

    /// Empties the message for other bytes.
    #[inline]
    pub(crate) fn reset(&mut self, raw: &'a [u8]) {
        self.start = StartLine::Response { status: 0, reason: &[] };
        self.start_line = &[];
        self.headers.clear();
        self.first = Firsts::new();
        self.body = &[];
        self.raw = raw;
        self.uri = None;
        self.via = None;
        self.from = None;
        self.to = None;
        self.cseq = None;
    }

    /// Start line.
    pub const fn start(&self) -> &StartLine<'a> {
        &self.start
    }

    /// Start line as it came, CRLF included.
    pub const fn start_line(&self) -> &'a [u8] {
        self.start_line
    }

    /// Appends the message as it came, without line breaks before it and bytes after its body.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.start_line);
        for header in &self.headers {
            out.extend_from_slice(header.line);
        }
        out.extend_from_slice(b"\r\n");
        out.extend_from_slice(self.body);
    }

    /// All bytes that were given to the parser.
    pub const fn raw(&self) -> &'a [u8] {
        self.raw
    }

    /// Body: Content-Length bytes, or without that field all that follows the head (RFC 3261 §18.3).
    pub const fn body(&self) -> &'a [u8] {
        self.body
    }

    /// Header fields in wire order.
    pub fn headers(&self) -> &[Header<'a>] {
        &self.headers
    }

    /// First header field of that name.
    #[inline]
    pub fn header(&self, name: HeaderName) -> Option<&Header<'a>> {
        self.headers.get(self.first.get(name))
    }

    /// Value of the first header field of that name, trimmed.
    #[inline]
    pub fn first(&self, name: HeaderName) -> Option<&'a [u8]> {
        self.header(name).map(|header| header.value)
    }

    /// Values of all header fields of that name in wire order, trimmed.
    pub fn all(&self, name: HeaderName) -> impl Iterator<Item = &'a [u8]> {
        self.headers.iter().filter(move |header| header.name == name).map(|header| header.value)
    }

    /// Whether this is a request.
    pub const fn is_request(&self) -> bool {
        matches!(self.start, StartLine::Request { .. })
    }

    /// Method of the request line; None for a response.
    pub const fn method(&self) -> Option<Method<'a>> {
        match self.start {
            StartLine::Request { method, .. } => Some(method),
            StartLine::Response { .. } => None,
        }
    }

    /// Status of a response.
    pub const fn status(&self) -> Option<u16> {
        match self.start {
            StartLine::Request { .. } => None,
            StartLine::Response { status, .. } => Some(status),
        }
    }

    /// Request-URI as it came; None for a response.
    pub const fn request_uri(&self) -> Option<&'a [u8]> {
        match self.start {
            StartLine::Request { uri, .. } => Some(uri),
            StartLine::Response { .. } => None,
        }
    }

    /// Request-URI in its parts; None for a response and where it is malformed.
    pub const fn uri(&self) -> Option<&Uri<'a>> {
        self.uri.as_ref()
    }

    /// First value of the first Via.
    pub fn via_top(&self) -> Result<Via<'a>, Error> {
        match self.via {
            Some(via) => Ok(via),
            None => Via::parse(self.first(HeaderName::Via).ok_or(Error::at(Why::ViaMissing, 0))?),
        }
    }

    /// From.
    pub fn from(&self) -> Result<NameAddr<'a>, Error> {
        match self.from {
            Some(from) => Ok(from),
            None => NameAddr::parse(self.first(HeaderName::From).ok_or(Error::at(Why::FromMissing, 0))?, Why::From),
        }
    }

    /// To.
    pub fn to(&self) -> Result<NameAddr<'a>, Error> {
        match self.to {
            Some(to) => Ok(to),
            None => NameAddr::parse(self.first(HeaderName::To).ok_or(Error::at(Why::ToMissing, 0))?, Why::To),
        }
    }

    /// `CSeq`.
    pub fn cseq(&self) -> Result<CSeq<'a>, Error> {
        match self.cseq {
            Some(cseq) => Ok(cseq),
            None => CSeq::parse(self.first(HeaderName::CSeq).ok_or(Error::at(Why::CSeqMissing, 0))?),
        }
    }

    /// Call-ID.
    pub fn call_id(&self) -> Option<&'a [u8]> {
        self.first(HeaderName::CallId)
    }

    /// Content-Length; `Ok(None)` where it is absent.
    pub fn content_length(&self) -> Result<Option<u64>, Error> {
        self.first(HeaderName::ContentLength)
            .map(|value| decimal(value).ok_or(Error::at(Why::ContentLength, 0)))
            .transpose()
    }

    /// Max-Forwards; `Ok(None)` where it is absent, as with RFC 2543 elements.
    pub fn max_forwards(&self) -> Result<Option<u8>, Error> {
        self.first(HeaderName::MaxForwards).map(max_forwards).transpose()
    }
}

/// Max-Forwards: 0 to 255 (RFC 3261 §20.22).
pub(crate) fn max_forwards(value: &[u8]) -> Result<u8, Error> {
    decimal(value).and_then(|hops| u8::try_from(hops).ok()).ok_or(Error::at(Why::MaxForwards, 0))
}
