//! A small HTTP server of fixed pages: meters of power, as they answered once.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// Bytes of a request's head.
const HEAD_BYTES_MAX: usize = 16 * 1024;

/// How a page is answered.
#[derive(Clone, Debug)]
pub enum PageAnswer {
    /// A status and a body.
    Whole(u16, String),
    /// A body that is announced longer than it is.
    Cut(String),
    /// Nothing, ever.
    Silence,
}

#[derive(Default)]
struct Kept {
    answers: BTreeMap<String, PageAnswer>,
    authorizations: Vec<Option<String>>,
}

/// A server of pages. Dropping it ends it.
pub struct Pages {
    address: SocketAddr,
    kept: Arc<Mutex<Kept>>,
    task: JoinHandle<()>,
}

impl Pages {
    /// Serves no page yet, on a free port.
    ///
    /// # Errors
    /// No port can be had.
    pub async fn serve() -> std::io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let kept = Arc::<Mutex<Kept>>::default();
        let shared = Arc::clone(&kept);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(connection(stream, Arc::clone(&shared)));
            }
        });
        Ok(Self {
            address,
            kept,
            task,
        })
    }

    /// Its address with that path.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Answers so at that path from now on.
    pub fn set(&self, path: &str, answer: PageAnswer) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.answers.insert(path.to_owned(), answer);
    }

    /// What callers showed as `authorization`, so far.
    pub fn authorizations(&self) -> Vec<Option<String>> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.authorizations.clone()
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// One request, one answer.
async fn connection(mut stream: TcpStream, kept: Arc<Mutex<Kept>>) {
    let mut head = Vec::new();
    while !head.windows(4).any(|end| end == b"\r\n\r\n") && head.len() < HEAD_BYTES_MAX {
        match stream.read_buf(&mut head).await {
            Ok(1..) => {}
            Ok(0) | Err(_) => return,
        }
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let path = head.split(' ').nth(1).unwrap_or_default();
    let named = |line: &str| {
        let (name, value) = line.split_once(':')?;
        let is_it = name.eq_ignore_ascii_case("authorization");
        is_it.then(|| value.trim().to_owned())
    };
    let answer = {
        let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.authorizations.push(head.lines().find_map(named));
        kept.answers.get(path).cloned()
    };
    let (status, body, more) = match answer {
        Some(PageAnswer::Whole(status, body)) => (status, body, 0),
        Some(PageAnswer::Cut(body)) => (200, body, 100),
        Some(PageAnswer::Silence) => return std::future::pending().await,
        None => (404, String::new(), 0),
    };
    let length = body.len() + more;
    let answer = format!(
        "HTTP/1.1 {status} Told\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
    );
    // A caller that has left needs no answer.
    stream.write_all(answer.as_bytes()).await.ok();
}
