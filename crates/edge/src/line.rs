// SPDX-License-Identifier: Apache-2.0
//! Channels between threads whose receiver sleeps on a bell.
//!
//! A channel of crossbeam or the standard library wakes its receiver while it holds its own lock. Where both threads share a core the
//! receiver runs at once, finds the lock taken and sleeps again, and the scheduler then lets the sender have the rest of its slice: 4 ms
//! at 250 Hz, and a call that is set up passes a dozen such hand-overs. A bell is rung when the message is there and nothing is locked.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::Thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, SendError, TryRecvError, TrySendError};

/// Wakes the one thread that waits for it; several lines may share one.
#[derive(Debug, Default)]
pub(crate) struct Bell {
    sleeper: OnceLock<Thread>,
    is_rung: AtomicBool,
}

impl Bell {
    /// Have the sleeper look at its lines.
    pub(crate) fn ring(&self) {
        // Told already: it looks after it has taken that note back.
        if self.is_rung.swap(true, Ordering::SeqCst) {
            return;
        }
        if let Some(sleeper) = self.sleeper.get() {
            sleeper.unpark();
        }
    }

    /// Sleep until it rings or the time is over; at once if it rang since the last wait. It may return early.
    pub(crate) fn wait(&self, timeout: Duration) {
        self.sleeper.get_or_init(std::thread::current);
        if !self.is_rung.swap(false, Ordering::SeqCst) {
            std::thread::park_timeout(timeout);
            // Read as well as written: what was sent before a ring is seen after it.
            self.is_rung.swap(false, Ordering::SeqCst);
        }
    }

    /// The next message of a line that rings this bell.
    pub(crate) fn receive<T>(&self, line: &Receiver<T>, timeout: Duration) -> Result<T, RecvTimeoutError> {
        let end = Instant::now() + timeout;
        loop {
            match line.try_recv() {
                Ok(message) => return Ok(message),
                Err(TryRecvError::Disconnected) => return Err(RecvTimeoutError::Disconnected),
                Err(TryRecvError::Empty) => {}
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(RecvTimeoutError::Timeout);
            }
            self.wait(left);
        }
    }
}

/// A line of at most `room` messages, or of any number, whose receiver waits for `bell`.
pub(crate) fn line<T>(room: Option<usize>, bell: &Arc<Bell>) -> (Sender<T>, Receiver<T>) {
    let (inner, receiver) = room.map_or_else(crossbeam_channel::unbounded, crossbeam_channel::bounded);
    (Sender { inner: Some(inner), bell: Arc::clone(bell) }, receiver)
}

/// The sending side. The receiver is told when the last one goes too.
#[derive(Debug)]
pub(crate) struct Sender<T> {
    /// None while it is dropped.
    inner: Option<crossbeam_channel::Sender<T>>,
    bell: Arc<Bell>,
}

impl<T> Sender<T> {
    /// Waits for room. Errors: the receiver is gone.
    pub(crate) fn send(&self, message: T) -> Result<(), SendError<T>> {
        let Some(inner) = &self.inner else { return Err(SendError(message)) };
        inner.send(message)?;
        self.bell.ring();
        Ok(())
    }

    /// Errors: there is no room, or the receiver is gone.
    pub(crate) fn try_send(&self, message: T) -> Result<(), TrySendError<T>> {
        self.put(message)?;
        self.ring();
        Ok(())
    }

    /// As [`Self::try_send`], for messages that go together: the last one is followed by [`Self::ring`]. A receiver that is woken for the
    /// first one takes the core and finds no other.
    pub(crate) fn put(&self, message: T) -> Result<(), TrySendError<T>> {
        match &self.inner {
            Some(inner) => inner.try_send(message),
            None => Err(TrySendError::Disconnected(message)),
        }
    }

    /// Have the receiver take what was put.
    pub(crate) fn ring(&self) {
        self.bell.ring();
    }

    /// How many messages wait.
    pub(crate) fn len(&self) -> usize {
        self.inner.as_ref().map_or(0, crossbeam_channel::Sender::len)
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), bell: Arc::clone(&self.bell) }
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        self.inner = None;
        self.bell.ring();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(10);

    #[test]
    fn every_message_of_many_senders_is_received_and_the_end_is_told() {
        let bell = Arc::new(Bell::default());
        let (sender, receiver) = line::<usize>(Some(4), &bell);
        let senders: Vec<_> = (0..4)
            .map(|_| {
                let sender = sender.clone();
                std::thread::spawn(move || (0..5_000).for_each(|number| sender.send(number).unwrap()))
            })
            .collect();
        drop(sender);
        let mut received = 0;
        while let Ok(number) = bell.receive(&receiver, LONG) {
            received += number;
        }
        assert_eq!(bell.receive(&receiver, LONG), Err(RecvTimeoutError::Disconnected));
        assert_eq!(received, 4 * (0..5_000).sum::<usize>());
        for sender in senders {
            sender.join().unwrap();
        }
    }

    #[test]
    fn what_rang_before_anybody_waited_is_not_lost() {
        let bell = Arc::new(Bell::default());
        let (one, ones) = line(None, &bell);
        let (other, others) = line(Some(1), &bell);
        one.send(1).unwrap();
        other.try_send(2).unwrap();
        bell.wait(LONG);
        assert_eq!((ones.try_recv(), others.try_recv()), (Ok(1), Ok(2)));
    }

    #[test]
    fn a_line_without_room_and_one_without_a_receiver_say_so() {
        let bell = Arc::new(Bell::default());
        let (sender, receiver) = line(Some(1), &bell);
        assert!(sender.try_send(1).is_ok() && matches!(sender.try_send(2), Err(TrySendError::Full(2))));
        assert_eq!(sender.len(), 1);
        drop(receiver);
        assert!(matches!(sender.try_send(3), Err(TrySendError::Disconnected(3))) && sender.send(4).is_err());
    }

    #[test]
    fn nothing_comes_within_the_time() {
        let bell = Arc::new(Bell::default());
        let (_sender, receiver) = line::<()>(None, &bell);
        assert_eq!(bell.receive(&receiver, Duration::from_millis(1)), Err(RecvTimeoutError::Timeout));
    }
}
