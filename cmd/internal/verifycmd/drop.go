package verifycmd

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/term"

	"holdfast"
	"holdfast/messages"
)

// errDropped says what may be dropped on the program.
var errDropped = errors.New("drop one bundle, and with it at most one policy file")

// errPolicies: whom to trust is said twice.
var errPolicies = errors.New("two policies, one with --policy and one dropped: give one")

// maxAsked bounds how often a mistyped fingerprint is asked for again.
const maxAsked = 5

// Launched reports whether files were dropped on the program, or it was started
// by a double click: it has a console of its own (Windows), or it runs on a
// desktop with its output going nowhere. In a terminal, in a pipe and in a
// script it never is.
func Launched(args []string, env func(string) string) bool {
	for _, a := range args {
		if strings.HasPrefix(a, "-") {
			return false
		}
	}
	return launched(env)
}

// Drop verifies files that were dropped on the program, writes the report beside
// the Bundle, and asks and waits if somebody sits at in. A file that lies beside
// the Bundle is not trusted for that: only what was dropped or typed is.
func Drop(ctx context.Context, files []string, o Options, in *os.File, out, errs io.Writer) int {
	if o.Env == nil {
		o.Env = os.Getenv
	}
	c, err := o.open()
	if err != nil {
		complain(errs, nil, err)
		return ExitUsage
	}
	d := &dropped{Catalogue: c, out: out}
	if term.IsTerminal(int(in.Fd())) {
		d.in = bufio.NewReader(io.LimitReader(in, 1<<20))
	}
	code := d.run(ctx, files, o, errs)
	if d.in != nil {
		fmt.Fprintf(out, "\n%s\n", c.Text("drop.close", nil))
		d.in.ReadString('\n')
	}
	return code
}

// dropped talks with the person who dropped files; in is nil if nobody can answer.
type dropped struct {
	*messages.Catalogue
	in  *bufio.Reader
	out io.Writer
}

func (d *dropped) run(ctx context.Context, files []string, o Options, errs io.Writer) int {
	if len(files) == 0 {
		fmt.Fprintln(d.out, d.Text("drop.how", nil))
		return ExitUsage
	}
	bundle, policy, err := sorted(files)
	if err != nil {
		complain(errs, nil, err)
		fmt.Fprintln(errs, d.Text("drop.how", nil))
		return ExitUsage
	}
	o.File, o.beside = bundle, true
	if policy != "" {
		if o.Policy != "" { // which of them counts is not for us to guess
			complain(errs, nil, errPolicies)
			return ExitUsage
		}
		o.Policy = policy
	}
	if o.Policy == "" && o.Node == "" {
		o.Node = d.ask()
	}
	return Run(ctx, o, d.out, errs)
}

// ask asks for the fingerprint in the letter; "" is none.
func (d *dropped) ask() string {
	if d.in == nil {
		return ""
	}
	question := "drop.ask"
	for range maxAsked {
		fmt.Fprintf(d.out, "%s\n> ", d.Text(question, nil))
		line, err := d.in.ReadString('\n')
		node, bad := Fingerprint(line)
		if bad == nil {
			fmt.Fprintln(d.out)
			return node
		}
		if err != nil {
			return ""
		}
		question = "drop.ask.again"
	}
	return ""
}

// sorted tells a Bundle from a Policy by what they hold, not by their names.
func sorted(files []string) (bundle, policy string, err error) {
	for _, f := range files {
		switch {
		case len(files) > 1 && isPolicy(f) && policy == "":
			policy = f
		case bundle == "":
			bundle = f
		default:
			return "", "", errDropped
		}
	}
	if bundle == "" {
		return "", "", errDropped
	}
	return bundle, policy, nil
}

func isPolicy(path string) bool {
	st, err := os.Stat(path)
	if err != nil || !st.Mode().IsRegular() || st.Size() > holdfast.MaxPolicy {
		return false
	}
	_, err = readPolicy(path)
	return err == nil
}

// saveBeside writes the report beside the Bundle under a name that is free, or,
// where that cannot be written to, into the folder for temporary files; key is
// the sentence that says so. It never replaces a file.
func saveBeside(bundle string, page []byte) (path, key string, err error) {
	dir, key := filepath.Dir(bundle), "drop.written"
	for range 3 {
		path = beside(dir, bundle)
		if err = writeFile(path, page, false); err == nil {
			if full, e := filepath.Abs(path); e == nil {
				path = full
			}
			return path, key, nil
		}
		if !errors.Is(err, errExists) { // else somebody was faster: the next name
			dir, key = os.TempDir(), "drop.elsewhere"
		}
	}
	return "", "", err
}
