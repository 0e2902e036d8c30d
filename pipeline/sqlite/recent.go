package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"sync"

	"holdfast/pipeline"
)

// maxRecent bounds the bytes that a handle keeps of what it has published.
const maxRecent = 32 << 20

// recent keeps the newest messages that this handle has published and that are
// durable, so that stages in the same process need not read from the disk what
// has just been written to it. It is a copy of what a transaction committed and
// never changes; Notes are not in it, because other processes write them.
type recent struct {
	mu   sync.Mutex
	run  []pipeline.Message // positions without a gap
	size int
}

// add is called in the order of positions, after the commit. Where another
// process has published in between, the run begins anew.
func (r *recent) add(m []pipeline.Message) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, m := range m {
		if n := len(r.run); n > 0 && r.run[n-1].Position+1 != m.Position {
			r.run, r.size = nil, 0
		}
		r.run = append(r.run, m)
		r.size += len(m.Body)
	}
	for r.size > maxRecent {
		r.size -= len(r.run[0].Body)
		r.run[0] = pipeline.Message{} // for the collector: append moves the rest only now and then
		r.run = r.run[1:]
	}
}

// forget is called after a Prune, whose holes must be seen by all.
func (r *recent) forget() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.run, r.size = nil, 0
}

// after returns a copy of what follows a position, within the bounds and not
// past last; nothing if the run does not hold the next position.
func (r *recent) after(after, last int64, b pipeline.Bounds) []pipeline.Message {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.run) == 0 || after+1 < r.run[0].Position || after >= r.run[len(r.run)-1].Position {
		return nil
	}
	from := int(after + 1 - r.run[0].Position)
	to, size := from, 0
	for to < len(r.run) && to-from < b.Count && r.run[to].Position <= last {
		if size += len(r.run[to].Body); size > b.Bytes && to > from {
			break
		}
		to++
	}
	return append([]pipeline.Message(nil), r.run[from:to]...)
}

// remembered answers a Receive from memory, or with nothing if it cannot. What is
// normalised, and the Notes, are read from the file: the stage's position first,
// because Notes up to it never change any more.
func (q *Queue) remembered(ctx context.Context, query string, after int64, b pipeline.Bounds) ([]pipeline.Message, error) {
	switch query {
	case readCaptured:
		return q.recent.after(after, 1<<62, b), nil
	case readNotes:
	default:
		return nil, nil
	}
	var last int64
	if err := q.read.QueryRowContext(ctx, `SELECT position FROM stages WHERE stage = 'normalise'`).Scan(&last); err != nil {
		return nil, explain(err)
	}
	got := q.recent.after(after, last, b)
	if len(got) == 0 {
		return nil, nil
	}
	whole, err := q.addNotes(ctx, got)
	if err != nil {
		return nil, explain(err)
	}
	if !whole {
		return nil, nil
	}
	size := 0 // bounded once more, now with the Notes
	for i, m := range got {
		if size += len(m.Body) + len(m.Note); size > b.Bytes && i > 0 {
			return got[:i], nil
		}
	}
	return got, nil
}

// addNotes reports whether the Notes are all there: a Prune, by whomever, takes
// them with their messages, and a message that memory still has would then pass
// for one that has none, and its draft for its Manifest. What is pruned is pruned
// from the front, so where the first message is there, and not only because it is
// kept, the others are; one statement sees one state of the file.
func (q *Queue) addNotes(ctx context.Context, got []pipeline.Message) (whole bool, err error) {
	first := got[0].Position
	rows, err := q.read.QueryContext(ctx, `SELECT position, NULL, NULL FROM captured WHERE position = ?1 AND keep = 0
		UNION ALL SELECT position, crc, note FROM notes WHERE position >= ?1 AND position <= ?2`, first, got[len(got)-1].Position)
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var at int64
		var crc sql.NullInt64
		var note []byte
		if err := rows.Scan(&at, &crc, &note); err != nil {
			return false, err
		}
		if !crc.Valid {
			whole = true
			continue
		}
		m := &got[at-first]
		m.Note, m.Damaged = note, sum(note) != crc.Int64
	}
	return whole, rows.Err()
}
