// Package verifycmd is `holdfast verify` and the whole of `holdfast-verify`: it
// reads a Bundle and a Policy, prints the Findings and maps the verdict to an
// exit code. It opens the two files that it is given and nothing else.
package verifycmd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"holdfast"
	"holdfast/messages"
)

// Exit codes of verify, a contract.
const (
	ExitProven       = 0
	ExitContradicted = 1
	ExitUsage        = 2 // usage, missing file, not a ZIP, or a newer format
	ExitUnsealed     = 3
	ExitUnattributed = 4
)

// Options are the command's arguments.
type Options struct {
	File   string
	Policy string // file; "" uses [Builtin]
	Node   string // fingerprint of a node entry in the Bundle
	JSON   bool
	All    bool // print the passed checks too

	// Progress is told the bytes hashed; nil when nobody watches.
	Progress func(done, total int64)
}

// Run verifies and prints, findings on out and errors on errs.
func Run(ctx context.Context, o Options, out, errs io.Writer) int {
	p, err := policy(o)
	if err != nil {
		fmt.Fprintf(errs, "holdfast: %s\n", messages.Visible(err.Error()))
		return ExitUsage
	}
	f, err := os.Open(o.File)
	if err != nil {
		fmt.Fprintf(errs, "holdfast: open bundle: %s\n", messages.Visible(err.Error()))
		return ExitUsage
	}
	defer f.Close()
	st, err := f.Stat()
	if err == nil && !st.Mode().IsRegular() {
		err = fmt.Errorf("%s is not a regular file: give the .zip itself", o.File)
	}
	if err != nil {
		fmt.Fprintf(errs, "holdfast: open bundle: %s\n", messages.Visible(err.Error()))
		return ExitUsage
	}
	r, err := holdfast.Verify(ctx, f, st.Size(), p, holdfast.VerifyOptions{Node: o.Node, Progress: o.Progress})
	if err != nil {
		fmt.Fprintf(errs, "holdfast: verify %s: %s%s\n", messages.Visible(o.File), messages.Visible(err.Error()), hint(err))
		return ExitUsage
	}
	if o.JSON {
		printJSON(out, r)
	} else {
		printText(out, o, r)
	}
	return Exit(r.Verdict)
}

func hint(err error) string {
	if errors.Is(err, holdfast.ErrNotBundle) {
		return "; a bundle is the .zip that `holdfast export` writes, not one of the files in it"
	}
	return ""
}

// Exit maps a verdict to its exit code.
func Exit(v holdfast.Verdict) int {
	switch v {
	case holdfast.VerdictProven:
		return ExitProven
	case holdfast.VerdictUnsealed:
		return ExitUnsealed
	case holdfast.VerdictUnattributed:
		return ExitUnattributed
	}
	return ExitContradicted
}

func policy(o Options) (*holdfast.Policy, error) {
	if n := strings.TrimPrefix(o.Node, "sha256:"); n != "" && (len(n) != 64 || strings.Trim(n, "0123456789abcdef") != "") {
		return nil, fmt.Errorf("--node %.80q is not a fingerprint of 64 hex digits: `holdfast policy show` of the other office prints it", o.Node)
	}
	if o.Policy == "" {
		return Builtin()
	}
	f, err := os.Open(o.Policy)
	if err != nil {
		return nil, fmt.Errorf("open policy: %w", err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, holdfast.MaxPolicy+1))
	if err != nil {
		return nil, fmt.Errorf("read policy: %w", err)
	}
	p, err := holdfast.ParsePolicy(b)
	if err != nil {
		return nil, fmt.Errorf("read policy %s: %w; `holdfast policy export FILE` writes one", o.Policy, err)
	}
	return p, nil
}

// printJSON prints one object per Finding and a last one with the verdict.
func printJSON(out io.Writer, r *holdfast.Report) {
	enc := json.NewEncoder(out)
	for _, f := range r.Findings {
		enc.Encode(f)
	}
	type exhibit struct {
		Number    string           `json:"number"`
		Capture   holdfast.ID      `json:"capture"`
		Source    holdfast.Source  `json:"source"`
		Verdict   holdfast.Verdict `json:"verdict"`
		Seal      string           `json:"seal"`
		NotAfter  string           `json:"not_after"`
		NotBefore string           `json:"not_before"`
		Node      string           `json:"node"`
	}
	last := struct {
		Verdict  holdfast.Verdict `json:"verdict"`
		Training bool             `json:"training"`
		Unsigned []string         `json:"unsigned"`
		Exhibits []exhibit        `json:"exhibits"`
	}{r.Verdict, r.Training, append([]string{}, r.Unsigned...), []exhibit{}}
	for _, e := range r.Exhibits {
		last.Exhibits = append(last.Exhibits, exhibit{e.Number, e.Capture, e.Source, e.Verdict, e.Seal, when(e.T), when(e.After), e.Node})
	}
	enc.Encode(last)
}

func when(t holdfast.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.String()
}

func printText(out io.Writer, o Options, r *holdfast.Report) {
	passed := 0
	for _, f := range r.Findings {
		if f.Outcome == holdfast.OK {
			if passed++; !o.All {
				continue
			}
		}
		fmt.Fprintf(out, "%-12s %-20s %s: %s\n", f.Outcome, f.Finding, messages.Visible(f.Subject), messages.Visible(f.Detail))
	}
	if !o.All {
		fmt.Fprintf(out, "%d checks passed (--all lists them)\n", passed)
	}
	for _, e := range r.Exhibits {
		printExhibit(out, e)
	}
	if r.Training {
		fmt.Fprintln(out, "TRAINING: this is a rehearsal, not evidence.")
	}
	fmt.Fprintf(out, "\n%s: %s\n", strings.ToUpper(string(r.Verdict)), meaning(r.Verdict))
}

func printExhibit(out io.Writer, e holdfast.ExhibitReport) {
	fmt.Fprintf(out, "\nexhibit %s  %s\n  %s\n", e.Number, e.Verdict, messages.Visible(string(e.Source)))
	switch {
	case e.T.IsZero():
		fmt.Fprintf(out, "  proven: no time; no quorum of timestamps counts under this policy\n")
	case e.After.IsZero():
		fmt.Fprintf(out, "  proven: these bytes existed not later than %s\n", e.T)
	default:
		fmt.Fprintf(out, "  proven: signed after %s, these bytes existed not later than %s\n", e.After, e.T)
	}
	if !e.Ended.IsZero() {
		fmt.Fprintf(out, "  stated: captured from %s to %s by the clock of %s; outcome %s\n", e.Started, e.Ended, e.Node, e.Result)
	}
}

// meaning says in one sentence what a verdict is, and what it is not.
func meaning(v holdfast.Verdict) string {
	switch v {
	case holdfast.VerdictProven:
		return "a key that the policy names signed exactly these bytes, not later than the times above. That the content is true, or who wrote it, is not claimed."
	case holdfast.VerdictUnattributed:
		return "the bytes are unchanged since the times above; who sealed them is not checked, since the policy does not name the node. Give --policy, or --node with a fingerprint that you got from the office by another way."
	case holdfast.VerdictUnsealed:
		return "nothing contradicts, but the quorum of independent timestamps that the policy asks for is not here."
	}
	return "at least one check failed: do not rely on this file. The lines above that begin with `contradicted` say where."
}
