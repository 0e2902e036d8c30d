package main

import (
	"strconv"
	"testing"

	"holdfast/export"
)

func TestParseSize(t *testing.T) {
	for s, want := range map[string]int64{"": 0, "650MB": 650_000_000, "4GB": 4_000_000_000, "4GiB": 4 << 30, "700 MiB": 700 << 20, "1048576": 1 << 20, "2048KiB": 2 << 20, "9tb": 9e12, "5000kB": 5_000_000} {
		if got, err := parseSize(s); err != nil || got != want {
			t.Errorf("%q: %d, %v", s, got, err)
		}
	}
	for _, s := range []string{"0", "1", "1MB", "MB", "-1GB", "1.5GB", "4G", "4iB", "99999999999TiB", "1e9", "4GB4", "4 000 MB", "B"} {
		if got, err := parseSize(s); err == nil {
			t.Errorf("%q is %d", s, got)
		}
	}
}

func FuzzParseSize(f *testing.F) {
	f.Add("650MB")
	f.Add("9223372036854775807")
	f.Fuzz(func(t *testing.T, s string) {
		n, err := parseSize(s)
		if err != nil || s == "" {
			return
		}
		if n < export.MinSize {
			t.Fatalf("%q is %d", s, n)
		}
		if again, err := parseSize(strconv.FormatInt(n, 10)); err != nil || again != n {
			t.Fatalf("%q: %d, then %d, %v", s, n, again, err)
		}
	})
}
