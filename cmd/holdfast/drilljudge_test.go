package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"

	"holdfast"
)

// settle ends the flow of captures, waits until all that was accepted is in a Seal with
// its quorum and the catalog says so, and counts.
func (d *drill) settle(within time.Duration) census {
	d.t.Helper()
	d.quiet()
	begun := time.Now()
	for {
		if d.kafka == nil {
			d.must(0, "seal", "--wait", "1m")
		}
		c, why := d.settled()
		if why == nil {
			d.once(c)
			return c
		}
		if time.Since(begun) > within {
			d.still()
			d.t.Fatalf("after %v of quiet: %v", within, why)
		}
		time.Sleep(200 * time.Millisecond)
	}
}

// settled is the census once nothing is open or under way, or what is.
func (d *drill) settled() (census, error) {
	if d.kafka != nil { // cheap looks first: a command costs a second where all works
		if err := errors.Join(d.behind(), d.open()); err != nil {
			return census{}, err
		}
	}
	states, lines := d.states(), d.lines()
	var open []string
	for id, state := range states {
		if state != "sealed" {
			open = append(open, id+" is "+state)
		}
	}
	d.accepted.each(func(id string) {
		if states[id] == "" {
			open = append(open, id+" is not listed")
		}
	})
	if len(open) > 0 {
		return census{}, fmt.Errorf("%d of %d captures are open, of %d that were told of: %.400q", len(open), len(states), d.accepted.count(), open)
	}
	c, wrong := d.count()
	if len(wrong) > 0 {
		return c, errors.Join(wrong...)
	}
	if c.captures != len(states) {
		return c, fmt.Errorf("%d captures are in the store and %d in the catalog", c.captures, len(states))
	}
	for id, l := range lines {
		if c.plans[id] == 0 { // written, and its process ended before it was published: the next start does that
			_, errs, err := d.try(l.node, "list")
			return c, fmt.Errorf("%s is in no Seal; list there: %v %s", l.what, err, errs)
		}
	}
	return c, nil
}

// once: each in one Seal, whatever became of the process that told of it.
func (d *drill) once(c census) {
	d.t.Helper()
	d.accepted.each(func(id string) {
		if n := c.plans[id]; n != 1 {
			d.t.Errorf("capture %s was accepted and is in %d Seals", id, n)
		}
	})
	for id, n := range c.plans {
		if n != 1 {
			d.t.Errorf("%s is in %d Seals", id, n)
		}
	}
	if n := c.skipped["poison"]; n > 0 {
		d.t.Errorf("%d messages were skipped as poison", n)
	}
	d.still()
}

// line is one of a node's Custody.
type line struct {
	node int
	what string
}

// lines are those of every node's Custody, by the ID of the Event that each one is.
func (d *drill) lines() map[string]line {
	d.t.Helper()
	all := map[string]line{}
	for node, data := range d.data {
		chains, err := filepath.Glob(filepath.Join(data, "outbox", "*.jsonl"))
		if err != nil || len(chains) == 0 {
			d.t.Fatalf("%s has no Custody: %v", data, err)
		}
		for _, name := range chains {
			b, err := os.ReadFile(name)
			if err != nil {
				d.t.Fatal(err)
			}
			id := holdfast.ID(strings.TrimSuffix(filepath.Base(name), ".jsonl"))
			for n := range bytes.Count(b, []byte("\n")) {
				all[string(holdfast.EventID(id, int64(n+1)))] = line{node, fmt.Sprintf("line %d of chain %s", n+1, id)}
			}
		}
	}
	return all
}

// states are what `list` says.
func (d *drill) states() map[string]string {
	out, errs, err := d.try(0, "list", "--json")
	if err != nil {
		d.t.Logf("list: %v: %s", err, errs)
		return nil
	}
	states := map[string]string{}
	for l := range strings.Lines(out) {
		var row struct{ ID, State string }
		if err := json.Unmarshal([]byte(l), &row); err != nil {
			d.t.Fatal(err)
		}
		states[row.ID] = row.State
	}
	return states
}

// count fetches what the bucket holds, past the faults, and counts plans and Manifests.
func (d *drill) count() (census, []error) {
	d.t.Helper()
	to, kept := filepath.Join(d.dir, "counted", "store"), map[string]bool{}
	b := d.bucket()
	for o := range b.ListObjects(d.t.Context(), drillBucket, minio.ListObjectsOptions{Prefix: drillPrefix + "/", Recursive: true}) {
		if o.Err != nil {
			d.t.Fatal(o.Err)
		}
		name := strings.TrimPrefix(o.Key, drillPrefix+"/")
		if hex, ok := strings.CutPrefix(name, "objects/sha256/"); ok {
			kept[hex[strings.IndexByte(hex, '/')+1:]] = true
			continue
		}
		file := filepath.Join(to, filepath.FromSlash(name))
		if _, err := os.Stat(file); err == nil {
			continue // its name is write-once
		}
		if err := b.FGetObject(d.t.Context(), drillBucket, o.Key, file, minio.GetObjectOptions{}); err != nil {
			d.t.Fatal(err)
		}
	}
	c, wrong := storeCensus(filepath.Dir(to))
	for hex, id := range c.large {
		if !kept[hex] {
			wrong = append(wrong, fmt.Errorf("object %s of capture %s is not in the bucket", hex, id))
		}
	}
	return c, wrong
}

// rebuilt: the catalog says what a fold over the store says.
func (d *drill) rebuilt() {
	d.t.Helper()
	before := d.must(0, "list", "--json")
	d.must(0, "rebuild")
	if again := d.must(0, "list", "--json"); again != before {
		d.t.Errorf("rebuild changed the list:\n%s\nit was:\n%s", firstDiff(again, before), firstDiff(before, again))
	}
}

// quiet ends the flow of captures.
func (d *drill) quiet() {
	d.t.Helper()
	for _, p := range d.flow {
		p.drain()
	}
	d.flow = nil
}
