package export_test

import (
	"archive/zip"
	"context"
	"io"
	"iter"
	"strings"
	"testing"

	"holdfast/export"
	"holdfast/messages"
	"holdfast/storage"
)

// entries reads a whole small Bundle.
func entries(t *testing.T, path string) map[string][]byte {
	t.Helper()
	z, err := zip.OpenReader(path)
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	out := map[string][]byte{}
	for _, f := range z.File {
		r, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		out[f.Name] = append([]byte{}, b...)
	}
	return out
}

// memory is a Target.
type memory struct{ b []byte }

func (m *memory) WriteAt(p []byte, off int64) (int, error) {
	if need := int(off) + len(p); need > len(m.b) {
		m.b = append(m.b, make([]byte, need-len(m.b))...)
	}
	return copy(m.b[off:], p), nil
}

// without hides the parts below a prefix, as after a crash between two writes.
type without struct {
	export.Parts
	prefix string
}

func (w *without) List(ctx context.Context, prefix string) iter.Seq2[storage.Entry, error] {
	return func(yield func(storage.Entry, error) bool) {
		for e, err := range w.Parts.List(ctx, prefix) {
			if !strings.HasPrefix(e.Name, w.prefix) && !yield(e, err) {
				return
			}
		}
	}
}

func english(t *testing.T) *messages.Catalogue {
	t.Helper()
	c, err := messages.Open()
	if err != nil {
		t.Fatal(err)
	}
	return c
}
