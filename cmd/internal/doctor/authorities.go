package doctor

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"holdfast/cmd/internal/nodeclock"
	"holdfast/messages"
	"holdfast/preserve"
)

// asked is what came of asking one authority.
type asked struct {
	a   preserve.Authority
	ts  *preserve.Timestamp
	err error
}

// Office is which authorities a node asks, and what it knows of its clock.
type Office struct {
	Dir    string // the node's, with what is known of its clock
	Asked  []preserve.Authority
	Quorum int // operators that must agree
	// Stamp asks one for a token, and remembers who issued it. It may be called concurrently.
	Stamp func(ctx context.Context, a preserve.Authority) (*preserve.Timestamp, error)
	// Clock is given what the authorities show of the node's clock; it is said here already.
	Clock func(preserve.Drift)
}

// Authorities asks all of them at the same time for a real token, so that what
// does not answer costs the time of one; then it compares the clocks.
func (d *Report) Authorities(ctx context.Context, o Office) {
	all := make([]asked, len(o.Asked))
	var g sync.WaitGroup
	for i, a := range o.Asked {
		g.Go(func() {
			ts, err := o.Stamp(ctx, a)
			all[i] = asked{a, ts, err}
		})
	}
	g.Wait()
	now := time.Now()
	var seen []preserve.Sighting
	for _, r := range all {
		if r.err == nil {
			if s, ok := preserve.Sighted(r.a.Operator, r.ts, now); ok {
				seen = append(seen, s)
			}
		}
	}
	drift, measured := preserve.Measure(seen, now)
	for _, r := range all {
		d.authority(r, drift, measured)
	}
	d.quorum(o.Quorum, all)
	d.clock(o, drift, measured)
}

// authority says one line. A clock is this authority's fault only if the others
// agree that it is not ours.
func (d *Report) authority(r asked, drift preserve.Drift, measured bool) {
	name := messages.Visible(fmt.Sprintf("%s of %s", r.a.Name, r.a.Operator))
	if r.err != nil {
		d.Check("authority", "", fmt.Errorf("%s: %s: %s", name, unwrapName(r), whatToDo(r.err)))
		return
	}
	off := r.ts.Offset.Round(100 * time.Millisecond)
	detail := fmt.Sprintf("%s answers in %v; its clock is %v from ours", name, r.ts.Took.Round(time.Millisecond), off)
	var err error
	alone := measured && !slices.Contains(drift.Operators, r.a.Operator)
	if off.Abs() > preserve.ClockLimit && (alone || !measured) {
		err = errors.New(detail + ": ask the operator, or set this machine's clock (timedatectl set-ntp true)")
	}
	d.Check("authority", detail, err)
}

// unwrapName drops what the line has said already.
func unwrapName(r asked) string {
	return messages.Visible(strings.TrimPrefix(r.err.Error(), "timestamp from "+r.a.Name+": "))
}

// whatToDo about an authority that gave no good token.
func whatToDo(err error) string {
	var out *url.Error
	var wire net.Error
	switch {
	case errors.Is(err, preserve.ErrIssuer), errors.Is(err, preserve.ErrPolicy):
		return "if the operator has announced it, `holdfast authority remove` it and add it again"
	case errors.As(err, &out), errors.As(err, &wire), errors.Is(err, context.DeadlineExceeded):
		return "it is out of reach: look at the line and the URL; until then captures are signed, and `holdfast seal --requests DIR` needs no line"
	case errors.Is(err, preserve.ErrOpenLine):
		return "give it an https URL"
	}
	return "ask the operator, or `holdfast authority remove` it and add another"
}

// quorum counts the operators that are asked, and those that answer.
func (d *Report) quorum(need int, all []asked) {
	operators, answer := map[string]bool{}, map[string]bool{}
	for _, r := range all {
		operators[r.a.Operator] = true
		if r.err == nil {
			answer[r.a.Operator] = true
		}
	}
	var err error
	switch {
	case len(operators) < need:
		err = fmt.Errorf("%d operators are asked and %d must agree, so nothing will be sealed: `holdfast authority add` another one", len(operators), need)
	case len(answer) < need:
		err = fmt.Errorf("%d of %d operators answer now and %d must agree: what is captured is signed, and sealed when they are back (`holdfast seal`)", len(answer), len(operators), need)
	}
	d.Check("quorum", fmt.Sprintf("%d of %d operators must agree on the time, %d answer", need, len(operators), len(answer)), err)
}

// clock says what the authorities show of this node's clock, and remembers it.
func (d *Report) clock(o Office, drift preserve.Drift, measured bool) {
	system := ""
	if kept, known := keptInTime(); known && !kept {
		system = "; the system says that nothing keeps its clock in time (timedatectl set-ntp true)"
	}
	if !measured {
		d.Note("clock", "not measured: that takes two operators that answer and agree"+system)
		return
	}
	o.Clock(drift)
	detail := fmt.Sprintf("%v from that of %s", drift.Offset.Abs().Round(100*time.Millisecond), messages.Visible(strings.Join(drift.Operators, " and ")))
	var err error
	if m := nodeclock.Read(o.Dir); drift.Wrong() && m != nil {
		err = errors.New(m.Text() + ": set it (timedatectl set-ntp true); what was captured meanwhile states a wrong time, and its seals tell")
	}
	d.Check("clock", detail+system, err)
}
