#!/usr/bin/env bash
# Runs the fuzz targets one after the other, each for SECONDS: `fuzz/run.sh SECONDS [TARGET…]`, see fuzz/README.md.
# Needs the nightly toolchain. Installs cargo-fuzz into .local/cargo once, from source, which takes a minute.
#
# What libFuzzer finds worth keeping stays in .local/fuzz/corpus, so that the next run begins there; what breaks a law is
# written to .local/fuzz/artifacts and named.
set -euo pipefail
cd "$(dirname "$0")/.."

VERSION=0.13.2
TOOLCHAIN=nightly
root=$PWD
seconds=${1:?how many seconds each target runs}
shift
[ $# -gt 0 ] || set -- $(sed -n 's/^name = "\(.*\)"$/\1/p' fuzz/Cargo.toml | grep -v '^gatekeeper-fuzz$')

if ! RUSTUP_TOOLCHAIN=$TOOLCHAIN rustc --version >/dev/null 2>&1; then
  echo 'error: the nightly toolchain is missing, libFuzzer is instrumented by it: `rustup toolchain install nightly --profile minimal`' >&2
  exit 1
fi
export PATH=$root/.local/cargo/bin:$PATH
if [ "$(cargo-fuzz --version 2>/dev/null || true)" != "cargo-fuzz $VERSION" ]; then
  echo "installing cargo-fuzz $VERSION into .local/cargo"
  cargo install --quiet --locked --root .local/cargo --version "$VERSION" cargo-fuzz
fi
export RUSTUP_TOOLCHAIN=$TOOLCHAIN

# The product has no unsafe code, so that AddressSanitizer would look at others' only, at half the speed:
# `SANITIZER=address` turns it on.
options=(--fuzz-dir fuzz --sanitizer "${SANITIZER:-none}" --target-dir .local/fuzz/target)
cargo fuzz build "${options[@]}"

broken=()
for target in "$@"; do
  echo "== $target, $seconds seconds"
  mkdir -p ".local/fuzz/corpus/$target" ".local/fuzz/artifacts/$target" ".local/fuzz/logs" "fuzz/regressions/$target"
  log=.local/fuzz/logs/$target.log
  if cargo fuzz run "${options[@]}" "$target" ".local/fuzz/corpus/$target" "fuzz/corpus/$target" "fuzz/regressions/$target" -- \
    -dict="fuzz/dictionaries/$target.dict" -artifact_prefix=".local/fuzz/artifacts/$target/" \
    -max_total_time="$seconds" -max_len=4096 -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 > "$log" 2>&1; then
    grep -E '^(Done|#.*DONE|stat::(number_of_executed_units|average_exec_per_sec|new_units_added|peak_rss_mb))' "$log"
  else
    broken+=("$target")
    grep -E -A 6 'panicked at|^SUMMARY|Test unit written' "$log" | cut -c1-1000 >&2 || tail -20 "$log" >&2
  fi
  rmdir --ignore-fail-on-non-empty "fuzz/regressions/$target"
done
if [ ${#broken[@]} -gt 0 ]; then
  echo "error: a law is broken in ${broken[*]}: the inputs are in .local/fuzz/artifacts, and fuzz/README.md says what to do" >&2
  exit 1
fi
