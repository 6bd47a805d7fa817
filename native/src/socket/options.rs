//! Sockets opened with every option that multicast needs, and with errors that say what would mend them.

use super::batch::kernel_drops;
use socket2::{Domain, InterfaceIndexOrAddress, Protocol, SockAddr, Socket, Type};
use std::ffi::{CStr, CString};
use std::io;
use std::mem::{size_of, zeroed};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::os::fd::AsRawFd;

/// Why a socket could not be opened; the text says what would mend it.
#[derive(Debug)]
pub enum SocketError {
    /// Address in use, no route, no such interface address.
    Unavailable(String),
    /// A privilege is missing.
    Denied(String),
    /// What was asked for makes no sense.
    Usage(String),
}

pub struct ReceiveOptions {
    pub addresses: Vec<IpAddr>,
    pub port: u16,
    /// A name, or an address that it has.
    pub interface: Option<String>,
    /// Source-specific joins: only these senders are heard.
    pub sources: Vec<IpAddr>,
    /// Bytes to ask for with SO_RCVBUF.
    pub receive_buffer: usize,
    /// Whether the port of a unicast address may have other sockets; a group's always may. A datagram to such an
    /// address reaches one of them only, so two that ask for the very same one take from each other.
    pub shared: bool,
}

pub struct SendOptions {
    pub addresses: Vec<IpAddr>,
    pub port: u16,
    pub interface: Option<String>,
    /// Local address to bind.
    pub source: Option<IpAddr>,
    /// TTL (IPv4) and hop limit (IPv6) of multicast datagrams.
    pub ttl: u8,
    /// Whether this host's own members get a copy.
    pub loopback: bool,
    /// Bytes to ask for with SO_SNDBUF.
    pub send_buffer: usize,
}

/// A network interface by its index; 0 leaves the choice to the routing table.
#[derive(Clone, Debug)]
pub struct Interface {
    pub index: u32,
    pub name: String,
}

/// The interface of that name, or with that address.
pub fn find_interface(text: Option<&str>) -> Result<Interface, SocketError> {
    let Some(text) = text else {
        return Ok(Interface { index: 0, name: String::new() });
    };
    let name = match text.parse::<IpAddr>() {
        Ok(address) => interface_with(address)
            .ok_or_else(|| SocketError::Unavailable(format!("no interface of this host has the address {address}")))?,
        Err(_) => text.to_owned(),
    };
    let shown = CString::new(name.as_str()).unwrap_or_default();
    // SAFETY: the name ends in a NUL.
    match unsafe { libc::if_nametoindex(shown.as_ptr()) } {
        0 => Err(SocketError::Unavailable(format!(
            "there is no interface {text:?}; this host has {}",
            interface_names().join(", ")
        ))),
        index => Ok(Interface { index, name }),
    }
}

fn interface_names() -> Vec<String> {
    let mut names = Vec::new();
    each_interface_address(|name, _| {
        if !names.contains(&name) {
            names.push(name);
        }
    });
    names
}

fn interface_with(wanted: IpAddr) -> Option<String> {
    let mut found = None;
    each_interface_address(|name, address| {
        if address == Some(wanted) {
            found = Some(name);
        }
    });
    found
}

fn each_interface_address(mut visit: impl FnMut(String, Option<IpAddr>)) {
    let mut list: *mut libc::ifaddrs = std::ptr::null_mut();
    // SAFETY: getifaddrs fills `list`, whose nodes stay valid until freeifaddrs.
    unsafe {
        if libc::getifaddrs(&mut list) != 0 {
            return;
        }
        let mut node = list;
        while let Some(entry) = node.as_ref() {
            let name = CStr::from_ptr(entry.ifa_name).to_string_lossy().into_owned();
            let address = match entry.ifa_addr.as_ref().map(|address| i32::from(address.sa_family)) {
                Some(libc::AF_INET) => {
                    let v4 = &*entry.ifa_addr.cast::<libc::sockaddr_in>();
                    Some(IpAddr::V4(Ipv4Addr::from(v4.sin_addr.s_addr.to_ne_bytes())))
                }
                Some(libc::AF_INET6) => {
                    let v6 = &*entry.ifa_addr.cast::<libc::sockaddr_in6>();
                    Some(IpAddr::V6(Ipv6Addr::from(v6.sin6_addr.s6_addr)))
                }
                _ => None,
            };
            visit(name, address);
            node = entry.ifa_next;
        }
        libc::freeifaddrs(list);
    }
}

/// A bound socket for `address`: joined when it is a group.
pub fn open_receiving(address: IpAddr, interface: &Interface, options: &ReceiveOptions) -> Result<Socket, SocketError> {
    let at = scoped(address, options.port, interface.index);
    let told = |what: &str, error: io::Error| explain(what, at, &interface.name, &error);
    let socket = open(address).map_err(|error| told("open a socket for", error))?;
    if options.shared && !address.is_multicast() {
        // Not SO_REUSEPORT, which would deal out the datagrams of one sender to several sockets.
        socket.set_reuse_address(true).map_err(|error| told("share", error))?;
    }
    if address.is_multicast() {
        socket.set_reuse_address(true).map_err(|error| told("share", error))?;
        socket.set_reuse_port(true).map_err(|error| told("share", error))?;
    }
    set_receive_buffer(&socket, options.receive_buffer).map_err(|error| told("set the receive buffer of", error))?;
    if kernel_drops(&socket).is_none() {
        set_flag(&socket, libc::SOL_SOCKET, libc::SO_RXQ_OVFL, true)
            .map_err(|error| told("count the drops of", error))?;
    }
    if address.is_ipv6() {
        socket.set_only_v6(true).map_err(|error| told("open a socket for", error))?;
    }
    // Bound to the group itself: what is sent to another group on this port never reaches this socket.
    socket.bind(&SockAddr::from(at)).map_err(|error| told("listen on", error))?;
    if address.is_unspecified() {
        // What others on this host have joined is theirs to hear.
        hear_only_own_groups(&socket, address).map_err(|error| told("listen on", error))?;
    }
    if address.is_multicast() {
        hear_only_own_groups(&socket, address).map_err(|error| told("join", error))?;
        join(&socket, address, interface, &options.sources).map_err(|error| told("join", error))?;
    } else if !options.sources.is_empty() {
        return Err(SocketError::Usage(format!("{address} is no multicast group, so it cannot be joined by source")));
    }
    Ok(socket)
}

/// A socket that sends to one destination and to no other.
pub fn open_sending(address: IpAddr, interface: &Interface, options: &SendOptions) -> Result<Socket, SocketError> {
    let at = scoped(address, options.port, interface.index);
    let told = |what: &str, error: io::Error| explain(what, at, &interface.name, &error);
    let socket = open(address).map_err(|error| told("open a socket for", error))?;
    set_for_sending(&socket, address, options.send_buffer).map_err(|error| told("prepare to send to", error))?;
    if address.is_multicast() {
        set_multicast_sending(&socket, address, interface, options)
            .map_err(|error| told("set the multicast options for", error))?;
    } else {
        socket.set_broadcast(true).map_err(|error| told("send to", error))?;
    }
    if let Some(source) = options.source.filter(|source| source.is_ipv4() == address.is_ipv4()) {
        let local = scoped(source, 0, interface.index);
        socket.bind(&SockAddr::from(local)).map_err(|error| explain("bind", local, &interface.name, &error))?;
    }
    socket.connect(&SockAddr::from(at)).map_err(|error| told("send to", error))?;
    Ok(socket)
}

/// A socket that is not connected: it sends to many, groups among them, and hears from its own port what is answered.
///
/// `local` is bound, with any port; the unspecified address of a family for any address of that family.
pub fn open_answering(
    local: IpAddr,
    interface: &Interface,
    options: &SendOptions,
    receive_buffer: usize,
) -> Result<Socket, SocketError> {
    let at = scoped(local, 0, interface.index);
    let told = |what: &str, error: io::Error| explain(what, at, &interface.name, &error);
    let socket = open(local).map_err(|error| told("open a socket for", error))?;
    set_for_sending(&socket, local, options.send_buffer).map_err(|error| told("prepare to send from", error))?;
    set_receive_buffer(&socket, receive_buffer).map_err(|error| told("set the receive buffer of", error))?;
    set_multicast_sending(&socket, local, interface, options)
        .map_err(|error| told("set the multicast options for", error))?;
    socket.set_broadcast(true).map_err(|error| told("prepare to send from", error))?;
    if local.is_ipv6() {
        socket.set_only_v6(true).map_err(|error| told("open a socket for", error))?;
    }
    hear_only_own_groups(&socket, local).map_err(|error| told("listen on", error))?;
    socket.bind(&SockAddr::from(at)).map_err(|error| told("bind", error))?;
    Ok(socket)
}

fn set_for_sending(socket: &Socket, address: IpAddr, send_buffer: usize) -> io::Result<()> {
    socket.set_send_buffer_size(send_buffer)?;
    let (level, name) =
        if address.is_ipv6() { (libc::IPPROTO_IPV6, libc::IPV6_RECVERR) } else { (libc::IPPROTO_IP, libc::IP_RECVERR) };
    // Without this, a full queue swallows datagrams and the call still succeeds.
    set_flag(socket, level, name, true)
}

fn open(address: IpAddr) -> io::Result<Socket> {
    let domain = if address.is_ipv4() { Domain::IPV4 } else { Domain::IPV6 };
    let socket = Socket::new(domain, Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// Link-local IPv6 addresses mean something only together with an interface.
pub fn scoped(address: IpAddr, port: u16, index: u32) -> SocketAddr {
    match address {
        IpAddr::V4(_) => SocketAddr::new(address, port),
        IpAddr::V6(v6) => {
            let link_local = v6.is_unicast_link_local() || (v6.is_multicast() && v6.segments()[0] & 0x0F <= 2);
            SocketAddrV6::new(v6, port, 0, if link_local { index } else { 0 }).into()
        }
    }
}

/// Ask for more than `net.core.rmem_max` where that is allowed; what was granted is read back by the caller.
fn set_receive_buffer(socket: &Socket, bytes: usize) -> io::Result<()> {
    let wanted = libc::c_int::try_from(bytes).unwrap_or(libc::c_int::MAX);
    if set_option(socket, libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, &wanted).is_ok() {
        return Ok(());
    }
    socket.set_recv_buffer_size(bytes)
}

/// While IP_MULTICAST_ALL is on, a socket hears every group that any socket of this host has joined.
fn hear_only_own_groups(socket: &Socket, group: IpAddr) -> io::Result<()> {
    const IPV6_MULTICAST_ALL: libc::c_int = 29;
    let (level, name) = match group {
        IpAddr::V4(_) => (libc::IPPROTO_IP, libc::IP_MULTICAST_ALL),
        IpAddr::V6(_) => (libc::IPPROTO_IPV6, IPV6_MULTICAST_ALL),
    };
    set_flag(socket, level, name, false)
}

fn join(socket: &Socket, group: IpAddr, interface: &Interface, sources: &[IpAddr]) -> io::Result<()> {
    let same_family: Vec<_> = sources.iter().filter(|source| source.is_ipv4() == group.is_ipv4()).collect();
    if !sources.is_empty() && same_family.is_empty() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "the sources are of the other address family"));
    }
    for source in &same_family {
        join_source(socket, group, **source, interface.index)?;
    }
    match group {
        _ if !same_family.is_empty() => Ok(()),
        IpAddr::V4(group) => socket.join_multicast_v4_n(&group, &InterfaceIndexOrAddress::Index(interface.index)),
        IpAddr::V6(group) => socket.join_multicast_v6(&group, interface.index),
    }
}

/// RFC 3678's protocol-independent source-specific join, which takes an interface index in both families.
fn join_source(socket: &Socket, group: IpAddr, source: IpAddr, index: u32) -> io::Result<()> {
    #[repr(C)]
    struct GroupSourceReq {
        interface: u32,
        group: libc::sockaddr_storage,
        source: libc::sockaddr_storage,
    }
    const MCAST_JOIN_SOURCE_GROUP: libc::c_int = 46;
    let level = if group.is_ipv4() { libc::IPPROTO_IP } else { libc::IPPROTO_IPV6 };
    // SAFETY: all three members are plain data, for which zeros are valid.
    let mut request: GroupSourceReq = unsafe { zeroed() };
    request.interface = index;
    request.group = storage_of(group);
    request.source = storage_of(source);
    set_option(socket, level, MCAST_JOIN_SOURCE_GROUP, &request)
}

fn storage_of(address: IpAddr) -> libc::sockaddr_storage {
    let from = SockAddr::from(SocketAddr::new(address, 0));
    // SAFETY: zeros are a valid sockaddr_storage, which is as large as any address; lengths are those of `from`.
    unsafe {
        let mut storage: libc::sockaddr_storage = zeroed();
        std::ptr::copy_nonoverlapping(
            from.as_ptr().cast::<u8>(),
            (&raw mut storage).cast::<u8>(),
            (from.len() as usize).min(size_of::<libc::sockaddr_storage>()),
        );
        storage
    }
}

fn set_multicast_sending(
    socket: &Socket,
    group: IpAddr,
    interface: &Interface,
    options: &SendOptions,
) -> io::Result<()> {
    if group.is_ipv4() {
        socket.set_multicast_ttl_v4(u32::from(options.ttl))?;
        socket.set_multicast_loop_v4(options.loopback)?;
        if interface.index != 0 {
            // SAFETY: zeros are a valid ip_mreqn.
            let mut request: libc::ip_mreqn = unsafe { zeroed() };
            request.imr_ifindex = interface.index as libc::c_int;
            set_option(socket, libc::IPPROTO_IP, libc::IP_MULTICAST_IF, &request)?;
        }
        return Ok(());
    }
    socket.set_multicast_hops_v6(u32::from(options.ttl))?;
    socket.set_multicast_loop_v6(options.loopback)?;
    if interface.index != 0 {
        socket.set_multicast_if_v6(interface.index)?;
    }
    Ok(())
}

fn set_flag(socket: &Socket, level: libc::c_int, name: libc::c_int, on: bool) -> io::Result<()> {
    set_option(socket, level, name, &libc::c_int::from(on))
}

fn set_option<T>(socket: &Socket, level: libc::c_int, name: libc::c_int, value: &T) -> io::Result<()> {
    let length = size_of::<T>() as libc::socklen_t;
    // SAFETY: the pointer and the length are those of one plain value, which the kernel copies.
    let result = unsafe { libc::setsockopt(socket.as_raw_fd(), level, name, (&raw const *value).cast(), length) };
    super::poll::checked(result).map(drop)
}

/// What the kernel says, in words that name the place and the mend.
fn explain(what: &str, at: SocketAddr, interface: &str, error: &io::Error) -> SocketError {
    let on = if interface.is_empty() { String::new() } else { format!(" on {interface}") };
    let said = format!("cannot {what} {at}{on}: {error}");
    match error.raw_os_error() {
        Some(libc::EACCES | libc::EPERM) => {
            SocketError::Denied(format!("{said}; ports below 1024 and some networks need more privileges"))
        }
        Some(libc::EADDRINUSE) => {
            SocketError::Unavailable(format!("{said}; see who has it with: ss -ulpn 'sport = :{}'", at.port()))
        }
        Some(libc::ENODEV | libc::ENETUNREACH) if interface.is_empty() => SocketError::Unavailable(format!(
            "{said}; no route leads there, so name the interface: interface=eth0 (or interface=lo on this host alone)"
        )),
        Some(libc::EADDRNOTAVAIL) => {
            SocketError::Unavailable(format!("{said}; that address, or that family, is not on the interface"))
        }
        Some(libc::ENOBUFS) if what == "join" => {
            SocketError::Unavailable(format!("{said}; raise net.ipv4.igmp_max_memberships"))
        }
        _ => SocketError::Unavailable(said),
    }
}
