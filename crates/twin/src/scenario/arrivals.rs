//! Who asks in one shard: each demand's part of it, in the order of time.

use super::model::{Demand, DrawnSource, Lengths, Source, TraceSource};
use super::{Files, RunError, Scenario};
use crate::random::Random;
use crate::trace::Requests;
use crate::world::Ask;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Tokens of a block whose hash stands for it and all before it.
const BLOCK_TOKENS: u32 = 512;
/// Copies of a trace's request come within that time after it, in nanoseconds.
const COPIES_NS: f64 = 10e9;
/// Blocks of one prompt, as the gateway looks at.
const BLOCKS_MAX: u16 = 1_024;
/// Tokens of a log-normal draw: its tail goes on for ever, prompts do not.
const DRAWN_TOKENS_MAX: f64 = 1_000_000.0;

/// A part of the requests: those for which a number in [0, 1) that is theirs lies between these.
#[derive(Clone, Copy, Debug)]
pub(super) struct Part {
    pub from: f64,
    pub to: f64,
}

impl Part {
    fn size(self) -> f64 {
        self.to - self.from
    }
}

/// One request before it is an [`Ask`].
struct Drawn {
    at_ns: u64,
    input: u64,
    output: u64,
    blocks: Arc<[u64]>,
}

/// All demands for one model at one gateway.
pub(super) struct Arrivals<'s> {
    scenario: &'s Scenario,
    streams: Vec<Stream<'s>>,
    end_ns: u64,
}

struct Stream<'s> {
    index: usize,
    demand: &'s Demand,
    random: Random,
    source: Drawing<'s>,
    next: Option<Drawn>,
}

enum Drawing<'s> {
    Trace(Box<Replay<'s>>),
    Drawn(Poisson<'s>),
}

impl<'s> Arrivals<'s> {
    /// The requests of that part for that model, from the streams of numbers of that purpose.
    pub fn new(
        (scenario, files): (&'s Scenario, &'s Files),
        model: usize,
        (part, purpose): (Part, u64),
    ) -> Result<Self, RunError> {
        let end_ns = u64::from(scenario.hours) * 3_600_000_000_000;
        let mut streams = Vec::new();
        for (index, demand) in scenario.demands.iter().enumerate() {
            if demand.model != model {
                continue;
            }
            let number = u64::try_from(index).unwrap_or(0);
            let random = Random::new(scenario.seed, purpose << 20 | number);
            let source = match &demand.source {
                Source::Trace(trace) => {
                    let lot = Random::new(scenario.seed, 1 << 62 | number);
                    Drawing::Trace(Box::new(Replay::new((trace, files), part, lot)?))
                }
                Source::Drawn(drawn) => Drawing::Drawn(Poisson::new(drawn, part.size(), end_ns)),
            };
            let mut stream = Stream {
                index,
                demand,
                next: None,
                random,
                source,
            };
            stream.advance(end_ns)?;
            streams.push(stream);
        }
        Ok(Self {
            scenario,
            streams,
            end_ns,
        })
    }

    /// The next one.
    pub fn next(&mut self) -> Result<Option<Ask>, RunError> {
        let streams = self.streams.iter_mut();
        let waiting = streams.filter_map(|stream| Some((stream.next.as_ref()?.at_ns, stream)));
        let Some((_, stream)) = waiting.min_by_key(|(at_ns, stream)| (*at_ns, stream.index)) else {
            return Ok(None);
        };
        let Some(drawn) = stream.next.take() else {
            return Ok(None);
        };
        let lot = stream.random.unit();
        let tenants = &stream.demand.tenants;
        let at = tenants
            .partition_point(|(_, up_to)| *up_to <= lot)
            .min(tenants.len() - 1);
        let tenant = tenants[at].0;
        let label = label(stream.index, tenant);
        let demand = stream.demand;
        let ask = Ask {
            at_ns: drawn.at_ns,
            label,
            payer: self.scenario.tenants[tenant].payer.clone(),
            priority: demand.priority,
            data_class: demand.data_class,
            prompt_tokens: drawn.input,
            output_tokens: drawn.output,
            output_tokens_max: drawn.output.max(2_048),
            blocks: drawn.blocks,
            block_tokens: BLOCK_TOKENS,
            wait_ms_max: demand.wait_ms_max,
            patience_ns: demand.patience_ns,
        };
        stream.advance(self.end_ns)?;
        Ok(Some(ask))
    }
}

/// Bits of a tenant's place, and of a demand's, in a label: more than there may be of either. The rest numbers requests.
const TENANT_BITS: u32 = 20;
const DEMAND_BITS: u32 = 14;

fn low(bits: u32) -> u64 {
    (1 << bits) - 1
}

fn label(demand: usize, tenant: usize) -> u64 {
    let place = |at: usize, bits| u64::try_from(at).unwrap_or(0) & low(bits);
    place(demand, DEMAND_BITS) << TENANT_BITS | place(tenant, TENANT_BITS)
}

/// The label of a shard's request of that number.
pub(super) fn numbered(label: u64, number: u64) -> u64 {
    label | number << (TENANT_BITS + DEMAND_BITS)
}

/// The tenant of a label.
pub(super) fn tenant_of(label: u64) -> usize {
    usize::try_from(label & low(TENANT_BITS)).unwrap_or(0)
}

/// The demand of a label.
pub(super) fn demand_of(label: u64) -> usize {
    usize::try_from(label >> TENANT_BITS & low(DEMAND_BITS)).unwrap_or(0)
}

impl Stream<'_> {
    fn advance(&mut self, end_ns: u64) -> Result<(), RunError> {
        let next = match &mut self.source {
            Drawing::Trace(replay) => replay.next(&self.demand.id)?,
            Drawing::Drawn(poisson) => poisson.next(&mut self.random),
        };
        self.next = next.filter(|drawn| drawn.at_ns < end_ns);
        Ok(())
    }
}

/// A Poisson process whose rate changes from span to span.
struct Poisson<'s> {
    source: &'s DrawnSource,
    part: f64,
    now_ns: f64,
    end_ns: f64,
}

impl<'s> Poisson<'s> {
    fn new(source: &'s DrawnSource, part: f64, end_ns: u64) -> Self {
        Self {
            source,
            part,
            now_ns: 0.0,
            end_ns: end_ns as f64,
        }
    }

    fn next(&mut self, random: &mut Random) -> Option<Drawn> {
        // What is left of an exponential draw is used up by each span in the measure of its rate: exact for steps.
        let mut left = random.exponential();
        let span_ns = self.source.rate_span_ns as f64;
        loop {
            if self.now_ns >= self.end_ns {
                return None;
            }
            let span = (self.now_ns / span_ns).floor();
            let at = (span as usize) % self.source.rates.len();
            let per_ns = self.source.rates[at] * self.part / 1e9;
            let until_ns = (span + 1.0) * span_ns;
            let room = (until_ns - self.now_ns) * per_ns;
            if left < room {
                self.now_ns += left / per_ns;
                return Some(self.draw(random));
            }
            left -= room;
            self.now_ns = until_ns;
        }
    }

    fn draw(&self, random: &mut Random) -> Drawn {
        let (input, output) = match &self.source.lengths {
            Lengths::Rows(rows) => {
                let count = u64::try_from(rows.len()).unwrap_or(1);
                let at = usize::try_from(random.below(count)).unwrap_or(0);
                let (input, output) = rows[at];
                (u64::from(input), u64::from(output))
            }
            Lengths::LogNormal(input, output) => {
                (log_normal(random, *input), log_normal(random, *output))
            }
        };
        Drawn {
            at_ns: self.now_ns as u64,
            input,
            output,
            blocks: self.blocks(input, random),
        }
    }

    /// A prompt's blocks: the first part is its family's, the rest its own.
    fn blocks(&self, input: u64, random: &mut Random) -> Arc<[u64]> {
        if self.source.prefix_families == 0 {
            return Arc::from([]);
        }
        let blocks = (input / u64::from(BLOCK_TOKENS)).min(u64::from(BLOCKS_MAX));
        let shared = (blocks as f64 * self.source.prefix_part).round() as u64;
        let family = random.below(self.source.prefix_families);
        let own = random.bits() | 1 << 63;
        let block = |at: u64| {
            if at < shared {
                family << 12 | at
            } else {
                own.wrapping_add(at)
            }
        };
        (0..blocks).map(block).collect()
    }
}

/// With that mean and that standard deviation beside it; at least 1.
fn log_normal(random: &mut Random, (mean, cv): (f64, f64)) -> u64 {
    if cv <= 0.0 {
        return mean.round() as u64;
    }
    let variance = (1.0 + cv * cv).ln();
    let drawn = (mean.ln() - variance / 2.0 + variance.sqrt() * random.normal()).exp();
    drawn.round().clamp(1.0, DRAWN_TOKENS_MAX) as u64
}

/// A trace, its copies and its repetitions. Every gateway reads all of it and takes its part.
struct Replay<'s> {
    source: &'s TraceSource,
    files: &'s Files,
    part: Part,
    /// The same at every gateway: which of them a request goes to is drawn from it.
    lot: Random,
    requests: Requests,
    round: u64,
    /// Copies that are still to come, by time and number.
    copies: BTreeMap<(u64, u64), Drawn>,
    number: u64,
    read: Option<Drawn>,
    over: bool,
}

impl<'s> Replay<'s> {
    fn new(
        (source, files): (&'s TraceSource, &'s Files),
        part: Part,
        lot: Random,
    ) -> Result<Self, RunError> {
        let requests = open(files, source)?;
        Ok(Self {
            source,
            files,
            part,
            lot,
            requests,
            round: 0,
            copies: BTreeMap::new(),
            number: 0,
            read: None,
            over: false,
        })
    }

    fn next(&mut self, demand: &str) -> Result<Option<Drawn>, RunError> {
        loop {
            if self.read.is_none() && !self.over {
                self.read = self.read_row(demand)?;
                self.over = self.read.is_none();
            }
            // A copy comes no earlier than the row that it is of, so what lies before the row at hand is in order.
            let row_ns = self.read.as_ref().map_or(u64::MAX, |row| row.at_ns);
            if let Some(copy) = self.copies.first_entry()
                && copy.key().0 <= row_ns
            {
                return Ok(Some(copy.remove()));
            }
            let Some(row) = self.read.take() else {
                return Ok(None);
            };
            self.copy(row);
        }
    }

    /// Puts a row's copies that are of this part among those that are to come. The first is the row itself.
    fn copy(&mut self, row: Drawn) {
        let whole = self.source.copies.floor();
        let more = self.lot.unit() < self.source.copies - whole;
        let count = whole as u64 + u64::from(more);
        for copy in 0..count {
            let (lot, delay) = (self.lot.unit(), self.lot.unit());
            if !(self.part.from..self.part.to).contains(&lot) {
                continue;
            }
            let delay_ns = if copy == 0 {
                0
            } else {
                (delay * COPIES_NS) as u64
            };
            // Copies are other people's prompts: their blocks are their own.
            let salt = copy.wrapping_mul(0x9E37_79B9_7F4A_7C15);
            let blocks = if copy == 0 {
                row.blocks.clone()
            } else {
                row.blocks.iter().map(|block| block ^ salt).collect()
            };
            self.number += 1;
            let at_ns = row.at_ns + delay_ns;
            self.copies.insert(
                (at_ns, self.number),
                Drawn {
                    at_ns,
                    input: row.input,
                    output: row.output,
                    blocks,
                },
            );
        }
    }

    fn read_row(&mut self, demand: &str) -> Result<Option<Drawn>, RunError> {
        let wrong = |error| RunError::Trace(demand.to_owned(), error);
        loop {
            if let Some(request) = self.requests.next_request().map_err(wrong)? {
                let span_us = self.source.span_ms.saturating_mul(1000);
                let recorded_us = request.arrival_us + self.round.saturating_mul(span_us);
                let mut blocks = request.blocks;
                if let Some((head, _)) = blocks.split_at_checked(usize::from(BLOCKS_MAX)) {
                    blocks = Arc::from(head);
                }
                return Ok(Some(Drawn {
                    at_ns: (recorded_us as f64 * 1000.0 / self.source.speed) as u64,
                    input: request.input_tokens,
                    output: request.output_tokens,
                    blocks,
                }));
            }
            if !self.source.repeat {
                return Ok(None);
            }
            self.round += 1;
            self.requests = open(self.files, self.source)?;
        }
    }
}

fn open(files: &Files, source: &TraceSource) -> Result<Requests, RunError> {
    let name = &source.file;
    let wrong = |error| RunError::Trace(name.to_owned(), error);
    let reader = files.open(name).map_err(Into::into).map_err(wrong)?;
    let requests = Requests::new(reader).map_err(wrong)?;
    requests
        .of_model(source.recorded_model.as_deref())
        .map_err(wrong)
}
