// SPDX-License-Identifier: Apache-2.0
//! The order of questions about a request: may its source speak at all, is the source known, are the credentials right.

use journal::Reason;
use sip::{Message, Method};

use crate::counters::Counter;
use crate::credentials::bare;
use crate::dialogs::Inside;
use crate::effects::{Effects, Now, Packet, Standing};
use crate::judge::{Guard, Judged, Refusal, Reply, flow_of};
use crate::nonce::local_tag;
use crate::numbers::Color;
use crate::snapshot::{Gateway, Snapshot};
use crate::source::SourceKey;
use crate::verify::answers;
use crate::view::View;

impl Guard {
    /// Whether a request is let through. The order of questions is the design's.
    pub(crate) fn verdict<'a>(
        &mut self,
        now: Now,
        packet: &Packet<'_>,
        message: &Message<'a>,
        view: &View<'a>,
        snapshot: &Snapshot,
        effects: &mut Effects,
    ) -> Judged<'a> {
        let source = SourceKey::of(packet.peer.source.ip());
        if view.method == Method::Ack {
            // An ACK with our tag was sent by someone who received our answer: the source is no forgery.
            let tag = local_tag(&snapshot.tag_key, source, view.call_id, view.from_tag);
            if view.to_tag == tag {
                self.prove(source, now, effects);
            }
            let is_ours = self.is_live_invite(packet, view) || self.dialogs.holds(view.to_tag, view.call_id);
            return if is_ours { Judged::Ack } else { Judged::Absorbed };
        }
        let gateway = snapshot.gateway(packet.peer.source);
        // A BYE whose answer was lost comes again when its dialog is gone; its transaction is not.
        if (view.method == Method::Cancel || !view.to_tag.is_empty()) && self.repeated(now, packet, view) {
            return Judged::Repeat;
        }
        if view.method == Method::Cancel && self.is_live_invite(packet, view) {
            return Judged::Cancel;
        }
        // Whoever knows tag and Call-ID is a party to the call, and no stranger.
        if view.method != Method::Cancel && !view.to_tag.is_empty() && self.dialogs.holds(view.to_tag, view.call_id) {
            return self.verdict_inside(now, message, view, gateway);
        }
        let color = snapshot.source_color(packet.peer.source.ip(), now.utc_us);
        // An authorised source is never blocked.
        if color == Some(Color::Black) && gateway.is_none() {
            return Judged::Refused(Refusal::new(Reason::Blacklisted, blocked(snapshot)));
        }
        let refuse = |reason, status| {
            let Some(gateway) = gateway else {
                // After a restart phones still speak of calls that nobody here knows.
                let is_authorised = view.method == Method::Invite && self.flows.is_live(&flow_of(packet), now.utc_us);
                let refusal = Refusal::new(reason, to_stranger(snapshot, status));
                return Judged::Refused(Refusal { is_authorised, ..refusal });
            };
            Judged::Refused(Refusal::new(reason, Reply::Status(status)).of_gateway(gateway))
        };
        match view.method {
            Method::Register => {
                return self.verdict_register(now, packet, message, view, snapshot, effects);
            }
            // No dialog that lives carries that tag, and no INVITE that is to be cancelled.
            Method::Cancel | Method::Bye | Method::Prack | Method::Update => {
                return refuse(Reason::UnknownDialog, 481);
            }
            _ if !view.to_tag.is_empty() => return refuse(Reason::UnknownDialog, 481),
            _ => {}
        }
        if let Some(gateway) = gateway {
            return self.verdict_gateway(now, packet, message, view, (snapshot, gateway));
        }
        // A phone looks whether we are there, or keeps its NAT open: its own flow is proof enough for that.
        if view.method == Method::Options
            && let Some(number) = self.flows.number_on(&flow_of(packet), now.utc_us)
        {
            let number = number.to_vec();
            if self.repeated(now, packet, view) {
                return Judged::Repeat;
            }
            return self.verdict_proven(now, message, view, snapshot, (number, 0, b""));
        }
        match view.method {
            Method::Invite | Method::Message => self.verdict_stranger(now, packet, message, view, snapshot, effects),
            Method::Other(_) => refuse(Reason::MethodNotAllowed, unauthorized_code(snapshot)),
            _ => refuse(Reason::UnknownSource, unauthorized_code(snapshot)),
        }
    }

    /// A request inside a live dialog (RFC 3261 §12.2.2). It does not wait for an overload to pass: it ends calls more often than not.
    fn verdict_inside<'a>(
        &mut self,
        now: Now,
        message: &Message<'a>,
        view: &View<'a>,
        gateway: Option<&Gateway>,
    ) -> Judged<'a> {
        let gateway = gateway.map(|gateway| gateway.id);
        let refused = |refusal: Refusal<'a>| Judged::Refused(Refusal { gateway, is_authorised: true, ..refusal });
        if let Err(fault) = sip::check(message) {
            let refusal = Refusal::new(Reason::Malformed, Reply::Status(fault.status));
            return refused(Refusal { detail: fault.why as u16, ..refusal });
        }
        match self.dialogs.take(view.to_tag, view.call_id, now.ms) {
            Inside::Yes => Judged::Admitted(Standing::Inside { gateway }),
            Inside::TooMany => refused(Refusal::new(Reason::RateExceeded, Reply::Later)),
            Inside::No => refused(Refusal::new(Reason::UnknownDialog, Reply::Status(481))),
        }
    }

    fn verdict_gateway<'a>(
        &mut self,
        now: Now,
        packet: &Packet<'_>,
        message: &Message<'a>,
        view: &View<'a>,
        (snapshot, gateway): (&Snapshot, &Gateway),
    ) -> Judged<'a> {
        let refused = |refusal: Refusal<'a>| Judged::Refused(refusal.of_gateway(gateway));
        if self.repeated(now, packet, view) {
            return Judged::Repeat;
        }
        if let Err(fault) = sip::check(message) {
            let refusal = Refusal::new(Reason::Malformed, Reply::Status(fault.status));
            return refused(Refusal { detail: fault.why as u16, ..refusal });
        }
        let is_call = view.method == Method::Invite;
        // Both go on to somebody.
        let goes_on = is_call || view.method == Method::Message;
        if !goes_on && view.method != Method::Options {
            return refused(Refusal::new(Reason::MethodNotAllowed, Reply::NotAllowed));
        }
        if goes_on && view.has_injection() {
            return refused(Refusal::new(Reason::Injection, Reply::Status(400)));
        }
        if goes_on && number_is_black(snapshot, view, now) {
            return refused(Refusal::new(Reason::Blacklisted, Reply::Status(403)));
        }
        if self.is_overloaded || !self.known.admit(gateway, is_call, now.ms) {
            return refused(Refusal::new(Reason::RateExceeded, Reply::Later));
        }
        Judged::Admitted(Standing::Gateway { id: gateway.id })
    }

    /// A call, or a text message (RFC 3428), of whoever is no gateway by its address: a phone proves itself.
    fn verdict_stranger<'a>(
        &mut self,
        now: Now,
        packet: &Packet<'_>,
        message: &Message<'a>,
        view: &View<'a>,
        snapshot: &Snapshot,
        effects: &mut Effects,
    ) -> Judged<'a> {
        if view.has_injection() {
            let reply = to_stranger(snapshot, unauthorized_code(snapshot));
            return Judged::Refused(Refusal::new(Reason::Injection, reply));
        }
        let source = SourceKey::of(packet.peer.source.ip());
        let parameters = &snapshot.parameters;
        let may_authenticate = parameters.rf_roaming != 0
            || parameters.rf_unauthorized_code == 407
            || self.flows.is_live(&flow_of(packet), now.utc_us)
            || self.was_registered(source, now);
        if !may_authenticate {
            // The stranger hears the same in both cases.
            let reason =
                if snapshot.phone(view.caller).is_some() { Reason::Unregistered } else { Reason::UnknownSource };
            let reply = to_stranger(snapshot, unauthorized_code(snapshot));
            return Judged::Refused(Refusal::new(reason, reply));
        }
        let code = parameters.ss_sip_authentication_code;
        let verified = self.verify(now, packet, message, view, (snapshot, code), effects);
        let Judged::Admitted(Standing::Phone { number, settles, .. }) = verified else {
            return verified;
        };
        let auth_user =
            answers(message, code, &snapshot.realm).map_or(&b""[..], |credentials| bare(credentials.username));
        self.verdict_proven(now, message, view, snapshot, (number, settles, auth_user))
    }

    /// A request of a phone that proved itself, or that came over its flow. Whoever is refused here is no stranger.
    fn verdict_proven<'a>(
        &mut self,
        now: Now,
        message: &Message<'a>,
        view: &View<'a>,
        snapshot: &Snapshot,
        (number, settles, auth_user): (Vec<u8>, u64, &'a [u8]),
    ) -> Judged<'a> {
        // A gateway that registers has its own limits.
        let gateway = snapshot.gateway_registering_as(&number);
        let gateway_id = gateway.map(|gateway| gateway.id);
        let refusal = if let Err(fault) = sip::check(message) {
            let refusal = Refusal::new(Reason::Malformed, Reply::Status(fault.status));
            Refusal { detail: fault.why as u16, ..refusal }
        } else if view.method != Method::Options && number_is_black(snapshot, view, now) {
            Refusal::new(Reason::Blacklisted, Reply::Status(403))
        } else if self.is_overloaded || !self.known.admit_proven(gateway, &number, view.method, now.ms) {
            Refusal::new(Reason::RateExceeded, Reply::Later)
        } else {
            return Judged::Admitted(Standing::Phone { number, settles, gateway: gateway_id });
        };
        Judged::Refused(Refusal { settles, gateway: gateway_id, auth_user, is_authorised: true, ..refusal })
    }

    fn verdict_register<'a>(
        &mut self,
        now: Now,
        packet: &Packet<'_>,
        message: &Message<'a>,
        view: &View<'a>,
        snapshot: &Snapshot,
        effects: &mut Effects,
    ) -> Judged<'a> {
        let verified = self.verify(now, packet, message, view, (snapshot, 401), effects);
        if let Judged::Admitted(Standing::Phone { number, settles, .. }) = &verified {
            // A phone registers its own number only (RFC 3261 §10.3, step 4).
            if number != view.to_user {
                let refusal = Refusal::new(Reason::BadCredentials, Reply::Status(403));
                return Judged::Refused(Refusal { settles: *settles, auth_user: view.to_user, ..refusal });
            }
            if let Err(fault) = sip::check(message) {
                let refusal = Refusal::new(Reason::Malformed, Reply::Status(fault.status));
                return Judged::Refused(Refusal { detail: fault.why as u16, settles: *settles, ..refusal });
            }
            if self.is_overloaded {
                let refusal = Refusal::new(Reason::RateExceeded, Reply::Later);
                return Judged::Refused(Refusal { settles: *settles, auth_user: view.to_user, ..refusal });
            }
            effects.tally.add(Counter::Registrations, 1);
        }
        verified
    }
}

/// What a blocked source hears.
pub(crate) fn blocked(snapshot: &Snapshot) -> Reply {
    match snapshot.parameters.rf_blocked_code {
        0 => Reply::Silent,
        code => Reply::Status(code),
    }
}

fn number_is_black(snapshot: &Snapshot, view: &View<'_>, now: Now) -> bool {
    snapshot.callees.color(view.callee, now.utc_us) == Some(Color::Black)
        || snapshot.callers.color(view.caller, now.utc_us) == Some(Color::Black)
}

/// A stranger hears `status`, or nothing at all where the operator wants silence.
pub(crate) fn to_stranger(snapshot: &Snapshot, status: u16) -> Reply {
    if snapshot.parameters.ss_reply_unauthorized == 0 { Reply::Silent } else { Reply::Status(status) }
}

/// 407 stands for a challenge, which only a call and a text message get.
fn unauthorized_code(snapshot: &Snapshot) -> u16 {
    match snapshot.parameters.rf_unauthorized_code {
        407 => 403,
        code => code,
    }
}
