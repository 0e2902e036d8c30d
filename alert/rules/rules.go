package rules

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"holdfast"
	"holdfast/alert"
	"holdfast/search"
	"holdfast/wholefile"
)

// FileName is the rules' in the node's directory.
const FileName = "alerts.json"

// Bounds of rules.
const (
	MaxFile   = 1 << 20 // bytes of alerts.json
	Max       = 200     // rules of a node, or of an office
	minSilent = time.Minute
)

// Rule says what is told, and to whom. It names files of secrets, and holds none.
type Rule struct {
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

type doc struct {
	Alerts  []*Rule `json:"alerts"`
	Version int     `json:"version"`
}

// Read reads the rules of a file; none where there is none. A rule about nothing, or to
// nobody, is an error: alerts that are not told would be missed by nobody.
func Read(file string) ([]*Rule, error) {
	b, err := wholefile.Read(file, MaxFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var d doc
	if err := wholefile.DecodeJSON(FileName, b, &d); err != nil {
		return nil, fmt.Errorf("%w; put a copy back, or move it away: then nothing is told", err)
	}
	if d.Version > 1 {
		return nil, fmt.Errorf("%s has version %d: use a newer holdfast", FileName, d.Version)
	}
	for _, r := range d.Alerts {
		if r == nil || r.Kind() == "" || len(r.To) == 0 {
			return nil, fmt.Errorf("read %s: an alert about nothing, or to nobody: somebody has changed it; put a copy back", FileName)
		}
	}
	return d.Alerts, nil
}

// Kind is what a rule is about, match, edited, deleted or silent; or "".
func (r *Rule) Kind() string {
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

func (r *Rule) silence() (time.Duration, error) {
	d, err := time.ParseDuration(r.Silent)
	if err == nil && d < minSilent {
		err = fmt.Errorf("it is %s or more", minSilent)
	}
	return d, err
}

// Check refuses what can never work, before it is written down.
func (r *Rule) Check() error {
	if !holdfast.ValidAuthorityName(r.Name) {
		return fmt.Errorf("alert %.60q: its name is 1 to 40 of a-z, 0-9 and -", r.Name)
	}
	if r.Kind() == "" {
		return errors.New("alert: give one of --match QUERY, --edited, --deleted, --silent TIME")
	}
	if r.Match != "" {
		if _, err := search.Parse(r.Match); err != nil {
			return fmt.Errorf("alert: --match: %w", err)
		}
	}
	if r.Silent != "" {
		if _, err := r.silence(); err != nil {
			return fmt.Errorf("alert: --silent %.40q: %w", r.Silent, err)
		}
		if r.Source == "" {
			return errors.New("alert: --silent needs --source: whose silence")
		}
	}
	if r.Kind() == "edited" || r.Kind() == "deleted" {
		if r.Source != "" && !isChannel(r.Source) {
			return fmt.Errorf("alert: --%s is about posts: --source is a channel", r.Kind())
		}
	}
	return nil
}

// CheckTargets refuses places that can never be told anything.
func (r *Rule) CheckTargets() error {
	if len(r.To) == 0 {
		return errors.New("alert: --to: where it goes: mailto:NAME@HOST, https://…, exec:/PROGRAM or FILE.atom")
	}
	if r.Via != "" && !slices.ContainsFunc(r.To, NeedsLine) {
		return errors.New("alert: --via is the way to webhooks and mail servers, and none is given with --to")
	}
	for _, to := range r.To {
		if strings.HasPrefix(to, "https://") && r.SecretFile == "" {
			return errors.New("alert: a webhook needs --secret-file FILE: what is sent is signed with it, so that the other side can tell who sends")
		}
		t, err := r.Target(to)
		if err == nil {
			err = t.Check()
		}
		if err == nil && strings.HasPrefix(to, "exec:") {
			err = executable(strings.TrimPrefix(to, "exec:"))
		}
		if err != nil {
			return fmt.Errorf("alert: --to: %w", err)
		}
	}
	return nil
}

// Encode is what alerts.json holds for these rules; they are put in the order of their
// names.
func Encode(all []*Rule) ([]byte, error) {
	all = append([]*Rule{}, all...)
	slices.SortFunc(all, func(a, b *Rule) int { return strings.Compare(a.Name, b.Name) })
	return wholefile.EncodeJSON(doc{Version: 1, Alerts: all})
}

// Here says why a program or a feed's folder is not on this machine.
func Here(to string) error {
	if path, ok := strings.CutPrefix(to, "exec:"); ok {
		return executable(path)
	}
	if strings.HasSuffix(to, ".atom") {
		_, err := os.Stat(filepath.Dir(to))
		return err
	}
	return nil
}

// NeedsLine says whether a destination is reached over a network.
func NeedsLine(to string) bool {
	return strings.HasPrefix(to, "https://") || strings.HasPrefix(to, "mailto:")
}

func executable(path string) error {
	st, err := os.Stat(path)
	if err == nil && (st.IsDir() || st.Mode()&0o111 == 0) {
		err = fmt.Errorf("%s is no program that can be run", path)
	}
	return err
}

// Target reads the secrets of a destination, each time anew: they may be changed.
func (r *Rule) Target(to string) (alert.Target, error) {
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

func isChannel(s holdfast.Source) bool { return strings.HasPrefix(string(s), "telegram:") }
