//! Chips, models and engines as data, and the time that one iteration of an engine takes in closed form.
//!
//! It must not read files, sockets or clocks: text is passed in, numbers come out.

mod chip;
mod coefficients;
mod config;
mod deployment;
mod guess;
mod iteration;
mod load;
mod model;
mod rows;

pub use chip::{Chip, Link};
pub use coefficients::{COEFFICIENTS, Coefficients, EngineKind};
pub use config::model_of_config;
pub use deployment::{Deployment, DeploymentError, Memory, Parallel, Precision};
pub use guess::model_of_name;
pub use iteration::{Batch, Between, Ideal, product_time};
pub use load::MACHINE_ACCELERATORS;
pub use model::{Model, Shape};
pub use rows::{Catalog, CatalogError, Confidence};
