package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Problem is an error as RFC 9457 has it. Detail says what to do.
type Problem struct {
	Type   string `json:"type"` // urn:holdfast:<Code>
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail"`

	retry time.Duration // Retry-After
	scope string        // that was missing
	allow []string      // methods
}

// Codes of problems, behind urn:holdfast: in their type. openapi.yaml says which
// route has which.
const (
	codeBad        = "bad-request"
	codeQuery      = "token-in-address"
	codeToken      = "no-token"
	codeEnded      = "token-ended"
	codeScope      = "scope"
	codeCase       = "case"
	codeMissing    = "not-found"
	codeMethod     = "method"
	codeConflict   = "key-used"
	codeLarge      = "too-large"
	codeType       = "media-type"
	codeRefused    = "refused"
	codeOften      = "too-often"
	codeFailed     = "failed"
	codeBusy       = "busy"
	codeUnreadable = "slow-body"
)

func (p *Problem) Error() string { return p.Detail }

func problem(status int, code, format string, a ...any) *Problem {
	return &Problem{Type: "urn:holdfast:" + code, Title: http.StatusText(status), Status: status, Detail: fmt.Sprintf(format, a...)}
}

// Refuse is an ask that cannot be carried out as it is; nothing was done.
func Refuse(err error) error { return problem(http.StatusUnprocessableEntity, codeRefused, "%v", err) }

// Missing is what is not there, or is not the token's to see: the two look alike.
func Missing(what string) error {
	return problem(http.StatusNotFound, codeMissing, "%s is not here, or not in a case that this token is for", what)
}

// Forbid is what the token may not.
func Forbid(format string, a ...any) error {
	return problem(http.StatusForbidden, codeCase, format, a...)
}

// KeyUsed is an Idempotency-Key that came with another body before.
func KeyUsed() error {
	return problem(http.StatusUnprocessableEntity, codeConflict, "this Idempotency-Key came with another body before: a key is for one ask; draw another")
}

// Busy is what may be asked again after a pause.
func Busy(after time.Duration, format string, a ...any) error {
	p := problem(http.StatusServiceUnavailable, codeBusy, format, a...)
	p.retry = after
	return p
}

// asProblem is what is told of an error. What was not meant for the caller stays in
// the log of the node: it may name files there.
func asProblem(err error) *Problem {
	p := (*Problem)(nil)
	tooLarge := (*http.MaxBytesError)(nil)
	switch {
	case errors.As(err, &p):
		return p
	case errors.As(err, &tooLarge):
		return problem(http.StatusRequestEntityTooLarge, codeLarge, "the body has more than %d bytes: split what is asked for", tooLarge.Limit)
	}
	return problem(http.StatusInternalServerError, codeFailed, "the node could not do it; its log says why. It may be asked again: a POST with the same Idempotency-Key is the same ask")
}

func (p *Problem) write(w http.ResponseWriter) {
	h := w.Header()
	h.Set("Content-Type", "application/problem+json")
	h.Set("Cache-Control", "no-store")
	if p.retry > 0 {
		h.Set("Retry-After", strconv.Itoa(int(max(p.retry.Round(time.Second)/time.Second, 1))))
	}
	if len(p.allow) > 0 {
		h.Set("Allow", strings.Join(p.allow, ", "))
	}
	switch p.Status {
	case http.StatusUnauthorized:
		h.Set("WWW-Authenticate", `Bearer realm="holdfast"`)
	case http.StatusForbidden:
		if p.scope != "" {
			h.Set("WWW-Authenticate", fmt.Sprintf(`Bearer realm="holdfast", error="insufficient_scope", scope="%s"`, p.scope))
		}
	}
	w.WriteHeader(p.Status)
	_ = json.NewEncoder(w).Encode(p) // the caller has gone
}
