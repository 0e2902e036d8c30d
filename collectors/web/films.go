package web

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"holdfast/collectors/web/stream"
	"holdfast/warc"
)

// Bounds of making films whole.
const (
	maxFilmLists = 20
	maxFilms     = 5    // made whole
	maxNoteIDs   = 2000 // record IDs in a note
)

// films are the lists of streams (HLS, DASH) that a page asked for, and what came that may
// be a piece of one. A player asks for the pieces that it plays; the others are asked for
// after the page, each once, so that the film is whole.
type films struct {
	mu    sync.Mutex
	lists []*filmList
	had   map[string]*exchange // whole answers, by piece; bounded by the budget of requests
	made  []*film
}

// filmList is one that the page asked for, and its own request.
type filmList struct {
	x    *exchange
	o    order
	kind string
}

// film is one that was made whole, or as far as it went.
type film struct {
	list   *filmList
	tracks []*filmTrack
	why    string // nothing was made
}

type filmTrack struct {
	stream.Track
	listID string      // record ID of its own list
	pieces []*exchange // of Init, if there is one, and Pieces; nil: did not come
	keys   map[string]*exchange
	asked  int // by us
	gone   int // that did not come
	why    string
}

// pieceKey is a file, or a part of one, in had.
func pieceKey(address string, from, length int64) string {
	if length < 0 {
		return address
	}
	return fmt.Sprintf("%s %d+%d", address, from, length)
}

// saw notes what came of an exchange of the page.
func (f *films) saw(x *exchange, o order) {
	if x.method != http.MethodGet || x.response == nil || x.fault != nil || x.withheld != nil {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.had == nil {
		f.had = map[string]*exchange{}
	}
	switch x.status {
	case http.StatusOK:
		f.had[x.url] = x
		if kind := stream.Is(x.url, x.mime()); kind != "" && len(f.lists) < maxFilmLists &&
			!slices.ContainsFunc(f.lists, func(l *filmList) bool { return l.x.url == x.url }) {
			f.lists = append(f.lists, &filmList{x, o, kind})
		}
	case http.StatusPartialContent:
		if p, _, ok := x.part(); ok {
			f.had[pieceKey(x.url, p.from, p.n)] = x
		}
	}
}

func (f *films) get(key string) *exchange {
	f.mu.Lock()
	defer f.mu.Unlock()
	if x := f.had[key]; x != nil && x.withheld == nil {
		return x
	}
	return nil
}

// of is the answer that has a piece: itself, or the file that it is a part of.
func (f *films) of(p stream.Piece) *exchange {
	if x := f.get(pieceKey(p.URL, p.From, p.Length)); x != nil {
		return x
	}
	return f.get(p.URL)
}

// filmsWhole makes the films of the page whole while there is time. What is under way at the
// end is cut by the proxy's close, which waits for it.
func (x *capture) filmsWhole(ctx context.Context) {
	if x.options.Decoded {
		return // nobody saw a list, and nobody could ask in the browser's words
	}
	ctx, cancel := context.WithDeadline(ctx, x.started.Add(x.req.Budget.Time))
	defer cancel()
	done := make(chan struct{})
	x.proxy.wg.Go(func() { defer close(done); x.proxy.filmsWhole(ctx) })
	select {
	case <-done:
	case <-ctx.Done():
	}
}

// filmsWhole asks for what is missing of the films, when the page is gone. It goes the way of
// the page's own requests: recorded, counted, and refused where the page would be.
func (p *proxy) filmsWhole(ctx context.Context) {
	p.films.mu.Lock()
	lists := slices.Clone(p.films.lists)
	p.films.mu.Unlock()
	read, of := map[*filmList]*stream.List{}, map[string]bool{} // of: lists that belong to another one
	for _, l := range lists {
		if r, err := l.read(l.x); err != nil {
			p.films.made = append(p.films.made, &film{list: l, why: err.Error()})
		} else {
			read[l] = r
			for _, t := range r.Tracks {
				of[t.List] = true
			}
		}
	}
	films := 0
	for _, l := range lists {
		if read[l] == nil || of[l.x.url] {
			continue
		}
		m := &film{list: l}
		if films++; films > maxFilms {
			m.why = fmt.Sprintf("%d films of the page were made whole before it", maxFilms)
		} else {
			p.makeWhole(ctx, m, read[l])
		}
		p.films.made = append(p.films.made, m)
	}
}

// read parses a list as it came.
func (l *filmList) read(x *exchange) (*stream.List, error) {
	b, err := x.bytes(stream.MaxList)
	if err != nil {
		return nil, err
	}
	return stream.Parse(l.kind, x.url, b)
}

// bytes is the body without codings, of an answer that has at most so many.
func (x *exchange) bytes(most int64) ([]byte, error) {
	in, err := x.response.open()
	if err != nil {
		return nil, err
	}
	defer in.Close()
	body, _, err := x.decoded(in)
	if err != nil {
		return nil, err
	}
	b, err := io.ReadAll(io.LimitReader(body, most+1))
	if err == nil && int64(len(b)) > most {
		err = fmt.Errorf("more than %d bytes: %w", most, warc.ErrLimit)
	}
	return b, err
}

// makeWhole picks the tracks and asks for what is missing of them. A picture for which there is
// no room is tried again in the next lower quality.
func (p *proxy) makeWhole(ctx context.Context, m *film, l *stream.List) {
	for most := int64(0); ; {
		m.tracks = m.tracks[:0]
		var room int64
		for _, t := range l.Best(most) {
			if t.Kind == "image" {
				continue
			}
			f := p.filmTrack(ctx, m.list, t)
			m.tracks = append(m.tracks, f)
			if f.Kind == "video" && f.Seconds > 0 && float64(f.Bandwidth)/8*f.Seconds > 0.9*float64(p.meter.left()) {
				room = int64(0.9 * 8 * float64(p.meter.left()) / f.Seconds)
			}
		}
		if room == 0 || room == most || most > 0 && room > most {
			break
		}
		most = room
	}
	for _, t := range m.tracks {
		if t.why == "" {
			p.fetchPieces(ctx, m.list, t)
		}
	}
}

// filmTrack reads a track's own list, asking for it where the page did not.
func (p *proxy) filmTrack(ctx context.Context, l *filmList, t stream.Track) *filmTrack {
	f := &filmTrack{Track: t, keys: map[string]*exchange{}}
	if t.List == "" {
		f.listID = l.x.id
	} else {
		x := p.films.get(t.List)
		if x == nil {
			x = p.askPiece(ctx, l, f, stream.Piece{URL: t.List, Length: -1})
		}
		if x == nil {
			f.why = cmp.Or(f.why, "its list did not come")
			return f
		}
		read, err := l.read(x)
		if err != nil || len(read.Tracks) != 1 || read.Tracks[0].List != "" {
			f.why = "its list cannot be read"
			return f
		}
		own := read.Tracks[0]
		own.Kind, own.ID, own.List, own.Bandwidth, own.Width, own.Language = t.Kind, t.ID, t.List, t.Bandwidth, t.Width, t.Language
		f.Track, f.listID = own, x.id
	}
	if !f.Whole {
		f.why = "it is a live stream: what the page asked for of it is in the record"
	}
	return f
}

// fetchPieces asks for the pieces and keys that did not come yet.
func (p *proxy) fetchPieces(ctx context.Context, l *filmList, t *filmTrack) {
	list := t.Pieces
	if t.Init != nil {
		list = append([]stream.Piece{*t.Init}, list...)
	}
	for _, piece := range list {
		x := p.films.of(piece)
		if x == nil && t.why == "" {
			x = p.askPiece(ctx, l, t, piece)
		}
		if x == nil {
			t.gone++
		}
		t.pieces = append(t.pieces, x)
		if k := piece.Key; k != nil && k.URL != "" && t.keys[k.URL] == nil && t.why == "" {
			if x := p.films.get(k.URL); x != nil {
				t.keys[k.URL] = x
			} else {
				t.keys[k.URL] = p.askPiece(ctx, l, t, stream.Piece{URL: k.URL, Length: -1})
			}
		}
	}
}

// askPiece asks for one file, or part of one, with the fields of the page's request for the
// list: who asks, in which language, from where. Its cookies go to its own host only.
func (p *proxy) askPiece(ctx context.Context, l *filmList, t *filmTrack, piece stream.Piece) *exchange {
	if ctx.Err() != nil || p.ctx.Err() != nil {
		t.why = "no time was left"
		return nil
	}
	o, err := l.o.to(piece)
	if err != nil {
		t.why = err.Error()
		return nil
	}
	n, err := p.meter.begin()
	if err != nil {
		t.why = err.Error()
		return nil
	}
	t.asked++
	x := p.askOurselves(n, o)
	if x == nil || x.fault != nil || x.withheld != nil || x.response == nil {
		return nil
	}
	want := http.StatusOK
	if piece.Part() {
		want = http.StatusPartialContent
	}
	if x.status != want {
		return nil
	}
	if pt, _, ok := x.part(); piece.Part() && (!ok || pt.from != piece.From || pt.n != piece.Length) {
		return nil
	}
	return x // saw has it for the next who asks
}

// to is an order for a piece in the words of another one.
func (o order) to(piece stream.Piece) (order, error) {
	u, err := url.Parse(piece.URL)
	if err != nil || u.Host == "" {
		return o, fmt.Errorf("address %.80q: %w", piece.URL, stream.ErrFormat)
	}
	port := map[string]string{"http": "80", "https": "443"}[u.Scheme]
	out := o.whole()
	out.scheme, out.site, out.url = u.Scheme, withPort(u.Host, port), piece.URL
	same := out.site == o.site && out.scheme == o.scheme
	lines := strings.SplitAfter(string(out.raw), "\n")
	lines[0] = o.method + " " + u.RequestURI() + " HTTP/1.1\r\n"
	keep := lines[:1]
	for _, line := range lines[1:] {
		name, _, _ := strings.Cut(line, ":")
		switch {
		case strings.EqualFold(name, "Host"):
			line = "Host: " + bareHost(u.Scheme, out.site) + "\r\n"
		case !same && (strings.EqualFold(name, "Cookie") || strings.EqualFold(name, "Authorization")):
			continue
		case strings.TrimRight(line, "\r\n") == "" && piece.Part():
			keep = append(keep, "Range: bytes="+strconv.FormatInt(piece.From, 10)+"-"+strconv.FormatInt(piece.From+piece.Length-1, 10)+"\r\n")
		}
		keep = append(keep, line)
	}
	head, err := warc.ReadHead(bufioReader(strings.Join(keep, "")), maxHead)
	if err != nil {
		return o, err
	}
	out.raw, out.fields = head.Raw, head.Fields
	return out, nil
}

// notedFilms writes what is known of them, when nothing is running any more.
func (r *recorder) notedFilms(now time.Time) error {
	if r.films == nil {
		return nil
	}
	for i, m := range r.films.made {
		if err := r.note(fmt.Sprintf("urn:holdfast:film:%d", i+1), now, m.note()); err != nil {
			return err
		}
	}
	return nil
}

// filmNote says what a film is made of, and who asked for it.
type filmNote struct {
	List   string      `json:"list"`
	Answer string      `json:"answer"` // record ID of the list
	Kind   string      `json:"kind"`
	Why    string      `json:"why,omitempty"` // nothing of it was made
	Tracks []trackNote `json:"tracks"`
}

type trackNote struct {
	Kind      string   `json:"kind"`
	ID        string   `json:"id,omitempty"`
	Language  string   `json:"language,omitempty"`
	Bandwidth int64    `json:"bandwidth,omitempty"`
	List      string   `json:"list,omitempty"` // record ID of its own
	Pieces    int      `json:"pieces"`         // that the list names, with what goes before them
	Asked     int      `json:"asked"`          // by holdfast, after the page
	Gone      int      `json:"gone"`           // did not come
	Protected bool     `json:"protected,omitempty"`
	Answers   []string `json:"answers"`        // record IDs, in order; "" did not come
	Keys      []string `json:"keys,omitempty"` // record IDs
	Cut       bool     `json:"cut,omitempty"`  // of these lists
	Why       string   `json:"why,omitempty"`  // it is not whole
}

func (m *film) note() filmNote {
	n := filmNote{List: clean(m.list.x.url), Answer: m.list.x.id, Kind: m.list.kind, Why: clean(m.why), Tracks: []trackNote{}}
	for _, t := range m.tracks {
		k := trackNote{Kind: t.Kind, ID: t.ID, Language: t.Language, Bandwidth: t.Bandwidth, List: t.listID, Pieces: len(t.pieces), Asked: t.asked, Gone: t.gone,
			Protected: t.Protected, Answers: []string{}, Why: clean(t.why)}
		for _, x := range t.pieces {
			if k.Cut = len(k.Answers) >= maxNoteIDs; k.Cut {
				break
			}
			id := ""
			if x != nil {
				id = x.id
			}
			k.Answers = append(k.Answers, id)
		}
		for _, x := range t.keys {
			if x != nil && len(k.Keys) < maxNoteIDs {
				k.Keys = append(k.Keys, x.id)
			}
		}
		slices.Sort(k.Keys)
		n.Tracks = append(n.Tracks, k)
	}
	return n
}
