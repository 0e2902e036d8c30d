package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"holdfast/alert"
	"holdfast/alert/rules"
	"holdfast/cmd/internal/doctor"
)

// untoldAlert is a destination that did not take what it was told.
type untoldAlert struct {
	rule *rules.Rule
	to   string
	alert.State
}

func (u untoldAlert) String() string {
	return fmt.Sprintf("%s to %.200s: %d events are not told, %d attempts failed: %s", u.rule.Name, u.to, u.Waiting, u.Tries, u.Error)
}

type untoldAlerts struct {
	rules int
	all   []untoldAlert
}

// untold says what was not told: nobody is asked.
func (n *node) untold(ctx context.Context) (u untoldAlerts, err error) {
	all, err := n.alerts(ctx)
	if u.rules = len(all); err != nil || u.rules == 0 {
		return u, err
	}
	out, err := n.alertBox(ctx)
	if err != nil {
		return u, err
	}
	defer out.Close()
	for _, r := range all {
		for _, to := range r.To {
			s, err := out.State(ctx, r.Name, to)
			if err != nil {
				return u, err
			}
			if s.Tries > 0 {
				u.all = append(u.all, untoldAlert{r, to, s})
			}
		}
	}
	return u, nil
}

// of is what concerns a watch: alerts of its channel, and of all.
func (u untoldAlerts) of(w *watch) string {
	var all []string
	for _, k := range u.all {
		if r := k.rule; r.Source == w.Source || r.Source == "" && (r.Case == "" || slices.Contains(w.Cases, r.Case)) {
			all = append(all, "alert "+k.String())
		}
	}
	return strings.Join(all, "; ")
}

// doctorAlerts says what was found and is not told.
func (n *node) doctorAlerts(ctx context.Context, d *doctor.Report) {
	u, err := n.untold(ctx)
	switch {
	case err != nil:
		d.Check("alerts", "", err)
	case u.rules > 0 && len(u.all) == 0:
		d.Check("alerts", fmt.Sprintf("%d alerts, all that was found is told or waits for its turn", u.rules), nil)
	}
	for _, k := range u.all {
		d.Check("alerts", "", errors.New(k.String()))
	}
}
