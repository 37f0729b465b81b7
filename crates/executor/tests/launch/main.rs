//! Engines as real processes: started, watched, stopped, orphaned.

#[cfg(test)]
mod common;
#[cfg(test)]
mod orphans;
#[cfg(test)]
mod supervise;
