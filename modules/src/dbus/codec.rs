//! As much of D-Bus's wire format as it takes to ask for properties and signals (D-Bus specification, "Message
//! Protocol"): calls with text arguments out; of what comes in, the header and the values of properties.
//!
//! No I/O.

/// The largest message that is taken, in bytes: far above what systemd says, far below what hurts.
const LARGEST: usize = 4 * 1024 * 1024;

/// What a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A call of ours; nobody calls us.
    Call,
    /// An answer.
    Return,
    /// The answer that it did not work.
    Error,
    /// Something happened.
    Signal,
    /// What a later version may bring.
    Other,
}

/// A message that came in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// What it is.
    pub kind: Kind,
    /// The object that speaks.
    pub path: String,
    /// Whose member is meant.
    pub interface: String,
    /// The method or signal.
    pub member: String,
    /// Of an error: its name.
    pub error: String,
    /// Which call this answers; 0: none.
    pub answers: u32,
    /// The body, where it is one property or a dictionary of them: name (empty for one) and value, of those whose
    /// value is of a simple type.
    pub properties: Vec<(String, Value)>,
}

/// The value of a property.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// A text, or the path of an object.
    Text(String),
    /// Yes or no.
    Flag(bool),
    /// A whole number of any of the widths.
    Number(i128),
}

/// A message that makes no sense: whoever speaks is no bus.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Nonsense;

const PATH: u8 = 1;
const INTERFACE: u8 = 2;
const MEMBER: u8 = 3;
const ERROR: u8 = 4;
const REPLY_SERIAL: u8 = 5;
const DESTINATION: u8 = 6;
const SIGNATURE: u8 = 8;

/// A method call: its serial number must not be 0. Every argument is a text.
#[must_use]
pub fn call(
    serial: u32,
    destination: &str,
    path: &str,
    interface: &str,
    member: &str,
    arguments: &[&str],
) -> Vec<u8> {
    let mut body = Vec::new();
    for argument in arguments {
        pad(&mut body, 4);
        text(&mut body, argument);
    }
    // Little endian, a call, no flags, version 1.
    let mut bytes = vec![b'l', 1, 0, 1];
    // Lengths fit: arguments are match rules and names.
    bytes.extend((body.len() as u32).to_le_bytes());
    bytes.extend(serial.to_le_bytes());
    let mut fields = Vec::new();
    for (code, kind, value) in [
        (PATH, b'o', path),
        (INTERFACE, b's', interface),
        (MEMBER, b's', member),
        (DESTINATION, b's', destination),
    ] {
        // Fields begin at multiples of 8, counted from the start of the message: 16 bytes come before.
        pad(&mut fields, 8);
        fields.extend([code, 1, kind, 0]);
        text(&mut fields, value);
    }
    if !arguments.is_empty() {
        pad(&mut fields, 8);
        fields.extend([SIGNATURE, 1, b'g', 0, arguments.len() as u8]);
        fields.extend(arguments.iter().map(|_| b's'));
        fields.push(0);
    }
    bytes.extend((fields.len() as u32).to_le_bytes());
    bytes.extend(fields);
    pad(&mut bytes, 8);
    bytes.extend(body);
    bytes
}

fn pad(bytes: &mut Vec<u8>, to: usize) {
    bytes.resize(bytes.len().next_multiple_of(to), 0);
}

fn text(bytes: &mut Vec<u8>, text: &str) {
    bytes.extend((text.len() as u32).to_le_bytes());
    bytes.extend(text.as_bytes());
    bytes.push(0);
}

/// Takes a message off the front of a buffer: it and how many bytes it took, or none where more are needed.
///
/// # Errors
/// When it is not D-Bus, or larger than anybody should speak.
pub fn take(buffer: &[u8]) -> Result<Option<(Message, usize)>, Nonsense> {
    let Some(head) = buffer.first_chunk::<16>() else { return Ok(None) };
    let swapped = match head[0] {
        b'l' => false,
        b'B' => true,
        _ => return Err(Nonsense),
    };
    let mut reader = Reader { bytes: buffer, at: 4, swapped };
    let body = reader.number().ok_or(Nonsense)? as usize;
    let _serial = reader.number().ok_or(Nonsense)?;
    let fields = reader.number().ok_or(Nonsense)? as usize;
    if body > LARGEST || fields > LARGEST {
        return Err(Nonsense);
    }
    let end = (16 + fields).next_multiple_of(8);
    let whole = end + body;
    if buffer.len() < whole {
        return Ok(None);
    }
    let kind = match head[1] {
        1 => Kind::Call,
        2 => Kind::Return,
        3 => Kind::Error,
        4 => Kind::Signal,
        0 => return Err(Nonsense),
        _ => Kind::Other,
    };
    let mut message = Message {
        kind,
        path: String::new(),
        interface: String::new(),
        member: String::new(),
        error: String::new(),
        answers: 0,
        properties: Vec::new(),
    };
    let mut reader = Reader { bytes: &buffer[..16 + fields], at: 16, swapped };
    let mut signature = "";
    while reader.at < reader.bytes.len() {
        if let Some(found) = reader.field(&mut message).ok_or(Nonsense)? {
            signature = found;
        }
    }
    let mut body = Reader { bytes: &buffer[end..whole], at: 0, swapped };
    match signature {
        "v" => {
            let value = body.variant().ok_or(Nonsense)?;
            message.properties.extend(value.map(|value| (String::new(), value)));
        }
        "a{sv}" => body.dictionary(&mut message.properties).ok_or(Nonsense)?,
        _ => {}
    }
    Ok(Some((message, whole)))
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    swapped: bool,
}

impl<'a> Reader<'a> {
    fn align(&mut self, to: usize) {
        self.at = self.at.next_multiple_of(to);
    }

    fn byte(&mut self) -> Option<u8> {
        let byte = *self.bytes.get(self.at)?;
        self.at += 1;
        Some(byte)
    }

    fn number(&mut self) -> Option<u32> {
        self.align(4);
        let bytes = *self.bytes.get(self.at..)?.first_chunk::<4>()?;
        self.at += 4;
        Some(if self.swapped { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) })
    }

    /// A text of this length with a zero after it.
    fn text(&mut self, length: usize) -> Option<&'a str> {
        let bytes = self.bytes.get(self.at..self.at.checked_add(length)?)?;
        self.at += length;
        (self.byte()? == 0).then_some(())?;
        std::str::from_utf8(bytes).ok()
    }

    fn wide(&mut self) -> Option<u64> {
        self.align(8);
        let bytes = *self.bytes.get(self.at..)?.first_chunk::<8>()?;
        self.at += 8;
        Some(if self.swapped { u64::from_be_bytes(bytes) } else { u64::from_le_bytes(bytes) })
    }

    fn long_text(&mut self) -> Option<&'a str> {
        let length = self.number()? as usize;
        self.text(length)
    }

    fn short_text(&mut self) -> Option<&'a str> {
        let length = usize::from(self.byte()?);
        self.text(length)
    }

    /// A value with its type in front; none inside where that is not simple.
    fn variant(&mut self) -> Option<Option<Value>> {
        let kind = self.short_text()?;
        Some(Some(match kind {
            "s" | "o" => Value::Text(self.long_text()?.to_owned()),
            "b" => Value::Flag(self.number()? != 0),
            "u" => Value::Number(self.number()?.into()),
            "i" => Value::Number(self.number()?.cast_signed().into()),
            "t" => Value::Number(self.wide()?.into()),
            "x" => Value::Number(self.wide()?.cast_signed().into()),
            _ => {
                let rest = self.skip(kind.as_bytes(), 0)?;
                return rest.is_empty().then_some(None);
            }
        }))
    }

    fn dictionary(&mut self, properties: &mut Vec<(String, Value)>) -> Option<()> {
        let length = self.number()? as usize;
        self.align(8);
        let end = self.at.checked_add(length)?;
        while self.at < end {
            self.align(8);
            let name = self.long_text()?;
            if let Some(value) = self.variant()? {
                properties.push((name.to_owned(), value));
            }
        }
        (self.at == end).then_some(())
    }

    /// Goes past one value of the type at the front of a signature; the rest of that.
    fn skip<'s>(&mut self, signature: &'s [u8], depth: u8) -> Option<&'s [u8]> {
        // No deeper than the specification lets types be.
        if depth > 64 {
            return None;
        }
        let (&kind, rest) = signature.split_first()?;
        match kind {
            b'y' => self.byte().map(drop)?,
            b'n' | b'q' => {
                self.align(2);
                self.at += 2;
            }
            b'b' | b'i' | b'u' | b'h' => self.number().map(drop)?,
            b'x' | b't' | b'd' => self.wide().map(drop)?,
            b's' | b'o' => self.long_text().map(drop)?,
            b'g' => self.short_text().map(drop)?,
            b'v' => {
                let inner = self.short_text()?;
                let left = self.skip(inner.as_bytes(), depth + 1)?;
                left.is_empty().then_some(())?;
            }
            b'a' => {
                let length = self.number()? as usize;
                let (of, rest) = rest.split_at_checked(one(rest)?)?;
                self.align(if matches!(of.first()?, b'x' | b't' | b'd' | b'(' | b'{') { 8 } else { 1 });
                self.at = self.at.checked_add(length)?;
                (self.at <= self.bytes.len()).then_some(())?;
                return Some(rest);
            }
            b'(' | b'{' => {
                self.align(8);
                let mut inner = rest;
                while !matches!(inner.first()?, b')' | b'}') {
                    inner = self.skip(inner, depth + 1)?;
                }
                return Some(&inner[1..]);
            }
            _ => return None,
        }
        Some(rest)
    }

    /// One field of the header: a number, and a value with its type in front. The body's type, where it is that.
    fn field(&mut self, message: &mut Message) -> Option<Option<&'a str>> {
        self.align(8);
        if self.at == self.bytes.len() {
            return Some(None);
        }
        let code = self.byte()?;
        match self.short_text()? {
            "s" | "o" => {
                let value = self.long_text()?.to_owned();
                match code {
                    PATH => message.path = value,
                    INTERFACE => message.interface = value,
                    MEMBER => message.member = value,
                    ERROR => message.error = value,
                    _ => {}
                }
            }
            "g" => {
                let types = self.short_text()?;
                return Some((code == SIGNATURE).then_some(types));
            }
            "u" => {
                let value = self.number()?;
                if code == REPLY_SERIAL {
                    message.answers = value;
                }
            }
            // The header has no other types.
            _ => return None,
        }
        Some(None)
    }
}

/// How many bytes of a signature its first type takes.
fn one(signature: &[u8]) -> Option<usize> {
    let mut depth = 0_u32;
    for (at, kind) in signature.iter().enumerate() {
        match kind {
            b'(' | b'{' => depth += 1,
            b')' | b'}' => depth = depth.checked_sub(1)?,
            b'a' => continue,
            _ => {}
        }
        if depth == 0 {
            return Some(at + 1);
        }
    }
    None
}

/// The object path of a unit: everything but letters and digits as `_` and two hex digits, and so a digit at the
/// front (org.freedesktop.systemd1(5)).
#[must_use]
pub fn unit_path(name: &str) -> String {
    use std::fmt::Write as _;
    let mut path = String::from("/org/freedesktop/systemd1/unit/");
    for (at, byte) in name.bytes().enumerate() {
        if byte.is_ascii_alphabetic() || (at > 0 && byte.is_ascii_digit()) {
            path.push(char::from(byte));
        } else {
            // Writing to a text never fails.
            let _ = write!(path, "_{byte:02x}");
        }
    }
    path
}
