package web

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"time"

	"holdfast/hashing"
)

// commandLog is what a capture had its browser do: every command that went to its
// page, its context, or to the browser on their behalf. A link sends none without
// being handed the log that it stands in, so a script that somebody had the page
// run, or an element that somebody changed through the browser, is in it.
//
// It is bounded: commands beyond maxCommands are counted, by method.
type commandLog struct {
	mu       sync.Mutex
	list     []*command
	unlisted map[string]int // by method: a handful, all of them ours
	programs []programLine
	closed   bool // nothing changes any more
}

const (
	maxCommands  = 5000
	maxParams    = 16 << 10 // bytes of a command's parameters that are written out
	maxError     = 1000
	commandsName = "commands.jsonl"
	commandTime  = "2006-01-02T15:04:05.000Z"
)

// command is one line; members in canonical order.
type command struct {
	Answered string          `json:"answered,omitempty"` // "" is not, or nobody waited for it any more
	Error    string          `json:"error,omitempty"`    // of the answer
	Kind     string          `json:"kind"`               // "command"
	Method   string          `json:"method"`
	Number   int             `json:"number"` // the browser's commands are numbered through; those of other captures lie between
	Params   json.RawMessage `json:"params,omitempty"`
	Digest   string          `json:"params_digest,omitempty"` // in the place of params that are too long
	Size     int             `json:"params_size,omitempty"`
	Secret   bool            `json:"secret,omitempty"` // its params are written nowhere
	Sent     string          `json:"sent"`
	Session  string          `json:"session,omitempty"` // of the page; "" is the browser's own
}

// isSecret says of which commands the parameters hold what gives access.
func isSecret(method string) bool {
	return method == "Storage.setCookies" || method == "DOMStorage.setDOMStorageItem"
}

// sent notes a command that is about to go out; nil where it is counted only.
func (l *commandLog) sent(number int, session, method string, params []byte) *command {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil
	}
	if len(l.list) >= maxCommands {
		if l.unlisted == nil {
			l.unlisted = map[string]int{}
		}
		l.unlisted[method]++
		return nil
	}
	c := &command{Kind: "command", Method: method, Number: number, Sent: time.Now().UTC().Format(commandTime), Session: session}
	switch {
	case isSecret(method):
		c.Secret = true
	case len(params) > maxParams:
		c.Digest, c.Size = hashing.Of(params).String(), len(params)
	case string(params) != "null" && string(params) != "{}":
		c.Params = params
	}
	l.list = append(l.list, c)
	return c
}

// commandError is the answer's beginning where it is an error; Chromium writes id and
// error first.
var commandError = regexp.MustCompile(`^\{"id":\d+,"error":`)

// answered notes that c was, and with which error.
func (l *commandLog) answered(c *command, answer []byte) {
	if c == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return
	}
	c.Answered = time.Now().UTC().Format(commandTime)
	if !commandError.Match(answer) {
		return
	}
	_, err := result("", answer)
	c.Error = clean(strings.TrimPrefix(err.Error(), ": "))
	c.Error = c.Error[:min(len(c.Error), maxError)]
	c.Error = strings.ToValidUTF8(c.Error, "")
}

// save closes the log and writes it into dir: a head, a line for each command, those
// that began the browser first, and an end that counts them.
func (l *commandLog) save(dir, browser string, before *commandLog) (file, error) {
	f := file{name: commandsName, role: "commands", mediaType: "application/jsonl", path: filepath.Join(dir, commandsName)}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	before.mu.Lock()
	defer before.mu.Unlock()
	out, err := os.Create(f.path)
	if err != nil {
		return f, fmt.Errorf("write %s: %w", f.name, err)
	}
	defer out.Close()
	w := bufio.NewWriter(out)
	lines := []any{commandsHead{Browser: browser, Kind: "commands", Version: 1}}
	for _, c := range before.list {
		lines = append(lines, c)
	}
	for _, c := range l.list {
		lines = append(lines, c)
	}
	end := commandsEnd{Kind: "end", Listed: len(lines) - 1, Methods: l.unlisted}
	for _, p := range l.programs {
		lines = append(lines, p)
	}
	for _, n := range l.unlisted {
		end.Unlisted += n
	}
	for _, v := range append(lines, end) {
		if err := line(w, v); err != nil {
			return f, fmt.Errorf("write %s: %w", f.name, err)
		}
	}
	if err := w.Flush(); err != nil {
		return f, fmt.Errorf("write %s: %w", f.name, err)
	}
	return f, out.Close()
}

type commandsHead struct {
	Browser string `json:"browser"`
	Kind    string `json:"kind"`
	Version int    `json:"version"`
}

// programLine is one program that was run besides the browser; members in canonical order.
type programLine struct {
	Arguments []string `json:"arguments"`
	Began     string   `json:"began"`
	Digest    string   `json:"digest"`
	Exit      int      `json:"exit"` // -1: it did not end by itself
	Kind      string   `json:"kind"` // "program"
	Name      string   `json:"name"`
	Over      string   `json:"over"`
	Version   string   `json:"version"`
	Why       string   `json:"why,omitempty"` // it was ended
}

// ran notes a program that is over.
func (l *commandLog) ran(f *fetched) {
	p := programLine{Arguments: f.Arguments, Began: f.ended.Began.UTC().Format(commandTime), Digest: f.Digest.String(), Exit: f.ended.Exit, Kind: "program", Name: f.Name,
		Over: f.ended.Over.UTC().Format(commandTime), Version: f.Version}
	if f.ended.Why != nil {
		p.Why = f.ended.Why.Error()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.programs = append(l.programs, p)
}

type commandsEnd struct {
	Kind     string         `json:"kind"`
	Listed   int            `json:"listed"`
	Methods  map[string]int `json:"methods,omitempty"` // of those that are not listed
	Unlisted int            `json:"unlisted"`
}

// line writes v as one line of JSON, without the escapes that are for HTML.
func line(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}
