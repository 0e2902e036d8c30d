package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"github.com/spf13/cobra"

	"holdfast"
	"holdfast/authorities"
	"holdfast/canon"
	"holdfast/cmd/internal/nodedir"
	"holdfast/filelock"
	"holdfast/hashing"
	"holdfast/pipeline"
	"holdfast/wholefile"
)

// fileColleagues holds the Policy entries of the other nodes of the office, as a person
// has given them. Lost, a rebuilt catalog shows their Seals as pending, with the reason, and
// `policy join` is said again.
const fileColleagues = nodedir.FileColleagues

func (c *cli) policyJoinCmd() *cobra.Command {
	cmd := command("join FILE", "Trust the other nodes of the office, which share queue, store and catalog", "holdfast policy join two.policy.json", cobra.ExactArgs(1), func(cmd *cobra.Command, args []string) error {
		b, err := wholefile.Read(args[0], holdfast.MaxPolicy)
		if err != nil {
			return usageError("read policy: %w", err)
		}
		p, err := holdfast.ParsePolicy(b)
		if err != nil {
			return usageError("read policy %s: %w", args[0], err)
		}
		n, err := c.open(cmd.Context())
		if err != nil {
			return err
		}
		defer n.Close()
		return c.joinPolicy(cmd.Context(), n, p, hashing.Of(b))
	})
	cmd.Long = `FILE is what 'holdfast policy export' wrote on another node of the office. From then on
its nodes and authorities are in this node's Policy too: what they sealed counts here as
sealed, and bundles of all are verified with one Policy. A node that has joined later, or
has new keys, is joined again. Compare the fingerprints with those that the other node
shows: whoever can give you another file gets his Seals believed.`
	return cmd
}

// joinPolicy writes the line, then the authorities, then the nodes; a crash between leaves
// less trust than was said, and the same command again gives the rest.
func (c *cli) joinPolicy(ctx context.Context, n *node, p *holdfast.Policy, digest hashing.Digest) error {
	if p.Training != n.set.Training {
		return usageError("join policy: one of the two is of a rehearsal (training: %t there, %t here)", p.Training, n.set.Training)
	}
	var names []string
	var others []holdfast.PolicyNode
	for _, e := range p.Nodes {
		if e.Name == n.set.Name || n.set.Mirrored().IsFormer(e.Name) {
			continue // of itself a node knows best
		}
		names, others = append(names, e.Name), append(others, e)
	}
	if len(others) == 0 {
		return usageError("join policy: it names no other node than this one: export it on the other node")
	}
	x, err := canon.Marshal(struct {
		Policy hashing.Digest `json:"policy"`
	}{digest})
	if err != nil {
		return err
	}
	if err := n.tellOnce(ctx, pipeline.Entry{Case: n.set.Unfiled, Action: "policy-joined", Agent: n.set.Agent, Objects: names, X: x}); err != nil {
		return err
	}
	own, err := n.policy()
	if err != nil {
		return err
	}
	joined := *own
	joined.Authorities = authorities.Join(own.Authorities, p.Authorities)
	if err := n.savePolicy(ctx, &joined); err != nil {
		return err
	}
	if err := n.addColleagues(ctx, others); err != nil {
		return err
	}
	if _, err := n.policy(); err != nil { // two operators of one root, for instance
		return fmt.Errorf("join policy: together with this node's it is none: %w", err)
	}
	for i := range others {
		b, err := others[i].Encode()
		if err != nil {
			return err
		}
		c.say(map[string]any{"event": "joined", "node": others[i].Name, "fingerprint": hashing.Of(b).Hex()}, "joined  %s\n  fingerprint %s", others[i].Name, hashing.Of(b).Hex())
	}
	return nil
}

func (n *node) addColleagues(ctx context.Context, others []holdfast.PolicyNode) error {
	unlock, err := filelock.Wait(ctx, n.path("policy.lock"))
	if err != nil {
		return err
	}
	defer unlock()
	list, err := n.colleagues()
	if err != nil {
		return err
	}
	for _, e := range others {
		if i := slices.IndexFunc(list, func(o holdfast.PolicyNode) bool { return o.Name == e.Name }); i >= 0 {
			list[i] = e // with the keys that it has now
			continue
		}
		list = append(list, e)
	}
	return wholefile.WriteJSON(n.path(fileColleagues), list)
}

// colleagues are the other nodes that this one trusts.
func (n *node) colleagues() (list []holdfast.PolicyNode, err error) {
	err = wholefile.ReadJSON(n.path(fileColleagues), &list)
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return list, err
}
