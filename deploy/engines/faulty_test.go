package engines

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func TestFaulty(t *testing.T) {
	var wrote []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPut {
			data, _ := io.ReadAll(r.Body)
			wrote = append(wrote, string(data))
			return
		}
		_, _ = io.WriteString(w, "what was kept")
	}))
	defer server.Close()
	f := Faulty(t, &S3{Endpoint: server.URL})
	client := &http.Client{Transport: &http.Transport{}}
	ask := func(method, body string) (string, int) {
		req, err := http.NewRequestWithContext(t.Context(), method, f.Endpoint+"/b/k", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		resp, err := client.Do(req)
		if err != nil {
			return "no answer", 0
		}
		defer resp.Body.Close()
		data, err := io.ReadAll(resp.Body)
		if err != nil {
			return "half an answer: " + string(data), resp.StatusCode
		}
		return string(data), resp.StatusCode
	}
	for _, c := range []struct {
		fault          Fault
		method, answer string
		status, met    int
		written        bool
	}{
		{None, "GET", "what was kept", 200, 0, false},
		{None, "PUT", "", 200, 0, true},
		{Refuse, "GET", "no answer", 0, 1, false},
		{Refuse, "PUT", "no answer", 0, 1, false},
		{Broken, "GET", "InternalError", 500, 1, false},
		{Broken, "PUT", "InternalError", 500, 1, false},
		{Writes500, "GET", "what was kept", 200, 0, false},
		{Writes500, "PUT", "InternalError", 500, 1, false},
		{Full, "GET", "what was kept", 200, 0, false},
		{Full, "PUT", "XMinioStorageFull", 507, 1, false},
		{LostAnswer, "PUT", "no answer", 0, 1, true},
		{WrongBytes, "GET", "what w`s kept", 200, 1, false},
		{WrongBytes, "PUT", "", 200, 0, true},
		{Cut, "GET", "half an answer: what w", 200, 1, false},
	} {
		wrote = nil
		f.Set(c.fault, 1)
		answer, status := ask(c.method, "new bytes")
		if !strings.Contains(answer, c.answer) || (c.answer == "") != (answer == "") || status != c.status {
			t.Errorf("%s %s: %q, %d", c.fault, c.method, answer, status)
		}
		// net/http itself asks again for a GET whose connection was closed.
		if got := f.Met(); got != c.met && !(c.fault == Refuse && got > 0) {
			t.Errorf("%s %s: met %d times", c.fault, c.method, got)
		}
		if (len(wrote) == 1 && wrote[0] == "new bytes") != c.written {
			t.Errorf("%s %s: written %q", c.fault, c.method, wrote)
		}
	}
	f.SetSlow(Slow, 1, 300*time.Millisecond)
	if since := time.Now(); true {
		if answer, _ := ask("GET", ""); answer != "what was kept" || time.Since(since) < 300*time.Millisecond {
			t.Error(answer, time.Since(since))
		}
	}
	f.Set(Broken, 3)
	for i := range 6 {
		if _, status := ask("GET", ""); (status == 500) != (i%3 == 2) {
			t.Error(i, status)
		}
	}
	f.Set(None, 1)
	for _, carried := range []bool{false, true} {
		wrote = nil
		called := 0
		f.AtWrite(2, carried, func() { called = len(wrote) + 1 })
		for i, want := range []string{"", "no answer", ""} {
			if answer, _ := ask("PUT", "new bytes"); answer != want {
				t.Errorf("write %d: %q", i+1, answer)
			}
			_, _ = ask("GET", "")
		}
		before := map[bool]int{false: 1, true: 2}[carried]
		if called != before+1 || len(wrote) != before+1 {
			t.Errorf("carried %v: called after %d writes, %d in all", carried, called-1, len(wrote))
		}
	}
	wrote = nil
	f.AtName("/k", func(r *http.Request) { wrote = append(wrote, r.RemoteAddr) })
	if answer, status := ask("PUT", "new bytes"); answer != "" || status != 200 || len(wrote) != 2 || wrote[0] != "new bytes" || !strings.HasPrefix(wrote[1], "127.0.0.1:") {
		t.Errorf("a write of that name: %q, %d, written %q", answer, status, wrote)
	}
	if _, status := ask("PUT", "more"); status != 200 || len(wrote) != 3 {
		t.Errorf("the one behind it: %d, written %q", status, wrote)
	}
}
