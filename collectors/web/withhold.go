package web

import (
	"bufio"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync/atomic"

	"holdfast/collectors"
	"holdfast/warc"
)

// codeNeverKeep: bytes are on a list of those that must never be kept.
const codeNeverKeep = "never-keep"

// maxUnpacked bounds what is unpacked of one body to compare it: above it
// nothing that a list knows is expected, and a page must not buy hours of work
// with a few kilobytes.
const maxUnpacked = 1 << 30

// maxUnpackedAll bounds the same for all bodies of one capture. What comes after
// it was reached is compared as sent only, and that is told.
const maxUnpackedAll = 4 << 30

// withheld is what the record keeps instead of a body.
type withheld struct {
	Of     string `json:"of"`     // "answer", "request", or "aside": what the site sent outside of its answer
	As     string `json:"as"`     // "sent" or "decoded"
	Digest string `json:"digest"` // as on the list
	List   string `json:"list"`   // digest of the list's own bytes
	Size   int64  `json:"size"`   // of the body as sent

	Also *withheld `json:"also,omitempty"` // what else was taken out
}

// withhold compares the bodies of an exchange that is over with the lists, while
// nobody but the spool has them, and takes out those that are known. A crash
// before leaves them in the spool's folder, which names nothing and is removed
// by the next start; nothing of it was accepted. held says that the exchange waits
// for the other parts of what it is a part of.
func (p *proxy) withhold(x *exchange) (held bool, err error) {
	if len(p.lists) == 0 {
		return false, nil
	}
	before := x.fault // what is taken out sets another
	// All are looked at: what echoes an upload sends the same bytes back.
	if err := errors.Join(p.withholdRequest(x), p.withholdAsides(x)); err != nil {
		return false, err
	}
	s := x.response
	if s == nil || s.body == 0 || !x.answered() {
		return false, nil
	}
	if digest, list := s.known.Match(); digest != "" {
		return false, p.takeAnswer(x, "sent", digest, list)
	}
	switch {
	case x.upgraded:
		return false, p.withholdMessages(x, s, "answer")
	case before != nil && before.code == "bad-answer":
		x.unchecked = errors.New("nobody can say where its body begins and ends")
		return false, nil
	case x.status == http.StatusPartialContent, before != nil && !x.endless(): // a part, or cut
		return true, nil
	case x.fields.List("Content-Encoding") == "" && !inlines(x.mime()):
		return false, nil
	}
	return false, p.withholdDecoded(x)
}

func (p *proxy) withholdRequest(x *exchange) error {
	s := x.request
	if s == nil || s.body == 0 {
		return nil
	}
	if digest, list := s.known.Match(); digest != "" {
		return x.takeOut(s, withheld{Of: "request", As: "sent", Digest: digest, List: list})
	}
	if x.upgraded {
		return p.withholdMessages(x, s, "request")
	}
	return p.withholdInlined(x)
}

func (p *proxy) withholdAsides(x *exchange) error {
	for _, a := range x.asides {
		digest, list := a.known.Match()
		if digest == "" {
			var err error
			if digest, list, err = a.behindHead(p.lists); err != nil {
				return err
			}
		}
		if digest == "" {
			continue
		}
		if err := x.takeOut(a.spool, withheld{Of: "aside", As: "sent", Digest: digest, List: list}); err != nil {
			return err
		}
	}
	return nil
}

// withholdDecoded compares an answer without its codings, and what text inlines in
// it.
func (p *proxy) withholdDecoded(x *exchange) error {
	known, text := collectors.WatchAll(p.lists), &inlined{lists: p.lists}
	var to []io.Writer
	coded := x.fields.List("Content-Encoding") != ""
	if coded {
		to = append(to, known)
	}
	if inlines(x.mime()) {
		to = append(to, text)
	}
	err := p.unpackAnswer(x, io.MultiWriter(to...))
	if !coded && x.endless() && errors.Is(err, io.ErrUnexpectedEOF) {
		err = nil // a stream ends anywhere; what came of it was looked at
	}
	if err != nil {
		x.unchecked = errors.Join(x.unchecked, fmt.Errorf("the answer: %w", err))
	}
	if digest, list := known.Match(); err == nil && digest != "" {
		return p.takeAnswer(x, "decoded", digest, list)
	}
	if text.end(); text.err != nil {
		x.unchecked = errors.Join(x.unchecked, text.err)
	}
	if text.digest != "" {
		return p.takeAnswer(x, "inlined", text.digest, text.list)
	}
	return nil
}

// behindHead compares what stands behind a head, or what looks like one: an answer
// that nobody asked for, or one that is none to HTTP.
func (a *aside) behindHead(lists []*collectors.KnownList) (digest, list string, err error) {
	in, err := a.open()
	if err != nil {
		return "", "", err
	}
	defer in.Close()
	r := bufio.NewReader(in)
	if _, err := warc.ReadHead(r, maxHead); err != nil && !errors.Is(err, warc.ErrFormat) {
		return "", "", nil
	}
	known := collectors.WatchAll(lists)
	if _, err := io.Copy(known, r); err != nil {
		return "", "", fmt.Errorf("spool: %w", err)
	}
	digest, list = known.Match()
	return digest, list, nil
}

// takeAnswer takes out an answer that is on a list; so are its parts that came
// with others.
func (p *proxy) takeAnswer(x *exchange, as, digest, list string) error {
	w := withheld{Of: "answer", As: as, Digest: digest, List: list}
	p.parts.found(x.url, w)
	return x.takeOut(x.response, w)
}

var (
	errLarge    = fmt.Errorf("it is more than %d bytes when unpacked", maxUnpacked)
	errLargeAll = fmt.Errorf("more than %d bytes of this capture were unpacked", maxUnpackedAll)
)

// allowance passes on what a capture may still unpack. One that was overrun stays
// so.
type allowance struct {
	w    io.Writer
	used *atomic.Int64
}

func (a *allowance) Write(b []byte) (int, error) {
	if a.used.Add(int64(len(b))) > maxUnpackedAll {
		return 0, errLargeAll
	}
	return a.w.Write(b)
}

// unpackAnswer writes the body without its codings to w.
func (p *proxy) unpackAnswer(x *exchange, w io.Writer) error {
	in, err := x.response.open()
	if err != nil {
		return err
	}
	defer in.Close()
	body, _, err := x.decoded(in)
	if err != nil {
		return err
	}
	return p.unpack(w, body)
}

func (p *proxy) unpack(w io.Writer, body io.Reader) error {
	n, err := io.Copy(&allowance{w, &p.unpacked}, io.LimitReader(body, maxUnpacked+1))
	if err == nil && n > maxUnpacked {
		return errLarge
	}
	return err
}

// takeOut removes a body from its spool and says so in the exchange.
func (x *exchange) takeOut(s *spool, w withheld) error {
	w.Size = s.body
	if err := s.erase(); err != nil {
		return err
	}
	w.Also = x.withheld
	x.withheld = &w
	if w.Of == "answer" {
		x.cut = warc.TruncatedUnspecified
	}
	x.fault = &fault{code: codeNeverKeep, blocked: true,
		err: fmt.Errorf("the %s as %s, %s, is on list %s: not kept", w.Of, w.As, w.Digest, w.List)}
	return nil
}

// erase overwrites everything behind the head and cuts the file there. What a
// disk keeps of overwritten blocks is beyond us: use an encrypted one.
func (s *spool) erase() error {
	f, err := os.OpenFile(s.file.Name(), os.O_RDWR, 0)
	if err != nil {
		return fmt.Errorf("spool: %w", err)
	}
	err = errors.Join(overwrite(f, s.head, s.size), f.Truncate(s.head))
	s.size, s.body, s.hasBody = s.head, 0, false
	s.payload, s.block = sha256.New(), sha256.New()
	if _, rerr := f.Seek(0, io.SeekStart); rerr == nil {
		_, rerr = io.Copy(s.block, bufio.NewReader(f))
		err = errors.Join(err, rerr)
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("spool: %w", err)
	}
	return nil
}

func overwrite(f *os.File, from, to int64) error {
	zeros := make([]byte, 64<<10)
	for at := from; at < to; {
		n, err := f.WriteAt(zeros[:min(int64(len(zeros)), to-at)], at)
		if err != nil {
			return err
		}
		at += int64(n)
	}
	return f.Sync()
}

// worded reports whether an answer that was taken out can be in a page's text: it
// was no picture, sound or font. What else is shown as text may be there whole.
func (x *exchange) worded() bool {
	kind, _, _ := strings.Cut(x.mime(), "/")
	return x.withheld.from(warc.Response) && !slices.Contains([]string{"image", "audio", "video", "font"}, kind)
}

// dropViews removes what was made of a page that showed such bytes: pictures,
// and what may hold them whole. Text and title stay if they cannot.
func (x *capture) dropViews() error {
	var errs []error
	textStays := !x.rec.worded
	if !textStays {
		x.view.title = ""
	}
	x.view.files = slices.DeleteFunc(x.view.files, func(f file) bool {
		if f.role == "text" && textStays {
			return false
		}
		out, err := os.OpenFile(f.path, os.O_RDWR, 0)
		if err == nil {
			var size int64
			size, err = out.Seek(0, io.SeekEnd)
			err = errors.Join(err, overwrite(out, 0, size), out.Close(), os.Remove(f.path))
		}
		errs = append(errs, err)
		return true
	})
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("remove views: %w", err)
	}
	return nil
}

// from reports whether a body is missing from the WARC record of this kind.
func (w *withheld) from(kind string) bool {
	if w == nil {
		return false
	}
	return w.Of == "request" && kind == warc.Request || w.Of == "answer" && kind == warc.Response || w.Also.from(kind)
}
