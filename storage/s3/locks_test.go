package s3_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"maps"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"

	"holdfast/deploy/engines"
	"holdfast/hashing"
	"holdfast/storage"
	"holdfast/storage/s3"
)

// each key that a test has made, the marker too.
func (p place) each(t *testing.T, visit func(minio.ObjectInfo)) {
	t.Helper()
	for info := range p.raw.ListObjectsIter(t.Context(), p.bucket, minio.ListObjectsOptions{Recursive: true, WithVersions: true}) {
		must(t, info.Err)
		visit(info)
	}
}

// locksOn runs a test on both servers.
func locksOn(t *testing.T, run func(t *testing.T, server *engines.S3)) {
	t.Run("MinIO", func(t *testing.T) { run(t, engines.MinIO(t)) })
	t.Run("Versity", func(t *testing.T) { run(t, engines.Versity(t)) })
}

// TestLocks: what was written is kept from the owner of the bucket's keys too: small
// and large, Objects, names and the marker; a hold keeps it longer.
func TestLocks(t *testing.T) { locksOn(t, testLocks) }

func testLocks(t *testing.T, server *engines.S3) {
	p := newPlace(t, server, true)
	o := p.options(t)
	o.Retention, o.Interval = 9*time.Second, 3*time.Second
	s := open(t, o)
	begun := time.Now()
	writeEach(t, s, "kept")
	large := noise(6 << 20)
	d, _, err := s.Put(t.Context(), bytes.NewReader(large))
	must(t, err)
	p.each(t, func(i minio.ObjectInfo) {
		if err := p.raw.RemoveObject(t.Context(), p.bucket, i.Key, minio.RemoveObjectOptions{VersionID: i.VersionID, GovernanceBypass: true}); err == nil {
			t.Errorf("%s was removed", i.Key)
		}
	})
	object, name := storage.Key{Digest: d}, storage.Key{Name: "create/kept"}
	for _, k := range []storage.Key{object, name} {
		r, err := s.Retention(t.Context(), k)
		must(t, err)
		if left := r.Until.Sub(begun); r.Hold || left < 6*time.Second || left > 20*time.Second {
			t.Errorf("%s is kept for %v, hold %t", k, left, r.Hold)
		}
		err = s.Erase(t.Context(), k)
		var locked *storage.LockedError
		if !errors.As(err, &locked) || !errors.Is(err, storage.ErrLocked) || !locked.Until.Equal(r.Until) {
			t.Errorf("erase under a lock: %v", err)
		}
	}
	must(t, s.SetHold(t.Context(), name, true))
	must(t, s.SetHold(t.Context(), name, true))
	if r, err := s.Retention(t.Context(), name); !r.Hold || err != nil {
		t.Errorf("hold: %+v, %v", r, err)
	}
	want := time.Now().Add(15 * time.Second)
	must(t, s.Extend(t.Context(), object, want))
	must(t, s.Extend(t.Context(), object, begun.Add(time.Second))) // never shortens
	r, err := s.Retention(t.Context(), object)
	if err != nil || r.Until.Before(want) || r.Until.After(want.Add(2*time.Second)) {
		t.Errorf("extended until %v, want %v: %v", r.Until, want, err)
	}
	absent := storage.Key{Name: "not/there"}
	_, err = s.Retention(t.Context(), absent)
	for _, err := range []error{err, s.Extend(t.Context(), absent, want), s.SetHold(t.Context(), absent, true)} {
		if !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("of what is not there: %v", err)
		}
	}
	if err := s.Extend(t.Context(), storage.Key{}, want); !errors.Is(err, storage.ErrName) {
		t.Errorf("of nothing: %v", err)
	}

	for time.Now().Before(r.Until.Add(time.Second)) { // both have lapsed
		time.Sleep(100 * time.Millisecond)
	}
	err = s.Erase(t.Context(), name)
	var locked *storage.LockedError
	if !errors.As(err, &locked) || !locked.Hold {
		t.Errorf("erase under a hold: %v", err)
	}
	must(t, s.SetHold(t.Context(), name, false))
	must(t, s.Erase(t.Context(), name))
	must(t, s.Erase(t.Context(), object))
	if ok, err := s.Has(t.Context(), d); ok || err != nil {
		t.Errorf("has what was erased: %v", err)
	}
	for i := range p.raw.ListObjectsIter(t.Context(), p.bucket, minio.ListObjectsOptions{Recursive: true, WithVersions: true}) {
		if strings.Contains(i.Key, d.Hex()) || strings.HasSuffix(i.Key, "create/kept") {
			t.Errorf("%s is left, marker %t", i.Key, i.IsDeleteMarker)
		}
	}
}

// TestExtender: passes keep all that is not left out; what cannot be kept, what was
// missed and what is not known yet are alerts.
func TestExtender(t *testing.T) { locksOn(t, testExtender) }

func testExtender(t *testing.T, server *engines.S3) {
	p := newPlace(t, server, true)
	o := p.options(t)
	o.Retention, o.Interval = 12*time.Second, 4*time.Second
	s := open(t, o)
	writeEach(t, s, "kept")
	ordered, again := storage.Key{Name: "create/kept"}, storage.Key{Name: "again"}
	time.Sleep(1100 * time.Millisecond) // a server may count seconds
	must(t, s.Create(t.Context(), storage.TombstoneName(ordered.Name), strings.NewReader("x")))
	must(t, s.Create(t.Context(), storage.TombstoneName(again.Name), strings.NewReader("x")))
	must(t, s.Create(t.Context(), again.Name, strings.NewReader("came once more")))
	var told []string
	e := &s3.Extender{Store: s, Problem: func(k storage.Key, err error) { told = append(told, k.String()) }}
	if e.State(time.Now()).Alert == "" {
		t.Error("no alert before the first pass")
	}
	first, err := e.Pass(t.Context())
	must(t, err)
	const all = objectsAndNames - 1 + 3 // but for the marker and what is to be erased
	if first.Kept != all || first.Skipped != 1 || first.Lost != 0 {
		t.Errorf("first pass: %+v", first)
	}
	now := time.Now()
	for after, alert := range map[time.Duration]bool{0: false, 5 * time.Second: true, time.Minute: true} {
		if st, err := s.Marked(t.Context(), now.Add(after)); err != nil || (st.Alert != "") != alert {
			t.Errorf("the marker %v later: %+v, %v", after, st, err)
		}
	}
	if st := e.State(now); st.Alert != "" || st.Left < 8*time.Second || st.Left > 13*time.Second {
		t.Errorf("after a pass: %+v", st)
	}
	if st := e.State(now.Add(5 * time.Second)); !strings.Contains(st.Alert, "twice the interval") {
		t.Errorf("when passes were missed: %+v", st)
	}
	time.Sleep(4 * time.Second)
	second, err := e.Pass(t.Context())
	must(t, err)
	if second.Extended != all || !second.Least.After(first.Least) || e.State(time.Now()).Alert != "" {
		t.Errorf("second pass: %+v, %+v", second, e.State(time.Now()))
	}
	third, err := e.Pass(t.Context())
	must(t, err)
	if third.Extended != 0 || third.Kept != second.Kept {
		t.Errorf("a pass at once again: %+v", third)
	}

	cut, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := e.Pass(cut); !errors.Is(err, context.Canceled) {
		t.Errorf("a pass that is cut short: %v", err)
	}
	time.Sleep(3 * time.Second) // servers count whole seconds: so much less is left than a pass would give
	p.hide(t, "import/kept")
	p.put(t, "all/2/kept", []byte("written over"))
	_, err = e.Pass(t.Context())
	must(t, err)
	if st := e.State(time.Now()); st.Last.Lost != 2 || !strings.Contains(st.Alert, "2 of ") || len(told) != 2 {
		t.Errorf("what cannot be kept: %+v, told %q", st, told)
	}
	if st, err := s.Marked(t.Context(), time.Now()); err != nil || st.Left > 10500*time.Millisecond || st.Left < 6*time.Second {
		t.Errorf("a pass that lost something marks the store as kept: %+v, %v", st, err)
	}
	for { // what was left out lapses, and only that
		err := s.Erase(t.Context(), ordered)
		if err == nil {
			break
		}
		if !errors.Is(err, storage.ErrLocked) || time.Since(now) > 30*time.Second {
			t.Fatal(err)
		}
		time.Sleep(200 * time.Millisecond)
	}
	for _, k := range []storage.Key{{Name: "all/1/kept"}, again} {
		if err := s.Erase(t.Context(), k); !errors.Is(err, storage.ErrLocked) {
			t.Errorf("what was extended: %v", err)
		}
	}
}

// TestBehindItsBack: what somebody with the bucket's keys hides or writes over is never
// taken for missing, is told by every list, and its bytes are not lost.
func TestBehindItsBack(t *testing.T) { locksOn(t, testBehind) }

func testBehind(t *testing.T, server *engines.S3) {
	p := newPlace(t, server, true)
	s := p.open(t)
	writeEach(t, s, "kept")
	d := hashing.Of([]byte("kept"))
	must(t, s.Create(t.Context(), "open", strings.NewReader("the store's own")))
	f, err := s.OpenName(t.Context(), "open")
	must(t, err)
	must(t, s.Accept(t.Context()))

	p.put(t, "open", []byte("somebody else's"))
	b := make([]byte, 15)
	if _, err := f.ReadAt(b, 0); string(b) != "the store's own" {
		t.Errorf("an open name reads %q, %v", b, err)
	}
	p.hide(t, "create/kept")
	p.hide(t, objectKey(d))
	p.put(t, "Odd Name", []byte("x"))
	p.put(t, "objects/sha256/ab/odd", []byte("x"))

	_, err1 := s.OpenName(t.Context(), "create/kept")
	_, err2 := s.ReadName(t.Context(), "create/kept", 100)
	_, _, err3 := s.Open(t.Context(), d)
	_, err4 := s.Has(t.Context(), d)
	_, _, err5 := s.Put(t.Context(), strings.NewReader("kept"))
	_, err6 := s.CreateAll(t.Context(), storage.Item{Name: "create/kept"})
	_, err7 := s.Import(t.Context(), []storage.Incoming{incoming("create/kept", "x")})
	_, err8 := s.Retention(t.Context(), storage.Key{Digest: d})
	_, err9 := s.OpenUnread(d)
	if server.CA != "" { // versitygw says of a hidden key that there is none, so nobody learns it by reading
		for _, err := range []*error{&err1, &err2, &err3, &err8, &err9} {
			if !errors.Is(*err, fs.ErrNotExist) {
				t.Errorf("versitygw tells of delete markers now: %v", *err)
			}
			*err = storage.ErrForeign
		}
		err4 = storage.ErrForeign
	}
	for i, err := range []error{err1, err2, err3, err4, err5, err6, err7, err8, err9, s.Accept(t.Context()),
		s.PutDigest(t.Context(), d, 4, strings.NewReader("kept")), s.Create(t.Context(), "create/kept", strings.NewReader("x")),
		s.Erase(t.Context(), storage.Key{Digest: d}), s.Erase(t.Context(), storage.Key{Name: "open"})} {
		if !errors.Is(err, storage.ErrForeign) || errors.Is(err, fs.ErrNotExist) {
			t.Errorf("call %d on what was hidden: %v", i+1, err)
		}
	}
	wantList(t, s, map[string]bool{"Odd Name": false, "all/1/kept": true, "all/2/kept": true, "create/kept": false, "import/kept": true, "open": false})
	good, bad := 0, 0
	for o, err := range s.Objects(t.Context()) {
		if errors.Is(err, storage.ErrForeign) {
			bad++
		} else if must(t, err); o.Size > 0 {
			good++
		}
	}
	if good != 2 || bad != 2 {
		t.Errorf("%d good Objects, %d foreign", good, bad)
	}
	wantFaults(t, s, map[string]string{"Odd Name": storage.FaultForeign, "objects/sha256/ab/odd": storage.FaultForeign,
		"create/kept": storage.FaultDeleted, objectKey(d): storage.FaultDeleted, "open": storage.FaultForeign})

	// A person takes the markers away again, and all is there.
	p.each(t, func(i minio.ObjectInfo) {
		if i.IsDeleteMarker {
			must(t, p.raw.RemoveObject(t.Context(), p.bucket, i.Key, minio.RemoveObjectOptions{VersionID: i.VersionID}))
		}
	})
	again := p.open(t)
	readObject(t, again, d, []byte("kept"))
	if b, err := again.ReadName(t.Context(), "create/kept", 100); string(b) != "kept" {
		t.Errorf("read %q, %v", b, err)
	}
}

// TestShortLocks: what has too short a lock, one that its keeper may lift, or none.
func TestShortLocks(t *testing.T) {
	p := newPlace(t, engines.MinIO(t), true)
	long := p.options(t)
	long.Retention = time.Hour
	s := open(t, long)
	writeEach(t, s, "kept")
	wantFaults(t, s, nil)
	short := p.options(t)
	short.Retention, short.Interval = 30*time.Second, 10*time.Second
	must(t, open(t, short).Create(t.Context(), "short", strings.NewReader("x")))
	loose := p.options(t)
	loose.Unlocked = true
	l := open(t, loose)
	must(t, l.Create(t.Context(), "governed", strings.NewReader("x")))
	must(t, l.Create(t.Context(), "bare", strings.NewReader("x")))
	mode, until := minio.Governance, time.Now().Add(time.Hour)
	must(t, p.raw.PutObjectRetention(t.Context(), p.bucket, p.key("governed"), minio.PutObjectRetentionOptions{Mode: &mode, RetainUntilDate: &until}))
	wantFaults(t, s, map[string]string{"short": storage.FaultRetention, "governed": storage.FaultRetention, "bare": storage.FaultRetention})
	wantFaults(t, l, nil)
	time.Sleep(1100 * time.Millisecond)
	must(t, s.Create(t.Context(), storage.TombstoneName("short"), strings.NewReader("x")))
	wantFaults(t, s, map[string]string{"governed": storage.FaultRetention, "bare": storage.FaultRetention})

	// MinIO lists nothing below a key that is named as a folder.
	p.put(t, "all", []byte("x"))
	wantFaults(t, l, map[string]string{"all": storage.FaultForeign})
	if b, err := s.ReadName(t.Context(), "all/1/kept", 9); string(b) != "kept" {
		t.Errorf("read %q, %v", b, err)
	}
	n := 0
	for range s.Faults(t.Context()) {
		if n++; n == 2 {
			break
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var last error
	for _, err := range s.Faults(ctx) {
		last = err
	}
	if !errors.Is(last, context.Canceled) {
		t.Errorf("faults without time: %v", last)
	}
}

func wantFaults(t *testing.T, s *s3.Store, want map[string]string) {
	t.Helper()
	faults := map[string]string{}
	for f, err := range s.Faults(t.Context()) {
		must(t, err)
		faults[f.Name] = f.Kind
	}
	if !maps.Equal(faults, want) {
		t.Errorf("faults %v, want %v", faults, want)
	}
}

// loses carries writes out and loses their answers.
type loses struct{ http.RoundTripper }

func (l loses) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := l.RoundTripper.RoundTrip(r)
	if err == nil && r.Method == http.MethodPut {
		resp.Body.Close()
		return nil, io.ErrUnexpectedEOF
	}
	return resp, err
}

// TestLostAnswers is for a server that engines.Faulty cannot stand before.
func TestLostAnswers(t *testing.T) {
	p := newPlace(t, engines.Versity(t), true)
	o := p.options(t)
	o.Transport = loses{o.Transport}
	s := open(t, o)
	writeEach(t, s, "lost")
	oneCreates(t, s, "raced")
	checkAll(t, s, p)
}

func wantList(t *testing.T, s *s3.Store, want map[string]bool) {
	t.Helper()
	got := map[string]bool{}
	for e, err := range s.List(t.Context(), "") {
		if err != nil && !errors.Is(err, storage.ErrForeign) {
			t.Error(err)
		}
		got[e.Name] = err == nil
	}
	for n, good := range want {
		if g, there := got[n]; !there || g != good {
			t.Errorf("list: %q good %t, there %t; want %t", n, g, there, good)
		}
	}
	if len(got) != len(want) {
		t.Errorf("list: %v", got)
	}
}

// TestProbe: a handle whose bucket was emptied or exchanged under it writes no more.
func TestProbe(t *testing.T) {
	server := engines.MinIO(t)
	p := newPlace(t, server, true)
	s := p.open(t)
	must(t, s.Probe(t.Context()))
	p.put(t, "objects/holdfast.json", []byte(`{"kind":"holdfast/store","version":1,"id":"`+strings.Repeat("c", 32)+`"}`))
	if err := s.Probe(t.Context()); !errors.Is(err, storage.ErrStopped) || !errors.Is(err, storage.ErrForeign) {
		t.Errorf("another store: %v", err)
	}
	if err := s.Create(t.Context(), "a", strings.NewReader("x")); !errors.Is(err, storage.ErrStopped) {
		t.Errorf("create: %v", err)
	}
	bare := newPlace(t, server, false)
	o := bare.options(t)
	o.Unlocked = true
	s = open(t, o)
	bare.hide(t, "objects/holdfast.json") // without versions it is gone
	if err := s.Probe(t.Context()); !errors.Is(err, storage.ErrStopped) {
		t.Errorf("an emptied bucket: %v", err)
	}
	if err := s.Accept(t.Context()); !errors.Is(err, storage.ErrStopped) {
		t.Errorf("accept: %v", err)
	}
}
