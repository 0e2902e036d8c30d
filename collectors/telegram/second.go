package telegram

import (
	"slices"

	"holdfast/tl"
)

// second asks for the other view of a post that was wished for, with the answer in
// which the post came, or was to come alone. It goes before what the post links to:
// it is not to wait for strangers.
func (t *act) second(a *tl.Answer) {
	post := t.name.Post
	if t.wish.Second == nil || post == 0 {
		return
	}
	came := slices.ContainsFunc(a.Messages, func(m tl.Message) bool { return m.ID == post })
	if came || t.cur.Alone == post {
		t.a.Further = slices.Insert(t.a.Further, 0, *t.wish.Second)
	}
}
