//! Sealed frames and what they hold. A stranger's bytes never open; what a member would seal is tried as if it had.

use std::collections::BTreeMap;
use switchcast_native::keys::GroupKey;
use switchcast_native::limits::{PARTIAL_BYTES, PARTIAL_EVENTS, SEALED_EVENT_BYTES};
use switchcast_native::reject::Reject;
use switchcast_native::reliable::message::{Beacon, Hello, Refusal, Request, Welcome};
use switchcast_native::sealed::cipher::Subkey;
use switchcast_native::sealed::fragments::{Assembler, FRAGMENTS};
use switchcast_native::sealed::header::{Cipher, FRAME, Header, Kind, PAYLOAD, TAG, is_frame};
use switchcast_native::sealed::packing::{NO_DICTIONARY, Packer, Unpacker};
use switchcast_native::sealed::signing::Verifier;

/// The group's key; no seed was sealed with it.
pub const KEY: [u8; 32] = [0x5C; 32];
/// The place of the flags, which are not authenticated.
const FLAGS: usize = 44;
/// Any datagram reads back as it is or is rejected, does not open, and opens once it is sealed, but not with any one bit
/// changed. Says whether its payload, had it been sealed, would be taken.
pub fn frame(datagram: &[u8]) -> bool {
    let Ok((header, rest)) = Header::read(datagram) else {
        return false;
    };
    assert!(is_frame(datagram) && datagram.len() <= FRAME);
    assert_eq!([&header.bytes()[..], rest].concat(), datagram);
    let subkey = Subkey::new(&GroupKey::new(KEY), &header.stream, header.cipher);
    assert_eq!(subkey.open(&header, &mut rest.to_vec()), Err(Reject::NotAuthentic));
    let payload = &rest[..rest.len() - TAG];
    let mut sealed = Vec::new();
    subkey.seal(&header, payload, &mut sealed);
    assert_eq!(sealed.len(), datagram.len());
    assert_eq!(opened(&subkey, &sealed), Ok((header, payload.to_vec())));
    let bit = header.sequence as usize % (8 * sealed.len());
    if bit / 8 != FLAGS {
        sealed[bit / 8] ^= 1 << (bit % 8);
        assert!(opened(&subkey, &sealed).is_err(), "bit {bit} is not authenticated");
    }
    holds(&header, payload)
}

fn opened(subkey: &Subkey, datagram: &[u8]) -> Result<(Header, Vec<u8>), Reject> {
    let (header, rest) = Header::read(datagram)?;
    let mut rest = rest.to_vec();
    Ok((header, subkey.open(&header, &mut rest)?.to_vec()))
}

/// Whether a payload is what its header says.
fn holds(header: &Header, payload: &[u8]) -> bool {
    match header.kind {
        Kind::Event if header.fragments > 1 => Assembler::default().put(header, payload) == Ok(None),
        Kind::Event => {
            let mut unpacker = Unpacker::default();
            unpacker.unpack(header.dictionary, payload).is_ok_and(|text| text.len() <= SEALED_EVENT_BYTES)
        }
        Kind::Signature => {
            let nobody = Verifier::new(&[]).verify(header, payload);
            assert!(matches!(nobody, Err(Reject::BadSignature | Reject::MalformedFrame)));
            nobody == Err(Reject::BadSignature)
        }
        kind => is_message(kind, payload),
    }
}

/// A kind, by the first byte, and any bytes as its payload: what is read is written and read again the same.
pub fn message(data: &[u8]) -> bool {
    let control = [Kind::Beacon, Kind::Hello, Kind::Welcome, Kind::Request, Kind::Refusal];
    data.split_first().is_some_and(|(kind, payload)| is_message(control[*kind as usize % control.len()], payload))
}

fn is_message(kind: Kind, payload: &[u8]) -> bool {
    match kind {
        Kind::Beacon => reads_back(Beacon::read(payload), Beacon::bytes, Beacon::read),
        Kind::Hello => reads_back(Hello::read(payload), Hello::bytes, Hello::read),
        Kind::Welcome => reads_back(Welcome::read(payload), Welcome::bytes, Welcome::read),
        Kind::Refusal => reads_back(Refusal::read(payload), Refusal::bytes, Refusal::read),
        Kind::Request => request(payload),
        Kind::Event | Kind::Signature => false,
    }
}

fn reads_back<T: PartialEq>(
    message: Result<T, Reject>,
    bytes: impl Fn(&T) -> Vec<u8>,
    read: impl Fn(&[u8]) -> Result<T, Reject>,
) -> bool {
    message.is_ok_and(|message| {
        assert!(bytes(&message).len() <= PAYLOAD);
        assert!(read(&bytes(&message)) == Ok(message), "what is written is what is read");
        true
    })
}

/// What one frame does not hold of a request is left out at the end.
fn request(payload: &[u8]) -> bool {
    let Ok(request) = Request::read(payload) else {
        return false;
    };
    assert!(request.ranges.windows(2).all(|two| two[0].end <= two[1].start));
    assert!(request.ranges.iter().all(|range| range.start < range.end));
    let written = request.bytes();
    assert!(written.len() <= PAYLOAD);
    let again = Request::read(&written).expect("what is written can be read");
    assert!(request.ranges.starts_with(&again.ranges) && request.partials.starts_with(&again.partials));
    assert!(payload.len() > PAYLOAD || again == request);
    true
}

/// Any text is the same once it was packed and unpacked. One that does not end in a line break has one bit changed in
/// between: what is unpacked then stays in bounds. Says whether it is the same still, and was smaller.
pub fn packing(text: &[u8]) -> bool {
    let (mut packer, mut unpacker) = (Packer::default(), Unpacker::default());
    let (dictionary, packed) = packer.pack(text);
    assert!(packed.len() <= text.len());
    assert_eq!(unpacker.unpack(dictionary, packed), Ok(text));
    let mut packed = packed.to_vec();
    let sum = text.iter().fold(text.len(), |sum, byte| sum.wrapping_mul(31).wrapping_add(usize::from(*byte)));
    let is_left = text.is_empty() || text.ends_with(b"\n");
    if !is_left {
        let bit = sum % (8 * packed.len());
        packed[bit / 8] ^= 1 << (bit % 8);
    }
    let unpacked = unpacker.unpack(dictionary, &packed);
    assert!(unpacked.is_ok_and(|text| text.len() <= SEALED_EVENT_BYTES) || unpacked == Err(Reject::BadPayload));
    assert!(!is_left || unpacked == Ok(text));
    dictionary != NO_DICTIONARY && unpacked == Ok(text)
}

/// What is there of an event, by the number of the fragment, and how many it has.
type Parts = (u16, BTreeMap<u16, Vec<u8>>);

/// Fragments in any order, of any form: what is put together is what was cut. Says whether anything was.
pub fn fragments(data: &[u8]) -> bool {
    let (mut assembler, mut model, mut whole) = (Assembler::default(), BTreeMap::<u64, Parts>::new(), false);
    for &[sequence, fragment, fragments, length, what] in data.as_chunks().0 {
        if what == 0xFF {
            assembler.forget_below(sequence.into());
            model = model.split_off(&sequence.into());
        } else {
            let header = header(sequence, fragment, fragments, what);
            let is_last = header.fragment + 1 == header.fragments;
            let length = if what >= 0x40 && !is_last { PAYLOAD } else { usize::from(length) * 5 };
            let payload = vec![what; length.min(PAYLOAD)];
            whole |= put(&mut assembler, &mut model, &header, &payload);
        }
        assert!(assembler.partials().eq(model.keys().copied()));
        assert!(assembler.len() <= PARTIAL_EVENTS && assembler.bytes() <= PARTIAL_BYTES);
        for (sequence, (fragments, parts)) in &model {
            let missing = assembler.missing(*sequence).expect("it is there in part");
            let is_missing =
                |number: u16| missing.get(number as usize / 8).is_some_and(|byte| byte >> (number % 8) & 1 == 1);
            assert!((0..*fragments).all(|number| is_missing(number) != parts.contains_key(&number)));
        }
    }
    whole
}

/// A header with a fragment of an event, mostly a sensible one.
fn header(sequence: u8, fragment: u8, fragments: u8, what: u8) -> Header {
    let fragments = if what < 8 { u16::from(fragments) * 256 } else { u16::from(fragments % 8) }.max(1);
    Header {
        kind: Kind::Event,
        key: [0; 4],
        sender: [0; 8],
        stream: [0; 16],
        sequence: sequence.into(),
        fragment: u16::from(fragment) % fragments,
        fragments,
        flags: 0,
        cipher: Cipher::ChaCha20Poly1305,
        dictionary: u16::from(what % 32 == 31),
    }
}

fn put(assembler: &mut Assembler, model: &mut BTreeMap<u64, Parts>, header: &Header, payload: &[u8]) -> bool {
    let held = assembler.holds(header);
    let before = assembler.displaced();
    let complete = match assembler.put(header, payload) {
        Err(reject) => {
            assert!(matches!(reject, Reject::MalformedFrame | Reject::BadPayload));
            assert!(header.fragments <= FRAGMENTS || reject == Reject::BadPayload);
            return false;
        }
        Ok(complete) => complete,
    };
    if assembler.displaced() > before {
        let there: Vec<u64> = assembler.partials().collect();
        model.retain(|sequence, _| there.contains(sequence));
        if complete.is_none() && !there.contains(&header.sequence) {
            return false;
        }
    }
    let (_, parts) = model.entry(header.sequence).or_insert_with(|| (header.fragments, BTreeMap::new()));
    assert_eq!(parts.contains_key(&header.fragment), held);
    parts.entry(header.fragment).or_insert_with(|| payload.to_vec());
    assert_eq!(complete.is_some(), parts.len() == header.fragments as usize);
    let Some(packed) = complete else {
        return false;
    };
    let cut = model.remove(&header.sequence).map(|(_, parts)| parts.into_values().flatten().collect::<Vec<_>>());
    assert_eq!(Some(packed), cut);
    header.fragments > 1
}
