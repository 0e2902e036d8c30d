package web

import (
	"bufio"
	"compress/flate"
	"compress/zlib"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/http/httputil"
	"os"
	"path/filepath"
	"strings"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"holdfast/collectors"
	"holdfast/warc"
)

// maxType is the longest media type there is: two names of 127 (RFC 6838, 4.2).
const maxType = 127 + 1 + 127

// bareType is a media type without parameters, "" if it is none: the parser takes
// a bare word too, which no Manifest does.
func bareType(contentType string) string {
	t, _, err := mime.ParseMediaType(contentType)
	if err != nil && !errors.Is(err, mime.ErrInvalidMediaParameter) || !strings.Contains(t, "/") || len(t) > maxType {
		return ""
	}
	return t
}

// sourceName gives the main document's body a plain name by its media type.
func sourceName(mediaType string) string {
	for _, k := range []struct{ prefix, name string }{
		{"text/html", "source.html"}, {"application/xhtml", "source.html"}, {"application/pdf", "source.pdf"},
		{"application/json", "source.json"}, {"text/", "source.txt"}, {"image/png", "source.png"}, {"image/jpeg", "source.jpg"},
		{"image/gif", "source.gif"}, {"image/webp", "source.webp"}, {"video/mp4", "source.mp4"}, {"application/zip", "source.zip"},
	} {
		if strings.HasPrefix(mediaType, k.prefix) {
			return k.name
		}
	}
	return "source.bin"
}

// source writes the body of the main document without transfer and content
// coding, at most limit bytes. The bytes with their codings are in the archive.
// A body that does not decode is given as far as it goes, and the reason told.
func (x *exchange) source(dir string, limit int64) (file, *collectors.Reason, error) {
	in, err := x.response.open()
	if err != nil {
		return file{}, nil, err
	}
	defer in.Close()
	body, coding, err := x.decoded(in)
	if err != nil {
		return file{}, &collectors.Reason{Code: "source-undecoded", Detail: clean(err.Error())}, nil
	}
	kind, body := x.sniff(body)
	f := file{name: sourceName(kind), role: "source", mediaType: kind}
	f.path = filepath.Join(dir, f.name)
	out, err := os.Create(f.path)
	if err != nil {
		return file{}, nil, fmt.Errorf("write %s: %w", f.name, err)
	}
	w := &diskWriter{w: out}
	n, err := io.Copy(w, io.LimitReader(body, limit+1))
	if w.err = errors.Join(w.err, out.Close()); w.err != nil {
		return file{}, nil, fmt.Errorf("write %s: %w", f.name, w.err)
	}
	f.derived = &collectors.Transformation{Action: "content-decoding", Inputs: []string{"page.wacz"},
		Detail: fmt.Sprintf("body of record %s; removed: %s", x.id, coding)}
	switch {
	case err != nil:
		return f, &collectors.Reason{Code: "source-undecoded", Detail: clean(fmt.Sprintf("after %d bytes: %v", n, err))}, nil
	case n > limit:
		return f, &collectors.Reason{Code: "source-cut", Detail: fmt.Sprintf("after %d bytes", n)}, nil
	}
	return f, nil, nil
}

// decoded reads the payload of the answer and names the codings that it undid.
func (x *exchange) decoded(in io.Reader) (io.Reader, string, error) {
	body, removed, err := x.payload(in)
	if err != nil {
		return nil, "", err
	}
	return uncoded(body, x.fields.List("Content-Encoding"), removed)
}

// payload reads the body of the answer without its transfer coding.
func (x *exchange) payload(in io.Reader) (body io.Reader, removed string, err error) {
	r := bufio.NewReaderSize(in, 64<<10)
	if _, err := warc.ReadHead(r, maxHead); err != nil && !errors.Is(err, warc.ErrFormat) {
		return nil, "", err
	}
	if x.chunked {
		return httputil.NewChunkedReader(r), "chunked transfer coding", nil
	}
	return r, "nothing", nil
}

// uncoded undoes content codings and adds their names to what was removed.
func uncoded(body io.Reader, list, removed string) (io.Reader, string, error) {
	codings := strings.Split(list, ",")
	if len(codings) > 4 {
		return nil, "", fmt.Errorf("%d content codings: %w", len(codings), warc.ErrLimit)
	}
	for i := len(codings) - 1; i >= 0; i-- {
		name := strings.ToLower(strings.TrimSpace(codings[i]))
		if name == "" || name == "identity" {
			continue
		}
		var err error
		if body, err = decode(name, body); err != nil {
			return nil, "", err
		}
		removed = strings.TrimPrefix(removed+", "+name, "nothing, ")
	}
	return body, removed, nil
}

func decode(name string, r io.Reader) (io.Reader, error) {
	switch name {
	case "gzip", "x-gzip":
		return gzip.NewReader(r)
	case "br":
		return brotli.NewReader(r), nil
	case "zstd":
		return zstd.NewReader(r, zstd.WithDecoderMaxMemory(64<<20), zstd.WithDecoderMaxWindow(32<<20), zstd.WithDecoderConcurrency(1))
	case "deflate": // zlib by the book, bare by habit
		br := bufio.NewReader(r)
		if b, err := br.Peek(2); err == nil && b[0]&0x0f == 8 && (int(b[0])<<8|int(b[1]))%31 == 0 {
			return zlib.NewReader(br)
		}
		return flate.NewReader(br), nil
	}
	return nil, fmt.Errorf("content coding %.40q is not known", name)
}

// sniff takes the declared type, or looks at the first bytes if there is none.
func (x *exchange) sniff(body io.Reader) (string, io.Reader) {
	if t := x.mime(); t != "" {
		return t, body
	}
	r := bufio.NewReaderSize(body, 64<<10)
	begin, _ := r.Peek(512)
	return bareType(http.DetectContentType(begin)), r
}

// diskWriter tells an error of our disk from one of the stream that is read.
type diskWriter struct {
	w   io.Writer
	err error
}

func (d *diskWriter) Write(p []byte) (int, error) {
	n, err := d.w.Write(p)
	if err != nil {
		d.err = err
	}
	return n, err
}
