package pipeline

import (
	"encoding/json"
	"hash/crc32"

	"holdfast"
)

// fixed is the part of a Task that never changes, as a queue keeps it. Sum is the
// CRC-32C of the rest; what an earlier program wrote has none.
type fixed struct {
	Sum     int64           `json:"sum,omitempty"`
	Source  holdfast.Source `json:"source"`
	Case    holdfast.ID     `json:"case"`
	Agent   holdfast.Agent  `json:"agent"`
	Found   holdfast.Found  `json:"found"`
	Options json.RawMessage `json:"options,omitempty"`
}

func (f fixed) sum() (int64, error) {
	f.Sum = 0
	b, err := json.Marshal(f)
	return int64(crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli))), err
}

// Fixed returns the part of the Task that never changes, with its checksum: what a
// queue keeps of it beside ID, due time, step, attempt, cursor and lease.
func (t Task) Fixed() ([]byte, error) {
	f := fixed{Source: t.Source, Case: t.Case, Agent: t.Agent, Found: t.Found, Options: t.Options}
	sum, err := f.sum()
	if err != nil {
		return nil, err
	}
	f.Sum = sum
	return json.Marshal(f)
}

// WithFixed returns the Task with what Fixed returned. If those bytes, or anything
// else of it, are not what a queue was given, only ID, Due and Lease are left, and
// it is Damaged.
func (t Task) WithFixed(b []byte) Task {
	var f fixed
	bad := json.Unmarshal(b, &f) != nil
	if !bad {
		sum, err := f.sum()
		bad = err != nil || f.Sum != 0 && f.Sum != sum
	}
	t.Source, t.Case, t.Agent, t.Found, t.Options = f.Source, f.Case, f.Agent, f.Found, f.Options
	if bad || t.Check() != nil {
		return Task{ID: t.ID, Due: t.Due, Lease: t.Lease, Damaged: true}
	}
	return t
}
