package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"holdfast"
	"holdfast/api"
	"holdfast/messages"
	"holdfast/pipeline"
)

func (c *cli) watchPauseCmd() *cobra.Command {
	var off bool
	var r remote
	cmd := command("pause SOURCE… [--off]", "Ask nothing about it for now, or go on", "holdfast watch pause telegram:@name", cobra.MinimumNArgs(1), func(cmd *cobra.Command, args []string) error {
		what := api.WatchPause
		if off {
			what = api.WatchResume
		}
		if there, err := r.asked(cmd); err != nil {
			return err
		} else if there {
			return c.watchChangeRemote(cmd.Context(), r, api.WatchChange{Change: what, Sources: args})
		}
		return c.withNode(func(ctx context.Context, n *node) error { return c.eachWatch(ctx, n, args, changeOf(what, "")) })(cmd, args)
	})
	cmd.Long = "What happens meanwhile is caught up with when it goes on, as far as the service\nstill tells it: edits and deletions of a long pause may be known by their result only."
	r.flags(cmd)
	cmd.Flags().BoolVar(&off, "off", false, "go on")
	return cmd
}

// watchChange is what becomes of a watch, and how that is said.
type watchChange struct {
	action, what, why string
	remove            bool
	do                func(*watch, holdfast.Time) bool // false: it is so already
}

func changeOf(what, why string) watchChange {
	switch what {
	case api.WatchPause:
		return watchChange{action: "watch-paused", what: "paused", do: func(w *watch, now holdfast.Time) bool {
			was := w.Paused
			if w.Paused == nil {
				w.Paused = &now
			}
			return was == nil
		}}
	case api.WatchResume:
		return watchChange{action: "watch-resumed", what: "resumed", do: func(w *watch, _ holdfast.Time) bool {
			was := w.Paused
			w.Paused = nil
			return was != nil
		}}
	}
	return watchChange{action: "watch-removed", what: "removed", why: why, remove: true, do: func(*watch, holdfast.Time) bool { return true }}
}

// eachWatch changes the named watches, all or none, and says so in the custody of
// their Cases, first: a crash behind the lines leaves what can be done once more.
func (c *cli) eachWatch(ctx context.Context, n *node, args []string, k watchChange) error {
	sources, err := n.watchNames(ctx, args)
	if err != nil {
		return err
	}
	said, err := n.changeEach(ctx, sources, n.set.Agent, k, func(s holdfast.Source, w *watch) error {
		if w == nil {
			return fmt.Errorf("%s is not watched: `holdfast watch list` shows what is", s)
		}
		return nil
	})
	for _, s := range said {
		if err == nil {
			c.say(map[string]any{"event": k.what, "source": s}, "%-9s %s", k.what, messages.Visible(string(s)))
		}
	}
	return err
}

// changeEach changes watches, all or none; may is asked of each first, and gets nil of a
// Source that is not watched.
func (n *node) changeEach(ctx context.Context, sources []holdfast.Source, by holdfast.Agent, k watchChange, may func(holdfast.Source, *watch) error) (said []holdfast.Source, err error) {
	err = n.changeWatches(ctx, func(list []*watch) ([]*watch, error) {
		said = nil
		for _, s := range sources {
			if err := may(s, findWatch(list, s)); err != nil {
				return nil, err
			}
		}
		for _, s := range sources {
			w := findWatch(list, s)
			if w == nil || !k.do(w, holdfast.At(time.Now())) { // named twice
				continue
			}
			if err := n.watchLines(ctx, by, k.action, w, w.Cases, k.why); err != nil {
				return nil, err
			}
			if said = append(said, s); k.remove {
				list = slices.DeleteFunc(list, func(o *watch) bool { return o == w })
			}
		}
		return list, nil
	})
	return said, err
}

func (c *cli) watchRemoveCmd() *cobra.Command {
	var why string
	var r remote
	cmd := command("remove SOURCE… --why TEXT", "Watch it no more", "holdfast watch remove telegram:@name --why 'the case is closed'", cobra.MinimumNArgs(1), func(cmd *cobra.Command, args []string) error {
		if err := checkReason("--why", why); err != nil {
			return err
		}
		if strings.TrimSpace(why) == "" {
			return usageError("no reason: say with --why TEXT why it is watched no more; it becomes a line of custody")
		}
		if there, err := r.asked(cmd); err != nil {
			return err
		} else if there {
			return c.watchChangeRemote(cmd.Context(), r, api.WatchChange{Change: api.WatchRemove, Sources: args, Why: why})
		}
		return c.withNode(func(ctx context.Context, n *node) error {
			err := c.eachWatch(ctx, n, args, changeOf(api.WatchRemove, why))
			if err == nil {
				_, err = n.dropOrphans(ctx)
			}
			return err
		})(cmd, args)
	})
	cmd.Long = "What was captured stays. What still waits of it is dropped: at once, or by the\n`watch run` that is at it."
	r.flags(cmd)
	cmd.Flags().StringVar(&why, "why", "", "why, for the custody")
	return cmd
}

// orphanWhy is said in custody of what waited for a watch that is gone.
const orphanWhy = "its source is watched no more"

// dropOrphans drops the Tasks of no watch that nobody holds, and says how many are
// held. The list is read behind the Tasks: a watch is on it before it has any, so those
// of one that was added meanwhile, perhaps by another node, are not taken for orphans.
func (n *node) dropOrphans(ctx context.Context) (held int, err error) {
	of := map[holdfast.ID][]holdfast.ID{}
	for t, err := range n.waiting(ctx) {
		if err != nil {
			return 0, err
		}
		if id, _ := watchOf(t); id != "" {
			of[id] = append(of[id], t.ID)
		}
	}
	list, err := n.watches(ctx)
	if err != nil {
		return 0, err
	}
	for _, w := range list {
		delete(of, w.ID)
	}
	for _, ids := range of {
		for _, id := range ids {
			taken, err := n.queue.Take(ctx, pipeline.Want{IDs: []holdfast.ID{id}, Early: true, Lease: lease})
			if err != nil {
				return held, err
			}
			if len(taken) == 0 {
				held++
				continue
			}
			if err := n.dropTask(ctx, taken[0], orphanWhy); err != nil {
				return held, err
			}
		}
	}
	return held, nil
}
