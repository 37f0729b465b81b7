//! Values of each kind, all fictional: births long ago or in the last years, offices and exchanges that are given to
//! nobody.

use crate::random::Random;
use madang_types::PiiKind;

/// The seed: `PII_SEED`, or one that is always the same.
pub fn seed() -> u64 {
    std::env::var("PII_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok())
        .unwrap_or(20_261_126)
}

impl Random {
    pub fn between(&mut self, low: usize, high: usize) -> usize {
        low + self.below(high - low + 1)
    }

    pub fn of(&mut self, alphabet: &str, length: usize) -> String {
        let letters: Vec<char> = alphabet.chars().collect();
        (0..length).map(|_| *self.pick(&letters)).collect()
    }

    pub fn digits(&mut self, length: usize) -> String {
        self.of("0123456789", length)
    }
}

const ALPHANUMERIC: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

/// A value with dashes between its groups, where it has groups.
pub fn value(kind: PiiKind, random: &mut Random) -> String {
    match kind {
        PiiKind::Rrn => resident(random, false),
        PiiKind::Frn => resident(random, true),
        PiiKind::Passport => match random.below(2) {
            0 => format!("{}{}", random.of("MSRODG", 1), random.digits(8)),
            _ => format!(
                "M{}{}{}",
                random.digits(3),
                random.of("ABCDEFGHJK", 1),
                random.digits(4)
            ),
        },
        PiiKind::DriverLicense => {
            let (province, year) = (random.between(11, 28), random.between(0, 99));
            format!(
                "{province}-{year:02}-{}-{}",
                random.digits(6),
                random.digits(2)
            )
        }
        PiiKind::Brn => business(random),
        PiiKind::Crn => corporation(random),
        PiiKind::Phone => phone(random),
        PiiKind::Email => format!(
            "{}{}{}@{}.{}",
            random.of("abcdefghijk", 4),
            random.pick(&[".", "_", "-", "+", ""]),
            random.between(1, 9999),
            random.pick(&["example", "mail.example", "my-team.example"]),
            random.pick(&["com", "org", "net", "co.kr", "ac.kr", "go.kr"])
        ),
        PiiKind::Card => card(random),
        PiiKind::BankAccount => account(random),
        PiiKind::Address => address(random),
        PiiKind::VehiclePlate => format!(
            "{}{}{}{}",
            random.between(10, 799),
            random.of(
                "가나다라마거너더러머버서어저고노도로모보소오조구누두루무부수우주바사아자배하허호",
                1
            ),
            random.pick(&["", " "]),
            random.between(1000, 9999)
        ),
        PiiKind::Secret => secret(random),
        PiiKind::UsSsn => format!(
            "{}-{:02}-{}",
            random.between(734, 749),
            random.between(1, 99),
            random.between(1000, 9999)
        ),
        PiiKind::Ip => format!(
            "{}.{}.{}.{}",
            random.between(1, 223),
            random.below(256),
            random.below(256),
            random.between(1, 254)
        ),
    }
}

fn weighted(digits: &[usize], weights: &[usize]) -> usize {
    digits
        .iter()
        .zip(weights)
        .map(|(digit, weight)| digit * weight)
        .sum()
}

/// The number with the check digit that `check` gives for the others.
fn checked(number: &str, check: impl Fn(&[usize]) -> usize) -> String {
    let digits: Vec<usize> = number
        .bytes()
        .filter(u8::is_ascii_digit)
        .map(|byte| usize::from(byte - b'0'))
        .collect();
    format!("{number}{}", check(&digits))
}

fn resident(random: &mut Random, foreign: bool) -> String {
    let (month, day) = (random.between(1, 12), random.between(1, 28));
    let shift = if foreign { 4 } else { 0 };
    if random.below(3) == 0 {
        // issued since October 2020: six random digits
        let (year, century) = (random.between(21, 25), random.between(3, 4) + shift);
        return format!("{year:02}{month:02}{day:02}-{century}{}", random.digits(6));
    }
    let (year, century) = (random.between(1, 14), random.between(1, 2) + shift);
    let number = format!("{year:02}{month:02}{day:02}-{century}{}", random.digits(5));
    let base = if foreign { 13 } else { 11 };
    checked(&number, |digits| {
        (base - weighted(digits, &[2, 3, 4, 5, 6, 7, 8, 9, 2, 3, 4, 5]) % 11) % 10
    })
}

fn business(random: &mut Random) -> String {
    let office = random.between(950, 999);
    let number = format!("{office}-{}-{}", random.digits(2), random.digits(4));
    checked(&number, |digits| {
        let sum = weighted(digits, &[1, 3, 7, 1, 3, 7, 1, 3, 5]) + digits[8] * 5 / 10;
        (10 - sum % 10) % 10
    })
}

fn corporation(random: &mut Random) -> String {
    let registry = *random.pick(&["1101", "1201", "1301", "1541", "1801", "2001"]);
    let number = format!("{registry}28-{}", random.digits(6));
    let weights = [1, 2, 1, 2, 1, 2, 1, 2, 1, 2, 1, 2];
    checked(&number, |digits| {
        (10 - weighted(digits, &weights) % 10) % 10
    })
}

fn phone(random: &mut Random) -> String {
    let last = random.digits(4);
    match random.below(8) {
        0 => format!("02-{}-{last}", random.between(1000, 1999)),
        1 => format!(
            "0{}-{}-{last}",
            random.pick(&["31", "42", "51", "53", "62", "64"]),
            random.between(100, 199)
        ),
        2 => format!("070-1{}-{last}", random.digits(3)),
        3 => format!("011-{}-{last}", random.between(100, 999)),
        _ => format!("010-{}{}-{last}", random.below(2), random.digits(3)),
    }
}

fn card(random: &mut Random) -> String {
    let (start, length) = *random.pick(&[
        ("4000", 16),
        ("5555", 16),
        ("3782", 15),
        ("6200", 16),
        ("3530", 16),
        ("2223", 16),
    ]);
    let body = format!("{start}{}", random.digits(length - 1 - start.len()));
    let sum: usize = body
        .bytes()
        .rev()
        .enumerate()
        .map(|(place, byte)| {
            let digit = usize::from(byte - b'0');
            if place % 2 == 0 {
                digit * 2 - if digit > 4 { 9 } else { 0 }
            } else {
                digit
            }
        })
        .sum();
    let all = format!("{body}{}", (10 - sum % 10) % 10);
    if length == 15 {
        return format!("{}-{}-{}", &all[..4], &all[4..10], &all[10..]);
    }
    format!(
        "{}-{}-{}-{}",
        &all[..4],
        &all[4..8],
        &all[8..12],
        &all[12..]
    )
}

fn account(random: &mut Random) -> String {
    let shapes: &[&[usize]] = &[
        &[3, 3, 6],
        &[6, 2, 6],
        &[3, 6, 5],
        &[4, 2, 7],
        &[3, 4, 4, 2],
        &[3, 2, 6],
        &[3, 6, 2, 3],
        &[4, 3, 6],
    ];
    let groups: Vec<String> = random
        .pick(shapes)
        .to_vec()
        .iter()
        .map(|length| random.digits(*length))
        .collect();
    groups.join("-")
}

fn address(random: &mut Random) -> String {
    let place = *random.pick(&[
        "서울특별시 마포구",
        "서울 송파구",
        "경기도 성남시 분당구",
        "경기 용인시 수지구",
        "부산광역시 수영구",
        "대구 달서구",
        "충청남도 천안시 서북구",
        "전남 여수시",
        "제주특별자치도 서귀포시",
        "세종특별자치시",
        "강원도 강릉시",
        "인천 연수구",
    ]);
    let road = *random.pick(&[
        "상상로",
        "거짓대로",
        "허구길",
        "모형로12번길",
        "꾸밈동",
        "연습로 3길",
        "보기면 가공리",
    ]);
    let number = random.between(1, 999);
    let tail = match random.below(5) {
        0 => format!("-{}", random.between(1, 99)),
        1 => format!(
            ", {}동 {}호",
            random.between(101, 120),
            random.between(101, 2999)
        ),
        2 => format!(" {}층", random.between(1, 40)),
        3 => " (허구동)".to_owned(),
        _ => String::new(),
    };
    format!("{place} {road} {number}{tail}")
}

fn secret(random: &mut Random) -> String {
    match random.below(9) {
        0 => format!("sk-EXAMPLE{}", random.of(ALPHANUMERIC, 38)),
        1 => format!("sk-ant-api03-EXAMPLE{}", random.of(ALPHANUMERIC, 60)),
        2 => format!("AKIA{}", random.of("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", 16)),
        3 => format!("ghp_{}", random.of(ALPHANUMERIC, 36)),
        4 => format!(
            "xoxb-EXAMPLE-{}-{}",
            random.digits(12),
            random.of(ALPHANUMERIC, 24)
        ),
        5 => format!("hf_EXAMPLE{}", random.of(ALPHANUMERIC, 27)),
        6 => format!("glpat-{}", random.of(ALPHANUMERIC, 20)),
        7 => format!("AIza{}", random.of(ALPHANUMERIC, 35)),
        _ => format!(
            "eyJhbGciOiJIUzI1NiJ9.{}.{}",
            random.of(ALPHANUMERIC, 40),
            random.of(ALPHANUMERIC, 43)
        ),
    }
}

/// A template with its marks replaced: `{d7}` seven digits, `{x40}` hexadecimal, `{A}` a capital, `{10-99}` a number.
pub fn fill(template: &str, random: &mut Random) -> String {
    let mut text = String::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        let (mark, next) = after.split_once('}').unwrap();
        text.push_str(before);
        if let Some((low, high)) = mark.split_once('-') {
            text.push_str(
                &random
                    .between(low.parse().unwrap(), high.parse().unwrap())
                    .to_string(),
            );
        } else if let Some(length) = mark.strip_prefix('d') {
            text.push_str(&random.digits(length.parse().unwrap()));
        } else if let Some(length) = mark.strip_prefix('x') {
            text.push_str(&random.of("0123456789abcdef", length.parse().unwrap()));
        } else if mark == "ymd" {
            let (year, month, day) = (
                random.between(1990, 2029),
                random.between(1, 12),
                random.between(1, 28),
            );
            text.push_str(&format!("{year}{month:02}{day:02}"));
        } else {
            assert_eq!(mark, "A", "a mark of a template");
            text.push_str(&random.of("ABCDEFGHIJKLMNOPQRSTUVWXYZ", 1));
        }
        rest = next;
    }
    text.push_str(rest);
    text
}
