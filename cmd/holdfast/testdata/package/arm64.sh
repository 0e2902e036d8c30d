#!/usr/bin/env bash
# arm64.sh QEMU BIN VERIFY WORK: a node of the programs in BIN, which are for arm64, run by
# QEMU: made, two authorities, a file sealed, proven by BIN's verifier and by VERIFY, which is
# this machine's. Ends well, with "== done", only if each step does.
set -euo pipefail
qemu=$1 bin=$2 verify=$3 work=$4
cd "$work"
export HOLDFAST_DATA=$work/node HOME=$work
holdfast() { timeout 300 "$qemu" "$bin/holdfast" "$@"; }
die() {
	echo "arm64.sh: $*"
	exit 1
}
trap 'kill $(jobs -p) 2>/dev/null || true' EXIT

[ "$(od -An -tu2 -j18 -N2 "$bin/holdfast" | tr -d ' ')" = 183 ] || die "not a program for arm64"
holdfast --version
holdfast init --agent falcon --role investigator --office 'Unit 7'
for a in alpha beta; do
	"$qemu" "$bin/holdfast" authority serve --operator "Operator $a" --listen 127.0.0.1:0 --dir "$work/$a" >$a.log &
	for _ in $(seq 120); do
		grep -q '^serving' $a.log && break
		sleep 0.5
	done
	holdfast authority add $a "$(sed -n 's/^serving \([^ ]*\) .*/\1/p' $a.log)" --operator "Operator $a" --roots "$work/$a/roots.pem"
done
head -c 3000000 /dev/urandom >big.bin
holdfast add big.bin --giver Maria --case c --wait 2m --json | grep '"event":"sealed"' || die "not sealed"
holdfast audit --all
holdfast export --case c out.zip >/dev/null
holdfast policy export policy.json
timeout 300 "$qemu" "$bin/holdfast-verify" --policy policy.json out.zip >there || die "on arm64: $(cat there)"
"$verify" --policy policy.json out.zip >here || die "here: $(cat here)"
grep -q PROVEN there && cmp here there || die "what they say differs: $(diff here there)"
flip=$(stat -c %s out.zip)
printf '\xff' | dd of=out.zip bs=1 seek=$((flip / 2)) conv=notrunc status=none
if timeout 300 "$qemu" "$bin/holdfast-verify" --policy policy.json out.zip >/dev/null; then die "a changed byte is not noticed"; fi
echo '== done'
