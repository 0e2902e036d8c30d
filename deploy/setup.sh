# shellcheck shell=bash
# What ./run, ./test and deploy/judges/install share: finding and installing
# what they need on Debian and Ubuntu, as root, with sudo, in a container or in
# WSL2. Sourced with the repository's root as working directory. Nothing is
# installed without saying what and how big, and no failure is hidden.

say() { printf '%s\n' "$*" >&2; }
die() { printf '%s\n' "$@" >&2; exit 1; }

as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }

# need_apt PACKAGE… installs those that are missing, and prints apt's own words
# on size before and its whole output when it fails.
need_apt() {
	local missing=() p log
	for p in "$@"; do
		dpkg-query -W -f '${db:Status-Status}' "$p" 2>/dev/null | grep -qx installed || missing+=("$p")
	done
	[ ${#missing[@]} -gt 0 ] || return 0
	command -v apt-get >/dev/null || die "this is not Debian or Ubuntu; install yourself: ${missing[*]}"
	[ "$(id -u)" = 0 ] || command -v sudo >/dev/null || die "installing needs root and there is no sudo; as root, run: apt-get install ${missing[*]}"
	log=$(mktemp)
	say "apt: fetching the list of packages"
	as_root apt-get -q update >"$log" 2>&1 || apt_failed "$log" "apt-get update"
	# A list that could not be fetched is only a warning to apt, so its words are kept.
	LC_ALL=C apt-get -s --no-install-recommends install "${missing[@]}" >>"$log" 2>&1 || apt_failed "$log" "apt-get install ${missing[*]}"
	say "apt: installing ${missing[*]} (with what they need: $(grep -c '^Inst' "$log") packages)"
	LC_ALL=C as_root apt-get --assume-no --no-install-recommends install "${missing[@]}" 2>/dev/null |
		sed -n 's/^Need to get/apt: to fetch:/p; s/^After this operation, /apt: on disk: /p' >&2 || true
	as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -y --no-install-recommends install "${missing[@]}" >>"$log" 2>&1 ||
		apt_failed "$log" "apt-get install ${missing[*]}"
	rm -f "$log"
}

apt_failed() {
	cat "$1" >&2
	rm -f "$1"
	die "" "$2 failed; what it said is above"
}

# need_go sets PATH so that a Go new enough for go.mod is found, or says which.
need_go() {
	local want have
	want=$(sed -n 's/^go //p' go.mod)
	command -v go >/dev/null || PATH=$PATH:/usr/local/go/bin:/usr/lib/go/bin
	command -v go >/dev/null || die "Go $want or newer is needed and none is installed." \
		"Get it from https://go.dev/dl/, unpack it to /usr/local, and run this again."
	have=$(go env GOVERSION 2>/dev/null) || die "Go $want or newer is needed; $(go version) refuses:" "$(go env GOVERSION 2>&1)"
	have=${have#go}
	[ "$(printf '%s\n%s\n' "$want" "$have" | sort -V | head -n 1)" = "$want" ] ||
		die "Go $want or newer is needed and this is $have." "Get it from https://go.dev/dl/, unpack it to /usr/local, and run this again."
}

# need_roots: fetching modules needs the roots of the web, which a small container lacks.
need_roots() {
	[ -n "${SSL_CERT_FILE:-}" ] || [ -e /etc/ssl/certs/ca-certificates.crt ] || need_apt ca-certificates
}

# browser prints the path of a Chromium that starts. A snap is not one: it sees
# neither our folders nor, in a container, anything at all.
browser() {
	local b
	for b in chromium google-chrome-stable google-chrome chromium-browser; do
		b=$(command -v "$b") || continue
		case $(readlink -f "$b") in *snap*) continue ;; esac
		if head -c 4096 "$b" | grep -aq /snap/; then continue; fi
		if starts "$b"; then printf '%s\n' "$b"; return 0; fi
		say "$b is installed but does not start"
	done
	return 1
}

starts() { timeout 20 "$1" --version </dev/null >/dev/null 2>&1; }

# need_browser exports HOLDFAST_BROWSER; one that the user named is used as it is.
need_browser() {
	if [ -n "${HOLDFAST_BROWSER:-}" ]; then
		starts "$HOLDFAST_BROWSER" || die "HOLDFAST_BROWSER=$HOLDFAST_BROWSER does not start (tried: $HOLDFAST_BROWSER --version)"
	elif ! HOLDFAST_BROWSER=$(browser); then
		grep -qsx 'ID=ubuntu' /etc/os-release && no_browser
		need_apt chromium
		HOLDFAST_BROWSER=$(browser) || die "Chromium was installed and still does not start; try: chromium --version"
	fi
	export HOLDFAST_BROWSER
	need_fonts
}

no_browser() {
	die "No Chromium here, and apt has none that can be used (Ubuntu gives a snap). Either install Google Chrome:" \
		"    curl -fLO https://dl.google.com/linux/direct/google-chrome-stable_current_amd64.deb" \
		"    sudo apt-get install ./google-chrome-stable_current_amd64.deb" \
		"or unpack a Chromium anywhere and name it:" \
		"    curl -fL -o chrome.zip 'https://download-chromium.appspot.com/dl/Linux_x64?type=snapshots'" \
		"    unzip -q chrome.zip && sudo apt-get install libnss3 libgbm1 libasound2t64 libatk-bridge2.0-0t64 libcups2t64 libxkbcommon0 libxcomposite1 libxdamage1 libxrandr2 libpango-1.0-0 libcairo2" \
		"    export HOLDFAST_BROWSER=\$PWD/chrome-linux/chrome" \
		"and run this again."
}

# need_fonts: a picture full of empty boxes is poor evidence. Together 25 MB to
# fetch, 60 MB on disk, and only what is not covered already. Where they cannot be
# had, that is said once and holdfast runs without them.
need_fonts() {
	local fonts=() want
	for want in en:fonts-liberation ar:fonts-noto-core hi:fonts-noto-core zh-cn:fonts-wqy-microhei ko:fonts-wqy-microhei und-zsye:fonts-noto-color-emoji; do
		fc-list ":lang=${want%%:*}" 2>/dev/null | grep -q . || fonts+=("${want#*:}")
	done
	[ ${#fonts[@]} -gt 0 ] || return 0
	mapfile -t fonts < <(printf '%s\n' "${fonts[@]}" | sort -u)
	[ "$(cat bin/without-fonts 2>/dev/null)" != "${fonts[*]}" ] || return 0
	if ! (need_apt fontconfig "${fonts[@]}"); then
		mkdir -p bin
		printf '%s\n' "${fonts[*]}" >bin/without-fonts
		say "going on without ${fonts[*]}: pages in their scripts will show empty boxes"
	fi
}
