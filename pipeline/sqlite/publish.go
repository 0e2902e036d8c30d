package sqlite

import (
	"context"
	"encoding/hex"
	"fmt"

	"holdfast"
	"holdfast/pipeline"
)

// Publish implements pipeline.Publisher: messages and Task in one transaction.
func (q *Queue) Publish(ctx context.Context, move *pipeline.Move, messages ...pipeline.Message) ([]pipeline.Place, error) {
	p := &publication{messages: messages, ids: make([][]byte, len(messages)), at: make([]int64, len(messages))}
	if err := p.check(); err != nil {
		return nil, fmt.Errorf("publish: %w", err)
	}
	do := q.w.do
	if move != nil && !move.Done && len(messages) == 0 { // it is asked for later, or, where that is lost, now
		do = q.w.doLazy
	}
	err := do(ctx, func(t *tx) error {
		if move != nil {
			if err := settle(t, move); err != nil {
				return err
			}
		}
		return p.insert(t)
	})
	if err != nil {
		return nil, fmt.Errorf("publish: %w", err)
	}
	out := make([]pipeline.Place, len(p.at))
	for i, at := range p.at {
		out[i] = pipeline.At(0, at)
	}
	return out, nil
}

type publication struct {
	messages []pipeline.Message
	ids      [][]byte
	at       []int64
}

func (p *publication) check() error {
	for i, m := range p.messages {
		if _, err := holdfast.ParseID(string(m.ID)); err != nil {
			return fmt.Errorf("%w: %w", pipeline.ErrMessage, err)
		}
		if len(m.Body) == 0 || len(m.Body) > pipeline.MaxMessage {
			return fmt.Errorf("%w: %d bytes", pipeline.ErrMessage, len(m.Body))
		}
		p.ids[i], _ = hex.DecodeString(string(m.ID))
	}
	return nil
}

// insert gives a position to each ID that has none. Looking first and then
// inserting is safe: the transaction holds the write lock. Insertion that skips
// conflicts would have to guess the positions of those that follow.
func (p *publication) insert(t *tx) error {
	end, err := t.end("captured")
	if err != nil {
		return err
	}
	fresh, err := p.assign(t, end)
	if err != nil {
		return err
	}
	err = chunks(len(fresh), func(from, to int) error { return p.write(t, fresh[from:to]) })
	if err == nil && len(fresh) > 0 {
		t.setEnd("captured", end+int64(len(fresh)))
	}
	return err
}

// assign fills p.at and returns the indexes of the messages that are new.
func (p *publication) assign(t *tx, end int64) ([]int, error) {
	fresh := make([]int, 0, len(p.messages))
	err := chunks(len(p.messages), func(from, to int) error { return p.known(t, from, to) })
	if err != nil {
		return nil, err
	}
	var within map[string]int64 // the same ID twice in one call
	if len(p.messages) > 1 {
		within = make(map[string]int64, len(p.messages))
	}
	for i, id := range p.ids {
		if p.at[i] != 0 {
			continue
		}
		if at, twice := within[string(id)]; twice {
			p.at[i] = at
			continue
		}
		end++
		p.at[i], fresh = end, append(fresh, i)
		if within != nil {
			within[string(id)] = end
		}
	}
	return fresh, nil
}

// known sets p.at for the IDs that have a position.
func (p *publication) known(t *tx, from, to int) error {
	args := make([]any, 0, 64)
	for _, id := range p.ids[from:to] {
		args = append(args, id)
	}
	st, err := t.st.get(t.ctx, values(`SELECT id, position FROM ids WHERE id IN (`, "?", to-from)+`)`)
	if err != nil {
		return err
	}
	rows, err := st.QueryContext(t.ctx, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var id []byte
		var at int64
		if err := rows.Scan(&id, &at); err != nil {
			return err
		}
		for i := from; i < to; i++ {
			if string(p.ids[i]) == string(id) {
				p.at[i] = at
			}
		}
	}
	return rows.Err()
}

// write says OR FAIL because the default would have SQLite copy each page aside,
// to take back one statement; here an error takes back the whole transaction.
func (p *publication) write(t *tx, fresh []int) error {
	args := make([]any, 0, 4*len(fresh))
	for _, i := range fresh {
		args = append(args, p.ids[i], p.at[i])
	}
	if err := t.exec(values(`INSERT OR FAIL INTO ids (id, position) VALUES `, "(?,?)", len(fresh)), args...); err != nil {
		return err
	}
	args = args[:0]
	for _, i := range fresh {
		args = append(args, p.at[i], p.ids[i], sum(p.ids[i], p.messages[i].Body), p.messages[i].Body)
	}
	for _, i := range fresh {
		t.published = append(t.published, pipeline.Message{Position: p.at[i], ID: p.messages[i].ID, Body: p.messages[i].Body})
	}
	return t.exec(values(`INSERT OR FAIL INTO captured (position, id, crc, body) VALUES `, "(?,?,?,?)", len(fresh)), args...)
}
