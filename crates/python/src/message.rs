// SPDX-License-Identifier: Apache-2.0
//! Binding of a SIP message: parsed once for where its lines are; what a header field says is read when it is asked for.

use std::ops::Range;
use std::sync::Arc;

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use sip::uri::{Uri, parse_uri};
use sip::{CSeq, HeaderName, NameAddr, Parsed, StartLine, Via, Why};

use crate::text::{text, unfolded};

/// Where a header field is, so that the message can be kept without what it was parsed into.
struct Field {
    name: HeaderName,
    raw_name: Range<usize>,
    value: Range<usize>,
}

/// A request or a response, immutable and shared.
#[pyclass(frozen, module = "ringfence._core")]
pub(crate) struct Message {
    bytes: Arc<[u8]>,
    /// Method of a request; empty for a response.
    method: Range<usize>,
    /// Request-URI, or reason phrase.
    uri_or_reason: Range<usize>,
    /// 0 for a request.
    status: u16,
    fields: Vec<Field>,
    body: Range<usize>,
}

/// One address of From, To or Contact.
#[pyclass(frozen, get_all, module = "ringfence._core")]
pub(crate) struct Address {
    /// Without its quotes, escapes left in place; empty where there is none.
    display: String,
    uri: String,
    /// Empty where there is none.
    tag: String,
    /// User part of the URI, or the number of a tel URI; empty where there is none.
    user: String,
}

/// The top via-parm.
#[pyclass(frozen, get_all, module = "ringfence._core")]
pub(crate) struct TopVia {
    transport: String,
    host: String,
    port: Option<u16>,
    branch: String,
    received: Option<String>,
}

/// Header fields whose values may be written on one line, separated by commas (RFC 3261 §7.3.1 and the fields' grammars).
const fn is_list(name: HeaderName) -> bool {
    use HeaderName as H;
    matches!(
        name,
        H::Accept
            | H::AcceptEncoding
            | H::AcceptLanguage
            | H::AlertInfo
            | H::Allow
            | H::AllowEvents
            | H::CallInfo
            | H::Contact
            | H::ContentEncoding
            | H::ContentLanguage
            | H::Diversion
            | H::ErrorInfo
            | H::HistoryInfo
            | H::InReplyTo
            | H::PAssertedIdentity
            | H::PPreferredIdentity
            | H::Path
            | H::ProxyRequire
            | H::Reason
            | H::RecordRoute
            | H::RemotePartyId
            | H::Require
            | H::Route
            | H::ServiceRoute
            | H::Supported
            | H::Unsupported
            | H::Via
            | H::Warning
    )
}

/// `value` at the commas that stand outside of quoted strings and angle brackets, blanks trimmed, empty parts left out.
fn split_list(value: &[u8]) -> Vec<&[u8]> {
    let (mut parts, mut from) = (Vec::new(), 0);
    let (mut is_quoted, mut is_bracketed, mut is_escaped) = (false, false, false);
    for (at, byte) in value.iter().enumerate() {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' if is_quoted => is_escaped = true,
            b'"' if !is_bracketed => is_quoted = !is_quoted,
            b'<' if !is_quoted => is_bracketed = true,
            b'>' if !is_quoted => is_bracketed = false,
            b',' if !is_quoted && !is_bracketed => {
                parts.push(value.get(from..at).unwrap_or_default());
                from = at.saturating_add(1);
            }
            _ => {}
        }
    }
    parts.push(value.get(from..).unwrap_or_default());
    parts.into_iter().map(<[u8]>::trim_ascii).filter(|part| !part.is_empty()).collect()
}

impl Message {
    /// Keeps where things are. Fails with a sentence for what is no message, or none that may be answered.
    pub(crate) fn new(bytes: Arc<[u8]>) -> Result<Self, String> {
        let parsed = match sip::parse(&bytes) {
            Parsed::Message(message) => message,
            Parsed::Refuse(refuse) => return Err(refuse.why.to_string()),
            Parsed::Drop(why) => return Err(why.to_string()),
        };
        // Every slice of the parser points into `bytes`.
        let base = bytes.as_ptr() as usize;
        let range = |part: &[u8]| {
            let start = (part.as_ptr() as usize).saturating_sub(base);
            start..start.saturating_add(part.len())
        };
        let (method, uri_or_reason, status) = match parsed.start() {
            StartLine::Request { uri, .. } => {
                let line = range(parsed.start_line());
                let length = parsed.method().map_or(0, |method| method.as_bytes().len());
                (line.start..line.start.saturating_add(length), range(uri), 0)
            }
            StartLine::Response { status, reason } => {
                (0..0, if reason.is_empty() { 0..0 } else { range(reason) }, *status)
            }
        };
        let fields = parsed
            .headers()
            .iter()
            .map(|header| Field { name: header.name, raw_name: range(header.raw_name), value: range(header.value) })
            .collect();
        let body = if parsed.body().is_empty() { 0..0 } else { range(parsed.body()) };
        drop(parsed);
        Ok(Self { bytes, method, uri_or_reason, status, fields, body })
    }

    fn at(&self, range: &Range<usize>) -> &[u8] {
        self.bytes.get(range.clone()).unwrap_or_default()
    }

    fn values(&self, name: &str) -> impl Iterator<Item = &[u8]> {
        let known = HeaderName::from_bytes(name.as_bytes());
        let name = name.as_bytes().to_vec();
        self.fields
            .iter()
            .filter(move |field| {
                field.name == known
                    && (known != HeaderName::Other || self.at(&field.raw_name).eq_ignore_ascii_case(&name))
            })
            .map(|field| self.at(&field.value))
    }

    pub(crate) fn first(&self, name: HeaderName) -> Option<&[u8]> {
        self.all(name).next()
    }

    pub(crate) fn all(&self, name: HeaderName) -> impl Iterator<Item = &[u8]> {
        self.fields.iter().filter(move |field| field.name == name).map(|field| self.at(&field.value))
    }

    fn cseq_parts(&self) -> Option<CSeq<'_>> {
        CSeq::parse(self.first(HeaderName::CSeq)?).ok()
    }

    fn address(&self, name: HeaderName, why: Why) -> Option<NameAddr<'_>> {
        NameAddr::parse_first(self.first(name)?, why).ok()
    }
}

impl From<NameAddr<'_>> for Address {
    fn from(parts: NameAddr<'_>) -> Self {
        Self {
            display: parts.display.map(|display| text(&unfolded(display))).unwrap_or_default(),
            uri: text(parts.uri),
            tag: parts.tag().map(text).unwrap_or_default(),
            user: text(guard::user_of(parts.uri)),
        }
    }
}

#[pymethods]
impl Message {
    /// Raises `ValueError` with the first fault.
    #[new]
    fn py_new(message: &Bound<'_, PyBytes>) -> PyResult<Self> {
        Self::new(message.as_bytes().into()).map_err(PyValueError::new_err)
    }

    /// Method of a request; empty for a response.
    #[getter]
    fn method(&self) -> String {
        text(self.at(&self.method))
    }

    /// Status of a response; 0 for a request.
    #[getter]
    const fn status(&self) -> u16 {
        self.status
    }

    /// Reason phrase of a response; empty for a request.
    #[getter]
    fn reason(&self) -> String {
        if self.status == 0 { String::new() } else { text(self.at(&self.uri_or_reason)) }
    }

    /// Request-URI as it came; empty for a response.
    #[getter]
    fn uri(&self) -> String {
        if self.status == 0 { text(self.at(&self.uri_or_reason)) } else { String::new() }
    }

    #[getter]
    fn call_id(&self) -> String {
        self.first(HeaderName::CallId).map(text).unwrap_or_default()
    }

    /// Sequence number of `CSeq`.
    #[getter]
    fn cseq(&self) -> u32 {
        self.cseq_parts().map_or(0, |cseq| cseq.number)
    }

    /// Method of `CSeq`.
    #[getter]
    fn cseq_method(&self) -> String {
        self.cseq_parts().map(|cseq| text(cseq.method.as_bytes())).unwrap_or_default()
    }

    /// Tag of From; empty where there is none.
    #[getter(from_tag)]
    fn tag_of_from(&self) -> String {
        self.address(HeaderName::From, Why::From).and_then(|from| from.tag()).map(text).unwrap_or_default()
    }

    /// Tag of To; empty where there is none.
    #[getter]
    fn to_tag(&self) -> String {
        self.address(HeaderName::To, Why::To).and_then(|to| to.tag()).map(text).unwrap_or_default()
    }

    #[getter(from_)]
    fn address_of_from(&self) -> Option<Address> {
        self.address(HeaderName::From, Why::From).map(Address::from)
    }

    #[getter]
    fn to(&self) -> Option<Address> {
        self.address(HeaderName::To, Why::To).map(Address::from)
    }

    /// URI of the first Contact; None where there is none, or it is `*`.
    #[getter]
    fn contact(&self) -> Option<String> {
        self.address(HeaderName::Contact, Why::Contact).map(|contact| text(contact.uri))
    }

    #[getter]
    fn via(&self) -> Option<TopVia> {
        let via = Via::parse(self.first(HeaderName::Via)?).ok()?;
        Some(TopVia {
            transport: text(via.transport),
            host: text(via.host),
            port: via.port,
            branch: via.branch.map(text).unwrap_or_default(),
            received: via.received.map(text),
        })
    }

    #[getter]
    fn body<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, self.at(&self.body))
    }

    #[getter]
    fn has_body(&self) -> bool {
        !self.body.is_empty()
    }

    /// First value of a header field, long or compact name in any case; None where there is none. Folds are one blank.
    fn header(&self, name: &str) -> Option<String> {
        self.values(name).next().map(|value| text(&unfolded(value)))
    }

    /// All values in wire order, those of lists apart.
    fn headers(&self, name: &str) -> Vec<String> {
        let is_list = is_list(HeaderName::from_bytes(name.as_bytes()));
        let parts = |value| if is_list { split_list(value) } else { vec![value] };
        self.values(name).flat_map(parts).map(|value| text(&unfolded(value))).collect()
    }

    /// Every header field in wire order: its long name, and its value with folds as one blank and otherwise byte for byte.
    fn fields<'py>(&self, py: Python<'py>) -> Vec<(String, Bound<'py, PyBytes>)> {
        let name = |field: &Field| match field.name {
            HeaderName::Other => text(self.at(&field.raw_name)),
            known => known.as_str().to_owned(),
        };
        let value = |field: &Field| PyBytes::new(py, &unfolded(self.at(&field.value)));
        self.fields.iter().map(|field| (name(field), value(field))).collect()
    }

    /// The whole message as it came.
    fn __bytes__<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.bytes)
    }
}

/// The first address of a value of From, To, Contact, Refer-To and their kin. Raises `ValueError` if it is none.
#[pyfunction]
fn read_address(value: &str) -> PyResult<Address> {
    let parts = NameAddr::parse_first(value.as_bytes(), Why::Header);
    parts.map(Address::from).map_err(|error| PyValueError::new_err(error.to_string()))
}

/// Scheme in lower case, user, host, port and whether there is an `lr` parameter of a URI; what is not there is empty or None.
/// A tel URI has its number as user. Raises `ValueError` if it is no URI.
#[pyfunction]
fn read_uri(uri: &str) -> PyResult<(String, String, String, Option<u16>, bool)> {
    let none = String::new;
    match parse_uri(uri.as_bytes()).map_err(|error| PyValueError::new_err(error.to_string()))? {
        Uri::Sip(sip) => Ok((
            text(sip.scheme).to_ascii_lowercase(),
            text(guard::user_of(uri.as_bytes())),
            text(sip.host),
            sip.port,
            sip.param(b"lr").is_some(),
        )),
        Uri::Tel(tel) => Ok(("tel".to_owned(), text(tel.number), none(), None, false)),
        Uri::Other { scheme, .. } => Ok((text(scheme).to_ascii_lowercase(), none(), none(), None, false)),
    }
}

pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<Address>()?;
    module.add_class::<Message>()?;
    module.add_class::<TopVia>()?;
    module.add_function(wrap_pyfunction!(read_address, module)?)?;
    module.add_function(wrap_pyfunction!(read_uri, module)?)
}
