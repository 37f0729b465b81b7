//! Bars as SVG, drawn in the page: no script, no font, no other file.

use super::text::add;

const WIDTH: u64 = 720;
const HEIGHT: u64 = 190;
/// Room for the greatest value above, and for days below.
const TOP: u64 = 18;
const BOTTOM: u64 = 20;
/// Of the width of a day, in hundredths, a bar.
const BAR_PERCENT: u64 = 72;

/// One day: the text that is shown when it is pointed at, and its parts from below.
pub(super) struct Bar {
    /// The whole text.
    pub title: String,
    /// Heights; the nth is painted in the nth colour.
    pub parts: Vec<u64>,
}

/// Stacked bars, one for each day of a month from its first on. `greatest` is how the greatest sum is written; every text is escaped by
/// whoever made it.
pub(super) fn stacked(label: &str, bars: &[Bar], greatest: impl Fn(u64) -> String) -> String {
    let sum = |bar: &Bar| {
        bar.parts
            .iter()
            .fold(0_u64, |sum, part| sum.saturating_add(*part))
    };
    let most = bars.iter().map(sum).max().unwrap_or(0);
    let mut svg = format!(
        "<div class=\"wide\"><svg class=\"chart\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{label}\">\n\
         <line x1=\"0\" y1=\"{TOP}\" x2=\"{WIDTH}\" y2=\"{TOP}\"/><line x1=\"0\" y1=\"{base}\" x2=\"{WIDTH}\" y2=\"{base}\"/>\n\
         <text x=\"0\" y=\"12\">{most}</text>\n",
        base = HEIGHT - BOTTOM,
        most = greatest(most),
    );
    let step = 100 * WIDTH / u64::try_from(bars.len()).unwrap_or(1).max(1);
    for (place, bar) in (0_u64..).zip(bars) {
        let left = place * step + step * (100 - BAR_PERCENT) / 200;
        add(&mut svg, format_args!("<g><title>{}</title>", bar.title));
        let mut top = 100 * (HEIGHT - BOTTOM);
        for (colour, part) in bar.parts.iter().enumerate() {
            let height = scaled(*part, most);
            top = top.saturating_sub(height);
            if height > 0 {
                let (x, y, w, h) = (px(left), px(top), px(step * BAR_PERCENT / 100), px(height));
                add(
                    &mut svg,
                    format_args!(
                        "<rect class=\"c{colour}\" x=\"{x}\" y=\"{y}\" width=\"{w}\" height=\"{h}\"/>"
                    ),
                );
            }
        }
        let middle = px(place * step + step / 2);
        let day = place + 1;
        if day == 1 || day.is_multiple_of(5) {
            let y = HEIGHT - 5;
            add(
                &mut svg,
                format_args!("<text class=\"day\" x=\"{middle}\" y=\"{y}\">{day}</text>"),
            );
        }
        svg.push_str("</g>\n");
    }
    svg.push_str("</svg></div>\n");
    svg
}

/// A height in hundredths of a pixel.
fn scaled(part: u64, most: u64) -> u64 {
    let room = u128::from(100 * (HEIGHT - TOP - BOTTOM));
    let height = u128::from(part) * room / u128::from(most.max(1));
    u64::try_from(height).unwrap_or(0)
}

/// Hundredths of a pixel as pixels.
fn px(hundredths: u64) -> String {
    format!("{}.{:02}", hundredths / 100, hundredths % 100)
}

/// A bar of so many thousandths, held at all of it.
pub(super) fn meter(permille: u32) -> String {
    let width = permille.min(1000);
    let over = if permille > 1000 { " over" } else { "" };
    format!(
        "<span class=\"meter\"><span class=\"fill{over}\" style=\"width:{}.{}%\"></span></span>",
        width / 10,
        width % 10
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_greatest_bar_fills_the_room_and_the_others_their_part() {
        let bar = |parts: &[u64]| Bar {
            title: "t".into(),
            parts: parts.to_vec(),
        };
        let svg = stacked("l", &[bar(&[3, 1]), bar(&[2, 0]), bar(&[])], |n| {
            n.to_string()
        });
        let heights: Vec<&str> = svg
            .split("height=\"")
            .skip(1)
            .map(|rest| rest.split('"').next().unwrap())
            .collect();
        assert_eq!(heights, ["114.00", "38.00", "76.00"], "{svg}");
        assert!(svg.contains(">4</text>"));
        assert!(!stacked("l", &[], |n| n.to_string()).contains("rect"));
        let most = stacked("l", &[bar(&[u64::MAX, u64::MAX])], |n| n.to_string());
        assert!(most.contains("152.00"), "{most}");
    }

    #[test]
    fn a_meter_ends_at_all_of_it() {
        assert!(meter(255).contains("width:25.5%"));
        assert!(meter(4000).contains("fill over\" style=\"width:100.0%"));
    }
}
