#!/usr/bin/env bash
# Gets what builds and runs the functions for arm64: cargo-lambda with Zig as its linker into .local/arm64, Rust's standard library
# for the target, and qemu with a C library for arm64, which root on Debian and Ubuntu gets installed. Does nothing when all is there.
set -euo pipefail
cd "$(dirname "$0")/../.."

requirements=infra/local/arm64/requirements.txt
venv=.local/arm64
target=aarch64-unknown-linux-gnu
packages=(qemu-user-static libc6-arm64-cross libgcc-s1-arm64-cross)

# A machine that is arm64 itself needs no emulation.
if [ "$(uname -m)" != aarch64 ] && { ! command -v qemu-aarch64-static > /dev/null || [ ! -e /usr/aarch64-linux-gnu/lib/ld-linux-aarch64.so.1 ] ||
  [ ! -e /usr/aarch64-linux-gnu/lib/libgcc_s.so.1 ]; }; then
  if [ "$(id -u)" = 0 ] && command -v apt-get > /dev/null; then
    echo "installing ${packages[*]}"
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${packages[@]}" > /dev/null
  else
    echo "error: \`qemu-aarch64-static\` or arm64's C library is missing (on Debian and Ubuntu: \`apt-get install ${packages[*]}\`)" >&2
    exit 1
  fi
fi

if ! rustc --print target-libdir --target "$target" | xargs test -d; then
  command -v rustup > /dev/null || { echo "error: Rust's standard library for $target is missing, and \`rustup\`, which would get it" >&2; exit 1; }
  echo "installing Rust's standard library for $target"
  rustup --quiet target add "$target"
fi

wanted=$(cat "$requirements" <(python3 -c 'import sys; print(sys.version, sys.base_prefix)') | sha256sum)
if [ "$wanted" != "$(cat "$venv/.requirements" 2>/dev/null)" ]; then
  echo "installing cargo-lambda into $venv"
  python3 -m venv --clear "$venv"
  "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes --only-binary :all: --requirement "$requirements"
  echo "$wanted" > "$venv/.requirements"
fi
