package export

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"holdfast"
	"holdfast/canon"
)

// MinSize is the least that Split takes: a Bundle of one small Capture with its
// page, its script and its Seal fits.
const MinSize = 1 << 20

// slack is left free in each Bundle for what may be added to a Case between the
// measuring and the writing: custody lines, Captures that are counted.
const slack = 64 << 10

// Bytes that a custody line of an export takes besides who did it and why, and
// for each Capture in it. A line names so many Captures at most.
const (
	lineBytes  = 900
	givenBytes = 160
	perLine    = 1000
)

// Split divides the Captures of o, in their order, into Bundles of at most size
// bytes each, and returns what each shows. Every part names all Cases, so that
// exhibits keep the numbers that they would have in one Bundle.
//
// Sizes are measured by writing each Bundle without its Objects to nowhere, so
// nothing is read but Manifests, Seals and what the page shows; the same store
// gives the same parts. A Capture that does not fit into a Bundle of its own is
// [ErrSize], with the size that it needs: nothing was written then. It uses
// memory for 48 bytes a Capture, besides that of one Bundle in the making.
func Split(ctx context.Context, o Options, size int64) ([][]Selection, error) {
	if size < MinSize {
		return nil, fmt.Errorf("split: a bundle of at most %d bytes: %d is the least: %w", size, MinSize, ErrOptions)
	}
	if err := o.check(); err != nil {
		return nil, err
	}
	agent, err := canon.Marshal(o.Agent)
	if err != nil {
		return nil, fmt.Errorf("split: %w", err)
	}
	why, err := canon.Marshal([]string{o.Why})
	if err != nil {
		return nil, fmt.Errorf("split: %w", err)
	}
	end := lineBytes + int64(len(agent))
	s, sum := &splitter{o: o, size: size - slack, begin: end + int64(len(why)), end: end}, int64(0)
	for i, sel := range o.Cases {
		for _, id := range sel.Captures {
			n, err := s.guess(ctx, id)
			if err != nil {
				return nil, fmt.Errorf("split: capture %s: %w", id, err)
			}
			sum += n
			s.all = append(s.all, weighed{at: i, id: id, bytes: n, end: sum})
		}
	}
	var parts [][]Selection
	for from := 0; from < len(s.all); {
		to, err := s.part(ctx, from)
		if err != nil {
			return nil, fmt.Errorf("split: %w", err)
		}
		parts = append(parts, s.selections(from, to))
		s.lines += s.linesOf(from, to)
		from = to
	}
	return parts, nil
}

// weighed is a Capture with a guess at what it adds to a Bundle.
type weighed struct {
	at    int // which Case
	id    holdfast.ID
	bytes int64
	end   int64 // sum of bytes up to and with this one
}

type splitter struct {
	o     Options
	size  int64
	all   []weighed
	fixed int64 // guess at what a Bundle holds besides its exhibits; below 0 where these were guessed too large
	lines int64 // custody that the parts before will have added

	begin, end int64 // most bytes of a custody line of an export, with its reason and without
}

// linesOf is the custody that a part adds: in the chain of each Case that it
// shows the lines of its beginning and the one of its end, and in the first
// Case's what came from others.
func (s *splitter) linesOf(from, to int) int64 {
	n := givenBytes * int64(to-from)
	for i := from; i < to; {
		k := i
		for i < to && s.all[i].at == s.all[k].at {
			i++
		}
		n += int64((i-k)/perLine+1)*s.begin + s.end
	}
	if len(s.o.Cases) > 1 {
		n += int64((to-from)/perLine+1)*s.begin + s.end
	}
	return n
}

// guess is the size of the Objects that are shown and of what is said of each:
// in two headers, a list of checksums, the statement and the page.
func (s *splitter) guess(ctx context.Context, id holdfast.ID) (int64, error) {
	raw, _, err := s.o.Captures.Manifest(ctx, id)
	if err != nil {
		return 0, fmt.Errorf("read manifest: %w", err)
	}
	m, err := holdfast.ParseManifest(raw)
	if err != nil {
		return 0, fmt.Errorf("read manifest: %w", err)
	}
	plan, err := (&writer{Options: s.o}).plan(ctx, m)
	if err != nil {
		return 0, err
	}
	n := int64(len(raw)) + 4000
	for _, o := range m.Objects {
		n += 600
		if plan.withheld[o.Name] != "" {
			continue
		}
		n += o.Size
		if o.Role == "screenshot" && o.Size <= maxPicture {
			n += o.Size / 3 * 4
		}
	}
	for _, x := range plan.slices {
		n += x.slice.Length + secretSize + 2*600
	}
	return n, ctx.Err()
}

// part returns where the Bundle ends that begins at from: a guess is measured,
// and corrected by the measure until it fits and little room is left.
func (s *splitter) part(ctx context.Context, from int) (int, error) {
	fits, fails := from, len(s.all)+1
	need := int64(0) // what the first Capture alone needs, once that is measured
	for tries := 0; fits+1 < fails; tries++ {
		to := min(max(s.reach(from), fits+1), fails-1)
		if tries > maxTries {
			if fits > from {
				break // enough: a part that could be somewhat larger
			}
			to = (fits + fails) / 2
		}
		n, err := s.measure(ctx, from, to)
		if errors.Is(err, ErrUnread) && to-from > 1 { // no matter how large: half of it, which need not be the most
			fails = from + (to-from)/2 + 1
			continue
		}
		if err != nil {
			return 0, err
		}
		s.fixed = n - s.guessed(from, to)
		if n > s.size {
			fails, need = to, n
			continue
		}
		if fits = to; s.size-n < s.size/16 || s.reach(from) <= to {
			break
		}
	}
	if fits == from {
		return 0, fmt.Errorf("capture %s alone needs a bundle of %d bytes, at most %d are wanted: %w", s.all[from].id, need+slack, s.size+slack, ErrSize)
	}
	return fits, nil
}

// maxTries bounds the measuring of one part.
const maxTries = 6

// reach is how far a Bundle goes by the guess.
func (s *splitter) reach(from int) int {
	to := from
	for to < len(s.all) && s.fixed+s.guessed(from, to+1) <= s.size {
		to++
	}
	return to
}

func (s *splitter) guessed(from, to int) int64 {
	if from == to {
		return 0
	}
	return s.all[to-1].end - s.all[from].end + s.all[from].bytes
}

// selections names all Cases, and of each what lies in this part.
func (s *splitter) selections(from, to int) []Selection {
	out := make([]Selection, len(s.o.Cases))
	for i, sel := range s.o.Cases {
		out[i].Case = sel.Case
	}
	for _, w := range s.all[from:to] {
		out[w.at].Captures = append(out[w.at].Captures, w.id)
	}
	return out
}

// measure writes the Bundle to nowhere. Its numbers are as long as numbers can
// be, its signature too.
func (s *splitter) measure(ctx context.Context, from, to int) (int64, error) {
	o := s.o
	o.Cases, o.CaseFacts, o.MaxBytes, o.Progress = s.selections(from, to), unnumbered{o.CaseFacts}, 0, nil
	o.Part = &Part{Number: 99999, Of: 99999, Group: strings.Repeat("0", maxGroup)}
	sum, err := write(ctx, nowhere{}, o, true)
	if err != nil {
		return 0, err
	}
	return sum.Bytes + s.lines + s.linesOf(from, to), nil
}

const maxGroup = 200

// unnumbered gives no numbers, only their length.
type unnumbered struct{ Cases }

func (unnumbered) Numbers(_ context.Context, _ holdfast.ID, ids []holdfast.ID) ([]string, error) {
	out := make([]string, len(ids))
	for i := range out {
		out[i] = fmt.Sprint(999_999_999 - i)
	}
	return out, nil
}

// nowhere is a Target that keeps nothing.
type nowhere struct{}

func (nowhere) WriteAt(p []byte, _ int64) (int, error) { return len(p), nil }
