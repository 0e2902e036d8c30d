package sqlite

import (
	"fmt"
	"slices"

	"holdfast/pipeline"
)

// prune deletes what all stages have done, oldest first. Results follow their
// own stage. The IDs stay, so a late repetition is still recognised.
func prune(t *tx, max int64, stages []pipeline.Stage) (int64, error) {
	if !slices.Contains(stages, pipeline.StagePreserve) {
		return 0, refusal{fmt.Errorf("what is not preserved cannot be pruned: name the stage %s", pipeline.StagePreserve)}
	}
	done, results := int64(1<<62), int64(0)
	for _, s := range stages {
		var p int64
		if err := t.scan(`SELECT position FROM stages WHERE stage = ?`, []any{string(s)}, &p); err != nil {
			return 0, err
		}
		if s == pipeline.StageResults {
			results = p
		} else {
			done = min(done, p)
		}
	}
	var last int64 // of those to delete
	err := t.scan(`SELECT coalesce(max(position), 0) FROM (SELECT position FROM captured WHERE position <= ? AND keep = 0 ORDER BY position LIMIT ?)`, []any{done, max}, &last)
	if err != nil {
		return 0, err
	}
	n, err := t.count(`DELETE FROM captured WHERE position <= ? AND keep = 0`, last)
	if err != nil {
		return 0, err
	}
	if err := t.exec(`DELETE FROM notes WHERE position <= ? AND position NOT IN (SELECT position FROM captured WHERE position <= ?)`, last, last); err != nil {
		return 0, err
	}
	return n, t.exec(`DELETE FROM results WHERE position <= ?`, results)
}
