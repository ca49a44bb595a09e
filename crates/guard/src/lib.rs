// SPDX-License-Identifier: Apache-2.0
//! Admission: who may speak, what the others hear, and the frame that accounts for it.
//!
//! Everything here is pure: no socket, no file, no clock. [`Guard::judge`] takes a packet, the two clocks and the operator's
//! [`Snapshot`], and adds frames, answers and what is passed on to [`Effects`]. Every table keyed by what strangers choose has
//! a fixed size ([`table`]).
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::arithmetic_side_effects)]
#![cfg_attr(
    test,
    allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::arithmetic_side_effects)
)]

mod branch;
mod bucket;
mod challenge;
mod counters;
mod credentials;
mod dialogs;
mod effects;
mod fingerprint;
mod flows;
mod fold;
mod judge;
mod known;
mod lockout;
mod mask;
mod nonce;
mod numbers;
mod record;
mod repeats;
mod retries;
mod snapshot;
mod source;
pub mod table;
mod verdict;
mod verify;
mod view;
mod waiting;

pub use branch::{BRANCH_LEN, Branches};
pub use counters::{COUNTERS, Counter, Tally};
pub use dialogs::Dialogs;
pub use effects::{Answer, Effects, Now, Packet, Passed, Peer, Standing, What};
pub use fingerprint::{Fingerprint, fingerprint, traits};
pub use flows::{BINDINGS_PER_NUMBER, ContactId, Flow, FlowKey, Flows};
pub use judge::{Guard, Scratch};
pub use mask::masked;
pub use numbers::{Color, NumberList};
pub use snapshot::{Gateway, NonceKey, Parameters, PhoneSecret, Snapshot, SnapshotError};
pub use source::{NetworkKey, SourceKey};
pub use view::user_of;
