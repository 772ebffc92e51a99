//! D-Bus without a library: one connection, calls with text arguments, and what is said back.
//!
//! Many calls go out in one write and their answers are taken in turn, so that a hundred questions cost one trip.

pub mod codec;
#[cfg(test)]
mod tests;

use std::{
    io::{self, Read, Write},
    os::{
        fd::{AsFd, BorrowedFd},
        unix::net::UnixStream,
    },
    path::Path,
    time::Duration,
};

use codec::{Kind, Message};

/// The bus that everybody has.
pub const SYSTEM_BUS: &str = "/run/dbus/system_bus_socket";
/// systemd's own socket, for root.
pub const SYSTEMD_SOCKET: &str = "/run/systemd/private";
/// systemd's name on the bus.
pub const SYSTEMD: &str = "org.freedesktop.systemd1";

/// Time for the other side to answer.
const PATIENCE: Duration = Duration::from_secs(5);
const BUS: &str = "org.freedesktop.DBus";
const BUS_PATH: &str = "/org/freedesktop/DBus";

/// A connection to a bus, or to one program over a socket of its own.
pub struct Connection {
    stream: UnixStream,
    buffer: Vec<u8>,
    serial: u32,
}

/// A call of a method with texts as its arguments.
#[derive(Clone, Copy)]
pub struct Call<'a> {
    /// Who is called.
    pub destination: &'a str,
    /// The object.
    pub path: &'a str,
    /// Whose method.
    pub interface: &'a str,
    /// The method.
    pub member: &'a str,
    /// What it is given.
    pub arguments: &'a [&'a str],
}

impl Connection {
    /// Connects to the system bus.
    ///
    /// # Errors
    /// When nobody is there, or what is there is no bus that lets us in.
    pub fn to_bus() -> io::Result<Self> {
        let mut connection = Self::to(Path::new(SYSTEM_BUS))?;
        connection.greet()?;
        Ok(connection)
    }

    /// Says hello, which a bus wants to hear first.
    ///
    /// # Errors
    /// As [`Connection::ask`].
    pub fn greet(&mut self) -> io::Result<()> {
        let hello =
            Call { destination: BUS, path: BUS_PATH, interface: BUS, member: "Hello", arguments: &[] };
        self.ask(&hello).map(drop)
    }

    /// Connects to a program's own socket.
    ///
    /// # Errors
    /// When nobody is there, or who is there does not let us in.
    pub fn to(socket: &Path) -> io::Result<Self> {
        let stream = UnixStream::connect(socket)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let mut connection = Self { stream, buffer: Vec::new(), serial: 0 };
        connection.authenticate()?;
        Ok(connection)
    }

    /// "EXTERNAL": the kernel tells the other side who we are (D-Bus specification, "Authentication Protocol").
    fn authenticate(&mut self) -> io::Result<()> {
        let user = rustix::process::geteuid().as_raw().to_string();
        let user: String = user.bytes().map(|digit| format!("{digit:02x}")).collect();
        self.stream.write_all(format!("\0AUTH EXTERNAL {user}\r\nBEGIN\r\n").as_bytes())?;
        loop {
            if let Some(end) = self.buffer.windows(2).position(|two| two == b"\r\n") {
                let answer: Vec<u8> = self.buffer.drain(..end + 2).collect();
                return if answer.starts_with(b"OK ") {
                    Ok(())
                } else {
                    Err(refused("it does not let us in"))
                };
            }
            if self.buffer.len() > 1000 {
                return Err(refused("it says no end of things at the start"));
            }
            self.fill_or_end()?;
        }
    }

    /// Calls and waits for the answer.
    ///
    /// # Errors
    /// When the call fails, or the connection does.
    pub fn ask(&mut self, call: &Call<'_>) -> io::Result<Message> {
        let mut answers = self.ask_all(std::slice::from_ref(call))?;
        // There is one answer for each call.
        let answer = answers.pop().ok_or_else(|| refused("it does not answer"))?;
        match answer.kind {
            Kind::Error => Err(refused(&format!("{}: {}", call.member, answer.error))),
            _ => Ok(answer),
        }
    }

    /// Makes all calls in one write; their answers, which may be errors, in the order of the calls.
    ///
    /// # Errors
    /// When the connection fails.
    pub fn ask_all(&mut self, calls: &[Call<'_>]) -> io::Result<Vec<Message>> {
        let first = self.serial + 1;
        let mut bytes = Vec::new();
        for call in calls {
            self.serial += 1;
            bytes.extend(codec::call(
                self.serial,
                call.destination,
                call.path,
                call.interface,
                call.member,
                call.arguments,
            ));
        }
        self.stream.write_all(&bytes)?;
        let mut answers: Vec<Option<Message>> = calls.iter().map(|_| None).collect();
        let mut missing = answers.len();
        while missing > 0 {
            let Some(message) = self.next()? else {
                self.fill_or_end()?;
                continue;
            };
            // What is no answer is a signal; those that come this early are followed by a look anyway.
            let place = message.answers.checked_sub(first).and_then(|at| answers.get_mut(at as usize));
            if let Some(place @ None) = place {
                *place = Some(message);
                missing -= 1;
            }
        }
        Ok(answers.into_iter().flatten().collect())
    }

    /// The next message that has come in whole, without waiting.
    ///
    /// # Errors
    /// When it is not D-Bus.
    #[expect(clippy::should_implement_trait, reason = "it fails, and goes on after a none")]
    pub fn next(&mut self) -> io::Result<Option<Message>> {
        match codec::take(&self.buffer) {
            Ok(Some((message, used))) => {
                self.buffer.drain(..used);
                Ok(Some(message))
            }
            Ok(None) => Ok(None),
            Err(codec::Nonsense) => Err(refused("it does not speak D-Bus")),
        }
    }

    fn fill_or_end(&mut self) -> io::Result<()> {
        if self.fill()? { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
    }

    /// Reads more; false at the end.
    ///
    /// # Errors
    /// When the connection fails; `WouldBlock` where nothing has come and [`Connection::stop_waiting`] was called.
    pub fn fill(&mut self) -> io::Result<bool> {
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

    /// From here on reading does not wait.
    ///
    /// # Errors
    /// When the socket cannot be set so.
    pub fn stop_waiting(&self) -> io::Result<()> {
        self.stream.set_nonblocking(true)
    }

    /// What poll(2) asks whether something was said.
    #[must_use]
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

fn refused(why: &str) -> io::Error {
    io::Error::other(why.to_owned())
}
