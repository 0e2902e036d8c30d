package s3_test

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"holdfast/deploy/engines"
	"holdfast/hashing"
	"holdfast/storage"
	"holdfast/storage/s3"
	"holdfast/storage/storagetest"
)

// place is a bucket of a test's own, with a client that has no manners.
type place struct {
	server *engines.S3
	raw    *minio.Client
	bucket string
}

func newPlace(t testing.TB, server *engines.S3, lock bool) place {
	t.Helper()
	var random [6]byte
	rand.Read(random[:])
	p := place{server, rawClient(t, server), "b-" + hex.EncodeToString(random[:])}
	must(t, p.raw.MakeBucket(t.Context(), p.bucket, minio.MakeBucketOptions{Region: server.Region, ObjectLocking: lock}))
	return p
}

func rawClient(t testing.TB, server *engines.S3) *minio.Client {
	t.Helper()
	host, secure := server.Endpoint[len("http://"):], false
	if server.CA != "" {
		host, secure = server.Endpoint[len("https://"):], true
	}
	c, err := minio.New(host, &minio.Options{Creds: credentials.NewStaticV4(server.AccessKey, server.SecretKey, ""), Secure: secure, Region: server.Region, Transport: transport(t, server)})
	must(t, err)
	return c
}

func transport(t testing.TB, server *engines.S3) http.RoundTripper {
	return &http.Transport{TLSClientConfig: server.TLS(t), MaxIdleConnsPerHost: 32}
}

// options are quick ones: a test waits for what a person would not.
func (p place) options(t testing.TB) s3.Options {
	return s3.Options{
		Endpoint: p.server.Endpoint, Region: p.server.Region, Bucket: p.bucket, Prefix: "offices/a",
		AccessKey: p.server.AccessKey, SecretKey: p.server.SecretKey, Create: true,
		Retention: time.Minute, Interval: 20 * time.Second, Spool: t.TempDir(), PartSize: 5 << 20,
		Wait: 20 * time.Second, Tries: 3, Transport: transport(t, p.server),
	}
}

func (p place) open(t testing.TB) *s3.Store {
	t.Helper()
	return open(t, p.options(t))
}

func open(t testing.TB, o s3.Options) *s3.Store {
	t.Helper()
	s, err := s3.Open(t.Context(), o)
	must(t, err)
	t.Cleanup(func() { s.Close() })
	return s
}

func (p place) key(rel string) string { return "offices/a/" + rel }

func objectKey(d hashing.Digest) string { return "objects/sha256/" + d.Hex()[:2] + "/" + d.Hex() }

func (p place) get(t testing.TB, rel string) []byte {
	t.Helper()
	o, err := p.raw.GetObject(t.Context(), p.bucket, p.key(rel), minio.GetObjectOptions{})
	must(t, err)
	defer o.Close()
	b, err := io.ReadAll(o)
	must(t, err)
	return b
}

// put writes without asking whether something is there.
func (p place) put(t testing.TB, rel string, b []byte) {
	t.Helper()
	_, err := p.raw.PutObject(t.Context(), p.bucket, p.key(rel), bytes.NewReader(b), int64(len(b)), minio.PutObjectOptions{SendContentMd5: true, DisableContentSha256: true})
	must(t, err)
}

// damageable is a store whose bucket the suite may change.
type damageable struct {
	*s3.Store
	place
}

func (d damageable) Corrupt(t *testing.T, o hashing.Digest) {
	b := d.get(t, objectKey(o))
	b[len(b)/2] ^= 1
	d.place.put(t, objectKey(o), b)
}

func (d damageable) Shorten(t *testing.T, o hashing.Digest) {
	b := d.get(t, objectKey(o))
	d.place.put(t, objectKey(o), b[:len(b)-1])
}

func (d damageable) Reopen(t *testing.T) storage.Store { return d.open(t) }

func TestMinIO(t *testing.T)   { suite(t, engines.MinIO(t)) }
func TestVersity(t *testing.T) { suite(t, engines.Versity(t)) }

func suite(t *testing.T, server *engines.S3) {
	storagetest.Test(t, func(t *testing.T) storage.Store {
		p := newPlace(t, server, true)
		o := p.options(t)
		o.Unlocked = strings.HasSuffix(t.Name(), "/Erase") // what is locked is not erased: TestLocks
		return damageable{open(t, o), p}
	})
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
