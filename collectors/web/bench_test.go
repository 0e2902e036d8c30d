package web

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"holdfast/collectors"
)

func article() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/style.css":
			w.Header().Set("Content-Type", "text/css")
			io.WriteString(w, "body{font:16px serif;max-width:60em} img{display:block}")
		case strings.HasPrefix(r.URL.Path, "/img/"):
			w.Header().Set("Content-Type", "image/png")
			w.Write(picture(len(r.URL.Path)))
		default:
			w.Header().Set("Content-Type", "text/html")
			fmt.Fprint(w, "<!doctype html><title>An article</title><link rel=stylesheet href=/style.css>")
			for i := range 12 {
				fmt.Fprintf(w, "<h2>Part %d</h2><p>%s<img loading=lazy src=/img/%d.png>", i, strings.Repeat("Words of an article. ", 40), i)
			}
		}
	})
}

// BenchmarkArticle captures an article page with style sheet and twelve
// pictures, two at once: pages/min, and the resident memory of this process.
func BenchmarkArticle(b *testing.B) {
	s := serve(b, article(), nil)
	pages(b, []string{"http://" + s.addr + "/"})
}

// BenchmarkPages captures the addresses in HOLDFAST_PAGES, two at once.
func BenchmarkPages(b *testing.B) {
	list := strings.Fields(os.Getenv("HOLDFAST_PAGES"))
	if len(list) == 0 {
		b.Skip("set HOLDFAST_PAGES to addresses, separated by spaces")
	}
	pages(b, list)
}

func pages(b *testing.B, list []string) {
	c := newCollector(b, Options{})
	if _, err := c.Warm(context.Background()); err != nil {
		b.Fatal(err)
	}
	next := make(chan string)
	var wg sync.WaitGroup
	b.ResetTimer()
	for range 2 {
		wg.Go(func() {
			for u := range next {
				begin := time.Now()
				a, err := c.Collect(context.Background(), collectors.Request{Source: u, AllowPrivate: true}, &discard{})
				if err != nil {
					b.Error(err)
					continue
				}
				if testing.Verbose() {
					fmt.Printf("%6.2fs %s %v %d requests, %d missing: %s\n", time.Since(begin).Seconds(), a.Outcome, a.Reasons, a.Completeness.Requests, len(a.Completeness.Missing), u)
				}
			}
		})
	}
	for i := range b.N {
		next <- list[i%len(list)]
	}
	close(next)
	wg.Wait()
	b.ReportMetric(60*float64(b.N)/b.Elapsed().Seconds(), "pages/min")
	b.ReportMetric(resident(), "peakMB")
	b.ReportMetric(processor(c.browser.cmd.Process.Pid)/float64(b.N), "cpu-s/page")
}

// processor is what the process group of the browser has used in CPU seconds,
// helpers that ended included. A tick is 10 ms on Linux.
func processor(group int) (sum float64) {
	dirs, _ := os.ReadDir("/proc")
	for _, d := range dirs {
		stat, err := os.ReadFile("/proc/" + d.Name() + "/stat")
		_, rest, ok := strings.Cut(string(stat), ") ")
		f := strings.Fields(rest)
		if err != nil || !ok || len(f) < 15 || f[2] != fmt.Sprint(group) {
			continue
		}
		for _, ticks := range f[11:15] {
			n, _ := strconv.ParseFloat(ticks, 64)
			sum += n / 100
		}
	}
	return sum
}

// resident is the peak resident memory of this process in MB, 0 if unknown.
func resident() float64 {
	runtime.GC()
	status, _ := os.ReadFile("/proc/self/status")
	_, line, _ := strings.Cut(string(status), "VmHWM:")
	var kb float64
	fmt.Sscan(line, &kb)
	return kb / 1024
}
