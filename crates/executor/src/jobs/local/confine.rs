//! What a program may reach of the machine, held by the kernel (Landlock): it runs as Madang's own user, whose keys and books and whose
//! other runs are not its business.

use super::procfs;
use landlock::{
    ABI, Access, AccessFs, BitFlags, RestrictionStatus, Ruleset, RulesetAttr, RulesetCreatedAttr,
    RulesetError, RulesetStatus, Scope, make_bitflags, path_beneath_rules,
};
use nix::errno::Errno as MountError;
use rustix::io::Errno;
use rustix::process::geteuid;
use rustix::thread::{
    CapabilitySet, clear_ambient_capability_set, remove_capability_from_bounding_set,
};
use serde::{Deserialize, Serialize};
use std::io;
use std::path::PathBuf;
use std::process::{Child, Command};
use std::thread;

/// What is asked of the kernel; an older one holds what it knows of that.
const WANTED: ABI = ABI::V6;

/// What programs without an image reach of this machine, beside the folders that are open to jobs and their own. They signal and
/// trace none but their own processes, gain no rights by what they start (`no_new_privs`), and are no more than any user where Madang
/// is root.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confinement {
    /// Read and run. What is not there is left out.
    pub read: Vec<PathBuf>,
    /// Written too.
    pub write: Vec<PathBuf>,
}

impl Default for Confinement {
    /// The system's programs and libraries, names and certificates, and its devices.
    fn default() -> Self {
        let system =
            "/bin /sbin /lib /lib32 /lib64 /usr /opt /nix/store /proc /sys /run/systemd/resolve";
        let etc = "OpenCL alternatives ca-certificates group host.conf hosts ld.so.cache ld.so.conf ld.so.conf.d localtime \
            mime.types nsswitch.conf passwd pki profile protocols resolv.conf services ssl vulkan";
        let system = system.split_whitespace().map(PathBuf::from);
        let etc = etc
            .split_whitespace()
            .map(|name| PathBuf::from("/etc").join(name));
        Self {
            read: system.chain(etc).collect(),
            write: vec!["/dev".into()],
        }
    }
}

impl Confinement {
    /// Starts a command that reaches nothing else; the error is for its owner.
    pub(super) fn spawn(&self, command: &mut Command) -> Result<Child, String> {
        // What holds for a thread holds for what it starts, and ends with it: the runner itself has to reach more.
        thread::scope(|scope| {
            let confined = scope.spawn(|| {
                let held = self.hold(own_proc().is_ok());
                let held = held.map_err(|e| format!("it cannot be confined: {e}"))?;
                if held.ruleset == RulesetStatus::NotEnforced {
                    let why = "this machine's kernel confines no programs (Landlock): run it in a container";
                    return Err(why.to_owned());
                }
                give_up_capabilities().map_err(|e| format!("it cannot be confined: {e}"))?;
                command.spawn().map_err(|error| error.to_string())
            });
            let confined = confined.join();
            confined.unwrap_or_else(|_| Err("it cannot be confined".to_owned()))
        })
    }

    fn hold(&self, names_threads: bool) -> Result<RestrictionStatus, RulesetError> {
        let naming: &[&str] = if names_threads { &["/proc"] } else { &[] };
        Ruleset::default()
            .handle_access(AccessFs::from_all(WANTED))?
            .scope(Scope::Signal | Scope::AbstractUnixSocket)?
            .create()?
            .add_rules(path_beneath_rules(&self.read, AccessFs::from_read(WANTED)))?
            .add_rules(path_beneath_rules(&self.write, AccessFs::from_all(WANTED)))?
            .add_rules(path_beneath_rules(naming, NAMING))?
            .restrict_self()
    }
}

/// What naming a thread takes: its `comm` is opened anew.
const NAMING: BitFlags<AccessFs> = make_bitflags!(AccessFs::{WriteFile | Truncate});

/// Sees to it that what may be written under `/proc` is this user's processes' own, where a program names its threads: which process that
/// will be nobody knows before. Where Madang is not root it is so anyway.
fn own_proc() -> Result<(), MountError> {
    match geteuid().is_root() {
        true => procfs::make_own(),
        false => Ok(()),
    }
}

/// What keeps programs from naming their threads, where something does.
pub(super) fn names_no_threads() -> Option<MountError> {
    // What is made is gone with its thread.
    let tried = thread::scope(|scope| scope.spawn(own_proc).join());
    tried.ok()?.err()
}

/// Root without its capabilities: what this thread starts has none, and gets none back.
fn give_up_capabilities() -> io::Result<()> {
    clear_ambient_capability_set()?;
    for capability in CapabilitySet::all().iter() {
        match remove_capability_from_bounding_set(capability) {
            // Who may not give them up has none; a kernel may not know the newest.
            Ok(()) | Err(Errno::PERM | Errno::INVAL) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}
