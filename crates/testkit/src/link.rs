//! A way to a server that can be cut, held up and slowed, as the network between two sites is.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::sleep;

/// How the way is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// What comes is passed on.
    Open,
    /// What comes is passed on so many milliseconds later.
    Slow(u64),
    /// Nothing is passed on, and nobody is told: what comes waits until the way is open again.
    Silent,
    /// What comes is passed on until one side says this in one piece: it and all that follows it waits.
    SilentAt(&'static [u8]),
    /// Connections are closed, those that stand and those that come.
    Refused,
}

/// A port of 127.0.0.1 behind which a server's unix socket is. Dropping it closes all connections.
pub struct Link {
    address: SocketAddr,
    way: watch::Sender<Way>,
    /// Counts the words of [`Way::SilentAt`] that were said.
    said: watch::Sender<u64>,
    task: JoinHandle<()>,
}

impl Link {
    /// An open way to that socket.
    ///
    /// # Errors
    /// No port can be had.
    pub async fn to(socket: PathBuf) -> std::io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let (way, seen) = watch::channel(Way::Open);
        let said = watch::Sender::new(0);
        let saying = said.clone();
        let task = tokio::spawn(async move {
            // A failed accept is the next one's try.
            loop {
                if let Ok((near, _)) = listener.accept().await {
                    tokio::spawn(pass(near, socket.clone(), (seen.clone(), saying.clone())));
                }
            }
        });
        Ok(Self {
            address,
            way,
            said,
            task,
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Changes the way, for connections that stand too.
    pub fn set(&self, way: Way) {
        self.way.send_replace(way);
    }

    /// Waits until a word of [`Way::SilentAt`] was said and is held back.
    pub async fn silent(&self) {
        let said = self
            .said
            .subscribe()
            .wait_for(|said| *said > 0)
            .await
            .map(drop);
        // This link says it, and is there.
        said.ok();
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.task.abort();
        self.way.send_replace(Way::Refused);
    }
}

async fn pass(
    near: TcpStream,
    socket: PathBuf,
    (mut way, said): (watch::Receiver<Way>, watch::Sender<u64>),
) {
    if !open(&mut way).await {
        return;
    }
    let Ok(far) = UnixStream::connect(socket).await else {
        return;
    };
    let (near_in, near_out) = near.into_split();
    let (far_in, far_out) = far.into_split();
    let (there, back) = ((way.clone(), &said), (way.clone(), &said));
    // Both end once the way is refused or one side has ended; what is left of the other is dropped and closes.
    tokio::select! {
        () = pump(near_in, far_out, there) => {}
        () = pump(far_in, near_out, back) => {}
        () = refused(way) => {}
    }
}

/// Waits until something may pass; `false` where nothing ever will.
async fn open(way: &mut watch::Receiver<Way>) -> bool {
    let passes = way.wait_for(|way| *way != Way::Silent).await;
    passes.is_ok_and(|way| *way != Way::Refused)
}

async fn refused(mut way: watch::Receiver<Way>) {
    way.wait_for(|way| *way == Way::Refused).await.ok();
}

async fn pump(
    mut from: impl AsyncReadExt + Unpin,
    mut to: impl AsyncWriteExt + Unpin,
    (mut way, said): (watch::Receiver<Way>, &watch::Sender<u64>),
) {
    let mut piece = vec![0; 64 * 1024];
    while let Ok(read @ 1..) = from.read(&mut piece).await {
        if !open(&mut way).await {
            return;
        }
        let now = *way.borrow_and_update();
        match now {
            Way::Slow(ms) => sleep(Duration::from_millis(ms)).await,
            Way::SilentAt(word) if holds(&piece[..read], word) => {
                said.send_modify(|said| *said += 1);
                if way.changed().await.is_err() || !open(&mut way).await {
                    return;
                }
            }
            _ => {}
        }
        if to.write_all(&piece[..read]).await.is_err() {
            return;
        }
    }
}

fn holds(piece: &[u8], word: &[u8]) -> bool {
    piece.windows(word.len()).any(|part| part == word)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::UnixListener;
    use tokio::time::timeout;

    /// A server that sends back what it gets.
    async fn echo(folder: &std::path::Path) -> Link {
        let socket = folder.join("echo");
        let listener = UnixListener::bind(&socket).unwrap();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let (mut from, mut to) = stream.split();
                    tokio::io::copy(&mut from, &mut to).await.ok();
                });
            }
        });
        Link::to(socket).await.unwrap()
    }

    #[tokio::test]
    async fn a_way_is_cut_and_healed() {
        let folder = tempfile::tempdir().unwrap();
        let link = echo(folder.path()).await;
        let mut client = TcpStream::connect(link.address()).await.unwrap();
        let mut answer = [0; 1];
        client.write_all(b"a").await.unwrap();
        client.read_exact(&mut answer).await.unwrap();
        link.set(Way::Silent);
        client.write_all(b"b").await.unwrap();
        let silent = timeout(Duration::from_millis(50), client.read_exact(&mut answer)).await;
        assert!(silent.is_err(), "something passed");
        link.set(Way::Slow(1));
        client.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"b");
        link.set(Way::SilentAt(b"d"));
        client.write_all(b"c").await.unwrap();
        client.read_exact(&mut answer).await.unwrap();
        client.write_all(b"d").await.unwrap();
        let silent = timeout(Duration::from_millis(50), client.read_exact(&mut answer)).await;
        assert!(silent.is_err(), "something passed");
        link.set(Way::Open);
        client.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"d");
        link.set(Way::Refused);
        assert_eq!(client.read(&mut answer).await.unwrap_or(0), 0);
        let mut late = TcpStream::connect(link.address()).await.unwrap();
        assert_eq!(late.read(&mut answer).await.unwrap_or(0), 0);
    }
}
