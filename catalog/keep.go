package catalog

import (
	"cmp"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"iter"
	"slices"
	"strconv"
	"strings"

	"holdfast"
	"holdfast/hashing"
)

// What every catalog keeps as the same numbers and bytes, so that one rule orders
// and finds them in all.

// StateName is the state that has the [Rank].
func StateName(rank int64) string {
	switch rank {
	case 2:
		return Sealed
	case 1:
		return Signed
	}
	return Pending
}

// OutcomeRank counts from complete (0) over partial to failed.
func OutcomeRank(outcome string) int64 {
	switch outcome {
	case "complete":
		return 0
	case "partial":
		return 1
	}
	return 2
}

// OutcomeName is the outcome of a rank.
func OutcomeName(rank int64) string {
	switch rank {
	case 0:
		return "complete"
	case 1:
		return "partial"
	}
	return "failed"
}

// SourceKey is what Sources are found by: eight bytes of their hash, so that an index
// stays small. The Source itself is compared after it.
func SourceKey(s holdfast.Source) int64 {
	d := hashing.Of([]byte(s))
	return int64(binary.BigEndian.Uint64(d[:8]))
}

// RawID is the 16 bytes of an ID whose form was checked ([Read], ParsePlan).
func RawID(id holdfast.ID) []byte {
	b, _ := hex.DecodeString(string(id))
	return b
}

// ParseID is RawID for an ID from anywhere.
func ParseID(id holdfast.ID) ([]byte, error) {
	if _, err := holdfast.ParseID(string(id)); err != nil {
		return nil, err
	}
	return RawID(id), nil
}

// TextID is the ID of what RawID gave.
func TextID(b []byte) holdfast.ID { return holdfast.ID(hex.EncodeToString(b)) }

// ChannelNumber is that of a channel's checked decimal.
func ChannelNumber(s string) int64 {
	n, _ := strconv.ParseInt(s, 10, 64)
	return n
}

// Flags holds TooLong (1) and Final (2).
func (r Reach) Flags() (n int64) {
	if r.TooLong {
		n |= 1
	}
	if r.Final {
		n |= 2
	}
	return n
}

// SetFlags is the other way.
func (r *Reach) SetFlags(n int64) { r.TooLong, r.Final = n&1 != 0, n&2 != 0 }

// HashRange is the least and the greatest Digest that begins with those digits.
func HashRange(digits string) (from, to []byte, err error) {
	if len(digits) > 64 {
		return nil, nil, fmt.Errorf("hash of %d digits", len(digits))
	}
	pad := strings.Repeat("0", 64-len(digits))
	if from, err = hex.DecodeString(digits + pad); err != nil {
		return nil, nil, err
	}
	to, err = hex.DecodeString(digits + strings.ReplaceAll(pad, "0", "f"))
	return from, to, err
}

// Pages yields what read gives, page by page from the place at, until there is no
// more or an error, which it yields last. Nothing is open between two pages: a slow
// reader holds up no database.
func Pages[T, K any](at K, read func(at K) (got []T, next K, more bool, err error)) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for at := at; ; {
			got, next, more, err := read(at)
			if err != nil {
				yield(*new(T), err)
				return
			}
			for _, v := range got {
				if !yield(v, nil) {
					return
				}
			}
			if !more {
				return
			}
			at = next
		}
	}
}

// PageCaptures yields what read gives for q, page by page, within q's limit.
func PageCaptures(q Query, page int, read func(q Query, limit int) ([]Capture, error)) iter.Seq2[Capture, error] {
	type place struct {
		q    Query
		left int
	}
	return Pages(place{q, q.Limit}, func(at place) ([]Capture, place, bool, error) {
		want := page
		if q.Limit > 0 {
			want = min(page, at.left)
		}
		got, err := read(at.q, want)
		if len(got) > 0 {
			at.q.After = got[len(got)-1].Cursor()
		}
		at.left -= len(got)
		return got, at, len(got) == want && (q.Limit <= 0 || at.left > 0), err
	})
}

// PageLooks yields what read gives from the highest number down, as [Looker] says.
func PageLooks(since holdfast.Time, page int, read func(below int64) ([]Look, error)) iter.Seq2[Look, error] {
	type place struct {
		below int64
		older int
	}
	return Pages(place{below: 1<<63 - 1}, func(at place) (out []Look, _ place, more bool, err error) {
		got, err := read(at.below)
		for _, l := range got {
			if at.below = l.ID; !l.Posted.Before(since.Time) {
				at.older, out = 0, append(out, l)
			} else if at.older++; at.older == MaxOlder {
				return out, at, false, err
			}
		}
		return out, at, len(got) == page, err
	})
}

// PagePosts yields the posts of a channel that follow from what read gives: the
// numbers behind after, up to to, a page of them, and the facts of each.
func PagePosts(q PostQuery, page int, read func(after, to int64) ([]int64, map[int64][]Fact, error)) iter.Seq2[Post, error] {
	after, to := q.After, int64(1<<63-1)
	if q.Post != 0 {
		after, to = max(after, q.Post-1), q.Post
	}
	return Pages(after, func(after int64) (out []Post, _ int64, more bool, err error) {
		ids, facts, err := read(after, to)
		for _, id := range ids {
			p, ok := FoldPost(q.Channel, id, facts[id])
			if ok || q.Unseen && len(facts[id]) > 0 {
				out = append(out, p)
			}
			after = id
		}
		return out, after, len(ids) == page, err
	})
}

// SortHeard puts answers about a channel in their order, which hangs on what they are
// alone.
func SortHeard(all []Heard) {
	slices.SortStableFunc(all, func(a, b Heard) int {
		return cmp.Or(a.At.Compare(b.At.Time), cmp.Compare(a.Capture, b.Capture), cmp.Compare(a.From, b.From), cmp.Compare(a.To, b.To), cmp.Compare(a.Posts, b.Posts), cmp.Compare(a.Gone, b.Gone))
	})
}
