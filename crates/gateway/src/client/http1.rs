//! HTTP/1.1 as engines speak it, over bytes and without I/O: a request's head, an answer's head, the frames of its body.

use bytes::{Bytes, BytesMut};
use http::header::{CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode};

/// Bytes of an answer's head.
const HEAD_BYTES_MAX: usize = 64 * 1024;
const HEADERS_MAX: usize = 100;
/// Bytes of chunk extensions and trailers of one answer.
const EXTRA_BYTES_MAX: usize = 16 * 1024;

/// What an engine sent that is not HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the answer is not HTTP/1.1: {0}")]
pub(super) struct NotHttp(&'static str);

const UNREADABLE: NotHttp = NotHttp("its head cannot be read");

/// The request's line and headers. Its length is told; what it holds else is the caller's.
pub(super) fn request_head(request: &Request<Vec<Bytes>>) -> Vec<u8> {
    let path = request.uri().path_and_query();
    let path = path.map_or("/", http::uri::PathAndQuery::as_str);
    let mut head = Vec::with_capacity(512);
    let mut put = |bytes: &[u8]| head.extend_from_slice(bytes);
    put(request.method().as_str().as_bytes());
    put(b" ");
    put(path.as_bytes());
    put(b" HTTP/1.1\r\n");
    for (name, value) in request.headers() {
        put(name.as_str().as_bytes());
        put(b": ");
        put(value.as_bytes());
        put(b"\r\n");
    }
    let length: usize = request.body().iter().map(Bytes::len).sum();
    if length > 0 || request.method() != http::Method::GET {
        put(b"content-length: ");
        put(length.to_string().as_bytes());
        put(b"\r\n");
    }
    put(b"\r\n");
    head
}

/// An answer's head, and how what follows it is read.
#[derive(Debug)]
pub(super) struct AnswerHead {
    pub(super) answer: Response<()>,
    pub(super) framing: Framing,
    /// The connection may carry another request once the answer is over.
    pub(super) keep: bool,
    /// Bytes that it took.
    pub(super) length: usize,
}

/// Reads a head; `None` where it is not whole yet. Interim answers (1xx) are skipped.
///
/// # Errors
/// It is no HTTP, or longer than the limit.
pub(super) fn answer_head(bytes: &[u8]) -> Result<Option<AnswerHead>, NotHttp> {
    let mut skipped = 0;
    while let Some(mut head) = next_head(&bytes[skipped..])? {
        skipped += head.length;
        let status = head.answer.status();
        if status == StatusCode::SWITCHING_PROTOCOLS {
            return Err(NotHttp("it switches to another protocol"));
        }
        if !status.is_informational() {
            head.length = skipped;
            return Ok(Some(head));
        }
    }
    if bytes.len() > HEAD_BYTES_MAX {
        return Err(NotHttp("its headers are too long"));
    }
    Ok(None)
}

fn next_head(bytes: &[u8]) -> Result<Option<AnswerHead>, NotHttp> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut parsed = httparse::Response::new(&mut headers);
    let length = match parsed.parse(bytes) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(httparse::Error::TooManyHeaders) => return Err(NotHttp("it has too many headers")),
        Err(_) => return Err(UNREADABLE),
    };
    let mut answer = Response::new(());
    *answer.status_mut() =
        StatusCode::from_u16(parsed.code.unwrap_or_default()).map_err(|_| UNREADABLE)?;
    let map = answer.headers_mut();
    map.reserve(parsed.headers.len());
    for header in parsed.headers.iter() {
        let name = HeaderName::from_bytes(header.name.as_bytes()).map_err(|_| UNREADABLE)?;
        let value = HeaderValue::from_bytes(header.value).map_err(|_| UNREADABLE)?;
        map.append(name, value);
    }
    let http11 = parsed.version == Some(1);
    let (framing, told) = framing(answer.status(), answer.headers())?;
    let keep = http11 && told && !has_token(answer.headers(), &CONNECTION, "close");
    Ok(Some(AnswerHead {
        answer,
        framing,
        keep,
        length,
    }))
}

/// How the body is read, and whether its end is told.
fn framing(status: StatusCode, headers: &HeaderMap) -> Result<(Framing, bool), NotHttp> {
    if status.is_informational()
        || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
    {
        return Ok((Framing::Length(0), true));
    }
    let length = content_length(headers)?;
    if let Some(last) = headers.get_all(TRANSFER_ENCODING).iter().next_back() {
        let codings = last.to_str().unwrap_or_default();
        let last = codings.rsplit(',').next().unwrap_or_default().trim();
        if !last.eq_ignore_ascii_case("chunked") {
            return Ok((Framing::UntilClose, false));
        }
        // With a length beside it, whoever stands between may have read it otherwise: not used again.
        return Ok((Framing::Chunked(Chunked::default()), length.is_none()));
    }
    Ok(match length {
        Some(length) => (Framing::Length(length), true),
        None => (Framing::UntilClose, false),
    })
}

fn content_length(headers: &HeaderMap) -> Result<Option<u64>, NotHttp> {
    let mut found = None;
    for value in headers.get_all(CONTENT_LENGTH) {
        let text = value.to_str().unwrap_or_default();
        let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        let length = digits.then(|| text.parse::<u64>().ok()).flatten();
        let length = length.ok_or(NotHttp("its content-length is no number"))?;
        if found.is_some_and(|other| other != length) {
            return Err(NotHttp("it has two lengths"));
        }
        found = Some(length);
    }
    Ok(found)
}

fn has_token(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    let lines = headers.get_all(name).iter();
    let mut words = lines.flat_map(|value| value.to_str().unwrap_or_default().split(','));
    words.any(|word| word.trim().eq_ignore_ascii_case(token))
}

/// How the bytes behind a head become a body.
#[derive(Debug)]
pub(super) enum Framing {
    /// So many more bytes.
    Length(u64),
    Chunked(Chunked),
    /// All until the connection ends.
    UntilClose,
}

impl Framing {
    /// Whether the body has come to its end.
    pub(super) fn is_over(&self) -> bool {
        match self {
            Self::Length(left) => *left == 0,
            Self::Chunked(chunked) => chunked.at == At::End,
            Self::UntilClose => false,
        }
    }

    /// Whether the end of the connection is the end of the body.
    pub(super) fn ends_with_connection(&self) -> bool {
        matches!(self, Self::UntilClose)
    }

    /// Puts the body's part of `bytes` into `out`; returns how many bytes it took, which is fewer where the body is over.
    ///
    /// # Errors
    /// They are no chunks.
    pub(super) fn decode(&mut self, bytes: &[u8], out: &mut BytesMut) -> Result<usize, NotHttp> {
        match self {
            Self::Length(left) => {
                let taken = usize::try_from(*left)
                    .unwrap_or(usize::MAX)
                    .min(bytes.len());
                out.extend_from_slice(&bytes[..taken]);
                *left -= taken as u64;
                Ok(taken)
            }
            Self::Chunked(chunked) => chunked.decode(bytes, out),
            Self::UntilClose => {
                out.extend_from_slice(bytes);
                Ok(bytes.len())
            }
        }
    }
}

/// Where in a chunked body the next byte stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum At {
    /// The first digit of a size.
    #[default]
    Size,
    /// A further digit, or what ends the size.
    Digits,
    /// An extension, which is skipped.
    Extension,
    /// The line feed behind a size.
    SizeEnd,
    Data,
    /// Behind a chunk's data.
    DataReturn,
    DataEnd,
    /// The first byte of a trailer, or the last line.
    Trailer,
    /// A trailer, which is skipped.
    TrailerRest,
    /// The last line feed.
    Last,
    End,
}

/// A chunked body on its way.
#[derive(Debug, Default)]
pub(super) struct Chunked {
    at: At,
    /// Bytes that the chunk has left.
    left: u64,
    /// Bytes of extensions and trailers.
    extra: usize,
}

impl Chunked {
    fn decode(&mut self, bytes: &[u8], out: &mut BytesMut) -> Result<usize, NotHttp> {
        let mut taken = 0;
        while self.at != At::End && taken < bytes.len() {
            if self.at == At::Data {
                let rest = &bytes[taken..];
                let length = usize::try_from(self.left)
                    .unwrap_or(usize::MAX)
                    .min(rest.len());
                out.extend_from_slice(&rest[..length]);
                self.left -= length as u64;
                taken += length;
                if self.left == 0 {
                    self.at = At::DataReturn;
                }
                continue;
            }
            self.at = self.step(bytes[taken])?;
            taken += 1;
        }
        Ok(taken)
    }

    /// One byte that is no data.
    fn step(&mut self, byte: u8) -> Result<At, NotHttp> {
        let next = match (self.at, byte) {
            (At::Size | At::Digits, b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') => {
                self.digit(byte)?;
                At::Digits
            }
            (At::Digits, b' ' | b'\t' | b';') => At::Extension,
            (At::Digits | At::Extension, b'\r') => At::SizeEnd,
            (At::Extension, _) if byte != b'\n' => {
                self.skip()?;
                At::Extension
            }
            (At::SizeEnd, b'\n') if self.left == 0 => At::Trailer,
            (At::SizeEnd, b'\n') => At::Data,
            (At::DataReturn, b'\r') => At::DataEnd,
            (At::DataEnd, b'\n') => At::Size,
            (At::Trailer, b'\r') => At::Last,
            (At::TrailerRest, b'\n') => At::Trailer,
            (At::Trailer | At::TrailerRest, _) => {
                self.skip()?;
                At::TrailerRest
            }
            (At::Last, b'\n') => At::End,
            _ => return Err(NotHttp("its chunks cannot be read")),
        };
        Ok(next)
    }

    fn digit(&mut self, byte: u8) -> Result<(), NotHttp> {
        let digit = char::from(byte).to_digit(16).unwrap_or_default();
        let grown = self.left.checked_mul(16);
        let grown = grown.and_then(|left| left.checked_add(digit.into()));
        self.left = grown.ok_or(NotHttp("a chunk has no size that can be"))?;
        Ok(())
    }

    fn skip(&mut self) -> Result<(), NotHttp> {
        self.extra += 1;
        if self.extra > EXTRA_BYTES_MAX {
            return Err(NotHttp("its chunks have too much beside them"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(text: &str) -> AnswerHead {
        answer_head(text.as_bytes()).unwrap().expect("it is whole")
    }

    #[test]
    fn heads_say_how_the_body_is_read_and_whether_the_connection_goes_on() {
        let check = |text: &str, framing: &str, keep: bool| {
            let head = head(text);
            let found = match head.framing {
                Framing::Length(length) => length.to_string(),
                Framing::Chunked(_) => "chunked".into(),
                Framing::UntilClose => "until close".into(),
            };
            assert_eq!((found.as_str(), head.keep), (framing, keep), "{text}");
            assert_eq!(head.length, text.len());
        };
        check("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n", "5", true);
        check("HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", "0", true);
        check(
            "HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 5\r\n\r\n",
            "5",
            true,
        );
        check(
            "HTTP/1.1 200 OK\r\ncontent-length: 5\r\nConnection: x, Close\r\n\r\n",
            "5",
            false,
        );
        check("HTTP/1.0 200 OK\r\ncontent-length: 5\r\n\r\n", "5", false);
        check("HTTP/1.1 200 OK\r\n\r\n", "until close", false);
        check(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n",
            "chunked",
            true,
        );
        check(
            "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n",
            "chunked",
            true,
        );
        check(
            "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\n\r\n",
            "until close",
            false,
        );
        check(
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ncontent-length: 5\r\n\r\n",
            "chunked",
            false,
        );
        check("HTTP/1.1 204 No Content\r\n\r\n", "0", true);
        check(
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nlink: x\r\n\r\nHTTP/1.1 404 No\r\ncontent-length: 1\r\n\r\n",
            "1",
            true,
        );
    }

    #[test]
    fn a_head_that_is_not_whole_is_waited_for_and_what_is_none_is_refused() {
        let whole = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n";
        for cut in 0..whole.len() {
            assert!(answer_head(&whole.as_bytes()[..cut]).unwrap().is_none());
        }
        let refused = |text: &str, why: &str| {
            let NotHttp(found) = answer_head(text.as_bytes()).unwrap_err();
            assert_eq!(found, why, "{text}");
        };
        let NotHttp(unreadable) = UNREADABLE;
        refused("what is HTTP?\r\n\r\n", unreadable);
        refused("HTTP/2 200 OK\r\n\r\n", unreadable);
        refused("HTTP/1.1 200 OK\r\na b: c\r\n\r\n", unreadable);
        let length = "its content-length is no number";
        for bad in ["", "-1", "+1", "0x1", "1,1", "99999999999999999999"] {
            let text = format!("HTTP/1.1 200 OK\r\ncontent-length: {bad}\r\n\r\n");
            refused(&text, length);
        }
        refused(
            "HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n",
            "it has two lengths",
        );
        refused(
            "HTTP/1.1 101 Switching\r\n\r\n",
            "it switches to another protocol",
        );
        let many = "a: b\r\n".repeat(HEADERS_MAX + 1);
        refused(
            &format!("HTTP/1.1 200 OK\r\n{many}\r\n"),
            "it has too many headers",
        );
        let long = "x".repeat(HEAD_BYTES_MAX);
        refused(
            &format!("HTTP/1.1 200 OK\r\na: {long}"),
            "its headers are too long",
        );
    }

    /// Decodes in pieces of each size; gives the body, what was left over, and whether it was over.
    fn decode(framing: fn() -> Framing, bytes: &[u8]) -> Result<(Vec<u8>, usize, bool), NotHttp> {
        let mut results = Vec::new();
        for size in 1..=bytes.len() {
            let (mut framing, mut out, mut taken) = (framing(), BytesMut::new(), 0);
            for piece in bytes.chunks(size) {
                taken += framing.decode(piece, &mut out)?;
            }
            results.push((out.to_vec(), bytes.len() - taken, framing.is_over()));
        }
        assert!(results.windows(2).all(|pair| pair[0] == pair[1]));
        Ok(results.remove(0))
    }

    fn chunked() -> Framing {
        Framing::Chunked(Chunked::default())
    }

    #[test]
    fn bodies_come_out_whole_however_they_are_cut() {
        let check = |framing: fn() -> Framing, text: &str, body: &str, left: usize, over: bool| {
            let expected = (body.as_bytes().to_vec(), left, over);
            assert_eq!(decode(framing, text.as_bytes()), Ok(expected), "{text}");
        };
        check(|| Framing::Length(3), "abc", "abc", 0, true);
        check(|| Framing::Length(3), "abcd", "abc", 1, true);
        check(|| Framing::Length(4), "abc", "abc", 0, false);
        check(|| Framing::UntilClose, "abc", "abc", 0, false);
        check(chunked, "3\r\nabc\r\n0\r\n\r\n", "abc", 0, true);
        check(chunked, "3\r\nabc\r\n0\r\n\r\nHTTP", "abc", 4, true);
        check(
            chunked,
            "03;a=\"b\"\r\nabc\r\n1 \r\nd\r\n00;x\r\n\r\n",
            "abcd",
            0,
            true,
        );
        check(
            chunked,
            "A\r\n0123456789\r\nb\r\n0123456789a\r\n0\r\nt: u\r\nv: w\r\n\r\n",
            "01234567890123456789a",
            0,
            true,
        );
        check(chunked, "3\r\nab", "ab", 0, false);
        check(chunked, "3\r\nabc\r\n0\r\n", "abc", 0, false);
    }

    #[test]
    fn chunks_that_are_none_are_refused() {
        for bad in [
            "\r\n",
            "x",
            "-1\r\n",
            "3\nabc",
            "3\r\nabcd",
            "3\r\nabc\n",
            "3\r\nabc\r\r",
            "0\r\n\rx",
            "fffffffffffffffff\r\n",
            "1;a\nb",
        ] {
            assert!(decode(chunked, bad.as_bytes()).is_err(), "{bad:?}");
        }
        let long = format!("1;{}\r\n", "x".repeat(EXTRA_BYTES_MAX + 1));
        let mut out = BytesMut::new();
        assert!(chunked().decode(long.as_bytes(), &mut out).is_err());
        let trailers = format!("0\r\n{}\r\n", "a: b\r\n".repeat(EXTRA_BYTES_MAX));
        assert!(chunked().decode(trailers.as_bytes(), &mut out).is_err());
    }

    #[test]
    fn a_request_is_written_with_its_length() {
        let check = |request: Request<Vec<Bytes>>, expected: &str| {
            assert_eq!(String::from_utf8(request_head(&request)).unwrap(), expected);
        };
        let post = Request::post("/v1/x?y=1").header("Host", "a:80");
        check(
            post.body(vec![Bytes::from("{"), Bytes::from("}")]).unwrap(),
            "POST /v1/x?y=1 HTTP/1.1\r\nhost: a:80\r\ncontent-length: 2\r\n\r\n",
        );
        check(
            Request::post("/").body(Vec::new()).unwrap(),
            "POST / HTTP/1.1\r\ncontent-length: 0\r\n\r\n",
        );
        check(
            Request::get("/health").body(Vec::new()).unwrap(),
            "GET /health HTTP/1.1\r\n\r\n",
        );
    }
}
