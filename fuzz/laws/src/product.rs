//! Everything of the product that the laws are about, in one place: where it moves to, only this file changes.

pub(crate) use gatekeeper_evidence::{bundle, bundle_verify};
pub(crate) use gatekeeper_gate::attestation::TestResult;
pub(crate) use gatekeeper_model::{
    event::{Batch, Change},
    finding::{Code, Finding},
    front_matter::FrontMatter,
    identity::Person,
    ids::{
        Commit, CommitSha, DatabaseName, FileName, FunctionName, MigrationPath, ModuleId, PartitionedTable,
        PromotionId, Repo, Sha256, StackName, StageName,
    },
    manifest::{Manifest, SynthesisedFor},
    outcome::Outcome,
    policy::{DbtRules, Policy, Rules},
    store_key::{ArtefactKey, ArtefactPath, RecordKey},
};
pub(crate) use gatekeeper_promotion::{
    attestation::{Deployment, VerificationSummary},
    identities::{Identities, Placed},
    stage::{StagesConfig, freeze::FreezeSpan},
};
pub(crate) use gatekeeper_proof::{
    self as attestation, Envelope, KeyHolder, Predicate, PublicKey, Signer, Signing, SigningError, Statement,
};
pub(crate) use gatekeeper_readers::{
    dbt,
    flyway::{
        checksum,
        migration_name::{MigrationKind, MigrationName, Place, Version},
        settings::{self, Settings},
    },
    function_spec::{Architecture, FunctionSpec},
    lambda_zip, pulumi,
    report::{self, Format, NotAReport, Recount, Recounted, TestId, coverage::Coverage},
    schema_snapshot::{self, Include, NormalForm},
    template,
};
