package telegram

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"holdfast/canon"
	"holdfast/hashing"
)

// Limits of a file that is on its way.
const (
	partSize     = 512 << 10 // bytes asked for at once; the service wants a power of two that divides 1 MiB
	maxFile      = 4 << 30   // bytes; the service's own
	maxExchanges = 64 << 20  // bytes of exchange.jsonl
	partialLife  = 7 * 24 * time.Hour
)

// Names of the Objects that a file's answers go into.
const (
	nameFile      = "file"
	nameHashes    = "hashes.tl"
	nameAnswers   = "answers.tl"
	nameExchanges = "exchange.jsonl"
)

// fileExchange is a line of exchange.jsonl: one question about a file, and where
// its answer is. Members stand in canonical order.
type fileExchange struct {
	Account  string          `json:"account"`
	Answer   *hashing.Digest `json:"answer,omitempty"` // of the whole answer; absent: it was an error
	At       int64           `json:"at,omitempty"`
	Bytes    *hashing.Digest `json:"bytes,omitempty"` // of what lies at At
	DC       int             `json:"dc"`
	Error    *refusal        `json:"error,omitempty"`
	In       string          `json:"in,omitempty"` // the Object
	Kind     string          `json:"kind"`
	Layer    int             `json:"layer"`
	Length   int64           `json:"length,omitempty"`
	Method   string          `json:"method"`
	MTime    int             `json:"mtime,omitempty"`
	Received string          `json:"received"`
	Request  []byte          `json:"request"`
	Sent     string          `json:"sent"`
	Training bool            `json:"training"`
	Type     string          `json:"type,omitempty"` // of a part, as the schema names it
	Version  int             `json:"version"`
}

// partial is a file on its way: a folder with the Objects as far as they have come.
// Nothing in it was accepted, and nothing outside names it, so it may be lost at any
// time, which costs the asking.
//
// What is written is first the bytes, then the line of exchange.jsonl that names
// their place and Digest; neither is fsynced. After a kill the line may be missing
// or cut: the bytes behind the last whole line are written over. After a crash of
// the machine any of it may be missing or zeros: each line's bytes are read again and
// held against its Digest by whoever opens it, and it is cut before the first that
// does not fit. So what goes on is always a beginning that the service has sent,
// in the order in which it was asked for. When all has come, the bytes are held
// against the Digests once more, and against the service's own hashes. It goes when
// the Capture is accepted: a kill before makes it again out of this, and asks nothing.
//
// One process at a time has it: its name has the account's in it, and an account
// is one process's.
type partial struct {
	dir   string
	lines []fileExchange
	sizes map[string]int64 // of the Objects, as the lines say
	log   int64            // of exchange.jsonl, bytes
}

// partialDir names the folder of a file that an account asks for.
func partialDir(root, account string, f *File) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s\n%d\n%d\n%d\n%t\n%s\n%d", account, f.Channel, f.Post, f.ID, f.Photo, f.Thumb, f.Size))
	return filepath.Join(root, hex.EncodeToString(sum[:16]))
}

// Partial is the name, in the folder that [CollectorOptions] names, of what has come of
// the file that a Task's options want, or "" if they want none.
func Partial(account string, options []byte) string {
	var o Wish
	if json.Unmarshal(options, &o) != nil || o.File == nil {
		return ""
	}
	return partialDir("", account, o.File)
}

// openPartial takes up what there is, and sweeps what nobody has asked for in a
// week.
func openPartial(root, dir string) (*partial, error) {
	p := &partial{dir: dir, sizes: map[string]int64{}}
	sweepPartials(root, time.Now().Add(-partialLife))
	if err := os.MkdirAll(p.dir, 0o700); err != nil {
		return nil, fmt.Errorf("take up file: %w", err)
	}
	return p, p.read()
}

func sweepPartials(root string, before time.Time) {
	all, err := os.ReadDir(root)
	if err != nil {
		return // it is not there yet
	}
	for _, e := range all {
		dir := filepath.Join(root, e.Name())
		st, err := os.Stat(filepath.Join(dir, nameExchanges))
		if err != nil {
			st, err = os.Stat(dir)
		}
		if err == nil && st.ModTime().Before(before) {
			os.RemoveAll(dir) // what stays is swept the next time
		}
	}
}

// read takes the lines whose bytes are there, and cuts off all else.
func (p *partial) read() error {
	f, err := os.Open(filepath.Join(p.dir, nameExchanges))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("take up file: %w", err)
	}
	defer f.Close()
	in := bufio.NewReader(io.LimitReader(f, maxExchanges))
	for {
		line, err := in.ReadBytes('\n')
		if err != nil {
			break // cut, or the end
		}
		var x fileExchange
		if canon.Unmarshal(bytes.TrimSuffix(line, []byte("\n")), &x) != nil || !p.holds(x) {
			break
		}
		p.took(x, len(line))
	}
	if err := os.Truncate(filepath.Join(p.dir, nameExchanges), p.log); err != nil {
		return fmt.Errorf("take up file: %w", err)
	}
	return nil
}

// holds says whether a line goes on where the last one ended, and its bytes are
// there.
func (p *partial) holds(x fileExchange) bool {
	if x.In == "" {
		return x.Error != nil || x.Answer != nil
	}
	if x.In != nameFile && x.In != nameHashes && x.In != nameAnswers || x.At != p.sizes[x.In] || x.Length < 0 || x.Length > partSize*8 || x.Bytes == nil {
		return false
	}
	b, err := p.bytes(x)
	return err == nil && hashing.Of(b) == *x.Bytes
}

// bytes reads what a line names; it has some megabytes at most.
func (p *partial) bytes(x fileExchange) ([]byte, error) {
	b := make([]byte, x.Length)
	if len(b) == 0 {
		return b, nil
	}
	f, err := os.Open(filepath.Join(p.dir, x.In))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	_, err = f.ReadAt(b, x.At)
	return b, err
}

func (p *partial) took(x fileExchange, line int) {
	p.lines = append(p.lines, x)
	p.sizes[x.In] += x.Length
	p.log += int64(line)
}

// add writes an answer's bytes, and then the line that names them.
func (p *partial) add(x fileExchange, b []byte) error {
	if x.In != "" {
		d := hashing.Of(b)
		x.At, x.Length, x.Bytes = p.sizes[x.In], int64(len(b)), &d
		if err := p.write(x.In, x.At, b); err != nil {
			return err
		}
	}
	line, err := canon.Append(nil, x)
	if err != nil {
		return fmt.Errorf("write exchange: %w", err)
	}
	line = append(line, '\n')
	if p.log+int64(len(line)) > maxExchanges {
		return fmt.Errorf("write exchange: more than %d bytes of them", maxExchanges)
	}
	if err := p.write(nameExchanges, p.log, line); err != nil {
		return err
	}
	p.took(x, len(line))
	return nil
}

func (p *partial) write(name string, at int64, b []byte) error {
	f, err := os.OpenFile(filepath.Join(p.dir, name), os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	_, err = f.WriteAt(b, at)
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	return nil
}

// open reads an Object as far as the lines say. Each part is held against its
// line's Digest: what another hand has changed meanwhile ends in an error.
func (p *partial) open(name string) (io.ReadCloser, error) {
	f, err := os.Open(filepath.Join(p.dir, name))
	if err != nil {
		return nil, err
	}
	return &partReader{p: p, f: f, in: name}, nil
}

// errChanged: the file's bytes are not those that came.
var errChanged = errors.New("the bytes of a file on its way were changed")

type partReader struct {
	p    *partial
	f    *os.File
	in   string
	next int    // line
	own  []byte // of one part
	b    []byte // what is left of it
}

// Read implements io.Reader.
func (r *partReader) Read(to []byte) (int, error) {
	for len(r.b) == 0 {
		for r.next < len(r.p.lines) && r.p.lines[r.next].In != r.in {
			r.next++
		}
		if r.next == len(r.p.lines) {
			return 0, io.EOF
		}
		x := r.p.lines[r.next]
		r.next++
		if int64(cap(r.own)) < x.Length {
			r.own = make([]byte, x.Length)
		}
		r.b = r.own[:x.Length]
		if _, err := r.f.ReadAt(r.b, x.At); err != nil && len(r.b) > 0 {
			return 0, fmt.Errorf("read %s: %w", r.in, err)
		}
		if hashing.Of(r.b) != *x.Bytes {
			return 0, fmt.Errorf("read %s: %w", r.in, errChanged)
		}
	}
	n := copy(to, r.b)
	r.b = r.b[n:]
	return n, nil
}

// Close implements io.Closer.
func (r *partReader) Close() error { return r.f.Close() }

func (p *partial) remove() { os.RemoveAll(p.dir) } // what stays is swept (cmd), or in a week
