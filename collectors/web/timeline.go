package web

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"time"

	"holdfast/warc"
)

// maxLines bounds the lines of one timeline. What lies behind is in the record, and only
// has no line.
const maxLines = 100_000

// timeLine is one line of a timeline: the stream itself, then what passed, then the end.
// Offsets are of the block of the record that the first line names, the head included.
type timeLine struct {
	Kind    string `json:"kind"`              // stream; frame; piece, event, comment; end
	Record  string `json:"record,omitempty"`  // of the stream: record ID
	Way     string `json:"way,omitempty"`     // of the stream: received, sent
	At      string `json:"at,omitempty"`      // when the last byte passed; no line has one that was not measured
	Begun   string `json:"begun,omitempty"`   // when the first did
	Offset  int64  `json:"offset"`            // in the block; of event and comment in the content, which has no chunks
	Length  int64  `json:"length"`            // with a frame's own head
	Opcode  *uint8 `json:"opcode,omitempty"`  // of a frame
	Final   bool   `json:"final,omitempty"`   // the frame is its message's last
	Packed  bool   `json:"packed,omitempty"`  // the message is compressed (RFC 7692)
	Payload *int64 `json:"payload,omitempty"` // bytes, as the frame's head says
	Why     string `json:"why,omitempty"`     // of the end: why something has no line
}

// timeline writes lines to a spool of its own.
type timeline struct {
	to    *spool
	of    *times
	head  int64 // bytes of the record before the content
	lines int
}

var errLines = fmt.Errorf("it has more than %d lines", maxLines)

func (t *timeline) line(l timeLine) error {
	b, err := json.Marshal(l)
	if err != nil {
		return err
	}
	t.to.content(append(b, '\n'))
	return t.to.err
}

// passed writes the line of n bytes of content from an offset in it.
func (t *timeline) passed(l timeLine, from, n int64) error {
	if t.lines++; t.lines > maxLines {
		return errLines
	}
	if m, ok := t.of.of(from); ok {
		l.Begun = timeOf(m)
	}
	if m, ok := t.of.of(from + n - 1); ok {
		l.At = timeOf(m)
	}
	return t.line(l)
}

func timeOf(m mark) string { return time.Unix(0, m.at).UTC().Format(warc.TimeFormat) }

// frames lists the frames of one direction of a WebSocket, whatever they are; the error
// says why it does not go on to the end.
func (t *timeline) frames(in io.Reader) error {
	c := &counted{r: in}
	f := &frames{r: bufio.NewReaderSize(c, 64<<10)}
	at := func() int64 { return c.n - int64(f.r.Buffered()) }
	for {
		begin := at()
		op, first, err := f.head()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return fmt.Errorf("a frame's head is cut at byte %d", t.head+begin)
		}
		if f.left > math.MaxInt64 {
			return fmt.Errorf("the frame at byte %d has no length that is one", t.head+begin)
		}
		payload := int64(f.left)
		_, err = io.CopyN(io.Discard, f.r, payload)
		n := at() - begin
		l := timeLine{Kind: "frame", Offset: t.head + begin, Length: n, Opcode: &op, Final: first&0x80 != 0, Packed: first&0x40 != 0, Payload: &payload}
		if lerr := t.passed(l, begin, n); lerr != nil {
			return lerr
		}
		if err == io.EOF {
			return fmt.Errorf("the frame at byte %d is cut", t.head+begin)
		}
		if err != nil {
			return err
		}
	}
}

// pieces lists what was read at once.
func (t *timeline) pieces() error {
	body := int64(0)
	for _, m := range t.of.marks {
		n := m.body - body
		if err := t.passed(timeLine{Kind: "piece", Offset: m.block - n, Length: n}, body, n); err != nil {
			return err
		}
		body = m.body
	}
	if t.of.full {
		return fmt.Errorf("only the first %d pieces have times", len(t.of.marks))
	}
	return nil
}

// events lists what a stream of events says (HTML, 9.2.6): blocks that a blank line ends.
// One without data is a comment: browsers give it to no script.
func (t *timeline) events(in io.Reader) error {
	r := bufio.NewReaderSize(in, 64<<10)
	var e eventBlock
	for at := int64(0); ; at++ {
		c, err := r.ReadByte()
		if from, n, kind := e.next(at, c, err != nil); n > 0 {
			if err := t.passed(timeLine{Kind: kind, Offset: from, Length: n}, from, n); err != nil {
				return err
			}
		}
		if err == io.EOF || errors.Is(err, io.ErrUnexpectedEOF) {
			return nil // a stream without an end ends anywhere
		}
		if err != nil {
			return fmt.Errorf("its events, after %d bytes: %w", at, err)
		}
	}
}

// eventBlock finds where blocks of a stream of events end.
type eventBlock struct {
	from  int64 // of the block
	begun bool
	data  bool
	line  int    // bytes of the line so far
	start string // of the line
	cr    bool   // the last byte was one
	done  int64  // bytes of a block whose end is known, but for an LF behind its CR
}

// next takes the byte at an offset, or the end, and gives the block that ended before it.
func (e *eventBlock) next(at int64, c byte, end bool) (from, n int64, kind string) {
	lf := !end && c == '\n' && e.cr
	if e.done > 0 {
		if lf {
			e.done++
		}
		if from, n, kind = e.from, e.done, "comment"; e.data {
			kind = "event"
		}
		*e = eventBlock{cr: e.cr}
	}
	e.cr = c == '\r'
	switch {
	case end || lf:
	case c != '\n' && c != '\r':
		if !e.begun {
			e.begun, e.from = true, at
		}
		if e.line++; len(e.start) < 5 {
			e.start += string(rune(c))
		}
	case e.line > 0:
		e.data = e.data || e.start == "data" || e.start == "data:"
		e.line, e.start = 0, ""
	case e.begun:
		e.done = at + 1 - e.from
	}
	return from, n, kind
}

// counted counts what was read.
type counted struct {
	r io.Reader
	n int64
}

func (c *counted) Read(b []byte) (int, error) {
	n, err := c.r.Read(b)
	c.n += int64(n)
	return n, err
}

// timelines writes when what passed on a stream without an end did: of what came beside
// the answers, of what was sent beside the requests. Nothing of the content is in them.
func (r *recorder) timelines(x *exchange, request string) error {
	if x.response == nil || x.response.times == nil {
		return nil
	}
	r.timed++
	for _, d := range []struct {
		to           *warcFile
		s            *spool
		kind, id, as string
	}{{&r.answers, x.response, warc.Response, x.id, "received"}, {&r.requests, x.request, warc.Request, request, "sent"}} {
		if d.s.times == nil || x.withheld.from(d.kind) {
			continue
		}
		if err := r.timeline(d.to, x, d.s, fmt.Sprintf("urn:holdfast:times:%d:%s", r.timed, d.as), d.id, d.as); err != nil {
			return err
		}
	}
	return nil
}

func (r *recorder) timeline(to *warcFile, x *exchange, s *spool, uri, id, way string) error {
	out, err := newSpool(r.dir, nil)
	if err != nil {
		return err
	}
	t := &timeline{to: out, of: s.times, head: s.head}
	if err := t.write(x, s, id, way); err != nil {
		return errors.Join(err, out.close())
	}
	if err := out.close(); err != nil {
		return err
	}
	f, err := out.open()
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = to.w.Write(warc.Record{Type: warc.Metadata, ID: warc.NewID(), Date: x.started, TargetURI: uri, ContentType: "application/jsonl",
		ConcurrentTo: []string{id}, BlockDigest: out.blockDigest(), PayloadDigest: out.blockDigest(), Block: f, Length: out.size})
	return err
}

// write writes all lines; an error is one of our disk.
func (t *timeline) write(x *exchange, s *spool, id, way string) error {
	if err := t.line(timeLine{Kind: "stream", Record: id, Way: way, Offset: s.head, Length: s.size - s.head}); err != nil {
		return err
	}
	in, err := s.open()
	if err != nil {
		return err
	}
	defer in.Close()
	why := t.list(x, s, in)
	if t.to.err != nil {
		return t.to.err
	}
	end := timeLine{Kind: "end", Offset: s.size}
	if why != nil {
		end.Why = clean(why.Error())
	}
	return t.line(end)
}

// list lists what the stream has; the error says why something has no line.
func (t *timeline) list(x *exchange, s *spool, in io.ReadSeeker) error {
	if x.upgraded {
		if _, err := in.Seek(s.head, io.SeekStart); err != nil {
			return err
		}
		return t.frames(in)
	}
	if err := t.pieces(); err != nil {
		return err
	}
	if x.fields.List("Content-Encoding") != "" {
		return errors.New("its events are not listed: the content is coded")
	}
	body, _, err := x.payload(in)
	if err != nil {
		return err
	}
	return t.events(body)
}
