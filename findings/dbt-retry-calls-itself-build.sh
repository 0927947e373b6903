#!/usr/bin/env bash
# dbt-core 1.11.16 (PyPI), with dbt-duckdb 1.10.1: what `dbt retry` writes into run_results.json says
# of itself that it is a `build` of everything, and holds the nodes that were run again only.
#
# Expected: `args.which` names the command that ran, `retry`, or the results of the whole build are in
# the document, or `select` says which part of it they are.
#
# Seen: `args.which` is `build`, `select` and `exclude` are empty, and one of three models is in
# `results`, with success. Only the text of `invocation_command` holds the word `retry`. Of both
# documents `args` tells no `target` either, where the profile's default was taken.
#
# Whom it hurts: whoever takes a green run_results.json for a green build, as CI gates and catalogues
# of models do: a part of a build looks like all of it.
# What to do: hold the nodes of `results` against those of manifest.json.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

python3 -m venv venv
venv/bin/python -m pip install --quiet --disable-pip-version-check dbt-core==1.11.16 dbt-duckdb==1.10.1

mkdir models
cat >dbt_project.yml <<'END'
name: shop
version: "1.0"
profile: shop
flags: {send_anonymous_usage_stats: false}
END
cat >profiles.yml <<'END'
shop:
  target: dev
  outputs:
    dev: {type: duckdb, path: dev.duckdb}
END
echo "select 1 as id" >models/orders.sql
echo "select id from {{ ref('orders') }}" >models/customers.sql
# Fails as long as the column that the environment names isn't there.
echo "select {{ env_var('COLUMN') }} as id from {{ ref('orders') }}" >models/revenue.sql

export DBT_PROFILES_DIR=. DBT_LOG_PATH=logs
if COLUMN=amount venv/bin/dbt --quiet build >build.txt; then
  echo "the build did not fail" >&2
  exit 1
fi
cp target/run_results.json build.json
COLUMN=id venv/bin/dbt --quiet retry
cp target/run_results.json retry.json

venv/bin/python - <<'END'
import json
import sys

said = {}
for name in ("build", "retry"):
    document = json.load(open(f"{name}.json"))
    args = document["args"]
    said[name] = {key: args.get(key) for key in ("which", "select", "exclude", "target", "invocation_command")}
    results = {it["unique_id"].split(".")[-1]: it["status"] for it in document["results"]}
    print(f"{name}: dbt {document['metadata']['dbt_version']}, {said[name]}, {results}")
    said[name]["results"] = results
if set(said["build"]["results"].values()) != {"success", "error"}:
    sys.exit("the build was not one that failed in part")
if said["retry"]["results"] != {"revenue": "success"}:
    sys.exit("the retry tells of other models too: this finding is over")
if said["retry"]["which"] != "build" or said["retry"]["select"] or said["retry"]["exclude"]:
    sys.exit("the retry says what it is: this finding is over")
END
