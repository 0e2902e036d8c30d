package preserve

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"strconv"
	"strings"

	"golang.org/x/sync/errgroup"

	"holdfast"
	"holdfast/hashing"
	"holdfast/storage"
)

// ErrContradicted: the parts of a Seal disprove it. Somebody has changed the
// store, or a device writes what it was not given. No retry helps.
var ErrContradicted = errors.New("seal is contradicted")

// Appender is the log as a Sealer needs it; [Tlog] is one.
type Appender interface {
	// Append returns once a mirrored checkpoint covers leaf.
	Append(ctx context.Context, leaf []byte) (*Entry, error)
	// Newest returns the newest mirrored state.
	Newest() (holdfast.Tree, []byte)
}

// Options make a Sealer.
type Options struct {
	Node     string // the node's name, which is its log's origin
	Training bool
	Config   hashing.Digest
	Software holdfast.Software
	Signer   Signer
	Tlog     Appender
	Store    Store
	Quorum   *Quorum
	Log      *slog.Logger // Optional.
}

// Sealer makes Seals. Its methods may be called concurrently, for different
// Seals and for the same one.
//
// # Why a crash loses nothing and doubles nothing
//
// Every write is of a write-once name, and is durable before the next begins:
//
//  1. plan.json. Before it nothing of the batch exists, and it is planned anew,
//     perhaps otherwise: the queue still has it. From here on the plan says
//     which captures are in this Seal, so no capture is in two, whoever goes on.
//     With it, after it, notbefore.tst, if the node holds a token.
//  2. The packs. They are a function of the plan's captures, and the plan names
//     their digests. Where one is there already, it is compared, not trusted.
//  3. statement.dsse.json. Who finds a notbefore.tst names that one, and who has
//     another creates it first, so a statement names the token that is there.
//     (One exception: the winner had no token and the loser did. Then the file
//     belongs to nothing, and [Parts] leaves it out.) Signatures are random, so
//     two sealers sign different bytes; the second to create adopts the first's.
//     All that a signature names is durable: packs now, large Objects before.
//  4. The log entry. A crash after it, before the proof is kept, leaves an entry
//     that nobody points at; the next try appends another one. Both say the same.
//  5. The mirror: tiles, then tlog/…/checkpoint/<size>. So the store always holds
//     what proves the log's past, and a log that was lost is noticed.
//  6. The Seal's checkpoint, then its inclusion. A checkpoint without inclusion is
//     a leftover, which [Parts] leaves out. Here the queue may be acknowledged.
//  7. Tokens, each a part of its own, over the signature of 3: they need not wait
//     for 4 to 6 and are asked for at the same time. One that is missing comes
//     later, from the [Reconciler].
//
// Nothing is called sealed because these steps went well, but because the parts,
// read again from the store, pass [holdfast.CheckSeal].
type Sealer struct {
	o     Options
	judge *Judge
	drawn drawn
}

// NewSealer returns a Sealer. It does not own what the options name: the caller
// closes Tlog and Quorum.
func NewSealer(o Options) *Sealer {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &Sealer{o: o, judge: &Judge{Store: o.Store, Trust: o.Quorum.o.Trust}}
}

// Seal plans a batch and carries the plan out. If a plan is found that reaches
// beyond the batch, the error wraps [ErrItems].
func (s *Sealer) Seal(ctx context.Context, b Batch) (Outcome, error) {
	p, err := s.Plan(ctx, b)
	if err != nil {
		return Outcome{}, err
	}
	return s.Carry(ctx, p, b.Items)
}

// Carry carries a plan out as far as it gets, and says how far that is. items
// are the captures at the plan's positions; others are ignored, and none are
// needed once the statement is there. On nil, signature and inclusion are
// durable, so the queue may be acknowledged up to p.Last; the Outcome says
// whether the quorum is there. It waits for the quorum at most as long as the
// [Quorum] is set to, and not at all while too many authorities are down.
//
// After an error, a cancelled ctx or a crash, call it again. Errors that wrap
// [ErrPlan], [ErrItems] or [ErrContradicted] will come again.
func (s *Sealer) Carry(ctx context.Context, p *holdfast.Plan, items []Item) (Outcome, error) {
	if len(p.Captures) == 0 {
		return Outcome{}, nil
	}
	o, err := s.carry(ctx, p, items)
	if err != nil {
		return Outcome{}, fmt.Errorf("seal %s: %w", p.Seal, err)
	}
	return o, nil
}

func (s *Sealer) carry(ctx context.Context, p *holdfast.Plan, items []Item) (Outcome, error) {
	if p.Training != s.o.Training {
		return Outcome{}, fmt.Errorf("plan says training %t, this node %t: %w", p.Training, s.o.Training, ErrPlan)
	}
	names, err := partNames(ctx, s.o.Store, p.Seal)
	if err != nil {
		return Outcome{}, err
	}
	if !names[partStatement] { // it is written after the packs
		if err := s.packs(ctx, p, items); err != nil {
			return Outcome{}, err
		}
	}
	st, err := s.statement(ctx, p, names)
	if err != nil {
		return Outcome{}, err
	}
	var why []string
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error { return s.logged(gctx, p.Seal, names, st) })
	g.Go(func() (err error) {
		why, err = s.o.Quorum.collect(gctx, st.ask(p.Seal, names))
		return err
	})
	if err := g.Wait(); err != nil {
		return Outcome{}, err
	}
	return s.judged(ctx, p, why)
}

// judged reads everything again and lets the verifier decide.
func (s *Sealer) judged(ctx context.Context, p *holdfast.Plan, why []string) (Outcome, error) {
	o, parts, err := s.judge.judge(ctx, p)
	if err != nil {
		return Outcome{}, err
	}
	switch o.State {
	case StatePending:
		return Outcome{}, fmt.Errorf("%w: %s", ErrContradicted, o.Reason)
	case StateSealed:
		s.o.Quorum.remember(parts, o.T)
		if o.twins {
			s.o.Quorum.late(p.Seal)
		}
	default:
		o.Reason = strings.Join(append([]string{o.Reason}, why...), "; ")
		s.o.Log.WarnContext(ctx, "signed, not sealed", "seal", p.Seal, "reason", o.Reason)
	}
	return o, nil
}

// packs writes what is not there yet.
func (s *Sealer) packs(ctx context.Context, p *holdfast.Plan, items []Item) error {
	packs := s.drawn.take(p)
	if packs != nil { // their digests are the plan's
		return s.write(ctx, packs, p)
	}
	chosen, err := choose(p, items)
	if err != nil {
		return err
	}
	if packs, err = packsOf(chosen); err != nil {
		return err
	}
	if len(packs) != len(p.Packs) {
		return fmt.Errorf("%d packs, planned are %d: %w", len(packs), len(p.Packs), ErrPlan)
	}
	for i := range packs {
		d, err := packs[i].digest()
		if err != nil {
			return err
		}
		if planned := p.Packs[i]; packs[i].home != planned.Case || d != planned.Digest {
			return fmt.Errorf("pack %s would be %s, planned is %s: %w", planned.Name, d, planned.Digest, ErrPlan)
		}
	}
	return s.write(ctx, packs, p)
}

func (s *Sealer) write(ctx context.Context, packs []pack, p *holdfast.Plan) error {
	for i := range packs {
		if err := s.pack(ctx, &packs[i], p.Packs[i]); err != nil {
			return err
		}
	}
	return nil
}

func (s *Sealer) pack(ctx context.Context, k *pack, planned holdfast.Pack) error {
	if late, err := s.erasedSince(ctx, planned); late || err != nil {
		return err
	}
	err := s.o.Store.CreateFunc(ctx, planned.Name, k.write)
	if errors.Is(err, storage.ErrExists) {
		return s.samePack(ctx, planned)
	}
	return err
}

// erasedSince reports whether this Sealer stood still while another finished the Seal and
// something of the pack was erased by order: to create the pack now would bring it back.
// A tombstone alone, which anybody with the store's keys can write, keeps no pack from
// being written; the statement behind all packs does.
func (s *Sealer) erasedSince(ctx context.Context, planned holdfast.Pack) (bool, error) {
	_, err := storage.ReadTombstone(ctx, s.o.Store, planned.Name)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil && !errors.Is(err, storage.ErrTombstone) {
		return false, err
	}
	seal := strings.TrimSuffix(planned.Name[strings.LastIndexByte(planned.Name, '/')+1:], ".zip")
	names, err := partNames(ctx, s.o.Store, seal)
	return names[partStatement], err
}

func (s *Sealer) samePack(ctx context.Context, planned holdfast.Pack) error {
	f, err := s.o.Store.OpenName(ctx, planned.Name)
	if err != nil {
		return fmt.Errorf("read pack: %w", err)
	}
	defer f.Close()
	w := hashing.NewWriter(io.Discard)
	if err := copyFile(w, f); err != nil {
		return fmt.Errorf("read pack %s: %w", planned.Name, err)
	}
	if w.Digest() != planned.Digest {
		return fmt.Errorf("pack %s is %s, planned is %s: %w", planned.Name, w.Digest(), planned.Digest, hashing.ErrMismatch)
	}
	return nil
}

// logged puts the signature into the log, unless a proof is there already.
func (s *Sealer) logged(ctx context.Context, seal string, names map[string]bool, st *signed) error {
	if included(names) {
		return nil
	}
	e, err := s.o.Tlog.Append(ctx, st.envelope.Leaf(st.spki))
	if err != nil {
		return err
	}
	proof, err := e.Inclusion.Encode()
	if err != nil {
		return err
	}
	state := e.Tree.Origin + "/" + strconv.FormatInt(e.Tree.Size, 10)
	// A name that is taken was written by another sealer of this Seal, with an
	// entry of its own: as good as ours.
	_, err = s.o.Store.CreateAll(ctx,
		storage.Item{Name: partName(seal, "checkpoint/"+state), Data: e.Checkpoint},
		storage.Item{Name: partName(seal, "inclusion/"+state+".json"), Data: proof})
	return err
}

// Find returns the plan of the batch that begins at a position, or nil.
func (s *Sealer) Find(ctx context.Context, queue string, partition int, first int64) (*holdfast.Plan, error) {
	p, err := readPlan(ctx, s.o.Store, holdfast.SealID(queue, partition, first))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return p, err
}
