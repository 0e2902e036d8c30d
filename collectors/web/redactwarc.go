package web

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http/httputil"
	"os"
	"path/filepath"
	"strings"
	"time"

	"holdfast/warc"
)

// labelRedacted stands on a record of the copy that is not as the wire carried it.
const labelRedacted = "redacted: what gives access to a session is overwritten or left out"

// archive makes the copy of the WACZ in which no record has a secret. The whole one is
// always restricted: what answers set, and the frames of HTTP/2, are in it.
func (r *redaction) archive(f file, main *exchange) ([]file, error) {
	in, err := os.Open(r.x.rec.answers.path)
	if err != nil {
		return nil, fmt.Errorf("redact %s: %w", f.name, err)
	}
	defer in.Close()
	out, err := newWarc(r.x.dir, "shown.warc.gz", "answers of one capture with a session; what gives access to it is withheld", r.x.started)
	if err != nil {
		return nil, err
	}
	defer out.file.Close()
	spans, places, err := r.records(in, &out)
	if err != nil {
		return nil, fmt.Errorf("redact %s: %w", f.name, err)
	}
	if err := out.file.Close(); err != nil {
		return nil, fmt.Errorf("redact %s: %w", f.name, err)
	}
	index := make([]warc.Capture, 0, len(r.x.rec.index))
	for _, c := range r.x.rec.index {
		s, ok := spans[c.Span.Offset]
		if !ok {
			continue
		}
		c.Span, c.Digest, c.URL = s.span, s.digest, r.set.Text(c.URL)
		index = append(index, c)
	}
	shown := f
	shown.path, shown.slices = filepath.Join(r.x.dir, "shown-"+f.name), nil
	shown.derived = redacted(f.name, places)
	if err := r.x.pack(&shown, &out, index, r.set.Text, main); err != nil {
		return nil, err
	}
	return r.instead(f, shown, places), nil
}

type copied struct {
	span   warc.Span
	digest string
}

// records copies them; it says where each response went, by where it was, and how many
// places were overwritten.
func (r *redaction) records(in io.Reader, out *warcFile) (map[int64]copied, int, error) {
	spans, places := map[int64]copied{}, 0
	for read := warc.NewReader(in, warc.Limits{}); ; {
		e, err := read.Next()
		if errors.Is(err, io.EOF) {
			return spans, places, nil
		}
		if err != nil {
			return nil, 0, err
		}
		if e.Type == warc.Warcinfo {
			continue // the copy has its own
		}
		rec, note, err := r.record(e)
		if err != nil {
			return nil, 0, err
		}
		if note != nil {
			places += note.Places
			if len(r.list.Records) < maxNoted {
				r.list.Records = append(r.list.Records, *note)
			} else {
				r.list.Cut = true
			}
		}
		if rec == nil {
			continue
		}
		s, err := out.w.Write(*rec)
		if err != nil {
			return nil, 0, err
		}
		spans[e.Offset] = copied{s, rec.PayloadDigest}
	}
}

// record gives what stands in the place of e, nil where nothing can, and what is to be
// told of it, nil where it is as it was.
func (r *redaction) record(e *warc.Entry) (*warc.Record, *withheldRecord, error) {
	block, err := io.ReadAll(io.LimitReader(e.Block, maxSearched+1))
	if err != nil {
		return nil, nil, err
	}
	uri := e.Fields.Get("WARC-Target-URI")
	note := &withheldRecord{ID: e.Fields.Get("WARC-Record-ID"), URL: clean(r.set.Text(uri)), What: "redacted"}
	rec := r.like(e)
	switch {
	case strings.HasPrefix(uri, "urn:holdfast:h2:"): // heads in a coding of their own
		note.What = "frames"
		return nil, note, nil
	case len(block) > maxSearched:
		note.What = "body"
		return nil, note, nil
	case e.Type == warc.Response:
		block, note.Places, note.What = r.answer(block)
	default:
		note.Places = r.set.Overwrite(block)
	}
	if note.Places == 0 && note.What == "redacted" {
		note = nil
	} else {
		rec.Label = labelRedacted
		rec.PayloadDigest = ""
	}
	if note != nil && note.What == "body" {
		rec.Truncated = warc.TruncatedUnspecified
	}
	rec.Block, rec.Length, rec.BlockDigest = bytes.NewReader(block), int64(len(block)), warc.Digest(block)
	return rec, note, nil
}

// like has the fields of e.
func (r *redaction) like(e *warc.Entry) *warc.Record {
	date, _ := time.Parse(time.RFC3339Nano, e.Fields.Get("WARC-Date")) // our own writer's
	rec := &warc.Record{Type: e.Type, ID: e.Fields.Get("WARC-Record-ID"), Date: date, TargetURI: r.set.Text(e.Fields.Get("WARC-Target-URI")),
		ContentType: e.Fields.Get("Content-Type"), PayloadDigest: e.Fields.Get("WARC-Payload-Digest"), RefersTo: e.Fields.Get("WARC-Refers-To"),
		IP: e.Fields.Get("WARC-IP-Address"), Cipher: e.Fields.Get("WARC-Cipher-Suite"), Truncated: e.Fields.Get("WARC-Truncated"), Label: e.Fields.Get("Holdfast-Label"), AskedBy: e.Fields.Get("Holdfast-Asked-By")}
	for _, f := range e.Fields {
		switch {
		case strings.EqualFold(f.Name, "WARC-Concurrent-To"):
			rec.ConcurrentTo = append(rec.ConcurrentTo, f.Value)
		case strings.EqualFold(f.Name, "WARC-Protocol"):
			rec.Protocols = append(rec.Protocols, f.Value)
		}
	}
	return rec
}

// answer overwrites in an HTTP answer what gives access: the values of Set-Cookie, and
// every secret in head and body. A body with codings is written without them where it
// has any; one that cannot be undone is left out.
func (r *redaction) answer(block []byte) (out []byte, places int, what string) {
	br := bufio.NewReader(bytes.NewReader(block))
	head, err := warc.ReadHead(br, maxHead)
	if err != nil && !errors.Is(err, warc.ErrFormat) {
		n := r.set.Overwrite(block)
		return block, n, "redacted"
	}
	raw, _ := io.ReadAll(br) // of bytes at hand
	shown := bytes.Clone(head.Raw)
	places = hideCookies(shown) + r.set.Overwrite(shown)
	if status, err := head.Status(); err == nil && status == 101 && len(raw) > 0 {
		return shown, places, "body" // frames may be compressed
	}
	coded := head.Fields.Has("Transfer-Encoding", "chunked") || head.Fields.List("Content-Encoding") != ""
	if !coded {
		places += r.set.Overwrite(raw)
		return append(shown, raw...), places, "redacted"
	}
	body, err := undone(head, raw)
	switch {
	case err != nil:
		return shown, places, "body"
	case r.set.In(body):
		places += r.set.Overwrite(body)
		return append(plainHead(shown, len(body)), body...), places, "redacted"
	}
	return append(shown, raw...), places, "redacted"
}

// undone is the body without its codings; an error is one that does not come to its end.
func undone(head warc.Head, raw []byte) ([]byte, error) {
	var body io.Reader = bytes.NewReader(raw)
	if head.Fields.Has("Transfer-Encoding", "chunked") {
		body = httputil.NewChunkedReader(body)
	}
	body, _, err := uncoded(body, head.Fields.List("Content-Encoding"), "")
	if err != nil {
		return nil, err
	}
	b, err := io.ReadAll(io.LimitReader(body, maxSearched+1))
	if err == nil && len(b) > maxSearched {
		err = errOver
	}
	return b, err
}

// hideCookies overwrites the value of each Set-Cookie, whatever it is.
func hideCookies(head []byte) (n int) {
	const name = "set-cookie:"
	for at := 0; at < len(head); {
		end := bytes.IndexByte(head[at:], '\n')
		if end < 0 {
			end = len(head) - at
		}
		l := head[at : at+end]
		if len(l) > len(name) && strings.EqualFold(string(l[:len(name)]), name) {
			value := l[len(name):]
			if i := bytes.IndexByte(value, '='); i >= 0 {
				value = value[i+1:]
				for i, c := range value {
					if c == ';' || c == '\r' {
						break
					}
					value[i] = '*'
				}
				n++
			}
		}
		at += end + 1
	}
	return n
}

// plainHead says of a body that it has no codings, and how long it is.
func plainHead(head []byte, size int) []byte {
	var out []byte
	for l := range bytes.Lines(head) {
		name, _, _ := bytes.Cut(l, []byte(":"))
		switch strings.ToLower(string(bytes.TrimSpace(name))) {
		case "transfer-encoding", "content-encoding", "content-length":
			continue
		}
		if len(bytes.TrimSpace(l)) == 0 {
			out = fmt.Appendf(out, "Content-Length: %d\r\n", size)
		}
		out = append(out, l...)
	}
	return out
}
