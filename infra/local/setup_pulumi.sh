#!/usr/bin/env bash
# Builds Pulumi's command with its engine, and its host of Node.js programs, as infra/local/pulumi pins them with their digests,
# into .local/pulumi/bin; does nothing when they are there. npm and PyPI have only Pulumi's SDK. The first time takes about six
# minutes of one processor and 2 GB of Go's caches (`go env GOMODCACHE GOCACHE`).
set -euo pipefail
cd "$(dirname "$0")/../.."

pinned=infra/local/pulumi
folder=.local/pulumi
version=$(sed -nE 's#^require github.com/pulumi/pulumi/pkg/v3 (v[0-9.]+)$#\1#p' "$pinned/go.mod")
go=$(sed -nE 's/^go ([0-9.]+)$/\1/p' "$pinned/go.mod")
wanted="$(cat "$pinned"/{,language-nodejs/}{go.mod,go.sum,tools.go} "$0" | sha256sum) $(uname -m)"
[ "$wanted" != "$(cat "$folder/.installed" 2>/dev/null)" ] || exit 0

fail() { echo "error: $1: Pulumi is built from its Go modules, install Go $go or newer (https://go.dev/dl)" >&2; exit 1; }
command -v go > /dev/null || fail '`go` is missing'
have=$(go env GOVERSION)
[ "$(printf '%s\n' "$go" "${have#go}" | sort --version-sort | head -n 1)" = "$go" ] || fail "\`go\` is ${have#go}, too old"

echo "building Pulumi ${version#v} into $folder, which takes about six minutes"
mkdir -p .local
new=$(mktemp -d .local/pulumi.XXXXXX)
trap 'rm -rf "$new"' EXIT
build() { # build MODULE PACKAGE…: what the module's go.sum does not know is refused
  env --chdir "$1" CGO_ENABLED=0 GOFLAGS= GOTOOLCHAIN=local go build -mod=readonly -buildvcs=false -trimpath \
    -ldflags "-s -w -X github.com/pulumi/pulumi/sdk/v3/go/common/version.Version=$version" -o "$PWD/$new/bin/" "${@:2}"
}
mkdir "$new/bin"
build "$pinned/language-nodejs" github.com/pulumi/pulumi/sdk/v3/nodejs/cmd/pulumi-language-nodejs
build "$pinned" github.com/pulumi/pulumi/pkg/v3/cmd/pulumi
# Written last: a build that was broken off is done again.
echo "$wanted" > "$new/.installed"
chmod 755 "$new"
rm -rf "$folder"
mv "$new" "$folder"
trap - EXIT
