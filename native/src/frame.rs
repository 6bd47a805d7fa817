//! Stock datagrams: an event's text, the trailer, and padding; under a pre-shared key, encrypted as a whole.
//!
//! ```text
//! plain:      text | trailer (21 bytes) | NULs (272 from a build with OpenSSL)
//! under psk:  UUID, 36 characters | NULs up to 256 bytes | Blowfish-CBC( text | trailer ), PKCS#7
//! ```
//!
//! The key's bytes are taken as they are; the first eight characters of the UUID are the initialisation vector. Nothing
//! authenticates a stock datagram: a key hides its text from those who do not have it, and no more.

use crate::event::Event;
use crate::limits;
use crate::reject::Reject;
use crate::trust::Trust;
use blowfish::Blowfish;
use cbc::cipher::block_padding::Pkcs7;
use cbc::cipher::{BlockModeDecrypt, BlockModeEncrypt, InnerIvInit};

/// The bytes that end every stock event.
pub const TRAILER: [u8; 21] = [
    0xE2, 0x84, 0xB1, 0xC5, 0x98, 0xC6, 0x8E, 0xD3, 0xAC, 0xC5, 0x9E, 0xD0, 0xA9, 0xD0, 0x87, 0xC5, 0xA6, 0xCF, 0x9A,
    0xC4, 0xA6,
];

/// NULs behind the trailer, as a FreeSWITCH built with OpenSSL sends them: room for the UUID and a cipher block. They
/// keep a datagram above the 256 bytes that a stock receiver ignores.
pub const PADDING: usize = 272;

/// Bytes in front of the encrypted part: the UUID's text, then NULs.
pub const SALT_FIELD: usize = 256;
/// Characters of a UUID.
pub const SALT: usize = 36;
const BLOCK: usize = 8;
/// Bytes of a header's name that a stock receiver keeps (seen).
const STOCK_NAME_BYTES: usize = 122;

/// The trailer and the padding as one piece, for gathering writes.
pub static TAIL: [u8; TRAILER.len() + PADDING] = {
    let mut tail = [0; TRAILER.len() + PADDING];
    let mut i = 0;
    while i < TRAILER.len() {
        tail[i] = TRAILER[i];
        i += 1;
    }
    tail
};

/// A pre-shared key that stock could use, expanded once.
#[derive(Clone)]
pub struct Psk(Blowfish);

/// The pre-shared key has no or too many bytes.
#[derive(Debug, PartialEq, Eq)]
pub struct BadKeyLength(pub usize);

impl Psk {
    /// Take 1 to 72 bytes. Fewer than Blowfish's own minimum of four are allowed: the cipher repeats a short key anyway.
    pub fn new(key: &[u8]) -> Result<Psk, BadKeyLength> {
        if key.is_empty() || key.len() > limits::PSK_BYTES {
            return Err(BadKeyLength(key.len()));
        }
        // Blowfish's own key schedule, by the names that bcrypt gave its two steps: those take a key of any length.
        let mut cipher = Blowfish::bc_init_state();
        cipher.bc_expand_key(key);
        Ok(Psk(cipher))
    }

    /// Decrypt `datagram` to the text and the trailer.
    fn open(&self, datagram: &[u8]) -> Result<Vec<u8>, Reject> {
        if !looks_encrypted(datagram) {
            return Err(if text_of(datagram).is_ok() { Reject::NotEncrypted } else { Reject::WrongKey });
        }
        let (salt, sealed) = datagram.split_at(SALT_FIELD);
        let iv: [u8; BLOCK] = salt[..BLOCK].try_into().expect("the salt field is longer than a block");
        let mut text = sealed.to_vec();
        let length = cbc::Decryptor::inner_iv_init(self.0.clone(), &iv.into())
            .decrypt_padded::<Pkcs7>(&mut text)
            .map_err(|_| Reject::WrongKey)?
            .len();
        text.truncate(length);
        Ok(text)
    }

    /// Encrypt `text`, which ends in the trailer, behind `salt`.
    pub fn seal(&self, salt: &[u8; SALT], text: &[u8]) -> Vec<u8> {
        let iv: [u8; BLOCK] = salt[..BLOCK].try_into().expect("a salt is longer than a block");
        let padded = (text.len() / BLOCK + 1) * BLOCK;
        let mut datagram = vec![0; SALT_FIELD + padded];
        datagram[..SALT].copy_from_slice(salt);
        let sealed = &mut datagram[SALT_FIELD..];
        sealed[..text.len()].copy_from_slice(text);
        cbc::Encryptor::inner_iv_init(self.0.clone(), &iv.into())
            .encrypt_padded::<Pkcs7>(sealed, text.len())
            .expect("the buffer has room for the padding");
        datagram
    }
}

/// The event's text in a plain datagram: the padding and the trailer are checked and cut off, nothing else is read.
pub fn text_of(datagram: &[u8]) -> Result<&[u8], Reject> {
    if datagram.is_empty() {
        return Err(Reject::ZeroLength);
    }
    match without_padding(datagram).strip_suffix(&TRAILER) {
        Some(text) => Ok(text),
        None if looks_encrypted(datagram) => Err(Reject::Encrypted),
        None => Err(Reject::NoTrailer),
    }
}

/// `datagram` without the NULs at its end. Most of them go a block at a time: there are 272 behind every stock event.
fn without_padding(mut datagram: &[u8]) -> &[u8] {
    while let Some((rest, [0, ..])) = datagram.split_last_chunk::<32>()
        && datagram[rest.len()..] == [0; 32]
    {
        datagram = rest;
    }
    let end = datagram.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
    &datagram[..end]
}

/// The event in a datagram, under `psk` when there is one. Nothing vouches for it: under a key, too, it may be a forgery.
pub fn open(datagram: &[u8], psk: Option<&Psk>) -> Result<Event, Reject> {
    let mut event = match psk {
        None => Event::parse(text_of(datagram)?)?,
        Some(psk) => Event::parse(&open_text(datagram, psk)?)?,
    };
    event.trust = Trust::Stock;
    Ok(event)
}

/// The event's text in a datagram that is encrypted under `psk`.
pub fn open_text(datagram: &[u8], psk: &Psk) -> Result<Vec<u8>, Reject> {
    if datagram.is_empty() {
        return Err(Reject::ZeroLength);
    }
    let mut text = psk.open(datagram)?;
    let length = text_of(&text).map_err(|_| Reject::WrongKey)?.len();
    text.truncate(length);
    Ok(text)
}

/// The pieces of the plain datagram that the module would send for `event`, to be written one behind the other.
///
/// `sender` is the line that the module adds (`Multicast-Sender: name\n`), for an event that has none.
pub fn pieces<'a>(event: &'a Event, sender: &'a [u8]) -> [&'a [u8]; 4] {
    [event.header_lines(), sender, event.framed_body(), &TAIL]
}

/// The text that is encrypted under a key: the pieces without the padding.
pub fn sealed_text(event: &Event, sender: &[u8]) -> Vec<u8> {
    [event.header_lines(), sender, event.framed_body(), &TRAILER].concat()
}

/// A fresh random UUID (version 4, RFC 9562) as text.
///
/// # Panics
/// When the operating system has no random numbers to give: nothing could be sent safely then.
pub fn random_salt() -> [u8; SALT] {
    let mut random = [0u8; 16];
    getrandom::fill(&mut random).expect("the operating system gives random numbers");
    random[6] = random[6] & 0x0F | 0x40;
    random[8] = random[8] & 0x3F | 0x80;
    let mut text = [b'-'; SALT];
    let places = (0..SALT).filter(|place| ![8, 13, 18, 23].contains(place));
    for (place, nibble) in places.zip(random.iter().flat_map(|byte| [byte >> 4, byte & 15])) {
        text[place] = b"0123456789abcdef"[nibble as usize];
    }
    text
}

/// Whether a datagram has the shape that the module gives an encrypted one: a UUID's text, NULs, whole blocks.
fn looks_encrypted(datagram: &[u8]) -> bool {
    let sealed = datagram.len().saturating_sub(SALT_FIELD);
    sealed >= BLOCK
        && sealed.is_multiple_of(BLOCK)
        && datagram[SALT..SALT_FIELD].iter().all(|&byte| byte == 0)
        && is_salt(&datagram[..SALT])
}

/// Whether `text` could be a UUID: hex digits and hyphens.
pub fn is_salt(text: &[u8]) -> bool {
    text.len() == SALT && text.iter().all(|byte| byte.is_ascii_hexdigit() || *byte == b'-')
}

/// What a stock receiver would read wrong in `event`: one sentence for each.
pub fn stock_misreads(event: &Event) -> Vec<String> {
    let mut found = Vec::new();
    let body = event.body();
    let text = event.text();
    if memchr::memchr(TRAILER[0], text).is_some() {
        found.push("it holds the byte 0xE2, which stock takes for the trailer: stock drops the event".into());
    }
    if memchr::memchr(0, text).is_some() {
        found.push("it holds a NUL: stock drops what follows".into());
    }
    if memchr::memchr(b'\r', body).is_some() {
        found.push("its body holds a carriage return: stock loses headers by it".into());
    }
    let looks_like_header = |line: &[u8]| memchr::memchr(b':', line).is_some();
    if body.split(|&byte| byte == b'\n').any(looks_like_header) {
        found.push("its body has a line with a colon: stock takes that for a header".into());
    }
    for (name, value) in event.raw_headers() {
        let shown = String::from_utf8_lossy(&name[..name.len().min(40)]);
        if memchr::memchr(b':', name).is_some() {
            found.push(format!("the header name {shown:?} holds a colon: stock splits it there"));
        }
        if name.len() > STOCK_NAME_BYTES {
            found.push(format!("the header name {shown:?} is longer than {STOCK_NAME_BYTES} bytes: stock cuts it"));
        }
        if memchr::memmem::find(value, b"%00").is_some() {
            found.push(format!("the value of {shown:?} holds a NUL: stock cuts it there"));
        }
        if let Some(index) = array_index(name) {
            found.push(format!("stock takes {shown:?} for element {index} of an array, and makes the others too"));
        }
    }
    found
}

/// The index in a header name such as `x[4000]`, which stock reads as a place in an array.
fn array_index(name: &[u8]) -> Option<u32> {
    let inside = name.strip_suffix(b"]")?;
    let open = memchr::memrchr(b'[', inside)?;
    std::str::from_utf8(&inside[open + 1..]).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &[u8] = b"Event-Name: HEARTBEAT\n\n";
    const SALT_TEXT: &[u8; SALT] = b"dae00fd0-1c45-4215-853e-30c6eeaf7b53";

    fn plain() -> Vec<u8> {
        [TEXT, &TAIL].concat()
    }

    #[test]
    fn a_plain_datagram_opens_with_and_without_padding() {
        assert_eq!(text_of(&plain()), Ok(TEXT));
        assert_eq!(text_of(&plain()[..TEXT.len() + TRAILER.len()]), Ok(TEXT));
        let event = open(&plain(), None).unwrap();
        assert_eq!(pieces(&event, b"").concat(), plain());
    }

    #[test]
    fn what_is_no_stock_datagram_has_its_reason() {
        let psk = Psk::new(b"ClueCon").unwrap();
        let other = Psk::new(b"CluelessCon").unwrap();
        let sealed = psk.seal(SALT_TEXT, &[TEXT, &TRAILER].concat());
        assert_eq!(open(&[], None).err(), Some(Reject::ZeroLength));
        assert_eq!(open(&[], Some(&psk)).err(), Some(Reject::ZeroLength));
        assert_eq!(open(&[0; 300], None).err(), Some(Reject::NoTrailer));
        assert_eq!(open(&plain()[..TEXT.len() + 20], None).err(), Some(Reject::NoTrailer));
        assert_eq!(open(&sealed, None).err(), Some(Reject::Encrypted));
        assert_eq!(open(&plain(), Some(&psk)).err(), Some(Reject::NotEncrypted));
        assert_eq!(open(&sealed, Some(&other)).err(), Some(Reject::WrongKey));
        assert_eq!(open(&sealed[..sealed.len() - 1], Some(&psk)).err(), Some(Reject::WrongKey));
    }

    #[test]
    fn a_sealed_datagram_opens_under_keys_of_every_allowed_length() {
        for length in 1..=limits::PSK_BYTES {
            let psk = Psk::new(&vec![b'k'; length]).unwrap();
            let sealed = psk.seal(SALT_TEXT, &[TEXT, &TRAILER].concat());
            assert_eq!(open(&sealed, Some(&psk)).unwrap().text(), TEXT);
        }
        assert_eq!(Psk::new(b"").err(), Some(BadKeyLength(0)));
        assert_eq!(Psk::new(&[b'k'; 73]).err(), Some(BadKeyLength(73)));
    }

    #[test]
    fn a_short_key_is_the_same_as_its_repetition() {
        let sealed = Psk::new(b"ab").unwrap().seal(SALT_TEXT, &[TEXT, &TRAILER].concat());
        assert!(open(&sealed, Some(&Psk::new(b"abababab").unwrap())).is_ok());
    }

    #[test]
    fn a_random_salt_is_a_uuid_of_version_4() {
        let text = String::from_utf8(random_salt().to_vec()).unwrap();
        let lengths: Vec<_> = text.split('-').map(str::len).collect();
        assert_eq!(lengths, [8, 4, 4, 4, 12]);
        assert_eq!(&text[14..15], "4");
        assert_ne!(random_salt(), random_salt());
    }

    #[test]
    fn what_stock_would_misread_is_told() {
        let cases: [(&[u8], &str); 6] = [
            (b"A: b\nContent-Length: 2\n\n\xE2!", "0xE2"),
            (b"A: b\nContent-Length: 2\n\n\r\n", "carriage return"),
            (b"A: b\nContent-Length: 4\n\na: b", "colon"),
            (b"A:x: b\n\n", "splits"),
            (b"A: %00\n\n", "cuts"),
            (b"x[4000]: v\n\n", "element 4000"),
        ];
        for (text, word) in cases {
            let found = stock_misreads(&Event::parse(text).unwrap());
            assert!(found.iter().any(|sentence| sentence.contains(word)), "{word}: {found:?}");
        }
        assert!(stock_misreads(&Event::parse(TEXT).unwrap()).is_empty());
    }
}
