package s3

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"sync/atomic"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"holdfast/hashing"
	"holdfast/storage"
)

// Store is an open handle on a part of a bucket. It implements storage.Store,
// storage.ObjectLister, storage.Importer, storage.Accepter, storage.Retainer,
// storage.Eraser and storage.Inspector; every method may be called concurrently.
type Store struct {
	o     Options
	read  minio.Core // asks again by itself: what it asks changes nothing
	write minio.Core // sends once
	id    string

	folders known // names that are folders
	spooled atomic.Int64
	probed  moment // when the marker was last seen
	full    moment // when the server last said that it is full
	stopped atomic.Pointer[error]
	foreign atomic.Pointer[error] // the first foreign thing met
}

// marker is objects/holdfast.json: it says that this part of the bucket is a
// store, and which.
type marker struct {
	Kind    string `json:"kind"`
	Version int    `json:"version"`
	ID      string `json:"id"`
}

const (
	markerKey  = "objects/holdfast.json"
	markerKind = "holdfast/store"
	maxMarker  = 4 << 10
)

// Open opens the store that lies in a bucket, or with Options.Create makes one
// where there is nothing. It refuses, with what to do: keys that are not let in;
// a bucket without versioning or object lock, or with Create one with a lifecycle
// rule that hides or removes (else each start says so in its log); a server that does not know
// If-None-Match; a place where something else lies, no store at all, or another
// one than Options.ID. Where there is no store the error wraps fs.ErrNotExist. ctx is
// for the opening. The caller closes the store.
func Open(ctx context.Context, o Options) (*Store, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, fmt.Errorf("open store s3://%s/%s: %w", o.Bucket, o.Prefix, err)
	}
	s := &Store{o: o}
	if err := s.open(ctx); err != nil {
		return nil, fmt.Errorf("open store s3://%s/%s: %w", o.Bucket, o.Prefix, err)
	}
	return s, nil
}

func (s *Store) open(ctx context.Context) error {
	if err := os.MkdirAll(s.o.Spool, 0o700); err != nil {
		return err
	}
	if err := s.connect(); err != nil {
		return err
	}
	if s.o.ReadOnly {
		s.stopped.Store(&errReadOnly)
	}
	if err := s.checkBucket(ctx); err != nil {
		return err
	}
	b, err := s.readMarker(ctx)
	if errors.Is(err, fs.ErrNotExist) {
		b, err = s.begin(ctx)
	}
	if err != nil {
		return err
	}
	if err := s.checkMarker(b); err != nil || s.o.ReadOnly {
		return err
	}
	return s.checkOnce(ctx, b)
}

// connect makes two clients over one transport.
func (s *Store) connect() (err error) {
	host, secure, err := splitEndpoint(s.o.Endpoint)
	if err != nil {
		return err
	}
	t := s.o.Transport
	if t == nil {
		t = &http.Transport{
			Proxy:               http.ProxyFromEnvironment,
			DialContext:         (&net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
			MaxIdleConnsPerHost: 64,
			IdleConnTimeout:     time.Minute,
			TLSHandshakeTimeout: 10 * time.Second,
			DisableCompression:  true,
		}
	}
	t = patient{t, s.o.Wait}
	client := func(tries int) (minio.Core, error) {
		c, err := minio.NewCore(host, &minio.Options{
			Creds:  credentials.NewStaticV4(s.o.AccessKey, s.o.SecretKey, s.o.SessionToken),
			Secure: secure, Region: s.o.Region, Transport: t, MaxRetries: tries,
		})
		if err != nil {
			return minio.Core{}, err
		}
		return *c, nil
	}
	if s.read, err = client(s.o.Tries); err != nil {
		return err
	}
	s.write, err = client(1)
	return err
}

// checkBucket refuses a bucket in which bytes can be taken away or replaced.
func (s *Store) checkBucket(ctx context.Context) error {
	if err := s.checkLocks(ctx); err != nil {
		return err
	}
	if s.o.Unlocked {
		s.o.Log.Warn("the store has no lock: whoever has its keys can remove what lies there", "bucket", s.o.Bucket)
	}
	return s.checkLifecycle(ctx)
}

// errLoose: the bucket keeps nothing.
var errLoose = errors.New("make one with object lock, for instance: mc mb --with-lock ALIAS/BUCKET; lock=none takes this one all the same")

func (s *Store) checkLocks(ctx context.Context) error {
	v, err := s.read.GetBucketVersioning(ctx, s.o.Bucket)
	if err != nil {
		return fmt.Errorf("ask for versioning: %w", explain(err))
	}
	if s.o.Unlocked {
		return nil
	}
	switch v.Status {
	case minio.Enabled:
	case minio.Suspended:
		return fmt.Errorf("the versions of the bucket are suspended, so anybody with its keys can replace what is written from now on (enable them again, for instance: mc version enable ALIAS/BUCKET; or %w)", errLoose)
	default:
		return fmt.Errorf("the bucket is not versioned, so anybody with its keys can replace what lies there (%w)", errLoose)
	}
	lock, _, _, _, err := s.read.GetObjectLockConfig(ctx, s.o.Bucket)
	if c := minio.ToErrorResponse(err).Code; c == "ObjectLockConfigurationNotFoundError" || err == nil && lock != "Enabled" {
		return fmt.Errorf("the bucket has no object lock, so anybody with its keys can remove what lies there (%w)", errLoose)
	}
	if err != nil {
		return fmt.Errorf("ask for object lock: %w", explain(err))
	}
	return nil
}

func (s *Store) readMarker(ctx context.Context) ([]byte, error) {
	b, err := s.readKey(ctx, markerKey, maxMarker)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", markerKey, err)
	}
	return b, nil
}

// begin makes the marker of a new store. Two that begin at once get the same one.
func (s *Store) begin(ctx context.Context) ([]byte, error) {
	switch {
	case s.o.ID != "":
		return nil, fmt.Errorf("no store is there (%s is missing), and this node's store is %s: the bucket or the prefix is another one, or was emptied: %w", markerKey, s.o.ID, fs.ErrNotExist)
	case !s.o.Create || s.o.ReadOnly:
		return nil, fmt.Errorf("no store is there (%s is missing); `holdfast init` makes one: %w", markerKey, fs.ErrNotExist)
	}
	for info := range s.read.ListObjectsIter(ctx, s.o.Bucket, minio.ListObjectsOptions{Prefix: s.key(""), Recursive: true, WithVersions: true, MaxKeys: 1}) {
		if info.Err != nil {
			return nil, fmt.Errorf("look whether it is empty: %w", explain(info.Err))
		}
		if info.Key == s.key(markerKey) { // somebody was faster
			return s.readMarker(ctx)
		}
		return nil, fmt.Errorf("something that is no store lies there (%.200q): choose an empty bucket, or another prefix", info.Key)
	}
	var id [16]byte
	rand.Read(id[:])
	b, err := json.Marshal(marker{markerKind, 1, hex.EncodeToString(id[:])})
	if err != nil {
		return nil, err
	}
	if taken, err := s.commit(ctx, markerKey, inMemory(b)); err != nil || taken {
		return s.readMarkerAfter(ctx, err)
	}
	return b, nil
}

func (s *Store) readMarkerAfter(ctx context.Context, err error) ([]byte, error) {
	if err != nil {
		return nil, fmt.Errorf("create %s: %w", markerKey, err)
	}
	return s.readMarker(ctx)
}

func (s *Store) checkMarker(b []byte) (err error) {
	if s.id, err = parseMarker(b); err != nil {
		return err
	}
	if s.o.ID != "" && s.id != s.o.ID {
		return fmt.Errorf("another store lies there: %s, and this node's is %s (check the endpoint, the bucket and the prefix): %w", s.id, s.o.ID, storage.ErrForeign)
	}
	s.probed.set()
	return nil
}

// parseMarker returns the store's id.
func parseMarker(b []byte) (string, error) {
	var m marker
	if err := json.Unmarshal(b, &m); err != nil || m.Kind != markerKind || len(m.ID) != 32 {
		return "", fmt.Errorf("check %s: not a store's: %w", markerKey, storage.ErrForeign)
	}
	if m.Version != 1 {
		return "", fmt.Errorf("check %s: version %d, which this program does not know: use a newer one", markerKey, m.Version)
	}
	return m.ID, nil
}

// checkOnce creates the marker a second time, which must be refused: a server that
// does not know If-None-Match would replace plans and Seals without a word.
func (s *Store) checkOnce(ctx context.Context, b []byte) error {
	taken, err := s.commit(ctx, markerKey, inMemory(b))
	if err != nil {
		return fmt.Errorf("create %s again: %w", markerKey, err)
	}
	if !taken {
		return fmt.Errorf("the server let a key be written twice: it does not know If-None-Match, which write-once needs (MinIO, versitygw, Ceph from 19 and Amazon S3 do)")
	}
	return nil
}

// ID is the store's own random id, 32 hex digits. A node keeps it and gives it to
// Open from then on.
func (s *Store) ID() string { return s.id }

// Locks reports whether what is written is kept from everybody: not where
// Options.Unlocked took the bucket.
func (s *Store) Locks() bool { return !s.o.Unlocked }

// Interval is Options.Interval.
func (s *Store) Interval() time.Duration { return s.o.Interval }

// Retains is Options.Retention.
func (s *Store) Retains() time.Duration { return s.o.Retention }

// Close ends the handle: later writes are storage.ErrStopped. What others do in
// the bucket is not touched.
func (s *Store) Close() error {
	s.stopped.CompareAndSwap(nil, &errClosed)
	return nil
}

var (
	errReadOnly = errors.New("the store was opened for reading only")
	errClosed   = errors.New("the store was closed")
)

func (s *Store) key(rel string) string {
	if s.o.Prefix == "" {
		return rel
	}
	return s.o.Prefix + "/" + rel
}

func objectKey(d hashing.Digest) string {
	h := d.Hex()
	return "objects/sha256/" + h[:2] + "/" + h
}

func inMemory(b []byte) content {
	return content{r: bytes.NewReader(b), size: int64(len(b)), digest: hashing.Of(b)}
}
