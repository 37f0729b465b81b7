//! Who leans on whom: credit is spent only out of the shares of those who owe, and only while they ask for more than theirs.

use super::Reach;

/// A tenant that is active in a pool.
#[derive(Clone, Copy, Debug)]
pub struct Claimant {
    /// Its part by weight, of all active.
    pub part: f64,
    /// What its part may become by credit: [`super::Credits::reach`], or level where it asks for no more than its part.
    pub reach: Reach,
    /// What it asks for.
    pub asks: f64,
}

impl Claimant {
    fn gain(&self) -> f64 {
        let gain = self.part * (self.reach.factor - 1.0);
        let needs = (self.asks - self.part).max(0.0);
        if gain > needs { needs } else { gain }
    }
}

/// Each claimant's part with credit counted; `None` where nothing moves. Their sum is that of the parts; whoever has neither
/// credit nor debt keeps its own. What does not suffice for all goes to those first whose programmes have credit too.
pub fn leans(claimants: &[Claimant]) -> Option<Vec<f64>> {
    let (mut firsts, mut others, mut gives) = (0.0, 0.0, 0.0);
    for claimant in claimants {
        let gain = claimant.gain();
        if gain > 0.0 {
            firsts += gain * claimant.reach.first;
            others += gain * (1.0 - claimant.reach.first);
        } else {
            gives -= gain;
        }
    }
    if firsts + others <= 0.0 || gives <= 0.0 {
        return None;
    }
    let to_firsts = f64::min(firsts, gives);
    let to_others = f64::min(others, gives - to_firsts);
    let of = |moved: f64, all: f64| if all > 0.0 { moved / all } else { 0.0 };
    let given = (to_firsts + to_others) / gives;
    let (to_firsts, to_others) = (of(to_firsts, firsts), of(to_others, others));
    let lean = |claimant: &Claimant| {
        let (gain, first) = (claimant.gain(), claimant.reach.first);
        let moved = if gain > 0.0 {
            first * to_firsts + (1.0 - first) * to_others
        } else {
            given
        };
        claimant.part + gain * moved
    };
    Some(claimants.iter().map(lean).collect())
}
