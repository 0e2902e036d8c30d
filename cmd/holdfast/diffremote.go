package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"holdfast"
	"holdfast/api"
	"holdfast/hashing"
)

// maxRemoteObject bounds what is taken of one Object into a temporary file: beyond it
// neither a document nor a picture is compared.
const maxRemoteObject = 256 << 20

// remoteSides reads captures of a node elsewhere: Manifests and Objects come over the
// line, each held against its Digest, and are compared here. Its files have no name, so a
// crash leaves nothing of them.
type remoteSides struct {
	k     *api.Client
	why   string
	files map[string]*os.File // by capture and name
}

func (c *cli) remoteSides(r remote, why string) (*remoteSides, error) {
	k, err := r.client()
	if err != nil {
		return nil, err
	}
	return &remoteSides{k: k, why: why, files: map[string]*os.File{}}, nil
}

func (d *remoteSides) Close() {
	if d == nil {
		return
	}
	for _, f := range d.files {
		f.Close()
	}
}

// sides reads those that are in no Bundle.
func (d *remoteSides) sides(ctx context.Context, refs [2]diffRef, sides *[2]diffSide) (err error) {
	for i, r := range refs {
		if r.id != "" {
			if sides[i], err = d.side(ctx, r.id); err != nil {
				return err
			}
		}
	}
	return nil
}

// side is a capture of the node's, as its own `diff` would have it.
func (d *remoteSides) side(ctx context.Context, id holdfast.ID) (s diffSide, err error) {
	row, err := d.k.Capture(ctx, id)
	if err != nil {
		return s, fmt.Errorf("compare %s: %w", id, err)
	}
	if s.cp, err = rowOf(row); err != nil {
		return s, err
	}
	raw, err := d.k.Manifest(ctx, id, d.why)
	if err != nil {
		return s, fmt.Errorf("compare %s: %w", id, err)
	}
	if s.m, err = holdfast.ParseManifest(raw); err != nil {
		return s, fmt.Errorf("compare %s: %w", id, err)
	}
	if hashing.Of(raw) != s.cp.Manifest || s.m.ID != id {
		return s, fmt.Errorf("compare %s: the node's list and its manifest do not agree: ask for it again", id)
	}
	s.open = func(o holdfast.Object) (io.ReadCloser, error) { return d.object(ctx, id, o) }
	return s, s.read(ctx)
}

// object takes the bytes over once, however often they are read.
func (d *remoteSides) object(ctx context.Context, id holdfast.ID, o holdfast.Object) (io.ReadCloser, error) {
	key := string(id) + "/" + o.Name
	f := d.files[key]
	if f == nil {
		var err error
		if f, err = d.take(ctx, id, o); err != nil {
			return nil, err
		}
		d.files[key] = f
	}
	return io.NopCloser(io.NewSectionReader(f, 0, o.Size)), nil
}

func (d *remoteSides) take(ctx context.Context, id holdfast.ID, o holdfast.Object) (*os.File, error) {
	if o.Size > maxRemoteObject {
		return nil, fmt.Errorf("%s has %d bytes, at most %d are taken over a line", o.Name, o.Size, int64(maxRemoteObject))
	}
	f, err := os.CreateTemp("", "holdfast-diff-*")
	if err != nil {
		return nil, fmt.Errorf("make a file for %s: %w", o.Name, err)
	}
	w := hashing.NewWriter(f)
	err = errors.Join(os.Remove(f.Name()), d.k.Object(ctx, id, o, d.why, w))
	if err == nil && (w.Digest() != o.Digest || w.Size() != o.Size) {
		err = fmt.Errorf("it came with other bytes than the manifest names, or not whole: ask for it again, and look at what is between: %w", hashing.ErrMismatch)
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("take %s of %s: %w", o.Name, id, err)
	}
	return f, nil
}
