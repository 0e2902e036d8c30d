package main

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"time"

	"holdfast"
	"holdfast/collectors"
	"holdfast/pipeline"
)

// TestFurtherKeys guards what a step that is asked again, after a crash, asks for:
// each file and each link once, though the answer names others by then, or the same
// in another order, or one twice. A file of a channel that
// was captured for a reason is captured for the same, and goes the same way.
func TestFurtherKeys(t *testing.T) {
	_, n := roundNode(t)
	n.set.Via = "direct"
	o := taskOptions{Outside: []string{"source: said"}, Reason: "asked for"}
	id := addTask(t, n, "telegram:@harbour", o)
	task := pipeline.Task{ID: id, Source: "telegram:@harbour", Case: tasksLeft(t, n)[0].Case}
	r := roundOf(n, &stepper{})
	links := [][]string{{"https://page.invalid/", "https://PAGE.invalid", "https://page.invalid/a"}, {"https://page.invalid/b", "https://page.invalid/"}, {"https://page.invalid/a", "https://page.invalid/b"}}
	for i, posts := range [][]int{{1, 2, 3}, {2, 3, 4}, {4}} {
		a := &collectors.Acquired{}
		for _, l := range links[i] {
			a.Further = append(a.Further, collectors.Further{Source: l})
		}
		for _, p := range posts {
			a.Further = append(a.Further, collectors.Further{Source: fmt.Sprintf("telegram:@harbour/%d", p), Key: fmt.Sprintf("file/%d", p)})
		}
		if err := r.addFurther(t.Context(), task, o, a); err != nil {
			t.Fatal(err)
		}
	}
	var got []string
	for _, k := range tasksLeft(t, n) {
		if k.ID == id {
			continue
		}
		var o taskOptions
		if err := json.Unmarshal(k.Options, &o); err != nil {
			t.Fatal(err)
		}
		got = append(got, fmt.Sprintf("%s %d %s %s", k.Source, len(o.Outside), o.Reason, o.Via))
	}
	slices.Sort(got)
	if want := []string{"https://page.invalid/ 0  direct", "https://page.invalid/a 0  direct", "https://page.invalid/b 0  direct", "telegram:@harbour/1 1 asked for ", "telegram:@harbour/2 1 asked for ", "telegram:@harbour/3 1 asked for ", "telegram:@harbour/4 1 asked for "}; !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
}

// TestFurtherOfWatch guards a file of a post that is watched: while it waits, other
// answers that show the post ask for it in vain; when it did not come, they do again.
func TestFurtherOfWatch(t *testing.T) {
	_, n := roundNode(t)
	r := roundOf(n, &stepper{})
	for _, key := range []string{"file/7/501/", "file/7/501/", "file/7/502/", "file/7/501//1", "file/7/501//1"} {
		task := pipeline.Task{ID: holdfast.NewID(), Source: "telegram:@harbour", Case: n.set.Unfiled} // a sweep, a difference
		if err := r.addFurther(t.Context(), task, taskOptions{Watch: "00112233445566778899aabbccddeeff", Part: partSweep},
			&collectors.Acquired{Further: []collectors.Further{{Source: "telegram:@harbour/7", Key: key}}}); err != nil {
			t.Fatal(err)
		}
	}
	if all := tasksLeft(t, n); len(all) != 3 {
		t.Errorf("%d Tasks, want 3", len(all))
	}
}

// TestFileTurns guards a Source that comes in turns: a round goes on with it by itself,
// and with nothing that has made no progress.
func TestFileTurns(t *testing.T) {
	_, n := roundNode(t)
	turns := 0
	s := &stepper{steps: 1, fail: func(uint64) error {
		if turns++; turns < 4 {
			return &collectors.Later{At: time.Now(), Why: "a part has come", Progress: turns < 3}
		}
		return nil
	}}
	id := addTask(t, n, "telegram:@harbour", taskOptions{})
	r := roundOf(n, s)
	r.run(t.Context(), []wish{{id: id}})
	if err := r.verdict(t.Context(), 1); err == nil || turns != 3 || len(r.got) != 0 {
		t.Errorf("%d turns, %v", turns, err)
	}
	r = roundOf(n, s)
	r.run(t.Context(), []wish{{id: id}})
	r.names.end(t.Context())
	if err := r.verdict(t.Context(), 1); err != nil || len(r.got) != 1 || r.got[0].id != holdfast.CaptureID(id, 0, 0) {
		t.Errorf("%v %v", r.got, err)
	}
}
