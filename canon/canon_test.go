package canon_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/gowebpki/jcs"

	"holdfast/canon"
)

func TestDepth(t *testing.T) {
	if err := canon.Check([]byte(strings.Repeat("[", canon.MaxDepth) + "1" + strings.Repeat("]", canon.MaxDepth))); err != nil {
		t.Error(err)
	}
}

func TestCheck(t *testing.T) {
	good := []string{`{}`, `[]`, `0`, `-1`, `9007199254740991`, `"é\n\u001f\b"`, `{"a":1,"b":[null,true,false]}`, "\"\u2028\"",
		"{\"\U0001F600\":1,\"\uFB33\":2}", `{"":1,"a":2}`}
	for _, s := range good {
		if err := canon.Check([]byte(s)); err != nil {
			t.Errorf("Check(%s) = %v", s, err)
		}
		if want, err := jcs.Transform([]byte(s)); strings.HasPrefix(s, "{") && (err != nil || string(want) != s) {
			t.Errorf("jcs says %s is %s (%v)", s, want, err)
		}
	}
	bad := []string{``, ` {}`, `{} `, `{"b":1,"a":2}`, `{"a":1,"a":2}`, `{"a" :1}`, `[1,]`, `{"a":1,}`, `01`, `-0`, `1.0`, `1e3`, `9007199254740992`,
		`"\/"`, `"\u0041"`, `"\u001F"`, `"\u000a"`, "\"\x01\"", "\"\xff\"", `"\ud800"`, `"abc`, `tru`, `nul`, `{"a"}`, `{a:1}`, `[1 ,2]`,
		"{\"\uFB33\":2,\"\U0001F600\":1}", strings.Repeat("[", 33) + strings.Repeat("]", 33), "\ufeff{}"}
	for _, s := range bad {
		if err := canon.Check([]byte(s)); !errors.Is(err, canon.ErrForm) {
			t.Errorf("Check(%q) = %v, want ErrForm", s, err)
		}
	}
}

type doc struct {
	A int64           `json:"a"`
	B []string        `json:"b"`
	T canon.Text      `json:"t"`
	X json.RawMessage `json:"x,omitempty"`
}

func TestUnmarshalRefusesOtherSpellings(t *testing.T) {
	for _, s := range []string{`{"A":1,"b":[],"t":""}`, `{"a":1,"b":[],"c":2,"t":""}`, `{"a":1,"b":[]}`, `{"a":1,"b":null,"t":""}`, `{"a":"1","b":[],"t":""}`,
		`{"a":1,"b":[],"t":{"base64":"YWJj"}}`, `{"a":1,"b":[],"t":{"base64":"/x=="}}`} {
		var d doc
		if err := canon.Unmarshal([]byte(s), &d); !errors.Is(err, canon.ErrForm) {
			t.Errorf("Unmarshal(%s) = %v", s, err)
		}
	}
}

func TestTextKeepsBytes(t *testing.T) {
	for _, s := range []string{"", "plain", "\xff\xfe", "a\u2028b\\u2028", `\\u2028`, "\x7f<>&"} {
		b, err := canon.Marshal(doc{B: []string{s2(s)}, T: canon.Text(s)})
		if err != nil {
			t.Fatal(err)
		}
		var d doc
		if err := canon.Unmarshal(b, &d); err != nil {
			t.Fatalf("%q: %v", s, err)
		}
		if string(d.T) != s {
			t.Errorf("%q came back as %q", s, d.T)
		}
		if j, err := jcs.Transform(b); err != nil || !bytes.Equal(j, b) {
			t.Errorf("%q: jcs gives %s, we gave %s (%v)", s, j, b, err)
		}
	}
}

func s2(s string) string { return strings.ToValidUTF8(s, "?") }

func FuzzCheck(f *testing.F) {
	for _, s := range []string{`{"a":[1,"\n"],"b":{}}`, `"\u001f"`, `-12`, "\"\U0001F600\""} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if canon.Check(b) != nil {
			return
		}
		if !json.Valid(b) {
			t.Fatalf("accepted invalid JSON %q", b)
		}
		if b[0] != '{' && b[0] != '[' {
			return // jcs takes objects and arrays only
		}
		if j, err := jcs.Transform(b); err != nil || !bytes.Equal(j, b) {
			t.Fatalf("accepted %q, jcs gives %q (%v)", b, j, err)
		}
	})
}

func BenchmarkUnmarshal(b *testing.B) {
	in, _ := canon.Marshal(doc{A: 7, B: strings.Split(strings.Repeat("word ", 50), " "), T: "text"})
	for b.Loop() {
		var d doc
		if err := canon.Unmarshal(in, &d); err != nil {
			b.Fatal(err)
		}
	}
}
