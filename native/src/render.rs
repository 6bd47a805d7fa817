//! An event as the event socket's `event json` and `event xml` write it.

use crate::encoding::{self, Escape};
use crate::event::{Event, Value};
use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt::Write;

/// One header as a reader sees it.
#[derive(Debug, PartialEq, Eq)]
pub enum Seen<'a> {
    Text(Cow<'a, [u8]>),
    /// The elements of an array, or the values of a header that stands more than once.
    List(Vec<Vec<u8>>),
}

/// Decoded headers in the order of their first appearance. Names that differ in case only are different names here, as
/// they are in the switch's own JSON.
pub fn seen(event: &Event) -> Vec<(&[u8], Seen<'_>)> {
    let mut places: HashMap<&[u8], usize> = HashMap::with_capacity(event.len());
    let mut rows: Vec<(&[u8], Seen<'_>)> = Vec::with_capacity(event.len());
    for (name, raw) in event.raw_headers() {
        let value = encoding::decode(raw);
        match places.get(name) {
            None => {
                places.insert(name, rows.len());
                rows.push((name, one(value)));
            }
            Some(&place) => {
                let row = &mut rows[place].1;
                let mut values = match std::mem::replace(row, Seen::List(Vec::new())) {
                    Seen::Text(first) => vec![first.into_owned()],
                    Seen::List(values) => values,
                };
                match one(value) {
                    Seen::Text(text) => values.push(text.into_owned()),
                    Seen::List(more) => values.extend(more),
                }
                *row = Seen::List(values);
            }
        }
    }
    rows
}

fn one(value: Cow<'_, [u8]>) -> Seen<'_> {
    match encoding::array_elements(&value) {
        Some(elements) => Seen::List(elements.into_iter().map(<[u8]>::to_vec).collect()),
        None => Seen::Text(value),
    }
}

/// Whether the event that [`to_json`] tells of, built anew, has the very bytes of this one: not where a repeated header's
/// values do not stand together, or a value is encoded as the switch would not.
pub fn json_rebuilds(event: &Event) -> bool {
    let rows = seen(event);
    // A reader takes names that begin with `_` for notes of the writer's own.
    if rows.iter().any(|(name, _)| name.starts_with(b"_")) {
        return false;
    }
    let headers = rows.into_iter().map(|(name, value)| {
        let value = match value {
            Seen::Text(text) => Value::Text(text.into_owned()),
            Seen::List(values) => Value::Array(values),
        };
        (name, value)
    });
    Event::build(headers, event.body(), Escape::Lossless).is_ok_and(|built| built == *event)
}

/// One line of JSON. Bytes that are not UTF-8 are lone surrogate escapes, `\udc80` to `\udcff`.
pub fn to_json(event: &Event) -> String {
    let mut out = String::with_capacity(event.text().len() * 2);
    out.push('{');
    for (name, value) in seen(event) {
        json_string(&mut out, name);
        out.push(':');
        match value {
            Seen::Text(text) => json_string(&mut out, &text),
            Seen::List(items) => {
                out.push('[');
                for item in &items {
                    json_string(&mut out, item);
                    out.push(',');
                }
                out.pop();
                out.push(']');
            }
        }
        out.push(',');
    }
    let body = event.body();
    if body.is_empty() {
        if out.len() > 1 {
            out.pop();
        }
    } else {
        let _ = write!(out, "\"Content-Length\":\"{}\",\"_body\":", body.len());
        json_string(&mut out, body);
    }
    out.push('}');
    out
}

fn json_string(out: &mut String, bytes: &[u8]) {
    out.push('"');
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            match character {
                '"' => out.push_str("\\\""),
                '\\' => out.push_str("\\\\"),
                '\n' => out.push_str("\\n"),
                '\r' => out.push_str("\\r"),
                '\t' => out.push_str("\\t"),
                '\u{8}' => out.push_str("\\b"),
                '\u{c}' => out.push_str("\\f"),
                '\0'..='\u{1f}' => {
                    let _ = write!(out, "\\u{:04x}", character as u32);
                }
                _ => out.push(character),
            }
        }
        for byte in chunk.invalid() {
            let _ = write!(out, "\\udc{byte:02x}");
        }
    }
    out.push('"');
}

/// The `<event>` element, indented by two spaces and without a declaration. Header values are percent-encoded, as they
/// are in plain text; an array is one element for each of its items. What XML 1.0 has no way to write in a body (control
/// characters, bytes that are not UTF-8) becomes U+FFFD.
pub fn to_xml(event: &Event) -> String {
    let mut out = String::with_capacity(event.text().len() * 2);
    out.push_str("<event>\n  <headers>");
    for (name, raw) in event.raw_headers() {
        let name = String::from_utf8_lossy(name);
        let decoded = encoding::decode(raw);
        match encoding::array_elements(&decoded) {
            None if decoded.is_empty() => xml_header(&mut out, &name, b""),
            None => xml_header(&mut out, &name, raw),
            Some(elements) => {
                for element in elements {
                    let mut encoded = Vec::with_capacity(element.len());
                    if !element.is_empty() {
                        encoding::encode_into(element, Escape::Exact, &mut encoded);
                    }
                    xml_header(&mut out, &name, &encoded);
                }
            }
        }
    }
    out.push_str(if event.is_empty() { "</headers>\n" } else { "\n  </headers>\n" });
    let body = event.body();
    if !body.is_empty() {
        let _ = write!(out, "  <Content-Length>{}</Content-Length>\n  <body>", body.len());
        xml_text(&mut out, body);
        out.push_str(if body.ends_with(b"\n") { "  </body>\n" } else { "</body>\n" });
    }
    out.push_str("</event>\n");
    out
}

fn xml_header(out: &mut String, name: &str, raw: &[u8]) {
    let _ = write!(out, "\n    <{name}>");
    xml_text(out, raw);
    let _ = write!(out, "</{name}>");
}

fn xml_text(out: &mut String, bytes: &[u8]) {
    for character in String::from_utf8_lossy(bytes).chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '\r' => out.push_str("&#xD;"),
            '\n' | '\t' => out.push(character),
            '\0'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => out.push_str("&#xFFFD;"),
            '\u{80}'.. => {
                let _ = write!(out, "&#x{:X};", character as u32);
            }
            _ => out.push(character),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(text: &[u8]) -> Event {
        Event::parse(text).unwrap()
    }

    #[test]
    fn json_has_arrays_and_repeated_headers_as_lists() {
        let text = b"A: 1\nX: ARRAY%3A%3Aone%7C%3At%22o\nA: 2\nE: _undef_\nContent-Length: 3\n\n\xFF\n\x1F";
        let expected = concat!(
            r#"{"A":["1","2"],"X":["one","t\"o"],"E":"","Content-Length":"3","#,
            r#""_body":"\udcff\n\u001f"}"#
        );
        assert_eq!(to_json(&event(text)), expected);
        assert_eq!(to_json(&event(b"\n")), "{}");
    }

    #[test]
    fn what_json_cannot_tell_is_known() {
        for exact in [&b"A: 1\nX: ARRAY%3A%3Aone%7C%3Atwo\nContent-Length: 2\n\n\xFF\n"[..], b"\n"] {
            assert!(json_rebuilds(&event(exact)));
        }
        for inexact in ["A: 1\nB: 2\nA: 3\n\n", "A: %2f\n\n", "A: %41\n\n", "_a: 1\n\n", "A:1\n\n", "A: 1\nA: 1\n\n"] {
            assert!(!json_rebuilds(&event(inexact.as_bytes())), "{inexact}");
        }
    }

    #[test]
    fn xml_is_as_the_switch_indents_it() {
        let text = b"Event-Name: X\nA: ARRAY%3A%3Aa%7C%3Ab%20c\nE: _undef_\nContent-Length: 6\n\n<\xC3\xA9&\r\n";
        let expected = "<event>\n  <headers>\n    <Event-Name>X</Event-Name>\n    <A>a</A>\n    <A>b%20c</A>\n    \
                        <E></E>\n  </headers>\n  <Content-Length>6</Content-Length>\n  \
                        <body>&lt;&#xE9;&amp;&#xD;\n  </body>\n</event>\n";
        assert_eq!(to_xml(&event(text)), expected);
        assert_eq!(to_xml(&event(b"\n")), "<event>\n  <headers></headers>\n</event>\n");
    }
}
