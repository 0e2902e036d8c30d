package pipeline

// MaxPartitions and MaxPosition bound a [Place]; it is less than 1<<53, so every
// JSON reader reads it whole.
const (
	MaxPartitions = 1 << 13
	MaxPosition   = 1<<40 - 1
)

// Place is a position with its partition, as one number that sorts by both:
// partition<<40 | position. In the embedded queue, whose only partition is 0, it
// is the position. It is what is written down where positions of several
// partitions meet: in the catalog, and in the Outbox's marks.
type Place int64

// At returns the Place of a position, which must be within the bounds.
func At(partition int, position int64) Place { return Place(int64(partition)<<40 | position) }

// Partition returns the partition.
func (p Place) Partition() int { return int(p >> 40) }

// Position returns the position within the partition.
func (p Place) Position() int64 { return int64(p) & MaxPosition }
