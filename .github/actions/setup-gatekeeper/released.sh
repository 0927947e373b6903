#!/usr/bin/env bash
# Takes the command from the release of the commit that is checked out here, into .local/gatekeeper/bin, and prints `taken=true`;
# prints `taken=false` where the commit is no release, or none for this machine, or GitHub can't be asked: then it is built, so that
# nobody's rollback waits for GitHub's API, and the log tells why it takes its time.
set -euo pipefail
cd "$(dirname "$0")/../../.."

case "$(uname -s) $(uname -m)" in
  'Linux x86_64') name=gatekeeper-VERSION-linux-x86_64 ;;
  'Linux aarch64') name=gatekeeper-VERSION-linux-arm64 ;;
  *) echo taken=false; exit 0 ;;
esac
# A runner of one's own may have no `gh`.
command -v gh > /dev/null || { echo taken=false; exit 0; }
new=$(mktemp -d)
trap 'rm -rf "$new"' EXIT
got=0
file=$(infra/release/get.sh "$new" "$name") || got=$?
case $got in
  0) ;;
  3) echo taken=false; exit 0 ;;
  4) echo '::warning title=Built, not taken::GitHub could not be asked for the release of this commit' >&2; echo taken=false; exit 0 ;;
  *) exit "$got" ;;
esac
mkdir -p .local/gatekeeper/bin
install -m 755 "$file" .local/gatekeeper/bin/gatekeeper
echo taken=true
