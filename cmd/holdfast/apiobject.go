package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"holdfast"
	"holdfast/api"
	"holdfast/hashing"
)

// Object implements api.Objects. The line of custody comes first: what it cannot say is
// not shown.
func (d *apiDoor) Object(ctx context.Context, who api.Token, id holdfast.ID, name, why string) (o holdfast.Object, r io.ReadCloser, err error) {
	if err := checkReason("why", why); err != nil {
		return o, nil, api.Refuse(err)
	}
	cp, err := d.visible(ctx, who, id)
	if err != nil {
		return o, nil, err
	}
	from := d.n.kept()
	m, err := from.Parsed(ctx, id)
	if err != nil {
		return o, nil, err
	}
	has := m.Object(name)
	if has == nil {
		return o, nil, api.Missing(fmt.Sprintf("object %.128q of capture %s", name, id))
	}
	if o = *has; o.Restricted && !who.May(api.ScopeRestricted) {
		return o, nil, api.NeedsRestricted(who, name)
	}
	by, err := d.n.erasedBy(ctx, cp.Case)
	if err != nil {
		return o, nil, err
	}
	if by[string(cp.ID)][o.Digest] != "" { // a lock may keep the bytes for a while
		return o, nil, api.Missing(fmt.Sprintf("object %s of capture %s, erased by order,", name, id))
	}
	if err := d.n.accessed(ctx, cp, who.Agent, why); err != nil {
		return o, nil, err
	}
	r, err = from.OpenObject(ctx, id, o)
	if errors.Is(err, fs.ErrNotExist) {
		return o, nil, api.Missing(fmt.Sprintf("the bytes of object %s of capture %s", name, id))
	}
	if err != nil {
		return o, nil, err
	}
	return o, checkedBytes{hashing.NewReader(r, o.Digest, o.Size), r}, nil
}

// checkedBytes are bytes that must turn out to be the named ones.
type checkedBytes struct {
	io.Reader
	io.Closer
}
