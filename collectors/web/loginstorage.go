package web

import (
	"context"
	"slices"

	"github.com/go-rod/rod/lib/proto"

	"holdfast/collectors"
)

// visited are the windows of a browser that somebody logs in with, and what the local
// storage of the origins holds that they were at, as it was seen last. It is one
// goroutine's.
type visited struct {
	b     *browser
	first string // the origin that was asked for

	at    map[proto.TargetTargetID]session // windows that were looked into
	found []collectors.Origin
	seen  bool
	gone  bool // there was a window, and there is none
}

// look looks into each window. What cannot be read now is read the next time.
func (v *visited) look(ctx context.Context) {
	top := v.b.session("", ctx)
	all, err := proto.TargetGetTargets{}.Call(top)
	if err != nil {
		return
	}
	windows := 0
	for _, t := range all.TargetInfos {
		if t.Type != proto.TargetTargetInfoTypePage {
			continue
		}
		windows++
		origin := webOrigin(t.URL)
		if origin == "" {
			continue
		}
		v.seen = true
		if s, ok := v.into(top, t.TargetID); ok {
			if items, err := storageOf(s, origin); err == nil {
				v.keep(origin, items)
			}
		}
	}
	v.gone = v.seen && windows == 0
}

// into attaches to a window, once.
func (v *visited) into(top session, id proto.TargetTargetID) (session, bool) {
	if s, ok := v.at[id]; ok {
		return s, true
	}
	got, err := proto.TargetAttachToTarget{TargetID: id, Flatten: true}.Call(top)
	if err != nil {
		return session{}, false
	}
	if v.at == nil {
		v.at = map[proto.TargetTargetID]session{}
	}
	s := session{link: top.link, id: string(got.SessionID), ctx: top.ctx, log: top.log}
	v.at[id] = s
	return s, true
}

func (v *visited) keep(origin string, items []collectors.Item) {
	at := slices.IndexFunc(v.found, func(o collectors.Origin) bool { return o.Origin == origin })
	switch {
	case at >= 0 && len(items) == 0:
		v.found = slices.Delete(v.found, at, at+1) // it was logged out there
	case at >= 0:
		v.found[at].Items = items
	case len(items) > 0 && len(v.found) < maxVisited:
		v.found = append(v.found, collectors.Origin{Origin: origin, Items: items})
	}
}

// maxVisited bounds the origins that are remembered.
const maxVisited = 200

// origins are those that can be kept: the one that was asked for first, and of the others
// as many as the limits of a session hold.
func (v *visited) origins() (kept []collectors.Origin) {
	slices.SortStableFunc(v.found, func(a, b collectors.Origin) int {
		switch {
		case a.Origin == v.first:
			return -1
		case b.Origin == v.first:
			return 1
		}
		return 0
	})
	for _, o := range v.found {
		more := append(kept[:len(kept):len(kept)], o)
		if checked, err := collectors.CheckOrigins(more); err == nil && CheckStorage(checked) == nil {
			kept = checked
		}
	}
	return kept
}
