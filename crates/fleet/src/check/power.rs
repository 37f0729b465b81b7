//! What the file says of power: meters that can be read and measure what is there, and watts in their order.

use super::{Check, rows};
use crate::at::At;
use crate::model::{Fleet, Meter, MeterKind, ReplicaPower};
use crate::raw::RawReplica;
use crate::shape::brief;
use madang_types::SiteId;
use std::collections::BTreeMap;
use std::ops::Range;

impl<'c> Check<'c, '_> {
    pub(super) fn meters(&mut self) -> Vec<Meter> {
        let raw = self.raw;
        for row in rows(&raw.replica) {
            if let Some(At { value, span }) = &row.value.power {
                let ReplicaPower {
                    idle_watts,
                    full_watts,
                    ..
                } = *value;
                self.watts((idle_watts, full_watts), span);
            }
        }
        for row in rows(&raw.nodes) {
            if let Some(At { value, span }) = &row.value.power {
                self.watts((value.idle_watts, value.full_watts), span);
            }
        }
        let mut ids = BTreeMap::new();
        for At { value, span } in rows(&raw.meter) {
            if let Some(first) = ids.insert(value.id.as_str(), span) {
                let message = format!("the meter \"{}\" is there twice", brief(&value.id));
                let entry = self.report.error("id_duplicate", span, message);
                entry
                    .help("give one of the two another id")
                    .related(first, "first here");
            }
            self.meter(value, span);
        }
        let meters = rows(&raw.meter).map(|row| Meter {
            key_file: row
                .value
                .key_file
                .as_ref()
                .map(|path| self.base_dir.join(path)),
            ..row.value.clone()
        });
        meters.collect()
    }

    /// A cap below what the file says is drawn where all does nothing: it can be kept by switching things off alone.
    pub(super) fn caps_of_sites(&mut self, fleet: &Fleet) {
        for row in rows(&self.raw.site) {
            let Some(cap) = &row.value.power_cap_kw else {
                continue;
            };
            let is_here = |site: &SiteId| {
                let id = row.value.id.as_ref();
                id.is_some_and(|id| id.value == site.as_str())
            };
            let engines = fleet.replicas.values();
            let engines = engines.filter(|replica| is_here(&replica.site));
            let engines = engines.filter_map(|replica| Some(replica.power.as_ref()?.idle_watts));
            let machines = fleet.nodes.values();
            let machines = machines.filter(|nodes| is_here(&nodes.site) && nodes.jobs.is_some());
            let machines = machines.filter_map(|nodes| {
                let all = u64::from(nodes.count) * u64::from(nodes.per_node);
                Some(nodes.power?.idle_watts * all)
            });
            let pue = row.value.pue.as_ref().map_or(1.0, |pue| pue.value);
            let idle_kw = engines.chain(machines).sum::<u64>() as f64 * pue / 1e3;
            if idle_kw > cap.value {
                let message = format!(
                    "what stands there draws {idle_kw:.1} kW where it does nothing: the cap can be kept by switching machines off alone"
                );
                self.report
                    .warning("limits_conflict", &cap.span, message)
                    .help("raise `power_cap_kw`, or take out what is switched off");
            }
        }
    }

    fn watts(&mut self, (idle, full): (u64, u64), span: &Range<usize>) {
        if idle > full {
            let message = format!("it draws {idle} W where it does nothing, and {full} W at most");
            let entry = self.report.error("number_range", span, message);
            entry.help("`full_watts` is not less than `idle_watts`");
        }
    }

    fn meter(&mut self, meter: &Meter, span: &Range<usize>) {
        self.is_known(("site", &meter.site), span);
        let site_of = |of: Option<&'c At<String>>| of.map(|at| at.value.as_str());
        let raw = self.raw;
        let there = match (&meter.replica, &meter.nodes) {
            (Some(_), Some(_)) => {
                let message = "a meter measures an engine or machines, not both";
                let entry = self.report.error("choose_one", span, message);
                entry.help("keep `replica` or `nodes`");
                return;
            }
            (Some(replica), None) => {
                self.is_known(("replica", replica), span);
                let is_it = |row: &&'c At<RawReplica>| {
                    let id = row.value.id.as_ref();
                    id.is_some_and(|id| id.value == *replica)
                };
                let row = rows(&raw.replica).find(is_it);
                row.and_then(|row| site_of(row.value.site.as_ref()))
            }
            (None, Some(nodes)) => {
                self.is_known(("nodes", nodes), span);
                let row = self.nodes_rows.get(nodes.as_str());
                row.and_then(|row| site_of(row.site.as_ref()))
            }
            (None, None) => None,
        };
        if there.is_some_and(|there| there != meter.site) {
            let message = format!(
                "what the meter measures is not at \"{}\"",
                brief(&meter.site)
            );
            let entry = self.report.error("site_mismatch", span, message);
            entry.help("name the site of what it measures");
        }
        self.read_at(meter, span);
    }

    fn read_at(&mut self, meter: &Meter, span: &Range<usize>) {
        let url = meter.url.as_deref();
        let is_web = |url: &str| url.starts_with("http://") || url.starts_with("https://");
        let is_wrong =
            |url: &str| !is_web(url) || url.contains(char::is_whitespace) || url.contains('@');
        if url.is_some_and(is_wrong) {
            // Not quoted: what stands before an `@` may be a password.
            let message =
                "a meter's `url` begins with http:// or https://, and holds no blank and no user";
            let entry = self.report.error("url_invalid", span, message);
            entry.help("put a user and a password into a `key_file`");
        }
        let is_nvml = meter.kind == MeterKind::Nvml;
        if !is_nvml && url.is_none() {
            let message = "the meter says nowhere where it is read";
            let entry = self.report.error("missing_key", span, message);
            entry.help("add `url`: the page of metrics, or the resource of the Redfish service");
        }
        let idle = [
            ("url", is_nvml && url.is_some()),
            ("key_file", is_nvml && meter.key_file.is_some()),
            (
                "metric",
                meter.kind != MeterKind::Prometheus && meter.metric.is_some(),
            ),
            ("accelerators", !is_nvml && !meter.accelerators.is_empty()),
        ];
        for (key, _) in idle.into_iter().filter(|(_, is_idle)| *is_idle) {
            let message = format!("`{key}` says nothing of a meter of this kind");
            let entry = self.report.error("key_without_effect", span, message);
            entry.help("take it out, or name the `kind` that it is for");
        }
    }

    fn is_known(&mut self, (table, id): (&str, &str), span: &Range<usize>) {
        let known = self.index.table(table);
        if known.contains_key(id) {
            return;
        }
        let message = format!(
            "the meter names no {table} that is there: \"{}\"",
            brief(id)
        );
        let help = format!("there are: {}", super::some_of(known.keys()));
        self.report
            .error("reference_unknown", span, message)
            .help(help);
    }
}
