//! `gatekeeper collect`: what a build tool wrote, unmodified, becomes the folder that `gatekeeper publish` takes.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use gatekeeper_model::{
    ids::{ApplicationName, ModuleId, Sha256, StackName, StageName},
    manifest::{Asset, Function, Stack, SynthesisedFor},
    store_key::ArtefactPath,
};
use serde::Serialize;
use serde_json::json;

use crate::{
    assembly::{
        self, Collected, Said, Zipper,
        archive::{self, Archives},
    },
    build_folder,
    exit::{Answer, Misuse},
    output::{Output, faint, good},
};

const NOTES: &str = "\
ASSEMBLY is the folder that `sst build` (.sst/dist), `cdk synth` (cdk.out), `serverless package` of the Serverless
Framework 3 (.serverless) or `sam build` (.aws-sam/build) wrote, as it is. Into DIR are written
  modules/MOD-NNN/cloudformation/STACK.json     each stack's template, byte for byte; of SAM the translated one
  modules/MOD-NNN/functions/NAME.zip            the code of each function, as cdk-assets or Serverless uploads it
  modules/MOD-NNN/assets/SHA256.EXT             what else templates take from the asset bucket: layers, nested stacks,
                                                files of a site, definitions, source maps
  build-manifest.json                           which function is of which stack, the stacks in the order in which they
                                                are applied, and what the templates were synthesised for
A stack is called as CloudFormation calls it, without SST's `STAGE-APPLICATION-` and Serverless' `-STAGE`; a function
STACK-LOGICALID.

The ZIPs of an assembly are written by the repository's own cdk-assets, which is looked for from ASSEMBLY upwards and run
by Node.js; those of Serverless are taken as they are; of SAM's folders they are written here. Files get the permissions
0644, or 0755 where their owner may execute them, so the same files make the same ZIP whatever the umask; a ZIP of an
earlier run in an assembly is not taken. Nothing is asked of AWS.

A template with SAM's transform is translated by the repository's own aws-sam-translator, so that nothing is left for
CloudFormation to write at deploy time. The translated template has its code in the bucket of `cdk bootstrap`.

A container image stays in its registry: the template names it, and `gatekeeper observe` tells the digest that dev ran.

What a promotion can't give to a stage is refused before anything is written, all of it at once: images in no registry of
ECR, nested assemblies (`Stage` of CDK), and assets that a template names without their bucket.

Exit codes:
  0  DIR is written
  2  wrong use, or an assembly that can't be taken
  3  Node.js, cdk-assets, Python or aws-sam-translator is missing, or failed

Examples:
  gatekeeper collect .sst/dist --module MOD-012
  gatekeeper collect cdk.out --module MOD-012 --out build/commit
  gatekeeper collect cdk.out --module MOD-012 --stage dev --application payments --cdk-assets tools --output json
  gatekeeper collect .serverless --module MOD-012
  gatekeeper collect .aws-sam/build --module MOD-012 --stack payments --python .venv/bin/python";

/// Makes the folder of a commit from what SST, CDK, Serverless or SAM built
#[derive(Debug, clap::Args)]
#[command(after_help = NOTES)]
pub(crate) struct Args {
    /// The folder that the build tool wrote
    #[arg(value_name = "ASSEMBLY")]
    assembly: PathBuf,
    /// The module that the stacks belong to
    #[arg(long, value_name = "MODULE")]
    module: ModuleId,
    /// The folder to write, which must not hold anything
    #[arg(long, value_name = "DIR", default_value = "build/commit")]
    out: PathBuf,
    /// The stage that it was synthesised for; of SST the stacks' tags tell it
    #[arg(long, value_name = "STAGE")]
    stage: Option<StageName>,
    /// The application, as the names of its stacks have it; of SST the stacks' tags tell it
    #[arg(long, value_name = "NAME")]
    application: Option<ApplicationName>,
    /// The folder whose `node_modules` holds cdk-assets, or cdk-assets itself; without it, it is looked for from the assembly
    /// upwards
    #[arg(long, value_name = "DIR")]
    cdk_assets: Option<PathBuf>,
    /// What the stack is called; of SAM, whose template does not tell it
    #[arg(long, value_name = "STACK")]
    stack: Option<StackName>,
    /// The Python that SAM's aws-sam-translator is installed for; without it, `python3` of the PATH
    #[arg(long, value_name = "FILE")]
    python: Option<PathBuf>,
}

/// What was written, as JSON.
#[derive(Debug, Serialize)]
struct Report {
    out: PathBuf,
    module: ModuleId,
    stacks: Vec<Written>,
    functions: Vec<Function>,
    assets: Vec<Asset>,
    synthesised_for: Option<SynthesisedFor>,
    /// The package that zipped functions' code and other assets, with its version; none where there are none.
    zipped_by: Option<String>,
    /// The package that wrote the template out of the one that was built, with its version; none where it is that one.
    #[serde(skip_serializing_if = "Option::is_none")]
    translated_by: Option<String>,
}

/// A stack that was written.
#[derive(Debug, Serialize)]
struct Written {
    #[serde(flatten)]
    stack: Stack,
    /// What CloudFormation calls it in the stage that it was synthesised for.
    stack_name: String,
}

pub(crate) fn run(args: &Args, output: &mut Output) -> anyhow::Result<Answer> {
    let assembly = args
        .assembly
        .canonicalize()
        .map_err(|error| Misuse(format!("`{}` can't be read: {error}", args.assembly.display())))?;
    check_out(&args.out)?;
    let said = Said {
        stage: args.stage.as_ref(),
        application: args.application.as_ref(),
        stack: args.stack.as_ref(),
        python: args.python.as_deref(),
    };
    // Beside what is written, so that an archive is moved there and not copied.
    let beside = args.out.ancestors().skip(1).find(|it| it.is_dir()).unwrap_or(Path::new("."));
    let work = tempfile::Builder::new().prefix(".gatekeeper-collect-").tempdir_in(beside);
    let work = work.with_context(|| format!("`{}` can't be written", args.out.display()))?;
    let collected = assembly::collect(&assembly, &said, work.path())?;
    for warning in &collected.warnings {
        output.warning(warning);
    }
    let cdk_assets = args.cdk_assets.as_ref().map(|it| it.canonicalize());
    let cdk_assets =
        cdk_assets.transpose().map_err(|error| Misuse(format!("`--cdk-assets` can't be read: {error}")))?;
    let from = cdk_assets.as_deref().unwrap_or(&assembly);
    let archives = match &collected.zipper {
        Zipper::CdkAssets { schema_version } => {
            archive::archive(&collected.sources, schema_version, from, work.path())?
        }
        Zipper::Own => {
            let files = collected.sources.iter().map(|it| it.path.clone()).collect();
            Archives { written_by: None, files }
        }
    };
    let Commit { stacks, functions, assets } = write(args, &collected, &archives.files, work.path())?;
    let report = Report {
        out: args.out.clone(),
        module: args.module.clone(),
        stacks,
        functions,
        assets,
        synthesised_for: collected.synthesised_for,
        zipped_by: archives.written_by,
        translated_by: collected.translated_by,
    };
    output.result(&report, &text(&report))?;
    Ok(Answer::Yes)
}

/// Whatever is in the folder would be published beside the assembly's files.
fn check_out(out: &Path) -> Result<(), Misuse> {
    let unusable = |why: String| Misuse(format!("`{}` {why}", out.display()));
    match fs::read_dir(out) {
        Ok(mut entries) => match entries.next() {
            None => Ok(()),
            Some(_) => Err(unusable("is not empty: remove it, or name another folder by `--out`".to_owned())),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(unusable(format!("can't be read: {error}"))),
    }
}

/// The archives of sources, of which several places may take one.
struct Archived<'a> {
    files: &'a [PathBuf],
    /// Where each that was hashed is now, with its digest and size.
    hashed: BTreeMap<usize, (PathBuf, Sha256, u64)>,
}

impl Archived<'_> {
    fn hash(&mut self, source: usize) -> io::Result<(Sha256, u64)> {
        if let Some((_, sha256, size)) = self.hashed.get(&source) {
            return Ok((*sha256, *size));
        }
        let file = self.files.get(source).ok_or(io::ErrorKind::NotFound)?;
        let (sha256, size) = build_folder::hash(File::open(file)?, |_| {})?;
        self.hashed.insert(source, (file.clone(), sha256, size));
        Ok((sha256, size))
    }

    /// Puts it where the commit has it: what was made in `work` is moved, and what others may need is copied.
    fn put(&mut self, source: usize, to: &Path, work: &Path) -> io::Result<()> {
        let (file, ..) = self.hashed.get_mut(&source).ok_or(io::ErrorKind::NotFound)?;
        if file.starts_with(work) && !file.starts_with(work.join("commit")) {
            fs::rename(&*file, to)?;
            to.clone_into(file);
            return Ok(());
        }
        // The same asset under the same digest is there already.
        if *file == to { Ok(()) } else { fs::copy(&*file, to).map(drop) }
    }
}

/// What a commit holds, as it was written.
struct Commit {
    stacks: Vec<Written>,
    functions: Vec<Function>,
    assets: Vec<Asset>,
}

/// Writes the folder, whole or not at all.
fn write(args: &Args, collected: &Collected, archives: &[PathBuf], work: &Path) -> anyhow::Result<Commit> {
    let (out, module) = (&args.out, &args.module);
    let failed = || format!("`{}` can't be written", out.display());
    let folder = work.join("commit");
    let mut archived = Archived { files: archives, hashed: BTreeMap::new() };
    let place = |path: &ArtefactPath| {
        let file = folder.join(path.to_string());
        file.parent().map_or(Ok(()), fs::create_dir_all).map(|()| file)
    };

    let mut stacks = Vec::new();
    for it in &collected.stacks {
        let file = place(&ArtefactPath::Template(module.clone(), it.name.clone())).with_context(failed)?;
        fs::write(file, &it.template).with_context(failed)?;
        let stack = Stack {
            name: it.name.clone(),
            sha256: Sha256::of(&it.template),
            size: it.template.len() as u64,
            depends_on: it.depends_on.clone(),
            tags: it.tags.clone(),
            termination_protection: it.termination_protection,
        };
        stacks.push(Written { stack, stack_name: it.stack_name.clone() });
    }
    let mut functions = Vec::new();
    for it in &collected.functions {
        let file = place(&ArtefactPath::Function(module.clone(), it.name.clone())).with_context(failed)?;
        let (sha256, size) = archived.hash(it.source).with_context(failed)?;
        archived.put(it.source, &file, work).with_context(failed)?;
        let (name, stack, logical_id) = (it.name.clone(), it.stack.clone(), it.logical_id.clone());
        functions.push(Function { name, sha256, size, stack, logical_id });
    }
    let mut assets = Vec::new();
    for it in &collected.assets {
        let (sha256, size) = archived.hash(it.source).with_context(failed)?;
        let asset = Asset { sha256, size, kind: it.kind, stack: it.stack.clone(), key: it.key.clone() };
        let file = place(&ArtefactPath::Asset(module.clone(), asset.file())).with_context(failed)?;
        archived.put(it.source, &file, work).with_context(failed)?;
        assets.push(asset);
    }
    let listed: Vec<_> = stacks.iter().map(|it| &it.stack).collect();
    let mut entry = json!({"id": module, "functions": functions, "stacks": listed});
    if let (Some(entry), false) = (entry.as_object_mut(), assets.is_empty()) {
        entry.insert("assets".to_owned(), json!(assets));
    }
    let mut document = json!({"modules": [entry]});
    if let (Some(document), Some(made_for)) = (document.as_object_mut(), &collected.synthesised_for) {
        document.insert("synthesised_for".to_owned(), json!(made_for));
    }
    let mut bytes = serde_json::to_vec_pretty(&document)?;
    bytes.push(b'\n');
    let file = place(&ArtefactPath::Manifest).with_context(failed)?;
    fs::write(file, bytes).with_context(failed)?;
    out.parent().map_or(Ok(()), fs::create_dir_all).with_context(failed)?;
    // In place of an empty folder, if there is one.
    fs::rename(&folder, out).with_context(failed)?;
    Ok(Commit { stacks, functions, assets })
}

fn text(report: &Report) -> String {
    let Report { out, module, stacks, functions, assets, synthesised_for, zipped_by, translated_by } = report;
    let mut text = format!("{}  {} of module {module}\n", good("collected"), out.display());
    if let Some(SynthesisedFor { account, region, stage, application, .. }) = synthesised_for {
        let _ = writeln!(text, "synthesised for account {account}, {region}, stage {stage}, application {application}");
    }
    text.push('\n');
    let width = stacks.iter().map(|it| it.stack.name.as_str().len()).max().unwrap_or(0);
    for Written { stack: Stack { name, depends_on, .. }, .. } in stacks {
        let line = format!("stack     {name:width$}  {}", faint(&list(depends_on)));
        let _ = writeln!(text, "{}", if depends_on.is_empty() { format!("stack     {name}") } else { line });
    }
    let width = functions.iter().map(|it| it.name.as_str().len()).max().unwrap_or(0);
    for Function { name, sha256, size, .. } in functions {
        let _ = writeln!(text, "function  {name:width$}  {sha256}  {size} bytes");
    }
    let width = assets.iter().map(|it| it.stack.as_str().len()).max().unwrap_or(0);
    for Asset { sha256, size, kind, stack, key } in assets {
        let kind = kind.as_str();
        let _ = writeln!(text, "{kind:8}  {stack:width$}  {sha256}  {size} bytes, {}", faint(key.as_str()));
    }
    let by = [("zipped", zipped_by), ("translated", translated_by)];
    for (index, (done, package)) in by.iter().filter_map(|(done, by)| Some((done, by.as_ref()?))).enumerate() {
        let _ = writeln!(text, "{}{done} by {package}", if index == 0 { "\n" } else { "" });
    }
    text
}

fn list(depends_on: &BTreeSet<StackName>) -> String {
    let names: Vec<_> = depends_on.iter().map(StackName::as_str).collect();
    format!("after {}", names.join(", "))
}
