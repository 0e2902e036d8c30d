package telegram

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/gotd/td/tgerr"

	"holdfast/collectors"
	"holdfast/tl"
)

// DefaultTime is the Budget of one act, in which a wait that the service asks for
// must fit.
const DefaultTime = time.Minute

// CollectorOptions are what a Collector works with. Line is needed; the zero value
// of all else is good.
type CollectorOptions struct {
	Line    *Line
	Egress  string // what records call the way out; "" is the direct line
	Version string // of this program
	// Partial is a directory for files that are on their way, for which nobody else
	// asks with the same account; "": no files can be asked for.
	Partial string
	Waits   *Waits // of the Line's account; nil: a wait is remembered by who calls
	// NoWaits makes every wait a Later, however short: whoever calls has other things
	// to ask meanwhile.
	NoWaits  bool
	Training bool
	Now      func() time.Time
}

// Wish are the Options of a Request for this Collector.
type Wish struct {
	Account string    `json:"account,omitempty"` // the node's own word; whoever opens the Line reads it
	Limit   int       `json:"limit,omitempty"`   // messages, from the newest; 0 is all
	Links   bool      `json:"links,omitempty"`   // of a post: the pages that it links to are wanted too
	Since   time.Time `json:"since,omitzero"`    // posted then or later

	OldestFirst bool `json:"oldest_first,omitempty"` // the history from the oldest message, or from Since, to the newest; Limit counts from there

	Second *collectors.Further `json:"second,omitempty"`  // of a post: another view of it, captured too
	DownTo int                 `json:"down_to,omitempty"` // of the history: down to this id, and what its page holds below
	IDs    []int               `json:"ids,omitempty"`     // of a channel: these posts, asked for by number, at most 100; no history
	Follow bool                `json:"follow,omitempty"`  // of a channel: what happens from now on, without an end; no history

	Media   string `json:"media,omitempty"`    // which files of posts: MediaNone, MediaPhotos or MediaAll
	MaxSize int64  `json:"max_size,omitempty"` // of a file, in bytes; larger ones are listed; 0 is any
	File    *File  `json:"file,omitempty"`     // nothing but this file is wanted

	Stories  bool   `json:"stories,omitempty"`  // of a channel: its stories too; of one that is followed, once a day
	Comments bool   `json:"comments,omitempty"` // what was answered to posts, in the group where they are discussed
	Only     string `json:"only,omitempty"`     // nothing but this: OnlyTopics, OnlyStories or OnlyComments
	Known    *Place `json:"known,omitempty"`    // the channel, as it was found by whoever asks for this
	Recent   bool   `json:"recent,omitempty"`   // of stories: no files of those whose time is over
}

// check refuses what cannot be meant.
func (w *Wish) check(n Name) error {
	history := w.Limit != 0 || !w.Since.IsZero() || w.DownTo != 0
	switch {
	case w.MaxSize < 0 || !slices.Contains([]string{"", MediaNone, MediaPhotos, MediaAll}, w.Media):
		return fmt.Errorf("media %.20q, max_size %d: %w", w.Media, w.MaxSize, collectors.ErrRefused)
	case w.Limit < 0 || w.DownTo < 0 || w.OldestFirst && (w.DownTo > 0 || w.Follow || n.Post > 0 || len(w.IDs) > 0):
		return fmt.Errorf("limit %d, down to %d: %w", w.Limit, w.DownTo, collectors.ErrRefused)
	case !slices.Contains([]string{"", OnlyTopics, OnlyStories, OnlyComments}, w.Only) || w.Only != "" && (history || w.Follow || len(w.IDs) > 0 || w.File != nil || (w.Only == OnlyComments) != (n.Post > 0)):
		return fmt.Errorf("only %.20q of %s: %w", w.Only, n.Source(), collectors.ErrRefused)
	case len(w.IDs) > pageSize || (w.Follow || len(w.IDs) > 0) && (history || n.Post > 0) || w.Follow && len(w.IDs) > 0:
		return fmt.Errorf("%d ids of %s, follow %t, with a history or not: %w", len(w.IDs), n.Source(), w.Follow, collectors.ErrRefused)
	}
	for _, id := range w.IDs {
		if id < 1 || id > math.MaxInt32 {
			return fmt.Errorf("id %d: %w", id, collectors.ErrRefused)
		}
	}
	w.IDs = slices.Compact(slices.SortedFunc(slices.Values(w.IDs), func(a, b int) int { return b - a }))
	return nil
}

// Collector acquires channels and posts of Telegram over one Line. Of a channel
// each answer is one Capture: first what the service says of the channel, then its
// history, a page each, from the newest message to the oldest, each asked for below
// the last id that came, so that what is posted or deleted meanwhile shifts nothing.
// Of a post it is the channel, and then the post with the ten ids on both sides; of
// ids ([Wish]) the channel, unless [Known] gave the place, and then those.
//
// A page that cannot be read to its end is kept as it came, and the ids behind the
// place are asked for by number, the one that cannot be read alone. An album that
// a page would cut begins the next one.
//
// A file of a post is a Capture of its own, which Acquired.Further asks for. It
// comes in parts, over as many calls as it takes: what is to be had of it lies in
// Options.Partial until then, and Collect returns a Later with Progress. It is safe for concurrent use.
type Collector struct {
	o       CollectorOptions
	account string

	mu   sync.Mutex
	held map[string]*partial // files that were asked for last, by folder
}

// NewCollector returns a Collector.
func NewCollector(o CollectorOptions) *Collector {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Egress == "" {
		o.Egress = collectors.EgressDirect
	}
	return &Collector{o: o, account: o.Line.Account}
}

func (c *Collector) software() string {
	return strings.TrimSpace("holdfast " + c.o.Version)
}

// act is one call of Collect.
type act struct {
	c        *Collector
	name     Name
	wish     Wish
	cur      cursor
	deadline time.Time
	waited   time.Duration
	a        *collectors.Acquired
	pieces   []piece
	kept     []collectors.Object // that were streamed
	dc       int                 // that has sent a file
	taken    func(ctx context.Context, source, key string) (string, error)
	tried    func(ctx context.Context, source, key string) (collectors.Tries, error)
	pts      int  // the channel's last event, where the service has said it
	member   int8 // whether the account has joined, likewise
}

// Collect implements collectors.Collector. Besides its errors: [ErrLoggedOut].
func (c *Collector) Collect(ctx context.Context, req collectors.Request, keep collectors.Keeper) (*collectors.Acquired, error) {
	t, err := c.begin(req)
	if err != nil {
		return nil, err
	}
	limited, stop := context.WithDeadline(ctx, t.deadline)
	defer stop()
	switch {
	case t.wish.File != nil:
		err = t.file(ctx, req, keep)
	case t.wish.Follow:
		err = t.follow(limited)
	case t.cur.Channel == 0 || t.cur.Account != c.account:
		err = t.channel(limited)
	case t.wish.Only != "":
		err = t.only(limited)
	default:
		err = t.page(limited)
	}
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		return nil, fmt.Errorf("capture %s: %w", req.Source, err)
	}
	t.a.Ended = c.o.Now()
	t.describe()
	k := newKeeping(ctx, keep, t.pieces)
	t.a.Objects, t.a.Transformations, err = c.objects(k, t.pieces)
	if err != nil {
		return nil, fmt.Errorf("capture %s: %w", req.Source, err)
	}
	t.a.Objects = append(t.a.Objects, t.kept...)
	return t.a, nil
}

func (c *Collector) begin(req collectors.Request) (*act, error) {
	name, err := ParseName(req.Source)
	if err != nil || name.Source() != req.Source {
		return nil, fmt.Errorf("%.200q: %w: %w", req.Source, collectors.ErrRefused, ErrName)
	}
	t := &act{c: c, name: name, taken: req.Taken, tried: req.Tried, a: &collectors.Acquired{Started: c.o.Now(), Outcome: collectors.Complete}}
	if err := req.ReadOptions(&t.wish); err != nil {
		return nil, err
	}
	if err := t.wish.check(name); err != nil {
		return nil, err
	}
	if t.cur, err = readCursor(req.Cursor); err != nil {
		return nil, fmt.Errorf("%s: %w: %w", req.Source, collectors.ErrRefused, err)
	}
	t.place()
	if t.cur.Channel > 0 && t.cur.Left == 0 { // as Known gives it
		t.cur = t.cur.first(t)
	}
	budget := req.Budget.Time
	if budget <= 0 {
		budget = DefaultTime
	}
	t.deadline = time.Now().Add(budget)
	return t, nil
}

// describe says how it was collected.
func (t *act) describe() {
	t.a.Address.Asked = t.name.Source()
	if t.a.Outcome != collectors.Failed {
		t.a.Address.Final = Name{Channel: t.name.Channel}.Source()
	}
	dc := t.c.o.Line.DC()
	if t.wish.File != nil {
		dc, t.a.Address.Final = t.dc, t.name.Source()
	}
	notes := []string{fmt.Sprintf("asked over MTProto, layer %d, of data centre %d; the answers are kept after decryption and unpacking, which nobody else can check", tl.Layer, dc)}
	if t.waited > 0 {
		notes = append(notes, fmt.Sprintf("waited %s because the service asked for it", t.waited))
	}
	t.a.Collection = collectors.Collection{Software: t.c.software() + " collectors/telegram", Account: t.c.account, Egress: t.c.o.Egress,
		Protocols: []string{"mtproto"}, Notes: notes}
}

// ask asks, and waits as long as the service says where that fits into the Budget.
// An error of the service's about what was asked is a refusal, and an answer.
func (t *act) ask(ctx context.Context, r request) (*Exchange, *refusal, error) {
	return t.askAt(ctx, 0, r)
}

// askAt is ask of a data centre, for files; 0 is the Line's own.
func (t *act) askAt(ctx context.Context, dc int, r request) (*Exchange, *refusal, error) {
	ask := t.c.o.Line.ask
	if dc > 0 {
		ask = func(ctx context.Context, r request) (*Exchange, error) { return t.c.o.Line.askAt(ctx, dc, r) }
	}
	for {
		if name, err := method(r.TypeID()); err == nil {
			if until := t.c.o.Waits.Until(name); until.After(t.c.o.Now()) {
				if err := t.wait(ctx, until.Sub(t.c.o.Now()), name); err != nil {
					return nil, nil, err
				}
			}
		}
		x, err := ask(ctx, r)
		t.a.Completeness.Requests++
		if err == nil {
			t.a.Completeness.Bytes += int64(len(x.Answer))
			return x, nil, nil
		}
		var said *tgerr.Error
		wait, flood := tgerr.AsFloodWait(err)
		switch {
		case flood:
			wait += time.Second // the service counts whole ones
			t.c.o.Waits.note(x.Method, t.c.o.Now().Add(wait))
			if err := t.wait(ctx, wait, x.Method); err != nil {
				return nil, nil, err
			}
			continue
		case ends(err):
			return nil, nil, err
		case errors.Is(err, errPaced): // nothing was asked, so nothing has failed
			return nil, nil, &collectors.Later{At: t.c.o.Now(), Why: "the time of this capture was over before the account's turn to ask came"}
		case errors.Is(err, errElsewhere):
			return nil, nil, &collectors.Later{At: t.c.o.Now().Add(time.Minute), Why: err.Error()}
		case errors.As(err, &said):
			return x, &refusal{Code: said.Code, Type: typeOf(said)}, nil
		case errors.Is(err, ErrTooLarge):
			return x, &refusal{Type: "ANSWER_TOO_LARGE"}, nil
		case errors.Is(err, context.DeadlineExceeded) && t.cur.Step == 0 && t.wish.File == nil:
			return x, &refusal{Type: noAnswer}, nil
		case errors.Is(err, context.DeadlineExceeded):
			return nil, nil, &collectors.Later{At: t.c.o.Now(), Why: "Telegram did not answer in time"}
		}
		return nil, nil, err
	}
}

// ends says whether an error is about the account, and not about what was asked.
func ends(err error) bool {
	state, _, _ := Judge(err)
	return state == StateBanned || state == StateLoggedOut
}

const noAnswer = "NO_ANSWER"

func (t *act) wait(ctx context.Context, d time.Duration, method string) error {
	if t.c.o.NoWaits || time.Until(t.deadline) < d {
		return &collectors.Later{At: t.c.o.Now().Add(d), Why: fmt.Sprintf("Telegram tells account %s to wait %s before %s", t.c.account, d.Round(time.Second), method)}
	}
	select {
	case <-time.After(d):
		t.waited += d
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// fail makes a refusal the find: the request, and what came in the place of an
// answer.
func (t *act) fail(prefix string, x *Exchange, bad *refusal) error {
	code, detail := reasonOf(t.name, bad)
	t.reject(code, detail)
	t.a.Completeness.Failed++
	t.a.Completeness.Missing = append(t.a.Completeness.Missing, collectors.Miss{URL: t.name.Source(), Why: string(bad.Type)})
	if bad.Type == noAnswer {
		bad = nil // the service has said nothing
	}
	all, err := t.c.exchangeOf(prefix, x, bad)
	t.pieces = append(t.pieces, all...)
	return err
}

func (t *act) reject(code, detail string) {
	t.a.Outcome = collectors.Failed
	t.a.Reasons = append(t.a.Reasons, collectors.Reason{Code: code, Detail: detail})
}

// partial notes that something is missing.
func (t *act) partial(why ...collectors.Reason) {
	if len(why) > 0 && t.a.Outcome == collectors.Complete {
		t.a.Outcome = collectors.Partial
	}
	t.a.Reasons = append(t.a.Reasons, why...)
}
