package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"holdfast"
	"holdfast/catalog"
	"holdfast/cmd/internal/nodedir"
	"holdfast/collectors"
	"holdfast/egress"
	"holdfast/filelock"
	"holdfast/wholefile"
)

const fileEgresses = nodedir.FileEgresses

func (c *cli) egressCmd() *cobra.Command {
	return group("egress", "Ways out: proxies that captures go through, by name",
		"holdfast egress list",
		c.egressAddCmd(), c.egressListCmd(), c.egressRemoveCmd())
}

func (c *cli) egressAddCmd() *cobra.Command {
	var auth string
	var isolate bool
	cmd := command("add NAME URL [--auth FILE | --isolate]", "Give a proxy a name, which is what records say",
		"holdfast egress add tor socks5://127.0.0.1:9050 --isolate", cobra.ExactArgs(2),
		func(cmd *cobra.Command, args []string) error {
			e := egress.Entry{Name: args[0], URL: args[1], Isolate: isolate, Added: holdfast.At(time.Now())}
			if err := checkEgress(&e, auth); err != nil {
				return err
			}
			n, err := c.open(cmd.Context())
			if err != nil {
				return err
			}
			defer n.Close()
			if err := n.addEgress(cmd.Context(), e); err != nil {
				return err
			}
			if err := e.Answers(cmd.Context()); err != nil {
				fmt.Fprintf(c.errs, "holdfast: added, but nothing answers there now: %v\n", err)
			}
			c.say(map[string]any{"name": e.Name, "url": e.URL, "login": e.User != "", "isolate": e.Isolate}, "%s is a way out: `holdfast capture URL --via %s`", e.Name, e.Name)
			return nil
		})
	cmd.Long = `URL is socks5://host:port or http://host:port (CONNECT, for all ports).
The proxy resolves the names and connects; the node does neither. A record says
the name of the egress, never its address, and "not observed" of the site's.

--isolate is for Tor: each capture gives the proxy a login that nobody else has,
and Tor a circuit of its own for each login. So two captures are not seen to be
one office's by the address that they come from, and one that is tried again
comes another way.

exit status: 0 done  1 could not  2 usage`
	cmd.Flags().BoolVar(&isolate, "isolate", false, "each capture has a circuit of its own (Tor)")
	cmd.Flags().StringVar(&auth, "auth", "", "file that only you can read, with one line user:password")
	return cmd
}

// checkEgress gives the entry what the file of --auth holds, and refuses what no way
// out can be.
func checkEgress(e *egress.Entry, auth string) error {
	if !egress.ValidName(e.Name) {
		return usageError("name %.60q: use 1 to 40 of a-z, 0-9 and -, and not direct, unnamed or unknown", e.Name)
	}
	if auth != "" {
		line, err := wholefile.SecretLine(auth)
		if err != nil {
			return usageError("--auth: %w", err)
		}
		if err := e.SetLogin(line); err != nil {
			return usageError("--auth %s: %w", auth, err)
		}
	}
	if _, err := e.Via(); err != nil {
		if e.Isolate {
			return usageError("%w", err)
		}
		return usageError("%w; a name and password go into a file: --auth FILE", err)
	}
	return nil
}

func (n *node) egresses() (egress.List, error) { return egress.Read(n.path(fileEgresses)) }

// changeEgresses edits egresses.json under a lock. The custody line comes after
// the file: a crash between the two leaves a way out that no line tells of; the
// captures through it name it.
func (n *node) changeEgresses(ctx context.Context, edit func(egress.List) (egress.List, error)) error {
	unlock, err := filelock.Wait(ctx, n.path("egresses.lock"))
	if err != nil {
		return err
	}
	defer unlock()
	list, err := n.egresses()
	if err != nil {
		return err
	}
	if list, err = edit(list); err != nil {
		return err
	}
	return list.Write(n.path(fileEgresses))
}

func (n *node) addEgress(ctx context.Context, e egress.Entry) error {
	err := n.changeEgresses(ctx, func(list egress.List) (egress.List, error) { return list.Add(e) })
	if err != nil {
		return err
	}
	return n.event(ctx, "egress-added", []string{e.Name})
}

func (c *cli) egressListCmd() *cobra.Command {
	return command("list", "Show the ways out", "holdfast egress list", cobra.NoArgs, func(cmd *cobra.Command, _ []string) error {
		n, err := c.open(cmd.Context())
		if err != nil {
			return err
		}
		defer n.Close()
		list, err := n.egresses()
		if err != nil {
			return err
		}
		for _, e := range list {
			state := ""
			if e.User != "" {
				state = "  with a login"
			}
			if e.Isolate {
				state += "  isolated"
			}
			if e.Name == n.set.Via {
				state += "  (default)"
			}
			c.say(map[string]any{"name": e.Name, "url": e.URL, "login": e.User != "", "isolate": e.Isolate, "default": e.Name == n.set.Via, "added": e.Added}, "%-20s %s%s", e.Name, e.URL, state)
		}
		return nil
	})
}

func (c *cli) egressRemoveCmd() *cobra.Command {
	return command("remove NAME", "Forget a way out; what waits for it is refused until there is one of this name", "holdfast egress remove tor", cobra.ExactArgs(1),
		func(cmd *cobra.Command, args []string) error {
			n, err := c.open(cmd.Context())
			if err != nil {
				return err
			}
			defer n.Close()
			err = n.changeEgresses(cmd.Context(), func(list egress.List) (egress.List, error) { return list.Remove(args[0]) })
			if err != nil {
				return err
			}
			if err := n.event(cmd.Context(), "egress-removed", []string{args[0]}); err != nil {
				return err
			}
			c.say(map[string]any{"name": args[0], "removed": true}, "%s is no way out any more", args[0])
			return nil
		})
}

// wayOut settles what --via means: a URL, a name, `direct`, or nothing, which is
// what the Case demands, else the node's default, else direct. It returns what
// the Task keeps: `direct` where somebody said so, "" where nobody said anything,
// a name, or a URL without login.
func (n *node) wayOut(via, demanded string) (string, error) {
	if via == "" {
		via = demanded
	}
	if via == "" {
		via = n.set.Via
	}
	if demanded != "" && via != demanded {
		return "", usageError("--via %s: the Case demands the egress %s; leave --via out, or `holdfast case edit` the Case", egress.Shown(via), demanded)
	}
	_, err := n.via(via)
	return via, err
}

// via is the proxy that a Task is to go through; nil is the direct line. It is
// settled anew for each attempt: an egress that is gone by then is an error,
// never another way.
func (n *node) via(s string) (*collectors.Via, error) {
	switch {
	case s == "" || s == collectors.EgressDirect:
		return nil, nil
	case strings.Contains(s, "://"):
		v, err := collectors.ParseVia(s)
		if err != nil {
			return nil, usageError("--via: %w; one with a login gets a name first: `holdfast egress add NAME URL --auth FILE`", err)
		}
		return v, nil
	}
	list, err := n.egresses()
	if err != nil {
		return nil, err
	}
	return list.Via(s)
}

// errDirect is wrapped by the error for a Task that nobody has asked to go
// direct, on a node that has a way out by now.
var errDirect = errors.New("nobody has asked for the direct line")

// viaOf is the proxy of a Task. One that was accepted when the node had no
// default, and without a word about the way out, does not go direct once there is
// a default: it keeps its way, and waits.
func (n *node) viaOf(o taskOptions) (*collectors.Via, error) {
	if d := n.set.Via; o.Via == "" && d != "" && d != collectors.EgressDirect {
		return nil, fmt.Errorf("%w: it was accepted before %s became this node's way out; `holdfast task drop` it and capture it again, with --via %s or --via direct", errDirect, egress.Shown(d), egress.Shown(d))
	}
	return n.via(o.Via)
}

// absolute is what a Task can be resumed with from another folder.
func absolute(file string) (string, error) {
	if file == "" {
		return "", nil
	}
	return filepath.Abs(file)
}

// demandedEgress is the way out that the Case demands, "" if any will do.
func (n *node) demandedEgress(ctx context.Context, home holdfast.ID) (string, error) {
	if err := n.refresh(ctx); err != nil {
		return "", err
	}
	return n.knownEgress(ctx, home)
}

// knownEgress is demandedEgress by what the catalog knows now, where the index is at
// work beside.
func (n *node) knownEgress(ctx context.Context, home holdfast.ID) (string, error) {
	cs, err := n.cat.Case(ctx, string(home))
	if errors.Is(err, catalog.ErrNotFound) {
		return "", nil
	}
	return cs.Record.Egress, err
}
