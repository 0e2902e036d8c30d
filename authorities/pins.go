package authorities

import (
	"slices"

	"holdfast"
)

// Join adds to saved what ours has more of a Policy: entries, and ends. Two
// processes may pin one authority at the same moment; the first stands.
func Join(saved, ours []holdfast.Authority) []holdfast.Authority {
	joined := slices.Clone(saved)
	for _, a := range ours {
		i := slices.IndexFunc(joined, func(b holdfast.Authority) bool {
			same := a.Operator == b.Operator && a.Root == b.Root && a.Policy == b.Policy && (a.Issuer == nil) == (b.Issuer == nil) && (a.Issuer == nil || *a.Issuer == *b.Issuer)
			return same && (a.From.Equal(b.From.Time) || a.Until == nil && b.Until == nil)
		})
		switch {
		case i < 0:
			joined = append(joined, a)
		case joined[i].Until == nil:
			joined[i].Until = a.Until
		}
	}
	return joined
}
