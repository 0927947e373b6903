//! The database that a command looks at: where it is comes from the environment or from Secrets Manager, never from an
//! argument, because every user of the machine can read those.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use gatekeeper_database::{Database, Target, Tools};
use gatekeeper_model::{ids::DatabaseName, place::Place};

use crate::{
    aws::{CallerArgs, called},
    exit::Misuse,
};

/// What tells where the database is, without `--secret-arn`.
const DATABASE_URL: &str = "DATABASE_URL";

/// Where systems keep the certificate authorities that they trust: Debian and Alpine, Fedora, others and macOS.
const CA_FILES: [&str; 3] =
    ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"];

/// How a database is reached.
#[derive(Debug, clap::Args)]
pub(crate) struct DatabaseArgs {
    /// The database, as the manifest calls it
    #[arg(long = "database", value_name = "NAME")]
    pub(crate) name: DatabaseName,
    /// The secret in Secrets Manager that tells where the database is, as Neon's URL or RDS's JSON; without it the
    /// environment variable `DATABASE_URL` does, as `postgresql://user:password@host/database`
    #[arg(long, value_name = "ARN")]
    secret_arn: Option<String>,
    /// The certificate authorities that the database's certificate is trusted under, PEM; without it the system's
    #[arg(long, value_name = "FILE", env = "PGSSLROOTCERT", hide_env_values = true)]
    ca_file: Option<PathBuf>,
    /// The server's name or address, where the secret doesn't tell it: one that Amazon RDS manages never does
    #[arg(long, value_name = "HOST")]
    host: Option<String>,
    /// The server's port, likewise
    #[arg(long, value_name = "PORT")]
    port: Option<u16>,
    /// The database's name on the server, likewise
    #[arg(long, value_name = "NAME")]
    dbname: Option<String>,
    #[command(flatten)]
    caller: CallerArgs,
}

impl DatabaseArgs {
    /// Finds out where the database is. It is not connected to yet.
    pub(crate) async fn find(&self) -> anyhow::Result<Database> {
        let (told, by) = match &self.secret_arn {
            Some(arn) => (self.secret(arn).await?, format!("the secret `{arn}`")),
            None => (database_url()?, format!("`{DATABASE_URL}`")),
        };
        let unusable = |error| Misuse(format!("{by} does not tell how to reach `{}`: {error}", self.name));
        let place = Place { host: self.host.clone(), port: self.port, dbname: self.dbname.clone() };
        let target = Target::from_secret_at(&told, &place).map_err(unusable)?;
        let ca_file = self.ca_file.clone();
        let ca_file = ca_file.or_else(|| CA_FILES.map(PathBuf::from).into_iter().find(|file| file.exists()));
        let tools = Tools {
            path: std::env::var_os("PATH").unwrap_or_default(),
            java_home: std::env::var_os("JAVA_HOME"),
            ca_file: ca_file.unwrap_or_else(|| Path::new(CA_FILES[0]).to_owned()),
        };
        Ok(Database::new(tools, target, format!("gatekeeper {}", self.name)))
    }

    async fn secret(&self, arn: &str) -> anyhow::Result<String> {
        let client = aws_sdk_secretsmanager::Client::new(&self.caller.config(None).await?);
        let answer = called("GetSecretValue", client.get_secret_value().secret_id(arn).send().await);
        let answer = answer.with_context(|| format!("the secret `{arn}` could not be read"))?;
        Ok(answer.secret_string.ok_or_else(|| Misuse(format!("the secret `{arn}` holds no text: store JSON in it")))?)
    }
}

fn database_url() -> Result<String, Misuse> {
    match std::env::var_os(DATABASE_URL).filter(|url| !url.is_empty()) {
        None => Err(Misuse(format!(
            "no database: set `{DATABASE_URL}` to `postgresql://user:password@host/database`, or pass `--secret-arn`"
        ))),
        Some(url) => {
            url.into_string().map_err(|_| Misuse(format!("the variable `{DATABASE_URL}` is not UTF-8: set a URL")))
        }
    }
}
