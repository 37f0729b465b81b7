//! What may begin at a digit: a number of one of the kinds, a passport, a plate, an address, an internet address.

use crate::address;
use crate::cluster::{self, Edges, GROUPS_MAX, Gap, Group, Number};
use crate::ip;
use crate::rules::{self, bank, passport, phone, plate};
use crate::scan::{Rooms, Scan};
use crate::spoken::{self, Run};
use crate::text::{Symbol, Text};
use crate::words::Topic;
use madang_types::PiiKind;
use std::cell::OnceCell;

/// Looks at what begins at `at`, where a digit may be. Returns where to look on.
pub fn look(scan: &mut Scan<'_>, rooms: &mut Rooms, at: usize) -> usize {
    let (symbol, next) = scan.text.symbol(at);
    match symbol {
        Symbol::Digit(_) => {}
        Symbol::Spoken(_) => return spoken::look(scan, &mut rooms.run, at, next),
        Symbol::Ascii(b'@') => return crate::mail::look(scan, at, next),
        _ => return next,
    }
    let before = scan.text.before(at);
    if let Some((span, korean)) = passport::shape(&scan.text, before) {
        let confidence = passport::confidence(&mut scan.near(span.clone()), korean);
        if let Some(end) = scan.report(PiiKind::Passport, span, confidence) {
            return end;
        }
    }
    let Beside::Free(left) = beside(&scan.text, at, before) else {
        return token_end(scan.text.bytes(), next);
    };
    // Most numbers are of this sort.
    if let Some(group) = lone(&scan.text, at) {
        let end = group.end;
        return other(scan, &mut rooms.run, &[group], left).unwrap_or(end);
    }
    walk(scan, rooms, at, left)
}

/// What stands right before a number.
enum Beside {
    Free(Edges),
    /// It is glued to a letter or digit: part of a name, a hash, a longer number.
    Letter,
}

fn beside(text: &Text<'_>, at: usize, (symbol, start): (Symbol, usize)) -> Beside {
    let mut edges = Edges::default();
    match symbol {
        Symbol::Digit(_) => return Beside::Letter,
        Symbol::Ascii(b'_') => edges.joined = true,
        Symbol::Ascii(b'+') => {
            edges.plus = true;
            // 1e+18 is no country.
            if text.before(start).0.is_alphanumeric() {
                return Beside::Letter;
            }
        }
        Symbol::Ascii(b'$') => edges.amount = true,
        Symbol::Space | Symbol::Ascii(b'(' | b':') => {
            edges.hangul = matches!(text.before(start).0, Symbol::Other | Symbol::Spoken(_));
        }
        Symbol::Other | Symbol::Spoken(_) => edges.hangul = true,
        Symbol::Ascii(b',') if matches!(text.before(start).0, Symbol::Digit(_)) => {
            edges.amount = is_thousands(text, at);
        }
        Symbol::Dash | Symbol::Dot | Symbol::Ascii(b'/') => {
            edges.joined = text.before(start).0.is_alphanumeric();
        }
        Symbol::Ascii(byte) if byte.is_ascii_alphabetic() && !is_label(text, start, byte) => {
            return Beside::Letter;
        }
        _ => {}
    }
    Beside::Free(edges)
}

/// Whether the letters that end here are a label glued to its number, or an escaped line end: T010, tel010, \n010.
fn is_label(text: &Text<'_>, last: usize, byte: u8) -> bool {
    const LABELS: [&str; 10] = [
        "t", "m", "h", "hp", "tel", "fax", "cell", "phone", "mobile", "no",
    ];
    let from = last.saturating_sub(7);
    let head = text.bytes().get(from..=last).unwrap_or_default();
    let length = head
        .iter()
        .rev()
        .take_while(|byte| byte.is_ascii_alphabetic())
        .count();
    let (outside, word) = head.split_at(head.len() - length);
    let before = outside.last();
    if before == Some(&b'\\') {
        return length == 1 && matches!(byte, b'n' | b't' | b'r');
    }
    length < 8
        && !before.is_some_and(u8::is_ascii_digit)
        && LABELS
            .iter()
            .any(|label| word.eq_ignore_ascii_case(label.as_bytes()))
}

/// Where the letters and digits from `at` on end, as far as they have come.
fn token_end(bytes: &[u8], at: usize) -> usize {
    let rest = bytes.get(at..).unwrap_or_default();
    let length = rest.iter().position(|byte| !byte.is_ascii_alphanumeric());
    at + length.unwrap_or(rest.len())
}

/// Three digits that are followed by no other and no dash: 1,234,567.
fn is_thousands(text: &Text<'_>, at: usize) -> bool {
    cluster::group(text, at, |_| ())
        .is_some_and(|group| group.length == 3 && cluster::separator(text, group.end).is_none())
}

/// Walks over the groups from `at`, before which `left` stands, each looked at as the beginning of a number. Returns where
/// to look on.
// Apart from what most numbers need: they are looked at faster without it.
#[inline(never)]
fn walk(scan: &mut Scan<'_>, Rooms { row, run }: &mut Rooms, at: usize, mut left: Edges) -> usize {
    row.begin(&scan.text, at);
    row.fill(&scan.text);
    // The cheap question first: most rows are of one group.
    if let [group] = row.groups()
        && group.length < rules::DIGITS_MIN
    {
        let end = group.end;
        return other(scan, run, row.groups(), left).unwrap_or(end);
    }
    let mut free = true;
    loop {
        let mut count = 1;
        if free && !row.is_table(left, scan.spoken_until) {
            match take_front(scan, row, run, left) {
                Taken::Groups(taken) => count = taken,
                Taken::Until(end) => return end,
                Taken::None => {}
            }
        }
        let Some(last) = row.groups().get(count - 1) else {
            return at + 1;
        };
        let Some(separator) = last.after else {
            return last.end;
        };
        row.drop_front(count);
        row.fill(&scan.text);
        free = separator.is_loose();
        left = Edges {
            crowded: true,
            ..Edges::default()
        };
    }
}

/// What was found at the front group.
enum Taken {
    None,
    /// So many groups.
    Groups(usize),
    /// All until there.
    Until(usize),
}

fn take_front(scan: &mut Scan<'_>, row: &Row, run: &mut Run, left: Edges) -> Taken {
    if let Some(count) = number(scan, row, left) {
        return Taken::Groups(count);
    }
    if let Some(end) = ip::look(scan, row) {
        return Taken::Until(end);
    }
    other(scan, run, row.groups(), left).map_or(Taken::None, Taken::Until)
}

/// What is more than a number and begins with the front group, reported; where it ends.
fn other(scan: &mut Scan<'_>, run: &mut Run, groups: &[Group], left: Edges) -> Option<usize> {
    let front = groups.first()?;
    // Before another group stands no syllable.
    if front.after.is_none()
        && let Some(shape) = plate::shape(&scan.text, front)
    {
        let confidence = plate::confidence(&shape, &mut scan.near(shape.span.clone()));
        if let Some(end) = scan.report(PiiKind::VehiclePlate, shape.span, confidence) {
            return Some(end);
        }
    }
    address::look(scan, groups, left).or_else(|| spoken::go_on(scan, run, groups))
}

/// The group that begins at `at`, where it is too short for a number of ours and the bytes after it show that none follows.
fn lone(text: &Text<'_>, at: usize) -> Option<Group> {
    let rest = text.bytes().get(at..)?;
    let length = rest
        .iter()
        .take(rules::DIGITS_MIN)
        .take_while(|byte| byte.is_ascii_digit())
        .count();
    let ends = match rest.get(length..)? {
        // Hangul
        [0xEA..=0xED, _, _, ..] => true,
        // What may separate two groups, and behind it Hangul
        [0..0x80, 0xEA..=0xED, _, _, ..] => true,
        // A bracket that opens separates nothing without a space: 3(4)
        [b'(', b'0'..=b'9', ..] => true,
        [first @ ..0x80, second @ ..0x80, ..] => {
            !is_in_number(*first) || !(first.is_ascii_digit() || is_in_number(*second))
        }
        [first @ ..0x80, ..] => !is_in_number(*first),
        _ => text.visible(at + length).0 == Symbol::Other,
    };
    text.count(length + 2);
    (ends && (1..rules::DIGITS_MIN).contains(&length)).then_some(Group {
        start: at,
        end: at + length,
        length,
        after: None,
    })
}

/// Whether an ASCII character may stand in a number.
fn is_in_number(byte: u8) -> bool {
    matches!(
        byte,
        b'0'..=b'9' | b' ' | b'\t' | b'-' | b'.' | b'(' | b')' | b'/' | b'_'
    )
}

/// The best number that begins with the front group, reported; how many groups it took.
fn number(scan: &mut Scan<'_>, row: &Row, left: Edges) -> Option<usize> {
    // The cheap question first: most rows are of small numbers.
    if row.unread() < rules::DIGITS_MIN {
        return None;
    }
    let mut best: Option<(usize, PiiKind, u8)> = None;
    let mut groups = row.groups();
    // Only numbers with a country's code have more than five groups: +33 1 23 45 67 89.
    let most = if left.plus { GROUPS_MAX } else { 5 };
    groups = groups.get(..most).unwrap_or(groups);
    let start = groups.first()?.start;
    // Of each group, how many digits it has: less than thirty.
    let mut lengths = [0; GROUPS_MAX];
    let mut length = 0;
    for (count, group) in lengths.iter_mut().zip(groups) {
        *count = u8::try_from(group.length).unwrap_or(u8::MAX);
        length += group.length;
    }
    if length < rules::DIGITS_MIN {
        return None;
    }
    let phone = left.plus || phone::may_begin(row.digits(length));
    while let [others @ .., last] = groups
        && length >= rules::DIGITS_MIN
    {
        let count = groups.len();
        let shape = lengths.get(..count).unwrap_or_default();
        if rules::may_match(length)
            && let Some(edges) = right(&scan.text, row, last, left)
            // The cheap question first: most rows of numbers are tables.
            && let fits = match shape {
                [_] if !left.plus => {
                    rules::may_be_solid(row.digits(length), &mut scan.near(start..last.end))
                }
                _ => phone || rules::has_shape(shape),
            }
            && (fits
                || bank::may_be(groups, edges)
                    && scan.near(start..last.end).may_speak_of(Topic::Bank))
        {
            let (gap, mixed) = gaps(others);
            let number = Number {
                digits: row.digits(length),
                shape,
                gap,
                mixed,
                edges,
                span: start..last.end,
            };
            let near = &mut scan.near(start..last.end);
            let judged = match fits {
                true => rules::judge(&number, near),
                false => rules::account(&number, near),
            };
            if let Some((kind, confidence)) = judged
                && best.is_none_or(|(_, _, least)| confidence > least)
            {
                best = Some((count, kind, confidence));
            }
        }
        length -= last.length;
        groups = others;
    }
    let (count, kind, confidence) = best?;
    let span = open(&scan.text, start)..row.groups().get(count - 1)?.end;
    scan.report(kind, span, confidence).map(|_| count)
}

/// The gap behind the first of the groups, and whether those behind the others are of another kind; a bracket is no kind.
fn gaps(groups: &[Group]) -> (Option<Gap>, bool) {
    let gap = |group: &Group| group.after.map(|separator| separator.gap);
    let Some((first, others)) = groups.split_first() else {
        return (None, false);
    };
    let first = gap(first);
    let mixed = first == Some(Gap::Bracket) || others.iter().any(|group| gap(group) != first);
    (first, mixed)
}

/// Takes in a plus or an opening bracket before the number.
fn open(text: &Text<'_>, start: usize) -> usize {
    match text.before(start) {
        (Symbol::Ascii(b'+'), at) => at,
        (Symbol::Ascii(b'('), at)
            if text
                .bytes()
                .get(start..)
                .is_some_and(|rest| rest.iter().take(6).any(|byte| *byte == b')')) =>
        {
            at
        }
        _ => start,
    }
}

/// What stands beside the window that ends with `last`; none where it cannot be a number for it.
fn right(text: &Text<'_>, row: &Row, last: &Group, mut edges: Edges) -> Option<Edges> {
    if last.length > cluster::DIGITS_MAX {
        return None;
    }
    if let Some(separator) = last.after {
        edges.buried = edges.crowded && separator.gap == Gap::Space;
        edges.crowded = true;
        return separator.is_loose().then_some(edges);
    }
    let behind = row.behind.get_or_init(|| Behind::of(text, last)).as_ref()?;
    edges.amount = behind.amount.unwrap_or(edges.amount);
    edges.joined |= behind.joined;
    Some(edges)
}

/// What stands behind the last group of a row.
struct Behind {
    /// Whether it says that the number is an amount, where it says anything.
    amount: Option<bool>,
    joined: bool,
}

impl Behind {
    /// None where the row cannot end with a number.
    fn of(text: &Text<'_>, last: &Group) -> Option<Self> {
        let (mut amount, mut joined) = (None, false);
        let (symbol, at, next) = text.visible(last.end);
        match symbol {
            Symbol::Ascii(b'@' | b'*' | b'#') => return None,
            Symbol::Ascii(b'%') => amount = Some(true),
            // 12,345,678: the comma belongs to the number.
            Symbol::Ascii(b',') => {
                amount = Some(
                    last.length <= 3
                        && matches!(text.visible(next).0, Symbol::Digit(_))
                        && is_thousands(text, next),
                );
            }
            Symbol::Dash | Symbol::Ascii(b'_') => match text.visible(next).0 {
                Symbol::Ascii(b'*') => return None,
                after => joined = after.is_alphanumeric(),
            },
            // No unit begins with a syllable that is a digit.
            Symbol::Other => {
                amount = plate::is_counted(text, at).then_some(true);
            }
            other if other.is_alphanumeric() => return None,
            _ => {}
        }
        Some(Self { amount, joined })
    }
}

/// Groups in a row, and their digits one after the other.
#[derive(Default)]
pub struct Row {
    groups: Vec<Group>,
    digits: Vec<u8>,
    /// Nothing goes on behind the last group.
    ended: bool,
    /// What stands there, when it was asked about.
    behind: OnceCell<Option<Behind>>,
    /// Groups, and digits, that are done with.
    done: usize,
    digits_done: usize,
}

/// Groups that are done with and not yet taken out.
const DONE_MAX: usize = 64;

impl Row {
    fn begin(&mut self, text: &Text<'_>, at: usize) {
        self.groups.clear();
        self.digits.clear();
        self.ended = false;
        self.behind.take();
        (self.done, self.digits_done) = (0, 0);
        self.read(text, at);
    }

    #[inline(always)]
    fn read(&mut self, text: &Text<'_>, at: usize) -> bool {
        let Some(group) = cluster::group(text, at, |digit| self.digits.push(digit)) else {
            return false;
        };
        self.groups.push(group);
        true
    }

    /// The groups that are looked at.
    pub fn groups(&self) -> &[Group] {
        self.groups.get(self.done..).unwrap_or_default()
    }

    /// Reads on until there is one more than one number may have.
    #[inline]
    fn fill(&mut self, text: &Text<'_>) {
        while !self.ended && self.groups.len() - self.done <= GROUPS_MAX {
            self.ended = !self.read_on(text);
        }
    }

    /// Reads what follows the last group; false where nothing does.
    fn read_on(&mut self, text: &Text<'_>) -> bool {
        let Some(last) = self.groups.last_mut() else {
            return false;
        };
        if last.length > cluster::DIGITS_MAX {
            return false;
        }
        // Most that stand in long rows are of one digit.
        if let Some((separator, digit)) = cluster::single(text, last.end) {
            last.after = Some(separator);
            let start = last.end + 1;
            self.digits.push(digit);
            self.groups.push(Group {
                start,
                end: start + 1,
                length: 1,
                after: None,
            });
            return true;
        }
        let Some((separator, next)) = cluster::separator(text, last.end) else {
            return false;
        };
        last.after = Some(separator);
        self.read(text, next)
    }

    fn drop_front(&mut self, count: usize) {
        let front = self.groups().iter().take(count);
        self.digits_done += front.map(|group| group.length).sum::<usize>();
        self.done += count;
        if self.done > DONE_MAX {
            self.groups.drain(..self.done.min(self.groups.len()));
            self.digits.drain(..self.digits_done.min(self.digits.len()));
            (self.done, self.digits_done) = (0, 0);
        }
    }

    /// Whether nothing begins at the front group, as far as cheap questions tell: it stands between others with spaces only,
    /// these have too few digits for a number, and it is before `spoken_until`.
    fn is_table(&self, left: Edges, spoken_until: usize) -> bool {
        left.crowded
            && self.unread() < rules::DIGITS_MIN
            && self.groups().first().is_some_and(|front| {
                let space = front.after.is_some_and(|after| after.gap == Gap::Space);
                space && front.start < spoken_until
            })
    }

    /// Digits of all groups that are looked at.
    fn unread(&self) -> usize {
        self.digits.len() - self.digits_done
    }

    /// The first `length` digits.
    pub fn digits(&self, length: usize) -> &[u8] {
        let digits = self.digits.get(self.digits_done..self.digits_done + length);
        digits.unwrap_or_default()
    }
}
