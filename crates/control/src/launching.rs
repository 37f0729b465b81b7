//! From the fleet's words to a supervised engine: what is started, where it listens, when it is ready.

use crate::probe_client;
use madang_executor::{
    EngineAddress as LaunchAddress, LaunchError, LaunchSpec, Supervisor, SupervisorHandle,
    SupervisorOptions, Values, fill,
};
use madang_fleet::{Launch, LaunchWhat, Model, Replica};
use madang_gateway::client::{EngineAddress, EngineClient};
use madang_provision::{EngineShape, Listen, Prepared};
use madang_types::{ModelId, ReplicaId};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Everything that decides how a replica is started or reached. Where it differs after a reload, the engine is new.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Plan {
    pub id: ReplicaId,
    pub replica: Replica,
    pub model_id: ModelId,
    pub model: Model,
}

/// What launches have in common.
#[derive(Clone)]
pub(crate) struct Launcher {
    pub supervisor: SupervisorOptions,
    pub run_dir: PathBuf,
    pub client: EngineClient,
}

impl Launcher {
    /// Starts the engine of `plan` under supervision.
    pub fn start(
        &self,
        plan: &Plan,
        launch: &Launch,
        prepared: &Prepared,
        log_bytes_max: u64,
    ) -> SupervisorHandle {
        let recipe = Recipe {
            replica: plan.id.clone(),
            command: command(plan, launch, prepared),
            model_path: prepared
                .models
                .get(&plan.model_id)
                .map(|path| path.display().to_string()),
            served_name: plan.replica.upstream_model.clone(),
            slots: plan.replica.slots,
            context_tokens: plan.model.context_tokens,
            launch: launch.clone(),
            run_dir: self.run_dir.clone(),
            log_bytes_max,
        };
        let client = self.client.clone();
        let ready_path = launch.ready.clone();
        let ready = move |address: LaunchAddress| {
            let (client, path) = (client.clone(), ready_path.clone());
            async move {
                let address = gateway_address(&address).map_err(|e| e.to_string())?;
                probe_client::ready(&client, &address, &path).await
            }
        };
        Supervisor::start(
            plan.id.clone(),
            self.supervisor.clone(),
            move || recipe.spec(),
            ready,
        )
    }
}

/// The same address in the client's words.
pub(crate) fn gateway_address(address: &LaunchAddress) -> Result<EngineAddress, String> {
    EngineAddress::parse(&address.to_string()).map_err(|e| e.to_string())
}

type Command = Result<(Vec<String>, BTreeMap<String, String>), String>;

/// Program, arguments (placeholders not yet filled) and environment.
fn command(plan: &Plan, launch: &Launch, prepared: &Prepared) -> Command {
    match &launch.what {
        LaunchWhat::Command(command) => Ok((command.clone(), launch.env.clone())),
        LaunchWhat::Builtin(builtin) => {
            let engine = prepared
                .engine(*builtin)
                .ok_or("the engine's package is not installed")?;
            let shape = EngineShape {
                slots: plan.replica.slots,
                context_tokens: plan.model.context_tokens,
                listen: if launch.port.is_some() {
                    Listen::Port
                } else {
                    Listen::Socket
                },
            };
            let mut env = engine.env.clone();
            env.extend(launch.env.clone());
            Ok((engine.command(shape), env))
        }
    }
}

/// All that a start needs; the address is picked anew each time.
struct Recipe {
    replica: ReplicaId,
    command: Command,
    model_path: Option<String>,
    served_name: String,
    slots: u32,
    context_tokens: u64,
    launch: Launch,
    run_dir: PathBuf,
    log_bytes_max: u64,
}

impl Recipe {
    fn spec(&self) -> Result<LaunchSpec, LaunchError> {
        let (command, env) = self
            .command
            .as_ref()
            .map_err(|reason| LaunchError::Prepare(reason.clone()))?;
        let wants_socket = command.iter().any(|argument| argument.contains("{socket}"));
        let address = match (self.launch.port, wants_socket) {
            (Some(port), _) => LaunchAddress::Port(port),
            (None, true) => LaunchAddress::socket(&self.run_dir, &self.replica)?,
            (None, false) => LaunchAddress::free_port()?,
        };
        let values = Values {
            address: address.clone(),
            model_path: self.model_path.clone(),
            served_name: self.served_name.clone(),
            slots: self.slots,
            context_tokens: self.context_tokens,
        };
        let mut filled = fill(command, &values)?.into_iter();
        let program = filled
            .next()
            .ok_or_else(|| LaunchError::Prepare("the launch command is empty".into()))?;
        Ok(LaunchSpec {
            replica: self.replica.clone(),
            program: program.into(),
            args: filled.collect(),
            env: env.clone(),
            address,
            start_ms_max: self.launch.start_s_max.saturating_mul(1000),
            stop_ms_max: self.launch.stop_s_max.saturating_mul(1000),
            log_bytes_max: self.log_bytes_max,
            run_dir: self.run_dir.clone(),
        })
    }
}
