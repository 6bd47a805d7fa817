//! A `recvmmsg` loop that counts and looks at nothing.

use std::io;
use std::mem::{size_of, zeroed};
use std::net::{Ipv4Addr, UdpSocket};
use std::os::fd::AsRawFd;
use std::ptr::null_mut;
use std::time::Duration;

use crate::clock::{self, Stopwatch};
use crate::{BATCH, BUFFER_BYTES, Served, number};

/// A burst is over when nothing has come for this long.
const QUIET: Duration = Duration::from_millis(300);

pub struct Receiver {
    socket: UdpSocket,
    messages: Vec<libc::mmsghdr>,
    // What `messages` points into; never resized.
    _vectors: Vec<libc::iovec>,
    _buffers: Vec<u8>,
}

impl Receiver {
    /// Join `group` with a receive buffer of `buffer` bytes as SO_RCVBUF counts them, beyond `rmem_max` where allowed.
    pub fn open(group: Ipv4Addr, port: u16, buffer: u32) -> io::Result<Self> {
        let socket = UdpSocket::bind((group, port))?;
        socket.join_multicast_v4(&group, &Ipv4Addr::LOCALHOST)?;
        set_buffer(&socket, buffer)?;
        let mut buffers = vec![0_u8; BATCH * BUFFER_BYTES];
        let mut vectors: Vec<libc::iovec> = buffers
            .chunks_exact_mut(BUFFER_BYTES)
            .map(|chunk| libc::iovec { iov_base: chunk.as_mut_ptr().cast(), iov_len: chunk.len() })
            .collect();
        let messages = vectors
            .iter_mut()
            .map(|vector| {
                // SAFETY: an all-zero mmsghdr is a valid empty one.
                let mut message: libc::mmsghdr = unsafe { zeroed() };
                message.msg_hdr.msg_iov = vector;
                message.msg_hdr.msg_iovlen = 1;
                message
            })
            .collect();
        Ok(Self { socket, messages, _vectors: vectors, _buffers: buffers })
    }

    /// One system call; `None` when there was nothing (and, blocking, nothing came for the socket's timeout).
    fn batch(&mut self, flags: libc::c_int) -> io::Result<Option<(u64, u64)>> {
        // SAFETY: every message points at its own live iovec and buffer, and `messages` holds BATCH of them.
        let count = unsafe {
            libc::recvmmsg(self.socket.as_raw_fd(), self.messages.as_mut_ptr(), BATCH as u32, flags, null_mut())
        };
        if count < 0 {
            let error = io::Error::last_os_error();
            return if error.kind() == io::ErrorKind::WouldBlock { Ok(None) } else { Err(error) };
        }
        let taken = &self.messages[..count as usize];
        Ok(Some((taken.len() as u64, taken.iter().map(|message| u64::from(message.msg_len)).sum())))
    }

    /// Take all that lies in the socket's buffer.
    fn drain(&mut self) -> io::Result<String> {
        let watch = Stopwatch::start();
        let (mut datagrams, mut bytes) = (0, 0);
        while let Some((count, size)) = self.batch(libc::MSG_DONTWAIT)? {
            datagrams += count;
            bytes += size;
        }
        Ok(format!(r#"{{"datagrams": {datagrams}, "bytes": {bytes}, {}}}"#, watch.json()))
    }

    /// Take what comes until it stops coming; `wall_ns` is from the first batch to the last.
    fn live(&mut self, patience: Duration) -> io::Result<String> {
        self.socket.set_read_timeout(Some(patience))?;
        let (mut datagrams, mut bytes, mut first, mut last) = (0, 0, 0, 0);
        let cpu = clock::cpu();
        while let Some((count, size)) = self.batch(libc::MSG_WAITFORONE)? {
            if datagrams == 0 {
                first = clock::monotonic();
                self.socket.set_read_timeout(Some(QUIET))?;
            }
            datagrams += count;
            bytes += size;
            last = clock::monotonic();
        }
        let (wall, cpu) = (last - first, clock::cpu() - cpu);
        Ok(format!(r#"{{"datagrams": {datagrams}, "bytes": {bytes}, "wall_ns": {wall}, "cpu_ns": {cpu}}}"#))
    }
}

impl Served for Receiver {
    fn ready(&self) -> String {
        r#"{"ready": true}"#.to_owned()
    }

    fn answer(&mut self, words: &[&str]) -> Result<String, String> {
        match words {
            ["drain"] => self.drain().map_err(|error| error.to_string()),
            ["live", seconds] => {
                let patience = Duration::from_secs(number(seconds)?);
                self.live(patience).map_err(|error| error.to_string())
            }
            _ => Err(format!("{}: no such command; drain, or live SECONDS", words.join(" "))),
        }
    }
}

/// SO_RCVBUFFORCE where the process may (its own network namespace's administrator), SO_RCVBUF otherwise.
fn set_buffer(socket: &UdpSocket, bytes: u32) -> io::Result<()> {
    for option in [libc::SO_RCVBUFFORCE, libc::SO_RCVBUF] {
        // SAFETY: the value is a live integer of the length given.
        let status = unsafe {
            let value = (&raw const bytes).cast();
            libc::setsockopt(socket.as_raw_fd(), libc::SOL_SOCKET, option, value, size_of::<u32>() as libc::socklen_t)
        };
        if status == 0 {
            return Ok(());
        }
    }
    Err(io::Error::last_os_error())
}
