//! How the tools are told where the database is.

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::{Database, redact::escaped_for_passfile};

/// Where a child finds the file that it was given as its standard input.
pub(super) const STANDARD_INPUT: &str = "/dev/stdin";
/// How long a connection may take to be made.
const CONNECT_TIMEOUT_SECONDS: u64 = 10;
/// How often the server looks whether a client whose statement is running is still there, so that what a killed run left
/// ends and its locks with it. PostgreSQL 14 and newer know it.
const CLIENT_CHECK: &str = "-c client_connection_check_interval=2000";

impl Database {
    /// What libpq's programs get as their one argument about the connection: everything but the password
    /// (PostgreSQL documentation, "Connection Strings").
    pub(super) fn libpq(&self) -> String {
        let target = &self.target;
        let mut settings = vec![
            ("host", target.host().to_owned()),
            ("port", target.port().to_string()),
            ("dbname", target.database().to_owned()),
            ("user", target.user().to_owned()),
            ("passfile", STANDARD_INPUT.to_owned()),
            ("gssencmode", "disable".to_owned()),
            ("connect_timeout", CONNECT_TIMEOUT_SECONDS.to_string()),
            ("application_name", self.application_name.clone()),
            ("options", self.session_settings()),
        ];
        if target.tls() {
            settings.push(("sslmode", "verify-full".to_owned()));
            settings.push(("sslrootcert", self.tools.ca_file.display().to_string()));
        } else {
            settings.push(("sslmode", "disable".to_owned()));
        }
        if target.channel_binding() {
            settings.push(("channel_binding", "require".to_owned()));
        }
        let quoted = settings.into_iter().map(|(name, value)| {
            let value = value.replace('\\', "\\\\").replace('\'', "\\'");
            format!("{name}='{value}'")
        });
        quoted.collect::<Vec<_>>().join(" ")
    }

    /// The passfile of libpq's programs.
    pub(super) fn passfile(&self) -> String {
        format!("*:*:*:*:{}\n", escaped_for_passfile(self.target.password()))
    }

    /// The connection's part of Flyway's configuration. All is in the URL, because Flyway replaces `${…}` in every other
    /// setting by environment variables; and the server's details stay out of errors, for they quote rows
    /// (pgJDBC documentation, "Connection Parameters").
    pub(super) fn jdbc(&self) -> String {
        let target = &self.target;
        let mut settings = vec![
            ("user", target.user().to_owned()),
            ("password", target.password().to_owned()),
            ("ApplicationName", self.application_name.clone()),
            ("options", self.session_settings()),
            ("connectTimeout", CONNECT_TIMEOUT_SECONDS.to_string()),
            ("gssEncMode", "disable".to_owned()),
            ("logServerErrorDetail", "false".to_owned()),
            ("tcpKeepAlive", "true".to_owned()),
        ];
        if target.tls() {
            settings.push(("sslmode", "verify-full".to_owned()));
            settings.push(("sslrootcert", self.tools.ca_file.display().to_string()));
        } else {
            settings.push(("sslmode", "disable".to_owned()));
        }
        let encoded = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
        let host = if target.host().contains(':') { format!("[{}]", target.host()) } else { target.host().to_owned() };
        let settings: Vec<_> = settings.iter().map(|(name, value)| format!("{name}={}", encoded(value))).collect();
        format!("jdbc:postgresql://{host}:{}/{}?{}", target.port(), encoded(target.database()), settings.join("&"))
    }

    fn session_settings(&self) -> String {
        let (statement, lock) = (self.limits.statement.as_millis(), self.limits.lock.as_millis());
        format!(
            "-c statement_timeout={statement} -c idle_in_transaction_session_timeout={statement} -c lock_timeout={lock} \
             {CLIENT_CHECK}"
        )
    }
}

#[cfg(test)]
mod tests {
    use crate::{Database, Target, Tools};

    fn database(url: &str) -> Database {
        let tools = Tools { path: "/bin".into(), java_home: None, ca_file: "/etc/ca it's.pem".into() };
        Database::new(tools, Target::from_secret(url).unwrap(), "artefact-gatekeeper 01J")
    }

    #[test]
    fn libpq_is_told_everything_but_the_password() {
        let database = database("postgresql://o'neil:ge%5Ch:eim@db.example/p%20q?channel_binding=require");
        insta::assert_snapshot!(database.libpq(), @r"host='db.example' port='5432' dbname='p q' user='o\'neil' passfile='/dev/stdin' gssencmode='disable' connect_timeout='10' application_name='artefact-gatekeeper 01J' options='-c statement_timeout=300000 -c idle_in_transaction_session_timeout=300000 -c lock_timeout=10000 -c client_connection_check_interval=2000' sslmode='verify-full' sslrootcert='/etc/ca it\'s.pem' channel_binding='require'");
        assert_eq!(database.passfile(), "*:*:*:*:ge\\\\h\\:eim\n");
    }

    #[test]
    fn flyways_url_leaves_nothing_to_replace() {
        let database = database("postgresql://u:%24%7BHOME%7D%26@[::1]:6000/p%20q");
        insta::assert_snapshot!(database.jdbc(), @"jdbc:postgresql://[::1]:6000/p%20q?user=u&password=%24%7BHOME%7D%26&ApplicationName=artefact%2Dgatekeeper%2001J&options=%2Dc%20statement%5Ftimeout%3D300000%20%2Dc%20idle%5Fin%5Ftransaction%5Fsession%5Ftimeout%3D300000%20%2Dc%20lock%5Ftimeout%3D10000%20%2Dc%20client%5Fconnection%5Fcheck%5Finterval%3D2000&connectTimeout=10&gssEncMode=disable&logServerErrorDetail=false&tcpKeepAlive=true&sslmode=disable");
    }
}
