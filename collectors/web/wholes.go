package web

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"holdfast/warc"
)

// Bounds of what is asked for besides what the page asked for.
const (
	maxWholes  = 50
	maxPartsOf = 1000 // records that a note names
)

// wholes are the addresses of which a page asked for parts only: films, mostly. A replay
// has no answer to another part; so each is asked for once more, whole.
type wholes struct {
	mu      sync.Mutex
	parted  []*parted // in the order they were first asked for
	by      map[string]*parted
	had     map[string]bool // the page had it whole
	skipped map[string]bool // beyond maxWholes
}

// parted is one such address. o is the page's own request for the part that came first.
type parted struct {
	o      order
	size   int64
	of     []string // record IDs of the parts
	answer *exchange
	why    string // it was not asked for
}

// saw notes what came of an exchange of the page.
func (w *wholes) saw(x *exchange, o order) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.by == nil {
		w.by, w.had, w.skipped = map[string]*parted{}, map[string]bool{}, map[string]bool{}
	}
	if x.method != http.MethodGet || x.response == nil || o.framing.length != 0 || o.framing.chunked {
		return
	}
	r := w.by[x.url]
	switch x.status {
	case http.StatusOK:
		w.had[x.url] = w.had[x.url] || x.fault == nil // the budget of requests bounds these maps
	case http.StatusPartialContent:
		_, of, ok := x.part()
		switch {
		case !ok: // of nobody knows how much
		case r == nil && len(w.parted) == maxWholes:
			w.skipped[x.url] = true
		default:
			if r == nil {
				r = &parted{o: o, size: of.size}
				w.by[x.url], w.parted = r, append(w.parted, r)
			}
			if len(r.of) < maxPartsOf {
				r.of = append(r.of, x.id)
			}
		}
	}
}

// list gives those of which only parts came.
func (w *wholes) list() []*parted {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(w.parted), func(r *parted) bool { return w.had[r.o.url] })
}

// whole asks for what came in parts only, each once, until ctx ends; what is under way then
// is cut by close. It is called when the page is gone.
func (p *proxy) whole(ctx context.Context) {
	done := make(chan struct{})
	p.wg.Go(func() {
		defer close(done)
		for _, r := range p.wholes.list() {
			switch left := p.meter.left(); {
			case ctx.Err() != nil || p.ctx.Err() != nil:
				r.why = "no time was left"
			case r.size > left:
				r.why = fmt.Sprintf("it has %d bytes, and %d were left of the budget", r.size, left)
			case p.parts.isListed(r.o.url):
				r.why = "something of it is on a list of what is never kept"
			default:
				p.askWhole(r)
			}
		}
	})
	select {
	case <-done:
	case <-ctx.Done():
	}
}

// askWhole sends the page's own request without what asks for a part, the same way that
// the page's went: what is refused to the page is refused here.
func (p *proxy) askWhole(r *parted) {
	n, err := p.meter.begin()
	if err != nil {
		r.why = err.Error()
		return
	}
	r.answer = p.askOurselves(n, r.o.whole())
}

// askOurselves sends a request of our own, which the meter has counted, the way that the page's go,
// and gives the exchange when it is over; nil for a full disk, which is known by then.
func (p *proxy) askOurselves(n int, o order) *exchange {
	x, err := p.open(n, o.method, o.url)
	if err != nil {
		return nil
	}
	x.own = true
	nobody, other := net.Pipe() // there is no browser: what comes is recorded
	defer nobody.Close()
	defer other.Close()
	cl := &client{conn: nobody, br: bufio.NewReader(strings.NewReader("")), bw: bufio.NewWriter(io.Discard), scheme: o.scheme, site: o.site}
	defer p.hangUp(cl)
	_, counted := p.relay(cl, x, o)
	x.visit = false
	p.finish(x, counted)
	p.films.saw(x, o)
	return x
}

// whole is an order without the fields that ask for a part or for news. None is added.
func (o order) whole() order {
	parts := []string{"range", "if-range", "if-match", "if-none-match", "if-modified-since", "if-unmodified-since"}
	part := func(name string) bool { return slices.Contains(parts, strings.ToLower(strings.TrimSpace(name))) }
	o.fields = slices.DeleteFunc(slices.Clone(o.fields), func(f warc.Field) bool { return part(f.Name) })
	lines, gone := strings.SplitAfter(string(o.raw), "\n"), false
	for i, line := range lines[1:] {
		if folded := line != "" && (line[0] == ' ' || line[0] == '\t'); !folded {
			name, _, field := strings.Cut(line, ":")
			gone = field && part(name)
		}
		if gone {
			lines[i+1] = ""
		}
	}
	o.raw = []byte(strings.Join(lines, ""))
	return o
}

// wholeNote says of which parts an answer is the whole, that nobody but the recorder asked
// for it, and why it is not there.
type wholeNote struct {
	URL    string   `json:"url"`
	Asked  string   `json:"asked"`            // by whom: holdfast, after the page; nobody
	Answer string   `json:"answer,omitempty"` // record ID
	Of     []string `json:"of"`               // record IDs
	Size   int64    `json:"size"`             // as the first part says
	Why    string   `json:"why,omitempty"`    // it did not come whole
}

func (r *parted) note() wholeNote {
	n := wholeNote{URL: clean(r.o.url), Asked: "nobody", Of: r.of, Size: r.size, Why: r.why}
	if x := r.answer; x != nil {
		n.Asked = "holdfast, after the page"
		if x.answered() {
			n.Answer = x.id
		}
		switch {
		case x.fault != nil:
			n.Why = clean(x.fault.Error())
		case x.status != http.StatusOK:
			n.Why = fmt.Sprintf("the answer's status is %d", x.status)
		}
	}
	return n
}

// notedWholes writes the notes, when nothing is running any more.
func (r *recorder) notedWholes(w *wholes, now time.Time) error {
	for i, one := range w.list() {
		n := one.note()
		if r.wholes++; n.Why == "" {
			r.wholesCame++
		}
		if err := r.note(fmt.Sprintf("urn:holdfast:whole:%d", i+1), now, n); err != nil {
			return err
		}
	}
	r.wholes += len(w.skipped)
	return nil
}
