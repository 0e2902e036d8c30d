package main

import (
	"context"
	"os"
	"time"

	"holdfast/cmd/internal/nodedir"
)

// followEvery is how often authorities.json is looked at while this process
// seals.
const followEvery = 2 * time.Second

// follow takes up authorities that were added while this process seals, and the
// window that goes with them; what only lacks them is brought to them at once. (To remove one waits until nobody seals, see
// removeAuthority.) A list that cannot be used is told, and the old one stays.
func (s *sealing) follow(ctx context.Context, n *node) error {
	last := s.asOf
	tick := time.NewTicker(followEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
		}
		now := changed(n.path(nodedir.FileAuthorities))
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
	as, public, err := n.asked()
	if err != nil {
		return err
	}
	if err := s.quorum.SetAuthorities(as); err != nil {
		return err
	}
	s.public.Store(public)
	s.recon.Wake()
	return nil
}

// changed is when a file was replaced last; the zero time if it is not there.
func changed(name string) time.Time {
	st, err := os.Stat(name)
	if err != nil {
		return time.Time{}
	}
	return st.ModTime()
}
