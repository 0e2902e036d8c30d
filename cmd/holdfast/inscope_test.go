package main

import (
	"errors"
	"io"
	"testing"
	"time"

	"holdfast"
	"holdfast/catalog"
	"holdfast/pipeline"
)

// TestStillInside guards the period and the egress of a Case for Tasks that
// waited: what was inside when it was asked for is not captured after the period
// has ended, or by a line that is not the demanded one, unless with a reason.
func TestStillInside(t *testing.T) {
	c := &cli{out: io.Discard, errs: io.Discard}
	n, err := c.benchNode(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	over := holdfast.At(time.Now().Add(-time.Hour))
	for name, k := range map[string]struct {
		record  catalog.Record
		options taskOptions
		waits   bool
	}{
		"nothing recorded":   {catalog.Record{}, taskOptions{}, false},
		"over":               {catalog.Record{Until: over}, taskOptions{}, true},
		"over, with reason":  {catalog.Record{Until: over}, taskOptions{Outside: []string{"period: …"}, Reason: "r"}, false},
		"over, other reason": {catalog.Record{Until: over}, taskOptions{Outside: []string{"source: …"}, Reason: "r"}, true},
		"another egress":     {catalog.Record{Egress: "office"}, taskOptions{}, true},
		"a reason for it":    {catalog.Record{Egress: "office"}, taskOptions{Outside: []string{"egress: …"}, Reason: "r"}, false},
		"the egress":         {catalog.Record{Egress: "office"}, taskOptions{Via: "office"}, false},
		"direct":             {catalog.Record{Egress: "direct"}, taskOptions{}, false},
		"not direct":         {catalog.Record{Egress: "direct"}, taskOptions{Via: "office"}, true},
	} {
		home := holdfast.NewID()
		if err := n.openCase(t.Context(), home, name, k.record); err != nil {
			t.Fatal(err)
		}
		if err := n.refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		r := &round{n: n}
		err := r.stillInside(t.Context(), pipeline.Task{Case: home, Source: "https://a.invalid/"}, k.options)
		if errors.Is(err, errOutside) != k.waits || (err != nil) != k.waits {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := n.caseNamed(t.Context(), string(holdfast.NewID())); err == nil {
		t.Error("a mistyped id made a Case without a scope")
	}
}
