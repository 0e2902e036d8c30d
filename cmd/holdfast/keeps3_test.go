package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"holdfast/deploy/engines"
)

// TestKeepS3 guards, on a real MinIO, that a node moves into a bucket and works there;
// that a hold of a Case is a legal hold on what the Case has, and refuses an erasure;
// that an erasure under a lock erases nothing that could be read, says from when it can
// run, and runs then, leaving no version of the bytes; and that an audit tells a version
// that somebody has hidden.
func TestKeepS3(t *testing.T) {
	m := engines.MinIO(t)
	u, err := url.Parse(m.Endpoint)
	if err != nil {
		t.Fatal(err)
	}
	s3, err := minio.New(u.Host, &minio.Options{Creds: credentials.NewStaticV4(m.AccessKey, m.SecretKey, ""), Secure: u.Scheme == "https"})
	if err != nil {
		t.Fatal(err)
	}
	if err := s3.MakeBucket(t.Context(), "keep", minio.MakeBucketOptions{ObjectLocking: true}); err != nil {
		t.Fatal(err)
	}
	t.Setenv("AWS_ACCESS_KEY_ID", m.AccessKey)
	t.Setenv("AWS_SECRET_ACCESS_KEY", m.SecretKey)
	w := newKillWorld(t)
	file, big := filepath.Join(w.dir, "file.txt"), filepath.Join(w.dir, "big.bin")
	for name, b := range map[string]string{file: "SECRETWORD", big: "BIGWORD" + strings.Repeat("x", 1<<20)} {
		if err := os.WriteFile(name, []byte(b), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	_, rest, _ := strings.Cut(w.must("add", file, big, "--case", "one", "--giver", "nobody", "--json"), `"event":"sealed","id":"`)
	id := rest[:32]
	w.must("seal", "--wait", "1m")
	keep := 45 * time.Second
	to := fmt.Sprintf("s3://keep/office?endpoint=%s&region=%s&retention=%s&interval=%s", url.QueryEscape(m.Endpoint), m.Region, keep, keep/9)
	w.must("move", "--to", to)
	if err := os.Rename(filepath.Join(w.data, "store"), filepath.Join(w.dir, "store.old")); err != nil {
		t.Fatal(err)
	}
	w.must("show", id)
	fails := func(code int, says string, args ...string) string {
		t.Helper()
		cmd := exec.Command(w.bin, args...)
		cmd.Env = append(os.Environ(), "HOLDFAST_DATA="+w.data)
		out, err := cmd.CombinedOutput()
		x := (*exec.ExitError)(nil)
		if !errors.As(err, &x) || x.ExitCode() != code || !strings.Contains(string(out), says) {
			t.Fatalf("%v: %v, want exit %d and %q\n%s", args, err, code, says, out)
		}
		return string(out)
	}
	held := func() (n int) {
		for o := range s3.ListObjectsIter(t.Context(), "keep", minio.ListObjectsOptions{Recursive: true}) {
			st, err := s3.GetObjectLegalHold(t.Context(), "keep", o.Key, minio.GetObjectLegalHoldOptions{})
			if err == nil && st != nil && *st == minio.LegalHoldEnabled {
				n++
			}
		}
		return n
	}
	w.must("hold", "one", "on", "--reason", "the defence asks")
	if n := held(); n != 2 {
		t.Errorf("%d things are under a legal hold, want a pack and an object", n)
	}
	fails(1, "under the hold of case one", "erase", id, "--order", "Court 4", "--reason", "privacy")
	w.must("hold", "one", "off")
	if n := held(); n != 0 {
		t.Errorf("%d things are still under a legal hold", n)
	}
	out := fails(3, "erases them from 2", "erase", id, "--order", "Court 4", "--reason", "privacy")
	if !strings.Contains(out, "a lock of the store keeps bytes") {
		t.Error(out)
	}
	w.must("audit", "--all")
	w.must("locks") // it makes longer what has no tombstone alone
	if out := w.must("show", id); strings.Count(out, "erased by order") < 2 {
		t.Error(out)
	}
	deadline := time.Now().Add(4 * keep)
	for {
		cmd := exec.Command(w.bin, "erase", "--resume")
		cmd.Env = append(os.Environ(), "HOLDFAST_DATA="+w.data)
		if out, err := cmd.CombinedOutput(); err == nil {
			break
		} else if time.Now().After(deadline) {
			t.Fatalf("not erased after %v: %s", 4*keep, out)
		}
		time.Sleep(3 * time.Second)
	}
	if words := versionsWith(t, s3, "SECRETWORD", "BIGWORD"); len(words) > 0 {
		t.Errorf("still there: %v", words)
	}
	bytesGone(t, w.data, "the node", "SECRETWORD", "BIGWORD")
	fails(3, "shortened-retention", "audit", "--all") // nobody has made it longer meanwhile
	if cmd := exec.Command(w.bin, "locks"); true {
		cmd.Env = append(os.Environ(), "HOLDFAST_DATA="+w.data)
		out, _ := cmd.CombinedOutput() // it says that a pass was missed
		t.Logf("%s", out)
	}
	w.must("audit", "--all")
	w.must("rebuild")
	// Somebody hides a pack behind the store's back.
	for o := range s3.ListObjectsIter(t.Context(), "keep", minio.ListObjectsOptions{Recursive: true}) {
		if strings.Contains(o.Key, "/packs/") {
			if err := s3.RemoveObject(t.Context(), "keep", o.Key, minio.RemoveObjectOptions{}); err != nil {
				t.Fatal(err)
			}
			break
		}
	}
	fails(3, "delete-marker", "audit", "--all")
}

// versionsWith are the keys of which any version has one of these words.
func versionsWith(t *testing.T, s3 *minio.Client, words ...string) (keys []string) {
	for o := range s3.ListObjectsIter(context.WithoutCancel(t.Context()), "keep", minio.ListObjectsOptions{Recursive: true, WithVersions: true}) {
		if o.IsDeleteMarker {
			continue
		}
		r, err := s3.GetObject(t.Context(), "keep", o.Key, minio.GetObjectOptions{VersionID: o.VersionID})
		if err != nil {
			t.Fatal(err)
		}
		b := make([]byte, 2<<20)
		n := 0
		for n < len(b) {
			k, err := r.Read(b[n:])
			n += k
			if err != nil {
				break
			}
		}
		r.Close()
		for _, word := range words {
			if strings.Contains(string(b[:n]), word) {
				keys = append(keys, o.Key)
			}
		}
	}
	return keys
}
