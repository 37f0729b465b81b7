//! Jobs on this machine.
