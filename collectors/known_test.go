package collectors

import (
	"bytes"
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"holdfast/hashing"
)

// TestKnownList guards every form of line that is documented, and that what is
// on no list is not found.
func TestKnownList(t *testing.T) {
	body := func(i int) []byte { return fmt.Appendf(nil, "body %d", i) }
	text := "\ufeff# a list\r\n\r\n" +
		fmt.Sprintf("%x\n", md5.Sum(body(0))) +
		fmt.Sprintf("  %X  \r\n", sha1.Sum(body(1))) +
		fmt.Sprintf("%x  file name.jpg\n", sha256.Sum256(body(2))) +
		fmt.Sprintf("sha256:%x\n", sha256.Sum256(body(3))) +
		fmt.Sprintf("MD5:%x,1,category\n", md5.Sum(body(4))) +
		fmt.Sprintf("%x\n", sha256.Sum256(nil)) +
		fmt.Sprintf("sha1:%x", sha1.Sum(body(5)))
	k, err := ReadKnownList(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	if k.Len() != 7 || k.Digest() != hashing.Of([]byte(text)) {
		t.Errorf("%d digests, %s", k.Len(), k.Digest())
	}
	for i, name := range []string{"md5:", "sha1:", "sha256:", "sha256:", "md5:", "sha1:", ""} {
		w := k.Watch()
		w.Write(body(i)[:2])
		w.Write(body(i)[2:])
		if got := w.Match(); !strings.HasPrefix(got, name) || (got == "") != (name == "") {
			t.Errorf("body %d: %q, want %s", i, got, name)
		}
	}
	if got := k.Watch().Match(); got != "" {
		t.Errorf("nothing matches %s", got)
	}
	none := (*KnownList)(nil).Watch()
	none.Write(body(1))
	if none.Match() != "" {
		t.Error("no list, and a match")
	}
}

// TestKnownListRefused: a list is whole or not used.
func TestKnownListRefused(t *testing.T) {
	good := fmt.Sprintf("%x\n", sha256.Sum256([]byte("x")))
	for _, bad := range []string{"", "# only words\n", good + "zz\n", good + good[:62] + "\n", "sha256:" + good[:40] + "\n", "crc:0011\n",
		good + strings.Repeat("a", MaxKnownLine+1), good + "<html>error</html>\n"} {
		if _, err := ReadKnownList(strings.NewReader(bad)); !errors.Is(err, ErrKnownList) {
			t.Errorf("%.40q: %v", bad, err)
		}
	}
}

// TestKnownListLarge guards the promise on size: a million lines are read and
// searched in seconds, packed.
func TestKnownListLarge(t *testing.T) {
	var b bytes.Buffer
	src := rand.New(rand.NewPCG(1, 2))
	for range 1_000_000 {
		fmt.Fprintf(&b, "%016x%016x\n", src.Uint64(), src.Uint64())
	}
	fmt.Fprintf(&b, "%x\n", md5.Sum([]byte("known")))
	begin := time.Now()
	k, err := ReadKnownList(&b)
	if err != nil {
		t.Fatal(err)
	}
	if d := time.Since(begin); d > 20*time.Second {
		t.Errorf("a million lines took %s", d)
	}
	w := k.Watch()
	w.Write([]byte("known"))
	if w.Match() == "" {
		t.Error("not found")
	}
}
