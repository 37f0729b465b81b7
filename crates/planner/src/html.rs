//! The report as a page that needs nothing beside it: charts are drawn in it, it has no script, and it prints.

mod chart;
mod parts;
mod tiles;
mod words;

pub use words::Language;

use crate::inputs::is_one_of;
use crate::report::Report;
use madang_types::text::html_escape;
use std::fmt::Write;

const STYLE: &str = include_str!("html/page.css");
/// Nothing is loaded, and nothing runs.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'";
/// Inputs that one figure leads to.
const LINKS_MAX: usize = 8;

/// The page.
pub fn html(report: &Report, language: Language) -> String {
    let mut page = Page {
        text: String::new(),
        report,
        language,
    };
    page.head();
    page.tiles();
    page.engines();
    page.confirmed();
    page.sites();
    page.power();
    page.cost();
    page.what_if();
    page.years();
    page.effects();
    page.refused();
    page.notes_and_inputs();
    page.text.push_str("</main>\n</body>\n</html>\n");
    page.text
}

struct Page<'r> {
    text: String,
    report: &'r Report,
    language: Language,
}

/// A cell: text at the left, numbers at the right.
enum Cell {
    Text(String),
    Number(String),
}

fn text(text: &str) -> Cell {
    Cell::Text(html_escape(text))
}

fn number(value: f64, digits: usize) -> Cell {
    Cell::Number(grouped(value, digits))
}

/// A number with commas between thousands.
fn grouped(value: f64, digits: usize) -> String {
    let plain = format!("{:.digits$}", value.abs());
    let (whole, rest) = plain.split_at(plain.find('.').unwrap_or(plain.len()));
    let mut out = String::new();
    if value < 0.0 && plain.chars().any(|c| c.is_ascii_digit() && c != '0') {
        out.push('-');
    }
    for (at, digit) in whole.chars().enumerate() {
        if at > 0 && (whole.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out.push_str(rest);
    out
}

impl Page<'_> {
    fn add(&mut self, what: std::fmt::Arguments<'_>) {
        // Writing to a string cannot fail.
        let _written = self.text.write_fmt(what).is_ok();
    }

    fn say<'w>(&self, english: &'w str) -> &'w str {
        self.language.say(english)
    }

    fn title(&mut self, english: &'static str, patterns: &[&str]) {
        let (title, links) = (self.say(english), self.links(patterns));
        self.add(format_args!("<h2>{title}{links}</h2>\n"));
    }

    /// Small numbers that lead to the inputs of these keys; `*` stands for any row.
    fn links(&self, patterns: &[&str]) -> String {
        let inputs = self.report.inputs.iter().enumerate();
        let found = inputs.filter(|(_, input)| is_one_of(&input.key, patterns));
        let links: Vec<String> = found
            .take(LINKS_MAX)
            .map(|(at, input)| {
                format!(
                    "<a href=\"#i{}\" title=\"{}\">{}</a>",
                    at + 1,
                    html_escape(&input.key),
                    at + 1
                )
            })
            .collect();
        if links.is_empty() {
            String::new()
        } else {
            format!("<sup> {}</sup>", links.join(" "))
        }
    }

    fn head(&mut self) {
        let report = self.report;
        let (about, year, lang) = (
            html_escape(self.language.of(&report.about)),
            report.year,
            self.language.code(),
        );
        let (plan, links) = (
            self.say("Plan"),
            self.say("Small numbers lead to the inputs that a figure rests on."),
        );
        self.add(format_args!(
            "<!doctype html>\n<html lang=\"{lang}\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <meta http-equiv=\"content-security-policy\" content=\"{POLICY}\">\n\
             <title>{about}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n\
             <h1>{about}</h1>\n<p class=\"sub\">{plan} {year} · {links}</p>\n"
        ));
    }

    fn table(&mut self, names: &[&'static str], rows: Vec<Vec<Cell>>) {
        self.text.push_str("<div class=\"wide\"><table>\n<tr>");
        for (place, name) in names.iter().enumerate() {
            let name = self.say(name);
            // A name stands over its numbers.
            let number = matches!(
                rows.first().and_then(|row| row.get(place)),
                Some(Cell::Number(_))
            );
            let class = if number { " class=\"n\"" } else { "" };
            self.add(format_args!("<th{class}>{name}</th>"));
        }
        self.text.push_str("</tr>\n");
        for row in rows {
            self.text.push_str("<tr>");
            for cell in row {
                match cell {
                    Cell::Text(text) => self.add(format_args!("<td>{text}</td>")),
                    Cell::Number(text) => self.add(format_args!("<td class=\"n\">{text}</td>")),
                }
            }
            self.text.push_str("</tr>\n");
        }
        self.text.push_str("</table></div>\n");
    }
}
