package web

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"holdfast/collectors"
	"holdfast/collectors/web/cgroup"
	"holdfast/collectors/web/confined"
	"holdfast/hashing"
)

// ytdlp is what [options.Films] asks for, and who then asks through the proxy.
const ytdlp = "yt-dlp"

// Bounds of the program that fetches films. What it takes from the network is of the
// capture's own budget.
const (
	fetchMemory    = 1 << 30   // of all its processes
	fetchProcesses = 200       // with threads, where there are control groups
	fetchFiles     = 2000      // in its folder, with pieces that it puts together
	fetchRoom      = 300 << 20 // that it may write besides the films: one that is a single file unpacks itself
	leastRoomFor   = 64 << 10  // bytes of the budget
	maxFetched     = 10        // films, or sounds of films
	leastFetch     = 2 * time.Second
	versionLimit   = 20 * time.Second
	maxStub        = 64 << 10
)

// fetched is the run of the program, and what is to be told of it.
type fetched struct {
	collectors.Program
	dir   string // of what it wrote
	thin  bool   // the file that is named starts what lies elsewhere
	why   string // it was not run
	ended confined.Ended
	most  int64 // bytes that were left for it
}

// guests are the programs that are to ask through the capture's proxy.
func (x *capture) guests() ([]*guest, error) {
	if x.options.Films != ytdlp {
		return nil, nil
	}
	g, err := newGuest(ytdlp)
	return []*guest{g}, err
}

// fetchFilms runs the program for the page's address, once the page is gone. Whatever
// comes of it, the capture goes on: what went wrong is told.
func (x *capture) fetchFilms(ctx context.Context) {
	if x.options.Films != ytdlp {
		return
	}
	f := &fetched{}
	f.Name = ytdlp
	x.fetched = f
	ctx, cancel := context.WithDeadline(ctx, x.started.Add(x.req.Budget.Time))
	defer cancel()
	if err := f.fetch(ctx, x); err != nil {
		f.why = err.Error()
	}
}

// fetch errors say why the program was not run.
func (f *fetched) fetch(ctx context.Context, x *capture) error {
	base := filepath.Join(x.dir, ytdlp)
	f.dir = filepath.Join(base, "out")
	if err := os.MkdirAll(f.dir, 0o700); err != nil {
		return err
	}
	bin, err := confined.Path(base, "python3")
	if err != nil {
		return err
	}
	run := confined.Program{Path: x.c.opts.Ytdlp, Dir: f.dir, Memory: fetchMemory, Files: fetchFiles,
		Env: []string{"PATH=" + bin, "PYTHONDONTWRITEBYTECODE=1", "PYTHONNOUSERSITE=1"}}
	if err := x.c.identifyYtdlp(ctx, f, run); err != nil {
		return err
	}
	f.most = x.meter.left()
	if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) < leastFetch || ctx.Err() != nil {
		return errors.New("no time was left")
	}
	if f.most < leastRoomFor {
		return fmt.Errorf("%d bytes were left of the budget", max(f.most, 0))
	}
	roots := filepath.Join(base, "roots.pem")
	if err := os.WriteFile(roots, x.proxy.guests[0].roots(), 0o600); err != nil {
		return err
	}
	args := fetchArgs(f.most)
	if s := x.req.Session; s != nil {
		cookies := filepath.Join(base, "cookies.txt")
		if err := os.WriteFile(cookies, netscape(s.Cookies), 0o600); err != nil {
			return err
		}
		args = append(args, "--cookies", cookies)
	}
	proxy := x.proxy.guests[0].address()
	run.Args = append(args, "--ffmpeg-location", bin, "--proxy", proxy, "--", x.address)
	f.Arguments = shown(run.Args, base, proxy)
	run.Bytes = f.most + fetchRoom
	run.Env = append(run.Env, "SSL_CERT_FILE="+roots, "SSL_CERT_DIR="+bin, "HTTP_PROXY="+proxy, "HTTPS_PROXY="+proxy, "ALL_PROXY="+proxy)
	if f.ended, err = x.c.runConfined(ctx, run); err != nil {
		return err
	}
	x.log.ran(f)
	return nil
}

// fetchArgs are what it is told: nothing of this machine's settings, no other program, no
// file with a hole in it, and forms that need no other program to be put together; of
// these the best for which there is room.
func fetchArgs(room int64) []string {
	fits := fmt.Sprintf("[filesize<?%[1]d][filesize_approx<?%[1]d]", room)
	return []string{"--ignore-config", "--no-plugin-dirs", "--no-cache-dir", "--no-js-runtimes", "--no-remote-components", "--no-exec", "--no-update",
		"--no-cookies-from-browser", "--no-mark-watched", "--downloader", "native", "--fixup", "never", "--compat-options", "no-certifi",
		"--color", "never", "--no-progress", "--newline", "--socket-timeout", "15", "--retries", "2", "--fragment-retries", "2", "--extractor-retries", "1",
		"--abort-on-unavailable-fragments", "--no-continue", "--no-mtime", "--no-playlist", "--lazy-playlist", "--max-downloads", fmt.Sprint(maxFetched),
		"--max-filesize", fmt.Sprint(room), "--write-info-json", "--no-write-playlist-metafiles",
		"--format", "bv*" + fits + ",ba" + fits, "--output", "film-%(autonumber)d.%(ext)s"}
}

// shown are arguments without the paths and ports of this machine.
func shown(args []string, base, proxy string) (out []string) {
	replace := strings.NewReplacer(base, "DIR", proxy, "PROXY")
	for _, a := range args {
		out = append(out, clean(replace.Replace(a)))
	}
	return out
}

// netscape writes cookies in the form of the file that curl and yt-dlp read.
func netscape(list []collectors.Cookie) []byte {
	var b bytes.Buffer
	b.WriteString("# Netscape HTTP Cookie File\n")
	word := map[bool]string{true: "TRUE", false: "FALSE"}
	for _, c := range list {
		domain, expires := "."+c.Domain, int64(0)
		if c.HostOnly {
			domain = c.Domain
		}
		if !c.Expires.IsZero() {
			expires = c.Expires.Unix()
		}
		l := strings.Join([]string{domain, word[!c.HostOnly], c.Path, word[c.Secure], fmt.Sprint(expires), c.Name, c.Value}, "\t")
		if strings.ContainsAny(l, "\r\n") || strings.Count(l, "\t") != 6 {
			continue // no cookie that a browser takes
		}
		b.WriteString(l + "\n")
	}
	return b.Bytes()
}

// runConfined runs it, in a control group where there are any.
func (c *Collector) runConfined(ctx context.Context, p confined.Program) (confined.Ended, error) {
	if place, err := c.places.find(); err == nil {
		if group, err := place.Make(cgroup.Limits{Memory: p.Memory, Processes: fetchProcesses}); err == nil {
			defer group.Close() // with what is left in it
			p.Into = func(c *exec.Cmd) { group.Into(c) }
		}
	}
	return confined.Run(ctx, p)
}

// identifyYtdlp says which program it is: the digest of the file, and the version that it
// tells. run is for asking it.
func (c *Collector) identifyYtdlp(ctx context.Context, f *fetched, run confined.Program) error {
	if run.Path == "" {
		return errors.New("no yt-dlp is named on this node: put its path into node.json (yt_dlp), or into HOLDFAST_YTDLP")
	}
	in, err := os.Open(run.Path)
	if err != nil {
		return fmt.Errorf("the yt-dlp that is named cannot be read: %w", errors.Unwrap(err))
	}
	defer in.Close()
	head := make([]byte, 2)
	_, _ = io.ReadFull(in, head) // a file that is shorter is none of these
	if st, err := in.Stat(); err == nil {
		f.thin = string(head) == "#!" && st.Size() < maxStub
	}
	if _, err := in.Seek(0, io.SeekStart); err != nil {
		return fmt.Errorf("the yt-dlp that is named cannot be read: %w", err)
	}
	if f.Digest, err = c.known.digest(in, run.Path); err != nil {
		return fmt.Errorf("the yt-dlp that is named cannot be read: %w", err)
	}
	f.Version, err = c.versionOf(ctx, f.Digest, run)
	return err
}

// versionOf asks once what a program's version is.
func (c *Collector) versionOf(ctx context.Context, d hashing.Digest, run confined.Program) (string, error) {
	c.mu.Lock()
	known := c.versions[d]
	c.mu.Unlock()
	if known != "" {
		return known, nil
	}
	ctx, cancel := context.WithTimeout(ctx, versionLimit)
	defer cancel()
	run.Args, run.Bytes = []string{"--ignore-config", "--version"}, fetchRoom
	run.Env = append(run.Env, "HTTP_PROXY=http://127.0.0.1:9", "HTTPS_PROXY=http://127.0.0.1:9")
	e, err := c.runConfined(ctx, run)
	switch {
	case err != nil:
		return "", err
	case e.Why != nil:
		return "", fmt.Errorf("it did not say its version: %w", e.Why)
	case e.Exit != 0 || !regexp.MustCompile(`^[0-9][0-9A-Za-z.+@_-]{3,60}$`).MatchString(e.Told):
		return "", fmt.Errorf("it did not say its version: is it a yt-dlp? (exit status %d, %.100q %.200q)", e.Exit, e.Told, e.Said)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.versions == nil || len(c.versions) > 100 {
		c.versions = map[hashing.Digest]string{}
	}
	c.versions[d] = e.Told
	return e.Told, nil
}

// CheckYtdlp says what the yt-dlp of the Options is; "" with no error is that none is
// named. The error says what to do.
func (c *Collector) CheckYtdlp(ctx context.Context) (string, error) {
	if c.opts.Ytdlp == "" {
		return "", nil
	}
	dir, err := os.MkdirTemp(c.work.path, "check-*")
	if err != nil {
		return "", fmt.Errorf("check yt-dlp: %w", err)
	}
	defer os.RemoveAll(dir)
	bin, err := confined.Path(dir, "python3")
	if err != nil {
		return "", fmt.Errorf("check yt-dlp: %w", err)
	}
	out := filepath.Join(dir, "out")
	if err := os.Mkdir(out, 0o700); err != nil {
		return "", fmt.Errorf("check yt-dlp: %w", err)
	}
	var f fetched
	if err := c.identifyYtdlp(ctx, &f, confined.Program{Path: c.opts.Ytdlp, Dir: out, Memory: fetchMemory, Files: fetchFiles, Env: []string{"PATH=" + bin}}); err != nil {
		return "", fmt.Errorf("check yt-dlp %s: %w; name another in node.json (yt_dlp) or HOLDFAST_YTDLP", c.opts.Ytdlp, err)
	}
	name := "yt-dlp " + f.Version + " " + f.Digest.String()
	if f.thin {
		name += " (of a script that starts what lies elsewhere)"
	}
	return name, nil
}
