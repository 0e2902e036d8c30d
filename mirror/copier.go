package mirror

import (
	"context"
	"errors"
	"io"
	"strings"

	"holdfast"
	"holdfast/hashing"
	"holdfast/preserve"
	"holdfast/storage"
)

// A Source is a store that is copied. Where it has OpenUnread, an Object is hashed
// once, by the target, and not twice.
type Source interface {
	storage.Opener
	storage.Reader
	storage.Lister
	storage.ObjectLister
}

// A Target is a store that becomes a copy.
type Target interface {
	Source
	storage.Importer
}

// unreadOpener opens an Object without hashing it.
type unreadOpener interface {
	OpenUnread(d hashing.Digest) (io.ReadCloser, error)
}

// A Copier makes one store hold what another holds, while the other one grows: see
// the package. It is for one Look and one Run, by one goroutine.
type Copier struct {
	From    Source
	To      Target
	Check   bool                         // read what both have, and compare digests
	Told    func(files, bytes int64)     // Optional: progress, so far.
	Problem func(name string, err error) // told of what is damaged, left out, or of one side alone; not called at once
	// Ordered, optional, says whether a sealed order bears a tombstone of the source out;
	// without it nothing leaves the target.
	Ordered func(ctx context.Context, t *storage.Tombstone) error
	After   *Afterwards // Optional: what the target's node has made itself.
	Shared  bool        // others write to the target too: what it alone has is theirs
	// Locked, optional, is told what is to leave the target and is kept by a lock of its
	// until then; a later run takes it out. Without it that is a Problem.
	Locked func(e *storage.LockedError)

	ends  map[string]int64 // size of each log's newest checkpoint
	plan  plan
	files int64
	bytes int64

	erasedHere int64
}

// plan is what the target lacks, in the order of writing. Objects are not in it:
// each is good by itself, and they are the many.
type plan struct {
	packs   []storage.Entry
	parts   []storage.Entry // plans, statements, tokens
	tiles   []storage.Entry
	points  []storage.Entry // checkpoints, by size
	proofs  []storage.Entry // checkpoints and inclusions of Seals
	digests map[string]hashing.Digest
	kept    map[string]bool      // Seals that the target has, or gets
	waits   map[string]bool      // queues of which a Seal is left to the next run, and all behind it
	tombs   []*storage.Tombstone // of the source
	gone    map[string]string    // packs that were erased there, and where the rest lies
	erased  []storage.Entry      // tombstones that the target lacks
	only    []string             // names below seals/ that only the target has, not judged yet
}

// Afterwards says from which state of its log on a target has been a node of its
// own. What it has made since lies in it alone and is no damage: the log behind
// that state, and whatever finishes Seals that the copied store had only planned
// or signed. And no Seal comes into it any more: the custody lines that no plan
// had were published again when it became a node.
type Afterwards struct {
	Origin string
	Size   int64
}

func (a *Afterwards) logged(name string) bool {
	origin, size, ok := preserve.MirrorSize(name)
	return a != nil && ok && origin == a.Origin && size > a.Size
}

// Problems that a caller may have a word for.
var (
	// ErrLater: a name came into the source too late to be taken.
	ErrLater = errors.New("the mirror has it now, and had it not when this node was made: restore into a new directory")
	// ErrOnlyCopy: the target has a name that the source has not.
	ErrOnlyCopy = errors.New("only the copy has it: the original is an older state, or was damaged")
)

// Look lists both stores and decides what is copied. The order is that of the
// promise: the log's newest checkpoint before the Seals, the Seals before the
// packs. Nothing is written.
func (c *Copier) Look(ctx context.Context) error {
	c.plan = plan{digests: map[string]hashing.Digest{}, kept: map[string]bool{}, waits: map[string]bool{}}
	c.ends = map[string]int64{}
	if err := c.lookLogs(ctx); err != nil {
		return err
	}
	if err := c.lookErased(ctx); err != nil {
		return err
	}
	if err := c.lookSeals(ctx); err != nil {
		return err
	}
	return c.both(ctx, "cases/", func(e storage.Entry, there bool) error {
		if !there && c.plan.gone[e.Name] == "" && c.packWanted(e.Name) {
			c.plan.packs = append(c.plan.packs, e)
		}
		return nil
	})
}

// LogSize is how far Look found a log that the copy will hold, by its newest
// checkpoint; 0 if there is none.
func (c *Copier) LogSize(origin string) int64 { return c.ends[origin] }

// NewestSeal is the last Seal of a partition of a queue that the copy will hold; "" if
// there is none.
func (c *Copier) NewestSeal(queue string, partition int) (newest string) {
	first := holdfast.SealID(queue, partition, 0)
	prefix := first[:strings.LastIndexByte(first, '-')+1]
	for seal := range c.plan.kept {
		if strings.HasPrefix(seal, prefix) {
			newest = max(newest, seal)
		}
	}
	return newest
}

// Lacks is how many names Look found that the target lacks; Objects are not looked for.
func (c *Copier) Lacks() int {
	p := &c.plan
	return len(p.packs) + len(p.parts) + len(p.tiles) + len(p.points) + len(p.proofs) + len(p.erased)
}

// Copied is how much Run has written by now: Objects and names, and their bytes.
func (c *Copier) Copied() (files, bytes int64) { return c.files, c.bytes }

// Erased is how much has left the target.
func (c *Copier) Erased() int64 { return c.erasedHere }

// packWanted leaves out packs of Seals that are just being made.
func (c *Copier) packWanted(name string) bool {
	_, pack, ok := strings.Cut(name, "/packs/")
	seal := strings.TrimSuffix(pack, ".zip")
	return !ok || !holdfast.ValidSealID(seal) || c.plan.kept[seal]
}
