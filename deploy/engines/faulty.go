package engines

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"
)

// Fault is what stands between a client and its server of objects.
type Fault string

// The faults. Those of answers concern reads, those of storage writes; the others both.
const (
	None       Fault = ""
	Refuse     Fault = "refuse"      // the connection is closed without an answer; the server heard nothing
	Slow       Fault = "slow"        // each request waits for Delay first
	Broken     Fault = "500"         // InternalError; the server heard nothing
	Writes500  Fault = "writes 500"  // as Broken, to writes alone: whoever only asks sees nothing
	Full       Fault = "full"        // a write: XMinioStorageFull, 507
	LostAnswer Fault = "lost answer" // a write is carried out and the connection closed instead of an answer
	WrongBytes Fault = "wrong bytes" // a read: one byte in the middle is another, with the same headers
	Cut        Fault = "cut"         // a read: the connection is closed after half of the bytes
)

// FaultyS3 passes requests on to a server, but for the fault that was set.
type FaultyS3 struct {
	S3 // of the server behind, with another Endpoint

	mu    sync.Mutex
	fault Fault
	every int
	delay time.Duration
	seen  int
	done  int
	next  step
}

// step is what happens at one request.
type step struct {
	left    int // of those that match, until then; 0 is never
	match   func(*http.Request) bool
	carried bool
	answer  bool // else who asked is told nothing
	do      func(*http.Request)
}

// Faulty puts itself before a server that talks plain HTTP (MinIO).
func Faulty(t testing.TB, s *S3) *FaultyS3 {
	t.Helper()
	f := &FaultyS3{S3: *s}
	behind, err := url.Parse(s.Endpoint)
	if err != nil {
		t.Fatal(err)
	}
	proxy := &httputil.ReverseProxy{
		// The client signed the name of the host that it asked, so that name stays.
		Rewrite:        func(r *httputil.ProxyRequest) { r.SetURL(behind); r.Out.Host = r.In.Host },
		Transport:      &http.Transport{DisableCompression: true, MaxIdleConnsPerHost: 64},
		ModifyResponse: f.spoil,
		ErrorHandler:   func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) },
	}
	front := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { f.serve(w, r, proxy) }))
	front.Config.ErrorLog = nil
	front.Start()
	t.Cleanup(func() { front.CloseClientConnections(); front.Close() })
	f.Endpoint = front.URL
	return f
}

// Set changes the fault: one of every so many requests that it concerns meets it (1: all).
func (f *FaultyS3) Set(fault Fault, every int) { f.SetSlow(fault, every, 0) }

// SetSlow is Set with the time that Slow waits.
func (f *FaultyS3) SetSlow(fault Fault, every int, delay time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fault, f.every, f.delay, f.seen, f.done = fault, max(1, every), delay, 0, 0
}

// AtWrite has do called at the n-th write from now on (1 is the next): once the server has
// carried it out and before it is answered, or, if carried is false, before the server
// hears of it. Only once: then it is forgotten.
func (f *FaultyS3) AtWrite(n int, carried bool, do func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.next = step{left: n, match: writes, carried: carried, do: func(*http.Request) { do() }}
}

func writes(r *http.Request) bool { return r.Method == http.MethodPut || r.Method == http.MethodPost }

// AtName has do called at the next write of a key that ends so, once the server has
// carried it out and before it is answered. The answer then goes to who asked, if he
// is there to read it. Only once, as AtWrite, whose place it takes.
func (f *FaultyS3) AtName(suffix string, do func(*http.Request)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.next = step{left: 1, match: func(r *http.Request) bool { return writes(r) && strings.HasSuffix(r.URL.Path, suffix) }, carried: true, answer: true, do: do}
}

// reached is the step that this request has come to.
func (f *FaultyS3) reached(r *http.Request) (s step) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.next.left == 0 || !f.next.match(r) {
		return s
	}
	if f.next.left--; f.next.left == 0 {
		s, f.next = f.next, step{}
	}
	return s
}

// Met is how many requests met the fault since it was set.
func (f *FaultyS3) Met() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.done
}

// meets says which fault this request meets, and counts it.
func (f *FaultyS3) meets(method string) (Fault, time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	read, write := method == http.MethodGet, method == http.MethodPut || method == http.MethodPost
	switch f.fault {
	case None:
		return None, 0
	case Writes500, Full, LostAnswer:
		if !write {
			return None, 0
		}
	case WrongBytes, Cut:
		if !read {
			return None, 0
		}
	}
	f.seen++
	if f.seen%f.every != 0 {
		return None, 0
	}
	f.done++
	return f.fault, f.delay
}

func (f *FaultyS3) serve(w http.ResponseWriter, r *http.Request, next http.Handler) {
	if s := f.reached(r); s.do != nil {
		switch {
		case s.answer: // it is short, so it leaves when this function is left
			next.ServeHTTP(w, r)
			s.do(r)
			return
		case s.carried:
			next.ServeHTTP(discard{http.Header{}}, r)
		}
		s.do(r)
		panic(http.ErrAbortHandler) // who asked is not there any more
	}
	fault, delay := f.meets(r.Method)
	switch fault {
	case Refuse:
		panic(http.ErrAbortHandler)
	case Broken, Writes500:
		refuse(w, r, http.StatusInternalServerError, "InternalError", "We encountered an internal error, please try again.")
		return
	case Full:
		refuse(w, r, http.StatusInsufficientStorage, "XMinioStorageFull", "Storage backend has reached its minimum free drive threshold. Please delete a few objects to proceed.")
		return
	case Slow:
		select {
		case <-time.After(delay):
		case <-r.Context().Done():
			return
		}
	case LostAnswer:
		next.ServeHTTP(discard{http.Header{}}, r)
		panic(http.ErrAbortHandler)
	case WrongBytes, Cut:
		r.Header.Set(marked, string(fault))
	}
	next.ServeHTTP(w, r)
}

// marked tells spoil, which sees the request again, what was decided; it is not signed.
const marked = "X-Test-Fault"

// spoil changes the answer to a read. Bodies of these tests fit into memory.
func (f *FaultyS3) spoil(resp *http.Response) error {
	fault := Fault(resp.Request.Header.Get(marked))
	if fault == None || resp.StatusCode/100 != 2 || resp.ContentLength == 0 {
		return nil
	}
	data, err := io.ReadAll(resp.Body)
	if err != nil || len(data) == 0 {
		return err
	}
	_ = resp.Body.Close()
	if fault == Cut {
		data = data[:len(data)/2] // Content-Length stays, so the connection cannot be used again
	} else {
		data[len(data)/2] ^= 1
	}
	resp.Body = io.NopCloser(bytes.NewReader(data))
	return nil
}

func refuse(w http.ResponseWriter, r *http.Request, status int, code, message string) {
	_, _ = io.Copy(io.Discard, r.Body)
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		fmt.Fprintf(w, `<?xml version="1.0" encoding="UTF-8"?><Error><Code>%s</Code><Message>%s</Message><Resource>/</Resource><RequestId>1</RequestId></Error>`, code, message)
	}
}

// discard is an answer that nobody gets.
type discard struct{ h http.Header }

func (d discard) Header() http.Header         { return d.h }
func (d discard) Write(p []byte) (int, error) { return len(p), nil }
func (d discard) WriteHeader(int)             {}
