# The commands of this project (CONTRACT §1). `make help` lists them.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

FUNCTIONS := intake verify-provenance promote approve apply-stack deploy-function migrate-database judge-run smoke-test record-promotion watch-drift witness portal
PYTHON := .local/venv/bin/python
LOCAL := $(PYTHON) infra/local/gatekeeper_local.py
PNPM := $(CURDIR)/.local/pnpm/node_modules/.bin/pnpm
EXAMPLE := examples/bank-payments
SST_EXAMPLE := examples/bank-core
TEMPLATE_TABLE := shared/readers/src/template/schema

.PHONY: help
help: ## lists the commands
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z0-9-]+):.*## /  make \1\t/' | expand -t 18

.PHONY: demo
demo: programs example ## the main job on the local AWS, from nothing, in a minute
	@$(PYTHON) demo/demo.py

.PHONY: test
test: lint test-rust test-docs test-local test-e2e test-faults test-pipeline ## every test, with all the set-up they need

.PHONY: up
up: functions ## starts the local AWS with the gatekeeper deployed; see .local/outputs.json
	@$(LOCAL) up

.PHONY: down
down: tools ## stops what `make up` started
	@$(LOCAL) down

.PHONY: bench
bench: tools outsiders ## the benchmarks: prints a table and writes target/bench.json
	@benches/run.sh

.PHONY: faults
faults: functions ## uploads and promotions while calls fail, answers get lost and functions are killed; SEED=N RUNS=N choose which
	@$(PYTHON) infra/local/faults.py $(if $(SEED),--seed $(SEED)) $(if $(RUNS),--runs $(RUNS))

# Needs the nightly toolchain; cargo-fuzz it installs itself.
.PHONY: fuzz
fuzz: ## the readers against changed inputs, a minute each; SECONDS=N says how long, TARGET=NAME which (fuzz/README.md)
	@fuzz/run.sh $(or $(SECONDS),60) $(TARGET)

# Not a part of `make test`: the bundles are others', and the suite's repository is in no registry.
.PHONY: provenance
provenance: ## real Sigstore bundles, and with SIGSTORE_CONFORMANCE=DIR the cases of that repository's checkout; prints times
	@tests/oracles/provenance.sh $(SIGSTORE_CONFORMANCE)

# Not a part of `make test`: cosign, twice, and slsa-verifier are built from their modules, which takes minutes the first time.
.PHONY: stock-tools
stock-tools: tools outsiders ## the manual's lines for cosign 3 and 2.6, slsa-verifier, openssl and npm's verifier, run on a bundle
	@infra/local/setup_go.sh cosign cosign-2 slsa-verifier
	cargo test --quiet --locked --workspace --test stock_tools -- --ignored

.PHONY: pipeline
pipeline: functions example ## the 14 steps of an example's CI on a local AWS; ARGS="--break N" breaks one, ARGS=--help tells more
	@$(PYTHON) examples/pipeline/pipeline.py $(ARGS)

# Not a part of `make test`: Pulumi's engine is built from its modules, which takes minutes, and what npm gets for SST is 936 MB.
.PHONY: pipeline-all
pipeline-all: functions example ## the pipelines of all examples with the real tools: Pulumi's engine, dbt-snowflake, SST
	@infra/local/setup_pulumi.sh
	@infra/local/setup_npm.sh pulumi-aws
	@infra/local/setup_snowflake.sh
	@$(PYTHON) examples/pipeline/pipeline.py
	infra/local/with_instance.sh $(PYTHON) examples/pipeline/test_other_pipelines.py --quiet RealTools
	@$(MAKE) --no-print-directory pipeline-sst

# Not a part of `make test`: what npm gets for SST is 936 MB.
.PHONY: pipeline-sst
pipeline-sst: functions $(SST_EXAMPLE)/node_modules/.package-lock.json ## an SST app from `sst build` to two stages on a local AWS, and what is refused; ARGS="--break NAME" takes one break
	@infra/local/with_instance.sh $(PYTHON) $(SST_EXAMPLE)/pipeline.py $(ARGS)

# Not parts of `make test`: each takes minutes.
.PHONY: workflows
workflows: functions example ## every workflow run by act, which reads it as GitHub's runner does, on a local AWS
	@infra/local/setup_go.sh act
	@infra/local/setup_pulumi.sh
	@infra/local/setup_npm.sh pulumi-aws
	@infra/local/setup_snowflake.sh
	@examples/bank-risk-platform/setup.sh .local/python
	@infra/local/with_instance.sh $(PYTHON) examples/pipeline/test_act.py

.PHONY: arm64
arm64: functions ## the functions built for arm64 as `make deploy` does, under qemu: they answer as this machine's do
	@infra/local/setup_arm64.sh
	@PATH="$(CURDIR)/.local/arm64/bin:$$PATH" infra/build_functions.sh arm64 target/arm64 $(FUNCTIONS)
	@$(PYTHON) infra/local/arm64/test_arm64.py

.PHONY: rie
rie: functions ## functions under AWS's own Runtime Interface Emulator, beside a local AWS
	@infra/local/setup_go.sh rie
	@infra/local/with_instance.sh $(PYTHON) infra/local/rie/test_rie.py

# Not a part of `make test`: it needs the AWS CLI, which is 120 MB.
.PHONY: deploy-local
deploy-local: functions ## infra/deploy.sh itself, with the real AWS CLI, on a local AWS that has nothing yet
	@benches/setup.sh
	@$(PYTHON) infra/local/deploy/test_deploy.py

.PHONY: release
release: ## builds what a release holds into target/release-VERSION, as .github/workflows/release.yml does
	@infra/release/build.sh $$(sed -nE '/^\[workspace\.package\]/,/^\[/ s/^version = "(.*)"$$/\1/p' Cargo.toml)

.PHONY: deploy
deploy: ## deploys into the AWS account of your credentials; `infra/deploy.sh --help` tells how
	@infra/deploy.sh $(ARGS)

.PHONY: fmt
fmt: ## formats the Rust code
	cargo fmt --all

.PHONY: schema
schema: ## writes the JSON Schemas and the table of reason codes anew from the types
	cargo run --quiet --locked --package xtask -- generate

.PHONY: docs
docs: ## builds the manual into target/manual, searchable, with every link checked
	@infra/build_manual.sh

# Needs the built command, whose help is a page.
.PHONY: docs-reference
docs-reference: functions ## writes the manual's reference pages anew from the command, the template and the types
	@$(PYTHON) infra/manual.py

.PHONY: oracles
oracles: tools ## makes the fixtures of the tests anew with the real tools, and asks their newest versions; needs the registries
	@tests/oracles/run.sh

# What it writes is to be looked at: a property that nobody has judged is named, and is judged in rules.txt or harmless.txt.
.PHONY: template-table
template-table: tools ## writes the table of CloudFormation's types and properties anew, from the pinned cfn-lint
	$(PYTHON) $(TEMPLATE_TABLE)/generate.py

# --- what the commands above are made of ---

.PHONY: tools
tools:
	@infra/local/setup.sh
	@infra/local/setup_database.sh

# All targets, though only the binaries are needed here: the tests' build of the dependencies then is this one.
.PHONY: functions
functions: tools
	@command -v cargo >/dev/null || { echo 'error: `cargo` is missing: install Rust (https://rustup.rs)' >&2; exit 1; }
	cargo build --quiet --locked --workspace --all-targets
	@infra/local/layout_functions.sh target/debug $(FUNCTIONS)

# The demo needs no tests. For everything else `functions` builds all at once: the tests' features are others.
.PHONY: programs
programs: tools
	@command -v cargo >/dev/null || { echo 'error: `cargo` is missing: install Rust (https://rustup.rs)' >&2; exit 1; }
	cargo build --quiet --locked --workspace --bins
	@infra/local/layout_functions.sh target/debug $(FUNCTIONS)

.PHONY: example
example: $(EXAMPLE)/node_modules/.modules.yaml

.PHONY: pnpm
pnpm:
	@infra/local/setup_npm.sh pnpm

# What looks at our work from outside: npm's verifier of Sigstore bundles, cdk-assets, and a browser.
.PHONY: outsiders
outsiders:
	@infra/local/setup_npm.sh provenance cdk-assets
	@infra/local/setup_browser.sh

$(EXAMPLE)/node_modules/.modules.yaml: $(EXAMPLE)/pnpm-lock.yaml | pnpm
	cd $(EXAMPLE) && npm_config_store_dir=$(CURDIR)/.local/pnpm-store $(PNPM) install --frozen-lockfile --silent
	@touch $@

$(SST_EXAMPLE)/node_modules/.package-lock.json: $(SST_EXAMPLE)/package-lock.json
	cd $(SST_EXAMPLE) && npm ci --silent
	@touch $@

.PHONY: lint
lint: tools
	cargo fmt --all --check
	cargo clippy --quiet --locked --workspace --all-targets --test real_database --all-features -- --deny warnings
	@infra/check_licences.sh
	@infra/check_workflows.sh
	@infra/check_template.sh
	@infra/check_dockerfile.sh
	$(PYTHON) $(TEMPLATE_TABLE)/generate.py --check

.PHONY: test-rust
test-rust:
	cargo test --quiet --locked --workspace --exclude e2e

.PHONY: test-docs
test-docs: functions
	@target/debug/xtask generate --check
	@$(PYTHON) infra/manual.py --check
	@$(PYTHON) infra/manual_check.py
	cd infra && ../$(PYTHON) -m unittest --quiet test_manual

.PHONY: test-local
test-local: functions outsiders
	cd infra/local && ../../$(PYTHON) -m unittest discover --quiet
	cd $(TEMPLATE_TABLE) && $(CURDIR)/$(PYTHON) -m unittest --quiet test_generate
	cd infra && ../$(PYTHON) -m unittest --quiet test_template test_access test_notify test_witness test_handoffs test_workflows test_release test_tell_github test_dockerfile
	cd examples/pipeline && ../../$(PYTHON) -m unittest --quiet test_workflow test_other_pipelines.Breaks

.PHONY: test-faults
test-faults: functions
	@$(PYTHON) infra/local/faults.py --short

# `--workspace` and not `--package e2e`: the same features, so the same build of the dependencies, as for the other tests.
.PHONY: test-e2e
test-e2e: functions example outsiders
	@infra/local/setup_pg_dump_versions.sh
	RUST_TEST_THREADS=8 infra/local/with_instance.sh \
	  cargo test --quiet --locked --workspace \
	    --test approvals --test burst --test databases --test drift --test e2e --test evidence --test portal --test promotion --test provenance --test publish --test real_database
	infra/local/with_instance.sh cargo test --quiet --locked --workspace --test keys

.PHONY: test-pipeline
test-pipeline: functions example
	infra/local/with_instance.sh $(PYTHON) examples/pipeline/test_pipeline.py --quiet
	@examples/bank-risk-platform/setup.sh .local/python # once, before several pipelines ask for it at the same time
	infra/local/with_instance.sh $(PYTHON) examples/pipeline/test_other_pipelines.py --quiet Pipelines
