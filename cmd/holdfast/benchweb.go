package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"holdfast/cmd/internal/webbench"
)

// webBench is what `bench web` is told.
type webBench struct {
	articles int
	tabs     int
	files    string
	pages    []string
}

func (b *webBench) check() error {
	if b.tabs < 1 || b.tabs > 16 {
		return usageError("--tabs %d: 1 to 16", b.tabs)
	}
	if b.articles < 1 || b.articles > 10_000 {
		return usageError("--articles %d: 1 to 10,000", b.articles)
	}
	if len(b.pages) > 0 && b.files == "" {
		return usageError("--page names files below a folder: give --files DIR")
	}
	return nil
}

// benchWeb captures pages of a site in another process of this program.
func (c *cli) benchWeb(ctx context.Context, b webBench) error {
	if err := b.check(); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "holdfast-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	site, end, err := c.benchSite(ctx, b.files)
	if err != nil {
		return err
	}
	defer end()
	single, _ := exec.LookPath("single-file")
	return webbench.Run(ctx, webbench.Options{Browser: os.Getenv("HOLDFAST_BROWSER"), Dir: dir, Site: site, Articles: b.articles, Tabs: b.tabs, Pages: b.pages, Beside: single,
		Say: func(f webbench.Figure) { c.figure(f.Name, f.Value, f.Unit, f.Ratio, f.Against) }})
}

// benchSite starts the site, which ends with end, or with this process.
func (c *cli) benchSite(ctx context.Context, files string) (address string, end func(), err error) {
	args := []string{"bench", "site"}
	if files != "" {
		args = append(args, files)
	}
	cmd, err := thisProgram(ctx, c.errs, args...)
	if err != nil {
		return "", nil, err
	}
	in, err := cmd.StdinPipe()
	if err != nil {
		return "", nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return "", nil, err
	}
	if err := cmd.Start(); err != nil {
		return "", nil, fmt.Errorf("start the site: %w", err)
	}
	end = func() {
		in.Close()
		cmd.Wait() //nolint:errcheck // it is of no more use
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		end()
		return "", nil, fmt.Errorf("start the site: %w", err)
	}
	return strings.TrimSpace(line), end, nil
}

func (c *cli) benchSiteCmd() *cobra.Command {
	cmd := command("site [FOLDER]", "The site that `bench web` captures, in a process of its own", "holdfast bench site </dev/null", cobra.MaximumNArgs(1),
		func(_ *cobra.Command, args []string) error { return serveSite(c.in, c.out, strings.Join(args, "")) })
	cmd.Hidden = true
	return cmd
}

// serveSite is the site, until in ends.
func serveSite(in io.Reader, out io.Writer, folder string) error {
	site, err := webbench.NewSite(folder)
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("start the site: %w", err)
	}
	s := &http.Server{Handler: site, ReadHeaderTimeout: 10 * time.Second}
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(l) }()
	if _, err := fmt.Fprintf(out, "http://%s\n", l.Addr()); err != nil {
		return err
	}
	if _, err := io.Copy(io.Discard, in); err != nil {
		return err
	}
	_ = s.Close()
	if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
