package telegram

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/gotd/td/tg"

	"holdfast/canon"
	"holdfast/collectors"
	"holdfast/hashing"
	"holdfast/tl"
)

// maxBlock bounds what one hash of the service's is about; it makes them of 128 KiB.
const maxBlock = 16 << 20

// readHashes reads an answer of upload.getFileHashes; nothing from one that cannot
// be read.
func readHashes(raw []byte) (out []tg.FileHash) {
	var v tg.FileHashVector
	if tl.Decode(raw, &v) != nil {
		return nil
	}
	for _, h := range v.Elems {
		if h.Offset >= 0 && h.Offset < maxFile && h.Limit > 0 && h.Limit <= maxBlock && len(h.Hash) == sha256.Size {
			out = append(out, h)
		}
	}
	return out
}

// finish makes the Capture of what has come.
func (g *fetch) finish(ctx context.Context, req collectors.Request, keep collectors.Keeper) error {
	t, have := g.t, g.p.sizes[nameFile]
	d := g.f.doc(t.c.o.Training)
	t.dc, d.DC, d.Received = g.dc, g.dc, have
	for _, x := range g.p.lines {
		t.a.Completeness.Bytes += x.Length
	}
	t.a.Completeness.Requests = len(g.p.lines)
	if len(g.p.lines) > 0 {
		if at, err := time.Parse(time.RFC3339, g.p.lines[0].Sent); err == nil && at.Before(t.a.Started) {
			t.a.Started = at // an earlier turn
		}
	}
	if err := g.judge(&d, have); err != nil {
		return err
	}
	withheld, err := g.compare(req.NeverKeep, &d, have)
	if err != nil {
		return err
	}
	if have > 0 && !withheld {
		o := collectors.Object{Name: nameFile + extension(string(g.f.MIME)), Role: RoleMedia, MediaType: mediaType(string(g.f.MIME)), Size: have, Kept: true, Slices: g.slices()}
		if err := g.keep(ctx, keep, &o); err != nil {
			return err
		}
		d.Digest, d.Object = &o.Digest, o.Name
		t.kept = append(t.kept, o)
	}
	if err := g.rest(); err != nil {
		return err
	}
	b, err := canon.Marshal(d)
	if err != nil {
		return err
	}
	t.pieces = append(t.pieces, piece{name: NameMedia, role: RoleMediaJSON, media: typeJSON, b: b, from: nameExchanges, action: "describe-media"})
	if withheld {
		g.p.remove()
	} else {
		t.a.Accepted = g.p.remove
	}
	return nil
}

// judge says what is missing, and holds the bytes against the service's hashes.
func (g *fetch) judge(d *mediaDoc, have int64) error {
	t := g.t
	d.State = stateWhole
	switch {
	case g.end != nil && have == 0:
		d.State, d.Why = stateFailed, canon.Text(g.end.code)
		t.reject(g.end.code, g.end.detail)
		t.missing(collectors.MissFailed, g.end.code)
		return nil
	case g.end != nil:
		d.State, d.Why = stateCut, canon.Text(g.end.code)
		t.partial(collectors.Reason{Code: g.end.code, Detail: fmt.Sprintf("%d bytes came: %s", have, g.end.detail)})
		t.missing(collectors.MissTruncated, g.end.code)
	case g.f.Size > 0 && have != g.f.Size:
		if have < g.f.Size {
			d.State, d.Why = stateCut, "size-differs"
			t.missing(collectors.MissTruncated, "size-differs")
		}
		t.partial(collectors.Reason{Code: "size-differs", Detail: fmt.Sprintf("the service says that the file has %d bytes, and sent %d", g.f.Size, have)})
	}
	if have == 0 {
		return nil
	}
	if err := g.check(d, have); err != nil {
		return err
	}
	if len(d.Differs) > 0 {
		t.partial(collectors.Reason{Code: "hash-differs", Detail: fmt.Sprintf("%d of the service's %d hashes of the file's parts are not those of the bytes that it sent, first at byte %d; all bytes are kept as they came", len(d.Differs), d.Blocks, d.Differs[0].Offset)})
	}
	if d.Hashed < have { // no fault: it has none of some files
		t.a.Reasons = append(t.a.Reasons, collectors.Reason{Code: "unhashed", Detail: fmt.Sprintf("the service gave hashes of %d of %d bytes", d.Hashed, have)})
	}
	return nil
}

func (t *act) missing(kind collectors.MissKind, why string) {
	if kind == collectors.MissTruncated {
		t.a.Completeness.Truncated++
	} else {
		t.a.Completeness.Failed++
	}
	t.a.Completeness.Missing = append(t.a.Completeness.Missing, collectors.Miss{Kind: kind, URL: t.name.Source(), Why: why})
}

// check holds the bytes against the service's hashes, as far as both go.
func (g *fetch) check(d *mediaDoc, have int64) error {
	f, err := os.Open(filepath.Join(g.p.dir, nameFile))
	if err != nil {
		return fmt.Errorf("check hashes: %w", err)
	}
	defer f.Close()
	end := int64(0)
	for _, x := range g.p.lines {
		if x.In != nameHashes {
			continue
		}
		b, err := g.p.bytes(x)
		if err != nil {
			return fmt.Errorf("check hashes: %w", err)
		}
		for _, h := range readHashes(b) {
			if h.Offset+int64(h.Limit) > have {
				continue // of what has not come
			}
			sum := sha256.New()
			if _, err := io.Copy(sum, io.NewSectionReader(f, h.Offset, int64(h.Limit))); err != nil {
				return fmt.Errorf("check hashes: %w", err)
			}
			d.Blocks++
			if !bytes.Equal(sum.Sum(nil), h.Hash) && len(d.Differs) < maxListed {
				d.Differs = append(d.Differs, mediaRange{Length: int64(h.Limit), Offset: h.Offset})
			}
			if to := h.Offset + int64(h.Limit); to > end {
				d.Hashed += to - max(end, h.Offset)
				end = to
			}
		}
	}
	return nil
}

// compare holds the whole file against what must never be kept.
func (g *fetch) compare(lists []*collectors.KnownList, d *mediaDoc, have int64) (withheld bool, err error) {
	watch := collectors.WatchAll(lists)
	if len(watch) == 0 || have == 0 {
		return false, nil
	}
	r, err := g.p.open(nameFile)
	if err != nil {
		return false, fmt.Errorf("compare with lists: %w", err)
	}
	defer r.Close()
	own, _, err := hashing.Copy(watch, r)
	if err != nil {
		return false, fmt.Errorf("compare with lists: %w", err)
	}
	t := g.t
	on, list := watch.Match()
	if on == "" {
		if d.State != stateWhole { // the whole of it might be on a list
			t.partial(collectors.Reason{Code: "never-keep-unchecked", Detail: "the file is not whole, so it was compared as far as it came"})
		}
		return false, nil
	}
	d.State, d.Why, d.List, d.Digest = stateWithheld, "never-keep", list, &own
	t.partial(collectors.Reason{Code: "never-keep", Detail: fmt.Sprintf("the file is on list %s: it is not kept", list)})
	t.a.Completeness.Blocked++
	t.a.Completeness.Missing = append(t.a.Completeness.Missing, collectors.Miss{Kind: collectors.MissBlocked, URL: on, Why: "never-keep"})
	return true, nil
}

// slices are the parts as they came.
func (g *fetch) slices() (out []collectors.Slice) {
	for _, x := range g.p.lines {
		if x.In == nameFile && x.Length > 0 {
			out = append(out, collectors.Slice{Name: fmt.Sprintf("c-%d", len(out)), Offset: x.At, Length: x.Length})
		}
	}
	return out
}

func (g *fetch) keep(ctx context.Context, keep collectors.Keeper, o *collectors.Object) error {
	r, err := g.p.open(nameFile)
	if err != nil {
		return fmt.Errorf("keep file: %w", err)
	}
	defer r.Close()
	n := int64(0)
	if o.Digest, n, err = keep.Put(ctx, r); err != nil {
		return fmt.Errorf("keep file: %w", err)
	}
	if n != o.Size {
		return fmt.Errorf("keep file: %d bytes of %d: %w", n, o.Size, errChanged)
	}
	o.SliceSecret = make([]byte, 32)
	rand.Read(o.SliceSecret) // never fails
	return nil
}

// rest are the Objects beside the file: for one of 4 GB some megabytes.
func (g *fetch) rest() error {
	for _, k := range []piece{{name: nameAnswers, role: RoleAnswer, media: typeTL}, {name: nameHashes, role: RoleAnswer, media: typeTL}} {
		if g.p.sizes[k.name] == 0 {
			continue
		}
		r, err := g.p.open(k.name)
		if err != nil {
			return err
		}
		k.b, err = io.ReadAll(r)
		r.Close()
		if err != nil {
			return err
		}
		g.t.pieces = append(g.t.pieces, k)
	}
	var lines []byte
	for _, x := range g.p.lines {
		var err error
		if lines, err = canon.Append(lines, x); err != nil {
			return err
		}
		lines = append(lines, '\n')
	}
	g.t.pieces = append(g.t.pieces, piece{name: nameExchanges, role: RoleExchange, media: typeLines, b: lines})
	return nil
}

// mediaType is what the service says, if it can stand in a Manifest.
func mediaType(s string) string {
	kind, sub, ok := strings.Cut(s, "/")
	plain := func(s string) bool {
		return s != "" && len(s) <= 64 && strings.Trim(strings.ToLower(s), "abcdefghijklmnopqrstuvwxyz0123456789.+-") == ""
	}
	if !ok || !plain(kind) || !plain(sub) {
		return "application/octet-stream"
	}
	return strings.ToLower(s)
}

// extension lets a person open the file; nothing that a machine would run has one.
func extension(mime string) string {
	known := []string{"image/jpeg .jpg", "image/png .png", "image/gif .gif", "image/webp .webp", "video/mp4 .mp4", "video/webm .webm", "video/quicktime .mov",
		"audio/mpeg .mp3", "audio/ogg .ogg", "audio/mp4 .m4a", "application/pdf .pdf"}
	if i := slices.IndexFunc(known, func(s string) bool { return strings.HasPrefix(s, strings.ToLower(mime)+" ") }); i >= 0 {
		return known[i][strings.IndexByte(known[i], '.'):]
	}
	return ""
}
