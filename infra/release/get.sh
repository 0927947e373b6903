#!/usr/bin/env bash
# Gets files of the release that was built from the commit that is checked out here, and proves that of each.
#
# usage: get.sh FOLDER NAME…     NAME may have VERSION in it, which becomes that of Cargo.toml
#
# Ends with 3, and gets nothing, where this commit is no release: then it must be built. Ends with 4 where GitHub could not be
# asked whether it is one. Everything else that goes wrong is an
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
origin=$(git remote get-url origin | sed -nE 's#^(https://|ssh://git@|git@)([^@/:]+@)?([^/:]+)(:[0-9]+/|[/:])(.*)$#\3/\5#p' | sed 's#\.git$##')
host=${origin%%/*}
repository=${origin#*/}

no_release() {
  echo "no release of $repository was built from $commit: $1" >&2
  exit 3
}

# Of another host a repository of the same name is somebody else's, and the token is not for it.
[[ $host == "${GH_HOST:-github.com}" && $repository =~ ^[A-Za-z0-9_.-]+/[A-Za-z0-9_.-]+$ ]] || no_release 'the remote `origin` is no repository of GitHub'

looked=$(mktemp)
trap 'rm -f "$looked"' EXIT
# Only GitHub's answer that there is no such thing means that; whatever else goes wrong was no look.
absent() { # absent WHAT
  grep -qE "$2" "$looked" || fail "$repository could not be asked for $1, so nobody can tell whether this commit is a release: $(tr '\n' ' ' < "$looked")" 4
}

# A tag may point anywhere: it only says where to look. Of a name that is neither a tag nor a commit GitHub says 422.
tagged=$(gh api "repos/$repository/commits/v$version" --jq .sha 2> "$looked") || { absent "the tag v$version" 'HTTP (404|422)'; no_release "there is no tag v$version"; }
[ "$tagged" = "$commit" ] || no_release "v$version is $tagged"
names=("${@//VERSION/$version}")
held=$(gh release view "v$version" --repo "$repository" --json assets --jq '.assets[].name' 2> "$looked") || { absent "the release v$version" 'release not found|HTTP 404'; no_release "v$version is a tag without a release"; }
for name in "${names[@]}"; do
  grep -qxF "$name" <<< "$held" || fail "the release v$version has no \`$name\`"
done

mkdir -p "$folder"
for name in "${names[@]}"; do
  new=$(mktemp -d "$folder/.getting.XXXXXX")
  trap 'rm -rf "$new" "$looked"' EXIT
  gh release download "v$version" --repo "$repository" --dir "$new" --pattern "$name"
  # Who signed, what was built from which commit, and that it was GitHub's own runner: by the attestation, not by the release.
  subjects=$(gh attestation verify "$new/$name" --repo "$repository" --signer-workflow "$repository/.github/workflows/release.yml" \
    --source-ref "refs/tags/v$version" --source-digest "$commit" --deny-self-hosted-runners --format json \
    --jq '.[].verificationResult.statement.subject[] | .digest.sha256 + "  " + .name') ||
    fail "\`$name\` of the release v$version is not what .github/workflows/release.yml built from $commit: it was not taken"
  # What was built for something else is attested as well: the attestation must give these bytes this very name.
  grep -qxF "$(sha256sum < "$new/$name" | cut -d ' ' -f 1)  $name" <<< "$subjects" ||
    fail "\`$name\` of the release v$version was built under another name: it was not taken"
  mv "$new/$name" "$folder/$name"
  rm -rf "$new"
  echo "$folder/$name"
done
