package egress_test

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"holdfast/collectors"
	"holdfast/egress"
)

// proxy answers one CONNECT and says what comes behind it.
func proxy(t *testing.T, answer string) (address string, asked <-chan *http.Request) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	got := make(chan *http.Request, 1)
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		r, err := http.ReadRequest(bufio.NewReader(c))
		if err != nil {
			return
		}
		got <- r
		io.WriteString(c, answer)
		io.Copy(io.Discard, c)
	}()
	return l.Addr().String(), got
}

// TestDial: the proxy is told the name and the login, what the other side says at once is
// not lost, and a refusal, an answer without an end and one that does not come are errors
// that name the way out and no login.
func TestDial(t *testing.T) {
	dial := func(ctx context.Context, answer string) (net.Conn, *http.Request, error) {
		address, asked := proxy(t, answer)
		d, err := egress.Dial(&collectors.Via{Name: "out", Scheme: "http", Address: address, User: "office", Password: "geheim"})
		if err != nil {
			t.Fatal(err)
		}
		c, err := d(ctx, "tcp", "mail.example:25")
		if c != nil {
			t.Cleanup(func() { c.Close() })
		}
		return c, <-asked, err
	}
	c, r, err := dial(t.Context(), "HTTP/1.1 200 OK\r\n\r\n220 mail.example\r\n")
	if err != nil {
		t.Fatal(err)
	}
	user, password, _ := (&http.Request{Header: http.Header{"Authorization": r.Header["Proxy-Authorization"]}}).BasicAuth()
	if r.Method != "CONNECT" || r.Host != "mail.example:25" || user != "office" || password != "geheim" || r.Header.Get("Authorization") != "" {
		t.Errorf("asked %+v", r)
	}
	if line, err := bufio.NewReader(c).ReadString('\n'); err != nil || line != "220 mail.example\r\n" {
		t.Errorf("%q, %v", line, err)
	}
	for says, answer := range map[string]string{"it answered 403": "HTTP/1.1 403 Forbidden\r\n\r\n", "the answer has no end": "HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", 1<<20), "": ""} {
		ctx, stop := context.WithTimeout(t.Context(), 2*time.Second)
		c, _, err := dial(ctx, answer)
		stop()
		if err == nil || c != nil || !strings.Contains(err.Error(), says) || strings.Contains(err.Error(), "geheim") {
			t.Errorf("%q: %v, %v", says, c, err)
		}
	}
}
