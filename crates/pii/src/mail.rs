//! Mail addresses: what stands around an `@`.

use crate::scan::Scan;
use crate::text::{Symbol, Text};
use madang_types::PiiKind;
use std::ops::Range;

/// Characters of a local part (RFC 5321, 4.5.3.1.1).
const LOCAL_MAX: usize = 64;
/// Characters of a domain that are looked at.
const DOMAIN_MAX: usize = 128;
/// What names of files end in, as in `logo@2x.png`.
const FILES: [&str; 8] = ["png", "jpg", "jpeg", "gif", "svg", "webp", "css", "js"];

/// Looks at the `@` at `at`, after which `next` comes. Returns where to look on.
pub fn look(scan: &mut Scan<'_>, at: usize, next: usize) -> usize {
    let text = &scan.text;
    let Some(local) = local(text, at, scan.floor) else {
        return next;
    };
    if is_login(text, local.start) {
        let password = local.start..at;
        return scan.report(PiiKind::Secret, password, 85).unwrap_or(next);
    }
    let Some(end) = domain(text, next) else {
        return next;
    };
    // git@host:path is an address of a program.
    if text.bytes().get(local.clone()) == Some(b"git") && text.byte(end) == Some(b':') {
        return next;
    }
    scan.report(PiiKind::Email, local.start..end, 95)
        .unwrap_or(next)
}

/// Whether a user's name and a colon stand before `at`, as in `postgres://user:password@host`.
fn is_login(text: &Text<'_>, at: usize) -> bool {
    let from = at.saturating_sub(LOCAL_MAX);
    let Some([before @ .., b':']) = text.bytes().get(from..at) else {
        return false;
    };
    let user = before
        .iter()
        .rev()
        .take_while(|byte| byte.is_ascii_alphanumeric() || b"-._%".contains(byte))
        .count();
    text.count(user);
    before
        .get(..before.len() - user)
        .is_some_and(|scheme| scheme.ends_with(b"://"))
}

/// What a local part may have beside letters, digits, dots and dashes, a bit for each.
const MARKS: u128 = {
    let (mut marks, mut rest): (u128, &[u8]) = (0, b"!#$%&'*+/=?^_`{|}~");
    while let [first, others @ ..] = rest {
        marks |= 1 << *first;
        rest = others;
    }
    marks
};

fn is_local(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte.is_ascii() && MARKS >> byte & 1 == 1
}

/// The local part that ends at `at`, not before `floor`; none where it is masked.
fn local(text: &Text<'_>, at: usize, floor: usize) -> Option<Range<usize>> {
    let mut start = at;
    let mut first = None;
    for _ in 0..LOCAL_MAX {
        let (symbol, before) = text.before(start);
        let fits = match symbol {
            Symbol::Digit(_) | Symbol::Dash | Symbol::Dot => true,
            Symbol::Ascii(b'*') => return None,
            Symbol::Ascii(byte) => is_local(byte),
            _ => false,
        };
        if !fits || before < floor {
            break;
        }
        // What an address begins with; marks before it are the sentence's: "mail=kim@…", "'kim@…".
        if symbol.is_alphanumeric() || symbol == Symbol::Ascii(b'_') {
            first = Some(before);
        } else if matches!(
            symbol,
            Symbol::Ascii(b'=' | b'\'' | b'/' | b'?' | b'&' | b'`' | b'|' | b'{')
        ) {
            break;
        }
        start = before;
    }
    first.map(|first| first..at)
}

/// Where the domain ends that begins at `at`: labels with dots between, the last of letters.
fn domain(text: &Text<'_>, at: usize) -> Option<usize> {
    let (mut next, mut label, mut letters, mut dots) = (at, 0, 0, 0);
    let mut end = None;
    let mut last = [0u8; 8];
    for _ in 0..DOMAIN_MAX {
        let (symbol, _, after) = text.visible(next);
        match symbol {
            Symbol::Dot if label > 0 => {
                (label, letters) = (0, 0);
                dots += 1;
            }
            Symbol::Dash if label > 0 => (label, letters) = (label + 1, 0),
            Symbol::Digit(_) => (label, letters) = (label + 1, 0),
            Symbol::Ascii(byte) if byte.is_ascii_alphabetic() => {
                if let Some(place) = last.get_mut(letters) {
                    *place = byte.to_ascii_lowercase();
                }
                (label, letters) = (label + 1, letters + 1);
            }
            _ => break,
        }
        next = after;
        if dots > 0 && label == letters && letters >= 2 {
            end = Some((next, letters));
        } else if label > letters && dots > 0 {
            end = end.filter(|(end, _)| text.bytes().get(*end) == Some(&b'.'));
        }
    }
    let (end, letters) = end?;
    let name = last.get(..letters).unwrap_or_default();
    (!FILES.iter().any(|file| file.as_bytes() == name)).then_some(end)
}
