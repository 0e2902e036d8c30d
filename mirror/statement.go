package mirror

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"

	"holdfast"
	"holdfast/hashing"
	"holdfast/messages"
	"holdfast/preserve"
	"holdfast/wholefile"
)

// FilePolicy is the one of a node's small files that names its keys.
const FilePolicy = "policy.json"

const payloadType = "application/vnd.holdfast.mirror+json"

// A Statement is what the node signs of a mirror, with its seal key: the mark
// of the state, and all that lies in DIR/node. The small files are in it whole,
// so that they and the signature are replaced by one write. It is written before
// the store of that state is copied: a store that holds more than the mark says
// has an older statement beside it.
type Statement struct {
	Kind    string            `json:"kind"` // "mirror"
	Version int               `json:"version"`
	Mark    Mark              `json:"mark"` // without Whole
	Files   map[string][]byte `json:"files"`
	Tasks   hashing.Digest    `json:"tasks"`
	Chains  []Chain           `json:"chains"`
}

// Chain is a Custody chain as far as it was. It only grows.
type Chain struct {
	Name   string         `json:"name"` // of the file
	Size   int64          `json:"size"`
	Digest hashing.Digest `json:"digest"`
}

// Sign signs the statement with the node's seal key and puts it into the mirror.
func (s *Statement) Sign(ctx context.Context, key preserve.Signer, to Shelf) error {
	payload, err := json.Marshal(s)
	if err != nil {
		return err
	}
	sig, err := key.Sign(ctx, holdfast.PAE(payloadType, payload))
	if err == nil {
		sig, err = holdfast.LowS(sig)
	}
	if err != nil {
		return fmt.Errorf("sign mirror: %w", err)
	}
	b, err := (&holdfast.Envelope{Payload: payload, PayloadType: payloadType, Signatures: []holdfast.EnvelopeSignature{{Sig: sig}}}).Encode()
	if err == nil {
		err = to.Update(ctx, FileStatement, b)
	}
	return err
}

// ReadStatement returns the statement of a mirror if a key of the node with this
// fingerprint has signed it. The node's entry, with its keys, is in the
// statement's own Policy: the fingerprint is its digest.
func ReadStatement(ctx context.Context, from Shelf, fingerprint string) (*Statement, error) {
	raw, err := Read(ctx, from, FileStatement, maxStatement)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("the mirror is not signed: it is of an older holdfast, its key was not at hand, or somebody has taken the statement away. Another mirror may be; without --node nothing is checked: %w", err)
	}
	if err != nil {
		return nil, err
	}
	e, err := holdfast.ParseEnvelope(raw, payloadType, maxStatement)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", FileStatement, err)
	}
	s := new(Statement)
	if err := wholefile.DecodeJSON(FileStatement, e.Payload, s); err != nil {
		return nil, err
	}
	if s.Kind != "mirror" || s.Version != 1 {
		return nil, fmt.Errorf("read %s: version %d: use a newer holdfast", FileStatement, s.Version)
	}
	p, err := holdfast.ParsePolicy(s.Files[FilePolicy])
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", FileStatement, err)
	}
	for _, n := range p.Nodes {
		b, err := n.Encode()
		if err != nil || n.Name != s.Mark.Node || hashing.Of(b).Hex() != fingerprint {
			continue
		}
		for _, k := range n.Keys {
			if k.Until == nil && e.Verify(k.SPKI) == nil {
				return s, nil
			}
		}
		return nil, errors.New("the mirror's settings are not as the node has signed them: somebody has changed them. Use another mirror")
	}
	return nil, fmt.Errorf("the mirror is of %s, which has not this fingerprint: it is another node, somebody has changed the mirror, or the fingerprint is of before or after a change of keys", messages.Visible(s.Mark.Node))
}
