package main

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
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"holdfast/cmd/internal/nodedir"
	"holdfast/collectors/telegram"
	"holdfast/wholefile"
)

// fileConfig is what a person writes for the collectors. It may hold secrets, so
// one that others can read is refused.
const fileConfig = nodedir.FileConfig

// config is DIR/holdfast.yaml. Each member of it can come from the environment
// instead, as HOLDFAST_TELEGRAM_APP_ID and so on, which goes before the file.
type config struct {
	Telegram telegramConfig `yaml:"telegram"`
	Web      webConfig      `yaml:"web"`
}

// webConfig is about pages that `watch run` visits.
type webConfig struct {
	// Least is the shortest pause between two visits of one page that a schedule may
	// have, Pace the one between two visits of one host: "5m".
	Least string `yaml:"least"`
	Pace  string `yaml:"pace"`
}

type telegramConfig struct {
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

func (n *node) config() (c config, err error) {
	b, err := wholefile.ReadSecret(n.path(fileConfig))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return c, fmt.Errorf("read %s: %w", fileConfig, err)
	}
	dec := yaml.NewDecoder(bytes.NewReader(b))
	dec.KnownFields(true)
	if err := dec.Decode(&c); err != nil && !errors.Is(err, io.EOF) {
		return c, fmt.Errorf("read %s: %w", fileConfig, err)
	}
	t := &c.Telegram
	if t.Servers != "" && !filepath.IsAbs(t.Servers) {
		t.Servers = n.path(t.Servers)
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

// errNoApp is wrapped by the error for a node that was not told of an application.
var errNoApp = errors.New("no app_id and app_hash: whoever has an account gets them from my.telegram.org/apps; write them into holdfast.yaml in the node's directory, mode 0600, as `telegram: {app_id: 12345, app_hash: …}`, or set HOLDFAST_TELEGRAM_APP_ID and HOLDFAST_TELEGRAM_APP_HASH")

var appHash = regexp.MustCompile(`^[0-9a-f]{32}$`)

// telegramOptions is what every account of the node is used with.
func (n *node) telegramOptions() (o telegram.Options, err error) {
	conf, err := n.config()
	if err != nil {
		return o, err
	}
	t := conf.Telegram
	if t.AppID == "" || t.AppHash == "" {
		return o, fmt.Errorf("telegram: %w", errNoApp)
	}
	id, err := strconv.Atoi(t.AppID)
	if err != nil || id < 1 {
		return o, fmt.Errorf("telegram: app_id %.20q is no number", t.AppID)
	}
	if !appHash.MatchString(t.AppHash) { // never quoted
		return o, errors.New("telegram: app_hash is not 32 of 0-9 and a-f, as my.telegram.org/apps shows it")
	}
	o = telegram.Options{App: telegram.App{ID: id, Hash: t.AppHash}, Log: n.log}
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
	o.Proxy, err = n.telegramProxy(t.Proxy)
	return o, err
}

// telegramProxy is the way out that was set for Telegram, else the node's own:
// nothing goes direct that a person has not said may.
func (n *node) telegramProxy(said string) (*telegram.Proxy, error) {
	if said == "" {
		said = n.set.Via
	}
	if strings.Contains(said, "://") {
		p, err := telegram.ParseProxy(said)
		if err != nil { // never quoted: a password may be in it
			return nil, fmt.Errorf("telegram: proxy: %w", err)
		}
		return p, nil
	}
	via, err := n.via(said)
	if err != nil || via == nil {
		return nil, err
	}
	return telegram.ProxyVia(via)
}
