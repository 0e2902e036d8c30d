package export

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"holdfast"
	"holdfast/canon"
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

// payload is the statement as text, with the lists that grow with the Bundle
// left out: text[0], the captures of the first Case, text[1], those of the second
// …, then exhibits, files and what is withheld, each with the text before it.
type payload struct {
	text  [][]byte
	doc   *holdfast.Export
	list  []entry
	order []int32
}

func (w *writer) payload() (*payload, error) {
	x := w.doc
	x.Agent, x.Exported, x.Node, x.Training = w.Agent, w.Exported, w.Node, w.Training
	x.Exhibits, x.Withheld, x.Cases = x.Exhibits[:1], nil, slices.Clone(x.Cases) // a statement without any exhibit is refused
	for i := range x.Cases {
		x.Cases[i].Captures = []hashing.Digest{}
	}
	raw, err := x.Encode()
	if err != nil {
		return nil, fmt.Errorf("write export statement: %w", err)
	}
	p := &payload{doc: &w.doc, list: w.zip.list, order: w.zip.sorted(isData)}
	// No string of the document can hold the name of a list: inside a string the
	// quotes would be escaped. The lists' own bytes are escaped nowhere.
	for range x.Cases {
		raw = p.cut(raw, `"captures":[`)
	}
	raw = p.cut(raw, `"exhibits":[`)
	raw = raw[max(0, bytes.IndexByte(raw, ']')):]
	raw = p.cut(raw, `"files":[`)
	raw = p.cut(raw, `"withheld":[`)
	if p.text = append(p.text, raw); len(p.text) != len(x.Cases)+4 {
		return nil, fmt.Errorf("write export statement: not the lists of a statement")
	}
	return p, nil
}

// cut takes the text up to and with the name of a list.
func (p *payload) cut(raw []byte, name string) []byte {
	before, after, ok := bytes.Cut(raw, []byte(name))
	if ok {
		p.text = append(p.text, append(slices.Clone(before), name...))
	}
	return after
}

func isData(path string) bool { return strings.HasPrefix(path, "data/") }

func (p *payload) encode(dst io.Writer) error {
	w := &listWriter{dst: dst}
	for i := range p.doc.Cases {
		w.text(p.text[i])
		for _, d := range p.doc.Cases[i].Captures {
			w.item(func(b []byte) []byte { return appendDigest(b, d) })
		}
	}
	rest := p.text[len(p.doc.Cases):]
	w.text(rest[0])
	for i := range p.doc.Exhibits {
		w.item(func(b []byte) []byte { return appendExhibit(b, &p.doc.Exhibits[i]) })
	}
	w.text(rest[1])
	for _, k := range p.order {
		w.item(p.list[k].append)
	}
	w.text(rest[2])
	for i := range p.doc.Withheld {
		b, err := canon.Marshal(&p.doc.Withheld[i])
		if err != nil {
			return err
		}
		w.item(func(to []byte) []byte { return append(to, b...) })
	}
	w.text(rest[3])
	return w.err
}

// listWriter writes text, and the items of a list with commas between them.
type listWriter struct {
	dst  io.Writer
	buf  []byte
	some bool // of the list's items are written
	err  error
}

func (w *listWriter) text(b []byte) { w.write(b); w.some = false }

func (w *listWriter) item(add func([]byte) []byte) {
	if w.buf = w.buf[:0]; w.some {
		w.buf = append(w.buf, ',')
	}
	w.buf = add(w.buf)
	w.write(w.buf)
	w.some = true
}

func (w *listWriter) write(b []byte) {
	if w.err == nil {
		_, w.err = w.dst.Write(b)
	}
}

// append gives the file as the statement lists it. A path is of [a-z0-9._/-], so
// nothing is escaped.
func (e *entry) append(b []byte) []byte {
	b = appendDigest(append(b, `{"digest":`...), e.digest)
	b = append(append(b, `,"path":"`...), e.path...)
	b = strconv.AppendInt(append(b, `","size":`...), e.size, 10)
	return append(b, '}')
}

// appendExhibit does so for an exhibit: of hex digits, decimal ones and dashes.
func appendExhibit(b []byte, x *holdfast.Exhibit) []byte {
	b = append(append(b, `{"capture":"`...), x.Capture...)
	b = appendDigest(append(b, `","manifest":`...), x.Manifest)
	b = append(append(b, `,"number":"`...), x.Number...)
	b = append(append(b, `","seal":"`...), x.Seal...)
	return append(b, '"', '}')
}

func appendDigest(b []byte, d hashing.Digest) []byte {
	return append(hex.AppendEncode(append(b, `"sha256:`...), d[:]), '"')
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
