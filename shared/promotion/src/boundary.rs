//! Stages in the gatekeeper's own account: what their templates make there is bound, so that it can't take over the gatekeeper.

use std::collections::BTreeMap;

use gatekeeper_model::finding::{Code, Finding};
use gatekeeper_readers::template::{Boundary, Template};

use crate::stage::Stage;

/// The parameter that the gatekeeper gives the boundary's ARN, for stages in its own account.
pub const BOUNDARY_PARAMETER: &str = "StageBoundaryArn";

/// Where the gatekeeper is, as far as what it promotes depends on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Home {
    /// The bucket that the artefacts are in.
    pub artefact_bucket: String,
    /// The permissions boundary of the stages' roles and users in the gatekeeper's own account, as an ARN.
    pub stage_boundary_arn: String,
    /// Whether somebody accepted that they have none (the template's parameter `SharedAccount`).
    pub is_shared: bool,
}

impl Home {
    /// A field of the boundary's ARN, `arn:{partition}:iam::{account}:policy/…`.
    fn field(&self, index: usize) -> &str {
        self.stage_boundary_arn.split(':').nth(index).unwrap_or_default()
    }

    /// The account that a stage is in: its role's, else the gatekeeper's own.
    #[must_use]
    pub fn account_of<'a>(&'a self, stage: &'a Stage) -> &'a str {
        let account = stage.role_arn.as_deref().and_then(|role| role.split(':').nth(4));
        account.filter(|account| !account.is_empty()).unwrap_or_else(|| self.field(4))
    }

    /// Whether a stage is in the gatekeeper's own account.
    #[must_use]
    pub fn hosts(&self, stage: &Stage) -> bool {
        // What names no account isn't another one.
        self.account_of(stage) == self.field(4)
    }

    /// The roles and users of a template that the boundary doesn't bind, in one finding about `subject`. `given` are the
    /// values of its parameters, but for those that have their default.
    pub(super) fn unbound(
        &self,
        stage: &Stage,
        template: &Template,
        given: &BTreeMap<String, String>,
        subject: &str,
    ) -> Option<Finding> {
        if self.is_shared || !self.hosts(stage) {
            return None;
        }
        let mut values: BTreeMap<_, _> = template
            .parameters
            .iter()
            .filter_map(|(name, parameter)| Some((name.clone(), parameter.default.clone()?)))
            .chain(given.iter().map(|(name, value)| (name.clone(), value.clone())))
            .collect();
        values.insert("AWS::AccountId".to_owned(), self.field(4).to_owned());
        values.insert("AWS::Partition".to_owned(), self.field(1).to_owned());
        let unbound: Vec<_> = template
            .principals
            .iter()
            .filter_map(|(id, boundary)| Some(format!("`{id}` ({})", self.wrong(boundary, &values)?)))
            .collect();
        if unbound.is_empty() {
            return None;
        }
        let boundary = &self.stage_boundary_arn;
        let message = format!(
            "the stage is in the gatekeeper's own account, where `PermissionsBoundary` of each role and user must be \
             `{boundary}` (the parameter `{BOUNDARY_PARAMETER}`); it isn't of {}. Name it, or put the stage into an account of \
             its own",
            unbound.join(", ")
        );
        Some(Finding::new(Code::BoundaryMissing, subject, message))
    }

    /// Why a principal isn't bound; `None` where it is.
    fn wrong(&self, boundary: &Boundary, values: &BTreeMap<String, String>) -> Option<String> {
        match boundary {
            Boundary::Unnamed => Some("names none".to_owned()),
            Boundary::Untold(why) => Some(why.clone()),
            Boundary::Named(named) => named.iter().find_map(|text| match text.resolve(values) {
                Some(resolved) if resolved == self.stage_boundary_arn => None,
                Some(resolved) => Some(format!("names `{resolved}`")),
                None => Some(format!("names `{text}`, whose value is not known")),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use gatekeeper_readers::template;
    use serde_json::{Value, json};

    use super::*;

    const ARN: &str = "arn:aws:iam::111122223333:policy/gatekeeper/gatekeeper-stage-boundary";

    fn home(is_shared: bool) -> Home {
        Home { artefact_bucket: "artefacts".to_owned(), stage_boundary_arn: ARN.to_owned(), is_shared }
    }

    fn stage(role_arn: Option<&str>) -> Stage {
        serde_json::from_value(json!({ "role_arn": role_arn })).unwrap()
    }

    /// What is said of a template with one principal.
    fn said(r#type: &str, boundary: &Value, home: &Home, stage: &Stage) -> Option<String> {
        let mut properties = json!({});
        if !boundary.is_null() {
            properties["PermissionsBoundary"] = boundary.clone();
        }
        let template = json!({
            "Parameters": {
                "StageBoundaryArn": {"Type": "String"}, "Other": {"Type": "String", "Default": "arn:x"}, "Unknown": {"Type": "String"},
            },
            "Conditions": {"Yes": {"Fn::Equals": ["a", "a"]}},
            "Resources": {"It": {"Type": r#type, "Properties": properties}},
        });
        let (_, read) = template::inspect(template.to_string().as_bytes(), "t");
        let given = [(BOUNDARY_PARAMETER.to_owned(), ARN.to_owned())].into();
        let finding = home.unbound(stage, &read.unwrap(), &given, "t")?;
        assert_eq!(finding.code, Code::BoundaryMissing);
        let (_, of) = finding.message.split_once("it isn't of ").unwrap();
        Some(of.split_once(". Name it").unwrap().0.to_owned())
    }

    fn cdk() -> Value {
        let path = ":policy/gatekeeper/gatekeeper-stage-boundary";
        json!({"Fn::Join": ["", ["arn:", {"Ref": "AWS::Partition"}, ":iam::", {"Ref": "AWS::AccountId"}, path]]})
    }

    #[test]
    fn in_the_gatekeepers_account_every_role_and_user_names_the_boundary() {
        let here = stage(None);
        for (boundary, expected) in [
            (json!(null), Some("`It` (names none)")),
            (json!({"Ref": "AWS::NoValue"}), Some("`It` (has none under one of its conditions)")),
            (
                json!("arn:aws:iam::aws:policy/AdministratorAccess"),
                Some("`It` (names `arn:aws:iam::aws:policy/AdministratorAccess`)"),
            ),
            (json!({"Ref": "Other"}), Some("`It` (names `arn:x`)")),
            (json!({"Ref": "Unknown"}), Some("`It` (names `${Unknown}`, whose value is not known)")),
            (
                json!({"Fn::If": ["Yes", cdk(), {"Ref": "AWS::NoValue"}]}),
                Some("`It` (has none under one of its conditions)"),
            ),
            (json!({"Fn::If": ["Yes", cdk(), "arn:y"]}), Some("`It` (names `arn:y`)")),
            (
                json!(ARN.to_uppercase()),
                Some("`It` (names `ARN:AWS:IAM::111122223333:POLICY/GATEKEEPER/GATEKEEPER-STAGE-BOUNDARY`)"),
            ),
            (json!(ARN), None),
            (json!({"Ref": "StageBoundaryArn"}), None),
            (
                json!({"Fn::Sub": "arn:${AWS::Partition}:iam::${AWS::AccountId}:policy/gatekeeper/gatekeeper-stage-boundary"}),
                None,
            ),
            (json!({"Fn::If": ["Yes", cdk(), {"Ref": "StageBoundaryArn"}]}), None),
            (cdk(), None),
        ] {
            for r#type in ["AWS::IAM::Role", "AWS::IAM::User"] {
                assert_eq!(said(r#type, &boundary, &home(false), &here).as_deref(), expected, "{type} {boundary}");
            }
            assert_eq!(said("AWS::IAM::Policy", &boundary, &home(false), &here), None);
        }
        let told = said("AWS::IAM::Role", &json!({"Fn::GetAtt": ["It", "Arn"]}), &home(false), &here).unwrap();
        assert!(told.contains("uses `Fn::GetAtt`"), "{told}");
        assert!(said("AWS::IAM::Role", &json!([ARN]), &home(false), &here).is_some());
    }

    #[test]
    fn it_is_asked_for_in_that_account_only_and_where_nobody_accepted_to_go_without() {
        let none = json!(null);
        let own = "arn:aws:iam::111122223333:role/stage";
        for (role, expected) in [
            (None, true),
            (Some(own), true),
            (Some("stage"), true),
            (Some("arn:aws:iam::444455556666:role/stage"), false),
        ] {
            assert_eq!(said("AWS::IAM::Role", &none, &home(false), &stage(role)).is_some(), expected, "{role:?}");
            assert_eq!(said("AWS::IAM::Role", &none, &home(true), &stage(role)), None, "{role:?}");
        }
    }
}
