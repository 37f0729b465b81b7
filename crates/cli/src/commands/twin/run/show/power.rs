//! How sites were kept under their caps, and what came of events.

use crate::out;
use madang_twin::scenario::{DeedLine, EventLine, SitePower};

/// Deeds of each site that are shown.
const DEEDS_SHOWN: usize = 24;

pub fn show(sites: &[SitePower], events: &[EventLine]) {
    for event in events {
        self::event(event);
    }
    for site in sites {
        self::site(site);
    }
}

/// An event, line by line.
pub fn event(event: &EventLine) {
    let or = |value: Option<f64>, unit: &str, digits: usize| {
        value.map_or_else(
            || "-".to_owned(),
            |value| format!("{value:.digits$} {unit}"),
        )
    };
    out::line(&format!(
        "event {} at {}: told {}, {} to {}",
        event.id, event.site, event.told_at, event.begins_at, event.ends_at
    ));
    let lines = [
        ("drawn when it began", or(event.baseline_kw, "kW", 1)),
        ("left by it", or(event.cap_kw, "kW", 1)),
        (
            "met after",
            event
                .met_after_s
                .map_or_else(|| "never".to_owned(), |s| format!("{s:.0} s")),
        ),
        (
            "over it after that",
            format!("{} s", event.over_cap_ms / 1_000),
        ),
        ("drawn in it, mean", format!("{:.1} kW", event.mean_kw)),
        (
            "less than at the beginning",
            format!("{:.1} kWh", event.saved_kwh),
        ),
        (
            "first tokens before, p99",
            or(event.ttft_p99_ms_before, "ms", 0),
        ),
        (
            "first tokens in it, p99",
            or(event.ttft_p99_ms_during, "ms", 0),
        ),
        (
            "first tokens after it, p99",
            or(event.ttft_p99_ms_after, "ms", 0),
        ),
        ("in it by before", or(event.ttft_p99_ratio, "", 3)),
        (
            "requests answered, refused",
            format!("{}, {}", event.answered, event.refused),
        ),
        (
            "jobs stood still",
            format!("{:.1} accelerator-hours", event.stood_accelerator_h),
        ),
        (
            "all was back after",
            event
                .back_after_s
                .map_or_else(|| "-".to_owned(), |s| format!("{s:.0} s")),
        ),
    ];
    for (name, value) in lines {
        out::line(format!("  {name:30}{value}").trim_end());
    }
    out::line("");
}

fn site(site: &SitePower) {
    let cap = site
        .cap_kw
        .map_or_else(|| "no cap".to_owned(), |kw| format!("a cap of {kw:.0} kW"));
    out::line(&format!(
        "governor of {}: {cap}, at most {:.1} kW in a second, over_cap_ms {}, jobs stood still for {:.1} accelerator-hours",
        site.site, site.peak_kw, site.over_cap_ms, site.stood_accelerator_h
    ));
    let acts = site
        .acts
        .iter()
        .map(|(kind, count)| format!("{kind} {count}"));
    let acts: Vec<String> = acts.collect();
    if acts.is_empty() {
        out::line("  nothing was bent\n");
        return;
    }
    out::line(&format!("  acts: {}", acts.join(", ")));
    let shown = &site.deeds[..site.deeds.len().min(DEEDS_SHOWN)];
    for deed in shown {
        out::line(&self::deed(deed));
    }
    let more = u64::try_from(site.deeds.len() - shown.len()).unwrap_or(0) + site.deeds_left_out;
    if more > 0 {
        out::line(&format!("  and {more} more: --json has the first 256"));
    }
    out::line("");
}

fn deed(deed: &DeedLine) -> String {
    let watts = deed.watts.unwrap_or(0);
    let said = match deed.deed {
        "took" => format!(", about {watts} W"),
        "seen" => format!(", {watts} W less since"),
        "short" => format!("nothing is left that bends, {watts} W are missing"),
        "met" => "enough bends again".to_owned(),
        _ => String::new(),
    };
    let of = deed
        .cap_watts
        .map_or_else(String::new, |cap| format!(" of {cap}"));
    format!(
        "  {} {:<5} {}{said} (drawn {}{of} W)",
        deed.at,
        deed.deed,
        deed.act.as_deref().unwrap_or(""),
        deed.drawn_watts
    )
}
