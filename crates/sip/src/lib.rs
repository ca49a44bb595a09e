// SPDX-License-Identifier: Apache-2.0
//! SIP syntax: messages, header fields, URIs, digest fields, SDP, stream framing, answers and requests.
//!
//! Everything borrows from the bytes that came in. [`parse`] judges one whole message (a datagram, or what the [`framer`] cut
//! out of a stream) and gives one of three results: a [`Message`], a [`Refuse`] that can be answered, or a reason to
//! [`Parsed::Drop`] it. It checks what is needed to judge, answer and record; [`check`] judges everything that has a grammar.
//! There is no I/O, no clock, no allocation on the way of an ordinary message (up to 32 header fields) and no `unsafe`.
//!
//! A line of the head ends in CRLF. A CR or LF that stands alone is never taken for the end of a line, since two elements
//! that disagree about that see two different messages (RFC 3261 §7, §25.1).
#![forbid(unsafe_code)]
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::arithmetic_side_effects)]
#![cfg_attr(
    test,
    allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::arithmetic_side_effects)
)]

pub mod answer;
mod check;
mod class;
mod cseq;
pub mod digest;
mod error;
pub mod framer;
mod lines;
mod message;
mod method;
mod name;
mod name_addr;
mod param;
mod parse;
pub mod request;
mod scan;
pub mod sdp;
pub mod uri;
mod via;

pub use check::{Fault, check};
pub use cseq::CSeq;
pub use error::{Error, Why};
pub use message::{Header, Headers, MAX_HEADERS, Message, Parsed, Refuse, StartLine};
pub use method::Method;
pub use name::HeaderName;
pub use name_addr::NameAddr;
pub use param::{Param, Params};
pub use parse::{parse, parse_into};
pub use via::{Span, Via};
