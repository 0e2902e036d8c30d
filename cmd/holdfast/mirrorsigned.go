package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"holdfast"
	"holdfast/hashing"
	"holdfast/messages"
	"holdfast/preserve"
	"holdfast/storage/file"
)

const (
	fileTasks  = "tasks.jsonl"           // in DIR/node
	fileSigned = "node/mirror.dsse.json" // a signedMirror in its envelope

	payloadMirror = "application/vnd.holdfast.mirror+json"
)

// signedMirror is what the node signs of a mirror, with its seal key: the mark
// of the state, and all that lies in DIR/node. The small files are in it whole,
// so that they and the signature are replaced by one write. It is written before
// the store of that state is copied: a store that holds more than the mark says
// has an older statement beside it.
type signedMirror struct {
	Kind    string            `json:"kind"` // "mirror"
	Version int               `json:"version"`
	Mark    mirrorMark        `json:"mark"` // without Whole
	Files   map[string][]byte `json:"files"`
	Tasks   hashing.Digest    `json:"tasks"`
	Chains  []signedChain     `json:"chains"`
}

// signedChain is a Custody chain as far as it was. It only grows.
type signedChain struct {
	Name   string         `json:"name"` // of the file
	Size   int64          `json:"size"`
	Digest hashing.Digest `json:"digest"`
}

func (s *signedMirror) write(ctx context.Context, key preserve.Signer, dir string) error {
	payload, err := json.Marshal(s)
	if err != nil {
		return err
	}
	sig, err := key.Sign(ctx, holdfast.PAE(payloadMirror, payload))
	if err == nil {
		sig, err = holdfast.LowS(sig)
	}
	if err != nil {
		return fmt.Errorf("sign mirror: %w", err)
	}
	b, err := (&holdfast.Envelope{Payload: payload, PayloadType: payloadMirror, Signatures: []holdfast.EnvelopeSignature{{Sig: sig}}}).Encode()
	if err == nil {
		err = replaceFile(filepath.Join(dir, fileSigned), b)
	}
	return err
}

// readSigned returns the statement of a mirror if a key of the node with this
// fingerprint has signed it. The node's entry, with its keys, is in the
// statement's own Policy: the fingerprint is its digest.
func readSigned(dir, fingerprint string) (*signedMirror, error) {
	raw, err := readMirror(dir, fileSigned, maxSigned)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("the mirror is not signed: it is of an older holdfast, its key was not at hand, or somebody has taken the statement away. Another mirror may be; without --node nothing is checked: %w", err)
	}
	if err != nil {
		return nil, err
	}
	e, err := holdfast.ParseEnvelope(raw, payloadMirror, maxSigned)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", fileSigned, err)
	}
	s := new(signedMirror)
	if err := decodeJSON(fileSigned, e.Payload, s); err != nil {
		return nil, err
	}
	if s.Kind != "mirror" || s.Version != 1 {
		return nil, fmt.Errorf("read %s: version %d: use a newer holdfast", fileSigned, s.Version)
	}
	p, err := holdfast.ParsePolicy(s.Files[filePolicy])
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", fileSigned, err)
	}
	for _, n := range p.Nodes {
		b, err := n.Encode()
		if err != nil || n.Name != s.Mark.Node || hashing.Of(b).Hex() != fingerprint {
			continue
		}
		for _, k := range n.Keys {
			if k.Until == nil && e.Verify(k.SPKI) == nil {
				return s, nil
			}
		}
		return nil, errors.New("the mirror's settings are not as the node has signed them: somebody has changed them. Use another mirror")
	}
	return nil, fmt.Errorf("the mirror is of %s, which has not this fingerprint: it is another node, somebody has changed the mirror, or the fingerprint is of before or after a change of keys", messages.Visible(s.Mark.Node))
}

// verify takes up what the node has signed, instead of what lies there.
func (r *restoring) verify() error {
	s, err := readSigned(r.from, r.o.node)
	if err != nil {
		return err
	}
	if s.Mark.ID != r.mark.ID {
		return errors.New("the statement is of another mirror: use one of them that is whole")
	}
	mark := s.Mark
	if r.cut = !mark.Begun.Equal(r.mark.Begun.Time); !r.cut {
		mark.Whole = r.mark.Whole
	}
	r.signed, r.mark = s, &mark
	return nil
}

// notBeyond refuses a store that has more than was signed: then the statement is
// an older one, of when other authorities or keys were trusted. A run that was
// cut short leaves no such store.
func (r *restoring) notBeyond(ctx context.Context, from *file.Store) error {
	if r.signed == nil {
		return nil
	}
	beyond := ""
	tree, err := preserve.LastTree(ctx, from, r.mark.VKey)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return err
	case r.mark.Log == nil || tree.Size > r.mark.Log.Size:
		beyond = fmt.Sprintf("a log of %d entries", tree.Size)
	}
	if seal := r.copy.NewestSeal(r.mark.Queue.Name); seal > r.mark.Queue.Seal {
		beyond = "Seal " + seal
	}
	if beyond != "" {
		return fmt.Errorf("the mirror has %s, and what the node has signed of its settings is older (%s): somebody has put an older statement there. Use another mirror", beyond, r.mark.Begun)
	}
	return nil
}

// nodeFile is a small file of the mirrored node.
func (r *restoring) nodeFile(name string) ([]byte, error) {
	if r.signed == nil {
		return readMirror(r.from, "node/"+name, mostOf(name))
	}
	b, ok := r.signed.Files[name]
	if !ok {
		return nil, fmt.Errorf("read %s of the mirror: %w", name, fs.ErrNotExist)
	}
	return b, nil
}

// chains takes over the Custody chains: what is signed, as far as it was; else
// what is there.
func (r *restoring) chains() error {
	if r.signed != nil {
		for _, c := range r.signed.Chains {
			if err := r.chain(c.Name, c.Size, &c.Digest); err != nil {
				return err
			}
		}
		return nil
	}
	names, err := mirrorChains(r.from)
	for _, name := range names {
		if err := r.chain(name, -1, nil); err != nil {
			return err
		}
	}
	return err
}

// chain copies one, up to size if that is not negative.
func (r *restoring) chain(name string, size int64, want *hashing.Digest) error {
	if _, err := holdfast.ParseID(strings.TrimSuffix(name, ".jsonl")); err != nil || name != filepath.Base(name) {
		r.named("outbox/"+name, "no custody chain has such a name: it was left out")
		return nil
	}
	f, err := openMirror(r.from, "node/outbox/"+name, maxChain)
	if err != nil {
		return err
	}
	defer f.Close()
	in := io.LimitReader(f, maxChain)
	if size >= 0 {
		in = io.LimitReader(f, size)
	}
	tmp := r.path("outbox/" + strings.TrimSuffix(name, ".jsonl") + ".copy")
	to, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	got, _, err := hashing.Copy(to, in)
	if err = errors.Join(err, to.Sync(), to.Close()); err != nil {
		return err
	}
	if want != nil && got != *want {
		return fmt.Errorf("custody chain %s of the mirror is not as the node has signed it, or was cut: use another mirror", name)
	}
	if err := os.Rename(tmp, r.path("outbox/"+name)); err != nil {
		return err
	}
	return syncPath(r.path("outbox"))
}

// apart reports whether neither of two places lies in the other, links followed.
func apart(a, b string) (bool, error) {
	a, err := realPath(a)
	if err != nil {
		return false, err
	}
	b, err = realPath(b)
	return !within(a, b) && !within(b, a), err
}

// realPath follows links in the part of a path that is there.
func realPath(path string) (string, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	real, err := filepath.EvalSymlinks(path)
	if errors.Is(err, fs.ErrNotExist) && filepath.Dir(path) != path {
		dir, err := realPath(filepath.Dir(path))
		return filepath.Join(dir, filepath.Base(path)), err
	}
	return real, err
}

// noLinks refuses a mirror whose own folders lead elsewhere: what is written to
// it would replace files there, the node's perhaps.
func noLinks(dir string) error {
	for _, name := range []string{"node", "node/outbox", "store", fileMirrorLock} {
		st, err := os.Lstat(filepath.Join(dir, filepath.FromSlash(name)))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		if name == fileMirrorLock && !st.Mode().IsRegular() || name != fileMirrorLock && !st.IsDir() {
			return fmt.Errorf("%w: %s in %s is a link, or not what holdfast made", errNoMirror, name, dir)
		}
	}
	return nil
}
