//! What must hold for any bytes at all: shared by the fuzz targets and by `native/tests/mutations.rs`.
//!
//! Each property panics where it does not hold, and says whether the bytes were taken.

#[path = "properties/sealed.rs"]
pub mod sealed;
#[path = "properties/sessions.rs"]
pub mod sessions;
#[path = "properties/stream_model.rs"]
mod stream_model;
#[path = "properties/traced.rs"]
pub mod traced;

use switchcast_native::capture::{CaptureError, CaptureFormat, CaptureReader, CaptureWriter, Datagram};
use switchcast_native::encoding::{self, Escape};
use switchcast_native::event::{self, Event, Value};
use switchcast_native::frame::{self, Psk};
use switchcast_native::{limits, render, stream};

/// The key of the recording that is under one.
const PSK: &[u8] = b"ClueCon";
/// How many headers are looked up by name: a look-up reads every line, so all of them would be the square.
const LOOKED_UP: usize = 8;
const SALT: &[u8; frame::SALT] = b"dae00fd0-1c45-4215-853e-30c6eeaf7b53";

/// Any text is an event that gives back the same bytes, or is rejected.
pub fn event(text: &[u8]) -> bool {
    let Ok(event) = Event::parse(text) else {
        return false;
    };
    assert_eq!(event.text(), text, "an event is the bytes that it came as");
    assert_eq!([event.header_lines(), event.framed_body()].concat(), text, "the two parts are the whole");
    assert!(text.ends_with(event.body()));
    assert!(event.len() <= limits::HEADERS);
    for (name, raw) in event.raw_headers().take(LOOKED_UP) {
        assert!(!name.is_empty());
        assert!(event.raw(name).is_some(), "a header is found by its own name");
        assert!(event.raw_all(name).any(|value| value == raw));
    }
    for name in [&b"Event-Name"[..], b"Event-Subclass"] {
        assert_eq!(event::peek(text, name), event.raw(name), "what is seen at a glance is what a full reading finds");
    }
    render::to_json(&event);
    render::to_xml(&event);
    frame::stock_misreads(&event);
    rebuilt(&event);
    true
}

/// An event's decoded values, written anew, are the same values; so are those that the switch itself would write, once
/// they have been through it.
fn rebuilt(event: &Event) {
    let decoded: Vec<_> = event.raw_headers().map(|(name, raw)| (name, encoding::decode(raw).into_owned())).collect();
    let headers = decoded.iter().map(|(name, value)| (*name, Value::Text(value.clone())));
    let Ok(again) = Event::build(headers, event.body(), Escape::Lossless) else {
        return; // a name that may arrive but not be sent, or a value that grew over its limit
    };
    assert_eq!(again.body(), event.body());
    let values: Vec<_> = again.raw_headers().map(|(name, raw)| (name, encoding::decode(raw).into_owned())).collect();
    assert_eq!(values, decoded, "what is written is what is read");
}

/// Any datagram, with a key and without, is an event or is rejected; an event's own datagram opens to that event.
pub fn frame(datagram: &[u8]) -> bool {
    let psk = Psk::new(PSK).expect("seven bytes are a key");
    let plain = frame::open(datagram, None);
    let sealed = frame::open(datagram, Some(&psk));
    assert!(plain.is_err() || sealed.is_err(), "a datagram is in plain text or encrypted, not both");
    let Ok(event) = plain.or(sealed) else {
        return false;
    };
    assert_eq!(frame::open(&frame::pieces(&event, b"").concat(), None).as_ref(), Ok(&event));
    let sealed = psk.seal(SALT, &frame::sealed_text(&event, b""));
    assert_eq!(frame::open(&sealed, Some(&psk)).as_ref(), Ok(&event));
    true
}

/// Any file is read the same in one piece and in many, and the datagrams in it can be written and read again.
pub fn capture(file: &[u8]) -> bool {
    let whole = read([file]);
    assert_eq!(read(file.chunks(7)), whole, "the size of the pieces makes no difference");
    let Ok((datagrams, fault, _)) = whole else {
        return false;
    };
    let writer = CaptureWriter::new(CaptureFormat::Pcapng);
    let mut written = writer.header();
    for Datagram { time_ns, source, destination, payload } in &datagrams {
        written.extend(writer.packet(*time_ns, *source, *destination, payload).expect("what was read can be written"));
    }
    let again = read([&written[..]]).expect("what is written can be read");
    assert_eq!((&again.0, &again.1), (&datagrams, &None));
    fault.is_none() && !datagrams.is_empty()
}

/// Any steps leave a stream's window and its simple model the same. Says whether all that was delivered were items, and
/// there were some.
pub fn stream(steps: &[u8]) -> bool {
    stream_model::run(steps) > 0
}

type Reading = (Vec<Datagram>, Option<String>, Vec<(&'static str, u64)>);

/// Everything that a reader tells of a file that is fed to it in `pieces`.
fn read<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Result<Reading, CaptureError> {
    let mut reader = CaptureReader::new();
    let mut datagrams = Vec::new();
    for piece in pieces {
        reader.feed(piece, &mut datagrams)?;
    }
    let fault = reader.finish();
    Ok((datagrams, fault, reader.counters()))
}
