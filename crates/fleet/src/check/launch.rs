//! How an engine is started.

use super::Check;
use crate::at::At;
use crate::model::{Builtin, Engine, Launch, LaunchWhat, ModelKind, placeholders};
use crate::problem::nearest;
use crate::raw::{RawLaunch, RawModel, RawReplica};
use crate::shape::brief;
use std::collections::BTreeMap;
use std::ops::Range;

/// What `{…}` in a command line can stand for.
const PLACEHOLDERS: [&str; 6] = [
    "port",
    "socket",
    "model_path",
    "served_name",
    "slots",
    "context_tokens",
];

/// Longest start and stop, in seconds, where the file names none; the schema shows the same.
const START_S_MAX_DEFAULT: u64 = 300;
const STOP_S_MAX_DEFAULT: u64 = 30;

impl Check<'_, '_> {
    pub(super) fn launch(
        &mut self,
        at: &At<RawLaunch>,
        replica: &RawReplica,
        model: Option<&RawModel>,
    ) -> Option<Launch> {
        let raw = &at.value;
        let what = match (&raw.command, &raw.builtin) {
            (Some(command), None) => self.command(command, raw, model).map(LaunchWhat::Command),
            (None, Some(builtin)) => {
                self.builtin(builtin, replica, model);
                Some(LaunchWhat::Builtin(builtin.value))
            }
            (command, _) => {
                let both = command.is_some();
                if both || !self.lost.contains("replica") {
                    let message = if both {
                        "a launch has `command` and `builtin`, it can have only one"
                    } else {
                        "a launch has neither `command` nor `builtin`"
                    };
                    self.report
                        .error("choose_one", &at.span, message)
                        .help("command = [\"program\", \"argument\", …], or builtin = \"llama.cpp\" or \"e5\"");
                }
                None
            }
        };
        let env = self.env(raw);
        let ready = self.ready(raw);
        Some(Launch {
            what: what?,
            env: env?,
            ready: ready?,
            start_s_max: raw
                .start_s_max
                .as_ref()
                .map_or(START_S_MAX_DEFAULT, |at| at.value),
            stop_s_max: raw
                .stop_s_max
                .as_ref()
                .map_or(STOP_S_MAX_DEFAULT, |at| at.value),
            port: raw.port.as_ref().map(|at| at.value),
        })
    }

    fn command(
        &mut self,
        command: &At<Vec<At<String>>>,
        launch: &RawLaunch,
        model: Option<&RawModel>,
    ) -> Option<Vec<String>> {
        let arguments = &command.value;
        if arguments
            .first()
            .is_none_or(|program| program.value.trim().is_empty())
        {
            self.report
                .error("launch_invalid", &command.span, "the command is empty")
                .help("command = [\"program\", \"argument\", …]");
            return None;
        }
        let mut used: BTreeMap<&str, &At<String>> = BTreeMap::new();
        for argument in arguments {
            self.argument(argument);
            for name in placeholders(&argument.value) {
                if let Some(known) = PLACEHOLDERS.iter().find(|p| **p == name) {
                    used.entry(known).or_insert(argument);
                } else {
                    self.unknown_placeholder(name, &PLACEHOLDERS, &argument.span);
                }
            }
        }
        self.address(command, launch, &used);
        let no_weights = model.is_some_and(|m| m.weights.is_none());
        if let (Some(argument), true) = (used.get("model_path"), no_weights && self.sure("model")) {
            self.report
                .error("weights_missing", &argument.span, "`{model_path}` is used, but the model has no `weights`")
                .help("add weights = { sha256 = \"…\", sources = [ … ] } to the model, or write the path itself");
        }
        Some(arguments.iter().map(|a| a.value.clone()).collect())
    }

    /// Whether absences in a table can be held against it.
    pub(super) fn sure(&self, table: &str) -> bool {
        self.report.is_whole() && !self.lost.contains(table)
    }

    fn argument(&mut self, argument: &At<String>) {
        if argument.value.contains('\0') {
            self.report
                .error(
                    "launch_invalid",
                    &argument.span,
                    "an argument has no NUL character",
                )
                .help("take it out");
        }
        // Arguments of a process can be read by everyone on its machine.
        let remedy = "let the engine read its key from a file or from its own configuration";
        self.secret(&argument.value, &argument.span, remedy);
    }

    pub(super) fn unknown_placeholder(&mut self, name: &str, known: &[&str], span: &Range<usize>) {
        let message = format!("`{{{}}}` is no placeholder", brief(name));
        let help = match nearest(name, known.iter().copied()) {
            Some(near) => format!("did you mean `{{{near}}}`?"),
            None => {
                let known: Vec<String> = known.iter().map(|p| format!("{{{p}}}")).collect();
                format!("known: {}", known.join(", "))
            }
        };
        self.report
            .error("placeholder_unknown", span, message)
            .help(help);
    }

    /// Madang must know where the engine will listen, once.
    fn address(
        &mut self,
        command: &At<Vec<At<String>>>,
        launch: &RawLaunch,
        used: &BTreeMap<&str, &At<String>>,
    ) {
        let port = used.get("port");
        match (used.get("socket"), port, &launch.port) {
            (None, None, None) if self.sure("replica") => {
                self.report
                    .error(
                        "launch_invalid",
                        &command.span,
                        "the command does not say where the engine listens",
                    )
                    .help(
                        "use {port} or {socket} in an argument, or give the launch a fixed `port`",
                    );
            }
            (Some(socket), Some(port), _) => {
                self.report
                    .error(
                        "launch_invalid",
                        &socket.span,
                        "the command uses `{socket}` and `{port}`",
                    )
                    .help("use one of the two")
                    .related(&port.span, "the port");
            }
            (Some(socket), None, Some(port)) => {
                self.report
                    .error(
                        "launch_invalid",
                        &port.span,
                        "the launch has a `port`, but its command listens on `{socket}`",
                    )
                    .help("take out one of the two")
                    .related(&socket.span, "the socket");
            }
            _ => {}
        }
    }

    fn builtin(&mut self, at: &At<Builtin>, replica: &RawReplica, model: Option<&RawModel>) {
        let (name, engine, kind) = match at.value {
            Builtin::LlamaCpp => ("llama.cpp", Engine::LlamaCpp, ModelKind::Chat),
            Builtin::E5 => ("e5", Engine::OpenAi, ModelKind::Embedding),
        };
        if let Some(given) = replica
            .engine
            .as_ref()
            .filter(|given| given.value != engine)
        {
            let word = if engine == Engine::OpenAi {
                "openai"
            } else {
                "llama.cpp"
            };
            self.report
                .error(
                    "builtin_mismatch",
                    &given.span,
                    format!("the built-in {name} speaks the dialect \"{word}\""),
                )
                .help(format!("write engine = \"{word}\", or leave it out"))
                .related(&at.span, "the built-in engine");
        }
        let Some(model) = model else { return };
        let model_kind = model.kind.as_ref().map_or(ModelKind::Chat, |at| at.value);
        if model_kind != kind && self.sure("model") {
            let (needs, help) = match kind {
                ModelKind::Chat => ("chat", "start the engine with a `command` for embeddings"),
                ModelKind::Embedding => ("embedding", "add kind = \"embedding\" to the model"),
            };
            let entry = self.report.error(
                "builtin_mismatch",
                &at.span,
                format!("the built-in {name} needs a model of kind \"{needs}\""),
            );
            let entry = entry.help(help);
            if let Some(id) = &model.id {
                entry.related(&id.span, "this model");
            }
        }
        match (at.value, &model.weights) {
            (Builtin::LlamaCpp, None) if self.sure("model") => {
                self.report
                    .error(
                        "weights_missing",
                        &at.span,
                        "the built-in llama.cpp needs a model with `weights`",
                    )
                    .help("add weights = { sha256 = \"…\", sources = [ … ] } to the model");
            }
            (Builtin::E5, Some(weights)) => {
                self.report
                    .warning(
                        "key_without_effect",
                        &weights.span,
                        "the built-in e5 brings its own weights",
                    )
                    .help("take `weights` out")
                    .related(&at.span, "the built-in engine");
            }
            _ => {}
        }
    }

    fn env(&mut self, launch: &RawLaunch) -> Option<BTreeMap<String, String>> {
        let mut env = BTreeMap::new();
        let mut sound = true;
        for (key, at) in launch.env.iter().flatten() {
            if key.is_empty() || key.contains(['=', '\0']) || at.value.contains('\0') {
                self.report
                    .error(
                        "launch_invalid",
                        &at.span,
                        "a variable's name has no '=' and is not empty, and nothing in it is NUL",
                    )
                    .help("write env = { NAME = \"value\" }");
                sound = false;
            }
            let remedy =
                "let the engine read its key from a file, or set the variable for madang itself";
            sound &= !self.secret(&at.value, &at.span, remedy);
            env.insert(key.clone(), at.value.clone());
        }
        sound.then_some(env)
    }

    fn ready(&mut self, launch: &RawLaunch) -> Option<String> {
        let Some(at) = &launch.ready else {
            return Some("/health".into());
        };
        let wrong = |c: char| c.is_whitespace() || c.is_control() || c == '#' || !c.is_ascii();
        if at.value.starts_with('/') && !at.value.contains(wrong) {
            return Some(at.value.clone());
        }
        let message = format!(
            "`ready` is a path that begins with '/', not \"{}\"",
            brief(&at.value)
        );
        self.report
            .error("launch_invalid", &at.span, message)
            .help("for example ready = \"/health\"");
        None
    }
}
