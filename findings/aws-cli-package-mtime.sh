#!/usr/bin/env bash
# `aws cloudformation package` of awscli 1.46.3 (PyPI) names a function's code by the MD5 of a ZIP
# that has the files' times in it: the same bytes from a fresh checkout are another object.
#
# Expected: the name is said to be that of the content, and the command skips what is there already
# ("File with same data already exists"). So a folder whose files have not changed by a byte should
# keep its name, whoever checked it out, and the template that comes of it should be the same.
#
# Seen: after `touch -d` of the one file, the command uploads it again under another name. The
# template names the new object, so CloudFormation's change set says that the function is modified,
# and Lambda gets new code whose `CodeSha256` differs too: the ZIP in S3 is another one.
#
# Whom it hurts: pipelines that package on a fresh runner and take an empty change set, or an equal
# `CodeSha256`, for the proof that nothing changed. Every deployment replaces every function.
# What to do: give all files one time before packaging (`find … -exec touch -d @0`), or package once
# and deploy that very template everywhere.
set -euo pipefail

work=$(mktemp -d)
server=''
trap '[ -z "$server" ] || kill "$server"; rm -rf "$work"' EXIT
cd "$work"

python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check awscli==1.46.3 'moto[s3,server]==5.1.22'
venv/bin/aws --version

port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
venv/bin/moto_server -H 127.0.0.1 -p "$port" >server.log 2>&1 &
server=$!
export AWS_ENDPOINT_URL=http://127.0.0.1:$port AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test
export AWS_DEFAULT_REGION=us-east-1
until venv/bin/aws s3api create-bucket --bucket code >/dev/null 2>&1; do
  kill -0 "$server" || { cat server.log >&2; exit 1; }
done

mkdir function
echo 'exports.handler = async () => "one";' >function/index.js
cat >template.yaml <<'END'
Resources:
  One:
    Type: AWS::Serverless::Function
    Properties: {CodeUri: function, Handler: index.handler, Runtime: nodejs22.x}
Transform: AWS::Serverless-2016-10-31
END

package() { # package TIME: the name of the object that the template has
  touch -d "$1" function/index.js
  venv/bin/aws cloudformation package --template-file template.yaml --s3-bucket code \
    --output-template-file packaged.yaml >/dev/null 2>&1
  grep -o 's3://code/.*' packaged.yaml
}
before=$(sha256sum function/index.js)
first=$(package '2026-01-01T00:00:00Z')
again=$(package '2026-01-01T00:00:00Z')
later=$(package '2026-01-02T00:00:00Z')
[ "$before" = "$(sha256sum function/index.js)" ]
printf 'packaged         %s\nonce more        %s\na day later      %s\n' "$first" "$again" "$later"

[ "$first" = "$again" ] || { echo "not even the same files keep their name" >&2; exit 1; }
[ "$first" != "$later" ] || { echo "the time makes no difference now: this finding is over" >&2; exit 1; }
