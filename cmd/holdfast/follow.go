package main

import (
	"context"
	"os"
	"time"
)

// followEvery is how often authorities.json is looked at while this process
// seals.
const followEvery = 2 * time.Second

// follow takes up authorities that were added while this process seals. (To
// remove one waits until nobody seals, see removeAuthority.) A list that cannot
// be used is told, and the old one stays.
func (s *sealing) follow(ctx context.Context, n *node) error {
	last := changed(n.path(fileAuthorities))
	tick := time.NewTicker(followEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
		}
		now := changed(n.path(fileAuthorities))
		if now.Equal(last) {
			continue
		}
		last = now
		if err := s.askAnew(n); err != nil {
			n.log.ErrorContext(ctx, "authorities are asked as before", "err", err)
		}
	}
}

func (s *sealing) askAnew(n *node) error {
	if err := n.reloadTrust(); err != nil {
		return err
	}
	as, _, err := n.asked()
	if err != nil {
		return err
	}
	return s.quorum.SetAuthorities(as)
}

// changed is when a file was replaced last; the zero time if it is not there.
func changed(name string) time.Time {
	st, err := os.Stat(name)
	if err != nil {
		return time.Time{}
	}
	return st.ModTime()
}
