//! Numbers of flags: one that may not stand there is refused in words that say which may, below zero or not.

use std::ffi::{OsStr, OsString};
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;

/// A whole number of that range.
pub fn whole<N>(
    range: RangeInclusive<N>,
) -> impl Fn(&str) -> Result<N, String> + Clone + Send + Sync + 'static
where
    N: FromStr + PartialOrd + Display + Clone + Send + Sync + 'static,
{
    move |text| in_range(text, &range, "a whole number")
}

/// Any number of that range.
pub fn real(
    range: RangeInclusive<f64>,
) -> impl Fn(&str) -> Result<f64, String> + Clone + Send + Sync + 'static {
    move |text| in_range(text, &range, "a number")
}

fn in_range<N: FromStr + PartialOrd + Display>(
    text: &str,
    range: &RangeInclusive<N>,
    what: &str,
) -> Result<N, String> {
    let number = text.trim().parse().ok();
    let number = number.filter(|number| range.contains(number));
    let (least, most) = (range.start(), range.end());
    number.ok_or_else(|| format!("{what} from {least} to {most} is wanted"))
}

/// Whole numbers with commas between them, each of its range; `form` names them.
pub fn list<const N: usize>(
    text: &str,
    form: &str,
    ranges: [RangeInclusive<u64>; N],
) -> Result<[u64; N], String> {
    let parts: Vec<&str> = text.split(',').map(str::trim).collect();
    let known = <[&str; N]>::try_from(parts).ok().and_then(|parts| {
        let mut numbers = [0; N];
        for ((number, part), range) in numbers.iter_mut().zip(parts).zip(&ranges) {
            *number = part.parse().ok().filter(|part| range.contains(part))?;
        }
        Some(numbers)
    });
    known.ok_or_else(|| {
        let each = ranges.map(|range| format!("from {} to {}", range.start(), range.end()));
        let each = each.join(", ");
        format!("{form} is wanted: whole numbers {each}")
    })
}

/// The arguments, with what a flag is given tied to it where it begins as a number below zero does: no flag of ours begins with a
/// digit, and `--cut -5%` is to be refused as a part, not as a flag `-5`.
pub fn tied(arguments: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let mut tied: Vec<OsString> = Vec::new();
    let mut flags_are_over = false;
    for argument in arguments {
        flags_are_over |= argument == "--";
        match tied.last_mut() {
            Some(flag) if !flags_are_over && is_flag(flag) && is_below_zero(&argument) => {
                flag.push("=");
                flag.push(argument);
            }
            _ => tied.push(argument),
        }
    }
    tied
}

fn is_flag(argument: &OsStr) -> bool {
    let bytes = argument.as_encoded_bytes();
    bytes.len() > 1 && bytes.starts_with(b"-") && !bytes.contains(&b'=') && !is_below_zero(argument)
}

fn is_below_zero(argument: &OsStr) -> bool {
    let bytes = argument.as_encoded_bytes();
    let digits = bytes.strip_prefix(b"-").unwrap_or_default();
    let digits = digits.strip_prefix(b".").unwrap_or(digits);
    digits.first().is_some_and(u8::is_ascii_digit)
}

/// The same command, in which what is given without a flag may be below zero too.
pub fn with_negatives(command: clap::Command) -> clap::Command {
    let names: Vec<String> = command
        .get_subcommands()
        .map(|subcommand| subcommand.get_name().to_owned())
        .collect();
    let command = command.mut_args(|arg| match arg.is_positional() {
        true => arg.allow_negative_numbers(true),
        false => arg,
    });
    let each = |command: clap::Command, name| command.mut_subcommand(name, with_negatives);
    names.into_iter().fold(command, each)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;
    use clap::error::ErrorKind;
    use std::any::TypeId;

    #[test]
    fn a_number_below_zero_belongs_to_the_flag_before_it() {
        let check = |line: &str, expected: &str| {
            let arguments = line.split(' ').map(OsString::from);
            let tied = tied(arguments).join(OsStr::new(" "));
            assert_eq!(tied, expected);
        };
        check(
            "madang x --cut -5% --for -3h",
            "madang x --cut=-5% --for=-3h",
        );
        check("madang x --rate -.5 -n -1", "madang x --rate=-.5 -n=-1");
        check(
            "madang x --cut 5% -5 --json -",
            "madang x --cut 5% -5 --json -",
        );
        check("madang x --cut=1 -5 --to", "madang x --cut=1 -5 --to");
        check("madang x --cut --to -x", "madang x --cut --to -x");
        check("madang x --cut -5 -6", "madang x --cut=-5 -6");
        check("madang x -- --cut -5", "madang x -- --cut -5");
    }

    /// What is said of `--flag -5%`, for each flag of a command and those below it that takes a number.
    fn said_of_each(command: &clap::Command, path: &[String]) -> Vec<(String, String)> {
        let mut all = Vec::new();
        let numbers = [
            TypeId::of::<u32>(),
            TypeId::of::<u64>(),
            TypeId::of::<i64>(),
            TypeId::of::<f64>(),
        ];
        for arg in command.get_arguments() {
            let is_number = numbers
                .iter()
                .any(|n| arg.get_value_parser().type_id() == *n);
            let Some(flag) = arg.get_long().filter(|_| is_number) else {
                continue;
            };
            let flag = [format!("--{flag}"), "-5%".to_owned()];
            let line = [path, &flag].concat();
            let arguments = tied(line.iter().map(OsString::from));
            let error = with_negatives(crate::args::Args::command())
                .try_get_matches_from(arguments)
                .unwrap_err();
            assert_eq!(
                error.kind(),
                ErrorKind::ValueValidation,
                "{line:?}: {error}"
            );
            all.push((line.join(" "), error.to_string()));
        }
        for below in command.get_subcommands() {
            let path = [path, &[below.get_name().to_owned()]].concat();
            all.extend(said_of_each(below, &path));
        }
        all
    }

    #[test]
    fn each_flag_that_takes_a_number_says_which_it_takes() {
        let whole = crate::args::Args::command();
        let mut flags = 0;
        for name in ["twin", "plan", "power", "job", "engine"] {
            let command = whole.find_subcommand(name).unwrap();
            for (line, said) in said_of_each(command, &["madang".to_owned(), name.to_owned()]) {
                assert!(said.contains(" is wanted"), "{line}: {said}");
                flags += 1;
            }
        }
        assert!(flags >= 60, "{flags}");
    }

    #[test]
    fn what_a_number_may_be_is_said() {
        let said = |text| whole::<u32>(1..=100)(text);
        assert_eq!(said(" 100"), Ok(100));
        for text in ["-1", "0", "101", "1.5", "", "x", "99999999999999999999"] {
            let expected = "a whole number from 1 to 100 is wanted";
            assert_eq!(said(text), Err(expected.to_owned()), "{text}");
        }
        let said = |text| real(0.5..=2.0)(text);
        assert_eq!(said("1.25"), Ok(1.25));
        for text in ["-1", "NaN", "inf", "2.001", ""] {
            let expected = "a number from 0.5 to 2 is wanted";
            assert_eq!(said(text), Err(expected.to_owned()), "{text}");
        }
        let said = |text| list(text, "A,B", [1..=5, 0..=9]);
        assert_eq!(said("5, 0"), Ok([5, 0]));
        for text in ["5", "5,0,0", "0,0", "-5,0", "5,", ""] {
            let expected = "A,B is wanted: whole numbers from 1 to 5, from 0 to 9";
            assert_eq!(said(text), Err(expected.to_owned()), "{text}");
        }
    }
}
