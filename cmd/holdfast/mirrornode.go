package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"holdfast/pipeline"
)

// nodeFiles copies what a node is made of beside its store, and no secret: keys,
// credentials and sessions stay where they are. Each file is replaced whole.
func (m *mirroring) nodeFiles(ctx context.Context) error {
	for _, name := range []string{fileSettings, fileAuthorities} {
		b, err := os.ReadFile(m.n.path(name))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err == nil {
			err = replaceFile(m.path(name), b)
		}
		if err != nil {
			return err
		}
	}
	if err := m.egresses(); err != nil {
		return err
	}
	p, err := m.n.policy()
	if err != nil {
		return err
	}
	b, err := p.Encode()
	if err == nil {
		err = replaceFile(m.path(filePolicy), b)
	}
	if err != nil {
		return err
	}
	if err := m.tasks(ctx); err != nil {
		return err
	}
	return m.chains(writeFile)
}

// egresses keeps the ways out without their logins.
func (m *mirroring) egresses() error {
	var list []egressEntry
	err := readJSON(m.n.path(fileEgresses), &list)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for i := range list {
		list[i].User, list[i].Password, list[i].LoginFor = "", "", ""
	}
	if err == nil {
		err = writeJSON(m.path(fileEgresses), list)
	}
	return err
}

func (m *mirroring) path(name string) string { return filepath.Join(m.dir, "node", name) }

// replaceFile is writeFile that leaves an equal file alone.
func replaceFile(name string, b []byte) error {
	if was, err := os.ReadFile(name); err == nil && bytes.Equal(was, b) {
		return nil
	}
	return writeFile(name, b)
}

// tasks keeps the wishes, one JSON object each, without their leases.
func (m *mirroring) tasks(ctx context.Context) error {
	var out bytes.Buffer
	enc, count := json.NewEncoder(&out), 0
	for t, err := range m.n.waiting(ctx) {
		if err != nil {
			return err
		}
		if t.Damaged { // nothing of it could be restored
			m.n.log.ErrorContext(ctx, "task not mirrored", "task", t.ID, "err", errDamaged)
			continue
		}
		t.Lease = pipeline.Lease{}
		if err := enc.Encode(t); err != nil {
			return err
		}
		count++
	}
	m.mark.Tasks = count
	return replaceFile(m.path("tasks.jsonl"), out.Bytes())
}

// chains copies each Custody chain up to its last whole line. A copy never
// becomes shorter or other than it was: a chain that does not continue its copy
// is not the chain that was mirrored. Without write they are only compared.
func (m *mirroring) chains(write func(name string, b []byte) error) error {
	names, err := filepath.Glob(filepath.Join(globEscape(m.n.path("outbox")), "*.jsonl"))
	if err != nil {
		return err
	}
	for _, name := range names {
		b, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		b = b[:bytes.LastIndexByte(b, '\n')+1] // the rest is just being written
		to := m.path(filepath.Join("outbox", filepath.Base(name)))
		was, err := os.ReadFile(to)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if !bytes.HasPrefix(b, was) {
			return fmt.Errorf("%w: custody chain %s is shorter here than in the mirror, or another", errNewer, filepath.Base(name))
		}
		if len(b) > len(was) && write != nil {
			if err := write(to, b); err != nil {
				return err
			}
		}
	}
	return nil
}

// readTasks reads what tasks wrote.
func readTasks(name string) (list []pipeline.Task, err error) {
	f, err := os.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	for dec := json.NewDecoder(f); ; {
		var t pipeline.Task
		err := dec.Decode(&t)
		if errors.Is(err, io.EOF) {
			return list, nil
		}
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", name, err)
		}
		list = append(list, t)
	}
}
