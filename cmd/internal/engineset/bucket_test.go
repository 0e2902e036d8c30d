package engineset

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"holdfast/deploy/engines"
)

// TestOpenBucketUnseen: `init` makes a store where it has seen that there is none. What
// it could not look at may be another office's, which it must not join without a word.
func TestOpenBucketUnseen(t *testing.T) {
	m := engines.MinIO(t)
	u, err := url.Parse(m.Endpoint)
	if err != nil {
		t.Fatal(err)
	}
	c, err := minio.New(u.Host, &minio.Options{Creds: credentials.NewStaticV4(m.AccessKey, m.SecretKey, "")})
	if err == nil {
		err = c.MakeBucket(t.Context(), "unseen", minio.MakeBucketOptions{ObjectLocking: true})
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("AWS_ACCESS_KEY_ID", m.AccessKey)
	t.Setenv("AWS_SECRET_ACCESS_KEY", m.SecretKey)
	var refuse atomic.Int64
	pass := httputil.NewSingleHostReverseProxy(u)
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/holdfast.json") && refuse.Add(-1) >= 0 {
			w.Header().Set("Content-Type", "application/xml")
			w.WriteHeader(http.StatusForbidden)
			w.Write([]byte("<Error><Code>AccessDenied</Code><Message>not now</Message></Error>"))
			return
		}
		pass.ServeHTTP(w, r)
	}))
	defer front.Close()
	n := &Set{Dir: t.TempDir(), Log: slog.New(slog.DiscardHandler)}
	at := func(endpoint string) string { return "s3://unseen/office?region=" + m.Region + "&endpoint=" + endpoint }
	s, err := n.OpenBucket(t.Context(), at(m.Endpoint), "", true) // the other office's
	if err != nil {
		t.Fatal(err)
	}
	s.Close()
	refuse.Store(1)
	if s, err = n.OpenBucket(t.Context(), at(front.URL), "", true); err == nil || !strings.Contains(err.Error(), "AccessDenied") {
		t.Errorf("a store that could not be looked at: %v, %v", s, err)
	}
	if _, err = n.OpenBucket(t.Context(), at(front.URL), "", true); err == nil || !strings.Contains(err.Error(), "holds a store already") {
		t.Errorf("another office's: %v", err)
	}
}
