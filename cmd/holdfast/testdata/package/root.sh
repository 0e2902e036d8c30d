#!/bin/sh
# root.sh DEBIAN.tar DEB: unpacks a Debian where nobody sees it, in namespaces of this
# process, runs inside.sh in it, and leaves nothing.
set -eu
here=$(dirname "$(readlink -f "$0")")
root=$(mktemp -d)
trap 'umount -R "$root/proc" "$root/dev" 2>/dev/null || true; rm -rf --one-file-system "$root"' EXIT
tar -C "$root" -xf "$1" --exclude='./dev/*'
cp "$2" "$root/holdfast.deb"
cp "$here/inside.sh" "$root/inside.sh"
mkdir -p "$root/proc" "$root/dev" "$root/sys" "$root/run" "$root/tmp"
mount -t proc proc "$root/proc"
mount -t tmpfs tmpfs "$root/dev"
for d in null zero full random urandom; do
	: >"$root/dev/$d"
	mount --bind "/dev/$d" "$root/dev/$d"
done
ip link set lo up 2>/dev/null || true
env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 HOME=/root DEBIAN_FRONTEND=noninteractive chroot "$root" /bin/sh /inside.sh
