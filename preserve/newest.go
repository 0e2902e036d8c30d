package preserve

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"holdfast"
	"holdfast/rfc3161"
)

// remember keeps the newest token of a Seal that is sealed now.
func (q *Quorum) remember(parts holdfast.SealParts, t holdfast.Time) {
	token := newestToken(parts, t)
	q.mu.Lock()
	defer q.mu.Unlock()
	if token == nil || ahead(token) || q.newest != nil && !token.GenTime.After(q.newest.GenTime) {
		return
	}
	q.newest = token
	if q.o.Newest == "" {
		return
	}
	// Not synced: whatever a crash leaves is checked when it is read.
	tmp := q.o.Newest + ".new"
	err := os.WriteFile(tmp, token.Raw, 0o600)
	if err == nil {
		err = os.Rename(tmp, q.o.Newest)
	}
	if err != nil {
		q.o.Log.WarnContext(q.ctx, "newest token not kept", "file", filepath.Base(q.o.Newest), "err", err)
	}
}

// ahead reports whether a token is newer than this node's clock allows. Naming
// it as notBefore could contradict later Seals, stamped by clocks that are
// right; naming none never does, so a wrong clock of ours costs only that.
func ahead(t *rfc3161.Token) bool { return time.Until(t.GenTime) > notBeforeSlack/2 }

// older returns the newest quorum token that the node holds, or nil.
func (q *Quorum) older() *rfc3161.Token {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.newest
}

// readNewest reads the hint of an earlier run. A token that is damaged, of
// the future, or not signed by a certificate in it or of this node's, is as good
// as none. Whether the Policy counts it is for each verifier to say: it is a
// bound that a statement names, and never makes a Seal sealed.
func (q *Quorum) readNewest() *rfc3161.Token {
	if q.o.Newest == "" {
		return nil
	}
	raw, err := os.ReadFile(q.o.Newest)
	if err != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			q.o.Log.WarnContext(q.ctx, "newest token not read", "err", err)
		}
		return nil
	}
	token, err := rfc3161.Parse(raw)
	if err != nil || ahead(token) || token.Check(token.Imprint, q.o.Trust.Material().Certs...) != nil {
		return nil
	}
	return token
}

// newestToken returns the newest token of a sealed Seal that says no later time
// than T: what a later statement can name as older than itself. A token above T
// may come from a clock that is ahead, and would contradict later Seals.
func newestToken(parts holdfast.SealParts, t holdfast.Time) (best *rfc3161.Token) {
	for name, raw := range parts {
		if !strings.HasPrefix(name, "timestamps/") || strings.HasPrefix(name, "timestamps/"+OwnName+"/") {
			continue
		}
		token, err := rfc3161.Parse(raw)
		if err != nil || token.GenTime.After(t.Time) {
			continue
		}
		if best == nil || token.GenTime.After(best.GenTime) {
			best = token
		}
	}
	return best
}
