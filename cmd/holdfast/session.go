package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"holdfast"
	"holdfast/collectors"
	"holdfast/collectors/telegram/accounts"
	"holdfast/collectors/web"
)

// sessionFiles begin the names of what is kept of logins at web sites, through the vault.
const sessionFiles = "keys/session-"

// errNoSession is wrapped by the error for a session that is not there: what was asked
// with one is never captured without.
var errNoSession = errors.New("no session of this name")

// keptSession is what keys/session-NAME holds. Its version is 2 where there is local
// storage, which an older holdfast would leave out without a word.
type keptSession struct {
	Version int                 `json:"version"`
	Added   holdfast.Time       `json:"added"`
	Cookies []collectors.Cookie `json:"cookies"`
	Origins []collectors.Origin `json:"origins,omitempty"`
}

func (c *cli) sessionCmd() *cobra.Command {
	return group("session", "Logins at web sites that pages are captured with, by name",
		"holdfast session list",
		c.sessionAddCmd(), c.sessionLoginCmd(), c.sessionListCmd(), c.sessionRemoveCmd())
}

func (c *cli) sessionAddCmd() *cobra.Command {
	var cookies, state string
	cmd := command("add NAME --cookies FILE | --state FILE", "Keep a login under a name, which is what records say: cookies, and local storage",
		"holdfast session add reader --cookies cookies.txt", cobra.ExactArgs(1),
		func(cmd *cobra.Command, args []string) error {
			if !accounts.ValidName(args[0]) || args[0] == noSession {
				return usageError("name %.60q: use 1 to 40 of a-z, 0-9 and -, and another than none", args[0])
			}
			if cookies != "" && state != "" {
				return usageError("--cookies and --state: one of them, a storage state has the cookies too")
			}
			file := cookies + state
			k, databases, err := c.readSession(file)
			if err != nil {
				return &exitError{exitUsage, err}
			}
			n, err := c.open(cmd.Context())
			if err != nil {
				return err
			}
			defer n.Close()
			if err := n.keepSession(cmd.Context(), args[0], k); err != nil {
				return err
			}
			if databases > 0 {
				c.complain(fmt.Errorf("%d databases (IndexedDB) of the file are not taken: a site that keeps its login there is not logged in", databases))
			}
			how := "encrypted"
			if !n.vault.Encrypts() {
				how = "readable by you alone; `holdfast key encrypt` encrypts it"
			}
			row := sessionRow(args[0], k)
			row["encrypted"] = n.vault.Encrypts()
			c.say(row, "%s is a session (%s, %s): `holdfast capture URL --session %s`; remove %s", args[0], k.holds(), how, args[0], leftFile(file))
			return nil
		})
	cmd.Long = `FILE is what a browser has exported: cookies.txt (Netscape's form), or JSON as extensions
and test programs write it; - reads it from stdin. Of a storage state (an object with
cookies and origins, as Playwright writes it) local storage is kept too, by whichever
flag it is given; databases (IndexedDB) are not. Only you may be able to read FILE. One
of the name that is there is replaced. Use an account that is made for this, not your
own: what the page shows, and that somebody looked, is seen at the site.

What it gives access to leaves in no bundle by itself: requests are restricted, and of
what came, copies without it stand in the place of what has any (withheld.json of each
capture lists it). The record says the name, so name no person.

exit status: 0 done  1 could not  2 usage, or no login in the file`
	cmd.Flags().StringVar(&cookies, "cookies", "", "file of cookies that a browser has exported, or -")
	cmd.Flags().StringVar(&state, "state", "", "file with a storage state: cookies and local storage, or -")
	return cmd
}

// holds says what a session has, in words.
func (k *keptSession) holds() string {
	text := fmt.Sprintf("%d cookies", len(k.Cookies))
	if n := len(k.Origins); n == 1 {
		text += ", local storage of one origin"
	} else if n > 1 {
		text += fmt.Sprintf(", local storage of %d origins", n)
	}
	return text
}

// sessionRow is what is told of one: no value.
func sessionRow(name string, k *keptSession) map[string]any {
	domains, _ := ofCookies(k.Cookies)
	origins := []string{}
	for _, o := range k.Origins {
		origins = append(origins, o.Origin)
	}
	return map[string]any{"name": name, "cookies": len(k.Cookies), "domains": append([]string{}, domains...), "origins": origins}
}

func leftFile(file string) string {
	if file == "-" {
		return "what it came from"
	}
	return file
}

func (c *cli) readSession(file string) (k *keptSession, databases int, err error) {
	if file == "" {
		return nil, 0, errors.New("--cookies FILE or --state FILE is wanted: cookies.txt or JSON that a browser has exported")
	}
	in := c.in
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return nil, 0, err
		}
		defer f.Close()
		if st, err := f.Stat(); err == nil && st.Mode().Perm()&0o077 != 0 {
			return nil, 0, fmt.Errorf("others can read %s, and it gives access: chmod go= %s, and if they could for long, log out and in again", file, file)
		}
		in = f
	}
	b, err := io.ReadAll(io.LimitReader(in, collectors.MaxCookieFile+1))
	if err != nil {
		return nil, 0, fmt.Errorf("read session: %w", err)
	}
	k = &keptSession{}
	if k.Cookies, k.Origins, databases, err = collectors.ReadState(b); err == nil {
		err = web.CheckStorage(k.Origins)
	}
	return k, databases, err
}

// keepSession puts it in its place, whole, or not at all; the line of custody comes
// after, as for a way out.
func (n *node) keepSession(ctx context.Context, name string, k *keptSession) error {
	k.Version, k.Added = 1, holdfast.At(time.Now())
	if len(k.Origins) > 0 {
		k.Version = 2
	}
	b, err := json.Marshal(k)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(n.path("keys"), 0o700); err != nil { // a node with its key in a KMS has none
		return err
	}
	if err := n.vault.Replace(sessionFiles+name, b); err != nil {
		return fmt.Errorf("keep session %s: %w", name, err)
	}
	return n.event(ctx, "session-added", []string{name})
}

// webSession opens a session; "" is none.
func (n *node) webSession(name string) (*collectors.Session, error) {
	if name == "" {
		return nil, nil
	}
	k, err := n.openSession(name)
	if err != nil {
		return nil, err
	}
	return &collectors.Session{Name: name, Cookies: k.Cookies, Origins: k.Origins}, nil
}

func (n *node) openSession(name string) (*keptSession, error) {
	if !accounts.ValidName(name) {
		return nil, fmt.Errorf("session %.60q: %w", name, errNoSession)
	}
	b, err := n.vault.Read(sessionFiles + name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, missingSession(name)
	}
	if err != nil {
		return nil, fmt.Errorf("open session %s: %w: %w", name, collectors.ErrSession, err)
	}
	var k keptSession
	if err := json.Unmarshal(b, &k); err != nil || k.Version < 1 || k.Version > 2 { // never quoted
		return nil, fmt.Errorf("session %s: %w: what is kept of it is damaged; add it anew", name, errNoSession)
	}
	return &k, nil
}

// ofCookies says whose cookies they are, and when the first of them ends; zero is never.
func ofCookies(list []collectors.Cookie) (domains []string, first time.Time) {
	for _, k := range list {
		if !slices.Contains(domains, k.Domain) {
			domains = append(domains, k.Domain)
		}
		if !k.Expires.IsZero() && (first.IsZero() || k.Expires.Before(first)) {
			first = k.Expires
		}
	}
	slices.Sort(domains)
	return domains, first
}

func (c *cli) sessionListCmd() *cobra.Command {
	return command("list", "Show the sessions, and for which sites they are", "holdfast session list", cobra.NoArgs, func(cmd *cobra.Command, _ []string) error {
		n, err := c.open(cmd.Context())
		if err != nil {
			return err
		}
		defer n.Close()
		names, err := n.accounts.NamesAt(sessionFiles)
		if err != nil {
			return err
		}
		for _, name := range names {
			k, err := n.openSession(name)
			if err != nil {
				return err
			}
			sites, first := ofCookies(k.Cookies)
			row := sessionRow(name, k)
			row["added"] = k.Added
			for _, o := range k.Origins {
				sites = append(sites, o.Origin)
			}
			ends := ""
			if !first.IsZero() {
				row["first_expires"] = holdfast.At(first)
				ends = "  the first ends " + holdfast.At(first).String()
			}
			c.say(row, "%-20s %3d cookies  %s%s", name, len(k.Cookies), strings.Join(sites[:min(5, len(sites))], " "), ends)
		}
		return nil
	})
}

func (c *cli) sessionRemoveCmd() *cobra.Command {
	letWait := false
	cmd := command("remove NAME", "Forget a session; what waits for it waits until there is one of this name", "holdfast session remove reader", cobra.ExactArgs(1),
		func(cmd *cobra.Command, args []string) error {
			n, err := c.open(cmd.Context())
			if err != nil {
				return err
			}
			defer n.Close()
			if !accounts.ValidName(args[0]) {
				return usageError("name %.60q: use 1 to 40 of a-z, 0-9 and -", args[0])
			}
			err = n.forgetSession(cmd.Context(), args[0], letWait)
			if errors.Is(err, fs.ErrNotExist) {
				return usageError("session %s: %w: `holdfast session list` shows those there are", args[0], errNoSession)
			}
			if err != nil {
				return err
			}
			if err := n.event(cmd.Context(), "session-removed", []string{args[0]}); err != nil {
				return err
			}
			c.say(map[string]any{"name": args[0], "removed": true}, "%s is no session any more; log out at the site too, so that what was kept gives access to nobody", args[0])
			return nil
		})
	cmd.Long = `One that a page on a schedule is visited with is kept, and the pages are named: without it
their visits would wait. --let-wait removes it all the same, as where a login was stolen.`
	cmd.Flags().BoolVar(&letWait, "let-wait", false, "remove it though pages are watched with it: their visits wait for one of this name")
	return cmd
}

// sessionAlone refuses what no session is for.
func sessionAlone(sources []holdfast.Source, o captureOptions) error {
	if o.session != "" && slices.ContainsFunc(sources, isTelegram) {
		return usageError("--session is about web pages; accounts of Telegram are of `holdfast telegram`")
	}
	return nil
}
