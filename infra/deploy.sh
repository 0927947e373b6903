#!/usr/bin/env bash
# Builds the functions and brings the gatekeeper's stack in an AWS account to infra/template.yaml. See --help.
set -euo pipefail
cd "$(dirname "$0")/.."

FUNCTIONS=(intake verify-provenance promote approve apply-stack deploy-function judge-run smoke-test record-promotion watch-drift witness portal)

usage() {
  cat <<'HELP'
usage: infra/deploy.sh [option…]

Builds the functions (cargo-lambda) or takes those of a release, uploads them and deploys infra/template.yaml (AWS CLI)
with the credentials that the AWS CLI finds. Parameters that aren't given keep what the stack has, or their defaults.

  --stack NAME           the stack's name (default gatekeeper)
  --region REGION        default: AWS_REGION or AWS_DEFAULT_REGION; without any of them nothing is deployed
  --architecture A       arm64 (default) or x86_64
  --parameter KEY=VALUE  a parameter of the template; can be given many times
  --deployer ARN         who may write config/* and change the buckets' and signing keys' settings, as a role or user ARN;
                         can be given many times. Default for a new stack: who runs this
  --stages FILE          uploads FILE as config/stages.json afterwards
  --policy P             what config/policy.json becomes: a FILE is uploaded; without it a new installation gets infra/policy.json,
                         which asks for raw reports and exit codes, and one that is there keeps its own. `adr`: a new
                         installation gets none, so ADR-053's minimum binds
  --identities FILE      uploads FILE as config/identities.json: who is who (`gatekeeper schema identities`)
  --image-repository R   builds the image of migrate-database (Docker with buildx) and pushes it into R, a repository that ECR
                         has in this account and region; without it commits with databases aren't promoted. Needs the two
                         images that it is made of, by digest, and emulation when they are for another architecture:
  --flyway-image I       flyway/flyway:11.8.2@sha256:…
  --postgres-image I     postgres:18-bookworm@sha256:…
                         `docker buildx imagetools inspect flyway/flyway:11.8.2` shows a digest
  --code-bucket NAME     where the functions' ZIPs go; made when missing (default gatekeeper-code-ACCOUNT-REGION)
  --version VERSION      takes the functions from the release VERSION, which must be built from the commit that is checked out
                         here: GitHub's attestation of each file has to say so (needs `gh`)
  --skip-build           deploys what lies in target/lambda
  --plan                 shows the change set and executes nothing. What it took to make it is deleted again
  --help                 this text
HELP
}

fail() {
  echo "error: $1" >&2
  exit "${2:-1}"
}

need() { # need COMMAND HOW-TO-GET-IT
  command -v "$1" >/dev/null || fail "\`$1\` is missing: $2"
}

stack=gatekeeper
region=${AWS_REGION:-${AWS_DEFAULT_REGION:-}}
architecture=arm64
code_bucket=''
image_repository=''
flyway_image=''
postgres_image=''
stages=''
policy=''
identities=''
version=''
build=yes
execute=yes
parameters=()
deployers=()

while [ $# -gt 0 ]; do
  case $1 in
    --help | -h) usage; exit 0 ;;
    --skip-build) build=no; shift; continue ;;
    --plan) execute=no; shift; continue ;;
    --stack | --region | --version | --architecture | --parameter | --deployer | --stages | --identities | --policy | --code-bucket | --image-repository | --flyway-image | --postgres-image) ;;
    *) usage >&2; fail "unknown option \`$1\`" 2 ;;
  esac
  [ $# -ge 2 ] || fail "\`$1\` needs a value" 2
  case $1 in
    --stack) stack=$2 ;;
    --region) region=$2 ;;
    --version) version=$2 ;;
    --architecture) architecture=$2 ;;
    --parameter) parameters+=("$2") ;;
    --deployer) deployers+=("$2") ;;
    --stages) stages=$2 ;;
    --policy) policy=$2 ;;
    --identities) identities=$2 ;;
    --code-bucket) code_bucket=$2 ;;
    --image-repository) image_repository=$2 ;;
    --flyway-image) flyway_image=$2 ;;
    --postgres-image) postgres_image=$2 ;;
  esac
  shift 2
done

[ -n "$region" ] || fail 'which region? Give `--region`, or set AWS_REGION' 2
case $architecture in
  arm64) platform=linux/arm64 ;;
  x86_64) platform=linux/amd64 ;;
  *) fail "the architecture is \`arm64\` or \`x86_64\`, not \`$architecture\`" 2 ;;
esac
for parameter in "${parameters[@]}"; do
  case $parameter in
    ?*=*) ;;
    *) fail "a parameter is \`KEY=VALUE\`, not \`$parameter\`" 2 ;;
  esac
done
if [ -n "$stages" ]; then
  [ -r "$stages" ] || fail "\`$stages\` can't be read" 2
  python3 -m json.tool "$stages" >/dev/null || fail "\`$stages\` is no JSON" 2
fi
if [ -n "$identities" ]; then
  [ -r "$identities" ] || fail "\`$identities\` can't be read" 2
  python3 -m json.tool "$identities" >/dev/null || fail "\`$identities\` is no JSON" 2
fi

if [ -n "$policy" ] && [ "$policy" != adr ]; then
  [ -r "$policy" ] || fail "\`$policy\` can't be read" 2
  python3 -m json.tool "$policy" >/dev/null || fail "\`$policy\` is no JSON" 2
fi

if [ -n "$image_repository" ]; then
  for image in "--flyway-image=$flyway_image" "--postgres-image=$postgres_image"; do
    [[ $image =~ @sha256:[0-9a-f]{64}$ ]] || fail "\`${image%%=*}\` must be an image with its digest, \`…@sha256:…\`" 2
  done
  docker buildx version >/dev/null 2>&1 || fail '`docker` with buildx is missing: https://docs.docker.com/engine/install/'
  FUNCTIONS+=(migrate-database)
fi

need aws 'install the AWS CLI, https://docs.aws.amazon.com/cli/latest/userguide/getting-started-install.html'
export AWS_DEFAULT_REGION=$region AWS_REGION=$region AWS_PAGER=''

have=$(sed -nE '/^\[workspace\.package\]/,/^\[/ s/^version = "(.*)"$/\1/p' Cargo.toml)
# A version that was not released names its commit, and says where it is none.
commit=$(git rev-parse --short=12 HEAD 2>/dev/null || echo no-commit)
git diff --quiet HEAD 2>/dev/null || commit+=.changed
built_from=$have+$commit
if [ -n "$version" ]; then
  [ "$version" = "$have" ] || fail "this checkout is of version $have, and its template goes with its functions: check out v$version" 2
  built_from=$version
  rm -rf target/lambda
  infra/release/get.sh target/released "functions-$version-$architecture.zip"
  python3 infra/release/archive.py unpack "target/released/functions-$version-$architecture.zip" target/lambda
elif [ "$build" = yes ]; then
  infra/build_functions.sh "$architecture" target/lambda "${FUNCTIONS[@]}"
fi
for function in "${FUNCTIONS[@]}"; do
  [ -x "target/lambda/$function/bootstrap" ] || fail "\`target/lambda/$function/bootstrap\` is missing: build without \`--skip-build\`"
done

account=$(aws sts get-caller-identity --query Account --output text)

# A role's sessions have another ARN than the role; policies name the role.
caller_arn() {
  local arn
  arn=$(aws sts get-caller-identity --query Arn --output text)
  case $arn in
    *:assumed-role/*)
      arn=${arn#*:assumed-role/}
      aws iam get-role --role-name "${arn%%/*}" --query Role.Arn --output text
      ;;
    *) echo "$arn" ;;
  esac
}

# Only the answer that there is no such stack means that: whatever else goes wrong is an error.
new=no
reviewed=no
if ! told=$(aws cloudformation describe-stacks --stack-name "$stack" --query 'Stacks[0].StackStatus' --output text 2>&1); then
  case $told in
    *"does not exist"*) new=yes ;;
    *) fail "the stack \`$stack\` of account $account in $region can't be looked at: $told" ;;
  esac
elif [ "$told" = REVIEW_IN_PROGRESS ]; then
  reviewed=yes # a change set was made for it and never executed
  new=yes
fi
if [ ${#deployers[@]} -eq 0 ] && [ "$new" = yes ]; then
  deployers=("$(caller_arn)")
fi
if [ ${#deployers[@]} -gt 0 ]; then
  parameters+=("DeployerPrincipalArns=$(IFS=,; echo "${deployers[*]}")")
fi
parameters+=("Architecture=$architecture" "Version=$built_from")
code_bucket=${code_bucket:-gatekeeper-code-$account-$region}
parameters+=("CodeBucket=$code_bucket")

# An image of other code than the functions' would be asked in words that it doesn't know.
if [ "$new" = no ] && [ -z "$image_repository" ] && [[ " ${parameters[*]}" != *' MigrateDatabaseImageUri='* ]]; then
  query="Stacks[0].Parameters[?ParameterKey=='MigrateDatabaseImageUri'].ParameterValue"
  image=$(aws cloudformation describe-stacks --stack-name "$stack" --query "$query" --output text) ||
    fail "whether the stack \`$stack\` has migrate-database could not be looked at"
  [ -z "$image" ] || [ "$image" = None ] ||
    fail "the stack has migrate-database: give \`--image-repository\`, or \`--parameter MigrateDatabaseImageUri=…\` with an image or nothing"
fi
if [ -n "$image_repository" ]; then
  [ "$execute" = yes ] || fail 'with `--image-repository` there is no `--plan`: an image must be pushed before its digest is known' 2
  registry=$account.dkr.ecr.$region.amazonaws.com
  tag=$registry/$image_repository:$(date -u +%Y%m%dT%H%M%SZ) # for people; the stack names the digest
  built=$(mktemp)
  aws ecr get-login-password | docker login --username AWS --password-stdin "$registry" >/dev/null
  # Lambda takes one image, no index of them: so no provenance beside it.
  docker buildx build --platform "$platform" --provenance=false --push --metadata-file "$built" --tag "$tag" \
    --build-arg "FLYWAY_IMAGE=$flyway_image" --build-arg "POSTGRES_IMAGE=$postgres_image" \
    --file functions/migrate-database/Dockerfile target/lambda/migrate-database
  digest=$(python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))["containerimage.digest"])' "$built")
  rm -f "$built"
  parameters+=("MigrateDatabaseImageUri=$registry/$image_repository@$digest")
fi

made_bucket=no
if ! told=$(aws s3api head-bucket --bucket "$code_bucket" --expected-bucket-owner "$account" 2>&1); then
  [[ $told == *'(404)'* ]] || fail "the bucket \`$code_bucket\` can't be used as account $account: $told"
  [ "$execute" = no ] || echo "making the bucket $code_bucket"
  location=()
  # us-east-1 is the one region that may not be named.
  [ "$region" = us-east-1 ] || location=(--create-bucket-configuration "LocationConstraint=$region")
  aws s3api create-bucket --bucket "$code_bucket" "${location[@]}" >/dev/null
  made_bucket=yes
  aws s3api put-public-access-block --bucket "$code_bucket" --public-access-block-configuration \
    BlockPublicAcls=true,IgnorePublicAcls=true,BlockPublicPolicy=true,RestrictPublicBuckets=true
  aws s3api put-bucket-versioning --bucket "$code_bucket" --versioning-configuration Status=Enabled
fi

versions() { # KEY and VERSION of everything that lies in the code bucket below this stack's name
  aws s3api list-object-versions --bucket "$code_bucket" --prefix "$stack/" --output text \
    --query '[Versions, DeleteMarkers][] | [?Key] | [].[Key, VersionId]' | sort
}

change_sets() { # the names of the stack's change sets; with FAILED, of those that came to nothing
  local query='Summaries[].ChangeSetName'
  [ $# -eq 0 ] || query="Summaries[?Status=='$1'].ChangeSetName"
  aws cloudformation list-change-sets --stack-name "$stack" --query "$query" --output text | tr '\t' '\n' | sed '/^None$/d; /^$/d' | sort
}

stack_status() {
  aws cloudformation describe-stacks --stack-name "$stack" --query 'Stacks[0].StackStatus' --output text 2>/dev/null
}

scratch=$(mktemp -d)
change_set=''
# What a plan made is taken away again, whatever became of it: the change set, the stack that exists for it alone, what was
# uploaded for it, and the bucket.
clean_up() {
  local ended=$? failed status left key version template
  trap - EXIT
  if [ "$execute" = no ]; then
    set +e
    # Somebody else's change set may have come meanwhile, so only what this plan is known to have made goes: the one that it was
    # told of, and those that came to nothing.
    if [ -n "$change_set" ]; then aws cloudformation delete-change-set --change-set-name "$change_set" >/dev/null; fi
    comm -13 "$scratch/change_sets" <(change_sets FAILED 2>/dev/null) | while read -r failed; do
      aws cloudformation delete-change-set --stack-name "$stack" --change-set-name "$failed" >/dev/null
    done
    if status=$(stack_status) && left=$(change_sets); then
      left=$(comm -13 "$scratch/change_sets" <(echo -n "${left:+$left$'\n'}"))
      if [ -n "$left" ]; then
        echo "note: these change sets came meanwhile and are left to whoever made them:" $left >&2
      elif [ "$new" = yes ] && [ "$reviewed" = no ] && [ "$status" = REVIEW_IN_PROGRESS ]; then
        # In any other status somebody has installed it meanwhile.
        aws cloudformation delete-stack --stack-name "$stack"
      fi
    fi
    template=$stack/$(md5sum "$packaged" | cut -d ' ' -f 1).template
    comm -13 "$scratch/versions" <(versions) | while read -r key version; do
      # Somebody else may deploy meanwhile.
      [ "$key" = "$template" ] || grep -qF "$key" "$packaged" || continue
      aws s3api delete-object --bucket "$code_bucket" --key "$key" --version-id "$version" >/dev/null
    done
    if [ "$made_bucket" = yes ]; then aws s3api delete-bucket --bucket "$code_bucket"; fi
  fi
  rm -rf "$scratch"
  exit "$ended"
}
packaged=$scratch/packaged.yaml
versions > "$scratch/versions"
# What was there before must be known, or it would look like what this plan made.
: > "$scratch/change_sets"
if [ "$execute" = no ] && { [ "$new" = no ] || [ "$reviewed" = yes ]; }; then
  change_sets > "$scratch/change_sets" || fail "the change sets of the stack \`$stack\` can't be looked at"
fi
trap clean_up EXIT

aws cloudformation package --template-file infra/template.yaml --s3-bucket "$code_bucket" --s3-prefix "$stack" \
  --output-template-file "$packaged" >/dev/null

deploy=(aws cloudformation deploy --stack-name "$stack" --template-file "$packaged"
  --s3-bucket "$code_bucket" --s3-prefix "$stack"
  --capabilities CAPABILITY_NAMED_IAM CAPABILITY_AUTO_EXPAND --no-fail-on-empty-changeset
  --parameter-overrides "${parameters[@]}")
if [ "$execute" = no ]; then
  "${deploy[@]}" --no-execute-changeset > "$scratch/deploy"
  change_set=$(grep -oE 'arn:[^ ]+:changeSet/[^ ]+' "$scratch/deploy" | head -n 1 || true)
  if [ -z "$change_set" ]; then
    cat "$scratch/deploy"
    exit 0
  fi
  aws cloudformation describe-change-set --change-set-name "$change_set" --output table \
    --query 'Changes[].ResourceChange.{"1 Action": Action, "2 Resource": LogicalResourceId, "3 Type": ResourceType, "4 Replacement": Replacement || `-`}'
  exit 0
fi
"${deploy[@]}"

output() { # output NAME
  aws cloudformation describe-stacks --stack-name "$stack" --query "Stacks[0].Outputs[?OutputKey=='$1'].OutputValue" --output text
}

configure() { # configure FILE NAME
  local records
  records=$(output RecordsBucket)
  aws s3api put-object --bucket "$records" --key "config/$2" --body "$1" \
    --content-type application/json --checksum-algorithm SHA256 >/dev/null
  echo "uploaded $1 as s3://$records/config/$2"
}

[ -z "$stages" ] || configure "$stages" stages.json
[ -z "$identities" ] || configure "$identities" identities.json
if [ -z "$policy" ] && [ "$new" = yes ]; then policy=infra/policy.json; fi
[ -z "$policy" ] || [ "$policy" = adr ] || configure "$policy" policy.json
aws cloudformation describe-stacks --stack-name "$stack" --output table \
  --query 'Stacks[0].Outputs[].[OutputKey, OutputValue]'
