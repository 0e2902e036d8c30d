package web

import (
	"context"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"time"

	"github.com/go-rod/rod/lib/proto"
)

// OldestBrowser is the first Chromium that can all that is asked of it: a document
// with its shadow roots (getHTML) came with this one.
const OldestBrowser = 125

// checkLimit is for how long Check waits for a blank page and its picture.
const checkLimit = 20 * time.Second

// Check starts the browser, opens a page that asks for nothing, and makes its picture. It
// returns the browser's name and version, and what is worth knowing of how it runs. The
// error, which wraps [ErrBrowser], says what to do.
func (c *Collector) Check(ctx context.Context) (name string, notes []string, err error) {
	b, err := c.acquire(ctx)
	if err != nil {
		return "", nil, err
	}
	defer c.release(b)
	name = b.version.Product
	if n := major(name); n > 0 && n < OldestBrowser {
		return name, nil, fmt.Errorf("%s is too old, %d or newer is needed: %w; install a newer chromium, or say where one is (HOLDFAST_BROWSER=/path)", name, OldestBrowser, ErrBrowser)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, checkLimit, errDeadline)
	defer cancel()
	if err := b.try(ctx); err != nil {
		return name, nil, fmt.Errorf("%s starts and makes no picture of a blank page: %w: %w%s; is there room in its folder, and memory", name, ErrBrowser, err, b.stderr.quote())
	}
	if err := b.program.wait(ctx); err == nil && !b.program.digest.IsZero() {
		name += " " + b.program.digest.String()
	}
	notes = b.program.notes()
	if slices.Contains(b.program.flags, noSandbox) {
		notes = append(notes, "It runs without its sandbox, because holdfast runs as root: run it as a user of its own.")
	}
	return name, append(notes, b.isolation(c.opts.Memory)), nil
}

func (b *browser) try(ctx context.Context) error {
	log := &commandLog{}
	defer b.forget(log)
	t, err := b.openTab(ctx, "http://127.0.0.1:9", log)
	if err != nil {
		return err
	}
	defer t.close()
	seen := &begun{w: io.Discard}
	if err := t.shoot(ctx, &proto.PageViewport{Width: 10, Height: 10, Scale: 1}, seen); err != nil {
		return err
	}
	if !seen.any {
		return errors.New("it is empty")
	}
	return nil
}

var majorVersion = regexp.MustCompile(`/(\d+)\.`)

// major is the first number of a version such as Chrome/150.0.1; 0 is not known.
func major(product string) int {
	m := majorVersion.FindStringSubmatch(product)
	if m == nil {
		return 0
	}
	n, _ := strconv.Atoi(m[1])
	return n
}
