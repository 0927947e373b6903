#!/bin/sh
# Verifies the evidence in a folder, its own where none is named. Needs openssl, sha256sum, base64 and jq; no network, no AWS.
# usage: sh verify.sh [DIR] [--gate-key-fingerprint HEX] [--promotion-key-fingerprint HEX] [--approval-key-fingerprint HEX]
#                     [--trust-root VERSION:SHA256] [--tsa-root FILE]
# Who doesn't trust whoever made the archive runs a copy of this script from elsewhere on the unpacked folder.
# The fingerprints, also taken from GATE_KEY_FINGERPRINT, PROMOTION_KEY_FINGERPRINT and APPROVAL_KEY_FINGERPRINT, are those that
# you got elsewhere. Where the keys are named by a trust root, it is enough to know a version of that, also taken from TRUST_ROOT.
# With certificates of timestamp authorities in PEM, also taken from TSA_ROOT, the ledgers must have a timestamp of theirs.
# Ends with 0 where everything holds, with 1 where something doesn't, with 2 where it can't be run, and with 3 where nothing
# is known to be wrong, but something could not be looked at when the evidence was taken.
set -u
LC_ALL=C
export LC_ALL

gate_pin=${GATE_KEY_FINGERPRINT:-}
promotion_pin=${PROMOTION_KEY_FINGERPRINT:-}
approval_pin=${APPROVAL_KEY_FINGERPRINT:-}
root_pin=${TRUST_ROOT:-}
tsa_root=${TSA_ROOT:-}
folder=$(dirname "$0")
while [ $# -gt 0 ]; do
  case $1 in
    --gate-key-fingerprint) gate_pin=${2:-}; [ $# -ge 2 ] && shift ;;
    --promotion-key-fingerprint) promotion_pin=${2:-}; [ $# -ge 2 ] && shift ;;
    --approval-key-fingerprint) approval_pin=${2:-}; [ $# -ge 2 ] && shift ;;
    --trust-root) root_pin=${2:-}; [ $# -ge 2 ] && shift ;;
    --tsa-root) tsa_root=${2:-}; [ $# -ge 2 ] && shift ;;
    [!-]*) folder=$1 ;;
    *) echo "usage: sh verify.sh [DIR] [--gate-key-fingerprint HEX] [--promotion-key-fingerprint HEX] [--approval-key-fingerprint HEX] [--trust-root VERSION:SHA256] [--tsa-root FILE]" >&2
      exit 2 ;;
  esac
  shift
done

case $tsa_root in '' | /*) ;; *) tsa_root=$PWD/$tsa_root ;; esac
[ -z "$tsa_root" ] || [ -r "$tsa_root" ] || { echo "\`$tsa_root\` can't be read" >&2; exit 2; }
cd "$folder" || exit 2
for tool in openssl sha256sum base64 jq; do
  command -v "$tool" > /dev/null || { echo "\`$tool\` is missing" >&2; exit 2; }
done
work=$(mktemp -d) || exit 2
trap 'rm -rf "$work"' EXIT

checks=0
broken=0
unknown=0
# say HOLDS SENTENCE [WHY]: HOLDS is 0 where it holds
say() {
  checks=$((checks + 1))
  if [ "$1" -eq 0 ]; then
    line="holds  $2"
  else
    broken=$((broken + 1))
    line="FAILS  $2${3:+: $3}"
  fi
  # what a document says may not steer the terminal
  printf '%s' "$line" | tr -c '\040-\176' '?'
  echo
}
# open SENTENCE WHY: it could not be looked at, so that it neither holds nor fails
open() {
  checks=$((checks + 1))
  unknown=$((unknown + 1))
  printf '%s' "unknown  $1: $2" | tr -c '\040-\176' '?'
  echo
}
digest() { sha256sum < "$1" 2> /dev/null | cut -d ' ' -f 1; }
# Whether two texts are the same and not nothing; whether a text is nothing; whether a file holds anything.
same() { [ -n "$1" ] && [ "$1" = "$2" ]; }
empty() { [ -z "$1" ]; }
filled() { [ -s "$1" ]; }
# A field of a document, and one that is a number: anything else would be dangerous in sums.
number() {
  found=$(field "$1" "$2")
  case $found in '' | *[!0-9]*) found=0 ;; esac
  [ ${#found} -le 10 ] || found=0
  printf '%s' "$found"
}
field() { jq -r "$1 // empty" "$2" 2> /dev/null; }

# --- the files ---
sha256sum -c SHA256SUMS > "$work/sums" 2>&1
say $? "every file is whole, by SHA256SUMS" "$(grep -v ': OK$' "$work/sums" | head -n 3 | tr '\n' ' ')"
find . -type f | sed 's|^\./||' | grep -v '^SHA256SUMS$' | sort > "$work/found"
cut -c 67- SHA256SUMS | sort > "$work/listed"
cmp -s "$work/found" "$work/listed"
say $? "every file is listed in SHA256SUMS, and no other is"

# --- the keys ---
for who in gate promotion approval; do
  case $who in
    gate) pin=$gate_pin ;;
    promotion) pin=$promotion_pin ;;
    # it is there where approvals were counted by their signatures
    approval) pin=$approval_pin; [ -f keys/approval.pem ] || continue ;;
  esac
  fingerprint=$(openssl pkey -pubin -in "keys/$who.pem" -outform DER 2> /dev/null > "$work/$who.der" && digest "$work/$who.der")
  if [ -n "$pin" ]; then
    same "$fingerprint" "$pin"
    say $? "the fingerprint of keys/$who.pem is the one given" "it is $fingerprint"
  else
    filled "$work/$who.der"
    say $? "keys/$who.pem is a public key; compare: $fingerprint"
  fi
done

# the fingerprint of a public key: the SHA-256 of its DER
fingerprint() { openssl pkey -pubin -in "$1" -outform DER 2> /dev/null > "$work/key.der" && digest "$work/key.der"; }

# --- the trust root: which keys count, and for what time, as people signed it ---
root_type=application/vnd.artefact-gatekeeper.trust-root+json
# people ENVELOPE MESSAGE ROOT: how many people of ROOT signed; each counts once, whatever keys signed
people() {
  jq -r '.signatures[] | "\(.keyid) \(.sig)"' "$1" 2> /dev/null > "$work/signatures"
  : > "$work/people"
  while read -r keyid sig; do
    printf '%s' "$sig" | base64 -d > "$work/signature" 2> /dev/null || continue
    number_of_keys=$(jq '.root_keys | length' "$3")
    index=0
    while [ "$index" -lt "$number_of_keys" ]; do
      jq -r --argjson index "$index" '.root_keys[$index].pem' "$3" > "$work/person.pem"
      if same "$(fingerprint "$work/person.pem")" "$keyid" &&
        [ "$(jq -r --argjson index "$index" '.root_keys[$index].algorithm' "$3")" = ecdsa-p256-sha256 ] &&
        openssl dgst -sha256 -verify "$work/person.pem" -signature "$work/signature" "$2" > /dev/null 2>&1; then
        jq -c --argjson index "$index" '.root_keys[$index].person' "$3" >> "$work/people"
      fi
      index=$((index + 1))
    done
  done < "$work/signatures"
  sort -u "$work/people" | wc -l
}
# What a version must be by itself and against the one before: TUF's rules, and no key that signed is taken out.
cat > "$work/root.jq" <<'JQ'
def keys: [.root_keys[].pem] + [.authorities[][].pem];
$now[0] as $now | ($before[0] // null) as $before
| $now.schema_version == 1 and $now.version == $version and $now.threshold >= 2
  and ([$now.root_keys[].person | ascii_downcase] | unique | length) >= $now.threshold
  and ([$now.root_keys[].person] | unique | length)
    == ([$now.root_keys[].person | ascii_downcase] | unique | length)
  and ($now | keys | length == (unique | length)) and all($now.authorities[]; any(.[]; .revoked | not))
  and all($now.root_keys[], $now.authorities[][]; .algorithm == "ecdsa-p256-sha256")
  and ($before == null or ($now.version == $before.version + 1
    and all($before.authorities | to_entries[]; .key as $whose | all(.value[]; . as $old
      | any($now.authorities[$whose][]; .pem == $old.pem and .from == $old.from and ($old.revoked == null or .revoked == $old.revoked))))))
JQ
root=
if [ -n "$root_pin" ] && [ ! -f "trust/${root_pin%%:*}.root.json" ]; then
  say 1 "the bundle has the version of the trust root that was given" "trust/${root_pin%%:*}.root.json is not in here"
fi
for version in $(find trust -name '*.root.json' 2> /dev/null | sed -n 's|^trust/\([1-9][0-9]*\)\.root\.json$|\1|p' | sort -n); do
  document=trust/$version.root.json
  # what is before the version that was given is not walked
  if [ -n "$root_pin" ] && [ "$version" -lt "${root_pin%%:*}" ]; then continue; fi
  if [ -z "$root" ]; then
    if [ -n "$root_pin" ]; then
      same "$root_pin" "$version:$(digest "$document")"
      say $? "$document is the version of the trust root that was given" "it is $version:$(digest "$document")"
    else
      say 0 "$document is where the trust root starts; compare: $version:$(digest "$document")"
    fi
  fi
  now=$work/root-$version.json
  jq -r .payload "$document" 2> /dev/null | base64 -d > "$now" 2> /dev/null
  { printf 'DSSEv1 %d %s %d ' "${#root_type}" "$root_type" "$(wc -c < "$now")"; cat "$now"; } > "$work/root-message"
  before=${root:-/dev/null}
  [ "$(jq -r .payloadType "$document" 2> /dev/null)" = "$root_type" ] &&
    jq -en --argjson version "$version" --slurpfile now "$now" --slurpfile before "$before" -f "$work/root.jq" > /dev/null 2>&1 &&
    [ "$(people "$document" "$work/root-message" "$now")" -ge "$(number .threshold "$now")" ] &&
    { [ -z "$root" ] || [ "$(people "$document" "$work/root-message" "$root")" -ge "$(number .threshold "$root")" ]; }
  say $? "$document: enough people of it and of the version before signed it, and it goes on from that"
  root=$now
done
for who in gate promotion approval; do
  [ -n "$root" ] || continue
  mkdir -p "$work/trusted/$who"
  index=0
  while [ "$index" -lt "$(jq --arg who "$who" '.authorities[$who] | length' "$root" 2> /dev/null || echo 0)" ]; do
    key=$work/trusted/$who/$index
    jq -r --arg who "$who" --argjson index "$index" '.authorities[$who][$index].pem' "$root" > "$key.pem"
    jq -r --arg who "$who" --argjson index "$index" '.authorities[$who][$index].until // empty' "$root" > "$key.until"
    jq -c --arg who "$who" --argjson index "$index" '.authorities[$who][$index].revoked // empty' "$root" > "$key.revoked"
    index=$((index + 1))
  done
  [ -f "keys/$who.pem" ] || continue
  fingerprint=$(fingerprint "keys/$who.pem")
  for key in "$work/trusted/$who"/*.pem; do fingerprint "$key"; done | grep -q "^$fingerprint$"
  say $? "keys/$who.pem is a key that the trust root names"
done

# signed ENVELOPE KEY STATEMENT: the statement of a DSSE envelope, where KEY signed it, or one that the trust root names beside
# it; $signer is the file of that key
signed() {
  : > "$3"
  [ "$(jq -r '.payloadType' "$1" 2> /dev/null)" = application/vnd.in-toto+json ] || return 1
  [ "$(jq -r '.signatures | length' "$1")" = 1 ] || return 1
  jq -r '.payload' "$1" | base64 -d > "$work/payload" 2> /dev/null || return 1
  jq -r '.signatures[0].sig' "$1" | base64 -d > "$work/signature" 2> /dev/null || return 1
  # what is signed: "DSSEv1", the type and the payload, each with its length
  { printf 'DSSEv1 28 application/vnd.in-toto+json %d ' "$(wc -c < "$work/payload")"; cat "$work/payload"; } > "$work/message"
  for signer in "$2" "$work/trusted/$(basename "$2" .pem)"/*.pem; do
    # the key in keys/ counts by itself where no trust root names the keys
    if [ -n "$root" ] && [ "$signer" = "$2" ]; then continue; fi
    if openssl dgst -sha256 -verify "$signer" -signature "$work/signature" "$work/message" > /dev/null 2>&1; then
      cp "$work/payload" "$3"
      return 0
    fi
  done
  return 1
}
# what came later is no part of the answer
not_after() { [ -n "$1" ] && [ "$(printf '%s\n%s\n' "$1" "$2" | sort | head -n 1)" = "$1" ]; }
whole_seconds() { printf '%s' "$1" | sed 's/\.[0-9]*Z$/Z/'; }
# counts STATEMENT HOW ENVELOPE: whether what $signer signed counts. Of a revoked key that only does what the ledger names in time:
# by the promotion's record (built, approval), by the promotion's entry (own), as a chain's last entry (head CHAIN) or one before
# (seen CHAIN).
counts() {
  revoked=${signer%.pem}.revoked
  if [ ! -s "$revoked" ]; then
    until=$(cat "${signer%.pem}.until" 2> /dev/null)
    [ -z "$until" ] && return 0
    stated=$(field '.predicate | .artefactGatekeeper_evaluatedAt // .statedAt // .evaluatedAt // .timeVerified // .completedAt // .recordedAt // .withdrawn.at // .approved_at // .proposed_at' "$1")
    not_after "$(whole_seconds "$stated")" "$(whole_seconds "$until")"
    return
  fi
  case $2 in
    built) same "$(field .built_attestation.sha256 records/promotion.json)" "$(digest "$3")" &&
      not_after "$(whole_seconds "$recorded_at")" "$(whole_seconds "$(field .at "$revoked")")" ;;
    approval) not_after "$(whole_seconds "$recorded_at")" "$(whole_seconds "$(field .at "$revoked")")" ;;
    own) jq -e --arg sha "$(digest "$3")" 'any(.attestations[]?; .sha256 == $sha)' "$own_entry" > /dev/null 2>&1 &&
      jq -e --arg chain "$(field .stage records/stage.json)/$(field .repo records/stage.json)" --argjson place "$(number .sequence "$own_entry")" \
        '.last[$chain].sequence >= $place' "$revoked" > /dev/null 2>&1 ;;
    head | seen) jq -e --arg chain "$3" --arg how "$2" --argjson place "$(number .predicate.sequence "$1")" --arg sha "$(field '.subject[0].digest.sha256' "$1")" \
      '.last[$chain] | (.sequence == $place and .sha256 == $sha) or ($how == "seen" and .sequence > $place)' "$revoked" > /dev/null 2>&1 ;;
    *) return 1 ;;
  esac
}
# the promotion's own entry of the ledger, where that names its record
own_entry=$(for file in ledger/[0-9]*.json; do
  jq -r --arg id "$(field .promotion_id records/promotion.json)" --arg sha "$(digest records/promotion.json)" --arg file "$file" \
    'select((.kind == "promotion" or .kind == "rollback") and .promotion_id == $id and .record.sha256 == $sha) | $file' "$file" 2> /dev/null
done | head -n 1)
recorded_at=$(field .recorded_at "${own_entry:-/dev/null}")

# --- the attestations ---
for name in built verification-summary deployment; do
  case $name in
    built) key=gate; how=built; type=https://in-toto.io/attestation/test-result/v0.1 ;;
    verification-summary) key=promotion; how=own; type=https://slsa.dev/verification_summary/v1 ;;
    deployment) key=promotion; how=own; type=https://artefact-gatekeeper.example/deployment/v1 ;;
  esac
  signed "attestations/$name.dsse.json" "keys/$key.pem" "$work/$name" &&
    [ "$(field .predicateType "$work/$name")" = "$type" ] && [ "$(field ._type "$work/$name")" = https://in-toto.io/Statement/v1 ] &&
    counts "$work/$name" "$how" "attestations/$name.dsse.json"
  say $? "attestations/$name.dsse.json: the signature holds under keys/$key.pem, and it is a statement of its type"
  hint=$(openssl pkey -pubin -in "$signer" -outform DER 2> /dev/null | openssl dgst -sha256 -binary | base64)
  one=$(jq -cS . "attestations/$name.dsse.json" 2> /dev/null)
  jq -cS '.dsseEnvelope' "attestations/$name.sigstore.json" > "$work/envelope" 2> /dev/null
  # a commit that is built again is attested again: then the bundle is that of the later attestation
  { same "$one" "$(cat "$work/envelope")" ||
    { [ "$name" = built ] && signed "$work/envelope" "keys/$key.pem" "$work/later" && same "$(field .predicateType "$work/later")" "$type" &&
      counts "$work/later" none - &&
      hint=$(openssl pkey -pubin -in "$signer" -outform DER 2> /dev/null | openssl dgst -sha256 -binary | base64); }; } &&
    [ "$(field .verificationMaterial.publicKey.hint "attestations/$name.sigstore.json")" = "$hint" ]
  say $? "attestations/$name.sigstore.json is the same attestation, or one that followed it, under its key"
done
# The SHA-256 that a statement gives to the subject of this name.
subject() { jq -r --arg name "$2" '.subject[] | select(.name == $name) | .digest.sha256 // empty' "$1" 2> /dev/null; }

commit=$(field .commit_sha records/stage.json)
repo=$(field .repo records/stage.json)
stage=$(field .stage records/stage.json)
promotion=$(field .promotion_id records/promotion.json)
commit_promoted=$(field .commit_sha records/promotion.json)
at=$(field .question.at observed.json)
if [ -z "$at" ]; then
  same "$commit" "$commit_promoted" && same "$(field .promotion_id records/stage.json)" "$promotion"
  say $? "records/stage.json names the promotion of records/promotion.json"
else
  jq -e --arg id "$promotion" --arg sha "$commit_promoted" \
    'any(.history[]; .promotion_id == $id and .commit_sha == $sha)' records/stage.json > /dev/null 2>&1
  say $? "the history in records/stage.json holds the promotion of records/promotion.json"
fi
commit=$commit_promoted
same "$(field .repo records/promotion.json)/$(field .stage records/promotion.json)" "$repo/$stage"
say $? "records/promotion.json is of this stage and repository"
same "$(field .status records/promotion.json)" succeeded
say $? "records/promotion.json: the promotion succeeded"
for name in built verification-summary deployment; do
  jq -e --arg repo "$repo" --arg sha "$commit" \
    'any(.subject[]; .name == $repo and .digest.gitCommit == $sha)' "$work/$name" > /dev/null 2>&1
  say $? "$name: it is about commit $commit"
done

# --- what is attested is what is here ---
same "$(subject "$work/built" "$repo/$commit/build-manifest.json")" "$(digest manifest/build-manifest.json)"
say $? "built: its manifest is manifest/build-manifest.json"
same "$(field .predicate.artefactGatekeeper_verdict.digest.sha256 "$work/built")" "$(digest records/verdict.json)"
say $? "built: its verdict is records/verdict.json"
same "$(field .predicate.result "$work/built")" PASSED && same "$(field .outcome records/verdict.json)" built
say $? "built: the tests passed, and the verdict is Built"
jq -r '.artefacts[] | "\(.sha256) \(.key)"' records/verdict.json 2> /dev/null | sort > "$work/judged"
jq -r '.subject[] | select(.digest.sha256) | "\(.digest.sha256) \(.name)"' "$work/built" 2> /dev/null |
  grep -v ' [^ ]*/build-manifest\.json$' | sort > "$work/attested"
filled "$work/judged" && cmp -s "$work/judged" "$work/attested"
say $? "built: its subjects are the objects that the verdict judged"
jq -r '(.reports // [])[] | "\(.sha256) reports/\(.file)"' manifest/build-manifest.json 2> /dev/null > "$work/files"
jq -r '.modules[] | .id as $id | (.schemas // [])[] | "\(.sha256) schema/\($id)-\(.database).sql"' \
  manifest/build-manifest.json 2> /dev/null >> "$work/files"
while read -r expected name; do
  [ -f "$name" ] || continue # too large to be in here
  same "$expected" "$(digest "$name")" && grep -q "^$expected " "$work/judged"
  say $? "$name is the file that was judged"
done < "$work/files"
# --- the portable forms: what stages get of templates that name dev's account, region and stage ---
# A form with dev's values at the places of its mapping is the stored template again, and says nothing else.
cat > "$work/form.jq" <<'JQ'
def steps($doc; $keys): reduce $keys[] as $key ([];
  . as $at | . + [if ($doc | getpath($at) | type) == "array" then ($key | tonumber) else $key end]);
def expression: map(if has("ref") then {Ref: .ref} else .literal end) | if length == 1 and (.[0] | type) == "object"
  then .[0] else {"Fn::Join": ["", .]} end;
def sub_string: map(if has("ref") then "${" + .ref + "}" else .literal end) | add;
# What leads from a form to those that are nested in it, taken out again: exactly that, or nothing holds.
def unlinked($m): reduce ($m.nested // [])[] as $it (.; .Resources[$it.resource].Properties |= (
  (.TemplateURL |= reduce ($it.templates | to_entries[]) as $key (.;
    walk(if type == "string" and endswith("/" + $key.value) or . == $key.value then rtrimstr($key.value) + $key.key else . end)))
  | reduce ($it.passes // [])[] as $name (.; if ($name == "Stage" or $name == "SSTBootstrapBucket") and
    .Parameters[$name] == {"Ref": $name} then del(.Parameters[$name]) else error("passes") end)
  | if $it.adds_parameters then if .Parameters == {} then del(.Parameters) else error("parameters") end else . end));
$mapping[0] as $m | ($form[0] | unlinked($m)) as $f
| ({"AWS::AccountId": $m.synthesised_for.account, "AWS::Region": $m.synthesised_for.region, "Stage": $m.synthesised_for.stage}
  + ($m.synthesised_for.bootstrap_bucket // null | if . then {"SSTBootstrapBucket": .} else {} end)) as $dev
| reduce $m.substitutions[] as $it ({doc: $f, ok: true};
    ($it.place[1:] | split("/") | map(gsub("~1"; "/") | gsub("~0"; "~"))) as $keys
    | steps($f; $keys) as $path | ($f | getpath($path)) as $there
    | .ok = (.ok and ([$it.text[] | select(has("ref")) | .ref] - ($dev | keys) == []) and
        ($there == ($it.text | expression) or $there == ($it.text | sub_string)))
    | .doc |= setpath($path; $it.text | map(if has("ref") then $dev[.ref] else .literal end) | add))
| reduce ($m.also // [])[] as $name (.; .ok = (.ok and $name == "SSTBootstrapBucket" and
    .doc.Parameters[$name] == {"Type": "String"}) | .doc |= delpaths([["Parameters", $name]]))
| if $m.declares == "section" then .ok = (.ok and .doc.Parameters == {"Stage": {"Type": "String"}}) | .doc |= del(.Parameters)
  elif $m.declares == "parameter" then .ok = (.ok and .doc.Parameters.Stage == {"Type": "String"}) | .doc |= del(.Parameters.Stage)
  else . end
| .ok and .doc == $template[0] and $m.template_sha256 == $template_sha and $m.form_sha256 == $form_sha
  and ([$m.substitutions[].place] | length == (unique | length))
  and all(($m.nested // [])[].templates | to_entries[];
    ((.key | sub("[^/]*$"; "")) + ($nested[0][.key].sha256 // "none")) as $digest
    | .value | startswith($digest) and (ltrimstr($digest) | test("^(\\.[A-Za-z0-9]{1,16})?$")))
JQ
# Of each stack, and of each template that is nested in it: the stack, its key there, and the three digests.
jq -r '(.predicate.artefactGatekeeper_forms // {}) | to_entries[] | .key as $stack
  | (.value | {key: "-", value: .}), ((.value.nested // {}) | to_entries[])
  | "\($stack) \(.key) \(.value.template_sha256) \(.value.sha256) \(.value.mapping_sha256)"' \
  "$work/built" 2> /dev/null > "$work/forms"
while read -r stack key template_sha form_sha mapping_sha; do
  jq -c --arg stack "$stack" '.predicate.artefactGatekeeper_forms[$stack].nested // {}' "$work/built" > "$work/nested" 2> /dev/null
  if [ "$key" = - ]; then
    form=forms/$stack
    template=$(printf '%s\n' templates/*-"$stack".json | head -n 1)
  else
    form=forms/$stack/$template_sha
    template=$(printf '%s\n' templates/nested/"$template_sha"* | head -n 1)
  fi
  if [ ! -f "$template" ]; then
    open "$form.json follows from its template" "the template is not in here"
    continue
  fi
  same "$template_sha" "$(digest "$template")" && grep -q "^$template_sha " "$work/judged"
  say $? "$template is the template that was judged"
  same "$form_sha" "$(digest "$form.json")" && same "$mapping_sha" "$(digest "$form.mapping.json")"
  say $? "$form.json and its mapping are the attested ones"
  jq -ne --slurpfile mapping "$form.mapping.json" --slurpfile form "$form.json" --slurpfile nested "$work/nested" \
    --slurpfile template "$template" --arg template_sha "$template_sha" --arg form_sha "$form_sha" \
    -f "$work/form.jq" > /dev/null 2>&1
  say $? "$form.json with dev's values is $template"
  [ "$key" = - ] && continue
  jq -e --arg stack "$stack" --arg key "$key" --arg sha "$template_sha" \
    'any(.modules[].assets[]?; .kind == "template" and .stack == $stack and .key == $key and .sha256 == $sha)' \
    manifest/build-manifest.json > /dev/null 2>&1 &&
    jq -ne --arg key "$key" 'any(inputs | (.nested // [])[].templates; has($key))' \
      "forms/$stack.mapping.json" forms/"$stack"/*.mapping.json > /dev/null 2>&1
  say $? "$form.json is what a form of $stack leads to in place of the template that the manifest lists under $key"
done < "$work/forms"
same "$(field .built_attestation.sha256 records/promotion.json)" "$(digest attestations/built.dsse.json)"
say $? "the promotion rests on this very attestation that the commit is Built"
same "$(field '.predicate.inputAttestations[0].digest.sha256' "$work/verification-summary")" "$(digest attestations/built.dsse.json)" &&
  same "$(field .predicate.verificationResult "$work/verification-summary")" PASSED &&
  same "$(field .predicate.resourceUri "$work/verification-summary")" "https://artefact-gatekeeper.example/stages/$stage/$repo"
say $? "verification-summary: it rests on the same, and it is for this stage and repository"

# --- the rules that were in force ---
edition=$(number .edition observed.json) # earlier bundles have neither of the two
policy=$(field .policy_sha256 records/verdict.json)
if [ "$edition" -ge 2 ] && [ -n "$policy" ]; then
  attested=$(jq -r '.predicate.configuration[] | select(.uri | startswith("config/policy.json?")) | .digest.sha256 // empty' \
    "$work/built" 2> /dev/null)
  same "$policy" "$(digest config/policy.json)" && same "$policy" "$attested"
  say $? "config/policy.json is the policy that the verdict and its attestation name"
fi
stages=$(field .stages_config_sha256 records/promotion.json)
if [ "$edition" -ge 2 ] && [ -n "$stages" ]; then
  same "$stages" "$(digest config/stages.json)" && same "$stages" "$(field .predicate.policy.digest.sha256 "$work/verification-summary")"
  say $? "config/stages.json is the configuration that the record and the verification summary name"
fi
identities=$(field .identities_config.sha256 records/promotion.json)
if [ "$edition" -ge 2 ] && [ -n "$identities" ]; then
  same "$identities" "$(digest config/identities.json)"
  say $? "config/identities.json is what the record names"
fi
jq -r '((.approvals // []) + [.break_glass.approved_by // empty]) | .[] | "\(.sha256) \(.signed_by // "-") \(.key)"' \
  records/promotion.json 2> /dev/null > "$work/approved"
place=0
while read -r expected signed_by key; do
  place=$((place + 1))
  name=approvals/$(printf %03d "$place").json
  same "$expected" "$(digest "$name")"
  say $? "$name is the approval that the promotion counted"
  [ "$signed_by" = - ] && continue # it was counted before approvals were signed
  jq -c '.envelope' "$name" > "$work/envelope" 2> /dev/null
  signed "$work/envelope" keys/approval.pem "$work/approval" && same "$signed_by" "$(fingerprint "$signer")" &&
    counts "$work/approval" approval - &&
    same "$(field .predicateType "$work/approval")" https://artefact-gatekeeper.example/approval/v1 &&
    same "$(jq -cS 'del(.envelope)' "$name")" "$(jq -cS .predicate "$work/approval")" &&
    same "$(field .subject[0].digest.gitCommit "$work/approval")" "$(field .commit_sha "$name")" &&
    same "$key" "approvals/$(jq -r '"\(.stage)/\(.repo)/\(.commit_sha)"' "$name")/$(jq -j .approved_by.person "$name" | sha256sum | cut -d ' ' -f 1).json"
  say $? "$name: the signature holds under keys/approval.pem, and it is of this person, commit and stage"
done < "$work/approved"
jq -r '(.waived // [])[] | "\(.waiver.proposal.sha256) \(.waiver.proposal.key)"' records/promotion.json 2> /dev/null > "$work/waived"
place=0
while read -r expected key; do
  place=$((place + 1))
  name=approvals/waivers/$(printf %03d "$place").json
  terms='[.id // .waiver_id, .repo, .commit_sha, .code, .until, .reason, (.proposed_by | .person? // .)]'
  jq -c '.envelope' "$name" > "$work/envelope" 2> /dev/null
  same "$expected" "$(digest "$name")" && signed "$work/envelope" keys/approval.pem "$work/waiver" &&
    counts "$work/waiver" approval - &&
    same "$(field .predicateType "$work/waiver")" https://artefact-gatekeeper.example/waiver/v1 &&
    same "$(jq -cS 'del(.envelope)' "$name")" "$(jq -cS .predicate "$work/waiver")" &&
    same "$key" "approvals/$(field .stage "$name")/waivers/$(field .waiver_id "$name").json" &&
    same "$(jq -c "$terms" "$name")" "$(jq -c --argjson place "$place" ".waived[\$place - 1].waiver | $terms" records/promotion.json)" &&
    jq -e --argjson place "$place" '(.waived[$place - 1].waiver | .proposed_by != .agreed_by)' records/promotion.json > /dev/null
  say $? "$name: it is the waiver that the promotion used, as keys/approval.pem signed it, and another person agreed"
done < "$work/waived"

# --- what ran is what was tested ---
jq -r '(.subject[] | .digest.sha256 // empty), ((.predicate.artefactGatekeeper_forms // {})[] | .sha256)' \
  "$work/built" 2> /dev/null | sort -u > "$work/tested"
jq -r '.predicate | (.functions[] | select(.unread | not) | .codeSha256 // "none"), (.stacks[] | .templateSha256)' \
  "$work/deployment" 2> /dev/null | sort -u > "$work/deployed"
jq -r --slurpfile built "$work/built" '($built[0].predicate.artefactGatekeeper_forms // {}) as $forms
  | .plan.stacks[] | "\(.stack_name) \($forms[.stack].sha256 // .sha256)"' records/promotion.json 2> /dev/null | sort > "$work/expected"
jq -r '.predicate.stacks[] | "\(.stackName) \(.templateSha256)"' "$work/deployment" 2> /dev/null | sort > "$work/stacks"
cmp -s "$work/expected" "$work/stacks"
say $? "deployment: each stack had the template that was attested for it, or its portable form where it has one"
filled "$work/deployment" && empty "$(comm -23 "$work/deployed" "$work/tested")"
say $? "deployment: every byte that was live when the promotion ended was attested as Built"
unread=$(jq -r '.predicate.functions[] | .unread // empty' "$work/deployment" 2> /dev/null | head -n 1)
[ -z "$unread" ] || open "deployment: every function was looked at when the promotion ended" "$unread"
same "$(field .predicate.promotion "$work/deployment")" "promotions/$stage/$repo/$promotion.json"
say $? "deployment: it is of this promotion"
if jq -e '.live | type == "object" and has("seen")' observed.json > /dev/null 2>&1; then
  unread=$(jq -r '.live.seen[] | .unread // empty' observed.json | head -n 1)
  [ -z "$unread" ] || open "observed.json: every function was looked at when the evidence was taken" "$unread"
  jq -r --slurpfile observed observed.json '($observed[0].live.seen | map(select(.unread) | .function)) as $unread
    | .plan.functions[] | select(.function as $it | $unread | index($it) | not) | "\(.function) \(.sha256)"' \
    records/promotion.json 2> /dev/null | sort > "$work/promoted"
  jq -r '.live.seen[] | select(.unread | not) | "\(.function) \(.code_sha256)"' observed.json | sort > "$work/live"
  cmp -s "$work/promoted" "$work/live"
  say $? "observed.json: the functions ran the promoted bytes when the evidence was taken (nobody signed that)"
fi

# --- the ledger ---
# chain FOLDER KEY CHAIN: the entries go on from one another, and the signed head is about the last
chain() {
  before=
  expected=
  for entry in "$1"/[0-9]*.json; do
    [ -f "$entry" ] || continue
    number=$(number .sequence "$entry")
    if [ -n "$before" ]; then
      same "$(field .previous_sha256 "$entry")" "$before" && same "$number" "$expected"
      say $? "$entry carries the digest of the entry before"
    fi
    same "$1/$(printf %010d "$number").json" "$entry" && same "$(field .stage "$entry")/$(field .repo "$entry")" "$3"
    say $? "$entry is in its place"
    if [ "$number" = 1 ]; then
      empty "$(field .previous_sha256 "$entry")"
      say $? "$entry is the first"
    fi
    before=$(digest "$entry")
    expected=$((number + 1))
  done
  if [ -z "$before" ] && [ ! -f "$1/head.json" ]; then return; fi
  signed "$1/head.json" "$2" "$work/head" &&
    same "$(field .predicateType "$work/head")" https://artefact-gatekeeper.example/ledger-head/v1 &&
    same "$(field .predicate.stage "$work/head")/$(field .predicate.repo "$work/head")" "$3" && counts "$work/head" head "$3"
  say $? "$1/head.json: the signature holds under $2, and it is of this chain"
  # a chain that was handed over to another key is signed by that from then on
  handed_over_to=$(for entry in "$1"/[0-9]*.json; do field .hand_over.to "$entry"; done | tail -n 1)
  if [ -n "$handed_over_to" ]; then
    same "$handed_over_to" "$(fingerprint "$signer")"
    say $? "$1/head.json: the key that the chain was handed over to signed it"
  fi
  newest=$(number .predicate.sequence "$work/head")
  file=$1/$(printf %010d "$newest").json
  same "$(subject "$work/head" "ledger/$3/$(printf %010d "$newest").json")" "$(digest "$file")" &&
    same "$expected" "$((newest + 1))"
  say $? "$1/head.json is about $file, the last one"
}
chain ledger keys/promotion.pem "$stage/$repo"
signed_stage=$(field .predicate.standing.stageRecord.sha256 "$work/head") # earlier heads tell none
if [ -n "$signed_stage" ]; then
  same "$signed_stage" "$(digest records/stage.json)"
  say $? "records/stage.json is the document that ledger/head.json was signed over"
fi
chain ledger/gate keys/gate.pem "gate/$repo"
# witnessed FILE FOLDER KEY CHAIN: the newest head that the witness outside has is about an entry of the chain
witnessed() {
  [ -f "$1" ] || return
  signed "$1" "$3" "$work/seen" &&
    same "$(field .predicateType "$work/seen")" https://artefact-gatekeeper.example/ledger-head/v1 &&
    same "$(field .predicate.stage "$work/seen")/$(field .predicate.repo "$work/seen")" "$4" && counts "$work/seen" seen "$4"
  say $? "$1: the signature holds under $3, and it is of this chain"
  place=$(printf %010d "$(number .predicate.sequence "$work/seen")")
  same "$(subject "$work/seen" "ledger/$4/$place.json")" "$(digest "$2/$place.json")"
  say $? "$1: what the witness outside has seen is $2/$place.json"
}
witnessed witness/stage.json ledger keys/promotion.pem "$stage/$repo"
witnessed witness/gate.json ledger/gate keys/gate.pem "gate/$repo"
# stamped ANSWER HEAD OWN: a timestamp authority saw the head; at the time that it tells its certificate was good
stamped() {
  if [ -z "$tsa_root" ]; then
    [ ! -f "$1" ] || echo "note   $1 is a timestamp of $2; whose word it is was not looked at: give --tsa-root"
    return
  fi
  [ -f "$3" ] || [ -f "$1" ] || return
  given=$(openssl ts -reply -in "$1" -text 2> /dev/null | sed -n 's/^Time stamp: //p')
  openssl ts -verify -data "$2" -in "$1" -CAfile "$tsa_root" -attime "$(date -u -d "$given" +%s 2> /dev/null || echo 0)" > /dev/null 2>&1
  say $? "$1: a timestamp authority saw $2 on $given"
}
stamped witness/stage.tsr witness/stage.json ledger/head.json
stamped witness/gate.tsr witness/gate.json ledger/gate/head.json
# how young it is: which entries were stated to be the newest, and when
if [ -f records/freshness.json ]; then
  signed records/freshness.json keys/promotion.pem "$work/fresh" &&
    same "$(field .predicateType "$work/fresh")" https://artefact-gatekeeper.example/freshness/v1 &&
    same "$(field .predicate.stage "$work/fresh")/$(field .predicate.repo "$work/fresh")" "$stage/$repo" && counts "$work/fresh" fresh -
  say $? "records/freshness.json: the signature holds under keys/promotion.pem, and it is of this stage; stated at $(field .predicate.statedAt "$work/fresh")"
  # goes_on FOLDER CHAIN: the chain has the entry that was stated to be its newest
  goes_on() {
    jq -e --arg chain "$2" '.predicate.newest | has($chain)' "$work/fresh" > /dev/null 2>&1
    say $? "records/freshness.json tells of $2"
    place=$(jq -r --arg chain "$2" '.predicate.newest[$chain] // 0' "$work/fresh" 2> /dev/null)
    case $place in '' | 0 | *[!0-9]*) return ;; esac
    file=$1/$(printf %010d "$place").json
    if [ -f "$file" ]; then
      same "$(subject "$work/fresh" "ledger/$2/$(printf %010d "$place").json")" "$(digest "$file")"
    else
      # it may be earlier than those that are in here, and not later
      last=$(find "$1" -maxdepth 1 -name '[0-9]*.json' 2> /dev/null | sort | tail -n 1)
      [ -n "$last" ] && [ "$(number .sequence "$last")" -gt "$place" ]
    fi
    say $? "$1 ends with entry $place, which was stated to be the newest, or goes on from it"
  }
  goes_on ledger "$stage/$repo"
  goes_on ledger/gate "gate/$repo"
  until=$(field .predicate.freshUntil "$work/fresh")
  not_after "$(whole_seconds "$(field .taken_at observed.json)")" "$(whole_seconds "$until")" ||
    open "it was stated lately which entries are the newest" "that counted until $until"
fi
record=$(digest records/promotion.json)
entry=$(for file in ledger/[0-9]*.json; do
  jq -r --arg id "$promotion" --arg sha "$record" --arg file "$file" \
    'select(.promotion_id == $id and .record.sha256 == $sha) | $file' "$file" 2> /dev/null
done | head -n 1)
filled "${entry:-/dev/null}"
say $? "an entry of the ledger carries the digest of records/promotion.json"
if [ -z "$at" ]; then
  last=$(for file in ledger/[0-9]*.json; do
    jq -r 'select((.kind == "promotion" or .kind == "rollback") and .outcome == "succeeded") | .promotion_id' "$file" 2> /dev/null
  done | tail -n 1)
  same "$last" "$promotion"
  say $? "it is the newest promotion that succeeded in the ledger"
fi

# --- taken back? ---
manifest_version=$(field .manifest_version_id records/promotion.json)
revoked=$(field .manifest_version_id records/revocation.json)
entries=$(for file in ledger/gate/[0-9]*.json; do
  jq -r --arg sha "$commit" 'select(.kind == "revocation" and .commit_sha == $sha) | .record.sha256' "$file" 2> /dev/null
done | tail -n 1)
if [ -n "$at" ] && ! not_after "$(field .revoked_at records/revocation.json)" "$at"; then revoked=; fi
! same "$revoked" "$manifest_version"
say $? "the commit was not taken back" "$(field '"by \(.revoked_by): \(.reason)"' records/revocation.json)"
if [ -n "$entries" ] || [ -f records/revocation.json ]; then
  same "$entries" "$(digest records/revocation.json)"
  say $? "what the gate's ledger tells of revocations is records/revocation.json"
fi

echo
if [ "$broken" -eq 0 ] && [ "$unknown" -gt 0 ]; then
  echo "nothing is known to be wrong, but $unknown of $checks checks could not be made"
  exit 3
fi
if [ "$broken" -eq 0 ]; then
  printf '%s' "everything holds ($checks checks): $stage ran $repo@$commit${at:+ at $at}" | tr -c '\040-\176' '?'
  echo
  [ -n "$root_pin" ] || { [ -n "$gate_pin" ] && [ -n "$promotion_pin" ]; } || echo "compare the two fingerprints above with ones that you got elsewhere"
  exit 0
fi
echo "$broken of $checks checks fail"
exit 1
