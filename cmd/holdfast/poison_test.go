package main

import (
	"errors"
	"slices"
	"testing"

	"holdfast"
	"holdfast/pipeline"
)

// TestPoisonInCustody: a message that cannot be sealed is named as lost in custody, once,
// in its Case if this node knows it, and that line is sealed.
func TestPoisonInCustody(t *testing.T) {
	c, n := roundNode(t)
	home := holdfast.NewID()
	_, err := n.outbox.Append(t.Context(), pipeline.Entry{Case: home, Action: "opened", Agent: n.set.Agent, X: []byte(`{"name":"reef"}`)})
	if err != nil {
		t.Fatal(err)
	}
	mine, strange, garbage := holdfast.NewID(), holdfast.NewID(), holdfast.NewID()
	bad := errors.New("of another form")
	for range 2 { // again, after a crash
		if err := n.tellPoison(t.Context(), []pipeline.Poisoned{{Place: 3, ID: mine, Case: home, Err: bad}, {Place: 4, ID: strange, Case: holdfast.NewID(), Err: bad}}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := n.queue.Publish(t.Context(), nil, pipeline.Message{ID: garbage, Body: []byte("of a format that nobody reads")}); err != nil {
		t.Fatal(err)
	}
	n.Close()
	if out, errs, code := call("seal", "--data", c.data, "--json"); code != 0 {
		t.Fatalf("seal: exit %d: %s%s", code, out, errs)
	}
	n, err = c.open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	for at, want := range map[holdfast.ID][]string{home: {string(mine)}, n.set.Unfiled: {string(strange), string(garbage)}} {
		var lost []string
		err := n.outbox.Lines(at, func(raw []byte, _ holdfast.Head) error {
			l, err := holdfast.ParseLine(raw)
			if err == nil && l.Action == "lost" {
				lost = append(lost, l.Objects...)
			}
			return err
		})
		if err != nil || !slices.Equal(lost, want) {
			t.Errorf("case %s: lost are %v, not %v, %v", at, lost, want, err)
		}
	}
}
