package pipeline_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"holdfast"
	"holdfast/pipeline"
)

// damaged is a chain of five lines, all of them published, and another one.
type damaged struct {
	dir, path, other string
	home             holdfast.ID
	q                pipeline.EventQueue
	head             holdfast.Head
}

func newDamaged(t *testing.T) *damaged {
	t.Helper()
	d := &damaged{dir: t.TempDir(), home: holdfast.NewID()}
	d.q = openQueue(t, d.dir)
	o := openOutbox(t, d.dir, d.q)
	for _, why := range []string{"first", "second", "third", "fourth", "fifth"} {
		h, err := o.Append(t.Context(), note(d.home, why))
		must(t, err)
		d.head = h
	}
	h, err := o.Append(t.Context(), note(holdfast.NewID(), "elsewhere"))
	must(t, err)
	name := func(c holdfast.ID) string { return filepath.Join(d.dir, "outbox", string(c)+".jsonl") }
	d.path, d.other = name(d.head.Chain), name(h.Chain)
	return d
}

func (d *damaged) mark() string { return strings.TrimSuffix(d.path, "jsonl") + "published" }

// The moments at which damage may be met, in the order of a command.
const (
	atOpen    = "open"
	atRecover = "recover" // every command, before it does anything
	atUse     = "use"     // Head, Append, Lines, Check, each alone
	never     = "never"   // nothing here contradicts it: sealed heads and the catalog do
)

// Each kind of damage is met at its moment, with the mark and without it, and
// before anything is built upon it.
func TestOutboxDamage(t *testing.T) {
	edit := func(f func(lines []string) []string) func(t *testing.T, d *damaged) {
		return func(t *testing.T, d *damaged) {
			b, err := os.ReadFile(d.path)
			must(t, err)
			must(t, os.WriteFile(d.path, []byte(strings.Join(f(strings.SplitAfter(string(b), "\n")), "")), 0o600))
		}
	}
	form := func(n int) func(t *testing.T, d *damaged) { // a byte that makes the line no line
		return edit(func(l []string) []string { l[n] = strings.Replace(l[n], `"n":`, `"m":`, 1); return l })
	}
	text := func(n int) func(t *testing.T, d *damaged) { // one that makes it another
		return edit(func(l []string) []string { l[n] = strings.Replace(l[n], `"why":"f`, `"why":"F`, 1); return l })
	}
	for _, k := range []struct {
		name         string
		spoil        func(t *testing.T, d *damaged)
		marked, bare string // where it is met, with the mark and without
	}{
		{"form of the first line", form(0), atOpen, atOpen},
		{"form of a middle line", form(2), atUse, atRecover},
		{"form of the last line", form(4), atUse, atRecover},
		{"text of the first line", text(0), atUse, never},
		{"text of a middle line", text(3), atUse, never},
		{"text of the last line", text(4), atUse, never},
		{"a middle line gone", edit(func(l []string) []string { return slices.Delete(l, 2, 3) }), atRecover, atRecover},
		{"the first line gone", edit(func(l []string) []string { return l[1:] }), atOpen, atOpen},
		{"lines swapped", edit(func(l []string) []string { l[1], l[2] = l[2], l[1]; return l }), atUse, atRecover},
		{"cut behind a line", edit(func(l []string) []string { return l[:3] }), atRecover, never},
		{"cut in a line", edit(func(l []string) []string { l[4] = l[4][:20]; return l }), atRecover, never},
		{"last LF gone", edit(func(l []string) []string { l[4] = strings.TrimSuffix(l[4], "\n"); return l }), atRecover, never},
		{"last LF became another byte", edit(func(l []string) []string { l[4] = strings.TrimSuffix(l[4], "\n") + " "; return l }), atRecover, never},
		{"an LF became another byte", edit(func(l []string) []string { l[2] = strings.TrimSuffix(l[2], "\n") + " "; return l }), atUse, atRecover},
		{"lengthened by what is no line", edit(func(l []string) []string { return append(l, "x\n") }), atRecover, atRecover},
		{"lengthened by too much", edit(func(l []string) []string { return append(l, strings.Repeat("x", 1<<20)) }), atOpen, atOpen},
		{"emptied", edit(func(l []string) []string { return nil }), atRecover, never},
		{"removed", func(t *testing.T, d *damaged) { must(t, os.Remove(d.path)) }, atRecover, never},
		{"of another chain", func(t *testing.T, d *damaged) {
			b, err := os.ReadFile(d.other)
			must(t, err)
			must(t, os.WriteFile(d.path, b, 0o600))
		}, atOpen, atOpen},
	} {
		for _, mark := range []string{"whole", "old", "gone"} {
			t.Run(k.name+", mark "+mark, func(t *testing.T) {
				d, want := newDamaged(t), k.marked
				switch mark {
				case "old": // of a program that wrote three members
					b, err := os.ReadFile(d.mark())
					must(t, err)
					f := strings.Fields(string(b))
					must(t, os.WriteFile(d.mark(), []byte(strings.Join(f[:3], " ")+"\n"), 0o600))
					want = k.bare
				case "gone":
					must(t, os.Remove(d.mark()))
					want = k.bare
				}
				k.spoil(t, d)
				d.meets(t, want)
			})
		}
	}
}

// meets goes through a command's moments until the damage is met.
func (d *damaged) meets(t *testing.T, want string) {
	t.Helper()
	before, _ := os.ReadFile(d.path)
	o, err := pipeline.OpenOutbox(filepath.Join(d.dir, "outbox"), facts, d.q, nil)
	met := atOpen
	if err == nil {
		met, err = atRecover, o.Recover(t.Context(), nil)
	}
	if err == nil {
		met = atUse
		for name, use := range map[string]func(o *pipeline.Outbox) error{
			"Head": func(o *pipeline.Outbox) error { _, err := o.Head(t.Context(), d.home); return err },
			"Lines": func(o *pipeline.Outbox) error {
				return o.Lines(d.home, func([]byte, holdfast.Head) error { return nil })
			},
			"Check": func(o *pipeline.Outbox) error { return o.Check(d.head.Chain, before) },
			"Append": func(o *pipeline.Outbox) error {
				_, err := o.Append(t.Context(), note(d.home, "on top"))
				return err
			},
		} {
			if want == never {
				break
			}
			if err = use(openOutbox(t, d.dir, d.q)); !errors.Is(err, pipeline.ErrChain) {
				t.Errorf("%s: %v", name, err)
			}
		}
		if want == never {
			met = never
		}
	}
	if met != want || (want != never) != errors.Is(err, pipeline.ErrChain) {
		t.Errorf("met at %s, want %s: %v", met, want, err)
	}
	if after, _ := os.ReadFile(d.path); want != never && string(after) != string(before) {
		t.Error("something was built on the damage")
	}
}

// What happens to a file while a handle has it, which has looked at its first
// line alone, or at all of them.
func TestOutboxDamageMeanwhile(t *testing.T) {
	for name, spoil := range map[string]func(t *testing.T, d *damaged){
		"removed": func(t *testing.T, d *damaged) { must(t, os.Remove(d.path)) },
		"emptied": func(t *testing.T, d *damaged) { must(t, os.Truncate(d.path, 0)) },
		"shorter": func(t *testing.T, d *damaged) { must(t, os.Truncate(d.path, 700)) },
		"without its LF": func(t *testing.T, d *damaged) {
			b, err := os.ReadFile(d.path)
			must(t, err)
			b[len(b)-1] = ' '
			must(t, os.WriteFile(d.path, b, 0o600))
		},
	} {
		for _, read := range []bool{false, true} {
			for _, use := range []string{"Head", "Append", "Lines"} {
				if name == "without its LF" && read && use != "Lines" {
					continue // what a handle has verified it does not read again
				}
				d := newDamaged(t)
				o := openOutbox(t, d.dir, d.q)
				if read {
					_, err := o.Head(t.Context(), d.home)
					must(t, err)
				}
				spoil(t, d)
				before, _ := os.ReadFile(d.path)
				var err error
				switch use {
				case "Head":
					_, err = o.Head(t.Context(), d.home)
				case "Append":
					_, err = o.Append(t.Context(), note(d.home, "on top"))
				case "Lines":
					err = o.Lines(d.home, func([]byte, holdfast.Head) error { return nil })
				}
				after, _ := os.ReadFile(d.path)
				if !errors.Is(err, pipeline.ErrChain) || string(after) != string(before) {
					t.Errorf("%s, read %v, %s: %v; the file changed: %v", name, read, use, err, string(after) != string(before))
				}
				if _, err := os.Lstat(d.path); name == "removed" && err == nil {
					t.Errorf("%s: the file was made", use)
				}
			}
		}
	}
}

// A mark never hides what is not published, and an old one is made new.
func TestOutboxMarks(t *testing.T) {
	d := newDamaged(t)
	whole, err := os.ReadFile(d.mark())
	must(t, err)
	f := strings.Fields(string(whole))
	if len(f) != 5 || f[0] != "5" || f[4] != d.head.Head.Hex() {
		t.Fatalf("mark %q, head %s", whole, d.head.Head)
	}
	must(t, os.WriteFile(d.mark(), []byte(strings.Join(f[:3], " ")+"\n"), 0o600))
	must(t, openOutbox(t, d.dir, d.q).Recover(t.Context(), nil))
	if b, _ := os.ReadFile(d.mark()); string(b) != string(whole) {
		t.Errorf("an old mark became %q, want %q", b, whole)
	}
	b, err := os.ReadFile(d.path)
	must(t, err)
	o := openOutbox(t, d.dir, down{d.q})
	if _, err := o.Append(t.Context(), note(d.home, "not published")); !errors.Is(err, errCrash) {
		t.Fatal(err)
	}
	for name, m := range map[string]string{"as it was": string(whole), "older": "2 " + f[1] + " " + f[2] + " 9 " + f[4] + "\n", "no mark": "x\n", "half": "5 1", "negative": "-1 1 q\n"} {
		if name == "older" { // its size and head are those behind line 2, else it accuses
			h := holdfast.Head{}
			must(t, o.Lines(d.home, func(line []byte, at holdfast.Head) error {
				if at.Length == 2 {
					h = at
				}
				return nil
			}))
			two := strings.Join(strings.SplitAfter(string(b), "\n")[:2], "")
			m = strings.Join([]string{"2", f[1], f[2], strconv.Itoa(len(two)), h.Head.Hex()}, " ") + "\n"
		}
		must(t, os.WriteFile(d.mark(), []byte(m), 0o600))
		q := openQueue(t, t.TempDir())
		must(t, openOutbox(t, d.dir, renamed{q, d.q}).Recover(t.Context(), nil))
		if events(t, q)[holdfast.EventID(d.head.Chain, 6)] == nil {
			t.Errorf("mark %s: line 6 is not published", name)
		}
	}
}

// renamed is a queue that says it is another.
type renamed struct {
	pipeline.EventQueue
	was pipeline.EventQueue
}

func (r renamed) Identity(ctx context.Context) (pipeline.Identity, error) { return r.was.Identity(ctx) }
func (r renamed) End(ctx context.Context, s pipeline.Stage, n int) (int64, error) {
	return r.was.End(ctx, s, n)
}
