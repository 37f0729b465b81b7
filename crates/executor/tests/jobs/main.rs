//! Batch jobs as real processes, behind each executor.
#![cfg_attr(
    test,
    expect(
        dead_code,
        unused_macros,
        unused_imports,
        reason = "until the first executor is there"
    )
)]

#[cfg(test)]
mod conformance;
#[cfg(test)]
mod local;
