package web

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"holdfast/messages"
)

// Every reason that this room gives is in its documentation, and every one there
// is said to people.
func TestReasonsAreSaid(t *testing.T) {
	doc, err := os.ReadFile("web.go")
	if err != nil {
		t.Fatal(err)
	}
	_, list, _ := strings.Cut(string(doc), "has one or more of:")
	list, _, _ = strings.Cut(list, ", and ROLE-failed")
	codes := append(regexp.MustCompile(`[a-z]+(?:-[a-z]+)*`).FindAllString(list, -1), "clock-differs", "browser-restarted", "dom-failed", "text-failed", "mhtml-failed", "screenshot-failed", "stamped-failed", "pdf-failed")
	if len(codes) < 30 {
		t.Fatalf("the documentation lists %v", codes)
	}
	given := regexp.MustCompile(`(?:because\(|\bcode: |Code: |\.fail\(|\bcode := |\bcode = |code[A-Z]\w* += )"([a-z-]+)"`)
	files, _ := filepath.Glob("*.go")
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range given.FindAllStringSubmatch(string(b), -1) {
			if m[1] != codeSpool && !slices.Contains(codes, m[1]) {
				t.Errorf("%s: reason %s is not documented", name, m[1])
			}
		}
	}
	english, err := messages.Open("en") // messages' own test sees that the others say as much
	if err != nil {
		t.Fatal(err)
	}
	for _, code := range codes {
		role, view := strings.CutSuffix(code, "-failed")
		if !english.Has("reason."+code) && !(view && english.Has("page.role."+role)) {
			t.Errorf("nobody is told what %s means", code)
		}
	}
}
