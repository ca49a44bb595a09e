// SPDX-License-Identifier: Apache-2.0
//! Makes what is appended to the calls journal durable, on a thread of its own: whoever appends never waits for fdatasync(2).
//!
//! One sync is under way at a time, and what is appended meanwhile shares the next one. So syncs come as often as the disk allows
//! while somebody waits for them, and every [`SYNC_EVERY`] otherwise.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError};
use journal::JournalError;

use crate::error::EdgeError;
use crate::line::{Bell, Sender, line};

/// Longest time that a written frame waits until its sync begins.
pub(crate) const SYNC_EVERY: Duration = Duration::from_millis(100);

/// How long the thread sleeps at most while nobody asks for a sync.
const IDLE: Duration = Duration::from_mins(1);

/// Makes everything appended so far durable; it may take as long as a disk takes.
pub(crate) type SyncNow = Box<dyn FnMut() -> Result<(), JournalError> + Send>;

/// A sync is over.
pub(crate) struct Synced {
    /// What was appended up to here is durable, or cannot be made so.
    pub(crate) through: u64,
    pub(crate) outcome: Result<(), JournalError>,
}

/// What the appending thread knows of durability.
pub(crate) struct Durable {
    asks: Sender<u64>,
    synced: Receiver<Synced>,
    is_under_way: bool,
    appended: u64,
    unsynced_since: Option<Instant>,
}

impl Durable {
    /// Starts the thread; it ends with the value that is given here. `bell` rings when a sync is over.
    pub(crate) fn start(name: &str, bell: &Arc<Bell>, mut sync: SyncNow) -> Result<(Self, JoinHandle<()>), EdgeError> {
        let asking = Arc::new(Bell::default());
        let (asks, asked) = line::<u64>(Some(1), &asking);
        let (done, synced) = line(Some(1), bell);
        let thread = crate::spawn(name, move || {
            loop {
                let through = match asking.receive(&asked, IDLE) {
                    Ok(through) => through,
                    Err(RecvTimeoutError::Timeout) => continue,
                    Err(RecvTimeoutError::Disconnected) => return,
                };
                let outcome = sync();
                if done.send(Synced { through, outcome }).is_err() {
                    return;
                }
            }
        })?;
        let durable = Self { asks, synced, is_under_way: false, appended: 0, unsynced_since: None };
        Ok((durable, thread))
    }

    /// Where the ends of syncs are told; each goes to [`Self::take`].
    pub(crate) fn synced(&self) -> &Receiver<Synced> {
        &self.synced
    }

    /// A frame with this sequence was appended.
    pub(crate) fn appended(&mut self, seq: u64) {
        self.appended = seq;
        self.unsynced_since.get_or_insert_with(Instant::now);
    }

    /// The last sequence appended.
    pub(crate) fn last(&self) -> u64 {
        self.appended
    }

    /// Begins a sync if one is wanted (`is_awaited`) or due, and none is under way.
    pub(crate) fn pump(&mut self, is_awaited: bool) {
        let is_due = self.unsynced_since.is_some_and(|since| is_awaited || since.elapsed() >= SYNC_EVERY);
        if self.is_under_way || !is_due {
            return;
        }
        self.unsynced_since = None;
        self.is_under_way = self.asks.try_send(self.appended).is_ok();
    }

    /// How long until [`Self::pump`] has something to do of itself; None: not before the next append or end of a sync.
    pub(crate) fn wait(&self) -> Option<Duration> {
        let since = self.unsynced_since.filter(|_| !self.is_under_way)?;
        Some(SYNC_EVERY.saturating_sub(since.elapsed()))
    }

    /// A sync is over; the last sequence that nobody has to wait for any more.
    pub(crate) fn take(&mut self, synced: &Synced) -> u64 {
        self.is_under_way = false;
        synced.through
    }

    /// Wait until everything appended is durable. Gives the end of each sync that was waited for.
    pub(crate) fn finish(&mut self) -> Vec<Synced> {
        let mut ends = Vec::new();
        loop {
            self.pump(true);
            if !self.is_under_way {
                return ends;
            }
            let Ok(synced) = self.synced.recv() else { return ends };
            self.take(&synced);
            ends.push(synced);
        }
    }
}

#[cfg(test)]
mod tests {
    use crossbeam_channel::bounded;

    use super::*;

    const LONG: Duration = Duration::from_secs(10);

    #[test]
    fn what_is_appended_during_a_sync_shares_the_next_one() {
        let (begun, begins) = bounded(8);
        let (end, ends) = bounded::<()>(0);
        let sync = move || {
            begun.send(()).unwrap();
            ends.recv().unwrap();
            Ok(())
        };
        let (mut durable, thread) = Durable::start("test-sync", &Arc::default(), Box::new(sync)).unwrap();
        durable.appended(1);
        durable.pump(true);
        begins.recv_timeout(LONG).unwrap();
        for seq in 2..=5 {
            durable.appended(seq);
            durable.pump(true);
        }
        assert_eq!(durable.wait(), None);
        end.send_timeout((), LONG).unwrap();
        let first = durable.synced().recv_timeout(LONG).unwrap();
        assert_eq!(durable.take(&first), 1);
        durable.pump(true);
        end.send_timeout((), LONG).unwrap();
        let second = durable.synced().recv_timeout(LONG).unwrap();
        assert_eq!(durable.take(&second), 5);
        durable.pump(true);
        assert!(durable.finish().is_empty() && begins.len() == 1);
        drop(durable);
        thread.join().unwrap();
    }
}
