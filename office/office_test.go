package office_test

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"holdfast/alert/alerttest"
	"holdfast/deploy/engines"
	"holdfast/office"
)

// TestOffice runs on a real server.
func TestOffice(t *testing.T) {
	p := engines.PostgreSQL(t)
	n := atomic.Int64{}
	fresh := func(t *testing.T) func() *office.Book {
		url := p.Database(t, fmt.Sprintf("office%d", n.Add(1)))
		return func() *office.Book {
			b, err := office.Open(t.Context(), office.Options{URL: url, Password: p.Password, Store: "one", Patience: time.Minute})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { b.Close() })
			return b
		}
	}
	for name, test := range map[string]func(*testing.T, func() *office.Book){"documents": documents, "once": once, "unable": unable, "rules": rules, "watches": watches, "watchers": watchers, "collectors": collectors} {
		t.Run(name, func(t *testing.T) { test(t, fresh(t)) })
	}
	t.Run("alerts", func(t *testing.T) {
		alerttest.Run(t, func(t *testing.T) func() alerttest.Outbox {
			open := fresh(t)
			rule(t, open())
			return func() alerttest.Outbox { return open().Alerts() }
		})
	})
	t.Run("another's", func(t *testing.T) {
		url := p.Database(t, "others")
		for store, want := range map[string]error{"one": nil, "two": office.ErrOther} {
			if store == "two" {
				b, err := office.Open(t.Context(), office.Options{URL: url, Password: p.Password, Store: "one"})
				if err != nil {
					t.Fatal(err)
				}
				b.Close()
			}
			b, err := office.Open(t.Context(), office.Options{URL: url, Password: p.Password, Store: store})
			if !errors.Is(err, want) || err != nil && !strings.Contains(err.Error(), "a database of its own") {
				t.Errorf("%s: %v", store, err)
			}
			if err == nil {
				b.Close()
			}
		}
	})
	t.Run("started anew", func(t *testing.T) {
		b := fresh(t)()
		if err := b.Create(t.Context(), "a", nil); err != nil {
			t.Fatal(err)
		}
		p.Kill()
		var up sync.WaitGroup
		up.Go(func() { p.Restart(t) })
		defer up.Wait()
		if _, err := b.Read(t.Context(), "a"); err != nil {
			t.Errorf("after a crash of the server: %v", err)
		}
	})
}

func rule(t *testing.T, b *office.Book) {
	if err := b.Create(t.Context(), office.RulePrefix+alerttest.Rule, []byte("{}")); err != nil {
		t.Fatal(err)
	}
}

func documents(t *testing.T, open func() *office.Book) {
	ctx, b := t.Context(), open()
	for _, name := range []string{"ask/x/2", "ask/x/1", "ask/y/1", "ask"} {
		if err := b.Create(ctx, name, []byte(name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.Create(ctx, "ask/x/1", []byte("other")); !errors.Is(err, fs.ErrExist) {
		t.Errorf("there already: %v", err)
	}
	if err := b.Replace(ctx, "ask/y/1", []byte("new")); err != nil {
		t.Error(err)
	}
	if err := b.Replace(ctx, "none", nil); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("in the place of nothing: %v", err)
	}
	if _, err := b.Read(ctx, "none"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("nothing is read: %v", err)
	}
	other := open()
	for name, want := range map[string]string{"ask/x/1": "ask/x/1", "ask/y/1": "new"} {
		if got, err := other.Read(ctx, name); err != nil || string(got) != want {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
	all, err := other.List(ctx, "ask/x/", "", 10)
	if err != nil || len(all) != 2 || all[0].Name != "ask/x/1" || string(all[1].Body) != "ask/x/2" {
		t.Errorf("%v, %v", all, err)
	}
	if all, err := other.List(ctx, "ask/x/", "ask/x/1", 10); err != nil || len(all) != 1 || all[0].Name != "ask/x/2" {
		t.Errorf("behind one: %v, %v", all, err)
	}
	if all, err := other.List(ctx, "ask", "", 1); err != nil || len(all) != 1 || all[0].Name != "ask" {
		t.Errorf("one: %v, %v", all, err)
	}
	if err := b.Remove(ctx, "ask/x/1", "none"); err != nil {
		t.Error(err)
	}
	if _, err := other.Read(ctx, "ask/x/1"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("removed: %v", err)
	}
	if err := b.Create(ctx, "big", make([]byte, office.MaxDocument+1)); err == nil {
		t.Error("a document without bounds was taken")
	}
}

// once: of many that create one document, one does; of many that find one event, one is
// told that it is new.
func once(t *testing.T, open func() *office.Book) {
	b := open()
	rule(t, b)
	var made, found atomic.Int64
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			err := b.Create(t.Context(), "x", []byte("same"))
			if err == nil {
				made.Add(1)
			} else if !errors.Is(err, fs.ErrExist) {
				t.Error(err)
			}
			n, err := b.Alerts().Add(t.Context(), alerttest.Events(20), "d")
			if err != nil {
				t.Error(err)
			}
			found.Add(n)
		})
	}
	wg.Wait()
	if made.Load() != 1 || found.Load() != 20 {
		t.Errorf("made %d times, %d events are new, want 1 and 20", made.Load(), found.Load())
	}
}

// unable: that one node cannot tell is said, and keeps no other from it.
func unable(t *testing.T, open func() *office.Book) {
	b, ctx, now := open(), t.Context(), time.Now()
	rule(t, b)
	a := b.Alerts()
	if _, err := a.Add(ctx, alerttest.Events(1), "d"); err != nil {
		t.Fatal(err)
	}
	for i, at := range []time.Time{now, now.Add(time.Second), now.Add(2 * time.Minute)} {
		if err := a.Unable(ctx, alerttest.Rule, "d", errors.New("no file"), at); err != nil {
			t.Fatal(err)
		}
		s, err := a.State(ctx, alerttest.Rule, "d")
		if want := []int64{1, 1, 2}[i]; err != nil || s.Tries != want || s.Error != "no file" || s.Waits(at) {
			t.Errorf("%d: %+v, %v: want %d attempts, and no wait", i, s, err, want)
		}
	}
	if due, err := a.Due(ctx, alerttest.Rule, "d", now.Add(2*time.Minute)); err != nil || len(due) != 1 {
		t.Errorf("%d are due for the others, %v", len(due), err)
	}
}

// rules: what is found for a rule that was removed meanwhile is not kept, nor told to one
// that has its name later.
func rules(t *testing.T, open func() *office.Book) {
	b, ctx := open(), t.Context()
	rule(t, b)
	a := b.Alerts()
	if n, err := a.Add(ctx, alerttest.Events(1), "d"); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	if err := a.Drop(ctx, alerttest.Rule); err != nil {
		t.Fatal(err)
	}
	if n, err := a.Add(ctx, alerttest.Events(2), "d"); n != 0 || err != nil {
		t.Errorf("without the rule: %d new, %v", n, err)
	}
	rule(t, b) // Drop has removed it
	if due, err := a.Due(ctx, alerttest.Rule, "d", time.Now()); err != nil || len(due) != 0 {
		t.Errorf("%v are told to a rule that is new, %v", due, err)
	}
}
