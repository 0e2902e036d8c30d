package main

import (
	"fmt"
	"slices"
	"strconv"

	"github.com/gotd/td/tg"
	"github.com/rogpeppe/go-internal/testscript"

	"holdfast/collectors/telegram/telegramtest"
)

// beside does what a script says of what is beside the posts of a channel:
//
//	telegram poll NAME USER QUESTION ANSWER…   it asks
//	telegram vote NAME USER ID open|closed N…  it was answered so
//	telegram discuss NAME USER GROUP           the group where its posts are discussed
//	telegram comment NAME USER ID TEXT         somebody answers to a post
//	telegram story NAME USER ID TEXT
//	telegram topic NAME USER TITLE             it is a forum from now on
//	telegram says NAME USER scam|verified|TITLE
func (o *ownTelegram) beside(ts *testscript.TestScript, what string, args []string) bool {
	if !slices.Contains([]string{"poll", "vote", "discuss", "comment", "story", "topic", "says"}, what) {
		return false
	}
	o.mu.Lock()
	ch := o.channel(args[0])
	o.mu.Unlock()
	id := func() int {
		n, err := strconv.Atoi(args[1])
		ts.Check(err)
		return n
	}
	switch what {
	case "poll":
		ch.Post("", func(m *tg.Message) {
			m.SetMedia(telegramtest.Poll(args[1], func(p *tg.Poll) { p.SetPublicVoters(true) }, args[2:]...))
		})
	case "vote":
		var votes []int
		for _, s := range args[3:] {
			n, err := strconv.Atoi(s)
			ts.Check(err)
			votes = append(votes, n)
		}
		ch.Vote(id(), args[2] == "closed", votes...)
	case "discuss":
		o.mu.Lock()
		group := o.channel(args[1])
		o.mu.Unlock()
		ch.Discuss(group)
	case "comment":
		ch.Comment(id(), 5_000_000_001, args[2])
	case "story":
		ch.Story(id(), args[2], o.World.Photo(int64(900+id()), []byte("small"), fmt.Appendf(nil, "picture of story %s", args[1])), nil)
	case "topic":
		ch.Topic(0, args[1], false)
	case "says":
		ch.Say(func(k *tg.Channel) {
			switch args[1] {
			case "scam":
				k.Scam = true
			case "verified":
				k.Verified = true
			default:
				k.Title = args[1]
			}
		})
	}
	return true
}
