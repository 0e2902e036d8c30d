package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"sync"
	"time"

	"holdfast"
	"holdfast/pipeline"
	"holdfast/preserve"
	"holdfast/preserve/plans"
)

// A queue that several nodes share takes an ID in twice, and those who normalise and
// seal drop the second message by what they remember of the last hour. What is published
// again later than that is met here.

const (
	knownTime  = 5 * time.Second  // for one question
	knownAgain = 30 * time.Second // before the next one, where one failed
)

// sealedCatalog knows in which Seals captures are.
type sealedCatalog interface {
	InSeals(ctx context.Context, ids []holdfast.ID) (map[holdfast.ID][]string, error)
}

// sealedBefore asks which captures are in a Seal. Sealing does not wait for the catalog: while
// that cannot be asked, what is remembered of the last hour must do.
type sealedBefore struct {
	n   *node
	cat sealedCatalog

	mu   sync.Mutex
	next time.Time
}

// knownSealed is nil where the queue keeps each ID once, for ever.
func (n *node) knownSealed() func(context.Context, []holdfast.ID) (map[holdfast.ID]bool, error) {
	cat, ok := n.cat.(sealedCatalog)
	if !ok || !n.sharedQueue() {
		return nil
	}
	k := &sealedBefore{n: n, cat: cat}
	return k.ask
}

func (k *sealedBefore) ask(ctx context.Context, ids []holdfast.ID) (map[holdfast.ID]bool, error) {
	if locked(&k.mu, func() bool { return time.Now().Before(k.next) }) {
		return nil, fmt.Errorf("the catalog could not be asked a moment ago: %w", pipeline.ErrUnavailable)
	}
	limited, cancel := context.WithTimeout(ctx, knownTime)
	defer cancel()
	seals, err := k.cat.InSeals(limited, ids)
	if err != nil {
		locked(&k.mu, func() bool { k.next = time.Now().Add(knownAgain); return true })
		return nil, fmt.Errorf("ask the catalog: %w", err)
	}
	in := map[holdfast.ID]bool{}
	plans := map[string]map[holdfast.ID]bool{}
	for id, all := range seals {
		for _, seal := range all {
			if plans[seal] == nil {
				if plans[seal], err = k.plan(ctx, seal); err != nil {
					return in, err
				}
			}
			in[id] = in[id] || plans[seal][id]
		}
	}
	return in, nil
}

// plan is what the store says of a Seal that has its place in a log. A catalog is no truth:
// were it believed where it is wrong, a capture would be in no Seal at all; and so it would
// be if a plan were believed that was given up.
func (k *sealedBefore) plan(ctx context.Context, seal string) (map[holdfast.ID]bool, error) {
	in := map[holdfast.ID]bool{}
	done, err := preserve.Included(ctx, k.n.store, seal)
	if err != nil || !done {
		return in, err
	}
	p, err := plans.Read(ctx, k.n.store, "seals/"+seal+"/plan.json")
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, plans.ErrUnsound) {
		return in, nil
	}
	if err != nil {
		return nil, err
	}
	for _, c := range p.Captures {
		in[c.ID] = true
	}
	return in, nil
}

// locked is what f returns, which nobody else is in meanwhile.
func locked[T any](mu *sync.Mutex, f func() T) T {
	mu.Lock()
	defer mu.Unlock()
	return f()
}
