package main

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"holdfast"
	"holdfast/api"
	"holdfast/catalog"
	"holdfast/export"
	"holdfast/hashing"
	"holdfast/messages"
	"holdfast/wholefile"
)

// remote are the flags of a command that can be answered by a node elsewhere: then it
// opens no directory and starts no browser here.
type remote struct {
	server, tokenFile, ca string
}

const remoteHelp = "\n\nWith --server URL the node there does it ('holdfast node api'), with the same output and\nexit status, for whoever has a token: in HOLDFAST_TOKEN, or the file of --token-file."

func (r *remote) flags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&r.server, "server", "", "let the node at this address do it, such as https://node.example.org:8017")
	cmd.Flags().StringVar(&r.tokenFile, "token-file", "", "with --server: the file with the token, that only you can read (default: HOLDFAST_TOKEN)")
	cmd.Flags().StringVar(&r.ca, "server-ca", "", "with --server: PEM file of who vouches for its certificate (default: whom the system trusts)")
	cmd.Long += remoteHelp
}

// asked says whether a node elsewhere is to do it, and refuses flags that only count
// on the node's own machine.
func (r *remote) asked(cmd *cobra.Command, local ...string) (bool, error) {
	if r.server == "" {
		if r.tokenFile != "" || r.ca != "" {
			return false, usageError("--token-file and --server-ca go with --server")
		}
		return false, nil
	}
	for _, f := range append(local, "data") {
		if cmd.Flags().Changed(f) {
			return false, usageError("--%s does not go with --server: it is the node's own affair there", f)
		}
	}
	return true, nil
}

func (r *remote) client() (*api.Client, error) {
	token := os.Getenv("HOLDFAST_TOKEN")
	if r.tokenFile != "" {
		var err error
		if token, err = wholefile.SecretLine(r.tokenFile); err != nil {
			return nil, usageError("--token-file: %w", err)
		}
	}
	if token == "" {
		return nil, usageError("no token: put it into a file that only you can read and give --token-file FILE, or into HOLDFAST_TOKEN; `holdfast token add` on the node makes one")
	}
	var roots *x509.CertPool
	if r.ca != "" {
		b, err := wholefile.Read(r.ca, wholefile.MaxJSON)
		if err != nil {
			return nil, usageError("--server-ca: %w", err)
		}
		if roots = x509.NewCertPool(); !roots.AppendCertsFromPEM(b) {
			return nil, usageError("--server-ca %s: no certificate in PEM is in it", r.ca)
		}
	}
	k, err := api.NewClient(r.server, token, roots)
	if err != nil {
		return nil, usageError("%w", err)
	}
	return k, nil
}

// rowOf is a row of the API as the catalog would have told it.
func rowOf(k api.Capture) (catalog.Capture, error) {
	d, err := hashing.Parse(k.Manifest)
	if err != nil {
		return catalog.Capture{}, fmt.Errorf("read capture %s: %w", k.ID, err)
	}
	cp := catalog.Capture{ID: k.ID, Source: k.Source, Case: k.CaseID, Started: k.Started, Ended: k.Ended, Outcome: k.Outcome, State: k.State, Reason: k.Reason, Seal: k.Seal,
		Manifest: d, Exhibit: k.Exhibit, Training: k.Training, Conflicts: make([]catalog.Conflict, min(max(k.Conflicts, 0), 1000))}
	if k.NotAfter != nil {
		cp.T = k.NotAfter.Time
	}
	return cp, nil
}

func (c *cli) listRemote(ctx context.Context, r remote, caseName, state string) error {
	k, err := r.client()
	if err != nil {
		return err
	}
	q := url.Values{"limit": {"1000"}}
	if caseName != "" {
		q.Set("case", caseName)
	}
	if state != "" {
		q.Set("state", state)
	}
	for {
		p, err := k.List(ctx, q)
		if err != nil {
			return fmt.Errorf("list: %w", err)
		}
		for _, row := range p.Captures {
			cp, err := rowOf(row)
			if err != nil {
				return err
			}
			c.sayListed(cp, row.Case)
		}
		if p.Next == "" {
			return nil
		}
		q.Set("after", p.Next)
	}
}

func (c *cli) showRemote(ctx context.Context, r remote, id holdfast.ID, o showOptions) error {
	k, err := r.client()
	if err != nil {
		return err
	}
	raw, err := k.Manifest(ctx, id, o.why)
	if err != nil {
		return fmt.Errorf("show %s: %w", id, err)
	}
	m, err := holdfast.ParseManifest(raw)
	if err != nil {
		return fmt.Errorf("show %s: %w", id, err)
	}
	row, err := k.Capture(ctx, id)
	if err != nil {
		return fmt.Errorf("show %s: %w", id, err)
	}
	cp, err := rowOf(row)
	if err != nil {
		return err
	}
	if hashing.Of(raw) != cp.Manifest || m.ID != id {
		return fmt.Errorf("show %s: the node's list and its manifest do not agree: ask for it again", id)
	}
	cp.Node = m.Collection.Node
	shown := listed(cp, row.Case)
	shown["manifest_json"] = json.RawMessage(raw)
	c.say(shown, "%s", describe(cp, row.Case, m, nil))
	return nil
}

// exportRemote takes a Bundle into a file: beside its name until all of it is there.
func (c *cli) exportRemote(ctx context.Context, r remote, ids []string, file string, o exportOptions) error {
	a := api.BundleAsk{Restricted: o.restricted, Why: o.why, Lang: o.lang}
	for _, s := range ids {
		id, err := holdfast.ParseID(s)
		if err != nil {
			return usageError("%w; `holdfast list --server` shows the ids", err)
		}
		a.Captures = append(a.Captures, id)
	}
	if len(ids) > api.MaxExport {
		return usageError("%d captures: at most %d at once over --server; export the case", len(ids), api.MaxExport)
	}
	k, err := r.client()
	if err != nil {
		return err
	}
	return c.takeBundle(ctx, k, a, o.caseName, file, o.replace)
}

func (c *cli) takeBundle(ctx context.Context, k *api.Client, a api.BundleAsk, caseName, file string, replace bool) error {
	if !replace {
		if _, err := os.Lstat(file); err == nil {
			return fmt.Errorf("export to %s: %w: choose another name, or --replace", file, export.ErrExists)
		}
	}
	langs, err := pageLanguage(a.Lang)
	if err != nil {
		return err
	}
	a.Lang = langs[0]
	tmp, err := os.CreateTemp(filepath.Dir(file), "."+filepath.Base(file)+".*.part")
	if err != nil {
		return fmt.Errorf("export to %s: %w", file, err)
	}
	defer os.Remove(tmp.Name()) // fails once the file has its name
	sum, err := k.Bundle(ctx, a, caseName, tmp)
	if err == nil {
		err = tmp.Chmod(0o644)
	}
	if err == nil {
		err = tmp.Sync()
	}
	if cerr := tmp.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		if replace {
			err = os.Rename(tmp.Name(), file)
		} else if err = os.Link(tmp.Name(), file); errors.Is(err, os.ErrExist) {
			err = fmt.Errorf("%w: choose another name, or --replace", export.ErrExists)
		}
	}
	if err != nil {
		return fmt.Errorf("export to %s: %w", file, err)
	}
	for _, note := range sum.Notes {
		fmt.Fprintf(c.errs, "holdfast: note: %s\n", messages.Visible(note))
	}
	c.sayExported(file, sum)
	return nil
}

func (c *cli) sayExported(file string, sum api.Summary) {
	c.say(map[string]any{"event": "exported", "file": file, "exhibits": sum.Exhibits, "unsealed": sum.Unsealed, "bytes": sum.Bytes, "withheld": sum.Withheld, "statement": sum.Statement},
		"exported  %s  %d exhibits, %d objects withheld%s", file, sum.Exhibits, sum.Withheld, unsealedText(sum.Unsealed))
}

func (c *cli) watchAddRemote(ctx context.Context, r remote, rows []watchRow) error {
	k, err := r.client()
	if err != nil {
		return err
	}
	var a api.WatchAsk
	for _, w := range rows {
		a.Watches = append(a.Watches, api.Watch{Source: w.name, Cases: w.cases, Lang: w.lang, Note: w.note, Priority: w.priority, Media: w.media, MaxSize: givenSize(w), Links: w.links,
			Web: w.web, Since: w.since, AllowPrivate: w.allowPrivate, Every: w.every, Cron: w.cron, Zone: w.zone, Decaying: w.decaying,
			Session: w.how.session, Consent: w.how.consent, More: w.how.more, Decoded: w.how.decoded, Films: w.how.films})
	}
	if len(rows) > api.MaxWatches {
		return usageError("%d rows: at most %d at once over --server; split the list", len(rows), api.MaxWatches)
	}
	done, err := k.AddWatches(ctx, a)
	if p := (*api.Problem)(nil); errors.As(err, &p) && p.Status < 500 {
		return &exitError{exitUsage, err}
	}
	if err != nil {
		return fmt.Errorf("watch add: %w", err)
	}
	for _, note := range done.Notes {
		c.complain(errors.New(note))
	}
	for _, w := range done.Watches {
		c.say(map[string]any{"event": w.Event, "source": w.Source, "cases": w.Cases}, "%-9s %s", w.Event, messages.Visible(string(w.Source)))
	}
	return nil
}

// givenSize is the size that somebody gave: the default is the node's.
func givenSize(w watchRow) string {
	if w.maxSize == mediaSize {
		return ""
	}
	return w.maxSize
}

func (c *cli) watchChangeRemote(ctx context.Context, r remote, a api.WatchChange) error {
	k, err := r.client()
	if err != nil {
		return err
	}
	done, err := k.ChangeWatches(ctx, a)
	if err != nil {
		return fmt.Errorf("watch: %w", err)
	}
	for _, w := range done.Watches {
		c.say(map[string]any{"event": w.Event, "source": w.Source}, "%-9s %s", w.Event, messages.Visible(string(w.Source)))
	}
	return nil
}

func (c *cli) watchListRemote(ctx context.Context, r remote) error {
	k, err := r.client()
	if err != nil {
		return err
	}
	all, err := k.Watches(ctx)
	if err != nil {
		return fmt.Errorf("watch list: %w", err)
	}
	for _, raw := range all.Watches {
		var row map[string]any
		if err := json.Unmarshal(raw, &row); err != nil {
			return fmt.Errorf("watch list: %w", err)
		}
		text, _ := row["text"].(string) // a node without it shows nothing here, and all with --json
		delete(row, "text")
		lines := strings.Split(text, "\n")
		for i := range lines {
			lines[i] = messages.Visible(lines[i])
		}
		c.say(row, "%s", strings.Join(lines, "\n"))
	}
	return nil
}
