//! Whether a bundle fits its function: the `bootstrap` of an OS-only runtime, the file behind a `Handler`.

use std::io::{self, Read, Seek};

use super::{Findings, contents, record::Fields, shown, tree::Tree};
use crate::{
    artefact::{Architecture, FunctionSpec},
    finding::Code,
};

/// Where Lambda unpacks a bundle to.
const TASK_ROOT: &str = "/var/task/";

/// Checks what the function's runtime starts. Java and .NET look up a class, which no file name tells; runtimes that
/// we don't know are not checked either. `archive` is given where its entries can be read.
pub(super) fn check(
    archive: Option<&mut (impl Read + Seek)>,
    tree: &Tree<'_>,
    spec: &FunctionSpec,
    findings: &mut Findings<'_>,
) -> io::Result<()> {
    let runtime = spec.runtime.as_str();
    if runtime.starts_with("provided") {
        return check_bootstrap(archive, tree, spec.architecture, findings);
    }
    let Some(handler) = &spec.handler else {
        return Ok(());
    };
    // An absolute path elsewhere, as wrappers like `/opt/nodejs/node_modules/datadog-lambda-js/handler.handler` have
    // it, names a file of a layer.
    let local = handler.strip_prefix(TASK_ROOT).unwrap_or(handler);
    if local.starts_with('/') {
        return Ok(());
    }
    let found = if runtime.starts_with("nodejs") {
        node(tree, runtime, local)
    } else if runtime.starts_with("python") {
        python(tree, local)
    } else if runtime.starts_with("ruby") {
        ruby(tree, local)
    } else {
        true
    };
    if !found {
        findings.say(
            Code::HandlerMissing,
            format!("the archive does not hold the file of the handler `{}`", shown(handler.as_bytes())),
        );
    }
    Ok(())
}

/// Node.js takes the last path component up to its first dot, and tries it as it is and with each suffix; a folder as
/// `require` does (`UserFunction.js` of aws-lambda-nodejs-runtime-interface-client).
fn node(tree: &Tree<'_>, runtime: &str, handler: &str) -> bool {
    let base = handler.rsplit('/').next().unwrap_or(handler);
    let folder = handler.strip_suffix(base).unwrap_or_default();
    let (Some((module, _)), false) = (base.split_once('.'), handler.contains("..")) else {
        return false;
    };
    let stem = format!("{folder}{module}");
    let major = runtime.trim_start_matches("nodejs").split('.').next().and_then(|it| it.parse::<u32>().ok());
    let typescript: &[&str] = if major >= Some(24) { &[".ts", ".mts", ".cts"] } else { &[] };
    ["", ".js", ".mjs", ".cjs", "/index.js", "/package.json"]
        .iter()
        .chain(typescript)
        .any(|suffix| tree.file(&format!("{stem}{suffix}")).is_some())
}

/// Python imports everything before the last dot, slashes read as dots (`bootstrap.py` of
/// aws-lambda-python-runtime-interface-client): a module, a package, their compiled forms, or an extension module.
fn python(tree: &Tree<'_>, handler: &str) -> bool {
    let Some((module, _)) = handler.rsplit_once('.') else {
        return false;
    };
    let stem = module.replace('.', "/");
    if stem.split('/').any(str::is_empty) {
        return false;
    }
    [stem.clone(), format!("{stem}/__init__")].iter().any(|stem| {
        let extension = |name: &[u8]| {
            let rest = name.strip_prefix(stem.as_bytes());
            rest.is_some_and(|rest| rest.starts_with(b".") && rest.ends_with(b".so") && !rest.contains(&b'/'))
        };
        [".py", ".pyc"].iter().any(|suffix| tree.file(&format!("{stem}{suffix}")).is_some())
            || tree.files().any(extension)
    })
}

/// Ruby requires everything before the first dot of the last path component
/// (<https://docs.aws.amazon.com/lambda/latest/dg/ruby-handler.html>).
fn ruby(tree: &Tree<'_>, handler: &str) -> bool {
    let base = handler.rsplit('/').next().unwrap_or(handler);
    let folder = handler.strip_suffix(base).unwrap_or_default();
    base.split_once('.').is_some_and(|(file, _)| tree.file(&format!("{folder}{file}.rb")).is_some())
}

/// OS-only runtimes start an executable `bootstrap` at the root
/// (<https://docs.aws.amazon.com/lambda/latest/dg/runtimes-custom.html>), which may be a script.
fn check_bootstrap(
    archive: Option<&mut (impl Read + Seek)>,
    tree: &Tree<'_>,
    architecture: Architecture,
    findings: &mut Findings<'_>,
) -> io::Result<()> {
    let mut missing = |message: &str| findings.say(Code::BootstrapMissing, message);
    let Some(entry) = tree.file("bootstrap") else {
        missing("there is no file `bootstrap` at the archive's root");
        return Ok(());
    };
    match entry.mode {
        None => missing("`bootstrap` has no Unix permissions, so Lambda can't execute it: make the archive on Unix"),
        Some(mode) if mode & 0o111 == 0 => missing("`bootstrap` is not executable"),
        Some(_) => {}
    }
    let Some(archive) = archive else {
        return Ok(());
    };
    if entry.opaque {
        return Ok(());
    }
    if let Some(message) = wrong_program(&contents::head(archive, entry, 20)?, architecture) {
        findings.say(Code::ArchitectureMismatch, format!("`bootstrap` {message}"));
    }
    Ok(())
}

/// Why a program that starts with `head` can't run on `architecture` (ELF-64 object file format, `elf(5)`).
fn wrong_program(head: &[u8], architecture: Architecture) -> Option<String> {
    if head.starts_with(b"#!") {
        return None;
    }
    let Some(rest) = head.strip_prefix(b"\x7fELF") else {
        return Some("is neither an ELF program nor a script".to_owned());
    };
    // 64-bit, little-endian; then padding up to the type and the machine.
    let (Some([2, 1, ..]), Some(tail)) = (rest.get(..2), rest.get(12..16)) else {
        return Some("is not a 64-bit little-endian ELF program".to_owned());
    };
    let mut fields = Fields(tail);
    let (kind, machine) = (fields.u16(), fields.u16());
    let (wanted, name) = match architecture {
        Architecture::X86_64 => (62, "x86_64"),
        Architecture::Arm64 => (183, "arm64"),
    };
    // An executable, or a position-independent one.
    if !matches!(kind, 2 | 3) {
        return Some("is an ELF file but not a program".to_owned());
    }
    (machine != wanted).then(|| {
        let machine = match machine {
            62 => "x86_64".to_owned(),
            183 => "arm64".to_owned(),
            other => format!("ELF machine {other}"),
        };
        format!("is built for {machine}, the template says {name}")
    })
}
