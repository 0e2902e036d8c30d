package web

import (
	"context"
	"fmt"

	"holdfast/collectors"
)

// Decoded are the Options of a Request that lets the browser speak with sites over TLS
// itself, for those that refuse the recording proxy; what it tells of its exchanges is
// recorded in the place of what the wire carried. The zero value is the exact way.
const Decoded = `{"decoded":true}`

// options are what a Request may ask of this Collector.
type options struct {
	Decoded bool   `json:"decoded,omitempty"`
	Consent string `json:"consent,omitempty"` // "refuse" (a banner that asks for it; accept where nothing refuses) or "leave". Optional: refuse.
	More    string `json:"more,omitempty"`    // "buttons" (that give more of the page are pressed) or "none". Optional: buttons.
	Films   string `json:"films,omitempty"`   // "yt-dlp": it is run for the page's address, see Options.Ytdlp. Optional: no program is.
}

// readOptions errors: [collectors.ErrRefused].
func readOptions(req collectors.Request) (options, error) {
	o := options{Consent: consentRefuse, More: moreButtons}
	if err := req.ReadOptions(&o); err != nil {
		return o, err
	}
	if o.Consent != consentRefuse && o.Consent != consentLeave || o.More != moreButtons && o.More != moreNone {
		return o, fmt.Errorf("options of %.200q: consent is refuse or leave, more is buttons or none: %w", req.Source, collectors.ErrRefused)
	}
	if o.Films != "" && o.Films != ytdlp || o.Films != "" && o.Decoded {
		return o, fmt.Errorf("options of %.200q: films is yt-dlp, and not with decoded: %w", req.Source, collectors.ErrRefused)
	}
	return o, nil
}

// browserFor gives the browser of one capture and what ends its use. One whose browser
// speaks with sites itself has a browser of its own: what is asked of the browser as a
// whole, every request that it makes, is then this capture's.
func (c *Collector) browserFor(ctx context.Context, o options) (*browser, func(), error) {
	if !o.Decoded {
		b, err := c.acquire(ctx)
		return b, func() { c.release(b) }, err
	}
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return nil, nil, errClosed
	}
	c.all.Add(1)
	c.mu.Unlock()
	b, err := start(ctx, c.launching())
	if err != nil {
		c.all.Done()
		return nil, nil, fmt.Errorf("a browser of its own: %w", err)
	}
	return b, func() { b.close(); c.all.Done() }, nil
}
