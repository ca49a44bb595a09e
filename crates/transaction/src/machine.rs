// SPDX-License-Identifier: Apache-2.0
//! What the four machines have in common: states, what goes in, what comes out.

use std::sync::Arc;

use sip::answer::ExtraHeader;
use sip::{HeaderName, Message};

use crate::outgoing::{OutgoingRequest, OutgoingResponse};

/// States by the RFCs' names (RFC 3261 §17.1, §17.2, RFC 6026 §7).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// INVITE client: sent, nothing heard.
    Calling,
    /// Other requests: sent and nothing heard, or received and not answered.
    Trying,
    /// A provisional response came or went; an INVITE server starts here.
    Proceeding,
    /// A final response came or went.
    Completed,
    /// INVITE server: the ACK of a final response other than 2xx came.
    Confirmed,
    /// A 2xx to an INVITE came or went.
    Accepted,
    /// Over.
    Terminated,
}

/// Names one transaction of one [`crate::Transactions`], and never another one later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TransactionId {
    pub(crate) index: u32,
    pub(crate) serial: u32,
}

impl TransactionId {
    /// As one number, to be carried through other languages.
    pub const fn to_bits(self) -> u64 {
        (self.index as u64) << 32 | self.serial as u64
    }

    /// The id that this number came from. Any number is safe: one that names nothing is answered [`crate::Error::Gone`].
    pub const fn from_bits(bits: u64) -> Self {
        Self { index: (bits >> 32) as u32, serial: bits as u32 }
    }
}

/// Whether the transport repeats what is lost by itself. Of UDP everything is unreliable, of TCP, TLS, SCTP and WebSocket reliable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Transport {
    /// The transaction repeats.
    Unreliable,
    /// The transport does; timers A, D, E, G, I, J and K do not run.
    Reliable,
}

/// Which transaction this is and where what it sends goes. `D` is whatever the driver knows a destination by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hop<D> {
    /// Put on every effect.
    pub transaction: TransactionId,
    /// Put on everything that is sent.
    pub destination: D,
    /// Of that destination.
    pub transport: Transport,
}

/// What goes into a machine.
#[derive(Clone, Debug)]
pub enum Input<'m, D> {
    /// Network: the request of a server transaction again.
    Request,
    /// Network: an ACK for an INVITE server.
    Ack {
        /// The whole message.
        bytes: &'m Arc<[u8]>,
    },
    /// Network: a CANCEL for an INVITE server; answering the CANCEL is not this machine's.
    Cancel {
        /// The whole message.
        bytes: &'m Arc<[u8]>,
    },
    /// Network: a response for a client transaction.
    Response(IncomingResponse<'m>),
    /// Network: what was sent last could not be sent.
    TransportError,
    /// Clock: the deadline has come.
    Timer,
    /// User: send a response.
    SendResponse(OutgoingResponse),
    /// User: send a CANCEL as soon as RFC 3261 §9.1 allows it.
    SendCancel {
        /// Header fields to add to it (Reason).
        headers: &'m [ExtraHeader<'m>],
    },
    /// User: send the ACK for a 2xx, and again whenever that 2xx comes again.
    SendAck {
        /// The ACK; its To tag says for which 2xx.
        ack: &'m OutgoingRequest,
        /// An ACK for a 2xx has a route of its own (RFC 3261 §13.2.2.4).
        destination: D,
    },
}

/// What a client transaction looks at in a response. Made of what the parser has seen only, since the To goes into an ACK as it is.
#[derive(Clone, Copy, Debug)]
pub struct IncomingResponse<'m> {
    pub(crate) status: u16,
    pub(crate) to_line: &'m [u8],
    /// Empty where there is none.
    pub(crate) to_tag: &'m [u8],
    pub(crate) bytes: &'m Arc<[u8]>,
}

impl<'m> IncomingResponse<'m> {
    /// A response as parsed, and the whole message. None: it is a request or has no To.
    pub fn new<'b: 'm>(message: &Message<'b>, bytes: &'m Arc<[u8]>) -> Option<Self> {
        let to_tag = message.to().ok()?.tag().unwrap_or_default();
        let to_line = message.header(HeaderName::To)?.line;
        Some(Self { status: message.status()?, to_line, to_tag, bytes })
    }
}

/// What comes out, in order.
pub type Effects<D> = Vec<Effect<D>>;

/// Something that the driver has to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect<D> {
    /// Send these bytes. A failure goes to [`crate::Transactions::transport_error`].
    Send {
        /// Who sends.
        transaction: TransactionId,
        /// A whole message; shared, never copied.
        bytes: Arc<[u8]>,
        /// Where to.
        destination: D,
    },
    /// Tell the transaction user.
    ToUser {
        /// Who tells.
        transaction: TransactionId,
        /// What.
        event: Event,
    },
    /// The transaction is over, and its id means nothing any more. The last effect of each that the user knows.
    Terminated {
        /// Which.
        transaction: TransactionId,
        /// Why.
        reason: Reason,
    },
}

/// What a transaction tells its user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A new request; it has to be answered.
    Request {
        /// The whole message.
        bytes: Arc<[u8]>,
    },
    /// A response to our request. One final one, or for an INVITE one 2xx for each To tag.
    Response {
        /// 100 to 699.
        status: u16,
        /// The whole message.
        bytes: Arc<[u8]>,
    },
    /// The ACK for our 2xx. Once.
    Ack {
        /// The whole message.
        bytes: Arc<[u8]>,
    },
    /// The caller gives up an INVITE that has no final response yet (RFC 3261 §9.2); it wants a 487. The CANCEL is answered. Once.
    Cancel {
        /// The whole message.
        bytes: Arc<[u8]>,
    },
    /// What was sent last could not be sent, and the transaction goes on (RFC 6026 §8.8: an INVITE server has to, or the INVITE
    /// repeated would be another call).
    TransportError,
}

/// Why a transaction ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// All was done.
    Done,
    /// Nobody gave a final response: timer B or F. The user acts as if a 408 had come (RFC 3261 §8.1.3.1).
    NoResponse,
    /// Nobody acknowledged a final response other than 2xx: timer H.
    NoAck,
    /// Nobody acknowledged the 2xx, which was repeated for 64*T1. The user ends the call with a BYE (RFC 3261 §13.3.1.4).
    SuccessNotAcknowledged,
    /// A CANCEL was sent, and 64*T1 later there is no final response: the INVITE counts as cancelled (RFC 3261 §9.1).
    CancelUnanswered,
    /// The user left a request other than INVITE unanswered for 64*T1: nobody waits for an answer any more (RFC 4320 §4).
    Unanswered,
    /// What was sent last could not be sent. The user of a client transaction acts as if a 503 had come (RFC 3261 §8.1.3.1).
    TransportError,
}

impl<D: Copy> Hop<D> {
    pub(crate) fn send(&self, bytes: &Arc<[u8]>, out: &mut Effects<D>) {
        self.send_to(self.destination, bytes, out);
    }

    pub(crate) fn send_to(&self, destination: D, bytes: &Arc<[u8]>, out: &mut Effects<D>) {
        out.push(Effect::Send { transaction: self.transaction, bytes: Arc::clone(bytes), destination });
    }

    pub(crate) fn tell(&self, event: Event, out: &mut Effects<D>) {
        out.push(Effect::ToUser { transaction: self.transaction, event });
    }

    pub(crate) fn terminated(&self, reason: Reason, out: &mut Effects<D>) {
        out.push(Effect::Terminated { transaction: self.transaction, reason });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_survives_as_a_number() {
        let id = TransactionId { index: 7, serial: u32::MAX };
        assert_eq!(TransactionId::from_bits(id.to_bits()), id);
    }
}
