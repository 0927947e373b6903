use proptest::prelude::*;

use super::*;

fn read(text: &str) -> Target {
    Target::from_secret(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

#[track_caller]
fn refused(text: &str, why: &str) {
    let error = Target::from_secret(text).unwrap_err().to_string();
    assert!(error.contains(why), "{text}: {error}");
    for secret in ["geheim", "sesam"] {
        assert!(!error.contains(secret), "{error}");
    }
}

#[test]
fn a_url_tells_everything_and_tls_is_raised_to_full_verification() {
    let neon = "postgresql://migrate_user:ge%2Fheim%40%3A@ep-cool-1.eu-central-1.aws.neon.tech/payments?sslmode=require&\
                channel_binding=require";
    for text in [
        neon.to_owned(),
        neon.replace("postgresql:", "postgres:"),
        format!("  {neon}\n"),
        format!(r#"{{"url":"{neon}"}}"#),
    ] {
        let target = read(&text);
        assert_eq!(target.host(), "ep-cool-1.eu-central-1.aws.neon.tech");
        assert_eq!((target.port(), target.database(), target.user()), (5432, "payments", "migrate_user"));
        assert_eq!(target.password(), "ge/heim@:");
        assert!(target.tls() && target.channel_binding());
    }
    for mode in
        ["", "?sslmode=require", "?sslmode=verify-ca", "?sslmode=verify-full", "?connect_timeout=3&application_name=x"]
    {
        assert!(read(&format!("postgresql://u:p@db.example:6000/d{mode}")).tls(), "{mode}");
    }
    assert_eq!(read("postgresql://u:p@db.example:6000/d").port(), 6000);
    assert_eq!(read("postgresql://u:p@[2001:db8::1]:6000/d").host(), "2001:db8::1");
}

#[test]
fn neons_endpoint_option_must_be_the_hosts() {
    assert!(read("postgresql://u:p@ep-cool-1.neon.tech/d?options=endpoint%3Dep-cool-1").tls());
    refused("postgresql://u:geheim@ep-cool-1.neon.tech/d?options=endpoint%3Dep-other-2", "`options`");
    refused("postgresql://u:geheim@db.example/d?options=-c%20role%3Dadmin", "`options`");
}

#[test]
fn json_tells_it_in_fields() {
    let rds = r#"{"engine":"postgres","host":"db.example","port":5433,"dbname":"d","username":"u","password":"p","dbInstanceIdentifier":"x"}"#;
    let target = read(rds);
    assert_eq!((target.host(), target.port(), target.password(), target.tls()), ("db.example", 5433, "p", true));
    assert_eq!(read(&rds.replace("5433", "\"5434\"")).port(), 5434);
    let beside = read(r#"{"url":"postgresql://db.example/d","username":"u","password":"p"}"#);
    assert_eq!((beside.user(), beside.password()), ("u", "p"));
    refused(&rds.replace("postgres", "mysql"), "`engine`");
    refused(r#"{"host":"db.example","dbname":"d","username":"u","password":["geheim"]}"#, "`password` is neither text");
    refused(r#"{"url":"postgresql://u:geheim@db.example/d","password":"sesam"}"#, "twice");
    refused(r#"{"url":"postgresql://u:geheim@db.example/d""#, "begins like JSON");
    refused(r#"{"password":"geheim"}"#, "neither `url` nor `host`");
}

#[test]
fn only_this_machine_may_go_without_tls() {
    for host in ["localhost", "127.0.0.1", "127.8.9.1", "[::1]", "LOCALHOST"] {
        assert!(!read(&format!("postgresql://u:p@{host}/d")).tls());
        assert!(!read(&format!("postgresql://u:p@{host}/d?sslmode=disable")).tls());
        assert!(read(&format!("postgresql://u:p@{host}/d?sslmode=verify-full")).tls());
        refused(&format!("postgresql://u:geheim@{host}/d?sslmode=prefer"), "`sslmode`");
    }
    for host in ["localhost.example.com", "127.0.0.1.example.com", "10.0.0.1", "db.example"] {
        assert!(read(&format!("postgresql://u:p@{host}/d")).tls(), "{host}");
        for mode in ["disable", "allow", "prefer", "", "Require"] {
            refused(&format!("postgresql://u:geheim@{host}/d?sslmode={mode}"), "make it `verify-full`");
        }
    }
    refused("postgresql://u:geheim@db.example/d?sslmode=require&sslmode=disable", "`sslmode`");
    refused("postgresql://u:geheim@db.example/d?sslmode=require&channel_binding=disable", "`channel_binding`");
}

#[test]
fn what_flyway_can_not_use_or_what_is_not_safe_is_refused_with_a_reason() {
    refused("postgresql://u:geheim@ep-cool-1-pooler.eu.aws.neon.tech/d", "without `-pooler`");
    refused("postgresql://u:geheim@a.example,b.example/d", "several hosts");
    refused("jdbc:postgresql://a.example/d?user=u&password=geheim", "JDBC");
    refused("mysql://u:geheim@a.example/d", "begins with `postgresql://`");
    refused("geheim", "neither JSON nor a URL");
    refused("postgresql://u:geheim@a.example", "no database");
    refused("postgresql://u:geheim@a.example/", "no database");
    refused("postgresql://u@a.example/geheim", "no password");
    refused("postgresql://:geheim@a.example/d", "no user");
    refused("postgresql://u:ge%0Aheim@a.example/d", "control character");
    refused("postgresql://u:geheim@a.example:99999/d", "port");
    refused("postgresql://u:geheim@/d", "not a host's name");
    for name in ["sslrootcert", "service", "passfile", "host", "sslkey", "hostaddr"] {
        refused(&format!("postgresql://u:geheim@a.example/d?{name}=x"), &format!("`{name}`"));
    }
    // What looks like a port, a host or a parameter may be a piece of the password.
    refused("postgresql://u:sesam/geheim@a.example/d", "percent-encode");
    refused("postgresql://u:p@[::1]geheim/d", "port");
    for port in ["0", "+5432", "", "geheim"] {
        refused(&format!("postgresql://u:p@a.example:{port}/d"), "port");
    }
    refused("postgresql://u:1?geheim@a.example/d", "percent-encode");
    refused("postgresql://u:1?geheim&sesam@a.example/d", "percent-encode");
    refused("postgresql://u:p@a.example/d?geheim=1", "doesn't know");
}

#[test]
fn no_piece_of_an_unencoded_password_becomes_a_host() {
    for password in [
        "p@geheim",
        "p@geheim/sesam",
        "p@geheim?sesam",
        "1/geheim",
        "1?geheim",
        "1/sesam@geheim",
        "p@geheim:1/sesam",
        "@geheim",
        "@geheim/",
        "p@geheim/d?sslmode=require&x=",
        "ge%heim",
        "geheim%4",
        "%geheim",
        "@geheim@sesam",
        "1?sslmode=require/geheim",
    ] {
        for host in ["db.example", "db.example:6000", "[2001:db8::1]:6000"] {
            let url = format!("postgresql://u:{password}@{host}/d?sslmode=require");
            refused(&url, "`@` as `%40`");
            refused(&serde_json::json!({"url": url}).to_string(), "`@` as `%40`");
        }
    }
    refused("postgresql://ge/heim:geheim@db.example/d", "`/` as `%2F`");
    refused("postgresql://u:p@ge%68eim/d", "percent-encode");
    // What every reader splits alike is nothing that must be encoded.
    for password in ["a:b", "a#b", "a b", "a&b=c", "ä", "a[b]"] {
        assert_eq!(read(&format!("postgresql://u:{password}@db.example/d")).password(), password);
    }
}

#[test]
fn it_never_shows_the_password() {
    insta::assert_snapshot!(format!("{:?}", read("postgresql://u:geheim@db.example/d")), @r#"Target { host: "db.example", port: 5432, database: "d", user: "u", tls: true, .. }"#);
}

proptest! {
    #[test]
    fn every_password_survives_its_encoding(password in "[^\\p{Cc}]{1,20}") {
        let encoded = percent_encoding::utf8_percent_encode(&password, percent_encoding::NON_ALPHANUMERIC);
        let url = format!("postgresql://u:{encoded}@db.example/d");
        let target = read(&url);
        prop_assert_eq!(target.password(), &password);
        let json = serde_json::json!({"host": "h", "dbname": "d", "username": "u", "password": password}).to_string();
        let target = read(&json);
        prop_assert_eq!(target.password(), &password);
    }

    /// Whatever a password is, unencoded it is refused or read as it is: the host is the host.
    #[test]
    fn an_unencoded_password_never_moves_the_host(password in "[!-~äß]{1,16}") {
        if let Ok(target) = Target::from_secret(&format!("postgresql://u:{password}@db.example/d")) {
            prop_assert_eq!((target.host(), target.port(), target.database()), ("db.example", 5432, "d"));
        }
    }

    #[test]
    fn no_text_makes_it_panic_or_speak(before in ".{0,20}", after in ".{0,20}") {
        for text in [format!("postgresql://{before}geheim{after}"), format!("{{{before}geheim{after}")] {
            if let Err(error) = Target::from_secret(&text) {
                prop_assert!(!error.to_string().contains("geheim"));
            }
        }
    }
}

#[test]
fn what_a_managed_secret_leaves_out_is_told_by_the_stage() {
    let managed = r#"{"username":"migrate_user","password":"geheim"}"#;
    let place =
        |host: &str, port, dbname: &str| Place { host: Some(host.to_owned()), port, dbname: Some(dbname.to_owned()) };
    let target = Target::from_secret_at(managed, &place("db.example", Some(5433), "payments")).unwrap();
    assert_eq!((target.host(), target.port(), target.database()), ("db.example", 5433, "payments"));
    assert_eq!((target.user(), target.password(), target.tls()), ("migrate_user", "geheim", true));
    let target = Target::from_secret_at(managed, &place("db.example", None, "payments")).unwrap();
    assert_eq!(target.port(), 5432);
    refused(managed, "neither `url` nor `host`: a secret that Amazon RDS manages has none");
    let error = Target::from_secret_at(managed, &Place { dbname: None, ..place("db.example", None, "") }).unwrap_err();
    assert_eq!(error.to_string(), "it tells no database");
    // Some proxies and read replicas stand in front of what a secret tells: told twice, it must be told alike.
    let whole = r#"{"host":"db.example","port":5433,"dbname":"d","username":"u","password":"geheim"}"#;
    for (text, place, what) in [
        (whole, place("other.example", None, "d"), "the host that it tells is not `host` of the database's entry"),
        (whole, place("DB.example", Some(5432), "d"), "the port that it tells is not `port` of the database's entry"),
        (
            whole,
            place("db.example", Some(5433), "e"),
            "the database that it tells is not `dbname` of the database's entry",
        ),
        ("postgresql://u:geheim@db.example/d", place("x.example", None, "d"), "the host that it tells"),
    ] {
        let error = Target::from_secret_at(text, &place).unwrap_err().to_string();
        assert!(error.contains(what) && error.contains("config/stages.json"), "{error}");
        assert!(!error.contains("geheim") && !error.contains("example"), "{error}");
    }
    assert!(Target::from_secret_at(whole, &place("DB.EXAMPLE", Some(5433), "d")).is_ok());
    let url = "postgresql://u:geheim@db.example/d";
    assert_eq!(Target::from_secret_at(url, &place("db.example", Some(6000), "d")).unwrap().port(), 6000);
}
