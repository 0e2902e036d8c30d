package audit

import (
	"context"
	"fmt"
	"strings"
)

// hasBegun reports whether any Seal in the store is in the log: its mirror must lie there
// then. Asked only for a log without one, since it lists every part, once for all such
// logs. A part is mirrored before it is named here, so none is missed at work.
func (a *Auditor) hasBegun(ctx context.Context, origin string) (bool, error) {
	if a.began != nil {
		return a.began[origin], nil
	}
	began := map[string]bool{}
	for e, err := range a.Store.List(ctx, "seals/") {
		if err != nil {
			return false, fmt.Errorf("look for Seals in log %s: %w", origin, err)
		}
		// seals/<id>/inclusion/<origin>/<size>.json
		if parts := strings.Split(e.Name, "/"); len(parts) == 5 && parts[2] == "inclusion" && len(began) < maxLogs {
			began[parts[3]] = true
		}
	}
	a.began = began
	return began[origin], nil
}

// maxLogs bounds how many are remembered of a store that somebody filled with names.
const maxLogs = 10_000
