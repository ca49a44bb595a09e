// SPDX-License-Identifier: Apache-2.0
//! Session descriptions (RFC 8866), read where they lie.
//!
//! [`Session::parse`] checks the order and the shape of all lines once; what it gives then reads parts on demand and cannot fail.
//! Lines end in CRLF or LF, and the last one may lack its end: RFC 8866 §5 asks for CRLF and tells readers to take LF too.

use std::net::IpAddr;

use crate::class::{DIGIT, TOKEN};
use crate::error::{Error, Why};
use crate::scan::decimal;

/// `o=`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin<'a> {
    /// User name, or `-`.
    pub username: &'a [u8],
    /// Session id, as it came: some send more digits than fit 64 bits.
    pub session_id: &'a [u8],
    /// Session version, as it came.
    pub session_version: &'a [u8],
    /// Address of the sender.
    pub address: Connection<'a>,
}

/// `c=`, and the address part of `o=`: network type, address type, address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Connection<'a> {
    /// `IN`.
    pub network: &'a [u8],
    /// `IP4` or `IP6`.
    pub family: &'a [u8],
    /// Address or name as it came, with TTL and count where it has them.
    pub address: &'a [u8],
}

impl Connection<'_> {
    /// The address, where it is one of the stated family; None for names.
    pub fn ip(&self) -> Option<IpAddr> {
        let (address, _) = cut(self.address, b'/');
        let address: IpAddr = std::str::from_utf8(address).ok()?.parse().ok()?;
        let is_of_family = match address {
            IpAddr::V4(_) => self.family == b"IP4",
            IpAddr::V6(_) => self.family == b"IP6",
        };
        is_of_family.then_some(address)
    }
}

/// `t=`: start and stop, seconds since 1900; 0 is unbounded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// Start.
    pub start_s: u64,
    /// Stop.
    pub stop_s: u64,
}

/// `a=`: a property, or a name with a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attribute<'a> {
    /// Before the colon.
    pub name: &'a [u8],
    /// After the colon.
    pub value: Option<&'a [u8]>,
}

/// A session description.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Session<'a> {
    /// `o=`.
    pub origin: Origin<'a>,
    /// `s=`; may be empty.
    pub name: &'a [u8],
    /// `c=` of the session.
    pub connection: Option<Connection<'a>>,
    /// First `t=`.
    pub timing: Timing,
    /// Session-level lines.
    head: &'a [u8],
    /// From the first `m=` on.
    media: &'a [u8],
}

/// One `m=` line with the lines that belong to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Media<'a> {
    /// `audio`, `video`, ...
    pub kind: &'a [u8],
    /// Port; 0 = refused or switched off (RFC 3264 §6).
    pub port: u16,
    /// Number of ports, where `port/count` is given.
    pub port_count: Option<u16>,
    /// `RTP/AVP`, ...
    pub proto: &'a [u8],
    formats: &'a [u8],
    /// Its own `c=`, else that of the session.
    pub connection: Option<Connection<'a>>,
    lines: &'a [u8],
}

/// A line: its letter, its value, where it starts.
#[derive(Clone, Copy)]
struct Line<'a> {
    letter: u8,
    value: &'a [u8],
    at: usize,
}

#[derive(Clone)]
struct Lines<'a> {
    all: &'a [u8],
    rest: &'a [u8],
}

impl<'a> Lines<'a> {
    const fn new(all: &'a [u8]) -> Self {
        Self { all, rest: all }
    }

    fn at(&self) -> usize {
        self.all.len().saturating_sub(self.rest.len())
    }

    /// Next line; None at the end. `Err`: a line without `x=`, or with a CR or a NUL inside.
    fn next(&mut self) -> Result<Option<Line<'a>>, Error> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let at = self.at();
        let (line, rest) = cut(self.rest, b'\n');
        self.rest = rest.unwrap_or_default();
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        match line {
            [letter @ b'a'..=b'z', b'=', value @ ..] if memchr::memchr2(b'\r', b'\0', value).is_none() => {
                Ok(Some(Line { letter: *letter, value, at }))
            }
            _ => Err(fault(at)),
        }
    }
}

const fn fault(offset: usize) -> Error {
    Error::at(Why::Sdp, offset)
}

/// `bytes` before the first `byte`, and what follows it.
fn cut(bytes: &[u8], byte: u8) -> (&[u8], Option<&[u8]>) {
    match memchr::memchr(byte, bytes) {
        Some(at) => (bytes.split_at(at).0, bytes.get(at.saturating_add(1)..)),
        None => (bytes, None),
    }
}

/// Exactly `N` words with one blank between them.
fn words<const N: usize>(value: &[u8]) -> Option<[&[u8]; N]> {
    let mut found = [&[][..]; N];
    let mut words = value.split(|&byte| byte == b' ');
    for slot in &mut found {
        *slot = words.next().filter(|word| !word.is_empty())?;
    }
    words.next().is_none().then_some(found)
}

fn connection(value: &[u8]) -> Option<Connection<'_>> {
    let [network, family, address] = words(value)?;
    Some(Connection { network, family, address })
}

fn origin(value: &[u8]) -> Option<Origin<'_>> {
    let [username, session_id, session_version, network, family, address] = words(value)?;
    if !DIGIT.all(session_id) || !DIGIT.all(session_version) {
        return None;
    }
    Some(Origin { username, session_id, session_version, address: Connection { network, family, address } })
}

fn timing(value: &[u8]) -> Option<Timing> {
    let [start, stop] = words(value)?;
    Some(Timing { start_s: decimal(start)?, stop_s: decimal(stop)? })
}

fn media(value: &[u8]) -> Option<Media<'_>> {
    let (kind, rest) = cut(value, b' ');
    let (port, rest) = cut(rest?, b' ');
    let (proto, formats) = cut(rest?, b' ');
    let formats = formats?;
    let (port, count) = cut(port, b'/');
    let number = |digits| decimal(digits).and_then(|number| u16::try_from(number).ok());
    let count = match count {
        None => None,
        Some(digits) => Some(number(digits)?),
    };
    let is_right = TOKEN.all(kind)
        && proto.split(|&byte| byte == b'/').all(|part| TOKEN.all(part))
        && formats.split(|&byte| byte == b' ').all(|format| TOKEN.all(format));
    is_right.then_some(())?;
    Some(Media { kind, port: number(port)?, port_count: count, proto, formats, connection: None, lines: &[] })
}

fn attribute(value: &[u8]) -> Option<Attribute<'_>> {
    let (name, value) = cut(value, b':');
    TOKEN.all(name).then_some(Attribute { name, value })
}

/// Letters that may stand at the session, and of them those that may stand more than once.
const SESSION: (&[u8], &[u8]) = (b"vosiuepcbtrzka", b"epbtra");
/// The same inside a media description.
const MEDIA: (&[u8], &[u8]) = (b"micbka", b"cba");

impl<'a> Session<'a> {
    /// Reads a whole description.
    ///
    /// # Errors
    /// [`Why::Sdp`] with the offset of the line that is out of order, missing something or malformed.
    pub fn parse(body: &'a [u8]) -> Result<Self, Error> {
        let mut lines = Lines::new(body);
        let mut found_origin = None;
        let mut found_name = None;
        let mut found_connection = None;
        let mut found_timing = None;
        let mut is_media = false;
        let mut media_at = body.len();
        let mut seen = [false; 26];
        // RFC 8866 §5 fixes an order. v, o and s first and m in front of its own lines is what a reader needs; of the rest many senders
        // make an order of their own.
        let mut first_three = b"vos".iter();
        while let Some(line) = lines.next()? {
            let wrong = fault(line.at);
            if line.letter == b'm' {
                if !is_media {
                    media_at = line.at;
                }
                is_media = true;
                seen = [false; 26];
            }
            let (known, repeatable) = if is_media { MEDIA } else { SESSION };
            let slot = seen.get_mut(usize::from(line.letter.wrapping_sub(b'a'))).ok_or(wrong)?;
            let is_repeated = std::mem::replace(slot, true);
            if first_three.next().is_some_and(|&letter| letter != line.letter)
                || !known.contains(&line.letter)
                || is_repeated && !repeatable.contains(&line.letter)
            {
                return Err(wrong);
            }
            let is_right = match line.letter {
                b'v' => line.value == b"0",
                b'o' => {
                    found_origin = origin(line.value);
                    found_origin.is_some()
                }
                // RFC 8866 §5.3 wants a blank where there is no name; RFC 5118 §4.8 itself sends nothing.
                b's' => {
                    found_name = Some(line.value);
                    true
                }
                b'c' => {
                    let connection = connection(line.value);
                    if !is_media {
                        found_connection = connection;
                    }
                    connection.is_some()
                }
                b't' => {
                    let timing = timing(line.value);
                    found_timing = found_timing.or(timing);
                    timing.is_some()
                }
                b'm' => media(line.value).is_some(),
                b'a' => attribute(line.value).is_some(),
                _ => !line.value.is_empty(),
            };
            if !is_right {
                return Err(wrong);
            }
        }
        let missing = fault(media_at);
        let (head, media) = body.split_at(media_at);
        Ok(Self {
            origin: found_origin.ok_or(missing)?,
            name: found_name.ok_or(missing)?,
            connection: found_connection,
            timing: found_timing.ok_or(missing)?,
            head,
            media,
        })
    }

    /// Session-level attributes in wire order.
    pub fn attributes(&self) -> impl Iterator<Item = Attribute<'a>> + use<'a> {
        attributes(self.head)
    }

    /// Media descriptions in wire order.
    pub fn media(&self) -> impl Iterator<Item = Media<'a>> + use<'a> {
        let mut rest = self.media;
        let session = self.connection;
        std::iter::from_fn(move || {
            let mut lines = Lines::new(rest);
            let mut found = media(lines.next().ok()??.value)?;
            found.connection = session;
            let start = lines.at();
            let mut end = start;
            let mut has_own = false;
            while let Ok(Some(line)) = lines.next() {
                if line.letter == b'm' {
                    break;
                }
                if line.letter == b'c' && !has_own {
                    has_own = true;
                    found.connection = connection(line.value);
                }
                end = lines.at();
            }
            found.lines = rest.get(start..end)?;
            rest = rest.get(end..)?;
            Some(found)
        })
    }
}

impl<'a> Media<'a> {
    /// Formats (payload types for RTP) in wire order: order is preference.
    pub fn formats(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        self.formats.split(|&byte| byte == b' ')
    }

    /// Attributes of this media description in wire order.
    pub fn attributes(&self) -> impl Iterator<Item = Attribute<'a>> + use<'a> {
        attributes(self.lines)
    }

    /// Value of the first attribute of that name: None = absent, Some(None) = present without a value.
    pub fn attribute(&self, name: &[u8]) -> Option<Option<&'a [u8]>> {
        self.attributes().find(|attribute| attribute.name == name).map(|attribute| attribute.value)
    }
}

fn attributes(lines: &[u8]) -> impl Iterator<Item = Attribute<'_>> {
    let mut lines = Lines::new(lines);
    std::iter::from_fn(move || lines.next().ok().flatten())
        .filter(|line| line.letter == b'a')
        .filter_map(|line| attribute(line.value))
}

#[cfg(test)]
mod tests {
    use super::*;

    const OFFER: &[u8] = b"v=0\r\n\
        o=jdoe 3724394400 3724394405 IN IP4 198.51.100.1\r\n\
        s=Call to John Smith\r\n\
        i=An offer\r\n\
        c=IN IP4 198.51.100.1\r\n\
        b=CT:128\r\n\
        t=0 0\r\n\
        a=sendrecv\r\n\
        m=audio 49170/2 RTP/AVP 0 8 101\r\n\
        a=rtpmap:101 telephone-event/8000\r\n\
        a=ptime:20\r\n\
        m=video 0 RTP/SAVPF 99\r\n\
        c=IN IP6 2001:db8::2\r\n\
        a=inactive\r\n";

    #[test]
    fn an_offer_gives_all_its_parts() {
        let session = Session::parse(OFFER).unwrap();
        assert_eq!(session.origin.username, b"jdoe");
        assert_eq!(
            (session.origin.session_id, session.origin.session_version),
            (&b"3724394400"[..], &b"3724394405"[..])
        );
        assert_eq!(session.origin.address.ip(), "198.51.100.1".parse().ok());
        assert_eq!(session.name, b"Call to John Smith");
        assert_eq!(session.timing, Timing { start_s: 0, stop_s: 0 });
        let names: Vec<_> = session.attributes().map(|attribute| attribute.name).collect();
        assert_eq!(names, [b"sendrecv"]);

        let media: Vec<_> = session.media().collect();
        assert_eq!(media.len(), 2);
        assert_eq!(
            (media[0].kind, media[0].port, media[0].port_count, media[0].proto),
            (&b"audio"[..], 49_170, Some(2), &b"RTP/AVP"[..])
        );
        assert_eq!(media[0].formats().collect::<Vec<_>>(), [&b"0"[..], b"8", b"101"]);
        assert_eq!(media[0].connection.unwrap().ip(), "198.51.100.1".parse().ok());
        assert_eq!(media[0].attribute(b"rtpmap"), Some(Some(&b"101 telephone-event/8000"[..])));
        assert_eq!(media[0].attribute(b"inactive"), None);
        assert_eq!(media[1].port, 0);
        assert_eq!(media[1].connection.unwrap().ip(), "2001:db8::2".parse().ok());
        assert_eq!(media[1].attribute(b"inactive"), Some(None));
    }

    #[test]
    fn line_feeds_alone_and_a_missing_last_line_end_are_taken() {
        let text = String::from_utf8(OFFER.to_vec()).unwrap().replace("\r\n", "\n");
        let session = Session::parse(text.trim_end().as_bytes()).unwrap();
        assert_eq!(session.media().count(), 2);
        assert_eq!(session.media().last().unwrap().attribute(b"inactive"), Some(None));
    }

    #[test]
    fn a_description_without_media_is_whole() {
        let session =
            Session::parse(b"v=0\r\no=- 1 1 IN IP4 h.example.com\r\ns=-\r\nt=0 0\r\nr=7d 1h 0\r\nz=1 1\r\nt=1 2\r\n")
                .unwrap();
        assert_eq!(session.media().count(), 0);
        assert_eq!(session.connection, None);
        assert_eq!(session.origin.address.ip(), None);
    }

    #[test]
    fn an_address_of_another_family_is_no_address() {
        assert_eq!(connection(b"IN IP4 ::1").unwrap().ip(), None);
        assert_eq!(connection(b"IN IP4 224.2.1.1/127").unwrap().ip(), "224.2.1.1".parse().ok());
    }

    #[test]
    fn the_order_of_the_other_lines_is_for_the_sender_to_choose() {
        let body = b"v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nt=0 0\r\na=x\r\nc=IN IP4 192.0.2.1\r\nm=audio 9 RTP/AVP 0\r\na=y\r\nb=AS:64\r\n";
        let session = Session::parse(body).unwrap();
        assert_eq!(session.media().next().unwrap().connection.unwrap().ip(), "192.0.2.1".parse().ok());
    }

    #[test]
    fn faults_name_the_line() {
        let text = std::str::from_utf8(OFFER).unwrap();
        for (old, new, line) in [
            ("v=0", "v=1", "v=1"),
            ("v=0\r\n", "", "o="),
            ("s=Call to John Smith\r\n", "", "i=An offer"),
            ("o=jdoe ", "o=", "o="),
            ("o=jdoe 3724394400", "o=jdoe x", "o="),
            ("t=0 0\r\n", "", "m="),
            ("t=0 0", "t=0", "t="),
            ("t=0 0", "t=0  0", "t="),
            ("c=IN IP4 198.51.100.1", "c=IN IP4", "c="),
            ("i=An offer", "c=IN IP4 h\r\ni=x", "c=IN IP4 198"),
            ("i=An offer", "v=0", "v=0\r\nc="),
            ("b=CT:128", "c=IN IP4 h", "c=IN IP4 h"),
            ("a=sendrecv", "sendrecv", "sendrecv"),
            ("a=sendrecv", "a= ", "a= "),
            ("a=sendrecv", "a=x\ry", "a=x"),
            ("a=sendrecv", "x=y", "x=y"),
            ("audio 49170/2", "audio 70000", "m="),
            ("audio 49170/2", "audio", "m="),
            ("RTP/AVP 0 8 101", "RTP/AVP", "m="),
            ("RTP/AVP 0 8 101", "RTP/AVP 0  8", "m="),
            ("RTP/AVP 0", "RTP//AVP 0", "m="),
            ("c=IN IP6", "t=0 0\r\nc=IN IP6", "t=0 0\r\nc="),
        ] {
            assert!(text.contains(old), "{old}");
            let broken = text.replacen(old, new, 1);
            let fault = Session::parse(broken.as_bytes()).unwrap_err();
            assert_eq!(fault.why, Why::Sdp);
            assert!(broken[fault.offset..].starts_with(line), "{new:?}: {:?}", &broken[fault.offset..]);
        }
        assert_eq!(Session::parse(b""), Err(Error::at(Why::Sdp, 0)));
        assert_eq!(Session::parse(b"v=0\r\n\r\n").unwrap_err().offset, 5);
    }
}
