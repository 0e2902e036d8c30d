package storagetest

import (
	"bytes"
	"io/fs"
	"testing"

	"holdfast/storage"
)

// testErase: what is erased is gone for every handle and out of the lists, what lies
// beside it stays, twice is as once, and the name is free again.
func testErase(t *testing.T, s storage.Store) {
	e, ok := s.(storage.Eraser)
	if !ok {
		t.Skip("the store under test does not erase")
	}
	d, kept := put(t, s, []byte("to be erased")), put(t, s, []byte("kept"))
	create(t, s, "cases/a/packs/x.zip", "old")
	create(t, s, "cases/a/packs/y.zip", "kept")
	for range 2 {
		if err := e.Erase(t.Context(), storage.Key{Digest: d}); err != nil {
			t.Fatal(err)
		}
		if err := e.Erase(t.Context(), storage.Key{Name: "cases/a/packs/x.zip"}); err != nil {
			t.Fatal(err)
		}
	}
	if err := e.Erase(t.Context(), storage.Key{Name: "never/was"}); err != nil {
		t.Errorf("what never was: %v", err)
	}
	wantErr(t, e.Erase(t.Context(), storage.Key{Name: "../x"}), storage.ErrName)
	for _, s := range handles(t, s) {
		_, _, err := s.Open(t.Context(), d)
		wantErr(t, err, fs.ErrNotExist)
		_, err = s.OpenName(t.Context(), "cases/a/packs/x.zip")
		wantErr(t, err, fs.ErrNotExist)
		if has, err := s.Has(t.Context(), d); has || err != nil {
			t.Errorf("has what was erased: %v, %v", has, err)
		}
		wantObject(t, s, kept, []byte("kept"))
		wantName(t, s, "cases/a/packs/y.zip", "kept")
		for e, err := range s.List(t.Context(), "") {
			if err != nil || e.Name != "cases/a/packs/y.zip" {
				t.Errorf("list after an erasure: %v, %v", e, err)
			}
		}
		if l, ok := s.(storage.ObjectLister); ok {
			for o, err := range l.Objects(t.Context()) {
				if err != nil || o.Digest != kept {
					t.Errorf("objects after an erasure: %v, %v", o, err)
				}
			}
		}
	}
	create(t, s, "cases/a/packs/x.zip", "again")
	wantName(t, s, "cases/a/packs/x.zip", "again")
	if _, _, err := s.Put(t.Context(), bytes.NewReader([]byte("to be erased"))); err != nil {
		t.Error(err)
	}
	wantObject(t, s, d, []byte("to be erased"))
}
