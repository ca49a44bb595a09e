// SPDX-License-Identifier: Apache-2.0
//! What of a message a call needs, found line by line. It is code of its own on purpose: a drill that read messages with the
//! switch's parser would share its faults.

use memchr::{memchr, memmem};

/// The parts of a message; lines are without their end.
#[derive(Debug, Default)]
pub(super) struct Fields<'a> {
    /// Start line.
    pub(super) start: &'a [u8],
    /// Each Via line, top first, name and all.
    pub(super) vias: Vec<&'a [u8]>,
    /// Values of Record-Route, top first.
    pub(super) record_routes: Vec<&'a [u8]>,
    pub(super) from: &'a [u8],
    pub(super) to: &'a [u8],
    pub(super) call_id: &'a [u8],
    pub(super) cseq: &'a [u8],
    pub(super) contact: &'a [u8],
}

impl<'a> Fields<'a> {
    /// None: one of the five fields that every message has is missing.
    pub(super) fn of(message: &'a [u8]) -> Option<Self> {
        let mut fields = Self::default();
        let mut rest = message;
        let (start, after) = line(rest)?;
        (fields.start, rest) = (start, after);
        while let Some((text, after)) = line(rest) {
            rest = after;
            if text.is_empty() {
                break;
            }
            let Some(colon) = memchr(b':', text) else { continue };
            let value = text[colon + 1..].trim_ascii();
            match text[..colon].trim_ascii().to_ascii_lowercase().as_slice() {
                b"via" | b"v" => fields.vias.push(text),
                b"record-route" => fields.record_routes.push(value),
                b"from" | b"f" => fields.from = value,
                b"to" | b"t" => fields.to = value,
                b"call-id" | b"i" => fields.call_id = value,
                b"cseq" => fields.cseq = value,
                b"contact" | b"m" => fields.contact = value,
                _ => {}
            }
        }
        let has_all = !fields.vias.is_empty()
            && [fields.from, fields.to, fields.call_id, fields.cseq].iter().all(|field| !field.is_empty());
        has_all.then_some(fields)
    }

    /// Status code of a response.
    pub(super) fn status(&self) -> Option<u16> {
        std::str::from_utf8(self.start.strip_prefix(b"SIP/2.0 ")?.get(..3)?).ok()?.parse().ok()
    }

    /// Method of a request, or of the request that a response answers.
    pub(super) fn method(&self) -> &'a [u8] {
        self.cseq.rsplit(|&c| c == b' ').next().unwrap_or_default()
    }

    /// User of the Request-URI.
    pub(super) fn callee(&self) -> &'a [u8] {
        let uri = self.start.split(|&c| c == b' ').nth(1).unwrap_or_default();
        let user = uri.strip_prefix(b"sip:").unwrap_or(uri);
        let end = user.iter().position(|&c| matches!(c, b'@' | b';')).unwrap_or(user.len());
        &user[..end]
    }

    /// URI of Contact.
    pub(super) fn contact_uri(&self) -> &'a [u8] {
        let Some(open) = memchr(b'<', self.contact) else {
            return self.contact.split(|&c| c == b';').next().unwrap_or_default();
        };
        let uri = &self.contact[open + 1..];
        memchr(b'>', uri).map_or(uri, |close| &uri[..close])
    }

    /// Parameter `tag` of a To or From value.
    pub(super) fn tag(value: &[u8]) -> Option<&[u8]> {
        let at = memmem::find(value, b";tag=")?;
        value[at + 5..].split(|&c| matches!(c, b';' | b' ')).next()
    }
}

fn line(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = memchr(b'\n', text)?;
    let line = &text[..end];
    Some((line.strip_suffix(b"\r").unwrap_or(line), &text[end + 1..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    const RESPONSE: &[u8] = b"SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP a;branch=z9hG4bK1\r\nRecord-Route: <sip:p;lr>\r\n\
        f: <sip:a@b>;tag=f\r\nTo: <sip:c@d>;tag=t;x=y\r\nCall-ID: x@y\r\nCSeq: 17 INVITE\r\nm: \"A\" <sip:v@1.2.3.4>;q=1\r\n\r\nTo: body";

    #[test]
    fn a_response_is_read() {
        let fields = Fields::of(RESPONSE).unwrap();
        assert_eq!((fields.status(), fields.method()), (Some(200), &b"INVITE"[..]));
        assert_eq!((fields.contact_uri(), fields.record_routes.len()), (&b"sip:v@1.2.3.4"[..], 1));
        assert_eq!((Fields::tag(fields.to), Fields::tag(fields.from)), (Some(&b"t"[..]), Some(&b"f"[..])));
    }

    #[test]
    fn a_request_is_read() {
        let fields = Fields::of(
            b"INVITE sip:4412@1.2.3.4;x=y SIP/2.0\r\nv: a\r\nFrom: a\r\nTo: b\r\ni: c\r\nCSeq: 1 INVITE\r\n\r\n",
        );
        let fields = fields.unwrap();
        assert_eq!((fields.status(), fields.callee()), (None, &b"4412"[..]));
    }

    #[test]
    fn what_lacks_a_field_is_no_message() {
        for message in ["", "\r\n", "x", "INVITE sip:a SIP/2.0\r\nVia: x\r\nFrom: a\r\nTo: b\r\nCSeq: 1 A\r\n\r\n"] {
            assert!(Fields::of(message.as_bytes()).is_none(), "{message:?}");
        }
    }
}
