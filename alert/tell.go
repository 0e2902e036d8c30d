package alert

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

// Timeout bounds one attempt to tell one destination.
const Timeout = 30 * time.Second

// ErrTarget is wrapped by errors about a destination that can never work.
var ErrTarget = errors.New("not a destination")

// Target is where events of a rule go. To is `mailto:a@b`, `https://…`, `exec:/program`
// (an absolute path), or the path of a file that ends in .atom.
type Target struct {
	To     string
	Secret []byte // of a webhook; empty: not signed
	Mail   Mail   // of a mailbox

	// Dial is the way out to a webhook or a mail server; nil: direct. It is asked with
	// the name of the host, which nobody has looked up. No proxy of the environment
	// counts.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

func (t Target) dial() func(ctx context.Context, network, address string) (net.Conn, error) {
	if t.Dial != nil {
		return t.Dial
	}
	return (&net.Dialer{}).DialContext
}

// Check refuses what can never work; the error says what to write.
func (t Target) Check() error {
	switch {
	case strings.HasPrefix(t.To, "mailto:"):
		return t.Mail.check(strings.TrimPrefix(t.To, "mailto:"))
	case strings.HasPrefix(t.To, "https://"):
		_, err := http.NewRequest(http.MethodPost, t.To, nil)
		return err
	case strings.HasPrefix(t.To, "exec:/"), strings.HasSuffix(t.To, ".atom") && !strings.Contains(t.To, ":"):
		return nil
	}
	return fmt.Errorf("%.200q: %w: write mailto:NAME@HOST, https://…, exec:/PATH/OF/PROGRAM, or FILE.atom", t.To, ErrTarget)
}

// Batch is what is told at once: the body of a webhook, and what a program reads. Its
// ID follows from those of the events.
type Batch struct {
	ID     string  `json:"id"`
	Events []Event `json:"events"`
	Kind   string  `json:"kind"` // "alerts"
	Node   string  `json:"node"`
	Rule   string  `json:"rule"`
	V      int     `json:"version"` // 1
}

// NewBatch puts events of one rule together.
func NewBatch(events []Event) Batch {
	h := sha256.New()
	for _, e := range events {
		io.WriteString(h, e.ID+"\n")
	}
	return Batch{ID: hex.EncodeToString(h.Sum(nil))[:32], Events: events, Kind: "alerts", Node: events[0].Node, Rule: events[0].Rule, V: 1}
}

// Tell makes one attempt. last are the newest events of the destination, for a file
// that holds more than what is new.
func (t Target) Tell(ctx context.Context, b Batch, last []Event) error {
	ctx, stop := context.WithTimeout(ctx, Timeout)
	defer stop()
	body, err := json.Marshal(b)
	if err != nil {
		return err
	}
	body = append(body, '\n')
	switch {
	case strings.HasPrefix(t.To, "mailto:"):
		return t.Mail.send(ctx, t.dial(), strings.TrimPrefix(t.To, "mailto:"), b)
	case strings.HasPrefix(t.To, "https://"):
		return t.post(ctx, b.ID, body)
	case strings.HasPrefix(t.To, "exec:"):
		return run(ctx, strings.TrimPrefix(t.To, "exec:"), b.ID, body)
	}
	return writeAtom(t.To, last)
}

// Sign is the header Holdfast-Signature of a webhook: `t=<Unix seconds>,v1=<hex>`, the
// HMAC-SHA-256, under the secret, of the digits of t, a dot, and the body. Who receives
// computes it anew, and refuses a t that is old.
func Sign(secret, body []byte, at time.Time) string {
	t := strconv.FormatInt(at.Unix(), 10)
	m := hmac.New(sha256.New, secret)
	m.Write([]byte(t + "."))
	m.Write(body)
	return "t=" + t + ",v1=" + hex.EncodeToString(m.Sum(nil))
}

func (t Target) post(ctx context.Context, id string, body []byte) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, t.To, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("ask webhook: %w", err)
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("User-Agent", "holdfast")
	r.Header.Set("Holdfast-Alert", id)
	if len(t.Secret) > 0 {
		r.Header.Set("Holdfast-Signature", Sign(t.Secret, body, time.Now()))
	}
	c := &http.Client{Transport: &http.Transport{DialContext: t.dial(), DisableKeepAlives: true}, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	a, err := c.Do(r)
	if err != nil {
		return fmt.Errorf("ask webhook: %w", err)
	}
	defer a.Body.Close()
	io.Copy(io.Discard, io.LimitReader(a.Body, 64<<10))
	if a.StatusCode < 200 || a.StatusCode > 299 {
		return fmt.Errorf("ask webhook: it answered %d", a.StatusCode)
	}
	return nil
}

// run gives the batch to a program, as its standard input; it has taken it if it exits
// with 0. It gets no secret: neither an argument nor this program's variables.
func run(ctx context.Context, path, id string, body []byte) error {
	cmd := exec.CommandContext(ctx, path)
	cmd.Stdin, cmd.Dir = bytes.NewReader(body), "/"
	cmd.Env = []string{"HOLDFAST_ALERT=" + id, "PATH=" + os.Getenv("PATH"), "LANG=C.UTF-8"}
	cmd.WaitDelay = 5 * time.Second // of what it has started and left
	var errs tail
	cmd.Stderr = &errs
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("run %.200s: %w: %s", path, err, errs)
	}
	return nil
}

// tail keeps the beginning of what is written.
type tail []byte

func (t *tail) Write(b []byte) (int, error) {
	*t = append(*t, b[:min(len(b), 500-min(len(*t), 500))]...)
	return len(b), nil
}
