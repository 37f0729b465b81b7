//! nginx as a plain proxy: what moving the bytes costs at least.

use super::launch::{Launch, Site};
use super::place::said;
use super::{Adapter, Kind, Part};
use std::fs;
use tokio::process::Command;

/// One worker: a plain proxy needs no more here.
pub const ADAPTER: Adapter = Adapter {
    name: "nginx",
    kind: Kind::Proxy,
    by_default: true,
    part: Part::Whole,
    launch,
};

/// Connections of a worker, to both sides.
const CONNECTIONS: usize = 32_768;

/// As operators write it for event streams: keep-alive to the upstream, no buffering of streams (the upstream's
/// `x-accel-buffering` says which), bodies in memory, no access log.
fn launch(site: &Site<'_>) -> anyhow::Result<Launch> {
    let Site {
        folder,
        upstream,
        port,
        ..
    } = site;
    fs::create_dir_all(folder.join("temp"))?;
    let user = if rustix::process::geteuid().is_root() {
        "user root;"
    } else {
        ""
    };
    let config = format!(
        "{user} daemon off; worker_processes 1; worker_rlimit_nofile {CONNECTIONS}; pid nginx.pid;
error_log error.log;
events {{ worker_connections {CONNECTIONS}; }}
http {{
  access_log off;
  client_body_temp_path temp/body; proxy_temp_path temp/proxy; fastcgi_temp_path temp/fastcgi;
  uwsgi_temp_path temp/uwsgi; scgi_temp_path temp/scgi;
  client_max_body_size 16m; client_body_buffer_size 1m;
  keepalive_requests 1000000; tcp_nodelay on;
  upstream engine {{ server {upstream}; keepalive 256; keepalive_requests 1000000; }}
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    location / {{
      proxy_pass http://engine;
      proxy_http_version 1.1;
      proxy_set_header Connection \"\";
      proxy_read_timeout 900s;
    }}
  }}
}}
"
    );
    let config_path = folder.join("nginx.conf");
    fs::write(&config_path, config)?;
    let mut command = Command::new(&site.place.nginx);
    command
        .arg("-p")
        .arg(folder)
        .arg("-c")
        .arg(&config_path)
        .args(["-e", "error.log"]);
    Ok(Launch {
        version: said(&site.place.nginx, "-v"),
        ..Launch::of(command)
    })
}
