//! Requests under way in the twin, by their numbers.

use super::clients::Ask;
use crate::engine::Cached;

/// A request between its client and an engine.
#[derive(Debug)]
pub(super) struct Flight {
    pub ask: Ask,
    /// Attempts under way: number, engine, whether it has reached it.
    pub attempts: Vec<(u32, u32, bool)>,
    pub started: u32,
    pub started_ns: Option<u64>,
    /// The engine of its first token, or of its latest attempt.
    pub engine: Option<u32>,
    pub first_token_ns: Option<u64>,
    pub cached: Cached,
    pub transfer_ns: Option<u64>,
}

/// All of them. A number is a place and a generation, so that late events find nothing.
#[derive(Debug, Default)]
pub(super) struct Flights {
    places: Vec<(u32, Option<Flight>)>,
    free: Vec<u32>,
}

fn split(number: u64) -> (usize, u32) {
    let place = usize::try_from(number & 0xFFFF_FFFF).unwrap_or(usize::MAX);
    (place, u32::try_from(number >> 32).unwrap_or(u32::MAX))
}

/// The number of which [`split`] gives these.
fn joined(generation: u32, place: u64) -> u64 {
    (u64::from(generation) << 32) | place
}

impl Flights {
    pub fn insert(&mut self, flight: Flight) -> u64 {
        let place = self.free.pop().unwrap_or_else(|| {
            self.places.push((0, None));
            u32::try_from(self.places.len() - 1).unwrap_or(u32::MAX)
        });
        let index = usize::try_from(place).unwrap_or(usize::MAX);
        let slot = &mut self.places[index];
        slot.0 = slot.0.wrapping_add(1);
        slot.1 = Some(flight);
        joined(slot.0, u64::from(place))
    }

    pub fn get_mut(&mut self, number: u64) -> Option<&mut Flight> {
        let (place, generation) = split(number);
        let (current, flight) = self.places.get_mut(place)?;
        flight.as_mut().filter(|_| *current == generation)
    }

    pub fn remove(&mut self, number: u64) -> Option<Flight> {
        let (place, generation) = split(number);
        let (current, flight) = self.places.get_mut(place)?;
        if *current != generation {
            return None;
        }
        let flight = flight.take()?;
        self.free.push(u32::try_from(place).unwrap_or(u32::MAX));
        Some(flight)
    }

    /// Numbers of those whose first token has come.
    pub fn streaming(&self) -> Vec<u64> {
        (0_u64..)
            .zip(&self.places)
            .filter(|(_, (_, flight))| flight.as_ref().is_some_and(|f| f.first_token_ns.is_some()))
            .map(|(place, (generation, _))| joined(*generation, place))
            .collect()
    }

    /// Attempts that an engine holds: numbers of their requests, and their own.
    pub fn attempts_at(&self, engine: u32) -> Vec<(u64, u32)> {
        let mut held = Vec::new();
        for (place, (generation, flight)) in (0_u64..).zip(&self.places) {
            let attempts = flight.iter().flat_map(|flight| &flight.attempts);
            let number = joined(*generation, place);
            let here = attempts.filter(|(_, at, reached)| *at == engine && *reached);
            held.extend(here.map(|(attempt, ..)| (number, *attempt)));
        }
        held
    }

    pub fn len(&self) -> usize {
        self.places.len() - self.free.len()
    }
}
