//! A fake engine as a program: for kill loops, which want to end it, and for benches, which want it in another process.

use anyhow::{Context, bail};
use madang_testkit::{Behaviour, FakeEngine, FakeEngineOptions, Listen};
use std::io::Write;

const USAGE: &str = "\
fake-engine [--port N | --socket PATH] [--engine vllm|sglang|llama.cpp|openai|anthropic] [--model NAME] [--key KEY]
            [--first-token-ms N] [--token-ms N] [--output-tokens N] [--cached-tokens N] [--slots N]
            [--responses true|false] [--served-log FILE] [--behaviour TEXT] [--threads N]
Prints its URL in one line and serves until it is ended.
";

struct Arguments {
    options: FakeEngineOptions,
    behaviour: Behaviour,
    threads: usize,
}

fn read_arguments(mut arguments: impl Iterator<Item = String>) -> anyhow::Result<Arguments> {
    // a program that runs for hours keeps no requests in memory
    let mut options = FakeEngineOptions {
        kept_max: 0,
        ..Default::default()
    };
    let (mut behaviour, mut threads) = (Behaviour::Normal, 1);
    while let Some(name) = arguments.next() {
        if name == "--help" {
            bail!(USAGE);
        }
        let value = arguments
            .next()
            .with_context(|| format!("{name} wants a value\n{USAGE}"))?;
        let wrong = || format!("{name} {value}: not a number");
        match name.as_str() {
            "--port" => options.listen = Listen::Port(value.parse().with_context(wrong)?),
            "--socket" => options.listen = Listen::Unix(value.into()),
            "--engine" => options.engine = value,
            "--model" => options.model = value,
            "--key" => options.key = Some(value),
            "--first-token-ms" => options.first_token_ms = value.parse().with_context(wrong)?,
            "--token-ms" => options.token_ms = value.parse().with_context(wrong)?,
            "--output-tokens" => options.output_tokens = value.parse().with_context(wrong)?,
            "--cached-tokens" => options.cached_tokens = value.parse().with_context(wrong)?,
            "--slots" => options.slots = value.parse().with_context(wrong)?,
            "--threads" => threads = value.parse().with_context(wrong)?,
            "--responses" => options.responses = value == "true",
            "--served-log" => options.served_log = Some(value.into()),
            "--behaviour" => behaviour = value.parse()?,
            _ => bail!("unknown option {name}\n{USAGE}"),
        }
    }
    Ok(Arguments {
        options,
        behaviour,
        threads,
    })
}

fn main() -> anyhow::Result<()> {
    let Arguments {
        options,
        behaviour,
        threads,
    } = read_arguments(std::env::args().skip(1))?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads.max(1))
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let engine = FakeEngine::try_start(options).await?;
        engine.set_behaviour(behaviour);
        let mut out = std::io::stdout();
        writeln!(out, "{}", engine.url())?;
        out.flush()?;
        std::future::pending::<anyhow::Result<()>>().await
    })
}
