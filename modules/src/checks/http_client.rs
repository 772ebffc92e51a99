//! One HTTP/1.1 request (RFC 9112) over a connection of its own; no TLS.

use std::{
    io::{self, Read, Write},
    net::TcpStream,
    time::{Duration, Instant},
};

use super::address::Address;

/// Most of a response that is read, in bytes; a check looks at what comes first.
const RESPONSE_LIMIT: usize = 4 * 1024 * 1024;

/// Where `http://host:port/path` leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// What to connect to.
    pub address: Address,
    /// The `Host` header.
    pub host: String,
    /// Path and query, beginning with `/`.
    pub path: String,
}

impl Target {
    /// Reads the part of a URL after `http://`.
    ///
    /// # Errors
    /// A fragment that says what is wrong.
    pub fn parse(rest: &str) -> Result<Self, String> {
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (host, path) = rest.split_at(end);
        if host.is_empty() {
            return Err("has no host".into());
        }
        if host.contains('@') {
            return Err("cannot hold a user; an `Authorization` header under `headers` can".into());
        }
        if rest.contains(|c: char| c.is_whitespace() || c.is_control()) {
            return Err("has a blank in it; write `%20`".into());
        }
        let has_port = host.rsplit_once(':').is_some_and(|(_, port)| !port.ends_with(']'));
        let address = Address::parse(&if has_port { host.to_owned() } else { format!("{host}:80") })
            .map_err(|_| format!("has no host and port in {host:?}"))?;
        let path = path.split('#').next().unwrap_or_default();
        let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
        Ok(Self { address, host: host.to_owned(), path })
    }
}

/// What to send.
#[derive(Debug)]
pub struct Request<'a> {
    /// Such as `GET`.
    pub method: &'a str,
    /// Where.
    pub target: &'a Target,
    /// Further headers; one given here replaces the own one of its name.
    pub headers: &'a [(String, String)],
    /// The body, empty for most methods.
    pub body: &'a [u8],
}

/// What came back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// Status code.
    pub status: u16,
    /// The body, decoded from its chunks; at most [`RESPONSE_LIMIT`] bytes of it.
    pub body: Vec<u8>,
}

/// What came before a body that was streamed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// Status code.
    pub status: u16,
    /// Where a redirection leads.
    pub location: Option<String>,
}

/// Sends a request and writes the body of the response as it comes; it must come whole.
///
/// # Errors
/// What failed, a fragment such as `the connection was closed within the answer`.
pub fn download(
    stream: &mut TcpStream,
    request: &Request<'_>,
    end: Instant,
    stopping: &dyn Fn() -> bool,
    body: &mut dyn Write,
) -> Result<Head, String> {
    stream.set_write_timeout(Some(left(end))).map_err(tell)?;
    stream.write_all(&encode(request)).map_err(tell)?;
    let mut arriving = Arriving { stream, end, stopping, buffer: Vec::new() };
    let head = loop {
        let head = arriving.head()?;
        let text = String::from_utf8_lossy(&head).into_owned();
        let status = status_of(&text).ok_or("what answered does not speak HTTP")?;
        // An interim response: the real one follows.
        if !(100..200).contains(&status) || status == 101 {
            break (status, text);
        }
    };
    let (status, text) = head;
    let head = Head { status, location: header(&text, "location") };
    if status != 200 {
        return Ok(head);
    }
    if let Some(coding) = header(&text, "transfer-encoding").filter(|coding| coding != "identity") {
        if !coding.eq_ignore_ascii_case("chunked") {
            return Err(format!("the answer comes as {coding:?}, which was not asked for"));
        }
        arriving.chunks(body)?;
        return Ok(head);
    }
    match header(&text, "content-length").map(|length| length.parse::<u64>()) {
        Some(Ok(length)) => arriving.pass_on(length, body)?,
        Some(Err(_)) => return Err("the answer's Content-Length is not a number".into()),
        // The end of the connection is the end of the body.
        None => while arriving.pass_on_some(u64::MAX, body)? > 0 {},
    }
    Ok(head)
}

/// Longest head and longest line of a chunk's size, in bytes.
const HEAD_LIMIT: usize = 64 * 1024;

/// A response as it comes.
struct Arriving<'a> {
    stream: &'a mut TcpStream,
    end: Instant,
    stopping: &'a dyn Fn() -> bool,
    /// What was read and not yet used.
    buffer: Vec<u8>,
}

impl Arriving<'_> {
    /// Reads more; false at the end of the connection.
    fn more(&mut self) -> Result<bool, String> {
        let mut piece = vec![0; 64 * 1024];
        loop {
            if (self.stopping)() {
                return Err("the run was stopped".into());
            }
            if Instant::now() >= self.end {
                return Err("no whole answer came in time".into());
            }
            // Not longer, so that the end of a run is seen.
            let wait = left(self.end).min(Duration::from_secs(1));
            self.stream.set_read_timeout(Some(wait)).map_err(tell)?;
            match self.stream.read(&mut piece) {
                Ok(count) => {
                    self.buffer.extend_from_slice(&piece[..count]);
                    return Ok(count > 0);
                }
                Err(error)
                    if matches!(
                        error.kind(),
                        io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
                    ) => {}
                Err(error) => return Err(tell(error)),
            }
        }
    }

    fn head(&mut self) -> Result<Vec<u8>, String> {
        loop {
            if let Some((head, body)) = split_head(&self.buffer) {
                let (head, body) = (head.to_vec(), body.to_vec());
                self.buffer = body;
                return Ok(head);
            }
            if !b"HTTP/".starts_with(&self.buffer[..self.buffer.len().min(5)]) {
                return Err("what answered does not speak HTTP".into());
            }
            if self.buffer.len() > HEAD_LIMIT {
                return Err("the answer's head is too long".into());
            }
            if !self.more()? {
                return Err("the connection was closed before an answer came".into());
            }
        }
    }

    /// Writes what is there of the next `most` bytes, at least one unless the connection has ended.
    fn pass_on_some(&mut self, most: u64, body: &mut dyn Write) -> Result<u64, String> {
        if self.buffer.is_empty() && !self.more()? {
            return Ok(0);
        }
        let count = self.buffer.len().min(usize::try_from(most).unwrap_or(usize::MAX));
        body.write_all(&self.buffer[..count]).map_err(|error| format!("keeping it: {error}"))?;
        self.buffer.drain(..count);
        Ok(count as u64)
    }

    fn pass_on(&mut self, mut length: u64, body: &mut dyn Write) -> Result<(), String> {
        while length > 0 {
            match self.pass_on_some(length, body)? {
                0 => {
                    return Err(format!(
                        "the connection was closed {length} bytes before the end of the answer"
                    ));
                }
                count => length -= count,
            }
        }
        Ok(())
    }

    fn chunks(&mut self, body: &mut dyn Write) -> Result<(), String> {
        loop {
            let line = self.line()?;
            let size = line.split(';').next().unwrap_or_default().trim();
            let size = u64::from_str_radix(size, 16).map_err(|_| "the answer's chunks are damaged")?;
            if size == 0 {
                return Ok(());
            }
            self.pass_on(size, body)?;
            if !self.line()?.is_empty() {
                return Err("the answer's chunks are damaged".into());
            }
        }
    }

    /// One line without its end.
    fn line(&mut self) -> Result<String, String> {
        loop {
            if let Some(end) = self.buffer.iter().position(|&byte| byte == b'\n') {
                let line: Vec<u8> = self.buffer.drain(..=end).collect();
                return Ok(String::from_utf8_lossy(&line).trim_end().to_owned());
            }
            if self.buffer.len() > HEAD_LIMIT || !self.more()? {
                return Err("the connection was closed within the answer".into());
            }
        }
    }
}

fn tell(error: io::Error) -> String {
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => "no answer came in time".to_owned(),
        _ => format!("the connection broke: {error}"),
    }
}

/// Sends a request and reads the response.
///
/// # Errors
/// What failed, a fragment such as `the connection was closed before an answer came`.
pub fn exchange(stream: &mut TcpStream, request: &Request<'_>, end: Instant) -> Result<Response, String> {
    stream.set_write_timeout(Some(left(end))).map_err(tell)?;
    stream.write_all(&encode(request)).map_err(tell)?;
    let mut received = Vec::new();
    let mut buffer = vec![0; 16 * 1024];
    loop {
        if let Some(response) = decode(&received, request.method, false)? {
            return Ok(response);
        }
        if received.len() > RESPONSE_LIMIT {
            break;
        }
        stream.set_read_timeout(Some(left(end))).map_err(tell)?;
        match stream.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => received.extend_from_slice(&buffer[..count]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(tell(error)),
        }
        if Instant::now() >= end {
            return Err("no whole answer came in time".into());
        }
    }
    if received.is_empty() {
        return Err("the connection was closed before an answer came".into());
    }
    decode(&received, request.method, true)?
        .ok_or_else(|| "the connection was closed within the answer".into())
}

/// What is left, never zero: that would be an error of setsockopt(2).
fn left(end: Instant) -> Duration {
    end.saturating_duration_since(Instant::now()).max(Duration::from_millis(1))
}

fn encode(request: &Request<'_>) -> Vec<u8> {
    let mut head = format!("{} {} HTTP/1.1\r\n", request.method, request.target.path);
    let length = request.body.len().to_string();
    let own = [
        ("Host", request.target.host.as_str()),
        ("User-Agent", "cm"),
        ("Accept", "*/*"),
        ("Connection", "close"),
    ];
    let length = (!request.body.is_empty() || matches!(request.method, "POST" | "PUT" | "PATCH"))
        .then_some(("Content-Length", length.as_str()));
    for (name, value) in own.into_iter().chain(length) {
        if !request.headers.iter().any(|(given, _)| given.eq_ignore_ascii_case(name)) {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
    }
    for (name, value) in request.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("\r\n");
    let mut bytes = head.into_bytes();
    bytes.extend_from_slice(request.body);
    bytes
}

/// The response, if all of it is there; `ended`: nothing more comes.
fn decode(received: &[u8], method: &str, ended: bool) -> Result<Option<Response>, String> {
    let Some((head, body)) = split_head(received) else {
        let start = &received[..received.len().min(5)];
        // An answer in another protocol need not be read to its end.
        if !b"HTTP/".starts_with(start) {
            return Err("what answered does not speak HTTP".into());
        }
        return Ok(None);
    };
    let head = String::from_utf8_lossy(head);
    let status = status_of(&head).ok_or("what answered does not speak HTTP")?;
    if (100..200).contains(&status) && status != 101 {
        // An interim response: the real one follows.
        return decode(body, method, ended);
    }
    let header = |name: &str| header(&head, name);
    let whole = |body: &[u8]| Ok(Some(Response { status, body: body.to_vec() }));
    if method == "HEAD" || matches!(status, 101 | 204 | 304) {
        return whole(&[]);
    }
    if header("transfer-encoding").is_some_and(|value| value.to_ascii_lowercase().ends_with("chunked")) {
        return match unchunk(body)? {
            (decoded, true) => whole(&decoded),
            // Cut: what has come can still be looked at.
            (decoded, false) if ended => whole(&decoded),
            _ => Ok(None),
        };
    }
    match header("content-length").and_then(|length| length.parse::<usize>().ok()) {
        Some(length) if body.len() >= length => whole(&body[..length]),
        _ if ended => whole(body),
        _ => Ok(None),
    }
}

fn status_of(head: &str) -> Option<u16> {
    let rest = head.lines().next()?.strip_prefix("HTTP/")?;
    rest.split_whitespace().nth(1)?.parse().ok()
}

/// The value of the first header of this name.
fn header(head: &str, name: &str) -> Option<String> {
    let mut headers = head.lines().skip(1).filter_map(|line| line.split_once(':'));
    headers
        .find(|(given, _)| given.trim().eq_ignore_ascii_case(name))
        .map(|(_, value)| value.trim().to_owned())
}

/// Head and body, where the blank line between them is there.
fn split_head(received: &[u8]) -> Option<(&[u8], &[u8])> {
    let find = |mark: &[u8]| {
        received.windows(mark.len()).position(|window| window == mark).map(|at| (at, mark.len()))
    };
    // Some servers end lines with a bare newline.
    let (at, length) = find(b"\r\n\r\n").into_iter().chain(find(b"\n\n")).min()?;
    Some((&received[..at], &received[at + length..]))
}

/// The content of a chunked body, and whether its last chunk is there.
fn unchunk(mut rest: &[u8]) -> Result<(Vec<u8>, bool), String> {
    let mut decoded = Vec::new();
    loop {
        let Some(end) = rest.iter().position(|&byte| byte == b'\n') else { return Ok((decoded, false)) };
        let line = String::from_utf8_lossy(&rest[..end]);
        let size = line.split(';').next().unwrap_or_default().trim();
        let size = usize::from_str_radix(size, 16).map_err(|_| "the answer's chunks are damaged")?;
        rest = &rest[end + 1..];
        if size == 0 {
            return Ok((decoded, true));
        }
        decoded.extend_from_slice(&rest[..size.min(rest.len())]);
        match size.checked_add(2).and_then(|size| rest.get(size..)) {
            Some(after) => rest = after,
            None => return Ok((decoded, false)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ok(text: &str, method: &str) -> Option<Response> {
        decode(text.as_bytes(), method, false).unwrap()
    }

    fn response(status: u16, body: &str) -> Option<Response> {
        Some(Response { status, body: body.as_bytes().to_vec() })
    }

    #[test]
    fn targets_are_taken_apart() {
        let target = Target::parse("127.0.0.1:8080/a?b=c#d").unwrap();
        assert_eq!(
            (target.address.port, target.host.as_str(), target.path.as_str()),
            (8080, "127.0.0.1:8080", "/a?b=c")
        );
        let target = Target::parse("[::1]?x").unwrap();
        assert_eq!(
            (target.address.host.as_deref(), target.address.port, target.path.as_str()),
            (Some("::1"), 80, "/?x")
        );
        assert_eq!(Target::parse("web").unwrap().path, "/");
        for bad in ["", "/x", "a b/", "u@h/", "h:0/", "h/a b"] {
            assert!(Target::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn responses_of_every_framing_are_read() {
        assert_eq!(
            ok("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello, more", "GET"),
            response(200, "hello")
        );
        assert_eq!(ok("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell", "GET"), None);
        let chunked =
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n";
        assert_eq!(ok(chunked, "GET"), response(200, "hello"));
        for cut in 0..chunked.len() - 4 {
            assert_eq!(decode(&chunked.as_bytes()[..cut], "GET", false), Ok(None), "{cut}");
        }
        assert_eq!(ok("HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", "GET"), response(304, ""));
        assert_eq!(ok("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", "HEAD"), response(200, ""));
        assert_eq!(
            ok("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 Made\r\ncontent-length:0\r\n\r\n", "PUT"),
            response(201, "")
        );
        assert_eq!(ok("HTTP/1.0 200 OK\n\nto the end", "GET"), None);
        assert_eq!(decode(b"HTTP/1.0 200 OK\n\nto the end", "GET", true), Ok(response(200, "to the end")));
    }

    #[test]
    fn what_is_not_http_is_refused() {
        for other in ["SSH-2.0-OpenSSH_9.2\r\n", "\x15\x03\x01", "HTTP/x\r\n\r\n", "HTTPS\r\n"] {
            assert!(decode(other.as_bytes(), "GET", false).is_err(), "{other:?}");
        }
        assert!(unchunk(b"zz\r\n").is_err());
        assert_eq!(unchunk(b"ffffffffffffffff\r\nx"), Ok((b"x".to_vec(), false)));
    }

    #[test]
    fn own_headers_give_way() {
        let target = Target::parse("h/").unwrap();
        let headers = [("host".to_owned(), "other".to_owned())];
        let request = Request { method: "POST", target: &target, headers: &headers, body: b"x" };
        let text = String::from_utf8(encode(&request)).unwrap();
        assert_eq!(
            text,
            "POST / HTTP/1.1\r\nUser-Agent: cm\r\nAccept: */*\r\nConnection: close\r\nContent-Length: 1\r\nhost: other\r\n\r\nx"
        );
    }
}
