package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"holdfast"
	"holdfast/api"
	"holdfast/canon"
	"holdfast/catalog"
	"holdfast/collectors/telegram/accounts"
	"holdfast/messages"
	"holdfast/pipeline"
)

// fileTokens is who may call the node: hashes, no secret. Lost, nobody may.
const fileTokens = "tokens.json"

func (c *cli) tokenCmd() *cobra.Command {
	return group("token", "Tokens: who may ask this node for captures over the network", "holdfast token add desk-4 --scope capture,read,export --case 2026-017",
		c.tokenAddCmd(), c.tokenListCmd(), c.tokenRevokeCmd())
}

// tokenWish is what `token add` is asked for.
type tokenWish struct {
	name, until   string
	scopes, cases []string
	sessions      []string
	private       bool
	agent         initOptions
}

func (c *cli) tokenAddCmd() *cobra.Command {
	var o tokenWish
	cmd := command("add NAME --scope SCOPE,… --case NAME… [--until DATE] [--agent TEXT] [--role TEXT] [--office TEXT]", "Make a token, and show it once", "holdfast token add desk-4 --scope capture,read,export --case 2026-017 --until 2026-12-31", cobra.ExactArgs(1),
		func(cmd *cobra.Command, args []string) error {
			o.name = args[0]
			t, err := o.token(cmd, time.Now())
			if err != nil {
				return err
			}
			n, err := c.open(cmd.Context())
			if err != nil {
				return err
			}
			defer n.Close()
			return c.tokenAdd(cmd, n, t, o)
		})
	cmd.Long = `Who has the token acts, over 'holdfast node api', as the Agent that is given here, by
default NAME of this node's office, in these Cases alone:

  capture     ask for captures, and see what became of them
  watch       add watches, and see how they are
  read        list captures, see their state and Manifests
  export      take bundles;  restricted: with the restricted objects too

--session NAME lets it have pages captured, or watched, with that login ('holdfast
session'), and with no other: it sees what the account sees, in its Cases, and every
address that it asks for is asked for in the name of that account. Sources in the record
of the Case ('holdfast case edit --source') bound where. With restricted it can take the
cookies themselves out.

It is good at this node's door, and where nodes share a queue at the door of each. It
is shown once; its hash alone is kept. Give it by a way of its own, into a
file that only its owner can read (--token-file) or HOLDFAST_TOKEN. That it was made,
each call with it, and its end are lines of custody.

exit status: 0 done  1 could not  2 usage`
	f := cmd.Flags()
	f.StringSliceVar(&o.scopes, "scope", nil, "what it may: capture, watch, read, export, restricted")
	f.StringArrayVar(&o.cases, "case", nil, "a Case that it is for; several times for several")
	f.StringSliceVar(&o.sessions, "session", nil, "a session at web sites that it may use; several times for several (default none)")
	f.StringVar(&o.until, "until", "", "the last day (or moment) on which it is good")
	f.BoolVar(&o.private, "allow-private", false, "it may let addresses inside the node's own network be captured")
	f.StringVar(&o.agent.agent.Pseudonym, "agent", "", "as whom it acts: a pseudonym, since it stands in every bundle")
	f.StringVar(&o.agent.agent.Role, "role", "", "in which role")
	f.StringVar(&o.agent.agent.Office, "office", "", "for which office")
	return cmd
}

// token checks all that can be checked without the node.
func (o *tokenWish) token(cmd *cobra.Command, now time.Time) (t api.Token, err error) {
	switch {
	case !api.ValidName(o.name):
		return t, usageError("name %.60q: use 1 to 40 of a-z, 0-9 and -", o.name)
	case len(o.scopes) == 0:
		return t, usageError("--scope is missing: %s", strings.Join(api.Scopes(), ", "))
	case len(o.cases) == 0:
		return t, usageError("--case is missing: a token is for the Cases that are named; `holdfast case list` shows them")
	}
	for _, s := range api.Scopes() { // in their order, each once
		if slices.Contains(o.scopes, s) {
			t.Scopes = append(t.Scopes, s)
		}
	}
	for _, s := range o.scopes {
		if !slices.Contains(api.Scopes(), s) {
			return t, usageError("--scope %.40q: it is one of %s", s, strings.Join(api.Scopes(), ", "))
		}
	}
	if err := o.checkSessions(t); err != nil {
		return t, err
	}
	t.Sessions = o.sessions
	if err := o.agent.checkAgent(); err != nil {
		return t, err
	}
	until, err := parseWhen("--until", o.until, true)
	if err != nil {
		return t, err
	}
	if o.until != "" {
		if !until.After(now) {
			return t, usageError("--until %s is over", o.until)
		}
		t.Until = &until
	}
	t.Name, t.AllowPrivate, t.Added = o.name, o.private, holdfast.At(now)
	return t, nil
}

// maxTokenSessions is for how many sessions one token is, at most.
const maxTokenSessions = 20

// checkSessions refuses names that are none, and those that nothing could be done with.
func (o *tokenWish) checkSessions(t api.Token) error {
	slices.Sort(o.sessions)
	o.sessions = slices.Compact(o.sessions)
	for _, s := range o.sessions {
		if !accounts.ValidName(s) || s == noSession {
			return usageError("--session %.60q: a name of `holdfast session list`", s)
		}
	}
	switch {
	case len(o.sessions) > maxTokenSessions:
		return usageError("--session: %d names, at most %d", len(o.sessions), maxTokenSessions)
	case len(o.sessions) > 0 && !t.May(api.ScopeCapture) && !t.May(api.ScopeWatch):
		return usageError("--session goes with the scope capture or watch: nothing else uses one")
	}
	return nil
}

// sessionWarnings are what who makes a token for sessions should know.
func (n *node) sessionWarnings(t api.Token) (notes []string) {
	for _, s := range t.Sessions {
		if n.sessionThere(s) != nil {
			notes = append(notes, fmt.Sprintf("this node has no session %s yet: `holdfast session add %s --cookies FILE` makes one", s, s))
		}
	}
	if len(t.Sessions) > 0 && t.May(api.ScopeRestricted) {
		notes = append(notes, "with restricted its owner can take the cookies of these sessions out, and log in elsewhere with them")
	}
	return notes
}

func (c *cli) tokenAdd(cmd *cobra.Command, n *node, t api.Token, o tokenWish) error {
	ctx := cmd.Context()
	for _, name := range o.cases {
		cs, err := n.findCase(ctx, name)
		if err != nil {
			return fmt.Errorf("%w, and `holdfast case new` makes one", err)
		}
		if !t.For(cs.ID) {
			t.Cases = append(t.Cases, cs.ID)
		}
	}
	t.Agent = o.agent.agentOf(cmd, holdfast.Agent{Office: n.set.Agent.Office, Pseudonym: t.Name})
	text := t.Mint()
	err := n.changeTokens(ctx, func(l api.TokenList) (api.TokenList, error) {
		l, err := l.Add(t, time.Now())
		if err != nil {
			return nil, err
		}
		return l, n.tokenLines(ctx, "token-added", t) // first: no token works without them
	})
	if err != nil {
		return err
	}
	for _, note := range n.sessionWarnings(t) {
		c.complain(errors.New(note))
	}
	row := tokenRow(t, time.Now())
	row["event"], row["token"] = "added", text
	c.say(row, "%s\nThis is the token %s. It is not shown again: give it to its owner by a way of its own. `holdfast token revoke %s` ends it.", text, t.Name, t.Name)
	return nil
}

// tokenLines writes into each Case of a token what happens to it.
func (n *node) tokenLines(ctx context.Context, action string, t api.Token) error {
	x, err := canon.Marshal(struct {
		Agent    holdfast.Agent `json:"agent"`
		Name     string         `json:"name"`
		Scopes   []string       `json:"scopes"`
		Sessions []string       `json:"sessions,omitempty"`
		Until    *holdfast.Time `json:"until,omitempty"`
	}{t.Agent, t.Name, t.Scopes, t.Sessions, t.Until})
	if err != nil {
		return err
	}
	for _, id := range t.Cases {
		if _, err := n.outbox.Append(ctx, pipeline.Entry{Case: id, Action: action, Agent: n.set.Agent, Objects: []string{t.ID}, X: x}); err != nil {
			return fmt.Errorf("write custody line: %w", err)
		}
	}
	return nil
}

// changeTokens edits the list under its lock; a crash leaves the old or the new one.
func (n *node) changeTokens(ctx context.Context, edit func(api.TokenList) (api.TokenList, error)) error {
	unlock, err := n.officeLock(ctx, "tokens.lock")
	if err != nil {
		return err
	}
	defer unlock()
	was, err := n.tokens(ctx)
	if err != nil {
		return err
	}
	l, err := edit(slices.Clone(was))
	if err != nil {
		return err
	}
	if n.sharedQueue() {
		return n.keepTokens(ctx, was, l)
	}
	return l.Write(n.path(fileTokens))
}

// tokenRow is a row of `token list --json`, a contract; nothing secret is in it.
func tokenRow(t api.Token, now time.Time) map[string]any {
	state := "good"
	switch {
	case t.Revoked != nil:
		state = "revoked"
	case t.Until != nil && !now.Before(t.Until.Time):
		state = "ended"
	}
	return map[string]any{"id": t.ID, "name": t.Name, "agent": t.Agent, "scopes": t.Scopes, "case_ids": t.Cases, "allow_private": t.AllowPrivate, "sessions": append([]string{}, t.Sessions...), "added": t.Added, "until": t.Until, "revoked": t.Revoked, "state": state}
}

func (c *cli) tokenListCmd() *cobra.Command {
	return command("list", "Show who may call this node", "holdfast token list --json", cobra.NoArgs, c.withNode(func(ctx context.Context, n *node) error {
		l, err := n.tokens(ctx)
		if err != nil {
			return err
		}
		if err := n.refresh(ctx); err != nil {
			return err
		}
		for _, t := range l {
			names := []string{}
			for _, id := range t.Cases {
				cs, err := n.cat.Case(ctx, string(id))
				if err != nil && !isNotFound(err) {
					return err
				}
				names = append(names, cs.Name)
			}
			row := tokenRow(t, time.Now())
			row["cases"] = names
			until := "no end"
			if t.Until != nil {
				until = "until " + t.Until.String()
			}
			sessions := ""
			if len(t.Sessions) > 0 {
				sessions = "  sessions " + strings.Join(t.Sessions, ",")
			}
			c.say(row, "%s  %-8s  %-20s  %s  %s  %s  as %s%s", t.ID, row["state"], t.Name, strings.Join(t.Scopes, ","), messages.Visible(strings.Join(names, ", ")), until, messages.Visible(t.Agent.Pseudonym), sessions)
		}
		return nil
	}))
}

func isNotFound(err error) bool { return errors.Is(err, catalog.ErrNotFound) }

func (c *cli) tokenRevokeCmd() *cobra.Command {
	cmd := command("revoke NAME|ID", "End a token, from the next call on", "holdfast token revoke desk-4", cobra.ExactArgs(1), func(cmd *cobra.Command, args []string) error {
		n, err := c.open(cmd.Context())
		if err != nil {
			return err
		}
		defer n.Close()
		var gone []api.Token
		err = n.changeTokens(cmd.Context(), func(l api.TokenList) (api.TokenList, error) {
			if gone = l.Revoke(args[0], time.Now()); len(gone) == 0 {
				return nil, fmt.Errorf("no token that is called %.60q is good; `holdfast token list` shows them", args[0])
			}
			return l, nil
		})
		if err != nil {
			return err
		}
		for _, t := range gone { // behind the end: a crash in between leaves a token that is revoked, and no line
			if err := n.tokenLines(cmd.Context(), "token-revoked", t); err != nil {
				return fmt.Errorf("the token is revoked, but: %w", err)
			}
			c.say(map[string]any{"event": "revoked", "id": t.ID, "name": t.Name}, "revoked   %s  %s", t.ID, t.Name)
		}
		return nil
	})
	return cmd
}
