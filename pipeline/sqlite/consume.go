package sqlite

import (
	"context"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"holdfast"
	"holdfast/pipeline"
)

// Position implements pipeline.Consumer.
func (q *Queue) Position(ctx context.Context, s pipeline.Stage, partition int) (int64, error) {
	if err := onlyZero(partition); err != nil {
		return 0, err
	}
	var p int64
	if err := q.read.QueryRowContext(ctx, `SELECT position FROM stages WHERE stage = ?`, string(s)).Scan(&p); err != nil {
		return 0, fmt.Errorf("read position of %s: %w", s, explain(err))
	}
	return p, nil
}

func onlyZero(partition int) error {
	if partition != 0 {
		return fmt.Errorf("partition %d: the embedded queue has partition 0 only", partition)
	}
	return nil
}

// What each stage reads. A message is normalised once the stage normalise has
// gone past it, whether or not there is a Note.
const (
	readCaptured = `SELECT position, id, crc, body, NULL, NULL FROM captured WHERE position > ?1 ORDER BY position LIMIT ?2`
	readNotes    = `SELECT c.position, c.id, c.crc, c.body, n.crc, n.note FROM captured c LEFT JOIN notes n ON n.position = c.position
	                WHERE c.position > ?1 AND c.position <= (SELECT position FROM stages WHERE stage = 'normalise') ORDER BY c.position LIMIT ?2`
	readResults = `SELECT position, NULL, crc, body, NULL, NULL FROM results WHERE position > ?1 ORDER BY position LIMIT ?2`
)

func reads(s pipeline.Stage) (string, error) {
	switch s {
	case pipeline.StageNormalise:
		return readCaptured, nil
	case pipeline.StagePreserve, pipeline.StageIndex, pipeline.StageAlerts:
		return readNotes, nil
	case pipeline.StageResults:
		return readResults, nil
	}
	return "", fmt.Errorf("stage %q is not known", s)
}

// Receive implements pipeline.Consumer.
func (q *Queue) Receive(ctx context.Context, s pipeline.Stage, partition int, after int64, b pipeline.Bounds) ([]pipeline.Message, error) {
	query, err := reads(s)
	if err := errors.Join(err, onlyZero(partition)); err != nil {
		return nil, fmt.Errorf("receive: %w", err)
	}
	if b.Count <= 0 {
		b.Count = pipeline.MaxBatch
	}
	if b.Bytes <= 0 {
		b.Bytes = pipeline.MaxBytes
	}
	for {
		woken := q.wake.wait()
		got, err := q.look(ctx, s, query, after, b)
		if err != nil {
			return nil, fmt.Errorf("receive for %s: %w", s, err)
		}
		if len(got) > 0 || b.NoWait {
			return got, nil
		}
		poll := time.NewTimer(q.o.Poll)
		select {
		case <-woken:
		case <-poll.C:
		case <-ctx.Done():
			poll.Stop()
			return nil, context.Cause(ctx)
		}
		poll.Stop()
	}
}

func (q *Queue) look(ctx context.Context, s pipeline.Stage, query string, after int64, b pipeline.Bounds) ([]pipeline.Message, error) {
	if got, err := q.remembered(ctx, query, after, b); err != nil || len(got) > 0 {
		return got, err
	}
	rows, err := q.read.QueryContext(ctx, query, after, b.Count)
	if err != nil {
		return nil, explain(err)
	}
	defer rows.Close()
	var got []pipeline.Message
	for size := 0; rows.Next(); {
		m, err := scanMessage(rows)
		if err != nil {
			return nil, explain(err)
		}
		if want := after + int64(len(got)) + 1; m.Position != want {
			rows.Close()
			return nil, q.gap(ctx, s, want, m.Position)
		}
		if size += len(m.Body) + len(m.Note); size > b.Bytes && len(got) > 0 {
			break
		}
		got = append(got, m)
	}
	return got, explain(rows.Err())
}

// gap says why the messages from want to next are not there. Only what every
// stage has gone past is pruned: so if this one has, another process moved it
// while we waited, and nothing is lost.
func (q *Queue) gap(ctx context.Context, s pipeline.Stage, want, next int64) error {
	at, err := q.Position(ctx, s, 0)
	if err == nil && at >= next-1 {
		err = fmt.Errorf("position %d was pruned: %w", want, pipeline.ErrStale)
	} else if err == nil {
		err = fmt.Errorf("%w: position %d is gone, the next is %d, and %s is at %d: the file is damaged", pipeline.ErrForeign, want, next, s, at)
	}
	return err
}

func scanMessage(rows *sql.Rows) (m pipeline.Message, err error) {
	var id []byte
	var crc int64
	var noteCRC sql.NullInt64
	if err := rows.Scan(&m.Position, &id, &crc, &m.Body, &noteCRC, &m.Note); err != nil {
		return m, err
	}
	m.Damaged = sum(id, m.Body) != crc || noteCRC.Valid && sum(m.Note) != noteCRC.Int64
	if m.Damaged { // its plan must name an ID, whatever is left of this one
		id = append(id[:min(len(id), 16)], make([]byte, max(0, 16-len(id)))...)
	}
	m.ID = holdfast.ID(hex.EncodeToString(id))
	return m, nil
}

// Advance implements pipeline.Consumer: what the stage made and its position in
// one transaction.
func (q *Queue) Advance(ctx context.Context, a pipeline.Ack, out ...pipeline.Message) error {
	if err := checkAdvance(a, out); err != nil {
		return fmt.Errorf("advance %s: %w", a.Stage, err)
	}
	do := q.w.do
	if a.Stage == pipeline.StageIndex || a.Stage == pipeline.StageResults {
		do = q.w.doLazy
	}
	err := do(ctx, func(t *tx) error {
		if err := moveStage(t, a); err != nil {
			return err
		}
		t.news = t.news || a.Stage == pipeline.StageNormalise || len(out) > 0
		for _, p := range a.Poison {
			if err := t.exec(`UPDATE captured SET keep = 1 WHERE position = ?`, p); err != nil {
				return err
			}
		}
		if a.Stage == pipeline.StagePreserve {
			return addResults(t, out)
		}
		return addNotes(t, out)
	})
	if err != nil {
		return fmt.Errorf("advance %s to %d: %w", a.Stage, a.To, err)
	}
	return nil
}

func checkAdvance(a pipeline.Ack, out []pipeline.Message) error {
	_, err := reads(a.Stage)
	if err := errors.Join(err, onlyZero(a.Partition)); err != nil {
		return err
	}
	if a.To < a.From || a.From < 0 {
		return fmt.Errorf("from %d to %d is not forward", a.From, a.To)
	}
	for _, m := range out {
		switch {
		case a.Stage == pipeline.StageNormalise && (len(m.Note) == 0 || m.Position <= a.From || m.Position > a.To):
			return fmt.Errorf("%w: note of position %d, stage goes from %d to %d", pipeline.ErrMessage, m.Position, a.From, a.To)
		case a.Stage == pipeline.StagePreserve && len(m.Body) == 0:
			return fmt.Errorf("%w: empty result", pipeline.ErrMessage)
		case a.Stage == pipeline.StageIndex || a.Stage == pipeline.StageResults || a.Stage == pipeline.StageAlerts:
			return fmt.Errorf("%w: this stage writes nothing", pipeline.ErrMessage)
		case len(m.Note) > pipeline.MaxMessage || len(m.Body) > pipeline.MaxMessage:
			return fmt.Errorf("%w: more than %d bytes", pipeline.ErrMessage, pipeline.MaxMessage)
		}
	}
	return nil
}

// moveStage refuses before it writes: where the stage is not at a.From, and
// where a.To is past what the stage may read.
func moveStage(t *tx, a pipeline.Ack) error {
	var at, limit int64
	err := t.scan(`SELECT position FROM stages WHERE stage = ?`, []any{string(a.Stage)}, &at)
	if err != nil {
		return err
	}
	switch a.Stage {
	case pipeline.StagePreserve, pipeline.StageIndex, pipeline.StageAlerts:
		err = t.scan(`SELECT position FROM stages WHERE stage = 'normalise'`, nil, &limit)
	case pipeline.StageNormalise:
		limit, err = t.end("captured")
	case pipeline.StageResults:
		limit, err = t.end("results")
	}
	switch {
	case err != nil:
		return err
	case at != a.From:
		return refusal{fmt.Errorf("%w: it is at %d, not %d", pipeline.ErrStale, at, a.From)}
	case a.To > limit:
		return refusal{fmt.Errorf("position %d is past the end %d", a.To, limit)}
	}
	return t.exec(`UPDATE stages SET position = ? WHERE stage = ?`, a.To, string(a.Stage))
}

func addNotes(t *tx, out []pipeline.Message) error {
	return chunks(len(out), func(from, to int) error {
		args := make([]any, 0, 3*64)
		for _, m := range out[from:to] {
			args = append(args, m.Position, sum(m.Note), m.Note)
		}
		return t.exec(values(`INSERT OR IGNORE INTO notes (position, crc, note) VALUES `, "(?,?,?)", to-from), args...)
	})
}

func addResults(t *tx, out []pipeline.Message) error {
	if len(out) == 0 {
		return nil
	}
	end, err := t.end("results")
	if err != nil {
		return err
	}
	for _, m := range out {
		end++
		if err := t.exec(`INSERT INTO results (position, crc, body) VALUES (?, ?, ?)`, end, sum(nil, m.Body), m.Body); err != nil {
			return err
		}
	}
	t.setEnd("results", end)
	return nil
}

// Announce implements pipeline.Announcer.
func (q *Queue) Announce(ctx context.Context, results ...pipeline.Message) error {
	if err := checkAdvance(pipeline.Ack{Stage: pipeline.StagePreserve}, results); err != nil {
		return fmt.Errorf("announce: %w", err)
	}
	if err := q.w.do(ctx, func(t *tx) error { t.news = true; return addResults(t, results) }); err != nil {
		return fmt.Errorf("announce: %w", err)
	}
	return nil
}

// Prune implements pipeline.Pruner.
func (q *Queue) Prune(ctx context.Context, max int, stages ...pipeline.Stage) (int, error) {
	if max <= 0 {
		max = 1<<31 - 1
	}
	n := int64(0)
	err := q.w.doLazy(ctx, func(t *tx) (err error) {
		n, err = prune(t, int64(max), stages)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("prune: %w", err)
	}
	if n > 0 {
		q.recent.forget()
	}
	return int(n), nil
}
