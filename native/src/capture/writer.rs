//! UDP payloads to a capture: raw IP link type, nanosecond times, every checksum right. Little-endian throughout.

use super::CaptureError;
use crate::limits::CAPTURE_PACKET_BYTES;
use crate::limits::{DATAGRAM_IPV4_BYTES, DATAGRAM_IPV6_BYTES};
use etherparse::PacketBuilder;
use std::net::{IpAddr, SocketAddr};

const LINKTYPE_RAW: u16 = 101;

/// The hop limit written into packets, that of the stock module's own.
const TTL: u8 = 1;

/// What `packet` may hold beside its payload: an IPv6 header and a UDP header.
const HEADERS_BYTES: usize = 48;

/// The two formats that Wireshark knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CaptureFormat {
    Pcap,
    #[default]
    Pcapng,
}

impl CaptureFormat {
    /// By the name that options and suffixes give it.
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "pcap" => Some(Self::Pcap),
            "pcapng" => Some(Self::Pcapng),
            _ => None,
        }
    }
}

/// Makes the bytes of a capture: the header once, then a record for each datagram.
#[derive(Clone, Copy, Debug, Default)]
pub struct CaptureWriter {
    format: CaptureFormat,
}

impl CaptureWriter {
    pub fn new(format: CaptureFormat) -> Self {
        Self { format }
    }

    /// What a capture begins with.
    pub fn header(&self) -> Vec<u8> {
        match self.format {
            CaptureFormat::Pcap => pcap_header(),
            CaptureFormat::Pcapng => pcapng_header(),
        }
    }

    /// One record: `payload` in one unfragmented UDP packet. `time_ns` counts nanoseconds since 1970 UTC.
    pub fn packet(
        &self,
        time_ns: u64,
        source: SocketAddr,
        destination: SocketAddr,
        payload: &[u8],
    ) -> Result<Vec<u8>, CaptureError> {
        let packet = udp_packet(source, destination, payload)?;
        match self.format {
            CaptureFormat::Pcap => pcap_record(time_ns, &packet),
            CaptureFormat::Pcapng => Ok(enhanced_packet_block(time_ns, &packet)),
        }
    }
}

fn udp_packet(source: SocketAddr, destination: SocketAddr, payload: &[u8]) -> Result<Vec<u8>, CaptureError> {
    let (step, limit) = match (source.ip(), destination.ip()) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            (PacketBuilder::ipv4(from.octets(), to.octets(), TTL), DATAGRAM_IPV4_BYTES)
        }
        (IpAddr::V6(from), IpAddr::V6(to)) => {
            (PacketBuilder::ipv6(from.octets(), to.octets(), TTL), DATAGRAM_IPV6_BYTES)
        }
        _ => return Err(CaptureError::MixedFamilies(source, destination)),
    };
    let too_long = CaptureError::PayloadTooLong { size: payload.len(), limit };
    if payload.len() > limit {
        return Err(too_long);
    }
    let mut packet = Vec::with_capacity(HEADERS_BYTES + payload.len());
    // The length is all that can be wrong with a packet in memory.
    step.udp(source.port(), destination.port()).write(&mut packet, payload).map_err(|_| too_long)?;
    Ok(packet)
}

fn pcap_header() -> Vec<u8> {
    let mut header = Vec::with_capacity(24);
    header.extend_from_slice(&0xa1b2_3c4d_u32.to_le_bytes()); // nanosecond times
    header.extend_from_slice(&2u16.to_le_bytes());
    header.extend_from_slice(&4u16.to_le_bytes());
    header.extend_from_slice(&[0; 8]);
    header.extend_from_slice(&(CAPTURE_PACKET_BYTES as u32).to_le_bytes());
    header.extend_from_slice(&u32::from(LINKTYPE_RAW).to_le_bytes());
    header
}

fn pcap_record(time_ns: u64, packet: &[u8]) -> Result<Vec<u8>, CaptureError> {
    let (seconds, nanoseconds) = (time_ns / 1_000_000_000, time_ns % 1_000_000_000);
    let seconds = u32::try_from(seconds).map_err(|_| CaptureError::TimeTooLate(seconds))?;
    let length = (packet.len() as u32).to_le_bytes();
    let mut record = Vec::with_capacity(16 + packet.len());
    record.extend_from_slice(&seconds.to_le_bytes());
    record.extend_from_slice(&(nanoseconds as u32).to_le_bytes());
    record.extend_from_slice(&length);
    record.extend_from_slice(&length);
    record.extend_from_slice(packet);
    Ok(record)
}

/// A section header and one interface, whose times are in nanoseconds.
fn pcapng_header() -> Vec<u8> {
    let mut section = Vec::new();
    section.extend_from_slice(&0x1a2b_3c4d_u32.to_le_bytes());
    section.extend_from_slice(&1u16.to_le_bytes());
    section.extend_from_slice(&0u16.to_le_bytes());
    section.extend_from_slice(&u64::MAX.to_le_bytes()); // the section's length, not known yet
    push_option(&mut section, 4, b"switchcast");
    push_option(&mut section, 0, b"");

    let mut interface = Vec::new();
    interface.extend_from_slice(&LINKTYPE_RAW.to_le_bytes());
    interface.extend_from_slice(&[0; 2]);
    interface.extend_from_slice(&0u32.to_le_bytes()); // packets of any length
    push_option(&mut interface, 9, &[9]); // times in 10^-9 s
    push_option(&mut interface, 0, b"");

    let mut header = block(0x0a0d_0d0a, &section);
    header.extend_from_slice(&block(1, &interface));
    header
}

fn enhanced_packet_block(time_ns: u64, packet: &[u8]) -> Vec<u8> {
    let length = (packet.len() as u32).to_le_bytes();
    let mut body = Vec::with_capacity(20 + packet.len() + 3);
    body.extend_from_slice(&0u32.to_le_bytes());
    body.extend_from_slice(&((time_ns >> 32) as u32).to_le_bytes());
    body.extend_from_slice(&(time_ns as u32).to_le_bytes());
    body.extend_from_slice(&length);
    body.extend_from_slice(&length);
    body.extend_from_slice(packet);
    block(6, &body)
}

fn push_option(body: &mut Vec<u8>, code: u16, value: &[u8]) {
    body.extend_from_slice(&code.to_le_bytes());
    body.extend_from_slice(&(value.len() as u16).to_le_bytes());
    body.extend_from_slice(value);
    body.resize(body.len().next_multiple_of(4), 0);
}

/// A block: its type, its length, its body padded to four bytes, its length again.
fn block(kind: u32, body: &[u8]) -> Vec<u8> {
    let padded = body.len().next_multiple_of(4);
    let length = (12 + padded) as u32;
    let mut block = Vec::with_capacity(length as usize);
    block.extend_from_slice(&kind.to_le_bytes());
    block.extend_from_slice(&length.to_le_bytes());
    block.extend_from_slice(body);
    block.resize(8 + padded, 0);
    block.extend_from_slice(&length.to_le_bytes());
    block
}
