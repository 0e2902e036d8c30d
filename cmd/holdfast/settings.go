package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"holdfast"
	"holdfast/authorities"
	"holdfast/cmd/internal/engineset"
	"holdfast/keyring"
	"holdfast/mirror"
	"holdfast/preserve"
	"holdfast/wholefile"
)

// Files of a node's directory; docs/DESIGN.md says what each is for.
const (
	fileSettings    = "node.json"
	filePolicy      = mirror.FilePolicy
	fileAuthorities = authorities.FileName
	fileSealKey     = "keys/seal.pem"
	fileLogKey      = "keys/log.key"
	fileNoPrune     = "prune.lock"

	maxNodeFile = 4 << 20 // bytes of node.json and its like
)

// errNoNode is wrapped by the error for a directory that holds no node.
var errNoNode = errors.New("no node here")

// settings is DIR/node.json: what init drew and what a person may change with
// an editor. It is no evidence; its digest is stated in every Manifest.
type settings struct {
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
	Open *openWork `json:"open,omitempty"`
	// Quorum is how many operators must timestamp a Seal. Default (0) 2: with
	// one authority and no other number here, a Seal stays signed.
	Quorum int `json:"quorum"`
	// Unfiled is the home Case of what no Case was named for. Drawn by init.
	Unfiled holdfast.ID `json:"unfiled"`
	// Browser is the path of a Chromium. Default: HOLDFAST_BROWSER, or the one
	// that the system has.
	Browser string `json:"browser,omitempty"`
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

func readSettings(dir string) (*settings, error) {
	b, err := wholefile.Read(filepath.Join(dir, fileSettings), maxNodeFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("open %s: %w: `holdfast init` makes one, --data DIR or HOLDFAST_DATA names another directory", dir, errNoNode)
	}
	if err != nil {
		return nil, err
	}
	return parseSettings(b)
}

func parseSettings(b []byte) (*settings, error) {
	s := new(settings)
	err := wholefile.DecodeJSON(fileSettings, b, s)
	if err == nil && s.Version > 1 {
		err = fmt.Errorf("%s has version %d: use a newer holdfast", fileSettings, s.Version)
	}
	if err == nil {
		err = s.checkFiles()
	}
	if err == nil && s.Quorum < 0 {
		err = fmt.Errorf("read %s: quorum is %d: give how many operators must timestamp a Seal, 1 or more", fileSettings, s.Quorum)
	}
	return s, err
}

// quorum is 2 unless another number is configured: never less by omission.
func (s *settings) quorum() int {
	if s.Quorum == 0 {
		return preserve.DefaultQuorum
	}
	return s.Quorum
}

// checkFiles keeps every key file below keys/: retired ones are deleted, and
// node.json may come from a mirror that somebody else has changed.
func (s *settings) checkFiles() error {
	files := []string{s.LogKey}
	for _, k := range s.Keys {
		if k.URI == "" || k.File != "" {
			files = append(files, k.File)
		}
	}
	for _, f := range files {
		if base, ok := strings.CutPrefix(f, "keys/"); f != "" && (!ok || base == "" || base[0] == '.' || strings.ContainsAny(base, "/\\\x00")) {
			return fmt.Errorf("read %s: key file %.100q is not keys/NAME: somebody has changed it; restore it from another copy", fileSettings, f)
		}
	}
	return nil
}

func readJSON(name string, v any) error {
	b, err := wholefile.Read(name, maxNodeFile)
	if err != nil {
		return err
	}
	return wholefile.DecodeJSON(name, b, v)
}

func writeJSON(name string, v any) error {
	b, err := wholefile.EncodeJSON(v)
	if err != nil {
		return err
	}
	return writeFile(name, b)
}

// createJSON is writeJSON where there is no such file yet.
func createJSON(name string, v any) error {
	if _, err := os.Lstat(name); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return writeJSON(name, v)
}

// writeFile replaces a file whole: a crash leaves the old or the new one. Only
// settings are written so; evidence goes through the store, which never
// replaces.
func writeFile(name string, b []byte) error { return wholefile.Replace(name, b, 0o600) }
