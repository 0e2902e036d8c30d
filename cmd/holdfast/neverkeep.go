package main

import (
	"errors"
	"fmt"
	"sync"

	"holdfast/collectors"
)

// errNoList is wrapped by the error for a list of --never-keep that is not there.
var errNoList = errors.New("no list of what is never kept")

// listCache holds each list once: it may be hundreds of megabytes.
type listCache struct {
	mu sync.Mutex
	of map[string]*collectors.KnownList
}

func (l *listCache) open(name string) (*collectors.KnownList, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if k := l.of[name]; k != nil {
		return k, nil
	}
	k, err := collectors.OpenKnownList(name)
	if err != nil {
		return nil, fmt.Errorf("%w: %w; nothing is taken in without it", errNoList, err)
	}
	if l.of == nil {
		l.of = map[string]*collectors.KnownList{}
	}
	l.of[name] = k
	return k, nil
}

// knownLists are the lists of what must never be kept: the node's and the
// call's (file, "" for none). Each is read once and used to the end of the
// process. A list that cannot be read is an error that wraps errNoList: without
// it nothing may be taken in.
func (n *node) knownLists(file string) (lists []*collectors.KnownList, err error) {
	for _, name := range []string{n.set.NeverKeep, file} {
		if name == "" {
			continue
		}
		k, err := n.lists.open(name)
		if err != nil {
			return nil, err
		}
		lists = append(lists, k)
	}
	return lists, nil
}
