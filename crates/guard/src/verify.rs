// SPDX-License-Identifier: Apache-2.0
//! Digest credentials (RFC 7616, RFC 8760): whose they are, whether they are fresh, and what wrong ones lead to.

use journal::Reason;
use sip::digest::Credentials;
use sip::{HeaderName, Message, Method};

use crate::counters::Counter;
use crate::credentials::{bare, credentials_of, is_right};
use crate::effects::{Effects, Now, Packet, Standing};
use crate::judge::{Guard, Judged, Refusal, Reply, flow_of};
use crate::lockout::LockoutRule;
use crate::nonce::{Checked, Nonce, REUSE_S};
use crate::numbers::Color;
use crate::snapshot::Snapshot;
use crate::source::SourceKey;
use crate::view::View;

/// A nonce that somebody has answered.
#[derive(Clone, Copy)]
pub(crate) struct UsedNonce {
    /// Source and number, hashed: what one number has earned serves no other.
    who: u64,
    /// The highest count so far (RFC 7616 §3.4).
    nc: u32,
    /// The answer was wrong: no other answer to it is looked at, so that it cannot be guessed with.
    is_spent: bool,
}

impl Guard {
    /// Credentials, or a challenge for them: 401 with Authorization, 407 with Proxy-Authorization (RFC 3261 §22).
    pub(crate) fn verify<'a>(
        &mut self,
        now: Now,
        packet: &Packet<'_>,
        message: &Message<'a>,
        view: &View<'a>,
        (snapshot, status): (&Snapshot, u16),
        effects: &mut Effects,
    ) -> Judged<'a> {
        let Some(credentials) = answers(message, status, &snapshot.realm) else {
            return Judged::Refused(Refusal::challenge(status, false));
        };
        if self.repeated(now, packet, view) {
            return Judged::Repeat;
        }
        let source = SourceKey::of(packet.peer.source.ip());
        let auth_user = bare(credentials.username);
        // Whoever names a user is not the one who named none, so the challenge is another one too.
        let again = || Judged::Refused(Refusal { auth_user, ..Refusal::challenge(status, true) });
        let nonce = match Nonce::check(bare(credentials.nonce), &snapshot.nonce_keys, source, &snapshot.realm) {
            Checked::Good(nonce) => nonce,
            Checked::UnknownKey => return again(),
            // A phone that moved to another address of its network answers with what it has: no forger.
            Checked::Forged if self.was_registered(source, now) => {
                return again();
            }
            Checked::Forged => {
                // The customer whose address changed between challenge and answer gets a nonce that works.
                let reply = Reply::Challenge { status, is_stale: true, is_settling: false };
                let refusal = Refusal::new(Reason::ForgedNonce, reply);
                return Judged::Refused(Refusal { auth_user, ..refusal });
            }
        };
        self.prove(source, now, effects);
        let number = auth_user.to_vec();
        let key = (nonce.made_at_s, nonce.settles, nonce.counter);
        let who = self.folding.identity(source, &[&number], 0);
        let used = self.nonces.get_mut(&key).copied();
        // A nonce of a time to come was made before the clock was set back: it is as old as it is early.
        let age_s = now.utc_s().abs_diff(nonce.made_at_s);
        let patience_s = snapshot.parameters.ss_sip_authentication_timeout;
        if used.is_some_and(|used| used.who != who || age_s > REUSE_S) {
            return again();
        }
        let settles = if used.is_none() { nonce.settles } else { 0 };
        let secret = snapshot.phone(&number);
        let is_right = is_right(&credentials, secret, view.method.as_bytes());
        let is_late = used.is_none() && age_s > patience_s;
        if settles != 0 && view.method == Method::Invite && (is_right || !is_late) {
            self.waiting.answered(nonce.made_at_s);
        }
        if is_late {
            // Late but right: asked once more, and the challenge that it was too late for becomes no record.
            let refusal = Refusal::challenge(status, true);
            return Judged::Refused(Refusal { auth_user, settles: if is_right { settles } else { 0 }, ..refusal });
        }
        let is_live = self.flows.is_of(&flow_of(packet), &number, now.utc_us);
        let is_white = snapshot.source_color(packet.peer.source.ip(), now.utc_us) == Some(Color::White);
        if !is_live && !is_white && self.lockouts.is_locked(who, now.ms) {
            let refusal = Refusal::new(Reason::LockedOut, Reply::Status(403));
            return Judged::Refused(Refusal { settles, auth_user, ..refusal });
        }
        let attempt = self.folding.identity(source, &[&number, view.call_id], 0);
        let is_spent = used.is_some_and(|used| used.is_spent);
        if !is_right || is_spent {
            let mut reply = Reply::Challenge { status, is_stale: false, is_settling: false };
            if used.is_none() {
                let wrong = self.retries.wrong(attempt, u64::from(patience_s).saturating_mul(1000), now.ms);
                if wrong > snapshot.parameters.ss_sip_authentication_retry {
                    reply = Reply::Status(403);
                }
                let suspend_ms = snapshot.parameters.ss_authentication_failed_suspend.saturating_mul(1000);
                let rule = LockoutRule { max_retry: snapshot.parameters.ss_authentication_max_retry, suspend_ms };
                self.lockouts.wrong(who, rule, now.ms);
                self.nonces.get_or_insert_with(key, || UsedNonce { who, nc: 0, is_spent: true });
            }
            effects.tally.add(Counter::BadCredentials, 1);
            let refusal = Refusal::new(Reason::BadCredentials, reply);
            return Judged::Refused(Refusal { settles, auth_user, ..refusal });
        }
        // Without qop there is no nc: such a nonce is good once (RFC 7616 §3.3).
        let nc = if credentials.qop.is_some() { credentials.nc.unwrap_or(0) } else { u32::MAX };
        if used.is_some_and(|used| nc <= used.nc) {
            return again();
        }
        let now_used = UsedNonce { who, nc, is_spent: false };
        *self.nonces.get_or_insert_with(key, || now_used) = now_used;
        self.lockouts.right(who);
        self.retries.right(attempt);
        Judged::Admitted(Standing::Phone { number, settles, gateway: None })
    }
}

/// The credentials that answer a challenge of ours with `status`: in Authorization for 401, in Proxy-Authorization for 407, or in the other
/// one if it names our realm, because the operator has changed `SS_SIP_AUTHENTICATION_CODE` in between.
pub(crate) fn answers<'a>(message: &Message<'a>, status: u16, realm: &str) -> Option<Credentials<'a>> {
    let (usual, other) = match status {
        401 => (HeaderName::Authorization, HeaderName::ProxyAuthorization),
        _ => (HeaderName::ProxyAuthorization, HeaderName::Authorization),
    };
    let is_ours = |credentials: &Credentials<'a>| bare(credentials.realm) == realm.as_bytes();
    credentials_of(message, usual).or_else(|| credentials_of(message, other).filter(is_ours))
}
