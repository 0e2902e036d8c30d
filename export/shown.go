package export

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"

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
// the slices.
type shown struct {
	withheld map[string]string // Object name to reason
	slices   []shownSlice
}

type shownSlice struct {
	object holdfast.Object
	slice  holdfast.Slice
}

// plan decides what is shown. Of a Capture of which slices are wanted nothing
// else is: the raw exchange, a picture or a text of the same page could hold the
// words that the slices leave out, and which of them do, no list says for sure.
func (w *writer) plan(m *holdfast.Manifest) (*shown, error) {
	p := &shown{withheld: make(map[string]string)}
	for _, ref := range w.Slices {
		if ref.Capture != m.ID {
			continue
		}
		o := m.Object(ref.Object)
		if o == nil {
			return nil, fmt.Errorf("no object %.80q: %w", ref.Object, ErrOptions)
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
	for _, o := range m.Objects {
		if p.withheld[o.Name] != "" {
			continue
		}
		if len(p.slices) > 0 {
			p.withheld[o.Name] = whyBeside
		} else if o.Restricted && !w.Restricted {
			p.withheld[o.Name] = whyRestricted
		} else if w.Withhold != nil {
			if why := w.Withhold(m, o); why != "" {
				p.withheld[o.Name] = why
			}
		}
	}
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

// slice writes the bytes of a slice and its salt, after checking that they are
// what the Manifest is committed to.
func (w *writer) slice(ctx context.Context, m *holdfast.Manifest, number string, s shownSlice) error {
	salt, err := w.salt(ctx, m, s)
	if err != nil {
		return err
	}
	path := dirExhibits + number + "/slices/" + s.object.Name + "/" + s.slice.Name
	sum := sha256.New()
	sum.Write(salt)
	err = w.zip.stream(path, s.slice.Length, func(dst io.Writer) error {
		src, err := w.Captures.OpenObject(ctx, m.ID, s.object)
		if err != nil {
			return fmt.Errorf("open object: %w", err)
		}
		defer src.Close()
		r := &interruptible{ctx, src}
		if _, err := io.CopyN(io.Discard, r, s.slice.Offset); err != nil {
			return err
		}
		if _, err := io.CopyN(io.MultiWriter(dst, sum), r, s.slice.Length); err != nil {
			return err
		}
		if got := hashing.Digest(sum.Sum(nil)); got != s.slice.Commitment {
			return fmt.Errorf("slice is not the one committed to: %w", hashing.ErrMismatch)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return w.zip.add(path+".salt", salt)
}

func (w *writer) salt(ctx context.Context, m *holdfast.Manifest, s shownSlice) ([]byte, error) {
	o := m.Object(s.object.Name + secretSuffix)
	if o == nil || o.Role != roleSecret || o.Size != secretSize {
		return nil, fmt.Errorf("object %s has no slice secret, so its slices cannot be shown alone: %w", s.object.Name, ErrOptions)
	}
	var secret bytes.Buffer
	if err := w.copyObject(ctx, &secret, m.ID, *o); err != nil {
		return nil, fmt.Errorf("read secret of %s: %w", s.object.Name, err)
	}
	return holdfast.SliceSalt(secret.Bytes(), s.slice.Name), nil
}
