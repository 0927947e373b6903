//! The names that a `flyway.toml` may hold and what each means to the gatekeeper.

/// What the gatekeeper makes of a setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Treatment {
    /// It changes neither what runs nor where the history lies, and is not used.
    Inert,
    /// Only its default is taken, and why.
    Only(&'static str, &'static str),
    /// It is refused: why, and what to do instead.
    Refused(&'static str),
}

use Treatment::{Inert, Only, Refused};

const CONNECTION: &str = "it is about the connection, which is each stage's own: leave it to `FLYWAY_URL`, `FLYWAY_USER` \
                          and `FLYWAY_PASSWORD` in CI, and to the stage's secret";
const SECRET: &str = "it holds or fetches a secret, and the file is stored with the commit: take it out and, if it was ever \
                      committed, change the secret";
const FILES: &str = "it changes which files are migrations or what they are hashed as, and the gate reads them by \
                     Flyway's own default: take it out and rename the files";
const PLACEHOLDERS: &str = "the gate finds placeholders as `${name}` only: take it out, or set `placeholderReplacement` to \
                            `false`";
const SCRIPTS: &str = "it is about programs of the operating system, and only SQL files are run here: take it out";
const CODE: &str = "it makes Flyway run code that is no artefact of the commit: take it out, SQL callbacks such as \
                    `afterMigrate.sql` are run";
const EDITION: &str = "it is another edition's than Flyway Community, which is what the gatekeeper runs: take it out";

/// The settings of `[flyway]` that are not read into [`Settings`](super::Settings).
const FLYWAY: &[(&str, Treatment)] = &[
    ("baselineMigrationPrefix", Only("B", FILES)),
    ("batch", Refused(EDITION)),
    ("callbackLocations", Refused(CODE)),
    ("callbacks", Refused(CODE)),
    ("cherryPick", Refused(EDITION)),
    (
        "cleanDisabled",
        Only("true", "it lets `flyway clean` drop every object: take it out, and clean dev by an argument"),
    ),
    ("cleanOnValidationError", Only("false", "it drops every object where validation fails: take it out")),
    ("communityDBSupportEnabled", Inert),
    ("connectRetries", Inert),
    ("connectRetriesInterval", Inert),
    ("detectEncoding", Only("false", FILES)),
    ("driver", Refused(CONNECTION)),
    ("dryRunOutput", Refused("with it `flyway migrate` runs nothing: pass it as an argument where it is wanted")),
    ("encoding", Only("UTF-8", FILES)),
    ("errorHandlers", Refused(CODE)),
    ("errorOverrides", Refused(EDITION)),
    ("failOnMissingLocations", Inert),
    ("failOnMissingTarget", Refused("it belongs to `target`, which is not taken: take it out")),
    (
        "initSql",
        Refused(
            "it runs before Flyway looks where its history lies, and could move it: set it on the database's user, by \
             `ALTER ROLE … SET …`, or in a callback `beforeMigrate.sql`",
        ),
    ),
    ("installedBy", Refused("the history tells who ran a migration by the database's user: take it out")),
    ("jarDirs", Refused(CODE)),
    ("javaMigrationClassProvider", Refused(CODE)),
    ("javaMigrations", Refused(CODE)),
    ("jdbcProperties", Refused(CONNECTION)),
    ("kerberosConfigFile", Refused(CONNECTION)),
    ("licenseKey", Refused(SECRET)),
    ("licenseKeyFile", Refused(SECRET)),
    ("lockRetryCount", Inert),
    ("loggers", Inert),
    ("migrationResolvers", Refused(CODE)),
    ("outputProgress", Inert),
    ("outputQueryResults", Inert),
    ("outputType", Inert),
    ("password", Refused(SECRET)),
    ("placeholderPrefix", Only("${", PLACEHOLDERS)),
    ("placeholderSeparator", Only(":", PLACEHOLDERS)),
    ("placeholderSuffix", Only("}", PLACEHOLDERS)),
    ("propertyResolvers", Refused(SECRET)),
    ("provisionMode", Refused(CONNECTION)),
    ("repeatableSqlMigrationPrefix", Only("R", FILES)),
    ("reportEnabled", Inert),
    ("reportFilename", Inert),
    ("resolvers", Refused(CODE)),
    (
        "schemas",
        Refused("Flyway takes it in an environment only, and fails here: write it below `[environments.default]`"),
    ),
    ("scriptPlaceholderPrefix", Refused(SCRIPTS)),
    ("scriptPlaceholderSuffix", Refused(SCRIPTS)),
    ("skipDefaultCallbacks", Only("false", "the commit's callbacks are run in every stage: take it out")),
    ("skipDefaultResolvers", Only("false", "with it no SQL file is a migration: take it out")),
    ("skipExecutingMigrations", Only("false", "with it a migration counts as run that did not: take it out")),
    ("sqlMigrationPrefix", Only("V", FILES)),
    ("sqlMigrationSeparator", Only("__", FILES)),
    ("stream", Refused(EDITION)),
    ("tablespace", Refused("a stage may not have it: set `default_tablespace` on the database's user instead")),
    (
        "target",
        Only(
            "latest",
            "with it some of the commit's migrations never run: take it out, and leave out of the commit what must wait",
        ),
    ),
    ("token", Refused(SECRET)),
    ("undoSqlMigrationPrefix", Only("U", FILES)),
    ("url", Refused(CONNECTION)),
    ("user", Refused(CONNECTION)),
    ("validateMigrationNaming", Inert),
    ("validateOnMigrate", Only("true", "it lets edited migrations pass: take it out")),
    ("vault", Refused(SECRET)),
];

/// The settings of `[environments.NAME]` beside `schemas`.
const ENVIRONMENT: &[(&str, Treatment)] = &[
    ("connectRetries", Inert),
    ("connectRetriesInterval", Inert),
    ("displayName", Inert),
    ("driver", Refused(CONNECTION)),
    ("flyway", Refused("it says again what `[flyway]` does: write its settings there")),
    (
        "initSql",
        Refused(
            "it runs before Flyway looks where its history lies, and could move it: set it on the database's user, by \
             `ALTER ROLE … SET …`, or in a callback `beforeMigrate.sql`",
        ),
    ),
    ("jarDirs", Refused(CODE)),
    ("jdbcProperties", Refused(CONNECTION)),
    ("password", Refused(SECRET)),
    ("provisioner", Refused(CONNECTION)),
    ("resolvers", Refused(SECRET)),
    ("token", Refused(SECRET)),
    ("url", Refused(CONNECTION)),
    ("user", Refused(CONNECTION)),
];

const UNKNOWN: &str = "the gatekeeper doesn't know it, so it can't be used alike in every stage: take it out, or correct its \
                       spelling (case counts)";

/// What becomes of `name` of `[flyway]`.
pub(super) fn of_flyway(name: &str) -> Treatment {
    find(FLYWAY, name)
}

/// What becomes of `name` of an environment.
pub(super) fn of_environment(name: &str) -> Treatment {
    find(ENVIRONMENT, name)
}

fn find(table: &[(&str, Treatment)], name: &str) -> Treatment {
    table.iter().find(|(known, _)| *known == name).map_or(Refused(UNKNOWN), |(_, treatment)| *treatment)
}
