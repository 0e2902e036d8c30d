package catalog_test

import (
	"errors"
	"fmt"
	"testing"
	"testing/quick"
	"time"

	"holdfast"
	"holdfast/catalog"
	"holdfast/catalog/catalogtest"
	"holdfast/hashing"
)

// event makes an Event around a line; change may spoil either first.
func event(t *testing.T, change func(*holdfast.Line, *holdfast.Manifest)) (manifest, line []byte) {
	t.Helper()
	node := "test.0123456789abcdef"
	l := &holdfast.Line{Action: "opened", Case: holdfast.NewID(), Chain: holdfast.NewID(), N: 1, Node: node, X: []byte(`{"name":"c"}`)}
	m := &holdfast.Manifest{
		Case: l.Case, ID: holdfast.EventID(l.Chain, 1), Kind: holdfast.KindEvent, Nonce: holdfast.NewNonce(), Source: "holdfast:case/a",
		Collection: holdfast.Collection{Node: node}, Completeness: holdfast.Completeness{Outcome: "complete"},
		Custody: holdfast.Head{Chain: l.Chain, Length: 1},
	}
	change(l, m)
	line, err := l.Encode()
	if err != nil {
		t.Fatal(err)
	}
	m.Objects = []holdfast.Object{{Digest: hashing.Of(line), Name: catalog.LineObject, Role: "custody-line", Size: int64(len(line)), Type: "application/json"}}
	if manifest, err = m.Encode(); err != nil {
		t.Fatal(err)
	}
	return manifest, line
}

// TestReadLine: a line counts only in its own Event, and only if all of it is
// of the right form.
func TestReadLine(t *testing.T) {
	x := func(action, x string) func(*holdfast.Line, *holdfast.Manifest) {
		return func(l *holdfast.Line, _ *holdfast.Manifest) { l.Action, l.X = action, []byte(x) }
	}
	id := string(holdfast.NewID())
	for name, d := range map[string]struct {
		change func(*holdfast.Line, *holdfast.Manifest)
		ok     bool
	}{
		"opened":               {func(*holdfast.Line, *holdfast.Manifest) {}, true},
		"another action":       {x("key-made", `{"key":1}`), true},
		"exported":             {x("exporting", `{"exhibits":[{"capture":"`+id+`","number":"12"}]}`), true},
		"of another case":      {func(_ *holdfast.Line, m *holdfast.Manifest) { m.Case = holdfast.NewID() }, false},
		"another event's":      {func(_ *holdfast.Line, m *holdfast.Manifest) { m.ID = holdfast.NewID() }, false},
		"of another place":     {func(l *holdfast.Line, _ *holdfast.Manifest) { l.N = 2 }, false},
		"opened, no name":      {x("opened", `{"x":"c"}`), false},
		"opened, a long name":  {x("opened", `{"name":"`+fmt.Sprintf("%01025d", 0)+`"}`), false},
		"opened, a number":     {x("opened", `{"name":1}`), false},
		"exported, no id":      {x("exporting", `{"exhibits":[{"capture":"x","number":"1"}]}`), false},
		"exported, number 0":   {x("exporting", `{"exhibits":[{"capture":"`+id+`","number":"0"}]}`), false},
		"exported, number 01":  {x("exporting", `{"exhibits":[{"capture":"`+id+`","number":"01"}]}`), false},
		"exported, number 1-2": {x("exporting", `{"exhibits":[{"capture":"`+id+`","number":"1-2"}]}`), false},
		"exported, no list":    {x("exporting", `{"exhibits":{}}`), false},
	} {
		manifest, line := event(t, d.change)
		a, err := catalog.Read(3, manifest)
		if err != nil {
			t.Fatal(err)
		}
		if got, size, ok := a.LineDigest(); !ok || got != hashing.Of(line) || size != int64(len(line)) {
			t.Errorf("%s: line digest %s, %d, %t", name, got, size, ok)
		}
		err = a.ReadLine(line)
		if d.ok != (err == nil) || d.ok != (a.Line != nil) || !d.ok && !errors.Is(err, holdfast.ErrForm) {
			t.Errorf("%s: line %+v, %v", name, a.Line, err)
		}
		if err := a.ReadLine(append(line, ' ')); !errors.Is(err, hashing.ErrMismatch) {
			t.Errorf("%s, other bytes: %v", name, err)
		}
	}
	m := catalogtest.New(1, 1, 10).Messages[4]
	a, err := catalog.Read(1, m.Manifest)
	if _, _, ok := a.LineDigest(); ok || err != nil {
		t.Errorf("a capture has a line, %v", err)
	}
	if _, err := catalog.Read(1, append(m.Manifest, '\n')); !errors.Is(err, holdfast.ErrForm) {
		t.Errorf("a manifest with a byte behind it: %v", err)
	}
}

// TestMerge: the join of statements about one Seal knows no order.
func TestMerge(t *testing.T) {
	state := func(n uint32) catalog.SealState {
		return catalog.SealState{
			Seal: holdfast.SealID("00112233445566aa", 0, 1), State: []string{catalog.Pending, catalog.Signed, catalog.Sealed}[n%3],
			Reason: fmt.Sprint(n >> 4 % 3), T: time.Unix(int64(n>>8%3), 0), At: time.Unix(int64(n>>12%3), 0),
		}
	}
	same := func(a, b catalog.SealState) bool { return fmt.Sprint(a) == fmt.Sprint(b) }
	merge := catalog.Merge
	if err := quick.Check(func(x, y, z uint32) bool {
		a, b, c := state(x), state(y), state(z)
		m := merge(a, b)
		return same(m, merge(b, a)) && same(merge(m, c), merge(a, merge(b, c))) && same(merge(m, a), m) &&
			catalog.Rank(m.State) == max(catalog.Rank(a.State), catalog.Rank(b.State))
	}, &quick.Config{MaxCount: 5000}); err != nil {
		t.Error(err)
	}
}
