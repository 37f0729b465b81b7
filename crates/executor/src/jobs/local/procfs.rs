//! `/proc` as a program of root's may have it: in a mount namespace of its own, as container runtimes do.
//!
//! A program names its threads by writing there (`/proc/PID/task/TID/comm`), as NVIDIA's driver does: without that no program reaches an
//! accelerator (`cuInit` says 304). To root the kernel's own settings are open beside it, whatever capabilities were given up.

use nix::errno::Errno;
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use std::path::Path;

/// What is the kernel's and not a process's: what runc lets containers only read, and what it hides or may be written besides.
const KERNELS_OWN: [&str; 11] = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/bus",
    "/proc/driver",
    "/proc/dynamic_debug",
    "/proc/fs",
    "/proc/irq",
    "/proc/mtrr",
    "/proc/scsi",
    "/proc/sys",
    "/proc/sysrq-trigger",
];

/// From here on this thread, and what it starts, has a `/proc` that shows those processes alone that it may trace, and whose settings of the
/// kernel are not written. For a thread that ends soon: it is in a mount namespace of its own.
///
/// # Errors
/// It may not, as in most containers; `/proc` is then as it was, or may be read and no more.
pub(super) fn make_own() -> Result<(), Errno> {
    let none = None::<&str>;
    let plain = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    unshare(CloneFlags::CLONE_NEWNS)?;
    // What the machine mounts and unmounts later is seen, and nothing comes back from here.
    let follows = MsFlags::MS_SLAVE | MsFlags::MS_REC;
    mount(none, "/", none, follows, none)?;
    mount(
        Some("proc"),
        "/proc",
        Some("proc"),
        plain,
        Some("hidepid=ptraceable"),
    )?;
    for path in KERNELS_OWN.map(Path::new) {
        if path.exists() {
            mount(Some(path), path, none, MsFlags::MS_BIND, none)?;
            let again = MsFlags::MS_REMOUNT | MsFlags::MS_BIND | MsFlags::MS_RDONLY;
            mount(none, path, none, again | plain, none)?;
        }
    }
    Ok(())
}
