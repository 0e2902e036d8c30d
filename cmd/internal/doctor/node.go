package doctor

import (
	"context"
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"time"

	"holdfast"
	"holdfast/catalog"
	"holdfast/cmd/internal/nodedir"
	"holdfast/collectors/telegram"
	"holdfast/collectors/telegram/accounts"
	"holdfast/pipeline"
	"holdfast/preserve"
	"holdfast/storage"
)

// Permissions looks at the node's directory and at everything in it that is
// secret or that others should not read. What is not there is not looked at.
func Permissions(dir string) error {
	var bad []error
	for _, pattern := range []string{"", "keys", "keys/*", "own", "own/*.pem", "queue.db*", "catalog.db*", "alerts.db*", "outbox", "queries", "log", nodedir.FileEgresses, nodedir.FileConfig, accounts.FileStates} {
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

// Keys opens the log key, has the seal key sign, and holds it against what the node's own
// Policy says of it (counted). It may be far away, in a KMS: quarter of a minute at most.
func Keys(openLog func() error, openSeal func(context.Context) (preserve.Signer, error), counted []holdfast.PolicyKey) error {
	ctx, stop := context.WithTimeout(context.Background(), 15*time.Second)
	defer stop()
	if err := openLog(); err != nil {
		return fmt.Errorf("the log key does not open: %w", err)
	}
	signer, err := openSeal(ctx)
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
	for _, k := range counted {
		if string(k.SPKI) == string(signer.SPKI()) && k.Until == nil {
			return nil
		}
	}
	return fmt.Errorf("the seal key %s is not one that the node's policy counts now: nothing that it signs will be sealed; restore the key that belongs here, or rotate keys", holdfast.KeyID(signer.SPKI()))
}

// Place warns of a data directory that does not last.
func (d *Report) Place(dir string) {
	kind, _, _, err := fileSystem(dir)
	if err != nil {
		d.Check("place", "", err)
		return
	}
	if why := unlasting(kind); why != "" {
		d.Note("place", dir+" lies "+why)
		return
	}
	d.Check("place", dir+" lies on a file system of this machine", nil)
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

// Disk says how full the disk below dir is, and whether the store accepts.
func (d *Report) Disk(ctx context.Context, dir string, store storage.Accepter) {
	_, free, total, err := fileSystem(dir)
	detail := "more than 5 % is free"
	if err == nil && total > 0 {
		detail = fmt.Sprintf("%.1f of %.1f GB is free (%.0f %%); acceptance stops at 5 %%", float64(free)/1e9, float64(total)/1e9, 100*float64(free)/float64(total))
	}
	d.Check("disk", detail, store.Accept(ctx))
}

// Sound is a queue that can be looked through for damage.
type Sound interface {
	Check(ctx context.Context) error
	// Poison counts the messages that could not be read and are in no Seal.
	Poison(ctx context.Context) (int64, error)
}

// Tasks is what a node knows of those of its queue.
type Tasks struct {
	All     func(context.Context) iter.Seq2[pipeline.Task, error]
	Endless func(pipeline.Task) bool // it is always there
	Damaged error                    // what is said of one that the queue has not kept whole
}

// Queue checks the queue, where it can be (q may be nil), and counts the Tasks that wait in it.
func (d *Report) Queue(ctx context.Context, q Sound, tasks Tasks) {
	if q != nil {
		if err := q.Check(ctx); err != nil {
			d.Check("queue", "", err)
			return
		}
		if poison, err := q.Poison(ctx); err != nil || poison > 0 {
			d.Check("poison", "", errors.Join(err, fmt.Errorf("%d messages could not be read and are in no Seal: the queue keeps their bytes, the plans name their positions; whoever asked for the captures must be told", poison)))
		}
	}
	waiting, held, damaged := 0, 0, 0
	now := time.Now()
	for t, err := range tasks.All(ctx) {
		switch {
		case err != nil:
			d.Check("queue", "", err)
			return
		case t.Damaged:
			damaged++
		case tasks.Endless(t):
		case t.Lease.Until.After(now):
			held++
		default:
			waiting++
		}
	}
	if damaged > 0 {
		d.Check("tasks", "", fmt.Errorf("%d of them: %w; `holdfast task list` names them", damaged, tasks.Damaged))
	}
	if waiting > 0 {
		d.Note("queue", fmt.Sprintf("sound; %d Tasks wait and %d are being done: `holdfast capture --resume`; `holdfast task list` names them", waiting, held))
		return
	}
	d.Check("queue", fmt.Sprintf("sound; no Task waits, %d are being done", held), nil)
}

// unsealedLong is how long something may be unsealed before it is worth a word.
const unsealedLong = time.Hour

// Unsealed counts what is not sealed, and says how old the oldest is.
// What is void can never be sealed.
func (d *Report) Unsealed(ctx context.Context, cat Catalog, void func(catalog.Capture) bool) {
	lost := 0
	counts, oldest := map[string]int{}, time.Now()
	for _, state := range []string{pipeline.StatePending, pipeline.StateSigned} {
		for cp, err := range cat.Captures(ctx, catalog.Query{State: state}) {
			if err != nil {
				d.Check("unsealed", "", err)
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
		d.Note("unsealed", fmt.Sprintf("%d captures and Events are contradicted for good, by the end of a compromised key; waiting does not help: `holdfast list --state signed` names them, docs/threats.md says what is left to do", lost))
	}
	total, age := counts[pipeline.StatePending]+counts[pipeline.StateSigned], time.Since(oldest).Round(time.Second)
	switch {
	case total == 0 && lost > 0: // that was said
	case total == 0:
		d.Check("unsealed", "everything is sealed", nil)
	case age > unsealedLong:
		d.Note("unsealed", fmt.Sprintf("%d captures and Events are not sealed (%d of them signed), the oldest for %v: `holdfast seal`; without a line `holdfast seal --requests DIR`", total, counts[pipeline.StateSigned], age))
	default:
		d.Check("unsealed", fmt.Sprintf("%d captures and Events are not sealed yet, the oldest for %v", total, age), nil)
	}
}

// Telegram says how the accounts of these names are, by what is known: the service is not asked.
func (d *Report) Telegram(names []string, states map[string]accounts.State) {
	well := 0
	for _, name := range names {
		s, ok := states[name]
		if ok && s.Shown().State != telegram.StateOK {
			d.Note("telegram", s.Shown().Words())
		}
		if ok && s.State != telegram.StateOK {
			continue
		}
		well++
	}
	if well > 0 {
		d.Check("telegram", fmt.Sprintf("%d accounts are well as far as is known; `holdfast telegram accounts --check` asks", well), nil)
	}
}
