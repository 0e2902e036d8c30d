package main

import (
	"encoding/hex"
	"fmt"
	"slices"

	"holdfast"
	"holdfast/cmd/internal/nodedir"
	"holdfast/hashing"
)

// fileWatches is the list of what is watched: a wish that has no end, as Tasks are
// wishes that have one. It holds no secret and no evidence. Lost, nothing is watched
// any more; what was captured is where it was.
const (
	fileWatches = nodedir.FileWatches
	maxWatches  = 20_000
	maxWatchDoc = nodedir.MaxWatches
)

// watch is one Source that is kept up with.
type watch struct {
	ID       holdfast.ID     `json:"id"` // drawn when it is added; its Tasks carry it
	Source   holdfast.Source `json:"source"`
	Cases    []holdfast.ID   `json:"cases"` // the first is the home of what is captured
	Lang     string          `json:"lang,omitempty"`
	Priority int             `json:"priority,omitempty"` // 1 (first) to 9; 0 is 5
	// Schedule is when a page is visited, as package schedule writes it; "" for a channel.
	Schedule string `json:"schedule,omitempty"`
	Media    string `json:"media,omitempty"`    // "" is none
	MaxSize  int64  `json:"max_size,omitempty"` // of a file, in bytes; 0 is any
	Note     string `json:"note,omitempty"`
	// Links is how many pages that posts link to are captured a day, at most; nil is
	// what the Case allows (defaultLinks), 0 none.
	Links        *int           `json:"links,omitempty"`
	Views        *int           `json:"web,omitempty"`           // likewise of public pages of its posts (defaultViews)
	Since        holdfast.Time  `json:"since,omitzero"`          // of its history, posts from then on
	AllowPrivate bool           `json:"allow_private,omitempty"` // of pages that posts link to
	visitHow                    // of a page
	Added        holdfast.Time  `json:"added"`
	Paused       *holdfast.Time `json:"paused,omitempty"`

	// Turn counts the Tasks that have followed it: each has another ID, since one of
	// an ID that was there before would publish captures that are there already.
	Turn     int         `json:"turn,omitempty"`
	Follow   holdfast.ID `json:"follow,omitempty"`   // the Task that follows it
	Backfill holdfast.ID `json:"backfill,omitempty"` // the Task of its history; it may be done
	// Account is who asks about it: it stays so for as long as that account can. Blind
	// are those that could not read it when another could, the first before the others.
	Account string   `json:"account,omitempty"`
	Blind   []string `json:"blind,omitempty"`
	// Failed is why the Task that followed it ended; another one tries again later.
	Failed   string         `json:"failed,omitempty"`
	FailedAt *holdfast.Time `json:"failed_at,omitempty"`

	// Of nodes that share a queue. Node is whose accounts Account and Blind name. Cannot
	// are nodes that could not read it, each with the accounts that it had tried.
	Node   string              `json:"node,omitempty"`
	Cannot map[string][]string `json:"cannot,omitempty"`
	by     string              // the node that runs it, or did last, as the office has it
}

// watchDoc is DIR/watches.json.
type watchDoc struct {
	Version int      `json:"version"`
	Watches []*watch `json:"watches"`
}

// Parts of a watch: what a Task of it is for.
const (
	partFollow   = "follow"
	partBackfill = "backfill"
	partSweep    = "sweep"
	partFurther  = "further" // named by an answer of another part
	partLink     = "link"    // a page that a post links to
	partView     = "view"    // the public page of a post
	partLook     = "look"    // the newest public page, where no account can ask
)

// task is the ID of a watch's n-th Task of a kind in a queue: added again after a
// crash it is the same one. The queue's name is in it, since a restored node has
// another one: under the IDs of before it would publish other captures than those
// that its old queue published after the copy was taken.
func (w *watch) task(queue, part string, n int) holdfast.ID {
	return derivedID("holdfast watch %s %s %s %d", queue, w.ID, part, n)
}

func derivedID(format string, a ...any) holdfast.ID {
	h := hashing.Of(fmt.Appendf(nil, format, a...))
	return holdfast.ID(hex.EncodeToString(h[:16]))
}

func (w *watch) state() string {
	switch {
	case w.Paused != nil:
		return "paused"
	case w.Failed != "":
		return "failed"
	}
	return "watched"
}

// home is where its captures are at home.
func (w *watch) home() holdfast.ID { return w.Cases[0] }

func findWatch(list []*watch, s holdfast.Source) *watch {
	if i := slices.IndexFunc(list, func(w *watch) bool { return w.Source == s }); i >= 0 {
		return list[i]
	}
	return nil
}
