//! Books in which each request costs one won: filled before the load, and looked at after it, by Madang's own commands.

use super::place::Place;
use anyhow::{Context, bail, ensure};
use jiff::Timestamp;
use serde_json::Value;
use std::path::PathBuf;
use std::time::Duration;
use tokio::process::Command;

/// What is asked for.
pub const MODEL: &str = "bench";
/// Who asks: the tenant whose key the first start prints, where the fleet file has it.
pub const TENANT: &str = "demo";
/// Who granted it what it spends.
pub const PROGRAMME: &str = "bench";
/// Where it is served.
pub const SITE: &str = "here";
/// Won for a million tokens, prompt and answer alike: 40 tokens, which every answer of the upstream says, cost one won.
const PRICE_WON: &str = "25000";
const MICRO_WON: u64 = 1_000_000;
/// More than any run spends.
const GRANT_WON: &str = "1000000000";
const UNTIL: &str = "2099-12-31T23:59:59Z";
/// Records pass from the journal into the books after the answer.
const BOOKED_LOOK: Duration = Duration::from_millis(200);
const BOOKED_LOOKS_MAX: u32 = 50;

/// A gateway's books.
pub struct Books {
    data: PathBuf,
    /// Where they are in PostgreSQL.
    store: Option<String>,
}

impl Books {
    /// Those of a data folder, or of this database.
    pub fn of(data: PathBuf, store: Option<String>) -> Self {
        Self { data, store }
    }

    /// Sets a price, the programme's budget, and what the tenant is granted of it.
    ///
    /// # Errors
    /// Madang refuses one of them.
    pub async fn fill(&self, place: &Place) -> anyhow::Result<()> {
        let price = [
            "price",
            "set",
            MODEL,
            "--uncached",
            PRICE_WON,
            "--output",
            PRICE_WON,
        ];
        let budget = ["budget", "set", PROGRAMME, "--won", GRANT_WON];
        let grant = [
            "allocation",
            "create",
            "bench",
            "--tenant",
            TENANT,
            "--won",
            GRANT_WON,
            "--until",
            UNTIL,
        ];
        self.madang(place, &budget).await?;
        self.madang(place, &grant).await?;
        let price = self.madang(place, &price).await?;
        // In PostgreSQL some seconds later; until the first price begins, nothing is charged.
        let from = price["from"].as_str().context("a price begins")?;
        let left = from.parse::<Timestamp>()?.duration_since(Timestamp::now());
        tokio::time::sleep(left.try_into().unwrap_or_default()).await;
        Ok(())
    }

    /// That the ledger follows its rules and that the site earned one won from a grant for each of so many answers.
    ///
    /// # Errors
    /// It does not, or it did not: the load went another way than the one that is measured.
    pub async fn verify(&self, place: &Place, answered: u64) -> anyhow::Result<String> {
        let mut earned = 0;
        for _ in 0..BOOKED_LOOKS_MAX {
            let balances = self.ledger(place, "balances").await?;
            let owed = micro_won(&balances, "tenant:", "total_out");
            ensure!(owed == 0, "tenants owe {owed} micro-won that no grant paid");
            earned = micro_won(&balances, "site:", "total_in");
            if earned == answered * MICRO_WON {
                let report = self.ledger(place, "verify").await?;
                let entries = &report["entries"];
                return Ok(format!(
                    "the ledger follows its rules; of {entries} entries one for each of {answered} answers"
                ));
            }
            tokio::time::sleep(BOOKED_LOOK).await;
        }
        bail!("{answered} answers of a won each, and {earned} micro-won in the ledger");
    }

    async fn ledger(&self, place: &Place, what: &str) -> anyhow::Result<Value> {
        let store = self.store.iter().flat_map(|url| ["--store", url]);
        let command: Vec<&str> = ["ledger", what].into_iter().chain(store).collect();
        self.madang(place, &command).await
    }

    async fn madang(&self, place: &Place, command: &[&str]) -> anyhow::Result<Value> {
        let output = Command::new(&place.madang)
            .args(command)
            .arg("--json")
            .arg("--data")
            .arg(&self.data)
            .kill_on_drop(true)
            .output()
            .await?;
        let said = String::from_utf8_lossy(&output.stderr);
        // Without what may be secret in a database's address.
        let what = command.get(..2).unwrap_or_default().join(" ");
        ensure!(output.status.success(), "madang {what}: {said}");
        serde_json::from_slice(&output.stdout).with_context(|| format!("madang {what}"))
    }
}

/// One sum over the accounts whose name begins so.
fn micro_won(balances: &Value, prefix: &str, sum: &str) -> u64 {
    let rows = balances["data"].as_array().into_iter().flatten();
    let is_asked = |row: &&Value| {
        let account = row["account"].as_str().unwrap_or_default();
        account.starts_with(prefix) && row["unit"] == "micro_won"
    };
    let sums = rows.filter(is_asked);
    sums.filter_map(|row| row[sum].as_u64()).sum()
}
