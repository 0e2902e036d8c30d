package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"holdfast"
	"holdfast/catalog"
	"holdfast/collectors"
	"holdfast/collectors/web/content"
	"holdfast/hashing"
	"holdfast/pipeline"
	"holdfast/schedule"
)

// A page that is watched has one Task, which never ends. Its step is the time of the
// schedule that it is due for, so what is captured for that time has one ID, however
// often it is asked for again after a crash; and its cursor is what the next visit is
// to know of this one.

// visitWish is what a Task of such a page carries.
type visitWish struct {
	Began    holdfast.Time `json:"began"`
	Schedule string        `json:"schedule"`
}

// visitMark is what a visit leaves for the next one.
type visitMark struct {
	Algorithm   string      `json:"algorithm"`
	Capture     holdfast.ID `json:"capture"`
	Failures    int64       `json:"failures,omitempty"`
	Fingerprint string      `json:"fingerprint,omitempty"`
	Number      int64       `json:"number,omitempty"`
	Since       holdfast.ID `json:"since,omitempty"`
}

// Bounds of visits.
const (
	visitLooks    = 20 // captures of a page that are looked through for its last visit
	manifestWait  = 5 * time.Second
	manifestPause = 100 * time.Millisecond
)

// visited says what a visit has come to: its place among those before it, and when the
// next one is.
func (n *node) visited(ctx context.Context, t pipeline.Task, o taskOptions, a *collectors.Acquired, now time.Time) (*pipeline.Version, error) {
	s, err := schedule.Parse(o.Visit.Schedule)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", collectors.ErrRefused, err)
	}
	last, err := n.lastMark(ctx, t, o.Watch)
	if err != nil {
		return nil, err
	}
	began, due := o.Visit.Began.Time, time.UnixMilli(int64(t.Step))
	v := &pipeline.Version{Algorithm: content.Algorithm, Began: o.Visit.Began, Due: holdfast.At(due), Missed: s.Missed(began, due, a.Started), Number: last.Number, Schedule: s.String(), Since: last.Since, Watch: o.Watch}
	mark := last
	if mark.Capture = t.Capture(); !shows(a) {
		v.Failures = last.Failures + 1
	} else if sum, ok, err := n.contentOf(ctx, a); err != nil {
		return nil, err
	} else if ok {
		v.Fingerprint = sum.String()
		if mark.Fingerprint != v.Fingerprint || mark.Algorithm != v.Algorithm {
			v.Number, v.Since = last.Number+1, t.Capture()
		}
		mark.Algorithm, mark.Fingerprint, mark.Number, mark.Since = v.Algorithm, v.Fingerprint, v.Number, v.Since
	}
	mark.Failures = v.Failures
	if last.Capture != "" {
		v.Previous = &pipeline.Previous{Capture: last.Capture, Fingerprint: last.Fingerprint}
		if v.Previous.Manifest, err = n.manifestDigest(ctx, last.Capture); err != nil {
			return nil, err
		}
	}
	conf, err := n.watchConf()
	if err != nil {
		return nil, err
	}
	cursor, err := json.Marshal(mark)
	if err != nil {
		return nil, err
	}
	asked := leftAlone(a, now)
	if !asked.IsZero() {
		v.Again = holdfast.At(asked)
	}
	next := s.AgainAfter(began, due, now, v.Failures, conf.Least, asked).Truncate(time.Millisecond)
	a.Next = &collectors.Next{Due: next, Step: uint64(next.UnixMilli()), Cursor: cursor}
	return v, nil
}

// shows says whether the page itself came: no failure, and no wall in its place.
func shows(a *collectors.Acquired) bool {
	if a.Outcome == collectors.Failed {
		return false
	}
	for _, r := range a.Reasons {
		if strings.HasSuffix(r.Code, "-wall") || r.Code == notFound || r.Code == "not-found" {
			return false
		}
	}
	return true
}

// contentOf is the fingerprint of what was received; not ok where there is no document.
// A panic of the reader, which reads hostile pages, is no document.
func (n *node) contentOf(ctx context.Context, a *collectors.Acquired) (sum hashing.Digest, ok bool, err error) {
	for _, o := range a.Objects {
		if o.Name != nameDOM {
			continue
		}
		r := io.NopCloser(io.Reader(bytes.NewReader(o.Inline)))
		if o.Kept {
			if r, _, err = n.store.Open(ctx, o.Digest); err != nil {
				return sum, false, fmt.Errorf("read the document of a visit: %w", err)
			}
		}
		defer r.Close()
		limited, stop := context.WithTimeout(ctx, pipeline.NormaliseTime)
		defer stop()
		d, err := readContent(limited, r, a.Address.Final)
		if ctx.Err() != nil {
			return sum, false, context.Cause(ctx)
		}
		if err != nil {
			n.log.WarnContext(ctx, "a document is compared with no other", "err", err)
			return sum, false, nil
		}
		sum, ok = d.Fingerprint()
		return sum, ok, nil
	}
	return sum, false, nil
}

const nameDOM = "dom.html"

func readContent(ctx context.Context, r io.Reader, base string) (d *content.Document, err error) {
	defer func() {
		if x := recover(); x != nil {
			err = fmt.Errorf("read document: panic: %v", x)
		}
	}()
	return content.Read(ctx, r, base)
}

// lastMark is what the visit before left: in the Task, or, where that is a new one,
// in the newest capture of the page that is a visit of this watch.
func (n *node) lastMark(ctx context.Context, t pipeline.Task, watch holdfast.ID) (m visitMark, err error) {
	cur, err := cursorOf(t)
	if err != nil {
		return m, err
	}
	if len(cur.At) > 0 {
		if err := json.Unmarshal(cur.At, &m); err != nil {
			return m, fmt.Errorf("read cursor of task %s: %w", t.ID, errDamaged)
		}
		return m, nil
	}
	cp, v, err := n.lastVisit(ctx, t.Source, watch)
	if err != nil || v == nil {
		return m, err
	}
	m = visitMark{Algorithm: v.Algorithm, Capture: cp.ID, Failures: v.Failures, Fingerprint: v.Fingerprint, Number: v.Number, Since: v.Since}
	if m.Fingerprint == "" && v.Previous != nil {
		m.Fingerprint = v.Previous.Fingerprint
	}
	return m, nil
}

// lastVisit is the newest visit that the catalog knows; nil: none among the newest
// captures of the page.
func (n *node) lastVisit(ctx context.Context, page holdfast.Source, watch holdfast.ID) (cp catalog.Capture, v *pipeline.Version, err error) {
	from := n.kept()
	for cp, err := range n.cat.Captures(ctx, catalog.Query{Source: page, Kind: holdfast.KindCapture, Limit: visitLooks}) {
		if err != nil {
			return cp, nil, err
		}
		m, err := from.Parsed(ctx, cp.ID)
		if err != nil {
			n.log.WarnContext(ctx, "whether it is a visit is not known", "capture", cp.ID, "err", err)
			continue
		}
		if v := pipeline.VersionIn(m); v != nil && v.Watch == watch {
			return cp, v, nil
		}
	}
	return cp, nil, ctx.Err()
}

// manifestDigest is the Digest of a capture's Manifest, once the catalog knows it; ""
// where that takes too long: then the chain is by ID alone.
func (n *node) manifestDigest(ctx context.Context, id holdfast.ID) (string, error) {
	for end := time.Now().Add(manifestWait); ; {
		cp, err := n.cat.Capture(ctx, id)
		switch {
		case err == nil:
			return cp.Manifest.String(), nil
		case !errors.Is(err, catalog.ErrNotFound):
			return "", err
		case time.Now().After(end):
			return "", nil
		}
		select {
		case <-ctx.Done():
			return "", context.Cause(ctx)
		case <-time.After(manifestPause):
		}
	}
}
