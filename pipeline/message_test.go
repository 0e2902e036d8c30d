package pipeline

import (
	"bytes"
	"encoding/binary"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"holdfast"
	"holdfast/hashing"
)

const testNode = "test.0123456789abcdef"

// capture returns a small valid capture with one inline Object of size bytes.
func capture(id holdfast.ID, size int) *Captured {
	body := bytes.Repeat([]byte("kelp "), size/5+1)[:size]
	copy(body, id)
	now := holdfast.At(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))
	d := hashing.Of([]byte("x"))
	return &Captured{
		Manifest: holdfast.Manifest{
			Case: holdfast.ID(strings.Repeat("c", 32)), ID: id, Kind: holdfast.KindCapture, Nonce: holdfast.NewNonce(),
			Custody: holdfast.Head{Chain: holdfast.ID(strings.Repeat("d", 32)), Head: d, Length: 1},
			Source:  "https://example.org/page", Started: now, Ended: now,
			Agent: holdfast.Agent{Pseudonym: `a"b,"case":"x`, Role: "investigator"},
			Collection: holdfast.Collection{Clock: holdfast.Clock{Source: "node"}, Config: d, Egress: "unknown", Identity: "none",
				Node: testNode, Software: holdfast.Software{Digest: d, Name: "holdfast", Version: "1"}},
			Completeness: holdfast.Completeness{Outcome: "complete"},
			Objects:      []holdfast.Object{{Name: "source.html", Role: "source", Type: "text/html", Size: int64(size), Digest: hashing.Of(body)}},
		},
		Inline: map[string][]byte{"source.html": body},
	}
}

func encode(t testing.TB, c *Captured) []byte {
	t.Helper()
	b, err := c.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestMessageRoundTrip(t *testing.T) {
	c := capture(holdfast.NewID(), 1000)
	empty := []byte{}
	c.Manifest.Objects = append([]holdfast.Object{{Name: "a.txt", Role: "text", Type: "text/plain", Digest: hashing.Of(empty)}}, c.Manifest.Objects...)
	c.Inline["a.txt"] = empty
	b := encode(t, c)
	got, err := ParseCaptured(b)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(encode(t, got), b) {
		t.Fatal("encode(parse(b)) is not b")
	}
	it, err := Message{Position: 7, ID: c.Manifest.ID, Body: b}.Item()
	if err != nil {
		t.Fatal(err)
	}
	want, _ := c.Manifest.Encode()
	if !bytes.Equal(it.Manifest, want) || it.Case != c.Manifest.Case || len(it.Small) != 2 || it.Small[1].Digest != hashing.Of(c.Inline["source.html"]) {
		t.Fatalf("item %+v", it)
	}
}

func TestEncodeRefuses(t *testing.T) {
	for name, spoil := range map[string]func(c *Captured){
		"object of other bytes":  func(c *Captured) { c.Inline["source.html"][3] ^= 1 },
		"object of other size":   func(c *Captured) { c.Inline["source.html"] = c.Inline["source.html"][1:] },
		"object not in manifest": func(c *Captured) { c.Inline["b"] = nil },
		"too much inline":        func(c *Captured) { *c = *capture(c.Manifest.ID, MaxInline+1) },
		"manifest without case":  func(c *Captured) { c.Manifest.Case = "" },
	} {
		c := capture(holdfast.NewID(), 100)
		spoil(c)
		if _, err := c.Encode(); !errors.Is(err, ErrMessage) && !errors.Is(err, holdfast.ErrForm) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestItemRefuses(t *testing.T) {
	c := capture(holdfast.NewID(), 100)
	good := Message{Position: 1, ID: c.Manifest.ID, Body: encode(t, c)}
	if _, err := good.Item(); err != nil {
		t.Fatal(err)
	}
	for i := range good.Body {
		bad := good
		bad.Body = slices.Clone(good.Body)
		bad.Body[i] ^= 0x80 // never valid in the header; always another digest in the object
		if i >= 4 && i < 4+int(binary.BigEndian.Uint32(bad.Body)) {
			continue // the Manifest itself is guarded by the queue's checksum
		}
		if _, err := bad.Item(); !errors.Is(err, ErrMessage) {
			t.Fatalf("byte %d: %v", i, err)
		}
	}
	other := good
	other.ID = holdfast.NewID()
	if _, err := other.Item(); !errors.Is(err, ErrMessage) {
		t.Fatal("manifest of another capture passes")
	}
	body := encode(t, c)
	rest := len(body) - 100
	body[rest]++ // the Object's first byte: no Object of the Manifest has this Digest
	if _, err := (Message{Position: 1, ID: c.Manifest.ID, Body: body}).Item(); !errors.Is(err, ErrMessage) {
		t.Fatal("an object that the manifest does not name passes")
	}
	good.Damaged = true
	if _, err := good.Item(); !errors.Is(err, ErrMessage) {
		t.Fatal("damaged message passes")
	}
}

func FuzzMessage(f *testing.F) {
	c := capture(holdfast.ID(strings.Repeat("a", 32)), 64)
	f.Add(encode(f, c))
	f.Add([]byte{0, 0, 0, 2, '{', '}'})
	f.Add([]byte("\x00\x00\x00\x1a{\"inline\":[],\"manifest\":{}}"))
	f.Add([]byte("\xff\xff\xff\xff{\"inline\":["))
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := ParseCaptured(b)
		if err != nil {
			if !errors.Is(err, ErrMessage) {
				t.Fatal(err)
			}
			return
		}
		again, err := got.Encode()
		if err != nil || !bytes.Equal(again, b) {
			t.Fatalf("accepted a second spelling: %v", err)
		}
		it, err := Message{ID: got.Manifest.ID, Body: b}.Item()
		if err != nil || it.Case != got.Manifest.Case {
			t.Fatalf("parsed but no item: %v", err)
		}
	})
}

func BenchmarkMessage(b *testing.B) {
	c := capture(holdfast.NewID(), 1000)
	raw := encode(b, c)
	b.Run("encode", func(b *testing.B) {
		for b.Loop() {
			c.Encode()
		}
	})
	b.Run("item", func(b *testing.B) {
		m := Message{ID: c.Manifest.ID, Body: raw}
		for b.Loop() {
			if _, err := m.Item(); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("parse", func(b *testing.B) {
		for b.Loop() {
			ParseCaptured(raw)
		}
	})
}
