//! Power: what is drawn.

pub mod model;
