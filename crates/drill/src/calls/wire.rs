// SPDX-License-Identifier: Apache-2.0
//! One side's socket: datagrams out in batches, a share of them lost or sent twice, both ways.

use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use crate::random::Random;
use crate::{DrillError, sys};

const BATCH: usize = 64;
const DATAGRAM_BYTES: usize = 4096;

/// Shares of datagrams, in each direction, of 1.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Weather {
    /// That are lost.
    pub loss: f64,
    /// That come twice.
    pub duplication: f64,
}

pub(super) struct Wire {
    socket: UdpSocket,
    address: SocketAddr,
    out: sys::Outgoing,
    waiting: usize,
    random: Random,
    weather: Weather,
}

impl Wire {
    pub(super) fn open(address: SocketAddr, weather: Weather, seed: u64) -> Result<Self, DrillError> {
        let socket = sys::udp_socket(address, 32 << 20, 8 << 20).map_err(DrillError::io("open a socket"))?;
        let address = socket.local_addr().map_err(DrillError::io("ask for a port"))?;
        Ok(Self {
            socket,
            address,
            out: sys::Outgoing::new(BATCH, DATAGRAM_BYTES),
            waiting: 0,
            random: Random::new(seed),
            weather,
        })
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The socket, to wait on.
    pub(super) fn socket(&self) -> &UdpSocket {
        &self.socket
    }

    /// Datagrams that the kernel dropped here.
    pub(super) fn dropped(&self) -> u64 {
        sys::dropped(&self.socket).unwrap_or(0)
    }

    fn times(&mut self) -> usize {
        if self.weather == Weather::default() {
            return 1;
        }
        let drawn = f64::from(self.random.below(1 << 24)) / f64::from(1 << 24);
        if drawn < self.weather.loss {
            0
        } else if drawn < self.weather.loss + self.weather.duplication {
            2
        } else {
            1
        }
    }

    /// Send `message` with the next batch. Returns whether it is not lost on its way.
    pub(super) fn send(&mut self, message: &[u8], to: sys::Name) -> Result<bool, DrillError> {
        let times = self.times();
        for _ in 0..times {
            if self.waiting == BATCH {
                self.flush()?;
            }
            let length = message.len().min(DATAGRAM_BYTES);
            self.out.buffer(self.waiting)[..length].copy_from_slice(&message[..length]);
            self.out.address(self.waiting, length, to);
            self.waiting += 1;
        }
        Ok(times > 0)
    }

    /// Hand what waits to the kernel; what it will not take in a second's time counts as lost on the way.
    pub(super) fn flush(&mut self) -> Result<(), DrillError> {
        let (mut done, mut patience) = (0, 1_000);
        while done < self.waiting && patience > 0 {
            let sent = self.out.send(&self.socket, done, self.waiting).map_err(DrillError::io("send"))?;
            if sent == 0 {
                patience -= 1;
                sys::wait_readable([], Duration::from_millis(1));
            }
            done += sent;
        }
        self.waiting = 0;
        Ok(())
    }

    /// Read what is there, at most a batch. Returns how many datagrams were read, lost ones too.
    pub(super) fn receive(&mut self, batch: &mut Batch) -> Result<usize, DrillError> {
        let got = batch.received.receive(&self.socket, false, true).map_err(DrillError::io("receive"))?;
        batch.order.clear();
        for place in 0..got {
            for _ in 0..self.times() {
                batch.order.push(place);
            }
        }
        Ok(got)
    }
}

/// Datagrams read together, each as often as it "came".
pub(super) struct Batch {
    received: sys::Received,
    order: Vec<usize>,
}

impl Batch {
    pub(super) fn new() -> Self {
        Self { received: sys::Received::new(BATCH, DATAGRAM_BYTES), order: Vec::with_capacity(2 * BATCH) }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&[u8], sys::Name)> {
        self.order.iter().map(|&place| (self.received.datagram(place), self.received.name(place)))
    }
}
