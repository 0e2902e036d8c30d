package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"holdfast"
	"holdfast/canon"
	"holdfast/catalog"
	"holdfast/collectors/telegram"
	"holdfast/hashing"
	"holdfast/kept"
	"holdfast/messages"
)

type postsOptions struct {
	versions, deleted, compare         bool
	comments, channel, topics, stories bool
	mediaFailed                        bool

	several bool // channels: each line names its own
	one     bool // post: what its counters were, too
	after   bool // a capture: nothing is said of what has no other view

	memo *comparedMemo // what was compared already, and is not told again; may be nil
	view holdfast.ID   // with memo: the page that is new, which may be without the post
}

func (c *cli) postsCmd() *cobra.Command {
	var o postsOptions
	cmd := command("posts SOURCE [--versions] [--deleted] [--compare] [--comments | --channel | --topics | --stories | --media-failed]", "List the posts of a channel: their versions, and what is gone", "holdfast posts telegram:@name --versions --json",
		cobra.ExactArgs(1), func(cmd *cobra.Command, args []string) error {
			name, err := telegram.ParseName(args[0])
			if err != nil {
				return usageError("posts: %w", err)
			}
			if o.mediaFailed && (o.versions || o.deleted || o.compare) {
				return usageError("--media-failed lists files: it goes with neither --versions, --deleted nor --compare")
			}
			if o.compare && (o.versions || o.deleted) {
				return usageError("--compare holds the newest public page against one version: it goes with neither --versions nor --deleted")
			}
			if err := o.check(name); err != nil {
				return err
			}
			n, err := c.open(cmd.Context())
			if err != nil {
				return err
			}
			defer n.Close()
			if o.mediaFailed {
				return c.mediaFailed(cmd.Context(), n, name)
			}
			return c.posts(cmd.Context(), n, name, o)
		})
	cmd.Long = `One line per post, with the version that was seen last; with --versions one per
version. SOURCE is a channel or one post of it, by any name that was ever stated
for the channel.

  present  it was there when it was last asked for
  edited   the same, and more than one version of it was seen
  absent   the service told its deletion, or answered that there is no such post
           beside another post that it showed
  unknown  it answered so, and showed no other post: it may be the whole channel
           that could not be read

In which captures it was first and last seen is in --json, with the state of their
seals, and of one post what its counters were each time.

--compare holds the newest public page of each post (t.me) against the service's own
answer nearest to it in time: text, date, author, forward, kinds of media, links,
what it answers to and whether it was edited are equal, differ, or are not shown by
the page. What counts is not compared. The result is written into the custody of the
Case that has the page, once, and sealed with it.

--comments lists what was answered to one post, as far as it was captured. --channel
lists how the channel was itself (title, names, about, photo, linked group, verified,
scam, fake, restricted), one line for each time that one of these had changed, with
what; --topics and --stories do so for the topics of a forum and for its stories.

--media-failed lists the files of posts that did not come whole: what came, why, how
often, and from when on one is asked for again where its post is asked for again (by
a watch: half an hour, 2 h, 8 h … after the last try, 6 tries in all). A capture of
the post, telegram:@name/ID --media all, asks for it at once.`
	cmd.Flags().BoolVar(&o.versions, "versions", false, "every version of each post")
	cmd.Flags().BoolVar(&o.deleted, "deleted", false, "only posts that are absent")
	cmd.Flags().BoolVar(&o.mediaFailed, "media-failed", false, "the files that did not come whole")
	cmd.Flags().BoolVar(&o.compare, "compare", false, "what the public pages show, held against what the service answered")
	cmd.Flags().BoolVar(&o.comments, "comments", false, "of a post: what was answered to it")
	cmd.Flags().BoolVar(&o.channel, "channel", false, "how the channel was itself, each time that it had changed")
	cmd.Flags().BoolVar(&o.topics, "topics", false, "the topics of a forum, each time that one had changed")
	cmd.Flags().BoolVar(&o.stories, "stories", false, "the stories of the channel, each time that one had changed")
	return cmd
}

// check refuses what asks for two things at once.
func (o postsOptions) check(name telegram.Name) error {
	asked := 0
	for _, is := range []bool{o.comments, o.channel, o.topics, o.stories, o.compare} {
		if is {
			asked++
		}
	}
	switch {
	case asked > 1, asked > 0 && o.deleted, asked > 0 && o.versions && !o.comments && !o.compare:
		return usageError("--comments, --channel, --topics, --stories, --compare and --deleted each list something else: ask for one at a time; --versions goes with --comments")
	case o.comments && name.Post == 0, o.besideOf() != nil && name.Post > 0:
		return usageError("--comments is about one post, as in telegram:@name/123; --channel, --topics and --stories are about a channel")
	}
	return nil
}

func (c *cli) posts(ctx context.Context, n *node, name telegram.Name, o postsOptions) error {
	if err := n.refresh(ctx); err != nil {
		return err
	}
	if b := o.besideOf(); b != nil {
		return c.sayBeside(ctx, n, name, *b)
	}
	var channels []catalog.Channel
	for k, err := range n.cat.Channels(ctx, name.Channel) {
		if err != nil {
			return err
		}
		channels = append(channels, k)
	}
	if len(channels) == 0 {
		return fmt.Errorf("posts: no capture states what @%s is: `holdfast capture %s` asks the service", name.Channel, telegram.Name{Channel: name.Channel}.Source())
	}
	if len(channels) > 1 {
		c.complain(fmt.Errorf("@%s was the name of %d channels, and the posts of each follow: %s", name.Channel, len(channels), several(channels)))
	}
	if o.comments {
		return c.sayComments(ctx, n, name, channels, o)
	}
	if o.compare {
		return c.compare(ctx, n, name, channels, o)
	}
	found, lines := false, kept.NewLines(n.kept())
	for _, k := range channels {
		for p, err := range n.cat.Posts(ctx, catalog.PostQuery{Channel: k.ID, Post: int64(name.Post)}) {
			if err != nil {
				return err
			}
			found = true
			o.several, o.one = len(channels) > 1, name.Post != 0
			c.sayPost(ctx, p, o, lines)
		}
	}
	if name.Post != 0 && !found {
		return fmt.Errorf("posts: post %d of @%s was never seen; `holdfast capture %s` asks for it", name.Post, name.Channel, name.Source())
	}
	return nil
}

func several(channels []catalog.Channel) string {
	var out []string
	for _, k := range channels {
		out = append(out, fmt.Sprintf("%s (%s, from %s to %s)", k.ID, k.Title, k.First, k.Last))
	}
	return strings.Join(out, "; ")
}

// sayPost prints the version that was seen last, or all. A post of which only the
// deletion is known has one line, of version 0.
func (c *cli) sayPost(ctx context.Context, p catalog.Post, o postsOptions, lines *kept.Lines) {
	if o.deleted && p.State != catalog.Absent {
		return
	}
	for i, v := range p.Versions {
		if o.versions || i == p.Current {
			row, line := postRow(p, i+1, v, o), postText(p, i+1, v, o)
			if said := lines.Of(ctx, p.ID, v); said != nil {
				row["line"] = said
				if text, ok := lineText(said, v); ok {
					row["text"] = text
					line += "  " + shortText(text)
				}
			}
			c.say(row, "%s", line)
		}
	}
	if len(p.Versions) == 0 {
		c.say(postRow(p, 0, catalog.Version{}, o), "%s", postText(p, 0, catalog.Version{}, o))
	}
}

// lineText is the text of a line, if it is that of the version.
func lineText(line json.RawMessage, v catalog.Version) (canon.Text, bool) {
	var l struct {
		Text canon.Text `json:"text"`
	}
	err := json.Unmarshal(line, &l)
	return l.Text, err == nil && hashing.Of([]byte(l.Text)) == v.Text
}

// postRow is one row of `posts --json`, a contract. What is not known is null.
func postRow(p catalog.Post, version int, v catalog.Version, o postsOptions) map[string]any {
	m := map[string]any{"channel": p.Channel, "id": p.ID, "state": p.State, "version": version, "versions": len(p.Versions), "current": version == p.Current+1,
		"kind": nil, "content": nil, "line": nil, "text": nil, "text_digest": nil, "posted": stated(v.Posted), "edited": stated(v.Edited),
		"first_seen": stated(v.First.At), "how": nil, "capture": nil, "capture_state": nil,
		"last_seen": stated(v.Last.At), "last_how": nil, "last_capture": nil, "last_capture_state": nil,
		"post_last_seen": stated(p.LastSeen), "first_absent": nil, "unknown_since": nil, "counters": nil}
	if version > 0 {
		m["kind"], m["content"], m["text_digest"] = v.Kind, v.Content, v.Text
		m["how"], m["capture"], m["capture_state"] = v.First.How, v.First.Capture, v.First.State
		m["last_how"], m["last_capture"], m["last_capture_state"] = v.Last.How, v.Last.Capture, v.Last.State
	}
	if g := p.Gone; g != nil {
		m["gone_how"], m["gone_told"], m["gone_capture"], m["gone_capture_state"] = g.How, p.Told, g.Capture, g.State
		if p.State == catalog.Absent {
			m["first_absent"] = stated(g.At)
		} else {
			m["unknown_since"] = stated(g.At)
		}
	}
	var series []map[string]any
	for _, s := range p.Series {
		row := map[string]any{"at": s.At, "capture": s.Capture, "views": s.Views, "forwards": s.Forwards, "reactions": s.Reactions, "replies": s.Replies}
		if s.Poll != "" {
			row["poll"] = rawJSON(s.Poll)
		}
		series = append(series, row)
	}
	if len(series) > 0 {
		m["counters"] = series[len(series)-1]
	}
	if o.one {
		m["series"] = append([]map[string]any{}, series...)
	}
	return m
}

// stated is null for a time that nobody stated.
func stated(t holdfast.Time) any {
	if t.IsZero() {
		return nil
	}
	return t
}

func postText(p catalog.Post, version int, v catalog.Version, o postsOptions) string {
	s := fmt.Sprintf("%8d  %-7s", p.ID, p.State)
	if o.several {
		s = p.Channel + " " + s
	}
	if version == 0 {
		s += "  never seen"
	} else {
		s += fmt.Sprintf("  version %d of %d  posted %s", version, len(p.Versions), v.Posted)
		if !v.Edited.IsZero() {
			s += "  edited " + v.Edited.String()
		}
		s += fmt.Sprintf("  seen %s to %s  %s  %s (%s)", v.First.At, v.Last.At, v.First.How, v.First.Capture, v.First.State)
	}
	switch g := p.Gone; {
	case g == nil:
	case p.State == catalog.Unknown:
		s += fmt.Sprintf("  no answer about it from %s on", g.At)
	default:
		s += fmt.Sprintf("  absent at %s  %s  %s (%s)", g.At, g.How, g.Capture, g.State)
	}
	return messages.Visible(s)
}
