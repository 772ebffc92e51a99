//! A client that asks all the time, and forgives nothing.

use std::{
    collections::BTreeMap,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

/// So long may one answer take: a loaded machine is no lost request.
const PATIENCE: Duration = Duration::from_secs(20);

#[derive(Default)]
struct Heard {
    answers: BTreeMap<String, usize>,
    lost: Vec<String>,
}

/// Asks until it is told to stop.
pub struct Client {
    stop: Arc<AtomicBool>,
    heard: Arc<Mutex<Heard>>,
    threads: Vec<JoinHandle<()>>,
}

fn ask(address: SocketAddr) -> Result<String, String> {
    let mut stream =
        TcpStream::connect_timeout(&address, PATIENCE).map_err(|error| format!("connect: {error}"))?;
    stream.set_read_timeout(Some(PATIENCE)).map_err(|error| error.to_string())?;
    stream
        .write_all(b"GET / HTTP/1.1\r\nHost: site\r\nConnection: close\r\n\r\n")
        .map_err(|error| error.to_string())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).map_err(|error| format!("read: {error}"))?;
    match answer.split_once("\r\n\r\n") {
        Some((head, body)) if head.starts_with("HTTP/1.1 200 ") => Ok(body.trim().to_owned()),
        _ => Err(answer.lines().next().unwrap_or("nothing").to_owned()),
    }
}

impl Client {
    /// Starts to ask.
    pub fn of(address: &str) -> Self {
        let address: SocketAddr = format!("{address}:80").parse().unwrap();
        let (stop, heard) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(Heard::default())));
        let threads = (0..2)
            .map(|_| {
                let (stop, heard) = (stop.clone(), heard.clone());
                thread::spawn(move || {
                    while !stop.load(Ordering::Relaxed) {
                        let answer = ask(address);
                        let mut heard = heard.lock().unwrap();
                        match answer {
                            Ok(version) => *heard.answers.entry(version).or_default() += 1,
                            Err(why) => heard.lost.push(why),
                        }
                        drop(heard);
                        thread::sleep(Duration::from_millis(10));
                    }
                })
            })
            .collect();
        Self { stop, heard, threads }
    }

    /// What each version has answered so far; nothing was lost.
    #[track_caller]
    pub fn heard(&self) -> BTreeMap<String, usize> {
        let heard = self.heard.lock().unwrap();
        assert!(heard.lost.is_empty(), "{} requests were lost: {:?}", heard.lost.len(), heard.lost.first());
        heard.answers.clone()
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}
