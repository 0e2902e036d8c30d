package export

import (
	"bytes"
	"context"
	"crypto/x509"
	"fmt"
	"io"
	"log/slog"
	"slices"

	"holdfast"
	"holdfast/hashing"
)

// writer is one Bundle in the making.
type writer struct {
	Options
	zip     *archive
	doc     holdfast.Export // the statement, without its files
	sum     Summary
	records []*Record // of the Cases, in their order
	seals   map[string]*seal
	nodes   map[string]*holdfast.PolicyNode // whose entries travel along
	certs   map[hashing.Digest]*x509.Certificate
	anchors []*x509.Certificate    // those that the policy trusts
	tsas    map[hashing.Digest]tsa // by the Digest of the signer's certificate
	trees   map[string]map[int64]hashing.Digest
	dry     bool // measuring: Objects are counted, not read, and nothing is signed
}

// Write writes a Bundle to dst, which must be empty. On an error what dst holds
// is no Bundle and must be thrown away. It runs in the caller's goroutine; many
// may run at once. Errors wrap [ErrOptions], hashing.ErrMismatch (bytes of the
// store are not the named ones) or what the interfaces of Options gave.
func Write(ctx context.Context, dst Target, o Options) (*Summary, error) {
	return write(ctx, dst, o, false)
}

func write(ctx context.Context, dst Target, o Options, dry bool) (*Summary, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	w := &writer{
		dry:     dry,
		Options: o, zip: newArchive(dst, o.Exported.Time),
		seals: make(map[string]*seal), nodes: make(map[string]*holdfast.PolicyNode), certs: make(map[hashing.Digest]*x509.Certificate),
		tsas: make(map[hashing.Digest]tsa), trees: make(map[string]map[int64]hashing.Digest),
	}
	w.zip.done, w.zip.maxList = o.Progress, o.maxExport
	w.anchors = anchors(o.Policy, o.Certificates)
	for _, step := range []func(context.Context) error{
		w.useSigner, w.room, w.cases, w.custody, w.logs, w.trust, w.statement, w.bag,
	} {
		if err := step(ctx); err != nil {
			return nil, fmt.Errorf("export: %w", err)
		}
	}
	if err := w.zip.close(); err != nil {
		return nil, fmt.Errorf("export: %w", err)
	}
	w.sum.Entries, w.sum.Bytes = len(w.zip.list), w.zip.pos()
	if o.MaxBytes > 0 && w.sum.Bytes > o.MaxBytes {
		return nil, fmt.Errorf("export: %d bytes, at most %d are wanted: what it shows has grown meanwhile: %w", w.sum.Bytes, o.MaxBytes, ErrSize)
	}
	return &w.sum, nil
}

func (o *Options) check() error {
	switch {
	case o.Captures == nil || o.CaseFacts == nil || o.Parts == nil || o.Logs == nil || o.Signer == nil || o.Policy == nil:
		return fmt.Errorf("export: captures, cases, parts, logs, signer or policy not given: %w", ErrOptions)
	case o.Exported.IsZero():
		return fmt.Errorf("export: no time of export given: %w", ErrOptions)
	}
	seen := make(map[holdfast.ID]bool)
	for _, s := range o.Cases {
		for _, c := range s.Captures {
			if seen[c] {
				return fmt.Errorf("export: capture %s is named twice: name it once: %w", c, ErrOptions)
			}
			seen[c] = true
		}
	}
	for _, s := range o.Slices {
		if !seen[s.Capture] {
			return fmt.Errorf("export: slice %s of capture %s, which is not exported: %w", s.Slice, s.Capture, ErrOptions)
		}
	}
	if len(seen) == 0 {
		return fmt.Errorf("export: no captures: a bundle needs at least one exhibit: %w", ErrOptions)
	}
	if o.Only == nil {
		o.Only = only(o.Slices)
	}
	if o.maxExport == 0 {
		o.maxExport, o.surveyFrom = holdfast.MaxExport, surveyFrom
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return nil
}

// useSigner refuses a key that no reader could attribute.
func (w *writer) useSigner(context.Context) error {
	n, err := w.node(w.Node)
	if err != nil {
		return err
	}
	for _, k := range n.Keys {
		if bytes.Equal(k.SPKI, w.Signer.SPKI()) {
			return nil
		}
	}
	return fmt.Errorf("key %s is not under node %s in the policy: %w", holdfast.KeyID(w.Signer.SPKI()), w.Node, ErrOptions)
}

// node marks a node's entry as used by the Bundle.
func (w *writer) node(name string) (*holdfast.PolicyNode, error) {
	if n := w.nodes[name]; n != nil {
		return n, nil
	}
	for i := range w.Policy.Nodes {
		if n := &w.Policy.Nodes[i]; n.Name == name {
			w.nodes[name] = n
			return n, nil
		}
	}
	return nil, fmt.Errorf("node %.80q is not in this node's policy: add its entry first: %w", name, ErrOptions)
}

func (w *writer) cases(ctx context.Context) error {
	for i, sel := range w.Cases {
		facts, err := w.CaseFacts.Facts(ctx, sel.Case)
		if err != nil {
			return fmt.Errorf("read case %s: %w", sel.Case, err)
		}
		slices.SortFunc(facts.Captures, hashing.Digest.Compare)
		all := slices.Compact(facts.Captures)
		numbers, err := w.CaseFacts.Numbers(ctx, sel.Case, sel.Captures)
		if err != nil {
			return fmt.Errorf("number the exhibits of case %s: %w", sel.Case, err)
		}
		if len(numbers) != len(sel.Captures) {
			return fmt.Errorf("number the exhibits of case %s: %d numbers for %d captures", sel.Case, len(numbers), len(sel.Captures))
		}
		for _, n := range numbers {
			if !validNumber(n) {
				return fmt.Errorf("number the exhibits of case %s: %.40q is no exhibit number", sel.Case, n)
			}
		}
		w.records = append(w.records, facts.Record)
		w.doc.Cases = append(w.doc.Cases, holdfast.ExportCase{Captures: all, Case: sel.Case, Name: facts.Name})
		for k, id := range sel.Captures {
			if err := w.exhibit(ctx, sel.Case, id, exhibitNumber(i, len(w.Cases), numbers[k]), all); err != nil {
				return fmt.Errorf("capture %s: %w", id, err)
			}
		}
	}
	return nil
}

// exhibit writes one Capture, and its Seal unless that is written already.
func (w *writer) exhibit(ctx context.Context, home, id holdfast.ID, number string, all []hashing.Digest) error {
	raw, sealID, err := w.Captures.Manifest(ctx, id)
	if err != nil {
		return fmt.Errorf("read manifest: %w", err)
	}
	m, err := holdfast.ParseManifest(raw)
	if err != nil {
		return fmt.Errorf("read manifest: %w", err)
	}
	d := hashing.Of(raw)
	switch {
	case m.ID != id || m.Case != home:
		return fmt.Errorf("its manifest is of capture %s in case %s: run `holdfast rebuild`", m.ID, m.Case)
	case m.Kind != holdfast.KindCapture:
		return fmt.Errorf("it is an event, which is never an exhibit: %w", ErrOptions)
	case !has(all, d):
		return fmt.Errorf("case %s does not list its manifest %s: run `holdfast rebuild`", home, d)
	}
	state := Pending
	if sealID != "" {
		s, err := w.useSeal(ctx, sealID)
		if err != nil {
			return fmt.Errorf("seal %s: %w", sealID, err)
		}
		if s.state != Pending && !has(s.subjects, d) {
			return fmt.Errorf("seal %s does not name its manifest %s: run `holdfast rebuild`", sealID, d)
		}
		if state = s.state; state == Pending {
			sealID = ""
		}
	}
	w.doc.Exhibits = append(w.doc.Exhibits, holdfast.Exhibit{Capture: id, Manifest: d, Number: number, Seal: sealID})
	w.sum.Exhibits = append(w.sum.Exhibits, ExhibitSummary{Capture: id, Number: number, Seal: sealID, State: state})
	if err := w.zip.add(dirExhibits+number+"/manifest.json", raw); err != nil {
		return err
	}
	return w.objects(ctx, m, number)
}

func has(sorted []hashing.Digest, d hashing.Digest) bool {
	_, ok := slices.BinarySearchFunc(sorted, d, hashing.Digest.Compare)
	return ok
}

func (w *writer) objects(ctx context.Context, m *holdfast.Manifest, number string) error {
	plan, err := w.plan(ctx, m)
	if err != nil {
		return err
	}
	for _, o := range m.Objects {
		if why := plan.withheld[o.Name]; why != "" {
			w.doc.Withheld = append(w.doc.Withheld, holdfast.WithheldObject{Digest: o.Digest, Exhibit: number, Name: o.Name, Reason: why})
			w.sum.Withheld++
			continue
		}
		if w.dry {
			if err := w.zip.skip(dirExhibits+number+"/"+o.Name, o.Size); err != nil {
				return err
			}
			continue
		}
		err := w.zip.stream(dirExhibits+number+"/"+o.Name, o.Size, func(dst io.Writer) error { return w.copyObject(ctx, dst, m.ID, o) })
		if err != nil {
			return err
		}
	}
	return w.slices(ctx, m, number, plan.slices)
}

// copyObject streams an Object and refuses bytes that are not the named ones,
// whatever the source has checked already.
func (w *writer) copyObject(ctx context.Context, dst io.Writer, id holdfast.ID, o holdfast.Object) error {
	src, err := w.Captures.OpenObject(ctx, id, o)
	if err != nil {
		return fmt.Errorf("open object: %w", err)
	}
	defer src.Close()
	_, err = io.CopyBuffer(struct{ io.Writer }{dst}, hashing.NewReader(&interruptible{ctx, src}, o.Digest, o.Size), make([]byte, 128<<10))
	return err
}

// interruptible ends a long copy soon after ctx is done.
type interruptible struct {
	ctx context.Context
	r   io.Reader
}

func (r *interruptible) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.r.Read(p)
}
