package main

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// members is a part of a site of a script: in a folder with a file .cookie what is there is
// shown to who has that cookie, and everybody else sees a page that looks well; that he was
// there stands in the file asked-without. What a folder's file .later says, "STATUS SECONDS
// TIMES", is answered so often, with Retry-After; when anybody was there stands in the
// file asked-at, in ms.
type members struct {
	dir  string // of the script
	next http.Handler

	mu   sync.Mutex
	said map[string]int
}

func (m *members) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	folder := filepath.Join(m.dir, "site", filepath.FromSlash(filepath.Dir(filepath.Clean("/"+r.URL.Path+"x"))))
	if want, err := os.ReadFile(filepath.Join(folder, ".cookie")); err == nil {
		if !strings.Contains("; "+r.Header.Get("Cookie")+";", "; "+strings.TrimSpace(string(want))+";") {
			m.note("asked-without", r.URL.Path)
			w.Header().Set("Content-Type", "text/html")
			fmt.Fprint(w, "<!doctype html><html><body><main><h1>The harbour</h1><p>Words for everybody.</p></main></body></html>")
			return
		}
	}
	if b, err := os.ReadFile(filepath.Join(folder, ".later")); err == nil && !strings.HasSuffix(r.URL.Path, ".ico") {
		m.note("asked-at", fmt.Sprint(time.Now().UnixMilli()))
		var status, seconds, times int
		if _, err := fmt.Sscan(string(b), &status, &seconds, &times); err == nil && m.count(folder) <= times {
			w.Header().Set("Retry-After", fmt.Sprint(seconds))
			http.Error(w, "We are at it.", status)
			return
		}
	}
	m.next.ServeHTTP(w, r)
}

func (m *members) count(folder string) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.said == nil {
		m.said = map[string]int{}
	}
	m.said[folder]++
	return m.said[folder]
}

func (m *members) note(name, line string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	f, err := os.OpenFile(filepath.Join(m.dir, name), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return // the script looks for the file
	}
	defer f.Close()
	fmt.Fprintln(f, line)
}
