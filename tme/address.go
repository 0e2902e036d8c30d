package tme

import (
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// Base is where the pages are.
const Base = "https://t.me"

// Hosts are the names under which the service serves them.
func Hosts() []string { return []string{"t.me", "telegram.me"} }

// Address is which page of which channel an address names.
type Address struct {
	Channel string // in lower case: the service does not tell cases apart
	Post    int64  // of an embedded post; 0: a page of the channel
	Before  int64  // the channel's posts below this one; 0: the newest, or others
}

// ParseAddress reads the address that a page was received from, over https and from
// one of hosts (with its port, if that is not 443). ok is false for every other one.
func ParseAddress(s string, hosts []string) (a Address, ok bool) {
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "https" || u.User != nil || u.EscapedPath() != u.Path || !slices.Contains(hosts, strings.ToLower(strings.TrimSuffix(u.Host, ":443"))) {
		return a, false
	}
	q, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return a, false
	}
	parts := strings.Split(strings.Trim(u.Path, "/"), "/")
	switch {
	case len(parts) == 2 && parts[0] == "s", len(parts) == 3 && parts[0] == "s":
		a.Before, _ = parseID(q.Get("before"))
		return a, a.name(parts[1])
	case len(parts) == 2 && q.Get("embed") == "1":
		a.Post, ok = parseID(parts[1])
		return a, a.name(parts[0]) && ok
	}
	return a, false
}

func (a *Address) name(s string) bool {
	a.Channel = strings.ToLower(s)
	return len(s) >= 4 && len(s) <= 32 && strings.Trim(a.Channel, "abcdefghijklmnopqrstuvwxyz0123456789_") == ""
}

func parseID(s string) (int64, bool) {
	n, err := strconv.ParseInt(s, 10, 32)
	return n, err == nil && n > 0 && strconv.FormatInt(n, 10) == s
}

// ChannelPage is the address of a channel's posts below before, of the newest ones
// where that is 0. base is [Base], or where another site stands in for it.
func ChannelPage(base, channel string, before int64) string {
	if before == 0 {
		return base + "/s/" + channel
	}
	return fmt.Sprintf("%s/s/%s?before=%d", base, channel, before)
}

// PostPage is the address of one post.
func PostPage(base, channel string, post int64) string {
	return fmt.Sprintf("%s/%s/%d?embed=1", base, channel, post)
}
