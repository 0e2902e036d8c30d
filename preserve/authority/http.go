package authority

import (
	"errors"
	"io"
	"mime"
	"net/http"
)

// Handler serves RFC 3161 section 3.4: POST / with application/timestamp-query
// of at most 64 KiB, answered with application/timestamp-reply. A request that
// is refused is answered with status 200 and the reason inside, as clients
// expect; only what is no time-stamp request at all gets an HTTP error. Give
// the http.Server that carries it read and write timeouts.
func (a *Authority) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /{$}", a.serve)
	return mux
}

func (a *Authority) serve(w http.ResponseWriter, r *http.Request) {
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || kind != "application/timestamp-query" {
		http.Error(w, "content type must be application/timestamp-query", http.StatusUnsupportedMediaType)
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, MaxRequest))
	if tooLong := new(http.MaxBytesError); errors.As(err, &tooLong) {
		http.Error(w, "request too long", http.StatusRequestEntityTooLarge)
		return
	}
	if err != nil {
		http.Error(w, "request not received in full", http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "application/timestamp-reply")
	if _, err := w.Write(a.Issue(r.Context(), body)); err != nil {
		a.opt.Log.WarnContext(r.Context(), "timestamp not delivered", "err", err)
	}
}
