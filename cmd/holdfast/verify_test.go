package main

import (
	"context"
	"os"
	"strings"
	"testing"
)

// TestVerifyOnFullDisk: a verdict that cannot be written is exit 2 and a word on
// stderr, as in holdfast-verify.
func TestVerifyOnFullDisk(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skip(err)
	}
	defer full.Close()
	const good = "../../testdata/bundles/good/page"
	for _, extra := range [][]string{nil, {"--json"}} {
		var errs strings.Builder
		args := append([]string{"verify", good + ".zip", "--policy", good + ".policy.json"}, extra...)
		if code := run(context.Background(), args, strings.NewReader(""), full, &errs); code != 2 || strings.Count(errs.String(), "no space left") != 1 {
			t.Errorf("%v: exit %d\n%s", extra, code, errs.String())
		}
	}
}
