package export_test

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"

	"holdfast"
	"holdfast/export"
)

// TestScriptOnParts: where a part stands in its object is read from its own members, not
// from wherever else digits stand; and a part that is shown beside the whole object is
// held against it. Digests are as they come: one in two thousand has sixteen digits where
// the script once looked for the offset, and a sound bundle was called contradicted.
func TestScriptOnParts(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const name = "m-4"
	at := len(`"name":"` + name + `","offset":`)
	secret := make([]byte, 32)
	rand.Read(secret)
	var body []byte
	for n := 0; ; n++ {
		body = fmt.Appendf(nil, "the first part; the second part; %d", n)
		sum := sha256.Sum256(body)
		if strings.Trim(hex.EncodeToString(sum[:])[at-1:at+15], "0123456789") == "" {
			break
		}
	}
	part := body[16:32]
	salt := holdfast.SliceSalt(secret, name)
	id := w.capture("https://example.org/raw", nil, object{name: "raw.txt", role: "answer", kind: "text/plain", body: body,
		slices: []holdfast.Slice{{Name: name, Offset: 16, Length: 16, Commitment: sha256.Sum256(append(salt, part...))}}},
		object{name: "raw.txt.secret", role: "slice-secret", kind: "application/octet-stream", body: secret, restricted: true})
	w.seal(2, id)
	sh, trust := script(t, w)
	proven := func(what string, f files) {
		t.Helper()
		wantVerdict(t, verify(t, f.packed(t), w.policy), holdfast.VerdictProven)
		if out, code := offline(t, "/", "bash", sh, "--trust", trust, f.unpacked(t)); code != 0 {
			t.Errorf("%s: verify.sh exits %d\n%s", what, code, out)
		}
	}
	o := w.options(id)
	o.Slices = []export.SliceRef{{Capture: id, Object: "raw.txt", Slice: name}}
	path, _ := write(t, o)
	alone := files(entries(t, path))
	proven("the part alone", alone)

	path, _ = write(t, w.options(id))
	both := files(entries(t, path))
	for _, p := range []string{"data/exhibits/1/slices/raw.txt/" + name, "data/exhibits/1/slices/raw.txt/" + name + ".salt"} {
		both[p] = alone[p]
	}
	both.resign(w, func(*holdfast.Export) {})
	both.bag()
	proven("beside the whole", both)
}
