//! Power: what is drawn, what may be drawn, and what bends where that is less.
//!
//! [`model`] says how many watts something draws by what it does, [`gauge`] what to believe of a meter, [`share`] what of an engine's
//! energy each of its requests takes, [`caps`] what is allowed now, [`orders`] what a grid's
//! server orders, and [`governor`] which loads bend, in which order. All of it is whole
//! numbers: watts, microseconds, thousandths. Who measures and who acts is elsewhere.

pub mod caps;
pub mod gauge;
pub mod governor;
pub mod model;
pub mod orders;
pub mod share;
