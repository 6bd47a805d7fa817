//! Captures are made here by hand, field by field, so that the reader is not tested against the writer alone.

use super::packet::LinkType;
use super::*;
use crate::limits;
use etherparse::{Ipv4Header, NetSlice, PacketBuilder, SlicedPacket, TransportSlice, UdpHeader};

const TIME: u64 = 1_700_000_000_123_456_789;

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn datagram(payload: &[u8]) -> Datagram {
    let (source, destination) = (address("10.0.0.1:5000"), address("225.1.1.1:4242"));
    Datagram { time_ns: TIME, source, destination, payload: payload.to_vec() }
}

fn datagram6(payload: &[u8]) -> Datagram {
    Datagram { source: address("[fd00::1]:5000"), destination: address("[ff02::4242]:4242"), ..datagram(payload) }
}

/// The IP packet of a datagram.
fn packet(datagram: &Datagram) -> Vec<u8> {
    let record = CaptureWriter::new(CaptureFormat::Pcap);
    record.packet(TIME, datagram.source, datagram.destination, &datagram.payload).unwrap()[16..].to_vec()
}

#[derive(Clone, Copy)]
struct Order(bool);

impl Order {
    const BOTH: [Order; 2] = [Order(false), Order(true)];

    fn u16(self, value: u16) -> [u8; 2] {
        if self.0 { value.to_be_bytes() } else { value.to_le_bytes() }
    }

    fn u32(self, value: u32) -> [u8; 4] {
        if self.0 { value.to_be_bytes() } else { value.to_le_bytes() }
    }

    fn fields(self, values: &[u32]) -> Vec<u8> {
        values.iter().flat_map(|value| self.u32(*value)).collect()
    }

    fn block(self, kind: u32, body: &[u8]) -> Vec<u8> {
        let padding = vec![0; body.len().next_multiple_of(4) - body.len()];
        let length = self.u32((12 + body.len() + padding.len()) as u32);
        [&self.u32(kind)[..], &length, body, &padding, &length].concat()
    }

    fn section(self) -> Vec<u8> {
        let body = [&self.u32(0x1a2b_3c4d)[..], &self.u16(1), &self.u16(0), &[0xff; 8]].concat();
        self.block(0x0a0d_0d0a, &body)
    }

    fn interface(self, link: u16, options: &[(u16, &[u8])]) -> Vec<u8> {
        let mut body = [&self.u16(link)[..], &[0, 0], &self.u32(0)].concat();
        for (code, value) in options {
            body.extend([&self.u16(*code)[..], &self.u16(value.len() as u16), value].concat());
            body.resize(body.len().next_multiple_of(4), 0);
        }
        self.block(1, &body)
    }

    fn enhanced(self, interface: u32, ticks: u64, frame: &[u8]) -> Vec<u8> {
        let length = frame.len() as u32;
        let fields = self.fields(&[interface, (ticks >> 32) as u32, ticks as u32, length, length]);
        self.block(6, &[&fields, frame].concat())
    }
}

/// A little-endian pcap file of nanosecond times: `(time, frame)`.
fn pcap(link: u32, frames: &[(u64, &[u8])]) -> Vec<u8> {
    let order = Order(false);
    let mut file = order.fields(&[0xa1b2_3c4d, 0x0004_0002, 0, 0, 262_144, link]);
    for (time, frame) in frames {
        let length = frame.len() as u32;
        let (seconds, nanoseconds) = (time / 1_000_000_000, time % 1_000_000_000);
        file.extend(order.fields(&[seconds as u32, nanoseconds as u32, length, length]));
        file.extend(*frame);
    }
    file
}

/// What came out: the datagrams, what `finish` said, the counters.
#[derive(Debug, PartialEq)]
struct Read {
    datagrams: Vec<Datagram>,
    error: Option<CaptureError>,
    cut: Option<String>,
    counters: Vec<(&'static str, u64)>,
}

impl Read {
    fn of<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut reader = CaptureReader::new();
        let mut datagrams = Vec::new();
        let error = pieces.into_iter().find_map(|piece| reader.feed(piece, &mut datagrams).err());
        let cut = reader.finish();
        Self { datagrams, error, cut, counters: reader.counters() }
    }

    fn whole(file: &[u8]) -> Self {
        Self::of([file])
    }

    fn count(&self, name: &str) -> u64 {
        self.counters.iter().find(|(each, _)| *each == name).unwrap().1
    }

    #[track_caller]
    fn gives(&self, expected: &[Datagram]) {
        assert_eq!((&self.error, &self.cut), (&None, &None));
        assert_eq!(self.datagrams, expected);
    }
}

/// The fragments of a datagram's IP packet, each with `size` bytes of payload, in order.
fn fragments(datagram: &Datagram, identification: u32, size: usize) -> Vec<Vec<u8>> {
    let packet = packet(datagram);
    let version6 = packet[0] >> 4 == 6;
    let (header, payload) = packet.split_at(if version6 { 40 } else { 20 });
    let count = payload.len().div_ceil(size);
    let fragment = |(index, piece): (usize, &[u8])| {
        let (offset, more) = ((index * size / 8) as u16, index + 1 < count);
        let mut head = header.to_vec();
        if version6 {
            let offset = (offset << 3 | u16::from(more)).to_be_bytes();
            head[4..6].copy_from_slice(&((piece.len() + 8) as u16).to_be_bytes());
            head[6] = 44;
            head.extend([&[17, 0][..], &offset, &identification.to_be_bytes()].concat());
        } else {
            head[2..4].copy_from_slice(&((piece.len() + 20) as u16).to_be_bytes());
            head[4..6].copy_from_slice(&(identification as u16).to_be_bytes());
            head[6..8].copy_from_slice(&(offset | u16::from(more) << 13).to_be_bytes());
        }
        [head, piece.to_vec()].concat()
    };
    payload.chunks(size).enumerate().map(fragment).collect()
}

fn read_frames(frames: &[Vec<u8>]) -> Read {
    let frames: Vec<_> = frames.iter().map(|frame| (TIME, &frame[..])).collect();
    Read::whole(&pcap(101, &frames))
}

/// Repeatable numbers, good enough to vary tests with (xorshift, Marsaglia 2003).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % limit as u64) as usize
    }
}

#[test]
fn what_is_written_reads_back() {
    for format in [CaptureFormat::Pcap, CaptureFormat::Pcapng] {
        let writer = CaptureWriter::new(format);
        let mut file = writer.header();
        let mut expected = Vec::new();
        for size in [0, 1, 2, 3, 4, 300, 60_927, limits::DATAGRAM_IPV4_BYTES] {
            expected.push(datagram(&vec![size as u8; size]));
            expected.push(datagram6(&vec![size as u8; size]));
        }
        expected.push(datagram6(&[7; limits::DATAGRAM_IPV6_BYTES]));
        for each in &expected {
            file.extend(writer.packet(TIME, each.source, each.destination, &each.payload).unwrap());
        }
        Read::whole(&file).gives(&expected);
    }
}

#[test]
fn every_checksum_that_is_written_is_right() {
    for payload in [&b"odd"[..], b"even", b"", &[0xff; 1_001]] {
        for each in [datagram(payload), datagram6(payload)] {
            let packet = packet(&each);
            let sliced = SlicedPacket::from_ip(&packet).unwrap();
            let Some(TransportSlice::Udp(udp)) = sliced.transport else { panic!("no UDP") };
            let right = match sliced.net.unwrap() {
                NetSlice::Ipv4(ip) => {
                    let header: Ipv4Header = ip.header().to_header();
                    assert_eq!(header.header_checksum, header.calc_header_checksum());
                    UdpHeader::with_ipv4_checksum(5000, 4242, &header, payload).unwrap().checksum
                }
                NetSlice::Ipv6(ip) => {
                    UdpHeader::with_ipv6_checksum(5000, 4242, &ip.header().to_header(), payload).unwrap().checksum
                }
                NetSlice::Arp(_) => panic!("ARP"),
            };
            assert_eq!(udp.checksum(), right);
        }
    }
}

#[test]
fn a_checksum_of_zero_is_sent_as_all_ones() {
    // RFC 768: zero means that there is none. What the checksum of zeros is, as payload, makes it come out as zero.
    for (each, at) in [(datagram as fn(&[u8]) -> Datagram, 26), (datagram6, 46)] {
        let zeros = packet(&each(&[0, 0]));
        let cancelling = packet(&each(&zeros[at..at + 2]));
        assert_eq!(cancelling[at..at + 2], [0xff, 0xff]);
    }
}

#[test]
fn what_no_packet_can_carry_is_refused() {
    let writer = CaptureWriter::default();
    let (four, six) = (address("10.0.0.1:1"), address("[::1]:1"));
    let send = |source, destination, size| writer.packet(0, source, destination, &vec![0; size]).err();
    assert_eq!(send(four, four, 65_508), Some(CaptureError::PayloadTooLong { size: 65_508, limit: 65_507 }));
    assert_eq!(send(six, six, 65_528), Some(CaptureError::PayloadTooLong { size: 65_528, limit: 65_527 }));
    assert_eq!(send(four, six, 1), Some(CaptureError::MixedFamilies(four, six)));
    let late = CaptureWriter::new(CaptureFormat::Pcap).packet(u64::MAX, four, four, b"");
    assert_eq!(late, Err(CaptureError::TimeTooLate(18_446_744_073)));
    assert!(writer.packet(u64::MAX, four, four, b"").is_ok());
}

#[test]
fn pcap_of_both_byte_orders_and_both_resolutions() {
    let (each, frame) = (datagram(b"event"), packet(&datagram(b"event")));
    for order in Order::BOTH {
        for (magic, fraction, time_ns) in [(0xa1b2_c3d4, 123_456, TIME - 789), (0xa1b2_3c4d, 123_456_789, TIME)] {
            let version = [order.u16(2), order.u16(4)].concat();
            let rest = order.fields(&[0, 0, 65_535, 101]);
            let length = frame.len() as u32;
            let record = order.fields(&[1_700_000_000, fraction, length, length]);
            let file = [&order.u32(magic)[..], &version, &rest, &record, &frame].concat();
            Read::whole(&file).gives(&[Datagram { time_ns, ..each.clone() }]);
        }
    }
}

#[test]
fn every_link_type() {
    let behind = |head: &[u8], payload: &[u8]| [head, payload].concat();
    for (each, ethertype) in [(datagram(b"event"), [8, 0]), (datagram6(b"event"), [0x86, 0xdd])] {
        let ip = packet(&each);
        let tag = |kind: [u8; 2]| [kind, [0, 7]].concat();
        let ethernet = [&[2; 12][..], &ethertype].concat();
        let tagged = [&[2; 12][..], &tag([0x81, 0]), &ethertype].concat();
        let twice = [&[2; 12][..], &tag([0x88, 0xa8]), &tag([0x81, 0]), &ethertype].concat();
        let cooked2 = [&ethertype[..], &[0; 18]].concat();
        let cases = [
            (1, behind(&ethernet, &[ip.clone(), vec![0; 7]].concat())), // the padding of a short frame
            (1, behind(&tagged, &ip)),
            (1, behind(&twice, &ip)),
            (12, ip.clone()),
            (14, ip.clone()),
            (101, ip.clone()),
            (113, behind(&[&[0; 14][..], &ethertype].concat(), &ip)),
            (276, behind(&cooked2, &ip)),
            (0, behind(&[2, 0, 0, 0], &ip)),
            (108, behind(&[0, 0, 0, 30], &ip)),
            (0x1400_0001, behind(&ethernet, &ip)), // four bytes of frame check sequence
        ];
        for (link, frame) in cases {
            Read::whole(&pcap(link, &[(TIME, &frame)])).gives(std::slice::from_ref(&each));
        }
    }
    assert_eq!(LinkType::from_number(228), LinkType::from_number(229));
    assert_eq!(Read::whole(&pcap(105, &[])).error, Some(CaptureError::LinkType(105)));
}

#[test]
fn what_is_no_udp_or_is_broken_is_counted() {
    let mut tcp = Vec::new();
    PacketBuilder::ipv4([10, 0, 0, 1], [10, 0, 0, 2], 1).tcp(1, 2, 3, 4).write(&mut tcp, b"x").unwrap();
    let udp = packet(&datagram(b"event"));
    let mut short_udp = udp.clone();
    short_udp[24..26].copy_from_slice(&7u16.to_be_bytes());
    let arp = [&[2; 12][..], &[8, 6], &[0; 28]].concat();
    let too_many_tags = [&[2; 12][..], &[0x81, 0, 0, 1].repeat(5), &[8, 0], &udp].concat();
    let snapped = &udp[..udp.len() - 1];
    let raw = Read::whole(&pcap(101, &[(0, &tcp), (0, snapped), (0, &short_udp), (0, b""), (0, &[0x45; 3])]));
    assert_eq!((raw.count("not_udp"), raw.count("malformed"), raw.count("packets")), (1, 4, 5));
    let ethernet = Read::whole(&pcap(1, &[(0, &arp), (0, &too_many_tags), (0, &[1; 5])]));
    assert_eq!((ethernet.count("not_udp"), ethernet.count("packets")), (3, 3));
}

#[test]
fn pcapng_of_both_byte_orders_with_several_interfaces() {
    let (four, six) = (datagram(b"four"), datagram6(b"six"));
    let ethernet = [&[2; 12][..], &[8, 0], &packet(&four)].concat();
    let mut file = Vec::new();
    for order in Order::BOTH {
        let offset = if order.0 { (-60i64).to_be_bytes() } else { (-60i64).to_le_bytes() };
        let simple = [&order.u32(ethernet.len() as u32)[..], &ethernet].concat();
        let length = order.u32(ethernet.len() as u32);
        let old = [&order.u16(0)[..], &order.u16(9), &order.fields(&[0, 1_000_000]), &length, &length, &ethernet];
        file.extend(
            [
                order.section(),
                order.interface(1, &[]),
                order.interface(101, &[(2, b"eth0"), (9, &[9]), (14, &offset)]),
                order.interface(147, &[]),
                order.interface(101, &[(9, &[0x80 | 20])]),
                order.interface(101, &[(9, &[12]), (0, b""), (9, &[0])]),
                order.enhanced(0, TIME / 1_000, &ethernet),
                order.block(0xbad, &[1; 100]),
                order.enhanced(1, TIME, &packet(&six)),
                order.enhanced(2, 0, b"a link layer of somebody's own"),
                order.enhanced(3, 3 << 19, &packet(&six)),
                order.enhanced(4, 2_500, &packet(&six)),
                order.enhanced(5, 0, b"an interface that is not there"),
                order.block(3, &simple),
                order.block(2, &old.concat()),
            ]
            .concat(),
        );
    }
    let at = |each: &Datagram, time_ns| Datagram { time_ns, ..each.clone() };
    let section = [
        at(&four, TIME / 1_000 * 1_000),
        at(&six, TIME - 60_000_000_000),
        at(&six, 1_500_000_000),
        at(&six, 2),
        at(&four, 0),
        at(&four, 1_000_000_000),
    ];
    let read = Read::whole(&file);
    read.gives(&[section.clone(), section].concat());
    assert_eq!((read.count("packets"), read.count("unknown_link"), read.count("malformed")), (16, 2, 2));
}

#[test]
fn times_out_of_all_reason_stay_within_64_bits() {
    let order = Order(false);
    let frame = packet(&datagram(b"event"));
    for (resolution, offset, expected) in [
        (0, i64::MAX, u64::MAX),
        (9, i64::MIN, 0),
        (127, 0, 0),
        (0x80 | 63, 0, 1_999_999_999),
        (255, 0, 0),
        (0, 0, u64::MAX),
    ] {
        let interface = order.interface(101, &[(9, &[resolution]), (14, &offset.to_le_bytes())]);
        let file = [order.section(), interface, order.enhanced(0, u64::MAX, &frame)].concat();
        assert_eq!(Read::whole(&file).datagrams[0].time_ns, expected);
    }
}

mod damage;
mod fragmented;
