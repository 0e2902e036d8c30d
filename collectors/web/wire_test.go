package web

import (
	"bufio"
	"bytes"
	"io"
	"net/http/httputil"
	"net/netip"
	"os"
	"strings"
	"testing"

	"holdfast/warc"
)

// Whatever comes, what is kept is what came, what is passed on is what is kept,
// and the payload is what a standard reader makes of it.
func FuzzChunkedBody(f *testing.F) {
	f.Add([]byte("5\r\nhello\r\n0\r\n\r\n"))
	f.Add([]byte("5;ext=1\r\nhello\r\n3\r\nabc\r\n0\r\nTrailer: x\r\n\r\nrest"))
	f.Add([]byte("ffffffffffffffff\r\n"))
	f.Add([]byte("-1\r\n"))
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, in []byte) {
		s, err := newSpool(dir, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer os.Remove(s.file.Name())
		var passed bytes.Buffer
		c := &copier{src: bufio.NewReader(bytes.NewReader(in)), spool: s, dst: bufio.NewWriter(&passed),
			meter: func(int) error { return nil }, keep: func() bool { return true }}
		berr := c.body(framing{chunked: true})
		if err := s.close(); err != nil {
			t.Fatal(err)
		}
		kept, err := os.ReadFile(s.file.Name())
		if err != nil || !bytes.HasPrefix(in, kept) || !bytes.Equal(kept, passed.Bytes()) || warc.Digest(kept) != s.blockDigest() {
			t.Fatalf("in %q kept %q passed %q: %v", in, kept, passed.Bytes(), err)
		}
		if berr == nil {
			body, err := io.ReadAll(httputil.NewChunkedReader(bytes.NewReader(kept)))
			if err == nil && warc.Digest(body) != s.payloadDigest() {
				t.Fatalf("payload of %q is not %q", kept, body)
			}
		}
	})
}

func TestSpecialAddresses(t *testing.T) {
	for _, a := range strings.Fields("127.0.0.1 127.255.255.255 10.0.0.1 172.16.0.1 172.31.255.255 192.168.1.1 169.254.169.254 100.64.0.1 100.127.255.255 0.0.0.0 0.1.2.3 224.0.0.1 240.0.0.1 255.255.255.255 " +
		"198.18.0.1 192.0.0.1 ::1 :: ::ffff:10.0.0.1 ::10.0.0.1 fe80::1 fe80::1%eth0 fc00::1 fd12::1 fec0::1 ff02::1 64:ff9b::a00:1 2002:a00:1::1 2001::1 2001:db8::1 100::1") {
		if special(netip.MustParseAddr(a)) == "" {
			t.Errorf("%s would be dialled", a)
		}
	}
	for _, a := range strings.Fields("1.1.1.1 8.8.8.8 172.15.0.1 172.32.0.1 100.63.0.1 100.128.0.1 192.167.0.1 2606:4700::1111 2a00:1450::1 ::ffff:1.1.1.1") {
		if k := special(netip.MustParseAddr(a)); k != "" {
			t.Errorf("%s is refused as %s", a, k)
		}
	}
}
