package telegram

import (
	"fmt"
	"strings"

	"github.com/gotd/td/tgerr"

	"holdfast/canon"
)

// maxType bounds what the service names an error.
const maxType = 128

func typeOf(e *tgerr.Error) canon.Text {
	s := e.Message
	if s == "" {
		s = e.Type
	}
	return canon.Text(strings.ToValidUTF8(s[:min(len(s), maxType)], "\uFFFD"))
}

// reasonOf says what an error of the service's means for whoever asked.
func reasonOf(n Name, bad *refusal) (code, detail string) {
	said := fmt.Sprintf("Telegram said %s", bad.Type)
	switch string(bad.Type) {
	case "USERNAME_NOT_OCCUPIED":
		return "no-such-name", fmt.Sprintf("@%s is nobody's name now (%s)", n.Channel, said)
	case "USERNAME_INVALID":
		return "no-such-name", fmt.Sprintf("@%s cannot be a name (%s)", n.Channel, said)
	case "CHANNEL_PRIVATE", "CHANNEL_PUBLIC_GROUP_NA":
		return "channel-private", fmt.Sprintf("@%s cannot be read by this account: it became private, was taken down, or the account was banned from it (%s)", n.Channel, said)
	case "CHANNEL_INVALID":
		return "channel-gone", fmt.Sprintf("the channel behind @%s is not there for this account (%s)", n.Channel, said)
	case "PERSISTENT_TIMESTAMP_INVALID", "PERSISTENT_TIMESTAMP_EMPTY":
		return "event-unknown", fmt.Sprintf("what happened in @%s is told from the event on no more that was the last known one: new posts are taken from the history; edits and deletions in between can be known by asking for each post only (%s)", n.Channel, said)
	case "ANSWER_TOO_LARGE":
		return "answer-too-large", "the answer is larger than any that the service makes, and was not kept"
	case noAnswer:
		return "no-answer", "Telegram did not answer in time"
	}
	if bad.Code >= 500 || bad.Code < 0 {
		return "service-error", said
	}
	return "service-refused", said
}
