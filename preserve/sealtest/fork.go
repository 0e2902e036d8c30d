package sealtest

import (
	"context"
	"encoding/base64"
	"fmt"
	"slices"
	"sync"
	"testing"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"holdfast"
	"holdfast/hashing"
	"holdfast/preserve"
)

// Log is a transparency log in memory that can be forked: two views, signed
// with one key, that agree on a beginning and on nothing after it. Each view
// alone is right, so its proofs hold; only both together show the lie. It is
// not Tessera's code. Safe for concurrent use.
type Log struct {
	Origin string
	VKey   string

	t      testing.TB
	signer note.Signer

	mu     sync.Mutex
	leaves [][]byte
	hashes storedHashes
}

type storedHashes []tlog.Hash

// ReadHashes implements tlog.HashReader.
func (s storedHashes) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	out := make([]tlog.Hash, len(indexes))
	for i, n := range indexes {
		if n < 0 || n >= int64(len(s)) {
			return nil, fmt.Errorf("no hash %d", n)
		}
		out[i] = s[n]
	}
	return out, nil
}

// NewLog makes a log with a birth as entry 0. skey is a note signer string; ""
// draws one.
func NewLog(t testing.TB, skey string) *Log {
	t.Helper()
	if skey == "" {
		var err error
		if _, skey, _, err = preserve.NewLogKey("fork"); err != nil {
			t.Fatal(err)
		}
	}
	signer, err := note.NewSigner(skey)
	if err != nil {
		t.Fatal(err)
	}
	vkey, err := preserve.LogVKey(skey)
	if err != nil {
		t.Fatal(err)
	}
	l := &Log{Origin: signer.Name(), VKey: vkey, t: t, signer: signer}
	birth, err := (&holdfast.Birth{Node: l.Origin, Training: true}).Encode()
	if err != nil {
		t.Fatal(err)
	}
	l.Add(birth)
	return l
}

// Fork returns a second view with the same key and the same past.
func (l *Log) Fork() *Log {
	l.mu.Lock()
	defer l.mu.Unlock()
	return &Log{Origin: l.Origin, VKey: l.VKey, t: l.t, signer: l.signer, leaves: slices.Clone(l.leaves), hashes: slices.Clone(l.hashes)}
}

// Add appends a leaf and returns its index.
func (l *Log) Add(leaf []byte) int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.add(leaf)
}

func (l *Log) add(leaf []byte) int64 {
	n := int64(len(l.leaves))
	hs, err := tlog.StoredHashes(n, leaf, l.hashes)
	if err != nil {
		l.t.Fatal(err)
	}
	l.leaves, l.hashes = append(l.leaves, slices.Clone(leaf)), append(l.hashes, hs...)
	return n
}

// Append implements preserve.Appender.
func (l *Log) Append(_ context.Context, leaf []byte) (*preserve.Entry, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := l.add(leaf)
	size := n + 1
	proof, err := tlog.ProveRecord(size, n, l.hashes)
	if err != nil {
		return nil, err
	}
	inc, err := holdfast.NewInclusion(n, size, raw(proof))
	return &preserve.Entry{Index: n, Tree: l.tree(size), Checkpoint: l.checkpoint(size), Inclusion: inc}, err
}

// Newest implements preserve.Appender.
func (l *Log) Newest() (holdfast.Tree, []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	size := int64(len(l.leaves))
	return l.tree(size), l.checkpoint(size)
}

// Tree returns the log's state when it had size entries.
func (l *Log) Tree(size int64) holdfast.Tree {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.tree(size)
}

func (l *Log) tree(size int64) holdfast.Tree {
	root, err := tlog.TreeHash(size, l.hashes)
	if err != nil {
		l.t.Fatal(err)
	}
	return holdfast.Tree{Origin: l.Origin, Root: hashing.Digest(root), Size: size}
}

// Checkpoint signs the log's state when it had size entries.
func (l *Log) Checkpoint(size int64) []byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.checkpoint(size)
}

func (l *Log) checkpoint(size int64) []byte {
	t := l.tree(size)
	text, err := note.Sign(&note.Note{Text: fmt.Sprintf("%s\n%d\n%s\n", l.Origin, size, base64.StdEncoding.EncodeToString(t.Root[:]))}, l.signer)
	if err != nil {
		l.t.Fatal(err)
	}
	return text
}

// Consistency proves that this view's state of size from grew into that of to.
func (l *Log) Consistency(from, to int64) *holdfast.Consistency {
	l.mu.Lock()
	defer l.mu.Unlock()
	proof, err := tlog.ProveTree(to, from, l.hashes)
	if err != nil {
		l.t.Fatal(err)
	}
	c, err := holdfast.NewConsistency(from, to, raw(proof))
	if err != nil {
		l.t.Fatal(err)
	}
	return c
}

func raw(hs []tlog.Hash) [][]byte {
	out := make([][]byte, len(hs))
	for i := range hs {
		out[i] = hs[i][:]
	}
	return out
}
