// SPDX-License-Identifier: Apache-2.0
//! SIP transactions: the four machines of RFC 3261 §17 as RFC 6026 changes them, and the table that holds them.
//!
//! Pure: no socket, no clock, no thread. `now` comes in with every input, [`Effect`]s go out; the driver does them in order, then waits
//! for the next message or for the deadline. A machine is a value of its own and knows nothing of the table; [`Transactions`] finds the machine that
//! a message is for, and keeps their deadlines.
//!
//! Two things that RFC 3261 leaves to the transaction user are done here, so that no timer of a slower language stands in their way: a 2xx
//! to an INVITE is repeated until its ACK (§13.3.1.4), and the ACK for a 2xx that comes again is sent again (§13.2.2.4).
#![forbid(unsafe_code)]
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::arithmetic_side_effects)]
#![cfg_attr(
    test,
    allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::arithmetic_side_effects)
)]

mod error;
mod invite_client;
mod invite_server;
mod key;
#[cfg(test)]
mod kit;
mod layer;
mod machine;
mod non_invite_client;
mod non_invite_server;
mod outgoing;
mod slot;
mod table;
mod timers;
mod wheel;

pub use error::Error;
pub use invite_client::{InviteClient, MAX_FORKS};
pub use invite_server::InviteServer;
pub use layer::{Arrival, Counters, Limits, Outgoing, Taken, Transactions};
pub use machine::{Effect, Effects, Event, Hop, IncomingResponse, Input, Reason, State, TransactionId, Transport};
pub use non_invite_client::NonInviteClient;
pub use non_invite_server::NonInviteServer;
pub use outgoing::{OutgoingRequest, OutgoingResponse};
pub use timers::{SipTimers, Timer};
pub use wheel::Wheel;
