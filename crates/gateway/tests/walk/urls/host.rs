//! A host of images, and worse: it writes down what it is asked, and how far the audit log was by then.

use madang_gateway::gateway::Gateway;
use std::sync::{Arc, Mutex, OnceLock};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// What a host was asked: the head, and the leaves of the log when it came.
#[derive(Clone, Debug)]
pub struct Asked {
    pub head: String,
    pub log_size: u64,
}

#[derive(Default)]
struct Book {
    gateway: OnceLock<Arc<Gateway>>,
    asked: Mutex<Vec<Asked>>,
}

pub struct Host {
    pub port: u16,
    book: Arc<Book>,
    accepting: JoinHandle<()>,
}

impl Drop for Host {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Host {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let book = Arc::<Book>::default();
        let kept = Arc::clone(&book);
        let accepting = tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let book = Arc::clone(&kept);
                // Whoever leaves in the middle is no fault of this host.
                tokio::spawn(async move { serve(socket, &book).await.ok() });
            }
        });
        Self {
            port,
            book,
            accepting,
        }
    }

    /// Whose audit log is looked at.
    pub fn watch(&self, gateway: &Arc<Gateway>) {
        assert!(self.book.gateway.set(Arc::clone(gateway)).is_ok());
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    pub fn asked(&self) -> Vec<Asked> {
        self.book.asked.lock().unwrap().clone()
    }
}

async fn serve(mut socket: TcpStream, book: &Book) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut bytes = [0; 4096];
        let count = socket.read(&mut bytes).await?;
        if count == 0 {
            return Ok(());
        }
        head.extend_from_slice(&bytes[..count]);
    }
    let head = String::from_utf8(head).unwrap();
    let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
    let gateway = book.gateway.get();
    let log_size = gateway.map_or(0, |gateway| gateway.audit.status().size);
    book.asked.lock().unwrap().push(Asked { head, log_size });
    let (status, more, body) = match path.split('?').next().unwrap_or_default() {
        "/page" => (200, "content-type: text/html", "<html>"),
        "/drawing" => (200, "content-type: image/svg+xml", "<svg/>"),
        "/packed" => (
            200,
            "content-type: image/png\r\ncontent-encoding: gzip",
            "x",
        ),
        "/elsewhere" => (302, "location: http://169.254.169.254/latest", ""),
        "/gone" => (404, "content-type: image/png", "x"),
        "/huge" => return head_of(&mut socket, "content-length: 999999999").await,
        "/endless" => return endless(&mut socket).await,
        "/silent" => return std::future::pending().await,
        "/broken" => return head_of(&mut socket, "content-length: 9").await,
        _ => (200, "content-type: image/png; x=y", "PNG"),
    };
    let length = body.len();
    let answer = format!("HTTP/1.1 {status} X\r\n{more}\r\ncontent-length: {length}\r\n\r\n{body}");
    socket.write_all(answer.as_bytes()).await
}

async fn head_of(socket: &mut TcpStream, framing: &str) -> std::io::Result<()> {
    let head = format!("HTTP/1.1 200 X\r\ncontent-type: image/png\r\n{framing}\r\n\r\n");
    socket.write_all(head.as_bytes()).await
}

async fn endless(socket: &mut TcpStream) -> std::io::Result<()> {
    head_of(socket, "transfer-encoding: chunked").await?;
    loop {
        socket.write_all(b"400\r\n").await?;
        socket.write_all(&[b'x'; 1024]).await?;
        socket.write_all(b"\r\n").await?;
    }
}
