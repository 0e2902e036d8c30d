package restore

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"holdfast"
	"holdfast/cmd/internal/mirrors"
	"holdfast/cmd/internal/nodedir"
	"holdfast/keyring"
	"holdfast/mirror"
	"holdfast/preserve"
	"holdfast/wholefile"
)

func (r *Restore) path(name string) string {
	return filepath.Join(r.Dir, filepath.FromSlash(name))
}

// Files makes the node's directory, node.json last. Every step can be done again: what a
// killed one has left is taken up, and no other command opens the directory meanwhile.
func (r *Restore) Files(ctx context.Context) error {
	var err error
	if r.store, err = r.target(ctx); err != nil {
		return err
	}
	defer r.store.Close()
	if err := r.copyStore(ctx); err != nil {
		return err
	}
	if _, err := os.Stat(r.path(nodedir.FileSettings)); err == nil {
		return r.again() // killed behind node.json: the files are there
	}
	r.mine.NewLog, r.mine.Why, r.mine.Named = false, "", nil // decided anew
	for _, step := range []func(context.Context) error{r.nodeFiles, r.secrets, r.queue, r.catalog, r.chainsGrown, r.log, r.losses} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	list := []mirrors.Known{{ID: r.mark.ID, Path: r.at, Store: r.mirrorID(), Added: holdfast.At(time.Now())}}
	if err := mirrors.Write(r.Dir, list); err != nil {
		return err
	}
	if !r.mine.Same {
		if err := wholefile.Replace(r.path(nodedir.FileCarry), nil, 0o600); err != nil {
			return err
		}
	}
	if err := wholefile.WriteJSON(r.path(FileName), r.mine); err != nil {
		return err
	}
	if r.set.Open != nil {
		r.set.Open.Queue = false // of the mirrored node's: this one is new, and `restored` says so
	}
	if r.mine.NewLog {
		r.set.Leave().Log = true
	}
	return r.set.Write(r.Dir)
}

func (r *Restore) again() error {
	for _, text := range r.mine.Named {
		name, what, _ := strings.Cut(text, ": ")
		r.Problem(name, errors.New(what))
	}
	return nil
}

func (r *Restore) copyStore(ctx context.Context) error {
	from, err := r.fromStore(ctx, r.at, r.mirrorID())
	if err != nil {
		return err
	}
	defer from.Close()
	to, ok := r.store.(mirror.Target)
	if !ok {
		return errors.New("the new store takes no copies")
	}
	told, end := r.Progress()
	defer end()
	r.copy = &mirror.Copier{From: from, To: to, Problem: r.Problem, Told: func(_, done int64) { told(done) }}
	if r.back {
		return errors.Join(r.comesBack(ctx), r.notBeyond(ctx, from))
	}
	if r.copy.After, err = r.afterwards(); err != nil {
		return err
	}
	r.copy.Shared = r.merged() // what others were restored with is there too
	if err := r.copy.Look(ctx); err != nil {
		return err
	}
	if err := r.notBeyond(ctx, from); err != nil {
		return err
	}
	if n := r.copy.Lacks(); r.o.Join != "" && n > 0 {
		return fmt.Errorf("the store lacks %d names that this mirror has: the node that was restored into it first did not know them, and may have sealed otherwise what they seal. Restore that one again, into another place, --with this mirror", n)
	}
	if err := r.copy.Run(ctx); err != nil || r.copy.After != nil {
		return err
	}
	return r.others(ctx, to)
}

// merged reports whether the store has more than this node's own mirror.
func (r *Restore) merged() bool { return r.o.Join != "" || len(r.o.With) > 0 }

// afterwards is from where on a restored node, killed behind its node.json, has
// made what the mirror lacks.
func (r *Restore) afterwards() (*mirror.Afterwards, error) {
	set, err := nodedir.Read(r.Dir)
	if errors.Is(err, nodedir.ErrNoNode) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	a := &mirror.Afterwards{Origin: set.Name}
	if !r.mine.NewLog && r.mark.Log != nil {
		a.Size = r.mark.Log.Size
	}
	return a, nil
}

// nodeFiles takes over what lies in DIR/node.
func (r *Restore) nodeFiles(ctx context.Context) error {
	for _, dir := range []string{"keys", "outbox", "log"} {
		if err := os.MkdirAll(r.path(dir), 0o700); err != nil {
			return err
		}
	}
	for _, name := range []string{nodedir.FileAuthorities, nodedir.FilePolicy, nodedir.FileEgresses, nodedir.FileWatches, nodedir.FileAlerts, nodedir.FileColleagues} {
		b, err := r.nodeFile(ctx, name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err == nil && name == nodedir.FileAlerts && r.signed == nil {
			// A rule may run a program: nobody gets one from a disk that nobody checked.
			continue
		}
		if err == nil {
			err = wholefile.Update(r.path(name), b)
		}
		if err != nil {
			return err
		}
	}
	return r.chains(ctx)
}

// secrets writes the keys that were given, or draws new ones. A node with new
// keys keeps the old one's Policy entry, with the old keys in it.
func (r *Restore) secrets(ctx context.Context) error {
	if r.keys == nil {
		return r.newKeys(ctx)
	}
	for name, b := range r.keys {
		if err := os.MkdirAll(filepath.Dir(r.path(name)), 0o700); err != nil {
			return err
		}
		if err := wholefile.Update(r.path(name), b); err != nil {
			return err
		}
	}
	return r.fits(ctx)
}

// fits opens the keys: those of another node, or of before a rotation, must not
// be found out by the first Seal.
func (r *Restore) fits(ctx context.Context) error {
	text, err := r.Vault.Read(r.set.LogKey)
	if err != nil {
		return fmt.Errorf("open log key: %w", err)
	}
	if vkey, err := preserve.LogVKey(preserve.ParseLogKey(text)); err != nil || vkey != r.set.VKey {
		return errors.Join(fmt.Errorf("the key file %s is of another node than %s", r.o.Keys, r.set.Name), err)
	}
	ring, err := keyring.Open(ctx, r.Vault, r.set.KeyList())
	if err == nil {
		_, err = ring.Signer(ctx)
	}
	if errors.Is(err, fs.ErrNotExist) {
		err = fmt.Errorf("%w: the key file is older than the mirror: give a newer one, or none if the keys are lost", err)
	}
	return err
}

func (r *Restore) newKeys(ctx context.Context) error {
	p, err := r.oldPolicy(ctx)
	if err != nil {
		return err
	}
	if r.pass != nil { // before any key is
		if err := r.Vault.Begin(r.pass); err != nil {
			return err
		}
	}
	if err := r.newName(ctx, "the keys are lost"); err != nil {
		return err
	}
	for i, f := range r.set.Former {
		for _, e := range p.Nodes {
			if e.Name == f.Name {
				r.set.Former[i].Keys = e.Keys
			}
		}
	}
	r.set.Created, r.set.Key, r.set.KeysOpen = holdfast.At(time.Now()), "", nil
	k, err := keyring.Make(ctx, r.Vault, nodedir.FileSealKey, "", r.set.Training)
	k.Made = r.set.Created
	r.set.Keys = []keyring.Key{k}
	return err
}

func (r *Restore) oldPolicy(ctx context.Context) (*holdfast.Policy, error) {
	b, err := r.nodeFile(ctx, nodedir.FilePolicy)
	if err != nil {
		return nil, err
	}
	return holdfast.ParsePolicy(b)
}

// newName draws a new log key, and with it a new name. Entry 0 of the new log
// will name the last state that is known of the old one, whether the mirror has
// all of it or not.
func (r *Restore) newName(ctx context.Context, why string) error {
	label, _, _ := strings.Cut(r.set.Name, ".")
	r.set.Former = append(r.set.Former, mirror.FormerLog{Name: r.set.Name, VKey: r.set.VKey})
	r.set.Previous, r.mine.Why, r.mine.NewLog = r.mark.Log, why, true
	// Not a name that the key file may bring along: drawLogKey would take up that
	// key, which may have signed a history.
	r.set.LogKey = fmt.Sprintf("keys/log-%d-%.16s.key", len(r.set.Former)+1, r.mine.ID)
	return r.set.DrawLogKey(r.Vault, label)
}

// log goes on with the old log, if that is wanted and can be; else a new one
// will begin.
func (r *Restore) log(ctx context.Context) error {
	switch {
	case r.mine.NewLog:
		return nil
	case r.mark.Node != r.set.Name: // node.json was not copied any more
		r.set.Former = append(r.set.Former, mirror.FormerLog{Name: r.set.Name, VKey: r.set.VKey})
		r.set.Name, r.set.VKey = r.mark.Node, r.mark.VKey
		return r.newName(ctx, "the mirror's last run was cut short, and the node had begun a new log")
	case r.o.Old:
		return r.newName(ctx, "newer copies existed")
	case r.short != "":
		return r.newName(ctx, r.short)
	case r.mark.Log == nil && (r.back || r.merged()):
	case r.mark.Log == nil && !r.cut:
		return nil // there was none yet
	case r.mark.Log == nil:
		return r.newName(ctx, "the mirror's last run was cut short, and a log may have begun")
	}
	tree, err := preserve.LastTree(ctx, r.store, r.set.VKey)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if !r.back && !r.merged() && (r.cut || tree == nil || *tree != *r.mark.Log) {
		return r.newName(ctx, "the mirror's last run was cut short, and the log had grown")
	}
	if tree == nil {
		return nil // there was none yet
	}
	p, err := r.oldPolicy(ctx)
	if err != nil {
		return err
	}
	var keys [][]byte
	for _, e := range p.Nodes {
		for _, k := range e.Keys {
			keys = append(keys, k.SPKI)
		}
	}
	dir := r.path("log/" + r.set.Name)
	if err := os.RemoveAll(dir); err != nil { // what a killed restore left
		return err
	}
	_, err = preserve.RestoreTlog(ctx, dir, r.store, r.set.VKey, keys)
	if err == nil || !errors.Is(err, preserve.ErrIncomplete) && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	r.named("log", err.Error())
	return errors.Join(os.RemoveAll(dir), r.newName(ctx, "the mirror does not hold the whole log"))
}
