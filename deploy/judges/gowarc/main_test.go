package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const sample = "WARC/1.1\r\nWARC-Type: resource\r\nWARC-Record-ID: <urn:uuid:00000000-0000-4000-8000-000000000001>\r\n" +
	"WARC-Date: 2026-11-25T07:00:00.000Z\r\nWARC-Target-URI: urn:x:1\r\nContent-Type: text/plain\r\n" +
	"WARC-Block-Digest: sha256:%s\r\nContent-Length: 5\r\n\r\nplain\r\n\r\n"

func TestJudge(t *testing.T) {
	good := fmt.Sprintf(sample, "a116c9ed46d6207734a43317d30fd88f52ac8634c37d904bbf4e41d865f90475")
	for name, c := range map[string]struct {
		bytes, want string
		n           int
	}{
		"good":             {good + good, "", 2},
		"changed":          {strings.Replace(good, "plain\r\n\r\n", "plaim\r\n\r\n", 1), "block", 0},
		"short":            {good[:len(good)-7], "content length", 0},
		"no end":           {good[:len(good)-2], "end of record", 0},
		"digest removed":   {strings.Replace(good, "WARC-Block-Digest", "X-Block-Digest", 1), "no block digest", 0},
		"few bytes behind": {good + "abc", "3 bytes after", 1},
		"empty":            {"", "no record", 0},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "f.warc")
			if err := os.WriteFile(path, []byte(c.bytes), 0o600); err != nil {
				t.Fatal(err)
			}
			n, err := judge(path)
			if n != c.n || (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %d, %v; want %d, %q", n, err, c.n, c.want)
			}
		})
	}
}
