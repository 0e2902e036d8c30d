package main

import (
	"context"
	"errors"
	"time"

	"holdfast/alert"
	"holdfast/alert/rules"
	officedb "holdfast/office"
	"holdfast/pg"
)

// book is what nodes that share a queue have in common besides: tokens of the API, asks,
// alerts. It lies in the database of the catalog. It is opened when it is needed first,
// and closed with the node.
func (n *node) book(ctx context.Context) (*officedb.Book, error) {
	n.bookLock.Lock()
	defer n.bookLock.Unlock()
	if n.booked != nil {
		return n.booked, nil
	}
	e := n.set.URLs()
	o, err := n.engines().Database()
	if err != nil {
		return nil, err
	}
	b, err := officedb.Open(ctx, officedb.Options{URL: e.Catalog, Password: o.Password, Store: o.Owner})
	if err != nil {
		return nil, err
	}
	if err := n.intoOffice(ctx, b); err != nil {
		b.Close()
		return nil, err
	}
	n.booked = b
	return b, nil
}

// awayNow reports that the office's database cannot be asked now.
func awayNow(err error) bool { return errors.Is(err, pg.ErrUnavailable) }

// alertBox is what alerts have still to tell.
type alertBox interface {
	rules.Box
	alertTeller
	alertKeeper
}

type alertTeller interface {
	Due(ctx context.Context, rule, dest string, now time.Time) ([]alert.Event, error)
	Last(ctx context.Context, rule, dest string, limit int) ([]alert.Event, error)
	Told(ctx context.Context, rule, dest string, events []alert.Event, now time.Time) error
	Failed(ctx context.Context, rule, dest string, why error, now time.Time) error
	State(ctx context.Context, rule, dest string) (alert.State, error)
}

type alertKeeper interface {
	Drop(ctx context.Context, rule string) error
	Forget(ctx context.Context, captures []string) error
	Close() error
}

// unableTeller is a box of several nodes: that one of them cannot tell a destination is
// no reason for the others to wait.
type unableTeller interface {
	Unable(ctx context.Context, rule, dest string, why error, now time.Time) error
}

// alertBox opens the node's own box, or where the queue is shared that of the office.
func (n *node) alertBox(ctx context.Context) (alertBox, error) {
	if n.sharedQueue() {
		b, err := n.book(ctx)
		if err != nil {
			return nil, err
		}
		return b.Alerts(), nil
	}
	out, err := alert.Open(ctx, n.path(alertsDB))
	if err != nil {
		return nil, err // not out: a nil *alert.Outbox in an interface is no nil
	}
	return out, nil
}
