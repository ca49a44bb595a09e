// SPDX-License-Identifier: Apache-2.0
//! The whole judgement of a message: every header field that has a grammar (RFC 3261 §20, §25.1 and the RFCs of the extensions).
//!
//! [`crate::parse`] has looked at what refusing and recording need; this is for what is let in. Two leniencies, since the field sends both:
//! `#` without escape in a user part (dial codes), and bytes above 127 in a display name without quotes.

use crate::class::{Class, DIGIT, GEN_VALUE, TOKEN, USER_OR_HASH, WORD};
use crate::digest::{Challenge, Credentials};
use crate::error::Why;
use crate::message::{Header, Message, StartLine};
use crate::name::HeaderName;
use crate::name_addr::NameAddr;
use crate::param::Param;
use crate::scan::{Scan, decimal, read};
use crate::uri::{Uri, ipv6, is_host_name, parse_uri};
use crate::via::Via;

/// What [`check`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{why} in {header:?} at byte {offset}: {status}")]
pub struct Fault {
    /// What to answer, where the message is a request other than ACK: 400, or 416 for a scheme that is not served.
    pub status: u16,
    /// What is wrong.
    pub why: Why,
    /// Where: a header field, or None for the start line.
    pub header: Option<HeaderName>,
    /// Offset in the value of that field, where known; else 0.
    pub offset: usize,
}

/// Judges a message that [`crate::parse`] has let pass. Scheme aside, only syntax is judged: what a server supports (Require, Content-Type,
/// authentication schemes) is for whoever handles the request.
///
/// # Errors
/// The first fault in wire order.
pub fn check(message: &Message<'_>) -> Result<(), Fault> {
    if let StartLine::Request { uri, .. } = message.start() {
        check_request_uri(uri)?;
    }
    let mut seen: u128 = 0;
    for header in message.headers() {
        let bit = 1_u128.checked_shl(header.name as u32).unwrap_or(0);
        if seen & bit != 0 && is_single(header.name) {
            return Err(fault(header, Why::Repeated, 0));
        }
        seen |= bit;
        check_header(header)?;
    }
    Ok(())
}

const fn fault(header: &Header<'_>, why: Why, offset: usize) -> Fault {
    Fault { status: 400, why, header: Some(header.name), offset }
}

fn check_request_uri(uri: &[u8]) -> Result<(), Fault> {
    let at_start = |status, why| Err(Fault { status, why, header: None, offset: 0 });
    let Ok(uri) = parse_uri(uri) else {
        return at_start(400, Why::RequestUri);
    };
    match uri {
        Uri::Sip(sip) if !sip.headers.is_empty() => at_start(400, Why::UriHeaders),
        Uri::Other { .. } => at_start(416, Why::UriScheme),
        uri if !is_uri_right(&uri) => at_start(400, Why::RequestUri),
        _ => Ok(()),
    }
}

fn is_uri_right(uri: &Uri<'_>) -> bool {
    match uri {
        Uri::Sip(sip) => sip.keeps(USER_OR_HASH),
        uri => uri.is_strict(),
    }
}

/// Header fields whose value is no list: two of them say two things (RFC 3261 §7.3.1).
const fn is_single(name: HeaderName) -> bool {
    use HeaderName as H;
    matches!(
        name,
        H::ContentType
            | H::ContentDisposition
            | H::Date
            | H::Event
            | H::Expires
            | H::MimeVersion
            | H::MinExpires
            | H::MinSe
            | H::Priority
            | H::RAck
            | H::RSeq
            | H::ReferTo
            | H::ReferredBy
            | H::Replaces
            | H::ReplyTo
            | H::RetryAfter
            | H::SessionExpires
            | H::SipEtag
            | H::SipIfMatch
            | H::Subject
            | H::SubscriptionState
            | H::Timestamp
    )
}

/// One rule: reads its part of a value; None is a fault where the scan stands.
type Rule = fn(&mut Scan<'_>) -> Option<()>;

fn check_header(header: &Header<'_>) -> Result<(), Fault> {
    use HeaderName as H;
    let (rule, why): (Rule, Why) = match header.name {
        H::Via => (|scan| list(scan, via), Why::Via),
        H::From => (address, Why::From),
        H::To => (address, Why::To),
        H::Contact => (contact, Why::Contact),
        H::Route => (|scan| list(scan, bracketed), Why::Route),
        H::RecordRoute => (|scan| list(scan, bracketed), Why::RecordRoute),
        H::Path | H::ServiceRoute | H::Diversion | H::HistoryInfo => (|scan| list(scan, bracketed), Why::Header),
        H::PAssertedIdentity | H::PPreferredIdentity | H::RemotePartyId => (|scan| list(scan, address), Why::Header),
        H::ReplyTo | H::ReferTo | H::ReferredBy => (address, Why::Header),
        H::Expires | H::MinExpires => (seconds, Why::Expires),
        H::SessionExpires | H::MinSe => (|scan| seconds(scan).and_then(|()| params(scan)), Why::Expires),
        H::Date => (date, Why::Date),
        H::Require | H::ProxyRequire | H::Unsupported => (|scan| list(scan, token), Why::TokenList),
        H::Supported | H::Allow => (|scan| list_or_nothing(scan, token), Why::TokenList),
        H::AllowEvents => (|scan| list(scan, token), Why::TokenList),
        H::ContentType => (media_type, Why::ContentType),
        H::Accept => (|scan| list_or_nothing(scan, media_type), Why::Header),
        H::AcceptEncoding | H::AcceptLanguage => (|scan| list_or_nothing(scan, token_params), Why::Header),
        H::ContentEncoding | H::ContentLanguage => (|scan| list(scan, token), Why::Header),
        H::ContentDisposition | H::Event | H::SubscriptionState => (token_params, Why::Header),
        H::Reason | H::AcceptContact | H::RejectContact => (|scan| list(scan, token_params), Why::Header),
        H::Priority | H::SipEtag | H::SipIfMatch => (token, Why::Header),
        H::Warning => (|scan| list(scan, warning), Why::Warning),
        H::RetryAfter => (retry_after, Why::RetryAfter),
        H::Authorization | H::ProxyAuthorization => {
            (|scan| whole(scan, |value| Credentials::parse(value).is_ok()), Why::Digest)
        }
        H::WwwAuthenticate | H::ProxyAuthenticate => {
            (|scan| whole(scan, |value| Challenge::parse(value).is_ok()), Why::Digest)
        }
        H::AlertInfo | H::CallInfo | H::ErrorInfo => (|scan| list(scan, info_uri), Why::Header),
        H::InReplyTo => (|scan| list(scan, call_id), Why::Header),
        H::Replaces | H::Join => (|scan| call_id(scan).and_then(|()| params(scan)), Why::Header),
        H::MimeVersion => (mime_version, Why::Header),
        H::RAck => (rack, Why::Header),
        H::RSeq => (number_below_2_32, Why::Header),
        H::Timestamp => (timestamp, Why::Header),
        // Judged by the parser, or text, or unknown: no grammar to hold them to.
        _ => return Ok(()),
    };
    let mut scan = Scan::new(header.value);
    match rule(&mut scan) {
        Some(()) if scan.is_done() => Ok(()),
        _ => Err(fault(header, why, read(header.value, scan.rest))),
    }
}

/// `item *( "," item )`.
fn list(scan: &mut Scan<'_>, item: Rule) -> Option<()> {
    loop {
        scan.sws();
        item(scan)?;
        if !scan.eat_spaced(b',') {
            return Some(());
        }
    }
}

/// A list that may be empty.
fn list_or_nothing(scan: &mut Scan<'_>, item: Rule) -> Option<()> {
    if scan.is_done() { Some(()) } else { list(scan, item) }
}

/// Takes all that is left if it is right.
fn whole(scan: &mut Scan<'_>, is_right: impl FnOnce(&[u8]) -> bool) -> Option<()> {
    is_right(scan.rest).then(|| scan.rest = &[])
}

fn token(scan: &mut Scan<'_>) -> Option<()> {
    scan.some(TOKEN).map(drop)
}

/// `*( ";" generic-param )`, values tokens, hosts or quoted strings.
fn params(scan: &mut Scan<'_>) -> Option<()> {
    while let Some(param) = crate::param::param(scan).ok()? {
        is_param_right(&param).then_some(())?;
    }
    Some(())
}

fn is_param_right(param: &Param<'_>) -> bool {
    param.value.is_none_or(|value| value.starts_with(b"\"") || GEN_VALUE.all(value))
}

fn token_params(scan: &mut Scan<'_>) -> Option<()> {
    token(scan)?;
    params(scan)
}

fn digits(scan: &mut Scan<'_>) -> Option<u64> {
    decimal(scan.some(DIGIT)?)
}

fn number_below_2_32(scan: &mut Scan<'_>) -> Option<()> {
    digits(scan).filter(|&number| u32::try_from(number).is_ok()).map(drop)
}

/// `delta-seconds`, below 2^32 (RFC 3261 §20.19).
fn seconds(scan: &mut Scan<'_>) -> Option<()> {
    number_below_2_32(scan)
}

fn via(scan: &mut Scan<'_>) -> Option<()> {
    let via = Via::parse(scan.rest).ok()?;
    let is_host = if via.host.starts_with(b"[") { ipv6(via.host).is_some() } else { is_host_name(via.host) };
    // RFC 5118 §4.5: `received` with and without brackets.
    let is_received_right = via.received.is_none_or(|received| ipv6(received).is_some() || is_host_name(received));
    let is_branch_right = via.branch.is_none_or(|branch| TOKEN.all(branch));
    let are_params_right = via.params().all(|param| is_param_right(&param));
    if !(is_host && is_received_right && is_branch_right && are_params_right) {
        return None;
    }
    // The comma stays for the list.
    let taken = via.rest().map_or(scan.rest.len(), |rest| read(scan.rest, rest).saturating_sub(1));
    scan.rest = scan.rest.get(taken..)?;
    Some(())
}

/// One address; gives it back, the comma after it left for the list.
fn any_address<'a>(scan: &mut Scan<'a>) -> Option<NameAddr<'a>> {
    let address = NameAddr::parse_first(scan.rest, Why::Header).ok()?;
    let is_uri = parse_uri(address.uri).is_ok_and(|uri| is_uri_right(&uri));
    let is_tag = address.tag().is_none_or(|tag| TOKEN.all(tag));
    let are_params_right = address.params().all(|param| is_param_right(&param));
    if !(is_uri && is_tag && are_params_right) {
        return None;
    }
    let taken = address.rest().map_or(scan.rest.len(), |rest| read(scan.rest, rest).saturating_sub(1));
    scan.rest = scan.rest.get(taken..)?;
    Some(address)
}

/// One address. Where only one may stand, the comma that is left is the fault.
fn address(scan: &mut Scan<'_>) -> Option<()> {
    any_address(scan).map(drop)
}

/// `name-addr *( ";" param )`: Route and Record-Route always have brackets (RFC 3261 §20.30, §20.34).
fn bracketed(scan: &mut Scan<'_>) -> Option<()> {
    any_address(scan).filter(|address| address.is_bracketed).map(drop)
}

/// `"*"` or a list. An `expires` that is no number counts as 3600 (RFC 3261 §20.10), so it is no fault; a `q` above 1 is.
fn contact(scan: &mut Scan<'_>) -> Option<()> {
    scan.sws();
    let mut ahead = *scan;
    if ahead.eat(b'*') && ahead.is_done() {
        *scan = ahead;
        return Some(());
    }
    list(scan, |scan| {
        let contact = any_address(scan)?;
        contact.params().filter(|param| param.is(b"q")).all(|param| param.value.is_some_and(is_qvalue)).then_some(())
    })
}

/// `( "0" [ "." 0*3DIGIT ] ) / ( "1" [ "." 0*3("0") ] )`.
fn is_qvalue(value: &[u8]) -> bool {
    let is_fraction =
        |digits: &[u8], largest: u8| digits.len() <= 3 && digits.iter().all(|digit| (b'0'..=largest).contains(digit));
    match value {
        [b'0' | b'1'] => true,
        [b'0', b'.', digits @ ..] => is_fraction(digits, b'9'),
        [b'1', b'.', digits @ ..] => is_fraction(digits, b'0'),
        _ => false,
    }
}

/// `type "/" subtype *( ";" name "=" value )`.
fn media_type(scan: &mut Scan<'_>) -> Option<()> {
    token(scan)?;
    scan.eat_spaced(b'/').then_some(())?;
    token(scan)?;
    while let Some(param) = crate::param::param(scan).ok()? {
        param.value.filter(|value| value.starts_with(b"\"") || TOKEN.all(value))?;
    }
    Some(())
}

/// `SIP-date`: RFC 1123, in GMT only (RFC 3261 §20.17).
fn date(scan: &mut Scan<'_>) -> Option<()> {
    fn two(scan: &mut Scan<'_>, most: u64) -> Option<()> {
        scan.some(DIGIT).filter(|digits| digits.len() == 2).and_then(decimal).filter(|&value| value <= most).map(drop)
    }
    fn one_of(scan: &mut Scan<'_>, names: &[&[u8]]) -> Option<()> {
        let name = scan.some(TOKEN)?;
        names.contains(&name).then_some(())
    }
    one_of(scan, &[b"Mon", b"Tue", b"Wed", b"Thu", b"Fri", b"Sat", b"Sun"])?;
    scan.eat_spaced(b',').then_some(())?;
    two(scan, 31)?;
    scan.sws();
    one_of(scan, &[b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec"])?;
    scan.sws();
    scan.some(DIGIT).filter(|year| year.len() == 4)?;
    scan.sws();
    two(scan, 23)?;
    scan.eat(b':').then_some(())?;
    two(scan, 59)?;
    scan.eat(b':').then_some(())?;
    two(scan, 60)?;
    scan.sws();
    one_of(scan, &[b"GMT"])
}

/// `3DIGIT SP agent SP quoted-string` (RFC 3261 §20.43).
fn warning(scan: &mut Scan<'_>) -> Option<()> {
    scan.some(DIGIT).filter(|code| code.len() == 3)?;
    scan.eat(b' ').then_some(())?;
    // A host with a port, or a pseudonym.
    scan.some(GEN_VALUE)?;
    scan.sws();
    scan.quoted().map(drop)
}

/// `delta-seconds [ comment ] *( ";" param )`.
fn retry_after(scan: &mut Scan<'_>) -> Option<()> {
    seconds(scan)?;
    scan.sws();
    if scan.peek() == Some(b'(') {
        comment(scan)?;
    }
    params(scan)
}

/// Text in brackets, brackets inside balanced (RFC 3261 §25.1).
fn comment(scan: &mut Scan<'_>) -> Option<()> {
    let mut depth = 0_usize;
    loop {
        let (&byte, rest) = scan.rest.split_first()?;
        scan.rest = rest;
        match byte {
            b'(' => depth = depth.saturating_add(1),
            b')' => depth = depth.saturating_sub(1),
            b'\\' => scan.rest = rest.get(1..)?,
            _ => {}
        }
        if depth == 0 {
            return Some(());
        }
    }
}

/// `"<" absoluteURI ">" *( ";" param )`.
fn info_uri(scan: &mut Scan<'_>) -> Option<()> {
    (scan.peek() == Some(b'<')).then_some(())?;
    any_address(scan).map(drop)
}

/// `word [ "@" word ]`.
fn call_id(scan: &mut Scan<'_>) -> Option<()> {
    scan.some(WORD)?;
    if scan.eat(b'@') { scan.some(WORD).map(drop) } else { Some(()) }
}

fn mime_version(scan: &mut Scan<'_>) -> Option<()> {
    digits(scan)?;
    scan.eat(b'.').then_some(())?;
    digits(scan).map(drop)
}

/// `response-num LWS CSeq-num LWS Method` (RFC 3262 §7.2).
fn rack(scan: &mut Scan<'_>) -> Option<()> {
    number_below_2_32(scan)?;
    scan.sws();
    number_below_2_32(scan)?;
    scan.sws();
    token(scan)
}

/// `1*DIGIT [ "." *DIGIT ] [ LWS delay ]` (RFC 3261 §20.38).
fn timestamp(scan: &mut Scan<'_>) -> Option<()> {
    let decimal_number = |scan: &mut Scan<'_>, class: Class| {
        scan.take(class);
        if scan.eat(b'.') {
            scan.take(class);
        }
    };
    scan.peek().filter(u8::is_ascii_digit)?;
    decimal_number(scan, DIGIT);
    scan.sws();
    decimal_number(scan, DIGIT);
    Some(())
}

#[cfg(test)]
#[path = "check_tests.rs"]
mod tests;
