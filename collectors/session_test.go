package collectors_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"holdfast/collectors"
)

// What browsers' users export is read alike, whoever wrote it; what is no such file is
// refused, and no error quotes a value.
func TestReadCookies(t *testing.T) {
	netscape := "# Netscape HTTP Cookie File\r\n#HttpOnly_.host.test\tTRUE\t/\tTRUE\t1900000000\tsid\tv4lue-secret\r\n\nhost.test\tFALSE\t/a\tFALSE\t0\tplain\t\n"
	extension := `[{"domain":".host.test","expirationDate":1900000000.5,"hostOnly":false,"httpOnly":true,"name":"sid","path":"/","sameSite":"no_restriction","secure":true,"session":false,"value":"v4lue-secret","id":1},
{"domain":"host.test","hostOnly":true,"httpOnly":false,"name":"plain","path":"/a","secure":false,"session":true,"value":""}]`
	program := `{"cookies":[{"name":"sid","value":"v4lue-secret","domain":".host.test","path":"/","expires":1900000000,"httpOnly":true,"secure":true,"sameSite":"None"},{"name":"plain","value":"","domain":"host.test","path":"/a","expires":-1,"httpOnly":false,"secure":false,"sameSite":"Lax"}],"origins":[]}`
	for name, text := range map[string]string{"netscape": netscape, "extension": extension, "program": "\ufeff" + program} {
		list, err := collectors.ReadCookies([]byte(text))
		if err != nil || len(list) != 2 {
			t.Errorf("%s: %v, %v", name, list, err)
			continue
		}
		a, b := list[0], list[1]
		if a.Name != "sid" || a.Value != "v4lue-secret" || a.Domain != "host.test" || a.HostOnly || !a.HTTPOnly || !a.Secure || !a.Expires.Equal(time.Unix(1900000000, 0)) || name != "netscape" && a.SameSite != "None" {
			t.Errorf("%s: %+v", name, a)
		}
		if b.Name != "plain" || !b.HostOnly || b.Path != "/a" || b.Secure || !b.Expires.IsZero() {
			t.Errorf("%s: %+v", name, b)
		}
	}
	for name, text := range map[string]string{"empty": "", "comments": "# x\n", "prose": "v4lue-secret is my password", "fields": "host.test\tTRUE\tv4lue-secret", "json": `{"x":"v4lue-secret"}`, "broken": `[{"name":"v4lue-secret"`,
		"types": `[{"name":1,"value":"v4lue-secret"}]`, "domain": `[{"name":"a","value":"v4lue-secret","domain":"http://x/"}]`, "control": "[{\"name\":\"a\",\"value\":\"v4lue-secret\\u0001\",\"domain\":\"x\"}]",
		"bytes": "\xff\xfe", "size": strings.Repeat("#", collectors.MaxCookieFile+1), "long": `[{"name":"a","domain":"x","value":"` + strings.Repeat("v4lue-secret", 400) + `"}]`} {
		if list, err := collectors.ReadCookies([]byte(text)); !errors.Is(err, collectors.ErrCookies) || strings.Contains(err.Error(), "v4lue-secret") {
			t.Errorf("%s: %v, %v", name, list, err)
		}
	}
	twice := `[{"name":"a","value":"old","domain":"x"},{"name":"a","value":"new","domain":"X"}]`
	if list, err := collectors.ReadCookies([]byte(twice)); err != nil || len(list) != 1 || list[0].Value != "new" {
		t.Errorf("%v, %v", list, err)
	}
}
