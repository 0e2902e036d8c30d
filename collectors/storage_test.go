package collectors_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"holdfast/collectors"
)

// A test program's storage state gives cookies and local storage, or either; what is none
// is refused, bounded, and quoted in no error.
func TestReadState(t *testing.T) {
	both := `{"cookies":[{"name":"sid","value":"v4lue-secret","domain":"host.test","path":"/"}],"origins":[{"origin":"HTTPS://Host.test:443","localStorage":[{"name":"a","value":"old"},{"name":"a","value":"t0ken-secret"}],"indexedDB":[{},{}]},{"origin":"https://host.test/","localStorage":[{"name":"b","value":"2"}]},{"origin":"http://[::1]:8080","localStorage":[]}]}`
	cookies, origins, databases, err := collectors.ReadState([]byte(both))
	if err != nil || len(cookies) != 1 || databases != 2 || fmt.Sprint(origins) != "[{https://host.test [{a t0ken-secret} {b 2}]}]" {
		t.Errorf("%v, %v, %d, %v", cookies, origins, databases, err)
	}
	for name, none := range map[string]string{"none": "", "empty": `"cookies": [ ],`, "null": `"cookies":null,`} {
		cookies, origins, _, err = collectors.ReadState([]byte("\ufeff{" + none + `"origins":[{"origin":"http://[::1]:8080","localStorage":[{"name":"a","value":"t0ken-secret"}]}]}`))
		if err != nil || cookies != nil || len(origins) != 1 || origins[0].Origin != "http://[::1]:8080" {
			t.Errorf("%s: %v, %v, %v", name, cookies, origins, err)
		}
	}
	if cookies, origins, _, err = collectors.ReadState([]byte("host.test\tFALSE\t/\tFALSE\t0\tsid\tv\n")); err != nil || len(cookies) != 1 || origins != nil {
		t.Errorf("cookies.txt: %v, %v, %v", cookies, origins, err)
	}
	state := func(origin, items string) string {
		return `{"cookies":[],"origins":[{"origin":"` + origin + `","localStorage":[` + items + `]}]}`
	}
	item := func(n int, value string) string {
		return strings.TrimSuffix(strings.Repeat(`{"name":"n#","value":"`+value+`"},`, n), ",")
	}
	many := ""
	for i := range collectors.MaxItems + 1 {
		many += fmt.Sprintf(`{"name":"t0ken-secret%d","value":""},`, i)
	}
	for name, text := range map[string]string{"a file": state("file:///etc", item(1, "t0ken-secret")), "a path": state("https://t0ken.test/path", item(1, "t0ken-secret")), "a login": state("https://a:b@host.test", item(1, "t0ken-secret")),
		"letters": state("https://höst.test", item(1, "t0ken-secret")), "size": state("https://host.test", item(1, strings.Repeat("t0ken-secret", collectors.MaxStorage/8))), "items": state("https://host.test", strings.TrimSuffix(many, ",")),
		"nothing": `{"cookies":[],"origins":[]}`, "types": `{"cookies":[],"origins":[{"origin":"https://host.test","localStorage":[{"name":1,"value":"t0ken-secret"}]}]}`, "bad cookies": `{"cookies":[{"name":"t0ken-secret"}],"origins":[{"origin":"https://host.test","localStorage":[{"name":"a","value":"b"}]}]}`} {
		_, _, _, err := collectors.ReadState([]byte(text))
		if !errors.Is(err, collectors.ErrStorage) && !errors.Is(err, collectors.ErrCookies) || name != "bad cookies" && strings.Contains(err.Error(), "t0ken-secret") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
