package storage

import (
	"errors"
	"path"
	"strings"
	"testing"
)

func TestCheckName(t *testing.T) {
	good := []string{"a", "seals/q-0-00000000000000000001/plan.json", "a/.hidden", "a/b-c_d.e", "x/objects", "x/tmp",
		strings.Repeat("a/", 255) + "ab", strings.Repeat("a", MaxSegment)}
	bad := []string{"", "/", "/a", "a/", "a//b", ".", "..", "a/../b", "a/./b", "-a", "a/-b", "A", "a b", "a\x00b", "ä", "a\\b", "a:b",
		"objects", "objects/x", "tmp/x", "\xff", strings.Repeat("a/", 256) + "a", strings.Repeat("a", MaxSegment+1)}
	for _, n := range good {
		if err := CheckName(n); err != nil {
			t.Errorf("CheckName(%.40q) = %v", n, err)
		}
	}
	for _, n := range bad {
		if err := CheckName(n); !errors.Is(err, ErrName) {
			t.Errorf("CheckName(%.40q) = %v, want ErrName", n, err)
		}
	}
}

// Any first part of a good name is a good prefix; what CheckName passes can be
// joined to a directory without leaving it.
func FuzzCheckName(f *testing.F) {
	for _, s := range []string{"a/b", "", "..", "seals/x/plan.json", "objects/x", "-", "a/-b", "tmpl/x", "a/\x00"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, name string) {
		if CheckName(name) != nil {
			return
		}
		if got := path.Join("/root", name); got != "/root/"+name {
			t.Fatalf("%q joins to %q", name, got)
		}
		for i := range len(name) + 1 {
			if err := CheckPrefix(name[:i]); err != nil && name[:i] != "" {
				t.Fatalf("prefix %q of %q: %v", name[:i], name, err)
			}
		}
	})
}
