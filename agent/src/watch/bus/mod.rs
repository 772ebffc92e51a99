//! What systemd tells of its units, by its D-Bus signals: the system bus where there is one, else (root only)
//! systemd's own socket, which sends all signals to whoever is connected.
//!
//! Nothing is asked but to be told: of what a signal says only whom it concerns is read. What the unit is like now
//! is found out by the look.

mod codec;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{self, Read, Write},
    os::{
        fd::{AsFd, BorrowedFd},
        unix::net::UnixStream,
    },
    path::Path,
    time::Duration,
};

pub use codec::unit_path;
use codec::{Kind, Message};

/// Time for a bus to answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// The bus that everybody has.
pub const SYSTEM_BUS: &str = "/run/dbus/system_bus_socket";
const PRIVATE: &str = "/run/systemd/private";
const SYSTEMD: &str = "org.freedesktop.systemd1";
const MANAGER: &str = "org.freedesktop.systemd1.Manager";
const MANAGER_PATH: &str = "/org/freedesktop/systemd1";
const BUS: &str = "org.freedesktop.DBus";
const BUS_PATH: &str = "/org/freedesktop/DBus";
/// A bus allows a connection some hundred match rules; with more units than this one rule stands for all.
const RULES: usize = 100;

/// What systemd has told.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// Who waits for a unit that something happened to.
    pub who: BTreeSet<u32>,
    /// Unit files were changed or read anew: it may be about all units.
    pub all: bool,
}

/// A connection with what is waited for.
pub struct UnitSignals {
    stream: UnixStream,
    buffer: Vec<u8>,
    /// By object path.
    units: BTreeMap<String, BTreeSet<u32>>,
    serial: u32,
}

impl UnitSignals {
    /// Asks to be told of units, each with who wants to know.
    ///
    /// # Errors
    /// When neither socket answers as a bus does.
    pub fn connect(units: &BTreeMap<String, BTreeSet<u32>>) -> io::Result<Self> {
        let by_path = units.iter().map(|(name, who)| (unit_path(name), who.clone())).collect();
        match Self::over(Path::new(SYSTEM_BUS), &by_path, true) {
            Ok(signals) => Ok(signals),
            // Who is told why should hear of the bus that everybody has.
            Err(error) => Self::over(Path::new(PRIVATE), &by_path, false).map_err(|_| error),
        }
    }

    fn over(socket: &Path, units: &BTreeMap<String, BTreeSet<u32>>, is_bus: bool) -> io::Result<Self> {
        let stream = UnixStream::connect(socket)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let mut signals = Self { stream, buffer: Vec::new(), units: units.clone(), serial: 0 };
        signals.authenticate()?;
        if is_bus {
            signals.subscribe()?;
        }
        signals.stream.set_nonblocking(true)?;
        Ok(signals)
    }

    /// "EXTERNAL": the kernel tells the other side who we are (D-Bus specification, "Authentication Protocol").
    fn authenticate(&mut self) -> io::Result<()> {
        let user = rustix::process::geteuid().as_raw().to_string();
        let user: String = user.bytes().map(|digit| format!("{digit:02x}")).collect();
        self.stream.write_all(format!("\0AUTH EXTERNAL {user}\r\n").as_bytes())?;
        let mut answer = Vec::new();
        let mut byte = [0];
        while !answer.ends_with(b"\r\n") {
            if answer.len() > 1000 {
                return Err(refused("it says no end of things at the start"));
            }
            self.stream.read_exact(&mut byte)?;
            answer.push(byte[0]);
        }
        if !answer.starts_with(b"OK ") {
            return Err(refused("it does not let us in"));
        }
        self.stream.write_all(b"BEGIN\r\n")
    }

    fn subscribe(&mut self) -> io::Result<()> {
        self.ask(BUS, BUS_PATH, BUS, "Hello", &[])?;
        let of_units = |path: &str| {
            format!("type='signal',sender='{SYSTEMD}',interface='org.freedesktop.DBus.Properties',{path}")
        };
        let mut rules = vec![
            format!("type='signal',sender='{SYSTEMD}',interface='{MANAGER}',member='UnitFilesChanged'"),
            format!("type='signal',sender='{SYSTEMD}',interface='{MANAGER}',member='Reloading'"),
            // systemd itself was started anew: what it was asked for may be forgotten.
            format!("type='signal',sender='{BUS}',member='NameOwnerChanged',arg0='{SYSTEMD}'"),
        ];
        if self.units.len() > RULES {
            rules.push(of_units("path_namespace='/org/freedesktop/systemd1/unit'"));
        } else {
            rules.extend(self.units.keys().map(|path| of_units(&format!("path='{path}'"))));
        }
        for rule in rules {
            self.ask(BUS, BUS_PATH, BUS, "AddMatch", &[&rule])?;
        }
        self.ask(SYSTEMD, MANAGER_PATH, MANAGER, "Subscribe", &[])
    }

    /// Calls and waits for the answer.
    fn ask(
        &mut self,
        destination: &str,
        path: &str,
        interface: &str,
        member: &str,
        arguments: &[&str],
    ) -> io::Result<()> {
        self.serial += 1;
        let call = codec::call(self.serial, destination, path, interface, member, arguments);
        self.stream.write_all(&call)?;
        loop {
            match self.next()? {
                Some(message) if message.answers == self.serial => {
                    return match message.kind {
                        Kind::Error => Err(refused(&format!("{member}: {}", message.error))),
                        _ => Ok(()),
                    };
                }
                // Signals that come this early are followed by a look anyway.
                Some(_) => {}
                None => {
                    if !self.fill()? {
                        return Err(io::ErrorKind::UnexpectedEof.into());
                    }
                }
            }
        }
    }

    /// Takes all that was told, without waiting.
    ///
    /// # Errors
    /// When the connection has ended.
    pub fn read(&mut self) -> io::Result<Told> {
        let mut told = Told::default();
        loop {
            while let Some(message) = self.next()? {
                self.heard(&message, &mut told)?;
            }
            match self.fill() {
                Ok(true) => {}
                Ok(false) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(told),
                Err(error) => return Err(error),
            }
        }
    }

    fn heard(&self, message: &Message, told: &mut Told) -> io::Result<()> {
        if message.kind != Kind::Signal {
            return Ok(());
        }
        match (message.interface.as_str(), message.member.as_str()) {
            ("org.freedesktop.DBus.Properties", "PropertiesChanged") => {
                told.who.extend(self.units.get(&message.path).into_iter().flatten());
            }
            (MANAGER, "UnitFilesChanged" | "Reloading") => told.all = true,
            // Whoever comes instead is asked anew, over a new connection.
            (BUS, "NameOwnerChanged") => return Err(io::ErrorKind::ConnectionReset.into()),
            _ => {}
        }
        Ok(())
    }

    fn next(&mut self) -> io::Result<Option<Message>> {
        match codec::take(&self.buffer) {
            Ok(Some((message, used))) => {
                self.buffer.drain(..used);
                Ok(Some(message))
            }
            Ok(None) => Ok(None),
            Err(codec::Nonsense) => Err(refused("it does not speak D-Bus")),
        }
    }

    /// Reads more; false at the end.
    fn fill(&mut self) -> io::Result<bool> {
        let mut piece = [0; 8192];
        loop {
            match self.stream.read(&mut piece) {
                Ok(count) => {
                    self.buffer.extend_from_slice(&piece[..count]);
                    return Ok(count > 0);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// What poll(2) asks whether something was told.
    #[must_use]
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

fn refused(why: &str) -> io::Error {
    io::Error::other(why.to_owned())
}
