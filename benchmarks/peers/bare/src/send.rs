//! A `sendmmsg` loop over datagrams that are ready in memory.

use std::hint::spin_loop;
use std::io;
use std::mem::zeroed;
use std::net::{Ipv4Addr, UdpSocket};
use std::os::fd::AsRawFd;

use crate::clock::{self, Stopwatch};
use crate::{BATCH, Served, number};

/// A paced sender catches up in batches no larger than this, so that its rate holds over a millisecond too.
const PACED_BATCH: u64 = 16;

pub struct Sender {
    socket: UdpSocket,
    // The datagrams, repeated until every start within the first round is followed by a whole batch.
    messages: Vec<libc::mmsghdr>,
    round: usize,
    next: usize,
    _vectors: Vec<libc::iovec>,
    _datagrams: Vec<Vec<u8>>,
}

impl Sender {
    /// Send to `group` what `file` holds: datagrams, each behind its length as four little-endian bytes.
    pub fn open(group: Ipv4Addr, port: u16, file: &str) -> io::Result<Self> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        socket.set_multicast_ttl_v4(1)?;
        socket.connect((group, port))?;
        let mut datagrams = read_datagrams(&std::fs::read(file)?)?;
        let vectors: Vec<libc::iovec> = datagrams
            .iter_mut()
            .map(|datagram| libc::iovec { iov_base: datagram.as_mut_ptr().cast(), iov_len: datagram.len() })
            .collect();
        let round = vectors.len();
        let messages = (0..round + BATCH)
            .map(|index| {
                // SAFETY: an all-zero mmsghdr is a valid empty one.
                let mut message: libc::mmsghdr = unsafe { zeroed() };
                message.msg_hdr.msg_iov = (&raw const vectors[index % round]).cast_mut();
                message.msg_hdr.msg_iovlen = 1;
                message
            })
            .collect();
        Ok(Self { socket, messages, round, next: 0, _vectors: vectors, _datagrams: datagrams })
    }

    fn batch(&mut self, limit: u64) -> io::Result<u64> {
        let wanted = limit.min(BATCH as u64) as u32;
        let first = &raw mut self.messages[self.next];
        // SAFETY: `messages` holds BATCH more than `round`, so `wanted` of them are there from any `next`.
        let sent = unsafe { libc::sendmmsg(self.socket.as_raw_fd(), first, wanted, 0) };
        if sent < 0 {
            return Err(io::Error::last_os_error());
        }
        self.next = (self.next + sent as usize) % self.round;
        Ok(sent as u64)
    }

    fn burst(&mut self, count: u64) -> io::Result<String> {
        let watch = Stopwatch::start();
        let mut sent = 0;
        while sent < count {
            sent += self.batch(count - sent)?;
        }
        Ok(format!(r#"{{"datagrams": {sent}, {}}}"#, watch.json()))
    }

    /// `count` datagrams at `rate` a second, by a clock that is watched without sleeping.
    fn pace(&mut self, rate: u64, count: u64) -> io::Result<String> {
        let watch = Stopwatch::start();
        let start = clock::monotonic();
        let mut sent = 0;
        while sent < count {
            let due = (u128::from(clock::monotonic() - start) * u128::from(rate) / 1_000_000_000) as u64;
            if due > sent {
                sent += self.batch((due - sent).min(count - sent).min(PACED_BATCH))?;
            } else {
                spin_loop();
            }
        }
        Ok(format!(r#"{{"datagrams": {sent}, {}}}"#, watch.json()))
    }
}

impl Served for Sender {
    fn ready(&self) -> String {
        format!(r#"{{"ready": true, "round": {}}}"#, self.round)
    }

    fn answer(&mut self, words: &[&str]) -> Result<String, String> {
        let outcome = match words {
            ["burst", count] => self.burst(number(count)?),
            ["pace", rate, count] => self.pace(number(rate)?, number(count)?),
            _ => return Err(format!("{}: no such command; burst COUNT, or pace RATE COUNT", words.join(" "))),
        };
        outcome.map_err(|error| error.to_string())
    }
}

fn read_datagrams(mut rest: &[u8]) -> io::Result<Vec<Vec<u8>>> {
    let bad = || io::Error::new(io::ErrorKind::InvalidData, "cut short, or empty");
    let mut datagrams = Vec::new();
    while let Some((length, tail)) = rest.split_first_chunk::<4>() {
        let length = u32::from_le_bytes(*length) as usize;
        datagrams.push(tail.get(..length).ok_or_else(bad)?.to_vec());
        rest = &tail[length..];
    }
    if datagrams.is_empty() || !rest.is_empty() { Err(bad()) } else { Ok(datagrams) }
}
