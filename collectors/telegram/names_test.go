package telegram

import (
	"errors"
	"strings"
	"testing"
)

// TestParseName guards every form that people paste.
func TestParseName(t *testing.T) {
	for in, want := range map[string]string{
		"@Durov": "telegram:@durov", "telegram:@durov": "telegram:@durov", "telegram:@durov/17": "telegram:@durov/17", "t.me/durov": "telegram:@durov",
		"https://t.me/durov/": "telegram:@durov", "HTTPS://T.ME/durov/17?single": "telegram:@durov/17", "http://telegram.me/s/durov": "telegram:@durov",
		"https://t.me/s/durov/17?embed=1": "telegram:@durov/17", "https://durov.t.me/17": "telegram:@durov/17", "https://www.telegram.dog/durov#x": "telegram:@durov",
		"tg://resolve?domain=durov&post=17": "telegram:@durov/17", "tg:resolve?domain=Durov": "telegram:@durov", "t.me/durov/7/123": "telegram:@durov/123",
		" @a_b1 ": "telegram:@a_b1",
	} {
		n, err := ParseName(in)
		if err != nil || n.Source() != want {
			t.Errorf("%q: %q, %v, want %q", in, n.Source(), err, want)
		}
		if again, err := ParseName(n.Source()); again != n || err != nil {
			t.Errorf("%q again: %+v, %v", n.Source(), again, err)
		}
	}
	for in, says := range map[string]string{
		"": "write @name", "durov": "write @name", "https://example.org/durov": "write @name", "t.me": "no name", "t.me/s/": "no name",
		"https://t.me/+AbCd": "invitation", "t.me/joinchat/AbCd": "invitation", "t.me/c/12345/6": "private", "tg://join?invite=x": "tg://resolve",
		"@abc": "4 to 32", "@1abcd": "letter", "@durov/0": "number", "@durov/+1": "number", "@durov/99999999999": "number", "@dur ov": "4 to 32",
		"@durov/1/2": "number", "t.me/durov/17?comment=4": "comment", "telegram:durov": "write @name", "@" + strings.Repeat("a", 33): "4 to 32",
	} {
		if n, err := ParseName(in); !errors.Is(err, ErrName) || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: %+v, %v, want words with %q", in, n, err, says)
		}
	}
}

func FuzzParseName(f *testing.F) {
	for _, s := range []string{"@durov", "https://t.me/s/durov/17?x#y", "tg://resolve?domain=durov&post=1", "t.me/+x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		n, err := ParseName(s)
		if err != nil {
			if !errors.Is(err, ErrName) {
				t.Fatal(err)
			}
			return
		}
		if again, err := ParseName(n.Source()); again != n || err != nil {
			t.Fatalf("%q gives %+v, then %+v, %v", s, n, again, err)
		}
	})
}
