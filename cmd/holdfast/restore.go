package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"holdfast"
	"holdfast/canon"
	"holdfast/cmd/internal/engineset"
	"holdfast/cmd/internal/mirrors"
	"holdfast/cmd/internal/nodedir"
	"holdfast/cmd/internal/verifycmd"
	"holdfast/filelock"
	"holdfast/messages"
	"holdfast/mirror"
	"holdfast/pipeline"
	"holdfast/storage/s3"
	"holdfast/vault"
	"holdfast/wholefile"
)

// fileRestore is in a node's directory while a restore into it is not finished.
const fileRestore = "restore.json"

type restoreOptions struct {
	from, keys, node string
	join             string   // the id of the store that others were restored into
	with             []string // mirrors of other nodes of the office
	old, encrypt     bool
}

func (c *cli) restoreCmd() *cobra.Command {
	var o restoreOptions
	cmd := command("restore --from STORE-URL --data NEW [--node FINGERPRINT] [--keys FILE] [--all-copies-old]", "Make a node again from its mirror",
		"holdfast restore --from /media/safe/holdfast --data /srv/holdfast --keys keys.age", cobra.NoArgs,
		func(cmd *cobra.Command, _ []string) error {
			if o.from == "" {
				return usageError("give --from STORE-URL, the mirror: a directory, or s3://BUCKET/PREFIX?endpoint=URL")
			}
			if o.keys != "" && o.encrypt {
				return usageError("--keys and --encrypt-keys: give one of them; keys that come back are as they were, and `holdfast key encrypt` encrypts them")
			}
			var err error
			for i := range o.with {
				if o.with[i], err = mirrors.URL(o.with[i]); err != nil {
					return usageError("--with: %w", err)
				}
			}
			if o.node, err = verifycmd.Fingerprint(o.node); err != nil {
				return usageError("--node: %v", err)
			}
			return c.restore(cmd.Context(), o)
		})
	cmd.Long = `Copies a mirror into the directory --data, which must be new, compares digests
while it copies, and makes the catalog again.

With --keys FILE (of "holdfast key export"; its passphrase as there) the same
node goes on: same name, same log. That is right only if this mirror is the
newest state of the node that there is. If a newer one existed anywhere, such
as the node's own disk that is lost, say --all-copies-old: then a new log begins,
under a new name, which names the last state that is known of the old one.
Without --keys the old keys are taken for lost: the node gets new keys, a new
log and a new name. What was sealed stays proven under the old name, which stays
in the Policy with its keys. The new keys are encrypted where the lost ones were
when the mirror was taken, or with --encrypt-keys; the passphrase comes from where
"holdfast init --encrypt-keys" takes it.

With --node FINGERPRINT (of "holdfast init", the letter or "holdfast policy show")
whom the new node asks and trusts, its settings, Tasks and custody are taken only
as the old node has signed them, and a mirror whose store has more than was signed
is refused. Without it they are taken as they lie there, and that is said.

With --queue, --store and --catalog (or their variables) these are no part of the new
directory. Where --store is the bucket that the node worked on, the node comes back
beside the others: nothing is copied, and its log and custody are taken from there, as
far as they went. Else it must be an empty place, which the mirror is copied into, or
with --join ID one that another node was restored into. Without these flags all lies in
the new directory.

Unless the node comes back to its own queue, that is a new one. Captures that only the old queue held, and what
was done after the mirror was taken, are not in a mirror. Those that the old
custody names are named in the new one as lost; how many more there are is not
always known, so the number that is said is "at least".

A restore that was stopped is finished by the same command.

exit status: 0 done  1 could not, or something in the mirror was damaged  2 usage`
	cmd.Flags().StringVar(&o.from, "from", "", "the mirror, a directory or s3://BUCKET/PREFIX?endpoint=URL; it is only read")
	cmd.Flags().StringVar(&o.keys, "keys", "", "file of `holdfast key export`; without it the keys are lost")
	cmd.Flags().BoolVar(&o.encrypt, "encrypt-keys", false, "the keys are lost: encrypt the new ones, also if the lost ones were not")
	cmd.Flags().StringVar(&o.node, "node", "", "fingerprint of the mirrored node: check what it has signed of the mirror")
	cmd.Flags().StringArrayVar(&o.with, "with", nil, "a mirror of another node that shared the store, whose store is copied too, before anything is made of it; several times for several")
	cmd.Flags().StringVar(&o.join, "join", "", "the id of the store that --store names, where another node of the office was restored into it")
	cmd.Flags().BoolVar(&o.old, "all-copies-old", false, "newer states of the node existed: begin a new log")
	return cmd
}

// restoreMark is NEW/restore.json: what is being restored, and how.
type restoreMark struct {
	ID     string        `json:"id"` // random; with it a Task's new ID is drawn
	Mirror string        `json:"mirror"`
	Begun  holdfast.Time `json:"begun"`           // when the mirror's state was
	Keys   bool          `json:"keys"`            // they were given
	Old    bool          `json:"old"`             // the person said so
	Node   string        `json:"node,omitempty"`  // the fingerprint that the person gave
	NewLog bool          `json:"newlog"`          // set before node.json: a new name
	Why    string        `json:"why,omitempty"`   // set before node.json: why a new log begins
	Named  []string      `json:"named,omitempty"` // set before node.json: what of the mirror beside its store is damaged
	Tasks  int           `json:"tasks"`           // set before node.json
	Lost   int64         `json:"lost"`            // set before node.json: captures, at least
	Open   int64         `json:"open,omitempty"`  // set before node.json: messages of a shared queue that no plan has
	Same   bool          `json:"same,omitempty"`  // set before node.json: the queue is the one that the node had
	// Rebuild: set before node.json: the catalog is a new one.
	Rebuild bool `json:"rebuild,omitempty"`
	// Engines are where they lie, if not in the directory; with the id of a store in a
	// bucket, once it is made.
	Engines engineset.URLs `json:"engines,omitzero"`
	With    []string       `json:"with,omitempty"`
	// Encrypt: the new keys are encrypted.
	Encrypt bool `json:"encrypt,omitempty"`
}

// restoring is one run.
type restoring struct {
	c      *cli
	o      restoreOptions
	at     string // where the mirror lies: an absolute path, or the URL of a bucket
	from   mirror.Shelf
	bucket *s3.Store // of from, where it is one
	mark   *mirror.Mark
	mine   *restoreMark
	keys   map[string][]byte
	pass   []byte // of new keys; nil: they lie in clear
	set    *nodedir.Settings
	store  nodeStore
	copy   *mirror.Copier

	engines   engineset.URLs // where the new node's lie, as the person gave them
	back      bool           // the store is the one that the node worked on
	wasShared bool           // its queue was
	short     string         // why the node's chains cannot be continued; empty: they can

	signed *mirror.Statement // what --node has checked; nil: nothing was
	cut    bool              // the statement is older than the mirror's last run
	bad    int
}

func (r *restoring) problem(name string, err error) {
	r.c.log().Error("restore", "problem", name, "err", err)
	r.bad++
}

// named is a problem that the same command says again.
func (r *restoring) named(name, what string) {
	r.problem(name, errors.New(what))
	if len(r.mine.Named) < 1000 {
		r.mine.Named = append(r.mine.Named, name+": "+what)
	}
}

func (c *cli) restore(ctx context.Context, o restoreOptions) error {
	begun := time.Now()
	c.log() // Tessera's too
	r := &restoring{c: c, o: o}
	defer r.close()
	n, err := r.run(ctx)
	if err != nil {
		return fmt.Errorf("restore from %s to %s: %w", o.from, c.data, err)
	}
	defer n.Close()
	return r.say(ctx, n, time.Since(begun))
}

// run does the work. Every step can be done again, node.json is the last file
// of the node, and restore.json goes when all is done; until then no other
// command opens the directory.
func (r *restoring) run(ctx context.Context) (*node, error) {
	if err := r.read(ctx); err != nil {
		return nil, err
	}
	unlock, err := r.claim(ctx)
	if err != nil {
		return nil, err
	}
	defer unlock()
	r.warn()
	if err := r.files(ctx); err != nil {
		return nil, err
	}
	n, err := r.open(ctx)
	if err != nil {
		return nil, err
	}
	if err := r.finish(ctx, n); err != nil {
		n.Close()
		return nil, err
	}
	return n, nil
}

// read takes in what decides, before anything is made: so a wrong directory or
// passphrase leaves nothing behind.
func (r *restoring) read(ctx context.Context) (err error) {
	if r.at, err = mirrors.URL(r.o.from); err != nil {
		return usageError("--from: %w", err)
	}
	if r.from, err = r.shelf(ctx); err != nil {
		return err
	}
	if r.mark, err = mirror.ReadMark(ctx, r.from); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			err = fmt.Errorf("no mirror is there: name what `holdfast mirror --to` was given: %w", err)
		}
		return err
	}
	if r.o.node != "" {
		if err := r.verify(ctx); err != nil {
			return err
		}
	}
	b, err := r.nodeFile(ctx, nodedir.FileSettings)
	if err == nil {
		r.set, err = nodedir.Parse(b)
	}
	if err != nil {
		return fmt.Errorf("the mirror was never whole, and does not say whose it is: its store can be read, but no node be made of it: %w", err)
	}
	if err := r.place(ctx); err != nil {
		return err
	}
	if r.o.keys == "" {
		return r.protect()
	}
	pass, err := r.c.passphrases().Needed("passphrase of the key file: ")
	if err != nil {
		return fmt.Errorf("read key file %s: %w", r.o.keys, err)
	}
	r.keys, err = vault.ReadExport(r.o.keys, pass, secretFiles()...)
	return err
}

// protect asks for the passphrase of new keys, where they are to have one.
func (r *restoring) protect() (err error) {
	if !r.o.encrypt && !r.mark.Encrypted {
		return nil
	}
	if r.pass, err = r.c.passphrases().Chosen(); err != nil {
		return fmt.Errorf("the keys are lost, and the new ones are encrypted as they were: %w", err)
	}
	return nil
}

// claim takes the new directory. One that holds something else is not touched.
func (r *restoring) claim(ctx context.Context) (unlock func(), err error) {
	dir := r.c.data
	r.mine = new(restoreMark)
	err = wholefile.ReadJSON(filepath.Join(dir, fileRestore), r.mine)
	want := restoreMark{Mirror: r.mark.ID, Begun: r.mark.Begun, Keys: r.keys != nil, Old: r.o.old, Node: r.o.node, Encrypt: r.pass != nil, Engines: r.engines, With: r.o.with}
	switch {
	case err == nil:
		if was := *r.mine; was.Mirror != want.Mirror || !was.Begun.Equal(want.Begun.Time) || was.Keys != want.Keys || was.Old != want.Old || was.Node != want.Node || was.Encrypt != want.Encrypt || !slices.Equal(was.With, want.With) || !sameURLs(was.Engines, want.Engines) {
			return nil, fmt.Errorf("another restore was begun there (of the mirror's state of %s, keys given: %t, all copies old: %t, fingerprint given: %t, new keys encrypted: %t): finish that one, or choose another directory", was.Begun, was.Keys, was.Old, was.Node != "", was.Encrypt)
		}
	case !errors.Is(err, fs.ErrNotExist):
		return nil, err
	default:
		es, err := os.ReadDir(dir)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		if len(es) > 0 {
			return nil, fmt.Errorf("the directory is not empty: it holds %q: name a new one", es[0].Name())
		}
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, err
		}
		want.ID = string(holdfast.NewID())
		*r.mine = want
		if err := wholefile.WriteJSON(filepath.Join(dir, fileRestore), r.mine); err != nil {
			return nil, err
		}
	}
	if unlock, err = filelock.Try(filepath.Join(dir, "restore.lock")); err == nil && unlock == nil {
		err = errors.New("another restore is at work there")
	}
	return unlock, err
}

func (r *restoring) warn() {
	age := "it is of " + r.mark.Begun.String()
	if r.mark.Whole == nil {
		age = "its last run, of " + r.mark.Begun.String() + ", was cut short"
	}
	if r.signed == nil {
		fmt.Fprint(r.c.errs, "holdfast: whom the new node asks and trusts was NOT CHECKED: whoever could write to the mirror may have chosen it. Give --node FINGERPRINT, or compare `authority list`, `egress list` and `policy show` with what the office has on paper before anything is sealed.\n")
	}
	if r.keys != nil && !r.o.old {
		fmt.Fprintf(r.c.errs, "holdfast: this goes on with the log of %s from this mirror; %s.\nholdfast: If a newer copy of the node existed anywhere, stop, and restore into another directory with --all-copies-old.\n", r.mark.Node, age)
		return
	}
	fmt.Fprintf(r.c.errs, "holdfast: a new log begins, under a new name; %s.\n", age)
	if r.keys == nil && r.pass == nil {
		fmt.Fprintln(r.c.errs, "holdfast: the new keys lie in clear on this disk: `holdfast key encrypt` encrypts them.")
	}
}

// notHalfRestored keeps every other command out of a directory that a restore
// has not finished.
func (c *cli) notHalfRestored() error {
	if c.restoring {
		return nil
	}
	var m restoreMark
	err := wholefile.ReadJSON(filepath.Join(c.data, fileRestore), &m)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return errors.Join(fmt.Errorf("open %s: a restore into it is not finished: give the same `holdfast restore` again", c.data), err)
}

// open opens the restored node, its catalog made again.
func (r *restoring) open(ctx context.Context) (*node, error) {
	r.c.restoring = true
	defer func() { r.c.restoring = false }()
	n, err := r.c.openStore(ctx)
	if err != nil {
		return nil, err
	}
	if r.mine.Rebuild {
		f, err := n.rebuild(ctx)
		if err != nil {
			n.Close()
			return nil, err
		}
		r.bad += int(f.Problems)
	}
	n.Close()
	return r.c.open(ctx)
}

// finish writes down what was done, and finishes what the old node left signed
// or planned. A crash before the end is made good by the same command.
func (r *restoring) finish(ctx context.Context, n *node) error {
	if err := r.event(ctx, n); err != nil {
		return err
	}
	if err := r.tellLosses(ctx, n); err != nil {
		return err
	}
	if r.mine.Same {
		// Its queue goes on: whoever has a partition of it finishes what was planned.
	} else if err := n.carry(ctx, r.problem); err != nil {
		r.c.log().WarnContext(ctx, "what the old node left unfinished is not finished yet: whoever seals next goes on with it", "err", err)
	}
	if err := r.c.takeErased(ctx, n); err != nil {
		r.c.complain(fmt.Errorf("some of what was erased by order lies in the mirror yet, and so here: %w", err))
	}
	if err := os.Remove(n.path(fileRestore)); err != nil {
		return err
	}
	return syncPath(n.dir)
}

func syncPath(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// event writes the custody line, once for each restore.
func (r *restoring) event(ctx context.Context, n *node) error {
	there := false
	err := n.outbox.Lines(n.set.Unfiled, func(line []byte, _ holdfast.Head) error {
		there = there || bytes.Contains(line, []byte(`"restore":"`+r.mine.ID+`"`))
		return nil
	})
	if err != nil || there {
		return err
	}
	keys, copies := "lost", "newest-known"
	if r.keys != nil {
		keys = "kept"
	}
	if r.o.old {
		copies = "all-old"
	}
	x, err := canon.Marshal(struct {
		Copies  string         `json:"copies"`
		Keys    string         `json:"keys"`
		Log     *holdfast.Tree `json:"log,omitempty"`
		Mirror  string         `json:"mirror"`
		Node    string         `json:"node"`
		Restore string         `json:"restore"`
		Taken   holdfast.Time  `json:"taken"`
	}{copies, keys, r.mark.Log, r.mark.ID, r.mark.Node, r.mine.ID, r.mark.Begun})
	if err != nil {
		return err
	}
	_, err = n.outbox.Append(ctx, pipeline.Entry{Case: n.set.Unfiled, Action: "restored", Agent: n.set.Agent, X: x,
		Why: "the node was made again from its mirror"})
	return err
}

func (r *restoring) say(ctx context.Context, n *node, took time.Duration) error {
	fp, err := n.fingerprint()
	if err != nil {
		return err
	}
	rules, err := n.alerts(ctx)
	if err != nil {
		return err
	}
	waited := ""
	if len(rules) > 0 {
		waited = fmt.Sprintf("\nalerts    %d rules; what waited to be told is in no mirror and is not told, and the files of secrets that they name must be here: `holdfast alert list`", len(rules))
	}
	if _, err := r.nodeFile(ctx, fileAlerts); err == nil && r.signed == nil {
		waited = "\nalerts    not taken, since nobody has checked the mirror (--node): add them again"
	}
	state := "continued"
	if r.mine.NewLog {
		state = "begun"
	}
	files, bytes := r.copy.Copied()
	r.c.say(map[string]any{"event": "restored", "node": n.set.Name, "from": r.mark.Node, "taken": r.mark.Begun, "data": r.c.data, "log": state, "reason": r.mine.Why,
		"fingerprint": fp, "objects": files, "bytes": bytes, "seconds": took.Seconds(), "tasks": r.mine.Tasks, "alerts": len(rules), "checked": r.signed != nil, "lost": r.mine.Lost, "open": r.mine.Open, "same_queue": r.mine.Same, "problems": r.bad},
		"restored  node %s in %s, of %s as it was at %s\nlog       %s%s\nfiles     %d, %d bytes in %.1f s\ntasks     %d\nlost      %s\nerased    what was ordered erased after that time is here again, and the order is not known: carry it out again%s\nfingerprint %s",
		n.set.Name, messages.Visible(r.c.data), r.mark.Node, r.mark.Begun, state, because(r.mine.Why), files, bytes, took.Seconds(), r.mine.Tasks, r.lostText(), waited, fp)
	if r.bad > 0 {
		return fmt.Errorf("restored, but %d things in the mirror are damaged or missing; they are on stderr", r.bad)
	}
	return nil
}

// lostText says what is lost, as far as it can be known.
func (r *restoring) lostText() string {
	if r.mine.Same {
		return "nothing that was accepted: the queue is the one that the node had; custody lines that it had not published yet, and what lay in its directory and is in no mirror"
	}
	text := fmt.Sprintf("at least %d captures that the old node had accepted and that are in no Seal of the mirror, and all that came after it", r.mine.Lost)
	if r.wasShared {
		text += fmt.Sprintf("; the queue that it shared had %d messages, captures and Events of all its nodes, that are in no Seal of the mirror", r.mine.Open)
	}
	return text
}

func because(why string) string {
	if why == "" {
		return ""
	}
	return ": " + why
}
