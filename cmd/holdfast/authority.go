package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"holdfast/authorities"
	"holdfast/filelock"
	"holdfast/preserve"
	"holdfast/preserve/authority"
)

func (c *cli) authorityCmd() *cobra.Command {
	return group("authority", "Time-stamping authorities: those that this node asks, and one of the office's own",
		"holdfast authority list",
		c.authorityAddCmd(), c.authorityListCmd(), c.authorityRemoveCmd(), c.authorityServeCmd())
}

func (c *cli) authorityAddCmd() *cobra.Command {
	var e authorities.Entry
	var roots string
	cmd := command("add NAME URL --operator OP --roots FILE.pem [--public] [--auth FILE]", "Ask one more authority from now on",
		"holdfast authority add partner https://tsa.partner.example/ --operator 'Partner Office' --roots partner-roots.pem", cobra.ExactArgs(2),
		func(cmd *cobra.Command, args []string) error {
			e.Name, e.URL = args[0], args[1]
			if err := e.Check(roots); err != nil {
				return usageError("%w", err)
			}
			n, err := c.open(cmd.Context())
			if err != nil {
				return err
			}
			defer n.Close()
			if err := n.addAuthority(cmd.Context(), e); err != nil {
				return err
			}
			if err := n.tryAuthority(cmd.Context(), e.Name); err != nil {
				fmt.Fprintf(c.errs, "holdfast: added, but it gives no valid token now: %v\n", err)
			}
			c.say(map[string]any{"name": e.Name, "operator": e.Operator, "url": e.URL}, "%s of %s is asked from now on", e.Name, e.Operator)
			return nil
		})
	cmd.Long = "The first `authority add` ends the use of the public defaults.\nTwo authorities of one operator count once.\n\n--auth names a file that only you can read (chmod 600), of one line: `user:password`\nor `Bearer TOKEN`. It is copied beside the keys, never shown, and sent over https or\nto this machine only.\n\nexit status: 0 done  1 could not  2 usage"
	cmd.Flags().StringVar(&e.Operator, "operator", "", "the legal entity that runs it")
	cmd.Flags().StringVar(&roots, "roots", "", "PEM file with the root certificates that its tokens must end in")
	cmd.Flags().StringVar(&e.AuthFrom, "auth", "", "file with the credentials that it wants")
	cmd.Flags().BoolVar(&e.Public, "public", false, "a stranger's service: ask it at a polite pace (a Seal every 15 s at most)")
	return cmd
}

// addAuthority writes the entry, and the Event that says so.
func (n *node) addAuthority(ctx context.Context, e authorities.Entry) error {
	if err := n.authorities().Add(ctx, e); err != nil {
		return err
	}
	return n.event(ctx, "authority-added", []string{e.Name, e.Operator, e.URL})
}

func (c *cli) authorityListCmd() *cobra.Command {
	return command("list", "Show the authorities", "holdfast authority list", cobra.NoArgs, func(cmd *cobra.Command, _ []string) error {
		n, err := c.open(cmd.Context())
		if err != nil {
			return err
		}
		defer n.Close()
		list, defaults, err := n.authorities().Shown()
		if err != nil {
			return err
		}
		for _, e := range list {
			state := "asked"
			if e.Removed != nil {
				state = "not asked since " + e.Removed.String()
			}
			if defaults {
				state = "asked (default, until the first `authority add`)"
			}
			c.say(map[string]any{"name": e.Name, "operator": e.Operator, "url": e.URL, "public": e.Public, "default": defaults, "removed": e.Removed},
				"%-14s %-32s %s  %s", e.Name, e.Operator, e.URL, state)
		}
		return nil
	})
}

func (c *cli) authorityRemoveCmd() *cobra.Command {
	return command("remove NAME", "Ask an authority no more; the policy keeps it, with an end", "holdfast authority remove partner", cobra.ExactArgs(1),
		func(cmd *cobra.Command, args []string) error {
			n, err := c.open(cmd.Context())
			if err != nil {
				return err
			}
			defer n.Close()
			if err := n.removeAuthority(cmd.Context(), args[0]); err != nil {
				return err
			}
			c.say(map[string]any{"name": args[0], "removed": true}, "%s is asked no more; what it stamped so far still counts", args[0])
			return nil
		})
}

// removeAuthority waits until nobody seals: a process that still asked it would
// call sealed, by its token, what the Policy does not count any more.
func (n *node) removeAuthority(ctx context.Context, name string) error {
	lctx, stop := context.WithTimeout(ctx, sealerPatience)
	defer stop()
	unlock, err := filelock.Wait(lctx, n.path("preserve.lock"))
	if err != nil {
		return fmt.Errorf("remove authority: another process is sealing; try again when it has ended: %w", err)
	}
	defer unlock()
	gone, err := n.authorities().Remove(ctx, name, func(list []authorities.Entry, gone authorities.Entry) error { return n.endAuthority(ctx, list, gone) })
	if err != nil {
		return err
	}
	return n.event(ctx, "authority-removed", []string{gone.Name, gone.Operator, gone.URL})
}

func (c *cli) authorityServeCmd() *cobra.Command {
	var o authority.Options
	var listen, dir, auth string
	cmd := command("serve --operator OP --listen ADDR --dir DIR [--auth FILE]", "Run an RFC 3161 authority of the office's own",
		"holdfast authority serve --operator 'Our Office' --listen 127.0.0.1:3161 --dir /srv/tsa", cobra.NoArgs, func(cmd *cobra.Command, _ []string) error {
			if o.Operator == "" || listen == "" || dir == "" {
				return usageError("--operator, --listen and --dir are all needed")
			}
			var want preserve.Secret
			if auth != "" {
				var err error
				if want, err = authorities.ReadCredentials(auth); err != nil {
					return &exitError{exitUsage, err}
				}
			}
			o.Log = c.log()
			a, err := authority.Open(dir, o)
			if err != nil {
				return err
			}
			l, err := net.Listen("tcp", listen)
			if err != nil {
				return fmt.Errorf("listen: %w", err)
			}
			c.say(map[string]any{"url": "http://" + l.Addr().String() + "/", "roots": filepath.Join(dir, "roots.pem"), "policy": a.PolicyOID()},
				"serving http://%s/  roots in %s  policy %s", l.Addr(), filepath.Join(dir, "roots.pem"), a.PolicyOID())
			h := a.Handler()
			if want != "" {
				h = authorities.Demand(want, h)
			}
			return serve(cmd.Context(), l, h)
		})
	cmd.Long = "Answers RFC 3161 over plain HTTP. For other machines put a proxy with TLS before it:\nthe credentials of --auth (a file of one line, `user:password` or `Bearer TOKEN`,\nchmod 600) are sent over https or within one machine only."
	cmd.Flags().StringVar(&auth, "auth", "", "file with the credentials that it demands; default: anybody may ask")
	cmd.Flags().StringVar(&o.Operator, "operator", "", "the legal entity that answers for it")
	cmd.Flags().StringVar(&listen, "listen", "", "address, such as 127.0.0.1:3161")
	cmd.Flags().StringVar(&dir, "dir", "", "where its keys lie; writes roots.pem there")
	cmd.Flags().BoolVar(&o.Training, "training", false, "certificates say TRAINING")
	cmd.Flags().StringVar(&o.Policy, "policy", "", "policy OID that the office has registered")
	return cmd
}

const sealerPatience = 30 * time.Second

// serve answers until ctx ends, with limits on how long a stranger may take.
func serve(ctx context.Context, l net.Listener, h http.Handler) error {
	s := &http.Server{Handler: h, ReadTimeout: 10 * time.Second, WriteTimeout: 10 * time.Second, IdleTimeout: time.Minute, MaxHeaderBytes: 16 << 10}
	stop := context.AfterFunc(ctx, func() { s.Close() })
	defer stop()
	if err := s.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve: %w", err)
	}
	return nil
}
