//! Everything of the product that the laws are about, in one place: where it moves to, only this file changes.

pub(crate) use gatekeeper::{
    artefact::{Architecture, FunctionSpec, lambda_zip, template},
    attestation::{
        self, Envelope, Predicate, PublicKey, Signer, Signing, SigningError, Statement,
        built::TestResult,
        promotion::{Deployment, VerificationSummary},
    },
    event::{Batch, Change},
    evidence::{bundle, bundle_verify},
    finding::Finding,
    flyway::{
        checksum,
        migration_name::{MigrationKind, MigrationName, Place, Version},
        settings::{self, Settings},
    },
    handoff::FrontMatter,
    identities::{Identities, Placed},
    identity::Person,
    ids::{
        Commit, CommitSha, DatabaseName, FileName, FunctionName, MigrationPath, ModuleId, PartitionedTable,
        PromotionId, Repo, Sha256, StackName, StageName,
    },
    manifest::Manifest,
    policy::{Policy, Rules},
    report::{self, Format, NotAReport, Outcome, Recount, Recounted, TestId, coverage::Coverage},
    schema_snapshot::{self, Include, NormalForm},
    stage::{StagesConfig, freeze::FreezeSpan},
    store_key::{ArtefactKey, ArtefactPath, RecordKey},
};
