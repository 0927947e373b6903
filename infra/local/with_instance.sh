#!/usr/bin/env bash
# Runs a command against a local AWS of its own, which is gone when the command has ended.
# usage: with_instance.sh COMMAND [ARGUMENT…]      the command finds the stack's outputs in $GATEKEEPER_OUTPUTS
set -euo pipefail

if [ $# -lt 1 ]; then
  echo "usage: $0 COMMAND [ARGUMENT…]" >&2
  exit 2
fi
root=$(cd "$(dirname "$0")/../.." && pwd)
local_aws=("$root/.local/venv/bin/python" "$root/infra/local/gatekeeper_local.py")

unset GATEKEEPER_LOCAL_PORT # another instance may have it
GATEKEEPER_LOCAL_STATE=$(mktemp -d)
export GATEKEEPER_LOCAL_STATE GATEKEEPER_OUTPUTS=$GATEKEEPER_LOCAL_STATE/outputs.json

end() {
  status=$?
  if [ $status -ne 0 ]; then
    for part in ministack postgres; do
      [ -s "$GATEKEEPER_LOCAL_STATE/$part/log" ] || continue
      echo "--- the end of the log of $part ---" >&2
      tail -n 30 "$GATEKEEPER_LOCAL_STATE/$part/log" >&2
    done
  fi
  "${local_aws[@]}" down > /dev/null || status=1
  rm -rf "$GATEKEEPER_LOCAL_STATE"
  exit $status
}
trap end EXIT

"${local_aws[@]}" up
"$@"
