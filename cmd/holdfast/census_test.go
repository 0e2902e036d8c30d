package main

import (
	"archive/zip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// census is what lies in a store, read with nothing of ours but the format.
type census struct {
	plans    map[string]int // capture or Event ID → plans that hold it
	seals    int
	captures int
	events   int
	skipped  map[string]int    // positions that a plan leaves out, by reason
	large    map[string]string // digest of an Object that is in no pack of its Seal → capture ID
}

// countStore reads every plan and finds each planned Manifest, by its digest,
// in a pack of the same Seal. A Seal must have all its parts.
func countStore(t *testing.T, data string) census {
	t.Helper()
	c, wrong := storeCensus(data)
	for _, err := range wrong {
		t.Error(err)
	}
	if c.seals == 0 {
		t.Fatalf("no seals in %s", data)
	}
	return c
}

// storeCensus is countStore with what is wrong, or not there yet.
func storeCensus(data string) (c census, wrong []error) {
	c = census{plans: map[string]int{}, large: map[string]string{}, skipped: map[string]int{}}
	dirs, err := filepath.Glob(filepath.Join(data, "store", "seals", "*"))
	if err != nil {
		return c, []error{err}
	}
	for _, dir := range dirs {
		if err := c.seal(filepath.Join(data, "store"), dir); err != nil {
			wrong = append(wrong, fmt.Errorf("seal %s: %w", filepath.Base(dir), err))
		}
	}
	return c, wrong
}

func (c *census) seal(store, dir string) error {
	b, err := os.ReadFile(filepath.Join(dir, "plan.json"))
	if err != nil {
		return err
	}
	var plan struct {
		Captures []struct{ ID, Manifest string }
		Packs    []struct{ Name string }
		Skipped  []struct{ Reason string }
	}
	if err := json.Unmarshal(b, &plan); err != nil {
		return err
	}
	c.seals++
	for _, s := range plan.Skipped {
		c.skipped[s.Reason]++
	}
	if len(plan.Captures) == 0 {
		return nil
	}
	for _, part := range []string{"statement.dsse.json", "inclusion/*/*.json", "checkpoint/*/*", "timestamps/alpha/*.tst", "timestamps/beta/*.tst"} {
		if found, _ := filepath.Glob(filepath.Join(dir, part)); len(found) == 0 {
			return fmt.Errorf("there is no %s", part)
		}
	}
	packed := map[string][]byte{}
	for _, p := range plan.Packs {
		if err := readPack(filepath.Join(store, filepath.FromSlash(p.Name)), packed); err != nil {
			return err
		}
	}
	for _, m := range plan.Captures {
		c.plans[m.ID]++
		if err := c.manifest(m.ID, strings.TrimPrefix(m.Manifest, "sha256:"), packed); err != nil {
			return err
		}
	}
	return nil
}

func (c *census) manifest(id, digest string, packed map[string][]byte) error {
	var m struct {
		ID, Kind string
		Objects  []struct{ Digest string }
	}
	if err := json.Unmarshal(packed[digest], &m); err != nil || m.ID != id {
		return fmt.Errorf("manifest of %s: it is of %q: %v", id, m.ID, err)
	}
	for _, o := range m.Objects {
		if hex := strings.TrimPrefix(o.Digest, "sha256:"); packed[hex] == nil {
			c.large[hex] = id
		}
	}
	if m.Kind == "event" {
		c.events++
	} else {
		c.captures++
	}
	return nil
}

// readPack adds the entries whose bytes are those that their name says.
func readPack(name string, into map[string][]byte) error {
	z, err := zip.OpenReader(name)
	if err != nil {
		return err
	}
	defer z.Close()
	for _, f := range z.File {
		r, err := f.Open()
		if err != nil {
			return err
		}
		b, err := io.ReadAll(r)
		r.Close()
		sum := sha256.Sum256(b)
		if err != nil || hex.EncodeToString(sum[:]) != f.Name {
			return fmt.Errorf("entry %s of %s has other bytes: %v", f.Name, name, err)
		}
		into[f.Name] = b
	}
	return nil
}
