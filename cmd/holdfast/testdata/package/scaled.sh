#!/bin/bash
# Runs under systemd as process 1, in a throw-away Debian beside real engines: the roles of
# a scaled node as its units, while captures flow all the time. Killed, stopped, upgraded;
# ends well only if each step does and every capture is in one Seal.
set -euo pipefail
trap 'echo "scaled.sh: line $LINENO: $BASH_COMMAND: $?"' ERR
roles="holdfast-collect holdfast@normalise holdfast@preserve holdfast@index holdfast-api"
declare -A port=([holdfast-collect]=9465 [holdfast-api]=9466 [holdfast@normalise]=9467 [holdfast@preserve]=9468 [holdfast@index]=9469)
say() { echo "== $*"; }
die() {
	echo "scaled.sh: $*"
	systemctl --no-pager --full status 'holdfast*' flow || true
	journalctl --no-pager -n 60 -u 'holdfast*' -u flow || true
	exit 1
}


# until SECONDS COMMAND…
until_ok() {
	local end=$((SECONDS + $1))
	shift
	until "$@" >/dev/null 2>&1; do
		[ $SECONDS -lt $end ] || die "never: $*"
		sleep 1
	done
}
ready() {
	local code
	exec 3<>"/dev/tcp/127.0.0.1/${port[$1]}" || return 1
	printf 'GET /readyz HTTP/1.0\r\n\r\n' >&3
	read -r _ code _ <&3
	exec 3<&- 3>&-
	[ "$code" = 200 ]
}
all_ready() { for u in $roles; do until_ok 180 ready "$u"; done; }
of() { systemctl show -P "$2" "$1"; }

say install
dpkg --install /holdfast.deb >/dev/null
for f in pg-password s3-keys; do
	printf "%b" "$(eval "echo \$${f//-/_}")" >"/etc/holdfast/secrets/$f"
	chown holdfast: "/etc/holdfast/secrets/$f" && chmod 0400 "/etc/holdfast/secrets/$f"
done
cat >>/etc/holdfast/holdfast.env <<-END
	HOLDFAST_QUEUE="$QUEUE"
	HOLDFAST_STORE="$STORE"
	HOLDFAST_CATALOG="$CATALOG"
	HOLDFAST_PG_PASSWORD_FILE=/etc/holdfast/secrets/pg-password
	HOLDFAST_S3_KEYS_FILE=/etc/holdfast/secrets/s3-keys
END
sed -i "s/^HOLDFAST_API_FLAGS=.*/HOLDFAST_API_FLAGS=\"--listen 127.0.0.1:$API_PORT\"/" /etc/holdfast/holdfast.env
set -a
. /etc/holdfast/holdfast.env
set +a
runuser -u holdfast -- holdfast init --agent falcon --role investigator --office 'Unit 7'
for a in alpha beta; do
	systemd-run --quiet --unit=$a -p User=holdfast -p StandardOutput=file:/tmp/$a holdfast authority serve --operator "Operator $a" --listen 127.0.0.1:0 --dir /var/lib/holdfast/tsa-$a
	until_ok 60 grep -q '^serving' /tmp/$a
	runuser -u holdfast -- holdfast authority add $a "$(sed -n 's/^serving \([^ ]*\) .*/\1/p' /tmp/$a)" --operator "Operator $a" --roots /var/lib/holdfast/tsa-$a/roots.pem
done

say start
systemctl enable --now $roles holdfast.target
all_ready
systemctl is-active --quiet holdfast.target

# What is handed over, one after the other, each sealed before the next; it ends where one
# is not.
runuser -u holdfast -- holdfast case new c >/dev/null
cat >/flow.sh <<-'END'
	set -eu
	cd /var/lib/holdfast
	for i in $(seq 100000); do
		[ ! -e /var/lib/holdfast/enough ] || exit 0
		head -c 2000 /dev/urandom >flow-$i
		holdfast add flow-$i --giver Maria --case c --wait 5m --json >flow.said || { cat flow.said; exit 1; }
		grep -o '"event":"sealed","id":"[0-9a-f]*"' flow.said | cut -d '"' -f 8 >>flow.ids
	done
END
install -o holdfast -m 0600 /dev/null /var/lib/holdfast/flow.ids
systemd-run --quiet --unit=flow -p User=holdfast -p EnvironmentFile=/etc/holdfast/holdfast.env bash /flow.sh
flowed() { wc -l </var/lib/holdfast/flow.ids; }
# more: what flows goes on, which takes every role but collect and api.
more() {
	local was end=$((SECONDS + 300))
	was=$(flowed)
	until [ "$(flowed)" -gt "$((was + 1))" ]; do
		systemctl is-active --quiet flow || die "a capture was not taken or not sealed"
		[ $SECONDS -lt $end ] || die "nothing is sealed any more"
		sleep 1
	done
}
more

say page
if command -v chromium >/dev/null; then
	token=$(runuser -u holdfast -- holdfast token add desk --scope capture,read --case c --allow-private --json | sed -n 's/.*"token":"\([^"]*\)".*/\1/p')
	HOLDFAST_TOKEN=$token HOLDFAST_DATA=/nowhere runuser -u nobody -w HOLDFAST_TOKEN -- env HOLDFAST_TOKEN="$token" HOLDFAST_DATA=/nowhere \
		holdfast capture "$SITE" --allow-private --timeout 5m --server "http://127.0.0.1:$API_PORT" --wait 8m --json >/tmp/page || die "$(cat /tmp/page)"
	grep -q '"event":"sealed"' /tmp/page || die "$(cat /tmp/page)"
else
	echo 'no Chromium here: no page is captured'
fi

say kill
for u in $roles; do
	pid=$(of "$u" MainPID)
	kill -9 "$pid"
	until_ok 60 bash -c "[ \$(systemctl show -P NRestarts $u) -ge 1 ] && systemctl is-active --quiet $u"
	[ "$(of "$u" MainPID)" != "$pid" ] || die "$u was killed and is the same"
done
all_ready
more

say stop
for u in $roles; do
	systemctl stop "$u"
	[ "$(of "$u" Result) $(of "$u" ExecMainStatus)" = 'success 0' ] || die "$u ended with $(of "$u" Result)"
	journalctl --no-pager -o cat -u "$u" -n 20 | grep -q '^stopped' || die "$u does not say that it stopped"
	if journalctl --no-pager -o cat -u "$u" | grep 'it is cut off'; then die "$u was cut off"; fi
	if [ "$u" = holdfast@preserve ]; then # a batch that was planned was sealed whole
		sleep 5
		if runuser -u holdfast -- holdfast list --json | grep '"state":"signed"'; then die "half sealed"; fi
	fi
	systemctl start "$u"
	until_ok 180 ready "$u"
done
more

say upgrade
for u in $roles; do of "$u" InvocationID; done >/tmp/was
dpkg --install /holdfast.deb >/dev/null
for u in $roles; do of "$u" InvocationID; done >/tmp/is
[ -z "$(comm -12 <(sort /tmp/was) <(sort /tmp/is))" ] || die "not all were restarted"
all_ready
more

say target
systemctl stop holdfast.target
for u in $roles; do
	if systemctl is-active --quiet "$u"; then die "$u works though the target is stopped"; fi
	[ "$(of "$u" Result)" = success ] || die "$u ended with $(of "$u" Result)"
done
systemctl start holdfast.target
all_ready
more
touch /var/lib/holdfast/enough
until_ok 300 bash -c '! systemctl is-active --quiet flow'
if systemctl is-failed --quiet flow; then die "the flow failed"; fi

say count
runuser -u holdfast -- holdfast list --json >/tmp/list
if grep -v '"state":"sealed"' /tmp/list; then die "not sealed"; fi
sed -n 's/.*"id":"\([0-9a-f]*\)".*/\1/p' /tmp/list | sort >/tmp/listed
sort /var/lib/holdfast/flow.ids >/tmp/flowed
[ -z "$(uniq -d /tmp/listed)" ] || die "listed twice: $(uniq -d /tmp/listed)"
[ -z "$(comm -23 /tmp/flowed /tmp/listed)" ] || die "lost: $(comm -23 /tmp/flowed /tmp/listed)"
systemctl start holdfast-audit.service || die "audit"
journalctl --no-pager -o cat -u holdfast-audit -n 5
echo "$(wc -l </tmp/listed) captures, each sealed"
say done
