// SPDX-License-Identifier: Apache-2.0
//! The places that connections take under the limits: of all together, of one stranger, and of a stranger's TLS handshakes.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use guard::{Counter, SourceKey, Tally};
use parking_lot::Mutex;
use tokio::time::{Instant, sleep_until};

use crate::config::StreamLimits;
use crate::shared::Shared;

/// Bytes read at a time. What fits into one chunk is always let in, so that ordinary messages pass beside hoarders.
pub(crate) const CHUNK: usize = 4096;
/// A handshake keeps its place for so long at least: what one stranger can make us compute is bounded too.
const HANDSHAKE_COUNTS_FOR: Duration = Duration::from_secs(1);

/// Whether a source is known: asked at accept, answered from the snapshot in force.
pub(crate) type IsKnown = Arc<dyn Fn(SocketAddr) -> bool + Send + Sync>;

/// What a stranger holds.
#[derive(Default)]
struct Held {
    connections: usize,
    handshakes: usize,
}

/// All places.
pub(crate) struct Places {
    shared: Arc<Shared>,
    limits: StreamLimits,
    max_handshakes_per_source: usize,
    is_known: IsKnown,
    strangers: Mutex<HashMap<SourceKey, Held>>,
}

impl Places {
    pub(crate) fn new(
        shared: Arc<Shared>,
        limits: StreamLimits,
        max_handshakes_per_source: usize,
        is_known: IsKnown,
    ) -> Self {
        Self { shared, limits, max_handshakes_per_source, is_known, strangers: Mutex::default() }
    }

    /// For a connection that was accepted; None: a limit is reached.
    pub(crate) fn take(self: &Arc<Self>, source: SocketAddr) -> Option<Place> {
        let limits = &self.limits;
        let is_known = (self.is_known)(source);
        let key = SourceKey::of(source.ip());
        let open = self.shared.connections.lock().len();
        let room = if is_known { limits.max_connections } else { limits.max_connections - limits.reserved_connections };
        let has_room = open < room && (is_known || self.hold(key, limits.max_per_source, connections));
        self.count(if has_room { Counter::Connections } else { Counter::ConnectionsRefused });
        let id = has_room.then(|| self.shared.next_connection.fetch_add(1, Ordering::Relaxed))?;
        Some(Place { places: Arc::clone(self), id, source: key, is_known, buffered: 0 })
    }

    /// For a connection of ours, whose number the engine drew.
    pub(crate) fn of_ours(self: &Arc<Self>, id: u64, remote: SocketAddr) -> Place {
        Place { places: Arc::clone(self), id, source: SourceKey::of(remote.ip()), is_known: true, buffered: 0 }
    }

    fn count(&self, counter: Counter) {
        let mut tally = Tally::default();
        tally.add(counter, 1);
        self.shared.commit(&tally);
    }

    /// One more of `what`; false if the stranger has as many as it may.
    fn hold(&self, source: SourceKey, most: usize, what: fn(&mut Held) -> &mut usize) -> bool {
        let mut strangers = self.strangers.lock();
        let held = what(strangers.entry(source).or_default());
        let has_room = *held < most;
        if has_room {
            *held += 1;
        }
        drop_empty(&mut strangers, source);
        has_room
    }

    fn give_back(&self, source: SourceKey, what: fn(&mut Held) -> &mut usize) {
        let mut strangers = self.strangers.lock();
        if let Some(held) = strangers.get_mut(&source) {
            let held = what(held);
            *held = held.saturating_sub(1);
        }
        drop_empty(&mut strangers, source);
    }
}

fn connections(held: &mut Held) -> &mut usize {
    &mut held.connections
}

fn handshakes(held: &mut Held) -> &mut usize {
    &mut held.handshakes
}

fn drop_empty(strangers: &mut HashMap<SourceKey, Held>, source: SourceKey) {
    if strangers.get(&source).is_some_and(|held| held.connections + held.handshakes == 0) {
        strangers.remove(&source);
    }
}

/// A connection's place; given back when dropped.
pub(crate) struct Place {
    places: Arc<Places>,
    pub(crate) id: u64,
    source: SourceKey,
    pub(crate) is_known: bool,
    buffered: usize,
}

impl Place {
    /// Account for `bytes` of unfinished message; false if all connections together hold too much.
    pub(crate) fn buffer(&mut self, bytes: usize) -> bool {
        let total = &self.places.shared.buffered;
        let before = total.fetch_add(bytes, Ordering::Relaxed);
        total.fetch_sub(self.buffered, Ordering::Relaxed);
        let others = before.saturating_sub(self.buffered);
        self.buffered = bytes;
        self.is_known || bytes <= CHUNK || others + bytes <= self.places.limits.buffered_bytes
    }

    /// For its TLS handshake; None: the stranger has as many under way as it may.
    pub(crate) fn handshake(&self) -> Option<Handshake> {
        let places = &self.places;
        if !self.is_known && !places.hold(self.source, places.max_handshakes_per_source, handshakes) {
            places.count(Counter::ConnectionsRefused);
            return None;
        }
        Some(Handshake {
            places: Arc::clone(places),
            source: (!self.is_known).then_some(self.source),
            began: Instant::now(),
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let shared = &self.places.shared;
        shared.buffered.fetch_sub(self.buffered, Ordering::Relaxed);
        if shared.connections.lock().remove(self.id) {
            // The engine ends with the edge, and so does its interest.
            let _ = shared.closed.send(self.id);
        }
        if !self.is_known {
            self.places.give_back(self.source, connections);
        }
    }
}

/// A handshake's place; given back when dropped.
pub(crate) struct Handshake {
    places: Arc<Places>,
    /// None: of a known source, which has no limit of its own.
    source: Option<SourceKey>,
    began: Instant,
}

impl Handshake {
    /// It is over; its place is given back once it has counted for its time.
    pub(crate) fn end(self) {
        if self.source.is_some() {
            tokio::spawn(async move {
                sleep_until(self.began + HANDSHAKE_COUNTS_FOR).await;
                drop(self);
            });
        }
    }
}

impl Drop for Handshake {
    fn drop(&mut self) {
        if let Some(source) = self.source {
            self.places.give_back(source, handshakes);
        }
    }
}
