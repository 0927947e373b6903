#!/usr/bin/env bash
# Finds or gets the tools that databases need, and says in one line what is missing:
#   .local/flyway/flyway   Flyway, by way of Maven (whose own settings name a mirror), and `java` for it
#   .local/postgresql      a link to the folder with PostgreSQL's programs
# Root on Debian and Ubuntu gets missing packages from there. Does nothing when all is there.
set -euo pipefail
cd "$(dirname "$0")/../.."

FLYWAY_VERSION=11.8.2
FLYWAY_SHA256=b01677117b6be97e669314cc502da85bdce20b426bafc291738368ab980c8ca5
MAVEN_DEPENDENCY_PLUGIN=3.11.0 # what lets Maven fetch a file
JAVA=17       # the least that this Flyway runs on
POSTGRESQL=15 # the least that is tested
flyway=.local/flyway
postgresql=.local/postgresql

fail() {
  echo "error: $1" >&2
  exit 1
}

java_version() { # 17 of `openjdk version "17.0.15" 2025-04-15`; nothing without Java
  java -version 2>&1 | sed -nE '1s/.* version "([0-9]+).*/\1/p'
}

postgresql_version() { # postgresql_version FOLDER: 15 of `postgres (PostgreSQL) 15.18`; nothing when a program is missing
  for program in initdb postgres pg_isready pg_dump psql; do
    [ -x "$1/$program" ] || return 0
  done
  "$1/postgres" --version | sed -nE 's/.*\) ([0-9]+).*/\1/p'
}

find_postgresql() { # the folder of the newest one, Debian's or on the path
  local newest=0 found='' folder version
  for folder in /usr/lib/postgresql/*/bin "$(dirname "$(readlink -f "$(command -v initdb || echo /nowhere/initdb)")")"; do
    version=$(postgresql_version "$folder")
    if [ "${version:-0}" -gt "$newest" ]; then newest=$version found=$folder; fi
  done
  [ "$newest" -lt "$POSTGRESQL" ] || echo "$found"
}

install_packages() { # install_packages NAME…
  echo "installing $*"
  # A new PostgreSQL shall not start a cluster of its own; afterwards the machine is as the package leaves it.
  local drop_in=/etc/postgresql-common/createcluster.d/gatekeeper.conf
  mkdir -p "$(dirname "$drop_in")"
  trap 'rm -f "$drop_in"' EXIT
  echo 'create_main_cluster = false' > "$drop_in"
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" > /dev/null
  rm -f "$drop_in"
}

wanted="$FLYWAY_SHA256 $(sha256sum < infra/local/setup_database.sh)" # this script says what of it is kept
has_flyway() { [ "$wanted" = "$(cat "$flyway/.installed" 2>/dev/null)" ]; }

packages=()
version=$(java_version || true)
[ "${version:-0}" -ge "$JAVA" ] || packages+=(default-jre-headless)
programs=$(find_postgresql)
[ -n "$programs" ] || packages+=(postgresql)
has_flyway || command -v mvn > /dev/null || packages+=(maven)
if [ ${#packages[@]} -gt 0 ] && [ "$(id -u)" = 0 ] && command -v apt-get > /dev/null; then
  install_packages "${packages[@]}"
  programs=$(find_postgresql)
  version=$(java_version || true)
fi
[ "${version:-0}" -ge "$JAVA" ] ||
  fail "\`java\` $JAVA or newer is missing, Flyway needs it (on Debian and Ubuntu: \`apt-get install default-jre-headless\`)"
[ -n "$programs" ] ||
  fail "PostgreSQL $POSTGRESQL or newer is missing, server and client (on Debian and Ubuntu: \`apt-get install postgresql\`)"
mkdir -p .local
[ "$(readlink "$postgresql" 2>/dev/null)" = "$programs" ] || ln -sfn "$programs" "$postgresql"

has_flyway && exit 0
command -v mvn > /dev/null ||
  fail '`mvn` is missing, Flyway is fetched by it (on Debian and Ubuntu: `apt-get install maven`)'
echo "installing Flyway $FLYWAY_VERSION into $flyway"
new=$(mktemp -d .local/flyway.XXXXXX)
trap 'rm -rf "$new" "$new.maven"' EXIT
# Maven's own cache would keep the archive's 202 MB for nothing.
mvn --quiet --batch-mode --strict-checksums -Dstyle.color=never -Dmaven.repo.local="$PWD/$new.maven/cache" \
  "org.apache.maven.plugins:maven-dependency-plugin:$MAVEN_DEPENDENCY_PLUGIN:copy" \
  -Dartifact="org.flywaydb:flyway-commandline:$FLYWAY_VERSION:tar.gz" -DoutputDirectory="$PWD/$new.maven"
archive=$new.maven/flyway-commandline-$FLYWAY_VERSION.tar.gz
echo "$FLYWAY_SHA256  $archive" | sha256sum --check --quiet ||
  fail "that is not Flyway $FLYWAY_VERSION as it was released"
# Without the drivers and plug-ins for other databases the JVM starts in two thirds of the time.
tar --extract --gzip --file "$archive" --directory "$new" --strip-components 1 --no-same-owner \
  --wildcards --no-wildcards-match-slash '*/flyway' '*/licenses/*' '*/lib/*.jar' '*/drivers/postgresql-*.jar' \
  '*/lib/flyway/flyway-'{commandline,core,nc,verb,reports,database-postgresql}'-*.jar'
echo "$wanted" > "$new/.installed"
chmod 755 "$new"
rm -rf "$flyway"
mv "$new" "$flyway"
