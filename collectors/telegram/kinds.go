package telegram

import (
	"fmt"
	"strings"

	"github.com/gotd/td/tg"

	"holdfast/canon"
)

// named reads the kinds of media that are no files: what a reader sees of them, in
// one line. Any other one, also of a later schema, is called by its constructor.
func named(m tg.MessageMediaClass) media {
	// messageMediaGeo is "geo", and so on.
	k := media{Kind: strings.ToLower(strings.TrimPrefix(m.TypeName(), "messageMedia"))}
	switch m := m.(type) {
	case *tg.MessageMediaVenue:
		k.Name, k.Place = lineOf(m.Title, m.Address), placeOf(m.Geo)
	case *tg.MessageMediaGeo:
		k.Place = placeOf(m.Geo)
	case *tg.MessageMediaGeoLive:
		k.Place = placeOf(m.Geo)
	case *tg.MessageMediaStory:
		k.File = number(int64(m.ID))
		if p, ok := m.Peer.(*tg.PeerChannel); ok {
			k.Channel = number(p.ChannelID)
		}
	case *tg.MessageMediaContact: // neither number nor card: they are in the message's own slice
		k.Name = lineOf(m.FirstName, m.LastName)
	case *tg.MessageMediaDice:
		k.Name = lineOf(m.Emoticon, fmt.Sprint(m.Value))
	case *tg.MessageMediaGame:
		k.Name, k.File = canon.Text(m.Game.Title), number(m.Game.ID)
	case *tg.MessageMediaInvoice:
		k.Name = lineOf(m.Title, fmt.Sprintf("%d %s", m.TotalAmount, m.Currency))
	case *tg.MessageMediaGiveaway:
		k.Name = lineOf(fmt.Sprint(m.Quantity), m.PrizeDescription)
	case *tg.MessageMediaGiveawayResults:
		k.Name = lineOf(fmt.Sprint(m.WinnersCount), m.PrizeDescription)
	case *tg.MessageMediaToDo:
		k.Name = canon.Text(m.Todo.Title.Text)
	case *tg.MessageMediaPaidMedia:
		k.Kind, k.Name = "paid", canon.Text(fmt.Sprint(m.StarsAmount))
	}
	return k
}

// lineOf joins what there is.
func lineOf(parts ...string) canon.Text {
	var all []string
	for _, p := range parts {
		if p != "" {
			all = append(all, p)
		}
	}
	return canon.Text(strings.Join(all, " "))
}

// placeOf is a latitude and a longitude, in degrees; "": none is told.
func placeOf(g tg.GeoPointClass) string {
	if p, ok := g.(*tg.GeoPoint); ok {
		return fmt.Sprintf("%.6f %.6f", p.Lat, p.Long)
	}
	return ""
}

// button is one of a post's keyboard. What a press would do is known where it is an
// address; nothing is ever pressed.
type button struct {
	Kind string     `json:"kind,omitempty"` // as the schema names it behind keyboardButton, in lower case; "": it sends its text
	Text canon.Text `json:"text,omitempty"`
	URL  canon.Text `json:"url,omitempty"`
}

func buttonsOf(m tg.ReplyMarkupClass) (all []button) {
	k, ok := m.(interface{ GetRows() []tg.KeyboardButtonRow })
	if !ok {
		return nil
	}
	for _, row := range k.GetRows() {
		for _, b := range row.Buttons {
			if len(all) == maxListed {
				return all
			}
			one := button{Kind: strings.ToLower(strings.TrimPrefix(b.TypeName(), "keyboardButton"))}
			if t, ok := b.(interface{ GetText() string }); ok {
				one.Text = canon.Text(t.GetText())
			}
			if u, ok := b.(interface{ GetURL() string }); ok {
				one.URL = canon.Text(u.GetURL())
			}
			all = append(all, one)
		}
	}
	return all
}
