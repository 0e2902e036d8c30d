package pipeline_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"holdfast"
	"holdfast/hashing"
	"holdfast/pipeline"
)

// BenchmarkOpenOutbox is what every start of a command pays for the Custody that
// is there and was published: to open it, and to look for what a crash left.
func BenchmarkOpenOutbox(b *testing.B) {
	for _, k := range []struct{ cases, lines int }{{100, 100}, {10, 10_000}, {100, 10_000}} {
		b.Run(fmt.Sprintf("%dx%d", k.cases, k.lines), func(b *testing.B) {
			dir := b.TempDir()
			q := openQueue(b, b.TempDir())
			id, err := q.Identity(b.Context())
			must(b, err)
			must(b, os.MkdirAll(filepath.Join(dir, "outbox"), 0o700))
			for range k.cases {
				writeChain(b, filepath.Join(dir, "outbox"), k.lines, id.Queue)
			}
			for b.Loop() {
				o, err := pipeline.OpenOutbox(filepath.Join(dir, "outbox"), facts, q, nil)
				must(b, err)
				must(b, o.Recover(b.Context(), nil))
			}
			b.ReportMetric(b.Elapsed().Seconds()*1e6/float64(b.N*k.cases), "µs/chain")
		})
	}
}

// BenchmarkVerifyChain is what a command pays for each chain that it uses, once.
func BenchmarkVerifyChain(b *testing.B) {
	dir, lines := b.TempDir(), 10_000
	q := openQueue(b, b.TempDir())
	must(b, os.MkdirAll(filepath.Join(dir, "outbox"), 0o700))
	home := writeChain(b, filepath.Join(dir, "outbox"), lines, "q")
	for b.Loop() {
		_, err := openOutbox(b, dir, q).Head(b.Context(), home)
		must(b, err)
	}
	b.ReportMetric(b.Elapsed().Seconds()*1e6/float64(b.N*lines), "µs/line")
}

// writeChain writes a chain of a Case's own, as an Outbox would, and its mark.
func writeChain(b *testing.B, dir string, lines int, queue string) holdfast.ID {
	b.Helper()
	id, home, head := holdfast.NewID(), holdfast.NewID(), hashing.Digest{}
	var out bytes.Buffer
	for n := range lines {
		l := holdfast.Line{Action: "noted", Agent: holdfast.Agent{Pseudonym: "kelp", Role: "archivist", Office: "reef"}, At: holdfast.At(time.Now()), Case: home, Chain: id,
			N: int64(n) + 1, Node: facts.Node, Nonce: holdfast.NewNonce(), Objects: []string{string(holdfast.NewID())}, Why: "seen again, nothing new"}
		line, err := l.Encode()
		must(b, err)
		out.Write(append(line, '\n'))
		head = holdfast.Next(head, hashing.Of(line))
	}
	must(b, os.WriteFile(filepath.Join(dir, string(id)+".jsonl"), out.Bytes(), 0o600))
	must(b, os.WriteFile(filepath.Join(dir, string(id)+".published"), fmt.Appendf(nil, "%d 0 %s %d %s\n", lines, queue, out.Len(), head.Hex()), 0o600))
	return home
}
