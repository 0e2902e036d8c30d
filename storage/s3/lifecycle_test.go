package s3_test

import (
	"bytes"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"github.com/minio/minio-go/v7/pkg/lifecycle"

	"holdfast/deploy/engines"
	"holdfast/storage"
	"holdfast/storage/s3"
)

// rules gives a bucket lifecycle rules; none takes them away.
func (p place) rules(t *testing.T, rules ...lifecycle.Rule) {
	t.Helper()
	c := lifecycle.NewConfiguration()
	for i := range rules {
		if rules[i].Status == "" {
			rules[i].Status = "Enabled"
		}
	}
	c.Rules = rules
	must(t, p.raw.SetBucketLifecycle(t.Context(), p.bucket, c))
}

func expires(id string, days int) lifecycle.Rule {
	return lifecycle.Rule{ID: id, Expiration: lifecycle.Expiration{Days: lifecycle.ExpirationDays(days)}}
}

// TestLifecycle: no store is made where a rule of the bucket hides or removes what lies
// there, and one that such a rule came to says so at each start, and to an audit.
func TestLifecycle(t *testing.T) {
	server := engines.MinIO(t)
	within := func(r lifecycle.Rule, prefix string) lifecycle.Rule {
		r.RuleFilter.Prefix = prefix
		return r
	}
	for name, c := range map[string]struct {
		rule lifecycle.Rule
		says string // empty: it does no harm
	}{
		"expires":            {expires("tidy", 30), `rule "tidy" expires keys`},
		"of this prefix":     {within(expires("a", 1), "offices/a/"), `"a" expires`},
		"of a part of it":    {within(expires("a", 1), "offices/a/seals/"), "expires"},
		"of what is above":   {within(expires("a", 1), "offices/"), "expires"},
		"of some, by prefix": {within(expires("a", 1), "off"), "expires"},
		"with a tag":         {lifecycle.Rule{ID: "a", Expiration: lifecycle.Expiration{Days: 1}, RuleFilter: lifecycle.Filter{Tag: lifecycle.Tag{Key: "k", Value: "v"}}}, "expires"},
		"with a tag of ours": {lifecycle.Rule{ID: "a", Expiration: lifecycle.Expiration{Days: 1},
			RuleFilter: lifecycle.Filter{And: lifecycle.And{Prefix: "offices/a/", Tags: []lifecycle.Tag{{Key: "k", Value: "v"}}}}}, "expires"},
		"older versions":    {lifecycle.Rule{ID: "old", NoncurrentVersionExpiration: lifecycle.NoncurrentVersionExpiration{NoncurrentDays: 1}}, `"old" removes older versions`},
		"but the newest":    {lifecycle.Rule{ID: "old", NoncurrentVersionExpiration: lifecycle.NoncurrentVersionExpiration{NewerNoncurrentVersions: 2}}, "removes older versions"},
		"switched off":      {lifecycle.Rule{ID: "a", Status: "Disabled", Expiration: lifecycle.Expiration{Days: 1}}, ""},
		"of another prefix": {within(expires("a", 1), "offices/b/"), ""},
		"of a like prefix":  {within(expires("a", 1), "offices/a-b/"), ""},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPlace(t, server, true)
			p.rules(t, c.rule)
			s, err := s3.Open(t.Context(), p.options(t))
			if c.says == "" {
				must(t, err)
				s.Close()
				return
			}
			if err == nil || !strings.Contains(err.Error(), c.says) {
				t.Fatalf("made: %v", err)
			}
			if n := p.versions(t); n != 0 {
				t.Errorf("%d versions lie there", n)
			}
		})
	}
	t.Run("came later", func(t *testing.T) {
		p := newPlace(t, server, true)
		s := p.open(t)
		wantFaults(t, s, nil)
		p.rules(t, expires("tidy", 1))
		wantFaults(t, s, map[string]string{"objects/holdfast.json": storage.FaultBucket})
		var said bytes.Buffer
		o := p.options(t)
		o.Create, o.ID, o.Log = false, s.ID(), slog.New(slog.NewTextHandler(&said, nil))
		open(t, o)
		if !strings.Contains(said.String(), "ERROR") || !strings.Contains(said.String(), "tidy") {
			t.Errorf("the start says %s", said.String())
		}
	})
	t.Run("may not ask", func(t *testing.T) {
		p := newPlace(t, server, true)
		var said bytes.Buffer
		o := p.options(t)
		o.Log = slog.New(slog.NewTextHandler(&said, nil))
		o.Transport = answers{o.Transport, "lifecycle", http.StatusForbidden, "<Error><Code>AccessDenied</Code></Error>"}
		wantFaults(t, open(t, o), nil)
		if !strings.Contains(said.String(), "nobody knows") {
			t.Errorf("the start says %s", said.String())
		}
	})
}

// answers gives one answer to whoever asks for a property of the bucket.
type answers struct {
	http.RoundTripper
	property string
	status   int
	body     string
}

func (a answers) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Method != http.MethodGet || !r.URL.Query().Has(a.property) {
		return a.RoundTripper.RoundTrip(r)
	}
	return &http.Response{StatusCode: a.status, Header: http.Header{"Content-Type": {"application/xml"}}, Body: io.NopCloser(strings.NewReader(a.body)), ContentLength: int64(len(a.body)), Request: r}, nil
}

const suspended = `<VersioningConfiguration><Status>Suspended</Status></VersioningConfiguration>`

// TestSuspended: a bucket whose versions were suspended is refused, and found by an
// audit of a handle that was open before. (No server lets it be done to a bucket with
// object lock: what is shown is that the answer is read.)
func TestSuspended(t *testing.T) {
	p := newPlace(t, engines.MinIO(t), true)
	if err := p.raw.SuspendVersioning(t.Context(), p.bucket); err == nil {
		t.Error("this server suspends versions under object lock: say so in docs/scale.md")
	}
	o := p.options(t)
	was := &switched{RoundTripper: o.Transport}
	o.Transport = was
	s := open(t, o)
	wantFaults(t, s, nil)
	was.now = answers{was.RoundTripper, "versioning", http.StatusOK, suspended}
	wantFaults(t, s, map[string]string{"objects/holdfast.json": storage.FaultBucket})
	if _, err := s3.Open(t.Context(), o); err == nil || !strings.Contains(err.Error(), "suspended") {
		t.Errorf("opened: %v", err)
	}
	bare := newPlace(t, engines.MinIO(t), false) // here the server does it
	must(t, bare.raw.EnableVersioning(t.Context(), bare.bucket))
	must(t, bare.raw.SuspendVersioning(t.Context(), bare.bucket))
	if _, err := s3.Open(t.Context(), bare.options(t)); err == nil || !strings.Contains(err.Error(), "suspended") {
		t.Errorf("opened: %v", err)
	}
}

// switched is one transport, and another from some moment on.
type switched struct {
	http.RoundTripper
	now http.RoundTripper
}

func (s *switched) RoundTrip(r *http.Request) (*http.Response, error) {
	if s.now != nil {
		return s.now.RoundTrip(r)
	}
	return s.RoundTripper.RoundTrip(r)
}
