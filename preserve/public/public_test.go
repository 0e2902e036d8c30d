package public_test

import (
	"testing"

	"holdfast/preserve/public"
	"holdfast/rfc3161"
)

func TestFiveOperatorsAtLeast(t *testing.T) {
	list, err := public.List()
	if err != nil {
		t.Fatal(err)
	}
	operators, owner := map[string]bool{}, map[string]string{}
	for _, a := range list {
		operators[a.Operator] = true
		for _, c := range a.Roots {
			key := string(c.RawSubjectPublicKeyInfo)
			if o, ok := owner[key]; ok && o != a.Operator {
				t.Errorf("%s and %s share a root", o, a.Operator)
			}
			owner[key] = a.Operator
			if !c.IsCA || !rfc3161.SelfSigned(c) {
				t.Errorf("root of %s is not a self-signed CA", a.Name)
			}
		}
	}
	if len(operators) < 5 {
		t.Errorf("%d operators, want at least 5", len(operators))
	}
}
