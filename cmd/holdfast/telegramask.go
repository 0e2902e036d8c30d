package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/term"
	"rsc.io/qr"

	"holdfast/collectors/telegram"
	"holdfast/messages"
	"holdfast/wholefile"
)

// asker asks a person what a login wants to hear: flags and files first, then the
// terminal.
type asker struct {
	c        *cli
	code     string
	password []byte // of --password-file; nil: none
}

// errSecond is returned where a second password is wanted and none was given.
var errSecond = errors.New("the account has a second password (2FA): write it into a file that only you can read and give --password-file; then begin again, with a new code")

const (
	maxPassword = 1 << 10
	maxCodeWait = 10 * time.Minute // the service's codes do not last longer
)

// asker reads the password's file before a code is sent for.
func (c *cli) asker(o loginOptions) (a asker, err error) {
	a = asker{c: c, code: o.code}
	if o.passwordFile == "" {
		return a, nil
	}
	if a.password, err = wholefile.ReadSecret(o.passwordFile); err != nil {
		return a, usageError("--password-file: %w", err)
	}
	a.password = bytes.TrimSuffix(bytes.TrimSuffix(a.password, []byte("\n")), []byte("\r"))
	if len(a.password) == 0 || len(a.password) > maxPassword || bytes.ContainsAny(a.password, "\r\n\x00") {
		return a, usageError("--password-file %s: one line of 1 to %d bytes is wanted", o.passwordFile, maxPassword)
	}
	return a, nil
}

func (c *cli) hasTerminal() bool {
	f, ok := c.in.(*os.File)
	return ok && term.IsTerminal(int(f.Fd())) && c.onTerminal()
}

// Code implements telegram.Asker.
func (a asker) Code(ctx context.Context, how string) (string, error) {
	if a.code != "" && a.code != "-" {
		return a.code, nil
	}
	fmt.Fprintf(a.c.errs, "holdfast: the code is to be found %s\n", messages.Visible(how))
	if a.code == "" {
		fmt.Fprint(a.c.errs, "code: ")
	}
	return a.c.line(ctx)
}

// line reads a line from stdin, and does not wait for one beyond ctx.
func (c *cli) line(ctx context.Context) (string, error) {
	ctx, stop := context.WithTimeout(ctx, maxCodeWait)
	defer stop()
	type got struct {
		line string
		err  error
	}
	came := make(chan got, 1)
	go func() {
		line, err := bufio.NewReader(io.LimitReader(c.in, maxPassword)).ReadString('\n')
		if line != "" {
			err = nil
		}
		came <- got{strings.TrimSpace(line), err}
	}()
	select {
	case g := <-came:
		if g.err != nil || g.line == "" {
			return "", errors.New("no code came on stdin")
		}
		return g.line, nil
	case <-ctx.Done():
		return "", fmt.Errorf("wait for the code: %w", context.Cause(ctx))
	}
}

// Password implements telegram.Asker.
func (a asker) Password(_ context.Context, hint string) (string, error) {
	if a.password != nil {
		return string(a.password), nil
	}
	if !a.c.hasTerminal() {
		return "", errSecond
	}
	if hint != "" {
		fmt.Fprintf(a.c.errs, "holdfast: its owner's hint is %q\n", messages.Visible(hint))
	}
	fmt.Fprint(a.c.errs, "second password: ")
	defer fmt.Fprintln(a.c.errs)
	p, err := term.ReadPassword(int(a.c.in.(*os.File).Fd()))
	if err != nil {
		return "", fmt.Errorf("read the second password: %w", err)
	}
	if len(p) == 0 {
		return "", errSecond
	}
	return string(p), nil
}

// showPicture draws what a device is to scan: two rows in one line, dark on light
// whatever the terminal's colours are.
func (c *cli) showPicture(url string, until time.Time) error {
	if c.json {
		c.say(map[string]any{"event": "picture", "url": url, "until": until.UTC()}, "")
		return nil
	}
	code, err := qr.Encode(url, qr.L)
	if err != nil {
		return err
	}
	const quiet = 2
	var b strings.Builder
	for y := -quiet; y < code.Size+quiet; y += 2 {
		b.WriteString("\x1b[30;107m")
		for x := -quiet; x < code.Size+quiet; x++ {
			b.WriteString(map[[2]bool]string{{false, false}: " ", {true, false}: "▀", {false, true}: "▄", {true, true}: "█"}[[2]bool{code.Black(x, y), code.Black(x, y+1)}])
		}
		b.WriteString("\x1b[0m\n")
	}
	fmt.Fprintf(c.errs, "%sscan it in the Telegram app: Settings, Devices, Link Desktop Device; good until %s\n", b.String(), until.Local().Format(time.TimeOnly))
	return nil
}

// readSession reads a session from elsewhere: a file, or the folder of Telegram
// Desktop.
func readSession(path string, passcode []byte) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.IsDir() {
		return telegram.ReadDesktop(os.DirFS(path), passcode)
	}
	b, err := wholefile.ReadSecret(path)
	if err != nil {
		return nil, err
	}
	return telegram.ParseSession(b)
}
