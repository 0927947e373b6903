//! Whose credentials are used, as the AWS CLI has it: `--profile`, keys in the environment, `AWS_PROFILE`.
//!
//! botocore 1.43.106 was asked the same (`ProfileNotFound`, `PartialCredentialsError`, which key, which region).

use std::{
    io::{Read as _, Write as _},
    net::TcpListener,
    path::Path,
    thread,
};

use crate::common::{Run, gatekeeper_with};

const FILE: &str = "\
[default]
region = eu-west-1
[profile dev]
region = eu-west-2
aws_access_key_id = AKIADEV
aws_secret_access_key = secret
[profile elsewhere]
region = eu-west-3
endpoint_url = ENDPOINT
aws_access_key_id = AKIAELSEWHERE
aws_secret_access_key = secret
[profile program]
region = eu-west-2
credential_process = echo '{\"Version\": 1, \"AccessKeyId\": \"AKIAPROGRAM\", \"SecretAccessKey\": \"secret\"}'
[profile role]
role_arn = arn:aws:iam::111122223333:role/promoter
source_profile = dev
region = eu-west-2
[profile mfa]
role_arn = arn:aws:iam::111122223333:role/promoter
source_profile = dev
mfa_serial = arn:aws:iam::111122223333:mfa/jane
[profile through-mfa]
role_arn = arn:aws:iam::111122223333:role/other
source_profile = mfa
[profile console]
login_session = arn:aws:iam::111122223333:user/jane
[profile settings]
region = eu-west-2
";

const KEYS: [(&str, &str); 2] = [("AWS_ACCESS_KEY_ID", "AKIAENV"), ("AWS_SECRET_ACCESS_KEY", "secret")];

/// Whether a request has its head, and of its body as much as the head says.
fn is_whole(request: &[u8]) -> bool {
    let text = String::from_utf8_lossy(request).to_lowercase();
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse::<usize>().ok());
    body.len() >= length.unwrap_or(0)
}

/// An endpoint that answers `AssumeRole` and refuses everything else; what was asked: key, region and service.
fn endpoint() -> (String, thread::JoinHandle<()>, std::sync::mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let (sender, receiver) = std::sync::mpsc::channel();
    let serving = thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut text = Vec::new();
            let mut piece = [0; 4096];
            while !is_whole(&text) {
                let read = stream.read(&mut piece).unwrap();
                if read == 0 {
                    break;
                }
                text.extend(piece.iter().take(read));
            }
            let text = String::from_utf8_lossy(&text).into_owned();
            if text.starts_with("GET /stop") {
                return;
            }
            let scope = text.split("Credential=").nth(1).and_then(|it| it.split(',').next()).unwrap_or("nobody");
            let parts: Vec<_> = scope.split('/').collect();
            let asked = format!(
                "{} {} {}",
                parts.first().unwrap_or(&""),
                parts.get(2).unwrap_or(&""),
                parts.get(3).unwrap_or(&"")
            );
            let _ = sender.send(asked.clone());
            let body = if asked.ends_with(" sts") {
                "<AssumeRoleResponse><AssumeRoleResult><Credentials><AccessKeyId>AKIAROLE</AccessKeyId>\
                 <SecretAccessKey>secret</SecretAccessKey><SessionToken>token</SessionToken>\
                 <Expiration>2100-01-01T00:00:00Z</Expiration></Credentials><AssumedRoleUser>\
                 <Arn>arn:aws:sts::111122223333:assumed-role/promoter/x</Arn><AssumedRoleId>AROA:x</AssumedRoleId>\
                 </AssumedRoleUser></AssumeRoleResult></AssumeRoleResponse>"
            } else {
                "<ErrorResponse><Error><Code>ValidationError</Code><Message>no such stack</Message></Error></ErrorResponse>"
            };
            let status = if asked.ends_with(" sts") { "200 OK" } else { "400 Bad Request" };
            let _ = write!(
                stream,
                "HTTP/1.1 {status}\r\ncontent-type: text/xml\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
                body.len()
            );
        }
    });
    (address, serving, receiver)
}

/// Asks AWS for the stack's outputs; what the endpoint was asked, and how the command ended.
fn asked(arguments: &[&str], variables: &[(&str, &str)]) -> (Vec<String>, Run) {
    let (address, serving, receiver) = endpoint();
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("config");
    std::fs::write(&config, FILE.replace("ENDPOINT", &address)).unwrap();
    let files = [("AWS_CONFIG_FILE", config.to_str().unwrap()), ("AWS_SHARED_CREDENTIALS_FILE", "/no/such/file")];
    let variables: Vec<_> =
        files.iter().chain(variables).map(|(name, value)| (*name, value.replace("ENDPOINT", &address))).collect();
    let variables: Vec<_> = variables.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let mut run = gatekeeper_with(&[&["status"], arguments].concat(), &variables);
    run.stderr = run.stderr.replace(config.to_str().unwrap(), "CONFIG");
    let mut stop = std::net::TcpStream::connect(address.strip_prefix("http://").unwrap()).unwrap();
    stop.write_all(b"GET /stop HTTP/1.1\r\n\r\n").unwrap();
    serving.join().unwrap();
    (receiver.try_iter().collect(), run)
}

/// Who asked for the stack first.
fn caller(arguments: &[&str], variables: &[(&str, &str)]) -> String {
    let (asked, run) = asked(arguments, variables);
    let of_the_stack = asked.into_iter().find(|it| it.ends_with(" cloudformation"));
    of_the_stack.unwrap_or(run.stderr)
}

#[test]
fn a_named_profile_wins_over_keys_in_the_environment_and_these_over_a_profile_there() {
    let endpoint = ("AWS_ENDPOINT_URL", "ENDPOINT");
    let [id, secret] = KEYS;
    for (arguments, variables, expected) in [
        (&["--profile", "dev"][..], vec![endpoint, id, secret], "AKIADEV eu-west-2 cloudformation"),
        (&[], vec![endpoint, id, secret, ("AWS_PROFILE", "dev")], "AKIAENV eu-west-2 cloudformation"),
        (&[], vec![endpoint, ("AWS_PROFILE", "dev")], "AKIADEV eu-west-2 cloudformation"),
        (&[], vec![endpoint, ("AWS_DEFAULT_PROFILE", "dev")], "AKIADEV eu-west-2 cloudformation"),
        (&["--profile", "dev"], vec![endpoint, ("AWS_PROFILE", "nope")], "AKIADEV eu-west-2 cloudformation"),
        (&["--profile", "dev"], vec![endpoint, ("AWS_REGION", "us-east-1")], "AKIADEV us-east-1 cloudformation"),
        (
            &["--profile", "dev", "--region", "us-west-2"],
            vec![endpoint, ("AWS_REGION", "us-east-1")],
            "AKIADEV us-west-2 cloudformation",
        ),
        (&["--profile", "elsewhere"], vec![id, secret], "AKIAELSEWHERE eu-west-3 cloudformation"),
        (&["--profile", "program"], vec![endpoint, id, secret], "AKIAPROGRAM eu-west-2 cloudformation"),
        (&["--profile", "role"], vec![endpoint, id, secret], "AKIAROLE eu-west-2 cloudformation"),
    ] {
        let variables: Vec<_> = variables.into_iter().chain([("PATH", "/usr/bin:/bin")]).collect();
        assert_eq!(caller(arguments, &variables), expected, "{arguments:?} {variables:?}");
    }
}

#[test]
fn the_endpoint_of_an_option_wins_over_that_of_one_service() {
    let (address, serving, receiver) = endpoint();
    let variables =
        [KEYS[0], KEYS[1], ("AWS_ENDPOINT_URL_CLOUDFORMATION", "http://127.0.0.1:9"), ("AWS_REGION", "eu-west-1")];
    gatekeeper_with(&["status", "--endpoint-url", &address], &variables);
    let mut stop = std::net::TcpStream::connect(address.strip_prefix("http://").unwrap()).unwrap();
    stop.write_all(b"GET /stop HTTP/1.1\r\n\r\n").unwrap();
    serving.join().unwrap();
    assert!(receiver.try_iter().any(|asked| asked == "AKIAENV eu-west-1 cloudformation"));
}

fn refused(arguments: &[&str], variables: &[(&str, &str)]) -> String {
    let (asked, run) = asked(arguments, variables);
    assert_eq!((run.code, asked.len()), (2, 0), "{}", run.stderr);
    run.stderr
}

#[test]
fn a_profile_that_there_is_none_of_is_an_error_with_the_files_that_were_read() {
    let told = [
        refused(&["--profile", "nope"], &KEYS),
        refused(&[], &[KEYS[0], KEYS[1], ("AWS_PROFILE", "nope")]),
        refused(&[], &[KEYS[0]]),
        refused(&["--profile", "mfa"], &KEYS),
        refused(&["--profile", "through-mfa"], &KEYS),
        refused(&[], &[("AWS_PROFILE", "console")]),
    ];
    insta::assert_snapshot!(told.concat(), @r#"
    error: there is no AWS profile `nope`, which `--profile` names, in `CONFIG` and `/no/such/file` (not there): there are `console`, `default`, `dev`, `elsewhere`, `mfa`, `program`, `role`, `settings`, `through-mfa`
    error: there is no AWS profile `nope`, which `AWS_PROFILE` names, in `CONFIG` and `/no/such/file` (not there): there are `console`, `default`, `dev`, `elsewhere`, `mfa`, `program`, `role`, `settings`, `through-mfa`
    error: `AWS_ACCESS_KEY_ID` is set and `AWS_SECRET_ACCESS_KEY` is not: set both or neither
    error: the AWS profile `mfa` asks for an MFA code (`mfa_serial`), which the AWS CLI can do and this command can't: run `eval "$(aws configure export-credentials --profile mfa --format env)"` and leave `--profile` out
    error: the AWS profile `through-mfa` asks for an MFA code (`mfa_serial`), which the AWS CLI can do and this command can't: run `eval "$(aws configure export-credentials --profile through-mfa --format env)"` and leave `--profile` out
    error: the AWS profile `console` is one of `aws login` (`login_session`), which the AWS CLI can do and this command can't: run `eval "$(aws configure export-credentials --profile console --format env)"` and leave `AWS_PROFILE` out
    "#);
}

#[test]
fn where_the_files_lie_is_told_also_where_nobody_said_so() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path().to_str().unwrap();
    let run = gatekeeper_with(&["status", "--profile", "default"], &[("HOME", home)]);
    assert_eq!(run.code, 2);
    insta::assert_snapshot!(run.stderr.replace(home, "HOME"), @"error: there is no AWS profile `default`, which `--profile` names, in `HOME/.aws/config` (not there) and `HOME/.aws/credentials` (not there): there is none");
    std::fs::create_dir(Path::new(home).join(".aws")).unwrap();
    std::fs::write(Path::new(home).join(".aws/credentials"), "[other]\naws_access_key_id = a\n").unwrap();
    let run = gatekeeper_with(&["status", "--profile", "default"], &[("HOME", home)]);
    insta::assert_snapshot!(run.stderr.replace(home, "HOME"), @"error: there is no AWS profile `default`, which `--profile` names, in `HOME/.aws/config` (not there) and `HOME/.aws/credentials`: there are `other`");
}
