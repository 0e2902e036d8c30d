package seams

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
	"holdfast/storage"
)

// A queue that several nodes share takes an ID in twice, and those who normalise and
// seal drop the second message by what they remember of the last hour. What is published
// again later than that is met here.

const (
	knownTime  = 5 * time.Second  // for one question
	knownAgain = 30 * time.Second // before the next one, where one failed
)

// InSeals knows in which Seals captures are.
type InSeals interface {
	InSeals(ctx context.Context, ids []holdfast.ID) (map[holdfast.ID][]string, error)
}

// SealedBefore asks which captures are in a Seal. Sealing does not wait for the catalog: while
// that cannot be asked, what is remembered of the last hour must do. It is safe for concurrent
// use.
type SealedBefore struct {
	Catalog InSeals
	Store   storage.Store

	mu   sync.Mutex
	next time.Time // not before
}

// Ask returns which of ids are in a Seal that has its place in a log. Where the catalog could
// not be asked a moment ago the error wraps [pipeline.ErrUnavailable]; it is waited for a few
// seconds at most.
func (k *SealedBefore) Ask(ctx context.Context, ids []holdfast.ID) (map[holdfast.ID]bool, error) {
	if k.resting() {
		return nil, fmt.Errorf("the catalog could not be asked a moment ago: %w", pipeline.ErrUnavailable)
	}
	limited, cancel := context.WithTimeout(ctx, knownTime)
	defer cancel()
	seals, err := k.Catalog.InSeals(limited, ids)
	if err != nil {
		k.rest()
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
func (k *SealedBefore) plan(ctx context.Context, seal string) (map[holdfast.ID]bool, error) {
	in := map[holdfast.ID]bool{}
	done, err := preserve.Included(ctx, k.Store, seal)
	if err != nil || !done {
		return in, err
	}
	p, err := plans.Read(ctx, k.Store, "seals/"+seal+"/plan.json")
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

func (k *SealedBefore) resting() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return time.Now().Before(k.next)
}

func (k *SealedBefore) rest() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.next = time.Now().Add(knownAgain)
}
