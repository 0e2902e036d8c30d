package preserve

import (
	"context"
	"fmt"
	"io"
	"strings"

	"holdfast"
	"holdfast/hashing"
	"holdfast/rfc3161"
	"holdfast/storage"
)

// signed is the Statement that stands, and who signed it.
type signed struct {
	envelope  *holdfast.Envelope
	statement *holdfast.Statement
	spki      []byte
}

func (s *signed) ask(seal string, names map[string]bool) ask {
	k := ask{seal: seal, sig: s.envelope.Signatures[0].Sig, notBefore: s.statement.Predicate.NotBefore, have: make(map[string]bool)}
	for part := range names {
		if rest, ok := strings.CutPrefix(part, "timestamps/"); ok {
			name, _, _ := strings.Cut(rest, "/")
			k.have[name] = true
		}
	}
	return k
}

// statement signs the plan's Manifests, or adopts what another has signed.
func (s *Sealer) statement(ctx context.Context, p *holdfast.Plan, names map[string]bool) (*signed, error) {
	name := partName(p.Seal, partStatement)
	if !names[partStatement] {
		st, err := s.sign(ctx, p, names)
		if err != nil {
			return nil, err
		}
		raw, err := st.envelope.Encode()
		if err != nil {
			return nil, err
		}
		taken, err := s.o.Store.CreateAll(ctx, storage.Item{Name: name, Data: raw})
		if err != nil {
			return nil, err
		}
		if len(taken) == 0 {
			return st, nil
		}
	}
	raw, err := s.o.Store.ReadName(ctx, name, maxEnvelope)
	if err != nil {
		return nil, err
	}
	return s.adopt(p, raw)
}

func (s *Sealer) sign(ctx context.Context, p *holdfast.Plan, names map[string]bool) (*signed, error) {
	nb, err := s.notBefore(ctx, p.Seal, names)
	if err != nil {
		return nil, err
	}
	manifests := make([]hashing.Digest, len(p.Captures))
	for i, c := range p.Captures {
		manifests[i] = c.Manifest
	}
	tree, _ := s.o.Tlog.Newest()
	st, err := holdfast.NewStatement(holdfast.Predicate{
		Checkpoint: tree,
		Config:     s.o.Config,
		Node:       s.o.Node,
		NotBefore:  nb,
		Seal:       p.Seal,
		Software:   s.o.Software,
		Training:   s.o.Training,
	}, manifests)
	if err != nil {
		return nil, err
	}
	payload, err := st.Encode()
	if err != nil {
		return nil, err
	}
	sig, err := s.o.Signer.Sign(ctx, holdfast.PAE(holdfast.PayloadStatement, payload))
	if err != nil {
		return nil, err
	}
	e := &holdfast.Envelope{Payload: payload, PayloadType: holdfast.PayloadStatement, Signatures: []holdfast.EnvelopeSignature{{Sig: sig}}}
	return &signed{e, st, s.o.Signer.SPKI()}, nil
}

// notBefore keeps the newest token that the node holds beside the Seal, or
// finds the one that is kept there.
func (s *Sealer) notBefore(ctx context.Context, seal string, names map[string]bool) (*holdfast.NotBefore, error) {
	token, name := s.o.Quorum.older(), partName(seal, partNotBefore)
	if token == nil && !names[partNotBefore] {
		return nil, nil
	}
	taken := names[partNotBefore]
	if !taken {
		t, err := s.o.Store.CreateAll(ctx, storage.Item{Name: name, Data: token.Raw})
		if err != nil {
			return nil, err
		}
		taken = len(t) > 0
	}
	if taken {
		raw, err := s.o.Store.ReadName(ctx, name, rfc3161.MaxSize)
		if err == nil {
			token, err = rfc3161.Parse(raw)
		}
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", name, err)
		}
	}
	return &holdfast.NotBefore{Digest: hashing.Of(token.Raw), Time: holdfast.At(token.GenTime)}, nil
}

// adopt checks a statement that was found before anything is built on it: it is
// of this plan, and signed by this node or by one that the Policy names.
func (s *Sealer) adopt(p *holdfast.Plan, raw []byte) (*signed, error) {
	e, err := holdfast.ParseEnvelope(raw, holdfast.PayloadStatement, maxEnvelope)
	if err != nil {
		return nil, fmt.Errorf("read statement: %w", err)
	}
	st, err := holdfast.ParseStatement(e.Payload)
	if err != nil {
		return nil, fmt.Errorf("read statement: %w", err)
	}
	if st.Predicate.Seal != p.Seal || !covers(st, p) || st.Predicate.Training != p.Training {
		return nil, fmt.Errorf("the statement that was found is of other manifests: %w", ErrPlan)
	}
	if e.Verify(s.o.Signer.SPKI()) == nil {
		return &signed{e, st, s.o.Signer.SPKI()}, nil
	}
	for _, n := range s.judge.Trust.Policy().Nodes {
		for _, k := range n.Keys {
			if n.Name == st.Predicate.Node && e.Verify(k.SPKI) == nil {
				return &signed{e, st, k.SPKI}, nil
			}
		}
	}
	return nil, fmt.Errorf("the statement that was found is signed by nobody in the policy: %w", ErrContradicted)
}

// copyFile streams a stored file.
func copyFile(w io.Writer, f storage.File) error {
	_, err := io.Copy(w, io.NewSectionReader(f, 0, f.Size()))
	return err
}
