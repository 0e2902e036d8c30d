package telegram

import (
	"slices"
	"strconv"

	"github.com/gotd/td/tdp"
	"github.com/gotd/td/tg"

	"holdfast/tl"
)

// entry is what of an answer gets a line: a message of its list, or an update.
type entry struct {
	name   string // of its slices
	tl     tdp.Object
	post   tg.MessageClass // nil: it is about none
	update *tl.Update
	person int  // who wrote it, of those in the answer; 0: nobody that is named
	forum  bool // what stands in no topic stands in the general one
}

// entriesOf are those of an answer, in its order.
func entriesOf(a *tl.Answer) (all []entry) {
	all = make([]entry, 0, len(a.Messages)+len(a.Updates))
	for _, m := range a.Messages {
		o, _ := m.TL.(tdp.Object)
		all = append(all, entry{name: "m-" + strconv.Itoa(m.ID), tl: o, post: m.TL})
	}
	for i := range a.Updates {
		u := &a.Updates[i]
		o, _ := u.TL.(tdp.Object)
		all = append(all, entry{name: "u-" + strconv.Itoa(i), tl: o, post: u.Message, update: u})
	}
	return all
}

// id is that of the post that it shows, 0 if it shows none.
func (e entry) id() int {
	if _, empty := e.post.(*tg.MessageEmpty); e.post == nil || empty {
		return 0
	}
	return e.post.GetID()
}

// elsewhere says whether an update is about another channel than that.
func (e entry) elsewhere(channel string) bool {
	if e.update == nil {
		return false
	}
	at := e.update.Channel
	if m, ok := e.post.(interface{ GetPeerID() tg.PeerClass }); ok {
		if p, ok := m.GetPeerID().(*tg.PeerChannel); ok {
			at = p.ChannelID
		}
	}
	return number(at) != channel
}

// messagesOf are the messages of that channel which an answer shows, each in its
// newest state, oldest place first.
func messagesOf(a *tl.Answer, channel string) (all []tl.Message) {
	at := map[int]int{}
	for _, e := range entriesOf(a) {
		id := e.id()
		if id < 1 || e.elsewhere(channel) {
			continue
		}
		m := tl.Message{ID: id, Kind: e.post.TypeName(), TL: e.post}
		if i, there := at[id]; there {
			all[i] = m
			continue
		}
		at[id] = len(all)
		all = append(all, m)
	}
	return all
}

// deletions are the posts of that channel whose deletion is told, each once.
func deletions(a *tl.Answer, channel string) (ids []int, more bool) {
	for _, u := range a.Updates {
		if number(u.Channel) == channel {
			ids = append(ids, u.Deleted...)
		}
	}
	slices.Sort(ids)
	ids = slices.Compact(slices.DeleteFunc(ids, func(id int) bool { return id < 1 }))
	return ids[:min(len(ids), maxDeleted)], len(ids) > maxDeleted
}

// maxDeleted bounds what a head lists, as readers do. The service tells 100
// deletions of up to 100 posts in one answer.
const maxDeleted = 16384
