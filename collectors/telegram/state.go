package telegram

import (
	"errors"
	"time"

	"github.com/gotd/td/telegram/auth"
	"github.com/gotd/td/tgerr"
)

// State is what can be said of an account.
type State string

// The states. Whatever is not StateOK is for a person to see; nothing is tried
// again by itself.
const (
	StateOK        State = "ok"
	StateWaiting   State = "waiting" // the service wants no question before a time
	StateBanned    State = "banned"
	StateLoggedOut State = "logged out"
)

// Judge says what an error tells of the account, for how long if it is to wait,
// and what to do about it, in one sentence; "" and "" if it tells nothing.
func Judge(err error) (s State, wait time.Duration, do string) {
	if d, ok := tgerr.AsFloodWait(err); ok {
		return StateWaiting, d, "the service wants to hear nothing before that; what asks earlier waits longer"
	}
	switch {
	case tgerr.Is(err, "USER_DEACTIVATED_BAN", "PHONE_NUMBER_BANNED", "INPUT_USER_DEACTIVATED"):
		return StateBanned, 0, "the service has closed the account: write to recover@telegram.org, or take another one"
	case tgerr.Is(err, "USER_DEACTIVATED"):
		return StateBanned, 0, "the account was deleted: take another one"
	case tgerr.Is(err, "FROZEN_METHOD_INVALID"):
		return StateBanned, 0, "the service has frozen the account: its own app says why and how to appeal"
	case tgerr.Is(err, "AUTH_KEY_DUPLICATED"):
		return StateLoggedOut, 0, "the session was in use twice at once, which ends it: log in again, and use this session nowhere else"
	case errors.Is(err, ErrLoggedOut):
		return StateLoggedOut, 0, "somebody, or the service, has ended the session: log in again"
	}
	return "", 0, loginWords(err)
}

// loginWords says what to do about what ends a login.
func loginWords(err error) string {
	switch {
	case errors.Is(err, auth.ErrPasswordInvalid), tgerr.Is(err, "PASSWORD_HASH_INVALID"):
		return "the second password is wrong, nothing was logged in: look at it again before the next try, the service counts them"
	case errors.Is(err, ErrNoAccount):
		return "make one with Telegram's own app first; holdfast makes none"
	case tgerr.Is(err, "SRP_ID_INVALID", "SRP_PASSWORD_CHANGED", "AUTH_RESTART", "AUTH_RESTART_6"):
		return "the service wants the login begun anew: call it again"
	case tgerr.Is(err, "PHONE_CODE_INVALID", "PHONE_CODE_EMPTY"):
		return "the code is wrong: begin again, and take the newest that came"
	case tgerr.Is(err, "PHONE_CODE_EXPIRED"):
		return "the code came too late: begin again"
	case tgerr.Is(err, "PHONE_NUMBER_INVALID", "PHONE_NUMBER_UNOCCUPIED"):
		return "the service knows no such number: write it with the country's code, as in +4930123456"
	case tgerr.Is(err, "PHONE_NUMBER_FLOOD", "PHONE_PASSWORD_FLOOD", "PHONE_PASSWORD_PROTECTED"):
		return "too many tries with this number: wait a day before the next"
	case tgerr.Is(err, "API_ID_INVALID", "API_ID_PUBLISHED_FLOOD", "CONNECTION_API_ID_INVALID"):
		return "app_id or app_hash are wrong, or used by too many: take your own from my.telegram.org/apps"
	case tgerr.Is(err, "UPDATE_APP_TO_LOGIN"):
		return "the service wants a newer program: update holdfast, or --import a session"
	case tgerr.Is(err, "AUTH_TOKEN_EXPIRED", "AUTH_TOKEN_INVALID"):
		return "the picture was too old: begin again"
	}
	return ""
}
