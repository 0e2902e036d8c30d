package stream

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"iter"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Bounds of the words of a film.
const (
	MaxWords = 16 << 20 // bytes of all pieces
	maxCues  = 100_000
	maxHours = 10_000
)

// Words are the pieces of a text track in WebVTT, as text or in MP4, read one after the
// other, so that they can be written as one file. The zero value has none. It is not safe
// for concurrent use.
type Words struct {
	piece  []byte // that is being read
	size   int    // of all pieces
	first  offset
	any    bool
	styles []string // STYLE and REGION blocks, each once
	cues   []cue
	seen   map[cue]bool

	track   *textTrack // of MP4
	samples int        // of it
	open    []cue      // of its last sample
	ttml    []byte     // of it, instead of cues

	Moved    int // cues whose times are others than in their pieces
	Repeated int // cues that stood in a piece before
	Dropped  int // cues that would have ended before the film
}

// cue has its times in milliseconds from the beginning of the film.
type cue struct {
	from, to       int64
	name, settings string
	text           string
}

// offset is what a piece's own times are ahead of the transport's, in milliseconds; the
// transport's come back after 2^33 ticks.
type offset struct{ local, ticks int64 }

var (
	oneLine     = strings.NewReplacer("\r\n", "\n", "\r", "\n", "\x00", "\uFFFD")
	errVTT      = errors.New("a piece is no WebVTT")
	errTooMuch  = errors.New("its words are more than one file of them may have")
	cueTime     = regexp.MustCompile(`^(?:(\d{2,9}):)?([0-5]\d):([0-5]\d)\.(\d{3})$`)
	inlineTime  = regexp.MustCompile(`<(?:\d{2,9}:)?[0-5]\d:[0-5]\d\.\d{3}>`)
	timestampIn = regexp.MustCompile(`^X-TIMESTAMP-MAP\s*=\s*(.*)$`)
)

// Write takes bytes of a piece.
func (w *Words) Write(p []byte) (int, error) {
	if w.size += len(p); w.size > MaxWords {
		return 0, errTooMuch
	}
	w.piece = append(w.piece, p...)
	return len(p), nil
}

// Next ends a piece. Its times are moved by its X-TIMESTAMP-MAP (RFC 8216, 3.5) against the
// first piece's, whose own stay as they are; where there is none, 0 is the transport's 0.
// Comments are left out; a cue that stood in an earlier piece already is not taken again.
// Of MP4 the track's own times stay. An error says why there can be no one file.
func (w *Words) Next() error {
	piece := w.piece
	w.piece = nil
	if isMP4(piece) || w.track != nil {
		if w.any {
			return errVTT
		}
		return w.mp4(piece)
	}
	text := oneLine.Replace(strings.ToValidUTF8(string(bytes.TrimPrefix(piece, []byte("\uFEFF"))), "\uFFFD"))
	head, body, _ := strings.Cut(text, "\n\n")
	if rest, ok := strings.CutPrefix(head, "WEBVTT"); !ok || rest != "" && !strings.ContainsAny(rest[:1], " \t\n") {
		return errVTT
	}
	at := offset{}
	if i := strings.Index(head, "-->"); i >= 0 { // a cue that no empty line is before
		i = strings.LastIndexByte(head[:i], '\n') + 1
		head, body = head[:i], head[i:]+"\n\n"+body
	}
	for l := range strings.SplitSeq(head, "\n") {
		if m := timestampIn.FindStringSubmatch(l); m != nil {
			var err error
			if at, err = mapped(m[1]); err != nil {
				return err
			}
		}
	}
	if !w.any {
		w.first, w.any, w.seen = at, true, map[cue]bool{}
	}
	move := at.from(w.first)
	for block := range blocks(body) {
		if err := w.block(block, move); err != nil {
			return err
		}
	}
	return nil
}

// blocks are what stands between empty lines; a second line with an arrow begins another.
func blocks(text string) iter.Seq[string] {
	return func(yield func(string) bool) {
		begun, arrow, at := 0, false, 0
		for at < len(text) {
			line, next := text[at:], len(text)
			if i := strings.IndexByte(line, '\n'); i >= 0 {
				line, next = line[:i], at+i+1
			}
			has := strings.Contains(line, "-->")
			if line == "" || has && arrow {
				if at > begun && !yield(strings.TrimSuffix(text[begun:at], "\n")) {
					return
				}
				begun, arrow = at, false
				if line == "" {
					begun = next
				}
			}
			arrow = arrow || has
			at = next
		}
		if at > begun {
			yield(strings.TrimSuffix(text[begun:at], "\n"))
		}
	}
}

// mapped reads LOCAL:00:00:00.000,MPEGTS:900000.
func mapped(text string) (o offset, err error) {
	for part := range strings.SplitSeq(text, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(part), ":")
		switch name {
		case "LOCAL":
			var ok bool
			if o.local, ok = milliseconds(value); !ok {
				return o, fmt.Errorf("%w: its X-TIMESTAMP-MAP has no time", errVTT)
			}
		case "MPEGTS":
			if o.ticks, err = strconv.ParseInt(value, 10, 64); err != nil || o.ticks < 0 {
				return o, fmt.Errorf("%w: its X-TIMESTAMP-MAP has no number", errVTT)
			}
			o.ticks %= 1 << 33
		}
	}
	return o, nil
}

// from is by how much times of this piece are moved to be in those of the first.
func (o offset) from(first offset) int64 {
	ticks := o.ticks - first.ticks
	switch { // the clock came back to 0 between them
	case ticks > 1<<32:
		ticks -= 1 << 33
	case ticks < -(1 << 32):
		ticks += 1 << 33
	}
	return ticks/90 - (o.local - first.local)
}

// block takes what stands between two empty lines.
func (w *Words) block(text string, move int64) error {
	line, rest, _ := strings.Cut(text, "\n")
	var c cue
	switch {
	case text == "":
		return nil
	case strings.Contains(line, "-->"):
	case strings.Contains(first(rest), "-->"):
		c.name = line
		line, rest, _ = strings.Cut(rest, "\n")
	default:
		if word := strings.TrimRight(line, " \t"); (word == "STYLE" || word == "REGION") && len(w.cues) == 0 && !slices.Contains(w.styles, text) {
			w.styles = append(w.styles, text)
		}
		return nil // a comment, or what no reader takes for anything
	}
	from, after, _ := strings.Cut(line, "-->")
	fields := strings.Fields(after)
	if len(fields) == 0 {
		return nil
	}
	var ok, also bool
	c.from, ok = milliseconds(strings.TrimSpace(from))
	c.to, also = milliseconds(fields[0])
	if !ok || !also {
		return nil // no reader shows it
	}
	c.settings = strings.Join(fields[1:], " ")
	c.text = rest
	return w.take(c, move)
}

func first(text string) string {
	line, _, _ := strings.Cut(text, "\n")
	return line
}

// take adds a cue, moved.
func (w *Words) take(c cue, move int64) error {
	if c.to+move <= 0 {
		w.Dropped++
		return nil
	}
	moved := move != 0
	if moved {
		c.from, c.to = max(0, c.from+move), c.to+move
		c.text = inlineTime.ReplaceAllStringFunc(c.text, func(s string) string {
			at, _ := milliseconds(s[1 : len(s)-1])
			return "<" + clock(max(0, at+move)) + ">"
		})
	}
	if w.seen[c] {
		w.Repeated++
		return nil
	}
	if len(w.cues) >= maxCues {
		return errTooMuch
	}
	if moved {
		w.Moved++
	}
	w.seen[c] = true
	w.cues = append(w.cues, c)
	return nil
}

// WriteTo writes all of them as one file, in the order of their times; what it is Form
// says.
func (w *Words) WriteTo(out io.Writer) (int64, error) {
	if ending, _ := w.Form(); ending == "ttml" {
		if w.ttml == nil {
			return 0, fmt.Errorf("%w: there is nothing in it", errMP4)
		}
		n, err := out.Write(w.ttml)
		return int64(n), err
	}
	if err := w.shut(); err != nil {
		return 0, err
	}
	slices.SortStableFunc(w.cues, func(a, b cue) int { return cmp.Compare(a.from, b.from) })
	var b bytes.Buffer
	b.WriteString("WEBVTT\n")
	for _, s := range w.styles {
		b.WriteString("\n" + s + "\n")
	}
	for _, c := range w.cues {
		b.WriteByte('\n')
		if c.name != "" {
			b.WriteString(c.name + "\n")
		}
		b.WriteString(clock(c.from) + " --> " + clock(c.to))
		if c.settings != "" {
			b.WriteString(" " + c.settings)
		}
		b.WriteByte('\n')
		if c.text != "" {
			b.WriteString(c.text + "\n")
		}
	}
	return b.WriteTo(out)
}

// milliseconds reads a time of WebVTT.
func milliseconds(text string) (int64, bool) {
	m := cueTime.FindStringSubmatch(text)
	if m == nil {
		return 0, false
	}
	var n [4]int64
	for i := range n {
		n[i], _ = strconv.ParseInt(m[i+1], 10, 64) // digits, or none
	}
	return ((n[0]*60+n[1])*60+n[2])*1000 + n[3], n[0] <= maxHours
}

func clock(ms int64) string {
	return fmt.Sprintf("%02d:%02d:%02d.%03d", ms/3_600_000, ms/60_000%60, ms/1000%60, ms%1000)
}
