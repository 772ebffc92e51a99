//! The name of the running kernel.

use crate::{Doing, Problem};

pub(super) fn read() -> Option<String> {
    Some(rustix::system::uname().nodename().to_string_lossy().into_owned())
}

pub(super) fn set(name: Option<&str>) -> Result<(), Problem> {
    // A kernel is never without a name; it stays as it is.
    let Some(name) = name else { return Ok(()) };
    rustix::system::sethostname(name.as_bytes())
        .map_err(std::io::Error::from)
        .doing(format_args!("setting the host's name to {name}"))
}
