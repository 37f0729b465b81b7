//! The worst input: floods that someone might think of, and a search that breeds worse ones.

use crate::floods::FLOODS;
use crate::random::Random;
use crate::speed;

/// Bytes of one input.
const LENGTH: usize = 256 << 10;

/// What the search puts inputs together from.
const PIECES: &[&str] = &[
    "1",
    "12",
    "123",
    "1234",
    "010",
    "82",
    "-",
    " ",
    ".",
    ",",
    "/",
    "(",
    ")",
    "+",
    "@",
    "_",
    "=",
    ":",
    "a",
    "M",
    "\u{200b}",
    "１",
    "공",
    "일",
    "이",
    "사",
    "에",
    "로",
    "길",
    "동",
    "가",
    "서울",
    "강남구",
    "계좌",
    "전화",
    "주민",
    "card",
    "tel",
    "ip ",
    "여권",
    "번호",
    "sk-",
    "eyJ",
    "AKIA",
    "xoxb-",
    "--",
    "G.",
    "\"",
    "password",
    "token",
    "Street",
    " Aa",
    "-ro",
    "é",
    "４",
    "M1234567",
    "AL",
    " St ",
    "다시",
    "0",
    "https://",
    "900101",
    "1234567",
    "739-49-9750",
    "010-1234-5678",
    "4111111111111111",
    "\u{200d}",
    "－",
    "＠",
    "·",
    "오",
    "구",
    "\\n",
    "\\u0031",
    "?a=",
    "%20",
    "\n",
    "원",
    "101동 202호",
    "IL 62704",
    "02)",
    "+82 ",
    "𝟟",
];

/// What else a search begins with: texts of every sort that rules look at.
const STARTS: &[&str] = &[
    "공일공 일이삼사 오육칠팔 ",
    "일이에삼의사다시 ",
    "０１０－１２３４－５６７８ ",
    "1-2.3/4_5 6(7)8-",
    "0 1 0 - 1 2 3 4 - 5 6 7 8 ",
    "a.b@c.d/e?f=1&g=2 ",
    "http://u:p@h.com/12/34?x=5 ",
    "\\u0031\\u0032\\n12\\t34",
    "\"a\":\"1\",\"b\":\"2\",",
    "서울 강남구 가상로 12-3, 101동 202호 ",
    "12 Main Street, Springfield, IL 62704\n",
    "12345678901234567890123456789",
    "1\u{200d}2\u{200b}3\u{feff}4 ",
    "계좌 110-123-456789 카드 4111 1111 1111 1111 ",
    "12 34 51234 90 12 )",
];

/// Searches, each from a seed of its own: one that went astray finds little.
const SEARCHES: u64 = 4;

/// The input that `seed` makes without end.
pub fn flood(seed: &[u8]) -> Vec<u8> {
    seed.iter().copied().cycle().take(4 << 20).collect()
}

/// The slowest input found.
pub struct Worst {
    pub seed: Vec<u8>,
    /// Megabytes a second.
    pub speed: f64,
    /// Inputs tried.
    pub tried: u32,
}

/// Breeds inputs for that many seconds of processor time.
pub fn search(seconds: f64) -> Worst {
    let mut tried = 0;
    let mut herd = Vec::new();
    for seed in 0..SEARCHES {
        #[expect(clippy::cast_precision_loss, reason = "a handful")]
        let share = seconds / SEARCHES as f64;
        tried += breed(share, seed, &mut herd);
    }
    // What was measured in haste may only have been measured while much else ran.
    let slowest = herd
        .into_iter()
        .map(|(_, seed)| (speed::megabytes_per_second(&flood(&seed)), seed))
        .min_by(|one, other| one.0.total_cmp(&other.0));
    let (speed, seed) = slowest.unwrap_or_default();
    Worst { seed, speed, tried }
}

/// One search: the slowest so far, changed somewhere, put together with another. Adds the slowest to `found`, and returns
/// how many it tried.
fn breed(seconds: f64, seed: u64, found: &mut Vec<(f64, Vec<u8>)>) -> u32 {
    let mut random = Random(seed);
    let starts = FLOODS.iter().map(|(_, text)| text).chain(STARTS);
    let mut herd: Vec<(f64, Vec<u8>)> = starts
        .map(|text| measured(text.as_bytes().to_vec()))
        .collect();
    let mut tried = 0;
    let mut spent = 0.0;
    while spent < seconds {
        let child = bred(&herd, &mut random);
        let (speed, child) = measured(child);
        #[expect(clippy::cast_precision_loss, reason = "megabytes")]
        let cost = 2.0 * LENGTH as f64 * 1e-6 / speed;
        spent += cost;
        tried += 1;
        herd.push((speed, child));
        herd.sort_by(|one, other| one.0.total_cmp(&other.0));
        herd.truncate(24);
    }
    found.extend(herd.into_iter().take(6));
    tried
}

fn measured(seed: Vec<u8>) -> (f64, Vec<u8>) {
    let text: Vec<u8> = seed.iter().copied().cycle().take(LENGTH).collect();
    (speed::quick(&text), seed)
}

fn bred(herd: &[(f64, Vec<u8>)], random: &mut Random) -> Vec<u8> {
    let mut child = random.pick(herd).1.clone();
    for _ in 0..=random.below(3) {
        let at = random.below(child.len() + 1);
        match random.below(5) {
            0 => drop(child.splice(at..at, random.pick(PIECES).bytes())),
            1 => {
                let other = random.pick(herd).1.clone();
                child.splice(at..at, other);
            }
            2 => {
                let end = (at + random.below(6)).min(child.len());
                child.drain(at..end);
            }
            3 => child.extend(random.pick(PIECES).bytes()),
            _ => child.extend_from_within(..at),
        }
        child.truncate(96);
    }
    if child.is_empty() {
        child.push(b'1');
    }
    child
}
