//! The records of a pcap file and the blocks of a pcapng file, out of bytes that come in pieces of any size.
//!
//! ```text
//!          ┌──────────> Pcap ───┐
//! Start ───┤                    ├──> Ended: nothing after this can be trusted
//!          └──────────> Pcapng ─┘
//! ```
//!
//! A reader that meets a length which cannot be does not guess where the next record may begin: it stops there and says
//! so at the end. What it gave before stands.

use super::packet::{LinkType, PacketReader};
use super::{CaptureError, Datagram};
use crate::limits::{CAPTURE_BLOCK_OVERHEAD_BYTES, CAPTURE_INTERFACES, CAPTURE_PACKET_BYTES};

const PCAP_HEADER_BYTES: usize = 24;
const PCAP_RECORD_HEADER_BYTES: usize = 16;

const SECTION_HEADER_BLOCK: u32 = 0x0a0d_0d0a;
const INTERFACE_DESCRIPTION_BLOCK: u32 = 1;
/// Superseded in 2009, and still found; all that we read of it stands where it does in an enhanced one.
const PACKET_BLOCK: u32 = 2;
const SIMPLE_PACKET_BLOCK: u32 = 3;
const ENHANCED_PACKET_BLOCK: u32 = 6;

const OPTION_END: u16 = 0;
const OPTION_TIME_RESOLUTION: u16 = 9;
const OPTION_TIME_OFFSET: u16 = 14;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    Little,
    Big,
}

impl Order {
    fn u16(self, bytes: &[u8], at: usize) -> Option<u16> {
        let bytes = bytes.get(at..at + 2)?.try_into().ok()?;
        Some(if self == Self::Little { u16::from_le_bytes(bytes) } else { u16::from_be_bytes(bytes) })
    }

    fn u32(self, bytes: &[u8], at: usize) -> Option<u32> {
        let bytes = bytes.get(at..at + 4)?.try_into().ok()?;
        Some(if self == Self::Little { u32::from_le_bytes(bytes) } else { u32::from_be_bytes(bytes) })
    }

    fn i64(self, bytes: &[u8]) -> Option<i64> {
        let bytes = bytes.get(..8)?.try_into().ok()?;
        Some(if self == Self::Little { i64::from_le_bytes(bytes) } else { i64::from_be_bytes(bytes) })
    }
}

/// One interface of a pcapng section.
#[derive(Clone, Copy, Debug)]
struct Interface {
    link: Option<LinkType>,
    snapshot_bytes: u32,
    /// `if_tsresol`: negative power of 10, or of 2 with the top bit set.
    resolution: u8,
    /// `if_tsoffset`, in seconds.
    offset_s: i64,
}

impl Interface {
    fn time_ns(&self, ticks: u64) -> u64 {
        let exponent = u32::from(self.resolution & 0x7f);
        let nanoseconds = if self.resolution & 0x80 != 0 {
            (u128::from(ticks) * 1_000_000_000) >> exponent
        } else if exponent <= 9 {
            u128::from(ticks) * 10u128.pow(9 - exponent)
        } else {
            10u128.checked_pow(exponent - 9).map_or(0, |divisor| u128::from(ticks) / divisor)
        };
        // At most 2^64 * 10^9: i128 has room for it, and for any offset.
        let nanoseconds = nanoseconds as i128 + i128::from(self.offset_s) * 1_000_000_000;
        nanoseconds.clamp(0, i128::from(u64::MAX)) as u64
    }
}

#[derive(Debug)]
enum State {
    Start,
    Pcap { order: Order, nanosecond: bool, link: LinkType },
    Pcapng { order: Order, interfaces: Vec<Interface> },
    Ended(String),
}

/// What one look at the buffer came to.
enum Step {
    /// Nothing can be done before this many bytes are there.
    Wait(usize),
    /// This many bytes are done with, whether they are there yet or not.
    Skip(u64),
}

/// A capture, read as it comes.
#[derive(Debug)]
pub struct CaptureReader {
    state: State,
    pending: Vec<u8>,
    /// Bytes that `pending` must hold before another look at it is worth while.
    wanted: usize,
    /// Bytes yet to come that are to be passed over.
    skip: u64,
    /// Where `pending` begins in the capture.
    position: u64,
    packets: PacketReader,
}

impl Default for CaptureReader {
    fn default() -> Self {
        Self::new()
    }
}

impl CaptureReader {
    pub fn new() -> Self {
        Self { state: State::Start, pending: Vec::new(), wanted: 4, skip: 0, position: 0, packets: PacketReader::new() }
    }

    /// Take the next piece of the capture, of any length, and append the datagrams that are complete with it to `out`.
    ///
    /// Fails only where the file begins: when it is no capture, or one of a kind that we cannot read. Damage further on
    /// ends the reading without an error; `finish` tells of it.
    pub fn feed(&mut self, data: &[u8], out: &mut Vec<Datagram>) -> Result<(), CaptureError> {
        if matches!(self.state, State::Ended(_)) {
            return Ok(());
        }
        let passed_over = self.skip.min(data.len() as u64);
        self.skip -= passed_over;
        self.position += passed_over;
        self.pending.extend_from_slice(&data[passed_over as usize..]);
        if self.pending.len() < self.wanted {
            return Ok(());
        }
        // Taken out so that a record can be looked at while the state changes; put back below.
        let buffer = std::mem::take(&mut self.pending);
        let done = self.read(&buffer, out);
        self.pending = buffer;
        self.pending.drain(..done?);
        if matches!(self.state, State::Ended(_)) {
            self.pending = Vec::new();
        }
        Ok(())
    }

    /// The end of the file: what was cut short or could not be read on, or `None` when nothing was.
    pub fn finish(&mut self) -> Option<String> {
        self.packets.finish();
        if let State::Ended(reason) = &self.state {
            return Some(reason.clone());
        }
        if self.pending.is_empty() && self.skip == 0 {
            return None;
        }
        let part = match self.state {
            State::Start => "header",
            State::Pcap { .. } => "last record",
            State::Pcapng { .. } | State::Ended(_) => "last block",
        };
        Some(format!("the {part}, which begins at byte {}, is cut short", self.position))
    }

    /// What became of the packets, by name; the incomplete ones are all counted only after `finish`.
    pub fn counters(&self) -> Vec<(&'static str, u64)> {
        let counters = &self.packets.counters;
        vec![
            ("packets", counters.packets),
            ("datagrams", counters.datagrams),
            ("not_udp", counters.not_udp),
            ("malformed", counters.malformed),
            ("unknown_link", counters.unknown_link),
            ("fragments", counters.fragments),
            ("incomplete", counters.incomplete),
            ("evicted", counters.evicted),
        ]
    }

    #[cfg(test)]
    pub fn buffered(&self) -> usize {
        self.pending.len()
    }

    /// Read all records that are whole in `buffer`; how many bytes of it are done with.
    fn read(&mut self, buffer: &[u8], out: &mut Vec<Datagram>) -> Result<usize, CaptureError> {
        let mut done = 0;
        loop {
            let rest = &buffer[done..];
            match self.step(rest, out)? {
                Step::Wait(wanted) => {
                    self.wanted = wanted;
                    return Ok(done);
                }
                Step::Skip(bytes) => {
                    let here = bytes.min(rest.len() as u64);
                    done += here as usize;
                    self.position += here;
                    self.skip = bytes - here;
                }
            }
            if matches!(self.state, State::Ended(_)) {
                return Ok(done);
            }
        }
    }

    fn step(&mut self, rest: &[u8], out: &mut Vec<Datagram>) -> Result<Step, CaptureError> {
        match self.state {
            State::Start => self.start(rest),
            State::Pcap { order, nanosecond, link } => Ok(self.pcap_record(order, nanosecond, link, rest, out)),
            State::Pcapng { order, .. } => self.pcapng_block(order, rest, out),
            State::Ended(_) => Ok(Step::Skip(rest.len() as u64)),
        }
    }

    fn start(&mut self, rest: &[u8]) -> Result<Step, CaptureError> {
        let Some(magic) = rest.first_chunk::<4>() else { return Ok(Step::Wait(4)) };
        let (order, nanosecond) = match magic {
            [0x0a, 0x0d, 0x0d, 0x0a] => {
                // The section header itself says which byte order holds, and is read as any other block.
                self.state = State::Pcapng { order: Order::Little, interfaces: Vec::new() };
                return Ok(Step::Skip(0));
            }
            [0xa1, 0xb2, 0xc3, 0xd4] => (Order::Big, false),
            [0xd4, 0xc3, 0xb2, 0xa1] => (Order::Little, false),
            [0xa1, 0xb2, 0x3c, 0x4d] => (Order::Big, true),
            [0x4d, 0x3c, 0xb2, 0xa1] => (Order::Little, true),
            _ => return Err(CaptureError::NotACapture(*magic)),
        };
        let Some(link) = rest.get(..PCAP_HEADER_BYTES).and_then(|header| order.u32(header, 20)) else {
            return Ok(Step::Wait(PCAP_HEADER_BYTES));
        };
        let number = (link & 0xffff) as u16; // what is above tells of the frame check sequence
        let link = LinkType::from_number(number).ok_or(CaptureError::LinkType(number))?;
        self.state = State::Pcap { order, nanosecond, link };
        Ok(Step::Skip(PCAP_HEADER_BYTES as u64))
    }

    fn pcap_record(
        &mut self,
        order: Order,
        nanosecond: bool,
        link: LinkType,
        rest: &[u8],
        out: &mut Vec<Datagram>,
    ) -> Step {
        let field = |at| order.u32(rest, at);
        let (Some(seconds), Some(fraction), Some(length), Some(_)) = (field(0), field(4), field(8), field(12)) else {
            return Step::Wait(PCAP_RECORD_HEADER_BYTES);
        };
        let length = length as usize;
        if length > CAPTURE_PACKET_BYTES {
            return self.end(format!("a record that says it has {length} bytes, more than any packet"));
        }
        let whole = PCAP_RECORD_HEADER_BYTES + length;
        let Some(frame) = rest.get(PCAP_RECORD_HEADER_BYTES..whole) else { return Step::Wait(whole) };
        let nanoseconds = u64::from(fraction) * if nanosecond { 1 } else { 1_000 };
        let time_ns = u64::from(seconds) * 1_000_000_000 + nanoseconds;
        self.packets.counters.packets += 1;
        self.packets.packet(time_ns, 0, link, frame, out);
        Step::Skip(whole as u64)
    }

    fn pcapng_block(&mut self, order: Order, rest: &[u8], out: &mut Vec<Datagram>) -> Result<Step, CaptureError> {
        let (Some(kind), Some(length)) = (order.u32(rest, 0), order.u32(rest, 4)) else { return Ok(Step::Wait(8)) };
        // The same in either byte order, so that it can be told before the order is.
        if kind == SECTION_HEADER_BLOCK {
            return self.section_header(rest);
        }
        if length < 12 || length % 4 != 0 {
            return Ok(self.end(format!("a block that says it has {length} bytes, which no block can have")));
        }
        if !matches!(kind, INTERFACE_DESCRIPTION_BLOCK | PACKET_BLOCK | SIMPLE_PACKET_BLOCK | ENHANCED_PACKET_BLOCK) {
            return Ok(Step::Skip(u64::from(length)));
        }
        let length = length as usize;
        if length > CAPTURE_PACKET_BYTES + CAPTURE_BLOCK_OVERHEAD_BYTES {
            return Ok(self.end(format!("a block that says it has {length} bytes, more than any packet")));
        }
        let Some(block) = rest.get(..length) else { return Ok(Step::Wait(length)) };
        if order.u32(block, length - 4) != Some(length as u32) {
            return Ok(self.end(format!("a block of {length} bytes that does not end in its length")));
        }
        let body = &block[8..length - 4];
        match kind {
            INTERFACE_DESCRIPTION_BLOCK => Ok(self.interface(order, body, length)),
            _ => {
                self.packets.counters.packets += 1;
                if self.packet_block(order, kind, body, out).is_none() {
                    self.packets.counters.malformed += 1;
                }
                Ok(Step::Skip(length as u64))
            }
        }
    }

    /// A section begins: another byte order perhaps, and no interfaces.
    fn section_header(&mut self, rest: &[u8]) -> Result<Step, CaptureError> {
        let Some(mark) = rest.get(8..12) else { return Ok(Step::Wait(12)) };
        let order = match mark {
            [0x4d, 0x3c, 0x2b, 0x1a] => Order::Little,
            [0x1a, 0x2b, 0x3c, 0x4d] => Order::Big,
            _ => return self.bad_section(),
        };
        match order.u32(rest, 4) {
            Some(length) if length >= 28 && length % 4 == 0 => {
                self.state = State::Pcapng { order, interfaces: Vec::new() };
                Ok(Step::Skip(u64::from(length)))
            }
            _ => self.bad_section(),
        }
    }

    fn bad_section(&mut self) -> Result<Step, CaptureError> {
        if self.position == 0 {
            return Err(CaptureError::SectionHeader);
        }
        Ok(self.end("a section header that is not valid".to_owned()))
    }

    fn interface(&mut self, order: Order, body: &[u8], length: usize) -> Step {
        let (Some(number), Some(snapshot_bytes)) = (order.u16(body, 0), order.u32(body, 4)) else {
            return self.end("an interface description that is too short".to_owned());
        };
        let mut interface =
            Interface { link: LinkType::from_number(number), snapshot_bytes, resolution: 6, offset_s: 0 };
        for (code, value) in options(order, &body[8..]) {
            match code {
                OPTION_TIME_RESOLUTION => interface.resolution = value.first().copied().unwrap_or(6),
                OPTION_TIME_OFFSET => interface.offset_s = order.i64(value).unwrap_or(0),
                _ => {}
            }
        }
        match &mut self.state {
            State::Pcapng { interfaces, .. } if interfaces.len() < CAPTURE_INTERFACES => {
                interfaces.push(interface);
                Step::Skip(length as u64)
            }
            _ => self.end(format!("an interface beyond the {CAPTURE_INTERFACES} that are read")),
        }
    }

    /// Any of the three blocks that hold a packet; `None` when it contradicts itself.
    fn packet_block(&mut self, order: Order, kind: u32, body: &[u8], out: &mut Vec<Datagram>) -> Option<()> {
        let State::Pcapng { interfaces, .. } = &self.state else { return None };
        let (number, time_ns, frame) = match kind {
            SIMPLE_PACKET_BLOCK => {
                let interface = interfaces.first()?;
                let data = body.get(4..)?;
                let mut length = (order.u32(body, 0)? as usize).min(data.len());
                if interface.snapshot_bytes != 0 {
                    length = length.min(interface.snapshot_bytes as usize);
                }
                (0, 0, data.get(..length)?)
            }
            _ => {
                let number = if kind == PACKET_BLOCK { u32::from(order.u16(body, 0)?) } else { order.u32(body, 0)? };
                let ticks = u64::from(order.u32(body, 4)?) << 32 | u64::from(order.u32(body, 8)?);
                let length = order.u32(body, 12)? as usize;
                let time_ns = interfaces.get(number as usize)?.time_ns(ticks);
                (number, time_ns, body.get(20..)?.get(..length)?)
            }
        };
        match interfaces.get(number as usize)?.link {
            Some(link) => self.packets.packet(time_ns, number, link, frame, out),
            None => self.packets.counters.unknown_link += 1,
        }
        Some(())
    }

    fn end(&mut self, what: String) -> Step {
        self.state = State::Ended(format!("at byte {} is {what}; what follows was not read", self.position));
        Step::Skip(0)
    }
}

/// The options of a block: code and value, until they end or make no sense.
fn options(order: Order, mut rest: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let code = order.u16(rest, 0).filter(|code| *code != OPTION_END)?;
        let length = usize::from(order.u16(rest, 2)?);
        let value = rest.get(4..4 + length)?;
        rest = rest.get(4 + length.next_multiple_of(4)..).unwrap_or(&[]);
        Some((code, value))
    })
}
