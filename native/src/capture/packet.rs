//! One captured packet to a UDP datagram: link layer, IP, fragments, UDP.

use super::Datagram;
use super::reassembly::{Fragment, FragmentKey, Outcome, Reassembly};
use crate::limits::{CAPTURE_FRAGMENT_BYTES, CAPTURE_FRAGMENTED_DATAGRAMS, CAPTURE_VLAN_TAGS};
use etherparse::{Ipv6ExtensionSlice, LaxIpSlice, UdpSlice, ip_number};
use std::net::{IpAddr, SocketAddr};

const ETHERTYPE_IPV4: u16 = 0x0800;
const ETHERTYPE_IPV6: u16 = 0x86dd;
/// 802.1Q, 802.1ad, and what was used for double tags before 802.1ad.
const ETHERTYPES_VLAN: [u16; 3] = [0x8100, 0x88a8, 0x9100];

/// The link layers that we read, under each of their numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkType {
    Ethernet,
    /// An IP packet, version 4 or 6, with nothing in front.
    RawIp,
    /// 16 bytes in front, the EtherType last.
    LinuxCooked,
    /// 20 bytes in front, the EtherType first.
    LinuxCooked2,
    /// 4 bytes in front: an address family, whose number differs by system and whose byte order by machine.
    BsdLoopback,
}

impl LinkType {
    /// The low 16 bits of the field; in pcap files those above can say how long the frame check sequence is.
    pub fn from_number(number: u16) -> Option<Self> {
        match number {
            1 => Some(Self::Ethernet),
            12 | 14 | 101 | 228 | 229 => Some(Self::RawIp),
            113 => Some(Self::LinuxCooked),
            276 => Some(Self::LinuxCooked2),
            0 | 108 => Some(Self::BsdLoopback),
            _ => None,
        }
    }

    /// The IP packet within `frame`; `None` when it is cut short or carries something else.
    fn ip_packet(self, frame: &[u8]) -> Option<&[u8]> {
        match self {
            Self::RawIp => Some(frame),
            // The address family needs no reading: the version in the first byte of IP says the same.
            Self::BsdLoopback => frame.get(4..),
            Self::Ethernet => behind_ethertype(be16(frame, 12)?, frame.get(14..)?),
            Self::LinuxCooked => behind_ethertype(be16(frame, 14)?, frame.get(16..)?),
            Self::LinuxCooked2 => behind_ethertype(be16(frame, 0)?, frame.get(20..)?),
        }
    }
}

fn be16(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

fn behind_ethertype(mut ethertype: u16, mut rest: &[u8]) -> Option<&[u8]> {
    for _ in 0..=CAPTURE_VLAN_TAGS {
        if ethertype == ETHERTYPE_IPV4 || ethertype == ETHERTYPE_IPV6 {
            return Some(rest);
        }
        if !ETHERTYPES_VLAN.contains(&ethertype) {
            return None;
        }
        ethertype = be16(rest, 2)?;
        rest = rest.get(4..)?;
    }
    None
}

/// What became of the packets so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Packets in the capture.
    pub packets: u64,
    /// UDP datagrams given out.
    pub datagrams: u64,
    /// Packets that carry something else.
    pub not_udp: u64,
    /// Packets that are cut short or contradict themselves, whole datagrams whose checksum does not hold among them.
    pub malformed: u64,
    /// Packets of a pcapng interface whose link layer we do not read.
    pub unknown_link: u64,
    /// UDP packets that were one fragment of a datagram.
    pub fragments: u64,
    /// Datagrams of which a fragment was missing.
    pub incomplete: u64,
    /// Those of them that were given up for want of room.
    pub evicted: u64,
}

/// Takes packets, keeps fragments, gives datagrams.
#[derive(Debug)]
pub struct PacketReader {
    pub counters: Counters,
    reassembly: Reassembly,
}

impl PacketReader {
    pub fn new() -> Self {
        Self {
            counters: Counters::default(),
            reassembly: Reassembly::new(CAPTURE_FRAGMENTED_DATAGRAMS, CAPTURE_FRAGMENT_BYTES),
        }
    }

    /// `interface` keeps the fragments of two interfaces apart, which may see the same datagram.
    pub fn packet(&mut self, time_ns: u64, interface: u32, link: LinkType, frame: &[u8], out: &mut Vec<Datagram>) {
        let Some(packet) = link.ip_packet(frame) else {
            self.counters.not_udp += 1;
            return;
        };
        let Ok((ip, broken_extension)) = LaxIpSlice::from_slice(packet) else {
            self.counters.malformed += 1;
            return;
        };
        if ip.payload_ip_number() != ip_number::UDP && broken_extension.is_none() {
            self.counters.not_udp += 1;
            return;
        }
        // A packet that the capture's snapshot length cut short cannot be an event any more.
        if broken_extension.is_some() || ip.payload().incomplete {
            self.counters.malformed += 1;
            return;
        }
        let (source, destination) = (ip.source_addr(), ip.destination_addr());
        if let Some(fragment) = fragment_of(&ip, interface, time_ns) {
            self.fragment(&fragment, out);
        } else {
            self.udp(time_ns, source, destination, ip.payload().payload, false, out);
        }
    }

    /// The capture is over: what still waits for a fragment will wait for ever.
    pub fn finish(&mut self) {
        self.counters.incomplete += self.reassembly.clear();
    }

    fn fragment(&mut self, fragment: &Fragment<'_>, out: &mut Vec<Datagram>) {
        let added = self.reassembly.add(fragment);
        self.counters.incomplete += added.given_up + added.evicted;
        self.counters.evicted += added.evicted;
        match added.outcome {
            Outcome::Malformed => self.counters.malformed += 1,
            Outcome::Kept => self.counters.fragments += 1,
            Outcome::Whole(payload) => {
                self.counters.fragments += 1;
                let key = &fragment.key;
                self.udp(fragment.time_ns, key.source, key.destination, &payload, true, out);
            }
        }
    }

    /// `reassembled` datagrams must have a right checksum: identifications repeat within seconds on a busy host, and
    /// only the checksum tells the fragments of two datagrams from those of one. On others it is not looked at, since
    /// a capture on the sending host is made before the network card fills it in.
    fn udp(
        &mut self,
        time_ns: u64,
        source: IpAddr,
        destination: IpAddr,
        segment: &[u8],
        reassembled: bool,
        out: &mut Vec<Datagram>,
    ) {
        match UdpSlice::from_slice(segment) {
            Ok(udp) if !reassembled || checksum_holds(source, destination, &udp) => {
                self.counters.datagrams += 1;
                out.push(Datagram {
                    time_ns,
                    source: SocketAddr::new(source, udp.source_port()),
                    destination: SocketAddr::new(destination, udp.destination_port()),
                    payload: udp.payload().to_vec(),
                });
            }
            _ => self.counters.malformed += 1,
        }
    }
}

/// The fragment that `ip` is, or `None` when it is whole.
fn fragment_of<'a>(ip: &LaxIpSlice<'a>, interface: u32, time_ns: u64) -> Option<Fragment<'a>> {
    if !ip.is_fragmenting_payload() {
        return None;
    }
    let (identification, offset, more) = match ip {
        LaxIpSlice::Ipv4(ipv4) => {
            let header = ipv4.header();
            (u32::from(header.identification()), header.fragments_offset(), header.more_fragments())
        }
        LaxIpSlice::Ipv6(ipv6) => {
            let header = ipv6.extensions().clone().into_iter().find_map(|extension| match extension {
                Ipv6ExtensionSlice::Fragment(header) if header.is_fragmenting_payload() => Some(header),
                _ => None,
            })?;
            (header.identification(), header.fragment_offset(), header.more_fragments())
        }
    };
    let key = FragmentKey { source: ip.source_addr(), destination: ip.destination_addr(), identification, interface };
    Some(Fragment { key, time_ns, offset, more, payload: ip.payload().payload })
}

fn checksum_holds(source: IpAddr, destination: IpAddr, udp: &UdpSlice<'_>) -> bool {
    let header = udp.to_header();
    let right = match (source, destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            if header.checksum == 0 {
                return true; // RFC 768: the sender made none
            }
            header.calc_checksum_ipv4_raw(source.octets(), destination.octets(), udp.payload())
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            header.calc_checksum_ipv6_raw(source.octets(), destination.octets(), udp.payload())
        }
        _ => return false,
    };
    right == Ok(header.checksum)
}
