#!/usr/bin/env bash
# Makes .local/pg_dump/<version>/bin/pg_dump from pg_dump_versions.txt; does nothing when they are there. The packages are
# never installed, only unpacked: their names and Python versions don't matter, their hashes do.
set -euo pipefail
cd "$(dirname "$0")/../.."

requirements=infra/local/pg_dump_versions.txt
folder=.local/pg_dump

if [ "$(uname -m)" != x86_64 ]; then
  echo "no other versions of pg_dump: there are packages for x86_64 only"
  exit 0
fi
wanted=$(cat "$requirements" "$0" | sha256sum)
[ "$wanted" != "$(cat "$folder/.installed" 2>/dev/null)" ] || exit 0

echo "unpacking other versions of pg_dump into $folder"
new=$(mktemp -d .local/pg_dump.XXXXXX)
trap 'rm -rf "$new"' EXIT
# Of all platforms that a package may name, the newest is the glibc of Debian 12 and Ubuntu 22.04.
platforms=()
for glibc in manylinux_2_34 manylinux_2_28 manylinux_2_27 manylinux_2_17 manylinux2014; do platforms+=(--platform "${glibc}_x86_64"); done
.local/venv/bin/python -m pip download --quiet --disable-pip-version-check --no-deps --require-hashes --only-binary :all: \
  --implementation cp --python-version 311 "${platforms[@]}" --requirement "$requirements" --dest "$new/wheels"
for wheel in "$new"/wheels/*.whl; do
  .local/venv/bin/python -m zipfile --extract "$wheel" "$new/unpacked"
done
rm -rf "$new/wheels"
for programs in "$new"/unpacked/*/pginstall; do
  chmod +x "$programs"/bin/*
  version=$("$programs/bin/pg_dump" --version | sed -nE 's/.*\) ([0-9]+).*/\1/p')
  ln -s "unpacked/$(basename "$(dirname "$programs")")/pginstall" "$new/$version" # they find their libraries by their place
done
echo "$wanted" > "$new/.installed"
chmod 755 "$new"
rm -rf "$folder"
mv "$new" "$folder"
trap - EXIT
