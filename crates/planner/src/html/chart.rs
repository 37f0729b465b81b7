//! Charts as SVG, drawn in the page: no script, no font, no other file.

use std::fmt::Write;

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 180.0;
/// Room for the greatest value above, and for names below.
const TOP: f64 = 18.0;
const BOTTOM: f64 = 20.0;
/// Height of a row of the tornado.
const ROW: f64 = 24.0;
/// Room for names at its left.
const NAMES: f64 = 230.0;

/// One bar: its name below, what is shown where it is pointed at, its parts from below.
pub(super) struct Bar {
    pub name: String,
    pub title: String,
    pub parts: Vec<f64>,
}

fn add(svg: &mut String, what: std::fmt::Arguments<'_>) {
    // Writing to a string cannot fail.
    let _written = svg.write_fmt(what).is_ok();
}

/// Stacked bars. Texts are escaped by whoever made them.
pub(super) fn stacked(label: &str, bars: &[Bar], greatest: impl Fn(f64) -> String) -> String {
    let sums = bars.iter().map(|bar| bar.parts.iter().sum::<f64>());
    let most = sums.fold(0.0, f64::max);
    let (base, room) = (HEIGHT - BOTTOM, HEIGHT - TOP - BOTTOM);
    let mut svg = format!(
        "<div class=\"wide\"><svg class=\"chart\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{label}\">\n\
         <line x1=\"0\" y1=\"{TOP}\" x2=\"{WIDTH}\" y2=\"{TOP}\"/><line x1=\"0\" y1=\"{base}\" x2=\"{WIDTH}\" y2=\"{base}\"/>\n\
         <text x=\"0\" y=\"12\">{}</text>\n",
        greatest(most)
    );
    let step = WIDTH / bars.len().max(1) as f64;
    for (place, bar) in bars.iter().enumerate() {
        let left = place as f64 * step + step * 0.14;
        add(&mut svg, format_args!("<g><title>{}</title>", bar.title));
        let mut top = base;
        for (colour, part) in bar.parts.iter().enumerate() {
            let height = part / most.max(1e-9) * room;
            top -= height;
            if height > 0.0 {
                let width = step * 0.72;
                add(
                    &mut svg,
                    format_args!(
                        "<rect class=\"c{colour}\" x=\"{left:.2}\" y=\"{top:.2}\" width=\"{width:.2}\" height=\"{height:.2}\"/>"
                    ),
                );
            }
        }
        let (middle, y) = (place as f64 * step + step / 2.0, HEIGHT - 5.0);
        add(
            &mut svg,
            format_args!(
                "<text class=\"mid\" x=\"{middle:.2}\" y=\"{y}\">{}</text></g>\n",
                bar.name
            ),
        );
    }
    svg.push_str("</svg></div>\n");
    svg
}

/// A tornado: for each name what comes of less and of more, around a middle. Lines without one of the two have no bar.
pub(super) fn tornado(
    label: &str,
    middle: f64,
    rows: &[(String, Option<f64>, Option<f64>)],
) -> String {
    let all = rows
        .iter()
        .flat_map(|(_, less, more)| [*less, *more])
        .flatten();
    let (low, high) = all.fold((middle, middle), |(low, high), value| {
        (value.min(low), value.max(high))
    });
    let scale = (WIDTH - NAMES - 70.0) / (high - low).max(1e-9);
    let x = |value: f64| NAMES + (value - low) * scale;
    let height = ROW * rows.len() as f64 + 10.0;
    let mut svg = format!(
        "<div class=\"wide\"><svg class=\"chart\" viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-label=\"{label}\">\n"
    );
    for (place, (name, less, more)) in rows.iter().enumerate() {
        let top = place as f64 * ROW + 4.0;
        let text = top + 13.0;
        add(
            &mut svg,
            format_args!("<g><text x=\"0\" y=\"{text}\">{name}</text>"),
        );
        for (value, colour) in [(less, "c1"), (more, "c0")] {
            let Some(value) = value else { continue };
            let (left, right) = (x(value.min(middle)), x(value.max(middle)));
            add(
                &mut svg,
                format_args!(
                    "<rect class=\"{colour}\" x=\"{left:.2}\" y=\"{top}\" width=\"{:.2}\" height=\"16\"><title>{value:.1}</title></rect>",
                    right - left
                ),
            );
        }
        svg.push_str("</g>\n");
    }
    let line = x(middle);
    add(
        &mut svg,
        format_args!(
            "<line class=\"axis\" x1=\"{line:.2}\" y1=\"0\" x2=\"{line:.2}\" y2=\"{height}\"/></svg></div>\n"
        ),
    );
    svg
}
