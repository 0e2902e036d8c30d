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
	"holdfast/authorities"
	"holdfast/cmd/internal/nodedir"
	"holdfast/filelock"
	"holdfast/keyring"
	"holdfast/preserve"
	"holdfast/vault"
	"holdfast/wholefile"
)

func (c *cli) initCmd() *cobra.Command {
	var o initOptions
	var newLog, newQueue bool
	cmd := command("init", "Make a node: its keys, its log, its store", "holdfast init --data /srv/holdfast --label office-7", cobra.NoArgs,
		func(cmd *cobra.Command, _ []string) error {
			if err := o.checkAgent(); err != nil {
				return err
			}
			who := func(a holdfast.Agent) holdfast.Agent { return o.agentOf(cmd, a) }
			if err := beginsOnly(cmd, newLog || newQueue); err != nil {
				return err
			}
			if newQueue {
				if err := c.beginQueue(cmd.Context(), who); err != nil {
					return err
				}
			}
			if newLog {
				if err := c.beginLog(cmd.Context(), who); err != nil {
					return err
				}
			}
			n, err := c.initNode(cmd.Context(), o)
			if err != nil {
				return err
			}
			defer n.Close()
			c.sayLoss(n.loss)
			if err := n.setAgent(cmd.Context(), o.agentOf(cmd, n.set.Agent)); err != nil {
				return err
			}
			if o.encrypt && !n.vault.Encrypts() {
				return errors.New("init --encrypt-keys: the node is there already, with keys in clear: `holdfast key encrypt` encrypts them")
			}
			fp, err := n.fingerprint()
			if err != nil {
				return err
			}
			c.say(map[string]any{"node": n.set.Name, "data": c.data, "fingerprint": fp, "training": n.set.Training, "agent": n.set.Agent},
				"node %s in %s\nfingerprint %s\nGive the fingerprint to those who will verify, by another way than the bundles.", n.set.Name, c.data, fp)
			return nil
		})
	cmd.Long = "Makes the directory --data into a node. A node that is there already is left as it is,\nbut for --agent, --role and --office: from then on they stand in every Manifest, line\nof custody and bundle, and in what was made before stays who was named then.\n\nexit status: 0 done  1 could not  2 usage"
	cmd.Flags().StringVar(&o.label, "label", "node", "beginning of the node's name: 1 to 40 of a-z, 0-9 and -")
	cmd.Flags().BoolVar(&o.training, "training", false, "a rehearsal: everything is marked TRAINING")
	cmd.Flags().BoolVar(&newLog, "new-log", false, "the log was lost or is an old copy: begin another, under a new name, that names the old one's last state")
	cmd.Flags().BoolVar(&newQueue, "new-queue", false, "queue.db was lost and there is no copy: begin another, and say what is lost; of a shared queue: its database was lost, bind an empty one to its topics")
	cmd.Flags().BoolVar(&o.encrypt, "encrypt-keys", false, "encrypt the private keys on the disk with a passphrase, from HOLDFAST_PASSPHRASE_FILE, HOLDFAST_PASSPHRASE or the terminal")
	cmd.Flags().StringVar(&o.join, "join", "", "the id of the store that --store names, where another node has made it: this one works beside it")
	cmd.Flags().StringVar(&o.agent.Pseudonym, "agent", "", "who works here: a pseudonym, since it stands in every bundle")
	cmd.Flags().StringVar(&o.agent.Role, "role", "", "in which role: analyst, investigator, …")
	cmd.Flags().StringVar(&o.agent.Office, "office", "", "for which office")
	cmd.Flags().StringVar(&o.key, "key", "", "sigstore KMS URI of the seal key (awskms://, gcpkms://, hashivault://, …); default: a key file")
	return cmd
}

// beginsOnly refuses, before anything is changed, what --new-log and --new-queue
// would leave undone: they are for a node that is there.
func beginsOnly(cmd *cobra.Command, begins bool) error {
	for _, name := range []string{"label", "training", "key", "encrypt-keys"} {
		if begins && cmd.Flags().Changed(name) {
			return usageError("--new-log and --new-queue are for a node that is there, --%s is for a new one; `holdfast key encrypt` and `holdfast key rotate` change the keys of one that is there", name)
		}
	}
	return nil
}

type initOptions struct {
	label, key string
	training   bool
	encrypt    bool
	join       string // the id of the store that others have made
	agent      holdfast.Agent
}

// initNode makes the node if there is none, and opens it.
func (c *cli) initNode(ctx context.Context, o initOptions) (*node, error) {
	set, err := nodedir.Read(c.data)
	if err == nil {
		err = set.URLs().Same(c.asked)
	}
	if errors.Is(err, nodedir.ErrNoNode) {
		err = c.makeNode(ctx, o)
	}
	if err != nil {
		return nil, err
	}
	return c.open(ctx)
}

// makeNode writes node.json last: a crash before that leaves keys without a
// node. Nothing was signed with them, and the next init takes them up if they
// are what it would make itself.
func (c *cli) makeNode(ctx context.Context, o initOptions) error {
	if err := c.notHalfRestored(); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Join(c.data, "keys"), 0o700); err != nil {
		return fmt.Errorf("make %s: %w", c.data, err)
	}
	unlock, err := filelock.Wait(ctx, filepath.Join(c.data, "init.lock"))
	if err != nil {
		return err
	}
	defer unlock()
	if _, err := nodedir.Read(c.data); err == nil {
		return nil // another process was first
	}
	if err := c.noNodeLost(); err != nil {
		return err
	}
	if !o.encrypt && c.vault().Encrypts() {
		return &keyring.LeftoverError{File: vault.Identity, What: "its keys are encrypted (--encrypt-keys)"}
	}
	if o.encrypt {
		pass, err := c.passphrases().Chosen()
		if err != nil {
			return fmt.Errorf("init --encrypt-keys: %w", err)
		}
		if err := c.vault().Begin(pass); err != nil {
			return err
		}
	}
	s, err := c.drawNode(ctx, o)
	if err != nil {
		return err
	}
	if err := c.makeParts(ctx, s, o.join); err != nil {
		return err
	}
	return s.Write(c.data)
}

// makeParts makes what is always there once node.json is, so that a loss is
// noticed.
func (c *cli) makeParts(ctx context.Context, s *nodedir.Settings, join string) error {
	n := &node{dir: c.data, set: s, log: c.log()}
	if err := n.makeEngines(ctx, c.asked, join); err != nil {
		return err
	}
	name := filepath.Join(c.data, nodedir.FileAuthorities)
	if _, err := os.Lstat(name); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return wholefile.WriteJSON(name, []authorities.Entry{}) // empty: the public defaults
}

// noNodeLost refuses a directory that a node has worked in and whose node.json
// is gone: its keys may have signed, and a second node must not begin with them.
func (c *cli) noNodeLost() error {
	for _, name := range []string{"outbox", "store", "log", "own"} {
		if _, err := os.Lstat(filepath.Join(c.data, name)); !errors.Is(err, fs.ErrNotExist) {
			return errors.Join(fmt.Errorf("%s holds %s of a node and no %s: put it back (a mirror has it, as DIR/node/%s), or `holdfast restore` the node; a new node is made in an empty directory", c.data, name, nodedir.FileSettings, nodedir.FileSettings), err)
		}
	}
	return nil
}

func (c *cli) drawNode(ctx context.Context, o initOptions) (*nodedir.Settings, error) {
	s := &nodedir.Settings{Version: 1, Training: o.training, Created: holdfast.At(time.Now()), Key: o.key, Quorum: preserve.DefaultQuorum, Unfiled: holdfast.NewID(), LogKey: nodedir.FileLogKey}
	label := o.label
	if o.training {
		label = "training-" + label
	}
	if err := s.DrawLogKey(c.vault(), label); err != nil {
		return nil, err
	}
	if _, err := os.Lstat(filepath.Join(c.data, filepath.FromSlash(nodedir.FileSealKey))); err == nil && o.key != "" {
		return nil, &keyring.LeftoverError{File: nodedir.FileSealKey, What: "it is a key file, and --key names a KMS"}
	}
	k, err := keyring.Make(ctx, c.vault(), nodedir.FileSealKey, o.key, o.training)
	k.Made = s.Created
	s.Keys = []keyring.Key{k}
	return s, err
}
