package main

import (
	"slices"

	"holdfast"
)

// sharing is who is to run what, as one node sees it.
type sharing struct {
	me    string
	list  []*watch
	there map[string]aboutWatcher
	count map[string]int // how many each runs
	part  map[string]int // how many each is to run: by its accounts
	pages bool           // it is about pages, which no account is needed for
}

// newSharing is about channels.
func newSharing(list []*watch, there map[string]aboutWatcher, me string) *sharing {
	return sharingOf(list, there, me, false)
}

// pageSharing is about pages: any node can run one that has its way out, each as many as
// the others.
func pageSharing(list []*watch, there map[string]aboutWatcher, me string) *sharing {
	return sharingOf(list, there, me, true)
}

func sharingOf(all []*watch, there map[string]aboutWatcher, me string, pages bool) *sharing {
	var list []*watch
	for _, k := range all {
		if k.isPage() == pages {
			list = append(list, k)
		}
	}
	s := &sharing{pages: pages, me: me, list: list, there: there, count: map[string]int{}, part: map[string]int{}}
	total, weight := 0, 0
	for _, k := range list {
		if k.Paused == nil {
			total++
			s.count[k.by]++
		}
	}
	for _, a := range there {
		weight += s.weight(a)
	}
	for node, a := range there {
		if weight > 0 {
			s.part[node] = (total*s.weight(a) + weight - 1) / weight
		}
	}
	return s
}

// weight is how much of the work a node is to have: nothing where it can look at pages
// alone, and another can ask the service.
func (s *sharing) weight(a aboutWatcher) int {
	if s.pages {
		return 1
	}
	if a.Accounts > 0 {
		return a.Accounts
	}
	for _, o := range s.there {
		if o.Accounts > 0 {
			return 0
		}
	}
	return min(len(a.Pages), 1)
}

// fit are the nodes that can run a watch: those that can ask the service, else those that
// look at its pages.
func (s *sharing) fit(k *watch) (nodes []string) {
	if s.pages {
		for node, a := range s.there {
			if _, unfit := a.Unfit[k.Source]; !unfit {
				nodes = append(nodes, node)
			}
		}
		return nodes
	}
	for node, a := range s.there {
		if _, unfit := a.Unfit[k.Source]; !unfit && a.Accounts > 0 {
			nodes = append(nodes, node)
		}
	}
	if len(nodes) > 0 {
		return nodes
	}
	for node, a := range s.there {
		if _, unfit := a.Unfit[k.Source]; !unfit && a.able() {
			nodes = append(nodes, node)
		}
	}
	return nodes
}

// take are those that nobody runs, up to this node's part; and those that no other can.
func (s *sharing) take() (sources []string) {
	has := s.count[s.me]
	for _, k := range s.list {
		if _, run := s.there[k.by]; run || k.Paused != nil {
			continue
		}
		fit := s.fit(k)
		if !slices.Contains(fit, s.me) || has >= s.part[s.me] && len(fit) > 1 && slices.ContainsFunc(fit, func(n string) bool { return n != s.me && s.count[n] < s.part[n] }) {
			continue
		}
		has++
		sources = append(sources, string(k.Source))
	}
	return sources
}

// give are those that this node cannot run, or no longer as well as another. What its
// accounts alone cannot read, and those of no other node either, it keeps.
func (s *sharing) give(busy map[holdfast.ID]bool) (sources []string) {
	for _, k := range s.list {
		if k.by != s.me || k.Paused != nil || busy[k.ID] {
			continue
		}
		fit := s.fit(k)
		_, tried := k.Cannot[s.me]
		if slices.Contains(fit, s.me) || len(fit) == 0 && tried {
			continue
		}
		sources = append(sources, string(k.Source))
	}
	return sources
}

// level is one that another node has more room for: at a slow pace, since each has to be
// found anew by the other's accounts.
func (s *sharing) level(busy map[holdfast.ID]bool) []string {
	if s.count[s.me] <= s.part[s.me] {
		return nil
	}
	for _, k := range s.list {
		if k.by != s.me || k.Paused != nil || busy[k.ID] {
			continue
		}
		if slices.ContainsFunc(s.fit(k), func(n string) bool { return n != s.me && s.count[n] < s.part[n] }) {
			return []string{string(k.Source)}
		}
	}
	return nil
}
