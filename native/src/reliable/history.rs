//! What a sender keeps of what it sent, so that it can send it again: for so many bytes and so long.
//!
//! Kept is what the text was packed to, not the frames: sealed again under the same key and nonce, the same bytes make
//! the same frame. What went out as a traced datagram is kept as that, and packed when it is first asked for.

use super::Nanos;
use super::sealer::{Counted, Sealer};
use crate::frame;
use crate::sealed::header::Kind;
use crate::sealed::packing::Packer;
use crate::traced;
use std::collections::VecDeque;
use std::sync::Arc;

/// One sequence that can be sent again.
pub struct Kept {
    kind: Kind,
    content: Content,
    /// The key that it was sealed with the first time; a new one changes nothing for it.
    sealer: Arc<Sealer>,
    sent: Nanos,
    /// When it was last sent again to the whole group.
    pub shared: Option<Nanos>,
}

enum Content {
    Packed {
        dictionary: u16,
        bytes: Box<[u8]>,
    },
    /// The traced datagram: shared with whoever is sending it.
    Datagram(Arc<[u8]>),
}

impl Kept {
    /// Bytes that it takes in memory, near enough.
    fn size(&self) -> usize {
        size_of::<Kept>() + self.content_bytes()
    }

    /// Bytes of what it holds: an estimate of what it takes to send it again.
    pub fn content_bytes(&self) -> usize {
        match &self.content {
            Content::Packed { bytes, .. } => bytes.len(),
            Content::Datagram(datagram) => datagram.len(),
        }
    }
}

/// The sequences that can be sent again, without holes.
pub struct History {
    kept: VecDeque<Kept>,
    /// The sequence of the first of them; of the next that is sent when there is none.
    oldest: u64,
    bytes: usize,
    most_bytes: usize,
    keep_for: Nanos,
}

impl History {
    /// One that keeps at most `most_bytes`, each sequence for `keep_for` at most.
    pub fn new(most_bytes: usize, keep_for: Nanos) -> History {
        History { kept: VecDeque::new(), oldest: 1, bytes: 0, most_bytes, keep_for }
    }

    /// Keep an event or a signature that was packed to `bytes`, under the sequence after the last.
    pub fn keep_packed(&mut self, kind: Kind, dictionary: u16, bytes: &[u8], sealer: &Arc<Sealer>, now: Nanos) {
        self.keep(kind, Content::Packed { dictionary, bytes: bytes.into() }, sealer, now);
    }

    /// Keep an event that went out as this traced datagram, under the sequence after the last.
    pub fn keep_datagram(&mut self, datagram: &Arc<[u8]>, sealer: &Arc<Sealer>, now: Nanos) {
        self.keep(Kind::Event, Content::Datagram(datagram.clone()), sealer, now);
    }

    /// The sequence after the last went out and is not kept, nor is what went before it.
    pub fn pass(&mut self) {
        self.oldest += self.kept.len() as u64 + 1;
        self.kept.clear();
        self.bytes = 0;
    }

    /// Drop what has been kept long enough.
    pub fn expire(&mut self, now: Nanos) {
        while self.kept.front().is_some_and(|first| first.sent.saturating_add(self.keep_for) < now) {
            self.drop_first();
        }
    }

    /// The oldest sequence that can be sent again; the next one when there is none.
    pub fn oldest(&self) -> u64 {
        self.oldest
    }

    /// The sequence after the last that was sent.
    pub fn next(&self) -> u64 {
        self.oldest + self.kept.len() as u64
    }

    /// How long a sequence is kept.
    pub fn keep_for(&self) -> Nanos {
        self.keep_for
    }

    /// How many sequences are kept.
    pub fn len(&self) -> usize {
        self.kept.len()
    }

    pub fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }

    /// How many bytes they take.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// What is kept of this sequence.
    pub fn get(&self, sequence: u64) -> Option<&Kept> {
        self.kept.get(self.place(sequence)?)
    }

    /// What is kept of this sequence, as it will be sent again: packed by now. With it, who seals it.
    pub fn repair(&mut self, sequence: u64, packer: &mut Packer) -> Option<(Counted<'_>, Arc<Sealer>)> {
        let place = self.place(sequence)?;
        let kept = self.kept.get_mut(place)?;
        if let Content::Datagram(datagram) = &kept.content {
            let before = kept.size();
            let text = traced_text(datagram)?;
            let (dictionary, bytes) = packer.pack(&text);
            kept.content = Content::Packed { dictionary, bytes: bytes.into() };
            self.bytes = self.bytes - before + kept.size();
        }
        let Content::Packed { dictionary, bytes } = &kept.content else { return None };
        let counted = Counted { kind: kept.kind, sequence, dictionary: *dictionary, packed: bytes };
        Some((counted, kept.sealer.clone()))
    }

    /// It was sent again to the whole group just now.
    pub fn mark_shared(&mut self, sequence: u64, now: Nanos) {
        if let Some(kept) = self.place(sequence).and_then(|place| self.kept.get_mut(place)) {
            kept.shared = Some(now);
        }
    }

    fn place(&self, sequence: u64) -> Option<usize> {
        usize::try_from(sequence.checked_sub(self.oldest)?).ok()
    }

    fn keep(&mut self, kind: Kind, content: Content, sealer: &Arc<Sealer>, now: Nanos) {
        let kept = Kept { kind, content, sealer: sealer.clone(), sent: now, shared: None };
        self.bytes += kept.size();
        self.kept.push_back(kept);
        self.expire(now);
        while self.bytes > self.most_bytes {
            self.drop_first();
        }
    }

    fn drop_first(&mut self) {
        if let Some(first) = self.kept.pop_front() {
            self.bytes -= first.size();
            self.oldest += 1;
        }
    }
}

/// A traced datagram's text without its stamp: what its receivers are given. `None` never happens to a datagram that was
/// stamped here.
pub fn traced_text(datagram: &[u8]) -> Option<Box<[u8]>> {
    let text = frame::text_of(datagram).ok()?;
    let stamp = traced::read(text).ok()??;
    Some(traced::without_stamp(text, &stamp))
}
