//! IP fragments to datagrams, in bounded memory.
//!
//! Fragments may come in any order and twice. One that overlaps another and differs from it begins a new datagram and
//! gives the old one up: that is what a reused identification looks like, and an attack too (RFC 5722). So does one
//! that comes more than 30 s after the first, which is when a kernel gives up (`net.ipv4.ipfrag_time`).

use etherparse::IpFragOffset;
use etherparse::defrag::IpDefragBuf;
use etherparse::ip_number;
use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;

const PATIENCE_NS: u64 = 30_000_000_000;

/// Bytes that a datagram in the making costs beside its payload.
const OVERHEAD_BYTES: usize = 256;

/// What the fragments of one datagram have in common. That they carry UDP is known before they come here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FragmentKey {
    pub source: IpAddr,
    pub destination: IpAddr,
    pub identification: u32,
    pub interface: u32,
}

/// One fragment.
#[derive(Debug)]
pub struct Fragment<'a> {
    pub key: FragmentKey,
    pub time_ns: u64,
    pub offset: IpFragOffset,
    pub more: bool,
    pub payload: &'a [u8],
}

impl Fragment<'_> {
    fn start(&self) -> usize {
        usize::from(self.offset.byte_offset())
    }

    fn end(&self) -> usize {
        self.start() + self.payload.len()
    }

    /// Whether it and what `buffer` holds can be of one datagram.
    fn agrees_with(&self, buffer: &IpDefragBuf) -> bool {
        let (start, end) = (self.start(), self.end());
        let sections =
            || buffer.sections().iter().map(|section| (usize::from(section.start), usize::from(section.end)));
        let ends_agree = match buffer.end().map(usize::from) {
            Some(known) => {
                if self.more {
                    end <= known
                } else {
                    end == known
                }
            }
            None => self.more || sections().all(|(_, section_end)| section_end <= end),
        };
        ends_agree
            && sections().all(|(section_start, section_end)| {
                let apart = end <= section_start || section_end <= start;
                apart || self.repeats(section_start, section_end, buffer.data())
            })
    }

    /// Whether it lies within that section and holds the same bytes.
    fn repeats(&self, section_start: usize, section_end: usize, data: &[u8]) -> bool {
        section_start <= self.start()
            && self.end() <= section_end
            && data.get(self.start()..self.end()) == Some(self.payload)
    }
}

/// What became of one fragment.
#[derive(Debug)]
pub enum Outcome {
    /// It is kept until the others come.
    Kept,
    /// It was the last one missing: the whole of the IP payload.
    Whole(Vec<u8>),
    /// It can be part of no datagram.
    Malformed,
}

/// What adding one fragment did.
#[derive(Debug)]
pub struct Added {
    pub outcome: Outcome,
    /// Datagrams given up because this fragment contradicts them or came too late for them: 0 or 1.
    pub given_up: u64,
    /// Datagrams given up, the oldest first, to make room.
    pub evicted: u64,
}

#[derive(Debug)]
struct Assembly {
    buffer: IpDefragBuf,
    serial: u64,
    begun_ns: u64,
    cost: usize,
}

/// The datagrams that wait for the rest of their fragments.
#[derive(Debug)]
pub struct Reassembly {
    assemblies: HashMap<FragmentKey, Assembly>,
    /// Serial number to key, so that the first is the oldest.
    by_age: BTreeMap<u64, FragmentKey>,
    next_serial: u64,
    cost: usize,
    most_assemblies: usize,
    most_bytes: usize,
}

impl Reassembly {
    pub fn new(most_assemblies: usize, most_bytes: usize) -> Self {
        Self {
            assemblies: HashMap::new(),
            by_age: BTreeMap::new(),
            next_serial: 0,
            cost: 0,
            most_assemblies,
            most_bytes,
        }
    }

    pub fn add(&mut self, fragment: &Fragment<'_>) -> Added {
        let length = fragment.payload.len();
        if length == 0 || fragment.end() > usize::from(u16::MAX) || (fragment.more && !length.is_multiple_of(8)) {
            return Added { outcome: Outcome::Malformed, given_up: 0, evicted: 0 };
        }
        let given_up = u64::from(self.give_up_if_foreign(fragment));
        let key = fragment.key;
        let assembly = self.assemblies.entry(key).or_insert_with(|| {
            self.by_age.insert(self.next_serial, key);
            self.next_serial += 1;
            Assembly {
                buffer: IpDefragBuf::new(ip_number::UDP, Vec::new(), Vec::new()),
                serial: self.next_serial - 1,
                begun_ns: fragment.time_ns,
                cost: 0,
            }
        });
        if assembly.buffer.add(fragment.offset, fragment.more, fragment.payload).is_err() {
            // Not reached: all that it refuses has been refused above. Were it, the datagram must not be trusted.
            self.remove(&key);
            return Added { outcome: Outcome::Malformed, given_up, evicted: 0 };
        }
        if assembly.buffer.is_complete() {
            let whole = self.remove(&key).map(|assembly| assembly.buffer.take_bufs().0);
            return Added { outcome: whole.map_or(Outcome::Malformed, Outcome::Whole), given_up, evicted: 0 };
        }
        let sections = assembly.buffer.sections().capacity() * size_of::<(u16, u16)>();
        let cost = OVERHEAD_BYTES + assembly.buffer.data().capacity() + sections;
        self.cost = self.cost - assembly.cost + cost;
        assembly.cost = cost;
        Added { outcome: Outcome::Kept, given_up, evicted: self.make_room() }
    }

    /// Forget everything; how many datagrams that were.
    pub fn clear(&mut self) -> u64 {
        let waiting = self.assemblies.len() as u64;
        self.assemblies.clear();
        self.by_age.clear();
        self.cost = 0;
        waiting
    }

    /// Give up the datagram under the fragment's key when the fragment cannot belong to it.
    fn give_up_if_foreign(&mut self, fragment: &Fragment<'_>) -> bool {
        let foreign = self.assemblies.get(&fragment.key).is_some_and(|assembly| {
            let too_late = fragment.time_ns.saturating_sub(assembly.begun_ns) > PATIENCE_NS;
            too_late || !fragment.agrees_with(&assembly.buffer)
        });
        foreign && self.remove(&fragment.key).is_some()
    }

    fn remove(&mut self, key: &FragmentKey) -> Option<Assembly> {
        let assembly = self.assemblies.remove(key)?;
        self.by_age.remove(&assembly.serial);
        self.cost -= assembly.cost;
        Some(assembly)
    }

    fn make_room(&mut self) -> u64 {
        let mut evicted = 0;
        while self.assemblies.len() > self.most_assemblies || self.cost > self.most_bytes {
            let Some((_, key)) = self.by_age.pop_first() else { break };
            self.remove(&key);
            evicted += 1;
        }
        evicted
    }
}
