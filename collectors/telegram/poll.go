package telegram

import (
	"bytes"

	"github.com/gotd/td/tg"

	"holdfast/canon"
)

// poll is what a message asks, and how it was answered then. The question, the
// answers and what kind of poll it is are content; closed, correct, solution, voters
// and votes are counters, and no edit. Members stand in canonical order.
type poll struct {
	Answers  []canon.Text `json:"answers"`
	Closed   bool         `json:"closed,omitempty"`
	Closes   string       `json:"closes,omitempty"`  // as the service says
	Correct  []int        `json:"correct,omitempty"` // of Answers, from 0: told once it is closed, or to whoever has voted
	Hidden   bool         `json:"hidden,omitempty"`  // no results before it is closed
	Multiple bool         `json:"multiple,omitempty"`
	Public   bool         `json:"public,omitempty"` // who voted for what can be seen; it is not asked for
	Question canon.Text   `json:"question"`
	Quiz     bool         `json:"quiz,omitempty"`
	Solution canon.Text   `json:"solution,omitempty"`
	Voters   int          `json:"voters,omitempty"`
	Votes    []int        `json:"votes,omitempty"` // of each of Answers; none: the service tells them only to whoever has voted, or once it is closed
}

// pollOf reads it. Of two answers with one option the first has the votes.
func pollOf(m *tg.MessageMediaPoll) *poll {
	q, r := m.Poll, m.Results
	p := &poll{Answers: []canon.Text{}, Closed: q.Closed, Closes: unix(q.CloseDate), Hidden: q.HideResultsUntilClose, Multiple: q.MultipleChoice,
		Public: q.PublicVoters, Question: canon.Text(q.Question.Text), Quiz: q.Quiz, Solution: canon.Text(r.Solution), Voters: max(r.TotalVoters, 0)}
	var options [][]byte
	for _, a := range q.Answers[:min(len(q.Answers), maxListed)] {
		a, ok := a.(*tg.PollAnswer)
		if !ok { // only what is sent to the service has another form
			a = &tg.PollAnswer{}
		}
		p.Answers, options = append(p.Answers, canon.Text(a.Text.Text)), append(options, a.Option)
	}
	if len(r.Results) > 0 {
		p.Votes = make([]int, len(options))
	}
	for _, v := range r.Results[:min(len(r.Results), maxListed)] {
		for i, o := range options {
			if !bytes.Equal(o, v.Option) {
				continue
			}
			p.Votes[i] = max(v.Voters, 0)
			if v.Correct {
				p.Correct = append(p.Correct, i)
			}
			break
		}
	}
	return p
}
