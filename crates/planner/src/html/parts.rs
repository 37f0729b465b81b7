//! The page's parts, in their order.

use super::chart::{Bar, stacked, tornado};
use super::tiles::{costs, sizes};
use super::{Cell, Page, grouped, html_escape, number, text};
use crate::energy::HourPower;

const MWON: f64 = 1e6;

impl Page<'_> {
    pub(super) fn tiles(&mut self) {
        self.text.push_str("<dl class=\"tiles\">\n");
        for (name, value, keys) in sizes(&self.report.totals)
            .into_iter()
            .chain(costs(&self.report.totals))
        {
            let (name, links) = (self.say(name), self.links(keys));
            self.add(format_args!(
                "<div class=\"tile\"><dt>{name}</dt><dd>{value}{links}</dd></div>\n"
            ));
        }
        self.text.push_str("</dl>\n");
        let keys = [
            "site.*.power_cap_kw",
            "chip.*.id",
            "slo.tpot_ms",
            "slo.ttft_ms",
        ];
        self.title("What binds", &keys);
        let binding = &self.report.binding;
        let resource = self.say(&binding.resource);
        self.add(format_args!(
            "<p><strong>{}</strong>: {}</p>\n",
            resource,
            html_escape(self.language.of(&binding.why))
        ));
    }

    pub(super) fn engines(&mut self) {
        self.title(
            "Engines",
            &[
                "model.*.id",
                "model.*.share",
                "chip.*.id",
                "slo.tpot_ms",
                "slo.ttft_ms",
            ],
        );
        let rows = self.report.fleet.iter().map(|line| {
            vec![
                text(&line.model),
                text(&line.chip),
                text(&line.division),
                number(line.engines as f64, 0),
                number(line.accelerators as f64, 0),
                number(f64::from(line.sequences), 0),
                number(line.output_tokens_per_s, 0),
                number(line.ttft_ms, 0),
                number(line.tpot_ms, 1),
                number(line.band, 2),
                text(self.say(line.bound.word())),
            ]
        });
        let rows = rows.collect();
        let names = [
            "model",
            "chip",
            "division",
            "engines",
            "accelerators",
            "batch",
            "output tokens/s each",
            "first token, ms",
            "each token, ms",
            "band",
            "bound by",
        ];
        self.table(&names, rows);
    }

    pub(super) fn confirmed(&mut self) {
        self.title(
            "Confirmed by the twin",
            &["plan.utilisation", "plan.good_part", "demand.length_cv"],
        );
        if self.report.confirmed.is_empty() {
            let none = self.say("not run");
            return self.add(format_args!("<p>{none}</p>\n"));
        }
        let rows = self.report.confirmed.iter().map(|ran| {
            vec![
                text(&ran.model),
                text(&ran.chip),
                text(&ran.division),
                number(f64::from(ran.engines), 0),
                number(ran.planned_per_s, 2),
                number(ran.simulated_per_s, 2),
                number(ran.ratio, 2),
                Cell::Number(format!("{:.1} %", ran.good_part * 100.0)),
            ]
        });
        let rows = rows.collect();
        self.table(
            &[
                "model",
                "chip",
                "division",
                "engines",
                "planned, requests/s",
                "simulated, requests/s",
                "ratio",
                "kept the SLO",
            ],
            rows,
        );
    }

    pub(super) fn sites(&mut self) {
        self.title(
            "Sites",
            &[
                "site.*.power_cap_kw",
                "site.*.pue",
                "site.*.carbon_g_per_kwh",
            ],
        );
        let rows = self.report.sites.iter().map(|site| {
            vec![
                text(&site.id),
                number(site.accelerators as f64, 0),
                Cell::Number(format!("{} TB", grouped(site.hbm_bytes / 1e12, 1))),
                Cell::Number(format!("{} TB", grouped(site.dram_bytes / 1e12, 1))),
                Cell::Number(format!("{} kW", grouped(site.peak_kw, 0))),
                Cell::Number(format!("{} kW", grouped(site.cap_kw, 0))),
                number((site.energy.grid_kwh + site.energy.renewables_kwh) / 1e6, 2),
                Cell::Number(format!("{:.1} %", site.renewable_part * 100.0)),
                number(site.energy.gco2 / 1e6, 0),
            ]
        });
        let rows = rows.collect();
        self.table(
            &[
                "site",
                "accelerators",
                "memory of accelerators (HBM)",
                "host memory for conversations (DRAM)",
                "peak power",
                "cap",
                "energy, GWh a year",
                "renewable share",
                "tCO2 a year",
            ],
            rows,
        );
        for site in &self.report.sites {
            for note in &site.notes {
                self.add(format_args!(
                    "<p class=\"sub\">{}: {}</p>\n",
                    html_escape(&site.id),
                    html_escape(self.language.of(note))
                ));
            }
        }
    }

    pub(super) fn power(&mut self) {
        self.title(
            "Power by hour",
            &[
                "demand.hours",
                "power.idle_part",
                "site.*.renewables",
                "site.*.tariff",
            ],
        );
        let (own, grid) = (self.say("own renewables"), self.say("grid"));
        self.add(format_args!("<p class=\"legend\"><span class=\"key c0\"></span>{grid}<span class=\"key c1\"></span>{own}</p>\n"));
        for site in self
            .report
            .sites
            .iter()
            .filter(|site| site.accelerators > 0)
        {
            for (season, hours) in [("summer", &site.summer), ("winter", &site.winter)] {
                let season = self.say(season);
                let label = format!("{}, {season}", html_escape(&site.id));
                let bars: Vec<Bar> = hours.iter().map(|hour| self.bar(hour)).collect();
                self.add(format_args!("<h3>{label}</h3>\n"));
                self.text.push_str(&stacked(&label, &bars, |most| {
                    format!("{} kW", grouped(most, 0))
                }));
            }
        }
    }

    pub(super) fn cost(&mut self) {
        self.title(
            "Cost of a year",
            &[
                "chip.*.price_won",
                "money.*",
                "site.*.tariff",
                "site.*.demand_charge_won_per_kw_month",
            ],
        );
        let totals = &self.report.totals;
        let cost = &totals.cost;
        let row = |name: &'static str, won: f64| vec![text(self.say(name)), number(won / MWON, 0)];
        let rows = vec![
            row("servers", cost.servers_won),
            row("buildings", cost.facility_won),
            row("staff and repair", cost.opex_won),
            row("electricity", cost.energy_won),
            row("sum", cost.total()),
        ];
        self.table(&["", "million won"], rows);
        if let Some(won) = totals.rent_won_per_m_tokens {
            let (say, links) = (
                self.say("renting the same, won for a million tokens"),
                self.links(&["chip.*.rent_won_per_hour"]),
            );
            self.add(format_args!("<p>{say}: {}{links}</p>\n", grouped(won, 1)));
        }
    }

    pub(super) fn what_if(&mut self) {
        self.title("One more of", &[]);
        let rows = self.report.shadows.iter().map(|line| {
            let keys: Vec<&str> = line.inputs.iter().map(String::as_str).collect();
            vec![
                Cell::Text(format!(
                    "{}{}",
                    html_escape(self.language.of(&line.what)),
                    self.links(&keys)
                )),
                number(line.saved_won_per_year / MWON, 1),
                number(line.saved_accelerators as f64, 0),
                Cell::Number(format!("{:.2} %", line.more_served_part * 100.0)),
            ]
        });
        let rows = rows.collect();
        self.table(
            &[
                "",
                "saves, million won a year",
                "fewer accelerators",
                "more served",
            ],
            rows,
        );
        let title =
            "Sensitivity: won for a million tokens, each input a fifth less and a fifth more";
        self.title(title, &[]);
        let bars: Vec<(String, Option<f64>, Option<f64>)> = self
            .report
            .tornado
            .iter()
            .map(|line| (html_escape(self.say(line.what)), line.less, line.more))
            .collect();
        let (less, more) = (self.say("a fifth less"), self.say("a fifth more"));
        self.add(format_args!("<p class=\"legend\"><span class=\"key c1\"></span>{less}<span class=\"key c0\"></span>{more}</p>\n"));
        let drawn = tornado(self.say(title), self.report.totals.won_per_m_tokens, &bars);
        self.text.push_str(&drawn);
        let won = |won: Option<f64>| won.map_or_else(|| text("–"), |won| number(won, 1));
        let rows = self.report.tornado.iter().map(|line| {
            let keys: Vec<&str> = line.inputs.iter().map(String::as_str).collect();
            vec![
                Cell::Text(format!(
                    "{}{}",
                    html_escape(self.say(line.what)),
                    self.links(&keys)
                )),
                won(line.less),
                won(line.more),
            ]
        });
        let rows = rows.collect();
        self.table(&["input", "a fifth less", "a fifth more"], rows);
    }

    pub(super) fn years(&mut self) {
        self.title(
            "Years",
            &[
                "demand.growth_per_year",
                "chip.*.price_trend_per_year",
                "money.life_years",
                "plan.years",
            ],
        );
        let bars: Vec<Bar> = self
            .report
            .phases
            .iter()
            .map(|phase| Bar {
                name: phase.year.to_string(),
                title: format!("{}: {}", phase.year, grouped(phase.accelerators as f64, 0)),
                parts: vec![phase.accelerators as f64],
            })
            .collect();
        let label = self.say("accelerators");
        self.add(format_args!("<p class=\"legend\">{label}</p>\n"));
        self.text
            .push_str(&stacked(label, &bars, |most| grouped(most, 0)));
        let rows = self.report.phases.iter().map(|phase| {
            vec![
                text(&phase.year.to_string()),
                number(phase.peak_per_s, 1),
                Cell::Number(format!("{:.1} %", phase.served_part * 100.0)),
                number(phase.accelerators as f64, 0),
                number(phase.bought as f64, 0),
                Cell::Number(format!("{} kW", grouped(phase.peak_kw, 0))),
                number(phase.capex_won / MWON, 0),
                number(phase.running_won / MWON, 0),
                number(phase.won_per_m_tokens, 1),
                number(phase.gco2 / 1e6, 0),
            ]
        });
        let rows = rows.collect();
        self.table(
            &[
                "year",
                "requests a second at the peak",
                "served",
                "accelerators",
                "bought",
                "peak power",
                "investment, million won",
                "running, million won",
                "won for a million tokens",
                "tCO2 a year",
            ],
            rows,
        );
    }

    pub(super) fn effects(&mut self) {
        self.title("Effects on the economy", &["effects.*"]);
        let Some(effects) = &self.report.effects else {
            let none = self.say("The goal names no table of coefficients, and none ships.");
            return self.add(format_args!("<p>{none}</p>\n"));
        };
        let won = |won: Option<f64>| won.map_or_else(|| text("–"), |won| number(won / MWON, 0));
        let parts = [
            ("building, once", &effects.construction),
            ("running, each year", &effects.operation),
        ];
        let rows = parts.map(|(name, effect)| {
            vec![
                text(self.say(name)),
                number(effect.spent_won / MWON, 0),
                number(effect.domestic_won / MWON, 0),
                won(effect.production_won),
                won(effect.value_added_won),
                effect
                    .jobs
                    .map_or_else(|| text("–"), |jobs| number(jobs, 0)),
            ]
        });
        self.table(
            &[
                "million won",
                "spent",
                "of it at home",
                "production",
                "value added",
                "jobs",
            ],
            rows.into(),
        );
        let rows = effects.table.iter().map(|row| {
            let coefficient = Cell::Number(row.coefficient.to_string());
            vec![
                text(&row.sector),
                text(&row.kind),
                coefficient,
                text(&format!("{}, {}", row.source, row.year)),
            ]
        });
        let rows = rows.collect();
        self.table(&["key", "", "value", "where it is from"], rows);
    }

    pub(super) fn refused(&mut self) {
        self.title("Ways not taken", &["model.*.precisions", "chip.*.id"]);
        let rows = self.report.refused.iter().map(|each| {
            vec![
                text(&each.model),
                text(&each.chip),
                text(&each.division),
                text(self.say(each.reason)),
                text(self.language.of(&each.why)),
            ]
        });
        let rows = rows.collect();
        self.table(&["model", "chip", "division", "reason", "in words"], rows);
    }

    pub(super) fn notes_and_inputs(&mut self) {
        self.title("Notes", &[]);
        for note in &self.report.notes {
            let note = html_escape(self.language.of(note));
            self.add(format_args!("<p>{note}</p>\n"));
        }
        self.title("Inputs", &[]);
        let names = ["key", "value", "where it is from"].map(|name| self.say(name));
        let [key, value, source] = names;
        self.add(format_args!("<div class=\"wide\"><table>\n<tr><th></th><th>{key}</th><th>{value}</th><th>{source}</th></tr>\n"));
        for (at, input) in self.report.inputs.iter().enumerate() {
            let at = at + 1;
            let (key, value, source) = (
                html_escape(&input.key),
                html_escape(&input.value),
                html_escape(self.say(&input.source)),
            );
            self.add(format_args!("<tr id=\"i{at}\"><td class=\"n\">{at}</td><td>{key}</td><td>{value}</td><td>{source}</td></tr>\n"));
        }
        self.text.push_str("</table></div>\n");
    }

    fn bar(&self, hour: &HourPower) -> Bar {
        let (grid, own) = (self.say("grid"), self.say("own renewables"));
        Bar {
            name: hour.hour.to_string(),
            title: format!(
                "{}: {grid} {} kW, {own} {} kW, {} {}",
                self.language.hour(hour.hour),
                grouped(hour.grid_kw, 0),
                grouped(hour.renewables_kw, 0),
                hour.won_per_kwh,
                self.say("won/kWh")
            ),
            parts: vec![hour.grid_kw, hour.renewables_kw],
        }
    }
}
