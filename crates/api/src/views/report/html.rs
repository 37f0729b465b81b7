//! The report as a page that needs nothing beside it: charts are drawn in it, it has no script, and it prints.

use super::About;
use super::chart::{Bar, meter, stacked};
use super::text::{add, amount, brief, escape, grouped, local, offset_text, permille};
use super::words::Words;
use crate::params::Language;
use madang_ledger::report::{Compared, Concentration, Delivered, Line, Reconciliation, Report};
use madang_store::day::{day_number, day_text};
use madang_types::{Micros, Unit};
use std::collections::BTreeMap;

/// Rows of a breakdown; the others are one more.
const ROWS_MAX: usize = 40;
const STYLE: &str = include_str!("report.css");
/// Nothing is loaded, and nothing runs.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'";

/// The page.
pub(crate) fn html(about: &About, report: &Report, language: Language) -> String {
    let words = Words::of(language);
    let mut page = Page {
        text: String::new(),
        words,
    };
    page.head(about, report);
    page.tiles(report);
    page.units(&report.lines);
    page.days(about, report);
    let total = &report.total;
    let known = |id: Option<&str>| id.unwrap_or(words.unknown).to_owned();
    page.groups(words.by_tenant, total, &report.by_tenant, |tenant| {
        tenant.to_string()
    });
    page.groups(words.by_model, total, &report.by_model, |model| {
        known(model.as_ref().map(|id| id.as_str()))
    });
    page.groups(words.by_site, total, &report.by_site, |site| {
        known(site.as_ref().map(|id| id.as_str()))
    });
    page.concentration(report);
    page.books(&report.reconciliation);
    let end = format_args!(
        "<footer>{}</footer>\n</main>\n</body>\n</html>\n",
        words.notes
    );
    page.add(end);
    page.text
}

struct Page {
    text: String,
    words: &'static Words,
}

impl Page {
    fn add(&mut self, what: std::fmt::Arguments<'_>) {
        add(&mut self.text, what);
    }

    fn head(&mut self, about: &About, report: &Report) {
        let Words {
            lang,
            report: title,
            read_at,
            ..
        } = *self.words;
        let About {
            programme,
            month,
            offset_s,
            made_at,
            ..
        } = about;
        let programme = escape(programme.as_str());
        let days = days(about);
        let (first, last) = (day_text(*days.start()), day_text(*days.end()));
        let so_far = if about.is_complete() {
            String::new()
        } else {
            format!(" · {}", self.words.so_far)
        };
        let (class, verdict) = if report.reconciliation.agrees() {
            ("good", self.words.agree)
        } else {
            ("bad", self.words.differ)
        };
        let made_at = local(*made_at, *offset_s);
        let offset = offset_text(*offset_s);
        self.add(format_args!(
            "<!doctype html>\n<html lang=\"{lang}\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <meta http-equiv=\"content-security-policy\" content=\"{POLICY}\">\n\
             <title>{programme} {month}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n\
             <h1>{programme}</h1>\n\
             <p class=\"sub\">{title} {month} · {first} – {last} ({offset}){so_far} · {read_at} {made_at}</p>\n\
             <p class=\"badge {class}\">{verdict}</p>\n"
        ));
    }

    fn tiles(&mut self, report: &Report) {
        let words = self.words;
        let mut tiles = Vec::new();
        if let Some(line) = report.lines.first() {
            let in_unit = |value| brief(line.unit, value);
            tiles.push((words.promised, in_unit(line.promised)));
            tiles.push((words.delivered, in_unit(line.delivered)));
            tiles.push((words.unspent, in_unit(line.unspent)));
        }
        let sums = &report.total.sums;
        tiles.push((words.requests, grouped(sums.requests)));
        tiles.push((words.tokens, grouped(sums.tokens())));
        tiles.push((words.cost, brief(Unit::MicroWon, sums.cost.0)));
        self.add(format_args!("<dl class=\"tiles\">\n"));
        for (name, value) in tiles {
            self.add(format_args!(
                "<div class=\"tile\"><dt>{name}</dt><dd>{value}</dd></div>\n"
            ));
        }
        self.add(format_args!("</dl>\n"));
    }

    /// A column for each unit and class.
    fn units(&mut self, lines: &[Line]) {
        let words = self.words;
        self.title(words.units);
        if lines.is_empty() {
            return self.table(&[], Vec::new());
        }
        let row = |label: &str, cell: fn(&Line) -> String| {
            let cells = lines.iter().map(|line| number(cell(line)));
            std::iter::once(name(label)).chain(cells).collect()
        };
        let rows = vec![
            row(words.budget, |line| {
                let budget = line.budget.map(|budget| brief(line.unit, budget));
                budget.unwrap_or_else(|| "–".into())
            }),
            row(words.granted, |line| brief(line.unit, line.granted)),
            row(words.promised, |line| brief(line.unit, line.promised)),
            row(words.delivered, |line| brief(line.unit, line.delivered)),
            row(words.of_promise, |line| {
                share(line.delivered.into(), line.promised.into())
            }),
            row(words.unspent, |line| brief(line.unit, line.unspent)),
            row(words.owed, |line| brief(line.unit, line.owed)),
        ];
        let units: Vec<String> = lines.iter().map(|line| words.counted(line)).collect();
        let units = units.iter().map(String::as_str);
        let names: Vec<&str> = std::iter::once("").chain(units).collect();
        self.table(&names, rows);
    }

    fn days(&mut self, about: &About, report: &Report) {
        let words = self.words;
        self.title(words.by_day);
        let classes = [words.uncached, words.cached, words.output];
        let bar = |day: i64, shown: String, parts: Vec<u64>| Bar {
            title: format!("{}: {shown}", day_text(day)),
            parts,
        };
        let of = |day: i64| report.by_day.get(&day).copied().unwrap_or_default().sums;
        let tokens: Vec<Bar> = days(about)
            .map(|day| {
                let sums = of(day);
                let parts = [sums.uncached_tokens, sums.cached_tokens, sums.output_tokens];
                let shown = classes.iter().zip(parts);
                let shown = shown.map(|(class, part)| format!("{class} {}", grouped(part)));
                bar(day, shown.collect::<Vec<_>>().join(", "), parts.into())
            })
            .collect();
        let legend = (0..).zip(classes).map(|(colour, class): (u8, &str)| {
            format!("<span class=\"key c{colour}\"></span>{class}")
        });
        let legend: String = legend.collect();
        self.add(format_args!("<p class=\"legend\">{legend}</p>\n"));
        self.text.push_str(&stacked(words.tokens, &tokens, grouped));
        if report.total.sums.cost.0 <= 0 {
            return;
        }
        let won: Vec<Bar> = days(about)
            .map(|day| {
                let cost = of(day).cost.0;
                let part = u64::try_from(cost).unwrap_or(0);
                bar(day, amount(Unit::MicroWon, cost), vec![part])
            })
            .collect();
        self.add(format_args!("<p class=\"legend\">{}</p>\n", words.cost));
        let greatest = |most| amount(Unit::MicroWon, i64::try_from(most).unwrap_or(i64::MAX));
        self.text.push_str(&stacked(words.cost, &won, greatest));
    }

    /// The greatest first: by cost where anything cost anything, else by tokens.
    fn groups<K>(
        &mut self,
        title: &str,
        total: &Delivered,
        groups: &BTreeMap<K, Delivered>,
        key: impl Fn(&K) -> String,
    ) {
        let words = self.words;
        self.title(title);
        let weight = |delivered: &Delivered| -> i128 {
            if total.sums.cost.0 > 0 {
                delivered.sums.cost.0.into()
            } else {
                delivered.sums.tokens().into()
            }
        };
        let mut rows: Vec<(String, Delivered)> = groups
            .iter()
            .map(|(id, delivered)| (key(id), *delivered))
            .collect();
        // Stable: of equals the first by name.
        rows.sort_by_key(|(_, delivered)| -weight(delivered));
        let others = rows.split_off(rows.len().min(ROWS_MAX));
        if !others.is_empty() {
            let sum = others.iter().map(|(_, delivered)| *delivered);
            let sum = sum.fold(Delivered::default(), Delivered::plus);
            rows.push((format!("{} ({})", words.others, others.len()), sum));
        }
        let names = [
            words.name,
            words.requests,
            words.uncached,
            words.cached,
            words.output,
            words.cost,
            words.share,
        ];
        let rows = rows.iter().map(|(id, delivered)| {
            let sums = &delivered.sums;
            vec![
                name(id),
                number(grouped(sums.requests)),
                number(grouped(sums.uncached_tokens)),
                number(grouped(sums.cached_tokens)),
                number(grouped(sums.output_tokens)),
                number(amount(Unit::MicroWon, sums.cost.0)),
                format!("<td>{}</td>", share(weight(delivered), weight(total))),
            ]
        });
        self.table(&names, rows.collect());
    }

    fn concentration(&mut self, report: &Report) {
        let words = self.words;
        self.title(words.concentration);
        let mut rows = Vec::new();
        let mut row = |of: String, among: &Option<Concentration>, cap: Option<u32>| {
            let Some(among) = among else {
                return;
            };
            let cap = cap.filter(|cap| *cap < 1000);
            let cap = cap.map(|cap| format!(" ({} {})", words.cap, permille(cap)));
            let largest = permille(among.largest_permille);
            rows.push(vec![
                name(&of),
                number(among.tenants.to_string()),
                name(among.largest.as_str()),
                number(largest + &cap.unwrap_or_default()),
                number(permille(among.largest_three_permille)),
                number(grouped(among.herfindahl.into())),
            ]);
        };
        for line in &report.lines {
            let unit = words.counted(line);
            let cap = line.concentration_permille_max;
            let of = format!("{} · {unit}", words.promised);
            row(of, &line.promised_among, cap);
            let of = format!("{} · {unit}", words.delivered);
            row(of, &line.delivered_among, None);
        }
        row(words.tokens.to_owned(), &report.tokens_among, None);
        let names = [
            words.spread_of,
            words.tenants,
            words.largest,
            words.share,
            words.largest_three,
            words.herfindahl,
        ];
        self.table(&names, rows);
    }

    fn books(&mut self, books: &Reconciliation) {
        let words = self.words;
        self.title(words.books);
        let sides = |compared: &Compared| {
            let in_unit = |value| number(amount(compared.unit, value));
            let difference = compared.ledger.saturating_sub(compared.records);
            vec![
                name(words.unit_of(compared.unit)),
                in_unit(compared.records),
                in_unit(compared.ledger),
                in_unit(difference),
            ]
        };
        let names = [words.unit, words.records, words.ledger, words.difference];
        self.table(&names, books.totals.iter().map(sides).collect());
        if books.missing_requests > 0 {
            let missing = grouped(books.missing_requests);
            self.add(format_args!(
                "<p class=\"bad\">{missing}{}</p>\n",
                words.missing
            ));
        }
        if books.unmetered_requests > 0 {
            let (requests, tokens) = (books.unmetered_requests, books.unmetered_tokens);
            let (requests, tokens) = (grouped(requests), grouped(tokens));
            let told = words.unmetered;
            self.add(format_args!("<p>{requests}{told} {tokens}</p>\n"));
        }
        if books.differences.is_empty() {
            return;
        }
        let rows = books.differences.iter().map(|difference| {
            let site = difference.site.as_ref().map(|id| id.as_str());
            let mut row = vec![
                name(difference.tenant.as_str()),
                name(site.unwrap_or(words.unknown)),
            ];
            row.extend(sides(&difference.sums));
            row
        });
        let rows = rows.collect();
        let names: Vec<&str> = [words.tenant, words.site]
            .into_iter()
            .chain(names)
            .collect();
        self.table(&names, rows);
        let more = books.differences_count - books.differences.len();
        if more > 0 {
            self.add(format_args!("<p class=\"bad\">{more}{}</p>\n", words.more));
        }
    }

    fn title(&mut self, title: &str) {
        self.add(format_args!("<h2>{title}</h2>\n"));
    }

    /// Rows of cells that are HTML already; names of columns of numbers stand to the right.
    fn table(&mut self, names: &[&str], rows: Vec<Vec<String>>) {
        let Some(first) = rows.first() else {
            let none = self.words.none;
            return self.add(format_args!("<p class=\"none\">{none}</p>\n"));
        };
        self.add(format_args!("<div class=\"wide\"><table>\n<tr>"));
        for (name, cell) in names.iter().zip(first) {
            let right = cell.starts_with("<td class=\"n\"");
            let class = if right { " class=\"n\"" } else { "" };
            self.add(format_args!("<th{class}>{name}</th>"));
        }
        self.add(format_args!("</tr>\n"));
        for row in rows {
            self.add(format_args!("<tr>{}</tr>\n", row.concat()));
        }
        self.add(format_args!("</table></div>\n"));
    }
}

fn name(text: &str) -> String {
    format!("<td class=\"name\">{}</td>", escape(text))
}

fn number(text: String) -> String {
    format!("<td class=\"n\">{text}</td>")
}

/// A part of a whole as a bar and in percent.
fn share(part: i128, whole: i128) -> String {
    if whole <= 0 {
        return "–".into();
    }
    let share = u32::try_from((part * 1000 / whole).max(0)).unwrap_or(u32::MAX);
    format!("{}{}", meter(share), permille(share))
}

/// The month's days.
fn days(about: &About) -> std::ops::RangeInclusive<i64> {
    let (from, until) = about.span;
    let last = Micros(until.0 - 1);
    day_number(from, about.offset_s)..=day_number(last, about.offset_s)
}
