package plans

import (
	"context"
	"errors"
	"io/fs"
	"strconv"
	"strings"

	"holdfast"
	"holdfast/storage"
)

// Dead are the Seals of which nothing is signed and whose packs are not whole: with their
// queue gone nobody writes them any more.
func Dead(ctx context.Context, store storage.Store) (map[string]bool, error) {
	dead := map[string]bool{}
	open, err := Unlogged(ctx, store)
	for _, seal := range open {
		if err == nil {
			dead[seal], err = unpacked(ctx, store, seal)
		}
	}
	return dead, err
}

func unpacked(ctx context.Context, store storage.Store, seal string) (bool, error) {
	signed, err := store.OpenName(ctx, "seals/"+seal+"/statement.dsse.json")
	if err == nil {
		return false, signed.Close()
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return false, err
	}
	p, err := Read(ctx, store, "seals/"+seal+"/plan.json")
	if err != nil {
		return false, err
	}
	items, err := Items(ctx, store, p)
	if err != nil && !ForGood(err) {
		return false, err
	}
	return err != nil || len(items) != len(p.Captures), nil
}

// Of returns the partition and the first position of the plan of a queue that a name of
// the store belongs to; position 0: of none.
func Of(name, queue string) (partition int, first int64) {
	for part := range strings.SplitSeq(name, "/") {
		rest, ours := strings.CutPrefix(strings.TrimSuffix(part, ".zip"), queue+"-")
		p, at, ok := strings.Cut(rest, "-")
		partition, perr := strconv.Atoi(p)
		first, err := strconv.ParseInt(at, 10, 64)
		if ours && ok && perr == nil && err == nil && partition >= 0 && holdfast.SealID(queue, partition, first) == queue+"-"+rest {
			return partition, first
		}
	}
	return 0, 0
}
