package secrets

import (
	"slices"
	"strings"
	"testing"
)

// What gives access is found wherever an item of local storage has it; settings are left,
// or a page would be nothing but asterisks.
func TestOfStorage(t *testing.T) {
	const token = "eyJhbGciOi.eyJzdWIi-_Oi.Zm9vYmFyYmF6"
	for what, k := range map[string]struct{ name, value, want string }{
		"as it is":             {"x", token, token},
		"with its scheme":      {"x", "Bearer " + token, token},
		"in JSON":              {"x", `{"a":{"list":[1,"` + token + `"]},"theme":"dark-mode"}`, token},
		"in JSON in JSON":      {"persist:root", `{"user":"{\"t\":\"` + token + `\"}"}`, token},
		"a string of JSON":     {"x", `"` + token + `"`, token},
		"in an address":        {"x", "https://host.test/path?next=1&k=" + token, token},
		"behind #":             {"x", "https://host.test/#" + token, token},
		"short, and named":     {"authToken", "a1b2c3d4", "a1b2c3d4"},
		"short, named above":   {"session", `{"v":"a1b2c3d4"}`, "a1b2c3d4"},
		"a key with its value": {"x", `{"refresh_token":"a1b2c3d4"}`, "a1b2c3d4"},
	} {
		if got := OfStorage(k.name, k.value); !slices.Contains(got, k.want) {
			t.Errorf("%s: %q", what, got)
		}
	}
	for _, value := range []string{"", "dark", "undefined", "light-mode", "1764221292170", "2026-11-27", "true", `{"theme":"light-mode","at":1764221292170,"open":true}`, "https://host.test/a/long/way/to/a/page.html"} {
		if got := OfStorage("settings", value); len(got) > 0 {
			t.Errorf("%q is taken for %q", value, got)
		}
	}
	for name, value := range map[string]string{"sidebar": "collapsed", "session": "anonymous", "login": "required", "auth_at": "1764221292170"} {
		if got := OfStorage(name, value); len(got) > 0 {
			t.Errorf("%s: %q is taken for %q", name, value, got)
		}
	}
	if got := OfStorage("password", "dolphins"); !slices.Contains(got, "dolphins") {
		t.Errorf("%q", got)
	}
	big := strings.Repeat("a-part-of-sixteen ", 400)
	if got := OfStorage("x", big); slices.Contains(got, strings.TrimSpace(big)) {
		t.Error("what is long is looked for in one piece, though it has others")
	}
	if got := OfField("Authorization", "Bearer "+token); !slices.Contains(got, token) {
		t.Errorf("%q", got)
	}
	if got := OfField("User-Agent", "Mozilla/5.0 (X11; Linux x86_64)"); got != nil {
		t.Errorf("%q", got)
	}
}
