//! A cluster as a site of ours: accounts, shares, limits, power and reservations, by `sacctmgr` and `scontrol`.
//!
//! It needs a shell of the cluster whose user is an administrator of its accounting, and `slurmdbd`. Every call may be made again.

use super::options::SlurmOptions;
use super::script::line;
use super::shell::Shell;
use super::transport::Fault;
use crate::jobs::JobsError;

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
    cluster: String,
    user: String,
    shell: Shell,
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
    /// `user` is the cluster's user who owns the runs.
    ///
    /// # Errors
    /// [`JobsError::Unsupported`] where no shell of the cluster is configured.
    pub fn new(options: &SlurmOptions, user: &str) -> Result<Self, JobsError> {
        let words = options.shell.clone().ok_or_else(|| {
            let cluster = &options.cluster;
            JobsError::Unsupported(format!(
                "no shell of the Slurm cluster {cluster} is configured"
            ))
        })?;
        Ok(Self {
            cluster: options.cluster.clone(),
            user: user.to_owned(),
            shell: Shell::new(words),
        })
    }

    /// A tenant's account with its weight among the others, which our user may charge.
    ///
    /// # Errors
    /// [`JobsError::Unavailable`], [`JobsError::Refused`].
    pub async fn account(&self, account: &str, weight: u32) -> Result<(), JobsError> {
        let share = format!("fairshare={weight}");
        self.manage(&[
            "add",
            "account",
            account,
            "description=madang",
            "organization=madang",
            &share,
        ])
        .await?;
        self.manage(&["modify", "account", account, "set", &share])
            .await?;
        let account = format!("account={account}");
        self.manage(&["add", "user", &self.user, &account]).await
    }

    /// A programme's QOS with its priority, that our user may name in that account.
    ///
    /// # Errors
    /// [`JobsError::Unavailable`], [`JobsError::Refused`].
    pub async fn programme(
        &self,
        qos: &str,
        priority: u32,
        accounts: &[&str],
    ) -> Result<(), JobsError> {
        let priority = format!("priority={priority}");
        self.manage(&["add", "qos", qos, &priority]).await?;
        self.manage(&["modify", "qos", qos, "set", &priority])
            .await?;
        let user = format!("name={}", self.user);
        let more = format!("qos+={qos}");
        for account in accounts {
            let account = format!("account={account}");
            self.manage(&["modify", "user", "where", &user, &account, "set", &more])
                .await?;
        }
        Ok(())
    }

    /// An award: all runs of that QOS together take at most so many GPU-minutes, from its beginning on and without fading.
    ///
    /// # Errors
    /// [`JobsError::Unavailable`], [`JobsError::Refused`].
    pub async fn award(&self, qos: &str, gpu_minutes: u64) -> Result<(), JobsError> {
        let limit = format!("GrpTRESMins=gres/gpu={gpu_minutes}");
        // A limit that fades with the shares would be granted again and again.
        self.manage(&["modify", "qos", qos, "set", "flags=NoDecay", &limit])
            .await
    }

    /// Kilowatts that all runs together may take, as the licence `name@server`; at once, also where more is taken now.
    ///
    /// # Errors
    /// [`JobsError::Unavailable`], [`JobsError::Refused`].
    pub async fn power(&self, licence: &str, kilowatts: u32) -> Result<(), JobsError> {
        let (name, server) = licence.split_once('@').ok_or_else(|| {
            JobsError::Refused(format!(
                "{licence}: a licence for power is name@server, such as kw@seoul"
            ))
        })?;
        let (name, server) = (format!("name={name}"), format!("server={server}"));
        let count = format!("count={kilowatts}");
        self.manage(&["add", "resource", &name, &server, "type=license", &count])
            .await?;
        self.manage(&["modify", "resource", "where", &name, &server, "set", &count])
            .await?;
        let cluster = format!("cluster={}", self.cluster);
        let all = "percentallowed=100";
        self.manage(&["add", "resource", &name, &server, &cluster, all])
            .await
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

    async fn manage(&self, words: &[&str]) -> Result<(), JobsError> {
        let words = ["sacctmgr", "-i"].iter().chain(words);
        self.run(&line(words))
            .await
            .map_err(|fault| self.named(fault))?;
        Ok(())
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
                Fault::Refused(said.trim().replace('\n', " "))
            }
            fault => fault,
        })
    }

    fn named(&self, fault: Fault) -> JobsError {
        fault.named(&self.cluster)
    }
}
