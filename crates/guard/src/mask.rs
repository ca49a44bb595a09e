// SPDX-License-Identifier: Apache-2.0
//! What a raw message must not carry into the journal or a trace: digest responses, whole credentials of other schemes, passwords
//! in URIs, keys of media in SDP, and the password that a scanner writes into its own From tag. Masked bytes become `*`, so lengths
//! and places stay as they were.

use memchr::memchr;

use crate::fingerprint::is_hex_note;

/// What the header field that a line may continue was.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Field {
    Other,
    Digest,
    /// Credentials of another scheme: all of them are secret.
    Secret,
}

/// The first `limit` bytes of a message with its credentials masked, in place of what `out` held.
pub fn masked(message: &[u8], limit: usize, out: &mut Vec<u8>) {
    out.clear();
    let kept = message.get(..limit).unwrap_or(message);
    out.extend_from_slice(kept);
    let is_cut = kept.len() < message.len();
    let mut field = Field::Other;
    let mut rest = out.as_mut_slice();
    while !rest.is_empty() {
        let line_end = memchr(b'\n', rest);
        let (line, after) = rest.split_at_mut(line_end.unwrap_or(rest.len()));
        // What follows the cut is not known: a password in the last line may have lost its "@".
        field = mask_line(line, field, is_cut && line_end.is_none());
        rest = after.get_mut(1..).unwrap_or_default();
    }
}

fn mask_line(line: &mut [u8], before: Field, is_cut: bool) -> Field {
    let mut field = Field::Other;
    match line.first().map(u8::to_ascii_lowercase) {
        // A folded line may continue any of these, so every line that is not another header field is masked alike.
        Some(b' ' | b'\t') => {
            field = before;
            if field == Field::Secret {
                fill(line, 1, |byte| byte == b'\r');
            }
            mask_digest(line);
            mask_tag(line);
        }
        Some(b'a' | b'p') if begins(line, b"authorization") || begins(line, b"proxy-authorization") => {
            field = mask_credentials(line);
        }
        Some(b'f') if begins(line, b"from") || begins(line, b"f:") || begins(line, b"f ") => mask_tag(line),
        // RFC 4568 §9.2, RFC 4567 §3.1, RFC 8839 §5.4, RFC 4566 §5.12; RFC 5939 §3.4.1 offers the first two inside another attribute.
        Some(b'a') if begins(line, b"a=crypto:") => mask_after(line, b"inline:"),
        Some(b'a') if begins(line, b"a=key-mgmt:") => mask_key_management(line),
        Some(b'a') if begins(line, b"a=acap:") => {
            mask_after(line, b"inline:");
            mask_key_management(line);
        }
        Some(b'a') if begins(line, b"a=ice-pwd:") => mask_after(line, b":"),
        Some(b'k') if begins(line, b"k=") => mask_after(line, b"="),
        _ => {}
    }
    if is_cut || memchr(b'@', line).is_some() {
        mask_uri_password(line, is_cut);
    }
    field
}

fn begins(line: &[u8], name: &[u8]) -> bool {
    line.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name))
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

/// Of Digest the response; of any other scheme, and where the value only begins in the next line, all (RFC 3261 §22.1).
fn mask_credentials(line: &mut [u8]) -> Field {
    let value = memchr(b':', line).map_or(line.len(), |colon| colon.saturating_add(1));
    let blanks = line.iter().skip(value).take_while(|byte| matches!(byte, b' ' | b'\t')).count();
    let scheme = value.saturating_add(blanks);
    if line.get(scheme..).is_some_and(|value| begins(value, b"digest")) {
        mask_digest(line);
        return Field::Digest;
    }
    let is_end = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\r');
    let end = line.iter().skip(scheme).position(is_end).map_or(line.len(), |at| scheme.saturating_add(at));
    fill(line, end.saturating_add(1), |byte| byte == b'\r');
    Field::Secret
}

fn mask_digest(line: &mut [u8]) {
    for name in [&b"response"[..], b"cnonce"] {
        mask_parameter(line, name);
    }
}

fn mask_after(line: &mut [u8], name: &[u8]) {
    let mut from = 0;
    while let Some(value) = find(line, name, from) {
        from = value;
        fill(line, value, |byte| matches!(byte, b' ' | b'\r'));
    }
}

/// `key-mgmt:mikey AQAFgM...`: what follows the name of the protocol.
fn mask_key_management(line: &mut [u8]) {
    let Some(protocol) = find(line, b"key-mgmt:", 0) else { return };
    let blanks = line.iter().skip(protocol).take_while(|byte| **byte == b' ').count();
    let name = protocol.saturating_add(blanks);
    let end = line.iter().skip(name).position(|byte| *byte == b' ').map_or(line.len(), |at| name.saturating_add(at));
    fill(line, end.saturating_add(1), |byte| byte == b'\r');
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
fn mask_uri_password(line: &mut [u8], is_cut: bool) {
    let mut from = 0;
    while let Some(colon) = line.get(from..).and_then(|rest| memchr(b':', rest)) {
        let scheme = from.saturating_add(colon);
        from = scheme.saturating_add(1);
        let ends = |name: &[u8]| {
            line.get(scheme.saturating_sub(name.len())..scheme).is_some_and(|end| end.eq_ignore_ascii_case(name))
        };
        let rest = line.get(from..).unwrap_or_default();
        if !(ends(b"sip") || ends(b"sips")) {
            continue;
        }
        let end = rest.iter().position(|byte| matches!(byte, b'@' | b'>' | b' ' | b'\r'));
        let is_user = end.map_or(is_cut, |end| rest.get(end) == Some(&b'@'));
        if let Some(password) = memchr(b':', rest)
            && is_user
            && end.is_none_or(|end| password < end)
        {
            fill(line, from.saturating_add(password).saturating_add(1), |byte| byte == b'@');
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mask(text: &str) -> String {
        let mut out = Vec::new();
        masked(text.as_bytes(), 2048, &mut out);
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

    #[test]
    fn credentials_of_another_scheme_are_masked_whole_wherever_they_are_folded() {
        assert_eq!(mask("Authorization: Basic dTpw\r\nTo: x\r\n"), "Authorization: Basic ****\r\nTo: x\r\n");
        assert_eq!(mask("Authorization:\r\n Bearer abc\r\nTo: x\r\n"), "Authorization:\r\n **********\r\nTo: x\r\n");
    }

    #[test]
    fn keys_of_media_are_masked() {
        assert_eq!(
            mask(
                "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:d0RmdmcmVCspeEc3|2^20\r\na=ice-pwd:asd88fgp\r\nk=clear:x\r\n"
            ),
            "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:*********************\r\na=ice-pwd:********\r\nk=*******\r\n"
        );
    }

    /// RFC 4567 §3.1, RFC 5939 §3.4.1.
    #[test]
    fn keys_of_media_that_a_protocol_carries_or_that_are_only_offered_are_masked() {
        assert_eq!(mask("a=key-mgmt:mikey AQAFgM0X\r\nm=audio\r\n"), "a=key-mgmt:mikey ********\r\nm=audio\r\n");
        assert_eq!(mask("a=key-mgmt: mikey AQAFgM0X\n"), "a=key-mgmt: mikey ********\n");
        assert_eq!(
            mask("a=acap:1 crypto:1 AES_CM_128_HMAC_SHA1_80 inline:d0Rm|2^20\r\na=acap:2 key-mgmt:mikey AQAF\r\n"),
            "a=acap:1 crypto:1 AES_CM_128_HMAC_SHA1_80 inline:*********\r\na=acap:2 key-mgmt:mikey ****\r\n"
        );
        assert_eq!(mask("a=acap:3 setup:active\r\n"), "a=acap:3 setup:active\r\n");
    }

    #[test]
    fn a_password_that_the_cut_goes_through_is_masked() {
        let mut out = Vec::new();
        masked(b"To: <sip:1001:secret@host>\r\n", 17, &mut out);
        assert_eq!(out, b"To: <sip:1001:***");
        masked(b"To: <sip:1001:secret@host>\r\n", 11, &mut out);
        assert_eq!(out, b"To: <sip:10");
    }
}
