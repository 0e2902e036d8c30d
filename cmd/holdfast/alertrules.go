package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"holdfast"
	"holdfast/alert"
	"holdfast/search"
	"holdfast/wholefile"
)

// Files of alerts in the node's directory. What waits to be told lies in alerts.db.
const (
	fileAlerts = "alerts.json"
	alertsDB   = "alerts.db"
	alertsLock = "alerts.lock" // of who finds and tells; of an office, who tells

	alertRulesLock = "alertrules.lock"

	maxAlertDoc = 1 << 20
	maxAlerts   = 200
	minSilent   = time.Minute
)

// alertRule says what is told, and to whom. It names files of secrets, and holds none.
type alertRule struct {
	Name    string          `json:"name"`
	Added   holdfast.Time   `json:"added"`
	Match   string          `json:"match,omitempty"`
	Edited  bool            `json:"edited,omitempty"`
	Deleted bool            `json:"deleted,omitempty"`
	Silent  string          `json:"silent,omitempty"` // a duration
	Source  holdfast.Source `json:"source,omitempty"` // a channel, or the beginning of an address
	Case    holdfast.ID     `json:"case,omitempty"`
	To      []string        `json:"to"`

	SecretFile   string `json:"secret_file,omitempty"` // of webhooks
	SMTP         string `json:"smtp,omitempty"`
	From         string `json:"from,omitempty"`
	SMTPUser     string `json:"smtp_user,omitempty"`
	PasswordFile string `json:"password_file,omitempty"`
	Via          string `json:"via,omitempty"` // an egress's name, direct, or a proxy's address; "": the node's
}

type alertDoc struct {
	Alerts  []*alertRule `json:"alerts"`
	Version int          `json:"version"`
}

// alerts reads the rules; a node without a file has none.
func (n *node) alerts(ctx context.Context) ([]*alertRule, error) {
	if n.sharedQueue() {
		return n.officeAlerts(ctx)
	}
	return readAlerts(n.path(fileAlerts))
}

func readAlerts(file string) ([]*alertRule, error) {
	b, err := wholefile.Read(file, maxAlertDoc)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var d alertDoc
	if err := wholefile.DecodeJSON(fileAlerts, b, &d); err != nil {
		return nil, fmt.Errorf("%w; put a copy back, or move it away: then nothing is told", err)
	}
	if d.Version > 1 {
		return nil, fmt.Errorf("%s has version %d: use a newer holdfast", fileAlerts, d.Version)
	}
	for _, r := range d.Alerts {
		if r == nil || r.kind() == "" || len(r.To) == 0 {
			return nil, fmt.Errorf("read %s: an alert about nothing, or to nobody: somebody has changed it; put a copy back", fileAlerts)
		}
	}
	return d.Alerts, nil
}

// changeAlerts edits the rules under their lock. A crash leaves the old or the new.
func (n *node) changeAlerts(ctx context.Context, edit func([]*alertRule) ([]*alertRule, error)) error {
	unlock, err := n.officeLock(ctx, alertRulesLock)
	if err != nil {
		return err
	}
	defer unlock()
	rules, err := n.alerts(ctx)
	if err != nil {
		return err
	}
	if rules, err = edit(rules); err != nil || n.sharedQueue() { // of an office edit has done it
		return err
	}
	if len(rules) > maxAlerts {
		return fmt.Errorf("%d alerts: one node has %d at most", len(rules), maxAlerts)
	}
	slices.SortFunc(rules, func(a, b *alertRule) int { return strings.Compare(a.Name, b.Name) })
	return writeJSON(n.path(fileAlerts), alertDoc{Version: 1, Alerts: rules})
}

// kind is what a rule is about, or "".
func (r *alertRule) kind() string {
	kind, n := "", 0
	for name, is := range map[string]bool{"match": r.Match != "", "edited": r.Edited, "deleted": r.Deleted, "silent": r.Silent != ""} {
		if is {
			kind, n = name, n+1
		}
	}
	if n != 1 {
		return ""
	}
	return kind
}

func (r *alertRule) silence() (time.Duration, error) {
	d, err := time.ParseDuration(r.Silent)
	if err == nil && d < minSilent {
		err = fmt.Errorf("it is %s or more", minSilent)
	}
	return d, err
}

// check refuses what can never work, before it is written down.
func (r *alertRule) check() error {
	if !holdfast.ValidAuthorityName(r.Name) {
		return usageError("alert %.60q: its name is 1 to 40 of a-z, 0-9 and -", r.Name)
	}
	if r.kind() == "" {
		return usageError("alert: give one of --match QUERY, --edited, --deleted, --silent TIME")
	}
	if r.Match != "" {
		if _, err := search.Parse(r.Match); err != nil {
			return usageError("alert: --match: %w", err)
		}
	}
	if r.Silent != "" {
		if _, err := r.silence(); err != nil {
			return usageError("alert: --silent %.40q: %w", r.Silent, err)
		}
		if r.Source == "" {
			return usageError("alert: --silent needs --source: whose silence")
		}
	}
	if r.kind() == "edited" || r.kind() == "deleted" {
		if r.Source != "" && !isTelegram(r.Source) {
			return usageError("alert: --%s is about posts: --source is a channel", r.kind())
		}
	}
	return nil
}

// checkTargets refuses places that can never be told anything.
func (r *alertRule) checkTargets() error {
	if len(r.To) == 0 {
		return usageError("alert: --to: where it goes: mailto:NAME@HOST, https://…, exec:/PROGRAM or FILE.atom")
	}
	if r.Via != "" && !slices.ContainsFunc(r.To, needsLine) {
		return usageError("alert: --via is the way to webhooks and mail servers, and none is given with --to")
	}
	for _, to := range r.To {
		if strings.HasPrefix(to, "https://") && r.SecretFile == "" {
			return usageError("alert: a webhook needs --secret-file FILE: what is sent is signed with it, so that the other side can tell who sends")
		}
		t, err := r.target(to)
		if err == nil {
			err = t.Check()
		}
		if err == nil && strings.HasPrefix(to, "exec:") {
			err = executable(strings.TrimPrefix(to, "exec:"))
		}
		if err != nil {
			return usageError("alert: --to: %w", err)
		}
	}
	return nil
}

func executable(path string) error {
	st, err := os.Stat(path)
	if err == nil && (st.IsDir() || st.Mode()&0o111 == 0) {
		err = fmt.Errorf("%s is no program that can be run", path)
	}
	return err
}

// target reads the secrets of a destination, each time anew: they may be changed.
func (r *alertRule) target(to string) (alert.Target, error) {
	t := alert.Target{To: to, Mail: alert.Mail{Server: r.SMTP, From: r.From, User: r.SMTPUser}}
	switch {
	case strings.HasPrefix(to, "https://"):
		b, err := wholefile.ReadSecret(r.SecretFile)
		if err != nil {
			return t, fmt.Errorf("read the secret of the webhook: %w", err)
		}
		if t.Secret = []byte(strings.TrimSpace(string(b))); len(t.Secret) < 16 {
			return t, fmt.Errorf("%s has %d characters: a secret has 16 or more", r.SecretFile, len(t.Secret))
		}
	case strings.HasPrefix(to, "mailto:") && r.SMTPUser != "":
		b, err := wholefile.ReadSecret(r.PasswordFile)
		if err != nil {
			return t, fmt.Errorf("read the password of the mail server: %w", err)
		}
		t.Mail.Password = strings.TrimSpace(string(b))
	}
	return t, nil
}
