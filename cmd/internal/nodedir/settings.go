// Package nodedir is what a node's directory says of itself: node.json, which init draws
// and a person may edit, and what follows from it alone: which keys the node has, under
// which names it was known, what a change has left to do, and where its engines lie. Beside
// it holdfast.yaml, what a person sets for the collectors.
//
// None of it is evidence, and node.json is not secret: its Digest is stated in every Manifest.
// Read and Parse bound the file at [wholefile.MaxJSON] bytes and refuse what a newer
// holdfast wrote, and a key file outside keys/: node.json may come out of a mirror that
// somebody else has changed. A Settings is a value of its reader: it is not safe for
// concurrent use, and another process may have changed the file since. [Change] takes it up
// anew under the lock that all who change it take.
package nodedir

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"holdfast"
	"holdfast/alert/rules"
	"holdfast/authorities"
	"holdfast/cmd/internal/engineset"
	"holdfast/filelock"
	"holdfast/hashing"
	"holdfast/keyring"
	"holdfast/mirror"
	"holdfast/pipeline"
	"holdfast/preserve"
	"holdfast/vault"
	"holdfast/wholefile"
)

// Files of a node's directory; docs/DESIGN.md says what each is for.
const (
	FileSettings    = "node.json"
	FilePolicy      = mirror.FilePolicy
	FileAuthorities = authorities.FileName
	FileSealKey     = "keys/seal.pem" // of the first seal key that is a file
	FileLogKey      = "keys/log.key"  // of the first log
	FileEgresses    = "egresses.json"
	FileConfig      = "holdfast.yaml" // what a person writes for the collectors
	FileWatches     = "watches.json"
	FileAlerts      = rules.FileName
	FileColleagues  = "colleagues.json" // the Policy's entries of the office's other nodes
	FileNoPrune     = "prune.lock"      // held while a catalog is made again
	// FileCarry is in a restored node, or one with a new queue, until the Seals that
	// were planned and not logged are finished. Their queue is gone, so nobody else
	// would: who could not finish them leaves them to whoever seals next.
	FileCarry = "carry.todo"

	MaxWatches = 16 << 20 // bytes of FileWatches

	DefaultPages = 2 // captured at once
	MaxPages     = 16
)

// Most is how large a small file of a node may be, in bytes.
func Most(name string) int64 {
	switch name {
	case FileWatches:
		return MaxWatches
	case FileAlerts:
		return rules.MaxFile
	}
	return wholefile.MaxJSON
}

// ErrNoNode is wrapped by the error for a directory that holds no node.
var ErrNoNode = errors.New("no node here")

// Settings is DIR/node.json: what init drew and what a person may change with
// an editor. It is no evidence; its digest is stated in every Manifest.
type Settings struct {
	// Version of this file.
	Version int `json:"version"`
	// Name of the node and origin of its log. Drawn by init.
	Name string `json:"name"`
	// VKey verifies the log's checkpoints. Drawn by init.
	VKey string `json:"vkey"`
	// LogKey is the file of the log's secret key.
	LogKey string `json:"log_key"`
	// Former are the logs that this one follows, oldest first, and Previous the
	// last state of the newest of them. Written by `init --new-log`.
	Former   []mirror.FormerLog `json:"former,omitempty"`
	Previous *holdfast.Tree     `json:"previous,omitempty"`
	// Training marks everything that the node makes as a rehearsal.
	Training bool `json:"training"`
	// Created is when init made the node, and from when its first key is good.
	Created holdfast.Time `json:"created"`
	// Agent is who works here; empty members are "not recorded".
	Agent holdfast.Agent `json:"agent"`
	// Key is a sigstore KMS URI for the seal key; empty is keys/seal.pem. It
	// counts where Keys is empty.
	Key string `json:"key,omitempty"`
	// Keys are the seal keys, oldest first; the last one signs. Written by init
	// and by `key rotate`.
	Keys []keyring.Key `json:"keys,omitempty"`
	// KeysOpen is what a change of keys has still to do, for whoever opens the
	// node next.
	KeysOpen *keyring.Left `json:"keys_open,omitempty"`
	// Open is what a new log or a new queue has still to do, for whoever opens the
	// node next.
	Open *OpenWork `json:"open,omitempty"`
	// Quorum is how many operators must timestamp a Seal. Default (0) 2: with
	// one authority and no other number here, a Seal stays signed.
	Quorum int `json:"quorum"`
	// Unfiled is the home Case of what no Case was named for. Drawn by init.
	Unfiled holdfast.ID `json:"unfiled"`
	// Browser is the path of a Chromium. Default: HOLDFAST_BROWSER, or the one
	// that the system has.
	Browser string `json:"browser,omitempty"`
	// Pages are captured so many at once, 1 to MaxPages. Default (0): DefaultPages, by
	// which two cores are busy; each takes about half a gigabyte of memory.
	Pages int `json:"pages,omitempty"`
	// Ytdlp is the path of a yt-dlp, which is run for captures that ask for it
	// (`capture --films-with yt-dlp`) and for no others. Default: HOLDFAST_YTDLP, or
	// none; it is not looked for.
	Ytdlp string `json:"yt_dlp,omitempty"`
	// Via is the egress that captures go through when neither --via nor the Case
	// says which: a name of `holdfast egress list`. Default: the direct line.
	Via string `json:"via,omitempty"`
	// Engines are where queue, store and catalog lie, if not in the data directory.
	// Written by init.
	Engines *engineset.URLs `json:"engines,omitempty"`
	// NeverKeep is a file of digests; what matches one is never kept, besides
	// what `capture --never-keep` names. Its absolute path.
	NeverKeep string `json:"never_keep,omitempty"`
}

// Read reads node.json of dir. Where there is none the error wraps [ErrNoNode] and says
// what to do.
func Read(dir string) (*Settings, error) {
	b, err := wholefile.Read(filepath.Join(dir, FileSettings), wholefile.MaxJSON)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("open %s: %w: `holdfast init` makes one, --data DIR or HOLDFAST_DATA names another directory", dir, ErrNoNode)
	}
	if err != nil {
		return nil, err
	}
	return Parse(b)
}

// Parse reads the bytes of a node.json, wherever they come from.
func Parse(b []byte) (*Settings, error) {
	s := new(Settings)
	err := wholefile.DecodeJSON(FileSettings, b, s)
	if err == nil && s.Version > 1 {
		err = fmt.Errorf("%s has version %d: use a newer holdfast", FileSettings, s.Version)
	}
	if err == nil {
		err = s.checkFiles()
	}
	if err == nil && s.Quorum < 0 {
		err = fmt.Errorf("read %s: quorum is %d: give how many operators must timestamp a Seal, 1 or more", FileSettings, s.Quorum)
	}
	if err == nil && (s.Pages < 0 || s.Pages > MaxPages) {
		err = fmt.Errorf("read %s: pages is %d: give how many are captured at once, 1 to %d", FileSettings, s.Pages, MaxPages)
	}
	return s, err
}

// AtOnce is how many pages are captured at once.
func (s *Settings) AtOnce() int { return cmp.Or(s.Pages, DefaultPages) }

// Operators is how many operators must timestamp a Seal: 2 unless another number is
// configured, never less by omission.
func (s *Settings) Operators() int {
	if s.Quorum == 0 {
		return preserve.DefaultQuorum
	}
	return s.Quorum
}

// checkFiles keeps every key file below keys/: retired ones are deleted, and
// node.json may come from a mirror that somebody else has changed.
func (s *Settings) checkFiles() error {
	files := []string{s.LogKey}
	for _, k := range s.Keys {
		if k.URI == "" || k.File != "" {
			files = append(files, k.File)
		}
	}
	for _, f := range files {
		if base, ok := strings.CutPrefix(f, "keys/"); f != "" && (!ok || base == "" || base[0] == '.' || strings.ContainsAny(base, "/\\\x00")) {
			return fmt.Errorf("read %s: key file %.100q is not keys/NAME: somebody has changed it; restore it from another copy", FileSettings, f)
		}
	}
	return nil
}

// Change changes node.json of dir under a lock, from what it holds now. A crash leaves the
// old one or the new one. It waits for the lock until ctx ends.
func Change(ctx context.Context, dir string, edit func(*Settings) error) error {
	unlock, err := filelock.Wait(ctx, filepath.Join(dir, "init.lock"))
	if err != nil {
		return err
	}
	defer unlock()
	s, err := Read(dir)
	if err != nil {
		return err
	}
	if err := edit(s); err != nil {
		return err
	}
	return s.Write(dir)
}

// Write replaces node.json of dir whole; it is the last file that a new node gets.
func (s *Settings) Write(dir string) error {
	return wholefile.WriteJSON(filepath.Join(dir, FileSettings), s)
}

// OpenWork is what a new log or a new queue has still to do. It is written to
// node.json with the change, or before it, and dropped once it is done.
type OpenWork struct {
	Log   bool `json:"log,omitempty"`   // chains under the new name, and the line of it
	Queue bool `json:"queue,omitempty"` // the lines of what was lost
	Older bool `json:"older,omitempty"` // the same, of an older copy of the queue that was put back
	Tasks bool `json:"tasks,omitempty"` // the line that the database of a shared queue was lost
}

// Leave is the work that is left, to add to.
func (s *Settings) Leave() *OpenWork {
	if s.Open == nil {
		s.Open = new(OpenWork)
	}
	return s.Open
}

// FirstName is what init called the node; its own authority keeps that name.
func (s *Settings) FirstName() string {
	if len(s.Former) > 0 {
		return s.Former[0].Name
	}
	return s.Name
}

// KeyList is what package keyring keeps in node.json. Settings of before there was a
// list name one key.
func (s *Settings) KeyList() keyring.List {
	l := keyring.List{Keys: s.Keys, First: keyring.Key{URI: s.Key, Made: s.Created}, Left: s.KeysOpen}
	if s.Key == "" {
		l.First.File = FileSealKey
	}
	for i := range s.Former {
		for j := range s.Former[i].Keys {
			l.Lost = append(l.Lost, &s.Former[i].Keys[j])
		}
	}
	return l
}

// URLs are where the node's queue, store and catalog lie; none are in its directory.
func (s *Settings) URLs() engineset.URLs {
	if s.Engines == nil {
		return engineset.URLs{}
	}
	return *s.Engines
}

// SharedQueue reports whether other nodes have partitions of the queue, so that what waits in
// it is theirs to normalise, to seal and to index.
func (s *Settings) SharedQueue() bool { return engineset.KindOf(s.URLs().Queue) == engineset.KindKafka }

// SharedCatalog reports whether the catalog knows Cases that other nodes have opened.
func (s *Settings) SharedCatalog() bool {
	return engineset.KindOf(s.URLs().Catalog) == engineset.KindPostgres
}

// EngineSet is the engines of the node in dir, none of them open.
func (s *Settings) EngineSet(dir string, log *slog.Logger) *engineset.Set {
	return &engineset.Set{URLs: s.URLs(), Dir: dir, Owner: s.Unfiled, Log: log, Rebuilding: func(ctx context.Context) error { return AfterRebuild(ctx, dir) }}
}

// AfterRebuild waits for a rebuild that is at work in dir: until it ends the catalog
// refuses every question. One that was killed is waited for by nobody.
func AfterRebuild(ctx context.Context, dir string) error {
	unlock, err := filelock.Wait(ctx, filepath.Join(dir, FileNoPrune))
	if err == nil {
		unlock()
	}
	return err
}

// Mirrored is what a mirror is held against.
func (s *Settings) Mirrored() mirror.Node {
	return mirror.Node{Name: s.Name, Unfiled: s.Unfiled, Former: s.Former}
}

// DrawLogKey draws the log's secret key into s.LogKey, and with it the node's name; it takes
// up one that an interrupted init has left, of that label. A label that no log can have is
// an [engineset.UsageError]; nothing of node.json is written.
func (s *Settings) DrawLogKey(v *vault.Vault, label string) error {
	name, skey, vkey, err := preserve.NewLogKey(label)
	if err != nil {
		return engineset.Usage("--label: %w", err)
	}
	err = v.Create(s.LogKey, preserve.LogKeyText(skey))
	if errors.Is(err, fs.ErrExist) {
		var text []byte
		if text, err = keyring.Leftover(v, s.LogKey); err == nil {
			if vkey, err = preserve.LogVKey(preserve.ParseLogKey(text)); err == nil {
				name, _, err = holdfast.VKeyEd25519(vkey)
			}
		}
		if was, _, _ := strings.Cut(name, "."); err == nil && was != label {
			err = &keyring.LeftoverError{File: s.LogKey, What: "it is for a node " + was}
		}
	}
	s.Name, s.VKey = name, vkey
	return err
}

// Facts are what every Manifest says of the node: the program sw, and the
// configuration by the Digest of node.json in dir.
func (s *Settings) Facts(dir string, sw holdfast.Software) (pipeline.Facts, error) {
	conf, err := os.ReadFile(filepath.Join(dir, FileSettings))
	if err != nil {
		return pipeline.Facts{}, fmt.Errorf("read settings: %w", err)
	}
	return pipeline.Facts{Node: s.Name, Training: s.Training, Software: sw, Config: hashing.Of(conf), Clock: holdfast.Clock{Source: "node"}}, nil
}
