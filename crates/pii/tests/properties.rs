//! What holds for any text: no panic, masking that is undone to the byte.

mod random;

use madang_pii::{Masker, scan, scan_parts};
use random::Random;

/// What texts are made of: values, pieces of values, words near them, what joins and what hides.
const PIECES: &[&str] = &[
    "010-1234-5678",
    "010",
    "-",
    "1234",
    ".",
    " ",
    "5678",
    "주민등록번호 ",
    "주문번호 ",
    "140920-1226637",
    "１２３４",
    "\u{200b}",
    "공일공",
    " 일이삼사",
    "이",
    "에",
    "오육칠팔",
    "kim",
    "@",
    "example.com",
    "sk-",
    "EXAMPLEabcdefghij0123456789",
    "eyJ",
    "hbGciOiJIUzI1NiJ9",
    "_",
    "ghp_",
    "=",
    "password",
    ": ",
    "\"",
    "-----BEGIN RSA PRIVATE KEY-----",
    "MIIEow",
    "\n",
    "-----END RSA PRIVATE KEY-----",
    "서울 강남구 가상로",
    " 12",
    "-3",
    ", 101동 202호",
    "12가 3456",
    "가",
    "차량 ",
    "여권 ",
    "M",
    "12345678",
    "M123A4567",
    "4111 1111 1111 1111",
    "카드 ",
    "은행 ",
    "계좌 ",
    "110-123-456789",
    "+82 ",
    "10-",
    "(02) ",
    "tel",
    "the quick brown fox ",
    "그리고 나서 우리는 ",
    "[PHONE_1]",
    "[",
    "PHONE_",
    "]",
    "1",
    "12 Sample Street, ",
    "Springfield, IL 62704",
    "12 Gasang-ro, ",
    "Gangnam-gu, Seoul",
    "client ip ",
    "10.1.2.3",
    ",",
    "원",
    "*",
    "é",
    "漢",
    "🙂",
    "0",
    "00",
    "１",
    "－",
];

fn text(random: &mut Random) -> String {
    (0..random.below(40))
        .map(|_| *random.pick(PIECES))
        .collect()
}

#[test]
fn any_bytes_are_taken() {
    for seed in 0..4_000 {
        let mut random = Random(seed);
        let mut bytes = text(&mut random).into_bytes();
        for _ in 0..random.below(20) {
            let at = random.below(bytes.len() + 1);
            bytes.insert(at, u8::try_from(random.below(256)).unwrap());
        }
        let found = scan(&bytes);
        for pair in found.windows(2) {
            assert!(
                pair[0].span.end <= pair[1].span.start,
                "seed {seed}: {found:?}"
            );
        }
    }
}

#[test]
fn spans_lie_between_characters() {
    for seed in 0..6_000 {
        let text = text(&mut Random(seed));
        for finding in scan(text.as_bytes()) {
            let value = text.get(finding.span.clone());
            assert!(
                value.is_some_and(|value| !value.is_empty()),
                "seed {seed}: {finding:?} in {text:?}"
            );
        }
    }
}

#[test]
fn invariant_11_masking_is_undone() {
    for seed in 0..6_000 {
        let mut random = Random(seed);
        let text = text(&mut random);
        let found = scan(text.as_bytes());
        let mut masker = Masker::new([text.as_str()]);
        let masked = masker.mask(&text, &found);
        let mut unmasker = masker.unmasker();
        assert_eq!(unmasker.unmask(&masked), text, "seed {seed}: {masked:?}");
        let mut back = String::new();
        let letters: Vec<char> = masked.chars().collect();
        let mut rest = letters.as_slice();
        while !rest.is_empty() {
            let (piece, after) = rest.split_at((1 + random.below(12)).min(rest.len()));
            back.push_str(&unmasker.push(&piece.iter().collect::<String>()));
            rest = after;
        }
        back.push_str(&unmasker.finish());
        assert_eq!(back, text, "seed {seed}: {masked:?}");
        for finding in &found {
            let value = &text[finding.span.clone()];
            assert!(
                !format!("{masker:?}{unmasker:?}").contains(value),
                "seed {seed}: {value}"
            );
        }
    }
}

/// The text, cut into parts anywhere between its characters.
fn cut<'a>(text: &'a str, random: &mut Random) -> Vec<&'a str> {
    let (mut parts, mut begin) = (Vec::new(), 0);
    for (at, _) in text.char_indices() {
        if random.below(12) == 0 {
            parts.push(&text[begin..at]);
            begin = at;
        }
    }
    parts.push(&text[begin..]);
    parts
}

/// Each byte of what is found in a text is found wherever the text is cut, so a cut hides nothing.
#[test]
fn invariant_11_no_cut_hides_what_a_text_holds() {
    let mut values = 0;
    for seed in 0..6_000 {
        let mut random = Random(seed);
        let text = text(&mut random);
        let parts = cut(&text, &mut random);
        let mut covered = vec![false; text.len()];
        for (part, span) in scan_parts(&parts).iter().flat_map(|found| &found.pieces) {
            let begin: usize = parts[..*part].iter().map(|part| part.len()).sum();
            covered[begin + span.start..begin + span.end].fill(true);
        }
        for finding in scan(text.as_bytes()) {
            values += 1;
            assert!(
                covered[finding.span.clone()].iter().all(|byte| *byte),
                "seed {seed}: {finding:?} of {parts:?}"
            );
        }
    }
    assert!(values > 1_000, "{values} were found");
}

#[test]
fn invariant_11_parts_are_one_text() {
    for seed in 0..6_000 {
        let mut random = Random(seed);
        let text = text(&mut random);
        let parts = cut(&text, &mut random);
        let found = scan_parts(&parts);
        let mut masker = Masker::new(parts.iter().copied());
        let masked = masker.mask_parts(&parts, &found);
        assert_eq!(masked.len(), parts.len());
        assert_eq!(
            masker.unmasker().unmask(&masked.concat()),
            text,
            "seed {seed}: {parts:?}"
        );
    }
}

#[test]
fn what_lies_across_parts_is_found() {
    /// Parts, and the pieces found, each with its part.
    type Case = (&'static [&'static str], &'static [(usize, &'static str)]);
    let cases: [Case; 6] = [
        (
            &["전화 010-1234", "-5678 로"],
            &[(0, "010-1234"), (1, "-5678")],
        ),
        (
            &["주민등록", "번호: 140920-", "122", "6637"],
            &[(1, "140920-"), (2, "122"), (3, "6637")],
        ),
        // The rest of an identifier that looks like a telephone number does not pass for one.
        (
            &["운전면허 번호는 2", "0-16-820327-05 입니다"],
            &[(0, "2"), (1, "0-16-820327-05")],
        ),
        (&["kim@exam", "ple.com"], &[(0, "kim@exam"), (1, "ple.com")]),
        // What another part happens to touch stays what it is.
        (
            &["번호는 010-1234-5678", "9 bottles"],
            &[(0, "010-1234-5678")],
        ),
        (&["", "010-1234-5678", ""], &[(1, "010-1234-5678")]),
    ];
    for (parts, expected) in cases {
        let found = scan_parts(parts);
        let pieces: Vec<(usize, &str)> = found
            .iter()
            .flat_map(|finding| &finding.pieces)
            .map(|(part, span)| (*part, &parts[*part][span.clone()]))
            .collect();
        assert_eq!(pieces, expected, "{parts:?}");
    }
}

#[test]
fn placeholders_are_the_same_for_the_same_value() {
    let texts = [
        "010-1234-5678, [PHONE_1], 010-1234-5678, 010-8765-4321",
        "010-8765-4321",
    ];
    let mut masker = Masker::new(texts);
    let masked: Vec<String> = texts
        .iter()
        .map(|text| masker.mask(text, &scan(text.as_bytes())))
        .collect();
    assert_eq!(
        masked,
        ["[PHONE_2], [PHONE_1], [PHONE_2], [PHONE_3]", "[PHONE_3]"]
    );
    let answer = "call [PHONE_2], not [PHONE_1] or [PHONE_9] or [EMAIL_1]";
    let expected = "call 010-1234-5678, not [PHONE_1] or [PHONE_9] or [EMAIL_1]";
    assert_eq!(masker.unmasker().unmask(answer), expected);
}
