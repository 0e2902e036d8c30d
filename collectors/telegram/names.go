package telegram

import (
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
)

// ErrName is wrapped by the error for a name that leads to no public channel; it
// says what is to be done instead.
var ErrName = errors.New("not the name of a public channel")

// Name is a channel, or one post of it, as people write it.
type Name struct {
	Channel string // without @, in lower case: the service does not tell cases apart
	Post    int    // 0: the channel
}

// Source is the form that names it everywhere else: telegram:@name, or
// telegram:@name/123.
func (n Name) Source() string {
	if n.Post == 0 {
		return "telegram:@" + n.Channel
	}
	return fmt.Sprintf("telegram:@%s/%d", n.Channel, n.Post)
}

// ParseName understands every public form: @name, telegram:@name, name.t.me,
// https://t.me/name, t.me/s/name, t.me/name/123, tg://resolve?domain=name&post=123.
// A post in a topic (t.me/name/7/123) is that post. What is private is refused in
// words: an invite link, t.me/c/…. Errors: [ErrName].
func ParseName(s string) (Name, error) {
	rest := strings.TrimSpace(s)
	if after, ok := cutFold(rest, "tg:"); ok {
		return parseDeep(s, strings.TrimPrefix(after, "//"))
	}
	if after, ok := cutFold(rest, "telegram:"); ok {
		rest = after
	}
	if after, ok := strings.CutPrefix(rest, "@"); ok {
		channel, post, _ := strings.Cut(after, "/")
		return name(s, channel, post)
	}
	for _, scheme := range []string{"https://", "http://"} {
		if after, ok := cutFold(rest, scheme); ok {
			rest = after
			break
		}
	}
	host, path, _ := strings.Cut(rest, "/")
	path, _, _ = strings.Cut(path, "#")
	path, query, _ := strings.Cut(path, "?")
	host = strings.TrimPrefix(strings.ToLower(host), "www.")
	if sub, ok := strings.CutSuffix(host, ".t.me"); ok {
		host, path = "t.me", sub+"/"+path
	}
	if host != "t.me" && host != "telegram.me" && host != "telegram.dog" {
		return Name{}, fmt.Errorf("%.80q: write @name, or t.me/name: %w", s, ErrName)
	}
	return parsePath(s, strings.Split(strings.Trim(path, "/"), "/"), query)
}

func cutFold(s, prefix string) (string, bool) {
	if len(s) < len(prefix) || !strings.EqualFold(s[:len(prefix)], prefix) {
		return s, false
	}
	return s[len(prefix):], true
}

func parsePath(s string, parts []string, query string) (Name, error) {
	if strings.EqualFold(parts[0], "s") {
		parts = parts[1:]
	}
	switch {
	case len(parts) == 0 || parts[0] == "":
		return Name{}, fmt.Errorf("%.80q: no name in it: %w", s, ErrName)
	case strings.HasPrefix(parts[0], "+") || strings.EqualFold(parts[0], "joinchat"):
		return Name{}, fmt.Errorf("%.80q is an invitation: using it would join the channel, which holdfast does not: %w", s, ErrName)
	case strings.EqualFold(parts[0], "c"):
		return Name{}, fmt.Errorf("%.80q leads to a private channel, by its number: only its members can read it: %w", s, ErrName)
	}
	post := ""
	if len(parts) > 1 {
		post = parts[len(parts)-1]
	}
	if q, err := url.ParseQuery(query); err == nil && q.Has("comment") {
		return Name{}, fmt.Errorf("%.80q is a comment: name the post without ?comment=: %w", s, ErrName)
	}
	return name(s, parts[0], post)
}

func parseDeep(s, rest string) (Name, error) {
	what, query, _ := strings.Cut(rest, "?")
	q, err := url.ParseQuery(query)
	if err != nil || !strings.EqualFold(strings.TrimSuffix(what, "/"), "resolve") || q.Get("domain") == "" {
		return Name{}, fmt.Errorf("%.80q: of tg: links only tg://resolve?domain=NAME is a public channel's: %w", s, ErrName)
	}
	return name(s, q.Get("domain"), q.Get("post"))
}

// name checks a user name (4 to 32 of a-z, 0-9 and _, a letter first) and a
// post's number.
func name(s, channel, post string) (Name, error) {
	channel = strings.ToLower(channel)
	ok := len(channel) >= 4 && len(channel) <= 32 && channel[0] >= 'a' && channel[0] <= 'z'
	for _, r := range channel {
		ok = ok && (r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '_')
	}
	if !ok {
		return Name{}, fmt.Errorf("%.80q: a name has 4 to 32 of a-z, 0-9 and _ and begins with a letter: %w", s, ErrName)
	}
	n := Name{Channel: channel}
	if post == "" {
		return n, nil
	}
	id, err := strconv.ParseInt(post, 10, 32)
	if err != nil || id < 1 || post[0] == '+' || post[0] == '0' {
		return Name{}, fmt.Errorf("%.80q: %.20q is no number of a post: %w", s, post, ErrName)
	}
	n.Post = int(id)
	return n, nil
}
