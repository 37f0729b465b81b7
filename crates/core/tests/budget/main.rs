//! What may be spent: by requests at one gateway, and by several gateways that crash and lose sight of the bank.
#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot set itself up must fail"
)]

mod desk;
mod stories;
