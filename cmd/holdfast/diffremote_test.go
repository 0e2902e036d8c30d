package main

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"holdfast"
	"holdfast/api"
	"holdfast/hashing"
)

// TestRemoteObjects: what comes over the line is held against the Manifest before a byte
// of it is looked at; nothing stays in the folder for temporary files.
func TestRemoteObjects(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	good := []byte("<p>a page")
	for name, sent := range map[string]string{"good": string(good), "other bytes": "<p>b page", "longer": string(good) + "!", "cut": "<p>a", "none": ""} {
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, sent) }))
		token := api.Token{Name: "desk"}
		k, err := api.NewClient(srv.URL, token.Mint(), nil)
		if err != nil {
			t.Fatal(err)
		}
		far := &remoteSides{k: k, files: map[string]*os.File{}}
		r, err := far.object(t.Context(), holdfast.NewID(), holdfast.Object{Name: nameDOM, Digest: hashing.Of(good), Size: int64(len(good))})
		if (name == "good") != (err == nil) || err != nil && !errors.Is(err, hashing.ErrMismatch) {
			t.Errorf("%s: %v", name, err)
		}
		if err == nil {
			if b, err := io.ReadAll(r); err != nil || string(b) != string(good) {
				t.Errorf("%s: %q, %v", name, b, err)
			}
		}
		if _, err := far.object(t.Context(), holdfast.NewID(), holdfast.Object{Name: nameDOM, Digest: hashing.Of(good), Size: maxRemoteObject + 1}); err == nil {
			t.Error("one that is too large was taken")
		}
		far.Close()
		srv.Close()
	}
	if left, _ := filepath.Glob(filepath.Join(os.TempDir(), "holdfast-diff-*")); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}
