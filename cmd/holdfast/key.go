package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/spf13/cobra"

	"holdfast"
	"holdfast/authorities"
	"holdfast/cmd/internal/nodedir"
	"holdfast/filelock"
	"holdfast/hashing"
	"holdfast/keyring"
)

func (c *cli) keyCmd() *cobra.Command {
	return group("key", "The node's private keys: show, change, encrypt, keep a copy", "holdfast key show",
		c.keyShowCmd(), c.keyRotateCmd(), c.keyCompromisedCmd(), c.keyExportCmd(), c.keyEncryptCmd(), c.keyDecryptCmd())
}

// withNode opens the node for a command of no arguments.
func (c *cli) withNode(do func(ctx context.Context, n *node) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, _ []string) error {
		n, err := c.open(cmd.Context())
		if err != nil {
			return err
		}
		defer n.Close()
		return do(cmd.Context(), n)
	}
}

func (c *cli) keyShowCmd() *cobra.Command {
	return command("show", "Show each key: what for, from when until when, where; never the secret", "holdfast key show --json", cobra.NoArgs,
		c.withNode(func(_ context.Context, n *node) error {
			for _, k := range n.keys.All() {
				if err := c.showKey(n, "seal", k.ID(), k); err != nil {
					return err
				}
			}
			c.showLostKeys(n)
			return c.showOtherKeys(n)
		}))
}

func (c *cli) showKey(n *node, what, id string, k keyring.Key) error {
	encrypted, err := n.encryptedFile(k.File)
	if err != nil {
		return err
	}
	file := k.Place()
	at := "in clear"
	switch {
	case k.URI != "":
		at = "in a KMS"
	case encrypted == nil:
		file, at = "", "its private half is deleted"
	case *encrypted:
		at = "encrypted"
	}
	row := map[string]any{"key": id, "for": what, "state": k.State(), "from": k.From(), "until": k.Until, "file": file, "encrypted": encrypted != nil && *encrypted}
	c.say(row, "%-10s %s\n  %-11s from %s until %s\n  %s  %s", what, id, k.State(), k.From(), until(k.Until), at, file)
	return nil
}

// encryptedFile returns whether a file is encrypted; nil: there is no file.
func (n *node) encryptedFile(name string) (*bool, error) {
	if name == "" {
		return nil, nil
	}
	is, err := n.vault.Encrypted(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return &is, err
}

// showOtherKeys shows the log's key and, once there is one, the own authority's
// by its certificate.
func (c *cli) showOtherKeys(n *node) error {
	_, pub, err := holdfast.VKeyEd25519(n.set.VKey)
	if err != nil {
		return err
	}
	log := keyring.Key{File: n.set.LogKey, Made: holdfast.At(n.set.Created.Add(keyring.ClockMargin))}
	if err := c.showKey(n, "log", hashing.Of(pub).Hex(), log); err != nil {
		return err
	}
	b, err := os.ReadFile(n.path("own/roots.pem"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil // made with the first Seal
	}
	if err != nil {
		return err
	}
	certs, err := authorities.ParseCertificates(b)
	if err != nil {
		return fmt.Errorf("read own/roots.pem: %w", err)
	}
	end := holdfast.At(certs[0].NotAfter)
	own := keyring.Key{File: "own/ca.pem", Made: holdfast.At(certs[0].NotBefore.Add(keyring.ClockMargin)), Until: &end}
	encrypted, err := n.encryptedFile(own.File)
	if err != nil {
		return err
	}
	id := hashing.Of(certs[0].RawSubjectPublicKeyInfo).Hex()
	c.say(map[string]any{"key": id, "for": "own", "state": "active", "from": own.From(), "until": end, "file": own.File, "encrypted": encrypted != nil && *encrypted},
		"%-10s %s\n  %-11s from %s until %s\n  %s  %s", "own", id, "active", own.From(), end, clearOr(encrypted), own.File)
	return nil
}

func clearOr(encrypted *bool) string {
	if encrypted != nil && *encrypted {
		return "encrypted"
	}
	return "in clear"
}

func (c *cli) keyExportCmd() *cobra.Command {
	cmd := command("export FILE", "Write all private keys into one file, encrypted with a passphrase", "holdfast key export office.keys", cobra.ExactArgs(1),
		func(cmd *cobra.Command, args []string) error {
			n, err := c.open(cmd.Context())
			if err != nil {
				return err
			}
			defer n.Close()
			pass, err := c.passphrases().Chosen()
			if err != nil {
				return fmt.Errorf("key export: %w", err)
			}
			count, err := n.vault.Export(args[0], pass, secretFiles()...)
			if err != nil {
				return err
			}
			c.say(map[string]any{"event": "keys-exported", "file": args[0], "keys": count},
				"%s holds %d files, encrypted with the passphrase. Keep it and the passphrase in two places, neither on this machine.", args[0], count)
			return nil
		})
	cmd.Long = "Writes the seal, log and own authority's keys, and credentials, sessions and holdfast.yaml if there are any, as one age file (a tar within; `age -d FILE | tar x` reads it too).\nKeys that are encrypted at rest go in as they lie and need their own passphrase as well.\nA file without passphrase is refused: it comes from HOLDFAST_PASSPHRASE_FILE, HOLDFAST_PASSPHRASE or the terminal."
	return cmd
}

func (c *cli) keyEncryptCmd() *cobra.Command {
	cmd := command("encrypt", "Encrypt the private keys on the disk with a passphrase", "holdfast key encrypt", cobra.NoArgs,
		c.withNode(func(ctx context.Context, n *node) error {
			pass, err := c.passphrases().Chosen()
			if err != nil {
				return fmt.Errorf("key encrypt: %w", err)
			}
			unlock, err := c.waitToSeal(ctx, n)
			if err != nil {
				return err
			}
			defer unlock()
			if err := n.listKeys(ctx); err != nil {
				return err
			}
			if err := n.vault.Begin(pass); err != nil {
				return err
			}
			changed, err := n.vault.Encrypt(keyFiles()...)
			if err != nil {
				return fmt.Errorf("key encrypt: %w", err)
			}
			c.say(map[string]any{"event": "keys-encrypted", "files": changed},
				"%d files are encrypted now. What they held before may still be found on the disk: if it may have been read, `holdfast key rotate`.", changed)
			return nil
		}))
	cmd.Long = "Afterwards whatever seals or exports needs HOLDFAST_PASSPHRASE_FILE or HOLDFAST_PASSPHRASE; what only shows or verifies does not.\nA stop in between leaves keys of both kinds, all usable; call it again.\nFor another passphrase: `key decrypt`, then `key encrypt`."
	return cmd
}

func (c *cli) keyDecryptCmd() *cobra.Command {
	return command("decrypt", "Keep the private keys in clear again", "holdfast key decrypt", cobra.NoArgs,
		c.withNode(func(ctx context.Context, n *node) error {
			unlock, err := c.waitToSeal(ctx, n)
			if err != nil {
				return err
			}
			defer unlock()
			changed, err := n.vault.Decrypt(keyFiles()...)
			if err != nil {
				return fmt.Errorf("key decrypt: %w", err)
			}
			c.say(map[string]any{"event": "keys-decrypted", "files": changed}, "%d files lie in clear now", changed)
			return nil
		}))
}

// listKeys writes the list of keys into settings of before there was one, so
// that the public half is known without opening the private one.
func (n *node) listKeys(ctx context.Context) error {
	return n.changeSettings(ctx, func(s *nodedir.Settings) error { s.Keys = n.keys.All(); return nil })
}

// waitToSeal takes preserve.lock, and says so if it must wait.
func (c *cli) waitToSeal(ctx context.Context, n *node) (unlock func(), err error) {
	if unlock, err = filelock.Try(n.path("preserve.lock")); unlock != nil || err != nil {
		return unlock, err
	}
	fmt.Fprintln(c.errs, "holdfast: waits until the process that seals now has ended")
	return filelock.Wait(ctx, n.path("preserve.lock"))
}

type rotateOptions struct {
	since, uri string
}

func (c *cli) keyRotateCmd() *cobra.Command {
	var o rotateOptions
	cmd := command("rotate [--compromised-since TIME]", "Make a new seal key; the old one signs no more", "holdfast key rotate --compromised-since 2026-03-01T09:00:00Z", cobra.NoArgs,
		c.withNode(func(ctx context.Context, n *node) error { return c.rotate(ctx, n, o) }))
	cmd.Long = `Makes a new seal key, which signs from now on. The node's fingerprint changes: give the new one
to those who verify. The old key stays in the policy until a day after its last Seal is sealed, then
its private half is deleted. What it sealed stays proven.

--compromised-since ends the old key at TIME, at once: what is sealed before stays proven, what is
sealed at or after it is contradicted, whoever sealed it. docs/threats.md has the drill.`
	cmd.Flags().StringVar(&o.since, "compromised-since", "", "since when somebody else may have the key: RFC 3339, as 2026-03-01T09:00:00Z")
	cmd.Flags().StringVar(&o.uri, "key", "", "sigstore KMS URI of the new key; default: a key file")
	return cmd
}

func (c *cli) rotate(ctx context.Context, n *node, o rotateOptions) error {
	unlock, err := c.holdKeys(ctx, n)
	if err != nil {
		return err
	}
	defer unlock()
	since, err := n.sinceWhen("--compromised-since", o.since)
	if err != nil {
		return err
	}
	was := n.keys.Newest()
	k, err := keyring.Make(ctx, n.vault, "", o.uri, n.set.Training)
	if err != nil {
		return err
	}
	ch, err := n.keeper().Rotate(ctx, k, since)
	if err != nil {
		return err
	}
	if err := n.finishKeys(ctx); err != nil {
		return fmt.Errorf("the key is changed, and the rest is left to the next command: %w", err)
	}
	return c.sayRotated(n, was, ch)
}

// holdKeys waits until nobody signs, and finishes a change of keys that a process
// before has left half done. The caller changes them, and unlocks.
func (c *cli) holdKeys(ctx context.Context, n *node) (unlock func(), err error) {
	if unlock, err = c.waitToSeal(ctx, n); err != nil {
		return nil, err
	}
	if err = n.reloadKeys(ctx); err == nil {
		err = n.finishKeys(ctx)
	}
	if err != nil {
		unlock()
		return nil, err
	}
	return unlock, nil
}

// sinceWhen reads and checks the time of a compromise; nil: it was not given.
func (n *node) sinceWhen(flag, s string) (*holdfast.Time, error) {
	if s == "" {
		return nil, nil
	}
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return nil, usageError("%s %.40q is not a time such as 2026-03-01T09:00:00Z", flag, s)
	}
	if t.After(time.Now()) {
		return nil, usageError("%s %s lies in the future: give the last time at which the key was surely yours alone", flag, holdfast.At(t))
	}
	first := n.keys.All()[0].From()
	for _, f := range n.formerLogs() {
		for _, k := range f.Keys {
			if k.From.Before(first.Time) {
				first = k.From
			}
		}
	}
	if t.Before(first.Time) {
		return nil, usageError("%s %s lies before the node's first key, which counts from %s", flag, holdfast.At(t), first)
	}
	at := holdfast.At(t)
	return &at, nil
}

func (c *cli) sayRotated(n *node, was keyring.Key, ch *keyring.Change) error {
	fp, err := n.fingerprint()
	if err != nil {
		return err
	}
	for _, k := range n.keys.All() {
		if k.ID() == was.ID() {
			was = k
		}
	}
	row := map[string]any{"event": ch.Action, "old": was.ID(), "new": ch.New, "fingerprint": fp, "until": was.Until, "state": was.State()}
	text := fmt.Sprintf("old key  %s until %s\nnew key  %s\nfingerprint %s\nGive the new fingerprint to those who verify; an older one or an older policy does not know what is sealed from now on.", was.ID(), until(was.Until), ch.New, fp)
	if was.State() == "retiring" {
		text += "\nSeals of the old key still wait for timestamps: `holdfast seal` finishes them, and then the old key ends."
	}
	if ch.Since != nil {
		text += "\nWhat was sealed at or after " + ch.Since.String() + " is contradicted from now on: `holdfast list` shows it. Export again what you gave out since then.\nThe thief may have had the log's key too: `holdfast init --new-log` begins another log."
	}
	c.say(row, "%s", text)
	return nil
}
