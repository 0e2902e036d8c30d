package secrets

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"html"
	"net/url"
	"strings"
	"testing"
	"unicode/utf16"
)

// TestForms: in whatever form a value stands, wherever in its surroundings, it is found
// and nothing of it is left; what only resembles it stays.
func TestForms(t *testing.T) {
	const v = `s%3AqW/e+r"t<y&9.Zx_c-v`
	s, left := New(v, "short")
	if left != 0 {
		t.Fatal(left)
	}
	plain, _ := url.QueryUnescape(v)
	b, _ := json.Marshal(v)
	for name, form := range map[string]string{
		"plain": v, "undone": plain, "query": url.QueryEscape(v), "lower": strings.ToLower(url.QueryEscape(v)), "path": url.PathEscape(v),
		"json": string(b), "slashes": strings.ReplaceAll(v, "/", `\/`), "html": html.EscapeString(v),
		"hex": hex.EncodeToString([]byte(v)), "HEX": fmt.Sprintf("%X", v),
	} {
		for pad := range 4 {
			text := strings.Repeat("x", pad) + form + "y"
			if got := s.Text(text); got == text || strings.Contains(got, form) || !strings.HasPrefix(got, strings.Repeat("x", pad)) || !strings.HasSuffix(got, "y") {
				t.Errorf("%s: %q", name, got)
			}
		}
	}
	for pad := range 6 {
		around := strings.Repeat("p", pad) + v + "behind it"
		for _, e := range []*base64.Encoding{base64.StdEncoding, base64.RawURLEncoding} {
			text := e.EncodeToString([]byte(around))
			got := s.Text(text)
			rest, err := e.DecodeString(strings.ReplaceAll(got, "*", "A"))
			if got == text || err != nil || bytes.Contains(rest, []byte(v[3:len(v)-3])) {
				t.Errorf("base64 at %d: %q", pad, got)
			}
		}
	}
	var wide []byte
	for _, u := range utf16.Encode([]rune("a " + v)) {
		wide = append(wide, byte(u), byte(u>>8))
	}
	if !s.In(wide) {
		t.Error("UTF-16")
	}
	for _, text := range []string{"", "abc", v[:len(v)-1], strings.ToUpper(v), "short", strings.Repeat("*", 40)} {
		if s.In([]byte(text)) {
			t.Errorf("%q is none", text)
		}
	}
	if n := s.Overwrite([]byte(v + v + " " + v)); n != 3 {
		t.Errorf("%d of 3", n)
	}
}

func BenchmarkOverwrite(b *testing.B) {
	s, _ := New("0123456789abcdef0123456789abcdef", "another-secret-value")
	text := bytes.Repeat([]byte("<p>Words of a page, and <b>more</b> of them. "), 1<<16)
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		s.Overwrite(text)
	}
}

// TestTooMany: of more values than there is room for the first are looked for, and the
// number of the others is told.
func TestTooMany(t *testing.T) {
	var values []string
	for i := range 10_000 {
		values = append(values, fmt.Sprintf("secret-%09d", i))
	}
	s, left := New(values...)
	if left < 1_000 || left > 9_500 || !s.In([]byte("a "+values[0]+" b")) || s.In([]byte("a "+values[9_999]+" b")) {
		t.Errorf("%d left", left)
	}
	if _, left := New(values[:1000]...); left != 0 {
		t.Errorf("%d of a thousand left", left)
	}
}
