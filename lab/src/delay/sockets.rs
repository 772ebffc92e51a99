//! The two ends that are joined: the host's cable by a packet socket, the bridge by a tap.
//!
//! Both hand out frames with the kernel's virtio header, so checksums that are still to be made and frames that are
//! still to be cut pass through as they are, as over a veth pair.

#![expect(unsafe_code, reason = "packet sockets and taps are set up by calls that have no safe form")]

use std::fs::{File, OpenOptions, read_to_string};
use std::io;
use std::mem::{size_of, zeroed};
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd, RawFd};
use std::os::unix::fs::OpenOptionsExt as _;

/// Frames wait here while the process is not on a processor.
const BUFFER: libc::c_int = 16 * 1024 * 1024;

/// `TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6` of `linux/if_tun.h`.
const OFFLOADS: libc::c_uint = 0x01 | 0x02 | 0x04;

/// Both ends; they do not block.
pub(super) struct Sockets {
    /// The host's cable.
    pub(super) cable: OwnedFd,
    /// The bridge's new port.
    pub(super) port: File,
}

/// Opens both ends; the port is a new interface that ends with its last open file.
pub(super) fn open(cable: &str, port: &str) -> io::Result<Sockets> {
    Ok(Sockets { cable: packets(cable)?, port: tap(port)? })
}

fn packets(interface: &str) -> io::Result<OwnedFd> {
    let index = read_to_string(format!("/sys/class/net/{interface}/ifindex"))?;
    let index = index.trim().parse::<i32>().map_err(io::Error::other)?;
    let kind = libc::SOCK_RAW | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    // Protocol 0: nothing comes before it is bound to its interface.
    // SAFETY: no pointers.
    let socket = checked(unsafe { libc::socket(libc::AF_PACKET, kind, 0) })?;
    // SAFETY: a new descriptor that nobody else owns.
    let socket = unsafe { OwnedFd::from_raw_fd(socket) };
    let fd = socket.as_raw_fd();
    set(fd, libc::SOL_PACKET, libc::PACKET_VNET_HDR, 1)?;
    set(fd, libc::SOL_PACKET, libc::PACKET_IGNORE_OUTGOING, 1)?;
    set(fd, libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, BUFFER)?;
    set(fd, libc::SOL_SOCKET, libc::SO_SNDBUFFORCE, BUFFER)?;
    // SAFETY: a plain structure of integers.
    let mut address: libc::sockaddr_ll = unsafe { zeroed() };
    address.sll_family = libc::AF_PACKET as u16;
    address.sll_protocol = (libc::ETH_P_ALL as u16).to_be();
    address.sll_ifindex = index;
    let length = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
    // SAFETY: the address is read in the length that is given.
    checked(unsafe { libc::bind(fd, (&raw const address).cast(), length) })?;
    Ok(socket)
}

fn tap(name: &str) -> io::Result<File> {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_CLOEXEC)
        .open("/dev/net/tun")?;
    // SAFETY: a plain structure of bytes and integers.
    let mut request: libc::ifreq = unsafe { zeroed() };
    // The last byte stays 0; the names of labs are shorter.
    for (to, from) in request.ifr_name.iter_mut().take(libc::IFNAMSIZ - 1).zip(name.bytes()) {
        *to = from as libc::c_char;
    }
    request.ifr_ifru.ifru_flags = (libc::IFF_TAP | libc::IFF_NO_PI | libc::IFF_VNET_HDR) as libc::c_short;
    // SAFETY: the kernel reads and writes one `ifreq`.
    checked(unsafe { libc::ioctl(file.as_raw_fd(), libc::TUNSETIFF, &raw mut request) })?;
    // SAFETY: the argument is a number.
    checked(unsafe { libc::ioctl(file.as_raw_fd(), libc::TUNSETOFFLOAD, OFFLOADS) })?;
    Ok(file)
}

fn set(fd: RawFd, level: libc::c_int, option: libc::c_int, value: libc::c_int) -> io::Result<()> {
    let length = size_of::<libc::c_int>() as libc::socklen_t;
    // SAFETY: the value is read in the length that is given.
    checked(unsafe { libc::setsockopt(fd, level, option, (&raw const value).cast(), length) }).map(drop)
}

/// The system's answer as a result.
pub(super) fn checked(answer: libc::c_int) -> io::Result<libc::c_int> {
    if answer < 0 { Err(io::Error::last_os_error()) } else { Ok(answer) }
}
