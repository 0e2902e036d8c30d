package queuetest

import (
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"holdfast"
	"holdfast/pipeline"
)

type clock struct {
	mu sync.Mutex
	at time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

func (s suite) clocked(t *testing.T) (Queue, *clock) {
	c := &clock{at: time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)}
	return s.at(t, t.TempDir(), c.now), c
}

func task(source string) pipeline.Task {
	return pipeline.Task{ID: holdfast.NewID(), Source: holdfast.Source(source), Case: holdfast.NewID(),
		Agent: holdfast.Agent{Pseudonym: "kelp", Role: "investigator"}, Found: holdfast.Found{How: "by hand", Why: "a test"},
		Options: []byte(`{"a":1}`), Step: 7, Attempt: 2, Cursor: []byte("cursor")}
}

func add(t testing.TB, q Queue, k ...pipeline.Task) {
	t.Helper()
	_, err := q.AddTasks(t.Context(), k...)
	must(t, err)
}

func take(t testing.TB, q Queue, w pipeline.Want) []pipeline.Task {
	t.Helper()
	got, err := q.Take(t.Context(), w)
	must(t, err)
	return got
}

func (s suite) tasks(t *testing.T) {
	q, c := s.clocked(t)
	late, soon, web := task("http://a/late"), task("http://a/soon"), task("https://b/")
	late.Due, soon.Due, web.Due = c.at.Add(time.Hour), c.at.Add(-time.Hour), c.at.Add(-time.Minute)
	add(t, q, late, web, soon)
	changed := soon
	changed.Source = "http://other/"
	add(t, q, changed) // is there already
	for _, bad := range []func(*pipeline.Task){
		func(k *pipeline.Task) { k.Source = "file:///etc/passwd" }, func(k *pipeline.Task) { k.Case = "" },
		func(k *pipeline.Task) { k.Options = []byte(strings.Repeat(" ", pipeline.MaxOptions+1)) }, func(k *pipeline.Task) { k.ID = "x" },
		func(k *pipeline.Task) { k.Options = []byte("{") },
	} {
		k := task("http://a/")
		bad(&k)
		if _, err := q.AddTasks(t.Context(), task("http://never/"), k); err == nil {
			t.Fatalf("task %+v was taken in", k)
		}
	}
	same(t, "https", take(t, q, pipeline.Want{Schemes: []string{"https"}, Max: 9})[0].ID, web.ID)
	got := take(t, q, pipeline.Want{Max: 9})
	same(t, "due", len(got), 1)
	k := got[0]
	if k.Lease.Token == 0 || !k.Lease.Until.After(c.at) {
		t.Fatalf("lease %+v", k.Lease)
	}
	if k.ID != soon.ID || k.Source != soon.Source || k.Case != soon.Case || k.Agent != soon.Agent || k.Found != soon.Found ||
		string(k.Options) != string(soon.Options) || k.Step != 7 || k.Attempt != 2 || string(k.Cursor) != "cursor" || !k.Due.Equal(soon.Due) {
		t.Fatalf("took %+v, added %+v", k, soon)
	}
	same(t, "by id", len(take(t, q, pipeline.Want{IDs: []holdfast.ID{late.ID}})), 0) // not due
	c.add(2 * time.Hour)
	same(t, "by id", take(t, q, pipeline.Want{IDs: []holdfast.ID{late.ID}})[0].ID, late.ID)
	listed, err := q.Tasks(t.Context(), "", 99)
	must(t, err)
	same(t, "listed", len(listed), 3)
	if !slices.IsSortedFunc(listed, func(a, b pipeline.Task) int { return strings.Compare(string(a.ID), string(b.ID)) }) {
		t.Fatal("not sorted")
	}
	rest, err := q.Tasks(t.Context(), listed[0].ID, 1)
	must(t, err)
	same(t, "next page", rest[0].ID, listed[1].ID)
	ids, err := q.AddTasks(t.Context(), pipeline.Task{Source: "http://c/", Case: holdfast.NewID()})
	must(t, err)
	same(t, "drawn id", take(t, q, pipeline.Want{IDs: ids})[0].ID, ids[0])
	early := task("http://d/")
	early.Due = c.at.Add(time.Hour)
	add(t, q, early)
	w := pipeline.Want{IDs: []holdfast.ID{early.ID}, Early: true}
	same(t, "early", take(t, q, w)[0].ID, early.ID)
	same(t, "early, but held", len(take(t, q, w)), 0)
}

func (s suite) lease(t *testing.T) {
	q, c := s.clocked(t)
	add(t, q, task("https://a/"))
	w := pipeline.Want{Lease: 10 * time.Minute}
	first := take(t, q, w)[0]
	same(t, "taken twice", len(take(t, q, w)), 0)
	c.add(9 * time.Minute)
	must(t, q.Renew(t.Context(), first, 10*time.Minute))
	c.add(9 * time.Minute)
	same(t, "taken though renewed", len(take(t, q, w)), 0)
	c.add(2 * time.Minute)
	second := take(t, q, w)[0]
	same(t, "id", second.ID, first.ID)
	if err := q.Renew(t.Context(), first, time.Hour); !errors.Is(err, pipeline.ErrLease) {
		t.Fatalf("renew of a lost lease: %v", err)
	}
	for _, m := range []*pipeline.Move{first.Finish(), first.Again(c.at), {Task: second.ID, Done: true}} {
		if _, err := q.Publish(t.Context(), m, messages(1)...); !errors.Is(err, pipeline.ErrLease) {
			t.Fatalf("move under a lost lease: %v", err)
		}
	}
	_, err := q.Publish(t.Context(), second.Finish())
	must(t, err)
	c.add(100 * time.Hour)
	same(t, "done", len(take(t, q, w)), 0)
	end, err := q.End(t.Context(), pipeline.StageNormalise, 0)
	must(t, err)
	same(t, "published", end, 0)
}

// staleTask: taken up again within 30 minutes of a sign of life it keeps its ID,
// so that what was published already is recognised; later it must not.
func (s suite) staleTask(t *testing.T) {
	q, c := s.clocked(t)
	add(t, q, task("https://a/"))
	w := pipeline.Want{Lease: time.Minute}
	first := take(t, q, w)[0]
	c.add(30 * time.Minute)
	second := take(t, q, w)[0]
	same(t, "id within 30 minutes", second.ID, first.ID)
	c.add(20 * time.Minute)
	must(t, q.Renew(t.Context(), second, time.Minute))
	c.add(20 * time.Minute)
	third := take(t, q, w)[0]
	same(t, "id 20 minutes after a sign of life", third.ID, first.ID)
	c.add(30*time.Minute + time.Millisecond)
	fourth := take(t, q, w)[0]
	if fourth.ID == first.ID || fourth.Capture() == first.Capture() {
		t.Fatal("a stale task kept its id")
	}
	if _, err := q.Publish(t.Context(), third.Finish(), messages(1)...); !errors.Is(err, pipeline.ErrLease) {
		t.Fatalf("publish by who was silent for too long: %v", err)
	}
	_, err := q.Publish(t.Context(), fourth.Next(c.at.Add(24*time.Hour), 8, nil))
	must(t, err)
	c.add(48 * time.Hour) // it waited for its time, nobody held it
	same(t, "id of a task that waited", take(t, q, w)[0].ID, fourth.ID)
}

// clockBack: a lease that was given while the clock stood a year ahead does not
// hold the Task for a year, and a step that any clock makes takes it from nobody.
func (s suite) clockBack(t *testing.T) {
	q, c := s.clocked(t)
	add(t, q, task("https://a/"))
	c.add(365 * 24 * time.Hour)
	first := take(t, q, pipeline.Want{Lease: time.Minute})[0]
	c.add(-10 * time.Minute)
	same(t, "taken after a small step back", len(take(t, q, pipeline.Want{})), 0)
	c.add(-364 * 24 * time.Hour)
	got := take(t, q, pipeline.Want{})
	same(t, "taken after the clock was set right", len(got), 1)
	if got[0].ID == first.ID {
		t.Fatal("nobody knows how long it was silent, and it kept its id")
	}
	if _, err := q.Publish(t.Context(), first.Finish(), messages(1)...); !errors.Is(err, pipeline.ErrLease) {
		t.Fatalf("move under a lost lease: %v", err)
	}
}

func (s suite) moveWithPublish(t *testing.T) {
	q, c := s.clocked(t)
	add(t, q, task("https://a/"))
	k := take(t, q, pipeline.Want{})[0]
	m := messages(2)
	_, err := q.Publish(t.Context(), k.Again(c.at.Add(time.Minute)), m...)
	must(t, err)
	same(t, "messages", len(all(t, q, pipeline.StageNormalise)), 2)
	same(t, "not yet due", len(take(t, q, pipeline.Want{})), 0)
	c.add(time.Minute)
	again := take(t, q, pipeline.Want{})[0]
	if again.Step != 7 || again.Attempt != 3 || string(again.Cursor) != "cursor" || again.Capture() == k.Capture() {
		t.Fatalf("again: %+v", again)
	}
	_, err = q.Publish(t.Context(), again.Next(c.at, 8, []byte("further")), m[0]) // a repeated message; the Task moves
	must(t, err)
	next := take(t, q, pipeline.Want{})[0]
	if next.Step != 8 || next.Attempt != 0 || string(next.Cursor) != "further" {
		t.Fatalf("next: %+v", next)
	}
	if !s.kind.Remembers {
		s.onceNormalised(t, q, m)
		return
	}
	same(t, "messages", len(all(t, q, pipeline.StageNormalise)), 2)
}

func (s suite) takenOnce(t *testing.T) {
	q, dir := s.fresh(t)
	const n = 60
	for range n {
		add(t, q, task("https://a/"))
	}
	handles := []Queue{q, s.at(t, dir, nil)}
	var mu sync.Mutex
	seen := map[holdfast.ID]int{}
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			for {
				got, err := handles[w%2].Take(t.Context(), pipeline.Want{Max: 3})
				if err != nil {
					t.Error(err)
				}
				if len(got) == 0 {
					return
				}
				mu.Lock()
				for _, k := range got {
					seen[k.ID]++
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	same(t, "taken", len(seen), n)
	for id, times := range seen {
		if times != 1 {
			t.Fatalf("task %s was taken %d times", id, times)
		}
	}
}
