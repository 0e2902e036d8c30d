package preserve

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"holdfast"
	"holdfast/rfc3161"
	"holdfast/wholefile"
)

// What a reply that came as a file can be refused for, besides the errors of
// [Query.Accept].
var (
	ErrNoQuery  = errors.New("this node has written no such query")
	ErrNotAsked = errors.New("authority is not asked")
)

// Queries are questions that travel as files, for a node without a line, and
// the way back of their replies. What was asked is kept in Dir, so that a reply
// counts only if this node asked for it. Methods may be called concurrently,
// and by several processes on one Dir.
type Queries struct {
	Dir string // 0700; made when the first query is written
	// Recon has the store, the authorities and what is told of a Seal that is
	// sealed. Nobody is asked through it.
	Recon *Reconciler
}

// An Unanswered query is what an authority has to stamp for a Seal.
type Unanswered struct {
	Seal      string
	Authority Authority
	DER       []byte // TimeStampReq
}

// Name is that of its file without ending: `<seal>.<authority>`.
func (u Unanswered) Name() string { return queryName(u.Seal, u.Authority.Name) }

func queryName(seal, authority string) string { return seal + "." + authority }

// Of returns the queries that a signed Seal still needs: one for each authority
// that is asked now and has no token in it. Each is durable in Dir before it is
// returned, and the same one is returned until its reply was taken: so what is
// on its way already stays good. A Seal that is not signed, sealed, or
// contradicted (no token helps it) has none.
//
// A crash leaves queries that nobody carried; they are returned again.
func (q *Queries) Of(ctx context.Context, seal string) ([]Unanswered, error) {
	k, o, err := q.look(ctx, seal)
	if err != nil || o.State != StateSigned || o.void() {
		return nil, err
	}
	if err := os.MkdirAll(q.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("make directory of queries: %w", err)
	}
	var all []Unanswered
	for _, a := range q.authorities() {
		if k.have[a.Name] {
			q.forget(seal, a.Name)
			continue
		}
		der, err := q.query(seal, a, k.sig)
		if err != nil {
			return nil, fmt.Errorf("query %s about seal %s: %w", a.Name, seal, err)
		}
		all = append(all, Unanswered{seal, a, der})
	}
	return all, nil
}

func (q *Queries) authorities() []Authority { return q.Recon.Quorum.authorities() }

// look reads a Seal and says how far it is.
func (q *Queries) look(ctx context.Context, seal string) (ask, Outcome, error) {
	plan, err := readPlan(ctx, q.Recon.Store, seal)
	if err != nil {
		return ask{}, Outcome{}, err
	}
	o, parts, err := q.judge().judge(ctx, plan)
	if err != nil || parts[partStatement] == nil {
		return ask{}, o, err
	}
	names, err := partNames(ctx, q.Recon.Store, seal)
	if err != nil {
		return ask{}, o, err
	}
	k, err := q.Recon.Quorum.question(o, parts, names)
	return k, o, err
}

func (q *Queries) judge() *Judge { return &Judge{q.Recon.Store, q.Recon.Quorum.o.Trust} }

func (q *Queries) path(seal, authority string) string {
	return filepath.Join(q.Dir, queryName(seal, authority)+".tsq")
}

// query returns the one that was written before, or writes one. One that cannot
// be read, or that asks for a policy that is pinned otherwise since, is replaced.
func (q *Queries) query(seal string, a Authority, sig []byte) ([]byte, error) {
	path := q.path(seal, a.Name)
	if der, err := readSmall(path); err == nil {
		old, err := ParseQuery(der)
		if err == nil && old.About(sig) && (old.policy == "" || old.policy == a.PolicyPin) {
			return der, nil
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	fresh, err := NewQuery(a, sig)
	if err != nil {
		return nil, err
	}
	return fresh.DER(), wholefile.Replace(path, fresh.DER(), 0o600)
}

// A Reply says what became of one reply.
type Reply struct {
	Seal      string
	Authority Authority
	// Stamp is the token, if it was taken now; nil: it was there already, or
	// another of this authority's was.
	Stamp *Timestamp
	// Asked is when the query was written, by this node's clock, if Stamp is set.
	Asked time.Time
}

// Take checks a TimeStampResp that came as a file named `<seal>.<authority>`,
// and makes its token a part of the Seal. All that [Client.Stamp] checks is
// checked here, by the same code. A reply that was taken before is no error.
//
// Errors wrap one of this package or of package rfc3161. A crash leaves the
// token or not, never half of it; take the reply again.
func (q *Queries) Take(ctx context.Context, name string, reply []byte) (r Reply, err error) {
	if r.Seal, r.Authority, err = q.named(name); err != nil {
		return r, err
	}
	k, _, err := q.look(ctx, r.Seal)
	if errors.Is(err, fs.ErrNotExist) || err == nil && k.sig == nil {
		return r, fmt.Errorf("%w: no such seal is signed here", ErrNoQuery)
	}
	if err != nil {
		return r, err
	}
	token, err := rfc3161.ParseResponse(reply)
	if err != nil {
		return r, err
	}
	if k.have[r.Authority.Name] {
		// Not needed any more. What it says is still looked at, so that a file
		// that was mixed up is named as such.
		if !(&Query{imprint: token.Imprint}).About(k.sig) {
			return r, fmt.Errorf("check token: %w", rfc3161.ErrImprint)
		}
		q.forget(r.Seal, r.Authority.Name)
		return r, nil
	}
	if st, err := os.Stat(q.path(r.Seal, r.Authority.Name)); err == nil {
		r.Asked = st.ModTime()
	}
	ts, err := q.accept(r, k, reply)
	if err != nil {
		return r, err
	}
	if err := counts(ctx, q.Recon.Quorum.o.Trust, r.Authority, k, ts); err != nil {
		return r, err
	}
	if err := keep(ctx, q.Recon.Store, r.Authority, r.Seal, ts); err != nil {
		return r, err
	}
	q.forget(r.Seal, r.Authority.Name)
	r.Stamp = ts
	return r, nil
}

func (q *Queries) accept(r Reply, k ask, reply []byte) (*Timestamp, error) {
	der, err := readSmall(q.path(r.Seal, r.Authority.Name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ErrNoQuery
	}
	if err != nil {
		return nil, err
	}
	query, err := ParseQuery(der)
	if err != nil {
		return nil, fmt.Errorf("read query: %w", err)
	}
	if !query.About(k.sig) {
		return nil, fmt.Errorf("%w: the one of this name is about another signature", ErrNoQuery)
	}
	return query.Accept(r.Authority, reply)
}

// named reads a file's name, which comes from a stranger's disk.
func (q *Queries) named(name string) (string, Authority, error) {
	seal, authority, _ := strings.Cut(name, ".")
	if !holdfast.ValidSealID(seal) || !holdfast.ValidAuthorityName(authority) {
		return "", Authority{}, fmt.Errorf("%w: its name is not that of a query with .tsr in place of .tsq", ErrNoQuery)
	}
	i := slices.IndexFunc(q.authorities(), func(a Authority) bool { return a.Name == authority })
	if i < 0 {
		return "", Authority{}, fmt.Errorf("%w: %s", ErrNotAsked, authority)
	}
	return seal, q.authorities()[i], nil
}

// Settle judges a Seal after replies, and publishes what it has come to: sealed,
// or why it still is not.
func (q *Queries) Settle(ctx context.Context, seal string) (Outcome, error) {
	plan, err := readPlan(ctx, q.Recon.Store, seal)
	if err != nil {
		return Outcome{}, err
	}
	o, parts, err := q.judge().judge(ctx, plan)
	if err != nil {
		return o, err
	}
	if o.State == StateSigned {
		return o, q.Recon.Publish(ctx, o)
	}
	return q.Recon.settle(ctx, o, parts)
}

// forget drops a query that nothing is asked by any more. If it stays, it is
// never read again.
func (q *Queries) forget(seal, authority string) { _ = os.Remove(q.path(seal, authority)) }

// readSmall reads a file of at most [rfc3161.MaxSize] bytes.
func readSmall(path string) ([]byte, error) {
	st, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !st.Mode().IsRegular() || st.Size() > rfc3161.MaxSize {
		return nil, fmt.Errorf("read %s: no file, or more than %d bytes", filepath.Base(path), rfc3161.MaxSize)
	}
	return os.ReadFile(path)
}
