// SPDX-License-Identifier: Apache-2.0
//! Writing requests: templates compiled once, filled in for each request without allocation.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use crate::DrillError;
use crate::pen::{Pen, host, push_digits, read_base36, read_decimal, read_hex};
use crate::random::{Random, Token};
use crate::templates::{self, SOURCES, Source};

/// What a template asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Method {
    /// A call.
    Invite,
    /// A registration.
    Register,
    /// A question for capabilities.
    Options,
}

impl Method {
    /// The method as it is written.
    pub fn name(self) -> &'static str {
        match self {
            Self::Invite => "INVITE",
            Self::Register => "REGISTER",
            Self::Options => "OPTIONS",
        }
    }
}

/// A hole in a template.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Field {
    SourceIp,
    SourcePort,
    SdpAddress,
    TargetIp,
    TargetPort,
    Caller,
    Callee,
    Extension,
    Authorization,
    TokenHex,
    TokenDecimal,
    Token71,
    Sequence,
    Run,
    Hex(u8),
    Decimal(u8),
    CSeq,
    Session,
    MediaPort,
    SvmapTag,
    SvwarTag,
    SvcrackTag,
    Length,
}

impl Field {
    fn named(name: &str) -> Option<Self> {
        Some(match name {
            "src" => Self::SourceIp,
            "sport" => Self::SourcePort,
            "sdp_src" => Self::SdpAddress,
            "dst" => Self::TargetIp,
            "dport" => Self::TargetPort,
            "caller" => Self::Caller,
            "callee" => Self::Callee,
            "ext" => Self::Extension,
            "authorization" => Self::Authorization,
            "token_hex" => Self::TokenHex,
            "token_dec" => Self::TokenDecimal,
            "token_71" => Self::Token71,
            "seq" => Self::Sequence,
            "pid" => Self::Run,
            "hex8" => Self::Hex(8),
            "hex16" => Self::Hex(16),
            "hex32" => Self::Hex(32),
            "dec10" => Self::Decimal(10),
            "dec24" => Self::Decimal(24),
            "cseq" => Self::CSeq,
            "session" => Self::Session,
            "media" => Self::MediaPort,
            "svmap_tag" => Self::SvmapTag,
            "svwar_tag" => Self::SvwarTag,
            "svcrack_tag" => Self::SvcrackTag,
            "length" => Self::Length,
            _ => return None,
        })
    }
}

#[derive(Debug)]
enum Piece {
    Literal(Vec<u8>),
    Field(Field),
    /// Here the head ends, after its empty line.
    Body,
}

/// A template ready to be filled in.
#[derive(Debug)]
pub struct Template {
    /// `tool/what`.
    pub name: &'static str,
    /// What it asks for.
    pub method: Method,
    pieces: Vec<Piece>,
}

impl Template {
    /// Whether an answer's branch leads back to the request.
    pub fn has_own_branch(&self) -> bool {
        self.pieces.iter().any(|piece| {
            matches!(piece, Piece::Field(Field::TokenHex | Field::TokenDecimal | Field::Token71 | Field::Sequence))
        })
    }
}

/// Room for one datagram; longer messages are cut here (no template comes near).
pub const MAX_MESSAGE_BYTES: usize = 2048;

/// What differs from one request to the next. `None` and empty mean "as the tool would choose by chance".
#[derive(Debug, Clone, Default)]
pub struct Wanted<'a> {
    /// Digits (or anything) called, `{callee}`.
    pub callee: Option<&'a [u8]>,
    /// Who calls, `{caller}`.
    pub caller: Option<&'a [u8]>,
    /// The account probed or cracked, `{ext}`.
    pub extension: Option<&'a [u8]>,
    /// A whole `Authorization` line without its line end.
    pub authorization: Option<&'a [u8]>,
    /// The password guessed: svcrack keeps it in its From tag.
    pub password: Option<&'a [u8]>,
    /// The `CSeq` number.
    pub cseq: Option<u32>,
}

/// Names of all templates, `tool/what`.
pub fn names() -> impl Iterator<Item = &'static str> {
    SOURCES.iter().map(|source| source.name)
}

/// Compiles the template of that name.
pub fn template(name: &str) -> Result<Template, DrillError> {
    SOURCES
        .iter()
        .find(|source| source.name == name)
        .map(compile)
        .ok_or_else(|| DrillError::Usage(format!("no message template is called {name:?}")))
}

fn compile(source: &Source) -> Template {
    let mut pieces = Vec::new();
    split(source.text, &mut pieces);
    Template { name: source.name, method: source.method, pieces }
}

fn split(text: &'static str, pieces: &mut Vec<Piece>) {
    let mut rest = text;
    while let Some(open) = rest.find('{') {
        let close = open + rest[open..].find('}').expect("a template's braces are closed");
        let name = &rest[open + 1..close];
        literal(&rest[..open], pieces);
        match (Field::named(name), templates::included(name)) {
            (Some(field), _) => pieces.push(Piece::Field(field)),
            (None, Some(included)) => split(included, pieces),
            (None, None) => unreachable!("template field {name:?} is not known"),
        }
        rest = &rest[close + 1..];
    }
    literal(rest, pieces);
}

fn literal(text: &str, pieces: &mut Vec<Piece>) {
    let wire = |text: &str| Piece::Literal(text.replace('\n', "\r\n").into_bytes());
    // An empty line ends the head; bodies have none.
    match text.split_once("\n\n") {
        Some((head, body)) => pieces.extend([wire(head), wire("\n\n"), Piece::Body, wire(body)]),
        None => pieces.push(wire(text)),
    }
}

/// Writes requests of one run to one target.
pub struct Writer {
    seed: u64,
    token: Token,
    run: u32,
    target_ip: String,
    target_port: u16,
    target_hex: String,
    callee: Vec<u8>,
    caller: Vec<u8>,
    extension: Vec<u8>,
}

impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer").field("seed", &self.seed).field("target", &self.target_ip).finish_non_exhaustive()
    }
}

/// Base-36 digits of a token in a branch.
const TOKEN36_DIGITS: usize = 13;
/// Digits that dialling programs put before a number, in the hope of an outside line.
const ACCESS: [&[u8]; 12] = [b"00", b"011", b"9011", b"900", b"+", b"810", b"0", b"9810", b"000", b"00900", b"7", b""];
/// Beginnings of numbers set aside for fiction, and how many digits follow.
const STEMS: [(&[u8], usize); 4] = [(b"441632960", 3), (b"1202555", 4), (b"46846500", 4), (b"999", 9)];

impl Writer {
    /// A writer whose every message follows from `seed` and the request's number.
    pub fn new(seed: u64, target: SocketAddr) -> Self {
        let target_hex = match target.ip() {
            IpAddr::V4(v4) => format!("{:08x}{:04x}", u32::from(v4), target.port()),
            IpAddr::V6(v6) => format!("{:032x}{:04x}", u128::from(v6), target.port()),
        };
        let mut random = Random::new(seed ^ 0x5151_5151_5151_5151);
        Self {
            seed,
            token: Token::new(random.next()),
            run: 1000 + random.below(30_000),
            target_ip: host(target.ip()),
            target_port: target.port(),
            target_hex,
            callee: Vec::with_capacity(64),
            caller: Vec::with_capacity(64),
            extension: Vec::with_capacity(16),
        }
    }

    /// Writes request number `index` into `out` and returns its length. The same arguments give the same bytes.
    ///
    /// Shape: `out` should hold [`MAX_MESSAGE_BYTES`]; what does not fit is cut off. `source` is the address that the message
    /// claims; the caller sends it from there.
    pub fn write(
        &mut self,
        out: &mut [u8],
        template: &Template,
        index: u64,
        source: SocketAddr,
        wanted: &Wanted<'_>,
    ) -> usize {
        let mut random = Random::of_request(self.seed, index);
        self.choose(&mut random, wanted);
        let session = 1_000_000_000 + random.next() % 1_000_000_000;
        let mut pen = Pen::new(out);
        let mut length_at = None;
        let mut body_at = 0;
        for piece in &template.pieces {
            let field = match piece {
                Piece::Literal(bytes) => {
                    pen.put(bytes);
                    continue;
                }
                Piece::Body => {
                    body_at = pen.at;
                    continue;
                }
                Piece::Field(field) => *field,
            };
            match field {
                Field::SourceIp => pen.ip(source.ip()),
                Field::SourcePort => pen.decimal(u64::from(source.port()), 1),
                Field::SdpAddress => match source.ip() {
                    IpAddr::V4(_) => {
                        pen.put(b"IP4 ");
                        pen.ip(source.ip());
                    }
                    IpAddr::V6(v6) => pen.put(format!("IP6 {v6}").as_bytes()),
                },
                Field::TargetIp => pen.put(self.target_ip.as_bytes()),
                Field::TargetPort => pen.decimal(u64::from(self.target_port), 1),
                Field::Caller => pen.put(&self.caller),
                Field::Callee => pen.put(&self.callee),
                Field::Extension => pen.put(&self.extension),
                Field::Authorization => {
                    if let Some(line) = wanted.authorization {
                        pen.put(line);
                        pen.put(b"\r\n");
                    }
                }
                Field::TokenHex => pen.hex(self.token.of(index), 16),
                Field::TokenDecimal => pen.decimal(self.token.of(index), 20),
                Field::Token71 => {
                    pen.base36(self.token.of(index), TOKEN36_DIGITS);
                    for digits in [12, 12, 12, 12, 10] {
                        pen.base36(random.next(), digits);
                    }
                }
                Field::Sequence => pen.decimal(index.wrapping_add(1), 1),
                Field::Run => pen.decimal(u64::from(self.run), 1),
                Field::Hex(digits) => {
                    for _ in 0..digits.div_ceil(16) {
                        pen.hex(random.next(), usize::from(digits.min(16)));
                    }
                }
                Field::Decimal(digits) => {
                    // A first digit other than 0, as a printed number has.
                    pen.decimal(1 + random.next() % 9, 1);
                    let mut left = usize::from(digits) - 1;
                    while left > 0 {
                        let now = left.min(16);
                        pen.decimal(random.next(), now);
                        left -= now;
                    }
                }
                Field::CSeq => pen.decimal(wanted.cseq.map_or_else(|| 1 + random.next() % 9, u64::from), 1),
                Field::Session => pen.decimal(session, 10),
                Field::MediaPort => pen.decimal(10_000 + (u64::from(random.below(20_000)) & !1), 5),
                Field::SvmapTag => {
                    pen.hex_of(self.target_hex.as_bytes());
                    pen.bookkeeping(&mut random);
                }
                Field::SvwarTag => {
                    pen.hex_of(&self.extension);
                    pen.bookkeeping(&mut random);
                }
                Field::SvcrackTag => match wanted.password {
                    Some(password) => {
                        pen.hex_of(&self.extension);
                        pen.hex_of(b":");
                        pen.hex_of(password);
                    }
                    None => pen.put(b"3206210844"),
                },
                Field::Length => {
                    length_at = Some(pen.at);
                    pen.put(b"000");
                }
            }
        }
        let end = pen.at;
        if let Some(at) = length_at {
            // Every body here is 100 to 999 bytes long, so three digits stand where the length goes.
            pen.at = at;
            pen.decimal((end - body_at) as u64, 3);
        }
        end
    }

    /// The request number that an answer's top `branch` leads to, if the branch is one of this run.
    ///
    /// Shape: the number may be one that was never sent; the caller knows how many there were.
    pub fn index_of_branch(&self, branch: &[u8]) -> Option<u64> {
        let Some(rest) = branch.strip_prefix(b"z9hG4bK") else {
            return Some(self.token.index(read_base36(branch, TOKEN36_DIGITS)?));
        };
        let Some(digits) = rest.strip_prefix(b"-") else {
            return Some(self.token.index(read_hex(rest)?));
        };
        let (number, tail) = read_decimal(digits)?;
        match tail.strip_prefix(b"-") {
            Some(tail) if number == u64::from(self.run) => read_decimal(tail)?.0.checked_sub(1),
            Some(_) => None,
            None => Some(self.token.index(number)),
        }
    }

    fn choose(&mut self, random: &mut Random, wanted: &Wanted<'_>) {
        let drawn = random.next();
        self.callee.clear();
        if let Some(callee) = wanted.callee {
            self.callee.extend_from_slice(callee);
        } else {
            let (stem, digits) = STEMS[(drawn & 3) as usize];
            self.callee.extend_from_slice(ACCESS[((drawn >> 8) % ACCESS.len() as u64) as usize]);
            self.callee.extend_from_slice(stem);
            push_digits(&mut self.callee, drawn >> 16, digits);
        }
        let drawn = random.next();
        self.extension.clear();
        match wanted.extension {
            Some(extension) => self.extension.extend_from_slice(extension),
            None => push_digits(&mut self.extension, 100 + drawn % 900, 3 + usize::from(drawn >> 63 == 1)),
        }
        self.caller.clear();
        match wanted.caller {
            Some(caller) => self.caller.extend_from_slice(caller),
            None => push_digits(&mut self.caller, drawn >> 8, 3 + (drawn & 7) as usize),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TARGET: &str = "127.0.0.1:5060";
    const SOURCE: &str = "127.1.2.3:40001";

    fn written(name: &str, index: u64, wanted: &Wanted<'_>) -> String {
        let mut writer = Writer::new(9, TARGET.parse().unwrap());
        let mut out = [0u8; MAX_MESSAGE_BYTES];
        let length = writer.write(&mut out, &template(name).unwrap(), index, SOURCE.parse().unwrap(), wanted);
        String::from_utf8(out[..length].to_vec()).unwrap()
    }

    fn header<'a>(message: &'a str, name: &str) -> &'a str {
        message
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
            .unwrap_or_else(|| panic!("{name} in {message}"))
    }

    #[test]
    fn every_template_is_a_whole_message_with_its_true_length() {
        for name in names() {
            for index in 0..50 {
                let message = written(name, index, &Wanted::default());
                let (head, body) = message.split_once("\r\n\r\n").expect("an empty line");
                assert!(!message.contains('{'), "{name}: {message}");
                assert_eq!(header(head, "Content-Length"), body.len().to_string(), "{name}");
                let method = template(name).unwrap().method.name();
                assert!(message.starts_with(&format!("{method} sip:")), "{name}");
                assert!(header(head, "CSeq").ends_with(method), "{name}");
                assert!(message.len() < MAX_MESSAGE_BYTES - 100, "{name}");
            }
        }
    }

    #[test]
    fn the_same_request_is_written_the_same_and_another_differently() {
        for name in names().filter(|&name| name != "nmap/options") {
            assert_eq!(written(name, 5, &Wanted::default()), written(name, 5, &Wanted::default()));
            assert_ne!(written(name, 5, &Wanted::default()), written(name, 6, &Wanted::default()));
        }
    }

    #[test]
    fn a_branch_leads_back_to_its_request() {
        let writer = Writer::new(9, TARGET.parse().unwrap());
        for name in names().filter(|&name| name != "nmap/options") {
            for index in [0, 1, 77, 1_000_000] {
                let message = written(name, index, &Wanted::default());
                let via = header(&message, "Via");
                let branch = via.split_once("branch=").unwrap().1.split(';').next().unwrap();
                assert_eq!(writer.index_of_branch(branch.as_bytes()), Some(index), "{name}: {branch}");
            }
        }
    }

    #[test]
    fn a_foreign_branch_leads_nowhere_or_far_away() {
        let writer = Writer::new(9, TARGET.parse().unwrap());
        for branch in ["foo", "", "z9hG4bK", "z9hG4bK-", "z9hG4bK-1-2-0", "z9hG4bK-99999999999999999999", "z9hG4bKxyz"]
        {
            assert_eq!(writer.index_of_branch(branch.as_bytes()), None, "{branch}");
        }
        assert!(writer.index_of_branch(b"z9hG4bK0123456789abcdef").unwrap() > 1 << 32);
    }

    #[test]
    fn svmap_keeps_the_probed_address_in_its_tag() {
        let message = written("svmap/options", 3, &Wanted::default());
        let tag = header(&message, "From").split_once("tag=").unwrap().1;
        // "7f000001" "13c4" and byte 1, as hexadecimal text.
        assert!(tag.starts_with("37663030303030313133633401"), "{tag}");
    }

    #[test]
    fn svcrack_keeps_the_guess_in_its_tag() {
        let wanted = Wanted {
            extension: Some(b"100"),
            password: Some(b"abc"),
            authorization: Some(b"Authorization: Digest x"),
            ..Wanted::default()
        };
        let message = written("svcrack/register", 3, &wanted);
        assert!(header(&message, "From").ends_with("tag=3130303a616263"));
        assert_eq!(header(&message, "Authorization"), "Digest x");
        let first = written("svcrack/register", 3, &Wanted::default());
        assert!(header(&first, "From").ends_with("tag=3206210844"));
        assert!(!first.contains("Authorization"));
    }

    #[test]
    fn wanted_numbers_are_written_as_they_are() {
        let wanted =
            Wanted { callee: Some(b"00441632960123"), caller: Some(b"7001"), cseq: Some(17), ..Wanted::default() };
        let message = written("pbx/asterisk", 0, &wanted);
        assert!(message.starts_with("INVITE sip:00441632960123@127.0.0.1 SIP/2.0\r\n"));
        assert!(header(&message, "From").contains("<sip:7001@"));
        assert_eq!(header(&message, "CSeq"), "17 INVITE");
    }

    #[test]
    fn nothing_is_written_past_a_short_buffer() {
        let mut writer = Writer::new(9, TARGET.parse().unwrap());
        let compiled = template("pbx/asterisk").unwrap();
        let mut out = [0u8; 300];
        assert!(writer.write(&mut out, &compiled, 1, SOURCE.parse().unwrap(), &Wanted::default()) <= 300);
    }
}
