//! Unconnected sockets, one an address family, by which two sessions talk to each other past the group.

use super::destination::drain_errors;
use super::options::{Interface, SendOptions, SocketError, open_answering};
use socket2::{SockAddr, Socket};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

pub struct Answering {
    sockets: Vec<(bool, Arc<Socket>)>,
    /// Datagrams that could not be sent: the session that wanted them sent asks or answers again.
    pub unsent: u64,
}

impl Answering {
    /// A socket for each address family in `peers`, bound to the source address that `options` name in that family.
    pub fn open(
        peers: &[IpAddr],
        interface: &Interface,
        options: &SendOptions,
        receive_buffer: usize,
    ) -> Result<Answering, SocketError> {
        let mut sockets = Vec::new();
        for (is_ipv4, any) in [(true, IpAddr::V4(Ipv4Addr::UNSPECIFIED)), (false, IpAddr::V6(Ipv6Addr::UNSPECIFIED))] {
            if peers.iter().any(|peer| peer.is_ipv4() == is_ipv4) {
                let local = options.source.filter(|source| source.is_ipv4() == is_ipv4).unwrap_or(any);
                let socket = open_answering(local, interface, options, receive_buffer)?;
                sockets.push((is_ipv4, Arc::new(socket)));
            }
        }
        Ok(Answering { sockets, unsent: 0 })
    }

    /// Every socket.
    pub fn sockets(&self) -> impl Iterator<Item = &Arc<Socket>> {
        self.sockets.iter().map(|(_, socket)| socket)
    }

    /// The socket that reaches `address`, if there is one of that family.
    pub fn for_family_of(&self, address: IpAddr) -> Option<&Arc<Socket>> {
        self.sockets.iter().find(|(is_ipv4, _)| *is_ipv4 == address.is_ipv4()).map(|(_, socket)| socket)
    }

    /// Leave the ports.
    pub fn close(&mut self) {
        self.sockets.clear();
    }

    /// Send one datagram. What the queue does not take is counted and gone.
    pub fn send(&mut self, bytes: &[u8], to: SocketAddr) {
        let sent = self.for_family_of(to.ip()).is_some_and(|socket| send(socket, bytes, to).is_ok());
        self.unsent += u64::from(!sent);
    }
}

/// An error may be that of an earlier datagram, to someone who has gone: hear it out, and try once more.
fn send(socket: &Socket, bytes: &[u8], to: SocketAddr) -> io::Result<usize> {
    let to = SockAddr::from(to);
    let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
    socket.send_to_with_flags(bytes, &to, flags).or_else(|_| {
        drain_errors(socket);
        socket.send_to_with_flags(bytes, &to, flags)
    })
}
