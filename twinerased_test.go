package holdfast_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"holdfast"
	"holdfast/export"
	"holdfast/hashing"
)

const (
	byOrder    = "only the verifier holds the reason against the line of custody that it names"
	erasedBase = "erased"
)

// erasedCast is the world of good/erased.zip: text.txt of its first capture was erased
// by order, and the second, accepted after it, states a head of the custody that has
// the line, and the same bytes in a text.txt of its own.
func erasedCast(t testing.TB) *cast {
	t.Helper()
	c := &cast{t: t, bundles: map[string][]byte{}, policy: map[string]*holdfast.Policy{}}
	for _, op := range []string{"Alpha Notaries", "Beta Timestamping"} {
		c.tsas = append(c.tsas, newTSA(op, tsaOptions{}))
	}
	c.w = newWorld(t, time.Now().Add(-time.Hour), c.tsas...)
	gone := c.w.capture(nil)
	c.one, c.oneM = c.w.seal(sealing{}, gone), c.w.made[gone].manifest
	text := c.w.made[gone].m.Object("text.txt").Digest
	what := must(json.Marshal(map[string]any{"erased": []hashing.Digest{text}, "order": "District Court 4, 7 Gs 12/26"}))
	c.w.line("erasing", what, string(gone))
	order := c.w.head.Length
	c.w.line("erased", json.RawMessage(fmt.Sprintf(`{"begun":%d}`, order)), string(gone))
	c.w.line("note", what, string(gone)) // which orders nothing
	after := c.w.capture(nil)
	c.two, c.twoM = c.w.seal(sealing{}, after), c.w.made[after].manifest
	c.good(erasedBase, c.w, func(o *export.Options) {
		o.Erased = func(m *holdfast.Manifest, ob holdfast.Object) string {
			if m.ID == gone && ob.Digest == text {
				return holdfast.ErasedReason(c.w.chain, order)
			}
			return ""
		}
	})
	return c
}

// erasures are lies about an erasure: by who holds the file, and by the office itself.
func (c *cast) erasures() (list []twin) {
	first := must(holdfast.ParseManifest(c.oneM))
	text := c.w.made[first.ID].objects["text.txt"]
	reason := holdfast.ErasedReason(c.w.chain, 2)
	add := func(name, why string, change func(*box)) *twin {
		list = append(list, twin{name: name, base: erasedBase, why: why, change: change})
		return &list[len(list)-1]
	}
	lie := func(name, why string, change func(*box), restate func(*holdfast.Export)) *twin {
		w := add(name, why, change)
		w.liar, w.restate = c.w.key, restate
		return w
	}
	withhold := func(number, object, reason string) func(*holdfast.Export) {
		return func(x *holdfast.Export) {
			m := must(holdfast.ParseManifest(map[string][]byte{"1": c.oneM, "2": c.twoM}[number]))
			x.Withheld = slices.DeleteFunc(x.Withheld, func(w holdfast.WithheldObject) bool { return w.Exhibit == number && w.Name == object })
			x.Withheld = append(x.Withheld, holdfast.WithheldObject{Digest: m.Object(object).Digest, Exhibit: number, Name: object, Reason: reason})
		}
	}
	reorder := func(b *box) {
		b.rows(func(l [][]byte) [][]byte {
			l[1] = bytes.Replace(l[1], []byte("District Court 4"), []byte("District Court 5"), 1)
			return l
		})
	}

	add("custody-head--order-text-changed", byCustody, reorder)
	lie("custody-head--order-text-changed-and-stated", "the head that a later Manifest states has the line as it was sealed", reorder, nil).restateHeads()
	add("custody-head--order-that-nobody-signed", byCustody, func(b *box) {
		b.rows(func(l [][]byte) [][]byte {
			chain, h := b.heads()
			o := must(holdfast.ParseLine(bytes.TrimSuffix(l[1], []byte("\n"))))
			o.Chain, o.N = chain, int64(len(h))
			return append(l, append(must(o.Encode()), '\n'))
		})
	})
	add("file-extra--erased-bytes-put-back", byExport, func(b *box) { b.put(exhibit1+"text.txt", text) })
	lie("object-digest--erased-yet-here", byExport, func(b *box) { b.put(exhibit1+"text.txt", text) }, nil)
	lie("object-digest--erased-and-replaced", byObject, func(b *box) { b.put(exhibit1+"text.txt", bytes.ToUpper(text)) }, func(x *holdfast.Export) {
		x.Withheld = slices.DeleteFunc(x.Withheld, func(w holdfast.WithheldObject) bool { return w.Name == "text.txt" })
	})
	lie("object-missing--erased-and-not-stated", byObject, nil, func(x *holdfast.Export) {
		x.Withheld = slices.DeleteFunc(x.Withheld, func(w holdfast.WithheldObject) bool { return w.Name == "text.txt" })
	})
	lie("object-erased--by-a-line-that-is-not-there", byOrder, nil, withhold("1", "text.txt", holdfast.ErasedReason(c.w.chain, 99)))
	lie("object-erased--by-a-line-of-another-action", byOrder, nil, withhold("1", "text.txt", holdfast.ErasedReason(c.w.chain, 4)))
	lie("object-erased--by-a-line-of-another-chain", byOrder, nil, withhold("1", "text.txt", holdfast.ErasedReason(holdfast.NewID(), 2)))
	lie("object-erased--with-words-behind-it", byOrder, nil, withhold("1", "text.txt", reason+" of the court"))
	lie("object-erased--another-object", byOrder, func(b *box) { b.drop(exhibit1 + "source.html") }, withhold("1", "source.html", reason))
	lie("object-erased--another-capture", byOrder, func(b *box) { b.drop("data/exhibits/2/text.txt") }, withhold("2", "text.txt", reason))
	// The line is shown as a digest only, or the custody ends before it.
	lie("object-erased--by-a-line-that-is-withheld", byOrder, func(b *box) {
		b.rows(func(l [][]byte) [][]byte {
			chain, _ := b.heads()
			l[1] = fmt.Appendf(nil, `{"chain":"%s","n":2,"withheld":"%s"}`+"\n", chain, hashing.Of(bytes.TrimSuffix(l[1], []byte("\n"))))
			return l
		})
	}, nil)
	lie("object-erased--before-its-order", byOrder, func(b *box) { b.rows(func(l [][]byte) [][]byte { return l[:1] }) }, nil).restateHeads()
	return list
}

// writeErased writes good/erased.zip with new keys, and its twins; other rows stay.
func writeErased(t testing.TB) {
	c := erasedCast(t)
	write(t, goodDir+erasedBase+".zip", c.bundles[erasedBase])
	write(t, goodDir+erasedBase+".policy.json", must(c.policy[erasedBase].Encode()))
	var rows []twinRow
	for _, r := range readTwins(t) {
		if r.Base != erasedBase {
			rows = append(rows, r)
			continue
		}
		if err := os.Remove(badDir + r.File); err != nil {
			t.Fatal(err)
		}
	}
	for _, w := range c.erasures() {
		rows = append(rows, c.forms(w)...)
	}
	writeTwinRows(t, rows)
}

// TestErasedTwins: what was erased by order is a note, and nothing else passes for it.
// With -update it writes its own bundles alone.
func TestErasedTwins(t *testing.T) {
	if *update {
		writeErased(t)
	}
	r, err := judge(t, must(os.ReadFile(goodDir+erasedBase+".zip")), readPolicy(t, goodDir+erasedBase+".policy.json"))
	if err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(r.Findings, func(f holdfast.Finding) bool {
		return f.Finding == "object-erased" && f.Outcome == holdfast.Note && f.Subject == "exhibit 1/text.txt"
	}) {
		t.Errorf("the erased object is not told: %s", sum(r))
	}
	c := erasedCast(t)
	for _, w := range c.erasures() {
		finding, _, _ := strings.Cut(w.name, "--")
		r, err := judge(t, c.form(w, true), c.policy[erasedBase])
		if got := exitCode(t, r, err); got != 1 || !contradicts(r, finding) {
			t.Errorf("%s: exit %d: %v %s", w.name, got, err, sum(r))
		}
		if _, err := os.Stat(filepath.Join(badDir, w.name+".mended.zip")); err != nil {
			t.Errorf("%v: make it with go test -run TestErasedTwins -update", err)
		}
	}
}
