//! Traced datagrams: stock datagrams that say which stream they belong to, where in it, and that a member wrote them.
//!
//! ```text
//! ...                                  the event's headers
//! Multicast-Stream: 32 hex digits \n
//! Multicast-Sequence: digits \n        from 1, without zeros in front
//! Multicast-MAC: 8 hex digits - 32 \n  only with a key: its id, and 16 bytes of MAC
//! Multicast-Sender: name \n            where the event has it as its last header, as stock has
//! Content-Length: N \n                 only with a body
//! \n
//! N bytes of body | trailer | NULs
//! ```
//!
//! Hex digits are lower-case. Two or three lines in exactly this place and form are a stamp; headers of these names
//! anywhere else are headers like others, so that nothing in an event can pass for its stamp. The MAC is over the whole
//! text, stamp and body included, but for its own line; [`Mac`] says how.
//!
//! The place is behind all that the switch wrote, so a stock receiver finds every header and the body where it did
//! before, and sees up to three headers more.

use crate::event::{self, Event};
use crate::keys::KEY;
use crate::reject::Reject;
use crate::sealed::header::{KeyId, StreamId};
use memchr::{memchr_iter, memmem, memrchr};
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use std::hint::black_box;
use std::ops::Range;
use std::sync::LazyLock;

/// Bytes of a MAC on the wire: a whole tag of AES-256-GCM.
pub const MAC: usize = 16;

/// Bytes of a block of AES.
const BLOCK: usize = 16;
const STREAM: &[u8] = b"Multicast-Stream: ";
const SEQUENCE: &[u8] = b"Multicast-Sequence: ";
const PROOF: &[u8] = b"Multicast-MAC: ";
const SENDER: &[u8] = b"Multicast-Sender: ";
const FRAME: &[u8] = b"Content-Length: ";
/// Bytes of the line with the stream's id: the name, the id in hex, the line break.
const STREAM_LINE: usize = STREAM.len() + 32 + 1;
/// Bytes of the line with the MAC: the name, key id and MAC in hex, a hyphen between them, the line break.
const PROOF_LINE: usize = PROOF.len() + 8 + 1 + 2 * MAC + 1;
/// Bytes that a stamp adds at most: a sequence has up to 20 digits.
pub const STAMP: usize = STREAM_LINE + SEQUENCE.len() + 20 + 1 + PROOF_LINE;

/// What a traced datagram says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stamp {
    pub stream: StreamId,
    /// Counts what the stream sent to the group, from 1.
    pub sequence: u64,
    /// The key's id, and the MAC; `None` where the sender has no key.
    pub proof: Option<(KeyId, [u8; MAC])>,
    /// Where the stamp's lines stand in the text.
    pub lines: Range<usize>,
}

/// The stamp of a datagram's text, when there is one; nothing else is read. What begins as a stamp and is none is
/// [`Reject::MalformedStamp`].
pub fn read(text: &[u8]) -> Result<Option<Stamp>, Reject> {
    let headers = headers_of(text).ok_or(Reject::NoEndOfHeaders)?;
    stamp_at_end(&headers[..place_in(headers)])
}

/// The key of one stream's MACs: the tag that AES-256-GCM (NIST SP 800-38D) gives the text as its plaintext. What it
/// encrypts the text to is thrown away, for the text goes out in the clear. The text is filled up with zeros to whole
/// blocks, for part of one takes as long as sixteen; the nonce is how many zeros, and the sequence.
///
/// That takes a third of the time of HMAC-SHA256, and of GMAC too, which is the text as associated data: `ring` hashes
/// that block by block. It proves what GMAC proves: a sequence's key stream is the same whatever the text, so another
/// text is another ciphertext, and its tag as hard to guess. And it asks for what GMAC asks for: one text for each
/// sequence. Who knows the MACs of two texts under one sequence can work out others, under any sequence of that stream
/// of which he knows a MAC. Sequences only go up, and a stream is drawn at random at each start. A text that turns out
/// too large to be sent leaves its sequence to the next one, and its MAC is seen by nobody.
#[derive(Clone)]
pub struct Mac(LessSafeKey);

impl Mac {
    /// With the bytes that [`crate::keys::GroupKey::subkey`] gives for [`crate::keys::Purpose::Mac`].
    pub fn new(subkey: &[u8; KEY]) -> Mac {
        Mac(LessSafeKey::new(UnboundKey::new(&AES_256_GCM, subkey).expect("the cipher takes the 32 bytes of a subkey")))
    }

    /// Whether the proof in `stamp`, which was read from this very `text`, is right: [`Reject::Untraced`] where there is
    /// none. Takes the same time wherever a wrong one differs.
    pub fn verify(&self, text: &[u8], stamp: &Stamp) -> Result<(), Reject> {
        let Some((_, given)) = &stamp.proof else { return Err(Reject::Untraced) };
        let Range { end, .. } = stamp.lines;
        let right = self.of(stamp.sequence, [&text[..end - PROOF_LINE], &text[end..]]);
        let difference = black_box(u128::from_ne_bytes(*given) ^ u128::from_ne_bytes(right));
        if difference == 0 { Ok(()) } else { Err(Reject::NotAuthentic) }
    }

    /// The MAC of both parts as one text, which is copied: it is encrypted where it stands.
    fn of(&self, sequence: u64, parts: [&[u8]; 2]) -> [u8; MAC] {
        let length = parts[0].len() + parts[1].len();
        let filled = length.next_multiple_of(BLOCK);
        let mut text = Vec::with_capacity(filled);
        text.extend_from_slice(parts[0]);
        text.extend_from_slice(parts[1]);
        text.resize(filled, 0);
        let mut nonce = [0; 12];
        nonce[3] = (filled - length) as u8;
        nonce[4..].copy_from_slice(&sequence.to_be_bytes());
        let nonce = Nonce::assume_unique_for_key(nonce);
        let tag = self.0.seal_in_place_separate_tag(nonce, Aad::empty(), &mut text).expect("GCM takes gigabytes");
        *tag.as_ref().first_chunk().expect("a tag has 16 bytes")
    }
}

/// The text of `event` as a traced datagram carries it, with room behind it for [`crate::frame::TAIL`].
///
/// `sender` is the line that the module adds (`Multicast-Sender: name\n`), for an event that has none. A stamp that the
/// event carries already, from wherever it came, is replaced.
pub fn stamped(
    event: &Event,
    sender: &[u8],
    stream: &StreamId,
    sequence: u64,
    proof: Option<(KeyId, &Mac)>,
) -> Vec<u8> {
    let lines = event.header_lines();
    let place = if sender.is_empty() { place_of_sender(lines) } else { lines.len() };
    let (mut before, behind) = lines.split_at(place);
    while let Ok(Some(old)) = stamp_at_end(before) {
        before = &before[..old.lines.start];
    }
    let mut text =
        Vec::with_capacity(event.text().len() + sender.len() + STAMP + FRAME.len() + crate::frame::TAIL.len());
    text.extend_from_slice(before);
    text.extend_from_slice(STREAM);
    push_hex(&mut text, stream);
    text.extend_from_slice(b"\n");
    text.extend_from_slice(SEQUENCE);
    text.extend_from_slice(sequence.to_string().as_bytes());
    text.push(b'\n');
    let proof_place = text.len();
    text.extend_from_slice(behind);
    text.extend_from_slice(sender);
    // A header called Content-Length that the old stamp stood behind would come to stand last, and be taken for a frame.
    if text.len() == proof_place && event.body().is_empty() && ends_in_frame(before) && before.len() < place {
        text.extend_from_slice(b"Content-Length: 0\n");
    }
    text.extend_from_slice(event.framed_body());
    if let Some((key, mac)) = proof {
        let tag = mac.of(sequence, [&text[..proof_place], &text[proof_place..]]);
        let mut line = Vec::with_capacity(PROOF_LINE);
        line.extend_from_slice(PROOF);
        push_hex(&mut line, &key);
        line.push(b'-');
        push_hex(&mut line, &tag);
        line.push(b'\n');
        text.splice(proof_place..proof_place, line);
    }
    text
}

/// The text without the lines of its stamp: what the sender was given to send.
pub fn without_stamp(text: &[u8], stamp: &Stamp) -> Box<[u8]> {
    [&text[..stamp.lines.start], &text[stamp.lines.end..]].concat().into()
}

/// The header lines, each with its line break, the frame of a body among them.
fn headers_of(text: &[u8]) -> Option<&[u8]> {
    if text.first() == Some(&b'\n') {
        return Some(&[]);
    }
    static EMPTY_LINE: LazyLock<memmem::Finder<'static>> = LazyLock::new(|| memmem::Finder::new(b"\n\n"));
    EMPTY_LINE.find(text).map(|end| &text[..=end])
}

/// Where in these header lines a stamp would end: in front of the sender's line and of the body's frame.
fn place_in(headers: &[u8]) -> usize {
    let last = start_of_last(headers);
    if is_named(&headers[last..], FRAME) {
        place_of_sender(&headers[..last])
    } else if is_named(&headers[last..], SENDER) {
        last
    } else {
        headers.len()
    }
}

fn place_of_sender(lines: &[u8]) -> usize {
    let last = start_of_last(lines);
    if is_named(&lines[last..], SENDER) { last } else { lines.len() }
}

fn ends_in_frame(lines: &[u8]) -> bool {
    is_named(&lines[start_of_last(lines)..], FRAME)
}

/// The stamp whose last line is the last of `lines`.
fn stamp_at_end(lines: &[u8]) -> Result<Option<Stamp>, Reject> {
    let proven = line_at_end::<PROOF_LINE>(lines).and_then(|(before, line)| Some((before, read_proof(line)?)));
    let (rest, proof) = proven.map_or((lines, None), |(before, proof)| (before, Some(proof)));
    let (rest, line) = rest.split_at(start_of_last(rest));
    if proof.is_none() && ![STREAM, SEQUENCE, PROOF].iter().any(|name| is_named(line, name)) {
        return Ok(None);
    }
    let sequence = read_sequence(line).ok_or(Reject::MalformedStamp)?;
    let (before, line) = line_at_end::<STREAM_LINE>(rest).ok_or(Reject::MalformedStamp)?;
    let stream = read_stream(line).ok_or(Reject::MalformedStamp)?;
    Ok(Some(Stamp { stream, sequence, proof, lines: before.len()..lines.len() }))
}

/// The last of `lines`, and what is before it, if that line can have so many bytes: a line break may still be in it.
fn line_at_end<const LENGTH: usize>(lines: &[u8]) -> Option<(&[u8], &[u8; LENGTH])> {
    lines.split_last_chunk().filter(|(before, _)| before.last().is_none_or(|&byte| byte == b'\n'))
}

fn read_stream(line: &[u8]) -> Option<StreamId> {
    from_hex(value_in(line, STREAM)?)
}

fn read_sequence(line: &[u8]) -> Option<u64> {
    let digits = value_in(line, SEQUENCE)?;
    if digits.first().is_none_or(|first| !(b'1'..=b'9').contains(first)) {
        return None;
    }
    digits.iter().try_fold(0u64, |number, digit| {
        let digit = digit.is_ascii_digit().then(|| u64::from(digit - b'0'))?;
        number.checked_mul(10)?.checked_add(digit)
    })
}

fn read_proof(line: &[u8]) -> Option<(KeyId, [u8; MAC])> {
    let (key, rest) = value_in(line, PROOF)?.split_first_chunk::<8>()?;
    Some((from_hex(key)?, from_hex(rest.strip_prefix(b"-")?)?))
}

fn value_in<'a>(line: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    line.strip_prefix(name)?.strip_suffix(b"\n")
}

/// Where the last of these lines begins.
fn start_of_last(lines: &[u8]) -> usize {
    let inside = &lines[..lines.len().saturating_sub(1)];
    memrchr(b'\n', inside).map_or(0, |line_break| line_break + 1)
}

/// Whether a header line has the name that `name` is, a colon and a space behind it, in any case and with or without the
/// space: as an event's index would see it.
fn is_named(line: &[u8], name: &[u8]) -> bool {
    let colon = name.len() - 2;
    line.get(colon) == Some(&b':')
        && line[..colon].eq_ignore_ascii_case(&name[..colon])
        && (memchr_iter(b':', line).nth(1).is_none() || event::find_colon(line) == Some(colon))
}

fn push_hex(out: &mut Vec<u8>, bytes: &[u8]) {
    let start = out.len();
    out.resize(start + 2 * bytes.len(), 0);
    for (pair, byte) in out[start..].chunks_exact_mut(2).zip(bytes) {
        pair.copy_from_slice(&[byte >> 4, byte & 15].map(|digit| b"0123456789abcdef"[digit as usize]));
    }
}

fn from_hex<const LENGTH: usize>(digits: &[u8]) -> Option<[u8; LENGTH]> {
    const { assert!(LENGTH.is_multiple_of(4)) };
    if digits.len() != 2 * LENGTH {
        return None;
    }
    let mut bytes = [0; LENGTH];
    let mut wrong = 0;
    for (four, eight) in bytes.as_chunks_mut().0.iter_mut().zip(digits.as_chunks().0) {
        let amiss;
        (*four, amiss) = four_from_hex(*eight);
        wrong |= amiss;
    }
    (wrong == 0).then_some(bytes)
}

/// The four bytes that eight lower-case hex digits are, and something other than zero if one is none. All eight at once,
/// for there are 72 in each stamp.
fn four_from_hex(digits: [u8; 8]) -> ([u8; 4], u64) {
    const ONES: u64 = 0x0101_0101_0101_0101;
    let digits = u64::from_le_bytes(digits);
    let letters = (digits >> 6) & ONES;
    let values = (digits & (0x0F * ONES)) + 9 * letters;
    let amiss = digits ^ (values + 0x30 * ONES + 0x27 * letters);
    let too_high = (values & (0x10 * ONES)) | ((((values + 6 * ONES) >> 4) & ONES) ^ letters);
    let pairs = values << 4 | values >> 8;
    let byte = |at: u32| (pairs >> at) as u8;
    ([byte(0), byte(16), byte(32), byte(48)], amiss | too_high)
}

#[cfg(test)]
#[path = "traced_tests.rs"]
mod tests;
