package catalogtest

import (
	"context"
	"fmt"
	"iter"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"holdfast"
	"holdfast/catalog"
	"holdfast/hashing"
)

// Dump asks everything there is to ask about a World and writes down the
// answers: two catalogs with equal dumps are the same to everybody.
func Dump(t *testing.T, c catalog.Catalog, w *World) string {
	t.Helper()
	ctx, out := t.Context(), new(strings.Builder)
	for _, k := range Collect(t, c.Captures(ctx, catalog.Query{})) {
		one, err := c.Capture(ctx, k.ID)
		if err != nil || fmt.Sprint(one) != fmt.Sprint(k) {
			t.Errorf("Capture(%s) = %v, %v; listed as %v", k.ID, one, err, k)
		}
		fmt.Fprintf(out, "capture %+v\n", k)
	}
	for _, k := range Collect(t, c.Cases(ctx)) {
		fmt.Fprintf(out, "case %+v\n", k)
		for _, x := range Collect(t, c.Exhibits(ctx, k.ID)) {
			fmt.Fprintf(out, "exhibit %+v\n", x)
		}
		for _, m := range Collect(t, c.Captures(ctx, catalog.Query{Member: k.ID})) {
			fmt.Fprintf(out, "member %s of %s\n", m.ID, k.ID)
		}
	}
	for _, k := range Collect(t, c.Captures(ctx, catalog.Query{Unnamed: true})) {
		fmt.Fprintf(out, "unnamed %s\n", k.ID)
	}
	dumpPosts(t, c, w, out)
	dumpDocuments(t, c, w, out)
	dumpTexts(t, c, w, out)
	for _, d := range w.digests() {
		for _, r := range Collect(t, c.Refs(ctx, d)) {
			fmt.Fprintf(out, "ref %s %+v\n", d.Hex(), r)
		}
	}
	return out.String()
}

func (w *World) digests() (ds []hashing.Digest) {
	for _, m := range w.Messages {
		for _, b := range append([][]byte{m.Manifest}, m.Small...) {
			ds = append(ds, hashing.Of(b))
		}
	}
	slices.SortFunc(ds, hashing.Digest.Compare)
	return slices.Compact(ds)
}

// Collect reads a sequence to its end; an error fails the test.
func Collect[T any](t *testing.T, seq iter.Seq2[T, error]) (out []T) {
	t.Helper()
	for v, err := range seq {
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, v)
	}
	return out
}

// Facts are calls of a Writer.
type Facts []func(context.Context, catalog.Writer) error

// Give makes the calls.
func (f Facts) Give(ctx context.Context, w catalog.Writer) error {
	for _, call := range f {
		if err := call(ctx, w); err != nil {
			return err
		}
	}
	return nil
}

// Facts are all facts of a World, each at least once, some twice, in a random
// order and in calls of random size. A Seal's members, places and state come
// together or apart, and a signed state may come behind the sealed one.
func (w *World) Facts(t *testing.T, seed uint64) (out Facts) {
	t.Helper()
	rnd := rand.New(rand.NewPCG(seed, 11))
	accepted, sealed := w.accepted(t), w.states(rnd)
	accepted, sealed = append(again(rnd, accepted), unread(rnd, accepted)...), again(rnd, sealed)
	for _, part := range split(rnd, accepted) {
		out = append(out, func(ctx context.Context, c catalog.Writer) error { return c.Accepted(ctx, part) })
	}
	for _, part := range split(rnd, sealed) {
		out = append(out, func(ctx context.Context, c catalog.Writer) error { return c.Sealed(ctx, part) })
	}
	rnd.Shuffle(len(out), func(i, j int) { out[i], out[j] = out[j], out[i] })
	return out
}

func (w *World) accepted(t *testing.T) (out []catalog.Accepted) {
	t.Helper()
	for _, m := range w.Messages {
		a, err := m.Accepted()
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, a)
	}
	return out
}

func (w *World) states(rnd *rand.Rand) (out []catalog.SealState) {
	for _, b := range w.Batches {
		full := b.Seal
		full.At = w.clock
		early := catalog.SealState{Seal: full.Seal, State: catalog.Pending, Reason: "planned", At: w.clock.Add(-1)}
		if full.State == catalog.Pending {
			early = full
		}
		switch rnd.IntN(3) {
		case 0:
			out = append(out, full)
		case 1: // members with the first state, the further state alone
			early.Members, early.Placed = full.Members, full.Placed
			full.Members, full.Placed = nil, nil
			out = append(out, early, full)
		case 2: // in two halves, with states that are left behind
			n, k := len(full.Members)/2, len(full.Placed)/2
			a, z := full, early
			a.Members, a.Placed = full.Members[:n], full.Placed[:k]
			z.Members, z.Placed = full.Members[n:], full.Placed[k:]
			out = append(out, a, z)
		}
	}
	return out
}

func again[T any](rnd *rand.Rand, in []T) []T {
	out := slices.Clone(in)
	for _, v := range in {
		if rnd.IntN(3) == 0 {
			out = append(out, v)
		}
	}
	rnd.Shuffle(len(out), func(i, j int) { out[i], out[j] = out[j], out[i] })
	return out
}

func split[T any](rnd *rand.Rand, in []T) (out [][]T) {
	for len(in) > 0 {
		n := min(len(in), 1+rnd.IntN(40))
		out, in = append(out, in[:n]), in[n:]
	}
	return out
}

// Straight gives the facts in the order in which they came to be, once.
func (w *World) Straight(t *testing.T) Facts {
	t.Helper()
	all := w.accepted(t)
	var sealed []catalog.SealState
	for _, b := range w.Batches {
		sealed = append(sealed, b.Seal)
	}
	return Facts{
		func(ctx context.Context, c catalog.Writer) error { return c.Accepted(ctx, all) },
		func(ctx context.Context, c catalog.Writer) error { return c.Sealed(ctx, sealed) },
	}
}

// caseOf is the place of a Case in w.Cases.
func (w *World) caseOf(id holdfast.ID) int { return slices.Index(w.Cases, id) }
