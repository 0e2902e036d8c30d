package s3_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"holdfast/deploy/engines"
	"holdfast/storage"
)

// TestPutAgain: who puts an Object that is there, and whose lock is left to lapse since its
// erasure was ordered, has it locked as if it were new: the node that erases does not
// know of him yet, and the server keeps what he was told is there. One whose lock is
// long enough costs no request more.
func TestPutAgain(t *testing.T) {
	p := newPlace(t, engines.MinIO(t), true)
	o := p.options(t)
	o.Retention, o.Interval = time.Hour, time.Minute
	s := open(t, o)
	d, _, err := s.Put(t.Context(), strings.NewReader("x"))
	must(t, err)
	k := storage.Key{Digest: d}
	first, err := s.Retention(t.Context(), k)
	must(t, err)
	long := open(t, o)
	_, _, err = long.Put(t.Context(), strings.NewReader("x"))
	must(t, err)
	if r, err := s.Retention(t.Context(), k); err != nil || !r.Until.Equal(first.Until) {
		t.Errorf("kept until %v, and until %v at once again: %v", first.Until, r.Until, err)
	}
	must(t, s.Create(t.Context(), storage.TombstoneName(storage.ObjectName(d)), strings.NewReader("ordered")))
	o.Retention, o.Interval = 3*time.Hour, 40*time.Minute // as if much of it had gone by
	must(t, open(t, o).PutDigest(t.Context(), d, 1, strings.NewReader("x")))
	r, err := s.Retention(t.Context(), k)
	if err != nil || r.Until.Sub(first.Until) < time.Hour {
		t.Errorf("kept until %v, put again until %v: %v", first.Until, r.Until, err)
	}
	if err := s.Erase(t.Context(), k); !errors.Is(err, storage.ErrLocked) {
		t.Errorf("erased: %v", err)
	}
}
