package webbench

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"holdfast/collectors"
	"holdfast/collectors/web"
)

// Budgets of docs/DESIGN.md, on 2 cores.
const (
	budgetFirst    = 4.0  // s from a cold start
	budgetArticles = 55.0 // a minute
	budgetPages    = 20.0 // a minute: six heavy pages of documentation
	budgetTree     = 1.5  // GiB
	budgetOwn      = 200. // MB
	budgetBig      = 1.2  // times curl
	lineMbit       = 80   // of /big
)

// Figure is one result: Ratio is the part of what stands in Against, or how often it is
// in it.
type Figure struct {
	Name    string
	Value   float64
	Unit    string
	Ratio   float64
	Against string
}

// Options of Run; all but Pages, Beside and Log must be set.
type Options struct {
	Browser  string       // see web.Options
	Dir      string       // for spools and Objects, removed by the caller
	Site     string       // http://127.0.0.1:port of a Site in another process
	Articles int          // how many are captured
	Tabs     int          // pages captured at once
	Pages    []string     // paths below the site's folder, each captured twice
	Beside   string       // single-file, if it is there
	Say      func(Figure) // is told each result when it is there
	Log      *slog.Logger
}

// Run measures. An exchange that the site knows and the archive has not is a figure, not
// an error; errors are of what could not be measured.
func Run(ctx context.Context, o Options) error {
	r := &run{Options: o}
	ctx, stop := context.WithCancel(ctx)
	var watching sync.WaitGroup
	watching.Go(func() { r.memory.Watch(ctx) })
	defer watching.Wait()
	defer stop()
	begun := time.Now()
	var err error
	if r.web, err = web.New(web.Options{Browser: o.Browser, Dir: o.Dir, Tabs: o.Tabs, Log: o.Log}); err != nil {
		return err
	}
	defer r.web.Close()
	if err := r.capture(ctx, o.Site+"/article/first"); err != nil {
		return err
	}
	first := time.Since(begun).Seconds()
	o.Say(Figure{"first", first, "s, article from a cold start", first / budgetFirst, "the budget (4 s)"})
	for _, part := range []func(context.Context) error{r.articles, r.pages, r.big} {
		if err := part(ctx); err != nil {
			return err
		}
	}
	r.remembered()
	return r.beside(ctx)
}

type run struct {
	Options
	web    *web.Collector
	memory Memory
	speed  float64 // articles a minute
}

func (r *run) articles(ctx context.Context) error {
	var list []string
	for i := range r.Articles {
		list = append(list, fmt.Sprintf("%s/article/%d", r.Site, i))
	}
	var err error
	r.speed, err = r.set(ctx, "articles", list, budgetArticles)
	return err
}

func (r *run) pages(ctx context.Context) error {
	if len(r.Pages) == 0 {
		return nil
	}
	var list []string
	for range 2 {
		for _, p := range r.Pages {
			list = append(list, r.Site+"/files/"+strings.TrimPrefix(p, "/"))
		}
	}
	_, err := r.set(ctx, "pages", list, budgetPages)
	return err
}

// set captures the addresses, as many at once as there are tabs, and holds what was kept against what the site
// was asked for.
func (r *run) set(ctx context.Context, name string, list []string, budget float64) (aMinute float64, err error) {
	before, err := r.counts(ctx)
	if err != nil {
		return 0, err
	}
	kept, begun := 0, time.Now()
	var mu sync.Mutex
	err = atOnce(r.Tabs, list, func(address string) error {
		n, err := r.keep(ctx, address)
		mu.Lock()
		defer mu.Unlock()
		kept += n
		return err
	})
	if err != nil {
		return 0, err
	}
	aMinute = float64(len(list)) * 60 / time.Since(begun).Seconds()
	after, err := r.counts(ctx)
	if err != nil {
		return 0, err
	}
	asked := int(after.Asked - before.Asked)
	r.Say(Figure{name, aMinute, fmt.Sprintf("a minute, %d tabs", r.Tabs), aMinute / budget, fmt.Sprintf("the budget (%.0f)", budget)})
	r.Say(Figure{name, float64(asked - kept), fmt.Sprintf("of %d exchanges lost", asked), float64(kept) / float64(max(1, asked)), "what the site was asked for is in the archives"})
	return aMinute, nil
}

// atOnce does n at once, and stops at the first error.
func atOnce(n int, list []string, do func(string) error) error {
	todo := make(chan string, len(list))
	for _, a := range list {
		todo <- a
	}
	close(todo)
	errs := make(chan error, n)
	for range n {
		go func() {
			for a := range todo {
				if err := do(a); err != nil {
					errs <- err
					return
				}
			}
			errs <- nil
		}()
	}
	var first error
	for range n {
		if err := <-errs; first == nil {
			first = err
		}
	}
	return first
}

func (r *run) capture(ctx context.Context, address string) error {
	_, err := r.keep(ctx, address)
	return err
}

// keep captures one address and gives the number of answers in its archive.
func (r *run) keep(ctx context.Context, address string) (int, error) {
	k, err := newKeeper(r.Dir)
	if err != nil {
		return 0, err
	}
	defer k.remove()
	a, err := r.web.Collect(ctx, collectors.Request{Source: address, AllowPrivate: true}, k)
	if err != nil {
		return 0, err
	}
	if a.Outcome == collectors.Failed {
		return 0, fmt.Errorf("capture %s: %v", address, a.Reasons)
	}
	return k.answers(a)
}

func (r *run) big(ctx context.Context) error {
	address := fmt.Sprintf("%s/big?mbit=%d", r.Site, lineMbit)
	curl, err := exec.LookPath("curl")
	if err != nil {
		return nil //nolint:nilerr // nothing to measure beside
	}
	begun := time.Now()
	if out, err := exec.CommandContext(ctx, curl, "-sS", "-o", filepath.Join(r.Dir, "big"), address).CombinedOutput(); err != nil {
		return fmt.Errorf("run curl: %w: %s", err, out)
	}
	limit := time.Since(begun).Seconds()
	_ = os.Remove(filepath.Join(r.Dir, "big"))
	begun = time.Now()
	if err := r.capture(ctx, address); err != nil {
		return err
	}
	took := time.Since(begun).Seconds()
	r.Say(Figure{"big", took, fmt.Sprintf("s for 50 MB at %d Mbit/s", lineMbit), took / limit, fmt.Sprintf("curl's time (%.2f s; budget %.0f %%)", limit, 100*budgetBig)})
	return nil
}

func (r *run) remembered() {
	tree, own := r.memory.Peak()
	if tree == 0 {
		return
	}
	t, o := float64(tree)/(1<<30), float64(own)/1e6
	r.Say(Figure{"memory", t, "GiB PSS, whole tree", t / budgetTree, fmt.Sprintf("the budget (%.1f GiB)", budgetTree)})
	r.Say(Figure{"memory", o, "MB PSS, this process", o / budgetOwn, fmt.Sprintf("the budget (%.0f MB)", budgetOwn)})
}

// beside has single-file save the same articles, two at once.
func (r *run) beside(ctx context.Context) error {
	if r.Beside == "" {
		return nil
	}
	list, to := filepath.Join(r.Dir, "articles"), filepath.Join(r.Dir, "single-file")
	var b strings.Builder
	for i := range r.Articles {
		fmt.Fprintf(&b, "%s/article/%d\n", r.Site, i)
	}
	if err := os.WriteFile(list, []byte(b.String()), 0o600); err != nil {
		return err
	}
	if err := os.MkdirAll(to, 0o700); err != nil {
		return err
	}
	begun := time.Now()
	args := []string{"--browser-arg=--no-sandbox", "--max-parallel-workers=2", "--urls-file=" + list, "--output-directory=" + to, "--filename-template={page-title}-{url-last-segment}.html"}
	if r.Browser != "" {
		args = append(args, "--browser-executable-path="+r.Browser)
	}
	cmd := exec.CommandContext(ctx, r.Beside, args...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("run single-file: %w: %.500s", err, out)
	}
	aMinute := float64(r.Articles) * 60 / time.Since(begun).Seconds()
	files, _ := filepath.Glob(filepath.Join(to, "*"))
	r.Say(Figure{"articles", r.speed, fmt.Sprintf("a minute, %d tabs", r.Tabs), r.speed / aMinute, fmt.Sprintf("single-file's (%.1f a minute, %d files of %d)", aMinute, len(files), r.Articles)})
	return nil
}

func (r *run) counts(ctx context.Context) (c Counts, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, r.Site+"/counts", nil)
	if err != nil {
		return c, err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return c, fmt.Errorf("ask the site what it counted: %w", err)
	}
	defer res.Body.Close()
	return c, json.NewDecoder(res.Body).Decode(&c)
}
