package main

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"holdfast"
	"holdfast/alert"
	"holdfast/alert/rules"
	"holdfast/catalog"
	"holdfast/collectors/telegram"
	"holdfast/egress"
	"holdfast/messages"
	"holdfast/search"
)

func (c *cli) alertCmd() *cobra.Command {
	return group("alert", "Be told of texts, edits, deletions and silence", `holdfast alert add fire --match 'fire harbour' --to feed.atom`,
		c.alertAddCmd(), c.alertListCmd(), c.alertRemoveCmd(), c.alertSendCmd())
}

type alertOptions struct {
	rule     rules.Rule
	caseName string
	source   string
	dryRun   bool
}

func (c *cli) alertAddCmd() *cobra.Command {
	var o alertOptions
	cmd := command("add NAME (--match QUERY | --edited | --deleted | --silent TIME) [--source SOURCE] [--case NAME] --to WHERE… [--via EGRESS] [--dry-run]", "Add an alert",
		"holdfast alert add fire --match 'fire harbour' --to mailto:desk@host --smtp smtps://host --from node@host", cobra.ExactArgs(1), func(cmd *cobra.Command, args []string) error {
			o.rule.Name = args[0]
			return c.alertAdd(cmd.Context(), o)
		})
	cmd.Long = `An alert is told of what is accepted from now on, once for each text, version, deletion
or silence:
  --match    a text that ` + "`holdfast search`" + ` would find with the same QUERY
  --edited   a version of a post that follows another
  --deleted  a post that the service says is gone
  --silent   nothing new from SOURCE for so long (6h)
--to is mailto:NAME@HOST (with --smtp and --from), https://… (a signed POST, with
--secret-file), exec:/PATH/OF/PROGRAM (JSON on its standard input), or FILE.atom. It is
told at least once, with an id by which a repetition is known; what fails is tried
again, and shown by ` + "`alert list`" + ` and ` + "`doctor`" + `. It is told by whoever works (capture, watch run,
seal), or by ` + "`alert send`" + `; of nodes that share a queue by one of the processes of
` + "`node index`" + ` or ` + "`node all`" + `, so the files and programs that it names are on each
of their machines, at the same path. What is told leaves this node: others read of a Case by it.
--dry-run shows what it would have told of what is there, and adds nothing.`
	s, r := cmd.Flags(), &o.rule
	s.StringVar(&r.Match, "match", "", "what `holdfast search` would find")
	s.BoolVar(&r.Edited, "edited", false, "versions that follow another")
	s.BoolVar(&r.Deleted, "deleted", false, "posts that are gone")
	s.StringVar(&r.Silent, "silent", "", "nothing new for so long: 6h")
	s.StringVar(&o.source, "source", "", "only of this channel, or of this address and what lies below")
	s.StringVar(&o.caseName, "case", "", "only of captures at home in this Case")
	s.StringVar(&r.Via, "via", "", "way out to webhooks and mail servers: an egress's name, or direct; else the node's")
	s.StringArrayVar(&r.To, "to", nil, "where it goes; may be repeated")
	s.StringVar(&r.SecretFile, "secret-file", "", "file with the secret that signs what webhooks get")
	s.StringVar(&r.SMTP, "smtp", "", "mail server: smtps://HOST, or smtp://HOST that begins TLS")
	s.StringVar(&r.From, "from", "", "address that mail comes from")
	s.StringVar(&r.SMTPUser, "smtp-user", "", "user of the mail server")
	s.StringVar(&r.PasswordFile, "password-file", "", "file with that user's password")
	s.BoolVar(&o.dryRun, "dry-run", false, "show what it would have told so far, and add nothing")
	return cmd
}

// settle makes what a person wrote into what is kept.
func (o *alertOptions) settle() error {
	r := &o.rule
	if o.source != "" {
		if r.Source = holdfast.Source(o.source); !strings.Contains(o.source, "://") {
			name, err := telegram.ParseName(o.source)
			if err != nil {
				return usageError("alert: --source: %w, or https://HOST/…", err)
			}
			r.Source = holdfast.Source(telegram.Name{Channel: name.Channel}.Source())
		}
	}
	for i, to := range r.To {
		if strings.HasSuffix(to, ".atom") && !strings.Contains(to, ":") {
			abs, err := filepath.Abs(to)
			if err != nil {
				return err
			}
			r.To[i] = abs
		}
	}
	for _, file := range []*string{&r.SecretFile, &r.PasswordFile} {
		if *file != "" {
			abs, err := filepath.Abs(*file)
			if err != nil {
				return err
			}
			*file = abs
		}
	}
	err := r.Check()
	if err == nil && !o.dryRun {
		err = r.CheckTargets()
	}
	if err != nil {
		return usageError("%w", err)
	}
	return nil
}

func (c *cli) alertAdd(ctx context.Context, o alertOptions) error {
	if err := o.settle(); err != nil {
		return err
	}
	n, err := c.open(ctx)
	if err != nil {
		return err
	}
	defer n.Close()
	if o.caseName != "" {
		cs, err := n.namedCase(ctx, o.caseName)
		if err != nil {
			return fmt.Errorf("alert: case %.80q: %w; `holdfast case list` shows the cases", o.caseName, err)
		}
		o.rule.Case = cs.ID
	}
	if o.rule.Via != "" { // else the node's own, looked up each time
		if _, err := n.wayOut(o.rule.Via, ""); err != nil {
			return err
		}
	}
	if o.dryRun {
		return c.alertTry(ctx, n, &o.rule)
	}
	o.rule.Added = holdfast.At(time.Now())
	if err := n.addAlert(ctx, &o.rule); err != nil {
		return err
	}
	c.say(map[string]any{"event": "added", "name": o.rule.Name, "kind": o.rule.Kind()}, "%s is told of from now on", o.rule.Name)
	return nil
}

// alertTry shows what a rule would have told.
func (c *cli) alertTry(ctx context.Context, n *node, r *rules.Rule) error {
	if err := n.refresh(ctx); err != nil {
		return err
	}
	f := newFinder(n, []*rules.Rule{r})
	var events []alert.Event
	var err error
	switch r.Kind() {
	case "match":
		q := catalog.TextQuery{Member: r.Case, Limit: catalog.MaxHits}
		if q.Words, err = search.Parse(r.Match); err != nil {
			return err
		}
		so := searchOptions{source: string(r.Source), timeout: time.Minute}
		return c.search(ctx, n, q, so)
	case "silent":
		events, err = f.Silent(ctx, time.Now())
	default:
		if r.Source == "" {
			return usageError("alert: --dry-run of --%s needs --source: whose posts", r.Kind())
		}
		events, err = f.Past(ctx, r)
	}
	if err != nil {
		return err
	}
	for _, e := range events {
		c.say(e, "%s\n    %s", e.Words, e.Text)
	}
	c.say(map[string]any{"event": "tried", "events": len(events)}, "%d would have been told; nothing was added", len(events))
	return nil
}

func (c *cli) alertListCmd() *cobra.Command {
	return command("list", "Show the alerts, and what is not told yet", "holdfast alert list --json", cobra.NoArgs, func(cmd *cobra.Command, _ []string) error {
		ctx := cmd.Context()
		n, err := c.open(ctx)
		if err != nil {
			return err
		}
		defer n.Close()
		all, err := n.alerts(ctx)
		if err != nil || len(all) == 0 {
			return err
		}
		out, err := n.alertBox(ctx)
		if err != nil {
			return err
		}
		defer out.Close()
		for _, r := range all {
			if err := c.alertLine(ctx, out, r); err != nil {
				return err
			}
		}
		return nil
	})
}

// alertLine is one row of `alert list --json`, a contract, and its lines.
func (c *cli) alertLine(ctx context.Context, out alertTeller, r *rules.Rule) error {
	text := fmt.Sprintf("%-16s %s", r.Name, r.Kind())
	if r.Match != "" {
		text += " " + r.Match
	}
	if r.Silent != "" {
		text += " " + r.Silent
	}
	if r.Source != "" {
		text += "  of " + string(r.Source)
	}
	if r.Via != "" {
		text += "  via " + egress.Shown(r.Via)
	}
	var to []map[string]any
	for _, dest := range r.To {
		s, err := out.State(ctx, r.Name, dest)
		if err != nil {
			return err
		}
		row := map[string]any{"to": dest, "waiting": s.Waiting, "told": s.Told, "failed": s.Tries, "error": textOrNil(s.Error), "next": nil}
		text += fmt.Sprintf("\n    %s  %d told, %d waiting", dest, s.Told, s.Waiting)
		if s.Tries > 0 {
			row["next"] = holdfast.At(s.Next)
			text += fmt.Sprintf("  FAILED %d times, next at %s: %s", s.Tries, holdfast.At(s.Next), s.Error)
		}
		to = append(to, row)
	}
	c.say(map[string]any{"name": r.Name, "kind": r.Kind(), "match": textOrNil(r.Match), "silent": textOrNil(r.Silent), "source": textOrNil(string(r.Source)),
		"case_id": textOrNil(string(r.Case)), "via": textOrNil(r.Via), "added": r.Added, "to": to}, "%s", visibleLines(text))
	return nil
}

func visibleLines(s string) string {
	lines := strings.Split(s, "\n")
	for i := range lines {
		lines[i] = messages.Visible(lines[i])
	}
	return strings.Join(lines, "\n")
}

func (c *cli) alertRemoveCmd() *cobra.Command {
	return command("remove NAME", "Remove an alert; what it has not told yet is not told", "holdfast alert remove fire", cobra.ExactArgs(1), func(cmd *cobra.Command, args []string) error {
		ctx := cmd.Context()
		n, err := c.open(ctx)
		if err != nil {
			return err
		}
		defer n.Close()
		if err := n.removeAlert(ctx, args[0]); err != nil {
			return err
		}
		c.say(map[string]any{"event": "removed", "name": args[0]}, "%s is removed", args[0])
		return nil
	})
}

func (c *cli) alertSendCmd() *cobra.Command {
	cmd := command("send", "Look at what was accepted, and tell now what is due", "holdfast alert send", cobra.NoArgs, func(cmd *cobra.Command, _ []string) error {
		n, err := c.open(cmd.Context())
		if err != nil {
			return err
		}
		defer n.Close()
		p, err := n.alertPass(cmd.Context(), true)
		if err != nil {
			return err
		}
		c.say(map[string]any{"event": "sent", "found": p.found, "told": p.told, "failed": p.failed}, "%d found, %d told", p.found, p.told)
		if p.failed > 0 {
			return fmt.Errorf("alert: %d destinations could not be told; they are tried again: `holdfast alert list` says why", p.failed)
		}
		return nil
	})
	cmd.Long = "Whoever works (capture, watch run, seal) does this by itself every few seconds; this is\nfor a node at which nobody does, as from cron. It tries also what waits after a failure.\nOf a queue that is shared, `node index` looks; this waits for it, and tells."
	return cmd
}
