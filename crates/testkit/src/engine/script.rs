//! The plan of one answer: the pieces, their pace, and where it breaks off.

use super::answer::{self, Pen, Piece};
use super::behaviour::{Behaviour, CutEnd};
use super::connection::Framing;
use bytes::Bytes;

/// A plain answer that breaks off does so after pieces of this many bytes.
const PLAIN_PIECE_BYTES: usize = 16;
/// A huge event is written in parts of this many bytes.
const HUGE_PART_BYTES: usize = 64 * 1024;

/// What is sent, and where it breaks off.
pub(crate) struct Script {
    pub(crate) content_type: &'static str,
    pub(crate) framing: Framing,
    pub(crate) pieces: Vec<Piece>,
    /// After the pieces: the end, or one of the ways not to end.
    pub(crate) then: Then,
    pub(crate) first_ms: u64,
    pub(crate) token_ms: u64,
    /// Bytes of one write.
    pub(crate) split: Option<usize>,
    /// Wait before each byte of the head.
    pub(crate) head_byte_ms: Option<u64>,
}

pub(crate) enum Then {
    /// The answer is whole.
    End,
    /// The body's end is marked, though the answer is not whole.
    Clean,
    Close,
    Reset,
    Stall,
    /// This piece again and again.
    Repeat(Piece),
}

/// What this behaviour makes of the answer; the waits are the first token's and each further one's, milliseconds.
pub(crate) fn script(
    pen: &Pen<'_>,
    behaviour: &Behaviour,
    (first_ms, token_ms): (u64, u64),
) -> Script {
    let lying_length = matches!(behaviour, Behaviour::ContentLength { .. });
    let mut script = if pen.ask.stream && !lying_length {
        streamed(pen)
    } else {
        plain(pen)
    };
    (script.first_ms, script.token_ms) = (first_ms, token_ms);
    let stream = script.framing == Framing::Chunked;
    match *behaviour {
        Behaviour::StallAfter { chunks } => script.stop(chunks, Then::Stall),
        Behaviour::Cut { chunks, end } => {
            let then = match end {
                CutEnd::Clean => Then::Clean,
                CutEnd::Abrupt => Then::Close,
                CutEnd::Reset => Then::Reset,
            };
            script.stop(chunks, then);
        }
        Behaviour::ErrorEvent { chunks } if stream => {
            script.stop(chunks, Then::Clean);
            if pen.engine == "anthropic" {
                let error = answer::error(pen.engine, 529, "Overloaded");
                let event = format!("event: error\ndata: {error}\n\n");
                script.pieces.push(Piece::new(event, 0));
                return script;
            }
            let error = answer::error("openai", 500, "the engine met an error");
            script
                .pieces
                .extend([Piece::event(&error, 0), Piece::done()]);
        }
        Behaviour::Endless => script.endless(pen),
        Behaviour::WrongJson if stream => {
            let place = script.pieces.len() / 2;
            script
                .pieces
                .insert(place, Piece::event(r#"{"choices":[{"delta""#, 0));
            script.then = Then::Clean;
        }
        Behaviour::WrongJson => script.replace(r#"{"id":"x","choices":[{"#.to_owned()),
        Behaviour::ContentLength { delta } => {
            if let Framing::Length(length) = script.framing {
                script.framing = Framing::Length(length.saturating_add_signed(delta));
                script.then = Then::Close;
            }
        }
        Behaviour::HugeEvent { bytes } => script.huge(bytes),
        Behaviour::Script { ref pieces } if stream => {
            let piece = |text: &String| Piece::new(text.clone(), 0);
            script.pieces = pieces.iter().map(piece).collect();
        }
        Behaviour::SlowHeaders { ms } => script.head_byte_ms = Some(ms),
        Behaviour::Split { bytes } => {
            script.split = Some(bytes);
            script.framing = Framing::Chunked;
        }
        Behaviour::OddFrames if stream => script.odd_frames(),
        Behaviour::Slow { first_ms, token_ms } => {
            (script.first_ms, script.token_ms) = (first_ms, token_ms);
        }
        _ => {}
    }
    script
}

fn plain(pen: &Pen<'_>) -> Script {
    let body = pen.plain();
    Script {
        content_type: "application/json",
        framing: Framing::Length(body.len() as u64),
        pieces: vec![Piece::new(body, pen.ask.output_tokens_total())],
        ..Script::empty()
    }
}

fn streamed(pen: &Pen<'_>) -> Script {
    Script {
        content_type: "text/event-stream; charset=utf-8",
        framing: Framing::Chunked,
        pieces: pen.stream(),
        ..Script::empty()
    }
}

impl Script {
    fn empty() -> Self {
        Self {
            content_type: "application/json",
            framing: Framing::Chunked,
            pieces: Vec::new(),
            then: Then::End,
            first_ms: 0,
            token_ms: 0,
            split: None,
            head_byte_ms: None,
        }
    }

    /// Breaks off after so many pieces; a plain body is in pieces of sixteen bytes then, and never whole.
    fn stop(&mut self, chunks: usize, then: Then) {
        if let (Framing::Length(_), Some(whole)) = (self.framing, self.pieces.first().cloned()) {
            let room = whole.bytes.len().saturating_sub(1);
            let sent = chunks.saturating_mul(PLAIN_PIECE_BYTES).min(room);
            self.pieces = vec![Piece {
                bytes: whole.bytes.slice(..sent),
                tokens: whole.tokens,
            }];
            if matches!(then, Then::Clean) {
                self.framing = Framing::Chunked;
            }
        } else {
            self.pieces.truncate(chunks);
        }
        self.then = then;
    }

    fn replace(&mut self, body: String) {
        self.framing = Framing::Length(body.len() as u64);
        self.pieces = vec![Piece::new(body, 0)];
        self.then = Then::Clean;
    }

    fn endless(&mut self, pen: &Pen<'_>) {
        let event = self.pieces.iter().position(|piece| piece.tokens > 0);
        if self.framing == Framing::Chunked {
            let at = event.unwrap_or(0);
            let piece = self.pieces.get(at).cloned().unwrap_or_else(Piece::done);
            self.pieces.truncate(at);
            self.then = Then::Repeat(piece);
        } else {
            self.framing = Framing::Chunked;
            self.pieces = vec![Piece::new(r#"{"id":"x","choices":[{"text":""#, 0)];
            self.then = Then::Repeat(Piece::new(answer::token(pen.number), 1));
        }
    }

    fn huge(&mut self, bytes: usize) {
        let stream = self.framing == Framing::Chunked;
        let (start, end) = if stream {
            ("data: {\"x\":\"", "")
        } else {
            ("{\"x\":\"", "\"}")
        };
        let filling = Bytes::from(vec![b'x'; HUGE_PART_BYTES]);
        let mut left = bytes.saturating_sub(start.len() + end.len());
        self.pieces = vec![Piece::new(start, 0)];
        while left > 0 {
            let part = left.min(HUGE_PART_BYTES);
            self.pieces.push(Piece::new(filling.slice(..part), 0));
            left -= part;
        }
        self.pieces.push(Piece::new(end, 0));
        self.framing = Framing::Chunked;
        self.then = Then::Clean;
    }

    /// The same events in other lawful forms of the event stream.
    fn odd_frames(&mut self) {
        for (at, piece) in self.pieces.iter_mut().enumerate() {
            let text = String::from_utf8_lossy(&piece.bytes).into_owned();
            let text = text.replace("data: ", "data:").replace('\n', "\r\n");
            piece.bytes = match at % 3 {
                0 => format!(": keep-alive\r\n\r\n{text}").into(),
                1 => format!("id: {at}\r\nretry: 1000\r\n{text}").into(),
                _ => text.into(),
            };
        }
    }
}
