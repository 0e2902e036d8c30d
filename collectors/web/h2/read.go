package h2

import (
	"errors"
	"fmt"
	"io"
	"strconv"

	"golang.org/x/net/http2"
)

// read takes frames until the connection ends.
func (c *Conn) read() {
	defer close(c.done)
	for {
		f, err := c.fr.ReadFrame()
		var se http2.StreamError
		if errors.As(err, &se) { // a head that is none: the others go on
			c.endStream(se.StreamID, fmt.Errorf("%w: %w", ErrReset, err))
			if err = c.later(func() error { return c.fr.WriteRSTStream(se.StreamID, se.Code) }); err == nil {
				continue
			}
		}
		if err == nil {
			err = c.take(f)
		}
		if err != nil {
			if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
				err = fmt.Errorf("%w: %w", ErrGone, io.ErrUnexpectedEOF)
			}
			c.fail(err)
			return
		}
	}
}

func (c *Conn) take(f http2.Frame) error {
	switch f := f.(type) {
	case *http2.MetaHeadersFrame:
		return c.head(f)
	case *http2.DataFrame:
		return c.data(f)
	case *http2.SettingsFrame:
		return c.settings(f)
	case *http2.WindowUpdateFrame:
		return c.grant(f.StreamID, int64(f.Increment))
	case *http2.PingFrame:
		if data := f.Data; !f.IsAck() {
			return c.later(func() error { return c.fr.WritePing(true, data) })
		}
	case *http2.GoAwayFrame:
		c.goAway(f)
	case *http2.RSTStreamFrame:
		err := fmt.Errorf("%w by the site: %v", ErrReset, f.ErrCode)
		if f.ErrCode == http2.ErrCodeRefusedStream {
			err = fmt.Errorf("%w: %w", ErrUnasked, err)
		}
		c.endStream(f.StreamID, err)
	case *http2.PushPromiseFrame:
		return fmt.Errorf("%w: a push, which was refused in advance", ErrFlood)
	}
	return nil
}

func (c *Conn) endStream(id uint32, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s := c.streams[id]; s != nil {
		s.end(err)
	}
	c.change.Broadcast()
}

func (c *Conn) head(f *http2.MetaHeadersFrame) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	defer c.change.Broadcast()
	s := c.streams[f.StreamID]
	if s == nil {
		return nil // of a stream that was given up
	}
	if f.Truncated {
		s.end(fmt.Errorf("%w: a head of more than %d bytes", ErrFlood, c.o.MaxHead))
		return nil
	}
	h := Head{}
	for _, field := range f.RegularFields() {
		h.Fields = append(h.Fields, Field{field.Name, field.Value})
	}
	status, err := strconv.Atoi(f.PseudoValue("status"))
	switch {
	case s.headed: // behind the body
		s.trailers = h.Fields
	case err != nil || status < 100 || status > 999 || len(f.PseudoValue("status")) != 3:
		s.end(fmt.Errorf("%w: a head without a status", ErrReset))
	case len(s.heads) >= maxInterim:
		s.end(fmt.Errorf("%w: %d heads of 1xx", ErrFlood, maxInterim))
	default:
		h.Status = status
		s.heads = append(s.heads, h)
		s.headed = status/100 != 1
	}
	if f.StreamEnded() {
		s.whole()
	}
	return nil
}

func (c *Conn) data(f *http2.DataFrame) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	defer c.change.Broadcast()
	n := int64(f.Length) // padding counts
	if c.granted -= n; c.granted < 0 {
		return fmt.Errorf("%w: beyond the window of the connection", ErrFlood)
	}
	s := c.streams[f.StreamID]
	if s == nil || s.err != nil {
		return c.given(nil, n)
	}
	if s.granted -= n; s.granted < 0 {
		return fmt.Errorf("%w: beyond the window of stream %d", ErrFlood, f.StreamID)
	}
	if !s.headed {
		s.end(fmt.Errorf("%w: a body without a head", ErrReset))
		return c.given(nil, n)
	}
	s.body = append(s.body, f.Data()...)
	if f.StreamEnded() {
		s.whole()
	}
	return c.given(s, n-int64(len(f.Data())))
}

// given counts bytes that were read, and grants as many again once half of a window is
// used up. The caller holds the lock.
func (c *Conn) given(s *Stream, n int64) error {
	if c.unread += n; c.unread >= connWindow/2 {
		more := c.unread
		c.granted, c.unread = c.granted+more, 0
		if err := c.later(func() error { return c.fr.WriteWindowUpdate(0, uint32(more)) }); err != nil {
			return err
		}
	}
	if s == nil || s.ended {
		return nil
	}
	if s.unread += n; s.unread >= streamWindow/2 {
		more := s.unread
		s.granted, s.unread = s.granted+more, 0
		return c.later(func() error { return c.fr.WriteWindowUpdate(s.id, uint32(more)) })
	}
	return nil
}

func (c *Conn) settings(f *http2.SettingsFrame) error {
	if f.IsAck() {
		return nil
	}
	table := uint32(4096)
	hasTable := false
	c.mu.Lock()
	err := f.ForeachSetting(func(s http2.Setting) error {
		if err := s.Valid(); err != nil {
			return err
		}
		switch s.ID {
		case http2.SettingMaxConcurrentStreams:
			c.peer.streams = s.Val
		case http2.SettingMaxFrameSize:
			c.peer.frame = min(s.Val, 1<<16)
		case http2.SettingHeaderTableSize:
			table, hasTable = min(s.Val, tableSize), true
		case http2.SettingInitialWindowSize:
			for _, st := range c.streams {
				st.window += int64(s.Val) - c.peer.window
			}
			c.peer.window = int64(s.Val)
		}
		return nil
	})
	c.change.Broadcast()
	c.mu.Unlock()
	if err != nil {
		return err
	}
	return c.later(func() error {
		if hasTable {
			c.enc.SetMaxDynamicTableSizeLimit(table)
			c.enc.SetMaxDynamicTableSize(table)
		}
		return c.fr.WriteSettingsAck()
	})
}

func (c *Conn) grant(id uint32, n int64) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	defer c.change.Broadcast()
	const most = 1<<31 - 1
	if id == 0 {
		if c.window += n; c.window > most {
			return fmt.Errorf("%w: a window of more than 2^31-1", ErrFlood)
		}
		return nil
	}
	if s := c.streams[id]; s != nil {
		if s.window += n; s.window > most {
			s.end(fmt.Errorf("%w: a window of more than 2^31-1", ErrFlood))
		}
	}
	return nil
}

func (c *Conn) goAway(f *http2.GoAwayFrame) {
	c.mu.Lock()
	defer c.mu.Unlock()
	defer c.change.Broadcast()
	err := fmt.Errorf("%w: the site goes away: %v", ErrGone, f.ErrCode)
	if c.over == nil {
		c.over = err
	}
	for id, s := range c.streams {
		if id > f.LastStreamID {
			s.end(fmt.Errorf("%w: %w", ErrUnasked, err))
		}
	}
}
