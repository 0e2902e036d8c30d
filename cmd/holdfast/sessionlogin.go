package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"holdfast/collectors/telegram/accounts"
	"holdfast/collectors/web"
)

func (c *cli) sessionLoginCmd() *cobra.Command {
	var via string
	cmd := command("login NAME URL [--via NAME]", "Log in by hand in a browser that opens here, and keep the session under a name",
		"holdfast session login reader https://host/login", cobra.ExactArgs(2),
		func(cmd *cobra.Command, args []string) error {
			if !accounts.ValidName(args[0]) || args[0] == noSession {
				return usageError("name %.60q: use 1 to 40 of a-z, 0-9 and -", args[0])
			}
			n, err := c.open(cmd.Context())
			if err != nil {
				return err
			}
			defer n.Close()
			return c.sessionLogin(cmd.Context(), n, args[0], args[1], via)
		})
	cmd.Long = `Opens a visible browser, with a profile of its own that is removed, at URL; it needs a
display. Log in there, then press Enter here, or close the window. Nothing of it is
recorded; the cookies and the local storage of the sites are kept as 'session add' keeps it. It goes the way out that
--via says, else the node's default; a way out that wants a login it cannot use.

exit status: 0 done  1 could not, or nothing came  2 usage, or no display`
	cmd.Flags().StringVar(&via, "via", "", "the way out: a NAME of 'holdfast egress list', socks5://host:port, http://host:port, or direct")
	return cmd
}

func (c *cli) sessionLogin(ctx context.Context, n *node, name, address, via string) error {
	proxy, err := n.loginProxy(via)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "holdfast-login-")
	if err != nil {
		return fmt.Errorf("log in: %w", err)
	}
	defer os.RemoveAll(dir)
	done := make(chan struct{})
	go func() { // ends with the line, or with the process
		if bufio.NewScanner(c.in).Scan() {
			close(done)
		}
	}()
	fmt.Fprintln(c.errs, "holdfast: log in in the window of the browser; then press Enter here, or close the window")
	made, err := web.Login(ctx, web.Options{Browser: n.browser(), Dir: dir}, address, proxy, done)
	if errors.Is(err, web.ErrNoDisplay) {
		return &exitError{exitUsage, fmt.Errorf("%w: `holdfast session add %s --cookies FILE`", err, name)}
	}
	if err != nil {
		return err
	}
	k := &keptSession{Cookies: made.Cookies, Origins: made.Origins}
	if len(k.Cookies) == 0 && len(k.Origins) == 0 {
		return fmt.Errorf("the site has set no cookies and stored nothing: nothing is kept of session %s", name)
	}
	if err := n.keepSession(ctx, name, k); err != nil {
		return err
	}
	c.say(sessionRow(name, k), "%s is a session (%s): `holdfast capture URL --session %s`", name, k.holds(), name)
	return nil
}

// loginProxy is the way out as a browser is told of it; "" is the direct line.
func (n *node) loginProxy(via string) (string, error) {
	way, err := n.wayOut(via, "")
	if err != nil {
		return "", err
	}
	v, err := n.via(way)
	if err != nil || v == nil {
		return "", err
	}
	if v.User != "" {
		return "", usageError("the way out %s wants a login, which the browser cannot give it: choose another with --via", v.Label())
	}
	return v.String(), nil
}
