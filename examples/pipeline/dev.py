"""The environments of a repository, `dev`, `gatekeeper` and `uat`: their variables, their secrets and dev's database, on the local AWS."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from pathlib import Path

import boto3
from botocore.exceptions import ClientError

from database import Database
from processes import Processes
from stacks import Stacks
from warehouse import Snowflake

POLICY = Path(__file__).parents[2] / "infra" / "policy.json"


class Dev:
    """What GitHub's settings of the environments hold, and what is behind `dev`."""

    def __init__(self, processes: Processes, outputs: Mapping[str, str], environment: Mapping[str, str]) -> None:
        self.outputs = outputs
        self.gatekeeper = {"AWS_REGION": outputs["Region"], "CI_ROLE_ARN": outputs["CiRoleArn"]}
        self.uat = {"AWS_REGION": outputs["Region"], "PROMOTER_ROLE_ARN": outputs["GitHubPromoterRoleArn"]}
        self.vars = {
            "AWS_REGION": outputs["Region"],
            # dev is an account of its own: its role may do what it likes there, and read the artefact store here
            "DEPLOY_ROLE_ARN": outputs["StageRoleArn"],
            "GATEKEEPER_ARTEFACT_BUCKET": outputs["ArtefactBucket"],
            "RUN_INTEGRATION": "1",
        }
        # of its own for each run, so that several share one PostgreSQL
        self.database = Database(processes, f"dev_{secrets.token_hex(4)}", outputs, environment)
        self.secrets: dict[str, str] = {}
        self.stacks: Stacks | None = None
        self.snowflake: Snowflake | None = None

    def settings(self, environment: str | None) -> tuple[dict[str, str], dict[str, str]]:
        """Variables and secrets of the environment that a job is bound to."""
        return self.environments().get(environment or "", ({}, {}))

    def environments(self) -> dict[str, tuple[dict[str, str], dict[str, str]]]:
        """Those of all."""
        return {"dev": (self.vars, self.secrets), "gatekeeper": (self.gatekeeper, {}), "uat": (self.uat, {}),
                "uat-runner": self.runner("uat")}

    def runner(self, stage: str) -> tuple[dict[str, str], dict[str, str]]:
        """The environment of who carries out a promotion: as it is nobody's who promotes, so AWS lets him deploy and no more."""
        if self.stacks is not None:
            return {"AWS_REGION": self.outputs["Region"], "DEPLOY_ROLE_ARN": self.stacks.roles[stage], "PULUMI_BACKEND_URL": self.stacks.backend(stage)}, {}
        if self.snowflake is not None:
            variables = self.warehouse(stage)
            return variables, {"SNOWFLAKE_PASSWORD": variables.pop("DBT_ENV_SECRET_SNOWFLAKE_PASSWORD")}
        return {}, {}

    def configure_policy(self) -> None:
        """The gatekeeper's policy as a new installation has it; several runs share one installation, and the first one writes it."""
        s3 = boto3.client("s3", endpoint_url=self.outputs["Endpoint"], region_name=self.outputs["Region"],
                          aws_access_key_id=self.outputs["AccessKeyId"], aws_secret_access_key=self.outputs["SecretAccessKey"])
        try:
            s3.put_object(Bucket=self.outputs["RecordsBucket"], Key="config/policy.json", Body=POLICY.read_bytes(), IfNoneMatch="*",
                          ContentType="application/json", ChecksumAlgorithm="SHA256")
        except ClientError as error:
            if error.response["Error"]["Code"] != "PreconditionFailed":
                raise

    def create_database(self) -> None:
        """An empty database, and the secrets that lead to it."""
        self.database.create()
        self.secrets |= {
            "DATABASE_URL": self.database.url,
            "FLYWAY_URL": f"jdbc:postgresql://{self.database.address}?sslmode=verify-full&sslrootcert={self.outputs['PostgresCaFile']}",
            "FLYWAY_USER": self.database.name,
            "FLYWAY_PASSWORD": self.database.password,
        }

    def create_stacks(self, repo: str) -> None:
        """What Pulumi's stacks need of their accounts."""
        self.stacks = Stacks(self.outputs, repo)
        self.vars |= {"DEPLOY_ROLE_ARN": self.stacks.roles["dev"], "PULUMI_BACKEND_URL": self.stacks.backend("dev")}

    def start_snowflake(self, folder: Path) -> None:
        """The warehouse, in DuckDB's place."""
        self.snowflake = Snowflake(folder)
        self.vars |= self.snowflake.variables
        self.secrets["SNOWFLAKE_PASSWORD"] = secrets.token_urlsafe(24)

    def targets(self, stage: str) -> dict[str, dict[str, str | None]]:
        """What a runner does of the repository in a stage, as `config/stages.json` has it."""
        if self.stacks is not None:
            return {"pulumi": self.stacks.target(stage)}
        return {"dbt": {"target": stage, "adapter": "snowflake", "database": f"RISK_{stage.upper()}"}}

    def warehouse(self, stage: str) -> dict[str, str]:
        """The environment of who builds in a stage's database."""
        assert self.snowflake is not None
        return {**self.snowflake.variables, "RISK_TARGET": stage, "DBT_PROFILES_DIR": "snowflake",
                "DBT_ENV_SECRET_SNOWFLAKE_PASSWORD": self.secrets["SNOWFLAKE_PASSWORD"]}

    def close(self) -> None:
        """Ends what was started."""
        if self.snowflake is not None:
            self.snowflake.close()

    def ran(self, migrations: Path) -> None:
        """Dev as an earlier commit left it: its migrations ran."""
        self.database.migrate(migrations)
