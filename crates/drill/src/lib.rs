// SPDX-License-Identifier: Apache-2.0
//! A bounded load sender and a bare reference answerer, for loopback only.
//!
//! [`flood`] writes SIP requests in the grammars of known scanners (and of plain PBXs) from many source addresses to one
//! target, as a paced or unpaced open loop or as a closed loop, and counts what comes back. [`bare`] is the yardstick: it
//! answers each request with a 403 made of the five headers that RFC 3261 §8.2.6.2 wants copied, and does nothing else.
//! [`stream`] opens many TCP connections that behave badly. [`calls`] is a customer and a vendor who call through a switch.
//!
//! Targets outside 127.0.0.0/8 and `::1` are refused and every run ends by itself: nobody can be attacked with this.

pub mod args;
pub mod bare;
pub mod calls;
mod choice;
pub mod error;
pub mod flood;
pub mod histogram;
pub mod message;
mod pace;
mod pen;
mod random;
pub mod report;
pub mod stream;
pub mod sys;
pub mod target;
mod templates;

pub use error::DrillError;
pub use target::Target;
