package export

import (
	"bytes"
	"context"
	"fmt"
	"io"

	"holdfast"
	"holdfast/canon"
	"holdfast/hashing"
)

// custody writes the chains of all Cases and takes their heads for the
// statement. A chain with a gap is an error here: it would be a contradiction
// there.
func (w *writer) custody(ctx context.Context) error {
	heads := make(map[holdfast.ID]bool)
	return w.zip.stream(pathCustody, -1, func(dst io.Writer) error {
		for _, sel := range w.Cases {
			var head holdfast.Head
			for row, err := range w.CaseFacts.Custody(ctx, sel.Case) {
				if err != nil {
					return fmt.Errorf("read custody of case %s: %w", sel.Case, err)
				}
				line, d, err := rowBytes(&row)
				if err != nil {
					return err
				}
				if row.Chain != head.Chain {
					if heads[row.Chain] {
						return fmt.Errorf("custody chain %s comes in two pieces", row.Chain)
					}
					heads[row.Chain] = true
					w.endChain(head)
					head = holdfast.Head{Chain: row.Chain}
				}
				if row.N != head.Length+1 {
					return fmt.Errorf("custody chain %s: line %d follows line %d", row.Chain, row.N, head.Length)
				}
				head.Head, head.Length = holdfast.Next(head.Head, d), row.N
				if _, err := dst.Write(append(line, '\n')); err != nil {
					return err
				}
			}
			w.endChain(head)
		}
		return nil
	})
}

func (w *writer) endChain(h holdfast.Head) {
	if h.Length > 0 {
		w.doc.Custody = append(w.doc.Custody, h)
	}
}

// rowBytes returns what stands in custody.jsonl and the Digest that is chained.
func rowBytes(row *CustodyRow) ([]byte, hashing.Digest, error) {
	if row.Line == nil {
		b, err := canon.Marshal(&holdfast.Withheld{Chain: row.Chain, N: row.N, Withheld: row.Withheld})
		return b, row.Withheld, err
	}
	l, err := holdfast.ParseLine(row.Line)
	if err != nil {
		return nil, hashing.Digest{}, fmt.Errorf("custody line: %w", err)
	}
	row.Chain, row.N = l.Chain, l.N
	return bytes.Clone(row.Line), hashing.Of(row.Line), nil
}
