package pipeline_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"strings"
	"testing"
	"time"

	"holdfast"
	"holdfast/collectors"
	"holdfast/hashing"
	"holdfast/pipeline"
	"holdfast/storage"
)

type space struct{ err error }

func (s space) Accept(context.Context) error { return s.err }

type bench struct {
	*pipeline.Intake
	q    queue
	task pipeline.Task
}

func newIntake(t *testing.T) *bench {
	dir := t.TempDir()
	q, store := openQueue(t, dir), openStore(t, dir)
	o := openOutbox(t, dir, q)
	home := holdfast.NewID()
	_, err := o.Append(t.Context(), pipeline.Entry{Case: home, Action: "opened"})
	must(t, err)
	_, err = q.AddTasks(t.Context(), pipeline.Task{Source: "https://example.org/", Case: home,
		Agent: holdfast.Agent{Pseudonym: "kelp"}, Found: holdfast.Found{Why: "a test"}})
	must(t, err)
	got, err := q.Take(t.Context(), pipeline.Want{})
	must(t, err)
	return &bench{&pipeline.Intake{Queue: q, Store: store, Space: store, Heads: o, Facts: facts}, q, got[0]}
}

func inline(name string, b []byte) collectors.Object {
	return collectors.Object{Name: name, Role: "source", MediaType: "text/html", Size: int64(len(b)), Digest: hashing.Of(b), Inline: b}
}

func acquired(o ...collectors.Object) *collectors.Acquired {
	now := time.Date(2026, 5, 6, 7, 8, 9, 123456789, time.FixedZone("x", 3600))
	return &collectors.Acquired{Started: now, Ended: now.Add(time.Second), Outcome: collectors.Partial, Objects: o,
		Reasons: []collectors.Reason{{Code: "time-budget", Detail: "after 30 s \xff"}},
		Address: collectors.Address{Asked: "https://example.org/", Final: "https://example.org/x", Redirects: []collectors.Hop{{URL: "https://example.org/", Status: 301}}},
		Collection: collectors.Collection{Software: "web 1", Browser: "Chromium 120.0.1", Flags: []string{"--headless"}, Protocols: []string{"http/1.1"},
			Peer: collectors.Peer{Host: "example.org", Address: "192.0.2.1:443", Resolved: []string{"192.0.2.1"},
				TLS: &collectors.TLS{Version: "TLS 1.3", Chain: []hashing.Digest{hashing.Of([]byte("leaf"))}, Verdict: "ok", Verified: true}}},
		Completeness: collectors.Completeness{Requests: 7, Missing: []collectors.Miss{{URL: "https://a/", Why: "no answer"}, {Kind: collectors.MissBlocked, URL: "https://b/", Why: "blocked: private"}}}}
}

func TestIntake(t *testing.T) {
	in := newIntake(t)
	large := bytes.Repeat([]byte("large "), 100000)
	d, n, err := in.Store.(storage.Store).Put(t.Context(), bytes.NewReader(large))
	must(t, err)
	secret := bytes.Repeat([]byte{7}, 32)
	o := collectors.Object{Name: "page.wacz", Role: "wacz", MediaType: "application/wacz", Size: n, Digest: d, Kept: true, SliceSecret: secret,
		Slices: []collectors.Slice{{Name: "a", Offset: 6, Length: 5}, {Name: "b", Offset: 100, Length: 0}, {Name: "c", Offset: n - 10, Length: 10}}}
	got, err := in.Accept(t.Context(), in.task, acquired(inline("source.html", []byte("<p>kelp")), o), in.task.Finish())
	must(t, err)
	c := events(t, in.q)[got.ID]
	m := c.Manifest
	if got.Position != 2 || got.ID != in.task.Capture() || m.Case != in.task.Case || m.Custody.Length != 1 || m.Agent != in.task.Agent || m.Found != in.task.Found {
		t.Fatalf("manifest %+v", m)
	}
	if m.Started.String() != "2026-05-06T06:08:09.123Z" || m.Completeness.Outcome != "partial" || m.Completeness.Reasons[0] != "time-budget: after 30 s \uFFFD" ||
		len(m.Completeness.Failed) != 1 || len(m.Completeness.Blocked) != 1 || m.Web.Redirects[0].Status != 301 || m.Collection.Browser.Name != "Chromium" ||
		m.Collection.Browser.Version != "120.0.1" || m.Collection.Server.TLS.Chain[0] != hashing.Of([]byte("leaf")).Hex() || m.Collection.Egress != "unknown" ||
		!strings.Contains(string(m.X), `"software":"web 1"`) {
		t.Fatalf("manifest %+v", m)
	}
	if len(c.Inline) != 2 || !bytes.Equal(c.Inline["page.wacz.secret"], secret) || !m.Object("page.wacz.secret").Restricted {
		t.Fatalf("inline %v", c.Inline)
	}
	for i, s := range m.Object("page.wacz").Slices {
		h := sha256.Sum256(append(holdfast.SliceSalt(secret, s.Name), large[s.Offset:s.Offset+s.Length]...))
		if s.Commitment != hashing.Digest(h) || s.Name != string("abc"[i]) {
			t.Fatalf("slice %+v", s)
		}
	}
	if again, err := in.Accept(t.Context(), in.task, acquired(), in.task.Finish()); !errors.Is(err, pipeline.ErrLease) {
		t.Fatalf("a task that is gone: %+v, %v", again, err)
	}
}

func TestIntakeRefuses(t *testing.T) {
	in := newIntake(t)
	absent := collectors.Object{Name: "a", Role: "wacz", MediaType: "a/b", Digest: hashing.Of([]byte("nowhere")), Kept: true}
	wrong := inline("a", []byte("x"))
	wrong.Digest = hashing.Of([]byte("y"))
	slices := inline("a", []byte("abc"))
	slices.SliceSecret = make([]byte, 32)
	slices.Slices = []collectors.Slice{{Name: "s", Offset: 2, Length: 2}}
	for name, a := range map[string]*collectors.Acquired{
		"object that is not in the store": acquired(absent), "wrong digest": acquired(wrong), "slice past the end": acquired(slices),
		"a name twice": acquired(inline("a", nil), inline("a", []byte("b"))), "bad name": acquired(inline("../a", nil)),
	} {
		if _, err := in.Accept(t.Context(), in.task, a, in.task.Finish()); err == nil {
			t.Errorf("%s was accepted", name)
		}
	}
	store := in.Space
	in.Space = space{storage.ErrFull}
	if _, err := in.Accept(t.Context(), in.task, acquired(), in.task.Finish()); !errors.Is(err, storage.ErrFull) {
		t.Errorf("full store: %v", err)
	}
	in.Space = store
	unopened := in.task
	unopened.Case = holdfast.NewID()
	if _, err := in.Accept(t.Context(), unopened, acquired(), nil); err == nil {
		t.Error("a case that was never opened was accepted")
	}
	if n := len(events(t, in.q)); n != 1 {
		t.Errorf("%d messages after refusals, want the opening of the case only", n)
	}
	_, err := in.Accept(t.Context(), in.task, acquired(), in.task.Finish()) // the task is still there
	must(t, err)
}

// TestIntakeCommits: the commitments of slices are those of the bytes, whether they ride
// inline or lie in the store; a slice that is not inside its Object is refused.
func TestIntakeCommits(t *testing.T) {
	in := newIntake(t)
	body := bytes.Repeat([]byte("0123456789"), 30)
	d, n, err := in.Store.(storage.Store).Put(t.Context(), bytes.NewReader(body))
	must(t, err)
	secret := bytes.Repeat([]byte{7}, 32)
	object := func(kept bool, slices ...collectors.Slice) collectors.Object {
		o := collectors.Object{Name: "a.tl", Role: "answer", MediaType: "application/octet-stream", Size: n, Digest: d, Kept: kept, SliceSecret: secret, Slices: slices}
		if !kept {
			o.Inline = body
		}
		return o
	}
	all := []collectors.Slice{{Name: "a", Offset: 0, Length: 7}, {Name: "b", Offset: 7, Length: 0}, {Name: "c", Offset: 10, Length: n - 10}}
	for _, kept := range []bool{false, true} {
		got, err := in.AcceptAll(t.Context(), []pipeline.Step{{Task: in.task, Acquired: acquired(object(kept, all...))}}, nil)
		must(t, err)
		c := events(t, in.q)[got[0].ID]
		for i, s := range c.Manifest.Object("a.tl").Slices {
			h := sha256.Sum256(append(holdfast.SliceSalt(secret, all[i].Name), body[all[i].Offset:all[i].Offset+all[i].Length]...))
			if s.Commitment != hashing.Digest(h) || s.Offset != all[i].Offset || s.Length != all[i].Length {
				t.Errorf("kept %t: slice %+v", kept, s)
			}
		}
		in.task.Attempt++ // another Capture
		for _, bad := range [][]collectors.Slice{{{Name: "a", Offset: n - 1, Length: 2}}, {{Name: "a", Offset: n + 1}}, {{Name: "a", Offset: 5, Length: 1<<63 - 2}},
			{{Name: "a", Offset: 1, Length: 4}, {Name: "b", Offset: 4, Length: 1}}, {{Name: "a", Offset: 1, Length: -1}}, {{Name: "a", Offset: -1, Length: 2}}} {
			if _, err := in.AcceptAll(t.Context(), []pipeline.Step{{Task: in.task, Acquired: acquired(object(kept, bad...))}}, nil); err == nil {
				t.Errorf("kept %t: %+v was accepted", kept, bad)
			}
		}
	}
}

func TestIntakeSpills(t *testing.T) {
	in := newIntake(t)
	big, small := bytes.Repeat([]byte("b"), pipeline.MaxInline), []byte("small")
	got, err := in.Accept(t.Context(), in.task, acquired(inline("big", big), inline("small", small)), in.task.Finish())
	must(t, err)
	c := events(t, in.q)[got.ID]
	if there, err := in.Store.Has(t.Context(), hashing.Of(big)); err != nil || !there || len(c.Inline) != 1 || c.Manifest.Object("big").Size != int64(len(big)) {
		t.Fatalf("there %v %v, inline %d", there, err, len(c.Inline))
	}
}

// What a Normaliser does wrong changes nothing but what it would have derived.
func TestNormaliseFails(t *testing.T) {
	add := func(o ...pipeline.DerivedObject) func() (*pipeline.Derived, error) {
		return func() (*pipeline.Derived, error) { return &pipeline.Derived{Objects: o}, nil }
	}
	good := pipeline.DerivedObject{Name: "page.json", Role: "page", Type: "application/json", Bytes: []byte("{}")}
	taken, huge := good, good
	taken.Name = "source.html"
	huge.Bytes = make([]byte, pipeline.MaxInline+1)
	for name, c := range map[string]struct {
		by     func() (*pipeline.Derived, error)
		failed bool
		small  int
	}{
		"good": {add(good), false, 2}, "nothing": {add(), false, 1}, "error": {func() (*pipeline.Derived, error) { return nil, errCrash }, true, 1},
		"panic": {func() (*pipeline.Derived, error) { panic("x") }, true, 1}, "name taken": {add(taken), true, 1},
		"too large": {add(huge), true, 1}, "twice": {add(good, good), true, 1},
	} {
		dir := t.TempDir()
		q := openQueue(t, dir)
		ids := publish(t, q, 1)
		_, err := (&pipeline.Normalise{Queue: q, By: map[string]pipeline.Normaliser{"https": normaliser(c.by)}}).Drain(t.Context())
		must(t, err)
		got, err := q.Receive(t.Context(), pipeline.StagePreserve, 0, 0, pipeline.Bounds{})
		must(t, err)
		it, err := got[0].Item()
		must(t, err)
		m, err := holdfast.ParseManifest(it.Manifest)
		must(t, err)
		if m.ID != ids[0] || len(it.Small) != c.small || len(m.Objects) != c.small || (len(m.Completeness.Reasons) > 0) != c.failed {
			t.Errorf("%s: %d small, manifest %+v", name, len(it.Small), m)
		}
	}
}

type normaliser func() (*pipeline.Derived, error)

func (n normaliser) Normalise(_ context.Context, c *pipeline.Captured) (*pipeline.Derived, error) {
	c.Manifest.Objects, c.Inline = nil, nil // what was acquired is not its to change
	return n()
}
