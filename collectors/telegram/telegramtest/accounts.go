package telegramtest

import (
	"slices"

	"github.com/gotd/td/tg"
	"github.com/gotd/td/tgerr"
	"github.com/gotd/td/tgtest"
)

// accounts tells those that are logged in apart: by their keys, in the order in which
// each was logged in at the main data centre.
type accounts struct {
	keys   [][8]byte
	banned map[int]bool
	asked  map[int]map[string]int
	hidden map[int64][]int           // from whom a channel is private
	waits  map[int]map[string]string // what a method answers to an account, by its name
}

func (a *accounts) add(req *tgtest.Request) {
	if req.DC == MainDC && !slices.Contains(a.keys, req.Session.AuthKey.ID) {
		a.keys = append(a.keys, req.Session.AuthKey.ID)
	}
}

// of is the number of the account that asks, from 1; 0: none that is known, such as
// one that asks for files elsewhere.
func (a *accounts) of(req *tgtest.Request) int {
	return slices.Index(a.keys, req.Session.AuthKey.ID) + 1
}

// Ban closes the n-th account that was logged in, from 1 (USER_DEACTIVATED_BAN).
func (s *Server) Ban(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.accounts.banned == nil {
		s.accounts.banned = map[int]bool{}
	}
	s.accounts.banned[n] = true
}

// Hide makes a channel private (CHANNEL_PRIVATE) for these accounts, and for no others.
func (s *Server) Hide(c *Channel, from ...int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.accounts.hidden == nil {
		s.accounts.hidden = map[int64][]int{}
	}
	s.accounts.hidden[c.ID] = from
}

// Wait makes a method answer the n-th account with this error, e.g. FLOOD_WAIT_600; ""
// ends it.
func (s *Server) Wait(n int, method, what string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.accounts.waits == nil {
		s.accounts.waits = map[int]map[string]string{}
	}
	if s.accounts.waits[n] == nil {
		s.accounts.waits[n] = map[string]string{}
	}
	s.accounts.waits[n][method] = what
}

// AskedBy returns how often the n-th account has asked for a method.
func (s *Server) AskedBy(n int, method string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.accounts.asked[n][method]
}

// refuses is what the asking account alone is told; nil: it is answered.
func (s *Server) refuses(req *tgtest.Request, m method, in any) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	a := &s.accounts
	n := a.of(req)
	if n == 0 {
		return nil
	}
	if a.asked == nil {
		a.asked = map[int]map[string]int{}
	}
	if a.asked[n] == nil {
		a.asked[n] = map[string]int{}
	}
	a.asked[n][m.name]++
	if a.banned[n] && !m.welcome {
		return tgerr.New(401, "USER_DEACTIVATED_BAN")
	}
	if what := a.waits[n][m.name]; what != "" {
		return tgerr.New(420, what)
	}
	if slices.Contains(a.hidden[channelAsked(in)], n) {
		return tgerr.New(400, "CHANNEL_PRIVATE")
	}
	return nil
}

// channelAsked is the channel that a request is about, if it names one.
func channelAsked(in any) int64 {
	var c tg.InputChannelClass
	switch in := in.(type) {
	case interface{ GetChannel() tg.InputChannelClass }:
		c = in.GetChannel()
	case *tg.MessagesGetHistoryRequest:
		if p, ok := in.Peer.(*tg.InputPeerChannel); ok {
			return p.ChannelID
		}
	}
	if k, ok := c.(*tg.InputChannel); ok {
		return k.ChannelID
	}
	return 0
}
