//! What is sent, how much of it at once, and the bytes themselves.

use crate::gateways::{Gateway, Part};

/// How load is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Load {
    /// Each of these connections sends its next request as soon as the last is answered.
    Closed { connections: usize },
    /// So many requests a second, whether the last is answered or not.
    Open { per_s: u32 },
}

/// One row group of the table.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// Shown, and matched by `--only`.
    pub name: String,
    /// Length of a request's body.
    pub body_bytes: usize,
    /// A stream of 16 chunks, or one answer.
    pub stream: bool,
    /// Pause of the upstream between chunks.
    pub gap_ms: u64,
    /// How load is made.
    pub load: Load,
}

impl Scenario {
    /// Whether gateways of that part run it.
    pub fn suits(&self, part: Part) -> bool {
        match part {
            Part::Whole => true,
            Part::Slow => self.suits_slow(),
            Part::Step => self.shows_step(),
        }
    }

    /// Whether a single step of the way shows: small bodies alone, among others and at a steady rate, no pauses.
    fn shows_step(&self) -> bool {
        let steady = match self.load {
            Load::Closed { .. } => !self.stream,
            Load::Open { .. } => !self.suits_slow(),
        };
        self.body_bytes == 1000 && steady
    }

    /// Whether this load is within what peers can do that answer tens of requests a second, and says something of them.
    pub fn suits_slow(&self) -> bool {
        match self.load {
            Load::Closed { connections } => connections == 16,
            Load::Open { per_s } => per_s <= SLOW_PER_S,
        }
    }
}

/// A rate that every peer holds.
const SLOW_PER_S: u32 = 20;

/// Every scenario, in the order of the tables.
pub fn all() -> Vec<Scenario> {
    let closed = |connections| Load::Closed { connections };
    let open = |per_s| Load::Open { per_s };
    let rows = [
        (1, false, 0, closed(1)),
        (1, false, 0, closed(16)),
        (1, false, 0, closed(64)),
        (50, false, 0, closed(16)),
        (400, false, 0, closed(16)),
        (1, true, 0, closed(1)),
        (1, true, 0, closed(16)),
        (1, true, 0, closed(64)),
        (50, true, 0, closed(16)),
        (400, true, 0, closed(16)),
        (1, true, 10, closed(16)),
        (1, false, 0, open(SLOW_PER_S)),
        (1, false, 0, open(1000)),
        (50, false, 0, open(500)),
        (400, false, 0, open(200)),
        (1, true, 0, open(300)),
    ];
    rows.map(|(body_kb, stream, gap_ms, load)| Scenario {
        name: name(body_kb, stream, gap_ms, load),
        body_bytes: body_kb * 1000,
        stream,
        gap_ms,
        load,
    })
    .to_vec()
}

fn name(body_kb: usize, stream: bool, gap_ms: u64, load: Load) -> String {
    let shape = match (stream, gap_ms) {
        (false, _) => "plain".into(),
        (true, 0) => "stream".into(),
        (true, gap_ms) => format!("stream with {gap_ms} ms between chunks"),
    };
    match load {
        Load::Closed { connections } => format!("{shape}, {body_kb} kB, {connections} at once"),
        Load::Open { per_s } => format!("{shape}, {body_kb} kB, {per_s} a second"),
    }
}

/// A whole HTTP request of a chat completion, as this gateway wants it.
pub fn request_to(gateway: &Gateway, scenario: &Scenario) -> Vec<u8> {
    with_headers(scenario, &gateway.key, &gateway.headers)
}

/// A whole HTTP request of a chat completion.
pub fn request(scenario: &Scenario, key: &str) -> Vec<u8> {
    with_headers(scenario, key, "")
}

fn with_headers(scenario: &Scenario, key: &str, headers: &str) -> Vec<u8> {
    let Scenario {
        body_bytes,
        stream,
        gap_ms,
        ..
    } = scenario;
    let front = format!(
        r#"{{"model":"bench","stream":{stream},"temperature":0.7,"messages":[{{"role":"user","content":"gap-{gap_ms} "#
    );
    let end = r#""}]}"#;
    let filler = "Which city is the capital of South Korea, and since when has it been so? ";
    let room = body_bytes.saturating_sub(front.len() + end.len());
    let content: String = filler.chars().cycle().take(room).collect();
    let length = front.len() + content.len() + end.len();
    format!(
        "POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {key}\r\n\
         Content-Type: application/json\r\nAccept: */*\r\nUser-Agent: madang-bench\r\n{headers}\
         Content-Length: {length}\r\n\r\n{front}{content}{end}"
    )
    .into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slow_peers_get_every_size_and_both_shapes() {
        let slow: Vec<Scenario> = all().into_iter().filter(Scenario::suits_slow).collect();
        for (body_bytes, stream) in [(1000, false), (400_000, false), (1000, true)] {
            let has = |s: &Scenario| s.body_bytes == body_bytes && s.stream == stream;
            assert!(slow.iter().any(has), "{body_bytes} {stream}");
        }
    }

    #[test]
    fn bodies_are_json_of_the_named_length() {
        for scenario in all() {
            let bytes = request(&scenario, "key");
            let text = String::from_utf8(bytes).unwrap();
            let (_, body) = text.split_once("\r\n\r\n").unwrap();
            assert_eq!(body.len(), scenario.body_bytes, "{}", scenario.name);
            let value: serde_json::Value = serde_json::from_str(body).unwrap();
            assert_eq!(value["stream"], scenario.stream);
        }
    }
}
