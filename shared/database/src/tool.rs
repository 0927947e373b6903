//! Running a program as a child: with nothing of this process's environment, within a time, and with its secret in a file
//! that has no name.

use std::{
    io::{Seek as _, Write as _},
    os::unix::fs::PermissionsExt as _,
    process::Stdio,
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _},
    process::Command,
    time::timeout,
};

use super::{Database, DatabaseError, error::capped};

/// The most that a program may say on its standard error, in bytes.
const MAX_STDERR: u64 = 256 * 1024;
/// What Flyway's Java starts with: a short life is over before a better compiler pays, which halves its CPU time.
const JAVA_ARGS: &str = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC";

/// What a program is run with.
pub(super) struct Tool {
    pub(super) program: &'static str,
    pub(super) arguments: Vec<String>,
    /// What it reads as its standard input: the secret.
    pub(super) input: String,
    /// A file beside it in its folder, by name.
    pub(super) file: Option<(&'static str, &'static str)>,
    /// The most that it may put out, in bytes.
    pub(super) max_output: u64,
}

/// How a program ended.
pub(super) struct Ended {
    pub(super) success: bool,
    pub(super) output: Vec<u8>,
    /// Without the password.
    pub(super) errors: String,
}

/// The child and everything that it started: Flyway's script starts a Java. Ended when it is dropped.
struct Group(Option<Pid>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            // It may have ended by itself; there is nothing else to do about a failure.
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

impl Database {
    /// Runs a program to its end.
    ///
    /// Its input is a file without a name, readable by this user only: neither another process's argument list nor its
    /// environment nor a disk holds the secret, and nothing is left of it when this process is killed.
    pub(super) async fn run(&self, tool: Tool) -> Result<Ended, DatabaseError> {
        let program = tool.program;
        let failed = |what: &str, error: &dyn std::fmt::Display| DatabaseError::Tool {
            tool: program,
            message: format!("{what}: {error}"),
        };
        // Its home and its working folder: what lies in either could configure it.
        let home = tempfile::tempdir().map_err(|error| failed("its folder", &error))?;
        if let Some((name, text)) = tool.file {
            std::fs::write(home.path().join(name), text).map_err(|error| failed("its script", &error))?;
        }
        let input = secret_file(&tool.input).map_err(|error| failed("its input", &error))?;

        let mut command = Command::new(program);
        command
            .args(&tool.arguments)
            .current_dir(home.path())
            .env_clear()
            .env("PATH", &self.tools.path)
            .env("HOME", home.path())
            .env("LANG", "C.UTF-8")
            .env("TZ", "UTC")
            .env("JAVA_ARGS", JAVA_ARGS)
            .env("REDGATE_DISABLE_TELEMETRY", "true")
            .stdin(Stdio::from(input))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true);
        if let Some(java_home) = &self.tools.java_home {
            command.env("JAVA_HOME", java_home);
        }
        let mut child = command.spawn().map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => DatabaseError::ToolMissing(program),
            _ => failed("it can't be started", &error),
        })?;
        let mut group = Group(child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw));

        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let work = async {
            let (output, errors) = tokio::try_join!(read(stdout, tool.max_output), read(stderr, MAX_STDERR))?;
            Ok::<_, std::io::Error>((output, errors, child.wait().await?))
        };
        let Ok(ended) = timeout(self.limits.tool, work).await else {
            return Err(DatabaseError::TimedOut { tool: program, seconds: self.limits.tool.as_secs() });
        };
        let (output, errors, status) = ended.map_err(|error| failed("it can't be listened to", &error))?;
        // All of the group that held its output has ended, and the number may soon be another's.
        group.0 = None;
        let errors = self.target.redactor().redact(&String::from_utf8_lossy(&errors));
        Ok(Ended { success: status.success(), output, errors })
    }

    /// The error of a program that failed, by what it said.
    pub(super) fn failure(program: &'static str, errors: &str) -> DatabaseError {
        DatabaseError::connection(errors, None)
            .unwrap_or_else(|| DatabaseError::Tool { tool: program, message: capped(errors) })
    }

    /// The same database, with `tool` as the longest time of a program.
    #[must_use]
    pub(super) fn briefly(&self, tool: Duration) -> Self {
        let limits = super::Limits { tool: tool.min(self.limits.tool), ..self.limits };
        self.clone().within(limits)
    }
}

async fn read(from: Option<impl AsyncRead + Unpin>, most: u64) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if let Some(from) = from {
        from.take(most + 1).read_to_end(&mut bytes).await?;
    }
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > most {
        return Err(std::io::Error::other(format!("it puts out more than {most} bytes")));
    }
    Ok(bytes)
}

/// A file without a name that holds `text`, mode 0600.
fn secret_file(text: &str) -> std::io::Result<std::fs::File> {
    let mut file = tempfile::tempfile()?;
    // libpq ignores a password file that others may read.
    file.set_permissions(std::fs::Permissions::from_mode(0o600))?;
    file.write_all(text.as_bytes())?;
    file.rewind()?;
    Ok(file)
}
