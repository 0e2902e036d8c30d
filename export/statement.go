package export

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"holdfast"
	"holdfast/hashing"
)

// statement writes data/export.dsse.json: it lists every other file under
// data/. The list is encoded three times (to count, to sign, to write) and
// never held, because it may be larger than all the rest of the process.
func (w *writer) statement(ctx context.Context) error {
	p, err := w.payload()
	if err != nil {
		return err
	}
	length := new(counter)
	if err := p.encode(length); err != nil {
		return err
	}
	if envelopeSize(int64(*length)) > w.maxExport {
		return tooMuch("the list of its files", w.maxExport)
	}
	sig, err := w.sign(ctx, p, int64(*length))
	if err != nil {
		return fmt.Errorf("sign export statement: %w", err)
	}
	err = w.zip.stream(pathExport, -1, func(dst io.Writer) error {
		if _, err := io.WriteString(dst, `{"payload":"`); err != nil {
			return err
		}
		b64 := base64.NewEncoder(base64.StdEncoding, dst)
		if err := p.encode(b64); err != nil {
			return err
		}
		if err := b64.Close(); err != nil {
			return err
		}
		_, err := fmt.Fprintf(dst, `","payloadType":"%s","signatures":[{"sig":"%s"}]}`, holdfast.PayloadExport, base64.StdEncoding.EncodeToString(sig))
		return err
	})
	if err == nil {
		w.sum.Statement = w.zip.list[len(w.zip.list)-1].digest
	}
	return err
}

// maxSignature is the longest ECDSA P-256 signature in DER.
const maxSignature = 72

func (w *writer) sign(ctx context.Context, p *payload, length int64) ([]byte, error) {
	if w.dry {
		return make([]byte, maxSignature), nil
	}
	sum := sha256.New()
	fmt.Fprintf(sum, "DSSEv1 %d %s %d ", len(holdfast.PayloadExport), holdfast.PayloadExport, length)
	if err := p.encode(sum); err != nil {
		return nil, err
	}
	return w.Signer.SignDigest(ctx, hashing.Digest(sum.Sum(nil)))
}

type counter int64

func (c *counter) Write(p []byte) (int, error) {
	*c += counter(len(p))
	return len(p), nil
}

// payload is the statement in three parts, with the list of files between the
// first and the last.
type payload struct {
	head, tail []byte
	list       []entry
	order      []int32
}

func (w *writer) payload() (*payload, error) {
	x := w.doc
	x.Agent, x.Exported, x.Node, x.Training = w.Agent, w.Exported, w.Node, w.Training
	raw, err := x.Encode()
	if err != nil {
		return nil, fmt.Errorf("write export statement: %w", err)
	}
	// No string of the document can hold these bytes: inside a string the
	// quotes would be escaped.
	head, tail, ok := bytes.Cut(raw, []byte(`"files":[]`))
	if !ok {
		return nil, fmt.Errorf("write export statement: no list of files in it")
	}
	return &payload{head: head, tail: tail, list: w.zip.list, order: w.zip.sorted(isData)}, nil
}

func isData(path string) bool { return strings.HasPrefix(path, "data/") }

func (p *payload) encode(dst io.Writer) error {
	if _, err := dst.Write(append(slices.Clone(p.head), `"files":[`...)); err != nil {
		return err
	}
	var b []byte
	for i, k := range p.order {
		e := &p.list[k]
		b = b[:0]
		if i > 0 {
			b = append(b, ',')
		}
		b = append(append(b, `{"digest":"`...), e.digest.String()...)
		b = append(append(b, `","path":"`...), e.path...) // of [a-z0-9._/-]: nothing to escape
		b = strconv.AppendInt(append(b, `","size":`...), e.size, 10)
		if _, err := dst.Write(append(b, '}')); err != nil {
			return err
		}
	}
	_, err := dst.Write(append([]byte{']'}, p.tail...))
	return err
}

// sorted gives the places of the files whose path is wanted, by path.
func (a *archive) sorted(want func(path string) bool) []int32 {
	var order []int32
	for i := range a.list {
		if want(a.list[i].path) {
			order = append(order, int32(i))
		}
	}
	slices.SortFunc(order, func(i, j int32) int { return strings.Compare(a.list[i].path, a.list[j].path) })
	return order
}
