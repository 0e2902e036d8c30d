package main

import (
	"bytes"
	"os"
	"strconv"

	"github.com/gotd/td/tg"
	"github.com/rogpeppe/go-internal/testscript"

	"holdfast/collectors/telegram/telegramtest"
)

// mediaCommands adds to `telegram` what is about files:
//
//	telegram photo NAME USER ID, film NAME USER ID BYTES, note NAME USER ID TEXT
//	                     posts a photo, a film of so many bytes, a text file;
//	                     what the service holds is $WORK/ID.held
//	telegram expire NAME every file reference is invalid from now on
func (o *ownTelegram) media(ts *testscript.TestScript, what string, args []string) bool {
	switch what {
	case "expire":
		o.World.Expire()
		return true
	case "photo", "film", "note":
	default:
		return false
	}
	o.mu.Lock()
	ch := o.channel(args[0])
	o.mu.Unlock()
	id, err := strconv.ParseInt(args[1], 10, 64)
	ts.Check(err)
	var held []byte
	var m tg.MessageMediaClass
	switch what {
	case "photo":
		held = append([]byte("\xff\xd8\xff\xe0"), bytes.Repeat([]byte("photo "), 9000)...)
		m = o.World.Photo(id, held[:500], held)
	case "film":
		n, err := strconv.Atoi(args[2])
		ts.Check(err)
		held = make([]byte, n)
		for i := range held {
			held[i] = byte(i * int(id) >> 3)
		}
		m = o.World.Document(id, "film.mp4", "video/mp4", held)
	case "note":
		held = []byte(args[2])
		m = o.World.Document(id, "note.txt", "text/plain", held)
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[1]+".held"), held, 0o600))
	ch.Post("with "+what, func(to *tg.Message) { to.SetMedia(m) })
	return true
}

// channel returns one, and makes it if there is none.
func (o *ownTelegram) channel(user string) *telegramtest.Channel {
	if o.channels == nil {
		o.channels = map[string]*telegramtest.Channel{}
	}
	ch := o.channels[user]
	if ch == nil {
		ch = o.World.Channel(int64(1001+len(o.channels)), user, "Channel "+user)
		o.channels[user] = ch
	}
	return ch
}
