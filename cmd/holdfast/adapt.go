package main

import (
	"bytes"
	"context"
	"crypto/x509"
	"io"
	"io/fs"
	"log/slog"
	"slices"

	"holdfast"
	"holdfast/collectors/web"
	"holdfast/pipeline"
	"holdfast/storage"
)

type certificate = x509.Certificate

func (n *node) normalisers() map[string]pipeline.Normaliser {
	w := &webNormaliser{n.store, n.publicSite, n.log}
	return map[string]pipeline.Normaliser{"http": w, "https": w}
}

// webNormaliser opens a capture's Objects, small or large, for collectors/web, and
// reads the public pages of Telegram.
type webNormaliser struct {
	store storage.Opener
	site  func() (publicSite, error)
	log   *slog.Logger
}

// hide restricts what was made of something restricted.
func hide(m *holdfast.Manifest, d *pipeline.Derived) {
	for _, t := range d.Transformations {
		if !slices.ContainsFunc(t.Inputs, func(in string) bool { o := m.Object(in); return o != nil && o.Restricted }) {
			continue
		}
		for i := range d.Objects {
			d.Objects[i].Restricted = d.Objects[i].Restricted || d.Objects[i].Name == t.Output
		}
	}
}

func (w *webNormaliser) Normalise(ctx context.Context, c *pipeline.Captured) (*pipeline.Derived, error) {
	open := func(name string) (io.ReadCloser, error) {
		if b, ok := c.Inline[name]; ok {
			return io.NopCloser(bytes.NewReader(b)), nil
		}
		o := c.Manifest.Object(name)
		if o == nil {
			return nil, fs.ErrNotExist
		}
		r, _, err := w.store.Open(ctx, o.Digest)
		return r, err
	}
	page, inputs, err := web.Normaliser{}.Normalise(ctx, address(&c.Manifest), open)
	if err != nil {
		return nil, err
	}
	d := &pipeline.Derived{}
	if page != nil { // else nothing was rendered: there is no page
		d.Objects = []pipeline.DerivedObject{{Name: "page.json", Role: "page", Type: "application/json", Bytes: page}}
		d.Transformations = []holdfast.Transformation{{Output: "page.json", Inputs: inputs, Action: "normalise", Tool: "holdfast " + version}}
	}
	posts, err := w.posts(c, open, pipeline.MaxInline-len(page))
	if err != nil {
		w.log.WarnContext(ctx, "no posts were read of a public page of Telegram", "capture", c.Manifest.ID, "err", err)
	}
	if posts != nil {
		d.Objects = append(d.Objects, posts.Objects...)
		d.Transformations = append(d.Transformations, posts.Transformations...)
	}
	hide(&c.Manifest, d)
	return d, nil
}

// address is where the page was found, against which links are resolved.
func address(m *holdfast.Manifest) string {
	if m.Web != nil && m.Web.Final != "" {
		return string(m.Web.Final)
	}
	return string(m.Source)
}
