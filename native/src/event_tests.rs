use super::*;

fn parse(text: &[u8]) -> Result<Event, Reject> {
    Event::parse(text)
}

fn build(headers: &[(&str, &str)], body: &[u8]) -> Event {
    let headers = headers.iter().map(|(n, v)| (n.as_bytes(), Value::Text(v.as_bytes().to_vec())));
    Event::build(headers, body, Escape::Lossless).unwrap()
}

#[test]
fn a_line_splits_at_its_last_colon_and_space() {
    let event = parse(b"variable_nolocal:foo: bar\na: b: c\nx:y\n\n").unwrap();
    let headers: Vec<_> = event.raw_headers().collect();
    let expected: Vec<(&[u8], &[u8])> = vec![(b"variable_nolocal:foo", b"bar"), (b"a: b", b"c"), (b"x", b"y")];
    assert_eq!(headers, expected);
}

#[test]
fn a_look_up_takes_the_first_whatever_its_case() {
    let event = parse(b"X-Dup: 1\nx-dup: 2\n\n").unwrap();
    assert_eq!(event.raw(b"X-DUP"), Some(&b"1"[..]));
    assert_eq!(event.raw_all(b"x-dup").count(), 2);
}

#[test]
fn the_last_content_length_frames_the_body_and_is_no_header() {
    let event = parse(b"content-length: 99\nA: b\nContent-Length: 5\n\nhello").unwrap();
    assert_eq!(event.body(), b"hello");
    assert_eq!(event.len(), 2);
    assert_eq!(event.framed_body(), b"Content-Length: 5\n\nhello");
    assert_eq!(event.header_lines(), b"content-length: 99\nA: b\n");
}

#[test]
fn an_early_content_length_without_a_body_is_only_a_header() {
    let event = parse(b"content-length: 5\nA: b\n\n").unwrap();
    assert_eq!((event.len(), event.body()), (2, &b""[..]));
}

#[test]
fn what_is_no_event_has_its_reason() {
    let many = [b"a: b\n".repeat(limits::HEADERS + 1), b"\n".to_vec()].concat();
    let name = [b"n".repeat(limits::HEADER_NAME_BYTES + 1), b": v\n\n".to_vec()].concat();
    let value = [b"n: ".to_vec(), b"v".repeat(limits::HEADER_VALUE_BYTES + 1), b"\n\n".to_vec()].concat();
    let array = [b"n: ARRAY%3A%3A".to_vec(), b"|%3A".repeat(limits::ARRAY_ELEMENTS), b"\n\n".to_vec()].concat();
    let cases: [(&[u8], Reject); 13] = [
        (b"", Reject::NoEndOfHeaders),
        (b"A: b\n", Reject::NoEndOfHeaders),
        (b"no colon\n\n", Reject::MalformedHeader),
        (b": no name\n\n", Reject::MalformedHeader),
        (b"A: b\n\nbody", Reject::LengthMismatch),
        (b"Content-Length: 4\n\nlonger", Reject::LengthMismatch),
        (b"Content-Length: -1\n\n", Reject::BadContentLength),
        (b"Content-Length: \n\n", Reject::BadContentLength),
        (b"Content-Length: 99999999999999999999\n\nx", Reject::BadContentLength),
        (&many, Reject::TooManyHeaders),
        (&name, Reject::HeaderNameTooLong),
        (&value, Reject::HeaderValueTooLong),
        (&array, Reject::ArrayTooLong),
    ];
    for (text, reason) in cases {
        assert_eq!(parse(text).err(), Some(reason), "{:?}", &text[..text.len().min(40)]);
    }
}

#[test]
fn what_is_built_reads_back() {
    let event = build(&[("A", "b: c\n"), ("Content-Length", "7")], b"");
    assert_eq!(event.value(b"a").unwrap().as_ref(), b"b: c\n");
    assert_eq!(event.value(b"content-length").unwrap().as_ref(), b"7");
    assert_eq!((event.len(), event.body()), (2, &b""[..]));
    let longer = event.with_headers([(&b"Z"[..], Value::Text(b"z".to_vec()))], Escape::Exact).unwrap();
    assert_eq!(longer.len(), 3);
}

#[test]
fn names_that_would_break_the_text_cannot_be_built() {
    for name in ["", "a\nb", "a\rb", "a\0b"] {
        let header = (name.as_bytes(), Value::Text(b"v".to_vec()));
        assert!(Event::build([header], b"", Escape::Exact).is_err());
    }
    for value in [&b"a\nb"[..], b"a: b"] {
        let header = (&b"n"[..], Value::Encoded(value.to_vec()));
        assert!(Event::build([header], b"", Escape::Exact).is_err());
    }
}

#[test]
fn peeking_agrees_with_the_index() {
    let text =
        b"Command: sendevent%20X\nevent-subclass: a%3A%3Ab\nEvent-Name: CUSTOM\nEvent-Name: Y\n\nEvent-Name: Z\n";
    assert_eq!(peek(text, b"Event-Name"), Some(&b"CUSTOM"[..]));
    assert_eq!(peek(text, b"Event-Subclass"), Some(&b"a%3A%3Ab"[..]));
    assert_eq!(peek(b"\nEvent-Name: X\n", b"Event-Name"), None);
}
