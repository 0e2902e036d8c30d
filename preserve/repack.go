package preserve

import (
	"io"
	"slices"

	"holdfast"
	"holdfast/hashing"
)

// WritePack writes a pack of these entries, each under its digest: what an erasure
// leaves of one. The same entries give the same bytes as when a batch was sealed, so
// doing it again gives the same pack.
func WritePack(w io.Writer, home holdfast.ID, files map[hashing.Digest][]byte) error {
	p := pack{home: home, entries: make([]packEntry, 0, len(files))}
	for d, b := range files {
		p.entries = append(p.entries, newEntry(d, b))
	}
	slices.SortFunc(p.entries, func(a, b packEntry) int { return a.digest.Compare(b.digest) })
	return p.write(w)
}
