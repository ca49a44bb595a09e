// SPDX-License-Identifier: Apache-2.0
//! Frames first, then the answers they account for.
//!
//! The [`Desk`] takes batches, appends their frames with one write and sends their answers only after that write has
//! returned. When the disk refuses, the batches are lost as a whole: nothing of them is answered, and the books say so.
//!
//! Two threads may stand at the desk. The receive thread writes a short batch itself, since nobody else waits and waking
//! another thread costs more than the write. Everything else goes to the write thread: full batches, so that a second core
//! can write while more is read, and whatever comes within a second of a write that took long, so that a slow disk holds
//! the receive thread up for one batch and no more.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};
use guard::{Counter, Effects};
use journal::SegmentWriter;
use parking_lot::Mutex;

use crate::line::Bell;
use crate::shared::{Event, Outlet, Shared};
use crate::sys;

/// Batches that one write takes at most: answers should not wait for many others' frames.
const TOGETHER: usize = 8;

/// Time without work after which the age of the live segment is looked at.
const IDLE: Duration = Duration::from_secs(1);

/// A write that takes longer than this is the disk's doing.
const SLOW_MS: u64 = 5;

/// So long after a slow write the receive thread keeps away from the desk.
const SLOW_FOR_MS: u64 = 1000;

/// Where batches are written and answered, one caller at a time.
pub(crate) struct Desk {
    shared: Arc<Shared>,
    writer: SegmentWriter,
    outlet: Outlet,
    is_full: bool,
    slow_until_ms: u64,
}

impl Desk {
    pub(crate) fn new(shared: Arc<Shared>, writer: SegmentWriter) -> Self {
        let outlet = Outlet::new(Arc::clone(&shared));
        Self { shared, writer, outlet, is_full: false, slow_until_ms: 0 }
    }

    /// Whether a write of late was slow.
    pub(crate) fn is_slow(&self, now_ms: u64) -> bool {
        now_ms < self.slow_until_ms
    }

    /// Write the batches' frames, send their answers, put both in the books, and empty the batches.
    pub(crate) fn write(&mut self, batches: &mut [Box<Effects>]) {
        let began = sys::now();
        let units = batches.iter().map(|batch| &batch.unit);
        let outcome = self.writer.append_many(units, began.utc_us);
        self.took(began.ms, sys::now().ms);
        match outcome {
            Ok(()) => {
                if self.is_full {
                    self.is_full = false;
                    self.shared.tell(Event::Trouble(
                        "the edge journal can be written again; strangers are recorded and answered".into(),
                    ));
                }
                for batch in &mut *batches {
                    let failed = self.outlet.send(&batch.answers, &batch.bytes);
                    batch.tally.add(Counter::SendFailed, failed);
                }
                if let Some(first) = batches.first_mut() {
                    first.tally.add(Counter::JournalWrites, 1);
                }
            }
            Err(error) => {
                // Only the first refusal names where numbering goes on; what was numbered after it follows from that.
                let resume_at = self.writer.next_seq();
                let _ = self.shared.full_from.compare_exchange(0, resume_at, Ordering::AcqRel, Ordering::Acquire);
                if !self.is_full {
                    self.is_full = true;
                    self.shared.tell(Event::Trouble(format!(
                        "strangers are neither recorded nor answered until the edge journal can be written: {error}"
                    )));
                }
                for batch in &mut *batches {
                    batch.tally.lose();
                }
            }
        }
        for batch in batches {
            self.shared.commit(&batch.tally);
            batch.clear();
        }
    }

    /// Remember how long a write took.
    fn took(&mut self, began_ms: u64, ended_ms: u64) {
        if ended_ms > began_ms + SLOW_MS {
            self.slow_until_ms = ended_ms + SLOW_FOR_MS;
        }
    }

    /// A stream that is silent for long closes its segment too, so that it can be archived.
    fn look_at_age(&mut self) {
        let now_us = sys::now().utc_us;
        if self.writer.is_due(now_us) {
            // A full disk shows at the next write.
            let _ = self.writer.rotate(now_us);
        }
    }
}

/// The write thread.
pub(crate) struct Writing {
    pub(crate) shared: Arc<Shared>,
    pub(crate) desk: Arc<Mutex<Desk>>,
    /// Rings when there is work.
    pub(crate) bell: Arc<Bell>,
    pub(crate) work: Receiver<Box<Effects>>,
    pub(crate) returned: Sender<Box<Effects>>,
}

impl Writing {
    /// Serve until the receive thread is gone and its last batch is written.
    pub(crate) fn serve(self) {
        let mut batches: Vec<Box<Effects>> = Vec::with_capacity(TOGETHER);
        loop {
            match self.bell.receive(&self.work, IDLE) {
                Ok(first) => batches.push(first),
                Err(RecvTimeoutError::Timeout) => {
                    self.desk.lock().look_at_age();
                    continue;
                }
                Err(RecvTimeoutError::Disconnected) => break,
            }
            batches.extend(self.work.try_iter().take(TOGETHER - 1));
            self.desk.lock().write(&mut batches);
            self.shared.give_way(sys::now().ms);
            for batch in batches.drain(..) {
                let _ = self.returned.send(batch);
            }
            if self.shared.is_starving.swap(false, Ordering::SeqCst) {
                self.shared.receive_wake.wake();
            }
        }
        // The last run's frames are complete; sealing is the next start's first act.
        let _ = self.desk.lock().writer.sync();
    }
}

#[cfg(test)]
mod tests {
    use guard::{Answer, Peer};
    use journal::{Options, Record, Stream, Transport};

    use super::*;

    fn desk(journal: &std::path::Path) -> Desk {
        let shared = Shared::on_loopback(1 << 16);
        let options = Options::of(Stream::Edge);
        let (writer, _) = SegmentWriter::open(journal, Stream::Edge, &options, 1).unwrap();
        Desk::new(Arc::new(shared), writer)
    }

    #[test]
    fn a_slow_write_keeps_the_receive_thread_away_for_a_second() {
        let directory = tempfile::tempdir().unwrap();
        let mut desk = desk(directory.path());
        desk.took(10_000, 10_005);
        assert!(!desk.is_slow(10_005));
        desk.took(20_000, 20_006);
        assert!(desk.is_slow(20_006) && desk.is_slow(21_005));
        assert!(!desk.is_slow(21_006));
        desk.took(30_000, 33_000);
        assert!(desk.is_slow(33_500), "the second begins when the write is over");
    }

    #[test]
    fn nobody_is_answered_whose_frame_could_not_be_written() {
        let directory = tempfile::tempdir().unwrap();
        let mut desk = desk(directory.path());
        let source = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        source.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        let peer = Peer {
            source: source.local_addr().unwrap(),
            local: desk.shared.udp[0].address,
            transport: Transport::Udp,
            channel: 0,
        };
        let batch = |seq: u64, text: &[u8]| {
            let mut batch = Box::new(Effects::new());
            let record = Record::RefusalSummary { reason: journal::Reason::UnknownSource, method: 1, count: 1 };
            batch.unit.push(seq, 1, desk.writer.journal_crc(), &record);
            batch.bytes.extend_from_slice(text);
            batch.answers.push(Answer { peer, span: 0..text.len() });
            batch
        };
        // The journal has no frames between 1 and 7, so it takes none that is numbered 7.
        let mut batches = [batch(7, b"of a frame that was refused"), batch(1, b"of a frame that was written")];
        let (refused, written) = batches.split_at_mut(1);
        desk.write(refused);
        desk.write(written);
        let mut heard = [0; 64];
        let length = source.recv(&mut heard).unwrap();
        assert_eq!(&heard[..length], b"of a frame that was written");
        assert_eq!(desk.shared.full_from.load(Ordering::Acquire), 1);
    }
}
