//! Taking what a request cost, and giving back what was set aside beyond it.

use super::Budgets;
use super::reserve::{Part, measured};
use madang_ledger::{Purse, TokenRates};
use madang_types::{MicroWon, Micros, RequestId, TokenUse, Unit};

/// How far the mean cost of a request moves with each.
const EACH_PART: f64 = 0.05;

/// What is taken from one purse.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draw {
    /// Which.
    pub purse: Purse,
    /// In what it is counted.
    pub unit: Unit,
    /// How much; at least 1.
    pub amount: i64,
}

/// What a request cost.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settled {
    /// What is charged for it.
    pub cost: MicroWon,
    /// What each purse gives.
    pub draws: Vec<Draw>,
    /// What of the cost no purse gives, and the tenant owes.
    pub owed: MicroWon,
    /// What nobody is charged for: an engine made more than it was asked for, and the purse is hard.
    pub forgiven: MicroWon,
}

/// What a request cost whose gateway died: it takes what it was promised, whatever else that gateway held.
pub fn settle_orphan(parts: &[Part], used: (&TokenUse, &TokenRates)) -> Settled {
    settled(parts, used, |part, amount| amount.min(part.promised))
}

/// What each purse gives of a request's cost, and who bears the rest.
fn settled(
    parts: &[Part],
    (tokens, rates): (&TokenUse, &TokenRates),
    mut draw: impl FnMut(&Part, i64) -> i64,
) -> Settled {
    let cost = rates.cost(tokens).0;
    let all = [tokens.uncached, tokens.cached, tokens.output];
    let all = all
        .iter()
        .fold(0_u64, |sum, tokens| sum.saturating_add(tokens.0));
    let all = i64::try_from(all).unwrap_or(i64::MAX);
    // What a hard purse has not set aside is not charged: to nobody.
    let in_won = |part: &&Part| part.unit == Unit::MicroWon;
    let hard = parts.iter().filter(in_won).filter(|part| part.hard);
    let charged = hard.map(|part| part.promised).fold(cost, i64::min);
    let mut settled = Settled {
        cost: MicroWon(charged),
        forgiven: MicroWon(cost - charged),
        owed: MicroWon(charged),
        ..Settled::default()
    };
    for part in parts {
        let used = if part.unit == Unit::MicroWon {
            charged
        } else {
            all
        };
        let given = draw(part, used);
        if matches!(part.purse, Purse::Allocation(_)) {
            // Who was granted tokens owes no won.
            settled.owed.0 -= if part.unit == Unit::MicroWon {
                given
            } else {
                charged
            };
        }
        if given > 0 {
            settled.draws.push(Draw {
                purse: part.purse.clone(),
                unit: part.unit,
                amount: given,
            });
        }
    }
    settled
}

impl Budgets {
    /// Whether a request has used more output tokens than were set aside for it: its answer must end.
    pub fn is_over(&self, request: RequestId, output_tokens: u64) -> bool {
        self.requests
            .get(&request)
            .is_some_and(|reservation| output_tokens > reservation.output_tokens_max)
    }

    /// A request has ended and used so much, at these rates. What was set aside for it is free again.
    pub fn settle(
        &mut self,
        now: Micros,
        request: RequestId,
        used: (&TokenUse, &TokenRates),
    ) -> Settled {
        let now = self.present(now);
        let parts = self
            .requests
            .remove(&request)
            .map(|reservation| reservation.parts);
        settled(&parts.unwrap_or_default(), used, |part, amount| {
            self.draw(now, part, amount)
        })
    }

    /// A request ended before it cost anything.
    pub fn void(&mut self, request: RequestId) {
        let Some(reservation) = self.requests.remove(&request) else {
            return;
        };
        for part in &reservation.parts {
            self.release(part);
        }
    }

    /// Takes what was used, and no more than may be taken; says how much that is.
    fn draw(&mut self, now: Micros, part: &Part, used: i64) -> i64 {
        self.release(part);
        let Some(held) = self.purses.get_mut(&part.purse) else {
            return 0;
        };
        held.each.add(measured(used), EACH_PART);
        // Of a purse that is not hard a request may take more than it was promised, but not what others were.
        let may = if part.hard { part.promised } else { i64::MAX };
        let given = used.min(may).min(held.unpromised()).max(0);
        held.spent += given;
        held.pace.add(now.0, measured(given));
        given
    }

    fn release(&mut self, part: &Part) {
        if let Some(held) = self.purses.get_mut(&part.purse) {
            held.exposure -= part.max;
            held.promised -= part.promised;
        }
    }
}
