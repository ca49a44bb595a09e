// SPDX-License-Identifier: Apache-2.0
//! Far ends that are known by name: looked up on threads of their own, so that a slow name server holds up nobody else.
//!
//! Of RFC 3263 the last step only: addresses of a host name. NAPTR and SRV records are not asked for.

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, ToSocketAddrs as _};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded};

use crate::error::EdgeError;
use crate::line::{Bell, line};

/// Threads that look up.
const THREADS: usize = 2;
/// Names that may wait for them.
const WAITING: usize = 256;
/// So long an address is good, and so long a name without one is not asked for again.
const GOOD_FOR: Duration = Duration::from_mins(1);
const BAD_FOR: Duration = Duration::from_secs(5);
/// Names that are remembered at most.
const REMEMBERED: usize = 4096;

/// A host name, and whether its address has to be of IPv4.
pub(crate) type Name = (String, bool);

/// Finds the address of a name; may take as long as name servers take.
pub(crate) type LookUp = Arc<dyn Fn(&Name) -> Option<IpAddr> + Send + Sync>;

/// What the system's resolver says.
pub(crate) fn by_system((host, is_v4): &Name) -> Option<IpAddr> {
    (host.as_str(), 0).to_socket_addrs().ok()?.map(|address| address.ip()).find(|ip| ip.is_ipv4() == *is_v4)
}

/// A name was looked up.
pub(crate) struct Found {
    pub(crate) name: Name,
    address: Option<IpAddr>,
}

/// What is known of a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Address(IpAddr),
    None,
    /// It is being looked up; [`Names::found`] tells.
    Later,
}

/// Names and their addresses.
pub(crate) struct Names {
    asks: Sender<Name>,
    found: Receiver<Found>,
    known: HashMap<Name, (Instant, Option<IpAddr>)>,
    asked: HashSet<Name>,
}

impl Names {
    /// Starts the threads; they end with this value, or when the look-up of the moment is over. `bell` rings when one is over.
    pub(crate) fn start(bell: &Arc<Bell>, look_up: &LookUp) -> Result<Self, EdgeError> {
        let (asks, asked) = bounded::<Name>(WAITING);
        let (tell, found) = line(None, bell);
        for _ in 0..THREADS {
            let (asked, tell, look_up) = (asked.clone(), tell.clone(), Arc::clone(look_up));
            crate::spawn("edge-names", move || {
                for name in asked {
                    let address = look_up(&name);
                    if tell.send(Found { name, address }).is_err() {
                        return;
                    }
                }
            })?;
        }
        Ok(Self { asks, found, known: HashMap::new(), asked: HashSet::new() })
    }

    /// Where ends of look-ups are told; each goes to [`Self::take`].
    pub(crate) fn found(&self) -> &Receiver<Found> {
        &self.found
    }

    /// A name was looked up.
    pub(crate) fn take(&mut self, now: Instant, found: &Found) {
        self.asked.remove(&found.name);
        if self.known.len() >= REMEMBERED {
            self.known.clear();
        }
        let good_for = if found.address.is_some() { GOOD_FOR } else { BAD_FOR };
        self.known.insert(found.name.clone(), (now + good_for, found.address));
    }

    /// The address of a name; begins to look it up where nothing is known of it.
    pub(crate) fn address(&mut self, now: Instant, name: &Name) -> Answer {
        if let Some((until, address)) = self.known.get(name)
            && now < *until
        {
            return address.map_or(Answer::None, Answer::Address);
        }
        if self.asked.contains(name) {
            return Answer::Later;
        }
        if self.asks.try_send(name.clone()).is_err() {
            // More names than name servers answer for: what is not known in time is not reached.
            return Answer::None;
        }
        self.asked.insert(name.clone());
        Answer::Later
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_asked_for_once_and_its_address_is_good_for_a_while() {
        let look_up: LookUp = Arc::new(|(host, _)| (host == "carrier.example").then(|| [192, 0, 2, 1].into()));
        let mut names = Names::start(&Arc::default(), &look_up).unwrap();
        let now = Instant::now();
        let [good, bad] = ["carrier.example", "nobody.example"].map(|host| (host.to_owned(), true));
        for _ in 0..3 {
            assert_eq!((names.address(now, &good), names.address(now, &bad)), (Answer::Later, Answer::Later));
        }
        for _ in 0..2 {
            let found = names.found().recv_timeout(Duration::from_secs(10)).unwrap();
            names.take(now, &found);
        }
        let address = Answer::Address([192, 0, 2, 1].into());
        assert_eq!((names.address(now, &good), names.address(now, &bad)), (address, Answer::None));
        assert_eq!(names.address(now + BAD_FOR, &good), address);
        assert_eq!(names.address(now + BAD_FOR, &bad), Answer::Later, "asked again");
        assert_eq!(names.address(now + GOOD_FOR, &good), Answer::Later);
    }

    #[test]
    fn the_system_knows_this_machine() {
        assert_eq!(by_system(&("localhost".into(), true)), Some([127, 0, 0, 1].into()));
        assert_eq!(by_system(&("no such name".into(), true)), None);
    }
}
