// SPDX-License-Identifier: Apache-2.0
//! What attackers (and ordinary PBXs) write, as templates.
//!
//! The grammars were taken as facts from what the tools put on the wire; the texts are ours. A name in braces is a field of
//! [`crate::message`]; `{{` does not occur. Lines end in LF here and in CRLF on the wire. `{length}` is the length of what
//! follows the empty line.

use crate::message::Method;

/// One way to write one method.
pub(crate) struct Source {
    /// `tool/what`, unique.
    pub(crate) name: &'static str,
    pub(crate) method: Method,
    pub(crate) text: &'static str,
}

const PBX_SDP: &str = "\
v=0
o=- {session} {session} IN {sdp_src}
s=call
c=IN {sdp_src}
b=AS:84
t=0 0
m=audio {media} RTP/AVP 8 0 18 101
a=rtpmap:8 PCMA/8000
a=rtpmap:0 PCMU/8000
a=rtpmap:18 G729/8000
a=fmtp:18 annexb=no
a=rtpmap:101 telephone-event/8000
a=fmtp:101 0-16
a=ptime:20
a=maxptime:150
a=sendrecv
";

macro_rules! pbx_invite {
    ($name:literal, $agent:literal, $extra:literal) => {
        Source {
            name: $name,
            method: Method::Invite,
            text: concat!(
                "INVITE sip:{callee}@{dst} SIP/2.0\n",
                "Via: SIP/2.0/UDP {src}:{sport};branch=z9hG4bK{token_hex};rport\n",
                "Max-Forwards: 70\n",
                "From: \"{caller}\" <sip:{caller}@{dst}>;tag={hex8}\n",
                "To: <sip:{callee}@{dst}>\n",
                "Call-ID: {hex32}@{src}:{sport}\n",
                "CSeq: {cseq} INVITE\n",
                "Contact: <sip:{caller}@{src}:{sport}>\n",
                "User-Agent: ",
                $agent,
                "\n",
                "Allow: INVITE, ACK, CANCEL, OPTIONS, BYE, REFER, SUBSCRIBE, NOTIFY, INFO\n",
                $extra,
                "Accept: application/sdp\n",
                "Content-Type: application/sdp\n",
                "Content-Length: {length}\n",
                "\n",
                "{pbx_sdp}",
            ),
        }
    };
}

/// Every template, in an order that recorded seeds rely on: append only.
pub(crate) const SOURCES: &[Source] = &[
    // SIPVicious: identical From and To, decimal branch and Call-ID, Contact without brackets, Accept on everything,
    // bookkeeping in the From tag.
    Source {
        name: "svmap/options",
        method: Method::Options,
        text: "\
OPTIONS sip:100@{dst} SIP/2.0
Via: SIP/2.0/UDP {src}:{sport};branch=z9hG4bK-{token_dec};rport
Max-Forwards: 70
To: \"sipvicious\"<sip:100@1.1.1.1>
From: \"sipvicious\"<sip:100@1.1.1.1>;tag={svmap_tag}
User-Agent: friendly-scanner
Call-ID: {dec24}
Contact: sip:100@{src}:{sport}
CSeq: 1 OPTIONS
Accept: application/sdp
Content-Length: 0

",
    },
    Source {
        name: "svmap/register",
        method: Method::Register,
        text: "\
REGISTER sip:100@{dst} SIP/2.0
Via: SIP/2.0/UDP {src}:{sport};branch=z9hG4bK-{token_dec};rport
Max-Forwards: 70
To: \"sipvicious\"<sip:100@1.1.1.1>
From: \"sipvicious\"<sip:100@1.1.1.1>;tag={svmap_tag}
User-Agent: friendly-scanner
Call-ID: {dec24}
CSeq: 1 REGISTER
Accept: application/sdp
Content-Length: 0

",
    },
    Source {
        name: "svwar/register",
        method: Method::Register,
        text: "\
REGISTER sip:{dst} SIP/2.0
Via: SIP/2.0/UDP {src}:{sport};branch=z9hG4bK-{token_dec};rport
Max-Forwards: 70
To: \"{ext}\"<sip:{ext}@{dst}>
From: \"{ext}\"<sip:{ext}@{dst}>;tag={svwar_tag}
User-Agent: friendly-scanner
Call-ID: {dec10}
Contact: sip:{ext}@{dst}
CSeq: 1 REGISTER
Accept: application/sdp
Content-Length: 0

",
    },
    Source {
        name: "svwar/invite",
        method: Method::Invite,
        text: "\
INVITE sip:{ext}@{dst} SIP/2.0
Via: SIP/2.0/UDP {src}:{sport};branch=z9hG4bK-{token_dec};rport
Max-Forwards: 70
To: \"{ext}\"<sip:{ext}@{dst}>
From: \"{ext}\"<sip:{ext}@{dst}>;tag={svwar_tag}
User-Agent: friendly-scanner
Call-ID: {dec10}
Contact: sip:{ext}@{dst}
CSeq: 1 INVITE
Content-Type: application/sdp
Accept: application/sdp
Content-Length: {length}

v=0
o=svwar {dec10} {dec10} IN {sdp_src}
s=svwar
c=IN {sdp_src}
t=0 0
m=audio {media} RTP/AVP 0 8 101
a=rtpmap:0 PCMU/8000
a=rtpmap:8 PCMA/8000
a=rtpmap:101 telephone-event/8000
a=fmtp:101 0-15
a=sendrecv
",
    },
    Source {
        name: "svcrack/register",
        method: Method::Register,
        text: "\
REGISTER sip:{dst} SIP/2.0
Via: SIP/2.0/UDP {src}:{sport};branch=z9hG4bK-{token_dec};rport
Max-Forwards: 70
To: \"{ext}\"<sip:{ext}@{dst}>
From: \"{ext}\"<sip:{ext}@{dst}>;tag={svcrack_tag}
User-Agent: friendly-scanner
Call-ID: {dec10}
Contact: sip:{ext}@{dst}
CSeq: {cseq} REGISTER
Accept: application/sdp
{authorization}Content-Length: 0

",
    },
    // sippts: a branch without the RFC 3261 cookie, fixed SDP, three-digit users.
    Source {
        name: "sippts/options",
        method: Method::Options,
        text: "\
OPTIONS sip:100@{dst} SIP/2.0
Via: SIP/2.0/UDP {src}:{sport};branch={token_71};rport
From: <sip:100@{dst}>;tag={hex8}
To: <sip:100@{dst}>
Contact: <sip:100@{src}:{sport};transport=udp>;expires=120
Call-ID: {hex32}
CSeq: 1 OPTIONS
Max-Forwards: 70
Allow: INVITE, REGISTER, ACK, CANCEL, BYE, NOTIFY, REFER, OPTIONS, INFO, SUBSCRIBE, UPDATE, PRACK, MESSAGE
User-Agent: pplsip
Content-Length: 0

",
    },
    Source {
        name: "sippts/register",
        method: Method::Register,
        text: "\
REGISTER sip:{dst} SIP/2.0
Via: SIP/2.0/UDP {src}:{sport};branch={token_71};rport
From: <sip:{ext}@{dst}>;tag={hex8}
To: <sip:{ext}@{dst}>
Contact: <sip:{ext}@{src}:{sport};transport=udp>;expires=120
Call-ID: {hex32}
CSeq: 1 REGISTER
Max-Forwards: 70
Allow: INVITE, REGISTER, ACK, CANCEL, BYE, NOTIFY, REFER, OPTIONS, INFO, SUBSCRIBE, UPDATE, PRACK, MESSAGE
Expires: 120
User-Agent: pplsip
Content-Length: 0

",
    },
    Source {
        name: "sippts/invite",
        method: Method::Invite,
        text: "\
INVITE sip:{callee}@{dst} SIP/2.0
Via: SIP/2.0/UDP {src}:{sport};branch={token_71};rport
From: <sip:100@{dst}>;tag={hex8}
To: <sip:{callee}@{dst}>
Contact: <sip:100@{src}:{sport};transport=udp>;expires=120
Call-ID: {hex32}
CSeq: 1 INVITE
Max-Forwards: 70
Allow: INVITE, REGISTER, ACK, CANCEL, BYE, NOTIFY, REFER, OPTIONS, INFO, SUBSCRIBE, UPDATE, PRACK, MESSAGE
User-Agent: pplsip
Content-Type: application/sdp
Content-Length: {length}

v=0
o=100 8000 8000 IN {sdp_src}
s=SIPPTS
c=IN {sdp_src}
t=0 0
m=audio 12194 RTP/AVP 0 9 8 18 3 110 101
a=rtpmap:0 PCMU/8000
a=rtpmap:9 G722/8000
a=rtpmap:8 PCMA/8000
a=rtpmap:18 G729/8000
a=rtpmap:3 GSM/8000
a=rtpmap:110 speex/8000
a=rtpmap:101 telephone-event/8000
a=fmtp:101 0-16
a=sendrecv
",
    },
    // SIPp's built-in caller.
    Source {
        name: "sipp/invite",
        method: Method::Invite,
        text: "\
INVITE sip:{callee}@{dst}:{dport} SIP/2.0
Via: SIP/2.0/UDP {src}:{sport};branch=z9hG4bK-{pid}-{seq}-0
From: sipp <sip:sipp@{src}:{sport}>;tag={pid}SIPpTag00{seq}
To: {callee} <sip:{callee}@{dst}:{dport}>
Call-ID: {seq}-{pid}@{src}
CSeq: 1 INVITE
Contact: sip:sipp@{src}:{sport}
Max-Forwards: 70
Subject: Performance Test
Content-Type: application/sdp
Content-Length: {length}

v=0
o=user1 53655765 2353687637 IN {sdp_src}
s=-
c=IN {sdp_src}
t=0 0
m=audio 6000 RTP/AVP 0
a=rtpmap:0 PCMU/8000
",
    },
    // nmap's and masscan's service probe: the same bytes to everyone, so its answers cannot be told apart.
    Source {
        name: "nmap/options",
        method: Method::Options,
        text: "\
OPTIONS sip:nm SIP/2.0
Via: SIP/2.0/TCP nm;branch=foo
From: <sip:nm@nm>;tag=root
To: <sip:nm2@nm2>
Call-ID: 50000
CSeq: 42 OPTIONS
Max-Forwards: 70
Content-Length: 0
Contact: <sip:nm@nm>
Accept: application/sdp

",
    },
    // The hosts of the RFC's own examples, sprayed by programs whose authors began by copying.
    Source {
        name: "textbook/invite",
        method: Method::Invite,
        text: "\
INVITE sip:{callee}@biloxi.com SIP/2.0
Via: SIP/2.0/UDP pc33.atlanta.com:{sport};branch=z9hG4bK{token_hex}
Max-Forwards: 70
To: Bob <sip:{callee}@biloxi.com>
From: Alice <sip:alice@atlanta.com>;tag={dec10}
Call-ID: {hex16}@pc33.atlanta.com
CSeq: 314159 INVITE
Contact: <sip:alice@pc33.atlanta.com>
Content-Type: application/sdp
Content-Length: {length}

v=0
o=alice 2890844526 2890844526 IN IP4 pc33.atlanta.com
s=Session SDP
c=IN IP4 pc33.atlanta.com
t=0 0
m=audio 49172 RTP/AVP 0
a=rtpmap:0 PCMU/8000
",
    },
    // Ordinary call servers, or scanners that dress as such.
    pbx_invite!("pbx/asterisk", "Asterisk PBX 18.10.0", "Supported: replaces, timer\n"),
    pbx_invite!(
        "pbx/gateway",
        "Cisco-SIPGateway/IOS-15.4",
        "Supported: 100rel,timer,resource-priority,replaces,sdp-anat\nExpires: 180\n"
    ),
    pbx_invite!(
        "pbx/softphone",
        "Z 5.6.1 v2.10.19",
        "Supported: replaces, norefersub, extended-refer, timer, outbound, path\n"
    ),
    pbx_invite!(
        "pbx/trunk",
        "SoftX3000",
        "Supported: 100rel, timer\nSession-Expires: 1800;refresher=uac\nMin-SE: 90\nP-Asserted-Identity: <sip:{caller}@{dst}>\n"
    ),
    pbx_invite!("pbx/dialer", "VaxSIPUserAgent/3.5", ""),
    pbx_invite!("pbx/sipcli", "sipcli/v1.8", "Supported: timer\n"),
    Source {
        name: "pbx/register",
        method: Method::Register,
        text: "\
REGISTER sip:{dst} SIP/2.0
Via: SIP/2.0/UDP {src}:{sport};branch=z9hG4bK{token_hex};rport
Max-Forwards: 70
From: <sip:{ext}@{dst}>;tag={hex8}
To: <sip:{ext}@{dst}>
Call-ID: {hex32}@{src}
CSeq: {cseq} REGISTER
Contact: <sip:{ext}@{src}:{sport}>
Expires: 3600
User-Agent: Yealink SIP-T46S 66.85.0.5
{authorization}Content-Length: 0

",
    },
    Source {
        name: "pbx/options",
        method: Method::Options,
        text: "\
OPTIONS sip:{dst}:{dport} SIP/2.0
Via: SIP/2.0/UDP {src}:{sport};branch=z9hG4bK{token_hex};rport
Max-Forwards: 70
From: <sip:ping@{src}>;tag={hex8}
To: <sip:{dst}:{dport}>
Call-ID: {hex32}@{src}
CSeq: {cseq} OPTIONS
Contact: <sip:ping@{src}:{sport}>
User-Agent: Asterisk PBX 18.10.0
Accept: application/sdp
Content-Length: 0

",
    },
    // Messages that are wrong in one way each.
    Source {
        name: "odd/no-cookie",
        method: Method::Invite,
        text: "\
INVITE sip:{callee}@{dst} SIP/2.0
Via: SIP/2.0/UDP {src}:{sport};branch={token_71}
Max-Forwards: 70
From: <sip:1001@{dst}>;tag={hex8}
To: <sip:{callee}@{dst}>
Call-ID: {hex32}
CSeq: 1 INVITE
Contact: <sip:1001@{dst}>
Content-Length: {length}

v=0
o=anonymous 1312841870 1312841870 IN {sdp_src}
s=-
c=IN {sdp_src}
t=0 0
m=audio {media} RTP/AVP 0
",
    },
    Source {
        name: "odd/zero-via",
        method: Method::Invite,
        text: "\
INVITE sip:{callee}@{dst} SIP/2.0
Via: SIP/2.0/UDP 0.0.0.0:{sport};branch=z9hG4bK{token_hex};rport
Max-Forwards: 70
From: <sip:{caller}@{dst}>;tag={hex8}
To: <sip:{callee}@{dst}>
Call-ID: {hex32}@0.0.0.0
CSeq: 1 INVITE
Contact: <sip:{caller}@0.0.0.0:{sport}>
User-Agent: sipcli/v1.8
Content-Length: 0

",
    },
    Source {
        name: "odd/long-call-id",
        method: Method::Invite,
        text: "\
INVITE sip:{callee}@{dst} SIP/2.0
Via: SIP/2.0/UDP {src}:{sport};branch=z9hG4bK{token_hex};rport
Max-Forwards: 70
From: <sip:{caller}@{dst}>;tag={hex8}
To: <sip:{callee}@{dst}>
Call-ID: {hex32}{hex32}{hex32}{hex32}{hex32}{hex32}{hex32}{hex32}{hex32}{hex32}@{src}
CSeq: 1 INVITE
Contact: <sip:{caller}@{src}:{sport}>
User-Agent: x
Content-Length: 0

",
    },
    Source {
        name: "odd/no-call-id",
        method: Method::Invite,
        text: "\
INVITE sip:{callee}@{dst} SIP/2.0
Via: SIP/2.0/UDP {src}:{sport};branch=z9hG4bK{token_hex};rport
Max-Forwards: 70
From: <sip:{caller}@{dst}>;tag={hex8}
To: <sip:{callee}@{dst}>
CSeq: 1 INVITE
Contact: <sip:{caller}@{src}:{sport}>
User-Agent: Test Agent
Content-Length: 0

",
    },
    // A research scanner that says who it is.
    Source {
        name: "research/options",
        method: Method::Options,
        text: "\
OPTIONS sip:{dst} SIP/2.0
Via: SIP/2.0/UDP {src}:{sport};branch=z9hG4bK{token_hex};rport
Max-Forwards: 70
From: <sip:survey@{src}>;tag={hex8}
To: <sip:{dst}>
Call-ID: {hex32}@{src}
CSeq: 1 OPTIONS
Contact: <sip:survey@{src}:{sport}>
User-Agent: internet-survey/1.0 (research; opt out: https://survey.example/)
Content-Length: 0

",
    },
];

/// The text that `{pbx_sdp}` stands for.
pub(crate) fn included(name: &str) -> Option<&'static str> {
    (name == "pbx_sdp").then_some(PBX_SDP)
}
