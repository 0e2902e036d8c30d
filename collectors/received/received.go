package received

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"holdfast/canon"
	"holdfast/collectors"
	"holdfast/hashing"
)

// MaxFiles is the number of files in one Acquired: with the two documents they
// stay below the Objects that a Manifest lists.
const MaxFiles = 4000

// Roles and names of the Objects.
const (
	RoleDisclosure = "disclosure"
	NameGiver      = "giver.json"
	Giver          = "giver" // name of the commitment
)

// ReasonNeverKeep is the code for bytes that a list forbids to keep.
const ReasonNeverKeep = "never-keep"

// Errors that callers branch on.
var (
	// ErrNotFile says that a path is no plain file: a folder, a link, a device.
	ErrNotFile = errors.New("not a plain file")

	// ErrChanged says that a file changed while it was read.
	ErrChanged = errors.New("changed while it was read")
)

// Options is one handing-over. Text is valid UTF-8.
type Options struct {
	Files    []string // 1 to MaxFiles paths
	Giver    string   // who gave them
	How      string   // "by hand", "by mail"; "" is not recorded
	Received string   // when, as stated: a date or a time; "" is not recorded
	Device   string   // on which they were made, as told; "" is not recorded
	Training bool
	Known    []*collectors.KnownList // optional: what must never be kept
}

// Take reads the files and keeps their bytes. It runs in the caller's goroutine
// and is safe to call at once with others. Errors: [ErrNotFile], [ErrChanged],
// fs.ErrNotExist and the like of a file, the error of keep (a full disk), ctx's
// cause. After any of them nothing may be named; bytes that keep took are
// unnamed and harmless.
func Take(ctx context.Context, o Options, keep collectors.Keeper) (*collectors.Acquired, error) {
	if len(o.Files) == 0 || len(o.Files) > MaxFiles || o.Giver == "" {
		return nil, fmt.Errorf("take %d files of giver %t: 1 to %d files and a giver: %w", len(o.Files), o.Giver != "", MaxFiles, collectors.ErrRefused)
	}
	t := &taker{o: o, keep: keep, a: &collectors.Acquired{Started: time.Now(), Outcome: collectors.Complete}}
	t.doc = collectors.Handover{Device: o.Device, How: o.How, Received: o.Received, Training: o.Training}
	for i, path := range o.Files {
		if err := t.file(ctx, path, objectName(i+1, len(o.Files), filepath.Base(path))); err != nil {
			return nil, fmt.Errorf("take file %s: %w", path, err)
		}
	}
	if err := t.documents(ctx); err != nil {
		return nil, err
	}
	t.a.Completeness.Requests = len(o.Files)
	t.outcome()
	t.a.Collection = collectors.Collection{Software: "holdfast received", Egress: "none",
		Notes: []string{"The files were handed over by a person; what they are and where they come from is that person's word."}}
	for _, k := range o.Known {
		t.a.Collection.Notes = append(t.a.Collection.Notes, fmt.Sprintf("Before anything was kept, each file was compared with a list of %d digests of what must never be kept, %s.", k.Len(), k.Digest()))
	}
	t.a.Ended = time.Now()
	return t.a, nil
}

// taker is one handing-over in the making.
type taker struct {
	o      Options
	keep   collectors.Keeper
	a      *collectors.Acquired
	doc    collectors.Handover
	inline int64
}

// documents adds received.json and giver.json. The giver's bytes are exactly
// what the commitment hashes, so sha256sum of the shown file is the check, and
// the salt keeps a withheld one from being guessed by its Digest.
func (t *taker) documents(ctx context.Context) error {
	b, err := t.doc.Encode()
	if err != nil {
		return fmt.Errorf("write %s: %w", collectors.NameHandover, err)
	}
	if err := t.add(ctx, collectors.NameHandover, collectors.RoleHandover, b, false); err != nil {
		return err
	}
	salt := make([]byte, 32)
	rand.Read(salt) // never fails: crypto/rand crashes the program instead
	b, err = canon.Marshal(giverDoc{Giver, hex.EncodeToString(salt), t.o.Giver})
	if err != nil {
		return fmt.Errorf("write %s: %w", NameGiver, err)
	}
	if err := t.add(ctx, NameGiver, RoleDisclosure, b, true); err != nil {
		return err
	}
	t.a.Commitments = []collectors.Commitment{{Name: Giver, Digest: hashing.Of(b)}}
	return nil
}

// add takes a document: inline if it fits, which one that tells of thousands of
// files does not.
func (t *taker) add(ctx context.Context, name, role string, b []byte, restricted bool) error {
	o := collectors.Object{Name: name, Role: role, MediaType: "application/json", Size: int64(len(b)), Digest: hashing.Of(b), Restricted: restricted}
	if o.Inline = b; len(b) > maxInlineDoc {
		if _, _, err := t.keep.Put(ctx, bytes.NewReader(b)); err != nil {
			return fmt.Errorf("keep %s: %w", name, err)
		}
		o.Inline, o.Kept = nil, true
	}
	t.a.Objects = append(t.a.Objects, o)
	return nil
}

// outcome says what was not kept; a Capture of nothing but that is a failed one.
func (t *taker) outcome() {
	k := len(t.doc.NotKept)
	if k == 0 {
		return
	}
	t.a.Outcome = collectors.Partial
	if k == len(t.o.Files) {
		t.a.Outcome = collectors.Failed
	}
	t.a.Reasons = append(t.a.Reasons, collectors.Reason{Code: ReasonNeverKeep, Detail: fmt.Sprintf("%d of %d files", k, len(t.o.Files))})
	t.a.Completeness.Blocked = k
	for _, n := range t.doc.NotKept {
		t.a.Completeness.Missing = append(t.a.Completeness.Missing, collectors.Miss{Kind: collectors.MissBlocked, URL: n.Digest, Why: ReasonNeverKeep})
	}
}

// giverDoc is giver.json.
type giverDoc struct {
	Name  string `json:"name"`
	Salt  string `json:"salt"`
	Value string `json:"value"`
}

// ReadGiver returns who is named in giver.json; errors wrap canon.ErrForm.
func ReadGiver(b []byte) (string, error) {
	var d giverDoc
	if err := canon.Unmarshal(b, &d); err != nil {
		return "", fmt.Errorf("read %s: %w", NameGiver, err)
	}
	if d.Name != Giver {
		return "", fmt.Errorf("read %s: it discloses %.40q: %w", NameGiver, d.Name, canon.ErrForm)
	}
	return d.Value, nil
}
