package preserve

import (
	"context"
	"crypto/x509"
	"fmt"
	"slices"
	"sync"
	"time"

	"holdfast"
	"holdfast/hashing"
)

// pinBefore is how far before the first token a new Policy entry begins. The
// first token is not the oldest: those of other Seals are on their way at the
// same time, on a disk for weeks, and clocks are not exact.
const pinBefore = 31 * 24 * time.Hour

// Trust is the node's own Policy: what it counts as sealed. An authority enters
// it with its first valid token, whose issuing CA and policy are pinned then;
// from there on only an Agent changes it. Safe for concurrent use.
type Trust struct {
	save func(context.Context, *holdfast.Policy) error

	mu     sync.RWMutex
	policy *holdfast.Policy
	certs  []*x509.Certificate

	pinning sync.Mutex // one pin or change at a time, so that none overwrites another
}

// NewTrust begins with a Policy and with certificates to build chains from: the
// roots of all authorities, of those asked no more too. save makes a changed
// Policy durable before it is used; nil keeps it in memory only.
func NewTrust(p *holdfast.Policy, certs []*x509.Certificate, save func(context.Context, *holdfast.Policy) error) *Trust {
	return &Trust{policy: p, certs: certs, save: save}
}

// Policy returns the Policy as it is now. It is read-only.
func (t *Trust) Policy() *holdfast.Policy {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.policy
}

// Material returns the certificates, for [holdfast.CheckSeal].
func (t *Trust) Material() holdfast.Material {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return holdfast.Material{Certs: t.certs}
}

// Set replaces the Policy and the certificates. It saves nothing.
func (t *Trust) Set(p *holdfast.Policy, certs []*x509.Certificate) {
	t.pinning.Lock()
	defer t.pinning.Unlock()
	t.set(p, certs)
}

// Change replaces the Policy and the certificates by what change reads or makes,
// and nothing if that fails. No authority is pinned meanwhile, so no pin is lost
// between what change has read and what is set. change must not call t's methods
// but Policy and Material.
func (t *Trust) Change(change func() (*holdfast.Policy, []*x509.Certificate, error)) error {
	t.pinning.Lock()
	defer t.pinning.Unlock()
	p, certs, err := change()
	if err == nil {
		t.set(p, certs)
	}
	return err
}

func (t *Trust) set(p *holdfast.Policy, certs []*x509.Certificate) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.policy, t.certs = p, certs
}

// Pin returns nil if a token counts under the Policy, which it is added to if
// its operator and root are new there. A token that its operator's entries do
// not fit wraps [ErrIssuer] or [ErrPolicy]: the authority has changed its issuing
// CA or its policy since, which an Agent must look at.
func (t *Trust) Pin(ctx context.Context, a Authority, ts *Timestamp) error {
	e := entryOf(a, ts)
	if known, err := findEntry(t.Policy(), e, ts); known {
		return err
	}
	t.pinning.Lock()
	defer t.pinning.Unlock()
	old := t.Policy()
	if known, err := findEntry(old, e, ts); known { // pinned while we waited
		return err
	}
	p := *old
	p.Authorities = append(slices.Clone(old.Authorities), e)
	if _, err := p.Encode(); err != nil {
		return fmt.Errorf("pin authority %s: %w", a.Name, err)
	}
	if t.save != nil {
		// A crash after this and before the token is stored leaves a pin that
		// the next token of the same authority fits.
		if err := t.save(ctx, &p); err != nil {
			return fmt.Errorf("pin authority %s: %w", a.Name, err)
		}
	}
	t.mu.Lock()
	t.policy = &p
	t.mu.Unlock()
	return nil
}

func entryOf(a Authority, ts *Timestamp) holdfast.Authority {
	issuer := hashing.Of(ts.Chain.Issuer.RawSubjectPublicKeyInfo)
	return holdfast.Authority{
		From:     holdfast.At(ts.Token.GenTime.Add(-pinBefore)),
		Issuer:   &issuer,
		Operator: a.Operator,
		Policy:   ts.Token.Policy,
		Root:     hashing.Of(ts.Chain.Root.RawSubjectPublicKeyInfo),
	}
}

// findEntry reports whether the Policy knows e's operator with e's root, and if
// so, why none of its entries fits the token (nil: one does).
func findEntry(p *holdfast.Policy, e holdfast.Authority, ts *Timestamp) (known bool, err error) {
	for _, a := range p.Authorities {
		if a.Operator != e.Operator || a.Root != e.Root {
			continue
		}
		at := ts.Token.GenTime
		if a.Until != nil && !at.Before(a.Until.Time) {
			continue // ended; that it is asked again is an Agent's doing, and opens a new entry
		}
		known = true
		switch {
		case a.Issuer != nil && *a.Issuer != *e.Issuer:
			err = fmt.Errorf("%w: %q; if the operator has announced it, remove the authority and add it again", ErrIssuer, ts.Chain.Issuer.Subject.CommonName)
		case a.Policy != "" && a.Policy != e.Policy:
			err = fmt.Errorf("%w: %s instead of %s; if the operator has announced it, remove the authority and add it again", ErrPolicy, e.Policy, a.Policy)
		case at.Before(a.From.Time):
			err = fmt.Errorf("its time %s lies outside the period that the policy gives it; if its clock was wrong when it was added, remove the authority and add it again", holdfast.At(at))
		default:
			return true, nil
		}
	}
	return known, err
}
