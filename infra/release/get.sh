#!/usr/bin/env bash
# Gets files of the release that was built from the commit that is checked out here, and proves that of each.
#
# usage: get.sh FOLDER NAME…     NAME may have VERSION in it, which becomes that of Cargo.toml
#
# Ends with 3, and gets nothing, where this commit is no release: then it must be built. Everything else that goes wrong is an
# error: a file that nobody attested, or attested for another commit, is never taken. Needs GitHub's command `gh`, and GH_TOKEN
# where the repository asks for one.
set -euo pipefail

fail() {
  echo "error: $1" >&2
  exit "${2:-1}"
}

[ $# -ge 2 ] || { echo "usage: $0 FOLDER NAME…" >&2; exit 2; }
folder=$(realpath -m "$1")
shift
cd "$(dirname "$0")/../.."
command -v gh > /dev/null || fail '`gh` is missing, which gets releases and verifies who built them: https://cli.github.com'
version=$(sed -nE '/^\[workspace\.package\]/,/^\[/ s/^version = "(.*)"$/\1/p' Cargo.toml)
commit=$(git rev-parse HEAD)
repository=$(git remote get-url origin | sed -E 's#^(https://|ssh://git@|git@)[^/:]+[/:]##; s#\.git$##')

no_release() {
  echo "no release of $repository was built from $commit: $1" >&2
  exit 3
}

[[ $repository =~ ^[A-Za-z0-9_.-]+/[A-Za-z0-9_.-]+$ ]] || no_release 'the remote `origin` is no repository of GitHub'

# A tag may point anywhere: it only says where to look.
tagged=$(gh api "repos/$repository/commits/v$version" --jq .sha 2> /dev/null) || no_release "there is no tag v$version that can be read"
[ "$tagged" = "$commit" ] || no_release "v$version is $tagged"
names=("${@//VERSION/$version}")
held=$(gh release view "v$version" --repo "$repository" --json assets --jq '.assets[].name' 2> /dev/null) || no_release "v$version is a tag without a release"
for name in "${names[@]}"; do
  grep -qxF "$name" <<< "$held" || fail "the release v$version has no \`$name\`"
done

mkdir -p "$folder"
for name in "${names[@]}"; do
  new=$(mktemp -d "$folder/.getting.XXXXXX")
  trap 'rm -rf "$new"' EXIT
  gh release download "v$version" --repo "$repository" --dir "$new" --pattern "$name"
  # Who signed, what was built from which commit, and that it was GitHub's own runner: by the attestation, not by the release.
  gh attestation verify "$new/$name" --repo "$repository" --signer-workflow "$repository/.github/workflows/release.yml" \
    --source-ref "refs/tags/v$version" --source-digest "$commit" --deny-self-hosted-runners > /dev/null ||
    fail "\`$name\` of the release v$version is not what .github/workflows/release.yml built from $commit: it was not taken"
  mv "$new/$name" "$folder/$name"
  rm -rf "$new"
  echo "$folder/$name"
done
