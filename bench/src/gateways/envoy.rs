//! Envoy as a plain proxy: what others build their gateways on.

use super::launch::{Launch, Site};
use super::{Adapter, Kind, Part};
use serde_json::json;
use std::fs;
use tokio::process::Command;

/// One worker, as nginx.
pub const ADAPTER: Adapter = Adapter {
    name: "envoy",
    kind: Kind::Proxy,
    by_default: false,
    part: Part::Whole,
    launch,
};

/// Connections and requests at once, to the upstream.
const AT_ONCE_MAX: u32 = 32_768;
const TYPES: &str = "type.googleapis.com/envoy.extensions.filters";

fn launch(site: &Site<'_>) -> anyhow::Result<Launch> {
    let address =
        |port: u16| json!({"socket_address": {"address": "127.0.0.1", "port_value": port}});
    let manager = json!({
        "@type": format!("{TYPES}.network.http_connection_manager.v3.HttpConnectionManager"),
        "stat_prefix": "bench",
        "route_config": {"virtual_hosts": [{
            "name": "all",
            "domains": ["*"],
            "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "engine", "timeout": "900s"}}],
        }]},
        "http_filters": [{
            "name": "envoy.filters.http.router",
            "typed_config": {"@type": format!("{TYPES}.http.router.v3.Router")},
        }],
    });
    let config = json!({"static_resources": {
        "listeners": [{
            "address": address(site.port),
            "filter_chains": [{"filters": [{
                "name": "envoy.filters.network.http_connection_manager",
                "typed_config": manager,
            }]}],
        }],
        "clusters": [{
            "name": "engine",
            "connect_timeout": "5s",
            "circuit_breakers": {"thresholds": [{
                "max_connections": AT_ONCE_MAX,
                "max_pending_requests": AT_ONCE_MAX,
                "max_requests": AT_ONCE_MAX,
            }]},
            "load_assignment": {"cluster_name": "engine", "endpoints": [{"lb_endpoints": [
                {"endpoint": {"address": address(site.upstream.port())}},
            ]}]},
        }],
    }});
    let config_path = site.folder.join("envoy.json");
    fs::write(&config_path, config.to_string())?;
    let mut command = Command::new(site.home.join("bin/envoy"));
    command
        .arg("-c")
        .arg(&config_path)
        // Without it two on one machine share memory by a fixed name.
        .args(["--concurrency", "1", "--use-dynamic-base-id"])
        .current_dir(&site.folder);
    Ok(Launch::of(command))
}
