//! Batch jobs as real processes, behind each executor.

#[cfg(test)]
mod conformance;
#[cfg(test)]
mod local;
#[cfg(test)]
mod object_store;
#[cfg(test)]
mod slurm;
