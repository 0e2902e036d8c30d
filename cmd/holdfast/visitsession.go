package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"holdfast"
	"holdfast/cmd/internal/collecting"
	"holdfast/collectors"
	"holdfast/collectors/telegram/accounts"
	"holdfast/pipeline"
)

// leftFor is for how long a Task is left to nodes that may have its session before it is
// said to wait for one.
const leftFor = time.Minute

// sessionWaits says whether an error is about the session of one Task alone: it waits for
// a person, and others go on.
func sessionWaits(err error) bool {
	return errors.Is(err, errNoSession) || errors.Is(err, collectors.ErrSession)
}

// sessionThere says why there is no session of a name here; nil: there is one. It opens
// none, so it needs no passphrase.
func (n *node) sessionThere(name string) error {
	if name == "" {
		return nil
	}
	if accounts.ValidName(name) {
		if _, err := os.Lstat(n.path(sessionFiles + name)); err == nil {
			return nil
		}
	}
	return missingSession(name)
}

func missingSession(name string) error {
	return fmt.Errorf("session %.60s: %w: `holdfast session add %.60s --cookies FILE` makes one", name, errNoSession, name)
}

// sessionTrouble is why nothing can be visited with a session here; "": as far as can be
// seen it can. One that is encrypted is not opened for that.
func (n *node) sessionTrouble(name string) string {
	if err := n.sessionThere(name); err != nil {
		return fmt.Sprintf("the session %s is not there", name)
	}
	if name == "" || n.vault.Encrypts() {
		return ""
	}
	k, err := n.openSession(name)
	if err != nil {
		return fmt.Sprintf("the session %s cannot be opened", name)
	}
	if len(k.Cookies) > 0 && !slices.ContainsFunc(k.Cookies, func(c collectors.Cookie) bool { return c.Expires.IsZero() || c.Expires.After(time.Now()) }) {
		return fmt.Sprintf("the session %s has ended: all of its cookies have expired", name)
	}
	return ""
}

// maySession refuses a session that is not here. What comes in by the door opens none: the
// process that captures does; and where nodes share the queue another may have it.
func (n *node) maySession(o captureOptions) error {
	switch {
	case !o.door:
		_, err := n.webSession(o.session)
		return err
	case n.sharedQueue():
		return nil
	}
	return n.sessionThere(o.session)
}

// mayHave refuses a session, or films, that a row gives and this node, which has a queue of
// its own, has not. Where nodes share what is watched another may have it.
func (n *node) mayHave(w wanted) error {
	if n.sharedQueue() {
		return nil
	}
	if w.given.how.films != "" {
		if err := n.mayFilms(captureOptions{page: pageFlags{Films: w.Films}}); err != nil {
			return err
		}
	}
	if w.given.how.session == "" {
		return nil
	}
	if err := n.sessionThere(w.Session); err != nil {
		return usageError("%w", err)
	}
	return nil
}

// sessionNotes are what who adds watches should know where nodes share them.
func (n *node) sessionNotes(all []wanted) (notes []string) {
	if !n.sharedQueue() {
		return nil
	}
	for _, w := range all {
		if n.sessionThere(w.Session) == nil {
			continue
		}
		if note := elsewhere(w.Session); !slices.Contains(notes, note) {
			notes = append(notes, note)
		}
	}
	return notes
}

// elsewhere is said of a session that this node of several has not.
func elsewhere(session string) string {
	return fmt.Sprintf("this node has no session %s: only a node that has one goes there, and until then it waits", session)
}

// inUse refuses to remove a session that something which is watched is visited with: an
// investigator who tidies up is not to lose the days until somebody looks.
func (n *node) inUse(list []*watch, session string) error {
	var pages []string
	for _, k := range list {
		if k.Session == session {
			pages = append(pages, fmt.Sprintf("%.200s", k.Source))
		}
	}
	if len(pages) == 0 {
		return nil
	}
	more := ""
	if len(pages) > 3 {
		pages, more = pages[:3], fmt.Sprintf(" and %d more", len(pages)-3)
	}
	return usageError("session %s: %s%s are visited with it, and would wait for one of this name: `holdfast watch add URL --session OTHER` (or %s) gives them another, `holdfast watch remove` ends them; --let-wait removes it all the same", session, strings.Join(pages, ", "), more, noSession)
}

// forgetSession removes it under the lock of the list, so that no watch gets it meanwhile.
func (n *node) forgetSession(ctx context.Context, name string, letWait bool) error {
	return n.changeWatches(ctx, func(list []*watch) ([]*watch, error) {
		if !letWait {
			if err := n.inUse(list, name); err != nil {
				return nil, err
			}
		}
		if err := os.Remove(n.path(sessionFiles + name)); err != nil {
			return nil, fmt.Errorf("remove session: %w", err)
		}
		return list, nil
	})
}

// waitSession notes what a Task of a visit waits for, so that it goes on once somebody has
// seen to it.
func (w *watchRun) waitSession(t *watchTask) {
	if k := w.list[t.watch]; k != nil && t.part == partVisit && k.Session != "" {
		t.session, t.sessionAt = k.Session, changed(w.n.path(sessionFiles+k.Session))
	}
}

// wakeSessions lets visits go that waited for a session which is there now, or is another.
func (w *watchRun) wakeSessions(now time.Time) {
	if now.Sub(w.sessionsAt) < keepEvery {
		return
	}
	w.sessionsAt = now
	at := map[string]time.Time{}
	for _, t := range w.tasks {
		if t.session == "" || t.busy {
			continue
		}
		if _, ok := at[t.session]; !ok {
			at[t.session] = changed(w.n.path(sessionFiles + t.session))
		}
		if k := at[t.session]; !k.IsZero() && !k.Equal(t.sessionAt) {
			t.session, t.said, t.due = "", "", now
		}
	}
}

// lacksSession says whether a Task is to be captured with a session that this node has
// not, where another may have it.
func (n *node) lacksSession(o taskOptions) bool {
	return o.Session != "" && n.sharedQueue() && n.sessionThere(o.Session) != nil
}

// leaves says whether a Task is left to another node, which has its session. That none has
// it is said once nobody has taken it for a while: who follows it waits until then.
func (l *collectLoop) leaves(t pipeline.Task, now time.Time) bool {
	if !l.n.sharedQueue() || !bytes.Contains(t.Options, []byte(`"session":`)) {
		return false
	}
	var o taskOptions
	if json.Unmarshal(t.Options, &o) != nil || !l.n.lacksSession(o) {
		return false
	}
	if l.left[t.ID].IsZero() {
		l.left[t.ID] = now
	}
	if now.Sub(l.left[t.ID]) >= leftFor {
		l.why(t.ID, collecting.Node, elsewhere(o.Session))
	}
	return true
}

// waitsFor is why a watch of this node's own waits; "": it does not, as far as is known.
func (n *node) waitsFor(w *watch) string {
	if w.Session == "" || w.Paused != nil || n.sharedQueue() { // then the nodes say it: watchRunners
		return ""
	}
	why := n.sessionTrouble(w.Session)
	if why == "" {
		return ""
	}
	return fmt.Sprintf("%s: it is visited once `holdfast session add %s --cookies FILE` has made one, and never without", why, w.Session)
}

// sessionsWait is for doctor: the watches that wait for a session; "": none.
func (n *node) sessionsWait(list []*watch) string {
	count, first := 0, holdfast.Source("")
	why := ""
	for _, w := range list {
		if text := n.waitsFor(w); text != "" {
			if count++; count == 1 {
				first, why = w.Source, text
			}
		}
	}
	switch count {
	case 0:
		return ""
	case 1:
		return fmt.Sprintf("%s waits: %s", first, why)
	}
	return fmt.Sprintf("%d watches wait for a session, the first is %s: %s", count, first, why)
}
