//! What to do about each kind of finding, and a line that shows it: the second half of the one table of codes, whose first
//! half is in [`crate::finding`]. A code without a remedy doesn't compile.

use crate::finding::Code;

/// What to do about a kind of finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Remedy {
    /// What to do, in a sentence or two.
    pub what_to_do: &'static str,
    /// A command, or a line of the document that is to be changed.
    pub example: &'static str,
}

/// Makes the match from the table.
macro_rules! remedies {
    ($($variant:ident $what_to_do:literal $example:literal;)*) => {
        impl Code {
            /// What to do about a finding of this kind.
            #[must_use]
            pub fn remedy(self) -> Remedy {
                match self { $(Self::$variant => Remedy { what_to_do: $what_to_do, example: $example },)* }
            }
        }
    };
}

remedies! {
    // The store.
    ArtefactMissing "Upload it, or publish the commit again: whatever is stored already is not uploaded twice." "gatekeeper publish build/commit --wait";
    DigestMismatch "Something rewrote the file after the manifest was made, or another build uploaded under the same commit. Build once and publish that folder." "gatekeeper publish build/commit --wait";
    SizeMismatch "As for a digest: publish the very folder that the manifest was made from." "gatekeeper publish build/commit --wait";
    UnlistedArtefact "List the object in the manifest, or take it out of the build folder and publish again: a commit has no objects that nobody vouches for." "gatekeeper check build/commit";
    KeyOutsideLayout "Upload to a path that the layout has. `gatekeeper publish` makes no other." "bank-payments/3f1c9a0…/modules/MOD-012/functions/authorise-payment.zip";
    ManifestMissing "Wait for the pipeline to upload build-manifest.json, which it does last, or publish again where it broke off." "gatekeeper publish build/commit --wait";
    TagLimit "Take tags of your own off the object: S3 gives an object 10 of them, and the gate needs two." "aws s3api get-object-tagging --bucket BUCKET --key KEY";

    // The manifest.
    ManifestInvalid "Mend the place that the message names. The JSON Schema tells every field, and an editor can check by it." "gatekeeper schema manifest > build-manifest.schema.json";
    ManifestVersionUnknown "Publish with a `gatekeeper` of the installation's version, or update the installation." "gatekeeper --version";
    ManifestMismatch "Publish under the repository and commit that the manifest names." "gatekeeper publish build/commit --repo bank-payments --sha 3f1c9a0b5d7e2468ace013579bdf02468ace1357";
    DuplicateEntry "Take one of the two entries out of the manifest; two things that differ need two names." "gatekeeper check build/commit";
    UnknownReference "Name a stack, function or database that the manifest lists, or list it." r#""functions": [{"name": "authorise-payment", "stack": "payments-api", "logical_id": "AuthorisePaymentFn", …}]"#;
    StackOrderInvalid "List a stack behind those that it needs. Stacks that need each other in a circle have to be cut apart." r#"{"name": "payments-api", "depends_on": ["payments-data"], …}"#;

    // Lambda ZIPs.
    ZipInvalid "Make the archive with one pass of an ordinary tool, and let nothing be appended to it or cut off." "python3 -m zipfile --test build/commit/modules/MOD-012/functions/authorise-payment.zip";
    ZipUnsafePath "Pack from inside the folder, with relative names and `/` only." "(cd dist && zip -r ../authorise-payment.zip .)";
    ZipDuplicateEntry "Pack each file once: mostly an archive was added to instead of being made anew." "rm -f authorise-payment.zip && (cd dist && zip -r ../authorise-payment.zip .)";
    ZipUnsafeSymlink "Pack the file that the link leads to in its place." "cp --recursive --dereference dist packed";
    ZipDanglingLink "Let the bundler bring the package, or install so that packages of the workspace are copied. Nothing is refused because of it." "pnpm deploy --filter authorise-payment --prod packed";
    ZipUnreadable "Pack files as 0644, and folders and programs as 0755: Lambda reads as another user." "chmod -R u=rwX,go=rX dist";
    ZipEncrypted "Pack without a password; secrets belong into Secrets Manager." "(cd dist && zip -r ../authorise-payment.zip .)";
    ZipUnsupported "Pack with deflate or without compression." "(cd dist && zip -r -Z deflate ../authorise-payment.zip .)";
    ZipOverlap "Make the archive anew with an ordinary tool: no such tool makes entries that share bytes." "(cd dist && zip -r ../authorise-payment.zip .)";
    ZipContentMismatch "The archive is damaged or was tampered with: build it anew, and look at what handled it since." "python3 -m zipfile --test authorise-payment.zip";
    ZipTooLarge "Leave out what the function does not load, such as development dependencies and source maps." "du -ah dist | sort -h | tail";
    BootstrapMissing "Put the program at the archive's root as `bootstrap`, executable." "zip -j authorise-payment.zip target/lambda/authorise-payment/bootstrap";
    BootstrapInvalid "Build it anew; a script needs a first line that names an interpreter Lambda has, and that ends with LF." "file bootstrap";
    ArchitectureMismatch "Build for the template's `Architectures`, or change that." "cargo lambda build --release --arm64";
    HandlerMissing "Name the file that the bundle holds, or pack it under that name." r#""Handler": "index.handler""#;
    BundleNamesStage "Read the name from the function's environment and let the template set it. Nothing is refused because of it." r#""Environment": {"Variables": {"STAGE": {"Ref": "Stage"}}}"#;
    BundleNotPortable "Read the name from the function's environment and let the template set it, or let the policy only warn." r#""Environment": {"Variables": {"STAGE": {"Ref": "Stage"}}}"#;

    // CloudFormation templates.
    TemplateInvalid "Synthesise the template anew; one of YAML is turned into JSON first." "gatekeeper collect cdk.out --module MOD-012";
    TemplateTooLarge "Split the stack, or move a part into a nested one." "gatekeeper check build/commit";
    TemplateNotSelfContained "Run what is fetched or generated before the build, so that the stored template holds it." "gatekeeper collect .aws-sam/build --module MOD-012 --stack payments-api";
    TemplateCodeOutsideStore "Take the code from the store, an image by its digest, and layers from the commit or from a vendor." r#""Code": {"S3Bucket": {"Ref": "ArtefactBucket"}, "S3Key": {"Fn::Sub": "${ArtefactPrefix}/functions/authorise-payment.zip"}}"#;
    TemplateTypeUnknown "Somebody looks whether it can carry code; where it can't, the policy names it." r#""known_types": ["Datadog::Monitors::Monitor"]"#;
    TemplateNotPortable "Write pseudo parameters in place of the account and region, or declare what the template was synthesised for; accounts that all stages share stand in the policy." r#""shared_accounts": {"audit": "111122223333"}"#;
    TemplateFormInvalid "Let the manifest declare exactly what the template was synthesised for, and synthesise anew." r#""synthesised_for": {"account": "111122223333", "region": "ap-southeast-2", "stage": "dev", "application": "bank-payments"}"#;
    TemplateNamesStage "Let the template take the name from the parameter `Stage`. Nothing is refused because of it, unless the policy says so." r#"{"Fn::Sub": "/bank/${Stage}/db-url"}"#;
    LogicalIdInvalid "Name the function as its stack's template calls it." r#""logical_id": "AuthorisePaymentFn""#;

    // Flyway migrations.
    FlywayNameInvalid "Name the file as Flyway does: a prefix, a version, two underscores and a description." "V12__add_currency.sql";
    FlywayNotUtf8 "Save the file as UTF-8." "iconv -f ISO-8859-1 -t UTF-8 old.sql > V12__add_currency.sql";
    FlywayFileTooLarge "Split it into several migrations, or load data by another way." "split --lines 100000 V12__load.sql";
    FlywayChecksumMismatch "A migration that ran is never edited: put its old bytes back, and write the change as a new one." "gatekeeper flyway checksums migrations --database payments";
    FlywayFileMissing "Store every file that Flyway validated: publish the folder that `flyway validate` was run on." "gatekeeper flyway validate migrations --database payments --write build/flyway.json";
    FlywayFileExtra "Validate again with the new file there, or take it out of the build." "gatekeeper flyway validate migrations --database payments --write build/flyway.json";
    FlywayFileRenamed "Give the file its old name: Flyway keeps it in the schema history." "git log --follow -- migrations/V12__add_currency.sql";
    FlywayOrder "List the migrations as Flyway runs them; `gatekeeper publish` does." "gatekeeper publish build/commit --flyway build/flyway.json";
    FlywayDuplicateVersion "Give one of the two the next free version." "V13__add_currency.sql";
    FlywaySettingUnsupported "Take the setting out of the file, or set it where dev and every stage have it alike." "gatekeeper flyway validate migrations --database payments";
    FlywayHistoryElsewhere "Name the other module's history in the stage, or configure the schema that this one's lies in." r#""other_histories": ["reports.flyway_schema_history"]"#;

    // Schema snapshots.
    SchemaSnapshotMissing "Take one after the migrations ran in dev, and publish it with the commit." "gatekeeper snapshot take --database payments --out build/commit/modules/MOD-012/schema/payments-schema.sql";
    SchemaSnapshotInvalid "Take it anew, whole, by the command: no archive format, and nothing cut off." "gatekeeper snapshot take --database payments --out payments-schema.sql";
    SchemaSnapshotHoldsData "Take it without rows, which the command does. What was uploaded is a leak: look at who could read it." "gatekeeper snapshot take --database payments --out payments-schema.sql";
    SchemaSnapshotHoldsSecret "Take it without roles' passwords, change the password that leaked, and look at who could read it." "gatekeeper snapshot take --database payments --out payments-schema.sql";
    SchemaSnapshotsDiffer "Let the modules of one database publish the same snapshot, taken once all of them are migrated." "gatekeeper snapshot compare one.sql other.sql";

    // dbt.
    DbtManifestInvalid "Publish `target/manifest.json` of a whole `dbt build`, by a dbt that the gate can read." "dbt build";
    DbtNotCompiled "Publish the manifest that `dbt build` leaves, before any other command of dbt writes over it." "dbt build";
    DbtRunResultsInvalid "Publish `target/run_results.json` as `dbt build` left it." "dbt build";
    DbtRunResultsMissing "Put `target/run_results.json` beside the manifest." "cp target/run_results.json build/commit/modules/MOD-301/dbt/";
    DbtRunMismatch "Publish the two files of one run." "dbt build && cp target/manifest.json target/run_results.json build/commit/modules/MOD-301/dbt/";
    DbtBuildPartial "Build everything, without a selection; `--full-refresh` and `--vars` are allowed where the policy says so." "dbt build";
    DbtBuildFailed "Mend the node that the message names, and build again." "dbt build";
    DbtBuildWarned "Look at the tests that warned. Nothing is refused because of it, unless the policy says how many may." r#""dbt": {"max_warnings": 0}"#;
    DbtTargetMismatch "Build on dev's target, adapter and database, as the policy names them." r#""dbt": {"adapter": "snowflake", "target": "dev", "databases": ["RISK_DEV"]}"#;
    DbtSourceMissing "Migrate the table first, or mend the source's name: the tested schema does not have it." "gatekeeper check build/commit";
    DbtSourceUnchecked "Publish a schema snapshot of the database that the source is in, where this commit has one. Nothing is refused because of it." "gatekeeper snapshot take --database risk --out build/commit/modules/MOD-301/schema/risk-schema.sql";

    // Test and coverage reports.
    ReportInvalid "Let the test runner write it anew; a run that broke off leaves half a report." "gatekeeper run unit --dir build/commit -- pnpm test:unit";
    ReportTooLarge "Leave captured output out of the report, or split the suite." "gatekeeper check build/commit";
    ReportContradictory "Write each report once, into an empty folder: mostly an old one was left there." "rm -rf reports && pnpm test:unit";
    ReportMismatch "Let `gatekeeper publish` count the reports, in place of figures that were written by hand." "gatekeeper publish build/commit --dry-run";
    ReportFormatUnknown "Mend the word: the message names the one that was meant." r#""reports": [{"suite": "unit", "format": "junit", …}]"#;
    ReportExitCodeUntold "Run the tests by `gatekeeper run`, which keeps their exit code. Nothing is refused because of it." "gatekeeper run unit --dir build/commit -- pnpm test:unit";
    ReportMissing "Publish the raw report of the suite; a suite that had one must keep having one." "gatekeeper check build/commit";

    // ADR-053's Built conditions.
    TypecheckMissing "Run the type check as a step of the pipeline." "gatekeeper run typecheck --dir build/commit -- pnpm typecheck";
    TypecheckFailed "Mend the errors that the type check names." "pnpm typecheck";
    UnitMissing "Run the unit tests as a step of the pipeline, and see that at least one runs." "gatekeeper run unit --dir build/commit -- pnpm test:unit";
    UnitFailed "Mend the tests that failed, or the code." "pnpm test:unit";
    CoverageBelowThreshold "Test more lines and functions; ADR-053 asks for 80 percent of both, and the policy may ask for more." "pnpm test:unit --coverage";
    PolicyMissing "Run the policy tests as a step of the pipeline." "gatekeeper run policy --dir build/commit -- pnpm test:policy";
    PolicyFailed "Mend the tests that failed, or the code." "pnpm test:policy";
    PolicyUncovered "Write a test for each row of `policies_satisfied`, with the row in its name." "it('POL-004: refuses a payment above the limit', …)";
    FlywayMissing "Validate the migrations against dev's database, and publish what came of it." "gatekeeper flyway validate migrations --database payments --write build/flyway.json";
    FlywayInvalid "Bring dev's schema history and the files together, as the message of Flyway says." "gatekeeper flyway validate migrations --database payments";
    DeployMissing "Run the deploy to dev as a step of the pipeline." "gatekeeper run deploy --stage dev --dir build/commit -- sst deploy --stage dev";
    DeployFailed "Look at what the deploy step says, mend it and run the pipeline again." "gatekeeper run deploy --stage dev --dir build/commit -- sst deploy --stage dev";
    IntegrationGuardOff "Set the variable where the integration tests run." "RUN_INTEGRATION=1 gatekeeper run integration --dir build/commit -- pnpm test:integration";
    IntegrationMissing "See that at least one integration test runs and passes." "RUN_INTEGRATION=1 pnpm test:integration";
    IntegrationFailed "Mend the tests that failed, or the code." "RUN_INTEGRATION=1 pnpm test:integration";
    IntegrationSkipped "Run them, or delete them and name them in `removed_tests`: a skipped test proves nothing." r#""removed_tests": ["pays a foreign invoice"]"#;
    TestsUnexplained "See why the header counts more tests than the report has cases. Nothing is refused because of it." "gatekeeper check build/commit";
    OutcomeRefused "Mend the tests, or let the policy allow what they come to." r#""refuse": ["expected-failure"], "max_flaky": 3"#;
    TestedBytesMissing "Observe dev between deploy and tests, and publish what was seen." "gatekeeper observe build/commit --stage dev --repo bank-payments --write build/observed.json";
    TestedBytesMismatch "Deploy exactly the stored ZIPs to dev, and test again: another build changed them in between." "gatekeeper stage-assets build/commit";
    TestedTemplatesMissing "Observe dev between deploy and tests, and publish what was seen." "gatekeeper observe build/commit --stage dev --repo bank-payments --write build/observed.json";
    TestedTemplatesMismatch "Deploy exactly the stored templates to dev, and test again." "gatekeeper deploy --stage dev --repo bank-payments --sha 3f1c9a0b5d7e2468ace013579bdf02468ace1357";
    PulumiMismatch "Run `pulumi up` from a checkout of this very commit." "gatekeeper run pulumi --dir build/commit -- pulumi up --yes";
    PulumiHistoryMismatch "Run `pulumi up` by `gatekeeper run`, on the whole stack, with nothing uncommitted." "gatekeeper run pulumi --dir build/commit -- pulumi up --yes";
    DcmIncomplete "Run both steps to their end." "gatekeeper run dcm-plan --dir build/commit -- ./dcm plan";
    DbtBuildIncomplete "Run `dbt build` as a step of the pipeline, and store its manifest." "gatekeeper run dbt-build --dir build/commit -- dbt build";
    ExitCodeFailed "Find out why the process failed although its report has no failure: a hook, a coverage threshold, a crash after the last test." "pnpm test:unit; echo $?";
    ExitCodeMissing "Run each suite by `gatekeeper run`, which keeps its exit code." "gatekeeper run unit --dir build/commit -- pnpm test:unit";
    PulumiMissing "Run `pulumi up` by `gatekeeper run`, which writes the program's commit into the manifest." "gatekeeper run pulumi --dir build/commit -- pulumi up --yes";
    IntegrationVanished "Bring the test back, or name it in `removed_tests` where it was removed on purpose." r#""removed_tests": ["pays a foreign invoice"]"#;
    ProvenanceMissing "Have the pipeline attest what it built, and publish the bundle with the commit." "gatekeeper publish build/commit --wait --prepared build/attest --provenance attestation.sigstore.json";
    ProvenanceInvalid "Have it attested anew by the pipeline, and publish the bundle as the attesting tool wrote it. Where the root is not the public one, put it into `config/trusted-roots/`." "gh attestation verify build/commit/build-manifest.json --repo example-bank/bank-payments";
    ProvenanceBuilderNotAllowed "Build with a workflow that the policy allows, or have the policy allow this one." r#""builders": [{"certificate": {"root": "github", "repository": "https://github.com/example-bank/{repo}", "workflow": "…@refs/tags/v*", …}}]"#;
    ProvenanceOtherCommit "Attest in the run that builds this commit: a bundle of another run proves nothing of it." "gatekeeper publish build/commit --prepare build/attest";
    ProvenanceSubjectMissing "Attest the manifest and everything that it lists, after the last file was written and before anything is published." "gatekeeper publish build/commit --prepare build/attest";
    Revoked "Promote another commit; this one can be published again, which starts afresh." "gatekeeper commits --repo bank-payments --promotable uat";

    // Promotion.
    NotBuilt "Look at the reasons of the commit's verdict, or promote one that is Built." "gatekeeper show 3f1c9a0 --repo bank-payments";
    AttestationMissing "Have the gate judge and sign the commit again, by a tag on its manifest, as CI; where an earlier stage's signature is missing, promote to that stage again." "aws s3api put-object-tagging --bucket ARTEFACTS --key REPO/SHA/build-manifest.json --tagging 'TagSet=[{Key=integration-passed,Value=true}]'";
    AttestationInvalid "Take it for an attack until it is explained: tell security, and promote nothing of this commit." "gatekeeper ledger verify --repo bank-payments";
    VerdictStale "Wait a minute for the gate to judge the new objects; where nobody uploaded anything, find out who did." "gatekeeper show 3f1c9a0 --repo bank-payments";
    TagNotTrue "Somebody set the tag to `false`, or the gate is not done yet: look at the verdict." "gatekeeper show 3f1c9a0 --repo bank-payments";
    LedgerBroken "This is an incident: change nothing, and follow the page for on-call." "gatekeeper ledger verify --stage uat --repo bank-payments";
    StageRecordAltered "This is an incident unless a promotion is being recorded in this moment: look again, then follow the page for on-call." "gatekeeper ledger verify --stage uat --repo bank-payments";
    LedgerRolledBack "This is an incident: change nothing, and follow the page for on-call." "gatekeeper ledger verify --stage uat --repo bank-payments";
    TrustRootExpired "Make the next version of the trust root, have it signed by as many people as it asks for, and publish it: see `gatekeeper keys list`." "gatekeeper keys renew --out next.root.json";
    WitnessBehind "Look why the function `witness` does not hand heads over, in its log and its dead letters; it hands over what was lost each hour, or when it is asked to." "aws lambda invoke --function-name gatekeeper-witness --cli-binary-format raw-in-base64-out --payload '{\"catch_up\": true}' answer.json";
    WitnessUnreachable "Look at the bucket's policy in the witness's account and at S3. What can't wait goes by break-glass." "aws s3 ls s3://WITNESS/heads/";
    StageUnknown "Mend the stage's name, or configure it." "gatekeeper stages get";
    StagesConfigInvalid "Mend the place that the message names." "gatekeeper stages check stages.json";
    IdentitiesConfigInvalid "Mend the place that the message names; until then nobody's approval counts." "gatekeeper schema identities > identities.schema.json";
    ReplacementNotAccepted "Bring the name or the property back. Where the loss is meant, name the resource in the request." "gatekeeper promote --repo bank-payments --sha 3f1c9a0 --stage uat --reason 'orders move' --accept-replacement payments-data/OrdersTable";
    ImageNotInStage "Copy the tested image into the stage's registry, by what keeps the digest." "crane copy DEV_REGISTRY/REPOSITORY@sha256:… STAGE_REGISTRY/REPOSITORY:TAG";
    NameTaken "Give the resource or export another name, or take it out of the stack that the message names first." "gatekeeper promote --repo bank-payments --sha 3f1c9a0 --stage uat --reason 'release' --dry-run --changes";
    PromotionInProgress "Wait for it to end, or follow it." "gatekeeper status --stage uat --repo bank-payments";
    NeverPromoted "Go back to a commit that the stage ran, or promote this one." "gatekeeper commits --repo bank-payments";
    NothingToRollBackTo "Promote a commit: there is none to go back to." "gatekeeper commits --repo bank-payments --promotable uat";
    ParameterMissing "Give the parameter a value in the stage, or a default in the template." r#""parameters": {"LogLevel": "info"}"#;
    NothingToPromote "There is nothing to do for a commit without templates, functions, migrations or runs." "gatekeeper show 3f1c9a0 --repo bank-payments";
    RunNotConfigured "Say in the stage where the runner applies it." r#""dbt": {"bank-risk-platform": {"target": "uat", "adapter": "snowflake", "database": "RISK_UAT"}}"#;
    LeaseNotAsked "Ask for the lease, let the runner work, and hand in what it did." "gatekeeper promote --repo bank-risk-platform --sha 3f1c9a0 --stage uat --reason 'release' --lease lease.json";
    NotSupportedYet "The message names what can't be applied; split it off, or update the gatekeeper." "gatekeeper --version";
    DatabaseNotConfigured "Say in the stage where the database is." r#""databases": {"payments": {"secret_arn": "arn:aws:secretsmanager:…"}}"#;
    DatabaseSecretInvalid "Let the secret hold username and password, and the stage whatever it does not tell; `DatabaseSecretArns` must cover it." r#""databases": {"payments": {"secret_arn": "arn:aws:secretsmanager:…", "host": "payments.example", "dbname": "payments"}}"#;
    DatabaseUnreachable "See that the database is up, and that the function's subnets and security groups lead to it." "gatekeeper promote --repo bank-payments --sha 3f1c9a0 --stage uat --reason 'try' --dry-run";
    FlywayValidateFailed "Bring the stage's schema history and the files together, as the message of Flyway says." "gatekeeper promote --repo bank-payments --sha 3f1c9a0 --stage uat --reason 'try' --dry-run";
    MigrationRefused "Write the migration so that the code before it can live with it; where it is meant as it is, let the stage's entry of the database name the file." r#""accept_migrations": ["V12__drop_old.sql"]"#;
    FlywayHistoryMismatch "Find out who migrated the stage by hand; a migration that failed there has to be cleared up by a person." "gatekeeper explain flyway-history-rewritten";
    FlywayHistoryMissing "Point the stage at the right database, or set a baseline for one that was there before Flyway." r#"baselineVersion = "12""#;
    FlywayHistoryRewritten "Find out who ran `flyway repair` or changed the table, and put back what the last promotion left." "gatekeeper evidence --stage uat --repo bank-payments";
    SchemaDifference "Look at the difference, and write it as a migration; a rollback may accept it." "gatekeeper rollback --repo bank-payments --stage uat --reason 'payments time out' --accept-schema-difference";
    RequiresNotMet "Promote the commit to the stage that the message names first." "gatekeeper promote --repo bank-payments --sha 3f1c9a0 --stage uat --reason 'release'";
    SoakNotOver "Wait until the time that the message names; two people can waive the rule for a time, or break the glass." "gatekeeper status --repo bank-payments";
    ApprovalsMissing "Ask somebody who is neither the requester nor an author." "gatekeeper approve --repo bank-payments --sha 3f1c9a0 --stage prod --reason 'looked at the change and its tests'";
    ApprovalNotProved "Let the person approve again. If nobody did, somebody wrote into the records: follow the page for on-call." "gatekeeper approve --repo bank-payments --sha 3f1c9a0 --stage prod --reason 'looked at the change and its tests'";
    StageOnHold "Ask who holds the stage, or see what the message says is wrong with it; an approver releases it. Rollbacks pass, and two people can break the glass." "gatekeeper release --stage uat --reason 'the error rate is normal again'";
    PromotionStopped "Ask who stopped it: the record tells the reason. Nothing keeps the commit from being promoted again." "gatekeeper follow 01J0000000000000000000000A";
    PromotionNotStoppable "See what has become of it. What has been promoted already is taken back by a rollback." "gatekeeper rollback --repo bank-payments --stage uat --reason 'rounds down'";
    StageNotHeld "Look at the stage: it was released meanwhile, or somebody has held it anew." "gatekeeper status --stage uat";
    ApprovalNotGiven "Look who has approved the commit: only that person can withdraw it. Whoever has the promoter's role can hold the stage." "gatekeeper approvals --stage prod";
    WaiverInvalid "Look at what waits and what is in force, and propose a waiver anew where terms have to change." "gatekeeper waivers --stage prod";
    StageFrozen "Wait for the window to end; rollbacks pass, and two people can waive the rule for a time, or break the glass." "gatekeeper approve --repo bank-payments --sha 3f1c9a0 --stage prod --break-glass --reason 'payments are down'";
    BoundaryMissing "Let the template's roles and users name the stage boundary." r#""PermissionsBoundary": {"Ref": "StageBoundaryArn"}"#;
    RequesterUnproven "Ask with the command, under your own name, by the promoter's role." "gatekeeper promote --profile promoter --repo bank-payments --sha 3f1c9a0 --stage prod --reason 'release'";
    AuthorUnknown "Add the author to config/identities.json, or publish with authors." r#""aliases": {"jane@bank.example": ["janedoe", "jane@home.example"]}"#;
    SmokeUnknownTarget "Name a stack, output or function that the commit has, or say which repository the check is for." r#"{"repo": "bank-payments", "stack": "payments-api", "output": "ApiUrl", "path": "/health"}"#;

    ApprovalPlanDiffers "Look at the plan that would be applied now, and approve that one." "gatekeeper approve --repo bank-payments --sha 3f1c9a0 --stage prod --reason 'looked at the new plan'";
    PulumiPreviewMissing "Make a preview against the stage, and hand it in." "pulumi preview --json > preview.json && gatekeeper promote --preview preview.json …";
    PulumiPreviewInvalid "Make the preview of the stage's own stack, at the promotion's commit." "pulumi preview --stack uat --json > preview.json";

    // What a runner hands in of its part of a promotion.
    LeaseInvalid "Hand in by the file that `--lease` wrote for this very promotion." "gatekeeper promote --complete lease.json --evidence target";
    LeaseNotOpen "See how far the promotion is; after the lease ran out, look at what the runner did and promote again." "gatekeeper status --stage uat";
    RunCompleted "Nothing is left to do: it was handed in, and the message says by whom and when." "gatekeeper status --stage uat";
    RunEvidenceInvalid "Hand in the files as dbt left them, before another command of dbt writes over them." "gatekeeper promote --complete lease.json --evidence target";
    RunOfAnotherPromotion "Run with the environment that the lease's file names, so that the run tells its promotion." "DBT_ENV_CUSTOM_ENV_GATEKEEPER_PROMOTION=01J… dbt build --target uat";
    RunTargetMismatch "Run on the target, stack or backend that the stage names." "gatekeeper stages get";
    PulumiPlanDiffers "Look at what `pulumi up` did beyond the preview: the stage changed in between, or the program did." "pulumi preview --json --save-plan plan.json";
    PulumiStateUnversioned "Turn on versioning of the backend's bucket. Nothing is refused because of it." "aws s3api put-bucket-versioning --bucket BUCKET --versioning-configuration Status=Enabled";
    PulumiStateEdited "Find out who edited the state, and run `pulumi refresh` and `pulumi up` by a promotion." "pulumi stack history";
    DbtCodeDiffers "Build at the promotion's commit, with the same dbt, adapter and packages as CI." "git checkout 3f1c9a0 && dbt deps && dbt build --target uat";

    // Drift: what a stage runs is no longer what its last promotion put there.
    FunctionChanged "Ask who changed it, and promote the commit that the stage should run again." "gatekeeper promote --repo bank-payments --sha 3f1c9a0 --stage uat --reason 'undo a change by hand'";
    FunctionMissing "Ask who deleted it, and promote the commit that the stage should run again." "gatekeeper promote --repo bank-payments --sha 3f1c9a0 --stage uat --reason 'bring it back'";
    FunctionReconfigured "Ask who changed it, and set it back by hand: a promotion does not." "aws lambda get-function-configuration --function-name NAME";
    TemplateChanged "Ask who updated the stack, and promote the commit that the stage should run again." "gatekeeper promote --repo bank-payments --sha 3f1c9a0 --stage uat --reason 'undo a change by hand'";
    StackDrifted "Ask who changed the resources, and set them back by hand." "aws cloudformation describe-stack-resource-drifts --stack-name STACK";
    StackMissing "Ask who deleted it, and promote the commit that the stage should run again." "gatekeeper promote --repo bank-payments --sha 3f1c9a0 --stage uat --reason 'bring it back'";
    SchemaDrifted "Ask who changed the schema, and write the change as a migration or undo it." "gatekeeper evidence --stage uat --repo bank-payments";
    ArtefactChanged "Find out who wrote over the object or its tag; promote a commit that is Built." "gatekeeper show 3f1c9a0 --repo bank-payments";
    RevokedCommitRunning "Go back, or promote another commit." "gatekeeper rollback --repo bank-payments --stage uat --reason 'the commit was taken back'";
    RejectedCommitRunning "Look at why it is rejected now, and promote a commit that is Built." "gatekeeper show 3f1c9a0 --repo bank-payments";
    PulumiStackChanged "Ask who ran Pulumi beside the gatekeeper, and promote the commit that the stage should run again." "pulumi stack history";
    PulumiDrifted "Ask who changed the resources, and run `pulumi up` of the commit that the stage should run, by a promotion." "gatekeeper promote --repo bank-platform --sha 3f1c9a0 --stage uat --reason 'undo a change by hand' --lease lease.json";
    RecordMissing "This is an incident: records are never deleted. Follow the page for on-call." "gatekeeper ledger verify --stage uat";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_a_remedy_of_whole_sentences_and_a_line_that_shows_it() {
        for (code, _) in Code::ALL {
            let Remedy { what_to_do, example } = code.remedy();
            assert!(what_to_do.ends_with('.') && what_to_do.starts_with(char::is_uppercase), "{code}: {what_to_do}");
            assert!(!example.is_empty() && !example.contains('\n'), "{code}: {example}");
            assert!(!example.contains('`'), "{code}: a page writes it between backticks: {example}");
            let warns = what_to_do.contains("Nothing is refused because of it");
            assert_eq!(warns, code.is_warning() || *code == Code::PulumiStateUnversioned, "{code}: {what_to_do}");
        }
    }
}
