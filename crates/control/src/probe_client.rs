//! The prober's hands: GETs of one replica over the gateway's own client, bounded in size.

use crate::probe::ProbeHttp;
use crate::probe::http::ANSWER_BYTES_MAX;
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Request};
use http_body_util::{BodyExt, Limited};
use madang_gateway::client::{EngineAddress, EngineClient};
use std::time::Duration;

/// Longest wait for one answer of an engine that starts.
const READY_WAIT_MS_MAX: u64 = 3_000;

/// One replica as the prober reaches it.
pub(crate) struct ProbeClient<'a> {
    pub client: &'a EngineClient,
    pub address: &'a EngineAddress,
    pub credential: Option<(HeaderName, HeaderValue)>,
}

impl ProbeHttp for ProbeClient<'_> {
    async fn get(&self, path: &str) -> Result<(u16, Bytes), String> {
        let mut request = Request::new(Vec::new());
        *request.uri_mut() = path
            .parse()
            .map_err(|_| format!("'{path}' is not a path"))?;
        if let Some((name, key)) = &self.credential {
            request.headers_mut().insert(name, key.clone());
        }
        let answer = self
            .client
            .request(self.address, request)
            .await
            .map_err(|e| e.to_string())?;
        let status = answer.status().as_u16();
        let body = Limited::new(answer.into_body(), ANSWER_BYTES_MAX)
            .collect()
            .await;
        let bytes = body
            .map_err(|_| "its answer broke off or is too large".to_owned())?
            .to_bytes();
        Ok((status, bytes))
    }
}

/// Whether a starting engine answers its ready path with 200.
pub(crate) async fn ready(
    client: &EngineClient,
    address: &EngineAddress,
    path: &str,
) -> Result<(), String> {
    let http = ProbeClient {
        client,
        address,
        credential: None,
    };
    let wait = Duration::from_millis(READY_WAIT_MS_MAX);
    match tokio::time::timeout(wait, http.get(path)).await {
        Ok(Ok((200, _))) => Ok(()),
        Ok(Ok((status, _))) => Err(format!("{path} answers {status}")),
        Ok(Err(reason)) => Err(reason),
        Err(_) => Err(format!(
            "{path} does not answer within {READY_WAIT_MS_MAX} ms"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use madang_gateway::client::ClientOptions;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    #[tokio::test]
    async fn an_endless_page_is_given_up_at_the_bound() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let engine = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut asked = [0; 4096];
            assert!(stream.read(&mut asked).await.unwrap() > 0);
            let head = b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\n\r\n";
            stream.write_all(head).await.unwrap();
            let mut bytes = 0;
            while stream.write_all(&[b'#'; 8192]).await.is_ok() {
                bytes += 8192;
            }
            bytes
        });
        let client = EngineClient::new(ClientOptions::default()).unwrap();
        let address = EngineAddress::parse(&url).unwrap();
        let http = ProbeClient {
            client: &client,
            address: &address,
            credential: None,
        };
        let said = http.get("/metrics").await.unwrap_err();
        assert!(said.contains("too large"), "{said}");
        // The engine was cut off: nobody goes on reading it.
        assert!(engine.await.unwrap() >= ANSWER_BYTES_MAX);
    }
}
