//! Tables as CSV: RFC 4180 with a line of names.

use csv::{Terminator, WriterBuilder};

/// Cells of a row.
pub(crate) type Cells = Vec<String>;

/// The table.
pub(crate) fn csv(names: &[&str], rows: impl IntoIterator<Item = Cells>) -> String {
    let mut writer = WriterBuilder::new()
        .terminator(Terminator::CRLF)
        .from_writer(Vec::new());
    let told = "memory takes all, and rows are as long as their names";
    writer.write_record(names).expect(told);
    for row in rows {
        writer.write_record(row).expect(told);
    }
    let bytes = writer.into_inner().expect(told);
    String::from_utf8(bytes).expect("text and commas are text")
}

/// A text as a cell: one that a spreadsheet would take for a formula gets an apostrophe before it.
pub(crate) fn text_cell(text: &str) -> String {
    let is_formula = text.starts_with(['=', '+', '-', '@', '\t', '\r']) && text != "-";
    if is_formula {
        format!("'{text}")
    } else {
        text.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The field as it stands between two others.
    fn csv_field(text: &str) -> String {
        let table = csv(
            &["a", "b", "c"],
            [vec!["1".into(), text.into(), "2".into()]],
        );
        let row = table.strip_prefix("a,b,c\r\n1,").unwrap();
        row.strip_suffix(",2\r\n").unwrap().to_owned()
    }

    #[test]
    fn fields_that_need_quotes_get_them() {
        let check = |text: &str, field: &str| assert_eq!(csv_field(text), field);
        check("exaone-4.0-32b", "exaone-4.0-32b");
        check("a,b", "\"a,b\"");
        check("say \"x\"", "\"say \"\"x\"\"\"");
        check("two\nlines", "\"two\nlines\"");
        check("", "");
    }

    #[test]
    fn no_text_is_a_formula() {
        let check = |text: &str, cell: &str| assert_eq!(text_cell(text), cell);
        check("=1+1", "'=1+1");
        check("@SUM(A1)", "'@SUM(A1)");
        check("-2", "'-2");
        check("+82", "'+82");
        check("\tx", "'\tx");
        check("-", "-");
        check("a=b", "a=b");
        check("", "");
    }

    /// The field as a reader of RFC 4180 takes it.
    fn unquoted(field: &str) -> String {
        match field.strip_prefix('"').and_then(|f| f.strip_suffix('"')) {
            Some(inner) => inner.replace("\"\"", "\""),
            None => field.to_owned(),
        }
    }

    proptest! {
        #[test]
        fn a_field_reads_back_and_breaks_no_line(text in "[\"', \r\na-z=]{0,12}") {
            let field = csv_field(&text);
            prop_assert_eq!(unquoted(&field), text);
            let quoted = field.starts_with('"');
            prop_assert!(quoted || !field.contains([',', '\r', '\n', '"']));
        }
    }
}
