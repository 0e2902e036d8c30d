package web

import (
	"bytes"
	"context"
	"image"
	"image/png"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/go-rod/rod/lib/proto"
)

// openProxy is the way out of a replay's browser: it carries what is plain HTTP, and
// notes every host that was asked for.
func openProxy(t *testing.T, seen map[string]bool) string {
	var mu sync.Mutex
	p := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		seen[r.Host] = true
		mu.Unlock()
		if r.Method == http.MethodConnect {
			http.Error(w, "no", http.StatusForbidden)
			return
		}
		out := r.Clone(r.Context())
		out.RequestURI = ""
		res, err := http.DefaultTransport.RoundTrip(out)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		defer res.Body.Close()
		for k, v := range res.Header {
			w.Header()[k] = v
		}
		w.WriteHeader(res.StatusCode)
		_, _ = io.Copy(w, res.Body)
	}))
	t.Cleanup(p.Close)
	return p.URL
}

// steady opens an address in a window of this size, and gives the picture once it has been
// the same for two seconds, and is of more than one colour. A player that shows nothing for
// twenty seconds is opened anew: its worker sometimes does not begin.
func steady(ctx context.Context, t *testing.T, tb *tab, address string, size image.Rectangle) image.Image {
	t.Helper()
	s := tb.session.with(ctx)
	if err := (proto.EmulationSetDeviceMetricsOverride{Width: size.Dx(), Height: size.Dy(), DeviceScaleFactor: 1}).Call(s); err != nil {
		t.Fatal(err)
	}
	if _, err := (proto.PageNavigate{URL: address}).Call(s); err != nil {
		t.Fatal(err)
	}
	var last []byte
	var m image.Image
	since, opened := time.Now(), time.Now()
	for ctx.Err() == nil {
		if time.Since(opened) > 20*time.Second && plain(m) {
			t.Log("nothing was shown for 20 seconds: opened anew")
			opened = time.Now()
			if _, err := (proto.PageNavigate{URL: address}).Call(s); err != nil {
				t.Fatal(err)
			}
		}
		r, err := proto.PageCaptureScreenshot{Format: proto.PageCaptureScreenshotFormatPng}.Call(s)
		if err != nil { // the page is about to change
			time.Sleep(200 * time.Millisecond)
			continue
		}
		if !bytes.Equal(r.Data, last) {
			last, since = r.Data, time.Now()
			if m, err = png.Decode(bytes.NewReader(last)); err != nil {
				t.Fatal(err)
			}
		}
		if time.Since(since) > 2*time.Second && !plain(m) {
			return m
		}
		time.Sleep(200 * time.Millisecond)
	}
	t.Fatalf("the replay shows nothing that stays: %v", context.Cause(ctx))
	return nil
}

// plain reports whether a picture is of few colours, as a page that loads.
func plain(m image.Image) bool {
	if m == nil {
		return true
	}
	seen := map[[3]uint32]bool{}
	b := m.Bounds()
	for y := b.Min.Y; y < b.Max.Y; y += 5 {
		for x := b.Min.X; x < b.Max.X; x += 5 {
			r, g, bl, _ := m.At(x, y).RGBA()
			seen[[3]uint32{r, g, bl}] = true
		}
	}
	return len(seen) < 50
}
