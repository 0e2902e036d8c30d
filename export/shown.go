package export

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"slices"
	"strings"

	"holdfast"
	"holdfast/hashing"
)

// Reasons that stand in the statement for what is withheld.
const (
	whyRestricted = "restricted"
	whySlices     = "only slices of it are shown"
	whyBeside     = "of this capture only slices are shown"
	whySecret     = "secret of an object that is not shown"
)

// roleSecret is the role of a slice secret, named `<object name>.secret`.
const (
	roleSecret   = "slice-secret"
	secretSuffix = ".secret"
	secretSize   = 32
)

// shown says what of a Capture travels: all Objects but the withheld ones, and
// the slices, by Object and place.
type shown struct {
	withheld map[string]string // Object name to reason
	slices   []shownSlice
}

type shownSlice struct {
	object holdfast.Object
	slice  holdfast.Slice
}

// only answers [Options.Only] for slices that are named one by one.
func only(refs []SliceRef) func(context.Context, *holdfast.Manifest) ([]SliceRef, bool, error) {
	of := make(map[holdfast.ID][]SliceRef)
	for _, r := range refs {
		of[r.Capture] = append(of[r.Capture], r)
	}
	return func(_ context.Context, m *holdfast.Manifest) ([]SliceRef, bool, error) {
		refs, ok := of[m.ID]
		return refs, ok, nil
	}
}

// plan decides what is shown. Of a Capture of which slices are wanted nothing
// else is: the raw exchange, a picture or a text of the same page could hold the
// words that the slices leave out, and which of them do, no list says for sure.
// What is shown whole beside slices is so because the caller answers for it.
func (w *writer) plan(ctx context.Context, m *holdfast.Manifest) (*shown, error) {
	p := &shown{withheld: make(map[string]string)}
	refs, alone, err := w.Only(ctx, m)
	if err != nil {
		return nil, fmt.Errorf("choose what is shown: %w", err)
	}
	whole := make(map[string]bool)
	for _, ref := range refs {
		o := m.Object(ref.Object)
		switch {
		case o == nil:
			return nil, fmt.Errorf("no object %.80q: %w", ref.Object, ErrOptions)
		case ref.Slice == "" && o.Role == roleSecret:
			return nil, fmt.Errorf("object %s opens what is not shown: %w", o.Name, ErrOptions)
		case ref.Slice == "":
			whole[o.Name] = true
			continue
		}
		i := 0
		for i < len(o.Slices) && o.Slices[i].Name != ref.Slice {
			i++
		}
		if i == len(o.Slices) {
			return nil, fmt.Errorf("object %s has no slice %.80q: %w", o.Name, ref.Slice, ErrOptions)
		}
		p.slices = append(p.slices, shownSlice{*o, o.Slices[i]})
		p.withheld[o.Name] = whySlices
	}
	slices.SortStableFunc(p.slices, func(a, b shownSlice) int {
		return cmp.Or(strings.Compare(a.object.Name, b.object.Name), cmp.Compare(a.slice.Offset, b.slice.Offset))
	})
	for _, o := range m.Objects {
		if why := w.erased(m, o); why != "" {
			p.withheld[o.Name] = why
			continue
		}
		if p.withheld[o.Name] != "" {
			continue
		}
		if alone && !whole[o.Name] {
			p.withheld[o.Name] = whyBeside
		} else if o.Restricted && !w.Restricted {
			p.withheld[o.Name] = whyRestricted
		} else if w.Withhold != nil {
			if why := w.Withhold(m, o); why != "" {
				p.withheld[o.Name] = why
			}
		}
	}
	p.slices = slices.DeleteFunc(p.slices, func(s shownSlice) bool {
		secret := m.Object(s.object.Name + secretSuffix)
		return w.erased(m, s.object) != "" || secret != nil && w.erased(m, *secret) != ""
	})
	p.secrets(m)
	return p, nil
}

// secrets withholds the secret of every withheld Object: with it each hidden
// slice could be guessed.
func (p *shown) secrets(m *holdfast.Manifest) {
	for _, o := range m.Objects {
		if o.Role != roleSecret || p.withheld[o.Name] != "" {
			continue
		}
		owner, ok := bytes.CutSuffix([]byte(o.Name), []byte(secretSuffix))
		if !ok || m.Object(string(owner)) == nil || p.withheld[string(owner)] != "" {
			p.withheld[o.Name] = whySecret
		}
	}
}

// slices writes the bytes of the slices and their salts, after checking that they
// are what the Manifest is committed to. Each Object is read once, however many
// of its slices are shown: a page of history has a hundred.
func (w *writer) slices(ctx context.Context, m *holdfast.Manifest, number string, all []shownSlice) error {
	for len(all) > 0 {
		n := 1
		for n < len(all) && all[n].object.Name == all[0].object.Name {
			n++
		}
		if err := w.slicesOf(ctx, m, number, all[:n]); err != nil {
			return err
		}
		all = all[n:]
	}
	return nil
}

// slicesOf does it for those of one Object, in the order of their places.
func (w *writer) slicesOf(ctx context.Context, m *holdfast.Manifest, number string, all []shownSlice) error {
	o := all[0].object
	secret, err := w.secret(ctx, m, o)
	if err != nil {
		return err
	}
	dir := dirExhibits + number + "/slices/" + o.Name + "/"
	var src io.Reader
	if !w.dry {
		f, err := w.Captures.OpenObject(ctx, m.ID, o)
		if err != nil {
			return fmt.Errorf("open object: %w", err)
		}
		defer f.Close()
		src = &interruptible{ctx, f}
	}
	at := int64(0)
	for _, s := range all {
		salt := holdfast.SliceSalt(secret, s.slice.Name)
		err := w.sliceBytes(dir+s.slice.Name, src, at, s.slice, salt)
		if err == nil {
			err = w.zip.add(dir+s.slice.Name+".salt", salt)
		}
		if err != nil {
			return err
		}
		at = s.slice.Offset + s.slice.Length
	}
	return nil
}

// sliceBytes copies one slice from src, which has come to at.
func (w *writer) sliceBytes(path string, src io.Reader, at int64, s holdfast.Slice, salt []byte) error {
	if w.dry {
		return w.zip.skip(path, s.Length)
	}
	sum := sha256.New()
	sum.Write(salt)
	return w.zip.stream(path, s.Length, func(dst io.Writer) error {
		if _, err := io.CopyN(io.Discard, src, s.Offset-at); err != nil {
			return err
		}
		if _, err := io.CopyN(io.MultiWriter(dst, sum), src, s.Length); err != nil {
			return err
		}
		if got := hashing.Digest(sum.Sum(nil)); got != s.Commitment {
			return fmt.Errorf("slice is not the one committed to: %w", hashing.ErrMismatch)
		}
		return nil
	})
}

func (w *writer) secret(ctx context.Context, m *holdfast.Manifest, of holdfast.Object) ([]byte, error) {
	o := m.Object(of.Name + secretSuffix)
	if o == nil || o.Role != roleSecret || o.Size != secretSize {
		return nil, fmt.Errorf("object %s has no slice secret, so its slices cannot be shown alone: %w", of.Name, ErrOptions)
	}
	var secret bytes.Buffer
	if err := w.copyObject(ctx, &secret, m.ID, *o); err != nil {
		return nil, fmt.Errorf("read secret of %s: %w", of.Name, err)
	}
	return secret.Bytes(), nil
}

// erased asks Options.Erased, where there is one.
func (w *writer) erased(m *holdfast.Manifest, o holdfast.Object) string {
	if w.Erased == nil {
		return ""
	}
	return w.Erased(m, o)
}
