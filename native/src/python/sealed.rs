//! `SealedFrames`.

use super::convert::{bytes_of, text};
use super::event::PyEvent;
use super::keys::exactly;
use crate::event::Event;
use crate::keys::{self, GroupKey};
use crate::limits;
use crate::reject::Reject;
use crate::reliable::message::{Beacon, Hello, Refusal, RefusalReason, Request, Welcome};
use crate::reliable::sealer::{Counted, Sealer};
use crate::sealed::cipher::Subkey;
use crate::sealed::fragments::Assembler;
use crate::sealed::header::{Cipher, FLAG_REPAIR, HEADER, Header, Kind, PAYLOAD, SenderId, StreamId};
use crate::sealed::packing::{NO_DICTIONARY, Packer, Unpacker};
use crate::sealed::signing::{BATCH, Signing, Verifier};
use crate::trust::Trust;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyString};
use std::collections::BTreeMap;

#[pyclass(frozen, name = "SealedFrames", module = "switchcast._native")]
pub struct SealedFrames {
    key: GroupKey,
    cipher: Cipher,
    sender: SenderId,
    stream: StreamId,
}

#[pymethods]
impl SealedFrames {
    #[new]
    #[pyo3(signature = (secret, *, sender, stream=None, cipher="chacha20-poly1305"))]
    fn new(secret: &[u8], sender: &Bound<'_, PyString>, stream: Option<&[u8]>, cipher: &str) -> PyResult<Self> {
        let stream = match stream {
            None => crate::reliable::random::Randomness::default().bytes(),
            Some(bytes) => bytes.try_into().map_err(|_| PyValueError::new_err("a stream has 16 bytes"))?,
        };
        let cipher = Cipher::of_word(cipher).ok_or_else(|| {
            let words = Cipher::ALL.map(Cipher::word).join(" and ");
            PyValueError::new_err(format!("{cipher:?} is no cipher of ours: there are {words}"))
        })?;
        let sender = keys::sender_id(&bytes_of(sender)?);
        Ok(SealedFrames { key: GroupKey::new(exactly(secret)?), cipher, sender, stream })
    }

    #[getter]
    fn stream<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.stream)
    }

    #[pyo3(signature = (event, sequence, /))]
    fn frame<'py>(
        &self,
        py: Python<'py>,
        event: &Bound<'py, PyEvent>,
        sequence: u64,
    ) -> PyResult<Vec<Bound<'py, PyBytes>>> {
        let text = event.get().0.text();
        if text.len() > limits::SEALED_EVENT_BYTES {
            let most = limits::SEALED_EVENT_BYTES;
            return Err(PyValueError::new_err(format!("the event has {} bytes; frames take {most}", text.len())));
        }
        let mut packer = Packer::default();
        let (dictionary, packed) = packer.pack(text);
        let counted = Counted { kind: Kind::Event, sequence, dictionary, packed };
        Ok(self.sealer().frames(counted, 0, None).map(|frame| PyBytes::new(py, &frame)).collect())
    }

    #[pyo3(signature = (frames, /))]
    fn open(&self, frames: Vec<Vec<u8>>) -> PyResult<PyEvent> {
        let mut assembler = Assembler::default();
        let (mut place, mut whole) = (None, None);
        for mut frame in frames {
            let (header, payload) = self.opened(&mut frame)?;
            if header.kind != Kind::Event {
                return Err(PyValueError::new_err(format!("a frame is a {}, not of an event", header.kind.word())));
            }
            if place.is_some_and(|place| place != (header.stream, header.sequence)) || whole.is_some() {
                return Err(PyValueError::new_err("the frames are of more than one event"));
            }
            place = Some((header.stream, header.sequence));
            whole = assembler.put(&header, payload)?.map(|packed| (header.dictionary, packed));
        }
        let (dictionary, packed) = whole.ok_or_else(|| PyValueError::new_err("fragments of the event are missing"))?;
        let mut event = Event::parse(Unpacker::default().unpack(dictionary, &packed)?)?;
        event.trust = Trust::Member;
        Ok(PyEvent(event))
    }

    #[pyo3(signature = (kind, payload, sequence, /))]
    fn control<'py>(
        &self,
        py: Python<'py>,
        kind: &str,
        payload: &[u8],
        sequence: u64,
    ) -> PyResult<Bound<'py, PyBytes>> {
        let kind = Kind::ALL.into_iter().find(|known| !known.is_counted() && known.word() == kind);
        let kind = kind.ok_or_else(|| PyValueError::new_err("that is no kind of control frame"))?;
        if payload.len() > PAYLOAD {
            return Err(PyValueError::new_err(format!("a frame holds {PAYLOAD} bytes, not {}", payload.len())));
        }
        Ok(PyBytes::new(py, &self.sealer().control(kind, sequence, payload)))
    }

    #[pyo3(signature = (frame, /))]
    fn message<'py>(&self, py: Python<'py>, mut frame: Vec<u8>) -> PyResult<Bound<'py, PyDict>> {
        let (header, payload) = self.opened(&mut frame)?;
        let fields = PyDict::new(py);
        match header.kind {
            Kind::Event | Kind::Signature => {
                return Err(PyValueError::new_err(format!("a frame of kind {} is no message", header.kind.word())));
            }
            Kind::Beacon => tell_beacon(&fields, &Beacon::read(payload)?)?,
            Kind::Hello => {
                let hello = Hello::read(payload)?;
                fields.set_item("stream", PyBytes::new(py, &hello.stream))?;
                fields.set_item("challenge", PyBytes::new(py, &hello.challenge))?;
            }
            Kind::Welcome => {
                let welcome = Welcome::read(payload)?;
                fields.set_item("receiver", PyBytes::new(py, &welcome.receiver))?;
                fields.set_item("challenge", PyBytes::new(py, &welcome.challenge))?;
                fields.set_item("cookie", PyBytes::new(py, &welcome.cookie))?;
                tell_beacon(&fields, &welcome.beacon)?;
            }
            Kind::Request => tell_request(&fields, &Request::read(payload)?)?,
            Kind::Refusal => {
                let refusal = Refusal::read(payload)?;
                let reason = match refusal.reason {
                    RefusalReason::Expired => "expired",
                    RefusalReason::Lagging => "lagging",
                };
                fields.set_item("receiver", PyBytes::new(py, &refusal.receiver))?;
                fields.set_item("below", refusal.below)?;
                fields.set_item("reason", reason)?;
            }
        }
        Ok(fields)
    }

    #[pyo3(signature = (events, first, seed, /))]
    fn sign<'py>(
        &self,
        py: Python<'py>,
        events: Vec<Bound<'py, PyEvent>>,
        first: u64,
        seed: &[u8],
    ) -> PyResult<Bound<'py, PyBytes>> {
        let sequence = first.checked_add(events.len() as u64);
        let Some(sequence) = sequence.filter(|_| (1..=BATCH).contains(&events.len())) else {
            return Err(PyValueError::new_err(format!("a signature is of 1 to {BATCH} events")));
        };
        let mut signing = Signing::new(&exactly(seed)?);
        for (place, event) in events.iter().enumerate() {
            signing.add(&self.stream, first + place as u64, event.get().0.text());
        }
        let sealer = self.sealer();
        let header = sealer.header(Kind::Signature, sequence);
        let packed = signing.sign(&header).expect("there is an event at least");
        let counted = Counted { kind: Kind::Signature, sequence, dictionary: NO_DICTIONARY, packed: &packed };
        let mut frames = sealer.frames(counted, 0, None);
        Ok(PyBytes::new(py, &frames.next().expect("there is always a first frame")))
    }

    #[pyo3(signature = (signature, events, signers, /))]
    fn signer(
        &self,
        mut signature: Vec<u8>,
        events: Vec<Bound<'_, PyEvent>>,
        signers: BTreeMap<String, Vec<u8>>,
    ) -> PyResult<String> {
        let (header, payload) = self.opened(&mut signature)?;
        if header.kind != Kind::Signature {
            return Err(PyValueError::new_err(format!("the frame is a {}, not a signature", header.kind.word())));
        }
        let keys: PyResult<Vec<_>> = signers.into_iter().map(|(name, key)| Ok((name, exactly(&key)?))).collect();
        let vouched = Verifier::new(&keys?).verify(&header, payload)?;
        let places = vouched.sequences();
        let is_whole = places.end - places.start == events.len() as u64;
        let holds = places.zip(&events).all(|(place, event)| vouched.vouches_for(place, event.get().0.text()));
        if is_whole && holds { Ok(vouched.signer.name()) } else { Err(Reject::BadSignature.into()) }
    }

    #[staticmethod]
    #[pyo3(signature = (frame, /))]
    fn header<'py>(py: Python<'py>, frame: &[u8]) -> PyResult<Bound<'py, PyDict>> {
        let (header, _) = Header::read(frame)?;
        let fields = PyDict::new(py);
        fields.set_item("kind", header.kind.word())?;
        fields.set_item("key", header.key.map(|byte| format!("{byte:02x}")).concat())?;
        fields.set_item("sender", PyBytes::new(py, &header.sender))?;
        fields.set_item("stream", PyBytes::new(py, &header.stream))?;
        fields.set_item("sequence", header.sequence)?;
        fields.set_item("fragment", header.fragment)?;
        fields.set_item("fragments", header.fragments)?;
        fields.set_item("repair", header.flags & FLAG_REPAIR != 0)?;
        fields.set_item("cipher", header.cipher.word())?;
        fields.set_item("dictionary", header.dictionary)?;
        Ok(fields)
    }

    fn __repr__(&self) -> String {
        format!("<SealedFrames stream={}>", self.stream.map(|byte| format!("{byte:02x}")).concat())
    }
}

impl SealedFrames {
    fn sealer(&self) -> Sealer {
        Sealer::new(&self.key, self.cipher, self.sender, self.stream)
    }

    /// A frame of any stream under this key, opened where it stands.
    fn opened<'a>(&self, frame: &'a mut [u8]) -> Result<(Header, &'a [u8]), Reject> {
        let (header, _) = Header::read(frame)?;
        if header.key != self.key.id() {
            return Err(Reject::UnknownKey);
        }
        let subkey = Subkey::new(&self.key, &header.stream, header.cipher);
        Ok((header, subkey.open(&header, &mut frame[HEADER..])?))
    }
}

fn tell_beacon(fields: &Bound<'_, PyDict>, beacon: &Beacon) -> PyResult<()> {
    fields.set_item("next", beacon.next)?;
    fields.set_item("oldest", beacon.oldest)?;
    fields.set_item("wall_millis", beacon.wall_millis)?;
    fields.set_item("age_millis", beacon.age_millis)?;
    fields.set_item("ended", beacon.ended)?;
    fields.set_item("name", text(fields.py(), &beacon.name))
}

fn tell_request(fields: &Bound<'_, PyDict>, request: &Request) -> PyResult<()> {
    let py = fields.py();
    let ranges: Vec<_> = request.ranges.iter().map(|range| (range.start, range.end)).collect();
    let partials: Vec<_> =
        request.partials.iter().map(|partial| (partial.sequence, PyBytes::new(py, &partial.missing))).collect();
    fields.set_item("stream", PyBytes::new(py, &request.stream))?;
    fields.set_item("cookie", PyBytes::new(py, &request.cookie))?;
    fields.set_item("ranges", ranges)?;
    fields.set_item("partials", partials)
}
