// SPDX-License-Identifier: Apache-2.0
//! What tells transactions apart (RFC 3261 §17.1.3, §17.2.3).
//!
//! The RFC compares branch, sent-by and method. Call-ID, From tag and `CSeq` number are compared too: whoever sends the same request
//! again, or its ACK, its CANCEL or a response, copies all of these, so between elements that keep to the RFC nothing changes. But somebody
//! who chooses the branch and sent-by of another's call cannot answer, cancel or acknowledge it without knowing the rest.
//!
//! Branches, tags and hosts are compared without case, since tokens and host names are (RFC 3261 §7.3.1); methods, Call-IDs and what
//! RFC 2543 elements send in place of a branch are compared byte by byte.

use sip::{Message, Method};

/// The key of a transaction: *call* part (method, `CSeq` number, Call-ID, From tag), then sent-by and branch. Without the magic cookie it
/// is Request-URI and top Via in their place, and the To tag at the end (RFC 3261 §17.2.3).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Key {
    bytes: Box<[u8]>,
    call_end: u32,
}

impl Key {
    /// Whether this is the transaction of that message.
    pub(crate) fn is(&self, other: &KeyBuffer) -> bool {
        *self.bytes == *other.bytes
    }

    /// Whether method, `CSeq` number, Call-ID and From tag are those of that message (RFC 3261 §8.2.2.2).
    pub(crate) fn is_call(&self, other: &KeyBuffer) -> bool {
        self.call() == other.call()
    }

    /// Whether the branch is that of that message too.
    pub(crate) fn is_branch(&self, other: &KeyBuffer) -> bool {
        other.has_cookie() && self.bytes.ends_with(other.branch())
    }

    /// Method, `CSeq` number, Call-ID and From tag.
    pub(crate) fn call(&self) -> &[u8] {
        self.bytes.get(..self.call_end as usize).unwrap_or_default()
    }

    /// All of it.
    pub(crate) const fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }
}

const COOKIE: u8 = 1;
const NO_COOKIE: u8 = 0;

/// Where the key of a message is written, again and again.
#[derive(Clone, Debug, Default)]
pub(crate) struct KeyBuffer {
    bytes: Vec<u8>,
    call_end: usize,
    branch_start: usize,
    /// Where the To tag stands; the end where it does not count.
    to_tag_start: usize,
}

impl KeyBuffer {
    /// Reads the key of a message as if it had that method: an ACK and a CANCEL are compared with INVITEs. None: something is missing,
    /// which the parser does not let pass.
    pub(crate) fn read(&mut self, message: &Message<'_>, method: Method<'_>) -> Option<()> {
        self.bytes.clear();
        let (via, from, cseq) = (message.via_top().ok()?, message.from().ok()?, message.cseq().ok()?);
        put(&mut self.bytes, method.as_bytes());
        self.bytes.extend_from_slice(&cseq.number.to_le_bytes());
        put(&mut self.bytes, message.call_id()?);
        put_lower(&mut self.bytes, from.tag().unwrap_or_default());
        self.call_end = self.bytes.len();
        if let Some(branch) = via.branch.filter(|_| via.has_magic_cookie()) {
            self.bytes.push(COOKIE);
            put_lower(&mut self.bytes, via.host);
            self.bytes.extend_from_slice(&via.port.unwrap_or(0).to_le_bytes());
            self.branch_start = self.bytes.len();
            put_lower(&mut self.bytes, branch);
            self.to_tag_start = self.bytes.len();
            return Some(());
        }
        self.bytes.push(NO_COOKIE);
        self.branch_start = self.bytes.len();
        put(&mut self.bytes, message.request_uri().unwrap_or_default());
        let value = message.first(sip::HeaderName::Via)?;
        put(&mut self.bytes, value.get(..via.len).unwrap_or(value));
        self.to_tag_start = self.bytes.len();
        put_lower(&mut self.bytes, message.to().ok()?.tag().unwrap_or_default());
        Some(())
    }

    /// Method, `CSeq` number, Call-ID and From tag.
    pub(crate) fn call(&self) -> &[u8] {
        self.bytes.get(..self.call_end).unwrap_or_default()
    }

    /// Takes the To tag away, as it was in the request that begins a dialog. False: the To tag does not count.
    pub(crate) fn clear_to_tag(&mut self) -> bool {
        self.bytes.truncate(self.to_tag_start);
        if !self.has_cookie() {
            put(&mut self.bytes, b"");
        }
        !self.has_cookie()
    }

    /// All of it.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The key, to be kept.
    pub(crate) fn to_key(&self) -> Key {
        Key { bytes: self.bytes.as_slice().into(), call_end: self.call_end as u32 }
    }

    /// Whether the branch is one of RFC 3261.
    fn has_cookie(&self) -> bool {
        self.bytes.get(self.call_end) == Some(&COOKIE)
    }

    fn branch(&self) -> &[u8] {
        self.bytes.get(self.branch_start..self.to_tag_start).unwrap_or_default()
    }
}

/// Writes what an ACK for a 2xx shares with that 2xx (RFC 3261 §13.2.2.4): Call-ID, `CSeq` number and both tags.
pub(crate) fn write_success(call_id: &[u8], number: u32, from_tag: &[u8], to_tag: &[u8], out: &mut Vec<u8>) {
    out.clear();
    out.extend_from_slice(&number.to_le_bytes());
    put(out, call_id);
    put_lower(out, from_tag);
    put_lower(out, to_tag);
}

/// Length first, so that no two lists of parts give the same bytes.
fn put(out: &mut Vec<u8>, part: &[u8]) {
    out.extend_from_slice(&(part.len() as u32).to_le_bytes());
    out.extend_from_slice(part);
}

fn put_lower(out: &mut Vec<u8>, part: &[u8]) {
    put(out, part);
    let start = out.len().saturating_sub(part.len());
    if let Some(part) = out.get_mut(start..) {
        part.make_ascii_lowercase();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sip::{Parsed, parse};

    const INVITE: &str = "INVITE sip:b@h SIP/2.0\r\nVia: SIP/2.0/UDP a.example:5060;branch=z9hG4bKx\r\nFrom: <sip:a@h>;tag=f\r\n\
        To: <sip:b@h>\r\nCall-ID: c\r\nCSeq: 1 INVITE\r\n\r\n";
    const OLD: &str = "INVITE sip:b@h SIP/2.0\r\nVia: SIP/2.0/UDP a.example:5060;branch=1\r\nFrom: <sip:a@h>;tag=f\r\n\
        To: <sip:b@h>\r\nCall-ID: c\r\nCSeq: 1 INVITE\r\n\r\n";

    fn buffer(text: &str, method: Method<'_>) -> KeyBuffer {
        let Parsed::Message(message) = parse(text.as_bytes()) else { panic!("{text}") };
        let mut buffer = KeyBuffer::default();
        buffer.read(&message, method).unwrap();
        buffer
    }

    fn is_same(one: &str, other: &str) -> bool {
        buffer(one, Method::Invite).to_key().is(&buffer(other, Method::Invite))
    }

    /// RFC 3261 §7.3.1, §17.2.3.
    #[test]
    fn tokens_and_hosts_are_compared_without_case_and_call_ids_with() {
        assert!(is_same(INVITE, INVITE));
        assert!(is_same(INVITE, &INVITE.replace("a.example", "A.Example")));
        assert!(is_same(INVITE, &INVITE.replace("z9hG4bKx", "z9hG4bKX")));
        assert!(is_same(INVITE, &INVITE.replace("tag=f", "tag=F")));
        assert!(!is_same(INVITE, &INVITE.replace("Call-ID: c", "Call-ID: C")));
    }

    /// RFC 3261 §17.2.3: branch, sent-by, method; and what nobody else can know.
    #[test]
    fn each_part_tells_apart() {
        for (part, other) in [
            ("z9hG4bKx", "z9hG4bKy"),
            ("a.example", "b.example"),
            (":5060", ":5061"),
            (":5060", ""),
            ("tag=f", "tag=g"),
            ("Call-ID: c", "Call-ID: d"),
            ("CSeq: 1", "CSeq: 2"),
        ] {
            assert!(!is_same(INVITE, &INVITE.replace(part, other)), "{part}");
        }
        assert!(!buffer(INVITE, Method::Invite).to_key().is(&buffer(INVITE, Method::Cancel)));
        // What the RFC does not compare does not tell apart.
        assert!(is_same(INVITE, &INVITE.replace("sip:b@h SIP", "sip:z@h SIP")));
        assert!(is_same(INVITE, &INVITE.replace("To: <sip:b@h>", "To: <sip:b@h>;tag=t")));
    }

    /// RFC 3261 §17.2.3, the part for RFC 2543.
    #[test]
    fn without_the_cookie_uri_top_via_and_to_tag_are_compared() {
        assert!(is_same(OLD, OLD));
        for (part, other) in [
            ("sip:b@h SIP", "sip:z@h SIP"),
            ("branch=1", "branch=2"),
            ("UDP a", "UDP  a"),
            ("To: <sip:b@h>", "To: <sip:b@h>;tag=t"),
            ("tag=f", "tag=g"),
            ("Call-ID: c", "Call-ID: d"),
            ("CSeq: 1", "CSeq: 2"),
        ] {
            assert!(!is_same(OLD, &OLD.replace(part, other)), "{part}");
        }
        let key = buffer(OLD, Method::Invite).to_key();
        let mut ack =
            buffer(&OLD.replace("INVITE", "ACK").replace("To: <sip:b@h>", "To: <sip:b@h>;tag=t"), Method::Invite);
        assert!(!key.is(&ack) && ack.clear_to_tag() && key.is(&ack));
        assert!(!buffer(INVITE, Method::Invite).clear_to_tag());
    }

    #[test]
    fn parts_do_not_run_into_each_other() {
        assert!(!is_same(
            &INVITE.replace("Call-ID: c", "Call-ID: cf").replace("tag=f", "tag=g"),
            &INVITE.replace("tag=f", "tag=fg")
        ));
        let (mut one, mut other) = (Vec::new(), Vec::new());
        write_success(b"c", 1, b"ab", b"c", &mut one);
        write_success(b"c", 1, b"a", b"bc", &mut other);
        assert_ne!(one, other);
    }

    /// RFC 3261 §8.2.2.2.
    #[test]
    fn the_call_part_is_that_of_merged_requests_and_of_twins() {
        let merged = INVITE.replace("z9hG4bKx", "z9hG4bKother").replace("sip:b@h SIP", "sip:c@h SIP");
        let key = buffer(INVITE, Method::Invite).to_key();
        assert!(key.is_call(&buffer(&merged, Method::Invite)) && !key.is(&buffer(&merged, Method::Invite)));
        assert!(!key.is_branch(&buffer(&merged, Method::Invite)));
        let twin = INVITE.replace("a.example:5060", "192.0.2.1:62000");
        assert!(key.is_branch(&buffer(&twin, Method::Invite)) && !key.is(&buffer(&twin, Method::Invite)));
        assert!(!key.is_call(&buffer(&INVITE.replace("CSeq: 1", "CSeq: 2"), Method::Invite)));
    }
}
