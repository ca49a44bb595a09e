// SPDX-License-Identifier: Apache-2.0
//! Numbers and addresses as they stand in a message, written into a bounded buffer and read again.

use std::net::IpAddr;

use crate::random::Random;

const BASE36: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";
const HEX: &[u8; 16] = b"0123456789abcdef";

/// A bounded writer: what does not fit is left out.
pub(crate) struct Pen<'a> {
    out: &'a mut [u8],
    /// Where the next byte goes.
    pub(crate) at: usize,
}

impl<'a> Pen<'a> {
    pub(crate) fn new(out: &'a mut [u8]) -> Self {
        Self { out, at: 0 }
    }

    #[inline]
    pub(crate) fn put(&mut self, bytes: &[u8]) {
        let end = self.at + bytes.len();
        if let Some(room) = self.out.get_mut(self.at..end) {
            room.copy_from_slice(bytes);
            self.at = end;
        }
    }

    /// At least `digits` decimal digits; `digits` of 1 means as many as needed, otherwise the lowest `digits`.
    pub(crate) fn decimal(&mut self, mut value: u64, digits: usize) {
        let mut text = [b'0'; 20];
        let mut start = text.len();
        while value > 0 && start > 0 {
            start -= 1;
            text[start] = b'0' + (value % 10) as u8;
            value /= 10;
        }
        let first = if digits == 1 { start.min(19) } else { 20 - digits.min(20) };
        self.put(&text[first..]);
    }

    pub(crate) fn hex(&mut self, value: u64, digits: usize) {
        let mut text = [0u8; 16];
        for (byte, shift) in text.iter_mut().zip((0..16).rev()) {
            *byte = HEX[(value >> (shift * 4) & 15) as usize];
        }
        self.put(&text[16 - digits.min(16)..]);
    }

    pub(crate) fn base36(&mut self, mut value: u64, digits: usize) {
        let mut text = [b'0'; 16];
        let start = 16 - digits.min(16);
        for byte in text[start..].iter_mut().rev() {
            *byte = BASE36[(value % 36) as usize];
            value /= 36;
        }
        self.put(&text[start..]);
    }

    /// The bytes as hexadecimal text.
    pub(crate) fn hex_of(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.put(&[HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
        }
    }

    /// What `SIPVicious` adds to its tags: byte 1 and a random decimal number, all as hexadecimal text.
    pub(crate) fn bookkeeping(&mut self, random: &mut Random) {
        self.hex_of(&[1]);
        let mut value = random.next();
        for _ in 0..10 {
            self.hex_of(&[b'0' + (value % 10) as u8]);
            value /= 10;
        }
    }

    pub(crate) fn ip(&mut self, ip: IpAddr) {
        match ip {
            IpAddr::V4(v4) => {
                for (place, octet) in v4.octets().into_iter().enumerate() {
                    if place > 0 {
                        self.put(b".");
                    }
                    self.decimal(u64::from(octet), 1);
                }
            }
            IpAddr::V6(_) => self.put(host(ip).as_bytes()),
        }
    }
}

/// The lowest decimal digits of a value, so many.
pub(crate) fn push_digits(out: &mut Vec<u8>, mut value: u64, digits: usize) {
    let start = out.len();
    out.resize(start + digits, b'0');
    for byte in out[start..].iter_mut().rev() {
        *byte = b'0' + (value % 10) as u8;
        value /= 10;
    }
}

/// An address as it stands in a URI.
pub(crate) fn host(ip: IpAddr) -> String {
    match ip {
        IpAddr::V4(v4) => v4.to_string(),
        IpAddr::V6(v6) => format!("[{v6}]"),
    }
}

/// 16 hexadecimal digits, and whatever follows.
pub(crate) fn read_hex(text: &[u8]) -> Option<u64> {
    let digits: &[u8; 16] = text.get(..16)?.try_into().ok()?;
    digits.iter().try_fold(0u64, |value, &c| Some(value << 4 | u64::from((c as char).to_digit(16)?)))
}

/// So many digits in base 36, and whatever follows.
pub(crate) fn read_base36(text: &[u8], digits: usize) -> Option<u64> {
    text.get(..digits)?
        .iter()
        .try_fold(0u64, |value, &c| value.checked_mul(36)?.checked_add(u64::from((c as char).to_digit(36)?)))
}

/// A decimal number of 20 digits at most, and what follows it.
pub(crate) fn read_decimal(text: &[u8]) -> Option<(u64, &[u8])> {
    let end = text.iter().position(|c| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, tail) = text.split_at(end);
    if digits.is_empty() || digits.len() > 20 {
        return None;
    }
    let value = digits.iter().try_fold(0u64, |value, &c| value.checked_mul(10)?.checked_add(u64::from(c - b'0')))?;
    Some((value, tail))
}
