#!/bin/sh
# Runs in a throw-away Debian, as its root, without a network: a person's way with the
# package, from installing to purging. Ends well only if each step does.
set -eu
say() { echo "== $*"; }
unit=/usr/lib/systemd/system

say install
dpkg --install /holdfast.deb
test "$(stat -c '%U %a' /var/lib/holdfast)" = 'holdfast 700'
test "$(stat -c '%U %a' /etc/holdfast/secrets)" = 'holdfast 700'
test ! -e /etc/systemd/system/multi-user.target.wants/holdfast.target # nothing is started by itself

say units
systemd-analyze verify --man=no --recursive-errors=one $unit/holdfast*.service $unit/holdfast.target $unit/holdfast-audit.timer \
	$unit/holdfast@preserve.service $unit/holdfast@normalise.service $unit/holdfast@index.service >/said 2>&1 || { cat /said; exit 1; }
if grep holdfast /said; then exit 1; fi
systemctl enable holdfast-collect holdfast@normalise holdfast@preserve holdfast@index holdfast-audit.timer holdfast.target
test -e /etc/systemd/system/holdfast.target.wants/holdfast@preserve.service

say node
set -a
. /etc/holdfast/holdfast.env
set +a
runuser -u holdfast -- holdfast init --agent falcon --role investigator --office 'Unit 7'
test "$(stat -c %U /var/lib/holdfast/node/node.json)" = holdfast
runuser -u holdfast -- holdfast policy show

# role ARGUMENT…: it comes up, and ends well when it is told to. `setpriv` becomes it.
role() {
	setpriv --reuid=holdfast --regid=holdfast --init-groups holdfast node "$@" >/said 2>&1 &
	for i in $(seq 60); do
		grep -qE '^(working|serving)' /said && break
		sleep 1
	done
	kill -TERM $! && wait $! && grep -q '^stopped' /said || { cat /said; echo "node $*: it does not come up and end"; exit 1; }
}

# Without a browser, as on a machine that collects nothing.
say roles
role normalise
role preserve --metrics 127.0.0.1:9468
role index
role api --serve-only --listen 127.0.0.1:8017

say upgrade
echo '# the office wrote this' >>/etc/holdfast/holdfast.env
dpkg --install /holdfast.deb
grep -q 'the office wrote this' /etc/holdfast/holdfast.env

say purge
dpkg --purge holdfast
test ! -e /usr/bin/holdfast
test ! -e /etc/holdfast/holdfast.env
test -z "$(find /etc/systemd -name 'holdfast*')" # nothing is left that names a unit
test -e /var/lib/holdfast/node/node.json # evidence and keys go by a person's hand alone
say done
