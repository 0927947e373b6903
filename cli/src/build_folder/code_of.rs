//! Which function a bundle is the code of, where a template says so without a doubt.

use gatekeeper_model::{
    ids::{ModuleId, StackName},
    store_key::ArtefactPath,
};
use gatekeeper_readers::{
    template,
    template::{Code, PREFIX_PARAMETER, Text},
};
use serde_json::Value;

use super::BuildFile;

/// A function of a template whose code is no text of the template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TemplateFunction {
    module: ModuleId,
    /// The stack, as the repository calls it.
    pub(crate) stack: StackName,
    /// Its logical id.
    pub(crate) logical_id: String,
    named: Named,
}

/// How a template names a function's code.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Named {
    /// By its place in the store, `${ArtefactPrefix}/…`.
    Stored(Text),
    /// By CDK's asset: the end of its key, and the file that it was made of (`aws:asset:path`).
    Asset { key: Option<String>, path: Option<String> },
}

/// The functions of the template of `stack`, one of `module`'s.
pub(crate) fn functions(module: &ModuleId, stack: &StackName, bytes: &[u8]) -> Vec<TemplateFunction> {
    let Some(template) = template::read(bytes) else { return Vec::new() };
    let document: Value = serde_json::from_slice(bytes).unwrap_or_default();
    let asset_path = |id: &str| {
        let metadata = document.get("Resources")?.get(id)?.get("Metadata")?;
        Some(metadata.get("aws:asset:path")?.as_str()?.to_owned())
    };
    let functions = template.functions.iter().filter_map(|(id, function)| {
        let named = match &function.code {
            Code::ArtefactStore { key } => Named::Stored(key.clone()),
            Code::AssetBucket { key, .. } => {
                Named::Asset { key: key.as_literal().map(str::to_owned), path: asset_path(id) }
            }
            Code::Inline | Code::Image | Code::Refused => return None,
        };
        Some(TemplateFunction { module: module.clone(), stack: stack.clone(), logical_id: id.clone(), named })
    });
    functions.collect()
}

impl TemplateFunction {
    /// Whether `bundle` is its code: named by its own place in the store, by its digest, or by its file.
    fn is_of(&self, bundle: &BuildFile) -> bool {
        let ArtefactPath::Function(module, name) = &bundle.path else { return false };
        match &self.named {
            // A promotion passes the folder of the stack's own module.
            Named::Stored(key) => {
                *module == self.module
                    && *key == Text::reference(PREFIX_PARAMETER).then(&format!("/functions/{name}.zip"))
            }
            Named::Asset { key, path } => {
                let zip = |path: &Option<String>| {
                    let last = path.as_deref()?.rsplit(['/', '\\']).next()?;
                    Some(last.strip_suffix(".zip")?.to_owned())
                };
                zip(key) == Some(bundle.sha256.to_string()) || zip(path).as_deref() == Some(name.as_str())
            }
        }
    }
}

/// The one function that `bundle` is the code of; `None` where no function or more than one has it as its code.
pub(crate) fn the_one<'a>(functions: &'a [TemplateFunction], bundle: &BuildFile) -> Option<&'a TemplateFunction> {
    let mut fitting = functions.iter().filter(|function| function.is_of(bundle));
    fitting.next().filter(|_| fitting.next().is_none())
}

#[cfg(test)]
mod tests {
    use gatekeeper_model::ids::Sha256;
    use serde_json::json;

    use super::*;

    fn bundle(path: &str) -> BuildFile {
        BuildFile {
            path: ArtefactPath::parse(path).unwrap(),
            file: "f.zip".into(),
            size: 3,
            sha256: Sha256::of(b"zip"),
        }
    }

    /// A template of functions with this code, and this `aws:asset:path`.
    fn of(functions: &[(&str, Value, Option<&str>)]) -> Vec<TemplateFunction> {
        let mut resources = json!({});
        for (id, code, path) in functions {
            resources[id] = json!({"Type": "AWS::Lambda::Function", "Metadata": {"aws:asset:path": path}, "Properties": {
                "Runtime": "nodejs22.x", "Handler": "index.handler", "Code": code
            }});
        }
        let template = json!({
            "Parameters": {"ArtefactBucket": {"Type": "String"}, "ArtefactPrefix": {"Type": "String"}},
            "Resources": resources
        });
        super::functions(&"MOD-012".parse().unwrap(), &"payments-api".parse().unwrap(), template.to_string().as_bytes())
    }

    fn stored(name: &str) -> Value {
        json!({"S3Bucket": {"Ref": "ArtefactBucket"}, "S3Key": {"Fn::Sub": format!("${{ArtefactPrefix}}/functions/{name}.zip")}})
    }

    fn asset(key: &str) -> Value {
        json!({"S3Bucket": {"Fn::Sub": "cdk-hnb659fds-assets-${AWS::AccountId}-${AWS::Region}"}, "S3Key": key})
    }

    fn found(functions: &[(&str, Value, Option<&str>)], path: &str) -> Option<String> {
        the_one(&of(functions), &bundle(path)).map(|it| it.logical_id.clone())
    }

    #[test]
    fn a_place_in_the_store_names_its_bundle() {
        let functions = [("PayFn", stored("pay"), None), ("RefundFn", stored("refund"), None)];
        assert_eq!(found(&functions, "modules/MOD-012/functions/pay.zip").as_deref(), Some("PayFn"));
        assert_eq!(found(&functions, "modules/MOD-012/functions/settle.zip"), None);
        // The same name in another module is another bundle.
        assert_eq!(found(&functions, "modules/MOD-013/functions/pay.zip"), None);
    }

    #[test]
    fn an_asset_names_its_bundle_by_digest_or_by_file() {
        let digest = Sha256::of(b"zip");
        let by_digest = [("PayFn", asset(&format!("{digest}.zip")), None)];
        assert_eq!(found(&by_digest, "modules/MOD-012/functions/pay.zip").as_deref(), Some("PayFn"));
        let other = "0".repeat(64);
        let by_file = [("PayFn", asset(&format!("{other}.zip")), Some("../dist/pay.zip"))];
        assert_eq!(found(&by_file, "modules/MOD-012/functions/pay.zip").as_deref(), Some("PayFn"));
        let staged = [("PayFn", asset(&format!("{other}.zip")), Some("asset.0000.zip"))];
        assert_eq!(found(&staged, "modules/MOD-012/functions/pay.zip"), None);
    }

    #[test]
    fn two_functions_of_one_bundle_are_a_doubt() {
        let functions = [("PayFn", stored("pay"), None), ("PayAgainFn", stored("pay"), None)];
        assert_eq!(found(&functions, "modules/MOD-012/functions/pay.zip"), None);
    }

    #[test]
    fn what_is_no_template_has_no_functions() {
        let (module, stack) = ("MOD-012".parse().unwrap(), "payments-api".parse().unwrap());
        assert_eq!(super::functions(&module, &stack, b"{}"), []);
        assert_eq!(super::functions(&module, &stack, b"no JSON"), []);
    }
}
