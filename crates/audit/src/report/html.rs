//! The report as a page that needs nothing beside it, in Korean and English.

use super::{Figure, Report};
use crate::leaf::Location;
use madang_types::text::html_escape;
use std::fmt::Write;

const HEAD: &str = r#"<!doctype html>
<html lang="ko">
<head>
<meta charset="utf-8">
<meta http-equiv="content-security-policy" content="default-src 'none'; style-src 'unsafe-inline'">
<style>
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 72rem; padding: 0 1rem; color: #1a1a1a }
h1 { font-size: 1.4rem } h2 { font-size: 1.1rem; margin-top: 2rem } small { color: #555; font-weight: normal }
table { border-collapse: collapse; width: 100% } th, td { border-bottom: 1px solid #ccc; padding: .3rem .5rem; text-align: left; vertical-align: top }
td.n { text-align: right; font-variant-numeric: tabular-nums } code { word-break: break-all } .none { color: #555 }
</style>
"#;

/// The page.
pub fn html(report: &Report) -> String {
    let mut page = String::from(HEAD);
    let title = format!(
        "{} · {}",
        html_escape(report.tenant.as_str()),
        html_escape(&report.month)
    );
    head(&mut page, report, &title);
    sent(&mut page, report);
    denials(&mut page, report);
    transfers(&mut page, report);
    changes(&mut page, report);
    page.push_str("</body>\n</html>\n");
    page
}

fn head(page: &mut String, report: &Report, title: &str) {
    let log = &report.log;
    add(
        page,
        format_args!(
            "<title>{title}</title>\n</head>\n<body>\n<h1>감사 보고서 · Audit report: {title}</h1>\n"
        ),
    );
    let lines = [
        ("요청 · Requests", range(report.requests)),
        ("기록 범위 · Leaves of this report", range(report.leaves)),
        (
            "읽을 수 없는 기록 · Leaves of a newer format, not counted",
            range(report.unread),
        ),
        (
            "월 기준 시각 · Month begins at",
            format!("UTC{}", html_escape(&report.offset)),
        ),
        ("국내 · Home country", html_escape(&report.home)),
        ("로그 · Log", html_escape(&log.origin)),
        (
            "검증된 크기와 루트 · Verified size and root",
            format!("{} <code>{}</code>", log.size, html_escape(&log.root)),
        ),
    ];
    table(
        page,
        &[],
        lines
            .into_iter()
            .map(|(name, value)| vec![text(name), cell(&value)]),
    );
}

fn sent(page: &mut String, report: &Report) {
    title(page, "내 데이터가 간 곳", "Where my data went");
    let names = [
        "장소 · Place",
        "국가 · Country",
        "운영자 국가 · Operator's country",
        "영역 · Zone",
        "모델 · Model",
        "등급 · Class",
        "마스킹 · Masked",
        "시도 · Attempts",
        "바이트 · Bytes",
        "토큰(추정) · Tokens, estimated",
        "기록 · Leaves",
    ];
    let rows = report.sent.iter().map(|row| {
        let place = &row.location;
        vec![
            place_id(place),
            known(place.country.as_deref()),
            known(place.operator_country.as_deref()),
            known(place.zone.as_deref()),
            match &row.origin {
                Some(origin) => text(&format!("URL: {origin}")),
                None => known(row.model.as_ref().map(|model| model.as_str())),
            },
            text(row.class.as_str()),
            yes(row.masked),
            number(row.attempts.count),
            number(row.bytes),
            number(row.prompt_tokens),
            cell(&range(Some(row.attempts))),
        ]
    });
    table(page, &names, rows);
}

fn denials(page: &mut String, report: &Report) {
    title(page, "규칙별 거부", "Denials by rule");
    let names = [
        "규칙 · Rules",
        "미충족 조건 · Unmet",
        "등급 · Class",
        "횟수 · Count",
        "기록 · Leaves",
    ];
    let rows = report.denials.iter().map(|row| {
        vec![
            list(&row.rules),
            list(&row.unmet),
            text(row.class.as_str()),
            number(row.attempts.count),
            cell(&range(Some(row.attempts))),
        ]
    });
    table(page, &names, rows);
}

fn transfers(page: &mut String, report: &Report) {
    title(
        page,
        "국외 이전 (개인정보 보호법 제28조의8제2항)",
        "Transfers abroad (PIPA art. 28-8 para. 2)",
    );
    let names = [
        "1. 항목 · Items found",
        "마스킹 · Masked",
        "2. 국가 · Country",
        "2. 시기 · Time",
        "2. 방법 · Method",
        "3. 받는 자 · Recipient",
        "4. 목적 · Purpose",
        "4. 보유 기간 · Retention",
        "5. 거부 방법 · How to refuse",
        "근거 · Basis",
        "횟수 · Count",
        "기록 · Leaves",
    ];
    let rows = report.transfers.iter().map(|row| {
        let place = &row.location;
        let countries = [place.country.as_deref(), place.operator_country.as_deref()];
        vec![
            list(&row.items),
            yes(row.masked),
            text(
                &countries
                    .map(|country| country.unwrap_or(UNKNOWN))
                    .join(" / "),
            ),
            text(&format!("{} – {}", row.first_time, row.last_time)),
            text(row.method),
            place.recipient.as_deref().map_or_else(
                || cell(&format!("{} ({UNKNOWN})", html_escape(&place.id))),
                text,
            ),
            known(place.purpose.as_deref()),
            known(place.retention.as_deref()),
            known(place.refusal.as_deref()),
            list(&row.basis),
            number(row.attempts.count),
            cell(&range(Some(row.attempts))),
        ]
    });
    table(page, &names, rows);
}

fn changes(page: &mut String, report: &Report) {
    title(page, "정책 변경", "Policy changes");
    let names = [
        "시각 · Time",
        "이전 · Before",
        "이후 · After",
        "새로 허용 · Gained",
        "새로 거부 · Lost",
        "기록 · Leaf",
    ];
    let rows = report.policies.iter().map(|row| {
        let hash = |hash: &str| cell(&format!("<code>{}</code>", html_escape(hash)));
        let before = row.before.as_deref().map_or_else(|| text("–"), hash);
        vec![
            text(&row.time),
            before,
            hash(&row.after),
            number(row.gained),
            number(row.lost),
            number(row.index),
        ]
    });
    table(page, &names, rows);
    title(page, "정지 스위치", "Stop switches");
    let rows = report.stops.iter().map(|row| {
        let what = if row.set {
            "정지 · set"
        } else {
            "해제 · lifted"
        };
        vec![
            text(&row.time),
            text(&row.scope),
            text(what),
            number(row.index),
        ]
    });
    table(
        page,
        &[
            "시각 · Time",
            "대상 · Scope",
            "동작 · Action",
            "기록 · Leaf",
        ],
        rows,
    );
    title(page, "삭제된 키", "Keys destroyed");
    let rows = report
        .erasures
        .iter()
        .map(|row| vec![text(&row.time), text(&row.month), number(row.index)]);
    table(page, &["시각 · Time", "월 · Month", "기록 · Leaf"], rows);
}

const UNKNOWN: &str = "미상 · unknown";

fn add(page: &mut String, what: std::fmt::Arguments<'_>) {
    page.write_fmt(what)
        .expect("writing into a string does not fail");
}

fn title(page: &mut String, korean: &str, english: &str) {
    add(
        page,
        format_args!("<h2>{korean} <small>{english}</small></h2>\n"),
    );
}

/// Rows of cells that are HTML already.
fn table(page: &mut String, names: &[&str], rows: impl Iterator<Item = Vec<String>>) {
    let mut rows = rows.peekable();
    if rows.peek().is_none() {
        return page.push_str("<p class=\"none\">없음 · none</p>\n");
    }
    page.push_str("<table>\n");
    if !names.is_empty() {
        let names: String = names
            .iter()
            .map(|name| format!("<th>{name}</th>"))
            .collect();
        add(page, format_args!("<tr>{names}</tr>\n"));
    }
    for row in rows {
        add(page, format_args!("<tr>{}</tr>\n", row.concat()));
    }
    page.push_str("</table>\n");
}

fn cell(html: &str) -> String {
    format!("<td>{html}</td>")
}

fn text(text: &str) -> String {
    cell(&html_escape(text))
}

fn number(number: u64) -> String {
    format!("<td class=\"n\">{number}</td>")
}

fn known(value: Option<&str>) -> String {
    text(value.unwrap_or(UNKNOWN))
}

fn place_id(place: &Location) -> String {
    let own = if place.own {
        "자체 · own"
    } else {
        "외부 · others'"
    };
    text(&format!("{} ({own})", place.id))
}

fn yes(yes: bool) -> String {
    text(if yes { "예 · yes" } else { "아니오 · no" })
}

fn list(words: &[String]) -> String {
    match words {
        [] => text("–"),
        words => text(&words.join(", ")),
    }
}

/// The leaves of a figure.
fn range(figure: Option<Figure>) -> String {
    match figure {
        None => "–".into(),
        Some(Figure { count, first, last }) => format!("{first}–{last} ({count})"),
    }
}
