package telegram

import (
	"bytes"
	"context"
	"slices"

	"holdfast/collectors"
	"holdfast/hashing"
)

// inlineRoom is what the Objects of one Capture may have inline; the secrets of
// their slices ride there too.
const inlineRoom = collectors.MaxInline - 4096

// keeping puts bytes where they belong: large ones go to the Keeper.
type keeping struct {
	ctx   context.Context // of one call of Collect
	keep  collectors.Keeper
	large int // what has at least so many bytes does not ride inline
}

// newKeeping decides by all sizes together: the smallest ride inline for as long
// as there is room.
func newKeeping(ctx context.Context, keep collectors.Keeper, all []piece) *keeping {
	k, room := &keeping{ctx: ctx, keep: keep, large: inlineRoom + 1}, inlineRoom
	sizes := make([]int, len(all))
	for i, p := range all {
		sizes[i] = len(p.b)
	}
	slices.Sort(sizes)
	for _, n := range sizes {
		if room -= n; room < 0 {
			k.large = n
			break
		}
	}
	return k
}

func (k *keeping) place(o *collectors.Object, b []byte) (err error) {
	if len(b) < k.large {
		o.Inline, o.Digest = b, hashing.Of(b)
		return nil
	}
	o.Kept = true
	o.Digest, _, err = k.keep.Put(k.ctx, bytes.NewReader(b))
	return err
}
