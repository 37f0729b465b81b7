//! Where the browser brings the code: a port of this machine that answers one question, and only to who asks it as it should be.

use anyhow::{Context, bail};
use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

/// How long a person may take in the browser.
const WAIT: Duration = Duration::from_mins(10);
/// How long a connection may take to ask, and the last answer to leave.
const CONNECTION: Duration = Duration::from_secs(5);
/// Connections at once: a browser opens a few.
const CONNECTIONS_MAX: usize = 16;
/// Bytes of a request that are read.
const REQUEST_BYTES_MAX: usize = 16 * 1024;

/// The port, and what it waits for.
pub struct Loopback {
    listener: TcpListener,
    url: String,
    expected: Arc<Expected>,
}

/// What a question must be.
struct Expected {
    /// The address as a browser names it in `Host`; whoever comes by another name was led here.
    host: String,
    state: String,
}

impl Loopback {
    /// Listens at a free port.
    ///
    /// # Errors
    /// This machine has no loopback address.
    pub async fn listen(state: String) -> anyhow::Result<Self> {
        let listener = match TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await {
            Ok(listener) => listener,
            Err(_) => TcpListener::bind((Ipv6Addr::LOCALHOST, 0))
                .await
                .context("cannot listen on this machine's loopback address")?,
        };
        let host = listener.local_addr()?.to_string();
        let url = format!("http://{host}/");
        Ok(Self {
            listener,
            url,
            expected: Arc::new(Expected { host, state }),
        })
    }

    /// Its URL.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Waits for the browser with the code, and answers it.
    ///
    /// # Errors
    /// Nobody came in time.
    pub async fn code(self) -> anyhow::Result<String> {
        let (found, mut code) = mpsc::channel(1);
        let mut connections = JoinSet::new();
        let waiting = async {
            loop {
                tokio::select! {
                    Some(code) = code.recv() => return code,
                    Some(_) = connections.join_next() => {}
                    Ok((stream, _)) = self.listener.accept(), if connections.len() < CONNECTIONS_MAX => {
                        let (expected, found) = (Arc::clone(&self.expected), found.clone());
                        let answer = service_fn(move |request| {
                            let answer = expected.answer(&request, &found);
                            async { Ok::<_, Infallible>(answer) }
                        });
                        let connection = http1::Builder::new()
                            .timer(TokioTimer::new())
                            .header_read_timeout(CONNECTION)
                            .max_buf_size(REQUEST_BYTES_MAX)
                            .keep_alive(false)
                            .serve_connection(TokioIo::new(stream), answer);
                        connections.spawn(tokio::time::timeout(CONNECTION, connection));
                    }
                }
            }
        };
        let Ok(code) = tokio::time::timeout(WAIT, waiting).await else {
            bail!("nobody signed in within {} min", WAIT.as_secs() / 60);
        };
        // The browser's answer is under way; a connection that asks nothing is not waited for.
        let left = async { while connections.join_next().await.is_some() {} };
        drop(tokio::time::timeout(Duration::from_millis(500), left).await);
        Ok(code)
    }
}

impl Expected {
    fn answer(
        &self,
        request: &Request<Incoming>,
        found: &mpsc::Sender<String>,
    ) -> Response<Full<Bytes>> {
        let (status, text) = match self.code_of(request) {
            // Of two answers the first counts.
            Ok(code) => {
                drop(found.try_send(code));
                (
                    StatusCode::OK,
                    "Madang: the terminal has the answer. This page can be closed.\n",
                )
            }
            Err(refused) => refused,
        };
        let mut response = Response::new(Full::new(Bytes::from_static(text.as_bytes())));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        for (name, value) in [
            (header::CONTENT_TYPE, "text/plain; charset=utf-8"),
            (header::CACHE_CONTROL, "no-store"),
            (header::REFERRER_POLICY, "no-referrer"),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        response
    }

    fn code_of<B>(&self, request: &Request<B>) -> Result<String, (StatusCode, &'static str)> {
        let mut hosts = request.headers().get_all(header::HOST).iter();
        if hosts.next().is_none_or(|host| *host != *self.host) || hosts.next().is_some() {
            return Err((StatusCode::FORBIDDEN, "this is another host\n"));
        }
        if request.method() != Method::GET || request.uri().path() != "/" {
            return Err((StatusCode::NOT_FOUND, "there is nothing here\n"));
        }
        let query = request.uri().query().unwrap_or_default();
        let one = |name: &str| {
            let pairs = form_urlencoded::parse(query.as_bytes());
            let mut values = pairs.filter(|(key, _)| key == name).map(|(_, value)| value);
            let value = values.next()?;
            values.next().is_none().then(|| value.into_owned())
        };
        if one("state").as_deref() != Some(&*self.state) {
            return Err((
                StatusCode::FORBIDDEN,
                "this is the answer to another sign-in\n",
            ));
        }
        one("code").ok_or((StatusCode::BAD_REQUEST, "the answer has no code\n"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_answer_to_this_sign_in_is_taken() {
        let expected = Expected {
            host: "127.0.0.1:7".into(),
            state: "s1".into(),
        };
        let check = |method: &str, place: &str, hosts: &[&str], status: u16| {
            let mut request = Request::builder().method(method).uri(place);
            for host in hosts {
                request = request.header("host", *host);
            }
            let found = expected.code_of(&request.body(()).unwrap());
            let found = found.map_err(|(status, _)| status.as_u16());
            let wanted = if status == 200 {
                Ok("c1".to_owned())
            } else {
                Err(status)
            };
            assert_eq!(found, wanted, "{method} {place} {hosts:?}");
        };
        let ours = ["127.0.0.1:7"];
        check("GET", "/?code=c1&state=s1", &ours, 200);
        check("GET", "/?state=s1&x=y&code=c1", &ours, 200);
        for hosts in [
            &[][..],
            &["localhost:7"],
            &["evil.example:7"],
            &["evil.example"],
            &["127.0.0.1"],
            &["127.0.0.1:8"],
            &["127.0.0.1:7", "evil.example"],
        ] {
            check("GET", "/?code=c1&state=s1", hosts, 403);
        }
        check("POST", "/?code=c1&state=s1", &ours, 404);
        check("GET", "/favicon.ico", &ours, 404);
        check("GET", "/x?code=c1&state=s1", &ours, 404);
        check("GET", "/", &ours, 403);
        check("GET", "/?code=c1", &ours, 403);
        check("GET", "/?code=c1&state=s2", &ours, 403);
        check("GET", "/?code=c1&state=", &ours, 403);
        check("GET", "/?code=c1&state=s1&state=s1", &ours, 403);
        check("GET", "/?state=s1", &ours, 400);
        check("GET", "/?state=s1&code=c1&code=c2", &ours, 400);
    }
}
