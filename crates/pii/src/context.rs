//! What the words near a number say about it. Each byte near a number is read once, whatever the number of numbers.

use crate::text::Text;
use crate::words::{TOPICS, Topic, Topics, WORDS};
use aho_corasick::automaton::Automaton;
use aho_corasick::dfa::DFA;
use aho_corasick::{Anchored, MatchKind, StartKind};
use std::collections::VecDeque;
use std::ops::Range;
use std::sync::LazyLock;

/// Bytes before a number in which a word counts.
pub const BEFORE: usize = 80;
/// Bytes after a number in which a word counts.
pub const AFTER: usize = 48;
/// Words before a number that count, the nearest first.
const BEFORE_WORDS_MAX: usize = 8;
/// A word after the number counts as if it stood this much farther.
const AFTER_HANDICAP: usize = 24;
/// A word against a number counts only within these bytes.
const AGAINST_MAX: usize = 44;
/// Longer than any word, and what is read before the window to find a word that begins there.
const WORD_MAX: usize = 40;

/// The words as one machine.
struct Words {
    machine: DFA,
    /// By pattern: the topic, and whether it is an ASCII word that must stand alone.
    meaning: Vec<(Topic, bool)>,
    /// The pattern for a word that ends in 번호 and is none of the others: a number of some other thing.
    numbering: usize,
}

static WORDS_MACHINE: LazyLock<Option<Words>> = LazyLock::new(|| {
    let mut patterns: Vec<String> = Vec::new();
    let mut meaning = Vec::new();
    for (topic, words) in WORDS {
        for word in words.split('|') {
            // As programs write them: card_number, card-number, cardNumber.
            let joints: &[&str] = match word.is_ascii() && word.contains(' ') {
                true => &[" ", "_", "-", ""],
                false => &[" "],
            };
            for joint in joints {
                patterns.push(word.replace(' ', joint));
                meaning.push((*topic, word.is_ascii()));
            }
        }
    }
    let numbering = patterns.len();
    patterns.push("번호".to_owned());
    meaning.push((Topic::Thing, false));
    let machine = DFA::builder()
        .match_kind(MatchKind::Standard)
        .start_kind(StartKind::Unanchored)
        .ascii_case_insensitive(true)
        .build(&patterns)
        .ok()?;
    Some(Words {
        machine,
        meaning,
        numbering,
    })
});

#[derive(Clone, Copy, Debug)]
struct Hit {
    start: usize,
    end: usize,
    topic: Topic,
}

/// The words found so far.
#[derive(Clone, Debug, Default)]
pub struct Context {
    hits: VecDeque<Hit>,
    /// Of each topic, how many of the hits.
    present: [u32; TOPICS],
    /// The machine's state after the byte before `read_to`.
    state: Option<aho_corasick::automaton::StateID>,
    read_to: usize,
    /// The last answer. It stays in its place: to copy it right after it was written costs more than to work it out.
    near: Near,
    /// What it was asked for, where it holds for each shorter span from the same place: no word is behind.
    last: Option<Range<usize>>,
}

/// The words around one span, read when a rule first asks.
pub struct Nearby<'c, 'a> {
    text: &'c Text<'a>,
    context: &'c mut Context,
    span: Range<usize>,
    asked: bool,
}

impl<'c, 'a> Nearby<'c, 'a> {
    pub fn new(text: &'c Text<'a>, context: &'c mut Context, span: Range<usize>) -> Self {
        Self {
            text,
            context,
            span,
            asked: false,
        }
    }

    /// The text that the span is in.
    pub fn text(&self) -> &'c Text<'a> {
        self.text
    }

    /// What the words say of the span's being of `topic`.
    pub fn stance(&mut self, topic: Topic) -> Stance {
        self.near().stance(topic)
    }

    /// Whether no word is for anything.
    pub fn is_silent(&mut self) -> bool {
        self.near().nearest == u16::MAX
    }

    /// Whether a word may be for `topic`: cheaper to ask than what its stance is.
    pub fn may_speak_of(&mut self, topic: Topic) -> bool {
        self.context.may_speak_of(self.text, &self.span, topic)
    }

    /// Whether a word is for any of `topics`.
    #[inline]
    pub fn speaks_of(&mut self, topics: Topics) -> bool {
        self.near().topics.has_any(topics)
    }

    #[inline(always)]
    fn near(&mut self) -> &Near {
        if !self.asked {
            self.ask();
        }
        &self.context.near
    }

    #[inline(never)]
    fn ask(&mut self) {
        self.context.look(self.text, &self.span);
        self.asked = true;
    }
}

/// How near the words of each topic stand to one number.
#[derive(Clone, Debug)]
struct Near {
    distance: [u16; TOPICS],
    /// The least distance of a word that is for anything.
    nearest: u16,
    /// The topics of which any word is near.
    topics: Topics,
}

/// What the words say of a number's being of one kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stance {
    /// The nearest word says so, that many bytes away.
    For(usize),
    /// A word says so, and a nearer one says another kind.
    Perhaps,
    /// No word says anything.
    Silent,
    /// The nearest word says that it is something else, that many bytes away.
    Against(usize),
}

impl Default for Near {
    fn default() -> Self {
        Self::NOTHING
    }
}

impl Near {
    fn add(&mut self, topic: Topic, distance: usize) {
        // A window is shorter than this.
        let distance = u16::try_from(distance).unwrap_or(u16::MAX);
        if let Some(least) = self.distance.get_mut(topic as usize) {
            *least = distance.min(*least);
            self.topics.insert(topic);
            if topic != Topic::Thing {
                self.nearest = distance.min(self.nearest);
            }
        }
    }

    const NOTHING: Self = Self {
        distance: [u16::MAX; TOPICS],
        nearest: u16::MAX,
        topics: Topics::NONE,
    };

    /// How far the nearest word of `topic` is.
    fn of(&self, topic: Topic) -> u16 {
        let distance = self.distance.get(topic as usize);
        distance.copied().unwrap_or(u16::MAX)
    }

    fn stance(&self, topic: Topic) -> Stance {
        let (ours, things) = (self.of(topic), self.of(Topic::Thing));
        if ours != u16::MAX && ours <= things {
            if ours <= self.nearest {
                Stance::For(usize::from(ours))
            } else {
                Stance::Perhaps
            }
        } else if usize::from(things) <= AGAINST_MAX {
            Stance::Against(usize::from(things))
        } else {
            Stance::Silent
        }
    }
}

impl Context {
    /// Works out what the words around `span` say.
    fn look(&mut self, text: &Text<'_>, span: &Range<usize>) {
        if !self.read(text, span) {
            (self.near, self.last) = (Near::NOTHING, None);
            return;
        }
        let known = |last: &Range<usize>| last.start == span.start && last.end >= span.end;
        if self.last.as_ref().is_some_and(known) {
            return;
        }
        self.near = Near::NOTHING;
        let first = span.start.saturating_sub(BEFORE);
        let (mut before, mut behind) = (0, false);
        for hit in self.hits.iter().rev() {
            text.count(1);
            behind |= hit.end > span.start;
            if hit.start >= span.end && hit.end <= span.end + AFTER {
                self.near
                    .add(hit.topic, hit.start - span.end + AFTER_HANDICAP);
            } else if hit.start < first || before == BEFORE_WORDS_MAX {
                break;
            } else if hit.end <= span.start {
                self.near.add(hit.topic, span.start - hit.end);
                before += 1;
            }
        }
        self.last = (!behind).then(|| span.clone());
    }

    /// Reads on until all words around `span` are known; false where there is no machine to read them.
    fn read(&mut self, text: &Text<'_>, span: &Range<usize>) -> bool {
        let Some(words) = WORDS_MACHINE.as_ref() else {
            return false;
        };
        let bytes = text.bytes();
        let until = (span.end + AFTER + 1).min(bytes.len());
        if until <= self.read_to {
            return true;
        }
        let from = span.start.saturating_sub(BEFORE + WORD_MAX);
        if self.state.is_none() || self.read_to < from {
            self.state = words.machine.start_state(Anchored::No).ok();
            self.read_to = from;
        }
        let Some(mut state) = self.state else {
            return false;
        };
        text.count(until.saturating_sub(self.read_to));
        let unread = bytes.get(self.read_to..until).unwrap_or_default();
        for (end, byte) in (self.read_to + 1..).zip(unread) {
            state = words.machine.next_state(Anchored::No, state, *byte);
            if words.machine.is_match(state) {
                // Of the words that end here the longest comes first.
                self.found(words, bytes, words.machine.match_pattern(state, 0), end);
            }
        }
        self.state = Some(state);
        self.read_to = self.read_to.max(until);
        // A span that is asked about later may begin a little before this one.
        while let Some(hit) = self.hits.front()
            && hit.end + 2 * BEFORE < span.start
        {
            self.forget(hit.topic);
            self.hits.pop_front();
        }
        true
    }

    fn found(&mut self, words: &Words, bytes: &[u8], pattern: aho_corasick::PatternID, end: usize) {
        let start = end - words.machine.pattern_len(pattern);
        let Some((topic, alone)) = words.meaning.get(pattern.as_usize()).copied() else {
            return;
        };
        if alone && (is_joined(bytes, start) || is_joined(bytes, end)) {
            return;
        }
        if pattern.as_usize() == words.numbering {
            // "… 번호" alone says nothing.
            let glued = start
                .checked_sub(1)
                .and_then(|before| bytes.get(before))
                .is_some_and(|byte| *byte >= 0x80);
            if !glued {
                return;
            }
        }
        // A longer word speaks for those within it.
        while let Some(hit) = self.hits.back()
            && hit.start >= start
        {
            self.forget(hit.topic);
            self.hits.pop_back();
        }
        if let Some(present) = self.present.get_mut(topic as usize) {
            *present += 1;
        }
        self.hits.push_back(Hit { start, end, topic });
    }

    fn forget(&mut self, topic: Topic) {
        if let Some(present) = self.present.get_mut(topic as usize) {
            *present -= 1;
        }
    }

    /// Whether any word about `topic` has been read that is not far before `span`.
    fn may_speak_of(&mut self, text: &Text<'_>, span: &Range<usize>, topic: Topic) -> bool {
        self.read(text, span)
            && self
                .present
                .get(topic as usize)
                .is_some_and(|some| *some > 0)
    }
}

/// Whether letters on both sides of `at` are of one word; userPhone and phoneNumber are two.
fn is_joined(bytes: &[u8], at: usize) -> bool {
    let letter = |at: usize| bytes.get(at).filter(|byte| byte.is_ascii_alphabetic());
    let (before, after) = (at.checked_sub(1).and_then(letter), letter(at));
    matches!((before, after), (Some(before), Some(after)) if !(before.is_ascii_lowercase() && after.is_ascii_uppercase()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_word_speaks() {
        let cases = [
            ("주민등록번호 #", Topic::Rrn, Stance::For(1)),
            ("주문번호 #", Topic::Rrn, Stance::Against(1)),
            ("주문자 #", Topic::Phone, Stance::Silent),
            ("제 번호 #", Topic::Phone, Stance::Silent),
            ("회원번호 #", Topic::Phone, Stance::Against(1)),
            ("여권 말고 전화 #", Topic::Passport, Stance::Perhaps),
            ("hotel #", Topic::Phone, Stance::Silent),
            ("TEL:#", Topic::Phone, Stance::For(1)),
            ("passportNumber: #", Topic::Passport, Stance::For(2)),
            ("user_driverLicenseNo #", Topic::License, Stance::For(1)),
            ("# 은 계좌", Topic::Bank, Stance::For(29)),
        ];
        for (given, topic, expected) in cases {
            let at = given.find('#').unwrap_or_default();
            let text = Text::new(given.as_bytes());
            let mut context = Context::default();
            let mut near = Nearby::new(&text, &mut context, at..at + 1);
            assert_eq!(near.stance(topic), expected, "{given}");
        }
    }

    #[test]
    fn words_are_shorter_than_the_bound() {
        let longest = WORDS
            .iter()
            .flat_map(|(_, words)| words.split('|'))
            .map(|word| word.len())
            .max();
        assert!(longest.is_some_and(|longest| longest <= WORD_MAX));
    }
}
