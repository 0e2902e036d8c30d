package main

import (
	"context"
	"fmt"

	"holdfast/cmd/internal/mirrors"
)

// mirrors says of each mirror how old it is.
func (d *doctor) mirrors(ctx context.Context, n *node) {
	list, err := mirrors.Read(n.dir)
	if err != nil {
		d.check("mirror", "", err)
		return
	}
	marks := mirrors.Reachable(ctx, n.log, list, func(k mirrors.Known, err error) {
		detail := fmt.Sprintf("%s is out of reach: whether this node is an old copy cannot be checked against it (%v)", k.Path, err)
		d.c.say(map[string]any{"check": "mirror", "ok": true, "detail": detail}, "%-6s %-12s %s", "note", "mirror", detail)
	})
	for _, k := range list {
		m := marks[k.Path]
		if m == nil {
			continue
		}
		detail := k.Path + " was cut short; run `holdfast mirror` again"
		if m.Whole != nil {
			detail = fmt.Sprintf("%s is of %s", k.Path, m.Whole)
		}
		d.check("mirror", detail, n.mirrored().Against(ctx, k.Path, m))
	}
}
