//! What the gate does to a commit's database files and reports, measured by `make bench`: prints one JSON object.
//!
//! `judge_files checksums` computes Flyway's checksums of 1,000 migrations of 4 kB; `judge_files snapshot` judges and
//! normalises a schema snapshot of 5 MB; `judge_files report` recounts 50 MB of `JUnit` XML from a file; `judge_files form`
//! derives the portable form of a template of 1 MB and proves it. Each is a process of its own because the peak of memory
//! is the process's.

#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a program for `make bench` that ends loudly"
)]

use std::{
    fmt::Write as _,
    fs::File,
    hint::black_box,
    io::{BufReader, BufWriter, Seek as _, Write as _},
    time::Instant,
};

use gatekeeper_model::{ids::Sha256, outcome::Counts};
use gatekeeper_readers::{
    flyway::checksum,
    report,
    report::{Format, Recounted},
    schema_snapshot,
    schema_snapshot::Include,
    template,
    template::form,
};
use serde_json::json;

const FILES: usize = 1_000;
const FILE_BYTES: usize = 4_096;
const SNAPSHOT_BYTES: usize = 5_000_000;
const REPORT_BYTES: u64 = 50_000_000;
const ROUNDS: usize = 15;

fn main() {
    let figures = match std::env::args().nth(1).as_deref() {
        Some("checksums") => checksums(),
        Some("snapshot") => snapshot(),
        Some("report") => report(),
        Some("form") => portable_form(),
        _ => panic!("usage: judge_files checksums|snapshot|report|form"),
    };
    println!("{figures}");
}

fn checksums() -> serde_json::Value {
    let files: Vec<String> = (0..FILES).map(migration).collect();
    let of_all = || files.iter().fold(0, |sum, file| sum ^ checksum::scan(file.as_bytes()).unwrap().unwrap().checksum);
    let digests = || files.iter().fold(0, |sum, file| sum ^ Sha256::of(file.as_bytes()).as_bytes()[0]);
    json!({
        "files": FILES, "bytes": files.iter().map(String::len).sum::<usize>(),
        "median_ms": median_ms(of_all), "sha256_median_ms": median_ms(digests),
    })
}

fn snapshot() -> serde_json::Value {
    let dump = dump();
    let before = peak_bytes();
    // It judges on its way.
    let normalised = || schema_snapshot::normal_form(&dump, Include::default()).unwrap().sha256();
    black_box(normalised());
    let once = peak_bytes();
    json!({
        "bytes": dump.len(), "median_ms": median_ms(normalised), "sha256_median_ms": median_ms(|| Sha256::of(&dump)),
        // The snapshot itself is in memory already.
        "memory_bytes": once.saturating_sub(before) + dump.len(),
    })
}

fn report() -> serde_json::Value {
    let mut file = tempfile::tempfile().unwrap();
    let tests = write_report(&mut file);
    let bytes = file.metadata().unwrap().len();
    let recounted = || {
        let mut file = &file;
        file.rewind().unwrap();
        report::read(Format::Junit, BufReader::new(file)).unwrap().unwrap()
    };
    let Recounted::Tests(recount) = recounted() else { panic!("no report of tests") };
    assert_eq!(recount.counts, Counts { passed: tests, failed: 0, skipped: 0, ..Counts::default() });
    let memory_bytes = peak_bytes();
    let digest = || {
        let mut file = &file;
        file.rewind().unwrap();
        std::io::copy(&mut file, &mut std::io::sink()).unwrap()
    };
    json!({
        "bytes": bytes, "tests": tests, "median_ms": median_ms(recounted), "read_median_ms": median_ms(digest),
        "memory_bytes": memory_bytes,
    })
}

fn portable_form() -> serde_json::Value {
    let made_for = json!({"account": "111122223333", "region": "eu-west-1", "stage": "dev", "application": "bank"});
    let made_for = serde_json::from_value(made_for).unwrap();
    let template = synthesised_template();
    let before = peak_bytes();
    let derived = || form::derive(&template, &made_for, "it").unwrap();
    let substitutions = black_box(derived()).mapping.substitutions.len();
    let once = peak_bytes();
    json!({
        "bytes": template.len(), "substitutions": substitutions,
        "median_ms": median_ms(derived), "sha256_median_ms": median_ms(|| Sha256::of(&template)),
        // The template itself is in memory already.
        "memory_bytes": once.saturating_sub(before) + template.len(),
    })
}

/// A template as SST writes it, as large as CloudFormation takes: every name, path and tag names dev.
fn synthesised_template() -> Vec<u8> {
    let mut resources = serde_json::Map::new();
    let mut size = 0;
    while size < template::MAX_BYTES * 4 / 5 {
        let number = resources.len();
        let resource = json!({"Type": "AWS::Lambda::Function", "Properties": {
            "Code": {"S3Bucket": "cdk-hnb659fds-assets-111122223333-eu-west-1", "S3Key": format!("{number:064x}.zip")},
            "Environment": {"Variables": {
                "SST_APP": "bank", "SST_STAGE": "dev", "SST_SSM_PREFIX": "/sst/bank/dev/",
                "TABLE": {"Fn::ImportValue": format!("dev-bank-DataStack:ExportsOutputRef{number}")},
            }},
            "FunctionName": format!("dev-bank-function-{number}"), "Handler": "packages/functions/src/settle.handler",
            "Policies": [{"Action": "ssm:GetParameters", "Effect": "Allow", "Resource": {"Fn::Join": ["", [
                "arn:", {"Ref": "AWS::Partition"}, ":ssm:eu-west-1:111122223333:parameter/sst/bank/dev/Secret/URL/value",
            ]]}}],
            "Runtime": "nodejs22.x", "Tags": [{"Key": "sst:app", "Value": "bank"}, {"Key": "sst:stage", "Value": "dev"}],
        }});
        size += serde_json::to_string_pretty(&resource).unwrap().len() + 64;
        resources.insert(format!("Function{number}"), resource);
    }
    serde_json::to_vec_pretty(&json!({"Resources": resources})).unwrap()
}

fn median_ms<T>(mut work: impl FnMut() -> T) -> f64 {
    let mut milliseconds: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let began = Instant::now();
            black_box(work());
            began.elapsed().as_secs_f64() * 1_000.0
        })
        .collect();
    milliseconds.sort_by(f64::total_cmp);
    (milliseconds[ROUNDS / 2] * 100.0).round() / 100.0
}

/// The most memory that the process has held (proc(5), `VmHWM`).
fn peak_bytes() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 1_024
}

fn migration(number: usize) -> String {
    let mut text = format!("-- Migration {number}\r\nCREATE TABLE \"konto_{number}\" (\n  id bigint PRIMARY KEY\n);\n");
    while text.len() < FILE_BYTES {
        let _ = writeln!(text, "COMMENT ON TABLE \"konto_{number}\" IS 'Für Zeile {}';", text.len());
    }
    text
}

/// A report as Vitest and Surefire write it, with what tests printed; gives how many tests it holds.
fn write_report(file: &mut File) -> u64 {
    let mut out = BufWriter::new(file);
    let (mut tests, mut bytes) = (0, 0);
    write!(out, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites name=\"vitest tests\">\n").unwrap();
    while bytes < REPORT_BYTES {
        let mut suite = format!("<testsuite name=\"tests/integration/ledger-{tests}.test.ts\" tests=\"20\">\n");
        for test in 0..20 {
            let _ = writeln!(
                suite,
                "<testcase classname=\"ledger\" name=\"books entry {test} &gt; für Zeile {tests}\" time=\"0.012\">\
                 <system-out><![CDATA[{}]]></system-out></testcase>",
                "POST /payments 201 {\"id\": \"7f9c\"}\n".repeat(30)
            );
        }
        suite.push_str("</testsuite>\n");
        bytes += suite.len() as u64;
        tests += 20;
        out.write_all(suite.as_bytes()).unwrap();
    }
    out.write_all(b"</testsuites>\n").unwrap();
    out.flush().unwrap();
    tests
}

/// A dump as `pg_dump` 15 writes it of tables with indexes, constraints, triggers and functions.
fn dump() -> Vec<u8> {
    let mut text = String::from(
        "--\n-- PostgreSQL database dump\n--\n\n-- Dumped from database version 15.8\n-- Dumped by pg_dump version 15.8\n\n\
         SET statement_timeout = 0;\nSET client_encoding = 'UTF8';\nSET standard_conforming_strings = on;\n\
         SELECT pg_catalog.set_config('search_path', '', false);\n\nSET default_table_access_method = heap;\n\n",
    );
    let mut number = 0;
    while text.len() < SNAPSHOT_BYTES {
        number += 1;
        let _ = write!(
            text,
            "--\n-- Name: post_{number}(); Type: FUNCTION; Schema: public; Owner: migrate_user\n--\n\n\
             CREATE FUNCTION public.post_{number}() RETURNS trigger\n    LANGUAGE plpgsql\n    AS $$\nBEGIN\n\
             INSERT INTO public.entry_{number} (amount, note) VALUES (NEW.amount, 'it''s booked; really');\n\
             RETURN NEW;\nEND;\n$$;\n\n\nALTER FUNCTION public.post_{number}() OWNER TO migrate_user;\n\n\
             --\n-- Name: entry_{number}; Type: TABLE; Schema: public; Owner: migrate_user\n--\n\n\
             CREATE TABLE public.entry_{number} (\n    id bigint NOT NULL,\n    account text DEFAULT 'acc-;--'::text NOT NULL,\n    \
             amount numeric(18,2) NOT NULL,\n    \"Begünstigter\" text,\n    booked_at timestamp with time zone DEFAULT now() NOT NULL,\n    \
             note text,\n    CONSTRAINT positive_{number} CHECK ((amount > (0)::numeric))\n);\n\n\n\
             ALTER TABLE public.entry_{number} OWNER TO migrate_user;\n\n\
             --\n-- Name: entry_{number} entry_{number}_pkey; Type: CONSTRAINT; Schema: public; Owner: migrate_user\n--\n\n\
             ALTER TABLE ONLY public.entry_{number}\n    ADD CONSTRAINT entry_{number}_pkey PRIMARY KEY (id);\n\n\n\
             --\n-- Name: entry_{number}_account; Type: INDEX; Schema: public; Owner: migrate_user\n--\n\n\
             CREATE INDEX entry_{number}_account ON public.entry_{number} USING btree (account, booked_at DESC);\n\n\n",
        );
    }
    text.push_str("--\n-- PostgreSQL database dump complete\n--\n\n");
    text.into_bytes()
}
