package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"holdfast"
	"holdfast/catalog"
	"holdfast/cmd/internal/engineset"
	"holdfast/collectors/telegram"
	"holdfast/collectors/telegram/accounts"
	"holdfast/pipeline"
)

// permissions looks at the node's directory and at everything in it that is
// secret or that others should not read. What is not there is not looked at.
func permissions(dir string) error {
	var bad []error
	for _, pattern := range []string{"", "keys", "keys/*", "own", "own/*.pem", "queue.db*", "catalog.db*", "alerts.db*", "outbox", "queries", "log", "egresses.json", fileConfig, accounts.FileStates} {
		names := []string{"."}
		if pattern != "" {
			var err error
			if names, err = fs.Glob(os.DirFS(dir), pattern); err != nil {
				return err
			}
		}
		for _, name := range names {
			name = filepath.Join(dir, name)
			st, err := os.Stat(name)
			if errors.Is(err, fs.ErrNotExist) || err == nil && filepath.Base(name) == "roots.pem" { // public
				continue
			}
			if err != nil {
				return err
			}
			if perm := st.Mode().Perm(); perm&0o077 != 0 {
				bad = append(bad, fmt.Errorf("%s has mode %04o, so others can read it: chmod go= %s", name, perm, name))
			}
		}
	}
	return errors.Join(bad...)
}

// keys has the seal key sign, and holds it against the node's own Policy.
func (d *doctor) keys(n *node) error {
	ctx, stop := context.WithTimeout(context.Background(), 15*time.Second) // it may be far away, in a KMS
	defer stop()
	if _, err := n.vault.Read(n.set.LogKey); err != nil {
		return fmt.Errorf("the log key does not open: %w", err)
	}
	signer, err := n.sealSigner(ctx)
	if err != nil {
		return fmt.Errorf("the seal key does not open: %w", err)
	}
	text := []byte("holdfast doctor asks whether this key signs") // no payload that a Seal could have
	sig, err := signer.Sign(ctx, text)
	if err != nil {
		return fmt.Errorf("the seal key does not sign: %w", err)
	}
	pub, err := x509.ParsePKIXPublicKey(signer.SPKI())
	if err != nil {
		return fmt.Errorf("the seal key: %w", err)
	}
	sum := sha256.Sum256(text)
	if ec, ok := pub.(*ecdsa.PublicKey); !ok || !ecdsa.VerifyASN1(ec, sum[:], sig) {
		return errors.New("the seal key signs, and its own public half does not verify it: the key file is damaged; restore it from your copy of the keys")
	}
	for _, k := range n.entry().Keys {
		if string(k.SPKI) == string(signer.SPKI()) && k.Until == nil {
			return nil
		}
	}
	return fmt.Errorf("the seal key %s is not one that the node's policy counts now: nothing that it signs will be sealed; restore the key that belongs here, or rotate keys", holdfast.KeyID(signer.SPKI()))
}

// place warns of a data directory that does not last.
func (d *doctor) place(n *node) {
	kind, _, _, err := fileSystem(n.dir)
	if err != nil {
		d.check("place", "", err)
		return
	}
	if why := unlasting(kind); why != "" {
		d.note("place", n.dir+" lies "+why)
		return
	}
	d.check("place", n.dir+" lies on a file system of this machine", nil)
}

// unlasting says why a kind of file system is no place for a node, or "". The
// numbers are those of statfs(2).
func unlasting(kind int64) string {
	switch uint32(kind) {
	case 0x01021994, 0x858458f6:
		return "in memory (tmpfs): it is gone when this machine stops; move it to a disk"
	case 0x794c7630:
		return "in a container's own layer (overlayfs): it is gone with the container, unless you mount a volume there"
	case 0x6969, 0x517b, 0xff534d42, 0xfe534d42, 0x01021997, 0x00c36400, 0x5346414f:
		return "on a network file system: locks and fsync may not hold there; use a disk of this machine, and `holdfast mirror` to copy it away"
	case 0x65735546:
		return "on FUSE: whether fsync holds there depends on what is behind it; use a disk of this machine"
	}
	return ""
}

func (d *doctor) disk(ctx context.Context, n *node) {
	_, free, total, err := fileSystem(n.dir)
	detail := "more than 5 % is free"
	if err == nil && total > 0 {
		detail = fmt.Sprintf("%.1f of %.1f GB is free (%.0f %%); acceptance stops at 5 %%", float64(free)/1e9, float64(total)/1e9, 100*float64(free)/float64(total))
	}
	d.check("disk", detail, n.store.Accept(ctx))
}

// queue checks the database and counts the Tasks that wait in it.
func (d *doctor) queue(ctx context.Context, n *node) {
	if q, ok := n.engine.(engineset.SoundQueue); ok {
		if err := q.Check(ctx); err != nil {
			d.check("queue", "", err)
			return
		}
		if poison, err := q.Poison(ctx); err != nil || poison > 0 {
			d.check("poison", "", errors.Join(err, fmt.Errorf("%d messages could not be read and are in no Seal: the queue keeps their bytes, the plans name their positions; whoever asked for the captures must be told", poison)))
		}
	}
	waiting, held, damaged := 0, 0, 0
	now := time.Now()
	for t, err := range n.waiting(ctx) {
		switch {
		case err != nil:
			d.check("queue", "", err)
			return
		case t.Damaged:
			damaged++
		case isWatched(t): // it has no end
		case t.Lease.Until.After(now):
			held++
		default:
			waiting++
		}
	}
	if damaged > 0 {
		d.check("tasks", "", fmt.Errorf("%d of them: %w; `holdfast task list` names them", damaged, errDamaged))
	}
	if waiting > 0 {
		d.note("queue", fmt.Sprintf("sound; %d Tasks wait and %d are being done: `holdfast capture --resume`; `holdfast task list` names them", waiting, held))
		return
	}
	d.check("queue", fmt.Sprintf("sound; no Task waits, %d are being done", held), nil)
}

// unsealedLong is how long something may be unsealed before it is worth a word.
const unsealedLong = time.Hour

// unsealed counts what is not sealed, and says how old the oldest is.
func (d *doctor) unsealed(ctx context.Context, n *node) {
	if err := n.refresh(ctx); err != nil {
		d.check("unsealed", "", err)
		return
	}
	lost := 0
	counts, oldest := map[string]int{}, time.Now()
	for _, state := range []string{pipeline.StatePending, pipeline.StateSigned} {
		for cp, err := range n.cat.Captures(ctx, catalog.Query{State: state}) {
			if err != nil {
				d.check("unsealed", "", err)
				return
			}
			if void(cp) {
				lost++
				continue
			}
			counts[state]++
			if cp.Started.Before(oldest) {
				oldest = cp.Started.Time
			}
		}
	}
	if lost > 0 {
		d.note("unsealed", fmt.Sprintf("%d captures and Events are contradicted for good, by the end of a compromised key; waiting does not help: `holdfast list --state signed` names them, docs/threats.md says what is left to do", lost))
	}
	total, age := counts[pipeline.StatePending]+counts[pipeline.StateSigned], time.Since(oldest).Round(time.Second)
	switch {
	case total == 0 && lost > 0: // that was said
	case total == 0:
		d.check("unsealed", "everything is sealed", nil)
	case age > unsealedLong:
		d.note("unsealed", fmt.Sprintf("%d captures and Events are not sealed (%d of them signed), the oldest for %v: `holdfast seal`; without a line `holdfast seal --requests DIR`", total, counts[pipeline.StateSigned], age))
	default:
		d.check("unsealed", fmt.Sprintf("%d captures and Events are not sealed yet, the oldest for %v", total, age), nil)
	}
}

// telegram says how the accounts are, by what is known: the service is not asked.
func (d *doctor) telegram(n *node) {
	names, err := n.allSessions()
	if len(names) == 0 && err == nil {
		return // an office that asks no Telegram
	}
	states, serr := n.accounts.States()
	_, oerr := n.telegramOptions()
	if err = errors.Join(err, serr, oerr); err != nil {
		d.check("telegram", "", err)
		return
	}
	well := 0
	for _, name := range names {
		s, ok := states[name]
		if ok && s.Shown().State != telegram.StateOK {
			d.note("telegram", s.Shown().Words())
		}
		if ok && s.State != telegram.StateOK {
			continue
		}
		well++
	}
	if well > 0 {
		d.check("telegram", fmt.Sprintf("%d accounts are well as far as is known; `holdfast telegram accounts --check` asks", well), nil)
	}
}

// short keeps the first line of an error.
func short(err error) string {
	line, _, _ := strings.Cut(err.Error(), "\n")
	return line
}
