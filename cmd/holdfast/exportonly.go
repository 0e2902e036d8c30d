package main

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"holdfast"
	"holdfast/collectors/telegram"
	"holdfast/coverage"
	"holdfast/export"
	"holdfast/tl"
)

// maxHeadBytes bounds the first line of posts.jsonl that is looked at.
const maxHeadBytes = 256 << 10

// only says what is shown of a Capture that observed the posts: the slices that are
// about them and nothing else, and how it was asked. Whatever is not known to be
// without a neighbour is not shown:
//   - the slice of a message that is one of them;
//   - of a difference the slice of an update that edits one of them, or that tells
//     deletions of them alone;
//   - the head of posts.jsonl where no list in it names another post, and no member
//     is unknown here;
//   - exchange.json, which names account, method and times and no post. Not the
//     request: it has ids, and the handle under which this account knows the channel.
//
// A page of the web that shows one of these posts alone (t.me/name/ID?embed=1) is
// about it, and is shown whole, and so is what it links to. Of a page that shows its
// neighbours too (t.me/s/name) there are no slices: its Manifest says that and when it
// was captured, and nothing of it is shown. Of a file: its bytes, the
// service's hashes of them, what is known of it; not the questions, which have the
// account's handles of the file and of the channel.
func (s *shownPosts) only(ctx context.Context, m *holdfast.Manifest) (refs []export.SliceRef, alone bool, err error) {
	channel, observed := s.seen[m.ID]
	switch {
	case !observed && isMedia(m):
		return wholeOf(m, func(o holdfast.Object) bool {
			return o.Role == telegram.RoleMedia || o.Role == telegram.RoleMediaJSON || o.Name == "hashes.tl"
		}), true, nil
	case !observed && !s.whole[m.ID] && !isPage(m):
		return nil, true, nil // nobody has said why it is here
	case !observed:
		return nil, false, nil
	}
	if own, err := s.isEmbed(ctx, m, channel); own || err != nil {
		return nil, false, err
	}
	refs = wholeOf(m, func(o holdfast.Object) bool { return o.Role == telegram.RoleExchange })
	told := map[string]bool{} // the updates that are shown, of answer.tl, which comes first
	for _, o := range m.Objects {
		some, err := s.slicesOf(ctx, m, o, s.posts[channel], told)
		if err != nil {
			return nil, true, fmt.Errorf("object %s: %w", o.Name, err)
		}
		for _, name := range some {
			told[name] = told[name] || o.Role == telegram.RoleAnswer
			refs = append(refs, export.SliceRef{Object: o.Name, Slice: name})
		}
	}
	return refs, true, nil
}

// wholeOf names the Objects that are taken, but for secrets.
func wholeOf(m *holdfast.Manifest, take func(holdfast.Object) bool) (refs []export.SliceRef) {
	for _, o := range m.Objects {
		if take(o) && !o.Restricted {
			refs = append(refs, export.SliceRef{Object: o.Name})
		}
	}
	return refs
}

// slicesOf names the slices of an Object that are about the posts alone. The line of
// an update has the name that the update has in the answer: it is shown with it.
func (s *shownPosts) slicesOf(ctx context.Context, m *holdfast.Manifest, o holdfast.Object, posts map[int64]bool, told map[string]bool) (out []string, err error) {
	switch o.Role {
	case telegram.RoleAnswer, telegram.RoleSchema, telegram.RolePosts, telegram.RoleMediaJSON:
	default:
		return nil, nil
	}
	updates := false
	for _, sl := range o.Slices {
		kind, number, _ := strings.Cut(sl.Name, "-")
		id, nerr := strconv.ParseInt(number, 10, 64)
		switch {
		case kind == "m" && nerr == nil && posts[id]:
			out = append(out, sl.Name)
		case kind == "u" && o.Role == telegram.RoleAnswer:
			updates = true
		case kind == "u" && told[sl.Name]:
			out = append(out, sl.Name)
		case sl.Name == "head" && o.Role == telegram.RolePosts:
			b, err := s.read.Bytes(ctx, m.ID, o, min(sl.Length, maxHeadBytes))
			if err != nil {
				return nil, err
			}
			if int64(len(b)) == sl.Length && namesOnly(b, posts) {
				out = append(out, sl.Name)
			}
		}
	}
	if updates {
		b, err := s.read.Bytes(ctx, m.ID, o, tl.MaxAnswer)
		if err != nil {
			return nil, err
		}
		out = append(out, updatesOf(b, o, posts)...)
	}
	return out, nil
}

// namesOnly says whether the head of posts.jsonl names no post but these. It may
// have the members that are known here, and no other.
func namesOnly(head []byte, posts map[int64]bool) bool {
	var m map[string]json.RawMessage
	if json.Unmarshal(head, &m) != nil {
		return false
	}
	for member, v := range m {
		switch member {
		case "absent", "asked", "deleted":
			var ids []int64
			if json.Unmarshal(v, &ids) != nil || slices.ContainsFunc(ids, func(id int64) bool { return !posts[id] }) {
				return false
			}
		case "unread": // why it could not be read may quote what could not
			if string(v) != "null" {
				return false
			}
		case "channel", "count", "final", "kind", "method", "names", "pts", "pts_from", "received", "title", "too_long", "total", "training", "version":
		default:
			return false
		}
	}
	return true
}

// updatesOf names the slices of updates that are about the posts alone, by reading
// the answer again; where the slice is not what is read there, it is not named.
func updatesOf(answer []byte, o holdfast.Object, posts map[int64]bool) (out []string) {
	a, err := tl.Split(answer)
	if err != nil {
		return nil
	}
	at := map[string]holdfast.Slice{}
	for _, sl := range o.Slices {
		at[sl.Name] = sl
	}
	for i, u := range a.Updates {
		name := "u-" + strconv.Itoa(i)
		sl, ok := at[name]
		if ok && sl.Offset == int64(u.Offset) && sl.Length == int64(u.Length) && aboutOnly(u, posts) {
			out = append(out, name)
		}
	}
	return out
}

func aboutOnly(u tl.Update, posts map[int64]bool) bool {
	if u.Message != nil {
		return posts[int64(u.Message.GetID())]
	}
	return len(u.Deleted) > 0 && !slices.ContainsFunc(u.Deleted, func(id int) bool { return !posts[int64(id)] })
}

// isMedia says whether a Capture is of a post's file, had or not.
func isMedia(m *holdfast.Manifest) bool {
	o := m.Object(telegram.NameMedia)
	return o != nil && o.Role == telegram.RoleMediaJSON
}

// isPage says whether a Capture was made of what is known, for this export.
func isPage(m *holdfast.Manifest) bool {
	return hasRole(m, export.RolePost) || hasRole(m, coverage.Role)
}
