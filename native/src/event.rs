//! One event: the bytes it came as and an index of its lines. A value is decoded when it is read, and never before.
//!
//! The text is what `event plain` carries and what stands in a datagram in front of the trailer:
//!
//! ```text
//! Name: url-encoded-value \n        one line a header
//! Content-Length: N \n              only with a body, and last
//! \n
//! N bytes of body
//! ```

use crate::encoding::{self, Escape};
use crate::limits;
use crate::lines::{self, Fault, Line};
use crate::reject::Reject;
use crate::trust::Trust;
use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::HashMap;
use std::net::SocketAddr;

mod draft;
mod index;

pub use draft::Draft;
use index::Indexed;

/// Where an event came from, for display and for policies on source addresses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Source {
    #[default]
    Unknown,
    Datagram(SocketAddr),
    Other(Box<str>),
}

/// One FreeSWITCH event, immutable.
#[derive(Clone, Debug)]
pub struct Event {
    indexed: Indexed,
    body: u32,
    /// Where it came from.
    pub source: Source,
    /// When it was received, in nanoseconds since 1970 UTC; 0 when it was not.
    pub received: u64,
    /// What vouches for it.
    pub trust: Trust,
}

impl PartialEq for Event {
    fn eq(&self, other: &Self) -> bool {
        self.text() == other.text()
    }
}

impl Eq for Event {}

/// The value of a header that is being built.
#[derive(Clone, Debug)]
pub enum Value {
    Text(Vec<u8>),
    Array(Vec<Vec<u8>>),
    /// As it stands on the wire.
    Encoded(Vec<u8>),
}

/// Why an event cannot be built; the text names the header and the mend.
#[derive(Debug, PartialEq, Eq)]
pub struct BuildError(pub String);

impl Event {
    /// A copy of `text`, which ends where the body does, with an index of its lines.
    pub fn parse(text: &[u8]) -> Result<Event, Reject> {
        thread_local! {
            static LINES: RefCell<Vec<Line>> = const { RefCell::new(Vec::new()) };
        }
        if text.len() > limits::EVENT_BYTES {
            return Err(Reject::TooLong);
        }
        LINES.with_borrow_mut(|lines| {
            let body = find_lines(text, lines)?;
            Ok(Event::from_lines(text, lines, body))
        })
    }

    /// An event of lines that have been found and checked already; it came from nowhere yet.
    fn from_lines(text: &[u8], lines: &[Line], body: usize) -> Event {
        Event {
            indexed: Indexed::new(text, lines),
            body: body as u32,
            source: Source::Unknown,
            received: 0,
            trust: Trust::Local,
        }
    }

    /// Build an event from headers in order and a body.
    pub fn build<'a>(
        headers: impl IntoIterator<Item = (&'a [u8], Value)>,
        body: &[u8],
        escape: Escape,
    ) -> Result<Event, BuildError> {
        let mut text = Vec::with_capacity(1024 + body.len());
        let mut ends_in_content_length = false;
        for (name, value) in headers {
            ends_in_content_length = is_content_length(name);
            append_header(&mut text, name, &value, escape)?;
        }
        append_body(&mut text, body, ends_in_content_length);
        Event::parse(&text).map_err(|reason| BuildError(format!("this event cannot be sent: {}", reason.message())))
    }

    /// A copy with more headers behind those that are there.
    pub fn with_headers<'a>(
        &self,
        headers: impl IntoIterator<Item = (&'a [u8], Value)>,
        escape: Escape,
    ) -> Result<Event, BuildError> {
        let mut text = self.header_lines().to_vec();
        let mut ends_in_content_length = self.last_line().is_some_and(|line| is_content_length(self.name_of(line)));
        for (name, value) in headers {
            ends_in_content_length = is_content_length(name);
            append_header(&mut text, name, &value, escape)?;
        }
        append_body(&mut text, self.body(), ends_in_content_length);
        let mut event = Event::parse(&text)
            .map_err(|reason| BuildError(format!("this event cannot be sent: {}", reason.message())))?;
        event.source = self.source.clone();
        event.received = self.received;
        event.trust = self.trust;
        Ok(event)
    }

    /// Have the processor fetch what a look-up begins with, for an event that another core has made.
    pub fn prefetch(&self) {
        self.indexed.prefetch();
    }

    /// The wire text: headers, an empty line, the body.
    pub fn text(&self) -> &[u8] {
        self.indexed.text()
    }

    /// The header lines alone, each with its line break, without the line that frames the body.
    pub fn header_lines(&self) -> &[u8] {
        let end = self.last_line().map_or(0, |line| line.end as usize + 1);
        &self.text()[..end]
    }

    /// What follows the header lines: the line that frames the body, the empty line, and the body.
    pub fn framed_body(&self) -> &[u8] {
        &self.text()[self.header_lines().len()..]
    }

    /// The body, exactly as it came; empty when there is none.
    pub fn body(&self) -> &[u8] {
        &self.text()[self.body as usize..]
    }

    /// Number of header lines.
    pub fn len(&self) -> usize {
        self.indexed.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Every header in order as it stands on the wire.
    pub fn raw_headers(&self) -> impl ExactSizeIterator<Item = (&[u8], &[u8])> + '_ {
        self.indexed.lines().map(|line| (self.name_of(line), value_of(self.text(), line)))
    }

    /// The name of every header in order.
    pub fn names(&self) -> impl ExactSizeIterator<Item = &[u8]> + '_ {
        self.indexed.lines().map(|line| self.name_of(line))
    }

    /// The header in this place, counted from 0, as it stands on the wire.
    ///
    /// # Panics
    /// When there are not so many.
    pub fn raw_header(&self, place: usize) -> (&[u8], &[u8]) {
        let line = self.indexed.line(place);
        (self.name_of(line), value_of(self.text(), line))
    }

    /// Whether the headers of both have the very same names in the same order.
    pub fn same_names(&self, other: &Event) -> bool {
        self.name_tags() == other.name_tags() && self.names().eq(other.names())
    }

    /// A byte for each header, in order: the same for the same name, and for most other names another.
    pub fn name_tags(&self) -> &[u8] {
        self.indexed.tags()
    }

    /// The places of the headers whose very name, its case included, stands more than once: for each name, all of them.
    pub fn repeats(&self) -> Vec<Vec<usize>> {
        let mut places: HashMap<&[u8], Vec<usize>> = HashMap::with_capacity(self.len());
        for (place, (name, _)) in self.raw_headers().enumerate() {
            places.entry(name).or_default().push(place);
        }
        places.into_values().filter(|places| places.len() > 1).collect()
    }

    /// The first header of this name, whatever its case, as it stands on the wire.
    pub fn raw(&self, name: &[u8]) -> Option<&[u8]> {
        let line = self.indexed.named(name).next()?;
        Some(value_of(self.text(), line))
    }

    /// Every header of this name, whatever its case, in order, as they stand on the wire.
    pub fn raw_all<'a>(&'a self, name: &'a [u8]) -> impl Iterator<Item = &'a [u8]> + 'a {
        self.indexed.named(name).map(|line| value_of(self.text(), line))
    }

    /// The first header of this name, decoded.
    pub fn value(&self, name: &[u8]) -> Option<Cow<'_, [u8]>> {
        self.raw(name).map(encoding::decode)
    }

    /// The first header of this name as a number.
    pub fn number(&self, name: &[u8]) -> Option<u64> {
        parse_number(self.raw(name)?)
    }

    fn last_line(&self) -> Option<Line> {
        self.len().checked_sub(1).map(|last| self.indexed.line(last))
    }

    fn name_of(&self, line: Line) -> &[u8] {
        &self.text()[line.start as usize..line.colon as usize]
    }
}

/// Find and check the lines of the headers, without the one that frames the body; where the body begins.
fn find_lines(text: &[u8], lines: &mut Vec<Line>) -> Result<usize, Reject> {
    let found = lines::header_lines(text, limits::HEADERS, lines);
    let mut framing = None;
    for (place, &line) in lines.iter().enumerate() {
        check_line(text, line)?;
        if is_content_length(&text[line.start as usize..line.colon as usize]) {
            framing = Some(place);
        }
    }
    let headers_end = found.map_err(|fault| match fault {
        Fault::Endless => Reject::NoEndOfHeaders,
        Fault::NoColon => Reject::MalformedHeader,
        Fault::TooMany => Reject::TooManyHeaders,
    })?;
    let body = headers_end + 1;
    if let Some(at) = framing {
        let is_last = at + 1 == lines.len();
        if is_last || body < text.len() {
            let value = value_of(text, lines[at]);
            let length = parse_number(value).ok_or(Reject::BadContentLength)?;
            if length != (text.len() - body) as u64 {
                return Err(Reject::LengthMismatch);
            }
        }
        if is_last {
            lines.pop();
        }
    } else if body != text.len() {
        return Err(Reject::LengthMismatch);
    }
    Ok(body)
}

/// The first header of this name in a text that has not been indexed, as it stands on the wire.
///
/// `Event-Name` is nearly always the first line and `Event-Subclass` the second, so this costs a few nanoseconds where
/// an index costs hundreds. It stops at the first empty line, and says nothing of whether the text is an event.
pub fn peek<'a>(text: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let mut rest = text;
    loop {
        let is_named = rest.get(name.len()) == Some(&b':') && rest[..name.len()].eq_ignore_ascii_case(name);
        // Seldom is there a colon in a value; if not, this one look has found the end of the line as well.
        if is_named
            && let Some(end) = memchr::memchr2(b'\n', b':', &rest[name.len() + 1..])
            && rest[name.len() + 1 + end] == b'\n'
        {
            return Some(without_space(&rest[name.len() + 1..][..end]));
        }
        let end = memchr::memchr(b'\n', rest)?;
        let line = &rest[..end];
        if line.is_empty() {
            return None;
        }
        if is_named && find_colon(line) == Some(name.len()) {
            return Some(without_space(&line[name.len() + 1..]));
        }
        rest = &rest[end + 1..];
    }
}

/// Where the name of a header line ends: at its last `: `, for names may hold colons and values may not; at its last
/// colon where a foreign sender leaves out the space.
pub(crate) fn find_colon(line: &[u8]) -> Option<usize> {
    let mut last = None;
    for colon in memchr::memrchr_iter(b':', line) {
        if line.get(colon + 1) == Some(&b' ') {
            return Some(colon);
        }
        last = last.or(Some(colon));
    }
    last
}

fn value_of(text: &[u8], line: Line) -> &[u8] {
    without_space(&text[line.colon as usize + 1..line.end as usize])
}

/// What stands behind the colon of a line, without the space that nearly always follows it.
fn without_space(value: &[u8]) -> &[u8] {
    value.strip_prefix(b" ").unwrap_or(value)
}

#[inline]
fn check_line(text: &[u8], line: Line) -> Result<(), Reject> {
    let (name, value) = (line.colon - line.start, line.end - line.colon);
    let usual = 1..=limits::HEADER_NAME_BYTES as u32;
    if usual.contains(&name) && value as usize <= limits::ARRAY_ELEMENTS {
        return Ok(());
    }
    check_unusual_line(text, line)
}

#[cold]
fn check_unusual_line(text: &[u8], line: Line) -> Result<(), Reject> {
    let name_length = (line.colon - line.start) as usize;
    if name_length == 0 {
        return Err(Reject::MalformedHeader);
    }
    if name_length > limits::HEADER_NAME_BYTES {
        return Err(Reject::HeaderNameTooLong);
    }
    let value = value_of(text, line);
    if value.len() > limits::HEADER_VALUE_BYTES {
        return Err(Reject::HeaderValueTooLong);
    }
    if encoding::count_array_elements(value) > limits::ARRAY_ELEMENTS {
        return Err(Reject::ArrayTooLong);
    }
    Ok(())
}

#[inline]
fn is_content_length(name: &[u8]) -> bool {
    name.len() == 14 && name.eq_ignore_ascii_case(b"Content-Length")
}

fn parse_number(value: &[u8]) -> Option<u64> {
    if value.is_empty() || value.len() > 19 || !value.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(value).ok()?.parse().ok()
}

fn append_header(text: &mut Vec<u8>, name: &[u8], value: &Value, escape: Escape) -> Result<(), BuildError> {
    let shown = || String::from_utf8_lossy(&name[..name.len().min(60)]).into_owned();
    if name.is_empty() {
        return Err(BuildError("a header's name is empty".into()));
    }
    if memchr::memchr3(b'\n', b'\r', 0, name).is_some() {
        return Err(BuildError(format!("the header name {:?} holds a line break or a NUL", shown())));
    }
    if name.len() > limits::HEADER_NAME_BYTES {
        return Err(BuildError(format!(
            "the header name {:?}... has {} bytes; {} are allowed",
            shown(),
            name.len(),
            limits::HEADER_NAME_BYTES
        )));
    }
    text.extend_from_slice(name);
    text.extend_from_slice(b": ");
    match value {
        Value::Text(value) => encoding::encode_into(value, escape, text),
        Value::Array(elements) => {
            if elements.is_empty() {
                return Err(BuildError(format!("the array {:?} has no elements", shown())));
            }
            if elements.iter().any(|e| memchr::memmem::find(e, encoding::ARRAY_SEPARATOR).is_some()) {
                return Err(BuildError(format!(
                    "an element of the array {:?} holds \"|:\", which separates elements",
                    shown()
                )));
            }
            let mut joined = encoding::ARRAY_PREFIX.to_vec();
            joined.extend_from_slice(&elements.join(encoding::ARRAY_SEPARATOR));
            encoding::encode_into(&joined, escape, text);
        }
        Value::Encoded(value) => {
            let splits_wrong = memchr::memmem::find(value, b": ").is_some();
            if splits_wrong || memchr::memchr(b'\n', value).is_some() {
                return Err(BuildError(format!(
                    "the encoded value of {:?} holds a line break or a colon and a space",
                    shown()
                )));
            }
            text.extend_from_slice(value);
        }
    }
    text.push(b'\n');
    Ok(())
}

/// The line that frames the body, the empty line and the body. A header that happens to be called Content-Length and
/// stands last would be taken for the frame of a body, so it gets a frame of its own behind it.
fn append_body(text: &mut Vec<u8>, body: &[u8], ends_in_content_length: bool) {
    if !body.is_empty() || ends_in_content_length {
        text.extend_from_slice(format!("Content-Length: {}\n", body.len()).as_bytes());
    }
    text.push(b'\n');
    text.extend_from_slice(body);
}

#[cfg(test)]
#[path = "event_tests.rs"]
mod tests;
