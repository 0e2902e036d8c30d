package metrics

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Handler answers /metrics, /livez (the process runs) and /readyz (every engine that
// is probed can do its work: 200, else 503, with what each said; an extra condition
// of the process's own may be given, such as that it is not draining). Notes are among
// what is said, and change neither.
func (m *Metrics) Handler(ready func() error) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(m.reg, promhttp.HandlerOpts{MaxRequestsInFlight: 4, Timeout: 2 * askTime}))
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		said, well := map[string]string{}, true
		put := func(name string, err error) {
			said[name] = "ok"
			if err != nil {
				said[name], well = err.Error(), false
			}
		}
		for engine, err := range m.answers(r.Context()) {
			put(engine, err)
		}
		if ready != nil {
			put("process", ready())
		}
		if m.notes != nil {
			limited, cancel := context.WithTimeout(r.Context(), askTime)
			for name, what := range m.notes(limited) {
				said[name] = what
			}
			cancel()
		}
		w.Header().Set("Content-Type", "application/json")
		if !well {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		json.NewEncoder(w).Encode(said)
	})
	return mux
}

// Listen listens where Serve answers: HOST:PORT, or :PORT on all of the machine's
// addresses. There is no TLS and nobody is asked who he is: it is for the machine
// itself or a network of the office's own.
func Listen(addr string) (net.Listener, error) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("listen for metrics: %w: give another address, HOST:PORT", err)
	}
	return l, nil
}

// Serve answers on l until ctx ends.
func (m *Metrics) Serve(ctx context.Context, l net.Listener, ready func() error) error {
	s := &http.Server{Handler: m.Handler(ready), ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: 30 * time.Second, IdleTimeout: time.Minute, MaxHeaderBytes: 16 << 10}
	defer context.AfterFunc(ctx, func() { s.Close() })()
	if err := s.Serve(l); err != nil && !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve metrics: %w", err)
	}
	return nil
}
