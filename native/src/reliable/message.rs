//! What the control frames say. Each is the payload of one sealed frame, so what is read here was written by a member;
//! it is bounded and checked all the same.

use crate::reject::Reject;
use crate::sealed::header::{PAYLOAD, StreamId};
use std::ops::Range;

/// Bytes of a challenge.
pub const CHALLENGE: usize = 16;
/// Bytes of a cookie, by which a receiver shows that it can be reached at its address.
pub const COOKIE: usize = 16;
/// Bytes that a hello is padded to, so that a welcome is never longer than three times what asked for it.
pub const HELLO: usize = 160;
/// Bytes of a sender's name that are told.
pub const NAME: usize = 255;
/// Ranges and partial events in one request at most.
pub const ASKED: usize = 512;

/// How far a sender got.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Beacon {
    /// The sequence that comes next; 1 before the first event.
    pub next: u64,
    /// The oldest sequence that could be sent again; equal to `next` when there is none.
    pub oldest: u64,
    /// The sender's wall clock.
    pub wall_millis: u64,
    /// How long ago the stream began.
    pub age_millis: u64,
    /// Nothing more will come: the sender has ended.
    pub ended: bool,
    /// The sender's name.
    pub name: Vec<u8>,
}

/// A receiver wants to know whether a stream is alive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    pub stream: StreamId,
    pub challenge: [u8; CHALLENGE],
}

/// The stream is alive, for it answers a challenge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Welcome {
    /// The stream of the hello that this answers.
    pub receiver: StreamId,
    pub challenge: [u8; CHALLENGE],
    pub cookie: [u8; COOKIE],
    pub beacon: Beacon,
}

/// An event of which some fragments are missing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Partial {
    pub sequence: u64,
    /// Bit `n` of byte `n / 8`, lowest first: fragment `n` is missing. At most 128 bytes, without zeros at the end.
    pub missing: Vec<u8>,
}

/// What a receiver misses of a stream: whole sequences as ranges, and events that are there in part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    pub stream: StreamId,
    /// From the last welcome; zeros when there was none.
    pub cookie: [u8; COOKIE],
    /// Ascending, not empty, not touching.
    pub ranges: Vec<Range<u64>>,
    /// Ascending.
    pub partials: Vec<Partial>,
}

/// What a sender will not send again, to this receiver or to anyone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The stream of the receiver that is meant.
    pub receiver: StreamId,
    /// Nothing below this sequence will be sent again to it.
    pub below: u64,
    pub reason: RefusalReason,
}

/// Why.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum RefusalReason {
    /// It is not kept any more.
    Expired = 1,
    /// The receiver asks for more than its share: it cannot keep up.
    Lagging = 2,
}

impl Beacon {
    pub fn bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(40 + self.name.len());
        self.write(&mut out);
        out
    }

    pub fn read(payload: &[u8]) -> Result<Beacon, Reject> {
        let mut input = Input(payload);
        let beacon = Beacon::take(&mut input)?;
        input.end(beacon)
    }

    fn write(&self, out: &mut Vec<u8>) {
        for number in [self.next, self.oldest, self.wall_millis, self.age_millis] {
            out.extend_from_slice(&number.to_be_bytes());
        }
        out.push(u8::from(self.ended));
        let name = &self.name[..self.name.len().min(NAME)];
        out.push(name.len() as u8);
        out.extend_from_slice(name);
    }

    fn take(input: &mut Input<'_>) -> Result<Beacon, Reject> {
        let (next, oldest) = (input.number()?, input.number()?);
        if oldest == 0 || oldest > next {
            return Err(Reject::MalformedFrame);
        }
        let (wall_millis, age_millis) = (input.number()?, input.number()?);
        let ended = input.byte()? != 0;
        let length = input.byte()? as usize;
        Ok(Beacon { next, oldest, wall_millis, age_millis, ended, name: input.bytes(length)?.to_vec() })
    }
}

impl Hello {
    pub fn bytes(&self) -> Vec<u8> {
        let mut out = [&self.stream[..], &self.challenge].concat();
        out.resize(HELLO, 0);
        out
    }

    pub fn read(payload: &[u8]) -> Result<Hello, Reject> {
        let mut input = Input(payload);
        let hello = Hello { stream: input.array()?, challenge: input.array()? };
        if payload.len() == HELLO { Ok(hello) } else { Err(Reject::MalformedFrame) }
    }
}

impl Welcome {
    pub fn bytes(&self) -> Vec<u8> {
        let mut out = [&self.receiver[..], &self.challenge, &self.cookie].concat();
        self.beacon.write(&mut out);
        out
    }

    pub fn read(payload: &[u8]) -> Result<Welcome, Reject> {
        let mut input = Input(payload);
        let welcome = Welcome {
            receiver: input.array()?,
            challenge: input.array()?,
            cookie: input.array()?,
            beacon: Beacon::take(&mut input)?,
        };
        input.end(welcome)
    }
}

impl Request {
    /// As many of the ranges, then of the partial events, as one frame holds; the lowest first.
    pub fn bytes(&self) -> Vec<u8> {
        self.write().0
    }

    /// The same; what did not fit stays for another frame.
    pub fn take_bytes(&mut self) -> Vec<u8> {
        let (out, ranges, partials) = self.write();
        self.ranges.drain(..ranges);
        self.partials.drain(..partials);
        out
    }

    /// What one frame says, and how many of the ranges and of the partial events that is.
    fn write(&self) -> (Vec<u8>, usize, usize) {
        let mut out = [&self.stream[..], &self.cookie].concat();
        let ranges = write_list(&mut out, self.ranges.iter().take(ASKED), |range, last, out| {
            write_varint(range.start - last, out);
            write_varint(range.end - range.start, out);
            range.end
        });
        let room = ASKED - ranges;
        let partials = write_list(&mut out, self.partials.iter().take(room), |partial, last, out| {
            write_varint(partial.sequence - last, out);
            out.push(partial.missing.len() as u8);
            out.extend_from_slice(&partial.missing);
            partial.sequence
        });
        (out, ranges, partials)
    }

    pub fn read(payload: &[u8]) -> Result<Request, Reject> {
        let mut input = Input(payload);
        let (stream, cookie) = (input.array()?, input.array()?);
        let mut ranges = Vec::new();
        let mut last = 0u64;
        for _ in 0..input.count()? {
            let start = last.checked_add(input.varint()?).ok_or(Reject::MalformedFrame)?;
            let length = input.varint()?;
            last = start.checked_add(length).ok_or(Reject::MalformedFrame)?;
            if length == 0 {
                return Err(Reject::MalformedFrame);
            }
            ranges.push(start..last);
        }
        let mut partials = Vec::new();
        let mut last = 0u64;
        for _ in 0..input.count()? {
            let sequence = last.checked_add(input.varint()?).ok_or(Reject::MalformedFrame)?;
            let length = input.byte()? as usize;
            if length > 128 {
                return Err(Reject::MalformedFrame);
            }
            partials.push(Partial { sequence, missing: input.bytes(length)?.to_vec() });
            last = sequence;
        }
        input.end(Request { stream, cookie, ranges, partials })
    }
}

impl Refusal {
    pub fn bytes(&self) -> Vec<u8> {
        let mut out = self.receiver.to_vec();
        out.extend_from_slice(&self.below.to_be_bytes());
        out.push(self.reason as u8);
        out
    }

    pub fn read(payload: &[u8]) -> Result<Refusal, Reject> {
        let mut input = Input(payload);
        let (receiver, below) = (input.array()?, input.number()?);
        let reason = match input.byte()? {
            1 => RefusalReason::Expired,
            2 => RefusalReason::Lagging,
            _ => return Err(Reject::MalformedFrame),
        };
        input.end(Refusal { receiver, below, reason })
    }
}

/// A count of 16 bits, then the items as far as one frame holds them; how many those are.
fn write_list<'a, T: 'a>(
    out: &mut Vec<u8>,
    items: impl Iterator<Item = &'a T>,
    mut write: impl FnMut(&T, u64, &mut Vec<u8>) -> u64,
) -> usize {
    let count_at = out.len();
    out.extend_from_slice(&[0, 0]);
    let (mut count, mut last) = (0u16, 0);
    for item in items {
        let before = out.len();
        last = write(item, last, out);
        if out.len() > PAYLOAD - 2 {
            out.truncate(before);
            break;
        }
        count += 1;
    }
    out[count_at..count_at + 2].copy_from_slice(&count.to_be_bytes());
    count as usize
}

/// Seven bits a byte, lowest first, the top bit set on all but the last (LEB128).
fn write_varint(mut number: u64, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn bytes(&mut self, length: usize) -> Result<&'a [u8], Reject> {
        let (bytes, rest) = self.0.split_at_checked(length).ok_or(Reject::MalformedFrame)?;
        self.0 = rest;
        Ok(bytes)
    }

    fn array<const LENGTH: usize>(&mut self) -> Result<[u8; LENGTH], Reject> {
        Ok(self.bytes(LENGTH)?.try_into().expect("so many bytes were taken"))
    }

    fn byte(&mut self) -> Result<u8, Reject> {
        Ok(self.bytes(1)?[0])
    }

    fn number(&mut self) -> Result<u64, Reject> {
        Ok(u64::from_be_bytes(self.array()?))
    }

    fn count(&mut self) -> Result<usize, Reject> {
        let count = u16::from_be_bytes(self.array()?) as usize;
        if count <= ASKED { Ok(count) } else { Err(Reject::MalformedFrame) }
    }

    fn varint(&mut self) -> Result<u64, Reject> {
        let mut number = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7F);
            if bits << shift >> shift != bits {
                return Err(Reject::MalformedFrame);
            }
            number |= bits << shift;
            if byte < 0x80 {
                return Ok(number);
            }
        }
        Err(Reject::MalformedFrame)
    }

    fn end<T>(&self, message: T) -> Result<T, Reject> {
        if self.0.is_empty() { Ok(message) } else { Err(Reject::MalformedFrame) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn beacon() -> Beacon {
        Beacon {
            next: 900,
            oldest: 17,
            wall_millis: 1_800_000_000_000,
            age_millis: 61,
            ended: true,
            name: b"fs1".into(),
        }
    }

    fn request() -> Request {
        Request {
            stream: [1; 16],
            cookie: [2; 16],
            ranges: vec![3..4, 10..300, 70_000..u64::MAX],
            partials: vec![
                Partial { sequence: 5, missing: vec![0b101] },
                Partial { sequence: 9, missing: vec![0, 0x80] },
            ],
        }
    }

    #[test]
    fn every_message_reads_back_and_is_refused_when_cut_or_longer() {
        let welcome = Welcome { receiver: [3; 16], challenge: [4; 16], cookie: [5; 16], beacon: beacon() };
        let hello = Hello { stream: [1; 16], challenge: [2; 16] };
        let refusal = Refusal { receiver: [3; 16], below: 7, reason: RefusalReason::Lagging };
        assert_eq!(Beacon::read(&beacon().bytes()), Ok(beacon()));
        assert_eq!(Welcome::read(&welcome.bytes()), Ok(welcome.clone()));
        assert_eq!(Hello::read(&hello.bytes()), Ok(hello.clone()));
        assert_eq!(Request::read(&request().bytes()), Ok(request()));
        assert_eq!(Refusal::read(&refusal.bytes()), Ok(refusal.clone()));
        type Reader = fn(&[u8]) -> bool;
        let readers: [(Vec<u8>, Reader); 5] = [
            (beacon().bytes(), |bytes| Beacon::read(bytes).is_ok()),
            (welcome.bytes(), |bytes| Welcome::read(bytes).is_ok()),
            (hello.bytes(), |bytes| Hello::read(bytes).is_ok()),
            (request().bytes(), |bytes| Request::read(bytes).is_ok()),
            (refusal.bytes(), |bytes| Refusal::read(bytes).is_ok()),
        ];
        for (bytes, reads) in readers {
            assert!((0..bytes.len()).all(|length| !reads(&bytes[..length])));
            assert!(!reads(&[&bytes[..], &[0]].concat()));
        }
    }

    #[test]
    fn a_request_holds_a_hundred_holes_and_cuts_what_one_frame_does_not() {
        let holes = |count: u64, apart: u64| Request {
            ranges: (1..=count).map(|hole| hole * apart..hole * apart + 1).collect(),
            partials: vec![],
            ..request()
        };
        assert_eq!(Request::read(&holes(100, 1_000).bytes()).unwrap().ranges.len(), 100);
        let many = holes(5_000, 1 << 40).bytes();
        assert!(many.len() <= PAYLOAD);
        let kept = Request::read(&many).unwrap().ranges;
        assert_eq!(kept[..], holes(5_000, 1 << 40).ranges[..kept.len()]);
        assert!(kept.len() > 100);
        let mut rest = holes(5_000, 1 << 40);
        let frames: Vec<_> = std::iter::from_fn(|| (!rest.ranges.is_empty()).then(|| rest.take_bytes())).collect();
        let told = frames.iter().flat_map(|frame| Request::read(frame).unwrap().ranges).collect::<Vec<_>>();
        assert_eq!(told, holes(5_000, 1 << 40).ranges);
    }

    #[test]
    fn a_welcome_is_never_three_times_a_hello() {
        let longest = Beacon { name: vec![b'x'; 1_000], ..beacon() };
        let welcome = Welcome { receiver: [3; 16], challenge: [4; 16], cookie: [5; 16], beacon: longest };
        assert!(welcome.bytes().len() <= 3 * HELLO);
    }

    #[test]
    fn numbers_that_make_no_sense_are_refused() {
        assert!(Beacon::read(&Beacon { oldest: 0, ..beacon() }.bytes()).is_err());
        assert!(Beacon::read(&Beacon { oldest: 901, ..beacon() }.bytes()).is_err());
        let with = |list: &[u8]| Request::read(&[&[0; 32][..], list].concat());
        assert!(with(&[0, 1, 5, 0, 0, 0]).is_err(), "an empty range");
        assert!(with(&[0xFF, 0xFF]).is_err(), "too many");
        let most = [0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x01];
        assert!(with(&[&[0, 1][..], &most, &[1, 0, 0]].concat()).is_err(), "a sum beyond 64 bits");
        assert!(with(&[&[0, 1][..], &[0xFF; 10], &[1, 0, 0]].concat()).is_err(), "a number beyond 64 bits");
    }
}
