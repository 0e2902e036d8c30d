package verifycmd

import (
	"fmt"
	"time"

	"holdfast"
	"holdfast/hashing"
	"holdfast/preserve/public"
)

// Builtin is the Policy of a verifier that was given none: well-known public
// authorities, quorum 2, no node. Under it a Bundle is `unattributed` at best.
func Builtin() (*holdfast.Policy, error) {
	list, err := public.List()
	if err != nil {
		return nil, fmt.Errorf("build the built-in policy: %w", err)
	}
	p := &holdfast.Policy{Kind: "policy", Version: holdfast.Version, Quorum: 2, Nodes: []holdfast.PolicyNode{}, Authorities: []holdfast.Authority{}}
	for _, a := range list {
		for _, root := range a.Roots {
			p.Authorities = append(p.Authorities, holdfast.Authority{Operator: a.Operator, Root: hashing.Of(root.RawSubjectPublicKeyInfo),
				From: holdfast.At(time.Unix(0, 0))})
		}
	}
	return p, nil
}
