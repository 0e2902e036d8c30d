// Package collectorstest says what every Collector must hold to, as a test.
package collectorstest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"holdfast/collectors"
	"holdfast/hashing"
)

// Keeper keeps bytes in memory under their Digest. It is safe for concurrent
// use. With Full set, Put fails with that error, as a full disk would.
type Keeper struct {
	Full error
	mu   sync.Mutex
	kept map[hashing.Digest][]byte
}

// Put implements collectors.Keeper.
func (k *Keeper) Put(_ context.Context, r io.Reader) (hashing.Digest, int64, error) {
	if k.Full != nil {
		return hashing.Digest{}, 0, k.Full
	}
	var b bytes.Buffer
	d, n, err := hashing.Copy(&b, r)
	if err != nil {
		return d, n, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.kept == nil {
		k.kept = map[hashing.Digest][]byte{}
	}
	k.kept[d] = b.Bytes()
	return d, n, nil
}

// Bytes returns the bytes of the Object called name, wherever they are.
func (k *Keeper) Bytes(a *collectors.Acquired, name string) ([]byte, error) {
	i := slices.IndexFunc(a.Objects, func(o collectors.Object) bool { return o.Name == name })
	if i < 0 {
		return nil, fmt.Errorf("open %s: not among the %d objects", name, len(a.Objects))
	}
	if !a.Objects[i].Kept {
		return a.Objects[i].Inline, nil
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	b, ok := k.kept[a.Objects[i].Digest]
	if !ok {
		return nil, fmt.Errorf("open %s: the keeper never got %s", name, a.Objects[i].Digest)
	}
	return b, nil
}

var objectName = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,99}$`)

// Check returns what is wrong with a, nil if nothing.
func Check(a *collectors.Acquired, k *Keeper) error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if a.Started.IsZero() || a.Ended.Before(a.Started) {
		bad("started %s, ended %s", a.Started, a.Ended)
	}
	if a.Outcome != collectors.Complete && a.Outcome != collectors.Partial && a.Outcome != collectors.Failed {
		bad("outcome %q", a.Outcome)
	}
	if a.Outcome != collectors.Complete && len(a.Reasons) == 0 {
		bad("outcome %s without a reason", a.Outcome)
	}
	if a.Address.Asked == "" || a.Collection.Software == "" || a.Collection.Egress == "" {
		bad("asked %q, software %q, egress %q", a.Address.Asked, a.Collection.Software, a.Collection.Egress)
	}
	names := map[string]bool{}
	inline := 0
	for _, o := range a.Objects {
		if names[o.Name] || !objectName.MatchString(o.Name) || o.Role == "" || !strings.Contains(o.MediaType, "/") {
			bad("object %q: role %q, type %q, twice %v", o.Name, o.Role, o.MediaType, names[o.Name])
		}
		names[o.Name] = true
		inline += len(o.Inline)
		errs = append(errs, checkObject(a, o, k))
	}
	if inline > collectors.MaxInline {
		bad("%d bytes inline", inline)
	}
	for _, t := range a.Transformations {
		for _, n := range append([]string{t.Output}, t.Inputs...) {
			if !names[n] {
				bad("transformation names %q, which is no object", n)
			}
		}
		if t.Action == "" || t.Tool == "" {
			bad("transformation of %s: action %q, tool %q", t.Output, t.Action, t.Tool)
		}
	}
	if n := a.Next; n != nil && (len(n.Cursor) == 0 || len(n.Cursor) > collectors.MaxCursor || n.Step > 1<<63-1) {
		bad("next step %d with a cursor of %d bytes", n.Step, len(n.Cursor))
	}
	for _, f := range a.Further {
		if f.Source == "" || f.Options != nil && !json.Valid(f.Options) {
			bad("further source %q with options %q", f.Source, f.Options)
		}
	}
	errs = append(errs, checkText(a))
	return errors.Join(errs...)
}

func checkObject(a *collectors.Acquired, o collectors.Object, k *Keeper) error {
	b, err := k.Bytes(a, o.Name)
	if err != nil {
		return err
	}
	if int64(len(b)) != o.Size || hashing.Of(b) != o.Digest || o.Kept && o.Inline != nil {
		return fmt.Errorf("object %s: %d bytes %s, says %d bytes %s, kept %v", o.Name, len(b), hashing.Of(b), o.Size, o.Digest, o.Kept)
	}
	if len(o.Slices) > 0 && len(o.SliceSecret) != 32 {
		return fmt.Errorf("object %s: slice secret of %d bytes", o.Name, len(o.SliceSecret))
	}
	end, seen := int64(0), map[string]bool{}
	for _, s := range o.Slices {
		if s.Offset < end || s.Length <= 0 || s.Offset+s.Length > o.Size || seen[s.Name] || s.Name == "" {
			return fmt.Errorf("object %s: slice %+v after %d of %d", o.Name, s, end, o.Size)
		}
		end, seen[s.Name] = s.Offset+s.Length, true
	}
	return nil
}

// checkText walks what came from outside.
func checkText(a *collectors.Acquired) error {
	texts := []string{a.Address.Final, a.Collection.Browser, a.Collection.UserAgent, a.Collection.Peer.Host}
	for _, r := range a.Reasons {
		if r.Code == "" {
			return fmt.Errorf("reason without a code: %q", r.Detail)
		}
		texts = append(texts, r.Detail)
	}
	for _, h := range a.Address.Redirects {
		texts = append(texts, h.URL)
	}
	for _, m := range a.Completeness.Missing {
		texts = append(texts, m.URL, m.Why)
	}
	if s := strings.Join(texts, ""); !utf8.ValidString(s) {
		return errors.New("text is not UTF-8")
	}
	return nil
}

// Setup is what Run needs to know of a Collector.
type Setup struct {
	New     func(t *testing.T) collectors.Collector
	Good    collectors.Request // comes whole, with at least one Object above the inline limit
	Absent  collectors.Request // nothing answers
	Slow    collectors.Request // takes longer than a second
	Refused []string           // Sources that must not be tried
	Steps   int                // Captures that Good takes until it is done; 0 means 1
}

// Run runs the suite.
func Run(t *testing.T, s Setup) {
	t.Run("good", func(t *testing.T) {
		k := &Keeper{}
		a := collect(t, s.New(t), s.Good, k)
		if a.Outcome != collectors.Complete || a.Address.Final == "" {
			t.Errorf("outcome %s, %v, final %q", a.Outcome, a.Reasons, a.Address.Final)
		}
		if !slices.ContainsFunc(a.Objects, func(o collectors.Object) bool { return o.Kept }) {
			t.Error("nothing went to the keeper: the suite needs a larger Source")
		}
	})
	t.Run("steps", func(t *testing.T) { steps(t, s) })
	t.Run("options", func(t *testing.T) {
		r := s.Good
		r.Options = json.RawMessage(`{"no_such_option":true}`)
		if a, err := s.New(t).Collect(t.Context(), r, &Keeper{}); !errors.Is(err, collectors.ErrRefused) || a != nil {
			t.Errorf("an option that nobody knows: %v", err)
		}
	})
	t.Run("absent is a find", func(t *testing.T) {
		a := collect(t, s.New(t), s.Absent, &Keeper{})
		if a.Outcome != collectors.Failed || len(a.Objects) == 0 {
			t.Errorf("outcome %s with %d objects", a.Outcome, len(a.Objects))
		}
	})
	t.Run("refused", func(t *testing.T) {
		c := s.New(t)
		for _, source := range s.Refused {
			k := &Keeper{}
			a, err := c.Collect(t.Context(), collectors.Request{Source: source}, k)
			if !errors.Is(err, collectors.ErrRefused) || a != nil || len(k.kept) > 0 {
				t.Errorf("%.60q: %v", source, err)
			}
		}
	})
	t.Run("full disk", func(t *testing.T) {
		full := errors.New("disk full")
		if _, err := s.New(t).Collect(t.Context(), s.Good, &Keeper{Full: full}); !errors.Is(err, full) {
			t.Errorf("error %v", err)
		}
	})
	t.Run("cancelled", func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		begin := time.Now()
		_, err := s.New(t).Collect(ctx, s.Slow, &Keeper{})
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(begin) > 10*time.Second {
			t.Errorf("after %s: %v", time.Since(begin), err)
		}
	})
	t.Run("at once", func(t *testing.T) {
		c := s.New(t)
		var wg sync.WaitGroup
		for range 3 {
			wg.Go(func() {
				k := &Keeper{}
				a, err := c.Collect(t.Context(), s.Good, k)
				if err != nil {
					t.Error(err)
				} else if err := Check(a, k); err != nil || a.Outcome != collectors.Complete {
					t.Error(a.Outcome, a.Reasons, err)
				}
			})
		}
		wg.Wait()
	})
}

// steps follows Next to its end: each step is another one, and what is asked for
// with the same Cursor by a Collector made anew is the same step.
func steps(t *testing.T, s Setup) {
	r, seen, n := s.Good, map[uint64]bool{}, 0
	for {
		a, again := collect(t, s.New(t), r, &Keeper{}), collect(t, s.New(t), r, &Keeper{})
		if n++; n > max(s.Steps, 1) {
			t.Fatalf("more than %d steps", max(s.Steps, 1))
		}
		if (a.Next == nil) != (again.Next == nil) || a.Next != nil && (a.Next.Step != again.Next.Step || !bytes.Equal(a.Next.Cursor, again.Next.Cursor)) {
			t.Fatalf("step %d asked for twice: next %+v, then %+v", n, a.Next, again.Next)
		}
		if a.Next == nil {
			break
		}
		if seen[a.Next.Step] || bytes.Equal(a.Next.Cursor, r.Cursor) {
			t.Fatalf("step %d again", a.Next.Step)
		}
		seen[a.Next.Step], r.Cursor = true, a.Next.Cursor
	}
	if n != max(s.Steps, 1) {
		t.Errorf("%d steps, want %d", n, max(s.Steps, 1))
	}
}

func collect(t *testing.T, c collectors.Collector, r collectors.Request, k *Keeper) *collectors.Acquired {
	t.Helper()
	a, err := c.Collect(t.Context(), r, k)
	if err != nil {
		t.Fatal(err)
	}
	if err := Check(a, k); err != nil {
		t.Error(err)
	}
	return a
}
