package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"holdfast"
	"holdfast/catalog"
	"holdfast/collectors/web/content"
	"holdfast/kept"
)

// diffSide is one of the two captures, wherever it lies.
type diffSide struct {
	cp   catalog.Capture
	m    *holdfast.Manifest
	doc  *content.Document
	open func(holdfast.Object) (io.ReadCloser, error) // the bytes, held against their Digest
	from string                                       // "": the node's own
	row  map[string]any                               // said before the comparison; nil: nothing is to be said
}

// diffRef is what an argument names: a capture of a node, or one in a Bundle.
type diffRef struct {
	id            holdfast.ID // "" where it is in a Bundle
	file, exhibit string      // exhibit: its number, or the ID of the capture; "": there is one alone
}

// parseDiffRef reads `ID`, `FILE.zip`, `FILE.zip#7`, `FILE.zip#2-7` and `FILE.zip#ID`. A
// file that is there under all of it is that file, whatever its name holds.
func parseDiffRef(s string) (diffRef, error) {
	if id, err := holdfast.ParseID(s); err == nil {
		return diffRef{id: id}, nil
	} else if _, serr := os.Stat(s); serr == nil {
		return diffRef{file: s}, nil
	} else if i := strings.LastIndexByte(s, '#'); i > 0 && i < len(s)-1 {
		return diffRef{file: s[:i], exhibit: s[i+1:]}, nil
	} else if strings.HasSuffix(s, ".zip") {
		return diffRef{}, usageError("%w", serr)
	} else {
		return diffRef{}, usageError("%w; `holdfast list` shows the ids, and one in a bundle is FILE.zip#EXHIBIT", err)
	}
}

// diffSide reads a capture, behind the line that says who looks at it.
func (n *node) diffSide(ctx context.Context, from *kept.Reader, id holdfast.ID, why string) (s diffSide, err error) {
	if s.cp, err = n.cat.Capture(ctx, id); err != nil {
		return s, err
	}
	if s.m, err = from.Parsed(ctx, id); err != nil {
		return s, err
	}
	s.open = func(o holdfast.Object) (io.ReadCloser, error) { return from.OpenObject(ctx, id, o) }
	if s.m.Object(nameDOM) == nil {
		return s, noDocument(id, fmt.Sprintf("`holdfast show %s` says what it has", id))
	}
	if err := n.accessed(ctx, s.cp, n.set.Agent, why); err != nil {
		return s, err
	}
	return s, s.read(ctx)
}

func noDocument(id holdfast.ID, how string) error {
	return fmt.Errorf("compare %s: it has no document (%s): %s", id, nameDOM, how)
}

// read takes the document in.
func (s *diffSide) read(ctx context.Context) error {
	o := s.m.Object(nameDOM)
	if o == nil {
		return noDocument(s.m.ID, "it is no capture of a page that was shown")
	}
	r, err := s.open(*o)
	if err != nil {
		return fmt.Errorf("compare %s: %w", s.m.ID, err)
	}
	defer r.Close()
	if s.doc, err = readContent(ctx, r, address(s.m)); err != nil {
		return fmt.Errorf("compare %s: %w", s.m.ID, err)
	}
	return nil
}

// opener opens a picture again and again; nil and why where there is none to open.
func (s diffSide) opener(name, which string) (open func() (io.ReadCloser, error), why string) {
	o := s.m.Object(name)
	if o == nil {
		return nil, "the " + which + " capture has no such part of the picture"
	}
	r, err := s.open(*o)
	if errors.Is(err, fs.ErrNotExist) { // withheld, or erased
		return nil, fmt.Sprintf("of the %s capture: %v", which, err)
	}
	if err == nil {
		r.Close()
	}
	return func() (io.ReadCloser, error) { return s.open(*o) }, ""
}
