// SPDX-License-Identifier: Apache-2.0
//! What a raw message must not carry into the journal: digest responses, passwords in URIs, and the password that
//! a scanner writes into its own From tag. Masked bytes become `*`, so lengths and places stay as they were.

use journal::MAX_RAW;

use crate::fingerprint::is_hex_note;

/// The first [`MAX_RAW`] bytes of a message with its credentials masked.
pub(crate) fn masked(message: &[u8], out: &mut Vec<u8>) {
    out.clear();
    out.extend_from_slice(message.get(..MAX_RAW).unwrap_or(message));
    for line in out.split_mut(|byte| *byte == b'\n') {
        let lower: Vec<u8> = line.iter().take(24).map(u8::to_ascii_lowercase).collect();
        let is = |name: &[u8]| lower.starts_with(name);
        // A folded line may continue any of these, so every line that is not another header field is masked alike.
        let is_folded = matches!(line.first(), Some(b' ' | b'\t'));
        if is_folded || is(b"authorization") || is(b"proxy-authorization") {
            for name in [&b"response"[..], b"cnonce"] {
                mask_parameter(line, name);
            }
        }
        if is_folded || is(b"from") || is(b"f:") || is(b"f ") {
            mask_tag(line);
        }
        mask_uri_password(line);
    }
}

fn find(line: &[u8], needle: &[u8], from: usize) -> Option<usize> {
    let rest = line.get(from..)?;
    let at = rest.windows(needle.len()).position(|window| window.eq_ignore_ascii_case(needle))?;
    Some(from.saturating_add(at).saturating_add(needle.len()))
}

fn fill(line: &mut [u8], from: usize, until: impl Fn(u8) -> bool) {
    for byte in line.iter_mut().skip(from).take_while(|byte| !until(**byte)) {
        *byte = b'*';
    }
}

fn mask_parameter(line: &mut [u8], name: &[u8]) {
    let mut from = 0;
    while let Some(after) = find(line, name, from) {
        from = after;
        let mut value = after;
        while matches!(line.get(value), Some(b' ' | b'\t' | b'=' | b'"')) {
            value = value.saturating_add(1);
        }
        if value > after {
            fill(line, value, |byte| matches!(byte, b'"' | b',' | b'\r'));
        }
    }
}

fn mask_tag(line: &mut [u8]) {
    let Some(start) = find(line, b"tag=", 0) else {
        return;
    };
    let is_end = |byte: u8| matches!(byte, b';' | b'\r' | b' ' | b'\t' | b',');
    let tag: Vec<u8> = line.iter().skip(start).copied().take_while(|byte| !is_end(*byte)).collect();
    if is_hex_note(&tag) {
        fill(line, start, is_end);
    }
}

/// `sip:user:password@host` (RFC 3261 §19.1.1).
fn mask_uri_password(line: &mut [u8]) {
    let mut from = 0;
    while let Some(user) = find(line, b"sip:", from).or_else(|| find(line, b"sips:", from)) {
        from = user;
        let rest = line.iter().skip(user);
        let end = rest.clone().position(|byte| matches!(byte, b'@' | b'>' | b' ' | b'\r'));
        let colon = rest.clone().position(|byte| *byte == b':');
        if let (Some(end), Some(colon)) = (end, colon) {
            let is_user = line.get(user.saturating_add(end)) == Some(&b'@');
            if is_user && colon < end {
                fill(line, user.saturating_add(colon).saturating_add(1), |byte| byte == b'@');
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mask(text: &str) -> String {
        let mut out = Vec::new();
        masked(text.as_bytes(), &mut out);
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn digest_responses_are_masked_and_nothing_else_of_them() {
        let text = "Authorization: Digest username=\"1001\",nonce=\"ab\",response=\"0123abcd\",cnonce=\"x\"\r\nTo: <sip:1@x>\r\n";
        let masked = "Authorization: Digest username=\"1001\",nonce=\"ab\",response=\"********\",cnonce=\"*\"\r\nTo: <sip:1@x>\r\n";
        assert_eq!(mask(text), masked);
        assert_eq!(
            mask("proxy-authorization: Digest\r\n response = abc\r\n"),
            "proxy-authorization: Digest\r\n response = ***\r\n"
        );
    }

    #[test]
    fn a_password_in_a_uri_or_in_a_scanners_tag_is_masked() {
        assert_eq!(mask("To: <sip:1001:secret@host:5060>\r\n"), "To: <sip:1001:******@host:5060>\r\n");
        assert_eq!(mask("INVITE sip:host:5060 SIP/2.0\r\n"), "INVITE sip:host:5060 SIP/2.0\r\n");
        // "1001:secret" in hex, as svcrack writes it.
        let tag = "313030313a736563726574";
        assert_eq!(
            mask(&format!("From: <sip:1001@x>;tag={tag}\r\n")),
            format!("From: <sip:1001@x>;tag={}\r\n", "*".repeat(22))
        );
        assert_eq!(mask("From: <sip:1001@x>;tag=as58f4201b\r\n"), "From: <sip:1001@x>;tag=as58f4201b\r\n");
    }
}
