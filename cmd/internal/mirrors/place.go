package mirrors

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"holdfast"
	"holdfast/cmd/internal/engineset"
	"holdfast/filelock"
	"holdfast/mirror"
	"holdfast/storage/file"
	"holdfast/storage/s3"
	"holdfast/wholefile"
)

// target is the store of a mirror.
type target interface {
	mirror.Target
	Close() error
}

// URL is the one form in which a mirror's place is kept: an absolute path, or
// the URL of a bucket.
func URL(text string) (string, error) {
	if engineset.KindOf(text) == engineset.KindS3 {
		if _, err := s3.Parse(text); err != nil {
			return "", err
		}
		return engineset.Check(text, []string{engineset.KindS3})
	}
	return filepath.Abs(strings.TrimPrefix(text, engineset.KindFile+":"))
}

// askTries and askWait bound how long a bucket that does not answer holds up who
// only asks which state it knows.
const (
	askTries = 2
	askWait  = 10 * time.Second
)

// OpenBucket opens the store of a mirror in a bucket, with the keys of HOLDFAST_MIRROR_S3_KEYS_FILE
// or those of the node's own; id is empty where it is not known yet. change says how it is
// opened: [ToRead], or what the caller needs. Where no store lies there the error wraps
// [fs.ErrNotExist].
func OpenBucket(ctx context.Context, url, id string, log *slog.Logger, change func(*s3.Options)) (*s3.Store, error) {
	o, err := s3.Parse(url)
	if err != nil {
		return nil, err
	}
	keys := engineset.BucketKeys
	if os.Getenv(keysFile) != "" {
		keys = func() (string, string, string, error) { return engineset.KeysOfFile(keysFile) }
	}
	if o.AccessKey, o.SecretKey, o.SessionToken, err = keys(); err != nil {
		return nil, err
	}
	o.ID, o.Log, o.Spool = id, log, os.TempDir()
	change(&o)
	return s3.Open(ctx, o)
}

// keysFile names the file with the keys of a mirror's bucket, which may be
// another office's than that of the node's own store.
const keysFile = "HOLDFAST_MIRROR_S3_KEYS_FILE"

// ToRead has a bucket opened for reading alone.
func ToRead(o *s3.Options) { o.ReadOnly = true }

// toAsk is ToRead for who goes on without an answer.
func toAsk(o *s3.Options) { o.ReadOnly, o.Tries, o.Wait = true, askTries, askWait }

// enter opens the mirror, or makes it, takes its lock, and refuses what is not this
// node's, or newer. A crash in it leaves an empty mirror.
func (m *run) enter(ctx context.Context) (leave func(), err error) {
	known, err := m.known()
	if err != nil {
		return nil, err
	}
	open := m.openDir
	if engineset.KindOf(m.at) == engineset.KindS3 {
		open = m.openBucket
	}
	unlock, err := open(ctx, known)
	if err == nil && unlock == nil {
		err = mirror.ErrAtWork
	}
	if err != nil {
		return nil, err
	}
	leave = func() {
		if m.to != nil {
			m.to.Close()
		}
		unlock()
	}
	err = m.take(ctx, known)
	if err == nil && m.to == nil { // behind the mark: what has one is a mirror
		err = m.openStore()
	}
	if err != nil {
		leave()
		return nil, err
	}
	return leave, nil
}

func (m *run) openStore() error {
	to, err := file.Open(m.dir.Path("store"), file.Options{Log: m.n.Log, MinFree: -1})
	if err != nil {
		return err // not to: a nil *file.Store in an interface is no nil
	}
	m.to = to
	return nil
}

// openDir takes the directory and the lock in it.
func (m *run) openDir(ctx context.Context, known *Known) (unlock func(), err error) {
	m.dir = mirror.Dir(m.at)
	m.shelf = m.dir
	apart, err := mirror.Apart(m.n.Dir, m.at)
	if err != nil {
		return nil, err
	}
	if !apart {
		return nil, engineset.Usage("--to: the mirror must lie outside the node's directory, better on another disk")
	}
	if err := m.dir.CheckLinks(); err != nil {
		return nil, err
	}
	if _, err := mirror.ReadMark(ctx, m.dir); errors.Is(err, fs.ErrNotExist) && known == nil {
		err := m.emptyDir()
		if err != nil {
			return nil, err
		}
	} else if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("the mirror that was there is gone: mount its disk, or `holdfast mirror --forget %s` before a new one is made there", m.at)
	} else if err != nil {
		return nil, err
	}
	return filelock.Try(m.dir.Path(mirror.FileLock))
}

// emptyDir makes the folders of a mirror in a directory that holds nothing of anybody.
func (m *run) emptyDir() error {
	if err := os.MkdirAll(m.dir.Path("node/outbox"), 0o700); err != nil {
		return err
	}
	for dir, mine := range map[string][]string{m.dir.Path(""): {"node", mirror.FileLock, "lost+found"}, m.dir.Path("node"): {"outbox"}} {
		es, err := os.ReadDir(dir)
		if err != nil {
			return err
		}
		for _, e := range es {
			if !slices.Contains(mine, e.Name()) && !strings.HasPrefix(e.Name(), ".new-") {
				return fmt.Errorf("%w: %s holds %q, which no mirror has: name an empty directory", mirror.ErrNone, dir, e.Name())
			}
		}
	}
	return nil
}

// openBucket takes the place in a bucket. There is no lock in one: this node's runs
// keep each other off by a file, and who writes beside them is told by the first name
// that both want to write.
func (m *run) openBucket(ctx context.Context, known *Known) (unlock func(), err error) {
	locked, err := filelock.Try(m.n.path("mirror.lock"))
	if locked == nil || err != nil {
		return nil, err
	}
	defer func() {
		if unlock == nil {
			locked()
		}
	}()
	spool := func(o *s3.Options) { o.Spool = m.n.path("upload") }
	id := ""
	if known != nil {
		id = known.Store
	}
	s, err := OpenBucket(ctx, m.at, id, m.n.Log, spool)
	made := known == nil && m.making() // by a run that was killed
	if known == nil && errors.Is(err, fs.ErrNotExist) {
		made = true
		if err := wholefile.Replace(m.n.path(fileMaking), []byte(m.at+"\n"), 0o600); err != nil {
			return nil, err
		}
		s, err = OpenBucket(ctx, m.at, "", m.n.Log, func(o *s3.Options) { spool(o); o.Create = true })
	}
	if err != nil {
		return nil, err
	}
	m.to, m.store = s, s.ID()
	if m.store == m.n.StoreID {
		s.Close()
		return nil, engineset.Usage("--to: that is the node's own store: name another bucket, better of another provider")
	}
	v, err := mirror.OpenVersions(ctx, s, "")
	if err == nil && v.None() && !made {
		err = fmt.Errorf("%w: a store lies there that is no mirror: name another bucket or prefix", mirror.ErrNone)
	}
	if m.shelf = v; err != nil {
		m.to = nil
		s.Close()
		return nil, err
	}
	return locked, nil
}

// fileMaking names the bucket in which a first run makes a store, until it is remembered
// as a mirror: a kill between leaves a store there that is nobody's.
const fileMaking = "mirror.making"

func (m *run) making() bool {
	b, err := os.ReadFile(m.n.path(fileMaking))
	return err == nil && strings.TrimSpace(string(b)) == m.at
}

// take reads the mark, or writes the first one, and compares it with the node.
func (m *run) take(ctx context.Context, known *Known) (err error) {
	m.mark, err = mirror.ReadMark(ctx, m.shelf)
	if errors.Is(err, fs.ErrNotExist) && known == nil {
		m.mark = &mirror.Mark{Version: 1, ID: string(holdfast.NewID()), Unfiled: m.n.As.Unfiled, Node: m.n.As.Name, VKey: m.n.VKey,
			Former: m.n.As.Former, Begun: holdfast.At(time.Now())}
		err = m.mark.Write(ctx, m.shelf)
	}
	if err != nil {
		return err
	}
	if known != nil && known.ID != m.mark.ID {
		return fmt.Errorf("%w: another mirror than the one of %s lies there: `holdfast mirror --forget %s` if this is the one to go on with", mirror.ErrNone, known.Added, m.at)
	}
	if err = m.mine(ctx); err == nil && known == nil {
		err = m.remember(ctx)
	}
	if err == nil && m.making() {
		err = os.Remove(m.n.path(fileMaking))
	}
	return err
}

// keep makes the locks of a mirror in a bucket longer, where an interval is over since
// that was done: nobody else passes there.
func (m *run) keep(ctx context.Context) error {
	s, ok := m.to.(*s3.Store)
	if !ok || !s.Locks() {
		return nil
	}
	st, err := s.Marked(ctx, time.Now())
	if err != nil || st.Left > s.Retains()-s.Interval() {
		return err
	}
	e := &s3.Extender{Store: s}
	if _, err := e.Pass(ctx); err != nil {
		return err
	}
	if st := e.State(time.Now()); st.Alert != "" {
		return fmt.Errorf("locks of the mirror: %s", st.Alert)
	}
	return nil
}
