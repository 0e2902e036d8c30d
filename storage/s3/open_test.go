package s3_test

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"

	"holdfast/deploy/engines"
	"holdfast/storage"
	"holdfast/storage/s3"
)

// TestOpenRefuses: whatever cannot keep the promise is refused at the start, with a
// sentence that says what to do; nothing is written by a refusal.
func TestOpenRefuses(t *testing.T) {
	server := engines.MinIO(t)
	for name, c := range map[string]struct {
		unlocked bool // the bucket
		before   func(t *testing.T, p place)
		change   func(o *s3.Options)
		says     string
		is       error
	}{
		"wrong secret":    {change: func(o *s3.Options) { o.SecretKey = "another secret" }, says: "AWS_SECRET_ACCESS_KEY"},
		"wrong key":       {change: func(o *s3.Options) { o.AccessKey = "stranger" }, says: "AWS_ACCESS_KEY_ID"},
		"no key":          {change: func(o *s3.Options) { o.SecretKey = "" }, says: "set AWS_ACCESS_KEY_ID"},
		"no bucket":       {change: func(o *s3.Options) { o.Bucket = "is-not-there" }, says: "mc mb --with-lock"},
		"no versions":     {unlocked: true, says: "not versioned"},
		"no lock":         {unlocked: true, before: func(t *testing.T, p place) { must(t, p.raw.EnableVersioning(t.Context(), p.bucket)) }, says: "no object lock"},
		"empty":           {change: func(o *s3.Options) { o.Create = false }, says: "holdfast init"},
		"emptied":         {change: func(o *s3.Options) { o.ID = strings.Repeat("a", 32) }, says: "was emptied"},
		"somebody else's": {before: func(t *testing.T, p place) { p.put(t, "holiday.jpg", []byte("x")) }, says: "holiday.jpg"},
		"another store": {before: func(t *testing.T, p place) { p.open(t) },
			change: func(o *s3.Options) { o.ID = strings.Repeat("a", 32) }, says: "another store lies there", is: storage.ErrForeign},
		"no marker":    {before: func(t *testing.T, p place) { p.put(t, "objects/holdfast.json", []byte(`{"kind":"x"}`)) }, says: "not a store's", is: storage.ErrForeign},
		"newer":        {before: func(t *testing.T, p place) { p.put(t, "objects/holdfast.json", newerMarker()) }, says: "use a newer one"},
		"hidden":       {before: func(t *testing.T, p place) { p.open(t); p.hide(t, "objects/holdfast.json") }, says: "delete marker", is: storage.ErrForeign},
		"short lock":   {change: func(o *s3.Options) { o.Retention = o.Interval * 2 }, says: "three times the interval"},
		"small parts":  {change: func(o *s3.Options) { o.PartSize = 1 << 20 }, says: "too small"},
		"bad prefix":   {change: func(o *s3.Options) { o.Prefix = "../x" }, is: storage.ErrName},
		"no spool":     {change: func(o *s3.Options) { o.Spool = "" }, says: "spool"},
		"bad endpoint": {change: func(o *s3.Options) { o.Endpoint = "ftp://x" }, says: "https://host"},
		"nobody there": {change: func(o *s3.Options) { o.Endpoint, o.Tries = "http://127.0.0.1:1", 1 }, says: "refused"},
		"overwrites": {change: func(o *s3.Options) { o.Transport = yes{o.Transport} }, before: func(t *testing.T, p place) { p.open(t) },
			says: "does not know If-None-Match"},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPlace(t, server, !c.unlocked)
			if c.before != nil {
				c.before(t, p)
			}
			o := p.options(t)
			if c.change != nil {
				c.change(&o)
			}
			before := p.versions(t)
			s, err := s3.Open(t.Context(), o)
			if err == nil {
				s.Close()
				t.Fatal("was opened")
			}
			if !strings.Contains(err.Error(), c.says) || c.is != nil && !errors.Is(err, c.is) {
				t.Errorf("says %v", err)
			}
			if strings.Contains(err.Error(), o.SecretKey) && o.SecretKey != "" {
				t.Errorf("tells the secret: %v", err)
			}
			if after := p.versions(t); after != before {
				t.Errorf("%d versions lie there, were %d", after, before)
			}
		})
	}
}

func newerMarker() []byte {
	return []byte(`{"kind":"holdfast/store","version":2,"id":"` + strings.Repeat("b", 32) + `"}`)
}

// yes is a server that takes every write and keeps none of them apart.
type yes struct{ http.RoundTripper }

func (y yes) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Method != http.MethodPut {
		return y.RoundTripper.RoundTrip(r)
	}
	return &http.Response{StatusCode: 200, Header: http.Header{}, Body: io.NopCloser(strings.NewReader("")), Request: r}, nil
}

// hide lays a delete marker over a key.
func (p place) hide(t testing.TB, rel string) {
	t.Helper()
	must(t, p.raw.RemoveObject(t.Context(), p.bucket, p.key(rel), minio.RemoveObjectOptions{}))
}

// versions counts all that lies in the bucket.
func (p place) versions(t testing.TB) (n int) {
	t.Helper()
	for info := range p.raw.ListObjectsIter(t.Context(), p.bucket, minio.ListObjectsOptions{Recursive: true, WithVersions: true}) {
		must(t, info.Err)
		n++
	}
	return n
}

// TestOpen: what is good is opened, a store has one id however many make it at once,
// and nothing but Create makes one.
func TestOpen(t *testing.T) {
	server := engines.MinIO(t)
	p := newPlace(t, server, true)
	ids := make([]string, 6)
	var wg sync.WaitGroup
	for i := range ids {
		wg.Go(func() {
			s, err := s3.Open(t.Context(), p.options(t))
			if err != nil {
				t.Error(err)
				return
			}
			ids[i] = s.ID()
		})
	}
	wg.Wait()
	if n := p.versions(t); n != 1 {
		t.Errorf("%d versions of a marker", n)
	}
	for _, id := range ids {
		if id != ids[0] || len(id) != 32 {
			t.Errorf("ids %q", ids)
		}
	}
	o := p.options(t)
	o.Create, o.ID = false, ids[0]
	open(t, o)
	bare := newPlace(t, server, false)
	o = bare.options(t)
	o.Unlocked, o.Prefix = true, ""
	s := open(t, o)
	must(t, s.Create(t.Context(), "a/b", strings.NewReader("x")))
	if err := s.Create(t.Context(), "a/b", strings.NewReader("y")); !errors.Is(err, storage.ErrExists) {
		t.Errorf("in a bucket without versions: %v", err)
	}
	if err := s.Extend(t.Context(), storage.Key{Name: "a/b"}, time.Now().Add(time.Hour)); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("a lock without object lock: %v", err)
	}
	e := s3.Extender{Store: s}
	if _, err := e.Pass(t.Context()); err == nil || e.State(time.Now()).Alert == "" {
		t.Error("a store without a lock is well")
	}
}

func TestReadOnly(t *testing.T) {
	p := newPlace(t, engines.MinIO(t), true)
	w := p.open(t)
	must(t, w.Create(t.Context(), "a", strings.NewReader("x")))
	before := p.versions(t)
	o := p.options(t)
	o.ReadOnly = true
	s := open(t, o)
	if b, err := s.ReadName(t.Context(), "a", 10); string(b) != "x" || err != nil {
		t.Errorf("read %q, %v", b, err)
	}
	_, _, err := s.Put(t.Context(), strings.NewReader("y"))
	_, err2 := s.CreateAll(t.Context(), storage.Item{Name: "b"})
	_, err3 := s.Import(t.Context(), []storage.Incoming{incoming("b", "y")})
	for _, err := range []error{err, err2, err3, s.Accept(t.Context()), s.Create(t.Context(), "b", strings.NewReader("y")),
		s.Erase(t.Context(), storage.Key{Name: "a"}), s.SetHold(t.Context(), storage.Key{Name: "a"}, true), s.Extend(t.Context(), storage.Key{Name: "a"}, time.Now().Add(time.Hour))} {
		if !errors.Is(err, storage.ErrStopped) {
			t.Errorf("a write: %v", err)
		}
	}
	if after := p.versions(t); after != before {
		t.Error("something was written")
	}
	must(t, w.Close())
	if err := w.Create(t.Context(), "c", strings.NewReader("x")); !errors.Is(err, storage.ErrStopped) {
		t.Errorf("after Close: %v", err)
	}
}

func TestParse(t *testing.T) {
	good := map[string]s3.Options{
		"s3://evidence?endpoint=https://s3.example:9000":                                 {Bucket: "evidence", Endpoint: "https://s3.example:9000"},
		"s3://evidence/offices/a/?endpoint=http://minio:9000&lock=none&region=eu-west-1": {Bucket: "evidence", Prefix: "offices/a", Endpoint: "http://minio:9000", Unlocked: true, Region: "eu-west-1"},
		"s3://evidence?retention=720h&interval=168h":                                     {Bucket: "evidence", Retention: 720 * time.Hour, Interval: 168 * time.Hour},
	}
	for text, want := range good {
		if o, err := s3.Parse(text); err != nil || o != want {
			t.Errorf("%s: %+v, %v", text, o, err)
		}
	}
	for _, text := range []string{
		"s3://key:hush@evidence?endpoint=https://x", "s3://evidence?endpoint=https://k:hush@x", "s3://evidence?secret=hush",
		"s3://evidence?lock=governance", "s3://evidence?retention=a%20month", "s3://evidence?endpoint=x", "s3://evidence?endpoint=https://x/hush",
		"s3://?endpoint=https://x", "https://evidence", "s3://evidence?region=a&region=b", "s3://evidence?region=", "s3://evid%zzence", "",
	} {
		if o, err := s3.Parse(text); err == nil || strings.Contains(err.Error(), "hush") {
			t.Errorf("%s: %+v, %v", text, o, err)
		}
	}
}
