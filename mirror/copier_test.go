package mirror_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"holdfast"
	"holdfast/deploy/engines"
	"holdfast/hashing"
	"holdfast/mirror"
	"holdfast/preserve"
	"holdfast/preserve/sealtest"
	"holdfast/storage"
	"holdfast/storage/file"
	"holdfast/storage/s3"
)

// sealed is a node with so many Seals, of one capture each.
func sealed(t *testing.T, seals int) *sealtest.Node {
	t.Helper()
	n := sealtest.NewNode(t, sealtest.NodeOptions{})
	for i := range seals {
		n.MustSeal(n.Batch(int64(i+1), 1, 100))
	}
	return n
}

func path(n *sealtest.Node, name string) string {
	return filepath.Join(n.Dir, "store", filepath.FromSlash(name))
}

func empty(t *testing.T) *file.Store {
	t.Helper()
	to, err := file.Open(filepath.Join(t.TempDir(), "to"), file.Options{MinFree: -1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { to.Close() })
	return to
}

// copies runs a Copier and returns its problems.
func copies(t *testing.T, k *mirror.Copier) (problems []string) {
	t.Helper()
	k.Problem = func(name string, err error) { problems = append(problems, name+": "+err.Error()) }
	if err := k.Look(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := k.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	return problems
}

func copyOf(t *testing.T, n *sealtest.Node) *file.Store {
	t.Helper()
	to := empty(t)
	if bad := copies(t, &mirror.Copier{From: n.Files, To: to}); len(bad) > 0 {
		t.Error(bad)
	}
	return to
}

// TestCopyWithin guards what a copy leaves out while the original grows: a state
// of the log that its newest checkpoint does not cover, in tiles, in proofs and
// in statements, and Seals whose packs are not there.
func TestCopyWithin(t *testing.T) {
	n := sealed(t, 3)
	tree, err := preserve.LastTree(t.Context(), n.Files, n.Tlog.VKey())
	if err != nil || tree.Size < 4 {
		t.Fatalf("%+v, %v", tree, err)
	}
	for size := tree.Size - 1; size >= 1; size-- { // as if these checkpoints came after the look
		if err := os.Remove(path(n, fmt.Sprintf("tlog/%s/checkpoint/%d", n.Name, size+1))); err != nil {
			t.Fatal(err)
		}
		to := copyOf(t, n)
		got, err := preserve.LastTree(t.Context(), to, n.Tlog.VKey())
		if err != nil || got.Size != size {
			t.Fatalf("log of size %d: %+v, %v", size, got, err)
		}
		statements := 0
		for e, err := range to.List(t.Context(), "") {
			if err != nil {
				t.Fatal(err)
			}
			if _, s, ok := preserve.MirrorSize(e.Name); ok && s > size {
				t.Errorf("log of size %d: %s", size, e.Name)
			}
			if _, state, ok := strings.Cut(e.Name, "/inclusion/"); ok && state > fmt.Sprintf("%s/%d.json", n.Name, size) {
				t.Errorf("log of size %d: %s", size, e.Name)
			}
			if strings.HasSuffix(e.Name, "/statement.dsse.json") {
				statements++
				if at := predicate(t, to, e.Name); at.Size > size {
					t.Errorf("log of size %d: %s was signed at size %d", size, e.Name, at.Size)
				}
			}
		}
		if statements == 0 {
			t.Errorf("log of size %d: no Seal at all was copied", size)
		}
		if _, err := preserve.RestoreTlog(t.Context(), filepath.Join(t.TempDir(), "log"), to, n.Tlog.VKey(), [][]byte{n.Signer.SPKI()}); err != nil {
			t.Errorf("log of size %d: %v", size, err)
		}
	}
}

func predicate(t *testing.T, s *file.Store, name string) holdfast.Tree {
	t.Helper()
	raw, err := s.ReadName(t.Context(), name, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	e, err := holdfast.ParseEnvelope(raw, holdfast.PayloadStatement, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	st, err := holdfast.ParseStatement(e.Payload)
	if err != nil {
		t.Fatal(err)
	}
	return st.Predicate.Checkpoint
}

// TestCopyNoGap: where a Seal is just being made, those behind it wait too.
func TestCopyNoGap(t *testing.T) {
	n := sealed(t, 3)
	plans, err := filepath.Glob(path(n, "seals/*/plan.json"))
	if err != nil || len(plans) < 3 {
		t.Fatalf("%d plans, %v", len(plans), err)
	}
	seal := filepath.Base(filepath.Dir(plans[1]))
	packs, err := filepath.Glob(path(n, "cases/*/packs/"+seal+".zip"))
	if err != nil || len(packs) == 0 {
		t.Fatalf("packs of %s: %v", seal, err)
	}
	parts, err := filepath.Glob(filepath.Join(filepath.Dir(plans[1]), "*"))
	for _, name := range append(parts, packs...) {
		if name != plans[1] {
			err = errors.Join(err, os.RemoveAll(name))
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	to := copyOf(t, n)
	for e, err := range to.List(t.Context(), "seals/") {
		if err != nil {
			t.Fatal(err)
		}
		if id := strings.Split(e.Name, "/")[1]; id >= seal {
			t.Errorf("%s was copied, though %s is just being made", e.Name, seal)
		}
	}
}

// ordered is a target that remembers in which order things came into it, and is cut
// off after so many of them.
type ordered struct {
	mirror.Target
	names []string
	cut   int // 0: never
}

var errCut = errors.New("cut")

func (o *ordered) Import(ctx context.Context, in []storage.Incoming) (int64, error) {
	left := len(in)
	if o.cut > 0 {
		left = min(left, o.cut-len(o.names))
	}
	size, err := o.Target.Import(ctx, in[:left])
	for _, i := range in[:left] {
		o.names = append(o.names, i.Name)
	}
	if err == nil && left < len(in) {
		err = errCut
	}
	return size, err
}

// TestCopyCut guards what a copy that was cut short holds, wherever it was: no Seal
// without its packs, no checkpoint without its tiles; and that the next run makes it
// whole. In a bucket as in a directory.
func TestCopyCut(t *testing.T) {
	t.Run("file", func(t *testing.T) { copyCut(t, func() mirror.Target { return empty(t) }) })
	t.Run("s3", func(t *testing.T) {
		server := engines.MinIO(t)
		copyCut(t, func() mirror.Target { return emptyBucket(t, server) })
	})
}

func emptyBucket(t *testing.T, server *engines.S3) *s3.Store {
	t.Helper()
	c, err := minio.New(strings.TrimPrefix(server.Endpoint, "http://"), &minio.Options{Creds: credentials.NewStaticV4(server.AccessKey, server.SecretKey, ""), Region: server.Region})
	if err != nil {
		t.Fatal(err)
	}
	name := "mirror-" + string(holdfast.NewID())
	if err := c.MakeBucket(t.Context(), name, minio.MakeBucketOptions{ObjectLocking: true}); err != nil {
		t.Fatal(err)
	}
	s, err := s3.Open(t.Context(), s3.Options{Endpoint: server.Endpoint, Region: server.Region, Bucket: name, Prefix: "m", AccessKey: server.AccessKey, SecretKey: server.SecretKey,
		Create: true, Retention: time.Minute, Interval: 20 * time.Second, Spool: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func copyCut(t *testing.T, empty func() mirror.Target) {
	n := sealed(t, 1)
	if _, _, err := n.Files.Put(t.Context(), strings.NewReader("object")); err != nil {
		t.Fatal(err)
	}
	whole := &ordered{Target: empty()}
	if bad := copies(t, &mirror.Copier{From: n.Files, To: whole}); len(bad) > 0 || whole.names[0] != "" {
		t.Fatal(bad, whole.names)
	}
	for cut := 1; cut < len(whole.names); cut++ {
		to := &ordered{Target: empty(), cut: cut}
		k := &mirror.Copier{From: n.Files, To: to, Problem: func(name string, err error) { t.Errorf("%s: %v", name, err) }}
		if err := errors.Join(k.Look(t.Context()), k.Run(t.Context())); !errors.Is(err, errCut) {
			t.Fatalf("cut at %d: %v", cut, err)
		}
		for e, err := range to.List(t.Context(), "") {
			if err != nil {
				t.Fatal(err)
			}
			if err := stands(t, to.Target, e.Name); err != nil {
				t.Errorf("cut at %d: %s: %v", cut, e.Name, err)
			}
		}
		to.cut = 0
		if bad := copies(t, &mirror.Copier{From: n.Files, To: to, Check: true}); len(bad) > 0 || len(to.names) != len(whole.names) {
			t.Errorf("cut at %d, and again: %d of %d files, %v", cut, len(to.names), len(whole.names), bad)
		}
	}
}

// stands reports what is missing of a name that is there.
func stands(t *testing.T, s mirror.Source, name string) error {
	seal, part, _ := strings.Cut(strings.TrimPrefix(name, "seals/"), "/")
	if strings.HasPrefix(name, "seals/") {
		raw, err := s.ReadName(t.Context(), "seals/"+seal+"/plan.json", holdfast.MaxDocument)
		if err != nil {
			return err
		}
		p, err := holdfast.ParsePlan(raw)
		if err != nil {
			return err
		}
		for _, k := range p.Packs {
			if _, err := s.ReadName(t.Context(), k.Name, 1<<30); err != nil {
				return err
			}
		}
		if state, ok := strings.CutPrefix(part, "inclusion/"); ok {
			_, err := s.ReadName(t.Context(), "tlog/"+strings.Replace(strings.TrimSuffix(state, ".json"), "/", "/checkpoint/", 1), 1<<20)
			return err
		}
		return nil
	}
	origin, _, ok := preserve.MirrorSize(name)
	if !ok || !strings.Contains(name, "/checkpoint/") {
		return nil
	}
	for range s.List(t.Context(), "tlog/"+origin+"/tile/") {
		return nil
	}
	return errors.New("a checkpoint without tiles")
}

// plainSource hides what a file store has besides.
type plainSource struct{ mirror.Source }

// TestCopyDamaged guards that what has decayed is said, in a run that copies or,
// later, in one that checks; that nothing else is kept from being copied; and that a
// source which cannot open an Object unread gives the same.
func TestCopyDamaged(t *testing.T) {
	n := sealed(t, 1)
	var ds []hashing.Digest
	for i := range 3 {
		d, _, err := n.Files.Put(t.Context(), strings.NewReader(fmt.Sprint("object ", i)))
		if err != nil {
			t.Fatal(err)
		}
		ds = append(ds, d)
	}
	early := copyOf(t, n)
	bad := path(n, "objects/sha256/"+ds[1].Hex()[:2]+"/"+ds[1].Hex())
	if err := errors.Join(os.Chmod(bad, 0o600), os.WriteFile(bad, []byte("obstacle"), 0o600), os.Chmod(bad, 0o400)); err != nil {
		t.Fatal(err)
	}
	for name, from := range map[string]mirror.Source{"file": n.Files, "plain": plainSource{n.Files}} {
		to := empty(t)
		got := copies(t, &mirror.Copier{From: from, To: to})
		if len(got) != 1 || !strings.Contains(got[0], ds[1].Hex()) {
			t.Errorf("%s: problems %q", name, got)
		}
		for i, d := range ds {
			if has, err := to.Has(t.Context(), d); err != nil || has != (i != 1) {
				t.Errorf("%s: object %d is there: %t, %v", name, i, has, err)
			}
		}
		if tree, err := preserve.LastTree(t.Context(), to, n.Tlog.VKey()); err != nil || tree.Size < 2 {
			t.Errorf("%s: the log was not copied: %+v, %v", name, tree, err)
		}
	}
	if got := copies(t, &mirror.Copier{From: n.Files, To: early}); len(got) != 0 {
		t.Errorf("of the same size, unread: %q", got)
	}
	if got := copies(t, &mirror.Copier{From: n.Files, To: early, Check: true}); len(got) != 1 || !strings.Contains(got[0], ds[1].Hex()) {
		t.Errorf("checked: %q", got)
	}
}

// TestCopyOnly guards that what only the copy has is said: the source is an older
// state of it.
func TestCopyOnly(t *testing.T) {
	n := sealed(t, 1)
	to := copyOf(t, n)
	if err := to.Create(t.Context(), "cases/x/packs/y", bytes.NewReader(nil)); err != nil {
		t.Fatal(err)
	}
	got := copies(t, &mirror.Copier{From: n.Files, To: to})
	if len(got) != 1 || !strings.Contains(got[0], mirror.ErrOnlyCopy.Error()) {
		t.Errorf("%q", got)
	}
}
