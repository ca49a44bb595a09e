// SPDX-License-Identifier: Apache-2.0
//! What the user of a transaction did wrong, or cannot have. What the network does is never an error here.

use crate::machine::State;

/// Why a call of the transaction user was not carried out. Nothing has changed then.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The transaction has ended; its `Terminated` effect came before.
    #[error("the transaction has ended")]
    Gone,
    /// The transaction cannot take this now, or never could.
    #[error("a transaction that is {0:?} cannot take this")]
    Illegal(State),
    /// As many client transactions as the limit allows; see [`crate::Limits`].
    #[error("no room for another client transaction")]
    Full,
    /// A live client transaction has this branch and method; each request needs a new branch (RFC 3261 §8.1.1.7).
    #[error("the branch is in use by another transaction")]
    BranchInUse,
    /// What was to be sent lacks a header field of RFC 3261 §8.1.1, or has it twice or malformed.
    #[error("the message is malformed: {0}")]
    Malformed(sip::Why),
    /// An ACK is no transaction of its own: it goes through [`crate::Transactions::acknowledge`].
    #[error("an ACK starts no transaction; acknowledge the 2xx of its INVITE")]
    AckIsNoTransaction,
    /// The ACK has another Call-ID, `CSeq` number or From tag than the INVITE, or no 2xx with its To tag has come.
    #[error("the ACK belongs to no 2xx of this INVITE")]
    NoSuchSuccess,
    /// The response was built for another request than that of the transaction.
    #[error("the response answers another request")]
    OtherRequest,
    /// T1, T2 or T4 is below 1 ms or above 60 s, or T2 is below T1.
    #[error("T1, T2 and T4 have to be from 1 ms to 60 s, and T2 no less than T1")]
    Timers,
}
