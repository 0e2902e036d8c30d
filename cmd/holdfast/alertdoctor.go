package main

import (
	"context"
	"fmt"

	"holdfast/alert"
)

// alerts says what was not told: nobody is asked.
func (d *doctor) alerts(ctx context.Context, n *node) {
	rules, err := n.alerts()
	if err != nil {
		d.check("alerts", "", err)
		return
	}
	if len(rules) == 0 {
		return
	}
	out, err := alert.Open(ctx, n.path(alertsDB))
	if err != nil {
		d.check("alerts", "", err)
		return
	}
	defer out.Close()
	failing := 0
	for _, r := range rules {
		for _, to := range r.To {
			s, err := out.State(ctx, r.Name, to)
			if err != nil {
				d.check("alerts", "", err)
				return
			}
			if s.Tries > 0 {
				failing++
				d.check("alerts", "", fmt.Errorf("%s to %.200s: %d events are not told, %d attempts failed: %s", r.Name, to, s.Waiting, s.Tries, s.Error))
			}
		}
	}
	if failing == 0 {
		d.check("alerts", fmt.Sprintf("%d alerts, all that was found is told or waits for its turn", len(rules)), nil)
	}
}
