package telegramtest

import (
	"strconv"

	"github.com/gotd/td/tg"
)

// Poll is the media of a message that asks: nobody has voted.
func Poll(question string, change func(*tg.Poll), answers ...string) *tg.MessageMediaPoll {
	m := &tg.MessageMediaPoll{Poll: tg.Poll{ID: 99, Question: tg.TextWithEntities{Text: question}, Answers: []tg.PollAnswerClass{}}}
	for i, a := range answers {
		m.Poll.Answers = append(m.Poll.Answers, &tg.PollAnswer{Text: tg.TextWithEntities{Text: a}, Option: []byte(strconv.Itoa(i))})
	}
	if change != nil {
		change(&m.Poll)
	}
	m.Results.SetTotalVoters(0)
	return m
}

// Vote makes the votes for each answer of a poll what they are now; close ends it.
// The service tells it in no difference: it is no event of the channel.
func (c *Channel) Vote(id int, closed bool, votes ...int) {
	c.w.mu.Lock()
	defer c.w.mu.Unlock()
	m := clone(c.messages[id])
	p := m.Media.(*tg.MessageMediaPoll)
	total := 0
	p.Results = tg.PollResults{}
	var list []tg.PollAnswerVoters
	for i, n := range votes {
		one := tg.PollAnswerVoters{Option: []byte(strconv.Itoa(i))}
		one.SetVoters(n)
		if i == 0 && p.Poll.Quiz {
			one.SetCorrect(true)
		}
		list, total = append(list, one), total+n
	}
	p.Results.SetResults(list)
	p.Results.SetTotalVoters(total)
	p.Poll.SetClosed(closed)
	c.messages[id], c.bytes[id] = m, encoded(m)
}
