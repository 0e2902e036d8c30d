#!/usr/bin/env bash
# way.sh REPOSITORY WORK: the way of a person with deploy/compose, from the example of the
# settings to `down` and up again, under real engines. Ends well, with "== done", only if
# each step does. The images are there already (images.sh); holdfast's is built here.
set -euo pipefail
here=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")
repo=$1 work=$2
dir=$repo/deploy/compose
mkdir -p "$work"
roles="collect normalise preserve index api"

say() { echo "== $(date +%T) $*"; }
die() {
	echo "way.sh: $*"
	exit 1
}
compose() { docker-compose -p holdfast --project-directory "$dir" --env-file "$dir/.env" -f "$dir/compose.yaml" -f "$work/try.yaml" --progress quiet "$@"; }
holdfast() { compose exec -T api holdfast "$@"; }
id() { compose ps -a -q "$1"; }
state() { docker inspect -f "{{.State.$2}}" "$(id "$1")"; }

# until_says SECONDS WANT COMMAND…: it is asked again until it says so.
until_says() {
	local most=$1 want=$2 said='' end
	shift 2
	end=$((SECONDS + most))
	while [ $SECONDS -lt "$end" ]; do
		said=$("$@" 2>&1) || true
		[ "$said" != "$want" ] || return 0
		sleep 1
	done
	die "$* says $said, and not $want, for $most s"
}

all_healthy() { for r in $roles; do until_says 180 healthy state "$r" Health.Status; done; }

# capture PAGE: through the API, with the scoped token alone; sealed.
capture() {
	compose exec -T -e HOLDFAST_DATA=/nowhere -e HOLDFAST_TOKEN="$token" -e HOLDFAST_PG_PASSWORD= -e AWS_SECRET_ACCESS_KEY= api \
		holdfast capture "http://site:8080/$1" --allow-private --timeout 5m --server http://127.0.0.1:8017 --wait 8m --json >"$work/captured" || die "capture $1: $(cat "$work/captured")"
	grep -q '"event":"sealed"' "$work/captured" || die "$1 is not sealed: $(cat "$work/captured")"
}

# sealed lists what is sealed, and nothing may wait.
sealed() {
	holdfast list --json >"$work/list"
	if grep -v '"state":"sealed"' "$work/list"; then die "not sealed"; fi
	sed -E 's/.*"id":"([0-9a-f]{32})".*"seal":"([^"]*)".*/\1 \2/' "$work/list" | sort
}

trap 'compose logs --no-color >"$work/log" 2>&1 || true; compose down -v -t 20 >/dev/null 2>&1 || true' EXIT

sed -e 's/^PG_PASSWORD=$/PG_PASSWORD=pg-secret/; s/^S3_SECRET_KEY=$/S3_SECRET_KEY=s3-secret/' "$dir/.env.example" >"$dir/.env"
sed "s#\./site#$here/site#" "$here/try.yaml" >"$work/try.yaml"

say image
# HOLDFAST_IMAGE=there takes the one that was built before, for working on this script.
if [ "${HOLDFAST_IMAGE:-}" != there ]; then
	nice -n 10 docker build -f "$dir/Dockerfile" --build-arg VERSION=way.1 -t holdfast "$repo" >"$work/build" 2>&1 || { tail -n 40 "$work/build"; die "docker build"; }
	docker run --rm holdfast --version | grep -qx 'holdfast version way.1' || die "it does not say its version"
fi
[ "$(docker run --rm --entrypoint id holdfast -u)" = 10001 ] || die "it runs as root"
docker run --rm --entrypoint sh holdfast -c 'holdfast init --agent falcon --role investigator --office "Unit 7" && echo text >/tmp/a.txt && holdfast add /tmp/a.txt --giver Maria --case c --wait 1s; holdfast list' >"$work/alone" 2>&1 || die "alone: $(cat "$work/alone")"
grep -q signed "$work/alone" || die "alone: $(cat "$work/alone")"

# The image answers on its socket while it makes the database; that is not healthy yet.
say database
compose up -d --no-build postgres
until_says 180 healthy state postgres Health.Status
compose exec -T -e PGPASSWORD=pg-secret postgres psql -h 127.0.0.1 -U holdfast -d holdfast -Atc 'select 1' >/dev/null || die "PostgreSQL is healthy before its database is there"

say up
compose up -d --no-build
[ "$(state init ExitCode)" = 0 ] || die "init"
all_healthy
compose exec -T collect sh -c 'test "$(id -u)" = 10001 && ! touch /usr/bin/x 2>/dev/null && ! touch /x 2>/dev/null' || die "a role can write where it must not"
for a in alpha beta; do
	compose exec -T collect holdfast authority add $a http://$a:3161/ --operator "Operator $a" --roots /tsa/$a/tsa/roots.pem
done

# SIGTERM: what is under way ends first.
say drain
for r in $roles; do
	compose stop $r
	[ "$(state $r ExitCode)" = 0 ] || die "$r ended with $(state $r ExitCode)"
	compose logs --no-color $r | grep -qE 'stopped' || die "$r does not say that it stopped: $(compose logs --no-color $r | tail -n 5)"
done
compose start $roles
all_healthy

say capture
holdfast case new c
token=$(holdfast token add desk --scope capture,read,export --case c --allow-private --json | sed -n 's/.*"token":"\([^"]*\)".*/\1/p')
[ -n "$token" ] || die "no token"
capture ''
sealed >"$work/one"
[ "$(wc -l <"$work/one")" = 1 ] || die "one capture, listed: $(cat "$work/one")"
holdfast audit --all

# Killed where it stands: Docker starts it again, and what comes then is sealed.
say kill
kill -9 "$(state preserve Pid)"
capture two.html
[ "$(docker inspect -f '{{.RestartCount}}' "$(id preserve)")" -ge 1 ] || die "preserve was killed and not started again"

# An engine that is gone turns the roles red, and back.
say red
compose stop postgres
until_says 180 unhealthy state index Health.Status
compose start postgres
all_healthy

say down
sealed >"$work/before"
[ "$(wc -l <"$work/before")" = 2 ] || die "two captures, listed: $(cat "$work/before")"
compose down -t 60
[ -z "$(compose ps -a -q)" ] || die "something is left"

say again
compose up -d --no-build
all_healthy
sealed >"$work/after"
cmp "$work/before" "$work/after" || die "not what was there before"
capture three.html
sealed >"$work/after"
[ "$(wc -l <"$work/after")" = 3 ] && [ -z "$(comm -23 "$work/before" "$work/after")" ] || die "three captures, listed: $(cat "$work/after")"
holdfast audit --all
compose exec -T collect sh -c 'cd /tmp && holdfast policy export p.json && holdfast export --case c out.zip >/dev/null && holdfast-verify --policy p.json out.zip' >"$work/verified" || die "verify: $(cat "$work/verified")"
grep -q PROVEN "$work/verified" || die "verify: $(cat "$work/verified")"
echo "== done"
