//! Whether a bundle fits its function: the file behind a `Handler`, or the `bootstrap` of an OS-only runtime.

use std::io::{self, Read, Seek};

use gatekeeper_model::finding::Code;

use super::{Findings, bootstrap, shown, tree::Tree};
use crate::function_spec::FunctionSpec;

/// Where Lambda unpacks a bundle to.
pub(super) const TASK_ROOT: &str = "/var/task/";

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
        return bootstrap::check(archive, tree, spec.architecture, findings);
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
