package web

import (
	"crypto/sha256"
	"fmt"
	"hash"
	"hash/fnv"
	"unicode"
	"unicode/utf8"

	"holdfast/hashing"
)

// textSum digests text while it is written, and fingerprints its words.
//
// The fingerprint is a SimHash: every run of three words (letters and digits,
// lower case) is hashed with FNV-1a 64, and bit i is set when more hashes have
// it set than not; a text of fewer words is one run. Similar texts differ in
// few bits; it is a help for finding, never a proof of being equal.
type textSum struct {
	sha   hash.Hash
	size  int64
	word  []byte
	last  [3]string
	words int
	votes [64]int
	tail  []byte // of a character that the write before began
}

const maxWord = 256 // bytes; what is longer is counted as several words

func newTextSum() *textSum { return &textSum{sha: sha256.New()} }

// Write implements io.Writer; it never fails.
func (t *textSum) Write(p []byte) (int, error) {
	t.sha.Write(p)
	t.size += int64(len(p))
	b := append(t.tail, p...)
	for len(b) > 0 && (utf8.FullRune(b)) {
		r, n := utf8.DecodeRune(b)
		b = b[n:]
		if r != utf8.RuneError && (unicode.IsLetter(r) || unicode.IsDigit(r) || unicode.IsMark(r)) && len(t.word) < maxWord {
			t.word = utf8.AppendRune(t.word, unicode.ToLower(r))
			continue
		}
		t.end()
	}
	t.tail = append([]byte(nil), b...)
	return len(p), nil
}

// end closes a word and counts the run that it completes.
func (t *textSum) end() {
	if len(t.word) == 0 {
		return
	}
	t.last[0], t.last[1], t.last[2] = t.last[1], t.last[2], string(t.word)
	t.word = t.word[:0]
	if t.words++; t.words >= 3 {
		t.vote()
	}
}

func (t *textSum) vote() {
	h := fnv.New64a()
	for _, w := range t.last {
		h.Write([]byte(w))
		h.Write([]byte{0})
	}
	for i, x := 0, h.Sum64(); i < 64; i, x = i+1, x>>1 {
		t.votes[i] += int(x&1)*2 - 1
	}
}

func (t *textSum) sum() (d hashing.Digest, size int64, fingerprint string) {
	t.sha.Sum(d[:0])
	t.end()
	if t.words == 0 {
		return d, t.size, ""
	}
	if t.words < 3 {
		t.vote()
	}
	var x uint64
	for i, v := range t.votes {
		if v > 0 {
			x |= 1 << i
		}
	}
	return d, t.size, fmt.Sprintf("%016x", x)
}
