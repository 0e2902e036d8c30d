package api

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"holdfast"
	"holdfast/catalog"
	"holdfast/hashing"
)

// Asks takes wishes and knows what became of them. Ask is durable on return, and the
// same for the same token and key: fresh is false where it was there before. An
// error that is a [Problem] is for the caller.
type Asks interface {
	Ask(ctx context.Context, who Token, id, home holdfast.ID, a Ask) (asked Asked, fresh bool, err error)
	Asked(ctx context.Context, who Token, id holdfast.ID) (Asked, error)
	Open(ctx context.Context, who Token) ([]Asked, error) // those that are not done, oldest first
}

// Query selects captures of some Cases, newest first.
type Query struct {
	Cases  []holdfast.ID // at home there, or added to it
	State  string
	Source holdfast.Source
	After  catalog.Cursor
	Limit  int
}

// Captures knows what was captured. Each is asked on behalf of a token, and knows
// nothing of what is in none of its Cases: [Missing].
type Captures interface {
	Captures(ctx context.Context, who Token, q Query) ([]Capture, error)
	Capture(ctx context.Context, who Token, id holdfast.ID) (Capture, error)

	// Manifest returns the exact bytes, after Custody was told who looks, and why.
	Manifest(ctx context.Context, who Token, id holdfast.ID, why string) ([]byte, error)
}

// WatchBook is the list of what is watched.
type WatchBook interface {
	AddWatches(ctx context.Context, who Token, a WatchAsk) (WatchesAdded, error)
	ChangeWatches(ctx context.Context, who Token, a WatchChange) (WatchesChanged, error)
	Watches(ctx context.Context, who Token) (Watches, error)
}

// Bundles writes Bundles. File is open at its beginning and has no name any more; the
// caller closes it. The lines of Custody say that it was exported before it returns:
// that all of it arrived, nobody here can say.
type Bundles interface {
	Bundle(ctx context.Context, who Token, a BundleAsk) (file *os.File, digest hashing.Digest, sum Summary, err error)
}

// AskID is the ID of an ask: the same for the same token and key.
func AskID(token, key string) holdfast.ID {
	h := hashing.Of([]byte("holdfast ask " + token + " " + key))
	return holdfast.ID(h.Hex()[:32])
}

func (c *call) postCaptures() error {
	key, err := c.key()
	if err != nil {
		return err
	}
	var a Ask
	if err := c.body(&a); err != nil {
		return err
	}
	switch {
	case len(a.Sources) == 0 || len(a.Sources) > MaxSources:
		return problem(http.StatusUnprocessableEntity, codeRefused, "sources: give 1 to %d, such as \"https://host/page\" or \"telegram:@name\"", MaxSources)
	case a.AllowPrivate && !c.who.AllowPrivate:
		return Forbid("the token %s may not let addresses inside the node's own network be captured: `holdfast token add --allow-private` makes one that may", c.who.Name)
	case !c.who.Uses(a.Session):
		return c.noUse(a.Session)
	case len(a.Note) > maxText || len(a.Reason) > maxText:
		return problem(http.StatusUnprocessableEntity, codeRefused, "note and reason have at most %d bytes each", maxText)
	}
	home, err := c.home(a.Case)
	if err != nil {
		return err
	}
	id := AskID(c.who.ID, key)
	if err := c.tell([]holdfast.ID{home}, string(id)); err != nil {
		return err
	}
	asked, fresh, err := c.Asks.Ask(c.r.Context(), c.who, id, home, a)
	if err != nil {
		return err
	}
	c.w.Header().Set("Location", "/v1/asks/"+string(id))
	if fresh {
		return c.answer(http.StatusAccepted, asked)
	}
	return c.answer(http.StatusOK, asked)
}

// noUse is the same whether there is a session of that name or not.
func (c *call) noUse(session string) error {
	return Forbid("the token %s may not use the session %.40q, or there is none: `holdfast token add --session NAME` on the node makes one that may", c.who.Name, session)
}

// key is the Idempotency-Key, or one that is drawn.
func (c *call) key() (string, error) {
	keys := c.r.Header.Values("Idempotency-Key")
	switch {
	case len(keys) == 0:
		return string(holdfast.NewID()), nil
	case len(keys) > 1 || keys[0] == "" || len(keys[0]) > maxKey || strings.ContainsFunc(keys[0], func(r rune) bool { return r <= ' ' || r > '~' }):
		return "", problem(http.StatusBadRequest, codeBad, "Idempotency-Key: one, of 1 to %d visible letters of ASCII", maxKey)
	}
	return keys[0], nil
}

// body reads one JSON object and nothing behind it.
func (c *call) body(v any) error {
	if t, _, err := mime.ParseMediaType(c.r.Header.Get("Content-Type")); err != nil || t != "application/json" {
		return problem(http.StatusUnsupportedMediaType, codeType, "send the body as Content-Type: application/json")
	}
	b, err := io.ReadAll(c.r.Body)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return problem(http.StatusRequestTimeout, codeUnreadable, "the body did not come within %s: send it again", c.stall)
	}
	if err != nil {
		if errors.As(err, new(*http.MaxBytesError)) {
			return err
		}
		return problem(http.StatusBadRequest, codeBad, "the body did not come whole: send it again")
	}
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil {
		return problem(http.StatusBadRequest, codeBad, "the body is not what this address takes: %v; GET /v1/openapi.yaml says what it takes", err)
	}
	if dec.More() || len(bytes.TrimSpace(b[dec.InputOffset():])) > 0 {
		return problem(http.StatusBadRequest, codeBad, "there is something behind the object in the body")
	}
	return nil
}

// home is the Case that is meant. That there is none, and that the token is not for
// it, look alike.
func (c *call) home(name string) (holdfast.ID, error) {
	if name == "" && len(c.who.Cases) == 1 {
		return c.who.Cases[0], nil
	}
	if name == "" {
		return "", problem(http.StatusUnprocessableEntity, codeRefused, "say which case: the token %s is for %d", c.who.Name, len(c.who.Cases))
	}
	id, err := c.Cases.Case(c.r.Context(), name)
	if err != nil && !errors.Is(err, catalog.ErrNotFound) {
		return "", err
	}
	if err != nil || !c.who.For(id) {
		return "", Forbid("the token %s is not for the case %.80q, or there is none of this name: `holdfast token list` on the node shows what it is for", c.who.Name, name)
	}
	return id, nil
}

func (c *call) getAsks() error {
	if err := c.params(); err != nil {
		return err
	}
	if err := c.tell(c.who.Cases); err != nil {
		return err
	}
	all, err := c.Asks.Open(c.r.Context(), c.who)
	if err != nil {
		return err
	}
	return c.answer(http.StatusOK, map[string]any{"asks": append([]Asked{}, all...)})
}

func (c *call) getAsk() error {
	if err := c.params("wait"); err != nil {
		return err
	}
	id, err := c.id()
	if err != nil {
		return err
	}
	a, err := c.Asks.Asked(c.r.Context(), c.who, id)
	if err != nil {
		return err
	}
	if err := c.tell([]holdfast.ID{a.CaseID}, string(id)); err != nil {
		return err
	}
	return c.changed(func(ctx context.Context) (any, error) { return c.Asks.Asked(ctx, c.who, id) })
}

func (c *call) getCaptures() error {
	if err := c.params("case", "state", "source", "after", "limit"); err != nil {
		return err
	}
	q := Query{Cases: c.who.Cases, State: c.q("state"), Source: holdfast.Source(c.q("source")), Limit: 100}
	if name := c.q("case"); name != "" {
		id, err := c.home(name)
		if err != nil {
			return err
		}
		q.Cases = []holdfast.ID{id}
	}
	if s := q.State; s != "" && s != catalog.Pending && s != catalog.Signed && s != catalog.Sealed {
		return problem(http.StatusBadRequest, codeBad, "state is pending, signed or sealed")
	}
	var err error
	if s := c.q("limit"); s != "" {
		if q.Limit, err = strconv.Atoi(s); err != nil || q.Limit < 1 || q.Limit > MaxPage {
			return problem(http.StatusBadRequest, codeBad, "limit is a number from 1 to %d", MaxPage)
		}
	}
	if q.After, err = parseCursor(c.q("after")); err != nil {
		return err
	}
	if err := c.tell(q.Cases); err != nil {
		return err
	}
	q.Limit++
	got, err := c.Captures.Captures(c.r.Context(), c.who, q)
	if err != nil {
		return err
	}
	p := Page{Captures: append([]Capture{}, got...)}
	if len(got) == q.Limit {
		p.Captures = p.Captures[:len(got)-1]
		last := p.Captures[len(p.Captures)-1]
		p.Next = last.Started.String() + "_" + string(last.ID)
	}
	return c.answer(http.StatusOK, p)
}

func parseCursor(s string) (k catalog.Cursor, err error) {
	if s == "" {
		return k, nil
	}
	at, id, _ := strings.Cut(s, "_")
	t, terr := time.Parse(time.RFC3339, at)
	if k.ID, err = holdfast.ParseID(id); err != nil || terr != nil || holdfast.At(t).String() != at {
		return k, problem(http.StatusBadRequest, codeBad, "after is the `next` of an earlier page")
	}
	k.Started = holdfast.At(t)
	return k, nil
}

func (c *call) getCapture() error {
	if err := c.params("wait"); err != nil {
		return err
	}
	id, err := c.id()
	if err != nil {
		return err
	}
	k, err := c.Captures.Capture(c.r.Context(), c.who, id)
	if err != nil {
		return err
	}
	if err := c.tell(c.about(k), string(id)); err != nil {
		return err
	}
	return c.changed(func(ctx context.Context) (any, error) { return c.Captures.Capture(ctx, c.who, id) })
}

// about is the Case whose Custody is told of a look at a Capture: its home, or for
// what was added to others those of the token.
func (c *call) about(k Capture) []holdfast.ID {
	if c.who.For(k.CaseID) {
		return []holdfast.ID{k.CaseID}
	}
	return c.who.Cases
}

// looksInto is the Capture that is looked into, of a Case of the token's, once Custody
// was told of the call.
func (c *call) looksInto() (holdfast.ID, error) {
	if err := c.params("why"); err != nil {
		return "", err
	}
	id, err := c.id()
	if err != nil {
		return "", err
	}
	if len(c.q("why")) > maxText {
		return "", problem(http.StatusBadRequest, codeBad, "why has at most %d bytes", maxText)
	}
	k, err := c.Captures.Capture(c.r.Context(), c.who, id)
	if err != nil {
		return "", err
	}
	return id, c.tell(c.about(k), string(id))
}

func (c *call) getManifest() error {
	id, err := c.looksInto()
	if err != nil {
		return err
	}
	b, err := c.Captures.Manifest(c.r.Context(), c.who, id, c.q("why"))
	if err != nil {
		return err
	}
	c.w.Header().Set("Content-Type", "application/json")
	c.w.Header().Set("Cache-Control", "no-store")
	_, _ = c.w.Write(b) // the caller has gone
	return nil
}

func (c *call) postWatches() error {
	var a WatchAsk
	if err := c.body(&a); err != nil {
		return err
	}
	if len(a.Watches) == 0 || len(a.Watches) > MaxWatches {
		return problem(http.StatusUnprocessableEntity, codeRefused, "watches: give 1 to %d", MaxWatches)
	}
	var cases []holdfast.ID
	for i := range a.Watches {
		w := &a.Watches[i]
		if w.AllowPrivate && !c.who.AllowPrivate {
			return Forbid("the token %s may not let addresses inside the node's own network be captured", c.who.Name)
		}
		if w.Session != NoSession && !c.who.Uses(w.Session) {
			return c.noUse(w.Session)
		}
		if len(w.Cases) == 0 {
			w.Cases = []string{""}
		}
		for j, name := range w.Cases {
			id, err := c.home(name)
			if err != nil {
				return err
			}
			if w.Cases[j] = string(id); !slices.Contains(cases, id) {
				cases = append(cases, id)
			}
		}
	}
	if err := c.tell(cases); err != nil {
		return err
	}
	added, err := c.Watches.AddWatches(c.r.Context(), c.who, a)
	if err != nil {
		return err
	}
	return c.answer(http.StatusOK, added)
}

// postWatchChange tells the Custody of each of the token's Cases, since a Source that is
// watched for none of them looks like one that is not watched.
func (c *call) postWatchChange() error {
	var a WatchChange
	if err := c.body(&a); err != nil {
		return err
	}
	switch {
	case !slices.Contains([]string{WatchPause, WatchResume, WatchRemove}, a.Change):
		return problem(http.StatusUnprocessableEntity, codeRefused, "change %.20q: it is pause, resume or remove", a.Change)
	case len(a.Sources) == 0 || len(a.Sources) > MaxWatches:
		return problem(http.StatusUnprocessableEntity, codeRefused, "sources: give 1 to %d, such as \"telegram:@name\"", MaxWatches)
	case len(a.Why) > maxText || a.Change == WatchRemove && strings.TrimSpace(a.Why) == "":
		return problem(http.StatusUnprocessableEntity, codeRefused, "why: say in at most %d bytes why it is watched no more; it becomes a line of custody", maxText)
	}
	if err := c.tell(c.who.Cases); err != nil {
		return err
	}
	done, err := c.Watches.ChangeWatches(c.r.Context(), c.who, a)
	if err != nil {
		return err
	}
	return c.answer(http.StatusOK, done)
}

func (c *call) getWatches() error {
	if err := c.params(); err != nil {
		return err
	}
	if err := c.tell(c.who.Cases); err != nil {
		return err
	}
	all, err := c.Watches.Watches(c.r.Context(), c.who)
	if err != nil {
		return err
	}
	return c.answer(http.StatusOK, all)
}

// params refuses what this address does not know, and what stands twice.
func (c *call) params(known ...string) error {
	for k, vs := range c.r.URL.Query() {
		if !slices.Contains(known, k) || len(vs) > 1 && k != "capture" {
			return problem(http.StatusBadRequest, codeBad, "the address has %.40q, which is not known here, or twice: GET /v1/openapi.yaml says what it takes", k)
		}
	}
	return nil
}

func (c *call) q(name string) string { return c.r.URL.Query().Get(name) }

func (c *call) id() (holdfast.ID, error) {
	id, err := holdfast.ParseID(c.r.PathValue("id"))
	if err != nil {
		return "", noRoute()
	}
	return id, nil
}

func (c *call) answer(status int, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	c.send(status, b)
	return nil
}

func (c *call) send(status int, b []byte) {
	h := c.w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Length", strconv.Itoa(len(b)+1))
	_ = http.NewResponseController(c.w).SetWriteDeadline(time.Now().Add(stall))
	c.w.WriteHeader(status)
	_, _ = c.w.Write(append(b, '\n')) // the caller has gone
}

// Pauses between two looks for a change.
const (
	lookFirst = 50 * time.Millisecond
	lookLast  = 500 * time.Millisecond
)

// changed answers with what is there; with ?wait=SECONDS it waits until that is
// another than the caller has (If-None-Match), for so long.
func (c *call) changed(look func(context.Context) (any, error)) error {
	wait, err := c.wait()
	if err != nil {
		return err
	}
	ctx, stop := context.WithTimeout(c.r.Context(), wait+stall)
	defer stop()
	_ = http.NewResponseController(c.w).SetWriteDeadline(time.Now().Add(wait + stall))
	over, has := time.After(wait), c.r.Header.Get("If-None-Match")
	for pause := lookFirst; ; pause = min(2*pause, lookLast) {
		v, err := look(ctx)
		if err != nil {
			return err
		}
		b, err := json.Marshal(v)
		if err != nil {
			return err
		}
		sum := hashing.Of(b)
		tag := `"` + hex.EncodeToString([]byte(sum.Hex()[:16])) + `"`
		c.w.Header().Set("ETag", tag)
		if has != tag {
			c.send(http.StatusOK, b)
			return nil
		}
		select {
		case <-time.After(pause):
			continue
		case <-over:
		case <-c.Stop:
		case <-ctx.Done():
		}
		c.w.WriteHeader(http.StatusNotModified)
		return nil
	}
}

func (c *call) wait() (time.Duration, error) {
	s := c.q("wait")
	if s == "" {
		return 0, nil
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < 0 || time.Duration(n)*time.Second > MaxWait {
		return 0, problem(http.StatusBadRequest, codeBad, "wait is a number of seconds from 0 to %d", int(MaxWait.Seconds()))
	}
	return time.Duration(n) * time.Second, nil
}
