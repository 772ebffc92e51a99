//! What systemd tells of its units, by its D-Bus signals: the system bus where there is one, else (root only)
//! systemd's own socket, which sends all signals to whoever is connected.
//!
//! Nothing is asked but to be told: of what a signal says only whom it concerns is read. What the unit is like now
//! is found out by the look.

#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    os::fd::BorrowedFd,
    path::Path,
};

use cm_modules::dbus::{
    Call, Connection, SYSTEMD, SYSTEMD_SOCKET,
    codec::{Kind, Message},
};
pub use cm_modules::dbus::{SYSTEM_BUS, codec::unit_path};

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
    connection: Connection,
    /// By object path.
    units: BTreeMap<String, BTreeSet<u32>>,
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
            Err(error) => Self::over(Path::new(SYSTEMD_SOCKET), &by_path, false).map_err(|_| error),
        }
    }

    fn over(socket: &Path, units: &BTreeMap<String, BTreeSet<u32>>, is_bus: bool) -> io::Result<Self> {
        let mut signals = Self { connection: Connection::to(socket)?, units: units.clone() };
        if is_bus {
            signals.subscribe()?;
        }
        signals.connection.stop_waiting()?;
        Ok(signals)
    }

    fn subscribe(&mut self) -> io::Result<()> {
        self.connection.greet()?;
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
        for rule in &rules {
            let arguments = [rule.as_str()];
            let add = Call {
                destination: BUS,
                path: BUS_PATH,
                interface: BUS,
                member: "AddMatch",
                arguments: &arguments,
            };
            self.connection.ask(&add)?;
        }
        let subscribe = Call {
            destination: SYSTEMD,
            path: MANAGER_PATH,
            interface: MANAGER,
            member: "Subscribe",
            arguments: &[],
        };
        self.connection.ask(&subscribe).map(drop)
    }

    /// Takes all that was told, without waiting.
    ///
    /// # Errors
    /// When the connection has ended.
    pub fn read(&mut self) -> io::Result<Told> {
        let mut told = Told::default();
        loop {
            while let Some(message) = self.connection.next()? {
                self.heard(&message, &mut told)?;
            }
            match self.connection.fill() {
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

    /// What poll(2) asks whether something was told.
    #[must_use]
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.connection.fd()
    }
}
