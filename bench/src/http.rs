//! The little of HTTP/1.1 that both ends of the load need.

/// The value of a head's field of that name, in any case; none where it is absent.
pub fn field<'a>(head: &'a [u8], name: &str) -> Option<&'a [u8]> {
    head.split(|byte| *byte == b'\n').find_map(|line| {
        let (before, value) = line.split_at_checked(name.len())?;
        let value = value.strip_prefix(b":")?;
        before
            .eq_ignore_ascii_case(name.as_bytes())
            .then(|| value.trim_ascii())
    })
}

/// The number that `text` begins with, 0 where it begins with none.
pub fn number(text: &[u8]) -> usize {
    text.iter()
        .take_while(|byte| byte.is_ascii_digit())
        .fold(0_usize, |sum, byte| {
            sum.saturating_mul(10)
                .saturating_add(usize::from(byte - b'0'))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_in_any_case() {
        let head = b"HTTP/1.1 200 OK\r\nCONTENT-length:  42 \r\nx-y: z\r\n\r\n";
        let cases = [
            ("content-length", Some("42")),
            ("X-Y", Some("z")),
            ("x", None),
            ("date", None),
        ];
        for (name, expected) in cases {
            assert_eq!(field(head, name), expected.map(str::as_bytes), "{name}");
        }
    }

    #[test]
    fn numbers_end_where_digits_do() {
        let cases = [("42", 42), ("10 ms", 10), ("", 0), ("x1", 0)];
        for (text, expected) in cases {
            assert_eq!(number(text.as_bytes()), expected, "{text}");
        }
    }
}
