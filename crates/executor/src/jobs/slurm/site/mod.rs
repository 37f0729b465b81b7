//! A cluster as a site of ours: accounts, shares, limits, power and reservations, by `sacctmgr` and `scontrol`.
//!
//! It needs a shell of the cluster whose user is an administrator of its accounting, and `slurmdbd`. Every call may be made again. What is not
//! Madang's own there is not touched.

mod plan;
mod read;

pub use plan::{SlurmFound, SlurmQosWish, SlurmWish, account_named, licence_named, qos_named};

use super::options::SlurmOptions;
use super::script::line;
use super::shell::Shell;
use super::transport::Fault;
use crate::jobs::JobsError;
use std::collections::BTreeMap;
use tokio::sync::OnceCell;

/// What `sacctmgr` says where there is nothing to do.
const NOTHING_TO_DO: [&str; 5] = [
    "Nothing new added",
    "already exist",
    "Nothing modified",
    "Nothing deleted",
    "Nothing to change",
];

/// Who sets a cluster up.
pub struct SlurmSite {
    options: SlurmOptions,
    shell: Shell,
    /// The cluster's own name and its user's, once they are known.
    names: OnceCell<(String, String)>,
}

/// Machines that are kept for some accounts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlurmReservation {
    /// Its name.
    pub name: String,
    /// For whom.
    pub accounts: Vec<String>,
    /// How many machines.
    pub nodes: u32,
    /// From when, in seconds since 1970.
    pub from_s: u64,
    /// For how long, in minutes.
    pub minutes: u64,
}

impl SlurmSite {
    /// By the shell of these options. The cluster's user who owns the runs is that of the REST daemon; the shell's own where there is none.
    ///
    /// # Errors
    /// [`JobsError::Unsupported`] where no shell of the cluster is configured.
    pub fn new(options: &SlurmOptions) -> Result<Self, JobsError> {
        let words = options.shell.clone().ok_or_else(|| {
            let cluster = &options.cluster;
            JobsError::Unsupported(format!(
                "no shell of the Slurm cluster {cluster} is configured"
            ))
        })?;
        Ok(Self {
            options: options.clone(),
            shell: Shell::new(words),
            names: OnceCell::new(),
        })
    }

    /// How the cluster is driven.
    pub fn options(&self) -> &SlurmOptions {
        &self.options
    }

    /// How it stands.
    ///
    /// # Errors
    /// [`JobsError::Unavailable`], [`JobsError::Refused`].
    pub async fn look(&self, licence: Option<&str>) -> Result<SlurmFound, JobsError> {
        let found = self.read(licence).await;
        found.map_err(|fault| self.named(fault))
    }

    async fn read(&self, licence: Option<&str>) -> Result<SlurmFound, Fault> {
        let (cluster, user) = self.names().await?;
        let on = format!("cluster={cluster}");
        let show = ["sacctmgr", "-n", "-P", "show"];
        let asked = async |words: &[&str]| self.run(&line([&show[..], words].concat())).await;
        let told = asked(&["account", "format=account,organization"]).await?;
        let mut accounts = read::accounts(&told);
        let ours = format!("organization={}", plan::MARK);
        let fields = "format=account,user,share,qos";
        let told = asked(&["account", "withassoc", "where", &ours, &on, fields]).await?;
        read::associations(&told, user, &mut accounts);
        let told = asked(&["qos", "format=name,description,flags,grptresmins"]).await?;
        let mut qos = read::qos(&told);
        let counted = ["scontrol", "-o", "show", "assoc_mgr", "flags=qos"];
        read::used(&self.run(&line(counted)).await?, &mut qos);
        let mut power = None;
        if let Some((name, server)) = licence.and_then(|licence| licence.split_once('@')) {
            let (name, server) = (format!("name={name}"), format!("server={server}"));
            let fields = "format=count,cluster,allowed";
            let words = ["resource", "withclusters", "where", &name, &server, fields];
            power = read::licence(&asked(&words).await?, cluster);
        }
        Ok(SlurmFound {
            cluster: cluster.clone(),
            accounts,
            qos,
            power,
        })
    }

    /// Changes what differs; gives what cannot be as it should, by what [`account_named`], [`qos_named`] and [`licence_named`] say, and
    /// why. All else is as it should be then. It may be called again.
    ///
    /// # Errors
    /// [`JobsError::Unavailable`]: it is not known what was done.
    pub async fn set_up(
        &self,
        found: &SlurmFound,
        wish: &SlurmWish,
    ) -> Result<BTreeMap<String, String>, JobsError> {
        let mut faults: BTreeMap<String, String> = BTreeMap::new();
        let named = |fault| self.named(fault);
        let (_, user) = self.names().await.map_err(named)?;
        for step in found.steps(user, wish) {
            // Each is of use only after those before it.
            if faults.contains_key(&step.of) {
                continue;
            }
            let refused = match step.words {
                Err(why) => why,
                Ok(words) => {
                    tracing::info!(
                        cluster = self.options.cluster,
                        words = words.join(" "),
                        "sacctmgr"
                    );
                    let words = ["sacctmgr".to_owned(), "-i".to_owned()]
                        .into_iter()
                        .chain(words);
                    match self.run(&line(words)).await {
                        Ok(_) => continue,
                        Err(fault) => match self.named(fault) {
                            JobsError::Refused(why) => why,
                            error => return Err(error),
                        },
                    }
                }
            };
            faults.insert(step.of, refused);
        }
        Ok(faults)
    }

    /// The cluster's own name, which may not be ours, and our user's.
    async fn names(&self) -> Result<&(String, String), Fault> {
        let names = self.names.get_or_try_init(|| async {
            let told = self.run("scontrol show config").await?;
            let cluster = read::cluster(&told)
                .ok_or_else(|| Fault::Unknown("scontrol does not say ClusterName".to_owned()))?;
            let user = match &self.options.rest {
                Some(rest) => rest.user.clone(),
                None => self.run("id -un").await?.trim().to_owned(),
            };
            Ok((cluster, user))
        });
        names.await
    }

    /// Keeps machines for some accounts.
    ///
    /// # Errors
    /// [`JobsError::Unavailable`], [`JobsError::Refused`].
    pub async fn reserve(&self, reservation: &SlurmReservation) -> Result<(), JobsError> {
        let SlurmReservation {
            name,
            accounts,
            nodes,
            from_s,
            minutes,
        } = reservation;
        let rest = [
            format!("accounts={}", accounts.join(",")),
            format!("nodecnt={nodes}"),
            format!("starttime=uts{from_s}"),
            format!("duration={minutes}"),
        ];
        let is_there = self
            .run(&line(["scontrol", "-o", "show", "reservation", name]))
            .await;
        let words = match is_there {
            Ok(_) => ["update".to_owned(), format!("reservation={name}")],
            Err(Fault::Refused(_)) => ["create".to_owned(), format!("reservation={name}")],
            Err(fault) => return Err(self.named(fault)),
        };
        let words = ["scontrol".to_owned()].into_iter().chain(words).chain(rest);
        self.run(&line(words))
            .await
            .map_err(|fault| self.named(fault))?;
        Ok(())
    }

    /// Gives them back.
    ///
    /// # Errors
    /// [`JobsError::Unavailable`], [`JobsError::Refused`].
    pub async fn release(&self, reservation: &str) -> Result<(), JobsError> {
        let name = format!("reservation={reservation}");
        match self.run(&line(["scontrol", "delete", &name])).await {
            Err(Fault::Refused(why)) if why.contains("Requested reservation is invalid") => Ok(()),
            done => done.map(|_| ()).map_err(|fault| self.named(fault)),
        }
    }

    /// `sacctmgr` says what is wrong on either stream, and ends with 1 where there is nothing to do too.
    async fn run(&self, text: &str) -> Result<String, Fault> {
        let answer = self.shell.run(text, b"").await?;
        let said = format!("{}\n{}", answer.text().trim(), answer.complaint);
        let idle = NOTHING_TO_DO.iter().any(|words| said.contains(words));
        if answer.code == 0 || idle {
            return Ok(said);
        }
        Err(match super::cli::fault(&answer) {
            Fault::NotSent(_) if !said.trim().is_empty() && answer.code == 1 => {
                // What comes before is what was to be done.
                let last = said.lines().rfind(|line| !line.trim().is_empty());
                Fault::Refused(last.unwrap_or_default().trim().to_owned())
            }
            fault => fault,
        })
    }

    fn named(&self, fault: Fault) -> JobsError {
        fault.named(&self.options.cluster)
    }
}
