//! What the gate finds wrong, and the one table of every code that it may say.

use serde::{Deserialize, Serialize};

/// One reason why something is refused. Checks collect every finding rather than stop at the first.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Finding {
    /// What kind of thing is wrong: a stable word that alarms and scripts may match.
    pub code: Code,
    /// What is wrong and, where it helps, what to do: lower-case, no full stop.
    pub message: String,
    /// What it is about: an object's key, a function, a test suite or a field.
    pub subject: String,
}

impl Finding {
    /// A finding of kind `code` about `subject`.
    pub fn new(code: Code, subject: impl Into<String>, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), subject: subject.into() }
    }
}

/// What somebody else wrote, as a message may quote it: control characters, which a terminal would obey, are replaced.
#[must_use]
pub fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// Makes the enum of codes, their spelling and their documentation from one table.
macro_rules! codes {
    ($($variant:ident $word:literal $meaning:literal;)*) => {
        /// A stable kebab-case word for each kind of finding (CONTRACT §4). `Code::ALL` is the documented table.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum Code {
            $(#[doc = $meaning] #[serde(rename = $word)] $variant,)*
        }

        impl Code {
            /// Every code with its meaning, in the order of the documentation.
            pub const ALL: &'static [(Code, &'static str)] = &[$((Code::$variant, $meaning),)*];

            /// Whether a finding of this kind only warns: it is told, and nothing is refused because of it.
            #[must_use]
            pub fn is_warning(self) -> bool {
                matches!(
                    self,
                    Self::ReportExitCodeUntold
                        | Self::TemplateNamesStage
                        | Self::BundleNamesStage
                        | Self::TestsUnexplained
                        | Self::ZipDanglingLink
                        | Self::DbtBuildWarned
                        | Self::DbtSourceUnchecked
                )
            }

            /// The word itself, as it stands in verdicts and logs.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Code::$variant => $word,)* }
            }
        }
    };
}

codes! {
    // The store.
    ArtefactMissing "artefact-missing" "an artefact that the manifest lists is not in the store";
    DigestMismatch "digest-mismatch" "an object's SHA-256 is not the one that the manifest lists";
    SizeMismatch "size-mismatch" "an object's size is not the one that the manifest lists";
    UnlistedArtefact "unlisted-artefact" "an object of the commit is not listed in its manifest";
    KeyOutsideLayout "key-outside-layout" "an object's key is outside the layout of the store";
    ManifestMissing "manifest-missing" "the commit has no build manifest yet";
    TagLimit "tag-limit" "an object has so many tags of others that the gate's own have no room";

    // The manifest.
    ManifestInvalid "manifest-invalid" "the build manifest is not one: not JSON, too large, or a field is missing or malformed";
    ManifestVersionUnknown "manifest-version-unknown" "the build manifest has a `schema_version` that this gate does not know";
    ManifestMismatch "manifest-mismatch" "the build manifest names another repository or commit than its key";
    DuplicateEntry "duplicate-entry" "the build manifest lists the same thing twice";
    UnknownReference "unknown-reference" "an entry of the build manifest refers to a stack, function or database that it does not list";
    StackOrderInvalid "stack-order-invalid" "the build manifest lists a stack before one that must be there first, by `depends_on` or by an import of its export, or stacks need each other in a circle";

    // Lambda ZIPs.
    ZipInvalid "zip-invalid" "a Lambda bundle is not a ZIP archive that every parser reads alike";
    ZipUnsafePath "zip-unsafe-path" "an entry's name is absolute, climbs, or holds a drive, a backslash or a control character";
    ZipDuplicateEntry "zip-duplicate-entry" "an archive holds two entries of the same name";
    ZipUnsafeSymlink "zip-unsafe-symlink" "a symbolic link leaves the archive's tree";
    ZipDanglingLink "zip-dangling-link" "a symbolic link of a package manager leads to a folder that the bundle does not bring, and Lambda has none there: whoever loads it fails";
    ZipUnreadable "zip-unreadable" "Lambda could not read an entry: its permissions keep others than the owner out";
    ZipEncrypted "zip-encrypted" "an entry is encrypted";
    ZipUnsupported "zip-unsupported" "an entry uses a compression method or feature that Lambda does not take";
    ZipOverlap "zip-overlap" "entries share bytes, or bytes of the archive belong to no entry";
    ZipContentMismatch "zip-content-mismatch" "an entry's real size or CRC-32 is not the declared one";
    ZipTooLarge "zip-too-large" "an archive unzips to more than Lambda's 250 MB, or has too many entries";
    BootstrapMissing "bootstrap-missing" "a bundle for an OS-only runtime has no executable `bootstrap` at its root";
    BootstrapInvalid "bootstrap-invalid" "a bundle's `bootstrap` can't be started: it is cut off, or what should run it is not there";
    ArchitectureMismatch "architecture-mismatch" "a bundle's `bootstrap` is not an ELF program of the template's architecture";
    HandlerMissing "handler-missing" "a bundle does not hold the file that the template's `Handler` names";
    BundleNamesStage "bundle-names-stage" "a bundle holds dev's account, or its stage beside the application's name, so in another stage it would use dev's things";
    BundleNotPortable "bundle-not-portable" "a bundle holds dev's account, or its stage beside the application's name, and the policy refuses that";

    // CloudFormation templates.
    TemplateInvalid "template-invalid" "a template is not JSON of a template's shape, or repeats a key";
    TemplateTooLarge "template-too-large" "a template is larger than 1 MB or has more than 500 resources";
    TemplateNotSelfContained "template-not-self-contained" "a template fetches or generates something at deploy time, so its bytes are not what is deployed";
    TemplateCodeOutsideStore "template-code-outside-store" "code that a template runs, or content that it takes from an asset bucket, is not one of the commit's stored bundles and assets, nor an image by its digest or by a tag of ECR, nor a vendor's layer";
    TemplateTypeUnknown "template-type-unknown" "a template has a resource type or a property that nobody has judged, so it may carry code";
    TemplateNotPortable "template-not-portable" "a template names an account or an asset bucket literally, so it fits one stage only";
    TemplateFormInvalid "template-form-invalid" "no form of a template that fits any stage can be derived from what the manifest declares";
    TemplateNamesStage "template-names-stage" "a template names the stage that it was synthesised for, so another stage would use dev's things";
    LogicalIdInvalid "logical-id-invalid" "a `logical_id` of the manifest is not a Lambda function of its stack's template";

    // Flyway migrations.
    FlywayNameInvalid "flyway-name-invalid" "a migration file's name is none that Flyway would run: it would be passed over in silence";
    FlywayNotUtf8 "flyway-not-utf8" "a migration file is not UTF-8, which Flyway can't read";
    FlywayFileTooLarge "flyway-file-too-large" "a migration file is larger than 64 MiB";
    FlywayChecksumMismatch "flyway-checksum-mismatch" "a stored migration file is not the one that Flyway validated: it was edited";
    FlywayFileMissing "flyway-file-missing" "Flyway validated a migration file that is not stored";
    FlywayFileExtra "flyway-file-extra" "a stored migration file is not one that Flyway validated";
    FlywayFileRenamed "flyway-file-renamed" "a migration file has another name than the one that Flyway validated";
    FlywayOrder "flyway-order" "the manifest lists migrations in another order than Flyway runs them";
    FlywayDuplicateVersion "flyway-duplicate-version" "two migration files have the same version or the same description, so Flyway runs neither";
    FlywaySettingUnsupported "flyway-setting-unsupported" "a `flyway.toml` or a script's `.conf` holds a setting that is not used alike in dev and in every stage";
    FlywayHistoryElsewhere "flyway-history-elsewhere" "a table of the form of Flyway's schema history lies where no configuration says that one does";

    // Schema snapshots.
    SchemaSnapshotMissing "schema-snapshot-missing" "a migrated database has no snapshot of the schema that was tested";
    SchemaSnapshotInvalid "schema-snapshot-invalid" "a schema snapshot is not a whole plain SQL dump of one database by `pg_dump`";
    SchemaSnapshotHoldsData "schema-snapshot-holds-data" "a schema snapshot holds rows, sequence positions or statistics: a leak of data";
    SchemaSnapshotHoldsSecret "schema-snapshot-holds-secret" "a schema snapshot holds a password or its hash";
    SchemaSnapshotsDiffer "schema-snapshots-differ" "two snapshots of one database are not of the same schema";

    // dbt.
    DbtManifestInvalid "dbt-manifest-invalid" "a dbt manifest is not one that the gate can read: schema v4 or newer, with nodes of kinds that it knows";
    DbtNotCompiled "dbt-not-compiled" "a dbt manifest holds models, snapshots or tests without their compiled code, as after `dbt parse`, `dbt ls` or a build that failed";
    DbtRunResultsInvalid "dbt-run-results-invalid" "a `run_results.json` is not one that the gate can read: schema v4 or newer, with the results of one run";
    DbtRunResultsMissing "dbt-run-results-missing" "a dbt manifest has no `run_results.json` of the build behind it, and the policy asks for it";
    DbtRunMismatch "dbt-run-mismatch" "a `run_results.json` is not of the run that wrote the dbt manifest beside it";
    DbtBuildPartial "dbt-build-partial" "the run behind a dbt manifest was no whole `dbt build` of the commit: another command, a selection, or an option with which a stage's build would come to something else";
    DbtBuildFailed "dbt-build-failed" "a node of dbt's build failed, was skipped, or came to an end that the gate does not know";
    DbtBuildWarned "dbt-build-warned" "nodes of dbt's build ended with a warning";
    DbtTargetMismatch "dbt-target-mismatch" "dbt built on another target, adapter or database than dev's";
    DbtSourceMissing "dbt-source-missing" "a dbt model reads a table that the tested schema of the commit's database does not have";
    DbtSourceUnchecked "dbt-source-unchecked" "nothing of the commit tells whether a table is there that dbt's models read";

    // Test and coverage reports.
    ReportInvalid "report-invalid" "a report can't be recounted: it is not of its format, or broken off";
    ReportTooLarge "report-too-large" "a report is larger than 256 MiB, or there are more than 50,000 integration tests, which can't be compared";
    ReportContradictory "report-contradictory" "a report contradicts itself or another one of its suite";
    ReportMismatch "report-mismatch" "the manifest's figures are not those that the reports show";
    ReportFormatUnknown "report-format-unknown" "a report's suite or format is none that the gate knows, but a typo away from one that it does";
    ReportExitCodeUntold "report-exit-code-untold" "a suite has a report but not the exit code of its process, and many reports don't show every failure";
    ReportMissing "report-missing" "a suite has no report that can be recounted, and the policy or the branch's last Built commit asks for one";

    // ADR-053's Built conditions.
    TypecheckMissing "typecheck-missing" "the manifest does not tell the type check's result";
    TypecheckFailed "typecheck-failed" "the type check found errors";
    UnitMissing "unit-missing" "the manifest does not tell the unit tests' result, or none ran";
    UnitFailed "unit-failed" "unit tests failed";
    CoverageBelowThreshold "coverage-below-threshold" "line or function coverage is below what ADR-053 or the policy asks, or not told";
    PolicyMissing "policy-missing" "the manifest does not tell the policy tests' result";
    PolicyFailed "policy-failed" "policy tests failed";
    PolicyUncovered "policy-uncovered" "there are fewer policy tests than rows of `policies_satisfied`, or none is named after a row and the policy asks for it";
    FlywayMissing "flyway-missing" "a database of the commit has no `flyway validate` result";
    FlywayInvalid "flyway-invalid" "`flyway validate` did not pass";
    DeployMissing "deploy-missing" "the manifest does not tell the deploy step's result";
    DeployFailed "deploy-failed" "the deploy step did not succeed";
    IntegrationGuardOff "integration-guard-off" "`RUN_INTEGRATION=1` was not set, so the integration tests skip themselves";
    IntegrationMissing "integration-missing" "no integration test passed";
    IntegrationFailed "integration-failed" "integration tests failed";
    IntegrationSkipped "integration-skipped" "integration tests were skipped, are still to do, or did not run";
    TestsUnexplained "tests-unexplained" "a header in a report of the unit or policy tests tells of tests that no case shows and nothing explains";
    OutcomeRefused "outcome-refused" "tests came to an end that the policy refuses, such as flaky ones or expected failures";
    TestedBytesMissing "tested-bytes-missing" "nothing tells which code of a function, which layers of a stack, or which image behind a tag the integration tests exercised";
    TestedBytesMismatch "tested-bytes-mismatch" "the integration tests exercised other bytes of a function than the stored ones";
    TestedTemplatesMissing "tested-templates-missing" "nothing tells which template a stack had that the integration tests ran against";
    TestedTemplatesMismatch "tested-templates-mismatch" "a stack that the integration tests ran against had another template than the stored one";
    PulumiMismatch "pulumi-mismatch" "the Pulumi program's commit is not this commit";
    PulumiHistoryMismatch "pulumi-history-mismatch" "what Pulumi itself remembers of the update is not told, or is no whole update of the stage's stack from a clean checkout of this commit";
    DcmIncomplete "dcm-incomplete" "DCM plan and deploy did not both complete";
    DbtBuildIncomplete "dbt-build-incomplete" "`dbt build` did not complete, or its manifest is not stored";
    ExitCodeFailed "exit-code-failed" "a process that ran tests did not exit with 0, whatever its report says";
    ExitCodeMissing "exit-code-missing" "the manifest does not tell the exit code of a process that ran tests, and the policy requires it";
    PulumiMissing "pulumi-missing" "the manifest of the repository of Pulumi programs names no program";
    IntegrationVanished "integration-vanished" "an integration test of the branch's last Built commit is gone and not named in `removed_tests`";
    // Who built it.
    ProvenanceMissing "provenance-missing" "nothing proves who built the commit, and the policy asks for it";
    ProvenanceInvalid "provenance-invalid" "a bundle of the commit's provenance can't be verified: a signature, a certificate, a time or a log entry does not hold, or it is no SLSA provenance";
    ProvenanceBuilderNotAllowed "provenance-builder-not-allowed" "the commit's provenance is signed by a workflow, an identity provider or a key that the policy does not allow for the repository";
    ProvenanceOtherCommit "provenance-other-commit" "the commit's provenance is of a build of another commit";
    ProvenanceSubjectMissing "provenance-subject-missing" "an object of the commit is not among what its builder says that it built, so that its bytes may come from somebody else";
    Revoked "revoked" "this manifest version was taken back after it was Built";

    // Promotion.
    NotBuilt "not-built" "the commit's verdict is not `built`";
    AttestationMissing "attestation-missing" "a signature that the promotion rests on is not there: the gate's that the commit is Built, or promotion's that the earlier stage took it";
    AttestationInvalid "attestation-invalid" "a signed statement does not hold: another key signed it, its bytes were changed, or it is about something else";
    VerdictStale "verdict-stale" "the stored objects are not those that the verdict was given on";
    TagNotTrue "tag-not-true" "an object of the commit is not tagged `integration-passed=true`";
    LedgerBroken "ledger-broken" "the ledger of the stage and repository does not prove what it tells: an entry or its signed head is gone or was changed";
    StageRecordAltered "stage-record-altered" "the document that tells what a stage runs is not the one that the stage's ledger was signed over";
    LedgerRolledBack "ledger-rolled-back" "the ledger is not the one that the witness outside has seen: entries were removed with their head, or the chain went on from an older one";
    TrustRootExpired "trust-root-expired" "the trust root, which names the keys that count, has expired, so an older one than there is may be told";
    WitnessBehind "witness-behind" "the witness outside has not been given the newest entries of the ledger, so nobody could tell if they were removed";
    WitnessUnreachable "witness-unreachable" "the witness outside can't be read, so nobody can tell whether the ledger is the one that it has seen";
    StageUnknown "stage-unknown" "the stage is not configured";
    StagesConfigInvalid "stages-config-invalid" "`config/stages.json` is missing or not valid";
    IdentitiesConfigInvalid "identities-config-invalid" "`config/identities.json` is not valid, so nobody can tell whose approval counts";
    ReplacementNotAccepted "replacement-not-accepted" "a stack's change set would replace or remove a resource that holds data, and the request does not accept that by its name";
    ImageNotInStage "image-not-in-stage" "the stage's registry does not have the image that was tested in dev under the tag that a template names";
    NameTaken "name-taken" "the name that a template gives a new resource, or an export, is held by another stack of the stage's account";
    PromotionInProgress "promotion-in-progress" "another promotion of this repository to this stage is running";
    NeverPromoted "never-promoted" "a rollback's commit was never promoted to this stage";
    NothingToRollBackTo "nothing-to-roll-back-to" "no earlier commit was promoted to this stage";
    ParameterMissing "parameter-missing" "a template's parameter has no default and the stage gives no value";
    NothingToPromote "nothing-to-promote" "the commit holds nothing that can be applied to a stage";
    RunNotConfigured "run-not-configured" "the stage does not tell what a runner does there with the commit's Pulumi program or dbt models";
    LeaseNotAsked "lease-not-asked" "a part of the promotion is a runner's, and the request asks for no lease for it";
    NotSupportedYet "not-supported-yet" "the commit needs something that this gatekeeper cannot apply";
    DatabaseNotConfigured "database-not-configured" "the stage does not tell where a database of the commit is";
    DatabaseSecretInvalid "database-secret-invalid" "a database's secret can't be read, or does not tell how to reach it safely";
    DatabaseUnreachable "database-unreachable" "a stage's database can't be connected to";
    FlywayValidateFailed "flyway-validate-failed" "`flyway validate` found the stage's schema history and the commit's migrations at odds";
    MigrationRefused "migration-refused" "a migration that the stage has not run breaks a rule which the stage refuses, or can't be looked at for them";
    FlywayHistoryMismatch "flyway-history-mismatch" "a row of the stage's schema history is not what the manifest and the files say, or failed";
    FlywayHistoryMissing "flyway-history-missing" "the stage's schema is not empty, has no schema history, and no baseline is configured";
    FlywayHistoryRewritten "flyway-history-rewritten" "the stage's schema history is not what the last promotion left: `flyway repair` or a hand changed it";
    SchemaDifference "schema-difference" "the stage's live schema is not the one that was tested with the commit";
    RequiresNotMet "requires-not-met" "the stage that must have run the commit first did not, or not these bytes, or it was rolled back there";
    SoakNotOver "soak-not-over" "the stage that must have run the commit first has not run it for long enough";
    ApprovalsMissing "approvals-missing" "too few people who are neither the requester nor the commit's author approved the commit";
    ApprovalNotProved "approval-not-proved" "an approval is not signed, or was changed, copied or planted, and counts for nothing";
    StageOnHold "stage-on-hold" "the stage is held: nothing new is promoted to it, and what was under way was sent back";
    PromotionStopped "promotion-stopped" "somebody stopped the promotion while it was under way, and it went back";
    PromotionNotStoppable "promotion-not-stoppable" "the promotion can't be stopped: it has ended, goes back already, or is a rollback, or there is none of this id";
    StageNotHeld "stage-not-held" "nothing holds the stage, or another hold than the one that was looked at";
    WaiverInvalid "waiver-invalid" "a waiver can't be proposed, agreed to or ended like this, or is not what was looked at";
    ApprovalNotGiven "approval-not-given" "an approval is to be withdrawn that this person has not given";
    StageFrozen "stage-frozen" "nothing new is promoted to the stage at this time";
    BoundaryMissing "boundary-missing" "a stage in the gatekeeper's own account would get a role or user that the stage boundary does not bind";
    RequesterUnproven "requester-unproven" "it is not proved who asks, or the proof does not hold";
    AuthorUnknown "author-unknown" "the manifest names no author, or one whom nobody can place, so that nobody can tell whether the commit's author approved it";
    SmokeUnknownTarget "smoke-unknown-target" "a smoke check names a stack, output or function that the commit does not have";

    ApprovalPlanDiffers "approval-plan-differs" "an approval is of another plan than the one that would be applied now";
    PulumiPreviewMissing "pulumi-preview-missing" "nothing tells what `pulumi up` would do to the stage, because the request has no preview";
    PulumiPreviewInvalid "pulumi-preview-invalid" "the preview is of another stack than the stage's, or of a commit without a Pulumi program";
    // What a runner hands in of its part of a promotion.
    LeaseInvalid "lease-invalid" "the token is not that of the promotion's lease, or the promotion has none";
    LeaseNotOpen "lease-not-open" "the lease is not open yet, ran out, or its promotion has ended";
    RunCompleted "run-completed" "the run was handed in before, and a run is handed in once";
    RunEvidenceInvalid "run-evidence-invalid" "the evidence of a run is missing, can't be read, or is larger than what is taken";
    RunOfAnotherPromotion "run-of-another-promotion" "the evidence is of no run that was made for this promotion";
    RunTargetMismatch "run-target-mismatch" "a run was made somewhere else than the stage says";
    PulumiPlanDiffers "pulumi-plan-differs" "`pulumi up` did not do to the stage what the promotion's plan says";
    PulumiStateUnversioned "pulumi-state-unversioned" "the bucket of a Pulumi backend keeps no versions, so only the digest of a state remains: a warning";
    PulumiStateEdited "pulumi-state-edited" "a stack's state is not the one that the promotion's update left, or is not whole";
    DbtCodeDiffers "dbt-code-differs" "what dbt built in the stage is not the code that was tested in dev";

    // Drift: what a stage runs is no longer what its last promotion put there.
    FunctionChanged "function-changed" "a function runs other code than the promoted one";
    FunctionMissing "function-missing" "a promoted function is not there any more";
    FunctionReconfigured "function-reconfigured" "a function's settings were changed since the promotion, and not by one";
    TemplateChanged "template-changed" "a stack was updated from another template than the promoted one";
    StackDrifted "stack-drifted" "CloudFormation finds resources of a stack changed behind its back";
    StackMissing "stack-missing" "a promoted stack is not there any more";
    PulumiStackChanged "pulumi-stack-changed" "a Pulumi stack was updated since the promotion, and not by one, or its state is another one";
    PulumiDrifted "pulumi-drifted" "`pulumi refresh` finds resources of a stack changed behind its back";
    SchemaDrifted "schema-drifted" "a database's schema is not the one that the promotion left";
    ArtefactChanged "artefact-changed" "a stored object of the commit that runs is not the promoted version any more, or not tagged `integration-passed=true`";
    RevokedCommitRunning "revoked-commit-running" "a stage runs a commit that was taken back";
    RejectedCommitRunning "rejected-commit-running" "a stage runs a commit whose verdict is no longer `built`";
    RecordMissing "record-missing" "the record of the promotion that a stage names is gone, or is of something else";
}

impl std::fmt::Display for Code {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_a_kebab_case_word_and_stands_once() {
        let mut words: Vec<_> = Code::ALL.iter().map(|(code, _)| code.as_str()).collect();
        for (code, meaning) in Code::ALL {
            let word = code.as_str();
            assert!(word.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-'), "{word}");
            assert!(!meaning.is_empty());
            assert_eq!(serde_json::to_value(code).unwrap(), word);
        }
        words.sort_unstable();
        words.dedup();
        assert_eq!(words.len(), Code::ALL.len());
    }
}
