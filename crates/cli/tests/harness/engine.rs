//! `madang engine` as a process of its own: faults on request, and the end that a test gives it.

use super::{PROGRAM, WAIT_MAX, process, wait_for};
use madang_testkit::{http_get, http_post_json};
use rustix::process::Signal;
use std::process::Stdio;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

/// A rehearsed engine that serves the model `m`; killed when dropped.
pub struct Engine {
    child: Child,
    /// `http://127.0.0.1:PORT`.
    pub url: String,
}

impl Engine {
    /// A small and fast one, with these further arguments.
    pub async fn start(args: &[&str]) -> Self {
        let mut child = Command::new(PROGRAM)
            .args(["engine", "--profile", "tiny", "--port", "0", "--model", "m"])
            .args(args)
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut line = String::new();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let read = timeout(WAIT_MAX, out.read_line(&mut line)).await;
        read.unwrap().unwrap();
        let url = line
            .trim()
            .strip_prefix("listening on ")
            .unwrap()
            .to_owned();
        Self { child, url }
    }

    /// Sends it this signal and waits for its end. Gives the exit code, if it has one.
    pub async fn end(&mut self, by: Signal) -> Option<i32> {
        process::signal(self.child.id().unwrap(), by);
        let status = timeout(WAIT_MAX, self.child.wait()).await;
        status.unwrap().unwrap().code()
    }

    /// It forgets everything, and cuts off what runs.
    pub async fn restart(&self) {
        let url = format!("{}/rehearsal/restart", self.url);
        assert_eq!(http_post_json(&url, None, "").await.unwrap().status, 200);
    }

    /// Sequences that it computes, and those that wait inside it.
    pub async fn sequences(&self) -> [u64; 2] {
        let page = http_get(&format!("{}/metrics", self.url), None).await;
        let page = page.unwrap().text();
        ["running", "waiting"].map(|name| {
            let name = format!("vllm:num_requests_{name}{{");
            let line = page.lines().find(|line| line.starts_with(&name));
            let value: f64 = line.unwrap().rsplit(' ').next().unwrap().parse().unwrap();
            value as u64
        })
    }

    /// Waits until nothing is left in it.
    pub async fn idle(&self) {
        wait_for("the engine is idle", async || {
            (self.sequences().await == [0, 0]).then_some(())
        })
        .await;
    }
}
