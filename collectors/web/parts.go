package web

import (
	"cmp"
	"errors"
	"io"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"

	"holdfast/collectors"
)

// parts are the answers of a capture that are, or may be, a part of what a list
// knows: they are held back until its end, when all of them are there. Their
// number is bounded by the budget of requests.
type parts struct {
	mu     sync.Mutex
	held   []*exchange
	listed map[string]withheld  // by address: what was found of it
	wholes map[string]*exchange // by address: the whole, which is on no list
}

func (ps *parts) hold(x *exchange) {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	ps.held = append(ps.held, x)
}

// found notes that an answer of this address is on a list: so are its parts.
func (ps *parts) found(address string, w withheld) {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	if ps.listed == nil {
		ps.listed = map[string]withheld{}
	}
	w.Of, w.As = "answer", "part"
	ps.listed[address] = w
}

func (ps *parts) isListed(address string) bool {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	_, ok := ps.listed[address]
	return ok
}

// release compares what the parts make together, takes out those of an address of
// which anything is on a list, and hands all to the recorder. Nothing is running
// any more.
func (p *proxy) release() {
	groups := map[whole][]part{}
	for _, x := range p.parts.held {
		if pt, of, ok := x.part(); ok {
			groups[of] = append(groups[of], pt)
		} else {
			x.unchecked = errPart
		}
	}
	for of, list := range groups {
		err := p.compare(of, list)
		if errors.Is(err, errPart) {
			if same, berr := p.belong(of, list); berr != nil {
				err = berr
			} else if same {
				err = nil
			}
		}
		if err != nil {
			for _, pt := range list {
				pt.x.unchecked = err
			}
		}
	}
	for _, x := range p.parts.held {
		if w, ok := p.parts.listed[x.url]; ok {
			x.unchecked = nil
			if err := x.takeOut(x.response, w); err != nil {
				x.fault = &fault{code: codeSpool, err: err}
			}
		}
		p.done <- x
	}
}

// errPart: what does not make the whole cannot be compared with the digest of it.
var errPart = errors.New("it is a part, and the whole did not come")

// whole is what parts are of, as their heads say: those that differ in any of it
// are of others.
type whole struct {
	url, validator, coding string
	size                   int64
}

// part is the body of an answer, n bytes of the whole behind the first from.
type part struct {
	x       *exchange
	from, n int64
}

// part reads from the head of an answer what it is a part of, and which; one that
// was cut is as much as came.
func (x *exchange) part() (part, whole, bool) {
	f, of := x.fields, x.wholeAs()
	p := part{x: x, n: x.response.body}
	if x.status != http.StatusPartialContent {
		lengths := tokens(f, "Content-Length")
		if len(lengths) == 0 || x.chunked {
			return p, of, false
		}
		n, err := contentLength(lengths)
		of.size = n
		return p, of, err == nil && p.n <= n
	}
	span, size, _ := strings.Cut(strings.TrimPrefix(f.List("Content-Range"), "bytes "), "/")
	from, to, _ := strings.Cut(span, "-")
	var n [3]int64
	for i, text := range []string{from, to, size} {
		v, err := strconv.ParseUint(text, 10, 62)
		if err != nil {
			return p, of, false
		}
		n[i] = int64(v)
	}
	p.from, of.size = n[0], n[2]
	return p, of, n[0] <= n[1] && n[1] < n[2] && p.n <= n[1]-n[0]+1
}

// wholeAs is what the head of an answer says of the whole, but for its size.
func (x *exchange) wholeAs() whole {
	f := x.fields
	return whole{url: x.url, validator: cmp.Or(f.Get("ETag"), f.Get("Last-Modified")), coding: f.List("Content-Encoding")}
}

// piece is what is taken of a part: n bytes behind the first skip.
type piece struct {
	x       *exchange
	skip, n int64
	in      *os.File // while it is read
	r       io.Reader
}

// cover picks pieces that make the whole of this size, each from where the one
// before ended; nil if there is a gap.
func cover(list []part, size int64) (out []*piece) {
	slices.SortStableFunc(list, func(a, b part) int { return cmp.Compare(a.from, b.from) })
	at, i := int64(0), 0
	for at < size {
		var best part // of those that begin here or before; earlier ones end before
		for ; i < len(list) && list[i].from <= at; i++ {
			if list[i].from+list[i].n > best.from+best.n {
				best = list[i]
			}
		}
		end := best.from + best.n
		if end <= at {
			return nil
		}
		out = append(out, &piece{x: best.x, skip: at - best.from, n: end - at})
		at = end
	}
	return out
}

// compare looks for what the parts make together, as sent and decoded. An error
// says why it could not be compared.
func (p *proxy) compare(of whole, list []part) error {
	pieces := cover(list, of.size)
	if pieces == nil {
		return errPart
	}
	known, text := collectors.WatchAll(p.lists), &inlined{lists: p.lists}
	if err := join(pieces, func(r io.Reader) error { _, err := io.Copy(io.MultiWriter(known, text), r); return err }); err != nil {
		return err
	}
	digest, on := known.Match()
	if digest == "" && of.coding != "" {
		known, text = collectors.WatchAll(p.lists), &inlined{lists: p.lists}
		err := join(pieces, func(r io.Reader) error {
			r, _, err := uncoded(r, of.coding, "")
			if err != nil {
				return err
			}
			return p.unpack(io.MultiWriter(known, text), r)
		})
		if err != nil {
			return err
		}
		digest, on = known.Match()
	}
	if text.end(); digest == "" {
		digest, on = text.digest, text.list
	}
	if digest == "" && text.err != nil && inlines(list[0].x.mime()) {
		return text.err
	}
	if digest != "" {
		p.parts.found(of.url, withheld{Digest: digest, List: on})
	}
	return nil
}

// join reads the pieces as one, with one of their files open at a time.
func join(pieces []*piece, read func(io.Reader) error) error {
	list := make([]io.Reader, len(pieces))
	for i, c := range pieces {
		list[i] = c
	}
	err := read(io.MultiReader(list...))
	for _, c := range pieces {
		c.close()
	}
	return err
}

// Read gives the piece; its end closes the file.
func (c *piece) Read(b []byte) (int, error) {
	if c.in == nil {
		if err := c.open(); err != nil {
			return 0, err
		}
	}
	n, err := c.r.Read(b)
	if err == io.EOF {
		c.close()
	}
	return n, err
}

func (c *piece) open() (err error) {
	if c.in, err = c.x.response.open(); err != nil {
		return err
	}
	if !c.x.chunked {
		_, err = c.in.Seek(c.x.response.head+c.skip, io.SeekStart)
		c.r = io.LimitReader(c.in, c.n)
		return err
	}
	body, _, err := c.x.payload(c.in)
	if err != nil {
		return err
	}
	_, err = io.CopyN(io.Discard, body, c.skip)
	c.r = io.LimitReader(body, c.n)
	return err
}

func (c *piece) close() {
	if c.in != nil {
		c.in.Close()
		c.in = nil
	}
}
