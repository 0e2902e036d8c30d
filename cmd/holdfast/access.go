package main

import (
	"context"
	"fmt"
	"io"
	"mime"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"holdfast"
	"holdfast/catalog"
	"holdfast/hashing"
	"holdfast/kept"
	"holdfast/pipeline"
)

// accessed writes who looked at a capture, before it is shown: what custody
// cannot say is not shown. Looking at an Event is no access to what was captured.
func (n *node) accessed(ctx context.Context, cp catalog.Capture, who holdfast.Agent, why string) error {
	if cp.Kind != holdfast.KindCapture {
		return nil
	}
	_, err := n.outbox.Append(ctx, pipeline.Entry{Case: cp.Case, Action: "accessed", Agent: who, Objects: []string{string(cp.ID)}, Why: why})
	if err != nil {
		return fmt.Errorf("write that %s is looked at: %w", cp.ID, err)
	}
	return nil
}

// pictured is the Object that show --open opens: the picture of the page, else
// the first that is not restricted.
func pictured(m *holdfast.Manifest) *holdfast.Object {
	var first *holdfast.Object
	for i := range m.Objects {
		o := &m.Objects[i]
		if o.Role == "screenshot" {
			return o
		}
		if first == nil && !o.Restricted {
			first = o
		}
	}
	return first
}

// openCopy copies an Object out of the store, hashed again, into a file that only
// this user can read, and hands it to the desktop. The copy stays: the program
// that shows it may read it for as long as it runs. It lies in the system's
// folder for what is temporary, which empties it.
func openCopy(ctx context.Context, s *kept.Reader, m *holdfast.Manifest) (string, error) {
	o := pictured(m)
	if o == nil {
		return "", fmt.Errorf("capture %s has nothing that could be opened", m.ID)
	}
	r, err := s.OpenObject(ctx, m.ID, *o)
	if err != nil {
		return "", err
	}
	defer r.Close()
	f, err := os.CreateTemp("", "holdfast-*"+suffix(o)) // 0600
	if err != nil {
		return "", fmt.Errorf("make a copy of %s: %w", o.Name, err)
	}
	_, err = io.Copy(f, hashing.NewReader(r, o.Digest, o.Size))
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = startOpener(ctx, f.Name())
	}
	if err != nil {
		os.Remove(f.Name())
		return "", fmt.Errorf("open a copy of %s: %w", o.Name, err)
	}
	return f.Name(), nil
}

// suffix is what the desktop goes by. It follows from the media type of what
// cannot run: anything else is shown as text, whatever its name says.
func suffix(o *holdfast.Object) string {
	t, _, err := mime.ParseMediaType(o.Type)
	switch {
	case err != nil:
	case t == "image/png":
		return ".png"
	case t == "image/jpeg":
		return ".jpg"
	case t == "image/webp":
		return ".webp"
	case t == "application/pdf":
		return ".pdf"
	case t == "application/zip" || strings.HasSuffix(o.Name, ".wacz"):
		return ".zip"
	}
	return ".txt"
}

// startOpener does not wait for the program that shows the file; the one that
// looks for it answers at once.
func startOpener(ctx context.Context, file string) error {
	name := "xdg-open"
	if runtime.GOOS == "darwin" {
		name = "open"
	}
	path, err := exec.LookPath(name)
	if err != nil {
		return fmt.Errorf("%w: there is no desktop here; `holdfast export` gives the file out", err)
	}
	ctx, stop := context.WithTimeout(ctx, 20*time.Second)
	defer stop()
	cmd := exec.CommandContext(ctx, path, filepath.Clean(file))
	cmd.WaitDelay = time.Second
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %.200q", name, err, out)
	}
	return nil
}
