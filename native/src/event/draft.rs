//! An event that is made of another's lines: some left out, some with another value.

use super::{Event, Line, append_body, is_content_length};
use crate::encoding::{self, Escape};

/// Lines on their way into a new event. One draft serves many events, one behind the other, and keeps its memory.
///
/// Nothing is searched for again: where the lines stand is known from the event that they are taken from.
#[derive(Debug, Default)]
pub struct Draft {
    text: Vec<u8>,
    lines: Vec<Line>,
}

impl Draft {
    /// Take over the header in this place of `event` as it stands there.
    ///
    /// # Panics
    /// When there are not so many.
    pub fn keep(&mut self, event: &Event, place: usize) {
        let line = event.indexed.line(place);
        let start = self.text.len() as u32;
        self.text.extend_from_slice(&event.text()[line.start as usize..=line.end as usize]);
        let (colon, end) = (line.colon - line.start + start, line.end - line.start + start);
        self.lines.push(Line { start, colon, end });
    }

    /// Take over the name of the header in this place, with another value, not encoded yet.
    ///
    /// # Panics
    /// When there are not so many.
    pub fn replace(&mut self, event: &Event, place: usize, value: &[u8]) {
        let start = self.text.len() as u32;
        self.text.extend_from_slice(event.raw_header(place).0);
        let colon = self.text.len() as u32;
        self.text.extend_from_slice(b": ");
        encoding::encode_into(value, Escape::Lossless, &mut self.text);
        let end = self.text.len() as u32;
        self.text.push(b'\n');
        self.lines.push(Line { start, colon, end });
    }

    /// The new event, with this body and where and when `event` came; the draft is empty again.
    pub fn finish(&mut self, event: &Event, body: &[u8]) -> Event {
        let name_of = |line: &Line| &self.text[line.start as usize..line.colon as usize];
        let ends_in_content_length = self.lines.last().is_some_and(|line| is_content_length(name_of(line)));
        append_body(&mut self.text, body, ends_in_content_length);
        let mut finished = Event::from_lines(&self.text, &self.lines, self.text.len() - body.len());
        finished.source = event.source.clone();
        finished.received = event.received;
        finished.trust = event.trust;
        self.clear();
        finished
    }

    /// Forget the lines.
    pub fn clear(&mut self) {
        self.text.clear();
        self.lines.clear();
    }
}
