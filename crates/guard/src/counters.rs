// SPDX-License-Identifier: Apache-2.0
//! What was counted. The first seven are the books: read = the sum of the six after it, at every moment.

macro_rules! counters {
    ($($(#[doc = $doc:literal])+ $name:ident = $text:literal,)+) => {
        /// A counter; its place is its index in a `books` frame.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(usize)]
        #[non_exhaustive]
        pub enum Counter { $($(#[doc = $doc])+ $name,)+ }

        impl Counter {
            /// Every counter, in the order of a `books` frame.
            pub const ALL: &[Counter] = &[$(Counter::$name,)+];

            /// The public name.
            pub fn as_str(self) -> &'static str {
                match self { $(Counter::$name => $text,)+ }
            }
        }
    };
}

counters! {
    /// Datagrams and framed messages read, and connections that ended without one.
    Read = "read",
    /// Requests that were let through.
    Admitted = "admitted",
    /// Have a record of their own.
    Recorded = "recorded",
    /// Challenged, with a frame of its own.
    Challenged = "challenged",
    /// Counted into another record or a summary.
    Folded = "folded",
    /// ACKs, keep-alives, STUN, responses, repeats of admitted requests.
    Absorbed = "absorbed",
    /// Could not be recorded (disk full), so not answered either.
    Unrecordable = "unrecordable",
    /// Answers sent to strangers.
    Answered = "answered",
    /// Attempts left without an answer on purpose (silence by parameter, blocked).
    Silent = "silent",
    /// Attempts of muted sources.
    Muted = "muted",
    /// Answers not sent because they would exceed the request or the challenge budget.
    Withheld = "withheld",
    /// Attempts that repeat a record.
    Retransmissions = "retransmissions",
    /// Attempts counted into a wider record because the budget was short.
    Widened = "widened",
    /// Attempts that leave no row because recording is off.
    Suppressed = "suppressed",
    /// Refused INVITEs of unauthorised sources; a challenged one once it can be answered no more.
    IllegalCalls = "illegal_calls",
    /// Sources proven by an ACK with our tag or a nonce that came back.
    Proven = "proven",
    /// Wrong answers to a fresh nonce.
    BadCredentials = "bad_credentials",
    /// Requests of known sources beyond their limits.
    RateExceeded = "rate_exceeded",
    /// Malformed messages.
    Malformed = "malformed",
    /// Accepted registrations.
    Registrations = "registrations",
    /// Bytes written to the edge journal.
    JournalBytes = "journal_bytes",
    /// Writes to the edge journal.
    JournalWrites = "journal_writes",
    /// Answers that the kernel would not take.
    SendFailed = "send_failed",
    /// Datagrams that the kernel dropped before strangers' socket was read.
    DropsStrangers = "socket_drops_strangers",
    /// Datagrams that the kernel dropped before the known sources' socket was read.
    DropsKnown = "socket_drops_known",
    /// TCP connections accepted.
    Connections = "tcp_connections",
    /// TCP connections closed at once because a limit was reached.
    ConnectionsRefused = "tcp_connections_refused",
    /// Messages that were let through and found the queue of the transactions full.
    QueueFull = "call_queue_full",
    /// Connections to TLS addresses of ours that ended in the handshake.
    HandshakesFailed = "tls_handshakes_failed",
    /// TLS connections of ours that ended in the handshake: the far end's certificate is not good, or it does not speak TLS.
    FarEndsFailed = "tls_far_ends_failed",
    /// Requests of ours that ended because ICMP says that they cannot arrive.
    IcmpUnreachable = "icmp_unreachable",
    /// ICMP errors that are about no open request of ours, or forged.
    IcmpIgnored = "icmp_ignored",
}

/// How many counters there are.
pub const COUNTERS: usize = Counter::ALL.len();

/// One value per counter: the change made by a batch, or the totals of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tally([u64; COUNTERS]);

impl Default for Tally {
    fn default() -> Self {
        Self([0; COUNTERS])
    }
}

impl Tally {
    /// Add to a counter.
    pub fn add(&mut self, counter: Counter, count: u64) {
        if let Some(value) = self.0.get_mut(counter as usize) {
            *value = value.wrapping_add(count);
        }
    }

    /// Put a value that something else counts (the kernel's drops).
    pub fn set(&mut self, counter: Counter, count: u64) {
        if let Some(value) = self.0.get_mut(counter as usize) {
            *value = count;
        }
    }

    /// The value of a counter.
    pub fn get(&self, counter: Counter) -> u64 {
        self.0.get(counter as usize).copied().unwrap_or(0)
    }

    /// Add every counter of `change`.
    pub fn merge(&mut self, change: &Self) {
        for (value, change) in self.0.iter_mut().zip(change.0) {
            *value = value.wrapping_add(change);
        }
    }

    /// All values, in the order of [`Counter::ALL`].
    pub fn values(&self) -> &[u64] {
        &self.0
    }

    /// Nothing of this batch could be written: what was accounted for by a frame becomes unrecordable, unanswered.
    pub fn lose(&mut self) {
        let lost = [Counter::Recorded, Counter::Challenged, Counter::Folded].into_iter().fold(0_u64, |sum, counter| {
            let count = self.get(counter);
            self.set(counter, 0);
            sum.wrapping_add(count)
        });
        self.add(Counter::Unrecordable, lost);
        for counter in [Counter::Answered, Counter::JournalBytes, Counter::JournalWrites] {
            self.set(counter, 0);
        }
    }

    /// What the books are off by: zero when they balance.
    pub fn imbalance(&self) -> i64 {
        let accounted = [
            Counter::Admitted,
            Counter::Recorded,
            Counter::Challenged,
            Counter::Folded,
            Counter::Absorbed,
            Counter::Unrecordable,
        ]
        .into_iter()
        .fold(0_u64, |sum, counter| sum.wrapping_add(self.get(counter)));
        self.get(Counter::Read).wrapping_sub(accounted).cast_signed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lost_batch_still_balances() {
        let mut tally = Tally::default();
        tally.add(Counter::Read, 6);
        for counter in [Counter::Recorded, Counter::Challenged, Counter::Folded, Counter::Absorbed, Counter::Admitted] {
            tally.add(counter, 1);
        }
        assert_eq!(tally.imbalance(), 1);
        tally.add(Counter::Recorded, 1);
        tally.lose();
        assert_eq!((tally.imbalance(), tally.get(Counter::Unrecordable), tally.get(Counter::Recorded)), (0, 4, 0));
    }

    #[test]
    fn names_are_unique_and_in_the_order_of_the_frame() {
        for (index, counter) in Counter::ALL.iter().enumerate() {
            assert_eq!(*counter as usize, index);
            assert_eq!(Counter::ALL.iter().filter(|other| other.as_str() == counter.as_str()).count(), 1);
        }
    }
}
