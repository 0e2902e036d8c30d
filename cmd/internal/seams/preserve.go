package seams

import (
	"context"
	"errors"
	"fmt"

	"holdfast"
	"holdfast/catalog"
	"holdfast/pipeline"
	"holdfast/preserve"
)

// Planner plans batches as the pipeline has them: [pipeline.Planner] is the contract.
type Planner struct {
	*preserve.Sealer
	Store preserve.Store
}

// Plan plans a batch; see [preserve.Sealer].
func (p *Planner) Plan(ctx context.Context, b pipeline.Batch) (*holdfast.Plan, error) {
	return p.Sealer.Plan(ctx, preserve.Batch{Queue: b.Queue, Partition: b.Partition, First: b.First, Last: b.Last, Items: Items(b), Skipped: b.Skipped})
}

// Newest and Unfinished read the plans that there are; see package preserve.
func (p *Planner) Newest(ctx context.Context, queue string, partition int, near int64, count int) ([]*holdfast.Plan, error) {
	return preserve.Newest(ctx, p.Store, queue, partition, near, count)
}

// Unfinished is of those that are not carried out: see [Planner.Newest].
func (p *Planner) Unfinished(ctx context.Context, queue string, partition int) ([]*holdfast.Plan, error) {
	return preserve.Unfinished(ctx, p.Store, queue, partition)
}

// Carrier carries plans out: [pipeline.Carrier] is the contract.
type Carrier struct{ Sealer *preserve.Sealer }

// Carry carries one out with the items of its batch. What they lack is [pipeline.ErrItems].
func (c *Carrier) Carry(ctx context.Context, p *holdfast.Plan, b pipeline.Batch) (pipeline.Outcome, error) {
	o, err := c.Sealer.Carry(ctx, p, Items(b))
	if errors.Is(err, preserve.ErrItems) {
		err = fmt.Errorf("%w: %w", pipeline.ErrItems, err)
	}
	if err != nil || o.Seal == "" {
		return pipeline.Outcome{}, err
	}
	return Outcome(o), nil
}

// Items are the captures of a batch, their bytes not copied.
func Items(b pipeline.Batch) []preserve.Item {
	out := make([]preserve.Item, len(b.Items))
	for i, it := range b.Items {
		out[i] = preserve.Item{Position: it.Position, ID: it.ID, Case: it.Case, Manifest: it.Manifest, Small: make([]preserve.Small, len(it.Small))}
		for j, s := range it.Small {
			out[i].Small[j] = preserve.Small(s)
		}
	}
	return out
}

// Outcome is what came of a Seal.
func Outcome(o preserve.Outcome) pipeline.Outcome {
	p := pipeline.Outcome{Captures: o.Captures, Reason: o.Reason, Seal: o.Seal, State: o.State}
	if o.State == preserve.StateSealed {
		p.T = &o.T
	}
	return p
}

// Judge is preserve's judge as the catalog's fold sees it.
type Judge struct{ Judge *preserve.Judge }

// State judges a Seal by its parts and the Policy.
func (j Judge) State(ctx context.Context, seal string) (catalog.Judgement, error) {
	o, err := j.Judge.State(ctx, seal)
	if err != nil {
		return catalog.Judgement{}, err
	}
	return catalog.Judgement{State: o.State, Reason: o.Reason, T: o.T.Time}, nil
}
