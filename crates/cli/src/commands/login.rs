//! `madang login`, `madang logout`: a person signs in from the terminal, by a browser on the same machine.
//!
//! The browser signs in at Madang, and brings a code to a port of this machine; with it and a verifier that never left this process a
//! key is had. It stands in a file of its own, which the other commands take before the operator's.

mod loopback;

use super::server::{cell, instant_cell};
use crate::args::ServerArgs;
use crate::http_client::{ApiClient, ApiError, path_with, read_key, sign_in_file};
use crate::out;
use crate::people_args::LoginArgs;
use crate::up::data_folder::write_private;
use anyhow::{Context, bail};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use loopback::Loopback;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::path::Path;
use std::process::ExitCode;

/// How keys of sign-ins begin: no other key is written over or ended here.
const SIGN_IN_KEY: &str = "mdg_sid-";
/// Letters of the challenge that the person compares with the browser's page.
const SHOWN_CHARS: usize = 8;

/// Exit code 0 where the person has signed in.
pub async fn login(args: LoginArgs) -> anyhow::Result<ExitCode> {
    let LoginArgs { no_browser, server } = args;
    let file = sign_in_file(&server);
    must_be_ours(&file)?;
    let client = ApiClient::without_key(&server)?;
    let (verifier, state) = (random()?, random()?);
    let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(&verifier));
    let loopback = Loopback::listen(state.clone()).await?;
    let asked = [
        ("redirect_uri", Some(loopback.url())),
        ("challenge", Some(&*challenge)),
        ("state", Some(&*state)),
    ];
    let url = format!("{}{}", client.base(), path_with("/auth/terminal", &asked));
    out::note(&format!(
        "Open this in a browser on this machine, and go on if its page shows {}:\n\n  {url}\n",
        &challenge[..SHOWN_CHARS]
    ));
    if !no_browser && let Err(error) = open::that_detached(&url) {
        out::note(&format!("no browser was opened: {error}"));
    }
    let code = loopback.code().await?;
    let trade = json!({ "code": code, "verifier": verifier });
    let answer = client.post("/auth/terminal/key", &trade).await?;
    let mut view = answer.json()?;
    let key = view.as_object_mut().and_then(|view| view.remove("key"));
    let key = key.as_ref().and_then(Value::as_str);
    let key = key.context("the server's answer holds no key: is it a Madang?")?;
    if let Some(folder) = file.parent() {
        std::fs::create_dir_all(folder)
            .with_context(|| format!("cannot make the folder {}", folder.display()))?;
    }
    write_private(&file, &format!("{key}\n"))?;
    let shown = file.display().to_string();
    if server.json {
        view["key_file"] = shown.into();
        out::line(&view.to_string());
    } else {
        let (role, until) = (cell(&view, "role"), instant_cell(&view, "expires_at"));
        out::line(&format!(
            "signed in as {role} until {until}: the key is in {shown}"
        ));
    }
    Ok(ExitCode::SUCCESS)
}

/// Exit code 0 where the sign-in is over and its file gone.
pub async fn logout(server: ServerArgs) -> anyhow::Result<ExitCode> {
    let file = sign_in_file(&server);
    if !file.exists() {
        bail!("nobody is signed in here: there is no {}", file.display());
    }
    must_be_ours(&file)?;
    let client = ApiClient::with_key(&server, file.clone())?;
    match client.post("/auth/logout", &json!({})).await {
        Ok(_) => {}
        // It is over already.
        Err(error)
            if error
                .downcast_ref::<ApiError>()
                .is_some_and(|e| e.status == 401) => {}
        Err(error) => return Err(error),
    }
    std::fs::remove_file(&file).with_context(|| format!("cannot remove {}", file.display()))?;
    let shown = file.display().to_string();
    if server.json {
        out::line(&json!({ "key_file": shown }).to_string());
    } else {
        out::line(&format!("signed out: {shown} is gone"));
    }
    Ok(ExitCode::SUCCESS)
}

/// Refuses a file in which another key stands than a sign-in's.
fn must_be_ours(file: &Path) -> anyhow::Result<()> {
    if file.exists() && !read_key(file)?.starts_with(SIGN_IN_KEY) {
        bail!(
            "{} holds a key that was not had by signing in\n  help: name another file with --key-file, or none",
            file.display()
        );
    }
    Ok(())
}

/// 256 random bits as text.
fn random() -> anyhow::Result<String> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).context("the system gives no random numbers")?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}
