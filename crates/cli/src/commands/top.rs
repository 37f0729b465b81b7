//! `madang top`: who waits, who has how much beside its share, where it runs. Drawn anew each second on a terminal.

use super::server::{Table, cell, print, rows, serves};
use crate::args::TopArgs;
use crate::http_client::{Answer, ApiClient};
use crate::out;
use crate::up::signals::Signals;
use rustix::termios::tcgetwinsize;
use serde_json::Value;
use std::io::{self, Write as _};
use std::process::ExitCode;
use std::time::Duration;
use unicode_width::UnicodeWidthChar;

const PATH: &str = "/api/v1/pools";
/// Where it stands how batch jobs do.
const STATUS: &str = "/api/v1/status";
/// Time between two frames.
const FRAME_MS: u64 = 1_000;
/// The size of a terminal that does not tell its own.
const COLUMNS: usize = 80;
const ROWS: usize = 24;

/// Exit code 0 where the server answered. On a terminal it goes on until a signal, or until the server is gone.
pub async fn run(args: TopArgs) -> anyhow::Result<ExitCode> {
    let TopArgs { once, server } = args;
    let client = ApiClient::new(&server)?;
    if once || server.json || !out::is_terminal() {
        let (answer, status) = look(&client).await?;
        return print(&answer, server.json, |pools| {
            let color = out::result_color();
            let lines = frame(rows(pools), &status["jobs"]).into_iter();
            lines.map(|line| line.shown(None, color) + "\n").collect()
        });
    }
    let mut signals = Signals::new()?;
    // The first answer comes before the screen: a refusal is said where it can be read.
    let (mut answer, mut status) = look(&client).await?;
    let _screen = Screen::open()?;
    loop {
        draw(&frame(rows(&answer.json()?), &status["jobs"]))?;
        tokio::select! {
            () = tokio::time::sleep(Duration::from_millis(FRAME_MS)) => {}
            _ = signals.next() => return Ok(ExitCode::SUCCESS),
        }
        (answer, status) = look(&client).await?;
    }
}

/// Pools, and what stands beside them of all there is.
async fn look(client: &ApiClient) -> anyhow::Result<(Answer, Value)> {
    let pools = client.get(PATH).await?;
    Ok((pools, client.get(STATUS).await?.json()?))
}

/// The terminal's other screen, without a cursor. Dropped, it gives back what was there.
struct Screen;

impl Screen {
    fn open() -> io::Result<Self> {
        write("\x1b[?1049h\x1b[?25l").map(|()| Self)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        if write("\x1b[?25h\x1b[?1049l").is_err() {
            tracing::debug!("the terminal is gone");
        }
    }
}

fn write(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

/// Draws over the last frame, line by line, so that nothing flickers.
fn draw(lines: &[Line]) -> io::Result<()> {
    let size = tcgetwinsize(io::stdout()).ok();
    let size = size.filter(|size| size.ws_col > 0 && size.ws_row > 0);
    let (columns, height) = size.map_or((COLUMNS, ROWS), |size| {
        (usize::from(size.ws_col), usize::from(size.ws_row))
    });
    let mut text = String::from("\x1b[H");
    for (at, line) in cut(lines, height).iter().enumerate() {
        text.push_str(if at == 0 { "" } else { "\r\n" });
        text.push_str(&line.shown(Some(columns), out::result_color()));
        text.push_str("\x1b[K");
    }
    text.push_str("\x1b[J");
    write(&text)
}

/// As many lines as the terminal has; the last one says how many there would be.
fn cut(lines: &[Line], height: usize) -> Vec<Line> {
    if lines.len() <= height {
        return lines.to_vec();
    }
    let shown = height.saturating_sub(1);
    let mut kept = lines[..shown].to_vec();
    kept.push(Line::new(
        Style::Quiet,
        format!("… {} more lines: madang top --once", lines.len() - shown),
    ));
    kept
}

/// How a line looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Style {
    Plain,
    /// The names of columns.
    Head,
    /// Less important.
    Quiet,
    /// To be watched.
    Odd,
    /// Wrong.
    Bad,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Line {
    style: Style,
    text: String,
}

impl Line {
    fn new(style: Style, text: String) -> Self {
        Self { style, text }
    }

    fn shown(&self, columns: Option<usize>, color: bool) -> String {
        let text = columns.map_or(self.text.as_str(), |columns| within(&self.text, columns));
        let code = match self.style {
            Style::Plain => "",
            Style::Head => "1",
            Style::Quiet => "2",
            Style::Odd => "33",
            Style::Bad => "31",
        };
        if code.is_empty() || !color {
            return text.to_owned();
        }
        format!("\x1b[{code}m{text}\x1b[0m")
    }
}

/// The beginning of a text that fits into so many columns.
fn within(text: &str, columns: usize) -> &str {
    let mut used = 0;
    for (at, c) in text.char_indices() {
        used += c.width().unwrap_or(0);
        if used > columns {
            return &text[..at];
        }
    }
    text
}

/// Everything that is shown.
fn frame(pools: &[Value], jobs: &Value) -> Vec<Line> {
    let mut lines = vec![summary(pools), jobs_line(jobs)];
    for part in [pool_lines(pools), member_lines(pools), tenant_lines(pools)] {
        lines.push(Line::new(Style::Plain, String::new()));
        lines.extend(part);
    }
    lines
}

fn list<'v>(pool: &'v Value, field: &str) -> impl Iterator<Item = &'v Value> {
    pool[field].as_array().into_iter().flatten()
}

fn sum<'v>(values: impl Iterator<Item = &'v Value>, field: &str) -> u64 {
    values.filter_map(|value| value[field].as_u64()).sum()
}

fn summary(pools: &[Value]) -> Line {
    let members = || pools.iter().flat_map(|pool| list(pool, "members"));
    let serving = members().filter(|member| serves(member) == "yes").count();
    let text = format!(
        "{} waiting, {} running; {serving} of {} replicas serve",
        sum(pools.iter(), "waiting"),
        sum(members(), "running"),
        members().count(),
    );
    Line::new(Style::Head, text)
}

/// Batch jobs in a line.
fn jobs_line(jobs: &Value) -> Line {
    if jobs.is_null() {
        let text = "jobs: another gateway drives them";
        return Line::new(Style::Quiet, text.into());
    }
    let text = format!(
        "jobs: {} tasks waiting, {} starting, {} running, {} stopping",
        cell(jobs, "waiting"),
        cell(jobs, "starting"),
        cell(jobs, "running"),
        cell(jobs, "stopping"),
    );
    Line::new(Style::Plain, text)
}

/// A table's lines, each row in its own style.
fn styled(table: &Table, styles: &[Style]) -> Vec<Line> {
    let styles = std::iter::once(&Style::Head).chain(styles);
    let lines = table.lines().into_iter().zip(styles);
    lines.map(|(text, style)| Line::new(*style, text)).collect()
}

fn pool_lines(pools: &[Value]) -> Vec<Line> {
    let names = [
        "model", "waiting", "jain", "reserve", "attempts", "retries", "denied", "hedges", "refused",
    ];
    let mut table = Table::new(&names, &[1, 2, 3, 4, 5, 6, 7, 8]);
    let mut styles = Vec::new();
    for pool in pools {
        let attempts = &pool["attempts"];
        table.row(vec![
            cell(pool, "model"),
            cell(pool, "waiting"),
            number(&pool["jain_ratio"], 2),
            percent(&pool["reserve_ratio"]),
            cell(attempts, "first"),
            cell(attempts, "retry"),
            cell(attempts, "retry_denied"),
            cell(attempts, "hedge"),
            sum(list(pool, "refusals"), "count").to_string(),
        ]);
        let served = list(pool, "members").any(|member| serves(member) == "yes");
        styles.push(match (served, pool["waiting"].as_u64()) {
            (false, _) => Style::Bad,
            (true, Some(0)) => Style::Plain,
            (true, _) => Style::Odd,
        });
    }
    styled(&table, &styles)
}

fn member_lines(pools: &[Value]) -> Vec<Line> {
    let names = [
        "replica", "site", "model", "serves", "running", "limit", "slots", "kv", "prefill", "tpot",
        "cached", "error",
    ];
    let mut table = Table::new(&names, &[4, 5, 6, 7, 8, 9, 10, 11]);
    let mut styles = Vec::new();
    for pool in pools {
        for member in list(pool, "members") {
            let kv = match (
                member["kv_tokens_used"].as_f64(),
                member["kv_tokens"].as_f64(),
            ) {
                (Some(used), Some(all)) if all > 0.0 => percent(&Value::from(used / all)),
                _ => tokens(&member["kv_tokens_used"]),
            };
            table.row(vec![
                cell(member, "replica"),
                cell(member, "site"),
                cell(pool, "model"),
                serves(member).into(),
                cell(member, "running"),
                cell(member, "slots_limit"),
                cell(member, "slots"),
                kv,
                millis(&member["prefill_us"], 0),
                millis(&member["tpot_us"], 1),
                tokens(&member["cached_tokens"]),
                percent(&member["ttft_error_ratio"]),
            ]);
            styles.push(match serves(member) {
                "yes" => Style::Plain,
                "no" => Style::Bad,
                _ => Style::Odd,
            });
        }
    }
    styled(&table, &styles)
}

/// Whoever had most comes first, as in other programs of this name.
fn tenant_lines(pools: &[Value]) -> Vec<Line> {
    let names = [
        "tenant",
        "programme",
        "model",
        "waiting",
        "running",
        "kv",
        "service",
        "share",
        "credit",
        "promise",
        "over",
        "used",
    ];
    let mut table = Table::new(&names, &[3, 4, 5, 6, 7, 8, 9, 11]);
    let mut styles = Vec::new();
    for pool in pools {
        let mut tenants: Vec<&Value> = list(pool, "tenants").collect();
        let part = |tenant: &Value| tenant["service_ratio"].as_f64().unwrap_or(0.0);
        tenants.sort_by(|one, other| part(other).total_cmp(&part(one)));
        for tenant in tenants {
            let over = tenant["over_share"] == true;
            table.row(vec![
                cell(tenant, "tenant"),
                cell(tenant, "programme"),
                cell(pool, "model"),
                cell(tenant, "waiting"),
                cell(tenant, "running"),
                tokens(&tenant["kv_tokens"]),
                percent(&tenant["service_ratio"]),
                percent(&tenant["share_ratio"]),
                percent(&tenant["share_with_credit_ratio"]),
                percent(&tenant["promise_ratio"]),
                (if over { "over" } else { "" }).into(),
                seconds(&tenant["service_us"]),
            ]);
            styles.push(if over { Style::Odd } else { Style::Plain });
        }
    }
    if styles.is_empty() {
        let text = "no tenant waits, runs, or was served in the last minute";
        return vec![Line::new(Style::Quiet, text.into())];
    }
    styled(&table, &styles)
}

/// A number with so many digits behind the point; `-` where there is none.
fn number(value: &Value, digits: usize) -> String {
    let shown = value.as_f64().map(|value| format!("{value:.digits$}"));
    shown.unwrap_or_else(|| "-".into())
}

fn percent(ratio: &Value) -> String {
    let shown = ratio.as_f64().map(|ratio| format!("{:.0}%", ratio * 100.0));
    shown.unwrap_or_else(|| "-".into())
}

fn millis(us: &Value, digits: usize) -> String {
    let shown = us.as_f64().map(|us| format!("{:.digits$} ms", us / 1e3));
    shown.unwrap_or_else(|| "-".into())
}

fn seconds(us: &Value) -> String {
    let shown = us.as_f64().map(|us| format!("{:.1} s", us / 1e6));
    shown.unwrap_or_else(|| "-".into())
}

/// Thousands from ten thousand on, millions from ten million on.
fn tokens(count: &Value) -> String {
    match count.as_u64() {
        None => "-".into(),
        Some(count @ 0..10_000) => count.to_string(),
        Some(count @ 10_000..10_000_000) => format!("{}k", count / 1_000),
        Some(count) => format!("{}M", count / 1_000_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pools() -> Value {
        json!([{
            "model": "exaone-4.0-32b", "waiting": 12, "jain_ratio": 0.974, "reserve_ratio": 0.25,
            "attempts": {"first": 1200, "retry": 3, "retry_denied": 1, "hedge": 5, "preempted": 0},
            "refusals": [{"reason": "shed", "count": 2}, {"reason": "queue_full", "count": 1}],
            "tenants": [
                {"tenant": "hanbit", "programme": "trial-2026", "waiting": 2, "running": 20, "kv_tokens": 90000,
                 "service_ratio": 0.31, "share_ratio": 0.5, "share_with_credit_ratio": 0.875, "promise_ratio": null, "over_share": false, "service_us": 310_000_000},
                {"tenant": "나라연구소", "programme": null, "waiting": 10, "running": 41, "kv_tokens": 8000,
                 "service_ratio": 0.69, "share_ratio": 0.5, "share_with_credit_ratio": 0.125, "promise_ratio": 1.38, "over_share": true, "service_us": 690_000_000},
            ],
            "members": [
                {"replica": "pohang-1", "site": "포항", "available": true, "leaving": false, "ejected": false,
                 "running": 61, "slots": 64, "slots_limit": 60, "kv_tokens_used": 135_000, "kv_tokens": 270_000,
                 "prefill_us": 250_400, "cached_tokens": 120_000, "tpot_us": 20_500, "ttft_error_ratio": 0.125},
                {"replica": "upstream", "site": "upstream", "available": false, "leaving": false, "ejected": true,
                 "running": 0, "slots": 8, "slots_limit": 8, "kv_tokens_used": 70, "kv_tokens": null,
                 "prefill_us": 0, "cached_tokens": 0, "tpot_us": 30_000, "ttft_error_ratio": null},
            ],
        }])
    }

    #[test]
    fn a_frame_is_aligned_whatever_the_letters() {
        let pools = pools();
        let jobs = json!({"waiting": 7, "starting": 1, "running": 40, "stopping": 2});
        let lines = frame(pools.as_array().unwrap(), &jobs);
        let text: Vec<&str> = lines.iter().map(|line| line.text.as_str()).collect();
        let expected = [
            "12 waiting, 61 running; 1 of 2 replicas serve",
            "jobs: 7 tasks waiting, 1 starting, 40 running, 2 stopping",
            "",
            "MODEL           WAITING  JAIN  RESERVE  ATTEMPTS  RETRIES  DENIED  HEDGES  REFUSED",
            "exaone-4.0-32b       12  0.97      25%      1200        3       1       5        3",
            "",
            "REPLICA   SITE      MODEL           SERVES   RUNNING  LIMIT  SLOTS   KV  PREFILL     TPOT  CACHED  ERROR",
            "pohang-1  포항      exaone-4.0-32b  yes           61     60     64  50%   250 ms  20.5 ms    120k    12%",
            "upstream  upstream  exaone-4.0-32b  resting        0      8      8   70     0 ms  30.0 ms       0      -",
            "",
            "TENANT      PROGRAMME   MODEL           WAITING  RUNNING    KV  SERVICE  SHARE  CREDIT  PROMISE  OVER     USED",
            "나라연구소  -           exaone-4.0-32b       10       41  8000      69%    50%     12%     138%  over  690.0 s",
            "hanbit      trial-2026  exaone-4.0-32b        2       20   90k      31%    50%     88%        -        310.0 s",
        ];
        assert_eq!(text, expected);
        let styles: Vec<Style> = lines.iter().map(|line| line.style).collect();
        assert_eq!(
            [styles[4], styles[7], styles[8]],
            [Style::Odd, Style::Plain, Style::Odd]
        );
        assert_eq!([styles[11], styles[12]], [Style::Odd, Style::Plain]);
    }

    #[test]
    fn nothing_there_is_said() {
        let lines = frame(&[], &Value::Null);
        assert_eq!(lines[1].text, "jobs: another gateway drives them");
        assert_eq!(lines[0].text, "0 waiting, 0 running; 0 of 0 replicas serve");
        assert_eq!(lines.last().unwrap().style, Style::Quiet);
        // An answer of another version leaves dashes.
        let other = [json!({"members": [{}], "tenants": [{}]})];
        assert!(frame(&other, &json!({})).len() > 9);
    }

    #[test]
    fn a_frame_fits_its_terminal() {
        let check = |text: &str, columns, shown: &str| assert_eq!(within(text, columns), shown);
        check("abc", 3, "abc");
        check("abc", 2, "ab");
        check("포항", 4, "포항");
        check("포항", 3, "포");
        check("포항", 0, "");
        let lines = vec![Line::new(Style::Plain, "x".into()); 5];
        assert_eq!(cut(&lines, 5), lines);
        let shorter = cut(&lines, 3);
        assert_eq!(shorter.len(), 3);
        assert!(shorter[2].text.starts_with("… 3 more"), "{shorter:?}");
        assert!(cut(&lines, 0).len() <= 1);
        let colored = Line::new(Style::Bad, "포항".into()).shown(Some(2), true);
        assert_eq!(colored, "\x1b[31m포\x1b[0m");
    }

    #[test]
    fn numbers_are_short() {
        let check = |count: u64, shown: &str| assert_eq!(tokens(&json!(count)), shown);
        check(9_999, "9999");
        check(10_000, "10k");
        check(9_999_999, "9999k");
        check(10_000_000, "10M");
        assert_eq!(percent(&Value::Null), "-");
        assert_eq!(percent(&json!(0.005)), "0%");
        assert_eq!(percent(&json!(1.0)), "100%");
    }
}
