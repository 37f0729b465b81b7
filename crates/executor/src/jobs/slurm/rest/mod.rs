//! Slurm by its REST daemon, in the two shapes that its JSON has had.
//!
//! Which versions a daemon speaks it says itself (`/openapi/v3`). The newest that both know is spoken: the new shape from v0.0.41
//! (Slurm 24.05) on, the old one up to v0.0.38 (Slurm 21.08 to 23.02). A daemon that has v0.0.39 or v0.0.40 has one of these too.

mod http;
mod new;
mod old;

use super::ask::Ask;
use super::job::SlurmJob;
use super::options::SlurmRest;
use super::transport::{Fault, Live, Transport};
use crate::jobs::JobsError;
use ::http::{Method, StatusCode};
use async_trait::async_trait;
use futures_util::stream::{self, StreamExt};
use serde_json::Value;
use tokio::sync::OnceCell;

/// Versions of the API in each shape; the newest of a shape is the last. v0.0.36 says of no job that it is not there, and in its
/// accounting another second of a job's begin than the controller has.
const OLD: [u32; 2] = [37, 38];
const NEW: [u32; 5] = [41, 42, 43, 44, 45];
/// The environment that a batch script begins with: Slurm wants some.
const PATH: &str = "/usr/local/bin:/usr/bin:/bin";
/// Jobs that are asked about at once.
const AT_ONCE: usize = 8;

/// Slurm's own numbers of errors (slurm/slurm_errno.h): there is no such job; it is over; the accounting has nothing of it.
const NO_SUCH_JOB: i64 = 2017;
const ALREADY_OVER: i64 = 2021;
const NOTHING_FOUND: i64 = 9003;
/// It takes no job now: its queue is full, it stands by, submissions are switched off.
const NOT_NOW: [i64; 4] = [2007, 2027, 2037, 2105];
/// It does not take our token.
const TOKEN: [std::ops::Range<i64>; 2] = [6000..6100, 9008..9009];
/// Its errors of connections to its own daemons: nobody knows more.
const COMMUNICATION: [std::ops::Range<i64>; 4] = [1000..1100, 1800..1900, 5000..5100, 7000..7100];

/// What the two shapes do differently.
trait Shape: Send + Sync {
    /// The body of a submission.
    fn submission(&self, ask: &Ask) -> Value;
    /// A job of the controller.
    fn live(&self, job: &Value) -> Option<SlurmJob>;
    /// A job of the accounting.
    fn accounted(&self, job: &Value) -> Option<SlurmJob>;
    /// What follows a job's address for a signal to its script; in the old shape more of its processes have it too.
    fn signal(&self, signal: &str) -> String;
    /// What follows the address of the accounted jobs.
    fn by_name(&self, name: &str, since_s: u64) -> String;
}

/// A cluster by its daemon.
pub(super) struct Rest {
    http: http::Http,
    version: OnceCell<Version>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Version(u32);

impl Version {
    fn shape(self) -> &'static dyn Shape {
        if self.0 <= OLD[OLD.len() - 1] {
            &old::Old
        } else {
            &new::New
        }
    }

    fn slurm(self, path: &str) -> String {
        format!("/slurm/v0.0.{}/{path}", self.0)
    }

    fn accounting(self, path: &str) -> String {
        format!("/slurmdb/v0.0.{}/{path}", self.0)
    }

    /// The newest that is known here too, of those that the description of a daemon has.
    fn newest(description: &Value) -> Option<Self> {
        let paths = description.get("paths")?.as_object()?;
        let told = paths.keys().filter_map(|path| {
            let version = path.strip_prefix("/slurm/v0.0.")?.split('/').next()?;
            version.parse().ok()
        });
        let known = told.filter(|version| OLD.contains(version) || NEW.contains(version));
        known.max().map(Self)
    }
}

impl Rest {
    pub(super) fn new(options: &SlurmRest) -> Result<Self, JobsError> {
        Ok(Self {
            http: http::Http::new(options)?,
            version: OnceCell::new(),
        })
    }

    async fn version(&self) -> Result<Version, Fault> {
        let version = self.version.get_or_try_init(|| async {
            for path in ["/openapi/v3", "/openapi"] {
                let described = self.http.call(Method::GET, path, None).await;
                // Whatever came of it: nothing was asked for yet.
                let described = described.map_err(|fault| match fault {
                    Fault::Unknown(why) => Fault::NotSent(why),
                    other => other,
                });
                let (status, description) = described?;
                if status.is_success()
                    && let Some(version) = Version::newest(&description)
                {
                    return Ok(version);
                }
            }
            let known = "v0.0.37, v0.0.38 and v0.0.41 to v0.0.45 are known here";
            Err(Fault::NotSent(format!(
                "its REST daemon speaks no version that we do: {known}"
            )))
        });
        version.await.copied()
    }

    async fn get_jobs(&self, path: &str) -> Result<Vec<Value>, Fault> {
        let (status, mut answer) = self.http.call(Method::GET, path, None).await?;
        let jobs = answer.get_mut("jobs").map(Value::take);
        match (errors(status, &answer), jobs) {
            (Some(Told::Nothing), _) => Ok(Vec::new()),
            (Some(Told::Fault(fault)), _) => Err(fault),
            (None, Some(Value::Array(jobs))) => Ok(jobs),
            (None, _) => Err(Fault::Unknown(
                "its REST daemon's answer has no jobs".into(),
            )),
        }
    }

    async fn job(&self, version: Version, id: u32) -> Result<Option<SlurmJob>, Fault> {
        let jobs = self.get_jobs(&version.slurm(&format!("job/{id}"))).await?;
        let Some(job) = jobs.first() else {
            return Ok(None);
        };
        let unread = || Fault::Unknown(format!("the job {id} cannot be read"));
        version.shape().live(job).map(Some).ok_or_else(unread)
    }

    async fn delete(&self, path: &str) -> Result<(), Fault> {
        let (status, answer) = self.http.call(Method::DELETE, path, None).await?;
        match errors(status, &answer) {
            None | Some(Told::Nothing) => Ok(()),
            Some(Told::Fault(fault)) => Err(fault),
        }
    }
}

#[async_trait]
impl Transport for Rest {
    async fn submit(&self, ask: &Ask) -> Result<u32, Fault> {
        let version = self.version().await?;
        let body = version.shape().submission(ask);
        let path = version.slurm("job/submit");
        let (status, answer) = self.http.call(Method::POST, &path, Some(&body)).await?;
        // What has a number is in the queue: an error beside it says why it does not begin now, such as that it is held.
        if let Some(id) = job_id(&answer) {
            return Ok(id);
        }
        Err(match errors(status, &answer) {
            Some(Told::Fault(fault)) => fault,
            Some(Told::Nothing) => {
                Fault::Unknown("a submission was answered by no such job".into())
            }
            None => Fault::Unknown("a submission was answered without a job's number".into()),
        })
    }

    async fn live(&self, ids: &[u32]) -> Result<Live, Fault> {
        let version = self.version().await?;
        let asked = ids.iter().copied();
        let asked = asked.map(async |id| (id, self.job(version, id).await));
        let mut live = Live::default();
        let mut asked = stream::iter(asked).buffered(AT_ONCE);
        while let Some((id, job)) = asked.next().await {
            match job {
                Ok(job) => live.jobs.extend(job),
                // The daemon is away, for the others too.
                Err(fault @ Fault::NotSent(_)) => return Err(fault),
                Err(fault) => {
                    live.unread.insert(id, fault);
                }
            }
        }
        Ok(live)
    }

    async fn accounted(&self, name: &str, since_s: u64) -> Result<Vec<SlurmJob>, Fault> {
        let version = self.version().await?;
        let path = version.accounting(&version.shape().by_name(name, since_s));
        let jobs = self.get_jobs(&path).await?;
        Ok(jobs
            .iter()
            .filter_map(|job| version.shape().accounted(job))
            .collect())
    }

    async fn signal(&self, id: u32, signal: &str) -> Result<(), Fault> {
        let version = self.version().await?;
        let query = version.shape().signal(signal);
        self.delete(&version.slurm(&format!("job/{id}{query}")))
            .await
    }

    async fn cancel(&self, id: u32) -> Result<(), Fault> {
        let version = self.version().await?;
        self.delete(&version.slurm(&format!("job/{id}"))).await
    }
}

/// The number of the job that a submission has become.
fn job_id(answer: &Value) -> Option<u32> {
    let id = u32::try_from(answer.get("job_id")?.as_u64()?).ok();
    id.filter(|id| *id > 0)
}

/// What an answer says beside its data.
enum Told {
    /// There is no such job, or it is over.
    Nothing,
    Fault(Fault),
}

/// A status of 200 with errors is not rare, nor is one of 500 for a request that can never be granted.
fn errors(status: StatusCode, answer: &Value) -> Option<Told> {
    let errors = answer.get("errors").and_then(Value::as_array);
    let first = errors.and_then(|errors| errors.first());
    let Some(error) = first else {
        let told = format!("its REST daemon answered {status}");
        return (!status.is_success()).then_some(Told::Fault(Fault::Unknown(told)));
    };
    // The old shape says `error_code` here and `error_number` there; 0 and -1 say nothing.
    let number = |name: &str| error.get(name).and_then(Value::as_i64).filter(|n| *n > 0);
    let number = number("error_number")
        .or_else(|| number("error_code"))
        .unwrap_or(0);
    let text = |name: &str| {
        error
            .get(name)
            .and_then(Value::as_str)
            .filter(|t| !t.is_empty())
    };
    let told = text("error")
        .or_else(|| text("description"))
        .unwrap_or("no reason given");
    let told = format!("{told} ({number})");
    let is_in =
        |ranges: &[std::ops::Range<i64>]| ranges.iter().any(|range| range.contains(&number));
    Some(match number {
        NO_SUCH_JOB | ALREADY_OVER | NOTHING_FOUND => Told::Nothing,
        _ if NOT_NOW.contains(&number) || is_in(&TOKEN) => Told::Fault(Fault::NotSent(told)),
        _ if is_in(&COMMUNICATION) && told.contains("connect") => Told::Fault(Fault::NotSent(told)),
        0 => Told::Fault(Fault::Unknown(told)),
        _ if is_in(&COMMUNICATION) => Told::Fault(Fault::Unknown(told)),
        _ => Told::Fault(Fault::Refused(told)),
    })
}

/// A whole number, bare or in the new shape's `{"set": …, "infinite": …, "number": …}`.
fn number(value: Option<&Value>) -> Option<u64> {
    let value = value?;
    let flag = |name: &str| value.get(name).and_then(Value::as_bool);
    if flag("set") == Some(false) || flag("infinite") == Some(true) {
        return None;
    }
    value.as_u64().or_else(|| value.get("number")?.as_u64())
}

fn text<'a>(job: &'a Value, name: &str) -> &'a str {
    job.get(name).and_then(Value::as_str).unwrap_or_default()
}

/// A time that Slurm has: 0 is none.
fn time(value: Option<&Value>) -> Option<u64> {
    number(value).filter(|seconds| *seconds > 0)
}

#[cfg(test)]
mod tests;
