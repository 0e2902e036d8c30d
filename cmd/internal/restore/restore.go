package restore

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"log/slog"
	"os"
	"path/filepath"
	"slices"

	"holdfast"
	"holdfast/canon"
	"holdfast/catalog"
	"holdfast/cmd/internal/engineset"
	"holdfast/cmd/internal/mirrors"
	"holdfast/cmd/internal/nodedir"
	"holdfast/filelock"
	"holdfast/mirror"
	"holdfast/storage/s3"
	"holdfast/vault"
	"holdfast/wholefile"
)

// FileName is in a node's directory while a restore into it is not finished.
const FileName = "restore.json"

// Options are what a person asks for.
type Options struct {
	From    string   // the mirror: a directory, or the URL of a bucket
	Keys    string   // file of `holdfast key export`; empty: the keys are lost
	Node    string   // fingerprint of the mirrored node; empty: nothing of the mirror is checked
	Join    string   // the id of the store that others were restored into
	With    []string // mirrors of other nodes of the office, each in the form of [mirrors.URL]
	Old     bool     // newer states of the node existed
	Encrypt bool     // new keys are encrypted, also if the lost ones were not
}

// Host is what a restore works with.
type Host struct {
	Dir     string         // the new node's
	Asked   engineset.URLs // where its engines are to lie, as the person gave them
	Vault   *vault.Vault   // of Dir
	Pass    Passphrases
	Secrets []string // patterns of the files that a key file may have, below Dir
	Log     *slog.Logger

	// Progress is called when the store begins to be copied: told with the bytes so far, and
	// end once.
	Progress func() (told func(bytes int64), end func())
	// Look opens what others have seen of the node, whose node.json is not written yet: set
	// is what it will be. With rebuild the catalog is empty and has to be filled first.
	Look func(ctx context.Context, set *nodedir.Settings, rebuild bool) (Seen, error)
}

// Passphrases asks a person.
type Passphrases interface {
	// Needed is the one that opens something, and Chosen a new one.
	Needed(prompt string) ([]byte, error)
	Chosen() ([]byte, error)
}

// Seen is what others have seen of the node's custody.
type Seen interface {
	Cases(ctx context.Context) iter.Seq2[catalog.Case, error]

	// Line is the line of custody that an Event holds. Where that is nowhere the error wraps
	// [catalog.ErrNotFound] or [fs.ErrNotExist].
	Line(ctx context.Context, event holdfast.ID) ([]byte, error)
	Close()
}

// state is NEW/restore.json: what is being restored, and how.
type state struct {
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

// Restore is one run. It is for one goroutine.
type Restore struct {
	Host
	o      Options
	at     string // where the mirror lies: an absolute path, or the URL of a bucket
	from   mirror.Shelf
	bucket *s3.Store // of from, where it is one
	mark   *mirror.Mark
	mine   *state
	keys   map[string][]byte
	pass   []byte // of new keys; nil: they lie in clear
	set    *nodedir.Settings
	store  engineset.Store
	copy   *mirror.Copier

	engines   engineset.URLs // where the new node's lie, as the person gave them
	back      bool           // the store is the one that the node worked on
	wasShared bool           // its queue was
	short     string         // why the node's chains cannot be continued; empty: they can

	signed *mirror.Statement // what Options.Node has checked; nil: nothing was
	cut    bool              // the statement is older than the mirror's last run
	bad    int
}

// New begins nothing: see [Restore.Read].
func New(h Host, o Options) *Restore { return &Restore{Host: h, o: o} }

// Problem logs and counts what is damaged or missing.
func (r *Restore) Problem(name string, err error) {
	r.Log.Error("restore", "problem", name, "err", err)
	r.bad++
}

// named is a problem that the same command says again.
func (r *Restore) named(name, what string) {
	r.Problem(name, errors.New(what))
	if len(r.mine.Named) < 1000 {
		r.mine.Named = append(r.mine.Named, name+": "+what)
	}
}

// Read takes in what decides, before anything is made: so a wrong directory or
// passphrase leaves nothing behind.
func (r *Restore) Read(ctx context.Context) (err error) {
	if r.at, err = mirrors.URL(r.o.From); err != nil {
		return engineset.Usage("--from: %w", err)
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
	if r.o.Node != "" {
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
	if r.o.Keys == "" {
		return r.protect()
	}
	pass, err := r.Pass.Needed("passphrase of the key file: ")
	if err != nil {
		return fmt.Errorf("read key file %s: %w", r.o.Keys, err)
	}
	r.keys, err = vault.ReadExport(r.o.Keys, pass, r.Secrets...)
	return err
}

// protect asks for the passphrase of new keys, where they are to have one.
func (r *Restore) protect() (err error) {
	if !r.o.Encrypt && !r.mark.Encrypted {
		return nil
	}
	if r.pass, err = r.Pass.Chosen(); err != nil {
		return fmt.Errorf("the keys are lost, and the new ones are encrypted as they were: %w", err)
	}
	return nil
}

// Claim takes the new directory, until unlock. One that holds something else is not touched;
// one that a restore of the same kind has begun is taken up.
func (r *Restore) Claim(ctx context.Context) (unlock func(), err error) {
	dir := r.Dir
	r.mine = new(state)
	err = wholefile.ReadJSON(filepath.Join(dir, FileName), r.mine)
	want := state{Mirror: r.mark.ID, Begun: r.mark.Begun, Keys: r.keys != nil, Old: r.o.Old, Node: r.o.Node, Encrypt: r.pass != nil, Engines: r.engines, With: r.o.With}
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
		if err := wholefile.WriteJSON(filepath.Join(dir, FileName), r.mine); err != nil {
			return nil, err
		}
	}
	if unlock, err = filelock.Try(filepath.Join(dir, "restore.lock")); err == nil && unlock == nil {
		err = errors.New("another restore is at work there")
	}
	return unlock, err
}

// Warnings are what a person has to hear before the node is made.
func (r *Restore) Warnings() (lines []string) {
	age := "it is of " + r.mark.Begun.String()
	if r.mark.Whole == nil {
		age = "its last run, of " + r.mark.Begun.String() + ", was cut short"
	}
	if r.signed == nil {
		lines = append(lines, "whom the new node asks and trusts was NOT CHECKED: whoever could write to the mirror may have chosen it. Give --node FINGERPRINT, or compare `authority list`, `egress list` and `policy show` with what the office has on paper before anything is sealed.")
	}
	if r.keys != nil && !r.o.Old {
		return append(lines, fmt.Sprintf("this goes on with the log of %s from this mirror; %s.", r.mark.Node, age),
			"If a newer copy of the node existed anywhere, stop, and restore into another directory with --all-copies-old.")
	}
	lines = append(lines, fmt.Sprintf("a new log begins, under a new name; %s.", age))
	if r.keys == nil && r.pass == nil {
		lines = append(lines, "the new keys lie in clear on this disk: `holdfast key encrypt` encrypts them.")
	}
	return lines
}

// Unfinished is nil, or says that a restore into dir is not finished: no other command opens
// such a directory.
func Unfinished(dir string) error {
	var m state
	err := wholefile.ReadJSON(filepath.Join(dir, FileName), &m)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return errors.Join(fmt.Errorf("open %s: a restore into it is not finished: give the same `holdfast restore` again", dir), err)
}

// ID is of this restore, and the same for each run of it.
func (r *Restore) ID() string { return r.mine.ID }

// Told is what the line of custody says that the new node writes of it, in JCS.
func (r *Restore) Told() ([]byte, error) {
	keys, copies := "lost", "newest-known"
	if r.keys != nil {
		keys = "kept"
	}
	if r.o.Old {
		copies = "all-old"
	}
	return canon.Marshal(struct {
		Copies  string         `json:"copies"`
		Keys    string         `json:"keys"`
		Log     *holdfast.Tree `json:"log,omitempty"`
		Mirror  string         `json:"mirror"`
		Node    string         `json:"node"`
		Restore string         `json:"restore"`
		Taken   holdfast.Time  `json:"taken"`
	}{copies, keys, r.mark.Log, r.mark.ID, r.mark.Node, r.mine.ID, r.mark.Begun})
}

// Done is what was made of a mirror.
type Done struct {
	From         string        // the name of the mirrored node
	Taken        holdfast.Time // when the mirror's state was
	NewLog       bool          // a new log begins, under a new name
	Why          string        // a new log begins; empty where none does
	Files, Bytes int64         // that were copied
	Tasks        int           // that were taken over
	Checked      bool          // the mirror was, by what the old node has signed
	AlertsLeft   bool          // rules of alerts were not taken, since nobody has checked them
	SameQueue    bool          // the queue is the one that the node had
	SharedQueue  bool          // the old one was
	Lost         int64         // captures that were accepted and are in no Seal, at least
	Open         int64         // messages of a shared queue that no Seal of the mirror has
	Rebuild      bool          // the catalog is a new one, and empty
	Problems     int           // things that are damaged or missing; each was logged
}

// Done is what was made so far: all of it once [Restore.Files] has returned.
func (r *Restore) Done(ctx context.Context) Done {
	d := Done{From: r.mark.Node, Taken: r.mark.Begun, NewLog: r.mine.NewLog, Why: r.mine.Why, Tasks: r.mine.Tasks, Checked: r.signed != nil,
		SameQueue: r.mine.Same, SharedQueue: r.wasShared, Lost: r.mine.Lost, Open: r.mine.Open, Rebuild: r.mine.Rebuild, Problems: r.bad}
	d.Files, d.Bytes = r.copy.Copied()
	if _, err := r.nodeFile(ctx, nodedir.FileAlerts); err == nil && r.signed == nil {
		d.AlertsLeft = true
	}
	return d
}

// Finish lets other commands into the directory: the node is whole.
func (r *Restore) Finish() error {
	if err := os.Remove(r.path(FileName)); err != nil {
		return err
	}
	return wholefile.SyncDir(r.Dir)
}

// Close closes the mirror.
func (r *Restore) Close() {
	if r.bucket != nil {
		r.bucket.Close()
	}
}
