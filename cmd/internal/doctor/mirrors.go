package doctor

import (
	"context"
	"fmt"

	"holdfast/cmd/internal/mirrors"
)

// Mirrors says of each mirror of a node how old it is, and holds the node against it.
func (d *Report) Mirrors(ctx context.Context, n *mirrors.Node) {
	list, err := mirrors.Read(n.Dir)
	if err != nil {
		d.Check("mirror", "", err)
		return
	}
	marks := mirrors.Reachable(ctx, n.Log, list, func(k mirrors.Known, err error) {
		detail := fmt.Sprintf("%s is out of reach: whether this node is an old copy cannot be checked against it (%v)", k.Path, err)
		d.Note("mirror", detail)
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
		d.Check("mirror", detail, n.Against(ctx, k.Path, m))
	}
}
