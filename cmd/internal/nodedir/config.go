package nodedir

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"time"

	"go.yaml.in/yaml/v3"

	"holdfast/collectors/telegram"
	"holdfast/wholefile"
)

// Config is DIR/holdfast.yaml. Each member of it can come from the environment
// instead, as HOLDFAST_TELEGRAM_APP_ID and so on, which goes before the file.
type Config struct {
	Telegram TelegramConfig `yaml:"telegram"`
	Web      WebConfig      `yaml:"web"`
}

// WebConfig is about pages that `watch run` visits.
type WebConfig struct {
	// Least is the shortest pause between two visits of one page that a schedule may
	// have, Pace the one between two visits of one host: "5m".
	Least string `yaml:"least"`
	Pace  string `yaml:"pace"`
}

// TelegramConfig is about Telegram.
type TelegramConfig struct {
	AppID   string `yaml:"app_id"`
	AppHash string `yaml:"app_hash"`
	// Proxy is socks5://host:port, the address of an MTProxy (tg://proxy?…), the
	// name of an egress, or direct. Default: the node's egress, else direct.
	Proxy string `yaml:"proxy"`
	// Servers is a file that says where another service than Telegram's own is. A
	// path that is not absolute counts from the file that names it.
	Servers string `yaml:"servers"`
	// Web is https://host[:port], which stands in for the public pages of t.me. Where
	// Servers is said and Web is not, there are none.
	Web string `yaml:"web"`
	// Sweep is how old a post is when `watch run` asks for it again: "1m 5m … 30d",
	// or none.
	Sweep string `yaml:"sweep"`
	// WebEvery is how often `watch run` looks at the public page of a channel where no
	// account can ask, WebPace the least time between two public pages of any: "5m".
	WebEvery string `yaml:"web_every"`
	WebPace  string `yaml:"web_pace"`
}

// ReadConfig reads what a person has set for the collectors of the node in dir; nothing where
// there is no file. It may hold secrets, so one that others can read is refused.
func ReadConfig(dir string) (c Config, err error) {
	b, err := wholefile.ReadSecret(filepath.Join(dir, FileConfig))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return c, fmt.Errorf("read %s: %w", FileConfig, err)
	}
	dec := yaml.NewDecoder(bytes.NewReader(b))
	dec.KnownFields(true)
	if err := dec.Decode(&c); err != nil && !errors.Is(err, io.EOF) {
		return c, fmt.Errorf("read %s: %w", FileConfig, err)
	}
	t := &c.Telegram
	if t.Servers != "" && !filepath.IsAbs(t.Servers) {
		t.Servers = filepath.Join(dir, t.Servers)
	}
	for name, to := range map[string]*string{"APP_ID": &t.AppID, "APP_HASH": &t.AppHash, "PROXY": &t.Proxy, "SERVERS": &t.Servers, "SWEEP": &t.Sweep, "WEB": &t.Web, "WEB_EVERY": &t.WebEvery, "WEB_PACE": &t.WebPace} {
		if v := os.Getenv("HOLDFAST_TELEGRAM_" + name); v != "" {
			*to = v
		}
	}
	for name, to := range map[string]*string{"LEAST": &c.Web.Least, "PACE": &c.Web.Pace} {
		if v := os.Getenv("HOLDFAST_WEB_" + name); v != "" {
			*to = v
		}
	}
	return c, nil
}

// ErrNoApp is wrapped by the error for a node that was not told of an application.
var ErrNoApp = errors.New("no app_id and app_hash: whoever has an account gets them from my.telegram.org/apps; write them into holdfast.yaml in the node's directory, mode 0600, as `telegram: {app_id: 12345, app_hash: …}`, or set HOLDFAST_TELEGRAM_APP_ID and HOLDFAST_TELEGRAM_APP_HASH")

var appHash = regexp.MustCompile(`^[0-9a-f]{32}$`)

// Options is what every account of the node is used with, but for the way out and the log.
func (t TelegramConfig) Options() (o telegram.Options, err error) {
	if t.AppID == "" || t.AppHash == "" {
		return o, fmt.Errorf("telegram: %w", ErrNoApp)
	}
	id, err := strconv.Atoi(t.AppID)
	if err != nil || id < 1 {
		return o, fmt.Errorf("telegram: app_id %.20q is no number", t.AppID)
	}
	if !appHash.MatchString(t.AppHash) { // never quoted
		return o, errors.New("telegram: app_hash is not 32 of 0-9 and a-f, as my.telegram.org/apps shows it")
	}
	o = telegram.Options{App: telegram.App{ID: id, Hash: t.AppHash}}
	if t.Servers == "" {
		o.Pace = time.Second // of Telegram's own; others say themselves what is too much
	} else {
		b, err := wholefile.Read(t.Servers, telegram.MaxServers)
		if err != nil {
			return o, fmt.Errorf("telegram: read servers: %w", err)
		}
		if o.Servers, err = telegram.ParseServers(b); err != nil {
			return o, fmt.Errorf("telegram: %s: %w", t.Servers, err)
		}
	}
	return o, nil
}
