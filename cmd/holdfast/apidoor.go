package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"holdfast"
	"holdfast/api"
	"holdfast/canon"
	"holdfast/catalog"
	"holdfast/cmd/internal/nodedir"
	"holdfast/cmd/internal/spool"
	"holdfast/collectors/telegram/accounts"
	"holdfast/egress"
	"holdfast/export"
	"holdfast/hashing"
	"holdfast/pipeline"
)

// apiDoor is the node as package api sees it.
type apiDoor struct {
	n     *node
	signs *collectSigns // who says why a Task waits, or was given up
	spool *spool.Spool  // bundles on their way out

	mu   sync.Mutex
	of   map[holdfast.ID]askedFor // by capture
	gone map[holdfast.ID]bool     // Tasks that no queue has any more
}

// Token implements api.Tokens. The list is read each time: what is revoked counts from
// the next call on.
func (d *apiDoor) Token(ctx context.Context, text string, now time.Time) (api.Token, error) {
	t, err := d.n.openToken(ctx, text, now)
	return t, officeAway(err)
}

// Case implements api.Cases.
func (d *apiDoor) Case(ctx context.Context, name string) (holdfast.ID, error) {
	if err := d.n.refresh(ctx); err != nil {
		return "", err
	}
	cs, err := d.n.namedCase(ctx, name)
	if errors.Is(err, catalog.ErrAmbiguous) {
		return "", api.Refuse(fmt.Errorf("%w: name the case by its id", err))
	}
	return cs.ID, err
}

// Called implements api.Custody: a line in each Case that the call is about, and in
// `unfiled` where that is not known.
func (d *apiDoor) Called(ctx context.Context, k api.Call) error {
	x, err := canon.Marshal(struct {
		Call    string `json:"call"`
		Refused string `json:"refused,omitempty"`
		Token   string `json:"token"`
	}{k.What, k.Refused, k.Who.ID})
	if err != nil {
		return err
	}
	cases := k.Cases
	if len(cases) == 0 {
		cases = []holdfast.ID{d.n.set.Unfiled}
	}
	for _, id := range cases {
		for ids := range slices.Chunk(append([]string{}, k.Objects...), perLine) {
			if _, err := d.n.outbox.Append(ctx, pipeline.Entry{Case: id, Action: "called", Agent: k.Who.Agent, Objects: ids, X: x}); err != nil {
				return err
			}
		}
		if len(k.Objects) == 0 {
			if _, err := d.n.outbox.Append(ctx, pipeline.Entry{Case: id, Action: "called", Agent: k.Who.Agent, X: x}); err != nil {
				return err
			}
		}
	}
	return nil
}

// Captures implements api.Captures: the newest of all the Cases.
func (d *apiDoor) Captures(ctx context.Context, who api.Token, q api.Query) ([]api.Capture, error) {
	if err := d.n.refresh(ctx); err != nil {
		return nil, err
	}
	found := map[holdfast.ID]catalog.Capture{}
	for _, id := range q.Cases {
		for cp, err := range d.n.cat.Captures(ctx, catalog.Query{Member: id, State: q.State, Source: q.Source, Kind: holdfast.KindCapture, After: q.After, Limit: q.Limit}) {
			if err != nil {
				return nil, err
			}
			found[cp.ID] = cp
		}
	}
	all := make([]catalog.Capture, 0, len(found))
	for _, cp := range found {
		all = append(all, cp)
	}
	slices.SortFunc(all, func(a, b catalog.Capture) int {
		return cmp.Or(b.Started.Compare(a.Started.Time), cmp.Compare(b.ID, a.ID))
	})
	rows := make([]api.Capture, 0, len(all))
	for _, cp := range all[:min(len(all), q.Limit)] {
		row, err := d.row(ctx, who, cp)
		if err != nil {
			return nil, err
		}
		rows = append(rows, row)
	}
	return rows, nil
}

// Capture implements api.Captures.
func (d *apiDoor) Capture(ctx context.Context, who api.Token, id holdfast.ID) (api.Capture, error) {
	cp, err := d.visible(ctx, who, id)
	if err != nil {
		return api.Capture{}, err
	}
	return d.row(ctx, who, cp)
}

// visible finds a Capture that is at home in a Case of the token, or was added to one.
func (d *apiDoor) visible(ctx context.Context, who api.Token, id holdfast.ID) (cp catalog.Capture, err error) {
	if err := d.n.refresh(ctx); err != nil {
		return cp, err
	}
	cp, err = d.n.cat.Capture(ctx, id)
	switch {
	case isNotFound(err) || err == nil && cp.Kind != holdfast.KindCapture:
		return cp, api.Missing("capture " + string(id))
	case err != nil || who.For(cp.Case):
		return cp, err
	}
	before := catalog.Cursor{Started: holdfast.At(cp.Started.Add(time.Millisecond)), ID: holdfast.ID(strings.Repeat("0", 32))}
	for _, home := range who.Cases {
		for other, err := range d.n.cat.Captures(ctx, catalog.Query{Member: home, Kind: holdfast.KindCapture, After: before}) {
			if err != nil {
				return cp, err
			}
			if other.ID == id {
				return cp, nil
			}
			if other.Started.Before(cp.Started.Time) {
				break
			}
		}
	}
	return catalog.Capture{}, api.Missing("capture " + string(id))
}

// row is a Capture as the token may see it: of a Case that it is not for not the name.
func (d *apiDoor) row(ctx context.Context, who api.Token, cp catalog.Capture) (api.Capture, error) {
	k := api.Capture{ID: cp.ID, Source: cp.Source, CaseID: cp.Case, Started: cp.Started, Ended: cp.Ended, Outcome: cp.Outcome, State: cp.State, Reason: cp.Reason,
		Seal: cp.Seal, Manifest: cp.Manifest.String(), Exhibit: cp.Exhibit, Training: cp.Training, Conflicts: len(cp.Conflicts)}
	if !cp.T.IsZero() {
		at := holdfast.At(cp.T)
		k.NotAfter = &at
	}
	if !who.For(cp.Case) {
		return k, nil
	}
	cs, err := d.n.cat.Case(ctx, string(cp.Case))
	if err != nil && !isNotFound(err) {
		return k, err
	}
	k.Case = cs.Name
	return k, nil
}

// Manifest implements api.Captures.
func (d *apiDoor) Manifest(ctx context.Context, who api.Token, id holdfast.ID, why string) ([]byte, error) {
	if err := checkReason("why", why); err != nil {
		return nil, api.Refuse(err)
	}
	cp, err := d.visible(ctx, who, id)
	if err != nil {
		return nil, err
	}
	raw, _, err := d.n.kept().Manifest(ctx, id)
	if err != nil {
		return nil, err
	}
	return raw, d.n.accessed(ctx, cp, who.Agent, why)
}

// Bundle implements api.Bundles. The file has no name: a crash leaves nothing of it.
func (d *apiDoor) Bundle(ctx context.Context, who api.Token, a api.BundleAsk) (f *os.File, digest hashing.Digest, sum api.Summary, err error) {
	o := exportOptions{caseName: string(a.Case), restricted: a.Restricted, why: a.Why, lang: a.Lang, agent: &who.Agent}
	if err := errors.Join(checkLanguage(a.Lang), checkReason("why", a.Why)); err != nil {
		return nil, digest, sum, api.Refuse(err)
	}
	if err := errors.Join(nodedir.AfterRebuild(ctx, d.n.dir), d.n.refresh(ctx)); err != nil {
		return nil, digest, sum, err
	}
	ids := make([]string, len(a.Captures))
	for i, id := range a.Captures {
		ids[i] = string(id)
	}
	sel, at, err := d.n.selection(ctx, o.caseName, ids)
	if err == nil && len(at) == 0 {
		err = errors.New("export: there are no captures")
	}
	if err != nil {
		return nil, digest, sum, api.Refuse(err)
	}
	opts, err := d.n.exportOptions(ctx, sel, at, o)
	if err != nil {
		return nil, digest, sum, err
	}
	facts := newCaseFacts(d.n, sel, o)
	opts.CaseFacts = facts
	if f, err = os.CreateTemp(d.spool.Dir(), "bundle-*"); err != nil {
		return nil, digest, sum, fmt.Errorf("make a file for a bundle: %w", err)
	}
	defer func() {
		if err != nil {
			f.Close()
		}
	}()
	if err = os.Remove(f.Name()); err != nil {
		return nil, digest, sum, err
	}
	s, err := export.Write(ctx, f, opts)
	if errors.Is(err, export.ErrUnread) || errors.Is(err, export.ErrSize) {
		return nil, digest, sum, api.Refuse(fmt.Errorf("%w; `holdfast export --size` on the node writes it in parts", err))
	}
	if err == nil {
		digest, _, err = hashing.Copy(io.Discard, io.NewSectionReader(f, 0, s.Bytes))
	}
	if err == nil {
		err = facts.finished(context.WithoutCancel(ctx), s.Statement)
	}
	if err != nil {
		return nil, digest, sum, err
	}
	sum = api.Summary{Exhibits: len(s.Exhibits), Withheld: s.Withheld, Bytes: s.Bytes, Statement: s.Statement.String(), Notes: append([]string{}, s.Notes[:min(len(s.Notes), 20)]...)}
	for _, e := range s.Exhibits {
		if e.State != export.Sealed {
			sum.Unsealed++
		}
	}
	return f, digest, sum, nil
}

// refusal is what a call is told of an error that a person can end by asking
// otherwise; any other is the node's own affair, and stays in its log.
func refusal(err error) error {
	x := (*exitError)(nil)
	if errors.As(err, &x) && x.code == exitUsage || errors.As(err, new(accounts.Error)) || errors.Is(err, egress.ErrNone) || errors.Is(err, nodedir.ErrNoApp) || errors.Is(err, errNoList) {
		return api.Refuse(err)
	}
	return err
}
