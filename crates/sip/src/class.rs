// SPDX-License-Identifier: Apache-2.0
//! Byte classes of RFC 3261 §25.1 as one constant table of 256 entries, a bit for each class.

/// A set of bytes: one or more bits of [`TABLE`].
#[derive(Clone, Copy)]
pub(crate) struct Class(u16);

/// `token`: names of methods, header fields and parameters.
pub(crate) const TOKEN: Class = Class(1);
/// `word`: the halves of a Call-ID.
pub(crate) const WORD: Class = Class(1 << 1);
/// Linear white space inside a header field that is known to be folded rightly: SP, HTAB, CR, LF.
pub(crate) const LWS: Class = Class(1 << 2);
/// What may stand in a URI as it is met in the field: any visible ASCII byte but `<`, `>` and `"`. Wider than RFC 3261, which
/// wants `#` and a few others escaped; dial codes such as `#31#` come in unescaped. `check` is strict.
pub(crate) const URI: Class = Class(1 << 3);
/// `hostname` and `IPv4address`, and the underscore that names inside company networks have.
pub(crate) const HOST: Class = Class(1 << 4);
/// A parameter value without quotes as met in the field: visible, but `;`, `,`, `<`, `>` and `"`. `check` is strict.
pub(crate) const VALUE: Class = Class(1 << 5);
/// `DIGIT`.
pub(crate) const DIGIT: Class = Class(1 << 6);
/// A display name without quotes: `token`, white space, and the non-ASCII bytes that phones send unquoted.
pub(crate) const DISPLAY: Class = Class(1 << 7);
/// `unreserved` and `user-unreserved` (RFC 3261 §19.1.1); escapes are looked at apart.
pub(crate) const USER: Class = Class(1 << 8);
/// `unreserved` and what a password may have besides.
pub(crate) const PASSWORD: Class = Class(1 << 9);
/// `paramchar` of a URI without escapes.
pub(crate) const URI_PARAM: Class = Class(1 << 10);
/// `hnv-unreserved` and `unreserved`: the header part of a URI.
pub(crate) const URI_HEADER: Class = Class(1 << 11);
/// `reserved` and `unreserved`: what an opaque URI is made of, escapes apart.
pub(crate) const URIC: Class = Class(1 << 12);
/// `gen-value` without quotes: a token or a host, IPv6 reference included.
pub(crate) const GEN_VALUE: Class = Class(1 << 13);
/// [`USER`] and `#`, which dial codes have in them and which the grammar wants escaped.
pub(crate) const USER_OR_HASH: Class = Class(USER.0 | HASH.0);
const HASH: Class = Class(1 << 14);
/// Hexadecimal digit.
pub(crate) const HEX: Class = Class(1 << 15);

const TABLE: [u16; 256] = build();

const fn one_of(byte: u8, set: &[u8]) -> bool {
    let mut rest = set;
    while let [first, tail @ ..] = rest {
        if *first == byte {
            return true;
        }
        rest = tail;
    }
    false
}

#[allow(clippy::indexing_slicing, clippy::arithmetic_side_effects)] // runs in the compiler, over 0..256
const fn build() -> [u16; 256] {
    let mut table = [0_u16; 256];
    let mut byte = 0_u8;
    loop {
        let alphanum = byte.is_ascii_alphanumeric();
        let visible = byte.is_ascii_graphic();
        let unreserved = alphanum || one_of(byte, b"-_.!~*'()");
        let token = alphanum || one_of(byte, b"-.!%*_+`'~");
        let lws = one_of(byte, b" \t\r\n");
        let mut bits = 0;
        if token {
            bits |= TOKEN.0;
        }
        if alphanum || one_of(byte, b"-.!%*_+`'~()<>:\\\"/[]?{}") {
            bits |= WORD.0;
        }
        if lws {
            bits |= LWS.0;
        }
        if visible && !one_of(byte, b"<>\"") {
            bits |= URI.0;
        }
        if alphanum || one_of(byte, b"-._") {
            bits |= HOST.0;
        }
        if visible && !one_of(byte, b";,<>\"") {
            bits |= VALUE.0;
        }
        if byte.is_ascii_digit() {
            bits |= DIGIT.0;
        }
        if token || lws || byte >= 0x80 {
            bits |= DISPLAY.0;
        }
        if unreserved || one_of(byte, b"&=+$,;?/") {
            bits |= USER.0;
        }
        if unreserved || one_of(byte, b"&=+$,") {
            bits |= PASSWORD.0;
        }
        if unreserved || one_of(byte, b"[]/:&+$") {
            bits |= URI_PARAM.0;
        }
        if unreserved || one_of(byte, b"[]/?:+$") {
            bits |= URI_HEADER.0;
        }
        if unreserved || one_of(byte, b";/?:@&=+$,") {
            bits |= URIC.0;
        }
        if token || one_of(byte, b"[]:") {
            bits |= GEN_VALUE.0;
        }
        if byte == b'#' {
            bits |= HASH.0;
        }
        if byte.is_ascii_hexdigit() {
            bits |= HEX.0;
        }
        table[byte as usize] = bits;
        if byte == 255 {
            return table;
        }
        byte += 1;
    }
}

impl Class {
    /// Whether `byte` is in the class.
    #[inline]
    pub(crate) const fn has(self, byte: u8) -> bool {
        self.bits(byte) != 0
    }

    /// Whether `bytes` is not empty and every byte is in the class.
    #[inline]
    pub(crate) fn all(self, bytes: &[u8]) -> bool {
        !bytes.is_empty() && self.run(bytes) == bytes.len()
    }

    /// Length of the longest start of `bytes` that is in the class.
    #[inline]
    pub(crate) fn run(self, bytes: &[u8]) -> usize {
        // Four at a time with one branch: most of the parser's time is spent here.
        let mut rest = bytes;
        while let Some((&[a, b, c, d], after)) = rest.split_first_chunk() {
            if self.bits(a) & self.bits(b) & self.bits(c) & self.bits(d) == 0 {
                break;
            }
            rest = after;
        }
        while let Some((&first, after)) = rest.split_first() {
            if !self.has(first) {
                break;
            }
            rest = after;
        }
        bytes.len().saturating_sub(rest.len())
    }

    #[inline]
    #[allow(clippy::indexing_slicing)] // a u8 cannot lie outside 256 entries
    const fn bits(self, byte: u8) -> u16 {
        TABLE[byte as usize] & self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn token_is_the_set_of_rfc_3261_section_25_1() {
        let members: Vec<u8> = (0..=255).filter(|&byte| TOKEN.has(byte)).collect();
        let mut expected: Vec<u8> = b"-.!%*_+`'~".to_vec();
        expected.extend(b'0'..=b'9');
        expected.extend(b'a'..=b'z');
        expected.extend(b'A'..=b'Z');
        expected.sort_unstable();
        assert_eq!(members, expected);
    }

    #[test]
    fn no_class_but_display_and_lws_has_a_line_break_or_white_space() {
        for class in [TOKEN, WORD, URI, HOST, VALUE, DIGIT, USER, PASSWORD, URI_PARAM, URI_HEADER, URIC, GEN_VALUE, HEX]
        {
            for byte in *b" \t\r\n\0" {
                assert!(!class.has(byte));
            }
        }
    }
}
