//! Runs the command as a shell does, and makes build folders for it.

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use gatekeeper_model::ids::Sha256;
use serde_json::{Value, json};

pub(crate) const SHA: &str = "3f1c9a0b5d7e2468ace013579bdf02468ace1357";

/// What a run of the command came to.
pub(crate) struct Run {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Run {
    /// All of it, for a snapshot.
    pub(crate) fn shown(&self) -> String {
        format!("exit {}\n--- stdout\n{}--- stderr\n{}", self.code, self.stdout, self.stderr)
    }
}

/// Runs the command in an environment that holds nothing of the caller's.
pub(crate) fn gatekeeper(arguments: &[&str]) -> Run {
    gatekeeper_with(arguments, &[])
}

/// The same with variables in its environment.
pub(crate) fn gatekeeper_with(arguments: &[&str], variables: &[(&str, &str)]) -> Run {
    gatekeeper_in(Path::new("."), arguments, variables)
}

/// The same in a folder.
pub(crate) fn gatekeeper_in(folder: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> Run {
    let output = Command::new(env!("CARGO_BIN_EXE_gatekeeper"))
        .args(arguments)
        .current_dir(folder)
        .env_clear()
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .envs(variables.iter().copied())
        .envs(std::env::var_os("TMPDIR").map(|folder| ("TMPDIR", folder)))
        .output();
    let Output { status, stdout, stderr } = output.unwrap();
    Run {
        code: status.code().unwrap(),
        stdout: String::from_utf8(stdout).unwrap(),
        stderr: String::from_utf8(stderr).unwrap(),
    }
}

/// A build folder of one module with one function.
pub(crate) struct Build {
    root: tempfile::TempDir,
    pub(crate) manifest: Value,
}

impl Build {
    /// A commit that is Built: real bytes, and a manifest that says the truth about them.
    pub(crate) fn built() -> Self {
        let root = tempfile::tempdir().unwrap();
        let zip = bundle(&[("index.mjs", b"export const handler = async () => ({ statusCode: 200 });\n")]);
        let template = json!({
            "Parameters": {"ArtefactBucket": {"Type": "String"}, "ArtefactPrefix": {"Type": "String"}},
            "Resources": {"AuthorisePaymentFn": {"Type": "AWS::Lambda::Function", "Properties": {
                "Runtime": "nodejs22.x",
                "Handler": "index.handler",
                "Role": {"Fn::GetAtt": ["Role", "Arn"]},
                "Code": {
                    "S3Bucket": {"Ref": "ArtefactBucket"},
                    "S3Key": {"Fn::Sub": "${ArtefactPrefix}/functions/authorise-payment.zip"}
                }
            }}, "Role": {"Type": "AWS::IAM::Role", "Properties": {"AssumeRolePolicyDocument": {}}}}
        });
        let template = template.to_string().into_bytes();
        let digest = |bytes: &[u8]| Sha256::of(bytes).to_string();
        let manifest = json!({
            "schema_version": 1,
            "repo": "bank-payments",
            "commit_sha": SHA,
            "branch": "main",
            "timestamp": "2026-05-02T03:04:05Z",
            "modules": [{
                "id": "MOD-012",
                "functions": [{"name": "authorise-payment", "sha256": digest(&zip), "size": zip.len(),
                               "stack": "payments-api", "logical_id": "AuthorisePaymentFn"}],
                "stacks": [{"name": "payments-api", "sha256": digest(&template), "size": template.len()}]
            }],
            "tests": {
                "typecheck": {"errors": 0},
                "unit": {"passed": 210, "failed": 0, "skipped": 0, "line_coverage": 87.1, "function_coverage": 84.0},
                "policy": {"passed": 12, "failed": 0, "skipped": 0, "policies_satisfied": ["POL-004"]},
                "integration": {"passed": 31, "failed": 0, "skipped": 0, "run_integration": true,
                                "deployed": [{"function": "authorise-payment", "code_sha256": digest(&zip)}]}
            },
            "deploy": {"stage": "dev", "succeeded": true}
        });
        let build = Self { root, manifest };
        build.write("modules/MOD-012/functions/authorise-payment.zip", &zip);
        build.write("modules/MOD-012/cloudformation/payments-api.json", &template);
        build
    }

    /// The folder, with its manifest as it is now.
    pub(crate) fn folder(&self) -> &Path {
        self.write("build-manifest.json", self.manifest.to_string().as_bytes());
        self.root.path()
    }

    /// Writes a file of the folder.
    pub(crate) fn write(&self, path: &str, bytes: &[u8]) -> PathBuf {
        let path = self.root.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, bytes).unwrap();
        path
    }
}

/// A ZIP archive, as a build tool makes one.
pub(crate) fn bundle(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, bytes) in files {
        zip.start_file(*name, zip::write::SimpleFileOptions::default()).unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap().into_inner()
}
