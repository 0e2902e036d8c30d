#!/bin/bash
# verify.sh: checks an evidence bundle of holdfast with bash, OpenSSL >= 3,
# sha256sum, xxd, awk and Info-ZIP's unzip (and sed, sort, find, cmp and their
# like of every system; it stops where one of them is missing or is another).
# It needs no network and trusts nothing in the bundle but what DIR names.
#
#   bash verify.sh [--trust DIR] [BUNDLE]
#
# BUNDLE is the ZIP file or the folder it was unpacked to (default: the folder
# of this script). DIR comes from elsewhere: `holdfast policy export --dir DIR`.
# Take this script from a release, too: the copy in a bundle proves nothing.
#
# Exit code: 0 proven, 1 contradicted, 2 usage or could not, 3 sound but not
# sealed or trust not judged, 4 sealed by a maker that DIR does not name.
#
# Names are checked before they are used; text of the bundle is only matched,
# never run; JSON is read by patterns that cannot match inside a string, because
# a quote in a string is written \" there. The format: docs/bundle.md.

# The braces make bash read the whole script first: a script that was cut short
# runs nothing.
{
set -u -o pipefail
export LC_ALL=C OPENSSL_CONF=/dev/null
unset SSL_CERT_FILE SSL_CERT_DIR GREP_OPTIONS POSIXLY_CORRECT CDPATH UNZIP UNZIPOPT ZIPINFO ZIPINFOOPT
umask 077

# die WORDS: in a part of the script that runs beside it the exit ends that part
# only, so the first reason is left in a file, and nothing is said after it.
die() {
	[ -z "$W" ] || [ -s "$W/dead" ] || printf '%s' "$*" >"$W/dead" || kill -TERM "$$"
	[ "$BASH_SUBSHELL" -eq 0 ] || exit 2
	local first=''
	[ -z "$W" ] || first=$(<"$W/dead")
	[ -z "$first" ] || [ "$first" = "$*" ] || first=": $first"
	printf 'verify.sh: %s\n' "$*${first#"$*"}" >&9
	exit 2
}
exec 9>&2 # a tool's own may go elsewhere where it dies
W='' TRUST='' BUNDLE=''
while [ $# -gt 0 ]; do
	case $1 in
	--trust) [ $# -ge 2 ] || die '--trust needs a folder'; TRUST=$2; shift ;;
	--trust=*) TRUST=${1#--trust=} ;;
	-h | --help) sed -n '2,/^$/s/^# \{0,1\}//p' "$0"; exit 0 ;;
	-*) die "unknown option $1" ;;
	*) [ -z "$BUNDLE" ] || die 'one bundle at a time'; BUNDLE=$1 ;;
	esac
	shift
done
TOOLS='openssl sha256sum xxd awk unzip sed sort find cmp comm cut grep head tail tr uniq wc xargs cat'
for tool in $TOOLS mktemp mkfifo; do
	command -v "$tool" >/dev/null || die "$tool is not installed"
done
[ "$(printf abc | sha256sum 2>/dev/null | cut -c1-64)" = ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad ] || die 'sha256sum does not work'
[ "$(printf 616263 | xxd -r -p 2>/dev/null | xxd -p 2>/dev/null)" = 616263 ] || die 'xxd does not work'
case $(openssl version) in 'OpenSSL '[3-9]*) ;; *) die 'OpenSSL 3 or later is needed' ;; esac
case $(unzip -v 2>/dev/null </dev/null) in *Info-ZIP*) ;; *) die 'unzip is not the one of Info-ZIP' ;; esac
[ "$(find / -maxdepth 0 -regex '/*' 2>/dev/null)" = / ] || die 'this find knows no -regex'
NL=$'\\\n' # a line feed for the right side of sed's s
[ -n "$BUNDLE" ] || BUNDLE=$(dirname -- "$0") || die 'the folder of this script is not known'
[ -z "$TRUST" ] || TRUST=$(cd -- "$TRUST" 2>/dev/null && pwd) || die 'the folder of --trust cannot be opened'
[ -z "$TRUST" ] || [ -f "$TRUST/policy.txt" ] || die 'no policy.txt in the folder of --trust: make it with `holdfast policy export --dir`'
# openssl takes a space or comma in some names of files for the end of the name.
case ${TMPDIR-} in *[!A-Za-z0-9._/+~-]*) export TMPDIR=/tmp ;; esac
W=$(mktemp -d) || die 'no temporary folder'
PIPED='' # see heads
trap '[ -z "$PIPED" ] || kill "$PIPED"; rm -rf -- "$W"' EXIT
trap 'exit 130' INT TERM

# --- a tool that fails or is killed ------------------------------------------
# What it has not said would be missing from a list, and a check with it. So each
# call of each tool, wherever it stands, goes through answer; and each list is
# whole, in a file, before it is walked through.
# answer TOOL STATUS: is that an answer? 141: whoever read it had enough, which
# is any error where the script was started with SIGPIPE ignored.
NOPIPE=$(trap -p PIPE)
answer() {
	[ -z "$NOPIPE" ] || [ "$2" -gt 125 ] || return "$2"
	case $1:$2 in
	*:0 | *:141 | grep:1 | cmp:1 | awk:1 | sort:1) return "$2" ;;
	openssl:*) [ "$2" -gt 125 ] || return "$2" ;; # each command has its own numbers for "no"
	unzip:[4-8] | unzip:50 | unzip:80) ;; # no memory, a full disk, stopped
	unzip:*) [ "$2" -gt 125 ] || return "$2" ;;
	esac
	die "$1 failed (exit code $2)"
}
for tool in $TOOLS; do eval "$tool() { command $tool \"\$@\"; answer $tool \$?; }"; done
# some: grep, for lists, in which nothing may be found.
some() { grep "$@" || [ $? -eq 1 ]; }
# put FILE WORDS: one more line.
put() { local to=$1; shift; printf '%s\n' "$*" >>"$to" || short; }
short() { die 'a list could not be written whole (is the folder for temporary files full?)'; }
alive() { [ ! -s "$W/dead" ] || die "$(<"$W/dead")"; }

# --- what is found -----------------------------------------------------------
BAD=0 UNSEALED=0 UNKNOWN=0 NEWER='' ZIP=''
ok() { alive; printf 'ok            %s: %s\n' "$1" "$2"; }
note() { alive; printf 'note          %s: %s\n' "$1" "$2"; }
lacks() { alive; UNSEALED=1; printf 'missing       %s: %s\n' "$1" "$2"; }
bad() { alive; BAD=$((BAD + 1)); [ "$BAD" -gt 200 ] || printf 'CONTRADICTED  %s: %s\n' "$1" "$2"; }
verdict() {
	alive
	printf '\n'
	# a file that was changed while it was read is none of which something can be said
	[ -z "$ZIP" ] || { [ -f "$ZIP" ] && [ ! "$ZIP" -nt "$W/before" ] && [ ! "$ZIP" -ot "$W/before" ]; } || die 'the file was changed while it was read: wait until it is whole, and check it again'
	if [ "$BAD" -gt 0 ]; then
		printf 'CONTRADICTED: at least one thing here cannot be what it claims to be.\n'
		exit 1
	fi
	[ -z "$NEWER" ] || die "$NEWER has a newer format: use a newer script"
	[ "${TRAINING:-false}" != true ] || printf 'TRAINING: a rehearsal, not evidence.\n'
	if [ -z "$TRUST" ]; then
		printf 'Compare the SHA-256 values above with ones that you got by another way,\nor run this again with --trust DIR.\n'
		printf 'CONSISTENT, TRUST NOT JUDGED\n'
		exit 3
	fi
	if [ "$UNSEALED" -gt 0 ]; then
		printf 'NOT SEALED: sound, but no quorum of independent timestamps confirms when all of it existed.\n'
		exit 3
	fi
	if [ "$UNKNOWN" -gt 0 ]; then
		printf 'UNATTRIBUTED: unchanged since the times above; who made it is not checked.\n'
		exit 4
	fi
	printf 'PROVEN: the keys named in DIR signed exactly these bytes, not later than the times above.\n'
	exit 0
}

# --- small tools -------------------------------------------------------------
hash() { sha256sum <"$1" | cut -c1-64; }
unhex() { xxd -r -p; }
node_hash() { printf '01%s%s' "$1" "$2" | unhex | sha256sum | cut -c1-64; }
b64() { openssl base64 -A; }
unb64() { openssl base64 -d -A; }
hex_of_b64() { printf '%s' "$1" | unb64 | xxd -p -c 256; }
is() { [[ $1 =~ ^($2)$ ]]; }
H='[0-9a-f]{64}' NODE='[a-z0-9-]{1,40}\.[0-9a-f]{16}' B64='[A-Za-z0-9+/]+={0,2}' NUM='[1-9][0-9]{0,15}'
SEAL='[0-9a-f]{16}-[0-9]{1,9}-[0-9]{20}'
# newer NUMBER WHAT: is it a version above 1? Then there is no verdict but
# "contradicted"; what is no version at all is of the wrong form.
newer() { is "$1" "$NUM" && [ "$1" -gt 1 ] && NEWER=$2; }
# between FILE FROM TO: what stands between the first FROM and the next TO.
between() {
	awk -v from="$2" -v to="$3" 'NR == 1 { i = index($0, from); if (!i) exit 1; r = substr($0, i + length(from)); j = index(r, to); if (!j) exit 1; print substr(r, 1, j - 1); found = 1 } END { exit !found }' "$1"
}
# utc MS: a time in milliseconds, for people.
utc() {
	awk -v ms="$1" 'BEGIN { s = int(ms / 1000); d = int(s / 86400); t = s - d * 86400
		z = d + 719468; era = int(z / 146097); doe = z - era * 146097
		yoe = int((doe - int(doe / 1460) + int(doe / 36524) - int(doe / 146096)) / 365)
		doy = doe - (365 * yoe + int(yoe / 4) - int(yoe / 100)); mp = int((5 * doy + 2) / 153)
		m = mp < 10 ? mp + 3 : mp - 9; y = yoe + era * 400 + (m <= 2)
		printf "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ", y, m, doy - int((153 * mp + 2) / 5) + 1, int(t / 3600), int(t % 3600 / 60), t % 60, ms % 1000 }'
}
# clock: reads lines of `openssl ts -text`, writes genTime and genTime plus
# accuracy (rounded up) in milliseconds; no accuracy counts as one second.
clock() {
	awk '/^Time stamp: / && !t { t = 1; m = (index("JanFebMarAprMayJunJulAugSepOctNovDec", $3) + 2) / 3; y = $6
			split($5, h, ":"); split(h[3], f, "."); while (length(f[2]) < 3) f[2] = f[2] "0"
			up = substr(f[2], 4) ~ /[1-9]/
			a = y - (m <= 2); era = int(a / 400); yoe = a - era * 400; mp = (m + 9) % 12
			doe = yoe * 365 + int(yoe / 4) - int(yoe / 100) + int((153 * mp + 2) / 5) + $4 - 1
			ms = ((era * 146097 + doe - 719468) * 86400 + h[1] * 3600 + h[2] * 60 + f[1]) * 1000 + substr(f[2], 1, 3)
			if ($7 != "GMT" || m != int(m)) exit 1 }
		/^Accuracy: / && !acc { acc = 1; s = num($2); i = num($4); u = num($6); plus = s * 1000 + i + (u > 0); if ($2 == "unspecified" && NF < 4) plus = 1000 }
		function num(x,  k, v) { if (x !~ /^0x[0-9A-F]+$/) return 0; for (k = 3; k <= length(x); k++) v = v * 16 + index("0123456789ABCDEF", substr(x, k, 1)) - 1; return v + 0 }
		END { if (!t || !acc) exit 1; printf "%.0f %.0f\n", ms, ms + up + plus }'
}
# from a document's time to milliseconds
ms_of() {
	printf '%s\n' "$1" | awk -F'[-T:.Z]' '{ m = $2 + 0; a = $1 - (m <= 2); era = int(a / 400); yoe = a - era * 400; mp = (m + 9) % 12
		doe = yoe * 365 + int(yoe / 4) - int(yoe / 100) + int((153 * mp + 2) / 5) + $3 - 1
		printf "%.0f", ((era * 146097 + doe - 719468) * 86400 + $4 * 3600 + $5 * 60 + $6) * 1000 + $7 }'
}

# --- the file ----------------------------------------------------------------
names_of_zip() {
	local said=0
	command unzip -tqq -- "$1" >/dev/null 2>&1 </dev/null || said=$?
	# 5 and 6 are "no memory", and also what it says of an entry that it cannot unpack
	case $said in [56]) unzip -Zv -- "$1" </dev/null | awk '/^  file security status:/ && !/not encrypted$/ || /^  compression method:/ && !/(none \(stored\)|deflated)$/ { no = 1 } END { exit no }' ||
		{ bad zip 'an entry is encrypted, or packed in a way that is not allowed'; verdict; } ;; esac
	answer unzip $said || { bad zip 'unzip finds the archive damaged'; verdict; }
	unzip -Z1 -- "$1" >"$W/zipnames" </dev/null || { bad zip 'its directory cannot be read'; verdict; }
	if grep -Evq '^(00-READ-ME-FIRST\.html|[a-z0-9._/-]{1,512})$' "$W/zipnames" || grep -Eq '(^|/)(-|\.?\.?(/|$))' "$W/zipnames"; then
		bad entry-name 'a name that is not allowed'
		verdict
	fi
	sort "$W/zipnames" | uniq -d >"$W/twice" || short
	[ ! -s "$W/twice" ] || { bad entry-duplicate 'a name is there twice'; verdict; }
	unzip -Z -l -- "$1" </dev/null | awk 'NR > 2 && /^[^0-9]/ && NF > 8 && !/^-/ { no = 1 } END { exit no }' || { bad entry-type 'a link or folder'; verdict; }
	unzip -Zt -- "$1" </dev/null | awk '{ exit !($3 <= 1032 * ($6 + 1000)) }' || { bad zip 'it would expand too far'; verdict; }
	mkdir "$W/bundle" || die 'no temporary folder'
	unzip -qq -- "$1" -d "$W/bundle" </dev/null || { bad zip 'unzip failed'; verdict; }
}
if [ -f "$BUNDLE" ]; then
	[ "$(head -c 2 -- "$BUNDLE")" = PK ] || die 'this file does not begin like a ZIP'
	case $BUNDLE in /*) ;; *) BUNDLE=$PWD/$BUNDLE ;; esac
	touch -r "$BUNDLE" "$W/before" && ZIP=$BUNDLE || die 'the file cannot be looked at'
	names_of_zip "$BUNDLE"
	BUNDLE=$W/bundle
fi
cd -- "$BUNDLE" 2>/dev/null || die 'the bundle cannot be opened'
[ -d data ] || die 'this is no bundle: it has no folder data'

find . ! -type f ! -type d -print >"$W/odd" || short
if [ -s "$W/odd" ]; then bad entry-type 'a link or special file'; verdict; fi
find . -mindepth 1 ! -path ./00-READ-ME-FIRST.html \( ! -regex '\./[a-z0-9._/-]*' -o -name '-*' -o -name '..?*' \) -print >"$W/odd" || short
if [ -s "$W/odd" ]; then
	bad entry-name 'a name that is not allowed'
	verdict
fi

# --- bag: every file is hashed once, here ------------------------------------
find data -type f | sort | tr '\n' '\0' | xargs -0 sha256sum -- >"$W/sums" || die 'a file cannot be read, or sha256sum failed'
if [ -f manifest-sha256.txt ] && cmp -s "$W/sums" manifest-sha256.txt; then ok bag "$(wc -l <"$W/sums" | tr -d ' ') files as in manifest-sha256.txt"; else bad bag 'manifest-sha256.txt does not list exactly the files under data/'; fi
find . -maxdepth 1 -type f ! -name tagmanifest-sha256.txt | sed 's|^\./||' | sort | tr '\n' '\0' | xargs -0 sha256sum -- >"$W/tags" || die 'a file cannot be read, or sha256sum failed'
[ -f tagmanifest-sha256.txt ] && cmp -s "$W/tags" tagmanifest-sha256.txt || bad bag 'tagmanifest-sha256.txt does not list exactly the files beside data/'
[ -f bagit.txt ] && printf 'BagIt-Version: 1.0\nTag-File-Character-Encoding: UTF-8\n' | cmp -s - bagit.txt || bad bag 'bagit.txt'
oxum=$(awk '{ print $2 }' "$W/sums" | tr '\n' '\0' | xargs -0 wc -c -- | awk '$2 != "total" { s += $1; n++ } END { printf "%.0f.%d", s, n }') || short
if [ ! -f bag-info.txt ]; then
	bad bag 'bag-info.txt is missing'
elif [ "$(tail -c 1 bag-info.txt | xxd -p)" != 0a ] || ! awk -v o="Payload-Oxum: $oxum" '!/^[A-Za-z-]+: ./ || /[\001-\037\177]/ { bad = 1 } tolower($0) ~ /^payload-oxum:/ { n++; if ($0 != o || NR == 1) bad = 1 } END { exit bad || n != 1 }' bag-info.txt; then
	bad bag 'bag-info.txt is not of lines `Label: value`, or has not the one right Payload-Oxum'
fi
find . -mindepth 1 -maxdepth 1 | some -Evx '\./(00-READ-ME-FIRST\.html|verify\.sh|bagit\.txt|bag-info\.txt|manifest-sha256\.txt|tagmanifest-sha256\.txt|data)' >"$W/extra" || short
[ ! -s "$W/extra" ] || bad file-extra 'a file that no bundle has beside data/'
awk '{ print $2 }' "$W/sums" | some -Ev '^data/(export\.dsse\.json|custody\.jsonl|(seals|trust)/.+|tlog/[^/]+/[^/]+|exhibits/[0-9-]+/.+)$' >"$W/extra" || short
[ ! -s "$W/extra" ] || bad file-extra 'a file in a place under data/ that no bundle has'

# --- whom to trust -----------------------------------------------------------
QUORUM=1
: >"$W/policy"
: >"$W/roots"
if [ -n "$TRUST" ]; then
	grep -Ev '^(#|$)' "$TRUST/policy.txt" >"$W/policy" || die 'policy.txt is empty'
	[ "$(head -n 1 "$W/policy")" = 'holdfast-policy 1' ] || die 'policy.txt is of another version'
	QUORUM=$(awk '$1 == "quorum" { print $2; exit }' "$W/policy")
	is "$QUORUM" "$NUM" || die 'policy.txt has no quorum'
	for f in "$TRUST"/roots/*.pem; do
		[ -f "$f" ] || continue
		put "$W/roots" "$(openssl x509 -in "$f" -noout -pubkey | openssl pkey -pubin -outform DER | sha256sum | cut -c1-64)" "$f"
	done
fi
awk '$1 == "authority"' "$W/policy" >"$W/authorities" && awk '$1 == "checkpoint"' "$W/policy" >"$W/checkpoints" || short
: >"$W/all.pem"
for f in data/trust/certs/*.pem; do
	[ -f "$f" ] || continue
	h=$(openssl x509 -in "$f" -outform DER 2>/dev/null | sha256sum | cut -c1-64)
	if [ "$f" = "data/trust/certs/$h.pem" ] && openssl x509 -in "$f" >>"$W/all.pem" 2>/dev/null; then :; else bad trust-form "$f is not the certificate that its name says"; fi
done
# NODE.keys: lines "<key id> <1 if DIR names it> <from> <until> <PEM>", NODE.logs:
# "<1 if DIR names it> <PEM>". A path stands last: it may have spaces.
mkdir "$W/nodes" && : >"$W/nodes/none.keys" || die 'no temporary folder'
load_node() {
	[ -f "$W/nodes/$1.keys" ] && return
	: >"$W/nodes/$1.keys"
	: >"$W/nodes/$1.logs"
	local entry=data/trust/nodes/$1.json id key file from until
	awk -v n="$1" '$1 == "key" && $2 == n { print $3, $4, $5 }' "$W/policy" >"$W/node.keys" || short
	while read -r id from until; do
		is "$id" "$H" && pem_is "$TRUST/keys/$id.pem" "$id" && put "$W/nodes/$1.keys" "$id 1 $from $until $TRUST/keys/$id.pem"
	done <"$W/node.keys"
	awk -v n="$1" '$1 == "node" && $2 == n { print $3 }' "$W/policy" >"$W/node.logs" || short
	while read -r id; do
		is "$id" "$H" && pem_is "$TRUST/keys/$id.pem" "$id" && log_key_is "$TRUST/keys/$id.pem" "$1" && put "$W/nodes/$1.logs" "1 $TRUST/keys/$id.pem"
	done <"$W/node.logs"
	[ -f "$entry" ] || return
	grep -q "\"name\":\"$1\"}\$" "$entry" || { bad trust-form "$entry is of another node"; return; }
	some -oE '"spki":"[^"]+"' "$entry" | cut -d'"' -f4 | some -Ex "$B64" >"$W/node.spki" || short
	while read -r key; do
		file=$W/nodes/key.$RANDOM$RANDOM.pem
		printf '%s' "$key" | unb64 | openssl pkey -pubin -inform DER -out "$file" 2>/dev/null || { bad trust-form "$entry: a key"; continue; }
		id=$(openssl pkey -pubin -in "$file" -outform DER | sha256sum | cut -c1-64)
		[ -f "data/trust/nodes/$id.pem" ] && cmp -s "$file" "data/trust/nodes/$id.pem" || bad trust-form "data/trust/nodes/$id.pem is not the key of $1"
		put "$W/nodes/$1.keys" "$id 0 0 - $file"
	done <"$W/node.spki"
	key=$(grep -oE "\"key\":\"$1\+[0-9a-f]{8}\+$B64\"" "$entry" | head -n 1 | cut -d+ -f3- | tr -d '"')
	key=$(hex_of_b64 "$key")
	is "$key" "01$H" || { bad trust-form "$entry: log key"; return; }
	file=$W/nodes/log.$RANDOM$RANDOM.pem
	printf '302a300506032b6570032100%s' "${key#01}" | unhex | openssl pkey -pubin -inform DER -out "$file" 2>/dev/null
	if log_key_is "$file" "$1"; then put "$W/nodes/$1.logs" "0 $file"; else bad trust-form "$entry: the name is not made from the log key"; fi
}
pem_is() { [ -f "$1" ] && [ "$(openssl pkey -pubin -in "$1" -outform DER 2>/dev/null | sha256sum | cut -c1-64)" = "$2" ]; }
raw_key() { openssl pkey -pubin -in "$1" -outform DER | tail -c 32 | xxd -p -c 64; }
log_key_is() { [ "$(raw_key "$1" | unhex | sha256sum | cut -c1-16)" = "${2##*.}" ]; }

# Every entry is looked at, and no key of none rides along. (Keys that only the
# bundle names have a 0.)
for f in data/trust/nodes/*.json; do
	[ -f "$f" ] || continue
	n=${f##*/}
	if is "${n%.json}" "$NODE"; then load_node "${n%.json}"; else bad trust-form "$f is no entry of a node"; fi
done
for f in data/trust/nodes/*.pem; do
	[ -f "$f" ] || continue
	n=${f##*/}
	grep -qs "^${n%.pem} 0 " "$W"/nodes/*.keys || bad trust-form "$f is a key of no entry here"
done

# --- DSSE --------------------------------------------------------------------
# envelope FILE TYPE OUT: leaves OUT.b64, OUT.payload, OUT.sigb64, OUT.sig and
# OUT.pae, if FILE is exactly one envelope of that type.
envelope() {
	awk -F'"' -v out="$3" 'NR == 1 && NF == 15 { printf "%s", $4 >(out ".b64"); printf "%s", $14 >(out ".sigb64"); found = 1 } END { exit !(found && NR == 1) }' "$1" || return 1
	[ -s "$3.sigb64" ] && grep -Eqx "$B64" "$3.sigb64" && grep -Eqx "$B64" "$3.b64" || return 1
	{ printf '{"payload":"'; cat "$3.b64"; printf '","payloadType":"%s","signatures":[{"sig":"' "$2"; cat "$3.sigb64"; printf '"}]}'; } | cmp -s - "$1" || return 1
	unb64 <"$3.b64" >"$3.payload" && unb64 <"$3.sigb64" >"$3.sig" || return 1
	b64 <"$3.payload" | cmp -s - "$3.b64" && b64 <"$3.sig" | cmp -s - "$3.sigb64" || return 1
	{ printf 'DSSEv1 %d %s %d ' "${#2}" "$2" "$(wc -c <"$3.payload")"; cat "$3.payload"; } >"$3.pae"
}
# signer OUT NODE: sets KEY, KEYPEM, KNOWN, FROM and UNTIL.
signer() {
	load_node "$2"
	while read -r KEY KNOWN FROM UNTIL KEYPEM; do
		openssl pkey -pubin -in "$KEYPEM" -noout -text 2>/dev/null | grep -q 'prime256v1' || continue
		openssl dgst -sha256 -verify "$KEYPEM" -signature "$1.sig" "$1.pae" >/dev/null 2>&1 && return 0
	done <"$W/nodes/$2.keys"
	return 1
}

# --- export statement --------------------------------------------------------
# exporter PAYLOAD NODE: is the signer in DIR, and was its key good at the
# stated time?
exporter() {
	local at
	if [ "$KNOWN" != 1 ]; then
		UNKNOWN=1
		[ -z "$TRUST" ] || note key-unknown "key $KEY of $2, which signed the export statement, is not in DIR"
		return
	fi
	at=$(ms_of "$(grep -oE '"exported":"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]{8}\.[0-9]{3}Z","files":' "$1" | tail -n 1 | cut -d'"' -f4)")
	if [ "$at" -lt "$FROM" ] || { [ "$UNTIL" != - ] && [ "$at" -ge "$UNTIL" ]; }; then
		bad key-period "key $KEY was not valid at the stated time of the export"
	elif ended "$KEY" "$at"; then
		UNKNOWN=1
		note key-period "key $KEY, which signed the export statement, had ended as one of another node: who exports with it since is not checked"
	fi
}
# ended KEY MS: had it ended then under any node of DIR? Nodes may share a key.
ended() { awk -v k="$1" -v t="$2" '$1 == "key" && $3 == k && $5 != "-" && t + 0 >= $5 + 0 { f = 1 } END { exit !f }' "$W/policy"; }
: >"$W/exhibits"
: >"$W/withheld"
: >"$W/gone"
: >"$W/counted"
: >"$W/newer"
export_statement() {
	local x=$W/export tail list
	[ -f data/export.dsse.json ] || { bad export-missing 'nothing says what this bundle holds'; return; }
	envelope data/export.dsse.json application/vnd.holdfast.export+json "$x" || { bad export-form 'not an envelope of an export statement'; return; }
	# Members named version and node stand in the statement's own object alone.
	local version node
	version=$(grep -oE '"version":[0-9]+[,}]' "$x.payload" | tail -n 1 | tr -cd 0-9)
	node=$(grep -oE "\"node\":\"$NODE\"" "$x.payload" | tail -n 1 | cut -d'"' -f4)
	is "$node" "$NODE" || { bad export-form 'no node'; return; }
	if newer "$version" 'the bundle'; then
		signer "$x" "$node" || bad export-signature "no key of $node signed the export statement"
		return
	fi
	tail=$(grep -oE "\"kind\":\"export\",\"node\":\"$NODE\",\"training\":(true|false),\"version\":1,\"withheld\":\[" "$x.payload" | tail -n 1)
	[[ $tail =~ \"training\":(true|false), ]] || { bad export-form 'no node or version'; return; }
	TRAINING=${BASH_REMATCH[1]}
	for list in cases custody exhibits files withheld; do
		[ "$(grep -oF "\"$list\":[" "$x.payload" | wc -l)" -eq 1 ] || { bad export-form "not one list of $list"; return; }
	done
	between "$x.payload" '"files":[' ']' >"$W/files.json" && between "$x.payload" '"exhibits":[' ']' >"$W/exhibits.json" || { bad export-form 'no list of files or exhibits'; return; }
	if signer "$x" "$node"; then
		ok export-signature "by key $KEY of $node (stated)"
		exporter "$x.payload" "$node"
	else
		bad export-signature "no key of $node signed the export statement"
	fi
	# "<case> <manifest>" of all that is counted. A quote in a name is written \".
	between "$x.payload" '"cases":[' '],"custody":[' >"$W/cases.json" || { bad export-form 'no list of cases'; return; }
	sed "s/{\"captures\":\[/$NL&$NL/g; s/\"sha256:/$NL&/g; s/\],\"case\":\"/$NL&/g" "$W/cases.json" | awk '
		/^[{]"captures":\[$/ { open = 1; n = 0; next }
		open && /^"sha256:[0-9a-f]*",?$/ { list[n++] = substr($0, 9, 64); next }
		open && /^\],"case":"/ { open = 0; for (i = 0; i < n; i++) print substr($0, 11, 32), list[i] }' >"$W/counted" || short
	some -oE '\],"case":"[0-9a-f]{32}"' "$x.payload" | sort | uniq -d >"$W/twice" || short
	[ ! -s "$W/twice" ] || bad export-form 'a case is there twice'
	# files
	tr '{' '\n' <"$W/files.json" | sed '/^$/d; s/},\{0,1\}$//' >"$W/files.lines" || short
	if grep -Evq "^\"digest\":\"sha256:$H\",\"path\":\"data/[a-z0-9._/-]+\",\"size\":(0|$NUM)\$" "$W/files.lines"; then bad export-form 'the list of files'; return; fi
	awk -F'"' '{ print substr($4, 8) "  " $8 }' "$W/files.lines" >"$W/files.sums" || short
	sort -c -k 2 "$W/files.sums" 2>/dev/null || bad export-form 'the list of files is not sorted'
	awk '$2 != "data/export.dsse.json"' "$W/sums" | sort >"$W/have" && sort "$W/files.sums" >"$W/want" || short
	cmp -s "$W/have" "$W/want" || bad file-digest "$(comm -3 "$W/have" "$W/want" | awk '{ print $2 }' | sort -u | head -n 5 | tr '\n' ' ')are not as the export statement lists them"
	awk -F'"' '{ sub(/^:/, "", $11); print $11, $8 }' "$W/files.lines" | sort >"$W/want.sizes" || short
	awk '$2 != "data/export.dsse.json" { print $2 }' "$W/sums" | tr '\n' '\0' | xargs -0 wc -c -- | awk '$2 != "total" { print $1, $2 }' | sort >"$W/have.sizes" || short
	cmp -s "$W/have.sizes" "$W/want.sizes" || bad file-digest 'a size is not as the export statement says'
	# exhibits
	tr '{' '\n' <"$W/exhibits.json" | sed '/^$/d; s/},\{0,1\}$//' >"$W/exhibits.lines" || short
	if grep -Evq "^\"capture\":\"[0-9a-f]{32}\",\"manifest\":\"sha256:$H\",\"number\":\"($NUM-)?$NUM\",\"seal\":\"($SEAL)?\"\$" "$W/exhibits.lines"; then bad export-form 'the list of exhibits'; return; fi
	[ -s "$W/exhibits.lines" ] || { bad export-form 'no exhibit'; return; }
	awk -F'"' '{ print $4, substr($8, 8), $12, ($16 == "" ? "-" : $16) }' "$W/exhibits.lines" >"$W/exhibits" && awk '{ print $3 }' "$W/exhibits" | sort | uniq -d >"$W/twice" || short
	[ ! -s "$W/twice" ] || bad export-form 'an exhibit number is there twice'
	awk '{ print $1, $2 }' "$W/exhibits" | sort -u | awk '{ print $1 }' | uniq -d >"$W/twice" || short
	[ ! -s "$W/twice" ] || bad capture-twice 'one capture with two manifests'
	sed "s/{\"digest\":\"sha256:/$NL&/g" "$x.payload" | some -oE "^\{\"digest\":\"sha256:$H\",\"exhibit\":\"[0-9-]+\",\"name\":\"[a-z0-9._-]+\",\"reason\":\"[^\"]+" | awk -F'"' '{ r = "-"; if (index($16, "erased by order") == 1) { r = "?"; if ($16 ~ /^erased by order, line [1-9][0-9]* of chain [0-9a-f]+$/) { split($16, f, " "); r = f[5] ":" f[8] } } print substr($4, 8), $8, $12, r }' >"$W/withheld" && awk '{ print $2, $3 }' "$W/withheld" | sort | uniq -d >"$W/twice" || short
	[ ! -s "$W/twice" ] || bad export-form 'an object is stated as withheld twice'
	between "$x.payload" '"custody":[' ']' >"$W/custody.json" || bad export-form 'no custody heads'
}
export_statement
[ -z "$NEWER" ] || verdict # nothing of it can be read, except that it is signed

# --- seals -------------------------------------------------------------------
tree() { put "$W/trees" "$1 $2 $3"; } # origin size root
: >"$W/trees"
: >"$W/heads"
# checkpoint FILE ORIGIN: sets SIZE, ROOT and LOGKNOWN.
checkpoint() {
	local key size root line sig raw
	{ IFS= read -r line && IFS= read -r size && IFS= read -r root && IFS= read -r sig; } <"$1" || return 1
	[ "$line" = "$2" ] && is "$size" "$NUM" && is "$root" "$B64" && [ -z "$sig" ] || return 1
	ROOT=$(hex_of_b64 "$root")
	is "$ROOT" "$H" && [ "$(printf '%s' "$ROOT" | unhex | b64)" = "$root" ] || return 1
	SIZE=$size
	printf '%s\n%s\n%s\n' "$2" "$size" "$root" >"$W/note"
	sed -n '5,$p' "$1" | some -E "^— $2 $B64\$" >"$W/note.sigs" || short
	load_node "$2"
	while read -r LOGKNOWN key; do
		raw=$(raw_key "$key")
		while IFS= read -r sig; do
			sig=$(hex_of_b64 "${sig##* }")
			[ "${#sig}" -eq 136 ] && [ "${sig:0:8}" = "$({ printf '%s\n\001' "$2"; printf '%s' "$raw" | unhex; } | sha256sum | cut -c1-8)" ] || continue
			printf '%s' "${sig:8}" | unhex >"$W/note.sig"
			openssl pkeyutl -verify -pubin -inkey "$key" -rawin -in "$W/note" -sigfile "$W/note.sig" >/dev/null 2>&1 && return 0
		done <"$W/note.sigs"
	done <"$W/nodes/$2.logs"
	return 1
}
# hashes FILE REGEX: prints the proof's hashes in hex if FILE is of that form.
hashes() {
	grep -Eqx "\{$2\}" "$1" && [ "$(wc -l <"$1")" -eq 0 ] && [ "$(wc -c <"$1")" -lt 8000 ] || return 1
	local h
	for h in $(between "$1" '"hashes":[' ']' | tr -d '"' | tr ',' ' '); do
		h=$(hex_of_b64 "$h")
		is "$h" "$H" || return 1
		printf '%s\n' "$h"
	done
}
HASHES="\"hashes\":\[(\"$B64\"(,\"$B64\")*)?\]"
# included LEAF INDEX SIZE ROOT <hashes: RFC 9162 section 2.1.3.2.
included() {
	local r=$1 fn=$2 sn=$(($3 - 1)) p
	[ "$fn" -le "$sn" ] || return 1
	while read -r p; do
		[ "$sn" -gt 0 ] || return 1
		if [ $((fn & 1)) -eq 1 ] || [ "$fn" -eq "$sn" ]; then
			r=$(node_hash "$p" "$r")
			while [ $((fn & 1)) -eq 0 ] && [ "$fn" -gt 0 ]; do fn=$((fn >> 1)) sn=$((sn >> 1)); done
		else
			r=$(node_hash "$r" "$p")
		fi
		fn=$((fn >> 1)) sn=$((sn >> 1))
	done
	[ "$sn" -eq 0 ] && [ "$r" = "$4" ]
}
# grown FROM ROOT TO ROOT <hashes: RFC 9162 section 2.1.4.2.
grown() {
	local fn=$(($1 - 1)) sn=$(($3 - 1)) fr='' sr='' p
	[ $(($1 & ($1 - 1))) -ne 0 ] || { fr=$2 sr=$2; }
	while [ $((fn & 1)) -eq 1 ]; do fn=$((fn >> 1)) sn=$((sn >> 1)); done
	while read -r p; do
		if [ -z "$fr" ]; then fr=$p sr=$p; continue; fi
		[ "$sn" -gt 0 ] || return 1
		if [ $((fn & 1)) -eq 1 ] || [ "$fn" -eq "$sn" ]; then
			fr=$(node_hash "$p" "$fr") sr=$(node_hash "$p" "$sr")
			while [ $((fn & 1)) -eq 0 ] && [ "$fn" -gt 0 ]; do fn=$((fn >> 1)) sn=$((sn >> 1)); done
		else
			sr=$(node_hash "$sr" "$p")
		fi
		fn=$((fn >> 1)) sn=$((sn >> 1))
	done
	[ "$sn" -eq 0 ] && [ "$fr" = "$2" ] && [ "$sr" = "$4" ]
}
# token FILE HASH WHO: is it sound? Sets GEN, LATEST and POLICY; prints what is
# wrong as "<finding> <detail>" into $W/why.
token() {
	openssl ts -reply -token_in -in "$1" -text >"$W/token.text" 2>/dev/null && clock <"$W/token.text" >"$W/clock" && read -r GEN LATEST <"$W/clock" || { echo 'timestamp-form it cannot be read' >"$W/why"; return 1; }
	POLICY=$(awk '/^Policy OID: / { print $3; exit }' "$W/token.text")
	# Any certificate is taken as an anchor here, at any time: only the token's
	# own signature, its signer's purpose and the imprint are looked at.
	openssl cms -verify -noverify -no-CAfile -no-CApath -no-CAstore -inform DER -in "$1" -certfile "$W/all.pem" -signer "$W/leaf.pem" -out /dev/null 2>/dev/null || { echo 'timestamp-signature its signature does not verify' >"$W/why"; return 1; }
	openssl cms -cmsout -print -noout -inform DER -in "$1" 2>/dev/null | awk '/signerInfos:/ { s = 1 } s && /digestAlgorithm:/ { getline; exit !/sha(256|384|512) / }' || { echo 'timestamp-signature weak algorithm' >"$W/why"; return 1; }
	if ! openssl ts -verify -token_in -in "$1" -digest "$2" -partial_chain -no_check_time -auth_level 2 -CAfile "$W/leaf.pem" >/dev/null 2>"$W/ts.err"; then
		if grep -q imprint "$W/ts.err"; then echo 'timestamp-imprint it is for other bytes'; else echo 'timestamp-signature it does not verify'; fi >"$W/why"
		return 1
	fi
}
# counted FILE HASH: prints the operator for whom the sound token counts.
counted() {
	local op root issuer oid from until file why=authority-unknown
	{ openssl pkcs7 -inform DER -in "$1" -print_certs 2>/dev/null | sed -n '/^-----BEGIN/,/^-----END/p'; cat "$W/all.pem"; } >"$W/chain.pem" || short
	while read -r _ op root issuer oid from until; do
		awk -v r="$root" '$1 == r { print substr($0, 66) }' "$W/roots" >"$W/roots.of" || short
		while read -r file; do
			openssl ts -verify -token_in -in "$1" -digest "$2" -attime "$((GEN / 1000))" -auth_level 2 -CAfile "$file" -untrusted "$W/chain.pem" >/dev/null 2>"$W/ts.err" || { grep -q expired "$W/ts.err" && why=timestamp-expired; continue; }
			[ "$oid" = - ] || [ "$oid" = "$POLICY" ] || continue
			[ "$issuer" = - ] || issued "$issuer" "$file" || continue
			if [ "$GEN" -lt "$from" ] || { [ "$until" != - ] && [ "$GEN" -ge "$until" ]; }; then why=authority-period; continue; fi
			printf '%s\n' "$op"
			return 0
		done <"$W/roots.of"
	done <"$W/authorities"
	printf '%s\n' "$why" >"$W/why"
	return 1
}
# issued SPKI ROOT: did a CA of that key sign the token's signer?
issued() {
	local i=0
	rm -f "$W"/ca.* && cat "$2" "$W/chain.pem" | awk -v w="$W" '/^-----BEGIN CERT/ { n++ } n { print >(w "/ca." n) }' || short
	for i in "$W"/ca.*; do
		[ "$(openssl x509 -in "$i" -noout -pubkey 2>/dev/null | openssl pkey -pubin -outform DER 2>/dev/null | sha256sum | cut -c1-64)" = "$1" ] || continue
		openssl verify -partial_chain -attime "$((GEN / 1000))" -no-CAfile -no-CApath -no-CAstore -trusted "$i" "$W/leaf.pem" >/dev/null 2>&1 && return 0
	done
	return 1
}
untrusted_root() { # names the root that a token's chain ends in, for people
	local f
	{ openssl pkcs7 -inform DER -in "$1" -print_certs 2>/dev/null | sed -n '/^-----BEGIN/,/^-----END/p'; cat "$W/all.pem"; } >"$W/chain.pem" || short
	for f in data/trust/certs/*.pem; do
		[ -f "$f" ] && openssl ts -verify -token_in -in "$1" -digest "$2" -attime "$((GEN / 1000))" -CAfile "$f" -untrusted "$W/chain.pem" >/dev/null 2>&1 || continue
		put "$W/used" "$(openssl x509 -in "$f" -noout -pubkey | openssl pkey -pubin -outform DER | sha256sum | cut -c1-64)" "$(openssl x509 -in "$f" -noout -subject -nameopt esc_ctrl,esc_msb,utf8,oneline | tr -cd ' -~' | cut -c1-160)"
		return
	done
}
der_wrap() { # a bare token as TimeStampResp, in base64
	local n=$(($(wc -c <"$1") + 5)) len
	if [ "$n" -lt 128 ]; then len=$(printf '%02x' "$n"); elif [ "$n" -lt 256 ]; then len=$(printf '81%02x' "$n"); elif [ "$n" -lt 65536 ]; then len=$(printf '82%04x' "$n"); else len=$(printf '83%06x' "$n"); fi
	{ printf '30%s3003020100' "$len" | unhex; cat "$1"; } | b64
}
seal() {
	local d=data/seals/$1 s=$W/seal head n op at f origin size known=0 logged=0 imprint leaf body
	rm -f "$W"/seal.* "$W"/times || short # what an older one has left would count for this one
	[ -f "$d/statement.dsse.json" ] || { bad seal-parts "seal $1: statement.dsse.json is missing"; return; }
	find "$d" -type f | sed "s|^$d/||" >"$s.parts" || short
	if grep -Evq "^(statement\.dsse\.json|seal\.sigstore\.json|notbefore\.tst|checkpoint/$NODE/$NUM|inclusion/$NODE/$NUM\.json|timestamps/[a-z0-9][a-z0-9-]{0,39}/$H\.tst)\$" "$s.parts"; then bad seal-parts "seal $1: a part that no seal has"; return; fi
	envelope "$d/statement.dsse.json" application/vnd.in-toto+json "$s" || { bad statement-form "seal $1: not an envelope"; return; }
	[ "$(grep -c '^timestamps/' "$s.parts")" -le 64 ] || { bad seal-parts "seal $1: more than 64 timestamps"; return; }
	# numbers named version stand in the predicate alone, and once
	n=$(grep -oE '"version":[0-9]+[,}]' "$s.payload" | head -n 1 | tr -cd 0-9)
	if newer "$n" "seal $1"; then
		put "$W/newer" "$1"
		n=$(grep -oE "\"node\":\"$NODE\"" "$s.payload" | head -n 1 | cut -d'"' -f4)
		is "$n" "$NODE" && signer "$s" "$n" || bad statement-signature "seal $1: no key of its node made it"
		return
	fi
	[ "$n" = 1 ] || { bad statement-form "seal $1: no version"; return; }
	head=$(head -c 4096 "$s.payload")
	local tree="\"checkpoint\":\{\"origin\":\"($NODE)\",\"root\":\"sha256:($H)\",\"size\":($NUM)\}"
	local nbr="\"notBefore\":(null|\{\"digest\":\"sha256:($H)\",\"time\":\"([0-9T:.Z-]{24})\"\})"
	[[ $head =~ ^\{\"_type\":\"https://in-toto\.io/Statement/v1\",\"predicate\":\{$tree,\"config\":\"sha256:$H\",\"count\":($NUM),\"kind\":\"seal\",\"node\":\"($NODE)\",$nbr,\"seal\":\"$1\",\"software\":\{ ]] || { bad statement-form "seal $1: predicate"; return; }
	local porigin=${BASH_REMATCH[1]} psize=${BASH_REMATCH[3]} count=${BASH_REMATCH[4]} node=${BASH_REMATCH[5]} nbdigest=${BASH_REMATCH[7]-} nbtime=${BASH_REMATCH[8]-}
	tree "$porigin" "$psize" "${BASH_REMATCH[2]}"
	between "$s.payload" '"predicateType":"urn:holdfast:seal:v1","subject":[' ']}' | sed "s/},{\"digest/}$NL{\"digest/g" >"$s.lines" || { bad statement-form "seal $1: subjects"; return; }
	grep -Evq "^\{\"digest\":\{\"sha256\":\"$H\"\},\"name\":\"[0-9]+\"\}\$" "$s.lines" && { bad statement-form "seal $1: subjects"; return; }
	awk -F'"' -v c="$count" '$10 != NR - 1 || ($6 "") <= (last "") { exit 1 } { last = $6; print $6 } END { if (NR != c || NR > 1024) exit 1 }' "$s.lines" >"$W/subjects.$1" || { bad statement-form "seal $1: number or order of subjects"; return; }
	n=$(grep -oE '"training":(true|false),"version":1\}' "$s.payload" | head -n 1 | cut -d: -f2 | cut -d, -f1)
	put "$W/subjects.$1" "training:$n"
	[ "$n" = false ] || TRAINING=true
	signer "$s" "$node" || { bad statement-signature "seal $1: no key of $node made it"; return; }
	ok statement-signature "seal $1: key $KEY of $node"
	local key=$KEY pem=$KEYPEM keyknown=$KNOWN from=$FROM until=$UNTIL
	put "$W/used" "key $key of node $node"

	# the log
	local spki
	spki=$(openssl pkey -pubin -in "$pem" -outform DER | b64)
	body=$(printf '{"apiVersion":"0.0.2","kind":"hashedrekord","spec":{"hashedRekordV002":{"data":{"algorithm":"SHA2_256","digest":"%s"},"signature":{"content":"%s","verifier":{"keyDetails":"PKIX_ECDSA_P256_SHA_256","publicKey":{"rawBytes":"%s"}}}}}}' \
		"$(hash "$s.pae" | unhex | b64)" "$(cat "$s.sigb64")" "$spki")
	leaf=$({ printf '\000'; printf '%s' "$body"; } | sha256sum | cut -c1-64)
	[ "$(grep -c '^checkpoint/' "$s.parts")" = "$(grep -c '^inclusion/' "$s.parts")" ] || bad seal-parts "seal $1: a checkpoint without its proof"
	some '^checkpoint/' "$s.parts" | sort >"$s.checkpoints" && some '^timestamps/' "$s.parts" | sort >"$s.stamps" || short
	while IFS=/ read -r _ origin size; do
		f=$d/inclusion/$origin/$size.json
		[ -f "$f" ] || { bad seal-parts "seal $1: a checkpoint without its proof"; continue; }
		checkpoint "$d/checkpoint/$origin/$size" "$origin" && [ "$SIZE" = "$size" ] || { bad checkpoint-signature "seal $1: $origin/$size"; continue; }
		tree "$origin" "$size" "$ROOT"
		newer "$(grep -oE '"version":[0-9]+[,}]' "$f" | head -n 1 | tr -cd 0-9)" "seal $1" && put "$W/newer" "$1" && return
		n=$(grep -oE '"index":[0-9]+' "$f" | head -n 1 | cut -d: -f2)
		if ! hashes "$f" "$HASHES,\"index\":$NUM,\"kind\":\"inclusion\",\"size\":$size,\"version\":1" >"$s.proof" || ! included "$leaf" "$n" "$size" "$ROOT" <"$s.proof" || { [ "$origin" = "$porigin" ] && [ "$n" -lt "$psize" ]; }; then
			bad inclusion "seal $1: it is not in log $origin of size $size"
			continue
		fi
		ok inclusion "seal $1: entry $n of log $origin"
		logged=1
		[ "$LOGKNOWN" = 1 ] && known=1
		put "$s.logged" "$origin $size $n"
	done <"$s.checkpoints"
	[ "$logged" = 1 ] || lacks inclusion "seal $1: it is in no log"

	# the timestamps
	imprint=$(hash "$s.sig")
	: >"$W/times"
	while read -r f; do
		n=${f##*/}
		[ "$(hash "$d/$f")" = "${n%.tst}" ] || { bad seal-parts "seal $1: $f is not named by its SHA-256"; continue; }
		if ! token "$d/$f" "$imprint"; then bad "$(cut -d' ' -f1 <"$W/why")" "seal $1: $f: $(cut -d' ' -f2- <"$W/why")"; continue; fi
		put "$s.tokens" "${n%.tst} $f"
		case $f in timestamps/own/*) note own-token "seal $1: the node's own clock says $(utc "$GEN")"; continue ;; esac
		if [ -z "$TRUST" ]; then
			untrusted_root "$d/$f" "$imprint"
			ok timestamp "seal $1: $f says $(utc "$GEN"); by whom is not judged"
		elif op=$(counted "$d/$f" "$imprint"); then
			put "$W/times" "$op $LATEST"
			ok timestamp "seal $1: $(awk -v o="$op" '$1 == "operator" && $2 == o { sub(/^operator [^ ]+ /, ""); print; exit }' "$W/policy") says $(utc "$GEN")"
		else
			note "$(cat "$W/why")" "seal $1: $f does not count"
		fi
	done <"$s.stamps"
	at=$(sort -k 2n "$W/times" | awk '!seen[$1]++ { print $2 }' | sed -n "${QUORUM}p")
	if [ -n "$at" ]; then
		ok quorum "seal $1: not later than $(utc "$at")"
	elif [ -n "$TRUST" ]; then
		lacks quorum "seal $1: $(awk '{ print $1 }' "$W/times" | sort -u | wc -l | tr -d ' ') of $QUORUM operators"
	fi
	if [ "$keyknown" = 1 ]; then
		if [ -n "$at" ] && { [ "$at" -lt "$from" ] || { [ "$until" != - ] && [ "$at" -ge "$until" ]; }; }; then
			bad key-period "seal $1: key $key was not valid then"
		elif [ -n "$at" ] && ended "$key" "$at"; then
			UNKNOWN=1
			note key-period "seal $1: key $key had ended as one of another node: who seals with it since is not checked"
		fi
		[ "$known" = 1 ] || [ "$logged" = 0 ] || { UNKNOWN=1; note key-unknown "seal $1: it is only in logs that DIR does not name"; }
	else
		UNKNOWN=1
		[ -z "$TRUST" ] || note key-unknown "seal $1: key $key of $node is not in DIR"
	fi

	# the older token
	if [ -n "$nbdigest" ] && [ -f "$d/notbefore.tst" ]; then
		n=$(openssl ts -reply -token_in -in "$d/notbefore.tst" -text 2>/dev/null | awk '/^Message data:/ { m = 1; next } m && /^    00/ { s = substr($0, 12, 49); gsub(/[ -]/, "", s); printf "%s", s; next } m { exit }')
		if [ "$(hash "$d/notbefore.tst")" != "$nbdigest" ] || ! is "$n" "$H" || ! token "$d/notbefore.tst" "$n" || [ "$GEN" != "$(ms_of "$nbtime")" ]; then
			bad not-before-token "seal $1: notbefore.tst is not the token that the statement names"
		elif [ -n "$at" ] && [ "$at" -lt $((GEN - 60000)) ]; then
			bad not-before "seal $1: older than the token that it names"
		fi
	elif [ -n "$nbdigest" ] || [ -f "$d/notbefore.tst" ]; then
		bad not-before-token "seal $1: notbefore.tst and the statement do not agree"
	fi

	# seal.sigstore.json says the same as the parts
	[ "$logged" = 1 ] || { [ ! -f "$d/seal.sigstore.json" ] || bad seal-parts "seal $1: seal.sigstore.json without a log"; return; }
	sigstore "$1" "$d" "$s" "$key" "$body" || bad seal-parts "seal $1: seal.sigstore.json does not say the same as the parts"
}
# sigstore ID DIR SEAL KEY BODY: assembles the document anew and compares.
sigstore() {
	local f=$2/seal.sigstore.json h name list='' origin size n cp log last=''
	[ -f "$f" ] || return 1
	origin=$(grep -oE '"envelope":"[a-z0-9.-]+' "$f" | head -n 1 | cut -d'"' -f4)
	size=$(grep -oE '"treeSize":"[0-9]+"' "$f" | head -n 1 | cut -d'"' -f4)
	is "$origin" "$NODE" && is "$size" "$NUM" && n=$(awk -v o="$origin" -v s="$size" '$1 == o && $2 == s { print $3; exit }' "$3.logged") && [ -n "$n" ] || return 1
	: >>"$3.tokens"
	sort "$3.tokens" >"$3.sorted" && some -oE "\"signedTimestamp\":\"$B64\"" "$f" | cut -d'"' -f4 >"$3.named" || short
	: >"$3.wrapped"
	while read -r h name; do put "$3.wrapped" "$h $(der_wrap "$2/$name")"; done <"$3.sorted"
	while read -r name; do
		h=$(awk -v w="$name" '$2 == w { print $1; exit }' "$3.wrapped")
		[ -n "$h" ] && [[ $h > $last ]] || return 1
		last=$h
		list="$list${list:+,}{\"signedTimestamp\":\"$name\"}"
	done <"$3.named"
	checkpoint "$2/checkpoint/$origin/$size" "$origin" || return 1
	cp=$(awk '{ printf "%s\\n", $0 }' "$2/checkpoint/$origin/$size")
	read -r _ log <"$W/nodes/$origin.logs"
	log=$({ printf '%s\n\001' "$origin"; raw_key "$log" | unhex; } | sha256sum | cut -c1-64 | unhex | b64)
	{
		printf '{"dsseEnvelope":'
		cat "$2/statement.dsse.json"
		printf ',"mediaType":"application/vnd.dev.sigstore.bundle.v0.3+json","verificationMaterial":{"publicKey":{"hint":"%s"},"timestampVerificationData":{"rfc3161Timestamps":[%s]},"tlogEntries":[{' "$4" "$list"
		printf '"canonicalizedBody":"%s","inclusionProof":{"checkpoint":{"envelope":"%s"},"hashes":[%s],' "$(printf '%s' "$5" | b64)" "$cp" "$(between "$2/inclusion/$origin/$size.json" '"hashes":[' ']')"
		printf '"logIndex":"%s","rootHash":"%s","treeSize":"%s"},"kindVersion":{"kind":"hashedrekord","version":"0.0.2"},"logId":{"keyId":"%s"},"logIndex":"%s"}]}}' "$n" "$(printf '%s' "$ROOT" | unhex | b64)" "$size" "$log" "$n"
	} | cmp -s - "$f"
}
: >"$W/used"
awk '$4 != "-" { print $4 }' "$W/exhibits" | sort -u >"$W/seals" || short
while read -r id; do
	seal "$id"
done <"$W/seals"
: >"$W/folders"
[ ! -d data/seals ] || find data/seals -mindepth 1 -maxdepth 1 | sed 's|.*/||' >"$W/folders" || short
while read -r id; do
	awk -v s="$id" '$4 == s { f = 1 } END { exit !f }' "$W/exhibits" || bad seal-parts "no exhibit has the seal ${id:0:60}"
done <"$W/folders"

# --- exhibits ----------------------------------------------------------------
# One pass over all manifests: it prints "<ok|bad|note|lacks> <finding> <text>",
# and "slice <number> <object> <region>" for objects of which parts are shown.
cat >"$W/exhibits.awk" <<'AWK'
function say(kind, finding, text) { printf "%s\t%s\t%s\n", kind, finding, text }
function hex(s, n) { return length(s) == n && s !~ /[^0-9a-f]/ }
# after: what follows prefix in s, or "" with BAD set
function after(s, prefix) { if (substr(s, 1, length(prefix)) != prefix) { BAD = 1; return "" } return substr(s, length(prefix) + 1) }
function upto(s, mark,  k) { k = index(s, mark); return k ? substr(s, 1, k - 1) : s }
FILENAME == SUMS { sum[$2] = $1; next }
FILENAME == NEWER { newer[$1] = 1; next }
FILENAME == COUNTED { counted[$1, $2] = 1; next }
FILENAME == WITHHELD { held[$1, $2, $3] = 1; heldname[$2, $3] = 1; erased[$2, $3] = $4; next }
{ exhibit($1, $2, $3, $4) }
function subjects(seal,  f, d) {
	if (loaded[seal]++) return
	f = W "/subjects." seal
	while ((getline d <f) > 0) subject[seal, d] = 1
	close(f)
}
function exhibit(capture, digest, number, seal,  dir, got, line, more, rest, k, n, part, h, name, tail) {
	dir = "data/exhibits/" number "/"
	known[number] = 1
	got = sum[dir "manifest.json"]
	if (got == "") { say("bad", "manifest-missing", "exhibit " number); return }
	if (got != digest) { say("bad", "manifest-digest", "exhibit " number); return }
	line = ""
	k = (getline line <(dir "manifest.json"))
	more = (getline rest <(dir "manifest.json"))
	close(dir "manifest.json")
	if (k != 1 || more != 0) { say("bad", "manifest-form", "exhibit " number ": more than one line"); return }
	n = match(line, /"version":[0-9]+[,}]/) ? substr(line, RSTART + 10, RLENGTH - 11) : ""
	if (n ~ /^[1-9][0-9]*$/ && length(n) < 17 && n != "1") {
		newer[number] = 1
		say("newer", "manifest-form", "exhibit " number)
		if (seal == "-" || seal in newer) return
		subjects(seal)
		if (!((seal, digest) in subject)) say("bad", "subject-missing", "exhibit " number ": seal " seal " does not name its manifest")
		return
	}
	if (n != "1") { say("bad", "manifest-form", "exhibit " number ": no version"); return }
	k = index(line, "},\"case\":\"")
	if (!k || !((substr(line, k + 10, 32), digest) in counted)) say("bad", "case-count", "exhibit " number ": the export statement does not count it in its case")
	if (!index(line, "\"id\":\"" capture "\",\"kind\":\"capture\",\"nonce\":\"")) say("bad", "manifest-form", "exhibit " number ": not the manifest of capture " capture)
	if (seal in newer) say("note", "subject-missing", "exhibit " number ": its seal has a newer format")
	else if (seal == "-") say("lacks", "seal-missing", "exhibit " number ": not sealed yet")
	else {
		subjects(seal)
		if (!((seal, digest) in subject)) say("bad", "subject-missing", "exhibit " number ": seal " seal " does not name its manifest")
		else if (!((seal, "training:" (match(line, /"training":(true|false),"transformations":/) ? substr(line, RSTART + 11, RLENGTH - 30) : "")) in subject)) say("bad", "subject-missing", "exhibit " number ": training in one of manifest and seal, not in both")
		else {
			say("ok", "subject", "exhibit " number ": manifest " digest " is in seal " seal)
			k = index(line, "\"custody\":{\"chain\":\"")
			rest = substr(line, k + 20)
			tail = substr(rest, 33)
			h = substr(tail, 18, 64)
			n = upto(substr(tail, 93), "}")
			if (!k || !hex(substr(rest, 1, 32), 32) || substr(tail, 1, 17) != "\",\"head\":\"sha256:" || !hex(h, 64) || substr(tail, 82, 11) != "\",\"length\":" || n !~ /^[1-9][0-9]*$/) say("bad", "manifest-form", "exhibit " number ": custody")
			else print substr(rest, 1, 32), h, n >HEADS
		}
	}
	k = index(line, "\"objects\":[")
	rest = substr(line, k + 11)
	n = index(rest, "],\"source\":\"")
	if (!k || !n) { say("bad", "manifest-form", "exhibit " number ": no objects"); return }
	n = split(substr(rest, 1, n - 1), part, "[{]\"digest\":\"sha256:")
	names[number, "manifest.json"] = 1
	if (part[1] != "") { say("bad", "manifest-form", "exhibit " number ": an object"); return }
	for (k = 2; k <= n; k++) {
		h = substr(part[k], 1, 64)
		BAD = 0
		tail = after(substr(part[k], 65), "\",\"name\":\"")
		name = upto(tail, "\"")
		if (BAD || !hex(h, 64) || name !~ /^[a-z0-9][a-z0-9._-]*$/ || substr(tail, length(name) + 1) !~ /^","restricted":(true|false),"role":"/) { say("bad", "manifest-form", "exhibit " number ": an object"); return }
		names[number, name] = 1
		got = sum[dir name]
		if (got == "") {
			if ((h, number, name) in held && erased[number, name] != "-") print h, erased[number, name], number, name, capture >(W "/gone")
			else if ((h, number, name) in held) say("note", "object-withheld", "exhibit " number ": " name)
			else say("bad", "object-missing", "exhibit " number ": " name)
		} else if (got != h) say("bad", "object-digest", "exhibit " number ": " name " is not what the manifest names")
		else if ((number, name) in heldname) say("bad", "object-withheld", "exhibit " number ": " name " is there, though stated as withheld")
		else say("ok", "object", "exhibit " number ": " name)
		region[number, name] = part[k]
	}
}
END {
	for (p in sum) {
		n = split(p, seg, "/")
		if (seg[2] != "exhibits") continue
		if (seg[3] in newer) continue
		if (!(seg[3] in known)) { say("bad", "file-extra", "exhibit " seg[3] " is not stated"); continue }
		if (n == 4 && !((seg[3], seg[4]) in names)) say("bad", "file-extra", "exhibit " seg[3] ": a file that its manifest does not name")
		if (n > 4 && (n != 6 || seg[4] != "slices" || !((seg[3], seg[5]) in region))) { say("bad", "slice-form", "exhibit " seg[3] ": a part of no object"); continue }
		if (n == 6) parts(seg[3], seg[5], seg[6], p)
	}
}
function parts(number, object, name, path,  at, k, r, c, len, o, whole) {
	if (name ~ /\.salt$/) { if (sum[substr(path, 1, length(path) - 5)] == "") say("bad", "slice-form", "exhibit " number ": a salt without its part"); return }
	r = region[number, object]
	at = index(r, "\"name\":\"" name "\",\"offset\":")
	c = substr(r, 1, at - 1)
	while (k = index(c, "{\"commitment\":\"sha256:")) c = substr(c, k + 22)
	if (!hex(substr(c, 1, 64), 64) || substr(c, 65, 11) != "\",\"length\":" || sum[path ".salt"] == "") { say("bad", "slice-form", "exhibit " number ": a part of " object); return }
	len = substr(c, 76)
	sub(/,$/, "", len)
	if (len !~ /^[0-9]+$/ || length(len) > 15) { say("bad", "slice-form", "exhibit " number ": a part of " object); return }
	o = substr(r, at + length("\"name\":\"" name "\",\"offset\":"))
	sub(/[^0-9].*/, "", o)
	if (length(o) > 15) { say("bad", "slice-form", "exhibit " number ": a part of " object); return }
	whole = "data/exhibits/" number "/" object
	printf "slice\t%s\t%s\t%s\t%s\t%s\t%s\n", path, substr(c, 1, 64), len, "exhibit " number ": part of " object, (sum[whole] == "" ? "-" : whole), o + 0 ""
}
AWK
# slice PATH COMMITMENT LENGTH TEXT OBJECT OFFSET: OBJECT is - where it is not here.
slice() {
	if [ "$5" != - ] && [ "$(tail -c "+$(($6 + 1))" "$5" | head -c "$3" | sha256sum)" != "$(sha256sum <"$1")" ]; then bad slice-commitment "$4, as shown, is not what the object holds there"; return; fi
	if [ "$(wc -c <"$1.salt")" -eq 32 ] && [ "$(wc -c <"$1")" -eq "$3" ] && [ "$(cat "$1.salt" "$1" | sha256sum | cut -c1-64)" = "$2" ]; then ok slice "$4"; else bad slice-commitment "$4"; fi
}
awk -v SUMS="$W/sums" -v COUNTED="$W/counted" -v NEWER="$W/newer" -v WITHHELD="$W/withheld" -v HEADS="$W/heads" -v W="$W" -f "$W/exhibits.awk" "$W/sums" "$W/counted" "$W/newer" "$W/withheld" "$W/exhibits" >"$W/said" || die 'the manifests cannot be read'
while IFS=$'\t' read -r kind finding text length more object offset; do
	case $kind in
	ok) ok "$finding" "$text" ;;
	note) note "$finding" "$text" ;;
	lacks) lacks "$finding" "$text" ;;
	newer) NEWER=$text ;;
	slice) slice "$finding" "$text" "$length" "$more" "$object" "$offset" ;;
	*) bad "$finding" "$text" ;;
	esac
done <"$W/said"
[ ! -s "$W/exhibits" ] || [ -s "$W/said" ] || bad manifest-form 'no exhibit could be read'

# --- custody -----------------------------------------------------------------
# One pass over the lines prints "<chain> <n> <SHA-256 or - for the next one that
# was hashed>" for each, and what is wrong last. Whole lines are hashed by one
# sha256sum for 256 of them.
cat >"$W/custody.awk" <<'AWK'
function hex(s, n) { return length(s) == n && s !~ /[^0-9a-f]/ }
function number(s) { return s ~ /^[1-9][0-9]*$/ && length(s) < 17 }
function stop(what) { print "!", what; done = 1; exit }
function flush(  k, list) {
	for (k = 0; k < held; k++) list = list " line." k
	if (held && system("cd \"" W "\" && sha256sum --" list " >>lines.sums")) stop("hash")
	held = 0
}
{
	n = d = ""
	if (substr($0, 1, 10) == "{\"chain\":\"" && substr($0, 43, 6) == "\",\"n\":") {
		chain = substr($0, 11, 32)
		k = index($0, ",\"withheld\":\"sha256:")
		n = substr($0, 49, k - 49)
		d = substr($0, k + 20)
		if (!k || length(d) != 66 || substr(d, 65) != "\"}" || !hex(d = substr(d, 1, 64), 64)) n = ""
	} else {
		if (match($0, /"version":[0-9]+[,}]/)) {
			v = substr($0, RSTART + 10, RLENGTH - 11)
			if (number(v) && v != "1") stop("newer")
		}
		k = index($0, ",\"node\":\"")
		head = substr($0, 1, k - 1)
		if (k && substr(head, 1, 11) == "{\"action\":\"" && match(head, /,"chain":"[0-9a-f]+","kind":"line","n":[0-9]+$/)) {
			tail = substr(head, RSTART + 10)
			chain = substr(tail, 1, 32)
			if (substr(tail, 33, 20) == "\",\"kind\":\"line\",\"n\":") n = substr(tail, 53)
		}
	}
	if (!hex(chain, 32) || !number(n)) stop("custody-form a line")
	if (chain != last) {
		if (chain in seen) stop("custody-chain lines of chain " chain " stand in two places")
		seen[chain] = 1
		last = chain
		at = 0
	}
	if (n + 0 != ++at) stop("custody-chain chain " chain ": line " n " follows line " (at - 1))
	if (d == "") {
		f = W "/line." held++
		printf "%s", $0 >f
		close(f)
		if (held == 256) flush()
	}
	print chain, n, (d == "" ? "-" : d)
}
END { if (!done) flush() }
AWK
# step HEX: prints the bytes.
step() {
	local x='' k
	for ((k = 0; k < ${#1}; k += 2)); do x+="\\x${1:k:2}"; done
	printf '%b' "$x"
}
# heads: reads lines "<chain> <n> <SHA-256>" and prints the head at each. h(n)
# needs h(n-1), so they cannot be hashed together; but one sha256sum reads one
# pipe as often as it is named, and says each hash before it reads on. Who opens
# a pipe waits until somebody opens its other end, for ever should nobody: so
# this runs beside the script, which stops it when no hash comes.
ZERO=0000000000000000000000000000000000000000000000000000000000000000
heads() {
	local left=0 more=$1 last='' h='' k='' names chain d
	trap '[ -z "$k" ] || kill "$k"; exit' TERM
	while read -r chain _ d; do
		if [ "$left" -eq 0 ]; then
			left=$((more < 5000 ? more : 5000)) more=$((more - 5000)) names=''
			while [ "${#names}" -lt $((left * 5)) ]; do names="$names pipe"; done
			rm -f "$W/pipe"
			mkfifo "$W/pipe" || return
			exec 3< <(cd "$W" && exec sha256sum -- $names 2>/dev/null)
			k=$!
		fi
		[ "$chain" = "$last" ] || h=$ZERO
		last=$chain left=$((left - 1))
		step "$h$d" >"$W/pipe" && read -r h _ <&3 && printf '%s\n' "$h" || return
	done
}
custody() {
	local chain n h='' d last='' x
	: >"$W/chains"
	: >"$W/lines.sums"
	[ -f data/custody.jsonl ] || { bad custody-form 'data/custody.jsonl is missing'; return; }
	[ "$(tr -dc '\000' <data/custody.jsonl | head -c 1 | wc -c)" -eq 0 ] || { bad custody-form 'a line'; return; }
	awk -v W="$W" -f "$W/custody.awk" data/custody.jsonl >"$W/lines" || die 'the lines of custody cannot be read'
	if [ "$(tail -n 1 "$W/lines" | cut -c1)" = '!' ]; then
		x=$(tail -n 1 "$W/lines")
		[ "$x" != '! hash' ] || die 'sha256sum failed'
		if [ "$x" = '! newer' ]; then NEWER='a custody line'; else x=${x#! }; bad "${x%% *}" "${x#* }"; fi
		return
	fi
	awk -v S="$W/lines.sums" '$3 == "-" { if ((getline line <S) < 1) exit 1; $3 = substr(line, 1, 64) } { print }' "$W/lines" >"$W/hashed" || die 'sha256sum failed'
	exec 3< <(heads "$(wc -l <"$W/hashed")" <"$W/hashed")
	PIPED=$!
	while read -r chain n d; do
		[ "$chain" = "$last" ] || h=$ZERO
		last=$chain
		if [ -z "$PIPED" ] || ! read -t 60 -r x <&3 || ! is "$x" "$H"; then # then each line has its own sha256sum
			[ -z "$PIPED" ] || kill "$PIPED" 2>/dev/null
			PIPED=''
			step "$h$d" | sha256sum >"$W/step.sum" && read -r x _ <"$W/step.sum" && is "$x" "$H" || die 'sha256sum failed'
		fi
		h=$x
		printf '%s %s %s\n' "$chain" "$h" "$n" >&5 || short
	done <"$W/hashed" 5>"$W/chains"
	PIPED=''
	exec 3<&-
	[ "$(tail -c 1 data/custody.jsonl | xxd -p)" = 0a ] || [ ! -s data/custody.jsonl ] || bad custody-form 'the last line does not end'
	sort -u "$W/heads" >"$W/named" && sort "$W/chains" >"$W/there" && comm -23 "$W/named" "$W/there" >"$W/strange" || short
	[ ! -s "$W/strange" ] || bad custody-head 'a sealed manifest names another state of the chain'
	awk '{ last[$1] = $0 } END { for (c in last) print last[c] }' "$W/chains" | sort >"$W/ends" && tr '{' '\n' <"$W/custody.json" | sed '/^$/d' >"$W/heads.lines" || short
	if grep -Evq "^\"chain\":\"[0-9a-f]{32}\",\"head\":\"sha256:$H\",\"length\":$NUM},?\$" "$W/heads.lines"; then bad export-form 'a custody head'; fi
	sed -nE 's/^"chain":"([0-9a-f]{32})","head":"sha256:([0-9a-f]{64})","length":([0-9]+)},?$/\1 \2 \3/p' "$W/heads.lines" | sort >"$W/stated" || short
	cmp -s "$W/ends" "$W/stated" || bad custody-head 'the export statement names another state of the chain'
	ok custody "$(wc -l <"$W/chains" | tr -d ' ') lines"
	erased
}
# erased: who says "erased by order" names the line of custody that does, of that
# capture and that object. W/gone has "<digest> <n>:<chain> <exhibit> <name> <capture>".
erased() {
	local kind text
	[ -s "$W/gone" ] || return 0
	awk -v GONE="$W/gone" '
		FILENAME == GONE { want[++m] = $0; split($0, f, " "); refs[f[2]] = 1; next }
		substr($0, 1, 20) == "{\"action\":\"erasing\"," {
			k = index($0, ",\"node\":\"")
			head = substr($0, 1, k - 1)
			if (!k || !match(head, /,"chain":"[0-9a-f]+","kind":"line","n":[0-9]+$/)) next
			tail = substr(head, RSTART + 10)
			ref = substr(tail, 53) ":" substr(tail, 1, 32)
			if (!(ref in refs) || !(k = index($0, ",\"objects\":["))) next
			caps = substr($0, k + 12)
			caps = substr(caps, 1, index(caps, "],\"training\":"))
			if (!(k = index($0, ",\"x\":{\"erased\":["))) next
			list = substr($0, k + 16)
			list = substr(list, 1, index(list, "]"))
			for (i = 1; i <= m; i++) {
				split(want[i], f, " ")
				if (f[2] == ref && index(caps, "\"" f[5] "\"") && index(list, "\"sha256:" f[1] "\"")) found[i] = 1
			}
		}
		END { for (i = 1; i <= m; i++) { split(want[i], f, " "); print (i in found ? "note" : "bad"), "exhibit " f[3] ": " f[4] } }' "$W/gone" data/custody.jsonl >"$W/erased" || die 'the lines of custody cannot be read'
	while read -r kind text; do
		if [ "$kind" = note ]; then note object-erased "$text was erased by order; the custody says by whose"; else bad object-erased "$text is said to be erased by order, and no line of custody says so"; fi
	done <"$W/erased"
}
[ ! -f "$W/custody.json" ] || custody

# --- consistency of the logs -------------------------------------------------
for f in data/tlog/*/checkpoint; do
	[ -f "$f" ] || continue
	origin=${f#data/tlog/}
	origin=${origin%/checkpoint}
	if is "$origin" "$NODE" && checkpoint "$f" "$origin"; then tree "$origin" "$SIZE" "$ROOT"; else bad checkpoint-signature "$f"; fi
done
while read -r _ origin size root; do
	is "$origin" "$NODE" && is "$size" "$NUM" && is "$root" "$H" && tree "$origin" "$size" "$root"
done <"$W/checkpoints"
sort -u "$W/trees" | sort -k 1,1 -k 2,2n >"$W/sizes" || short
last='' lsize=0 lroot=''
while read -r origin size root; do
	if [ "$origin" = "$last" ]; then
		if [ "$size" = "$lsize" ]; then
			[ "$root" = "$lroot" ] || bad log-fork "log $origin: two states of size $size"
			continue
		fi
		f=data/tlog/$origin/$lsize-$size.json
		if [ ! -f "$f" ]; then
			note log-unlinked "log $origin: that $lsize grew into $size is not shown"
		elif newer "$(grep -oE '"version":[0-9]+[,}]' "$f" | head -n 1 | tr -cd 0-9)" "$f"; then
			:
		elif hashes "$f" "\"from\":$lsize,$HASHES,\"kind\":\"consistency\",\"to\":$size,\"version\":1" >"$W/proof" && grown "$lsize" "$lroot" "$size" "$root" <"$W/proof"; then
			ok log "log $origin: $lsize grew into $size"
		else
			bad log-fork "log $origin: $lsize did not grow into $size"
		fi
	fi
	last=$origin lsize=$size lroot=$root
done <"$W/sizes"

# every other proof must be one of the sizes in its name, and hold if they are here
for f in data/tlog/*/*; do
	n=${f##*/} origin=${f#data/tlog/}
	origin=${origin%/*}
	[ -f "$f" ] && [ "$n" != checkpoint ] || continue
	newer "$(grep -oE '"version":[0-9]+[,}]' "$f" | head -n 1 | tr -cd 0-9)" "$f" && continue
	lsize=${n%-*} size=${n#*-}
	size=${size%.json}
	if ! is "$n" "$NUM-$NUM\.json" || ! hashes "$f" "\"from\":$lsize,$HASHES,\"kind\":\"consistency\",\"to\":$size,\"version\":1" >"$W/proof"; then
		bad file-extra "$f is no proof of the growth that its name says"
		continue
	fi
	lroot=$(awk -v o="$origin" -v s="$lsize" '$1 == o && $2 == s { print $3; exit }' "$W/trees")
	root=$(awk -v o="$origin" -v s="$size" '$1 == o && $2 == s { print $3; exit }' "$W/trees")
	[ -z "$lroot" ] || [ -z "$root" ] || grown "$lsize" "$lroot" "$size" "$root" <"$W/proof" || bad log-fork "log $origin: $lsize did not grow into $size"
done

# --- the end -----------------------------------------------------------------
if [ -z "$TRUST" ]; then
	printf '\nKeys and roots used (SHA-256 of each public key):\n'
	for f in "$W"/nodes/*.logs; do
		[ -f "$f" ] || continue
		n=${f##*/}
		while read -r _ pem; do put "$W/used" "log key $(openssl pkey -pubin -in "$pem" -outform DER | sha256sum | cut -c1-64) of node ${n%.logs}"; done <"$f"
	done
	for f in data/trust/nodes/*.json; do
		[ -f "$f" ] || continue
		n=${f##*/}
		put "$W/used" "fingerprint $(hash "$f") of node ${n%.json}"
	done
	sed -E "s/^($H) subject=?/root    \1 /" "$W/used" | sort -u | sed 's/^/  /'
fi
verdict
}
