//! How fast the twin itself is: many requests over one engine or many, with the whole policy, nine tenants and prefix caches.

use super::crowd::{self, Sizes, TENANTS};
use super::noisy::ExperimentError;
use crate::engine::Profile;
use crate::random::Random;
use crate::world::{Ask, Clients, Ended, Fleet, World, WorldOptions};
use madang_core::{Payer, Rules};
use madang_types::{DataClass, Priority};
use std::sync::Arc;

/// Requests a second for each engine: about two thirds of what it can do.
const RATE: f64 = 7.0;
/// Beginnings that prompts share.
const FAMILIES: u64 = 500;
const BLOCK_TOKENS: u32 = 512;

/// Runs so many requests over so many engines; returns how many were answered.
///
/// # Errors
/// The built-in trace or a name is broken.
pub fn speed(
    profile: &Profile,
    replicas: usize,
    requests: u64,
    seed: u64,
) -> Result<u64, ExperimentError> {
    let count = u64::try_from(replicas).unwrap_or(1);
    let clients = Steady {
        random: Random::new(seed, 99),
        sizes: Sizes::azure()?,
        payers: crowd::payers()?,
        rate: RATE * crowd::ratio(count, 1),
        next_ns: 0,
        left: requests,
        requests,
        answered: 0,
    };
    let world = World::new(
        WorldOptions {
            fleet: Fleet::new(profile, replicas, Rules::default())?,
            round_trip_ns: 0,
            until_ns: u64::MAX / 2,
            window_ns: (0, 1),
        },
        clients,
    )?;
    let (clients, _) = world.run();
    Ok(clients.answered)
}

struct Steady {
    random: Random,
    sizes: Sizes,
    payers: Vec<Payer>,
    rate: f64,
    next_ns: u64,
    left: u64,
    requests: u64,
    answered: u64,
}

impl Clients for Steady {
    fn next(&mut self) -> Option<Ask> {
        self.left = self.left.checked_sub(1)?;
        self.next_ns += self.random.gap_ns(self.rate);
        let (prompt_tokens, output_tokens) = self.sizes.draw(&mut self.random);
        let tenant = usize::try_from(self.random.below(TENANTS)).unwrap_or(0);
        let family = self.random.below(FAMILIES);
        let own = self.random.bits() | (1 << 63);
        // The first half of a prompt is its family's, the rest its own.
        let blocks = prompt_tokens / u64::from(BLOCK_TOKENS);
        let block = |at: u64| {
            if at < blocks.div_ceil(2) {
                family * 1_000 + at
            } else {
                own.wrapping_add(at)
            }
        };
        let blocks: Arc<[u64]> = (0..blocks).map(block).collect();
        Some(Ask {
            at_ns: self.next_ns,
            label: 0,
            payer: self.payers.get(tenant)?.clone(),
            priority: Priority::Standard,
            data_class: DataClass::Open,
            prompt_tokens,
            output_tokens,
            output_tokens_max: output_tokens.max(2_048),
            blocks,
            block_tokens: BLOCK_TOKENS,
            wait_ms_max: 3_600_000,
            patience_ns: 0,
        })
    }

    fn ended(&mut self, _ended: &Ended) -> Option<Ask> {
        self.answered += 1;
        None
    }

    fn done(&self) -> bool {
        self.answered == self.requests
    }
}
