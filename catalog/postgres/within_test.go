package postgres_test

import (
	"fmt"
	"testing"
	"time"

	"holdfast"
	"holdfast/catalog"
	"holdfast/catalog/catalogtest"
	"holdfast/catalog/postgres"
	"holdfast/deploy/engines"
	"holdfast/search"
)

// TestStrips: a question that is answered strip by strip has the answer of one that is
// asked at once, whatever a strip has, and one whose time is over goes on where it stopped.
func TestStrips(t *testing.T) {
	pg := engines.PostgreSQL(t)
	c := create(t, pg, options(pg, t.TempDir()))
	catalogtest.Say(t, c, 10)
	hits := 0
	for _, words := range []string{"harbour", "harbour fire", "fire -harbour", "nothing"} {
		p, err := search.Parse(words)
		if err != nil {
			t.Fatal(err)
		}
		q := catalog.TextQuery{Words: p, Limit: 100}
		want, err := c.Search(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		hits += len(want.Hits)
		since := q
		since.Since = holdfast.At(time.UnixMilli(1.7e12 + 5_000))
		wantSince, err := c.Search(t.Context(), since)
		if err != nil {
			t.Fatal(err)
		}
		for _, texts := range []int{2, 31, 100_000} {
			sameFound(t, fmt.Sprintf("%q in strips of %d", words, texts), strips(t, c, q, texts), want)
			sameFound(t, fmt.Sprintf("%q in strips of %d, since", words, texts), strips(t, c, since, texts), wantSince)
		}
		few := q
		few.Limit = 3
		if got := strips(t, c, few, 2); len(want.Hits) > 3 && (!got.More || len(got.Hits) != 3) {
			t.Errorf("%q: %d hits of 3, more: %t", words, len(got.Hits), got.More)
		}
	}
	if hits < 100 {
		t.Errorf("the questions hit %d texts only", hits)
	}
}

func strips(t *testing.T, c *postgres.Catalog, q catalog.TextQuery, texts int) catalog.Found {
	t.Helper()
	f, err := c.SearchStrips(t.Context(), q, texts, time.Minute)
	if err != nil || f.Stopped {
		t.Fatal(err, f.Stopped)
	}
	return f
}

func sameFound(t *testing.T, what string, got, want catalog.Found) {
	t.Helper()
	if fmt.Sprint(got.Hits) != fmt.Sprint(want.Hits) || got.More != want.More {
		t.Fatalf("%s: %d hits and more %t, want %d and %t:\n%v\n%v", what, len(got.Hits), got.More, len(want.Hits), want.More, got.Hits, want.Hits)
	}
}
