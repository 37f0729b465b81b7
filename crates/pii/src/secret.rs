//! Credentials: keys and tokens by what their issuers begin them with, JSON web tokens, private keys, and what is
//! assigned to a password or a key.

mod assigned;

use crate::scan::Scan;
use crate::text::Text;
use madang_types::PiiKind;
use std::ops::Range;

/// Bytes of a token that are looked at.
const TOKEN_MAX: usize = 4_096;

/// How an issuer's tokens begin and how long they are after that.
struct Issued {
    prefix: &'static str,
    length: Range<usize>,
}

impl Issued {
    /// The byte before the last of the prefix.
    const fn before_last(&self) -> u8 {
        match self.prefix.as_bytes() {
            [.., before, _] => *before,
            _ => 0,
        }
    }
}

/// Which bytes stand before the last of the prefixes, a bit for each; they are ASCII.
const fn before_last(mut issued: &[Issued]) -> u128 {
    let mut known = 0;
    while let [first, others @ ..] = issued {
        known |= 1 << first.before_last();
        issued = others;
    }
    known
}

const fn issued(prefix: &'static str, least: usize, most: usize) -> Issued {
    Issued {
        prefix,
        length: least..most + 1,
    }
}

/// Tokens whose beginning ends with the first dash in them.
const DASHED: [Issued; 9] = [
    issued("sk-", 20, 256),
    issued("xoxb-", 20, 256),
    issued("xoxp-", 20, 256),
    issued("xoxa-", 20, 256),
    issued("xoxr-", 20, 256),
    issued("xoxs-", 20, 256),
    issued("xoxe-", 20, 256),
    issued("glpat-", 20, 64),
    issued("pypi-", 40, 256),
];

/// Tokens whose beginning ends with an underscore.
const UNDERSCORED: [Issued; 18] = [
    issued("ghp_", 30, 256),
    issued("gho_", 30, 256),
    issued("ghu_", 30, 256),
    issued("ghs_", 30, 256),
    issued("ghr_", 30, 256),
    issued("github_pat_", 30, 256),
    issued("npm_", 30, 64),
    issued("hf_", 30, 64),
    issued("gsk_", 30, 128),
    issued("r8_", 30, 64),
    issued("sk_live_", 16, 128),
    issued("sk_test_", 16, 128),
    issued("rk_live_", 16, 128),
    issued("whsec_", 24, 128),
    issued("shpat_", 30, 64),
    issued("dop_v1_", 40, 80),
    issued("lin_api_", 30, 64),
    issued("ntn_", 30, 64),
];

const BEFORE_DASH: u128 = before_last(&DASHED);
const BEFORE_UNDERSCORE: u128 = before_last(&UNDERSCORED);

/// Keys of Amazon and Google, and where the I stands in them that the sweep names.
const CAPITAL: [(Issued, usize); 3] = [
    (issued("AKIA", 16, 16), 2),
    (issued("ASIA", 16, 16), 2),
    (issued("AIza", 30, 40), 1),
];

/// Looks at the byte at `at`, which may stand in what begins a credential. Returns where to look on.
pub fn look(scan: &mut Scan<'_>, at: usize) -> usize {
    let text = &scan.text;
    let found = match text.byte(at) {
        Some(b'=' | b':') => assigned::value(text, at),
        Some(b'-') if text.byte(at + 1) == Some(b'-') => private_key(text, at),
        Some(b'-') => ends_here(text, at, (&DASHED, BEFORE_DASH)),
        Some(b'_') => ends_here(text, at, (&UNDERSCORED, BEFORE_UNDERSCORE)),
        Some(b'J') => web_token(text, at),
        Some(b'G') => mail_key(text, at),
        _ => CAPITAL
            .iter()
            .find_map(|(issued, anchor)| token(text, at.checked_sub(*anchor)?, issued)),
    };
    found
        .and_then(|(span, confidence)| scan.report(PiiKind::Secret, span, confidence))
        .unwrap_or(at + 1)
}

/// A token whose beginning ends with the byte at `at`.
fn ends_here(text: &Text<'_>, at: usize, (issued, known): (&[Issued], u128)) -> Found {
    // The byte before tells most of what is written with dashes from tokens.
    let before = *text.bytes().get(at.checked_sub(1)?)?;
    if known.unbounded_shr(u32::from(before)) & 1 == 0 {
        return None;
    }
    issued
        .iter()
        .filter(|issued| issued.before_last() == before)
        .find_map(|issued| token(text, (at + 1).checked_sub(issued.prefix.len())?, issued))
}

fn token(text: &Text<'_>, start: usize, issued: &Issued) -> Found {
    if !text.starts_with(start, issued.prefix) || !begins(text, start) {
        return None;
    }
    let body = start + issued.prefix.len();
    let end = token_end(text, body, b"");
    let token = text.bytes().get(body..end)?;
    (issued.length.contains(&token.len()) && is_random(token)).then_some((start..end, 97))
}

/// A place and how sure it is.
type Found = Option<(Range<usize>, u8)>;

/// A JSON web token: at least three parts of base64url, the first of which begins an object (`{"` is `eyJ`).
fn web_token(text: &Text<'_>, at: usize) -> Found {
    let start = at.checked_sub(2)?;
    if !begins(text, start)
        || text.before(start).0 == crate::text::Symbol::Dot
        || !text.starts_with(start, "eyJ")
    {
        return None;
    }
    let end = token_end(text, start, b".");
    let token = text.bytes().get(start..end)?;
    let mut parts = token.split(|byte| *byte == b'.');
    let head = parts.next()?;
    let parts = parts.filter(|part| part.len() >= 4).count();
    (head.len() >= 10 && parts >= 2).then_some((start..end, 97))
}

/// A SendGrid key: SG. and two parts.
fn mail_key(text: &Text<'_>, at: usize) -> Found {
    let start = at.checked_sub(1)?;
    if !begins(text, start) || !text.starts_with(start, "SG.") {
        return None;
    }
    let end = token_end(text, start, b".");
    let token = text.bytes().get(start..end)?;
    (token.len() >= 40 && is_random(token)).then_some((start..end, 95))
}

/// A private key in PEM: from its header to its end, or as far as it goes.
fn private_key(text: &Text<'_>, at: usize) -> Found {
    if at
        .checked_sub(1)
        .is_some_and(|before| text.byte(before) == Some(b'-'))
        || !text.starts_with(at, "-----BEGIN ")
    {
        return None;
    }
    let header = text.ahead(at, 64);
    let label = header.get(11..)?;
    let close = label.windows(5).position(|window| window == b"-----")?;
    if !label
        .get(..close)?
        .windows(11)
        .any(|window| window == b"PRIVATE KEY")
    {
        return None;
    }
    let mut end = at + 11 + close + 5;
    for _ in 0..TOKEN_MAX {
        match text.byte(end) {
            Some(byte) if byte.is_ascii_alphanumeric() || b"+/=\r\n \\:,".contains(&byte) => {
                end += 1
            }
            _ => break,
        }
    }
    let close = text.ahead(end, 64);
    if close.starts_with(b"-----END ")
        && let Some(length) = close
            .get(9..)?
            .windows(5)
            .position(|window| window == b"-----")
    {
        end += 9 + length + 5;
    }
    Some((at..end, 98))
}

/// Whether a token can begin at `at`: nothing that tokens are made of stands before.
fn begins(text: &Text<'_>, at: usize) -> bool {
    at.checked_sub(1)
        .is_none_or(|before| text.byte(before).is_none_or(|byte| !is_token(byte)))
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-')
}

/// Where what tokens are made of ends, from `at` on; `also` belongs to it.
fn token_end(text: &Text<'_>, at: usize, also: &[u8]) -> usize {
    let mut end = at;
    while end - at < TOKEN_MAX
        && text
            .byte(end)
            .is_some_and(|byte| is_token(byte) || also.contains(&byte))
    {
        end += 1;
    }
    // A sentence may end behind it.
    while end > at && text.byte(end - 1) == Some(b'.') {
        end -= 1;
    }
    end
}

/// Neither words with dashes between nor a row of x.
fn is_random(token: &[u8]) -> bool {
    let has = |test: fn(&u8) -> bool| token.iter().any(test);
    let mixed =
        has(u8::is_ascii_digit) || (has(u8::is_ascii_uppercase) && has(u8::is_ascii_lowercase));
    let mut seen = 0u128;
    for byte in token {
        seen |= 1 << (byte & 0x7F);
    }
    seen.count_ones() >= 7 && (mixed || token.iter().all(u8::is_ascii_uppercase))
}
