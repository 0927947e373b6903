use super::{
    names::{self, Treatment},
    *,
};

fn read(text: &str) -> Settings {
    Settings::read(text.as_bytes(), "flyway.toml").unwrap_or_else(|error| panic!("{text}: {error:#?}"))
}

fn refused(text: &str) -> Vec<String> {
    let findings = Settings::read(text.as_bytes(), "flyway.toml").expect_err(text);
    assert!(findings.iter().all(|it| it.code == Code::FlywaySettingUnsupported && it.subject == "flyway.toml"));
    findings.into_iter().map(|it| it.message).collect()
}

#[test]
fn what_is_supported_is_read() {
    let settings = read(
        r#"
        id = "b1f2"
        [flyway]
        environment = "payments"
        locations = ["filesystem:db/payments/migrations"]
        table = "history"
        createSchemas = false
        outOfOrder = true
        mixed = true
        group = true
        executeInTransaction = false
        placeholderReplacement = false
        baselineOnMigrate = true
        baselineVersion = "1.2"
        baselineDescription = "what was there"
        ignoreMigrationPatterns = ["*:pending"]
        validateMigrationNaming = true
        [flyway.placeholders]
        owner = "payments_app"
        [flyway.postgresql.transactional]
        lock = false
        [environments.payments]
        schemas = ["payments", "audit"]
        "#,
    );
    let expected = Settings {
        schemas: vec!["payments".to_owned(), "audit".to_owned()],
        default_schema: None,
        table: Some("history".to_owned()),
        create_schemas: false,
        placeholders: [("owner".to_owned(), "payments_app".to_owned())].into(),
        placeholder_replacement: false,
        out_of_order: true,
        mixed: true,
        group: true,
        execute_in_transaction: false,
        baseline_on_migrate: true,
        baseline_version: Some("1.2".to_owned()),
        baseline_description: Some("what was there".to_owned()),
        location: Some("db/payments/migrations".to_owned()),
        changed: [
            "baselineDescription",
            "baselineOnMigrate",
            "baselineVersion",
            "createSchemas",
            "executeInTransaction",
            "group",
            "mixed",
            "outOfOrder",
            "placeholderReplacement",
            "placeholders",
            "schemas",
            "table",
        ]
        .map(str::to_owned)
        .into(),
    };
    assert_eq!(settings, expected);
    assert_eq!(settings.history_name(), "payments.history");
    assert_eq!(
        settings.arguments().join(" "),
        "-schemas=payments,audit -table=history -baselineVersion=1.2 -baselineDescription=what was there -createSchemas=false -placeholderReplacement=false -outOfOrder=true -mixed=true -group=true -executeInTransaction=false -baselineOnMigrate=true"
    );
}

#[test]
fn what_says_nothing_new_changes_nothing() {
    for text in [
        "",
        "[flyway]\nlocations = [\"filesystem:db/payments/migrations\"]",
        "[flyway]\noutOfOrder = false\ntable = \"flyway_schema_history\"\nencoding = \"utf-8\"\nsqlMigrationPrefix = \"V\"",
        "[flyway]\ntarget = \"latest\"\nsqlMigrationSuffixes = [\".sql\"]\ncleanDisabled = true\nlockRetryCount = 5\n\
         baselineVersion = 1\nplaceholderPrefix = \"${\"",
        "[environments.default]\nschemas = []",
    ] {
        let settings = read(text);
        assert!(settings.changes_nothing(), "{text}: {settings:?}");
        assert_eq!((settings.schema(), settings.table()), (None, DEFAULT_TABLE));
    }
    assert_eq!(
        read("[flyway]\ndefaultSchema = \"app\"\n[environments.default]\nschemas = [\"x\"]").schema(),
        Some("app")
    );
}

#[test]
fn what_changes_what_runs_and_is_not_used_alike_is_refused_by_name() {
    insta::assert_snapshot!(
        refused("[flyway]\nsqlMigrationPrefix = \"M\"\ntarget = \"3\"\nnonsense = 1\n[environments.dev]\nurl = \"x\"\n").join("\n"),
        @r"
    `flyway.nonsense`: the gatekeeper doesn't know it, so it can't be used alike in every stage: take it out, or correct its spelling (case counts)
    `flyway.sqlMigrationPrefix`: only `V` is taken, because it changes which files are migrations or what they are hashed as, and the gate reads them by Flyway's own default: take it out and rename the files
    `flyway.target`: only `latest` is taken, because with it some of the commit's migrations never run: take it out, and leave out of the commit what must wait
    `environments.dev`: the file is the same in every stage, and `default` is the environment that it uses: take this one out, or keep it in a file that is not committed
    "
    );
    for (text, name) in [
        ("[flyway]\nurl = \"jdbc:postgresql://h/d\"", "`flyway.url`"),
        ("[flyway]\nschemas = [\"payments\"]", "`flyway.schemas`"),
        ("schemas = [\"payments\"]", "`schemas`"),
        ("[environments.default]\npassword = \"geheim\"", "`environments.default.password`"),
        ("[environments.default]\ninitSql = \"SET ROLE x\"", "`environments.default.initSql`"),
        ("[environments.default.flyway]\ntable = \"x\"", "`environments.default.flyway`"),
        ("[flyway.vault]\ntoken = \"geheim\"", "`flyway.vault`"),
        ("[flyway]\nencoding = \"UTF-16\"", "`flyway.encoding`"),
        ("[flyway]\ndetectEncoding = true", "`flyway.detectEncoding`"),
        ("[flyway]\ncallbacks = [\"x.Y\"]", "`flyway.callbacks`"),
        ("[flyway]\nskipExecutingMigrations = true", "`flyway.skipExecutingMigrations`"),
        ("[flyway]\nvalidateOnMigrate = false", "`flyway.validateOnMigrate`"),
        ("[flyway]\ncleanDisabled = false", "`flyway.cleanDisabled`"),
        ("[flyway]\nignoreMigrationPatterns = [\"*:missing\"]", "`flyway.ignoreMigrationPatterns`"),
        ("[flyway]\nlocations = [\"classpath:db\"]", "`flyway.locations`"),
        ("[flyway]\nlocations = [\"filesystem:a\", \"filesystem:b\"]", "`flyway.locations`"),
        ("[flyway]\nlocations = [\"filesystem:a*\"]", "`flyway.locations`"),
        ("[flyway]\nsqlMigrationSuffixes = [\".sql\", \".pks\"]", "`flyway.sqlMigrationSuffixes`"),
        ("[flyway]\nplaceholderPrefix = \"@{\"", "`flyway.placeholderPrefix`"),
        ("[flyway]\noutOfOrder = \"true\"", "`flyway.outOfOrder`"),
        ("[flyway]\nOutOfOrder = true", "`flyway.OutOfOrder`"),
        ("[flyway]\ntable = \"${env.TABLE}\"", "`flyway.table`"),
        ("[flyway]\ndefaultSchema = \"a,b\"", "`flyway.defaultSchema`"),
        ("[flyway]\nbaselineVersion = \"one\"", "`flyway.baselineVersion`"),
        ("[flyway.placeholders]\nOwner = \"a\"\nowner = \"b\"", "`flyway.placeholders.owner`"),
        ("[flyway.placeholders]\na.b = \"x\"", "`flyway.placeholders.a`"),
        ("[flyway.postgresql.transactional]\nlocks = true", "`flyway.postgresql`"),
        ("[flyway.check]\nx = 1", "`flyway.check`"),
        ("flyway = 1", "`flyway`"),
    ] {
        let told = refused(text);
        assert!(told.iter().any(|it| it.starts_with(&format!("{name}:"))), "{text}: {told:?}");
        assert!(told.iter().all(|it| !it.contains("geheim") && !it.contains("jdbc:")), "{told:?}");
    }
}

#[test]
fn what_is_no_toml_is_told_without_its_words() {
    let told = refused("[flyway]\npassword = geheim\n");
    assert!(told[0].starts_with("it is not TOML") && !told[0].contains("geheim"), "{told:?}");
    assert_eq!(refused("[flyway]\nmixed = true\nmixed = false").len(), 1);
    assert!(Settings::read(b"\xff", "f").is_err());
    assert!(Settings::read(&vec![b'\n'; usize::try_from(MAX_BYTES).unwrap() + 1], "f").is_err());
}

/// Every field of `FlywayEnvironmentModel` and `FlywayModel` of 11.8.2, and what else its documentation and its plug-ins know.
const FLYWAY_11_8_2: [&str; 58] = [
    "reportFilename",
    "detectEncoding",
    "encoding",
    "placeholderPrefix",
    "placeholderSuffix",
    "placeholderSeparator",
    "scriptPlaceholderPrefix",
    "scriptPlaceholderSuffix",
    "sqlMigrationPrefix",
    "executeInTransaction",
    "repeatableSqlMigrationPrefix",
    "sqlMigrationSeparator",
    "sqlMigrationSuffixes",
    "cleanDisabled",
    "cleanOnValidationError",
    "communityDBSupportEnabled",
    "locations",
    "jarDirs",
    "table",
    "tablespace",
    "target",
    "failOnMissingTarget",
    "placeholderReplacement",
    "ignoreMigrationPatterns",
    "validateMigrationNaming",
    "validateOnMigrate",
    "baselineVersion",
    "baselineDescription",
    "baselineOnMigrate",
    "outOfOrder",
    "skipExecutingMigrations",
    "callbacks",
    "skipDefaultCallbacks",
    "migrationResolvers",
    "skipDefaultResolvers",
    "mixed",
    "group",
    "installedBy",
    "createSchemas",
    "errorOverrides",
    "dryRunOutput",
    "stream",
    "batch",
    "outputQueryResults",
    "lockRetryCount",
    "kerberosConfigFile",
    "failOnMissingLocations",
    "loggers",
    "placeholders",
    "defaultSchema",
    "propertyResolvers",
    "reportEnabled",
    "environment",
    "outputType",
    "outputProgress",
    "provisionMode",
    "baselineMigrationPrefix",
    "undoSqlMigrationPrefix",
];

#[test]
fn every_setting_that_flyway_knows_is_read_or_named() {
    let read = [
        "executeInTransaction",
        "sqlMigrationSuffixes",
        "locations",
        "table",
        "placeholderReplacement",
        "ignoreMigrationPatterns",
        "baselineVersion",
        "baselineDescription",
        "baselineOnMigrate",
        "outOfOrder",
        "mixed",
        "group",
        "createSchemas",
        "placeholders",
        "defaultSchema",
        "environment",
    ];
    let unknown = names::of_flyway("nonsense");
    assert!(matches!(unknown, Treatment::Refused(_)));
    for name in FLYWAY_11_8_2 {
        assert!(read.contains(&name) || names::of_flyway(name) != unknown, "{name}");
    }
    for name in [
        "url",
        "user",
        "password",
        "driver",
        "connectRetries",
        "connectRetriesInterval",
        "initSql",
        "jdbcProperties",
        "resolvers",
        "provisioner",
        "flyway",
    ] {
        assert!(names::of_environment(name) != names::of_environment("nonsense"), "{name}");
    }
}

#[test]
fn a_stages_own_placeholders_go_before_the_files() {
    let settings = read("[flyway.placeholders]\nOwner = \"file\"\nother = \"file\"");
    let settings = settings.with_placeholders(&[("owner".to_owned(), "stage".to_owned())].into());
    let shown: Vec<_> = settings.placeholders.iter().map(|(name, value)| format!("{name}={value}")).collect();
    assert_eq!(shown, ["other=file", "owner=stage"]);
}

#[test]
fn a_table_is_named_with_its_schema() {
    let name = |text: &str| text.parse::<TableName>().map(|it| it.to_string());
    assert_eq!(name("ledger.flyway_schema_history").unwrap(), "ledger.flyway_schema_history");
    for wrong in ["", "history", ".history", "a.", "a.b.c", "a.b c\n", "\"a\".b"] {
        assert!(name(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn a_scripts_configuration_is_read_as_flyway_reads_it() {
    // What Flyway 11.8.2 takes and what it fails on was tried with it; what it takes and is refused here is read otherwise
    // elsewhere.
    for fine in [
        "executeInTransaction=false\n",
        " executeInTransaction : false\r\n",
        "executeInTransaction false",
        "executeInTransaction=false \n",
        "executeInTransaction=FALSE",
        "# c\n! d\n\nencoding=UTF-8\nplaceholderReplacement=true",
        "\u{FEFF}executeInTransaction=false",
        "",
    ] {
        assert_eq!(read_script(fine.as_bytes(), "k"), [], "{fine}");
    }
    for (wrong, name) in [
        ("flyway.executeInTransaction=false", "`flyway.executeInTransaction`"),
        ("executeInTransaction=no", "`executeInTransaction`"),
        ("executeintransaction=false", "`executeintransaction`"),
        ("shouldExecute=false", "`shouldExecute`"),
        ("executeInTransaction=true\nexecuteInTransaction=false", "`executeInTransaction`"),
        ("encoding=ISO-8859-1", "`encoding`"),
        ("[flyway]", "`[flyway]`"),
        ("outOfOrder=true", "`outOfOrder`"),
        ("executeInTransaction=fal\\\nse", ""),
        ("executeInTransaction=${x}", ""),
    ] {
        let told = read_script(wrong.as_bytes(), "k");
        assert!(told.iter().any(|it| it.message.starts_with(name)), "{wrong}: {told:?}");
    }
    assert_eq!(read_script(b"\xff", "k").len(), 1);
}

#[test]
fn a_message_quotes_no_control_character() {
    let told = refused("\"\\u001b[31m\" = 1\n[flyway]\n\"a\\nb\" = 1\n");
    assert!(told.iter().all(|it| !it.contains(char::is_control)), "{told:?}");
    assert!(told[0].starts_with("`\u{fffd}[31m`: ") && told[1].starts_with("`flyway.a\u{fffd}b`: "), "{told:?}");
}

proptest::proptest! {
    #[test]
    fn no_file_makes_it_panic(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200), text in "[a-z\\[\\]=\"'.${} \n]{0,80}") {
        for bytes in [bytes.as_slice(), text.as_bytes()] {
            let _ = Settings::read(bytes, "f");
            let _ = read_script(bytes, "f");
        }
    }
}
