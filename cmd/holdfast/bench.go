package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"holdfast"
	"holdfast/authorities"
	"holdfast/cmd/internal/cputime"
	"holdfast/cmd/internal/engineset"
	"holdfast/filelock"
	"holdfast/hashing"
	"holdfast/pipeline"
	"holdfast/preserve/authority"
)

func (c *cli) benchCmd() *cobra.Command {
	var count int
	scaled, pages := scaledBench{}, webBench{}
	cmd := command("bench [hash|seal|verify|web|telegram|answers|history|posts|watched|scaled]", "Measure this machine, beside a limit measured in the same run", "holdfast bench seal", cobra.MaximumNArgs(1),
		func(cmd *cobra.Command, args []string) error {
			if count < 1 || count > 1_000_000 {
				return usageError("--messages %d: 1 to 1,000,000", count)
			}
			benches := map[string]func(context.Context) error{"hash": c.benchHash, "seal": c.benchSeal, "verify": c.benchVerify,
				"web":     func(ctx context.Context) error { return c.benchWeb(ctx, pages) },
				"answers": func(context.Context) error { return c.benchAnswers(count) },
				"history": func(ctx context.Context) error { return c.benchHistory(ctx, 2*count) },
				"posts":   func(ctx context.Context) error { return c.benchPosts(ctx, 2*count) },
				"watched": func(ctx context.Context) error { return c.benchPushed(ctx, max(1, count/20), max(1, count/100)) },
				"scaled":  func(ctx context.Context) error { return c.benchScaled(ctx, scaled) }}
			telegram := []string{"answers", "history", "posts", "watched"}
			names := append([]string{"hash", "seal", "verify"}, telegram...)
			if len(args) == 1 {
				names = args
			}
			if names[0] == "telegram" {
				names = telegram
			}
			for _, name := range names {
				if benches[name] == nil {
					return usageError("bench %.40q: it is hash, seal, verify, web, scaled, telegram, or a part of it: answers, history, posts, watched", name)
				}
				if err := benches[name](cmd.Context()); err != nil {
					return fmt.Errorf("bench %s: %w", name, err)
				}
			}
			return nil
		})
	cmd.Long = `Each line is a figure, its unit, and its part of a limit: what other people's code
does on this machine in the same run, or the budget in docs/DESIGN.md.

web: pages captured two at once (--tabs; for captures node.json says how many: pages),
each exchange that the site knows of looked for in the archives, a first page from a cold start, 50 MB beside curl, and the memory of all processes;
articles that it makes itself, and with --files and --page any pages of this machine. If
single-file (npm: single-file-cli) is on the search path, it saves the same articles. It
is run only by name.

telegram (answers, history, posts, watched): a channel's history, what becomes of its posts, and channels that are
watched, against a service in another process of this program. Such a figure says
loopback: on the real network the service's limits decide, and they are kept.

scaled: captures from accepted to sealed on the engines that --queue, --store and
--catalog name (what is not named lies in a directory of its own), a node for each
number of partitions of kafka://; and how much processor time this process and each
engine that runs on this machine used. It writes beside what lies there, under a name of
its own, and what it wrote in a bucket stays as long as its lock: name a bucket, a
database and a prefix that are for that. Without scaled it is not run.

exit status: 0 done  1 could not  2 usage`
	cmd.AddCommand(c.benchServiceCmd(), c.benchSiteCmd())
	cmd.Flags().IntVar(&pages.tabs, "tabs", 2, "of web: pages captured at once")
	cmd.Flags().IntVar(&pages.articles, "articles", 24, "of web: how many are captured")
	cmd.Flags().StringVar(&pages.files, "files", "", "of web: a folder of pages, for instance /usr/share")
	cmd.Flags().StringArrayVar(&pages.pages, "page", nil, "of web: a page in it, for instance doc/python3/html/library/asyncio-task.html; several may be named, each is captured twice")
	cmd.Flags().IntVar(&count, "messages", benchMessages, "of telegram: how many messages the channel has; 1 channel is watched for every 20")
	cmd.Flags().IntVar(&scaled.captures, "captures", 20*holdfast.MaxSubjects, "of scaled: how many")
	cmd.Flags().IntVar(&scaled.size, "size", 1000, "of scaled: bytes of each")
	cmd.Flags().IntSliceVar(&scaled.partitions, "partitions", []int{1, 2, 4}, "of scaled: of the queue, one node for each")
	cmd.Flags().BoolVar(&scaled.index, "index", false, "of scaled: keep the catalog meanwhile")
	return cmd
}

// opensslSpeed is the limit: what openssl says for SHA-256 in 16 KB blocks, in
// bytes a second on one core.
func opensslSpeed(ctx context.Context) (float64, error) {
	out, err := exec.CommandContext(ctx, "openssl", "speed", "-seconds", "1", "-bytes", "16384", "-evp", "sha256").Output()
	if err != nil {
		return 0, fmt.Errorf("run openssl speed, the limit to measure against: %w", err)
	}
	f := regexp.MustCompile(`(?mi)^sha256\s+([0-9.]+)k`).FindSubmatch(out)
	if f == nil {
		return 0, fmt.Errorf("openssl speed printed no figure")
	}
	k, err := strconv.ParseFloat(string(f[1]), 64)
	return k * 1000, err
}

func (c *cli) figure(name string, value float64, unit string, ratio float64, against string) {
	c.say(map[string]any{"bench": name, "value": value, "unit": unit, "ratio": ratio, "against": against, "cores": runtime.GOMAXPROCS(0)},
		"%-7s %10.2f %-26s %5.1f %% of %s", name, value, unit, 100*ratio, against)
}

func (c *cli) benchHash(ctx context.Context) error {
	limit, err := opensslSpeed(ctx)
	if err != nil {
		return err
	}
	buf := make([]byte, 256<<20)
	before := cputime.Own()
	for range 4 {
		if _, _, err := hashing.Copy(io.Discard, bytes.NewReader(buf)); err != nil {
			return err
		}
	}
	speed := 4 * float64(len(buf)) / (cputime.Own() - before).Seconds()
	c.figure("hash", speed/1e9, "GB per CPU-second", speed/limit, fmt.Sprintf("openssl speed sha256 (%.2f GB/s)", limit/1e9))
	return nil
}

// benchNode is a training node with two authorities in this process.
func (c *cli) benchNode(ctx context.Context, dir string) (*node, error) {
	return c.benchNodeAt(ctx, dir, engineset.URLs{}, "")
}

// benchNodeAt is one that works with these engines; join is the id of their store, if it
// is there.
func (c *cli) benchNodeAt(ctx context.Context, dir string, at engineset.URLs, join string) (*node, error) {
	sub := &cli{in: c.in, out: io.Discard, errs: c.errs, data: filepath.Join(dir, "node"), asked: at}
	n, err := sub.initNode(ctx, initOptions{label: "bench", training: true, join: join})
	if err != nil {
		return nil, err
	}
	for _, name := range []string{"alpha", "beta"} {
		a, err := authority.Open(filepath.Join(dir, name), authority.Options{Operator: "TRAINING " + name, Training: true})
		if err != nil {
			return n, err
		}
		l, err := listen()
		if err != nil {
			return n, err
		}
		go serve(ctx, l, a.Handler())
		e := authorities.Entry{Name: name, URL: "http://" + l.Addr().String() + "/", Operator: "TRAINING " + name}
		if err := e.Check(filepath.Join(dir, name, "roots.pem")); err != nil {
			return n, err
		}
		if err := n.addAuthority(ctx, e); err != nil {
			return n, err
		}
		if err := n.tryAuthority(ctx, name); err != nil {
			return n, err
		}
	}
	return n, nil
}

// benchSeal times captures of 1 KB from the queue to sealed and durable, the
// index off, four batches in flight.
func (c *cli) benchSeal(ctx context.Context) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	dir, err := os.MkdirTemp("", "holdfast-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	n, err := c.benchNode(ctx, dir)
	if err != nil {
		return err
	}
	defer n.Close()
	const batches = 16
	if err := n.fillQueue(ctx, batches*holdfast.MaxSubjects, 1000); err != nil {
		return err
	}
	unlock, err := filelock.Wait(ctx, n.path("preserve.lock"))
	if err != nil {
		return err
	}
	s, err := n.startSealing(ctx, unlock)
	if err != nil {
		return err
	}
	defer s.Close()
	before, begun := cputime.Own(), time.Now()
	if _, err := (&pipeline.Normalise{Queue: n.queue, By: n.normalisers()}).Drain(ctx); err != nil {
		return err
	}
	sealed, err := s.drain(ctx, n)
	if err != nil {
		return err
	}
	rate, wall := float64(sealed)/(cputime.Own()-before).Seconds(), float64(sealed)/time.Since(begun).Seconds()
	if sealed < batches*holdfast.MaxSubjects {
		return fmt.Errorf("only %d of %d captures were sealed", sealed, batches*holdfast.MaxSubjects)
	}
	c.figure("seal", rate, "captures per CPU-second", rate/10_000, fmt.Sprintf("the budget of 10,000 (wall: %.0f/s)", wall))
	return nil
}

// benchCapture is a Captured with one Object.
func (n *node) benchCapture(head holdfast.Head, source string, o holdfast.Object) *pipeline.Captured {
	now := holdfast.At(time.Now())
	return &pipeline.Captured{Manifest: holdfast.Manifest{
		Agent: n.set.Agent, Case: n.set.Unfiled, Custody: head, Started: now, Ended: now, ID: holdfast.NewID(), Kind: holdfast.KindCapture,
		Nonce: holdfast.NewNonce(), Source: holdfast.Source("https://bench.invalid/" + source), Training: n.set.Training,
		Completeness: holdfast.Completeness{Outcome: "complete"}, Found: holdfast.Found{How: "bench"},
		Collection: holdfast.Collection{Clock: n.facts.Clock, Config: n.facts.Config, Egress: "unknown", Identity: "none", Node: n.facts.Node, Software: n.facts.Software},
		Objects:    []holdfast.Object{o},
	}}
}

// benchMessage is a capture with one inline Object, in intake's own form.
func (n *node) benchMessage(head holdfast.Head, source string, size int) (pipeline.Message, error) {
	body := make([]byte, size)
	rand.Read(body)
	cp := n.benchCapture(head, source, holdfast.Object{Digest: hashing.Of(body), Name: "text.txt", Role: "text", Size: int64(size), Type: "text/plain"})
	cp.Inline = map[string][]byte{"text.txt": body}
	msg, err := cp.Encode()
	return pipeline.Message{ID: cp.Manifest.ID, Body: msg}, err
}

// fillQueue publishes so many captures.
func (n *node) fillQueue(ctx context.Context, count, size int) error {
	head, err := n.outbox.Head(ctx, n.set.Unfiled)
	if err != nil {
		return err
	}
	for done := 0; done < count; {
		var batch []pipeline.Message
		for ; done < count && len(batch) < 1000; done++ {
			m, err := n.benchMessage(head, strconv.Itoa(done), size)
			if err != nil {
				return err
			}
			batch = append(batch, m)
		}
		if _, err := n.queue.Publish(ctx, nil, batch...); err != nil {
			return err
		}
	}
	return nil
}

// benchVerify makes a bundle with large Objects and verifies it.
func (c *cli) benchVerify(ctx context.Context) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	limit, err := opensslSpeed(ctx)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "holdfast-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	file, p, err := c.benchBundle(ctx, dir)
	if err != nil {
		return err
	}
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return err
	}
	var before time.Duration
	var begun time.Time
	for range 2 { // the first pass warms the page cache: the disk is not what is measured
		before, begun = cputime.Own(), time.Now()
		r, err := holdfast.Verify(ctx, f, st.Size(), p, holdfast.VerifyOptions{})
		if err != nil {
			return err
		}
		if r.Verdict != holdfast.VerdictProven {
			return fmt.Errorf("the bundle is %s: %v", r.Verdict, worst(r))
		}
	}
	speed := float64(st.Size()) / (cputime.Own() - before).Seconds()
	c.figure("verify", speed/1e9, "GB per CPU-second", speed/limit, fmt.Sprintf("openssl speed sha256 (%.2f GB/s); wall %.2f GB/s", limit/1e9, float64(st.Size())/time.Since(begun).Seconds()/1e9))
	return nil
}

// benchBundle exports four Objects of 128 MiB.
func (c *cli) benchBundle(ctx context.Context, dir string) (string, *holdfast.Policy, error) {
	n, err := c.benchNode(ctx, dir)
	if err != nil {
		return "", nil, err
	}
	defer n.Close()
	var got []captured
	for i := range 4 {
		id, err := n.publishLarge(ctx, i, 128<<20)
		if err != nil {
			return "", nil, err
		}
		got = append(got, captured{id: id})
	}
	sub := &cli{in: c.in, out: io.Discard, errs: c.errs}
	if err := sub.seal(ctx, n, time.Minute); err != nil {
		return "", nil, err
	}
	file := filepath.Join(dir, "bench.zip")
	if err := sub.exportCaptures(ctx, n, got, file, ""); err != nil {
		return "", nil, err
	}
	p, err := n.policy()
	return file, p, err
}

func (n *node) publishLarge(ctx context.Context, i int, size int64) (holdfast.ID, error) {
	head, err := n.outbox.Head(ctx, n.set.Unfiled)
	if err != nil {
		return "", err
	}
	seed := strings.NewReader(strconv.Itoa(i))
	d, _, err := n.store.Put(ctx, io.MultiReader(seed, io.LimitReader(zeros{}, size-1)))
	if err != nil {
		return "", err
	}
	cp := n.benchCapture(head, "large", holdfast.Object{Digest: d, Name: "large.bin", Role: "source", Size: size, Type: "application/octet-stream"})
	msg, err := cp.Encode()
	if err != nil {
		return "", err
	}
	_, err = n.queue.Publish(ctx, nil, pipeline.Message{ID: cp.Manifest.ID, Body: msg})
	return cp.Manifest.ID, err
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}
