package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"holdfast/collectors/telegram"
	"holdfast/collectors/telegram/accounts"
)

func (c *cli) telegramCmd() *cobra.Command {
	return group("telegram", "Accounts that Telegram is asked with: log in, show, log out",
		"holdfast telegram login --phone +4930123456",
		c.telegramLoginCmd(), c.telegramAccountsCmd(), c.telegramLogoutCmd())
}

// loginOptions are the flags of `telegram login`.
type loginOptions struct {
	phone, code, passwordFile, name string
	qr, canary                      bool
	from                            string
}

func (c *cli) telegramLoginCmd() *cobra.Command {
	var o loginOptions
	cmd := command("login --phone N | --qr | --import FILE", "Log an account in", "holdfast telegram login --phone +4930123456", cobra.NoArgs,
		func(cmd *cobra.Command, args []string) error {
			if err := o.check(c); err != nil {
				return err
			}
			return c.withNode(func(ctx context.Context, n *node) error { return c.telegramLogin(ctx, n, o) })(cmd, args)
		})
	cmd.Long = `Use an account of the office's own that is made for this, never a private one.
The service sends a code to whoever has the number; it is asked for on the terminal,
or read from stdin with --code -. With a second password (2FA): --password-file, a
file that only you can read, or the terminal.

--qr shows a picture that a device of the account scans (Settings, Devices).
--import takes a session that was made elsewhere: gotd's JSON, a string of Telethon's,
or the folder tdata of Telegram Desktop. Use it nowhere else from then on: the service
ends a session that is in use twice.

With --canary the account is for 'holdfast watch canary' and nothing else: it may
write in a channel of the office's own, and nothing is ever read with it for a record.
It must be another one at the service than those that read.

What is wrong ends the login; nothing is tried again by itself. The session is kept
with the keys (encrypted where they are) and is in no record; records say --name.

exit status: 0 done  1 could not  2 usage`
	f := cmd.Flags()
	f.StringVar(&o.phone, "phone", "", "number with the country's code")
	f.StringVar(&o.code, "code", "", "the code that came, or - to read it from stdin (default: asked for)")
	f.StringVar(&o.passwordFile, "password-file", "", "file that only you can read, with the second password")
	f.StringVar(&o.name, "name", "", "what records call the account: a-z, 0-9 and - (default a1, a2, …)")
	f.BoolVar(&o.canary, "canary", false, "an account for 'watch canary' alone (default name: canary)")
	f.BoolVar(&o.qr, "qr", false, "show a picture to scan")
	f.StringVar(&o.from, "import", "", "a session that was made elsewhere")
	return cmd
}

func (o *loginOptions) check(c *cli) error {
	ways := 0
	for _, is := range []bool{o.phone != "", o.qr, o.from != ""} {
		if is {
			ways++
		}
	}
	switch {
	case ways != 1:
		return usageError("say one of --phone NUMBER, --qr and --import FILE")
	case o.code != "" && o.phone == "":
		return usageError("--code is for --phone")
	case o.name != "" && !accounts.ValidName(o.name):
		return usageError("--name %.60q: use 1 to 40 of a-z, 0-9 and -", o.name)
	case o.phone == "":
		return nil
	}
	phone := strings.NewReplacer(" ", "", "-", "", "(", "", ")", "", "+", "").Replace(o.phone)
	if len(phone) < 5 || len(phone) > 20 || strings.ContainsFunc(phone, func(r rune) bool { return r < '0' || r > '9' }) {
		return usageError("--phone: write the number with the country's code, as in +4930123456") // never quoted
	}
	o.phone = "+" + phone
	if o.code == "" && !c.hasTerminal() {
		return usageError("there is no terminal to ask for the code on: give --code - and write it to stdin when it has come")
	}
	return nil
}

func (c *cli) telegramLogin(ctx context.Context, n *node, o loginOptions) error {
	opts, err := n.telegramOptions()
	if err != nil {
		return err
	}
	ask, err := c.asker(o)
	if err != nil {
		return err
	}
	if o.canary && o.name == "" {
		o.name = "canary"
	}
	name, unlock, err := n.placeForLogin(o.name)
	if err != nil {
		return err
	}
	defer unlock()
	file, err := n.fileForLogin(name, o.canary)
	if err != nil {
		return err
	}
	before, err := n.replaces(name, file, opts)
	if err != nil {
		return err
	}
	if _, err := n.vault.Seal(nil); err != nil { // before a session is made that could not be kept
		return err
	}
	l, err := c.loginBy(ctx, opts, o, ask)
	switch {
	case err != nil && ctx.Err() != nil:
		return errors.New("stopped: no session was kept")
	case err != nil && o.qr && errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("nobody scanned the picture in time: call it again: %w", err)
	case err != nil:
		return n.accounts.Judged(ctx, name, err)
	}
	if before != nil && before.User != l.User {
		return fmt.Errorf("account %s is another one at the service: nothing was kept; give this one a --name of its own, and end the session that was made in the account's own list of devices", name)
	}
	if err := n.notUsedOtherwise(l.User, o.canary, opts); err != nil {
		return err
	}
	if err := n.accounts.Keep(file, opts.Servers.Service(), l); err != nil {
		return fmt.Errorf("keep session of account %s: %w; it is lost: end it in the account's own list of devices, and log in again", name, err)
	}
	if err := errors.Join(n.accounts.Note(ctx, name, accounts.State{}), n.event(ctx, "account-added", []string{name})); err != nil {
		return err
	}
	use := "capture telegram:@NAME"
	if o.canary {
		use = "watch canary telegram:@OWN"
	}
	c.say(map[string]any{"event": "logged-in", "name": name, "service": opts.Servers.Service(), "canary": o.canary}, "%s is logged in: `holdfast %s` uses it", name, use)
	return nil
}

func (c *cli) loginBy(ctx context.Context, opts telegram.Options, o loginOptions, ask asker) (*telegram.Login, error) {
	if o.qr {
		return opts.LogInByQR(ctx, c.showPicture, ask)
	}
	if o.from != "" {
		s, err := readSession(o.from, ask.password)
		if err != nil {
			return nil, fmt.Errorf("import %s: %w", o.from, err)
		}
		return opts.Adopt(ctx, s)
	}
	return opts.LogIn(ctx, o.phone, ask)
}

// placeForLogin takes the lease of a name: the one that was asked for, else the
// first of a1, a2, … that has no session.
func (n *node) placeForLogin(name string) (string, func(), error) {
	if name != "" {
		unlock, err := n.accounts.Lock(name)
		if err == nil && unlock == nil {
			err = accounts.Unusable("account %s is in use by another process: wait for it, or stop it", name)
		}
		return name, unlock, err
	}
	names, err := n.allSessions()
	if err != nil {
		return "", nil, err
	}
	for i := 1; ; i++ {
		name = fmt.Sprintf("a%d", i)
		if slices.Contains(names, name) {
			continue
		}
		if unlock, err := n.accounts.Lock(name); unlock != nil || err != nil {
			return name, unlock, err
		}
	}
}

// replaces refuses a login that is not wanted, and returns the session that it
// takes the place of, if there is one.
func (n *node) replaces(name, file string, o telegram.Options) (*accounts.Session, error) {
	states, err := n.accounts.States()
	if err != nil {
		return nil, err
	}
	s, known := states[name]
	if known && s.State == telegram.StateWaiting {
		return nil, accounts.Unusable("%s", s.Words())
	}
	if _, err := os.Lstat(n.path(file)); err != nil {
		return nil, nil
	}
	if !known || s.State == telegram.StateOK {
		return nil, accounts.Unusable("account %s is logged in already: `holdfast telegram accounts --check` asks the service, `holdfast telegram logout %s` ends it; another account gets another --name", name, name)
	}
	return n.accounts.OpenAt(file, name, o)
}

func (c *cli) telegramAccountsCmd() *cobra.Command {
	var check bool
	cmd := command("accounts", "Show the accounts and how they are: ok, waiting until, banned, logged out", "holdfast telegram accounts --check", cobra.NoArgs,
		c.withNode(func(ctx context.Context, n *node) error { return c.telegramAccounts(ctx, n, check) }))
	cmd.Long = `Shows what is known, and what to do. --check asks the service about each that is
thought to be well, once. Numbers of telephones are kept nowhere.

exit status: 0 done  1 could not  2 usage`
	cmd.Flags().BoolVar(&check, "check", false, "ask the service")
	return cmd
}

func (c *cli) telegramAccounts(ctx context.Context, n *node, check bool) error {
	names, err := n.allSessions()
	if err != nil {
		return err
	}
	if check {
		if err := c.checkAccounts(ctx, n, names); err != nil {
			return err
		}
	}
	states, err := n.accounts.States()
	if err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(states)) { // a login that has to wait has no session yet
		if !slices.Contains(names, name) && states[name].State == telegram.StateWaiting {
			names = append(names, name)
		}
	}
	for _, name := range names {
		s, ok := states[name]
		if !ok {
			s = accounts.State{Name: name, State: telegram.StateOK}
		}
		busy, err := n.busy(name)
		if err != nil {
			return err
		}
		c.sayAccount(s, n.isCanary(name), busy)
	}
	return nil
}

func (n *node) busy(name string) (bool, error) {
	unlock, err := n.accounts.Lock(name)
	if unlock != nil {
		unlock()
	}
	return unlock == nil, err
}

func (c *cli) sayAccount(s accounts.State, canary, busy bool) {
	s = s.Shown()
	text := string(s.State)
	if s.Until != nil {
		text += " until " + s.Until.String()
	}
	if canary {
		text += "  for the canary"
	}
	if busy {
		text += "  in use"
	}
	if s.Do != "" {
		text += "\n  " + s.Do
	}
	c.say(map[string]any{"name": s.Name, "state": s.State, "until": s.Until, "do": s.Do, "waits": append([]accounts.Wait{}, s.Waits...), "in_use": busy, "canary": canary}, "%-12s %s", s.Name, text)
}

// checkAccounts asks the service about each account that nobody uses now. What it
// says is noted; what it cannot be asked is said on stderr.
func (c *cli) checkAccounts(ctx context.Context, n *node, names []string) error {
	o, err := n.telegramOptions()
	if err != nil {
		return err
	}
	states, err := n.accounts.States()
	if err != nil {
		return err
	}
	for _, name := range names {
		if s, ok := states[name]; ok && s.State != telegram.StateOK {
			continue
		}
		if err := n.checkAccount(ctx, name, o); err != nil {
			c.complain(err)
		}
	}
	return ctx.Err()
}

func (n *node) checkAccount(ctx context.Context, name string, o telegram.Options) error {
	unlock, err := n.accounts.Lock(name)
	if unlock == nil || err != nil {
		return err
	}
	defer unlock()
	k, err := n.accounts.OpenAt(n.fileOf(name), name, o)
	if err != nil {
		return err
	}
	_, err = o.Check(ctx, telegram.Account{Name: name, Session: k.Session})
	return n.accounts.Judged(ctx, name, err)
}

func (c *cli) telegramLogoutCmd() *cobra.Command {
	return command("logout NAME", "End an account's session at the service, and forget it", "holdfast telegram logout a1", cobra.ExactArgs(1),
		func(cmd *cobra.Command, args []string) error {
			if !accounts.ValidName(args[0]) {
				return usageError("name %.60q: use 1 to 40 of a-z, 0-9 and -", args[0])
			}
			return c.withNode(func(ctx context.Context, n *node) error { return c.telegramLogout(ctx, n, args[0]) })(cmd, args)
		})
}

func (c *cli) telegramLogout(ctx context.Context, n *node, name string) error {
	o, err := n.telegramOptions()
	if err != nil {
		return err
	}
	unlock, err := n.accounts.Lock(name)
	if err != nil {
		return err
	}
	if unlock == nil {
		return accounts.Unusable("account %s is in use by another process: wait for it, or stop it", name)
	}
	defer unlock()
	file := n.fileOf(name)
	k, err := n.accounts.OpenAt(file, name, o)
	if err != nil {
		return err
	}
	err = o.LogOut(ctx, telegram.Account{Name: name, Session: k.Session})
	if state, _, _ := telegram.Judge(err); err != nil && state != telegram.StateLoggedOut && state != telegram.StateBanned {
		return fmt.Errorf("log out %s: %w; the session is kept", name, err) // there it still is one
	}
	if err := os.Remove(n.path(file)); err != nil {
		return err
	}
	if err := errors.Join(n.accounts.Note(ctx, name, accounts.State{}), n.event(ctx, "account-removed", []string{name})); err != nil {
		return err
	}
	c.say(map[string]any{"event": "logged-out", "name": name}, "%s is logged out, and its session is gone", name)
	return nil
}
