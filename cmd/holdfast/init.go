package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"holdfast"
	catalogdb "holdfast/catalog/sqlite"
	"holdfast/preserve"
)

func (c *cli) initCmd() *cobra.Command {
	var o initOptions
	var newLog bool
	cmd := command("init", "Make a node: its keys, its log, its store", "holdfast init --data /srv/holdfast --label office-7", cobra.NoArgs,
		func(cmd *cobra.Command, _ []string) error {
			if newLog {
				if _, err := c.beginLog(cmd.Context()); err != nil {
					return err
				}
			}
			n, err := c.initNode(cmd.Context(), o)
			if err != nil {
				return err
			}
			defer n.Close()
			if newLog {
				if err := n.beginChains(cmd.Context()); err != nil {
					return err
				}
			}
			fp, err := n.fingerprint()
			if err != nil {
				return err
			}
			c.say(map[string]any{"node": n.set.Name, "data": c.data, "fingerprint": fp, "training": n.set.Training},
				"node %s in %s\nfingerprint %s\nGive the fingerprint to those who will verify, by another way than the bundles.", n.set.Name, c.data, fp)
			return nil
		})
	cmd.Long = "Makes the directory --data into a node. A node that is there already is left as it is.\n\nexit status: 0 done  1 could not  2 usage"
	cmd.Flags().StringVar(&o.label, "label", "node", "beginning of the node's name: 1 to 40 of a-z, 0-9 and -")
	cmd.Flags().BoolVar(&o.training, "training", false, "a rehearsal: everything is marked TRAINING")
	cmd.Flags().BoolVar(&newLog, "new-log", false, "the log was lost or is an old copy: begin another, under a new name, that names the old one's last state")
	cmd.Flags().StringVar(&o.key, "key", "", "sigstore KMS URI of the seal key (awskms://, gcpkms://, hashivault://, …); default: a key file")
	return cmd
}

type initOptions struct {
	label, key string
	training   bool
}

// initNode makes the node if there is none, and opens it. node.json is written
// last: a crash before that leaves keys without a node, which the next init
// takes up; nothing was sealed with them.
func (c *cli) initNode(ctx context.Context, o initOptions) (*node, error) {
	if _, err := readSettings(c.data); err == nil {
		return c.open(ctx)
	} else if !errors.Is(err, errNoNode) {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Join(c.data, "keys"), 0o700); err != nil {
		return nil, fmt.Errorf("make %s: %w", c.data, err)
	}
	unlock, err := lockFile(ctx, filepath.Join(c.data, "init.lock"))
	if err != nil {
		return nil, err
	}
	defer unlock()
	if _, err := readSettings(c.data); err == nil {
		return c.open(ctx) // another process was first
	}
	s, err := c.drawNode(o)
	if err != nil {
		return nil, err
	}
	cat, err := catalogdb.Create(ctx, filepath.Join(c.data, "catalog.db"), catalogdb.Options{})
	if err != nil {
		return nil, err
	}
	if err := cat.Close(); err != nil {
		return nil, err
	}
	if err := writeJSON(filepath.Join(c.data, fileSettings), s); err != nil {
		return nil, err
	}
	return c.open(ctx)
}

func (c *cli) drawNode(o initOptions) (*settings, error) {
	s := &settings{Version: 1, Training: o.training, Created: holdfast.At(time.Now()), Key: o.key, Quorum: 2, Unfiled: holdfast.NewID(), LogKey: fileLogKey}
	label := o.label
	if o.training {
		label = "training-" + label
	}
	if err := s.drawLogKey(filepath.Join(c.data, fileLogKey), label); err != nil {
		return nil, err
	}
	if o.key == "" {
		if err := preserve.CreateKey(filepath.Join(c.data, fileSealKey), o.training); err != nil && !errors.Is(err, fs.ErrExist) {
			return nil, err
		}
	}
	return s, nil
}

// drawLogKey takes up a key that an interrupted init has left.
func (s *settings) drawLogKey(path, label string) error {
	name, skey, vkey, err := preserve.NewLogKey(label)
	if err != nil {
		return usageError("--label: %w", err)
	}
	err = preserve.CreateLogKey(path, skey)
	if errors.Is(err, fs.ErrExist) {
		if skey, err = preserve.OpenLogKey(path); err == nil {
			if vkey, err = preserve.LogVKey(skey); err == nil {
				name, _, err = holdfast.VKeyEd25519(vkey)
			}
		}
	}
	s.Name, s.VKey = name, vkey
	return err
}
