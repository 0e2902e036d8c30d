package main

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"strings"

	"holdfast"
	"holdfast/collectors"
	"holdfast/pipeline"
)

// maxFurther bounds what one Capture can ask for: what it names was written by
// strangers.
const maxFurther = 1000

// placeOf is what an ID is made of: of two answers to one question the second may
// name more or less, or the same in another order, and what has the same key, or
// leads to the same Source, keeps its ID then.
func placeOf(f collectors.Further, s holdfast.Source) int {
	key := f.Key
	if key == "" {
		key = "source " + string(s)
	}
	h := sha256.Sum256([]byte(key))
	return maxFurther + int(binary.BigEndian.Uint32(h[:4]))<<16 + int(binary.BigEndian.Uint16(h[4:6]))
}

// keyFile is what the keys of files begin with.
const keyFile = "file/"

// foundIn is how what a capture of a Source asks for is found.
func foundIn(by holdfast.ID, of holdfast.Source) holdfast.Found {
	return holdfast.Found{How: "named by another capture", Why: fmt.Sprintf("%s of %s names it", by, of)}
}

// channelIn is the channel that a Source of Telegram's is, or is a post of.
func channelIn(s holdfast.Source) string {
	channel, _, _ := strings.Cut(string(s), "/")
	return channel
}

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
	way := o.Via
	if o.Via == "" { // an account has a way of its own, and a page has not
		demanded, err := r.n.demandedEgress(ctx, t.Case)
		if err == nil {
			o.Via, err = r.n.wayOut("", demanded)
		}
		if err != nil {
			return err
		}
	}
	queue, err := r.n.queue.Identity(ctx)
	if err != nil {
		return err
	}
	var tasks []pipeline.Task
	asked := map[int]bool{} // of one link written twice there is one Task
	for _, f := range a.Further[:min(len(a.Further), maxFurther)] {
		s, err := parseURL(f.Source, o.AllowPrivate)
		own := isTelegram(s) && (s == t.Source || strings.HasPrefix(string(s), channelIn(t.Source)+"/")) || strings.HasPrefix(f.Key, keyPage) // a part of what was asked for
		if err != nil || !own && outsideSource(rec, string(s)) != "" {
			r.n.log.InfoContext(ctx, "not captured too: no source, or outside the scope of its case", "source", f.Source, "task", t.ID)
			continue
		}
		place := placeOf(f, s)
		if asked[place] {
			continue
		}
		asked[place] = true
		k := o
		if k.Collector = f.Options; !own {
			k.Outside, k.Reason = nil, ""
		}
		if isTelegram(s) {
			k.Via = way
		}
		if k.Watch != "" {
			k.Part = partFurther
		}
		b, err := json.Marshal(k)
		if err != nil {
			return err
		}
		id := t.Further(place)
		if k.Watch != "" && strings.HasPrefix(f.Key, keyFile) { // while it waits, other answers show its post
			id = derivedID("holdfast watch %s %s %s %s", queue.Queue, k.Watch, s, f.Key)
		}
		tasks = append(tasks, pipeline.Task{ID: id, Source: s, Case: t.Case, Agent: t.Agent, Options: b,
			Found: foundIn(t.Capture(), t.Source)})
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
