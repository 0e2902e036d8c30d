package file_test

import (
	"bytes"
	"errors"
	"io"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"holdfast/hashing"
	"holdfast/storage"
	"holdfast/storage/file"
)

// A real full disk: a tmpfs of 2 MB.
func TestFullDisk(t *testing.T) {
	mnt := t.TempDir()
	if err := unix.Mount("tmpfs", mnt, "tmpfs", 0, "size=2m,mode=700"); err != nil {
		t.Skipf("a small file system cannot be mounted here (needs root): %v", err)
	}
	t.Cleanup(func() { must(t, unix.Unmount(mnt, 0)) })
	s := open(t, filepath.Join(mnt, "store"), file.Options{})
	small := randomBytes(1 << 20)
	d, _, err := s.Put(t.Context(), bytes.NewReader(small))
	must(t, err)
	must(t, s.Accept(t.Context()))

	big := randomBytes(4 << 20)
	_, _, err = s.Put(t.Context(), bytes.NewReader(big))
	if !errors.Is(err, storage.ErrFull) {
		t.Fatalf("put on a full disk: %v, want ErrFull", err)
	}
	if ok, err := s.Has(t.Context(), hashing.Of(big)); ok || err != nil {
		t.Fatalf("has %t, %v", ok, err)
	}
	must(t, s.Accept(t.Context())) // the spool was dropped, so there is space again

	_, _, err = s.Put(t.Context(), bytes.NewReader(randomBytes(930<<10)))
	must(t, err)
	err = s.Accept(t.Context())
	if !errors.Is(err, storage.ErrFull) {
		t.Fatalf("accept at less than 5 %% free: %v, want ErrFull", err)
	}
	t.Log(err)
	must(t, s.Create(t.Context(), "seals/1/plan.json", strings.NewReader("sealing goes on")))
	if _, err := s.CreateAll(t.Context(), storage.Item{Name: "x", Data: big}); !errors.Is(err, storage.ErrFull) {
		t.Fatalf("create on a full disk: %v, want ErrFull", err)
	}
	r, _, err := s.Open(t.Context(), d)
	must(t, err)
	defer r.Close()
	if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, small) {
		t.Fatalf("what was kept reads as %d bytes, %v", len(got), err)
	}
}
