package webbench

import (
	"compress/gzip"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"image"
	"image/color"
	"image/png"
	"io"
	"mime"
	"net/http"
	"os"
	"path"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// BigBytes is the size of what lies at /big.
const BigBytes = 50_000_000

// maxFile bounds what the site sends of a file.
const maxFile = 100 << 20

// Site is what is captured: articles, one large file and, below /files/, a folder of this
// machine. It counts what it was asked for, which is the truth that a capture is held
// against. Safe for concurrent use.
type Site struct {
	files *os.Root // nil: none
	asked atomic.Int64
	cut   atomic.Int64 // answers that the other side did not take whole
}

// NewSite serves the folder too, if one is named.
func NewSite(folder string) (*Site, error) {
	s := &Site{}
	if folder == "" {
		return s, nil
	}
	var err error
	if s.files, err = os.OpenRoot(folder); err != nil {
		return nil, fmt.Errorf("open folder of pages: %w", err)
	}
	return s, nil
}

// Counts is what the site knows of itself, at /counts.
type Counts struct {
	Asked int64 `json:"asked"`
	Cut   int64 `json:"cut"`
}

// ServeHTTP answers as a plain web server does: gzip for texts where it is taken, ETag,
// Last-Modified, no cookies.
func (s *Site) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/counts" {
		_ = json.NewEncoder(w).Encode(Counts{s.asked.Load(), s.cut.Load()})
		return
	}
	s.asked.Add(1)
	name, file := strings.CutPrefix(r.URL.Path, "/files/")
	var err error
	switch {
	case file && s.files != nil:
		err = s.file(w, r, name)
	case r.URL.Path == "/big":
		err = big(w, r.URL.Query().Get("mbit"))
	case r.URL.Path == "/style.css":
		err = send(w, r, "text/css", "body{font:16px serif;max-width:60em} img{display:block}")
	case strings.HasPrefix(r.URL.Path, "/img/"):
		w.Header().Set("Content-Type", "image/png")
		err = picture(w, path.Base(r.URL.Path))
	case strings.HasPrefix(r.URL.Path, "/article/"):
		err = send(w, r, "text/html; charset=utf-8", article())
	default:
		http.NotFound(w, r)
	}
	if err != nil {
		s.cut.Add(1)
	}
}

// article has a style sheet and twelve pictures, which come when they are scrolled to.
func article() string {
	var b strings.Builder
	b.WriteString("<!doctype html><html lang=en><title>An article</title><link rel=icon href=data:,><link rel=stylesheet href=/style.css>")
	for i := range 12 {
		fmt.Fprintf(&b, "<h2>Part %d</h2><p>%s<img loading=lazy width=320 height=200 src=/img/%d.png>", i, strings.Repeat("Words of an article. ", 40), i)
	}
	return b.String()
}

// picture is another one for each name.
func picture(w io.Writer, name string) error {
	seed := crc32.ChecksumIEEE([]byte(name))
	m := image.NewRGBA(image.Rect(0, 0, 320, 200))
	for y := range 200 {
		for x := range 320 {
			m.SetRGBA(x, y, color.RGBA{uint8(x) ^ uint8(seed), uint8(y) ^ uint8(seed>>8), uint8(x*y>>8) ^ uint8(seed>>16), 255})
		}
	}
	return (&png.Encoder{CompressionLevel: png.BestSpeed}).Encode(w, m)
}

// big is what no compression makes smaller, and no browser shows; mbit, if said, is the
// speed of the line.
func big(w http.ResponseWriter, mbit string) error {
	speed, _ := strconv.Atoi(mbit)
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Content-Length", fmt.Sprint(BigBytes))
	block := make([]byte, 250_000)
	for i, x := 0, uint32(1); i < len(block); i++ {
		x ^= x << 13
		x ^= x >> 17
		x ^= x << 5
		block[i] = byte(x)
	}
	begun := time.Now()
	for sent := 0; sent < BigBytes; sent += len(block) {
		if _, err := w.Write(block); err != nil {
			return err
		}
		if speed > 0 {
			time.Sleep(time.Until(begun.Add(time.Duration(float64(sent) * 8000 / float64(speed)))))
		}
	}
	return nil
}

func (s *Site) file(w http.ResponseWriter, r *http.Request, name string) error {
	f, err := s.files.Open(path.Clean(name))
	if err != nil {
		http.NotFound(w, r)
		return nil
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil || !st.Mode().IsRegular() || st.Size() > maxFile {
		http.NotFound(w, r)
		return nil
	}
	kind := mime.TypeByExtension(path.Ext(name))
	if kind == "" {
		kind = "application/octet-stream"
	}
	w.Header().Set("Last-Modified", st.ModTime().UTC().Format(http.TimeFormat))
	if text(kind) {
		b, err := io.ReadAll(io.LimitReader(f, maxFile))
		if err != nil {
			return err
		}
		return send(w, r, kind, string(b))
	}
	w.Header().Set("Content-Type", kind)
	w.Header().Set("Content-Length", fmt.Sprint(st.Size()))
	_, err = io.Copy(w, f)
	return err
}

func text(kind string) bool {
	return strings.HasPrefix(kind, "text/") || strings.Contains(kind, "javascript") || strings.Contains(kind, "json") || strings.Contains(kind, "svg")
}

// send gives a text, packed where that is taken.
func send(w http.ResponseWriter, r *http.Request, kind, body string) error {
	w.Header().Set("Content-Type", kind)
	if !strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
		_, err := io.WriteString(w, body)
		return err
	}
	w.Header().Set("Content-Encoding", "gzip")
	z := gzip.NewWriter(w)
	if _, err := io.WriteString(z, body); err != nil {
		return err
	}
	return z.Close()
}
