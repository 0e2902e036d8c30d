#!/usr/bin/env bash
# systemd.sh DEBIAN.tar DEB SCRIPT ENV: unpacks a Debian, boots its systemd as process 1 of a
# container that shares this machine's network, where the engines are, and has SCRIPT run
# there as root, with the variables of the file ENV. Prints what it says; leaves nothing.
set -euo pipefail
root=$(mktemp -d)
trap 'rm -rf --one-file-system "$root"' EXIT
tar -C "$root" -xf "$1" --exclude='./dev/*'
chmod 0755 "$root" # or no other than root finds anything in it
mkdir -p "$root"/{dev,proc,sys,run,tmp}
cp "$2" "$root/holdfast.deb"
cp "$3" "$root/way.sh"
cp "$4" "$root/way.env"
: >"$root/said"
# Its name is looked up, and resolved over the machine's own file.
printf '127.0.0.1 localhost\n' >"$root/etc/hosts"
cat >"$root/etc/systemd/system/way.service" <<-'END'
	[Service]
	Type=oneshot
	EnvironmentFile=/way.env
	ExecStart=/bin/bash /way.sh
	ExecStopPost=/bin/systemctl --no-block start poweroff.target
	StandardOutput=append:/said
	StandardError=append:/said
	TimeoutStartSec=40min
	[Install]
	WantedBy=multi-user.target
END
mkdir -p "$root/etc/systemd/system/multi-user.target.wants"
ln -s /etc/systemd/system/way.service "$root/etc/systemd/system/multi-user.target.wants/way.service"
timeout -k 30 45m systemd-nspawn --quiet --register=no --keep-unit --resolv-conf=off -D "$root" --boot --console=pipe </dev/null >"$root/console" 2>&1 || true
cat "$root/said"
if ! tail -n 1 "$root/said" | grep -q '^== done$'; then
	echo '-- the end of the console:'
	tail -n 40 "$root/console"
	exit 1
fi
