//! What Pulumi itself remembers of an update: its history, and the state that the update left.

use std::{collections::BTreeMap, fs, path::Path, process::Command};

use aws_config::Region;
use gatekeeper_aws::{TlsRoots, config_loader, pulumi::PulumiStack};
use gatekeeper_model::{
    ids::CommitSha,
    manifest::{PulumiState, PulumiUpdate},
    telemetry::chain,
};
use gatekeeper_readers::pulumi::{
    backend::{S3Backend, StateObject, without_credentials},
    history,
    history::Update,
    state,
    state::State,
};
use jiff::Timestamp;
use serde::Deserialize;

/// Which update is looked for.
#[derive(Debug)]
pub(crate) struct Asked<'a> {
    /// Pulumi's command.
    pub(crate) pulumi: &'a Path,
    /// The program's folder.
    pub(crate) folder: &'a Path,
    /// The stack, which is called as the stage is.
    pub(crate) stack: &'a str,
    /// The commit of the program.
    pub(crate) sha: &'a CommitSha,
    /// When the step began.
    pub(crate) started_at: Timestamp,
}

/// What `pulumi whoami --verbose --json` prints.
#[derive(Deserialize)]
struct Whoami {
    url: String,
}

impl Asked<'_> {
    /// The update; or every reason why it isn't shown.
    pub(crate) async fn update(&self) -> Result<PulumiUpdate, Vec<String>> {
        let update = self.newest().map_err(|reason| vec![reason])?;
        let reasons = self.reasons(&update);
        if !reasons.is_empty() {
            return Err(reasons);
        }
        self.with_state(update).await.map_err(|reason| vec![reason])
    }

    /// The newest entry of the stack's history.
    fn newest(&self) -> Result<Update, String> {
        let printed = self.run(&["stack", "history", "--stack", self.stack, "--json", "--page-size", "1"])?;
        let read = history::newest(printed.as_slice()).map_err(|error| error.to_string())?;
        let newest =
            read.map_err(|wrong| format!("what `pulumi stack history --json` prints can't be read: {wrong}"))?;
        newest.ok_or_else(|| format!("the stack `{}` was never updated", self.stack))
    }

    /// Why the entry is not that of the update that the step made.
    fn reasons(&self, update: &Update) -> Vec<String> {
        let Update { kind, result, started_at, ended_at, head, is_dirty, .. } = update;
        let stack = self.stack;
        // Pulumi keeps whole seconds. Nothing else of an older one matters.
        if started_at.as_second() < self.started_at.as_second() {
            return vec![format!(
                "the newest update of the stack `{stack}` began at {started_at}, before the step at {:.0}: the command \
                 updated another stack, or none",
                self.started_at
            )];
        }
        let mut reasons = Vec::new();
        if kind != "update" {
            reasons.push(format!("the newest entry of its history is of `{kind}`, not of `update`"));
        }
        if result != "succeeded" || ended_at.is_none() {
            reasons.push(format!("the update came to `{result}`"));
        }
        match head {
            Some(head) if head == self.sha.as_str() => {}
            Some(head) => {
                reasons.push(format!("the update was made from the commit `{head}`, not from `{}`", self.sha));
            }
            None => reasons.push("Pulumi does not tell which commit the update was made from".to_owned()),
        }
        match is_dirty {
            Some(false) => {}
            Some(true) => reasons.push("the update was made from a folder with uncommitted changes".to_owned()),
            None => reasons.push("Pulumi does not tell whether the program's folder held changes".to_owned()),
        }
        reasons
    }

    async fn with_state(&self, update: Update) -> Result<PulumiUpdate, String> {
        let printed = self.run(&["whoami", "--verbose", "--json"])?;
        let Whoami { url } = serde_json::from_slice(&printed)
            .map_err(|_| "what `pulumi whoami --verbose --json` prints tells no backend".to_owned())?;
        let exported = self.run(&["stack", "export", "--stack", self.stack])?;
        let exported = state::read(exported.as_slice()).map_err(|error| error.to_string())?;
        let exported = exported.map_err(|wrong| format!("the stack's state can't be read: {wrong}"))?;
        let (project, stack) = exported.place().ok_or("the stack's state holds no stack")?;
        let (backend, object) = match url.parse::<S3Backend>() {
            Ok(backend) => (backend.to_string(), Some(self.object(&url, backend, project, stack).await?)),
            Err(_) => (without_credentials(&url), None),
        };
        let State { engine, plugins, .. } = object.as_ref().and_then(|it| it.state.as_ref().ok()).unwrap_or(&exported);
        Ok(PulumiUpdate {
            backend,
            project: project.to_owned(),
            stack: stack.to_owned(),
            kind: update.kind,
            result: update.result,
            git_head: update.head,
            git_dirty: update.is_dirty,
            step_started_at: self.started_at,
            started_at: update.started_at,
            ended_at: update.ended_at,
            resource_changes: update.changes,
            version: update.version,
            engine: engine.clone(),
            plugins: plugins.clone(),
            packages: packages(self.folder),
            state: object.map(|it| PulumiState {
                key: it.key,
                version_id: it.version_id,
                sha256: it.sha256,
                size: it.size,
            }),
        })
    }

    /// The state as the bucket holds it, which must be what the update left.
    async fn object(&self, url: &str, backend: S3Backend, project: &str, stack: &str) -> Result<StateObject, String> {
        let mut loader = config_loader(TlsRoots::Native);
        for (name, value) in settings(url) {
            loader = match name {
                "region" => loader.region(Region::new(value.to_owned())),
                "profile" => loader.profile_name(value),
                _ => loader,
            };
        }
        let place = backend.to_string();
        let read = PulumiStack::of(&loader.load().await, backend, project, stack).await;
        // Entries are named after when they were written, by the same clock.
        let look = read
            .look(self.started_at)
            .await
            .map_err(|error| format!("the stack's state in `{place}` could not be looked at: {}", chain(&error)))?;
        let state = look.state.ok_or_else(|| format!("`{place}` holds no state of the stack"))?;
        match look.entries.first().and_then(|entry| entry.checkpoint_sha256) {
            Some(left) if left == state.sha256 => Ok(state),
            Some(_) => Err(format!("the state `{}` is not the one that the update left", state.key)),
            None => Err(format!("`{place}` holds no copy of the state that the update left")),
        }
    }

    /// What a command of Pulumi's prints.
    fn run(&self, arguments: &[&str]) -> Result<Vec<u8>, String> {
        let said = format!("`pulumi {}`", arguments.join(" "));
        let mut command = Command::new(self.pulumi);
        command.args(arguments).arg("--non-interactive").current_dir(self.folder);
        let ended = command.output().map_err(|error| format!("{said} can't be started: {error}"))?;
        if ended.status.success() {
            return Ok(ended.stdout);
        }
        let why = String::from_utf8_lossy(&ended.stderr);
        let why = why.trim().lines().last().unwrap_or_default();
        Err(format!("{said} failed: {}", gatekeeper_model::finding::plain(why)))
    }
}

/// The settings behind an address: `s3://bucket?region=eu-west-1&profile=platform`.
fn settings(url: &str) -> impl Iterator<Item = (&str, &str)> {
    url.split_once('?').map_or("", |(_, settings)| settings).split('&').filter_map(|it| it.split_once('='))
}

/// The packages of Pulumi's own that a Node.js program has installed, each with its version.
fn packages(folder: &Path) -> BTreeMap<String, String> {
    #[derive(Deserialize)]
    struct Package {
        version: String,
    }
    let Ok(installed) = fs::read_dir(folder.join("node_modules/@pulumi")) else { return BTreeMap::new() };
    let names = installed.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let versions = names.filter_map(|name| {
        let text = fs::read(folder.join("node_modules/@pulumi").join(&name).join("package.json")).ok()?;
        let Package { version } = serde_json::from_slice(&text).ok()?;
        Some((format!("@pulumi/{name}"), version))
    });
    versions.collect()
}
