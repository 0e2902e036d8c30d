package stream

import (
	"bytes"
	"cmp"
	"encoding/xml"
	"fmt"
	"math"
	"net/url"
	"regexp"
	"strconv"
	"strings"
)

// The elements of an MPD that are read. What a level does not have it takes from the one
// above.
type mpd struct {
	XMLName  xml.Name `xml:"MPD"`
	Type     string   `xml:"type,attr"`
	Duration string   `xml:"mediaPresentationDuration,attr"`
	BaseURL  []string `xml:"BaseURL"`
	Periods  []struct {
		Duration string   `xml:"duration,attr"`
		BaseURL  []string `xml:"BaseURL"`
		segments
		Sets []struct {
			described
			BaseURL []string `xml:"BaseURL"`
			segments
			Representations []struct {
				described
				ID        string   `xml:"id,attr"`
				Bandwidth int64    `xml:"bandwidth,attr"`
				BaseURL   []string `xml:"BaseURL"`
				segments
			} `xml:"Representation"`
		} `xml:"AdaptationSet"`
	} `xml:"Period"`
}

type described struct {
	ContentType string     `xml:"contentType,attr"`
	MimeType    string     `xml:"mimeType,attr"`
	Codecs      string     `xml:"codecs,attr"`
	Lang        string     `xml:"lang,attr"`
	Width       int64      `xml:"width,attr"`
	Protection  []struct{} `xml:"ContentProtection"`
}

type segments struct {
	Template *template `xml:"SegmentTemplate"`
	List     *list     `xml:"SegmentList"`
	Base     *struct{} `xml:"SegmentBase"`
}

type template struct {
	Media          string    `xml:"media,attr"`
	Initialization string    `xml:"initialization,attr"`
	StartNumber    *int64    `xml:"startNumber,attr"`
	Duration       float64   `xml:"duration,attr"`
	Timescale      float64   `xml:"timescale,attr"`
	Timeline       *timeline `xml:"SegmentTimeline"`
}

type timeline struct {
	S []struct {
		T *int64 `xml:"t,attr"`
		D int64  `xml:"d,attr"`
		R int64  `xml:"r,attr"`
	} `xml:"S"`
}

type list struct {
	Initialization *ranged  `xml:"Initialization"`
	URLs           []ranged `xml:"SegmentURL"`
	Duration       float64  `xml:"duration,attr"`
	Timescale      float64  `xml:"timescale,attr"`
}

type ranged struct {
	Source string `xml:"sourceURL,attr"`
	Range  string `xml:"range,attr"`
	Media  string `xml:"media,attr"`
	Bytes  string `xml:"mediaRange,attr"`
}

// dash is the state of an MPD that is read.
type dash struct {
	out    *List
	pieces int
	dead   bool // not live: the MPD names all there is
}

func parseDASH(base *url.URL, b []byte) (*List, error) {
	var m mpd
	d := xml.NewDecoder(bytes.NewReader(b))
	if err := d.Decode(&m); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFormat, err)
	}
	s := &dash{out: &List{Kind: "dash"}, dead: m.Type != "dynamic"}
	at, err := under(base, m.BaseURL)
	if err != nil {
		return nil, err
	}
	for i, p := range m.Periods {
		in, err := under(at, p.BaseURL)
		if err != nil {
			return nil, err
		}
		seconds := cmp.Or(duration(p.Duration), duration(m.Duration))
		if len(m.Periods) > 1 {
			seconds = duration(p.Duration)
		}
		for _, set := range p.Sets {
			set.segments = set.segments.or(p.segments)
			within, err := under(in, set.BaseURL)
			if err != nil {
				return nil, err
			}
			for _, r := range set.Representations {
				t := Track{ID: cut(r.ID, 100), Bandwidth: max(r.Bandwidth, 0), Width: cmp.Or(r.Width, set.Width), Language: cut(cmp.Or(r.Lang, set.Lang), 40),
					Type: cut(cmp.Or(r.MimeType, set.MimeType), 100), Whole: s.dead, Seconds: seconds, Protected: len(r.Protection)+len(set.Protection) > 0}
				t.Kind = kindOf(cmp.Or(r.ContentType, set.ContentType), t.Type, cmp.Or(r.Codecs, set.Codecs))
				here, err := under(within, r.BaseURL)
				if err == nil {
					err = s.fill(&t, here, r.segments.or(set.segments), r.ID, r.Bandwidth)
				}
				if err != nil {
					return nil, fmt.Errorf("period %d, representation %.40q: %w", i+1, r.ID, err)
				}
				if err := s.add(t, i); err != nil {
					return nil, err
				}
			}
		}
	}
	if len(s.out.Tracks) == 0 {
		return nil, fmt.Errorf("nothing in it: %w", ErrFormat)
	}
	return s.out, nil
}

// add puts a track of a later period behind the one that it goes on from.
func (s *dash) add(t Track, period int) error {
	if s.pieces += len(t.Pieces); s.pieces > maxAllTrack || len(s.out.Tracks) >= maxTracks {
		return fmt.Errorf("more than %d tracks, or %d segments in all: %w", maxTracks, maxAllTrack, ErrFormat)
	}
	if period > 0 {
		for i := range s.out.Tracks {
			o := &s.out.Tracks[i]
			if o.ID != t.ID || o.Kind != t.Kind || len(o.Pieces)+len(t.Pieces) > maxPieces {
				continue
			}
			if t.Init != nil && (o.Init == nil || *t.Init != *o.Init) {
				o.Maps++
			}
			o.Pieces, o.Seconds, o.Protected = append(o.Pieces, t.Pieces...), o.Seconds+t.Seconds, o.Protected || t.Protected
			return nil
		}
	}
	s.out.Tracks = append(s.out.Tracks, t)
	return nil
}

// under resolves the first BaseURL; others are the same elsewhere.
func under(base *url.URL, list []string) (*url.URL, error) {
	if len(list) == 0 || strings.TrimSpace(list[0]) == "" {
		return base, nil
	}
	s, err := absolute(base, list[0])
	if err != nil {
		return nil, err
	}
	return url.Parse(s)
}

func (s segments) or(above segments) segments {
	if s.Template == nil && s.List == nil && s.Base == nil {
		return above
	}
	if s.Template != nil && above.Template != nil {
		t, a := *s.Template, above.Template
		t.Media, t.Initialization = cmp.Or(t.Media, a.Media), cmp.Or(t.Initialization, a.Initialization)
		t.Duration, t.Timescale = cmp.Or(t.Duration, a.Duration), cmp.Or(t.Timescale, a.Timescale)
		t.StartNumber, t.Timeline = cmp.Or(t.StartNumber, a.StartNumber), cmp.Or(t.Timeline, a.Timeline)
		s.Template = &t
	}
	return s
}

func kindOf(contentType, mimeType, codecs string) string {
	first, _, _ := strings.Cut(cmp.Or(mimeType, contentType), "/")
	switch k := cmp.Or(contentType, first); {
	case k == "video" || k == "audio" || k == "text":
		return k
	case k == "image":
		return "image"
	case strings.Contains(codecs, "stpp") || strings.Contains(codecs, "wvtt"):
		return "text"
	case codecs != "" && !pictured(codecs):
		return "audio"
	}
	return "video"
}

// fill gives a track its pieces.
func (s *dash) fill(t *Track, base *url.URL, g segments, id string, bandwidth int64) (err error) {
	switch {
	case g.Template != nil:
		return g.Template.fill(t, base, id, bandwidth)
	case g.List != nil:
		return g.List.fill(t, base)
	}
	// One file: its own index is inside.
	t.Pieces = []Piece{{URL: base.String(), Length: -1, Time: t.Seconds}}
	_, err = absolute(base, "")
	return err
}

func (l *list) fill(t *Track, base *url.URL) error {
	t.Maps = 1
	if i := l.Initialization; i != nil {
		p, err := i.piece(base, i.Source, i.Range)
		if err != nil {
			return err
		}
		t.Init = &p
	}
	if len(l.URLs) > maxPieces {
		return fmt.Errorf("more than %d segments: %w", maxPieces, ErrFormat)
	}
	for _, u := range l.URLs {
		p, err := u.piece(base, u.Media, u.Bytes)
		if err != nil {
			return err
		}
		p.Time = l.Duration / cmp.Or(l.Timescale, 1)
		t.Pieces = append(t.Pieces, p)
	}
	return nil
}

func (ranged) piece(base *url.URL, ref, bytes string) (p Piece, err error) {
	p.Length = -1
	if p.URL, err = absolute(base, ref); err != nil || bytes == "" {
		return p, err
	}
	a, b, _ := strings.Cut(bytes, "-")
	from, err1 := strconv.ParseInt(a, 10, 62)
	to, err2 := strconv.ParseInt(b, 10, 62)
	if err1 != nil || err2 != nil || from < 0 || to < from {
		return p, fmt.Errorf("range %.40q: %w", bytes, ErrFormat)
	}
	p.From, p.Length = from, to-from+1
	return p, nil
}

func (m *template) fill(t *Track, base *url.URL, id string, bandwidth int64) error {
	t.Maps = 1
	expand := func(s string, number, at int64) (string, error) {
		out, err := expanded(s, map[string]int64{"Number": number, "Time": at, "Bandwidth": bandwidth}, id)
		if err != nil {
			return "", err
		}
		return absolute(base, out)
	}
	if m.Initialization != "" {
		u, err := expand(m.Initialization, 0, 0)
		if err != nil {
			return err
		}
		t.Init = &Piece{URL: u, Length: -1}
	}
	number := int64(1)
	if m.StartNumber != nil {
		number = *m.StartNumber
	}
	scale := m.Timescale
	if !(scale > 0) {
		scale = 1
	}
	put := func(at, d int64) error {
		if len(t.Pieces) >= maxPieces {
			return fmt.Errorf("more than %d segments: %w", maxPieces, ErrFormat)
		}
		u, err := expand(m.Media, number, at)
		if err != nil {
			return err
		}
		t.Pieces = append(t.Pieces, Piece{URL: u, Length: -1, Time: float64(d) / scale})
		number++
		return nil
	}
	if m.Timeline != nil {
		return m.timed(put, t.Seconds*scale)
	}
	if !(m.Duration > 0) || !(t.Seconds > 0) {
		t.Whole = false // of a live stream nobody knows which there are
		return nil
	}
	n := math.Ceil(t.Seconds*scale/m.Duration - 1e-6)
	if !(n <= maxPieces) {
		return fmt.Errorf("more than %d segments: %w", maxPieces, ErrFormat)
	}
	for i := range int64(n) {
		if err := put(i*int64(m.Duration), int64(m.Duration)); err != nil {
			return err
		}
	}
	return nil
}

// timed goes through a timeline; r = -1 repeats until the next one, or the end.
func (m *template) timed(put func(at, d int64) error, end float64) error {
	at := int64(0)
	for i, s := range m.Timeline.S {
		if s.T != nil {
			at = *s.T
		}
		if s.D <= 0 || at < 0 || at > 1<<61 || s.D > 1<<61 {
			return fmt.Errorf("a time of %d, %d: %w", at, s.D, ErrFormat)
		}
		r := s.R
		if r < 0 {
			until := end
			if i+1 < len(m.Timeline.S) && m.Timeline.S[i+1].T != nil {
				until = float64(*m.Timeline.S[i+1].T)
			}
			r = int64(math.Min(math.Max(math.Ceil((until-float64(at))/float64(s.D))-1, 0), maxPieces+1))
		}
		for range min(r, maxPieces+1) + 1 {
			if err := put(at, s.D); err != nil {
				return err
			}
			if at += s.D; at > 1<<61 {
				return fmt.Errorf("a time of %d: %w", at, ErrFormat)
			}
		}
	}
	return nil
}

// expanded puts values into $Number%05d$ and the like.
func expanded(s string, values map[string]int64, id string) (string, error) {
	var b strings.Builder
	for s != "" {
		before, rest, there := strings.Cut(s, "$")
		b.WriteString(before)
		if !there {
			break
		}
		name, behind, ok := strings.Cut(rest, "$")
		if !ok {
			return "", fmt.Errorf("template %.80q: %w", s, ErrFormat)
		}
		s = behind
		name, width, _ := strings.Cut(name, "%0")
		switch v, known := values[name]; {
		case name == "":
			b.WriteByte('$')
		case name == "RepresentationID":
			b.WriteString(id)
		case known:
			n, _ := strconv.Atoi(strings.TrimSuffix(width, "d"))
			fmt.Fprintf(&b, "%0*d", min(max(n, 0), 30), v)
		default:
			return "", fmt.Errorf("template with $%.40s$: %w", name, ErrFormat)
		}
		if b.Len() > maxAddress {
			return "", fmt.Errorf("an address of more than %d bytes: %w", maxAddress, ErrFormat)
		}
	}
	return b.String(), nil
}

// duration reads PT1H2M3.5S and the like in seconds; 0 for what is none.
func duration(s string) float64 {
	m := regexp.MustCompile(`^P(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+(?:\.\d+)?)S)?)?$`).FindStringSubmatch(s)
	if m == nil {
		return 0
	}
	var out float64
	for i, unit := range []float64{86400, 3600, 60, 1} {
		n, _ := strconv.ParseFloat(m[i+1], 64)
		out += n * unit
	}
	return out
}
