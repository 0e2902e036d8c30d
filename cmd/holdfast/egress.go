package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"holdfast"
	"holdfast/catalog"
	"holdfast/collectors"
)

const fileEgresses = "egresses.json"

// errNoEgress is wrapped by the error for a way out that is not there (any
// more). What was to go through it goes no other way.
var errNoEgress = errors.New("no such egress")

// errNoList is wrapped by the error for a list of --never-keep that is not there.
var errNoList = errors.New("no list of what is never kept")

// egressEntry is one row of DIR/egresses.json, which has mode 0600: it may hold
// a password. Nothing of it but the name is in any record.
type egressEntry struct {
	Name     string `json:"name"`
	URL      string `json:"url"`
	User     string `json:"user,omitempty"`
	Password string `json:"password,omitempty"`
	// LoginFor is the URL that the login was given for; it is sent to no other.
	LoginFor string        `json:"login_for,omitempty"`
	Added    holdfast.Time `json:"added"`
}

func (c *cli) egressCmd() *cobra.Command {
	return group("egress", "Ways out: proxies that captures go through, by name",
		"holdfast egress list",
		c.egressAddCmd(), c.egressListCmd(), c.egressRemoveCmd())
}

func (c *cli) egressAddCmd() *cobra.Command {
	var auth string
	cmd := command("add NAME URL [--auth FILE]", "Give a proxy a name, which is what records say",
		"holdfast egress add tor socks5://127.0.0.1:9050", cobra.ExactArgs(2),
		func(cmd *cobra.Command, args []string) error {
			e := egressEntry{Name: args[0], URL: args[1], Added: holdfast.At(time.Now())}
			if err := e.check(auth); err != nil {
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
			if err := tryEgress(cmd.Context(), e); err != nil {
				fmt.Fprintf(c.errs, "holdfast: added, but nothing answers there now: %v\n", err)
			}
			c.say(map[string]any{"name": e.Name, "url": e.URL, "login": e.User != ""}, "%s is a way out: `holdfast capture URL --via %s`", e.Name, e.Name)
			return nil
		})
	cmd.Long = `URL is socks5://host:port or http://host:port (CONNECT, for all ports).
The proxy resolves the names and connects; the node does neither. A record says
the name of the egress, never its address, and "not observed" of the site's.

exit status: 0 done  1 could not  2 usage`
	cmd.Flags().StringVar(&auth, "auth", "", "file that only you can read, with one line user:password")
	return cmd
}

var egressName = regexp.MustCompile(`^[a-z0-9-]{1,40}$`)

func (e *egressEntry) check(auth string) error {
	if !egressName.MatchString(e.Name) || slices.Contains([]string{collectors.EgressDirect, collectors.EgressUnnamed, "unknown"}, e.Name) {
		return usageError("name %.60q: use 1 to 40 of a-z, 0-9 and -, and not direct, unnamed or unknown", e.Name)
	}
	if auth != "" {
		line, err := secretLine(auth)
		if err != nil {
			return usageError("--auth: %w", err)
		}
		user, password, ok := strings.Cut(line, ":")
		if !ok || user == "" {
			return usageError("--auth %s: write one line user:password", auth)
		}
		e.User, e.Password, e.LoginFor = user, password, e.URL
	}
	if _, err := e.via(); err != nil {
		return usageError("%w; a name and password go into a file: --auth FILE", err)
	}
	return nil
}

func (e egressEntry) via() (*collectors.Via, error) {
	v, err := collectors.ParseVia(e.URL)
	if err != nil {
		return nil, err
	}
	if e.User != "" && e.LoginFor != e.URL {
		return nil, fmt.Errorf("egress %s: its login was given for %s and its URL is another now: `holdfast egress remove %s`, and add it again with --auth; nothing goes another way", e.Name, orNone(e.LoginFor), e.Name)
	}
	v.Name, v.User, v.Password = e.Name, e.User, e.Password
	return v, v.Check()
}

// tryEgress sees whether anything listens there; it logs in nowhere.
func tryEgress(ctx context.Context, e egressEntry) error {
	v, err := e.via()
	if err != nil {
		return err
	}
	d := net.Dialer{Timeout: 5 * time.Second}
	conn, err := d.DialContext(ctx, "tcp", v.Address)
	if err == nil {
		conn.Close()
	}
	return err
}

func (n *node) egresses() (list []egressEntry, err error) {
	if err = readJSON(n.path(fileEgresses), &list); errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return list, err
}

// changeEgresses edits egresses.json under a lock. The custody line comes after
// the file: a crash between the two leaves a way out that no line tells of; the
// captures through it name it.
func (n *node) changeEgresses(ctx context.Context, edit func([]egressEntry) ([]egressEntry, error)) error {
	unlock, err := lockFile(ctx, n.path("egresses.lock"))
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
	return writeJSON(n.path(fileEgresses), list)
}

func (n *node) addEgress(ctx context.Context, e egressEntry) error {
	err := n.changeEgresses(ctx, func(list []egressEntry) ([]egressEntry, error) {
		if slices.ContainsFunc(list, func(o egressEntry) bool { return o.Name == e.Name }) {
			return nil, fmt.Errorf("add egress: %s is there already; choose another name, or `holdfast egress remove %s` first", e.Name, e.Name)
		}
		return append(list, e), nil
	})
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
			if e.Name == n.set.Via {
				state += "  (default)"
			}
			c.say(map[string]any{"name": e.Name, "url": e.URL, "login": e.User != "", "default": e.Name == n.set.Via, "added": e.Added}, "%-20s %s%s", e.Name, e.URL, state)
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
			err = n.changeEgresses(cmd.Context(), func(list []egressEntry) ([]egressEntry, error) {
				i := slices.IndexFunc(list, func(e egressEntry) bool { return e.Name == args[0] })
				if i < 0 {
					return nil, fmt.Errorf("remove egress: %w: %.60q; `holdfast egress list` shows them", errNoEgress, args[0])
				}
				return slices.Delete(list, i, i+1), nil
			})
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
		return "", usageError("--via %s: the Case demands the egress %s; leave --via out, or `holdfast case edit` the Case", viaShown(via), demanded)
	}
	_, err := n.via(via)
	return via, err
}

// viaShown repeats a --via without what may be a secret in it.
func viaShown(via string) string {
	if !egressName.MatchString(via) {
		return "URL" // user:password@host:port without a scheme is what people type too
	}
	return via
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
	for _, e := range list {
		if e.Name == s {
			return e.via()
		}
	}
	return nil, fmt.Errorf("--via %q: %w: `holdfast egress add NAME URL` makes one, `holdfast egress list` shows them; nothing goes another way", viaShown(s), errNoEgress)
}

// errDirect is wrapped by the error for a Task that nobody has asked to go
// direct, on a node that has a way out by now.
var errDirect = errors.New("nobody has asked for the direct line")

// viaOf is the proxy of a Task. One that was accepted when the node had no
// default, and without a word about the way out, does not go direct once there is
// a default: it keeps its way, and waits.
func (n *node) viaOf(o taskOptions) (*collectors.Via, error) {
	if d := n.set.Via; o.Via == "" && d != "" && d != collectors.EgressDirect {
		return nil, fmt.Errorf("%w: it was accepted before %s became this node's way out; `holdfast task drop` it and capture it again, with --via %s or --via direct", errDirect, viaShown(d), viaShown(d))
	}
	return n.via(o.Via)
}

// listCache holds each list once: it may be hundreds of megabytes.
type listCache struct {
	mu sync.Mutex
	of map[string]*collectors.KnownList
}

func (l *listCache) open(name string) (*collectors.KnownList, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if k := l.of[name]; k != nil {
		return k, nil
	}
	k, err := collectors.OpenKnownList(name)
	if err != nil {
		return nil, fmt.Errorf("%w: %w; nothing is taken in without it", errNoList, err)
	}
	if l.of == nil {
		l.of = map[string]*collectors.KnownList{}
	}
	l.of[name] = k
	return k, nil
}

// knownLists are the lists of what must never be kept: the node's and the
// call's (file, "" for none). Each is read once and used to the end of the
// process. A list that cannot be read is an error that wraps errNoList: without
// it nothing may be taken in.
func (n *node) knownLists(file string) (lists []*collectors.KnownList, err error) {
	for _, name := range []string{n.set.NeverKeep, file} {
		if name == "" {
			continue
		}
		k, err := n.lists.open(name)
		if err != nil {
			return nil, err
		}
		lists = append(lists, k)
	}
	return lists, nil
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
	cs, err := n.cat.Case(ctx, string(home))
	if errors.Is(err, catalog.ErrNotFound) {
		return "", nil
	}
	return cs.Record.Egress, err
}
