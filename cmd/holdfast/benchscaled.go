package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"holdfast/cmd/internal/cputime"
	"holdfast/cmd/internal/engineset"
	"holdfast/filelock"
	"holdfast/pipeline"
)

// scaledBench is what `bench scaled` is asked for.
type scaledBench struct {
	captures, size int
	partitions     []int
	index          bool // the catalog is kept meanwhile
}

// Of publishing in `bench scaled`: callers, and messages of one call.
const (
	scaledCallers = 4
	scaledCall    = 250
)

func (o scaledBench) check() error {
	if o.captures < 1 || o.captures > 1_000_000 {
		return usageError("--captures %d: 1 to 1,000,000", o.captures)
	}
	if o.size < 1 || o.size > pipeline.MaxInline {
		return usageError("--size %d: 1 to %d bytes", o.size, pipeline.MaxInline)
	}
	for _, p := range o.partitions {
		if p < 1 || p > 64 {
			return usageError("--partitions %d: 1 to 64", p)
		}
	}
	return nil
}

// benchScaled times captures from accepted to sealed on the engines that --queue, --store
// and --catalog name, one node after the other, each with a queue of another number of
// partitions, and says who used the processors.
func (c *cli) benchScaled(ctx context.Context, o scaledBench) error {
	if err := o.check(); err != nil {
		return err
	}
	if engineset.KindOf(c.asked.Queue) != engineset.KindKafka {
		o.partitions = []int{1}
	}
	var mark [4]byte
	rand.Read(mark[:])
	at, join := under(c.asked, "bench-"+hex.EncodeToString(mark[:])), ""
	for _, p := range o.partitions {
		id, err := c.benchPartitions(ctx, o, partitioned(at, p), join, p)
		if err != nil {
			return fmt.Errorf("%d partitions: %w", p, err)
		}
		join = id // the catalog is of one store
	}
	return nil
}

// under are engines in places of their own beside those that were named; a local one
// lies in the bench's node.
func under(e engineset.URLs, mark string) (own engineset.URLs) {
	if engineset.KindOf(e.Queue) == engineset.KindKafka {
		path, query, _ := strings.Cut(e.Queue, "?")
		own.Queue = path + "-" + mark + "?" + query
	}
	if engineset.KindOf(e.Store) == engineset.KindS3 {
		path, query, _ := strings.Cut(e.Store, "?")
		own.Store = strings.TrimSuffix(path, "/") + "/" + mark + "?" + query
	}
	if engineset.KindOf(e.Catalog) == engineset.KindPostgres {
		own.Catalog = e.Catalog
	}
	return own
}

// partitioned are the same engines with another queue, of p partitions.
func partitioned(e engineset.URLs, p int) engineset.URLs {
	path, query, ok := strings.Cut(e.Queue, "?")
	if !ok {
		return e
	}
	q, err := url.ParseQuery(query)
	if err != nil {
		return e // opening it says so
	}
	q.Set("partitions", strconv.Itoa(p))
	e.Queue = fmt.Sprintf("%s-%d?%s", path, p, q.Encode())
	return e
}

// processes are the engines that have processes of their own.
func processes(e engineset.URLs) (all []cputime.Process) {
	if _, rest, ok := strings.Cut(e.Queue, "kafka://"); ok {
		hosts, _, _ := strings.Cut(rest, "/")
		all = append(all, cputime.Process{Name: "broker", Hosts: strings.Split(hosts, ",")})
	}
	if u, err := url.Parse(e.Store); err == nil && u.Scheme == engineset.KindS3 {
		at := ""
		if end, err := url.Parse(u.Query().Get("endpoint")); err == nil {
			at = end.Host
		}
		all = append(all, cputime.Process{Name: "store", Hosts: []string{at}})
	}
	if u, err := url.Parse(e.Catalog); err == nil && engineset.KindOf(e.Catalog) == engineset.KindPostgres {
		all = append(all, cputime.Process{Name: "database", Hosts: []string{u.Host}})
	}
	return all
}

func (c *cli) benchPartitions(ctx context.Context, o scaledBench, at engineset.URLs, join string, partitions int) (storeID string, err error) {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	dir, err := os.MkdirTemp("", "holdfast-bench-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(dir)
	n, err := c.benchNodeAt(ctx, dir, at, join)
	if err != nil {
		return "", err
	}
	defer n.Close()
	r, err := n.timeScaled(ctx, o, partitions, processes(at))
	if err != nil {
		return "", err
	}
	rate := float64(o.captures) / r.wall.Seconds()
	c.figure("scaled", rate, fmt.Sprintf("captures of %d B sealed/s, %d partitions", o.size, partitions), rate/5000,
		fmt.Sprintf("the budget of 5,000 (accepted %.0f/s; %d Seals; processor-ms per 1,000 captures: %s)", float64(o.captures)/r.accepted.Seconds(), r.seals, r.shares(o.captures)))
	return n.set.URLs().StoreID, nil
}

// sealedCount is what was sealed, by any goroutine.
type sealedCount struct{ captures, seals atomic.Int64 }

// scaledRun is what one node was timed at.
type scaledRun struct {
	wall, accepted time.Duration // until the last was sealed; until the last was accepted
	own            time.Duration
	engines        []cputime.Used  // used meanwhile
	machine        cputime.Machine // meanwhile
	seals          int64
}

func (r *scaledRun) shares(captures int) string {
	per := func(d time.Duration) float64 { return d.Seconds() * 1e6 / float64(captures) }
	text, ours := fmt.Sprintf("holdfast %.0f", per(r.own)), r.own
	for _, e := range r.engines {
		if e.Known {
			text, ours = text+fmt.Sprintf(", %s %.0f", e.Name, per(e.Time)), ours+e.Time
		} else {
			text += ", " + e.Name + " not known"
		}
	}
	if all := r.machine.Busy + r.machine.Idle; all > 0 {
		text += fmt.Sprintf("; of the machine's processors %.0f %% by these, %.0f %% by others", 100*ours.Seconds()/all.Seconds(), 100*max(0, (r.machine.Busy-ours).Seconds())/all.Seconds())
	}
	return text
}

// timeScaled runs the stages in this process, and publishes beside them.
func (n *node) timeScaled(ctx context.Context, o scaledBench, partitions int, engines []cputime.Process) (*scaledRun, error) {
	first, err := n.scaledMessages(ctx, 64*partitions, o.size)
	if err != nil {
		return nil, err
	}
	messages, err := n.scaledMessages(ctx, o.captures, o.size)
	if err != nil {
		return nil, err
	}
	unlock, err := filelock.Wait(ctx, n.path("preserve.lock"))
	if err != nil {
		return nil, err
	}
	s, err := n.startSealing(ctx, unlock)
	if err != nil {
		return nil, err
	}
	defer s.Close()
	work, stop := context.WithCancel(ctx)
	defer stop()
	sealed, g := &sealedCount{}, &errgroup.Group{}
	failed := make(chan error, 3)
	for _, loop := range n.scaledLoops(s, sealed, o.index) {
		g.Go(func() error {
			err := loop(work)
			if work.Err() != nil {
				return nil
			}
			failed <- fmt.Errorf("a stage ended: %w", err)
			return nil
		})
	}
	var r *scaledRun
	if err = n.warm(ctx, first, partitions, failed); err == nil {
		r, err = n.timeSealed(ctx, messages, sealed, failed, engines)
	}
	stop()
	return r, errors.Join(err, g.Wait())
}

func (n *node) scaledLoops(s *sealing, sealed *sealedCount, index bool) []loop {
	loops := []loop{n.normaliseLoop, func(ctx context.Context) error {
		return n.queue.Share(ctx, pipeline.StagePreserve, func(ctx context.Context, p int) error {
			k := s.preserve(n)
			k.Partition = p
			k.Sealed = func(o pipeline.Outcome) {
				if o.State == pipeline.StateSealed {
					sealed.captures.Add(int64(len(o.Captures)))
					sealed.seals.Add(1)
				}
			}
			return k.Run(ctx)
		})
	}}
	if index {
		loops = append(loops, n.indexLoop)
	}
	return loops
}

// scaledMessages makes them before the clock runs: they are what a collector brings.
func (n *node) scaledMessages(ctx context.Context, count, size int) (calls [][]pipeline.Message, err error) {
	head, err := n.outbox.Head(ctx, n.set.Unfiled)
	if err != nil {
		return nil, err
	}
	for done := 0; done < count; {
		var call []pipeline.Message
		for ; done < count && len(call) < scaledCall; done++ {
			m, err := n.benchMessage(head, strconv.Itoa(done), size)
			if err != nil {
				return nil, err
			}
			call = append(call, m)
		}
		calls = append(calls, call)
	}
	return calls, nil
}

// scaledPatience is how long nothing may be sealed before the run is given up.
const scaledPatience = time.Minute

// timeSealed publishes, and waits until all is sealed.
func (n *node) timeSealed(ctx context.Context, calls [][]pipeline.Message, sealed *sealedCount, failed <-chan error, engines []cputime.Process) (*scaledRun, error) {
	count := int64(0)
	for _, call := range calls {
		count += int64(len(call))
	}
	want, seals := sealed.captures.Load()+count, sealed.seals.Load()
	before, machine, used := cputime.Of(engines), cputime.MachineNow(), cputime.Own()
	begun := time.Now()
	r := &scaledRun{}
	accepted := make(chan error, 1)
	go func() {
		err := n.publishCalls(ctx, calls)
		r.accepted = time.Since(begun)
		accepted <- err
	}()
	for last, moved := sealed.captures.Load(), time.Now(); sealed.captures.Load() < want; {
		if now := sealed.captures.Load(); now != last {
			last, moved = now, time.Now()
		} else if time.Since(moved) > scaledPatience {
			return nil, fmt.Errorf("%d of %d were sealed, and no more within %s", count-(want-now), count, scaledPatience)
		}
		select {
		case err := <-failed:
			return nil, err
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-time.After(time.Millisecond):
		}
	}
	r.wall, r.own, r.seals = time.Since(begun), cputime.Own()-used, sealed.seals.Load()-seals
	r.engines, r.machine = cputime.Since(before, cputime.Of(engines)), cputime.MachineNow().Since(machine)
	return r, <-accepted
}

func (n *node) publishCalls(ctx context.Context, calls [][]pipeline.Message) error {
	g, ctx := errgroup.WithContext(ctx)
	for w := range scaledCallers {
		g.Go(func() error {
			for i := w; i < len(calls); i += scaledCallers {
				if _, err := n.queue.Publish(ctx, nil, calls[i]...); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return g.Wait()
}

// warm brings something to every partition and waits until it is sealed: from then on
// each has its owner, and what the node's making left is done.
func (n *node) warm(ctx context.Context, calls [][]pipeline.Message, partitions int, failed <-chan error) error {
	if err := n.publishCalls(ctx, calls); err != nil {
		return err
	}
	for _, s := range []pipeline.Stage{pipeline.StageNormalise, pipeline.StagePreserve} {
		for p := 0; p < partitions; {
			end, err := n.queue.End(ctx, s, p)
			if err != nil {
				return err
			}
			at, err := n.queue.Position(ctx, s, p)
			if err != nil {
				return err
			}
			if at >= end && at > 0 {
				p++
				continue
			}
			select {
			case err := <-failed:
				return err
			case <-ctx.Done():
				return context.Cause(ctx)
			case <-time.After(20 * time.Millisecond):
			}
		}
	}
	return nil
}
