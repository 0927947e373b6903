//! What a snapshot is refused for, what its normal form leaves out, and how a difference reads.

mod differing;
mod judging;
mod laws;
mod normalising;
mod psql;
mod servers;

use super::{Include, NormalForm, inspect, normal_form};

/// A dump as `pg_dump` 15 to 18 write it, with `body` between its prelude and its end.
fn dump(body: &str) -> String {
    dump_of(18, body)
}

fn dump_of(server: u16, body: &str) -> String {
    format!(
        "--\n-- PostgreSQL database dump\n--\n\n\\restrict k3y\n\n-- Dumped from database version {server}.1\n\
         -- Dumped by pg_dump version 18.4\n\nSET statement_timeout = 0;\nSET client_encoding = 'UTF8';\n\
         SET standard_conforming_strings = on;\nSELECT pg_catalog.set_config('search_path', '', false);\n\
         SET default_tablespace = '';\n\n{body}\n\n\
         --\n-- PostgreSQL database dump complete\n--\n\n\\unrestrict k3y\n\n"
    )
}

/// The findings about `bytes`, one a line.
fn said(bytes: impl AsRef<[u8]>) -> String {
    let lines =
        inspect(bytes.as_ref(), "s").into_iter().map(|finding| format!("{}: {}", finding.code, finding.message));
    lines.collect::<Vec<_>>().join("\n")
}

fn form(dump: &str) -> NormalForm {
    normal_form(dump.as_bytes(), Include::default()).unwrap()
}

fn everything(dump: &str) -> NormalForm {
    normal_form(dump.as_bytes(), Include { owners: true, privileges: true }).unwrap()
}
