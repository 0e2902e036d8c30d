package main

import (
	"fmt"
	"strings"

	"holdfast/cmd/internal/nodedir"
	"holdfast/collectors/telegram"
)

// fileConfig is what a person writes for the collectors. It may hold secrets, so
// one that others can read is refused.
const fileConfig = nodedir.FileConfig

func (n *node) config() (nodedir.Config, error) { return nodedir.ReadConfig(n.dir) }

// telegramOptions is what every account of the node is used with.
func (n *node) telegramOptions() (o telegram.Options, err error) {
	conf, err := n.config()
	if err != nil {
		return o, err
	}
	if o, err = conf.Telegram.Options(); err != nil {
		return o, err
	}
	o.Log = n.log
	o.Proxy, err = n.telegramProxy(conf.Telegram.Proxy)
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
