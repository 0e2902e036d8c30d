package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/rogpeppe/go-internal/testscript"
	kgo "github.com/segmentio/kafka-go"
)

// cmdDisks is `disks kafka|minio|postgresql|wal|DIR TEXT…`: each text is in the bytes of
// some file of that engine, whatever that file is of; `! disks …`: in none, within two
// minutes, since servers remove files later. Left out is what docs/threats.md names:
// PostgreSQL's pg_wal, which is wal, and MinIO's trash, which it empties every 5 minutes.
func (s *office) cmdDisks(ts *testscript.TestScript, neg bool, args []string) {
	s.pg.Do(s.t, "postgres", "CHECKPOINT") // what is in the server's memory alone would not be seen
	wal := filepath.Join(s.pg.Data(), "pg_wal")
	trash := filepath.Join(s.minio.Data, ".minio.sys/tmp/.trash")
	dir, ok := map[string]string{"kafka": s.kafka.Data(0), "minio": s.minio.Data, "postgresql": s.pg.Data(), "wal": wal}[args[0]]
	if !ok {
		dir = ts.MkAbs(args[0])
	}
	end := time.Now().Add(2 * time.Minute)
	for {
		found := map[string][]string{}
		ts.Check(filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
			if name != dir && (name == wal || name == trash) {
				return fs.SkipDir
			}
			if err != nil || !d.Type().IsRegular() {
				return unlessGone(err)
			}
			b, err := os.ReadFile(name)
			if err != nil {
				return unlessGone(err)
			}
			for _, text := range args[1:] {
				if how := inBytes(b, writings(text), 0); how != "" {
					found[text] = append(found[text], name+how)
				}
			}
			return nil
		}))
		if len(found) > 0 && neg && time.Now().Before(end) {
			time.Sleep(2 * time.Second)
			continue
		}
		everywhere(ts, neg, args[1:], found)
		return
	}
}

// writings are how a text may lie in a file: as it is, folded, in hexadecimal, in UTF-16,
// and within base64, wherever it begins there.
func writings(text string) (all [][]byte) {
	for _, t := range []string{text, strings.ToLower(text)} {
		all = append(all, []byte(t), []byte(hex.EncodeToString([]byte(t))), []byte(strings.Join(strings.Split(t, ""), "\x00")))
		for shift := range 3 {
			b := base64.RawStdEncoding.EncodeToString(append(make([]byte, shift), t...))
			all = append(all, []byte(b[(shift*8+5)/6:len(b)-1])) // without what its neighbours are in
		}
	}
	return all
}

// inBytes says how one of the writings is there: in plain, or in gzip or zstd that begins
// anywhere. Of a stream that is cut what came is looked at.
func inBytes(b []byte, of [][]byte, deep int) string {
	for _, w := range of {
		if bytes.Contains(b, w) {
			return fmt.Sprintf(" as %q", w)
		}
	}
	if deep > 2 {
		return ""
	}
	for kind, magic := range map[string][]byte{"gzip": {0x1f, 0x8b, 8}, "zstd": {0x28, 0xb5, 0x2f, 0xfd}} {
		for at := 0; ; {
			k := bytes.Index(b[at:], magic)
			if k < 0 {
				break
			}
			at += k + 1
			if how := inBytes(decompressed(kind, b[at-1:]), of, deep+1); how != "" {
				return fmt.Sprintf(" > %s at %d%s", kind, at-1, how)
			}
		}
	}
	return ""
}

// decompressed is what comes of a stream, at most 64 MiB.
func decompressed(kind string, b []byte) []byte {
	var r io.Reader
	if kind == "gzip" {
		z, err := gzip.NewReader(bytes.NewReader(b))
		if err != nil {
			return nil
		}
		z.Multistream(false)
		r = z
	} else {
		z, err := zstd.NewReader(bytes.NewReader(b), zstd.WithDecoderConcurrency(1))
		if err != nil {
			return nil
		}
		defer z.Close()
		r = z
	}
	out, _ := io.ReadAll(io.LimitReader(r, 64<<20))
	return out
}

// cmdSegments is `segments AGE`: the topics of $QUEUE end their segments when these are so
// old, and the broker removes what is deleted a second later.
func cmdSegments(ts *testscript.TestScript, neg bool, args []string) {
	ctx, stop := context.WithTimeout(context.Background(), time.Minute)
	defer stop()
	age, err := time.ParseDuration(args[0])
	ts.Check(err)
	hosts, prefix, _ := strings.Cut(strings.TrimPrefix(ts.Getenv("QUEUE"), "kafka://"), "/")
	prefix, _, _ = strings.Cut(prefix, "?")
	c := &kgo.Client{Addr: kgo.TCP(strings.Split(hosts, ",")...)}
	req := &kgo.IncrementalAlterConfigsRequest{}
	for _, topic := range []string{"captured", "normalised", "sealed", "dead"} {
		r := kgo.IncrementalAlterConfigsRequestResource{ResourceType: kgo.ResourceTypeTopic, ResourceName: prefix + "." + topic}
		for name, value := range map[string]string{"segment.ms": strconv.FormatInt(age.Milliseconds(), 10), "file.delete.delay.ms": "1000"} {
			r.Configs = append(r.Configs, kgo.IncrementalAlterConfigsRequestConfig{Name: name, Value: value, ConfigOperation: kgo.ConfigOperationSet})
		}
		req.Resources = append(req.Resources, r)
	}
	res, err := c.IncrementalAlterConfigs(ctx, req)
	ts.Check(err)
	for _, r := range res.Resources {
		ts.Check(r.Error)
	}
}

// cmdAnalyze has PostgreSQL take statistics of $CATALOG, as it does by itself after a while.
func (s *office) cmdAnalyze(ts *testscript.TestScript, neg bool, args []string) {
	u, err := url.Parse(ts.Getenv("CATALOG"))
	ts.Check(err)
	s.pg.Do(s.t, strings.TrimPrefix(u.Path, "/"), "ANALYZE")
}
