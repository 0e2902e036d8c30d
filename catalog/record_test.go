package catalog

import (
	"errors"
	"strings"
	"testing"
	"time"

	"holdfast"
	"holdfast/canon"
)

func TestRecordLimits(t *testing.T) {
	long, many := strings.Repeat("x", MaxRecordText+1), make([]string, MaxRecordList+1)
	for i := range many {
		many[i] = "k"
	}
	less, more := -1, MaxDepth+1
	for name, r := range map[string]Record{
		"text": {Mandate: long}, "list": {Keywords: many}, "empty entry": {Sources: []string{""}}, "long entry": {Keywords: []string{long}},
		"depth": {Depth: &less}, "deep": {Depth: &more}, "egress": {Egress: "Not A Name"}, "not UTF-8": {Purpose: "\xff"},
		"period": {Since: holdfast.Time{Time: mustTime(t, "2026-02-01T00:00:00.000Z")}, Until: holdfast.Time{Time: mustTime(t, "2026-01-01T00:00:00.000Z")}},
		"all":    {Sources: slicesOf(strings.Repeat("s", MaxRecordSource), MaxRecordList)},
	} {
		if _, err := r.Encode(""); !errors.Is(err, holdfast.ErrForm) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// FuzzRecord: whatever is read is within the limits, and is written and read
// again as the same.
func FuzzRecord(f *testing.F) {
	for _, s := range []string{"", "{}", `{"canary":["telegram:@own"],"depth":0,"egress":"direct","keywords":["k"],"legal_basis":"l","mandate":"m","name":"n","purpose":"p","reference":"r","since":"2026-01-01T00:00:00.000Z","sources":["*.h/p"],"until":"2026-01-02T00:00:00.000Z"}`,
		`{"depth":null,"sources":null}`, `{"depth":1e99}`, `{"since":"0000-01-01T00:00:00.000Z"}`, `{"keywords":["\u0000\u202e"]}`, `[]`, `{"until":""}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		name, r, err := parseRecord(b)
		if err != nil {
			if !errors.Is(err, holdfast.ErrForm) {
				t.Fatal(err)
			}
			return
		}
		x, err := r.Encode(name)
		if err != nil {
			t.Fatalf("read %q, which cannot be written: %v", b, err)
		}
		if err := canon.Check(x); x != nil && err != nil {
			t.Fatalf("%q is not canonical: %v", x, err)
		}
		name2, r2, err := parseRecord(x)
		if err != nil || name2 != name || r2.String() != r.String() {
			t.Fatalf("%q became %q %v (%v)", x, name2, r2, err)
		}
	})
}

func mustTime(t *testing.T, s string) time.Time {
	t.Helper()
	v, err := time.Parse(time.RFC3339, s)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func slicesOf(s string, n int) (out []string) {
	for range n {
		out = append(out, s)
	}
	return out
}
