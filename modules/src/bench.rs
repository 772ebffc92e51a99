//! What tests of modules and checks need: a context around a node.

use std::{
    net::{Ipv4Addr, SocketAddr, SocketAddrV4},
    os::fd::OwnedFd,
    time::{Duration, Instant},
};

use cm_wire::{Digest, Mode};

use crate::{Contents, Context, Node, Problem, node::Content};

/// A source of contents that has none.
struct NoContents;

impl Contents for NoContents {
    fn fetch(&self, digest: &Digest, _size: u64) -> Result<Content, Problem> {
        Err(Problem::new(format!("there is no content {}", digest.short())))
    }
}

/// A look in the middle of a run that has changed nothing so far.
pub fn context(node: &dyn Node, mode: Mode) -> Context<'_> {
    Context {
        node,
        mode,
        contents: &NoContents,
        diff: true,
        sensitive: false,
        at_start: false,
        disturbed: false,
        notices: &[],
        edits: &[],
        deadline: Instant::now() + Duration::from_secs(60),
        run_as: None,
        live: &|_, _| {},
        stopping: &|| false,
    }
}

/// A port that refuses connections as long as what is returned with it lives: bound, but not listened to.
///
/// A listener that was dropped would not do: a process that another test starts at the same moment holds it
/// open until it becomes its program.
pub fn closed_port() -> (OwnedFd, u16) {
    use rustix::net::{AddressFamily, SocketType, bind, getsockname, socket};
    let socket = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
    bind(&socket, &SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0))).unwrap();
    let address = SocketAddrV4::try_from(getsockname(&socket).unwrap()).unwrap();
    (socket, address.port())
}
