//! Times, sizes and numbers as people write them in a job.

use serde::{Deserialize, Deserializer, de};

/// Milliseconds, written `90s`, `30m`, `4h`, `2d`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span(pub(super) u64);

/// MiB, written `512MiB`, `80GB` or `80GiB`: accelerators of 80 GB have about as many GiB, so that both mean the same here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Size(pub(super) u64);

/// Bytes, written `500MB`, `80GB`, `1.2TB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bytes(pub(super) u64);

/// Thousandths, written as a number with a fraction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Milli(pub(super) u32);

/// A part of something in thousandths, written as a number from 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Part(pub(super) u32);

/// A number and its unit.
fn parts(text: &str) -> Option<(f64, &str)> {
    let at = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
    let (number, unit) = text.split_at(at);
    Some((number.parse().ok()?, unit.trim()))
}

/// The nearest whole number; `None` for what is none, or too large for one.
fn whole(number: f64) -> Option<u64> {
    let rounded = number.round();
    let fits = (0.0..1e15).contains(&rounded);
    fits.then(|| format!("{rounded}").parse().ok()).flatten()
}

/// A time, written `90s`, `30m`, `4h` or `2d`, in milliseconds.
pub fn span_ms(text: &str) -> Option<u64> {
    let (number, unit) = parts(text)?;
    let each = match unit {
        "ms" => 1.0,
        "s" => 1e3,
        "m" | "min" => 6e4,
        "h" => 3.6e6,
        "d" => 8.64e7,
        _ => return None,
    };
    whole(number * each)
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        let wanted = || de::Error::custom("a time is written 90s, 30m, 4h or 2d");
        span_ms(&text).map(Self).ok_or_else(wanted)
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        let mib = parts(&text).and_then(|(number, unit)| {
            let each = match unit {
                "MB" | "MiB" => 1.0,
                "GB" | "GiB" => 1024.0,
                "TB" | "TiB" => 1024.0 * 1024.0,
                _ => return None,
            };
            whole(number * each)
        });
        let wanted = || de::Error::custom("a size is written 512MiB, 80GB or 2TiB");
        mib.map(Self).ok_or_else(wanted)
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        let bytes = parts(&text).and_then(|(number, unit)| {
            let each = match unit {
                "MB" => 1e6,
                "GB" => 1e9,
                "TB" => 1e12,
                _ => return None,
            };
            whole(number * each)
        });
        let wanted = || de::Error::custom("the size of a file is written 500MB, 80GB or 1.2TB");
        bytes.map(Self).ok_or_else(wanted)
    }
}

impl<'de> Deserialize<'de> for Part {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let wanted = || de::Error::custom("a part from 0 to 1 is wanted, such as 0.3");
        let part = Some(f64::deserialize(from)?).filter(|part| (0.0..=1.0).contains(part));
        let milli = part.and_then(|part| whole(part * 1000.0));
        let milli = milli.and_then(|milli| u32::try_from(milli).ok());
        milli.map(Self).ok_or_else(wanted)
    }
}

impl<'de> Deserialize<'de> for Milli {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let number = f64::deserialize(from)?;
        let milli = whole(number * 1000.0).and_then(|milli| u32::try_from(milli).ok());
        let wanted = || de::Error::custom("a number such as 4 or 0.5 is wanted");
        milli.map(Self).ok_or_else(wanted)
    }
}
