package web

import (
	"bytes"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"holdfast/warc"
)

// framing is how the end of a message body is known (RFC 9112, clause 6.3).
type framing struct {
	chunked bool
	length  int64 // -1: until the connection ends; without meaning if chunked
	last    bool  // the connection carries no further answer
}

const untilClose = -1

// answerFraming reads how an answer ends, and whether it is one that everybody
// reads alike. The browser must never see an end where the record sees none, or
// the other way round: else bytes that one site sent could be shown as the
// answer of another. What readers disagree on is therefore ErrFormat, and its
// bytes are recorded and not passed on.
func answerFraming(method string, status int, h warc.Head) (framing, error) {
	version, err := unambiguous(h.Raw, h.Start[:max(0, strings.IndexByte(h.Start, ' '))])
	if err != nil {
		return framing{}, err
	}
	if bodyless(method, status) {
		return framing{}, nil
	}
	codings, lengths := tokens(h.Fields, "Transfer-Encoding"), tokens(h.Fields, "Content-Length")
	at := indexFold(codings, "chunked")
	switch {
	case len(codings) == 0 && len(lengths) == 0:
		return framing{length: untilClose, last: true}, nil
	case len(codings) == 0:
		return byLength(lengths)
	case version == "HTTP/1.1" && at == len(codings)-1:
		return framing{chunked: true, last: len(lengths) > 0}, nil // the length counts for nothing, for browsers too
	case len(lengths) > 0 || version == "HTTP/1.1" && at >= 0:
		return framing{}, fmt.Errorf("%s with transfer coding %.40q and content length %.40q: %w", version, codings, lengths, warc.ErrFormat)
	}
	return framing{length: untilClose, last: true}, nil
}

// byLength reads what an answer says of its length as browsers do (Fetch standard,
// "extract a length"): several values must be the same, and one that is no number is none,
// so the body ends with the connection. To refuse it would let a site show people what no
// record has.
func byLength(said []string) (framing, error) {
	for _, s := range said {
		if s != said[0] {
			return framing{}, fmt.Errorf("content length %.80q: %w", said, warc.ErrFormat)
		}
	}
	if n, err := contentLength(said); err == nil {
		return framing{length: n}, nil
	}
	return framing{length: untilClose, last: true}, nil
}

// bodyless lists the answers that end with their head. 205 is one for browsers,
// though it is none in RFC 9112.
func bodyless(method string, status int) bool {
	return method == http.MethodHead || status/100 == 1 || status == http.StatusNoContent || status == http.StatusResetContent || status == http.StatusNotModified
}

// requestFraming is the same for what the browser sends.
func requestFraming(h warc.Head) (framing, error) {
	if _, err := unambiguous(h.Raw, h.Start[strings.LastIndexByte(h.Start, ' ')+1:]); err != nil {
		return framing{}, err
	}
	codings, lengths := tokens(h.Fields, "Transfer-Encoding"), tokens(h.Fields, "Content-Length")
	switch {
	case len(codings) == 0 && len(lengths) == 0:
		return framing{}, nil
	case len(codings) == 0:
		n, err := contentLength(lengths)
		return framing{length: n}, err
	case len(codings) == 1 && strings.EqualFold(codings[0], "chunked") && len(lengths) == 0:
		return framing{chunked: true}, nil
	}
	return framing{}, fmt.Errorf("transfer coding %.40q and content length %.40q: %w", codings, lengths, warc.ErrFormat)
}

// unambiguous refuses heads whose lines are not the same for every reader: to a
// browser a lone CR ends a line, and NUL ends everything.
func unambiguous(raw []byte, version string) (string, error) {
	switch {
	case bytes.IndexByte(raw, 0) >= 0:
		return "", fmt.Errorf("NUL in a head: %w", warc.ErrFormat)
	case bytes.Count(raw, []byte("\r")) != bytes.Count(raw, []byte("\r\n")):
		return "", fmt.Errorf("CR without LF in a head: %w", warc.ErrFormat)
	case version != "HTTP/1.1" && version != "HTTP/1.0":
		return "", fmt.Errorf("version %.40q: %w", version, warc.ErrFormat)
	}
	return version, nil
}

// tokens are the elements of a list field over all its lines; `identity` is no
// coding.
func tokens(f warc.Fields, name string) (out []string) {
	for t := range strings.SplitSeq(f.List(name), ",") {
		if t = strings.Trim(t, " \t"); t != "" && !strings.EqualFold(t, "identity") {
			out = append(out, t)
		}
	}
	return out
}

func indexFold(list []string, name string) int {
	for i, s := range list {
		if strings.EqualFold(s, name) {
			return i
		}
	}
	return -1
}

// contentLength takes one number, also if it is said more than once.
func contentLength(said []string) (int64, error) {
	for _, s := range said {
		if s != said[0] || strings.Trim(s, "0123456789") != "" {
			return 0, fmt.Errorf("content length %.80q: %w", said, warc.ErrFormat)
		}
	}
	n, err := strconv.ParseInt(said[0], 10, 64)
	if err != nil {
		return 0, fmt.Errorf("content length %.40q: %w", said[0], warc.ErrFormat)
	}
	return n, nil
}
