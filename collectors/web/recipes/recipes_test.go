package recipes

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"holdfast/hashing"
)

func TestOwn(t *testing.T) {
	s, err := Load("")
	if err != nil {
		t.Fatal(err)
	}
	for address, want := range map[string]string{
		"https://t.me/s/harbour": "t.me", "https://t.me/harbour/123?embed=1": "t.me", "https://t.me/": "", "https://x.com/a/status/1": "x.com", "https://mobile.twitter.com/a/status/1/photo/1": "x.com",
		"https://x.com/a": "", "https://vk.com/wall-1_2": "vk.com", "https://www.facebook.com/page/posts/12": "facebook.com", "https://www.tiktok.com/@a/video/1": "tiktok.com",
		"https://www.youtube.com/watch?v=x": "youtube.com", "https://youtu.be/x": "youtube.com", "https://bsky.app/profile/a.example/post/3k": "bsky.app",
		"https://social.example/@a/1": "mastodon", "https://notx.com/a/status/1": "", "https://x.com.evil.example/a/status/1": "", "https://site.example/a": "", "%": "",
	} {
		got := ""
		if list := s.For(address); len(list) > 0 {
			got = list[0].Name
		}
		if got != want {
			t.Errorf("%s: %q, want %q", address, got, want)
		}
	}
	if len(s.All()) != 8 {
		t.Errorf("%d recipes", len(s.All()))
	}
	for _, r := range s.All() {
		if !r.Own || r.Digest.IsZero() || r.Tried != "not tried on the live site" || r.Post == "" || len(r.Marks) == 0 || len(r.Steps) == 0 {
			t.Errorf("%+v", r)
		}
	}
}

// A directory goes before the program's own, and what is bad in it is an error that
// names the file.
func TestDirectory(t *testing.T) {
	dir := t.TempDir()
	write := func(name, doc string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(doc), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	const mine = `{"version":1,"name":"x.com","tried":"2026-11-20, me","hosts":["x.com"],"steps":[{"wait":".new","ms":10}],"post":".new"}`
	write("x.com.json", mine)
	write("forum.json", `{"version":1,"name":"forum","tried":"no","hosts":["forum.example"]}`)
	write("readme.txt", "not a recipe")
	s, err := Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	r := s.For("https://x.com/anything")[0]
	if r.Own || r.Post != ".new" || r.Digest != hashing.Of([]byte(mine)) || len(s.All()) != 9 {
		t.Errorf("%+v; %d", r, len(s.All()))
	}
	write("other.json", mine)
	if _, err := Load(dir); !errors.Is(err, ErrRecipe) || !strings.Contains(err.Error(), "other.json") {
		t.Errorf("a file under another name: %v", err)
	}
	write("other.json", "{")
	if _, err := Load(dir); !errors.Is(err, ErrRecipe) || !strings.Contains(err.Error(), "other.json") {
		t.Errorf("a bad file: %v", err)
	}
	if _, err := Load(filepath.Join(dir, "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no directory: %v", err)
	}
}

func TestRefused(t *testing.T) {
	for name, rest := range map[string]string{
		"a script":              `"hosts":["h"],"steps":[{"script":"alert(1)"}]`,
		"two verbs":             `"hosts":["h"],"steps":[{"press":".a","expand":".b"}]`,
		"no verb":               `"hosts":["h"],"steps":[{"times":3}]`,
		"too often":             `"hosts":["h"],"steps":[{"press":".a","times":51}]`,
		"too long a wait":       `"hosts":["h"],"steps":[{"wait":".a","ms":10001}]`,
		"any host, no signs":    `"hosts":["*"]`,
		"no hosts":              `"hosts":[]`,
		"an unknown reason":     `"hosts":["h"],"marks":[{"reason":"tls-unverified","at":".a"}]`,
		"a mark without where":  `"hosts":["h"],"marks":[{"reason":"bot-wall","text":["x"]}]`,
		"a long selector":       `"hosts":["h"],"post":"` + strings.Repeat("a", 401) + `"`,
		"a path without slash":  `"hosts":["h"],"paths":["wall"]`,
		"a control character":   `"hosts":["h\u0007"]`,
		"more than one value":   `"hosts":["h"]} {"a":1`,
		"too many steps":        `"hosts":["h"],"steps":[` + strings.Repeat(`{"press":".a"},`, 20) + `{"press":".a"}]`,
		"an unknown member":     `"hosts":["h"],"eval":"x"`,
		"a negative wait":       `"hosts":["h"],"steps":[{"wait":".a","ms":-1}]`,
		"a name that is a path": `"hosts":["h"],"name":"../x"`,
	} {
		if _, err := Parse([]byte(`{"version":1,"name":"n","tried":"no",` + rest + `}`)); !errors.Is(err, ErrRecipe) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, doc := range []string{`{"version":2,"name":"n","tried":"no","hosts":["h"]}`, `{"version":1,"name":"n","hosts":["h"]}`, strings.Repeat(" ", MaxFile+1)} {
		if _, err := Parse([]byte(doc)); !errors.Is(err, ErrRecipe) {
			t.Errorf("%.60q: %v", doc, err)
		}
	}
}

func TestWalls(t *testing.T) {
	r, err := Parse([]byte(`{"version":1,"name":"n","tried":"no","hosts":["h"],"marks":[{"reason":"not-found","at":".e","text":["Post not found"],"unless":".post"},{"reason":"login-wall","at":"#l"}]}`))
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		seen []Seen
		want string
	}{
		"the words": {[]Seen{{0, "Sorry: post not found.", false}}, "not-found"}, "other words": {[]Seen{{0, "A post", false}}, ""},
		"beside the post": {[]Seen{{0, "post not found", true}}, ""}, "no words needed": {[]Seen{{1, "", true}}, "login-wall"},
		"twice": {[]Seen{{1, "", false}, {1, "", false}}, "login-wall"}, "no such mark": {[]Seen{{7, "", false}, {-1, "", false}}, ""},
	} {
		var codes []string
		for _, w := range r.Walls(test.seen) {
			codes = append(codes, w.Code)
		}
		if strings.Join(codes, " ") != test.want {
			t.Errorf("%s: %q", name, codes)
		}
	}
}

func FuzzParse(f *testing.F) {
	s, err := Load("")
	if err != nil {
		f.Fatal(err)
	}
	for _, r := range s.All() {
		b, err := data.ReadFile("data/" + r.Name + ".json")
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b, "https://"+r.Hosts[0]+"/a/status/1")
	}
	f.Fuzz(func(t *testing.T, b []byte, address string) {
		r, err := Parse(b)
		if err != nil {
			if !errors.Is(err, ErrRecipe) {
				t.Fatal(err)
			}
			return
		}
		if len(r.Steps) > maxSteps || r.Name == "" {
			t.Fatalf("%+v", r)
		}
		(&Set{[]*Recipe{r}}).For(address)
		r.Walls([]Seen{{0, address, false}})
	})
}
