//! Fetching from a server on the loopback; the server is for the tests of other modules, too.

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Read, Write},
    net::TcpListener,
    sync::{Arc, Mutex},
};

use cm_wire::Mode;

use super::*;
use crate::{Empty, Overlay, Real, bench};

/// A server that gives whole answers by path, and keeps what it was asked.
pub struct Server {
    pub port: u16,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Server {
    /// The answers are those of HTTP, head and body; what is not among them is not found.
    pub fn answering(answers: &[(&str, Vec<u8>)]) -> Self {
        let answers: BTreeMap<String, Vec<u8>> =
            answers.iter().map(|(path, answer)| ((*path).to_owned(), answer.clone())).collect();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let log = asked.clone();
        // It ends with the process of the tests.
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let mut stream = BufReader::new(stream);
                let mut request = String::new();
                while stream.read_line(&mut request).is_ok_and(|count| count > 2) {}
                let path = request.split(' ').nth(1).unwrap_or_default().to_owned();
                log.lock().unwrap().push(request);
                let missing = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n".to_vec();
                let _ = stream.get_mut().write_all(answers.get(&path).unwrap_or(&missing));
            }
        });
        Self { port, asked }
    }

    /// Files by path.
    pub fn of(files: &[(&str, &[u8])]) -> Self {
        let answers: Vec<_> = files.iter().map(|(path, content)| (*path, whole(content))).collect();
        Self::answering(&answers)
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    pub fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

fn whole(content: &[u8]) -> Vec<u8> {
    let mut answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", content.len()).into_bytes();
    answer.extend_from_slice(content);
    answer
}

fn get(url: &str, headers: &Headers) -> Result<Vec<u8>, Problem> {
    let real = Real::new();
    let context = bench::context(&real, Mode::Apply);
    let url = FileUrl::parse(url).unwrap();
    let content = fetch(&context, &url, headers, None, Path::new("/tmp/x"))?;
    let mut bytes = Vec::new();
    crate::node::Streams::open_content(&real, &content).unwrap().read_to_end(&mut bytes).unwrap();
    assert_eq!(bytes.len() as u64, content.size());
    Ok(bytes)
}

#[test]
fn files_come_in_every_framing() {
    let large: Vec<u8> = (0..3_000_000_u32).map(|number| number.to_le_bytes()[0]).collect();
    let mut chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
    for piece in large.chunks(70_001) {
        chunked.extend(format!("{:x};x=y\r\n", piece.len()).bytes().chain(piece.to_vec()).chain(*b"\r\n"));
    }
    chunked.extend(b"0\r\n\r\n");
    let mut to_the_end = b"HTTP/1.0 200 OK\n\n".to_vec();
    to_the_end.extend_from_slice(&large);
    let server = Server::answering(&[
        ("/length", whole(&large)),
        ("/chunked", chunked),
        ("/end", to_the_end),
        ("/empty", whole(b"")),
    ]);
    for path in ["/length", "/chunked", "/end"] {
        assert!(get(&server.url(path), &Headers::new()).unwrap() == large, "{path}");
    }
    assert_eq!(get(&server.url("/empty"), &Headers::new()).unwrap(), b"");
}

#[test]
fn what_does_not_come_whole_is_refused() {
    let server = Server::answering(&[
        ("/cut", b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf".to_vec()),
        ("/cut-chunk", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel".to_vec()),
        ("/other", b"SSH-2.0-x\r\n".to_vec()),
    ]);
    let error = |path: &str| get(&server.url(path), &Headers::new()).unwrap_err().message;
    assert!(error("/cut").ends_with("closed 6 bytes before the end of the answer"), "{}", error("/cut"));
    assert!(error("/cut-chunk").contains("before the end of the answer"));
    assert!(error("/other").ends_with("does not speak HTTP"));
    assert!(error("/missing").ends_with("the server answered 404 (not found)"));
}

#[test]
fn redirections_are_followed_without_the_headers_of_another_server() {
    let target = Server::of(&[("/file", b"hello")]);
    let to = |place: &str| format!("HTTP/1.1 302 Found\r\nLocation: {place}\r\n\r\n").into_bytes();
    let first = Server::answering(&[
        ("/a/away", to(&target.url("/file"))),
        ("/a/here", to("../a/away")),
        ("/a/./../a/away", to("/a/away")),
        ("/a/../a/away", to("/a/away")),
        ("/loop", to("/loop")),
    ]);
    let headers = [("X-Token".to_owned(), "marker".to_owned())].into();
    assert_eq!(get(&first.url("/a/here"), &headers).unwrap(), b"hello");
    assert!(first.asked().iter().all(|request| request.contains("X-Token: marker")));
    assert!(!target.asked()[0].contains("marker"), "{}", target.asked()[0]);
    let problem = get(&first.url("/loop"), &headers).unwrap_err();
    assert!(problem.message.ends_with("more than 20 redirections"), "{}", problem.message);
}

#[test]
fn users_of_urls_are_sent_and_never_shown() {
    let server = Server::of(&[("/x", b"x")]);
    let url = server.url("/x").replace("http://", "http://anna:p%40ss@");
    assert_eq!(get(&url, &Headers::new()).unwrap(), b"x");
    assert!(server.asked()[0].contains("Authorization: Basic YW5uYTpwQHNz\r\n"), "{}", server.asked()[0]);
    let problem = get(&url.replace("/x", "/y?token=1"), &Headers::new()).unwrap_err();
    assert!(!problem.message.contains("p%40ss") && !problem.message.contains("token"), "{}", problem.message);
}

#[test]
fn locations_are_resolved() {
    let base = Remote::parse("https://h:8/a/b?c").unwrap();
    let follow =
        |location: &str| base.follow(location).map(|remote| format!("{}://{}", remote.scheme(), remote.rest));
    assert_eq!(follow("x").unwrap(), "https://h:8/a/x");
    assert_eq!(follow("/x?y").unwrap(), "https://h:8/x?y");
    assert_eq!(follow("?y").unwrap(), "https://h:8/a/b?y");
    assert_eq!(follow("//other/x#f").unwrap(), "https://other/x");
    assert_eq!(follow("HTTPS://other").unwrap(), "https://other");
    assert!(follow("http://h:8/x").unwrap_err().contains("not encrypted"));
    assert!(follow("file:///etc/shadow").is_err());
}

#[test]
fn urls_that_cannot_be_asked_are_refused_without_repeating_them() {
    for url in [
        "ftp://anna:secret@h/x",
        "http://anna:secret@",
        "http://anna:secret@h/a b",
        "file://secret",
        "secret",
    ] {
        let error = FileUrl::parse(url).unwrap_err();
        assert!(url.starts_with("file") || !error.contains("secret"), "{url}: {error}");
    }
    assert_eq!(FileUrl::parse("file:///a%20b").unwrap().show(), "/a b");
}

#[test]
fn https_without_a_program_for_it_says_what_to_install() {
    let node = Overlay::new(&Empty);
    let context = bench::context(&node, Mode::Apply);
    let remote = Remote::parse("https://h/x").unwrap();
    let mut spool = crate::node::Streams::spool(&Real::new(), Path::new("/tmp"));
    let problem = client::ask(&context, &remote, &Headers::new(), &mut spool).err().unwrap();
    assert!(problem.message.contains("needs curl or wget"), "{}", problem.message);
    assert!(problem.hint.unwrap().starts_with("`- package: curl`"));
}
