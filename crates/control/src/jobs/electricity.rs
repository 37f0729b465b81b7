//! What the fleet file says of electricity, in the core's words: the hours to come at each site, and what accelerators draw.

use super::JobsPlane;
use crate::power::{of_accelerator, pue_milli};
use madang_core::desk::DeskElectricity;
use madang_core::flex::{AHEAD_US_MAX, EnergyHour, EnergyOutlook, EnergyTerms, HOUR_US};
use madang_core::power::model::at_meter;
use madang_fleet::Fleet;
use madang_fleet::energy::{ElectricHour, SiteElectricity};
use madang_types::{MicroWon, Micros, SiteId};

/// A site's own power counts in so many steps of its greatest: what is drawn moves all the time, and jobs are not weighed anew for a
/// trifle.
const OWN_STEPS: f64 = 20.0;

impl JobsPlane {
    /// Tells what electricity costs from now on.
    pub(super) fn follow_electricity(&self, now: Micros) {
        let snapshot = self.gateway.snapshot();
        let electricity = self.electricity(&snapshot.fleet, now);
        if let Some(desk) = self.lock().as_mut() {
            desk.electricity(electricity);
        }
    }

    fn electricity(&self, fleet: &Fleet, now: Micros) -> DeskElectricity {
        let known = |site: &SiteElectricity| site.tariff.is_some();
        let sites = fleet
            .sites
            .iter()
            .filter(|(_, site)| known(&site.electricity));
        let outlook = |(id, site): (&SiteId, &madang_fleet::Site)| {
            // What is drawn where nobody looked yet is not known: nothing counts as left of the site's own power.
            let drawn_watts = self.governors.expected_watts(id).unwrap_or(u64::MAX);
            (id.clone(), outlook(&site.electricity, drawn_watts, now))
        };
        let watts = fleet.nodes.iter().filter_map(|(id, nodes)| {
            let one = of_accelerator(nodes)?;
            let watts = at_meter(one.full_watts, pue_milli(fleet, &nodes.site));
            Some((id.clone(), watts))
        });
        DeskElectricity {
            terms: EnergyTerms {
                per_kg_co2: MicroWon::of_won(u64::from(fleet.power.won_per_kg_co2)),
            },
            watts_each: watts.collect(),
            sites: sites.map(outlook).collect(),
        }
    }
}

/// The hours to come, as many as anything that is put off may touch.
fn outlook(site: &SiteElectricity, drawn_watts: u64, now: Micros) -> EnergyOutlook {
    let count = usize::try_from(2 * AHEAD_US_MAX / HOUR_US).unwrap_or(0);
    let (from, hours) = site.hours(now, count);
    let greatest = hours.iter().map(|hour| hour.own_watts).fold(0.0, f64::max);
    let step = (greatest / OWN_STEPS).max(1.0);
    let hour = |hour: &ElectricHour| {
        let spare = (hour.own_watts - drawn_watts as f64).max(0.0);
        EnergyHour {
            grid_per_kwh: MicroWon((hour.won_per_kwh * 1e6).round() as i64),
            co2_mg_per_kwh: (hour.carbon_g_per_kwh * 1e3).round() as u64,
            own_spare_watts: ((spare / step).floor() * step) as u64,
        }
    };
    EnergyOutlook::new(from, hours.iter().map(hour).collect())
}
