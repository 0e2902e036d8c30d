package pipeline_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"holdfast"
	"holdfast/pipeline"
)

// BenchmarkOpenOutbox is what every start of a command pays for the Custody that
// is there: each line is read and verified.
func BenchmarkOpenOutbox(b *testing.B) {
	for _, k := range []struct{ cases, lines int }{{100, 100}, {10, 10_000}, {100, 10_000}} {
		b.Run(fmt.Sprintf("%dx%d", k.cases, k.lines), func(b *testing.B) {
			dir := b.TempDir()
			q := openQueue(b, b.TempDir())
			must(b, os.MkdirAll(filepath.Join(dir, "outbox"), 0o700))
			for range k.cases {
				writeChain(b, filepath.Join(dir, "outbox"), k.lines)
			}
			for b.Loop() {
				_, err := pipeline.OpenOutbox(filepath.Join(dir, "outbox"), facts, q, nil)
				must(b, err)
			}
			b.ReportMetric(b.Elapsed().Seconds()*1e6/float64(b.N*k.cases*k.lines), "µs/line")
		})
	}
}

// writeChain writes a chain of a Case's own, as an Outbox would.
func writeChain(b *testing.B, dir string, lines int) {
	b.Helper()
	id, home := holdfast.NewID(), holdfast.NewID()
	var out bytes.Buffer
	for n := range lines {
		l := holdfast.Line{Action: "noted", Agent: holdfast.Agent{Pseudonym: "kelp", Role: "archivist", Office: "reef"}, At: holdfast.At(time.Now()), Case: home, Chain: id,
			N: int64(n) + 1, Node: facts.Node, Nonce: holdfast.NewNonce(), Objects: []string{string(holdfast.NewID())}, Why: "seen again, nothing new"}
		line, err := l.Encode()
		must(b, err)
		out.Write(append(line, '\n'))
	}
	must(b, os.WriteFile(filepath.Join(dir, string(id)+".jsonl"), out.Bytes(), 0o600))
}
