package main

import (
	"context"
	"embed"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"archive/zip"

	"github.com/spf13/cobra"

	"holdfast"
	"holdfast/authorities"
	"holdfast/preserve/authority"
)

//go:embed demosite
var demoSite embed.FS

func (c *cli) demoCmd() *cobra.Command {
	var keep string
	cmd := command("demo [--keep DIR]", "See all of it at work in a minute, without the internet", "holdfast demo --keep ./demo", cobra.NoArgs,
		func(cmd *cobra.Command, _ []string) error { return c.demo(cmd.Context(), keep) })
	cmd.Long = `Serves a sample page on loopback, starts three training authorities of three
training operators, captures the page in Chromium, seals, exports and verifies
it; then changes one byte of a copy and shows that the copy is refused.
Everything is marked TRAINING. Without --keep it leaves nothing behind.`
	cmd.Flags().StringVar(&keep, "keep", "", "keep node, bundle and policy in this directory")
	return cmd
}

// demo runs the real commands, one after the other, on a training node.
func (c *cli) demo(ctx context.Context, keep string) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	dir := keep
	if dir == "" {
		var err error
		if dir, err = os.MkdirTemp("", "holdfast-demo-"); err != nil {
			return fmt.Errorf("make a place for the demo: %w", err)
		}
		defer os.RemoveAll(dir)
	} else if err := emptyDir(dir); err != nil {
		return err
	}
	d := &demo{c: c, dir: dir, n: 0, sub: &cli{in: c.in, out: io.Discard, errs: c.errs, data: filepath.Join(dir, "node"), verbose: c.verbose}}
	for _, step := range []func(context.Context) error{d.serve, d.node, d.authorities, d.capture, d.policy, d.verify, d.tamper} {
		if err := step(ctx); err != nil {
			return fmt.Errorf("demo: %w", err)
		}
	}
	d.summary(keep)
	return nil
}

func emptyDir(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make %s: %w", dir, err)
	}
	if es, err := os.ReadDir(dir); err != nil || len(es) > 0 {
		return usageError("--keep %s is not empty: name a new directory", dir)
	}
	return nil
}

type demo struct {
	c, sub *cli
	dir    string
	n      int
	site   string
}

func (d *demo) step(object map[string]any, format string, a ...any) {
	d.n++
	if object != nil {
		object["step"] = d.n
	}
	d.c.say(object, "%d  "+format, append([]any{d.n}, a...)...)
}

func (d *demo) path(name string) string { return filepath.Join(d.dir, name) }

func listen() (net.Listener, error) { return net.Listen("tcp", "127.0.0.1:0") }

func (d *demo) serve(ctx context.Context) error {
	l, err := listen()
	if err != nil {
		return err
	}
	files, err := fs.Sub(demoSite, "demosite")
	if err != nil {
		return err
	}
	go serve(ctx, l, http.FileServerFS(files))
	d.site = "http://" + l.Addr().String() + "/"
	d.step(map[string]any{"site": d.site}, "a sample page is served at %s (invented, on this machine only)", d.site)
	return nil
}

func (d *demo) node(ctx context.Context) error {
	n, err := d.sub.initNode(ctx, initOptions{label: "demo", training: true})
	if err != nil {
		return err
	}
	defer n.Close()
	fp, err := n.fingerprint()
	if err != nil {
		return err
	}
	d.step(map[string]any{"node": n.set.Name, "fingerprint": fp}, "a TRAINING node was made: %s", n.set.Name)
	return nil
}

// authorities are real ones, in this process, on three ports.
func (d *demo) authorities(ctx context.Context) error {
	operators := []string{"TRAINING Operator Alpha", "TRAINING Operator Beta", "TRAINING Operator Gamma"}
	for _, op := range operators {
		name := strings.ToLower(op[strings.LastIndex(op, " ")+1:])
		a, err := authority.Open(d.path("authority-"+name), authority.Options{Operator: op, Training: true})
		if err != nil {
			return err
		}
		l, err := listen()
		if err != nil {
			return err
		}
		go serve(ctx, l, a.Handler())
		e := authorities.Entry{Name: name, URL: "http://" + l.Addr().String() + "/", Operator: op}
		if err := e.Check(d.path("authority-" + name + "/roots.pem")); err != nil {
			return err
		}
		n, err := d.sub.open(ctx)
		if err != nil {
			return err
		}
		err = errors.Join(n.addAuthority(ctx, e), n.tryAuthority(ctx, name))
		n.Close()
		if err != nil {
			return err
		}
	}
	d.step(map[string]any{"operators": operators}, "three training authorities of three operators are running; two of three must agree on the time")
	return nil
}

func (d *demo) capture(ctx context.Context) error {
	n, err := d.sub.open(ctx)
	if err != nil {
		return err
	}
	defer n.Close()
	begun := time.Now()
	s, err := parseURL(d.site, true)
	if err != nil {
		return err
	}
	o := captureOptions{caseName: "DEMO-1", export: d.path("demo.zip"), wait: time.Minute, allowPrivate: true, note: "guided demo"}
	if err := d.sub.capture(ctx, n, []holdfast.Source{s}, o); err != nil {
		return err
	}
	d.step(map[string]any{"bundle": d.path("demo.zip"), "ms": time.Since(begun).Milliseconds()},
		"the page was captured in Chromium, sealed, and exported as one file, in %.1f s", time.Since(begun).Seconds())
	return nil
}

func (d *demo) policy(ctx context.Context) error {
	n, err := d.sub.open(ctx)
	if err != nil {
		return err
	}
	defer n.Close()
	p, err := n.policy()
	if err != nil {
		return err
	}
	b, err := p.Encode()
	if err != nil {
		return err
	}
	d.step(map[string]any{"policy": d.path("demo.policy.json")}, "the policy was written: whom a verifier trusts (handed over apart from the bundle)")
	return os.WriteFile(d.path("demo.policy.json"), b, 0o644)
}

// check verifies as a stranger would: the file, the Policy, nothing else.
func (d *demo) check(ctx context.Context, name string) (*holdfast.Report, error) {
	b, err := os.ReadFile(d.path("demo.policy.json"))
	if err != nil {
		return nil, err
	}
	p, err := holdfast.ParsePolicy(b)
	if err != nil {
		return nil, err
	}
	f, err := os.Open(d.path(name))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return nil, err
	}
	return holdfast.Verify(ctx, f, st.Size(), p, holdfast.VerifyOptions{})
}

func (d *demo) verify(ctx context.Context) error {
	r, err := d.check(ctx, "demo.zip")
	if err != nil {
		return err
	}
	if r.Verdict != holdfast.VerdictProven {
		return fmt.Errorf("the bundle should be proven and is %s: %v", r.Verdict, worst(r))
	}
	e := r.Exhibits[0]
	d.step(map[string]any{"verdict": r.Verdict, "not_after": e.T, "training": r.Training}, "a stranger with the file and the policy checks it: PROVEN, these bytes existed not later than %s", e.T)
	return nil
}

func worst(r *holdfast.Report) []string {
	var s []string
	for _, f := range r.Findings {
		if f.Outcome == holdfast.Contradicted || f.Outcome == holdfast.Absent {
			s = append(s, f.Finding+" ("+f.Subject+"): "+f.Detail)
		}
	}
	return s
}

// tamper changes one byte of the captured HTML in a copy, and mends the ZIP's
// own checksum so that no unzip program notices.
func (d *demo) tamper(ctx context.Context) error {
	b, err := os.ReadFile(d.path("demo.zip"))
	if err != nil {
		return err
	}
	if err := flipInZip(b, "data/exhibits/1/source.html"); err != nil {
		return err
	}
	if err := os.WriteFile(d.path("demo-changed.zip"), b, 0o600); err != nil {
		return err
	}
	r, err := d.check(ctx, "demo-changed.zip")
	if err != nil {
		return err
	}
	if r.Verdict != holdfast.VerdictContradicted {
		return fmt.Errorf("a changed copy passed as %s", r.Verdict)
	}
	for _, f := range r.Findings {
		if f.Finding == "object-digest" && f.Outcome == holdfast.Contradicted {
			d.step(map[string]any{"verdict": r.Verdict, "finding": f}, "one byte of a copy was changed, and the copy is refused: %s: %s is not the object that was sealed", f.Finding, f.Subject)
			return nil
		}
	}
	return fmt.Errorf("the changed copy was refused for another reason: %v", worst(r))
}

// flipInZip changes one bit in the middle of an entry and its CRC in both
// headers.
func flipInZip(b []byte, name string) error {
	z, err := zip.NewReader(strings.NewReader(string(b)), int64(len(b)))
	if err != nil {
		return err
	}
	for _, f := range z.File {
		if f.Name != name {
			continue
		}
		at, err := f.DataOffset()
		if err != nil {
			return err
		}
		data := b[at : at+int64(f.UncompressedSize64)]
		data[len(data)/2] ^= 1
		old, now := make([]byte, 4), make([]byte, 4)
		binary.LittleEndian.PutUint32(old, f.CRC32)
		binary.LittleEndian.PutUint32(now, crc32.ChecksumIEEE(data))
		for i, found := 0, 0; i+4 <= len(b) && found < 2; i++ {
			if string(b[i:i+4]) == string(old) {
				copy(b[i:], now)
				found++
			}
		}
		return nil
	}
	return fmt.Errorf("%s is not in the bundle", name)
}

func (d *demo) summary(keep string) {
	d.c.say(map[string]any{"verdict": "demo passed", "training": true}, `
Proven:  a key that the policy names signed exactly these bytes, not later than the time above; a change of one byte shows.
Stated:  that the page came from that address, at that hour, by that method: signed by the node, not proven.
Not claimed: that what the page says is true, who wrote it, or what others were shown.
TRAINING: node, authorities, bundle and policy of this demo are a rehearsal and no evidence.`)
	if keep != "" {
		d.c.say(nil, "\nKept in %s: demo.zip, demo.policy.json, demo-changed.zip, node/. Try: holdfast verify %s --policy %s", keep, d.path("demo.zip"), d.path("demo.policy.json"))
	} else {
		d.c.say(nil, "\nNothing was kept (--keep DIR keeps it). The real thing: holdfast capture https://host/page --case 2026-017 --export 2026-017.zip")
	}
}
