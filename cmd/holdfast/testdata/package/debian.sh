#!/usr/bin/env bash
# debian.sh OUT.tar makes a Debian that boots and that has a browser, from the mirror that
# apt has here.
set -euo pipefail
codename=$(. /etc/os-release && printf '%s' "$VERSION_CODENAME")
mirror=$(apt-get indextargets --format '$(SITE)' "Codename: $codename" 'Created-By: Packages' | sed -n 1p)
mmdebstrap --quiet --variant=minbase --include=ca-certificates,systemd,systemd-sysv,dbus,chromium --aptopt='APT::Install-Recommends "false"' --skip=cleanup/reproducible "$codename" "$1" "$mirror"
