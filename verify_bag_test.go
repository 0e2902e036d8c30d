package holdfast_test

import (
	"strings"
	"testing"

	"holdfast"
)

// TestBagInfoCountsLabels: the one Payload-Oxum is a label; an office may have
// the word in a value, and no second label passes in another case.
func TestBagInfoCountsLabels(t *testing.T) {
	c := newCast(t)
	for line, good := range map[string]bool{
		"External-Description: Payload-Oxum: 1.1":  true,
		"External-Description: our payload-oxum":   true,
		"payload-oxum: 1.1":                        false,
		"PAYLOAD-OXUM: 1.1":                        false,
		" Payload-Oxum: 1.1":                       false, // a continuation line
		"External-Description: x\rPayload-Oxum: 1": false,
	} {
		b := open(t, c.bundles["world"])
		info := string(b.get("bag-info.txt"))
		b.put("bag-info.txt", []byte(info+line+"\n"))
		b.mend()
		if strings.Count(string(b.get("bag-info.txt")), line) != 1 {
			t.Fatalf("%q is not there", line)
		}
		r := must(judge(t, b.pack(), c.policy["world"]))
		if got := r.Verdict == holdfast.VerdictProven; got != good {
			t.Errorf("%q: %s %s", line, r.Verdict, sum(r))
		}
	}
}
