//! Interfaces and their addresses, from the kernel by rtnetlink(7).
//!
//! Not getifaddrs(3): this is as short, needs no unsafe code and sees interfaces without addresses too.

use std::{
    collections::BTreeMap,
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    os::fd::OwnedFd,
};

use cm_wire::Interface;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, netlink::SocketAddrNetlink, recv, sendto,
    socket_with,
};

// linux/netlink.h and linux/rtnetlink.h
const HEADER: usize = 16;
const DONE: u16 = 3;
const ERROR: u16 = 2;
const REQUEST_DUMP: u16 = 0x1 | 0x300;
const NEW_LINK: u16 = 16;
const GET_LINK: u16 = 18;
const NEW_ADDRESS: u16 = 20;
const GET_ADDRESS: u16 = 22;
/// Bytes of the largest answer that the kernel puts together (netlink_dump in net/netlink/af_netlink.c).
const LARGEST: usize = 32 * 1024;
const LINK_BODY: usize = 16;
const ADDRESS_BODY: usize = 8;
const LINK_HARDWARE: u16 = 1;
const LINK_NAME: u16 = 3;
const ADDRESS_ADDRESS: u16 = 1;
const ADDRESS_LOCAL: u16 = 2;
const INET: u8 = 2;
const INET6: u8 = 10;

/// All interfaces in the kernel's order; empty where the kernel does not answer.
pub(super) fn interfaces() -> Vec<Interface> {
    let mut found: BTreeMap<u32, Interface> = BTreeMap::new();
    let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, None);
    let Ok(socket) = socket else { return Vec::new() };
    let asked = ask(&socket, GET_LINK, |kind, body| {
        if kind == NEW_LINK
            && let Some((index, interface)) = link(body)
        {
            found.insert(index, interface);
        }
    })
    .and_then(|()| {
        ask(&socket, GET_ADDRESS, |kind, body| {
            if kind == NEW_ADDRESS
                && let Some((index, address)) = address(body)
                && let Some(interface) = found.get_mut(&index)
            {
                interface.addresses.push(address);
            }
        })
    });
    // Half an answer is still facts.
    drop(asked);
    found.into_values().collect()
}

/// The addresses by which others may reach this machine.
pub(super) fn public_addresses(interfaces: &[Interface]) -> Vec<String> {
    let addresses = interfaces.iter().flat_map(|interface| &interface.addresses);
    addresses
        .filter_map(|address| address.split('/').next())
        .filter(|address| match address.parse() {
            Ok(IpAddr::V4(address)) => !address.is_loopback() && !address.is_link_local(),
            Ok(IpAddr::V6(address)) => !address.is_loopback() && !address.is_unicast_link_local(),
            Err(_) => false,
        })
        .map(str::to_owned)
        .collect()
}

/// Asks for all of a kind and hands each message's type and body on.
fn ask(socket: &OwnedFd, kind: u16, mut take: impl FnMut(u16, &[u8])) -> io::Result<()> {
    let mut request = Vec::with_capacity(HEADER + LINK_BODY);
    request.extend_from_slice(&((HEADER + LINK_BODY) as u32).to_ne_bytes());
    request.extend_from_slice(&kind.to_ne_bytes());
    request.extend_from_slice(&REQUEST_DUMP.to_ne_bytes());
    // Sequence, port, and a body of zeroes: any family.
    request.resize(HEADER + LINK_BODY, 0);
    sendto(socket, &request, SendFlags::empty(), &SocketAddrNetlink::new(0, 0))?;
    let mut buffer = Vec::with_capacity(LARGEST);
    loop {
        buffer.clear();
        recv(socket, rustix::buffer::spare_capacity(&mut buffer), RecvFlags::empty())?;
        let mut rest = &buffer[..];
        if rest.is_empty() {
            return Ok(());
        }
        while let Some((kind, body, after)) = message(rest) {
            match kind {
                DONE => return Ok(()),
                ERROR => return Err(io::Error::other("the kernel refused a netlink request")),
                _ => take(kind, body),
            }
            rest = after;
        }
    }
}

/// The first message of a buffer: its type, its body and what follows.
fn message(buffer: &[u8]) -> Option<(u16, &[u8], &[u8])> {
    let length = u32::from_ne_bytes(*buffer.first_chunk()?) as usize;
    let kind = u16::from_ne_bytes(*buffer.get(4..)?.first_chunk()?);
    let body = buffer.get(HEADER..length)?;
    Some((kind, body, buffer.get(length.next_multiple_of(4)..).unwrap_or_default()))
}

/// The attributes after a body's fixed part.
fn attributes(mut rest: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let length = usize::from(u16::from_ne_bytes(*rest.first_chunk()?));
        let kind = u16::from_ne_bytes(*rest.get(2..)?.first_chunk()?);
        let value = rest.get(4..length)?;
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, value))
    })
}

fn link(body: &[u8]) -> Option<(u32, Interface)> {
    let index = u32::from_ne_bytes(*body.get(4..)?.first_chunk()?);
    let mut interface = Interface::default();
    for (kind, value) in attributes(body.get(LINK_BODY..)?) {
        match kind {
            LINK_NAME => {
                interface.name = String::from_utf8_lossy(value).trim_end_matches('\0').to_owned();
            }
            LINK_HARDWARE if value.iter().any(|&byte| byte != 0) => {
                interface.mac = value.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(":");
            }
            _ => {}
        }
    }
    Some((index, interface))
}

fn address(body: &[u8]) -> Option<(u32, String)> {
    let (family, prefix) = (*body.first()?, *body.get(1)?);
    let index = u32::from_ne_bytes(*body.get(4..)?.first_chunk()?);
    let mut found = None;
    for (kind, value) in attributes(body.get(ADDRESS_BODY..)?) {
        let address = match family {
            INET => value.first_chunk::<4>().map(|bytes| IpAddr::V4(Ipv4Addr::from(*bytes))),
            INET6 => value.first_chunk::<16>().map(|bytes| IpAddr::V6(Ipv6Addr::from(*bytes))),
            _ => None,
        };
        match kind {
            // On a point-to-point link `ADDRESS` is the other end.
            ADDRESS_LOCAL => found = address,
            ADDRESS_ADDRESS if found.is_none() => found = address,
            _ => {}
        }
    }
    Some((index, format!("{}/{prefix}", found?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damaged_messages_are_left_out() {
        assert_eq!(message(&[]), None);
        assert_eq!(message(&[200, 0, 0, 0, 16, 0, 0, 0]), None);
        assert_eq!(link(&[0; 10]), None);
        assert_eq!(attributes(&[3, 0, 1, 0, 9]).count(), 0);
        assert_eq!(attributes(&[0, 0, 1, 0]).count(), 0);
    }

    #[test]
    fn loopback_and_link_local_addresses_are_not_public() {
        let addresses =
            ["127.0.0.1/8", "10.0.0.5/24", "169.254.1.1/16", "::1/128", "fe80::1/64", "2001:db8::5/64"];
        let interface =
            Interface { addresses: addresses.map(str::to_owned).to_vec(), ..Interface::default() };
        assert_eq!(public_addresses(&[interface]), ["10.0.0.5", "2001:db8::5"]);
    }
}
