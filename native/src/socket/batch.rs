//! `recvmmsg` into one set of buffers that is used again and again.

use super::poll::checked;
use socket2::Socket;
use std::io;
use std::mem::{size_of, zeroed};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::os::fd::AsRawFd;

/// Datagrams that one call reads at most. More would not pay: at 32 the call itself is down to a few per cent.
pub const BATCH: usize = 32;

/// Bytes of one buffer. No UDP datagram is longer than 65,527.
const BUFFER: usize = 65_536;
/// From one buffer to the next: not a multiple of a large power of two, for the heads of all buffers would then
/// compete for the same few cache lines.
const STRIDE: usize = BUFFER + 4_096 + 64;
/// Bytes for one control message with a drop count, aligned as the kernel wants it.
const CONTROL: usize = 32;
const NAME_LENGTH: libc::socklen_t = size_of::<libc::sockaddr_in6>() as libc::socklen_t;

/// Buffers for one batch, and where the kernel says what it put there.
pub struct Batch {
    data: Vec<u8>,
    vectors: Vec<libc::iovec>,
    names: Vec<libc::sockaddr_in6>,
    controls: Vec<[u64; CONTROL / 8]>,
    messages: Vec<libc::mmsghdr>,
    touched: usize,
}

// SAFETY: the raw pointers inside point only into the vectors beside them, which move along (their heap does not).
unsafe impl Send for Batch {}

impl Batch {
    pub fn new() -> Batch {
        let mut batch = Batch {
            data: vec![0; STRIDE * BATCH],
            vectors: Vec::with_capacity(BATCH),
            // SAFETY: zeros are a valid address and a valid message header.
            names: vec![unsafe { zeroed() }; BATCH],
            controls: vec![[0; CONTROL / 8]; BATCH],
            messages: vec![unsafe { zeroed() }; BATCH],
            touched: 0,
        };
        for slot in 0..BATCH {
            let start = batch.data[slot * STRIDE..].as_mut_ptr();
            batch.vectors.push(libc::iovec { iov_base: start.cast(), iov_len: BUFFER });
        }
        for slot in 0..BATCH {
            let header = &mut batch.messages[slot].msg_hdr;
            header.msg_iov = &mut batch.vectors[slot];
            header.msg_iovlen = 1;
            header.msg_name = (&raw mut batch.names[slot]).cast();
            header.msg_namelen = NAME_LENGTH;
            header.msg_control = (&raw mut batch.controls[slot]).cast();
            header.msg_controllen = CONTROL;
        }
        batch
    }

    /// Read what waits in `socket`, at most [`BATCH`] datagrams, without waiting; how many there were.
    pub fn read(&mut self, socket: &Socket) -> io::Result<usize> {
        // The kernel writes lengths back where it put something, so only those have to be set anew.
        for message in &mut self.messages[..self.touched] {
            message.msg_hdr.msg_namelen = NAME_LENGTH;
            message.msg_hdr.msg_controllen = CONTROL;
        }
        // SAFETY: every header points at an address, a control buffer and one vector of our own, all of which live.
        let read = checked(unsafe {
            libc::recvmmsg(
                socket.as_raw_fd(),
                self.messages.as_mut_ptr(),
                BATCH as libc::c_uint,
                libc::MSG_DONTWAIT as _,
                std::ptr::null_mut(),
            )
        });
        let read = match read {
            Ok(read) => read as usize,
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => 0,
            Err(error) => return Err(error),
        };
        self.touched = read;
        Ok(read)
    }

    /// The bytes of datagram `slot`, and whether the buffer was too short for all of them.
    pub fn datagram(&self, slot: usize) -> (&[u8], bool) {
        let message = &self.messages[slot];
        let start = slot * STRIDE;
        let length = (message.msg_len as usize).min(BUFFER);
        (&self.data[start..start + length], message.msg_hdr.msg_flags & libc::MSG_TRUNC != 0)
    }

    /// The same, to be opened in place.
    pub fn datagram_mut(&mut self, slot: usize) -> (&mut [u8], bool) {
        let message = &self.messages[slot];
        let start = slot * STRIDE;
        let length = (message.msg_len as usize).min(BUFFER);
        let truncated = message.msg_hdr.msg_flags & libc::MSG_TRUNC != 0;
        (&mut self.data[start..start + length], truncated)
    }

    /// Where an answer to datagram `slot` goes: its source, with the interface that a link-local address needs.
    pub fn answer_to(&self, slot: usize) -> Option<SocketAddr> {
        self.source(slot).map(|source| match source {
            SocketAddr::V6(v6) if v6.ip().is_unicast_link_local() => {
                SocketAddrV6::new(*v6.ip(), v6.port(), 0, self.names[slot].sin6_scope_id).into()
            }
            other => other,
        })
    }

    /// Where datagram `slot` came from, for display and for comparison with configured addresses.
    pub fn source(&self, slot: usize) -> Option<SocketAddr> {
        let name = &self.names[slot];
        let port = u16::from_be(name.sin6_port);
        match i32::from(name.sin6_family) {
            libc::AF_INET6 => {
                let address = Ipv6Addr::from(name.sin6_addr.s6_addr);
                Some(SocketAddr::new(IpAddr::V6(address), port))
            }
            libc::AF_INET => {
                // An IPv4 address stands where IPv6 has its flow information: right behind the port.
                let address = Ipv4Addr::from(name.sin6_flowinfo.to_ne_bytes());
                Some(SocketAddr::new(IpAddr::V4(address), port))
            }
            _ => None,
        }
    }

    /// How many datagrams the socket had dropped in all when datagram `slot` was queued; `None` as long as it has dropped
    /// none, or SO_RXQ_OVFL is not set.
    pub fn dropped(&self, slot: usize) -> Option<u32> {
        let header = &self.messages[slot].msg_hdr;
        // SAFETY: the kernel has filled the control buffer and set its length.
        unsafe {
            let mut control = libc::CMSG_FIRSTHDR(header);
            while let Some(part) = control.as_ref() {
                if part.cmsg_level == libc::SOL_SOCKET && part.cmsg_type == libc::SO_RXQ_OVFL {
                    return Some(libc::CMSG_DATA(control).cast::<u32>().read_unaligned());
                }
                control = libc::CMSG_NXTHDR(header, control);
            }
        }
        None
    }
}

/// How many datagrams the kernel has dropped at `socket` in all, by SO_MEMINFO; `None` before Linux 4.12.
///
/// SO_RXQ_OVFL tells the same number, but only beside the next datagram, and there may be none; and it costs a seventh
/// of all receiving, for the kernel then reads a part of each datagram's book-keeping that is in no cache. So it is for
/// kernels that have nothing else.
pub fn kernel_drops(socket: &Socket) -> Option<u32> {
    const FIELDS: usize = 9;
    const DROPS: usize = 8;
    let mut fields = [0u32; FIELDS];
    let mut length = size_of::<[u32; FIELDS]>() as libc::socklen_t;
    // SAFETY: the pointer and the length are those of one array.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_MEMINFO,
            fields.as_mut_ptr().cast(),
            &mut length,
        )
    };
    (result == 0 && length as usize > DROPS * size_of::<u32>()).then_some(fields[DROPS])
}
