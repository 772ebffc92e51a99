//! HTTP GET for the controller: inventory sources, gates of rollouts. Blocking; call it off an async
//! runtime's threads.

use std::{io::Read as _, sync::OnceLock, time::Duration};

/// What to fetch.
#[derive(Clone, Debug)]
pub struct Request<'a> {
    /// `http://…` or `https://…`; certificates are checked against what this system trusts.
    pub url: &'a str,
    /// Headers, as name and value.
    pub headers: &'a [(String, String)],
    /// Limit for all of it, connecting included.
    pub timeout: Duration,
    /// Bytes of the body that are accepted; more is an error.
    pub limit: usize,
}

/// What came back, whatever its status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// The status: 200.
    pub status: u16,
    /// The body.
    pub body: Vec<u8>,
}

/// Why nothing came back.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The request could not be made or answered.
    #[error("{url} cannot be fetched")]
    Request {
        /// What was asked for.
        url: String,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The answer is larger than what is accepted.
    #[error("{url} answers with more than {limit} bytes")]
    TooLarge {
        /// What was asked for.
        url: String,
        /// The limit.
        limit: usize,
    },
}

/// Fetches; redirects are followed, at most five.
///
/// # Errors
/// When there is no answer in time, or it is too large. A status such as 404 is an answer.
pub fn get(request: &Request<'_>) -> Result<Response, FetchError> {
    let failed = |source: Box<dyn std::error::Error + Send + Sync>| FetchError::Request {
        url: request.url.to_owned(),
        source,
    };
    let mut call = agent().get(request.url).config().timeout_global(Some(request.timeout)).build();
    for (name, value) in request.headers {
        call = call.header(name, value);
    }
    let answer = call.call().map_err(|error| failed(error.into()))?;
    let status = answer.status().as_u16();
    let mut body = Vec::new();
    let most = u64::try_from(request.limit).unwrap_or(u64::MAX);
    let reader = answer.into_body().into_reader();
    reader.take(most.saturating_add(1)).read_to_end(&mut body).map_err(|error| failed(error.into()))?;
    if body.len() > request.limit {
        return Err(FetchError::TooLarge { url: request.url.to_owned(), limit: request.limit });
    }
    Ok(Response { status, body })
}

fn agent() -> &'static ureq::Agent {
    static AGENT: OnceLock<ureq::Agent> = OnceLock::new();
    AGENT.get_or_init(|| {
        let tls = ureq::tls::TlsConfig::builder().root_certs(ureq::tls::RootCerts::PlatformVerifier).build();
        ureq::Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(5)
            .user_agent(concat!("cm/", env!("CARGO_PKG_VERSION")))
            .tls_config(tls)
            .build()
            .into()
    })
}

#[cfg(test)]
mod tests {
    use std::{
        io::{BufRead as _, BufReader, Write as _},
        net::TcpListener,
    };

    use super::*;

    /// Answers one request with these bytes; gives the URL, and the request's head when it is done.
    fn server(answer: &'static str) -> (String, std::thread::JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/hosts", listener.local_addr().unwrap());
        let served = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut head = String::new();
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            while !head.ends_with("\r\n\r\n") {
                reader.read_line(&mut head).unwrap();
            }
            stream.write_all(answer.as_bytes()).unwrap();
            head
        });
        (url, served)
    }

    fn fetch(url: &str, limit: usize) -> Result<Response, FetchError> {
        let headers = [("x-token".to_owned(), "t".to_owned())];
        get(&Request { url, headers: &headers, timeout: Duration::from_secs(10), limit })
    }

    #[test]
    fn a_status_that_is_no_success_is_an_answer() {
        let (url, served) = server("HTTP/1.1 503 Busy\r\ncontent-length: 4\r\n\r\nwait");
        assert_eq!(fetch(&url, 10).unwrap(), Response { status: 503, body: b"wait".to_vec() });
        assert!(served.join().unwrap().contains("x-token: t"));
    }

    #[test]
    fn an_answer_over_the_limit_is_an_error() {
        let (url, served) = server("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nlong");
        assert!(matches!(fetch(&url, 3), Err(FetchError::TooLarge { limit: 3, .. })));
        served.join().unwrap();
    }

    #[test]
    fn nobody_there_is_told_with_the_address() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        drop(listener);
        assert!(fetch(&url, 3).unwrap_err().to_string().contains(&url));
    }
}
