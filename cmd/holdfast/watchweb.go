package main

import (
	"context"
	"sync"

	"holdfast/cmd/internal/spool"
	"holdfast/collectors"
	"holdfast/collectors/web"
)

// lazyWeb is the browser, started when the first page comes: who watches channels
// alone needs none. It is safe for concurrent use.
type lazyWeb struct {
	n *node

	mu    sync.Mutex
	by    *web.Collector
	spool *spool.Spool
}

// Collect implements collectors.Collector.
func (l *lazyWeb) Collect(ctx context.Context, req collectors.Request, keep collectors.Keeper) (*collectors.Acquired, error) {
	by, err := l.open()
	if err != nil {
		return nil, err
	}
	return by.Collect(ctx, req, keep)
}

func (l *lazyWeb) open() (*web.Collector, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.by != nil {
		return l.by, nil
	}
	s, err := spool.Open(l.n.dir)
	if err != nil {
		return nil, err
	}
	by, err := web.New(web.Options{Browser: l.n.browser(), Ytdlp: l.n.ytdlp(), Recipes: recipesOf(l.n.dir), Dir: s.Dir(), Tabs: l.n.set.AtOnce(), Log: l.n.log})
	if err != nil {
		s.Close()
		return nil, err
	}
	l.by, l.spool = by, s
	return by, nil
}

// Close ends the browser.
func (l *lazyWeb) Close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.by != nil {
		l.by.Close()
		l.spool.Close()
	}
}
