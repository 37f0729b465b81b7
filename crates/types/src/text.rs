//! Text as other formats want it.

/// Bytes as lower-case hexadecimal digits, as [`crate::Hex`] shows them.
pub fn hex(bytes: &[u8]) -> String {
    crate::Hex(bytes).to_string()
}

/// Text as HTML has it, also within quotes: it is no markup.
pub fn html_escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '&' => escaped.push_str("&amp;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_as_other_formats_want_it() {
        assert_eq!(hex(&[0, 0x0a, 0xff]), "000aff");
        assert_eq!(hex(&[]), "");
        let escaped = html_escape("<a href=\"b\">'강' & c</a>");
        assert_eq!(
            escaped,
            "&lt;a href=&quot;b&quot;&gt;&#39;강&#39; &amp; c&lt;/a&gt;"
        );
    }
}
