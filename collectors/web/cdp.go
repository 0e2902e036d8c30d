package web

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strconv"
	"sync"

	"github.com/go-rod/rod/lib/proto"
)

// link speaks the DevTools protocol with one browser over a pair of pipes, NUL
// after each message. A pipe, not a port: no other process of this machine can
// drive the browser, and the browser ends when we do, however we end.
//
// Messages above maxMessage go to a file instead of memory: screenshots and
// page archives arrive as one JSON string of any size.
type link struct {
	out     io.WriteCloser
	dir     string
	mu      sync.Mutex
	next    int
	pending map[int]*sentCommand
	events  map[string]func(method string, params json.RawMessage) // by session; "" is the browser's own
	dead    chan struct{}                                          // closed when the browser is gone
	most    int                                                    // bytes of a message that goes to a file
}

const (
	maxMessage = 1 << 20
	maxSpill   = 1 << 30
	maxEvent   = 16 << 20 // an event has an address in it twice at most, and one is 2 MB at most
)

// sentCommand is a command whose answer is to come.
type sentCommand struct {
	ch  chan reply // has room for one; nil: nobody waits
	log *commandLog
	as  *command // in log
}

// errDead is wrapped by every error that means "the browser is gone".
var errDead = errors.New("browser is gone")

// reply is one answer: its JSON in memory, or in a file that the taker removes,
// or nowhere because it was too large: a page can make a document of any size,
// and must not end the browser with it.
type reply struct {
	json []byte
	file string
	over bool
}

// errUnlogged: nothing is done to a page that no log tells of.
var errUnlogged = errors.New("there is no log for it")

var errOver = fmt.Errorf("answer above %d bytes", maxSpill)

func newLink(in io.Reader, out io.WriteCloser, dir string) *link {
	l := &link{out: out, dir: dir, most: maxSpill, pending: map[int]*sentCommand{}, dead: make(chan struct{}),
		events: map[string]func(string, json.RawMessage){}}
	go l.read(in) // ends with the browser: its end of the pipe closes
	return l
}

func (l *link) read(in io.Reader) {
	defer close(l.dead)
	r := bufio.NewReaderSize(in, 64<<10)
	for {
		m, err := l.message(r)
		if err != nil {
			return
		}
		l.deliver(m)
	}
}

// message reads up to the next NUL.
func (l *link) message(r *bufio.Reader) (reply, error) {
	var buf bytes.Buffer
	for {
		part, err := r.ReadSlice(0)
		buf.Write(part)
		if err == nil {
			return reply{json: bytes.TrimSuffix(buf.Bytes(), []byte{0})}, nil
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return reply{}, err
		}
		if buf.Len() > maxMessage {
			return l.spill(buf.Bytes(), r)
		}
	}
}

// spill writes a large message to a file. The first bytes stay in json, enough
// to see whose answer it is.
func (l *link) spill(begin []byte, r *bufio.Reader) (reply, error) {
	f, err := os.CreateTemp(l.dir, "message-*")
	if err != nil {
		return reply{}, err
	}
	defer f.Close()
	size := len(begin)
	_, err = f.Write(begin)
	for err == nil {
		var part []byte
		part, err = r.ReadSlice(0)
		if size += len(part); size <= l.most {
			if _, werr := f.Write(bytes.TrimSuffix(part, []byte{0})); werr != nil {
				return reply{}, werr
			}
		}
		if err == nil {
			m := reply{json: begin[:128], file: f.Name(), over: size > l.most}
			if m.over {
				m.remove()
			}
			return m, nil
		}
		if errors.Is(err, bufio.ErrBufferFull) {
			err = nil
		}
	}
	return reply{}, err
}

var replyID = regexp.MustCompile(`^\{"id":(\d+)[,}]`)

func (l *link) deliver(m reply) {
	match := replyID.FindSubmatch(m.json[:min(len(m.json), 128)])
	if match == nil {
		l.event(m)
		return
	}
	id, _ := strconv.Atoi(string(match[1]))
	l.mu.Lock()
	a := l.pending[id]
	delete(l.pending, id)
	l.mu.Unlock()
	if a == nil {
		m.remove() // of a capture that is over
		return
	}
	a.log.answered(a.as, m.json)
	if a.ch == nil {
		m.remove() // its caller has given up
		return
	}
	a.ch <- m
}

// event calls the session's handler, which must not wait for the browser.
func (l *link) event(m reply) {
	if m.file != "" {
		m = m.event()
	}
	var e struct {
		SessionID string
		Method    string
		Params    json.RawMessage
	}
	if json.Unmarshal(m.json, &e) != nil {
		return
	}
	l.mu.Lock()
	handle := l.events[e.SessionID]
	l.mu.Unlock()
	if handle != nil {
		handle(e.Method, e.Params)
	}
}

// event takes one back into memory that is large: a page can go to an address of
// a megabyte. What is larger still is none that is used here.
func (m reply) event() reply {
	defer m.remove()
	if st, err := os.Stat(m.file); err != nil || st.Size() > maxEvent {
		return reply{}
	}
	b, err := os.ReadFile(m.file)
	if err != nil {
		return reply{}
	}
	return reply{json: b}
}

func (m reply) remove() {
	if m.file != "" {
		os.Remove(m.file)
	}
}

// post sends a command, notes it in log, and returns where its answer will arrive. It is the
// only way to the browser.
func (l *link) post(log *commandLog, session, method string, params any, ch chan reply) (int, error) {
	if log == nil {
		return 0, fmt.Errorf("send %s: %w", method, errUnlogged)
	}
	given, err := json.Marshal(params)
	if err != nil {
		return 0, fmt.Errorf("send %s: %w", method, err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.next++
	b, err := json.Marshal(struct {
		ID        int             `json:"id"`
		SessionID string          `json:"sessionId,omitempty"`
		Method    string          `json:"method"`
		Params    json.RawMessage `json:"params,omitempty"`
	}{l.next, session, method, given})
	if err != nil {
		return 0, fmt.Errorf("send %s: %w", method, err)
	}
	l.pending[l.next] = &sentCommand{ch: ch, log: log, as: log.sent(l.next, session, method, given)}
	if _, err := l.out.Write(append(b, 0)); err != nil {
		delete(l.pending, l.next)
		return 0, fmt.Errorf("send %s: %w: %w", method, errDead, err)
	}
	return l.next, nil
}

// forget ends the wait for what the commands of log are answered.
func (l *link) forget(log *commandLog) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for id, a := range l.pending {
		if a.log == log {
			delete(l.pending, id)
		}
	}
}

// ask sends a command and waits for its answer. An answer that comes after ctx
// ended is thrown away.
func (s session) ask(ctx context.Context, method string, params any) (reply, error) {
	ch := make(chan reply, 1)
	id, err := s.post(s.log, s.id, method, params, ch)
	if err != nil {
		return reply{}, err
	}
	return s.await(ctx, method, id, ch)
}

func (l *link) await(ctx context.Context, method string, id int, ch chan reply) (reply, error) {
	select {
	case m := <-ch:
		return m, nil
	case <-l.dead:
		return reply{}, fmt.Errorf("%s: %w", method, errDead)
	case <-ctx.Done():
		l.mu.Lock()
		if a := l.pending[id]; a != nil {
			a.ch = nil // its answer is noted all the same
		}
		l.mu.Unlock()
		select {
		case m := <-ch:
			m.remove()
		default:
		}
		return reply{}, fmt.Errorf("%s: %w", method, ctx.Err())
	}
}

func (l *link) handle(session string, f func(string, json.RawMessage)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if f == nil {
		delete(l.events, session)
		return
	}
	l.events[session] = f
}

// session is a link bound to one page (or, with no id, to the browser) and a
// context; rod's typed commands run on it: proto.PageEnable{}.Call(s).
type session struct {
	*link
	id  string
	ctx context.Context
	log *commandLog
}

var _ proto.Client = session{}

// Call implements proto.Client.
func (s session) Call(ctx context.Context, id, method string, params any) ([]byte, error) {
	m, err := s.ask(ctx, method, params)
	if err != nil {
		return nil, err
	}
	if m.file != "" || m.over {
		m.remove()
		return nil, fmt.Errorf("%s: answer above %d bytes", method, maxMessage)
	}
	return result(method, m.json)
}

// GetSessionID and GetContext tell rod's commands where and how long to run.
func (s session) GetSessionID() proto.TargetSessionID { return proto.TargetSessionID(s.id) }
func (s session) GetContext() context.Context         { return s.ctx }

func (s session) with(ctx context.Context) session { s.ctx = ctx; return s }

// all sends commands at once and waits for all answers; the first error counts.
func (s session) all(rs ...proto.Request) (first error) {
	type sent struct {
		id int
		ch chan reply
	}
	var out []sent
	for _, r := range rs {
		ch := make(chan reply, 1)
		id, err := s.post(s.log, s.id, r.ProtoReq(), r, ch)
		if err != nil {
			return err
		}
		out = append(out, sent{id, ch})
	}
	for i, o := range out {
		m, err := s.await(s.ctx, rs[i].ProtoReq(), o.id, o.ch)
		if err == nil {
			_, err = result(rs[i].ProtoReq(), m.json)
		}
		if first == nil {
			first = err
		}
	}
	return first
}

// tell sends a command whose answer nobody needs; safe in an event handler.
func (s session) tell(r proto.Request) {
	_, _ = s.post(s.log, s.id, r.ProtoReq(), r, nil) // a browser that is gone is seen elsewhere
}

func result(method string, b []byte) ([]byte, error) {
	var r struct {
		Result json.RawMessage
		Error  *struct{ Message, Data string }
	}
	if err := json.Unmarshal(b, &r); err != nil {
		return nil, fmt.Errorf("%s: %w", method, err)
	}
	if r.Error != nil {
		return nil, fmt.Errorf("%s: %s %s", method, r.Error.Message, r.Error.Data)
	}
	return r.Result, nil
}

// blob runs a command whose answer has one long string, called field, and
// writes that string's text to w. It returns whether the answer had the field.
func (s session) blob(r proto.Request, field string, w io.Writer) error {
	m, err := s.ask(s.ctx, r.ProtoReq(), r)
	if err != nil {
		return err
	}
	defer m.remove()
	if m.over {
		return fmt.Errorf("%s: %w", r.ProtoReq(), errOver)
	}
	var src io.Reader = bytes.NewReader(m.json)
	if m.file != "" {
		f, err := os.Open(m.file)
		if err != nil {
			return fmt.Errorf("%s: %w", r.ProtoReq(), err)
		}
		defer f.Close()
		src = f
	} else if _, err := result(r.ProtoReq(), m.json); err != nil {
		return err
	}
	if err := jsonString(src, field, w); err != nil {
		return fmt.Errorf("%s: %w", r.ProtoReq(), err)
	}
	return nil
}
