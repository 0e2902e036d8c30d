package main

import (
	"context"
	"encoding/json"
	"fmt"

	"holdfast"
	"holdfast/collectors"
	"holdfast/pipeline"
)

// maxFurther bounds what one Capture can ask for: what it names was written by
// strangers.
const maxFurther = 1000

// addFurther adds the Tasks that an answer asks for, with what its own Task was
// asked with, before that moves: a crash in between finds them there, under the
// same IDs. What is no Source, and what is outside the scope of the Case, is not
// asked for; the answer that names it is kept all the same.
func (r *round) addFurther(ctx context.Context, t pipeline.Task, o taskOptions, a *collectors.Acquired) error {
	if len(a.Further) == 0 {
		return nil
	}
	rec, err := r.scopes.of(ctx, r.n, t.Case)
	if err != nil {
		return err
	}
	if o.Via == "" { // an account has a way of its own, and a page has not
		demanded, err := r.n.demandedEgress(ctx, t.Case)
		if err == nil {
			o.Via, err = r.n.wayOut("", demanded)
		}
		if err != nil {
			return err
		}
	}
	var tasks []pipeline.Task
	for i, f := range a.Further[:min(len(a.Further), maxFurther)] {
		s, err := parseURL(f.Source, o.AllowPrivate)
		if err != nil || outsideSource(rec, string(s)) != "" {
			r.n.log.InfoContext(ctx, "not captured too: no source, or outside the scope of its case", "source", f.Source, "task", t.ID)
			continue
		}
		k := o
		k.Collector, k.Outside, k.Reason = f.Options, nil, ""
		if k.Watch != "" {
			k.Part = partFurther
		}
		b, err := json.Marshal(k)
		if err != nil {
			return err
		}
		tasks = append(tasks, pipeline.Task{ID: t.Further(i), Source: s, Case: t.Case, Agent: t.Agent, Options: b,
			Found: holdfast.Found{How: "named by another capture", Why: fmt.Sprintf("%s of %s names it", t.Capture(), t.Source)}})
	}
	added, err := r.n.queue.AddTasks(ctx, tasks...)
	if err != nil {
		return fmt.Errorf("add what capture %s names: %w", t.Capture(), err)
	}
	if r.asked != nil {
		r.asked(tasks)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, id := range added {
		r.again = append(r.again, wish{id: id})
	}
	r.added += len(added)
	return nil
}
