// SPDX-License-Identifier: Apache-2.0
//! The write thread: frames first, then the answers they account for.
//!
//! It takes what batches are waiting, appends their frames with one write and sends their answers only after that write
//! has returned. When the disk refuses, the batches are lost as a whole: nothing of them is answered, and the books say so.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};
use guard::{Counter, Effects};
use journal::SegmentWriter;

use crate::shared::{Event, Outlet, Shared};
use crate::sys;

/// Batches that one write takes at most: answers should not wait for many others' frames.
const TOGETHER: usize = 8;

/// Time without work after which the age of the live segment is looked at.
const IDLE: Duration = Duration::from_secs(1);

pub(crate) struct Writing {
    pub(crate) shared: Arc<Shared>,
    pub(crate) writer: SegmentWriter,
    pub(crate) work: Receiver<Box<Effects>>,
    pub(crate) returned: Sender<Box<Effects>>,
}

impl Writing {
    /// Serve until the receive thread is gone and its last batch is written.
    pub(crate) fn serve(mut self) {
        let mut outlet = Outlet::new(Arc::clone(&self.shared));
        let mut batches: Vec<Box<Effects>> = Vec::with_capacity(TOGETHER);
        let mut is_full = false;
        loop {
            match self.work.recv_timeout(IDLE) {
                Ok(first) => batches.push(first),
                Err(RecvTimeoutError::Timeout) => {
                    // A stream that is silent for long closes its segment too, so that it can be archived. A full disk shows at the next write.
                    let now_us = sys::now().utc_us;
                    if self.writer.is_due(now_us) {
                        let _ = self.writer.rotate(now_us);
                    }
                    continue;
                }
                Err(RecvTimeoutError::Disconnected) => break,
            }
            batches.extend(self.work.try_iter().take(TOGETHER - 1));
            let units = batches.iter().map(|batch| &batch.unit);
            match self.writer.append_many(units, sys::now().utc_us) {
                Ok(()) => {
                    if is_full {
                        is_full = false;
                        self.shared.tell(Event::Trouble(
                            "the edge journal can be written again; strangers are recorded and answered".into(),
                        ));
                    }
                    for batch in &mut batches {
                        let failed = outlet.send(&batch.answers, &batch.bytes);
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
                    if !is_full {
                        is_full = true;
                        self.shared.tell(Event::Trouble(format!(
                            "strangers are neither recorded nor answered until the edge journal can be written: {error}"
                        )));
                    }
                    for batch in &mut batches {
                        batch.tally.lose();
                    }
                }
            }
            for mut batch in batches.drain(..) {
                self.shared.commit(&batch.tally);
                batch.clear();
                let _ = self.returned.send(batch);
            }
            if self.shared.is_starving.swap(false, Ordering::SeqCst) {
                self.shared.receive_wake.wake();
            }
        }
        // The last run's frames are complete; sealing is the next start's first act.
        let _ = self.writer.sync();
    }
}
